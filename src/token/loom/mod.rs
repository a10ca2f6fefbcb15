//! Models of the ledger: what becomes of a token when callers, flights and the operator meet in every
//! order. Run by `.ci/models`.
//!
//! A caller that is never told shows as a deadlock, which loom reports by itself.
//!
//! - [`demand`]: callers that need a token, at each edge of its life;
//! - [`rejections`]: callers whose token the API rejected;
//! - [`ends`]: callers, flights and layers that go, and an operator that changes what they are about.

mod demand;
mod ends;
mod rejections;

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, Wake, Waker};
use std::time::Duration;

use tokio::time::Instant;

use super::access_token::AccessToken;
use super::flight::{Answer, Ticket};
use super::ledger::{Delivery, Landing, Ledger, Step};
use super::lifetime::Windows;
use crate::error::{TokenError, TokenErrorKind};
use crate::grant::TokenResponse;
use crate::sync::AtomicU64;
use crate::sync::model::oneshot::{Receiver, RecvError};
use crate::sync::model::{block_on, model, outcomes, spawn};

const LIFE: Duration = Duration::from_secs(7200);
const FRESH: Duration = Duration::from_secs(1);
const SOFT: Duration = Duration::from_secs(4000);
const HARD: Duration = Duration::from_secs(7190);

/// A ledger, at a moment that does not pass, and the server that its flights ask.
struct World {
    ledger: Ledger,
    now: Instant,
    flights: AtomicUsize,
    served: AtomicUsize,
}

/// How a caller came to its token.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Way {
    Found,
    Joined,
    Flew,
}

impl World {
    fn without_token() -> Arc<Self> {
        Arc::new(Self::new(Duration::ZERO))
    }

    /// `age` after the token of generation 1, `"1"`, was fetched.
    fn with_token(age: Duration) -> Arc<Self> {
        let mut world = Self::new(age);
        let later = world.now;
        world.now -= age;
        let ticket = world.ledger.due(world.now).expect("there is no token");
        assert!(world.fly(ticket, || world.serve()));
        world.now = later;
        world.flights = AtomicUsize::default();
        Arc::new(world)
    }

    fn new(age: Duration) -> Self {
        Self {
            ledger: Ledger::new("read".parse().unwrap(), [String::new()].into()),
            now: Instant::now() + age,
            flights: AtomicUsize::default(),
            served: AtomicUsize::default(),
        }
    }

    /// A new token: `"1"`, `"2"`, …
    fn serve(&self) -> Result<String, TokenError> {
        Ok((self.served.fetch_add(1, Ordering::Relaxed) + 1).to_string())
    }

    /// What a flight's task does. `false`: the ledger knew nothing of the flight.
    fn fly(&self, _ticket: Ticket, mut serve: impl FnMut() -> Result<String, TokenError>) -> bool {
        self.flights.fetch_add(1, Ordering::Relaxed);
        loop {
            let delivery = serve().map(|token| Delivery {
                response: TokenResponse::new(token).unwrap(),
                lifetime: Some(Windows::default().of(self.now, LIFE, 0.0)),
            });
            match self.ledger.land(self.now, delivery, 0.5) {
                Landing::Done(_) => return true,
                Landing::Again => {}
                Landing::Closed => return false,
            }
        }
    }

    /// What a caller does, who also is the task of the flight that it launches.
    fn take(&self, step: Step, serve: impl FnMut() -> Result<String, TokenError>) -> (Way, Answer) {
        match step {
            Step::Use(token) => (Way::Found, Ok(token)),
            Step::UseAndLaunch(token, ticket) => {
                assert!(self.fly(ticket, serve), "the ledger lost its flight");
                (Way::Flew, Ok(token))
            }
            Step::Wait(boarding, _) => {
                let way = if boarding.ticket.is_some() { Way::Flew } else { Way::Joined };
                if let Some(ticket) = boarding.ticket {
                    assert!(self.fly(ticket, serve), "the ledger lost its flight");
                }
                (way, wait(boarding.answer).expect("every caller is told"))
            }
            Step::Fail(error) => (Way::Found, Err(error)),
        }
    }

    fn acquire(&self) -> (Way, Answer) {
        self.take(self.ledger.acquire(self.now), || self.serve())
    }

    /// A caller's way after the token of `generation` was rejected.
    fn renew(&self, generation: u64) -> (Way, Answer) {
        self.take(self.ledger.renew(self.now, generation, 0.5), || self.serve())
    }

    /// The generation that a call is sent with, if it need not wait for it; and who is to fetch.
    fn send(&self) -> (u64, Option<Ticket>) {
        if let Some(token) = self.ledger.fresh(self.now, 0) {
            return (token.generation, None);
        }
        match self.ledger.acquire(self.now) {
            Step::Use(token) => (token.generation(), None),
            Step::UseAndLaunch(token, ticket) => (token.generation(), Some(ticket)),
            Step::Wait(..) | Step::Fail(_) => panic!("there is a live token to send"),
        }
    }

    fn flights(&self) -> usize {
        self.flights.load(Ordering::Relaxed)
    }

    fn is_fetching(&self) -> bool {
        self.ledger.status(self.now).is_fetching()
    }
}

fn wait(mut answer: Receiver<Answer>) -> Result<Answer, RecvError> {
    block_on(|cx| Pin::new(&mut answer).poll(cx))
}

fn poll(answer: &mut Receiver<Answer>) -> Poll<Result<Answer, RecvError>> {
    Pin::new(answer).poll(&mut Context::from_waker(Waker::noop()))
}

fn generation((_, answer): &(Way, Answer)) -> u64 {
    answer.as_ref().expect("the server is well").generation()
}

fn failure() -> TokenError {
    TokenError::new(TokenErrorKind::TimedOut)
}
