//! The flight: one fetch, in a task that no caller owns.
//!
//! It is claimed under the slot's lock, so that there is never a second one, and launched without
//! the lock: on a runtime that is shutting down, a spawn drops the task at once, and the task's last
//! act is to take that lock. However it ends (an answer, a panic, a runtime's end), all who wait are
//! told, and the slot is free for the next.

use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use pin_project_lite::pin_project;
use tokio::sync::oneshot;
use tokio::time::{Instant, Timeout};
use tower::ServiceExt;

use super::access_token::AccessToken;
use super::slot::Slot;
use crate::error::{TokenError, TokenErrorKind};
use crate::grant::TokenResponse;
use crate::scope::Scope;

/// What a flight brought.
pub(crate) type Answer = Result<Arc<AccessToken>, TokenError>;

/// The flight as the slot sees it. Dropped, it ends the task.
pub(super) struct Flight {
    waiters: Vec<oneshot::Sender<Answer>>,
    _open: oneshot::Sender<()>,
}

/// The right to launch a claimed flight.
pub(super) struct Ticket {
    closed: oneshot::Receiver<()>,
}

/// The flight as its task sees it. Dropped before it landed, it fails.
struct Pilot {
    slot: Arc<Slot>,
    launched: Instant,
    landed: bool,
}

pin_project! {
    /// A caller's wait for a flight, up to its limit. Dropped, it leaves the flight as it is.
    pub(crate) struct Wait {
        #[pin]
        answer: Timeout<oneshot::Receiver<Answer>>,
        scope: Scope,
    }
}

pub(super) fn claim() -> (Flight, Ticket) {
    let (open, closed) = oneshot::channel();
    (Flight { waiters: Vec::new(), _open: open }, Ticket { closed })
}

/// Starts the task of a claimed flight.
pub(super) fn launch(slot: &Arc<Slot>, ticket: Ticket) {
    let pilot = Pilot { slot: Arc::clone(slot), launched: Instant::now(), landed: false };
    match tokio::runtime::Handle::try_current() {
        Ok(runtime) => drop(runtime.spawn(pilot.fly(ticket.closed))),
        Err(_) => pilot.land(Err(TokenError::new(TokenErrorKind::NoRuntime))),
    }
}

// === impl Flight ===

impl Flight {
    pub(super) fn join(&mut self, waiter: oneshot::Sender<Answer>) {
        // Callers that gave up leave their places behind: clear them out whenever room is short.
        if self.waiters.len() == self.waiters.capacity() {
            self.waiters.retain(|waiter| !waiter.is_closed());
        }
        self.waiters.push(waiter);
    }

    pub(super) fn land(self, answer: &Answer) {
        for waiter in self.waiters {
            // A caller that gave up meanwhile needs no answer.
            let _ = waiter.send(answer.clone());
        }
    }
}

// === impl Pilot ===

impl Pilot {
    async fn fly(self, mut closed: oneshot::Receiver<()>) {
        let (source, request) = self.slot.order();
        let mut answer = pin!(source.oneshot(request));
        let result = poll_fn(|cx| {
            if Pin::new(&mut closed).poll(cx).is_ready() {
                return Poll::Ready(Err(TokenError::new(TokenErrorKind::Aborted)));
            }
            answer.as_mut().poll(cx)
        })
        .await;
        self.land(result);
    }

    fn land(mut self, result: Result<TokenResponse, TokenError>) {
        self.landed = true;
        self.slot.land(self.launched, result);
    }
}

impl Drop for Pilot {
    fn drop(&mut self) {
        if !self.landed {
            self.slot.land(self.launched, Err(TokenError::new(TokenErrorKind::Aborted)));
        }
    }
}

// === impl Wait ===

impl Wait {
    pub(super) fn new(answer: oneshot::Receiver<Answer>, limit: Duration, scope: &Scope) -> Self {
        Self { answer: tokio::time::timeout(limit, answer), scope: scope.clone() }
    }
}

impl Future for Wait {
    type Output = Answer;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Answer> {
        let this = self.project();
        let kind = match std::task::ready!(this.answer.poll(cx)) {
            Ok(Ok(answer)) => return Poll::Ready(answer),
            // The layer is gone, or was told to forget the flight.
            Ok(Err(_)) => TokenErrorKind::Aborted,
            Err(_) => TokenErrorKind::WaitLimit,
        };
        Poll::Ready(Err(TokenError::new(kind).with_scope(this.scope)))
    }
}
