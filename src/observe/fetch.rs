//! A fetch from its launch to its end, its token requests, and those who wait for it.
//!
//! What is begun here ends when it is dropped, at the latest, so that every fetch and every request
//! that is counted to have begun is counted to have ended.

use std::future::Future;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use tokio::time::Instant;

use super::label::{Answered, Cause, Ended, Label, Role};
use super::{ON, count, event};
use crate::error::TokenError;
use crate::scope::Scope;

/// A fetch that is followed to its end. Dropped without one, it was closed.
#[derive(Default)]
pub(crate) struct Fetch {
    under_way: Option<Arc<UnderWay>>,
}

/// A fetch as its token requests see it, which may outlive it in a source of the user's own.
#[derive(Clone, Default)]
pub(crate) struct FetchHandle {
    fetch: Weak<UnderWay>,
}

struct UnderWay {
    scope: Scope,
    cause: Cause,
    /// Of the token that there was at the launch.
    generation: u64,
    launched: Instant,
    attempts: AtomicU32,
    #[cfg(feature = "tracing")]
    span: tracing::Span,
    #[cfg(feature = "metrics")]
    gauge: metrics::Gauge,
}

/// A token request that was sent. Dropped before its answer, it stays without one.
pub(crate) struct Attempt {
    unanswered: Option<Sent>,
}

struct Sent {
    scope: Scope,
    /// Counted from 1 in its fetch.
    number: u32,
    at: Instant,
}

/// A caller that waits for a fetch, until it is dropped.
pub(crate) struct Waiting {
    #[cfg(feature = "metrics")]
    gauge: metrics::Gauge,
}

// === impl Fetch ===

impl Fetch {
    /// A fetch is launched after the token of `generation`.
    pub(crate) fn launch(&mut self, scope: &Scope, cause: Cause, generation: impl FnOnce() -> u64) {
        if !ON {
            return;
        }
        let generation = generation();
        let fetch = UnderWay {
            scope: scope.clone(),
            cause,
            generation,
            launched: Instant::now(),
            attempts: AtomicU32::new(0),
            #[cfg(feature = "tracing")]
            span: span(scope, cause, generation),
            #[cfg(feature = "metrics")]
            gauge: super::metric::FETCHES_UNDER_WAY.gauge(&[scope.as_str()]),
        };
        #[cfg(feature = "metrics")]
        fetch.gauge.increment(1);
        let fetch = self.under_way.insert(Arc::new(fetch));
        fetch.inside(|| {
            event!(
                debug,
                "fetch_launched",
                %scope,
                cause = cause.label(),
                generation,
                "a token is fetched"
            );
        });
    }

    pub(crate) fn handle(&self) -> FetchHandle {
        FetchHandle { fetch: self.under_way.as_ref().map(Arc::downgrade).unwrap_or_default() }
    }

    /// It is held back, for the sake of other processes, before it asks the server.
    pub(crate) fn held_back(&self, until: Instant) {
        let Some(fetch) = &self.under_way else { return };
        fetch.inside(|| {
            event!(
                debug,
                "fetch_held_back",
                scope = %fetch.scope,
                delay_seconds = seconds_until(until),
                "another process may have just got a token, and is given a head start"
            );
        });
    }

    /// What it brought is worth nothing any more: it asks the server again.
    pub(crate) fn repeated(&self) {
        let Some(fetch) = &self.under_way else { return };
        fetch.inside(|| {
            event!(
                debug,
                "fetch_repeated",
                scope = %fetch.scope,
                "what was fetched is out of date already, and is fetched again"
            );
        });
    }

    /// It brought a token, of a generation and with a deadline if it has one, or none.
    pub(crate) fn ended(&mut self, result: Result<(u64, Option<Instant>), &TokenError>) {
        let Some(fetch) = self.under_way.take() else { return };
        fetch.inside(|| {
            let outcome = match result {
                Ok((generation, _)) if generation > fetch.generation => Ended::NewToken.label(),
                Ok(_) => Ended::SameToken.label(),
                Err(error) => error.kind().label(),
            };
            fetch.end(outcome);
            fetch.tell_end(outcome, result);
        });
    }

    /// Everything that `future` does is part of it.
    #[cfg(feature = "tracing")]
    pub(crate) fn within<F: Future>(&self, future: F) -> impl Future<Output = F::Output> + use<F> {
        let span = self.under_way.as_ref().map_or_else(tracing::Span::none, |f| f.span.clone());
        tracing::Instrument::instrument(future, span)
    }

    /// Everything that `future` does is part of it.
    #[cfg(not(feature = "tracing"))]
    pub(crate) fn within<F: Future>(&self, future: F) -> F {
        future
    }
}

impl Drop for Fetch {
    fn drop(&mut self) {
        let Some(fetch) = self.under_way.take() else { return };
        fetch.inside(|| {
            fetch.end(Ended::Closed.label());
            event!(debug, "fetch_closed", scope = %fetch.scope, "nobody is left to fetch for");
        });
    }
}

// === impl UnderWay ===

impl UnderWay {
    fn inside(&self, tell: impl FnOnce()) {
        #[cfg(feature = "tracing")]
        let _inside = self.span.enter();
        tell();
    }

    fn attempts(&self) -> u32 {
        self.attempts.load(Ordering::Relaxed)
    }

