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
    authentication: ClientAuthentication,
}

/// How a client shows the token endpoint that it is who it says it is (RFC 6749 §2.3.1).
///
/// A server that answers `invalid_client` to a pair that is right may want another of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ClientAuthentication {
    /// `client_id` and `client_secret` in the body, beside the other parameters. The partner's API
    /// wants this.
    #[default]
    Body,
    /// HTTP Basic, with id and secret encoded as in a form first, as RFC 6749 says. Every server
    /// that issues secrets has to support it.
    Basic,
    /// HTTP Basic, with id and secret as they are, for servers that do not decode them (Doorkeeper
    /// is one). It is the same for a pair of letters, digits, `-`, `.`, `_` and `*`.
    BasicUnencoded,
}

impl ClientCredentials {
    /// Takes the pair as the authorization server issued it.
    pub fn new(client_id: impl Into<String>, client_secret: impl Into<String>) -> Self {
        Self {
            id: client_id.into().into(),
            secret: Arc::new(Zeroizing::new(client_secret.into())),
            authentication: ClientAuthentication::default(),
        }
    }

    /// Shows the pair to the token endpoint in this way, instead of [`ClientAuthentication::Body`].
    ///
    /// ```
    /// use tower_partner_auth::{ClientAuthentication, ClientCredentials};
    ///
    /// let credentials =
    ///     ClientCredentials::new("my-client", "s3cret").with_authentication(ClientAuthentication::Basic);
    /// # let _ = credentials;
    /// ```
    #[must_use]
    pub fn with_authentication(mut self, authentication: ClientAuthentication) -> Self {
        self.authentication = authentication;
        self
    }

    /// How the pair is shown to the token endpoint.
    pub fn authentication(&self) -> ClientAuthentication {
        self.authentication
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
        let mut problems: Vec<_> = fields.into_iter().filter_map(problem).collect();
        // RFC 7617 §2: the first colon ends the id.
        if self.authentication == ClientAuthentication::BasicUnencoded && self.id.contains(':') {
            let message = "the client id has a ':', which would end it in HTTP Basic: use \
                           ClientAuthentication::Basic, or Body";
            problems.push(Problem::new(ProblemKind::Credentials, message));
        }
        problems
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
            .field("authentication", &self.authentication)
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

    #[test]
    fn a_colon_in_the_id_is_a_problem_only_where_it_would_end_it() {
        let problems = |authentication| {
            let pair = ClientCredentials::new("urn:client", "s3:cret");
            pair.with_authentication(authentication).problems()
        };
        assert!(problems(ClientAuthentication::Body).is_empty());
        assert!(problems(ClientAuthentication::Basic).is_empty());
        let found = problems(ClientAuthentication::BasicUnencoded);
        assert!(found[0].to_string().contains("client id has a ':'"), "{found:?}");
        assert_eq!(found.len(), 1);
    }
}
