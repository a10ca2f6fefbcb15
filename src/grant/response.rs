//! What a token endpoint grants.

use std::fmt;
use std::time::Duration;

use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::error::{TokenError, TokenErrorKind};
use crate::scope::Scope;

/// Doorkeeper rounds the rest of a token's life to whole seconds, so a `0` is a token with less than
/// half a second to live. Counted as a second, it serves those who waited for it, and costs at most
/// one fetch a second instead of one a request.
pub(crate) const SHORTEST_LIFE: Duration = Duration::from_secs(1);

/// A granted access token: what a token source answers.
#[derive(Clone)]
pub struct TokenResponse {
    access_token: Zeroizing<String>,
    expires_in: Option<Duration>,
    scope: Option<Scope>,
    created_at: Option<i64>,
    requested_at: Option<Instant>,
    shared: bool,
}

impl TokenResponse {
    /// A Bearer token (RFC 6750) that is good until the API rejects it.
    ///
    /// # Errors
    ///
    /// [`TokenErrorKind::UnusableToken`] when the token is empty, or has a character other than
    /// visible ASCII: it could not be put into a header (RFC 6749 appendix A.12).
    pub fn new(access_token: impl Into<String>) -> Result<Self, TokenError> {
        let access_token = Zeroizing::new(access_token.into());
        if access_token.is_empty() || !access_token.bytes().all(|b| b.is_ascii_graphic()) {
            return Err(TokenError::new(TokenErrorKind::UnusableToken));
        }
        Ok(Self {
            access_token,
            expires_in: None,
            scope: None,
            created_at: None,
            requested_at: None,
            shared: false,
        })
    }

    /// The token's life, counted from when it was asked for.
    #[must_use]
    pub fn with_expires_in(mut self, life: Duration) -> Self {
        self.expires_in = Some(life);
        self
    }

    /// The granted scope. Without it, the scope asked for was granted (RFC 6749 §5.1).
    #[must_use]
    pub fn with_scope(mut self, scope: Scope) -> Self {
        self.scope = Some(scope);
        self
    }

    /// When the server says it first made the token, in Unix seconds. Shown, never reckoned with: a
    /// reused token's remaining life has nothing to do with it.
    #[must_use]
    pub fn with_created_at(mut self, unix_seconds: i64) -> Self {
        self.created_at = Some(unix_seconds);
        self
    }

    /// When the request was sent that got this answer: the token's life counts from here. Without
    /// it, it counts from when the source was called.
    #[must_use]
    pub fn with_requested_at(mut self, requested_at: Instant) -> Self {
        self.requested_at = Some(requested_at);
        self
    }

    /// Another process fetched it, and all of them use it: no server revoked a token for it that this
    /// one did not know of.
    #[must_use]
    pub fn with_shared(mut self) -> Self {
        self.shared = true;
        self
    }

    /// The token. Keep it out of logs and errors.
    pub fn access_token(&self) -> &str {
        &self.access_token
    }

    /// The token's life from when it was asked for, if the server told.
    pub fn expires_in(&self) -> Option<Duration> {
        self.expires_in
    }

    /// The granted scope, if the server told.
    pub fn scope(&self) -> Option<&Scope> {
        self.scope.as_ref()
    }

    /// When the server says it first made the token, in Unix seconds.
    pub fn created_at(&self) -> Option<i64> {
        self.created_at
    }

    /// When the request was sent that got this answer, if the source told.
    pub fn requested_at(&self) -> Option<Instant> {
        self.requested_at
    }

    /// Whether another process fetched it.
    pub fn is_shared(&self) -> bool {
        self.shared
    }
}

impl fmt::Debug for TokenResponse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the scope's text: it is the server's, which could put anything into it.
        f.debug_struct("TokenResponse")
            .field("access_token", &"[redacted]")
            .field("expires_in", &self.expires_in)
            .field("scope", &self.scope.as_ref().map(|_| "[granted]"))
            .field("created_at", &self.created_at)
            .finish_non_exhaustive()
    }
}