    fn end(&self, outcome: &'static str) {
        #[cfg(feature = "tracing")]
        self.span.record("outcome", outcome);
        #[cfg(feature = "metrics")]
        {
            let (scope, elapsed) = (self.scope.as_str(), self.launched.elapsed());
            super::metric::FETCH_DURATION.histogram(&[scope, outcome]).record(elapsed);
        }
        count!(FETCHES, self.scope.as_str(), self.cause.label(), outcome);
        // Last: who sees none under way sees all of them counted.
        #[cfg(feature = "metrics")]
        self.gauge.decrement(1);
    }

    fn tell_end(&self, outcome: &'static str, result: Result<(u64, Option<Instant>), &TokenError>) {
        match result {
            Ok((generation, _)) if outcome == Ended::SameToken.label() => event!(
                debug,
                "same_token_returned",
                scope = %self.scope,
                generation,
                attempts = self.attempts(),
                elapsed_seconds = self.launched.elapsed().as_secs_f64(),
                "the token server gave the token again that there was"
            ),
            Ok((generation, deadline)) => event!(
                debug,
                "token_fetched",
                scope = %self.scope,
                generation,
                remaining_seconds = deadline.map(seconds_until),
                attempts = self.attempts(),
                elapsed_seconds = self.launched.elapsed().as_secs_f64(),
                "token fetched"
            ),
            Err(error) => event!(
                warn,
                "fetch_failed",
                scope = %self.scope,
                outcome,
                %error,
                transient = error.is_transient(),
                attempts = self.attempts(),
                elapsed_seconds = self.launched.elapsed().as_secs_f64(),
                "token fetch failed"
            ),
        }
    }
}

#[cfg(feature = "tracing")]
fn seconds_until(then: Instant) -> f64 {
    then.saturating_duration_since(Instant::now()).as_secs_f64()
}

#[cfg(feature = "tracing")]
fn span(scope: &Scope, cause: Cause, generation: u64) -> tracing::Span {
    use tracing::field::Empty;
    // At this level, so that under a usual filter a warning inside it says what it is about. It is
    // nobody's child: it goes on without the call that it was launched for.
    let span = tracing::info_span!(
        target: super::TARGET,
        parent: None,
        "fetch",
        %scope,
        cause = cause.label(),
        generation,
        attempt = Empty,
        outcome = Empty,
    );
    span.follows_from(tracing::Span::current());
    span
}

// === impl Attempt ===

impl Attempt {
    /// A token request is sent.
    pub(crate) fn sent(scope: &Scope, fetch: &FetchHandle) -> Self {
        if !ON {
            return Self { unanswered: None };
        }
        let number = fetch.fetch.upgrade().map_or(1, |fetch| {
            let number = fetch.attempts.fetch_add(1, Ordering::Relaxed) + 1;
            #[cfg(feature = "tracing")]
            fetch.span.record("attempt", number);
            number
        });
        event!(debug, "token_requested", %scope, attempt = number, "a token request is sent");
        Self { unanswered: Some(Sent { scope: scope.clone(), number, at: Instant::now() }) }
    }

    /// Waits for its answer.
    pub(crate) async fn watch<T>(
        mut self,
        answer: impl Future<Output = Result<T, TokenError>>,
    ) -> Result<T, TokenError> {
        let result = answer.await;
        if let Some(sent) = self.unanswered.take() {
            sent.answered(
                match &result {
                    Ok(_) => Answered::Granted.label(),
                    Err(error) => error.kind().label(),
                },
                result.as_ref().err(),
            );
        }
        result
    }
}

impl Drop for Attempt {
    fn drop(&mut self) {
        if let Some(sent) = self.unanswered.take() {
            sent.answered(Answered::Unanswered.label(), None);
        }
    }
}

impl Sent {
    fn answered(&self, outcome: &'static str, error: Option<&TokenError>) {
        event!(
            debug,
            "token_answered",
            scope = %self.scope,
            attempt = self.number,
            outcome,
            status = error.and_then(|error| Some(error.status()?.as_u16())),
            code = error.and_then(TokenError::code),
            elapsed_seconds = self.at.elapsed().as_secs_f64(),
            "the token request has ended"
        );
        count!(TOKEN_REQUESTS, self.scope.as_str(), outcome);
    }
}

// === impl Waiting ===

impl Waiting {
    /// A caller begins to wait for a fetch because of `cause`; if it `led`, for one that was launched
    /// for its sake.
    pub(crate) fn begin(scope: &Scope, cause: Cause, led: bool) -> Self {
        let (cause, role) = (cause.label(), if led { Role::Led } else { Role::Joined }.label());
        event!(trace, "wait_begun", %scope, cause, role, "a caller waits for a fetch");
        count!(WAITS, scope.as_str(), cause, role);
        #[cfg(feature = "metrics")]
        let gauge = super::metric::WAITING_CALLERS.gauge(&[scope.as_str()]);
        #[cfg(feature = "metrics")]
        gauge.increment(1);
        Self {
            #[cfg(feature = "metrics")]
            gauge,
        }
    }
}

#[cfg(feature = "metrics")]
impl Drop for Waiting {
    fn drop(&mut self) {
        self.gauge.decrement(1);
    }
}
