//! What a label or a field with a closed set of values can be.
//!
//! The values are stable: dashboards and alerts name them.

use crate::challenge::Verdict;
use crate::error::TokenErrorKind;
use crate::service::Rejection;

/// A value of a closed set.
pub(super) trait Label {
    fn label(&self) -> &'static str;
}

/// Names the values of a type, and lists the names for the test that looks them up in the document.
macro_rules! labels {
    ($($list:ident: $type:ty { $($value:pat => $name:literal),+ $(,)? })+) => {
        $(
            impl Label for $type {
                fn label(&self) -> &'static str {
                    match self { $($value => $name),+ }
                }
            }

            #[cfg(test)]
            pub(super) const $list: &[&str] = &[$($name),+];
        )+
    };
}

/// What a fetch was launched for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Cause {
    /// There is no token to use, or hardly: who asked waits.
    Demand,
    /// The token is past the soft edge: nobody waits.
    Renewal,
    /// The API rejected the token.
    Rejection,
    /// The alarm of a token that is kept warm.
    KeepWarm,
}

/// How one who waits for a fetch came to it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    Led,
    Joined,
}

/// Why the token server is left alone for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cooling {
    Failure,
    NoProgress,
}

impl Cooling {
    #[cfg(feature = "metrics")]
    pub(super) const ALL: [Self; 2] = [Self::Failure, Self::NoProgress];
}

/// How a token request ended that brought no [`TokenErrorKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Answered {
    Granted,
    /// Given up before its answer came.
    Unanswered,
}

/// How a fetch ended that brought no [`TokenErrorKind`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Ended {
    NewToken,
    /// The server gave the token that there was.
    SameToken,
    /// Nobody was left to fetch for.
    Closed,
}

/// What the shared store was asked to do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreOperation {
    Look,
    Lease,
    Put,
    Release,
}

/// What came of asking it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum StoreAnswer {
    Answered,
    Failed,
    TimedOut,
}

/// What the shared store was to a fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum StoreResult {
    /// It had the token.
    Taken,
    /// It has the token now.
    Put,
    /// It has a newer one: this one was fetched too slowly.
    Late,
    /// It failed, or had none in time.
    Direct,
    /// What it had could not be opened.
    Unreadable,
}

labels! {
    STORE_OPERATIONS: StoreOperation {
        Self::Look => "look",
        Self::Lease => "lease",
        Self::Put => "put",
        Self::Release => "release",
    }
    STORE_ANSWERS: StoreAnswer {
        Self::Answered => "answered",
        Self::Failed => "failed",
        Self::TimedOut => "timed_out",
    }
    STORE_RESULTS: StoreResult {
        Self::Taken => "taken",
        Self::Put => "put",
        Self::Late => "late",
        Self::Direct => "direct",
        Self::Unreadable => "unreadable",
    }
    CAUSES: Cause {
        Self::Demand => "demand",
        Self::Renewal => "renewal",
        Self::Rejection => "rejection",
        Self::KeepWarm => "keep_warm",
    }
    ROLES: Role {
        Self::Led => "led",
        Self::Joined => "joined",
    }
    COOLINGS: Cooling {
        Self::Failure => "failure",
        Self::NoProgress => "no_progress",
    }
    ANSWERED: Answered {
        Self::Granted => "granted",
        Self::Unanswered => "unanswered",
    }
    ENDED: Ended {
        Self::NewToken => "new_token",
        Self::SameToken => "same_token",
        Self::Closed => "closed",
    }
    VERDICTS: Verdict {
        // An accepted one is nothing to tell of.
        Self::Accepted | Self::TokenRejected => "token_rejected",
        Self::InsufficientScope => "insufficient_scope",
    }
    REJECTIONS: Rejection {
        Self::SameToken => "same_token",
        Self::FreshTokenRejected => "fresh_token_rejected",
        Self::RecentlyInVain => "recently_in_vain",
        Self::RenewalFailed(_) => "renewal_failed",
        Self::BodyTooLong => "body_too_long",
        Self::BodyFailed => "body_failed",
        Self::Policy => "policy",
        Self::InsufficientScope => "insufficient_scope",
    }
    ERROR_KINDS: TokenErrorKind {
        Self::Transport => "transport",
        Self::Certificate => "certificate",
        Self::TimedOut => "timed_out",
        Self::WaitLimit => "wait_limit",
        Self::ErrorResponse => "error_response",
        Self::Status => "status",
        Self::Redirected => "redirected",
        Self::TooLarge => "too_large",
        Self::Malformed => "malformed",
        Self::MissingToken => "missing_token",
        Self::UnusableToken => "unusable_token",
        Self::TokenType => "token_type",
        Self::NarrowScope => "narrow_scope",
        Self::InvalidLifetime => "invalid_lifetime",
        Self::Expired => "expired",
        Self::Aborted => "aborted",
        Self::NoRuntime => "no_runtime",
        Self::Source => "source",
        Self::Secret => "secret",
    }
}
