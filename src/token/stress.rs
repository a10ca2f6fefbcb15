//! A storm of threads over ledgers, checked operation by operation against an exact model.
//!
//! Callers, flights that come down, rejections, invalidations and steps of the clock by up to hours
//! hit a few ledgers from all threads at once. What each operation saw is written down, and in the
//! end there must be an order in which one thread could have done it all and seen the same, by the
//! laws of the [`model`]: see [`history`]. So an expired token in use, a token of another ledger, a
//! second flight, a fetch in a pause or without a reason, a caller without an answer or with that of
//! another flight, a forgotten token that comes back: each is an operation that no order allows.
//!
//! A seed, printed with every failure, gives the same operations again, but not the same timing of
//! threads. Longer, and by another seed:
//!
//! ```text
//! STRESS_SEED=7 STRESS_ROUNDS=10000 cargo test --lib token::stress
//! ```

mod history;
mod model;
mod worker;

use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Barrier, Mutex};
use std::thread;
use std::time::Duration;

use tokio::time::Instant;

use self::history::{Brief, Brought, Carried, linearise};
use self::worker::Worker;
use super::access_token::{AccessToken, Presented};
use super::flight::{Answer, Ticket};
use super::ledger::{Delivery, Ledger};
use crate::error::TokenError;
use crate::grant::TokenResponse;
use crate::scope::Scope;

const LEDGERS: usize = 2;
const SCHEME: usize = 0;
const DAY: Duration = Duration::from_secs(24 * 60 * 60);

#[test]
fn one_thread_sees_what_the_model_says() {
    for round in 0..rounds(400) {
        storm(1, 400, round);
    }
}

#[test]
fn what_many_threads_see_one_could_have_seen() {
    for round in 0..rounds(200) {
        storm(6, 200, round);
    }
}

fn rounds(few: u64) -> u64 {
    number("STRESS_ROUNDS").unwrap_or(few)
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

/// Says which storm it was, if it ends in a panic.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        if thread::panicking() {
            eprintln!("in the storm of {}", self.0);
        }
    }
}

/// `threads` threads do `operations` operations each; then it gets calm, and all is checked.
fn storm(threads: u64, operations: usize, round: u64) {
    let seed = number("STRESS_SEED").unwrap_or(0);
    let _named = Named(format!("STRESS_SEED={seed}, round {round}, {threads} threads"));
    let seed = seed.wrapping_mul(1_000_003).wrapping_add(round).wrapping_mul(64);
    let world = World::new();
    let start = Barrier::new(threads as usize);
    let work = |thread| {
        let mut worker = Worker::new(&world, seed.wrapping_add(thread));
        start.wait();
        (0..operations).for_each(|_| worker.work());
        worker
    };
    let work = &work;
    let mut workers = thread::scope(|scope| {
        let running: Vec<_> =
            (0..threads).map(|thread| scope.spawn(move || work(thread))).collect();
        Vec::from_iter(running.into_iter().map(|thread| thread.join().expect("no thread panics")))
    });
    let mut last = Worker::new(&world, seed.wrapping_sub(1));
    last.calm();
    workers.push(last);
    for ledger in 0..LEDGERS {
        let history = workers.iter_mut().flat_map(|worker| worker.hand_over(ledger));
        if let Err(violation) = linearise(&history.collect::<Vec<_>>()) {
            panic!("{violation}");
        }
    }
}

/// What all threads share.
struct World {
    ledgers: [Place; LEDGERS],
    base: Instant,
    /// Milliseconds since the base, stepped by all.
    clock: AtomicU64,
    ticks: AtomicU64,
}

/// One ledger, and what is outside of it.
struct Place {
    number: usize,
    ledger: Ledger,
    /// The flights under way, with the time of their start: at most one, or the model objects.
    flights: Mutex<Vec<(Ticket, Instant)>>,
    /// The name of the newest token that a server has issued.
    issued: AtomicU32,
}

impl World {
    fn new() -> Self {
        let ledgers = std::array::from_fn(|number| {
            let scope = Scope::parse(&format!("scope{number}")).expect("a scope");
            let ledger = Ledger::new(scope, ["Bearer".to_owned()].into());
            Place { number, ledger, flights: Mutex::default(), issued: AtomicU32::new(0) }
        });
        // Not a moment before any token is made: they have a clock of their own.
        let base = Instant::now() + DAY;
        Self { ledgers, base, clock: AtomicU64::new(0), ticks: AtomicU64::new(0) }
    }

    fn now(&self) -> Instant {
        self.base + Duration::from_millis(self.clock.load(Ordering::SeqCst))
    }

    fn pass(&self, time: Duration) {
        self.clock.fetch_add(time.as_millis() as u64, Ordering::SeqCst);
    }

    fn tick(&self) -> u64 {
        self.ticks.fetch_add(1, Ordering::SeqCst)
    }
}

impl Place {
    /// What a request would carry: the name in it must be one of this ledger's tokens.
    fn carried(&self, token: &Presented) -> Carried {
        let value = token.value.to_str().expect("visible ASCII");
        let own = value.strip_prefix(&format!("Bearer {}-", self.number));
        let name = own
            .unwrap_or_else(|| panic!("{value} is a token of another ledger than {}", self.number));
        Carried { generation: token.generation, name: name.parse().expect("a number") }
    }

    fn token(&self, token: &AccessToken) -> Carried {
        self.carried(&token.present(SCHEME))
    }

    fn brief(&self, answer: &Answer) -> Brief {
        match answer {
            Ok(token) => Ok(self.token(token)),
            Err(error) => {
                assert_eq!(error.scope(), Some(self.ledger.scope()), "it names whose error it is");
                Err(error.kind())
            }
        }
    }

    fn delivery(&self, brought: &Brought) -> Result<Delivery, TokenError> {
        match brought {
            Brought::Failure(error) => Err(error.clone()),
            Brought::Token { name, life, narrow } => {
                let response = TokenResponse::new(format!("{}-{name}", self.number))?;
                let response = if *narrow { response.with_scope(Scope::none()) } else { response };
                Ok(Delivery { response, lifetime: *life })
            }
        }
    }
}
