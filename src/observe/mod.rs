//! What the crate tells of itself, through `tracing` and `metrics`: the only room that knows of
//! either.
//!
//! The other rooms say what happened, in one call of a function here, and this room makes of it the
//! events, spans and metrics that `OBSERVABILITY.md` lists. With both features off, nothing is left
//! of a call. None is on the way of a request that finds a fresh token and is answered well, and none
//! is made under the lock of a token.
//!
//! Told are scopes, kinds, counts and times; never a token, a secret, a body or a URI.
//!
//! # Layout
//!
//! - [`fetch`] follows a fetch from its launch to its end, and those who wait for it;
//! - [`label`] has the closed sets of what a label or a field can be;
//! - [`metric`] is the table of metrics.

#![cfg_attr(
    not(all(feature = "tracing", feature = "metrics")),
    allow(unused_variables, dead_code, reason = "what nobody is to be told is not looked at")
)]

mod fetch;
mod label;
#[cfg(any(feature = "metrics", test))]
mod metric;
#[cfg(test)]
mod tests;

use http::StatusCode;
#[cfg(feature = "store")]
use tower::BoxError;

pub(crate) use fetch::{Attempt, Fetch, FetchHandle, Waiting};
pub(crate) use label::Cause;
#[cfg(feature = "store")]
pub(crate) use label::{StoreOperation, StoreResult};

use crate::challenge::Verdict;
use crate::error::TokenError;
use crate::scope::Scope;
use crate::service::Rejection;
use crate::token::TokenStatus;
use label::Label;
#[cfg(feature = "store")]
use label::StoreAnswer;

/// Whether anybody is to be told anything.
const ON: bool = cfg!(any(feature = "tracing", feature = "metrics"));

/// What every span and event is about, for filters.
#[cfg(feature = "tracing")]
const TARGET: &str = "tower_partner_auth";

/// An event with its stable name; nothing at all, its arguments included, without the feature.
macro_rules! event {
    ($level:ident, $name:literal, $($event:tt)+) => {{
        #[cfg(feature = "tracing")]
        {
            tracing::$level!(name: $name, target: $crate::observe::TARGET, $($event)+);
        }
    }};
}

/// One more of a counter's things; nothing at all, its arguments included, without the feature.
macro_rules! count {
    ($metric:ident, $($value:expr),+) => {{
        #[cfg(feature = "metrics")]
        {
            $crate::observe::metric::$metric.count(&[$($value),+]);
        }
    }};
}

use {count, event};

/// A layer is built.
pub(crate) fn layer_built() {
    #[cfg(feature = "metrics")]
    metric::ALL.iter().for_each(|metric| metric.describe());
}

/// A call cannot have a token: it fails.
pub(crate) fn call_failed(error: &TokenError) {
    let (scope, reason) = (error.scope().map_or("", Scope::as_str), error.kind().label());
    event!(debug, "call_failed", scope, reason, "a call failed for want of a token");
    count!(FAILED_CALLS, scope, reason);
}

/// The API rejected the token of `generation`, in one way or the other.
pub(crate) fn token_rejected(scope: &Scope, generation: u64, status: StatusCode, verdict: Verdict) {
    event!(
        debug,
        "token_rejected",
        %scope,
        generation,
        status = status.as_u16(),
        verdict = verdict.label(),
        "the API rejected the token"
    );
    count!(REJECTIONS, scope.as_str(), verdict.label());
}

/// A request is sent a second time, with the token of `generation`.
pub(crate) fn request_replayed(scope: &Scope, generation: u64) {
    event!(debug, "request_replayed", %scope, generation, "the request is sent again with a newer token");
    count!(REPLAYS, scope.as_str());
}

/// The API's rejection of the token of `generation` is the caller's.
pub(crate) fn rejection_returned(scope: &Scope, generation: u64, why: &Rejection) {
    event!(
        debug,
        "rejection_returned",
        %scope,
        generation,
        reason = why.label(),
        "the API's rejection of the token is the caller's"
    );
    count!(REJECTIONS_RETURNED, scope.as_str(), why.label());
}

/// The token of `generation` is accepted where the one before it was rejected: that one, the
/// `evictions`th in a row, was revoked before its time.
pub(crate) fn token_evicted(scope: &Scope, generation: u64, evictions: u32) {
    event!(
        debug,
        "token_evicted",
        %scope,
        generation,
        evictions,
        "the previous token was revoked before its time"
    );
    count!(EVICTIONS, scope.as_str());
}

