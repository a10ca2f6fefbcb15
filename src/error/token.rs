//! Why a token could not be had.

use std::error::Error;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use serde::ser::{Serialize, SerializeStruct, Serializer};
use tower::BoxError;

use super::code::Code;
use crate::scope::Scope;

/// Why no token could be had.
///
/// All callers that waited for one fetch get clones of the same error. Neither the message nor the
/// `Debug` form holds a token, a secret or any part of a response body; the wording is no API, the
/// methods are.
#[derive(Clone)]
pub struct TokenError {
    inner: Arc<Inner>,
}

#[derive(Clone)]
struct Inner {
    kind: TokenErrorKind,
    scope: Option<Scope>,
    status: Option<StatusCode>,
    code: Option<&'static str>,
    retry_after: Option<Duration>,
    /// Said in place of the kind's own sentence.
    message: Option<Arc<str>>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

/// What a [`TokenError`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum TokenErrorKind {
    /// The token request could not be sent or its answer did not arrive whole.
    Transport,
    /// The token endpoint's TLS certificate is not valid: it has expired, was issued for another
    /// name or by an unknown authority, or the like. The message names the host, and the secret was
    /// not sent. It is told by rustls' error, so the HTTP client has to use rustls 0.23, and the
    /// feature `rustls` to be on; else it is [`Transport`](Self::Transport).
    Certificate,
    /// The token endpoint did not answer within the token timeout.
    TimedOut,
    /// The caller waited for its limit; the fetch goes on for those who come after.
    WaitLimit,
    /// The token endpoint answered with an OAuth error (RFC 6749 §5.2): see
    /// [`TokenError::code`].
    ErrorResponse,
    /// The token endpoint answered with a status that is no success, without an OAuth error.
    Status,
    /// The token endpoint answered with a redirect. It is not followed: the secret would go along.
    Redirected,
    /// The answer is longer than 64 KiB.
    TooLarge,
    /// The answer is not a JSON object, or a member of it has the wrong type.
    Malformed,
    /// The answer has no `access_token`.
    MissingToken,
    /// The `access_token` is empty or has characters that cannot be in a header.
    UnusableToken,
    /// The answer has no `token_type`, or one other than `Bearer`.
    TokenType,
    /// The granted scope does not cover the scope asked for.
    NarrowScope,
    /// `expires_in` is not a number of seconds from zero up.
    InvalidLifetime,
    /// The token had expired by the time it arrived.
    Expired,
    /// The fetch was ended before its answer came: its runtime shut down, or its source panicked.
    Aborted,
    /// There is no Tokio runtime to fetch on.
    NoRuntime,
    /// A token source of the user's own failed: see `source()`.
    Source,
    /// The client secret could not be read, or the authenticator failed: `source()` is a
    /// [`SecretError`](crate::SecretError). No token request was sent.
    Secret,
}

impl TokenError {
    /// An error of `kind`. A token source of your own makes its errors with this.
    pub fn new(kind: TokenErrorKind) -> Self {
        Self {
            inner: Arc::new(Inner {
                kind,
                scope: None,
                status: None,
                code: None,
                retry_after: None,
                message: None,
                source: None,
            }),
        }
    }

    /// An OAuth error answer (RFC 6749 §5.2) with its `error` code. A code that is not a registered
    /// or well-known one is not kept: it is the server's free text.
    pub fn error_response(code: &str) -> Self {
        Self::new(TokenErrorKind::ErrorResponse).with(|inner| {
            inner.code = Code::find(code).map(|code| code.name);
        })
    }

    /// Adds what caused it. Its `Display` and `Debug` must hold no secret.
    #[must_use]
    pub fn with_source(self, source: impl Into<BoxError>) -> Self {
        let source = source.into();
        self.with(|inner| inner.source = Some(source.into()))
    }

