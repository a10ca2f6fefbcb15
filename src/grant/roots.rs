//! The root certificates that the built-in HTTP client trusts: Mozilla's, so that it works in a
//! container without any certificates of its own, and those of the user's, read from PEM (RFC 7468).
//!
//! What is not a certificate is refused by name, and never repeated: it may be a private key.

use rustls::RootCertStore;
use rustls::pki_types::pem::{Error, PemObject, SectionKind};

/// The user's root certificates, and what is wrong with those that are none.
pub(crate) struct Roots {
    own: RootCertStore,
    faults: Vec<&'static str>,
    given: bool,
}

impl Roots {
    pub(crate) fn none() -> Self {
        Self { own: RootCertStore::empty(), faults: Vec::new(), given: false }
    }

    /// Reads one PEM text of certificates, one or more.
    pub(crate) fn add(&mut self, pem: &[u8]) {
        self.given = true;
        if let Err(fault) = read(pem, &mut self.own) {
            self.faults.push(fault);
        }
    }

    /// Whether any were given, good or bad.
    pub(crate) fn are_given(&self) -> bool {
        self.given
    }

    /// What is wrong with each text that is not of certificates only.
    pub(crate) fn faults(&self) -> &[&'static str] {
        &self.faults
    }

    /// Mozilla's roots, and the certificates of the good texts.
    pub(crate) fn trusted(&self) -> RootCertStore {
        let mut all = self.own.clone();
        all.extend(webpki_roots::TLS_SERVER_ROOTS.iter().cloned());
        all
    }
}

fn read(pem: &[u8], roots: &mut RootCertStore) -> Result<(), &'static str> {
    let mut found = false;
    for section in <(SectionKind, Vec<u8>)>::pem_slice_iter(pem) {
        let (kind, der) = section.map_err(|error| match error {
            Error::MissingSectionEnd { .. } => "are cut off: the line -----END …----- is missing",
            _ => "are not PEM: a -----BEGIN …----- line or the base64 after it is malformed",
        })?;
        match kind {
            SectionKind::Certificate => roots
                .add(der.into())
                .map_err(|_| "have a CERTIFICATE in them that is no X.509 certificate")?,
            SectionKind::PrivateKey | SectionKind::RsaPrivateKey | SectionKind::EcPrivateKey => {
                return Err(
                    "have a private key in them: give the CERTIFICATE of the authority alone",
                );
            }
            SectionKind::PublicKey => {
                return Err("have a bare public key in them: give the authority's CERTIFICATE");
            }
            SectionKind::Csr => {
                return Err(
                    "have a certificate request in them: give the CERTIFICATE made from it",
                );
            }
            _ => return Err("have something else in them: give the authority's CERTIFICATE alone"),
        }
        found = true;
    }
    match pem.first() {
        _ if found => Ok(()),
        None => Err("are empty"),
        // The first byte of a certificate in DER: the tag of a SEQUENCE.
        Some(0x30) => Err("look like DER: convert them to PEM, with -----BEGIN CERTIFICATE-----"),
        Some(_) => Err("have no -----BEGIN CERTIFICATE----- in them"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_root_of_ones_own_is_trusted_beside_mozillas() {
        let mozillas = webpki_roots::TLS_SERVER_ROOTS.len();
        let mut roots = Roots::none();
        assert_eq!(roots.trusted().len(), mozillas);
        roots.add(include_bytes!("../../tests/certificates/root.pem"));
        assert_eq!(roots.trusted().len(), mozillas + 1);
    }
}
