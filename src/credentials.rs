//! The client's identity at the token endpoint.

use std::fmt;
use std::sync::Arc;

use zeroize::Zeroizing;

use crate::error::{Problem, ProblemKind};

/// A client id and its secret (RFC 6749 §2.3.1).
///
/// Cheap to clone. The secret is never in a `Debug` output and its memory is wiped when the last
/// clone is dropped. Whether the pair can be used at all is checked when the layer is built.
///
/// ```
/// use tower_partner_auth::ClientCredentials;
///
/// let credentials = ClientCredentials::new("my-client", "s3cret");
/// assert!(!format!("{credentials:?}").contains("s3cret"));
/// ```
#[derive(Clone)]
pub struct ClientCredentials {
    id: Arc<str>,
    secret: Arc<Zeroizing<String>>,
}

impl ClientCredentials {
    /// Takes the pair as the authorization server issued it.
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self { id: client_id.into().into(), secret: Arc::new(Zeroizing::new(client_secret.into())) }
    }

    /// The client id. It is an identifier, not a secret (RFC 6749 §2.2).
    pub fn client_id(&self) -> &str {
        &self.id
    }

    /// The client secret, for a token source of your own. Keep it out of logs and errors.
    pub fn client_secret(&self) -> &str {
        &self.secret
    }

    /// What is wrong with the pair, one problem per fault, naming no part of the secret.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let fields = [("client id", self.client_id()), ("client secret", self.client_secret())];
        let problem = |(name, value)| {
            let message = format!("the {name} {}", fault(value)?);
            Some(Problem::new(ProblemKind::Credentials, message))
        };
        fields.into_iter().filter_map(problem).collect()
    }
}

// VSCHAR of RFC 6749 appendix A.1 and A.2, by far the commonest slip being a file's last newline.
fn fault(value: &str) -> Option<&'static str> {
    if value.is_empty() {
        Some("is empty: is its environment variable or file set?")
    } else if value.trim() != value {
        Some(
            "begins or ends with white space: trim it (a file's trailing newline is the usual cause)",
        )
    } else if !value.bytes().all(|b| matches!(b, 0x20..=0x7e)) {
        Some(
            "has a character outside printable ASCII (RFC 6749 appendix A): copy it again from the partner's console",
        )
    } else {
        None
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientCredentials")
            .field("client_id", &self.id)
            .field("client_secret", &"[redacted]")
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn problems_name_the_field_and_not_its_value() {
        for (id, secret, field) in [
            ("", "s3cret", "client id"),
            ("id\u{7}", "s3cret", "client id"),
            ("id", "", "client secret"),
            ("id", "s3cret\n", "client secret"),
            ("id", "s3c\u{0}ret", "client secret"),
            ("id", "s3crét", "client secret"),
        ] {
            let problems = ClientCredentials::new(id, secret).problems();
            assert_eq!(problems.len(), 1, "{id:?} {secret:?}");
            let message = problems[0].to_string();
            assert!(message.contains(field), "{message}");
            assert!(!message.contains("s3c"), "{message}");
        }
        assert!(ClientCredentials::new("id", "s3cret").problems().is_empty());
    }
}
