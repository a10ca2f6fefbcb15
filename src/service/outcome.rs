//! What the layer did for a request, told to the caller.

use std::fmt;

use crate::error::TokenError;

/// What the layer did for a request, in the extensions of its response.
///
/// A response without it is of a request that was sent once, with the token at hand or untouched:
/// nothing happened that is worth a word.
///
/// ```
/// use tower_partner_auth::AuthOutcome;
///
/// fn log_rejection<B>(response: &http::Response<B>) {
///     if let Some(rejection) = response.extensions().get().and_then(AuthOutcome::rejection) {
///         eprintln!("the API rejected the token: {rejection}");
///     }
/// }
/// ```
#[derive(Debug, Clone, Default)]
pub struct AuthOutcome {
    waited: bool,
    replayed: bool,
    rejection: Option<Rejection>,
}

/// Why a rejection of the token came through to the caller.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Rejection {
    /// The renewal gave the rejected token again.
    SameToken,
    /// The request was sent again with a newer token, and rejected again.
    FreshTokenRejected,
    /// A renewal for this route was in vain a short while ago, so none was tried.
    RecentlyInVain,
    /// The renewal failed.
    RenewalFailed(TokenError),
    /// The request body was past the replay limit. The token is renewed for later calls.
    BodyTooLong,
    /// The request body failed while it was sent.
    BodyFailed,
    /// The route says not to replay ([`OnUnauthorized`](crate::OnUnauthorized)).
    Policy,
    /// The token is good, but lacks a scope: a renewal would not help.
    InsufficientScope,
}

impl AuthOutcome {
    /// Whether the request waited for a token to be fetched before it was sent.
    pub fn waited_for_token(&self) -> bool {
        self.waited
    }

    /// Whether the request was sent a second time, with a newer token. The response is the second's.
    pub fn replayed(&self) -> bool {
        self.replayed
    }

    /// Why the API's rejection came through, if it did.
    pub fn rejection(&self) -> Option<&Rejection> {
        self.rejection.as_ref()
    }

    pub(super) fn note_wait(&mut self) {
        self.waited = true;
    }

    pub(super) fn note_replay(&mut self) {
        self.replayed = true;
    }

    pub(super) fn reject(&mut self, rejection: Rejection) {
        self.rejection = Some(rejection);
    }

    /// Whether there is anything to tell: to say nothing costs no allocation.
    pub(super) fn is_noteworthy(&self) -> bool {
        self.waited || self.replayed || self.rejection.is_some()
    }
}

impl fmt::Display for Rejection {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::SameToken => f.write_str("the token server gave the rejected token again"),
            Self::FreshTokenRejected => f.write_str("a fresh token was rejected too"),
            Self::RecentlyInVain => {
                f.write_str("a renewal for this route was in vain a short while ago")
            }
            Self::RenewalFailed(error) => write!(f, "the renewal failed: {error}"),
            Self::BodyTooLong => f.write_str("the request body is past the replay limit"),
            Self::BodyFailed => f.write_str("the request body failed while it was sent"),
            Self::Policy => f.write_str("the route is not to be replayed"),
            Self::InsufficientScope => f.write_str("the token lacks a scope"),
        }
    }
}
