//! The flight: one fetch, in a task that no caller owns.
//!
//! It is claimed under the ledger's lock, so that there is never a second one, and launched without
//! the lock: on a runtime that is shutting down, a spawn drops the task at once, and the task's last
//! act is to take that lock. However it ends (an answer, a panic, a runtime's end), all who wait are
//! told, and the slot is free for the next.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::runtime::Handle;
use tokio::time::{Instant, Timeout, timeout_at};
use tower::ServiceExt;

use super::access_token::AccessToken;
use super::slot::{Landed, Slot};
use crate::error::{TokenError, TokenErrorKind};
use crate::observe::{self, Fetch, Waiting};
use crate::scope::Scope;
use crate::sync::oneshot;

/// What a flight brought.
pub(crate) type Answer = Result<Arc<AccessToken>, TokenError>;

/// The flight as the ledger sees it. Dropped, it ends the task.
pub(super) struct Flight {
    cause: Cause,
    since: Since,
    waiters: Vec<oneshot::Sender<Answer>>,
    _open: oneshot::Sender<()>,
}

/// What a flight was claimed for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Cause {
    /// There was no token, or an old one.
    Demand,
    /// The API rejected the token.
    Rejection,
}

/// What has happened since a flight was sent.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Since {
    /// The client has a new secret.
    pub(super) new_secret: bool,
    /// Tokens issued by then are not to be used.
    pub(super) invalidated: bool,
    /// The API rejected the token that there was.
    pub(super) rejected: bool,
}

/// What a flight brought, as the ledger sees it.
#[derive(Debug, Clone, Copy)]
pub(super) enum Brought<'a> {
    NewToken,
    /// The token that there was.
    SameToken,
    Failure(&'a TokenError),
}

/// The right to launch a claimed flight.
pub(super) struct Ticket {
    closed: oneshot::Receiver<()>,
    /// When it may take off, if not at once.
    not_before: Option<Instant>,
}

/// A place on a flight, and the flight itself if it is to be launched yet.
pub(super) struct Boarding {
    pub(super) answer: oneshot::Receiver<Answer>,
    pub(super) ticket: Option<Ticket>,
}

/// The flight as its task sees it. Dropped before it landed, it fails.
struct Pilot {
    slot: Arc<Slot>,
    landed: bool,
    fetch: Fetch,
}

pin_project! {
    /// A caller's wait for a flight, up to its limit. Dropped, it leaves the flight as it is.
    pub(crate) struct Wait {
        #[pin]
        answer: Timeout<oneshot::Receiver<Answer>>,
        scope: Scope,
        led: bool,
        _waiting: Waiting,
    }
}

pub(super) fn claim(cause: Cause) -> (Flight, Ticket) {
    let (open, closed) = oneshot::channel();
    let flight = Flight { cause, since: Since::default(), waiters: Vec::new(), _open: open };
    (flight, Ticket { closed, not_before: None })
}

/// Starts the task of a claimed flight.
pub(super) fn launch(slot: &Arc<Slot>, ticket: Ticket, cause: observe::Cause, runtime: &Handle) {
    let mut pilot = Pilot { slot: Arc::clone(slot), landed: false, fetch: Fetch::default() };
    // By the pilot: should a subscriber of events panic, the flight ends with it.
    pilot.fetch.launch(slot.scope(), cause, || slot.generation());
    drop(runtime.spawn(pilot.fly(ticket)));
}

// === impl Ticket ===

impl Ticket {
    /// Holds the flight back.
    pub(super) fn not_before(mut self, then: Option<Instant>) -> Self {
        self.not_before = then;
        self
    }
}

// === impl Flight ===

impl Flight {
    pub(super) fn cause(&self) -> Cause {
        self.cause
    }

    #[cfg(feature = "store")]
    pub(super) fn is_for_a_rejection(&self) -> bool {
        self.cause == Cause::Rejection
    }