    /// Adds the status of the token endpoint's answer.
    #[must_use]
    pub fn with_status(self, status: StatusCode) -> Self {
        self.with(|inner| inner.status = Some(status))
    }

    /// Adds how long the server asked to be left alone.
    #[must_use]
    pub fn with_retry_after(self, retry_after: Option<Duration>) -> Self {
        self.with(|inner| inner.retry_after = retry_after)
    }

    /// Words it more exactly than its kind can. They must hold no secret.
    pub(crate) fn with_message(self, message: String) -> Self {
        self.with(|inner| inner.message = Some(message.into()))
    }

    pub(crate) fn with_scope(self, scope: &Scope) -> Self {
        self.with(|inner| inner.scope = Some(scope.clone()))
    }

    fn with(mut self, change: impl FnOnce(&mut Inner)) -> Self {
        change(Arc::make_mut(&mut self.inner));
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> TokenErrorKind {
        self.inner.kind
    }

    /// The scope that the token was for.
    pub fn scope(&self) -> Option<&Scope> {
        self.inner.scope.as_ref()
    }

    /// The status of the token endpoint's answer, if there was one.
    pub fn status(&self) -> Option<StatusCode> {
        self.inner.status
    }

    /// The OAuth error code (RFC 6749 §5.2), if the answer had one that is well known.
    pub fn code(&self) -> Option<&'static str> {
        self.inner.code
    }

    /// How long the server asked to be left alone: `Retry-After`, or `retry_after` in the body.
    pub fn retry_after(&self) -> Option<Duration> {
        self.inner.retry_after
    }

    /// Whether the same request may succeed later. The error code decides before the status: the
    /// partner's server sends its throttle with status 401.
    pub fn is_transient(&self) -> bool {
        if let Some(code) = self.inner.code.and_then(Code::find) {
            return code.transient;
        }
        let by_status = self.inner.status.is_some_and(|status| {
            status.is_server_error()
                || status == StatusCode::REQUEST_TIMEOUT
                || status == StatusCode::TOO_MANY_REQUESTS
        });
        use TokenErrorKind as Kind;
        by_status
            || matches!(
                self.inner.kind,
                Kind::Transport
                    | Kind::TimedOut
                    | Kind::WaitLimit
                    | Kind::Expired
                    | Kind::Aborted
                    | Kind::Source
            )
    }
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.inner.scope {
            Some(scope) if scope.is_none() => f.write_str("no token: ")?,
            Some(scope) => write!(f, "no token for scope \"{scope}\": ")?,
            None => f.write_str("no token: ")?,
        }
        let status = self.inner.status;
        use TokenErrorKind as Kind;
        match self.inner.kind {
            Kind::ErrorResponse => {
                let code = self.inner.code.and_then(Code::find);
                let name = code.map_or("an error code that is not a known one", |code| code.name);
                write!(f, "the token endpoint answered {name}")?;
                if let Some(status) = status {
                    write!(f, " (status {})", status.as_u16())?;
                }
                let advice = code.map_or("ask the partner what it means", |code| code.advice);
                return write!(f, "; {advice}");
            }
            Kind::Status => {
                f.write_str("the token endpoint answered")?;
                if let Some(status) = status {
                    write!(f, " status {}", status.as_u16())?;
                }
                return f.write_str(" without an OAuth error; check the token URL");
            }
            _ => {}
        }
        if let Some(message) = &self.inner.message {
            return f.write_str(message);
        }
        f.write_str(match self.inner.kind {
            Kind::Transport => "the token request failed on the way; check the token URL, the network and TLS",
            Kind::Certificate => "the certificate of the token endpoint is not valid",
            Kind::TimedOut => "the token endpoint did not answer within the token timeout",
            Kind::WaitLimit => {
                "the caller's wait limit passed before the token came; the fetch goes on for later calls"
            }
            Kind::Redirected => {
                "the token endpoint answered with a redirect, which is never followed with a secret; \
                 set the token URL to its final address"
            }
            Kind::TooLarge => "the answer is over 64 KiB; check that the token URL is a token endpoint",
            Kind::Malformed => {
                "the answer is not the JSON of a token response; check that the token URL is a token \
                 endpoint and of the right environment"
            }
            Kind::MissingToken => {
                "the answer has no access_token; check that the token URL is a token endpoint"
            }
            Kind::UnusableToken => "the access_token is empty or has characters that no header can carry",
            Kind::TokenType => "the answer has no token_type Bearer, and no other type is understood",
            Kind::NarrowScope => {
                "the granted scope does not cover the one asked for; ask the partner to enable it for \
                 the client"
            }
            Kind::InvalidLifetime => "expires_in is not a number of seconds from zero up",
            Kind::Expired => "the token had expired by the time it arrived",
            Kind::Aborted => "the fetch was ended before its answer came; the next call starts another",
            Kind::NoRuntime => "there is no Tokio runtime here; call the service from within one",
            Kind::Source => "the token source failed",
            Kind::Secret => {
                "the client secret, or the proof in its place, could not be had; this error's source \
                 says why"
            }
            Kind::ErrorResponse | Kind::Status => unreachable!("written above"),
        })?;
        match status {
            Some(status) if !status.is_success() => write!(f, " (status {})", status.as_u16()),
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TokenError")
            .field("kind", &self.inner.kind)
            .field("scope", &self.inner.scope)
            .field("status", &self.inner.status)
            .field("code", &self.inner.code)
            .field("retry_after", &self.inner.retry_after)
            .field("source", &self.inner.source)
            .finish()
    }
}