/// So many tokens in a row were revoked that another process must be at work.
pub(crate) fn rivals_suspected(scope: &Scope, evictions: u32) {
    event!(
        warn,
        "rivals_suspected",
        %scope,
        evictions,
        "every new token is revoked before its time: it seems that another process uses this client and scope, on a \
         server that revokes the previous token"
    );
}

/// The operator had the token forgotten.
pub(crate) fn token_invalidated(scope: &Scope) {
    event!(info, "token_invalidated", %scope, "the token is forgotten");
}

/// The client has new credentials; `tokens_kept` unless they are another client's.
pub(crate) fn credentials_changed(tokens_kept: bool) {
    event!(info, "credentials_changed", tokens_kept, "tokens are fetched with other credentials");
}

/// How a token stands, for the gauges: asked for only where there are gauges.
pub(crate) fn token_stands(status: impl FnOnce() -> TokenStatus) {
    #[cfg(feature = "metrics")]
    {
        let status = status();
        let scope = status.scope().as_str();
        let remaining = match status.remaining() {
            _ if !status.is_usable() => 0.0,
            Some(remaining) => remaining.as_secs_f64(),
            // Good until it is rejected.
            None => f64::INFINITY,
        };
        set_gauges(
            scope,
            Standing {
                remaining,
                generation: status.generation(),
                failures: status.failures(),
                cooling: status.cooling().unwrap_or_default(),
            },
        );
    }
}

/// The shared store has answered.
#[cfg(feature = "store")]
pub(crate) fn store_answered(operation: StoreOperation) {
    count!(STORE_ANSWERS, operation.label(), StoreAnswer::Answered.label());
}

/// The shared store could not be asked: `None` if it did not answer in time.
#[cfg(feature = "store")]
pub(crate) fn store_failed(operation: StoreOperation, error: Option<&BoxError>) {
    let answer = if error.is_some() { StoreAnswer::Failed } else { StoreAnswer::TimedOut };
    event!(
        warn,
        "store_failed",
        operation = operation.label(),
        answer = answer.label(),
        error = error.map(tracing::field::display),
        "the shared store could not be asked: the fetch goes on without it"
    );
    count!(STORE_ANSWERS, operation.label(), answer.label());
}

/// What the shared store was to a fetch.
#[cfg(feature = "store")]
pub(crate) fn store_used(scope: &Scope, result: StoreResult) {
    match result {
        StoreResult::Unreadable => event!(
            warn,
            "store_unreadable",
            %scope,
            "an entry of the shared store is garbage, of another key, or was changed"
        ),
        result => event!(
            debug,
            "store_used",
            %scope,
            result = result.label(),
            "what the shared store was to this fetch"
        ),
    }
    count!(STORE_RESULTS, scope.as_str(), result.label());
}

/// A token is let go, with all that was known of it.
pub(crate) fn token_let_go(scope: &Scope) {
    #[cfg(feature = "metrics")]
    set_gauges(scope.as_str(), Standing::default());
}

/// What the gauges of one token show.
#[cfg(feature = "metrics")]
#[derive(Default)]
struct Standing {
    remaining: f64,
    generation: u64,
    failures: u32,
    cooling: std::time::Duration,
}

#[cfg(feature = "metrics")]
#[expect(clippy::cast_precision_loss, reason = "a gauge is a float; no count comes near its limit")]
fn set_gauges(scope: &str, standing: Standing) {
    let Standing { remaining, generation, failures, cooling } = standing;
    metric::TOKEN_REMAINING.gauge(&[scope]).set(remaining);
    metric::TOKEN_GENERATION.gauge(&[scope]).set(generation as f64);
    metric::CONSECUTIVE_FAILURES.gauge(&[scope]).set(f64::from(failures));
    for reason in label::Cooling::ALL {
        // A token that came back the same is a good fetch, as fetches go.
        let applies = (reason == label::Cooling::Failure) == (failures > 0);
        let cooling = if applies { cooling.as_secs_f64() } else { 0.0 };
        metric::COOLING.gauge(&[scope, reason.label()]).set(cooling);
    }
}