    /// A place on it, for one who comes because of `cause`.
    pub(super) fn join(&mut self, cause: Cause) -> oneshot::Receiver<Answer> {
        // A flight for the sake of a rejection was sent after it.
        self.since.rejected |= (self.cause, cause) == (Cause::Demand, Cause::Rejection);
        let (waiter, answer) = oneshot::channel();
        // Callers that gave up leave their places behind: clear them out whenever room is short.
        if self.waiters.len() == self.waiters.capacity() {
            self.waiters.retain(|waiter| !waiter.is_closed());
        }
        self.waiters.push(waiter);
        answer
    }

    /// How many callers wait.
    pub(super) fn waiting(&self) -> usize {
        self.waiters.iter().filter(|waiter| !waiter.is_closed()).count()
    }

    /// What happened until now is known to the server's answer.
    pub(super) fn sent(&mut self) {
        self.since = Since::default();
    }

    pub(super) fn since_sent(&mut self) -> &mut Since {
        &mut self.since
    }

    /// Whether what it brought is worth nothing any more, for what has happened since it was sent.
    /// Asked once a landing: the next one has nothing behind it.
    pub(super) fn must_fly_again(&mut self, brought: Brought<'_>) -> bool {
        let since = std::mem::take(&mut self.since);
        let again = match brought {
            Brought::NewToken => since.invalidated,
            Brought::SameToken => since.invalidated || since.rejected,
            // A server that is down, or has asked for rest, is so whatever has changed here.
            Brought::Failure(error) => {
                (since.new_secret || since.invalidated) && !error.is_transient()
            }
        };
        if again && since.rejected {
            self.cause = Cause::Rejection;
        }
        again
    }

    pub(super) fn tell(self, answer: &Answer) {
        for waiter in self.waiters {
            // A caller that gave up meanwhile needs no answer.
            let _ = waiter.send(answer.clone());
        }
    }
}

// === impl Pilot ===

impl Pilot {
    async fn fly(mut self, ticket: Ticket) {
        let Ticket { mut closed, not_before } = ticket;
        let mut landed = Landed::Again;
        if let Some(then) = not_before {
            self.fetch.held_back(then);
            match timeout_at(then, &mut closed).await {
                Ok(_) => landed = Landed::Done,
                Err(_) => self.slot.take_off(),
            }
        }
        while landed == Landed::Again {
            let launched = Instant::now();
            let (source, request) = self.slot.order(self.fetch.handle());
            let result = self.fetch.within(async {
                let mut answer = pin!(source.oneshot(request));
                poll_fn(|cx| {
                    if Pin::new(&mut closed).poll(cx).is_ready() {
                        return Poll::Ready(None);
                    }
                    answer.as_mut().poll(cx).map(Some)
                })
                .await
            });
            let Some(result) = result.await else { break };
            // First: should a subscriber of events panic, the next flight is none of this one's.
            self.landed = true;
            landed = self.slot.land(&mut self.fetch, launched, result);
            self.landed = landed == Landed::Done;
        }
        self.landed = true;
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if !self.landed {
            self.slot.abort(&mut self.fetch);
        }
    }
}

// === impl Wait ===

impl Wait {
    /// For the caller whose need was the first, `led` is true.
    pub(super) fn new(
        answer: oneshot::Receiver<Answer>,
        limit: Duration,
        scope: &Scope,
        led: bool,
        waiting: Waiting,
    ) -> Self {
        let answer = tokio::time::timeout(limit, answer);
        Self { answer, scope: scope.clone(), led, _waiting: waiting }
    }

    /// Whether the flight was claimed for this caller's sake; else it joined.
    pub(crate) fn led(&self) -> bool {
        self.led
    }
}

impl Future for Wait {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = self.project();
        let kind = match std::task::ready!(this.answer.poll(cx)) {
            Ok(Ok(answer)) => return Poll::Ready(answer),
            // The layer is gone.
            Ok(Err(_)) => TokenErrorKind::Aborted,
            Err(_) => TokenErrorKind::WaitLimit,
        };
        Poll::Ready(Err(TokenError::new(kind).with_scope(this.scope)))
    }
}