/// What the methods tell, and the message: for a status page, or a log of JSON.
impl Serialize for TokenError {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut fields = serializer.serialize_struct("TokenError", 6)?;
        fields.serialize_field("kind", &self.kind())?;
        fields.serialize_field("code", &self.code())?;
        fields.serialize_field("status", &self.status().map(|status| status.as_u16()))?;
        fields.serialize_field("transient", &self.is_transient())?;
        let retry_after = self.retry_after().map(|after| after.as_secs_f64());
        fields.serialize_field("retry_after_seconds", &retry_after)?;
        fields.serialize_field("message", &self.to_string())?;
        fields.end()
    }
}

impl Error for TokenError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source: &(dyn Error + 'static) = self.inner.source.as_deref()?;
        Some(source)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn with(code: &str, status: u16) -> TokenError {
        TokenError::error_response(code).with_status(StatusCode::from_u16(status).unwrap())
    }

    #[test]
    fn the_code_decides_before_the_status() {
        for code in [
            "server_error",
            "temporarily_unavailable",
            "rate_limit_exceeded",
            "invalid_token_reuse",
        ] {
            assert!(with(code, 401).is_transient(), "{code}");
            assert!(with(code, 400).is_transient(), "{code}");
        }
        for code in
            ["invalid_client", "invalid_scope", "unauthorized_client", "unsupported_grant_type"]
        {
            assert!(!with(code, 401).is_transient(), "{code}");
            assert!(!with(code, 503).is_transient(), "{code}");
        }
        for (status, transient) in
            [(408, true), (429, true), (500, true), (503, true), (400, false)]
        {
            assert_eq!(with("made_up", status).is_transient(), transient, "{status}");
        }
    }

    #[test]
    fn a_code_that_is_not_known_is_not_repeated() {
        let error = with("s3cret_echoed_back", 400);
        assert_eq!(error.code(), None);
        assert!(!format!("{error} {error:?}").contains("s3cret"));
    }

    #[test]
    fn the_message_names_scope_code_and_remedy() {
        let error = with("invalid_client", 401).with_scope(&Scope::parse("read").unwrap());
        let message = error.to_string();
        for part in ["\"read\"", "invalid_client", "401", "secret"] {
            assert!(message.contains(part), "{message}");
        }
    }
}
