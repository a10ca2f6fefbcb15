//! The client's identity at the token endpoint.

mod authenticator;
mod candidates;
mod fault;
mod file;
mod secret;

use std::fmt;
use std::sync::Arc;

use crate::error::{Problem, ProblemKind, SecretError, SecretErrorKind};

pub use authenticator::{ClientAuthenticator, ClientProof, ProofFuture, ProofRequest};
#[cfg(feature = "config")]
pub(crate) use secret::shown_variable;
pub use secret::{Secret, SecretValue};

use candidates::Candidates;
use fault::fault;

/// A client id and its secret (RFC 6749 §2.3.1), or [another way](Self::with_authenticator) to show
/// who the client is.
///
/// Cheap to clone. The secret is never in a `Debug` output and its memory is wiped when the last
/// clone is dropped. Whether the pair can be used at all is checked when the layer is built.
///
/// ```
/// use tower_partner_auth::{ClientCredentials, Secret};
///
/// let credentials = ClientCredentials::new("my-client", "s3cret");
/// assert!(!format!("{credentials:?}").contains("s3cret"));
///
/// // Not in the program: read anew for each token request.
/// let credentials = ClientCredentials::new("my-client", Secret::env("PARTNER_CLIENT_SECRET"));
/// ```
#[derive(Clone)]
pub struct ClientCredentials {
    id: Arc<str>,
    secrets: Arc<Candidates>,
    authentication: ClientAuthentication,
    /// In place of secrets.
    authenticator: Option<Arc<dyn ClientAuthenticator>>,
}

/// How a client shows the token endpoint that it is who it says it is (RFC 6749 §2.3.1).
///
/// A server that answers `invalid_client` to a pair that is right may want another of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
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
    /// Takes the pair as the authorization server issued it. The secret is a string, or a [`Secret`]
    /// that says where it is to be read.
    pub fn new(client_id: impl Into<String>, secret: impl Into<Secret>) -> Self {
        Self {
            id: client_id.into().into(),
            secrets: Arc::new(Candidates::default().and(secret.into())),
            authentication: ClientAuthentication::default(),
            authenticator: None,
        }
    }

    /// A client that shows who it is in a way of its own, such as a signed assertion; see
    /// [`ClientAuthenticator`].
    pub fn with_authenticator(
        client_id: impl Into<String>,
        authenticator: impl ClientAuthenticator,
    ) -> Self {
        Self {
            id: client_id.into().into(),
            secrets: Arc::default(),
            authentication: ClientAuthentication::default(),
            authenticator: Some(Arc::new(authenticator)),
        }
    }

    /// Another secret of the same client, for a time in which the old one and the new one overlap.
    ///
    /// When the token endpoint answers `invalid_client`, or the one secret cannot be read, the other
    /// is tried in the same token request's time, each at most once. Which one worked is remembered,
    /// by all clones, so that the next fetch costs one request again. After one whose provider hangs until
    /// the request's timeout, or panics, the other is the first to be tried. An `invalid_client` that comes
    /// with a wish for rest (`Retry-After`) is not answered by another try.
    ///
    /// If none works, the error is the endpoint's `invalid_client`, with the
    /// [`SecretError`] of one that could not be read as its `source()`; if none could be read, it
    /// is that of the one tried first.
    ///
    /// A file may be missing as long as it is not the first secret: the new one may be still to
    /// come.
    ///
    /// ```
    /// use tower_partner_auth::{ClientCredentials, Secret};
    ///
    /// let credentials = ClientCredentials::new("my-client", Secret::env("PARTNER_SECRET"))
    ///     .or_secret(Secret::file("/run/secrets/partner-next"));
    /// # let _ = credentials;
    /// ```
    #[must_use]
    pub fn or_secret(mut self, secret: impl Into<Secret>) -> Self {
        self.secrets = Arc::new(self.secrets.and(secret.into()));
        self
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

    /// Reads the client secret, for a token source of your own: of more than
    /// [one](Self::or_secret), the first that can be read, from the one that worked last on.
    ///
    /// # Errors
    ///
    /// If it cannot be read or used; of more than one, what is wrong with the one tried first.
    /// [`SecretErrorKind::NoSecret`] if there is an [authenticator](Self::with_authenticator) in its
    /// place.
    pub async fn client_secret(&self) -> Result<SecretValue, SecretError> {
        let mut failure = None;
        for number in self.secrets.in_order() {
            match self.secrets.read(number).await {
                Ok(value) => return Ok(value),
                Err(error) => failure = failure.or(Some(error)),
            }
        }
        Err(failure.unwrap_or_else(|| {
            let clause = "is not there: the client has an authenticator in its place";
            SecretError::new(SecretErrorKind::NoSecret, "the client secret".to_owned(), clause)
        }))
    }

    pub(crate) fn authenticator(&self) -> Option<&dyn ClientAuthenticator> {
        self.authenticator.as_deref()
    }

    pub(crate) fn secrets(&self) -> &Candidates {
        &self.secrets
    }

    /// What is wrong with the pair, one problem per fault, naming no part of the secret. It reads
    /// variables and files.
    pub(crate) fn problems(&self) -> Vec<Problem> {
        let problem = |place: &str, message: String| {
            Problem::new(ProblemKind::Credentials, message).at(format!("client.{place}"))
        };
        let mut problems = Vec::new();
        if let Some((_, clause)) = fault(self.id.as_bytes()) {
            problems.push(problem("id", format!("the client id {clause}")));
        }
        problems.extend(self.secrets.faults().map(|(number, error)| {
            let place = if self.secrets.is_one() {
                "secret".to_owned()
            } else {
                format!("secret[{number}]")
            };
            problem(&place, with_source(&error))
        }));
        if self.authenticator.is_some() {
            if !self.secrets.is_empty() {
                let message = "the client has an authenticator and a secret: leave or_secret out";
                problems.push(problem("secret", message.to_owned()));
            }
            if self.authentication != ClientAuthentication::default() {
                let message = "the client has an authenticator, and with_authentication is for a \
                               secret: leave it out";
                problems.push(problem("authentication", message.to_owned()));
            }
            return problems;
        }
        // RFC 7617 §2: the first colon ends the id.
        if self.authentication == ClientAuthentication::BasicUnencoded && self.id.contains(':') {
            problems.push(problem(
                "id",
                "the client id has a ':', which would end it in HTTP Basic: use \
                 ClientAuthentication::Basic, or Body"
                    .to_owned(),
            ));
        }
        problems
    }
}

/// A problem has no source of its own.
fn with_source(error: &SecretError) -> String {
    match std::error::Error::source(error) {
        Some(source) if error.kind() == SecretErrorKind::Unreadable => format!("{error}: {source}"),
        _ => error.to_string(),
    }
}

impl fmt::Debug for ClientCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut fields = f.debug_struct("ClientCredentials");
        fields.field("client_id", &self.id);
        match &self.authenticator {
            Some(_) => fields.field("authenticator", &format_args!("..")),
            None => fields
                .field("client_secret", &self.secrets)
                .field("authentication", &self.authentication),
        };
        fields.finish()
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
