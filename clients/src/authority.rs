//! A private certificate authority, as companies have one, and what it signs.

use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair,
    date_time_ymd,
};
use rustls::ServerConfig;
use rustls::crypto::ring::default_provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

/// An authority that nobody knows who was not given its root certificate.
#[derive(Clone)]
pub struct Authority(Arc<CertifiedIssuer<'static, KeyPair>>);

/// A server's certificate and key.
#[derive(Clone)]
pub struct Identity {
    config: Arc<ServerConfig>,
    pem: String,
}

impl Authority {
    /// A new authority.
    pub fn new(name: &str) -> Self {
        let mut params = params(&[]);
        params.distinguished_name.push(DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        Self(CertifiedIssuer::self_signed(params, key()).expect("complete parameters").into())
    }

    /// Its root certificate, as PEM.
    pub fn root(&self) -> String {
        self.0.pem()
    }

    /// Its root certificate, as DER.
    pub fn root_der(&self) -> CertificateDer<'static> {
        self.0.der().clone()
    }

    /// A good certificate for a name.
    pub fn issue(&self, name: &str) -> Identity {
        self.sign(params(&[name]))
    }

    /// A certificate whose time is over.
    pub fn issue_expired(&self, name: &str) -> Identity {
        let mut params = params(&[name]);
        params.not_before = date_time_ymd(2001, 1, 1);
        params.not_after = date_time_ymd(2002, 1, 1);
        self.sign(params)
    }

    /// A certificate whose time has not come.
    pub fn issue_for_later(&self, name: &str) -> Identity {
        let mut params = params(&[name]);
        params.not_before = date_time_ymd(4000, 1, 1);
        self.sign(params)
    }

    fn sign(&self, params: CertificateParams) -> Identity {
        let key = key();
        let certificate = params.signed_by(&key, &**self.0).expect("complete parameters");
        Identity::new(&certificate, &key)
    }
}

impl Identity {
    /// A certificate that vouches for itself.
    pub fn self_signed(name: &str) -> Self {
        let key = key();
        let certificate = params(&[name]).self_signed(&key).expect("complete parameters");
        Self::new(&certificate, &key)
    }

    /// The certificate and the key, for a server that reads both from one file.
    pub fn pem(&self) -> &str {
        &self.pem
    }

    fn new(certificate: &Certificate, key: &KeyPair) -> Self {
        let pem = certificate.pem() + &key.serialize_pem();
        let key = PrivateKeyDer::try_from(key.serialize_der()).expect("PKCS #8");
        let config = ServerConfig::builder_with_provider(default_provider().into())
            .with_safe_default_protocol_versions()
            .expect("the ring provider supports the default TLS versions")
            .with_no_client_auth()
            .with_single_cert(vec![certificate.der().clone()], key)
            .expect("a certificate and its key");
        Self { config: Arc::new(config), pem }
    }

    pub(crate) fn config(&self) -> Arc<ServerConfig> {
        Arc::clone(&self.config)
    }
}

fn params(names: &[&str]) -> CertificateParams {
    let names: Vec<_> = names.iter().map(|&name| name.to_owned()).collect();
    CertificateParams::new(names).expect("DNS names")
}

fn key() -> KeyPair {
    KeyPair::generate().expect("randomness")
}
