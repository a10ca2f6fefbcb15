//! Token requests that fail because of the server's certificate.
//!
//! To an HTTP client this is an error like a connection that was reset, but trying again does not
//! mend it. It is told apart by rustls' error, wherever in the client's own it is, and said in words
//! that name the host and the way out.

use std::error::Error;

/// What is wrong with the certificate of `host`, and what to do; `None` if the error is about
/// something else.
#[cfg(feature = "rustls")]
pub(super) fn complaint(error: &(dyn Error + 'static), host: Option<&str>) -> Option<String> {
    let clause = rustls::clause(rustls::find(error)?)?;
    let host = host.unwrap_or("the token endpoint");
    Some(format!("the certificate of {host} {clause}"))
}

/// What other TLS libraries say is not known.
#[cfg(not(feature = "rustls"))]
pub(super) fn complaint(_: &(dyn Error + 'static), _: Option<&str>) -> Option<String> {
    None
}

#[cfg(feature = "rustls")]
mod rustls {
    use std::error::Error;
    use std::io;
    use std::time::{Duration, SystemTime};

    use rustls::CertificateError;
    use rustls::pki_types::UnixTime;

    /// The first instant that a date of HTTP cannot tell, in Unix seconds: the year 10,000.
    const BEYOND_DATES: u64 = 253_402_300_800;

    /// Looks for what rustls has against a certificate among the causes of an error.
    pub(super) fn find<'a>(error: &'a (dyn Error + 'static)) -> Option<&'a CertificateError> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(rustls::Error::InvalidCertificate(found)) = error.downcast_ref() {
                return Some(found);
            }
            next = match error.downcast_ref::<io::Error>().and_then(io::Error::get_ref) {
                // The source of an I/O error is what caused the error in it, and not that error.
                Some(inner) => Some(inner),
                None => error.source(),
            };
        }
        None
    }

    pub(super) fn clause(error: &CertificateError) -> Option<String> {
        use CertificateError as Fault;
        Some(match error {
            Fault::Expired => expired(""),
            Fault::ExpiredContext { not_after, .. } => expired(&date("on", *not_after)),
            Fault::NotValidYet => not_yet(""),
            Fault::NotValidYetContext { not_before, .. } => not_yet(&date("before", *not_before)),
            Fault::NotValidForName | Fault::NotValidForNameContext { .. } => {
                "was issued for another name; check the token URL".to_owned()
            }
            Fault::UnknownIssuer => "is signed by an unknown authority, or by itself; if it is the right one, give its \
                                     root certificate with token_root_certificates or to your own HTTP client"
                .to_owned(),
            Fault::Revoked => "has been revoked; its operator has to replace it".to_owned(),
            Fault::BadSignature => {
                "is not signed by whom it says; check that nothing intercepts the connection".to_owned()
            }
            // The certificate may be good: it is the word on its revocation that is missing or old.
            Fault::UnknownRevocationStatus
            | Fault::ExpiredRevocationList
            | Fault::ExpiredRevocationListContext { .. }
            | Fault::InvalidOcspResponse => return None,
            other => format!("is not acceptable ({other}); its operator has to replace it"),
        })
    }

    fn expired(on: &str) -> String {
        format!("has expired{on}; its operator has to renew it, if this machine's clock is right")
    }

    fn not_yet(before: &str) -> String {
        format!("is not valid yet{before}; check this machine's clock")
    }

    fn date(preposition: &str, time: UnixTime) -> String {
        let seconds = time.as_secs();
        if seconds >= BEYOND_DATES {
            return String::new();
        }
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        format!(" ({preposition} {})", httpdate::fmt_http_date(time))
    }
}

#[cfg(all(test, feature = "rustls"))]
mod tests {
    use std::io;
    use std::time::Duration;

    use ::rustls::pki_types::{ServerName, UnixTime};
    use ::rustls::{CertificateError, Error as TlsError, OtherError};

    use super::*;

    fn complaint_of(error: CertificateError) -> Option<String> {
        complaint(&TlsError::InvalidCertificate(error), Some("accounts.example.com"))
    }

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    #[test]
    fn each_fault_of_a_certificate_names_the_host_and_the_way_out() {
        use CertificateError as Fault;
        let (time, day) = (at(1_000_000_000), at(784_111_777));
        let expected = ServerName::try_from("accounts.example.com").unwrap();
        for (fault, parts) in [
            (Fault::Expired, ["expired", "renew"]),
            (
                Fault::ExpiredContext { time, not_after: day },
                ["expired (on Sun, 06 Nov 1994", "renew"],
            ),
            (Fault::NotValidYet, ["not valid yet;", "clock"]),
            (
                Fault::NotValidYetContext { time, not_before: day },
                ["yet (before Sun, 06 Nov", "clock"],
            ),
            (
                Fault::NotValidYetContext { time, not_before: at(u64::MAX) },
                ["not valid yet;", "clock"],
            ),
            (Fault::NotValidForName, ["another name", "token URL"]),
            (
                Fault::NotValidForNameContext { expected, presented: Vec::new() },
                ["another name", "token URL"],
            ),
            (Fault::UnknownIssuer, ["unknown authority", "token_root_certificates"]),
            (Fault::Revoked, ["revoked", "replace"]),
            (Fault::BadSignature, ["not signed by whom it says", "intercepts"]),
            (Fault::InvalidPurpose, ["not acceptable", "replace"]),
            (
                Fault::Other(OtherError(std::sync::Arc::new(io::Error::other("odd")))),
                ["odd", "replace"],
            ),
        ] {
            let message = complaint_of(fault).unwrap();
            assert!(message.starts_with("the certificate of accounts.example.com "), "{message}");
            for part in parts {
                assert!(message.contains(part), "{part:?} is not in: {message}");
            }
        }
    }

    #[test]
    fn it_is_found_behind_other_errors() {
        let tls = || TlsError::InvalidCertificate(CertificateError::Revoked);
        // As tokio-rustls and hyper-rustls wrap it, one inside the other.
        let wrapped = io::Error::other(io::Error::new(io::ErrorKind::InvalidData, tls()));
        assert!(
            complaint(&wrapped, None).unwrap().contains("of the token endpoint has been revoked")
        );
        // Behind an error that has it as its source.
        let behind = crate::Error::Service(wrapped);
        assert!(complaint(&behind, None).is_some());
    }

    #[test]
    fn what_may_pass_by_itself_is_no_complaint() {
        for fault in [
            CertificateError::UnknownRevocationStatus,
            CertificateError::ExpiredRevocationList,
            CertificateError::InvalidOcspResponse,
        ] {
            assert_eq!(complaint_of(fault), None);
        }
        let handshake = TlsError::AlertReceived(::rustls::AlertDescription::HandshakeFailure);
        assert_eq!(complaint(&handshake, None), None);
        assert_eq!(complaint(&io::Error::from(io::ErrorKind::ConnectionReset), None), None);
    }
}
