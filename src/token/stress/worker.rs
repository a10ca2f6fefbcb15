//! One thread of a storm: what it does at random, and what it writes down.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::Ordering;
use std::thread;
use std::time::Duration;

use rand::rngs::SmallRng;
use rand::seq::IndexedRandom;
use rand::{Rng, SeedableRng};
use tokio::sync::oneshot::Receiver;
use tokio::sync::oneshot::error::TryRecvError;
use tokio::time::Instant;

use super::history::{Brought, Call, Look, Operation, Reply, Saw};
use super::{DAY, LEDGERS, SCHEME, World};
use crate::error::{TokenError, TokenErrorKind};
use crate::token::flight::{Answer, Boarding, Ticket};
use crate::token::ledger::{Landing, Step};
use crate::token::lifetime::Windows;

/// One thread.
pub(super) struct Worker<'a> {
    world: &'a World,
    random: SmallRng,
    histories: [Vec<Operation>; LEDGERS],
    waits: VecDeque<Waiting>,
    /// What it used last, of each ledger.
    carried: [u64; LEDGERS],
}

/// A caller that waits.
struct Waiting {
    ledger: usize,
    operation: usize,
    answer: Receiver<Answer>,
}

impl<'a> Worker<'a> {
    pub(super) fn new(world: &'a World, seed: u64) -> Self {
        Self {
            world,
            random: SmallRng::seed_from_u64(seed),
            histories: Default::default(),
            waits: VecDeque::new(),
            carried: [0; LEDGERS],
        }
    }

    /// One operation of any kind.
    pub(super) fn work(&mut self) {
        self.step_the_clock();
        if self.random.random_ratio(1, 8) {
            thread::yield_now();
        }
        self.see_to_a_wait();
        let ledger = self.random.random_range(0..LEDGERS);
        let carried = self.carried[ledger];
        match self.random.random_range(0..100) {
            0..40 => self.send(ledger),
            40..48 if carried > 0 => self.operate(ledger, Call::Renew(carried)),
            48..52 if carried > 0 => self.operate(ledger, Call::RenewBehind(carried)),
            52..56 if carried > 0 => self.operate(ledger, Call::Confirm(carried)),
            56..60 => self.operate(ledger, Call::Due),
            60..63 => self.operate(ledger, Call::Invalidate),
            63..66 => self.operate(ledger, Call::SecretChanged),
            66..72 => self.operate(ledger, Call::Status),
            72..74 => self.come_down(ledger, |worker, _, _| Call::Abort(worker.random.random())),
            _ => self.come_down(ledger, Self::landing),
        }
    }

    /// What every call does: it takes the token, and looks closer if there is none.
    fn send(&mut self, ledger: usize) {
        self.operate(ledger, Call::Fresh);
        if matches!(self.histories[ledger].last(), Some(Operation { saw: Saw::Nothing, .. })) {
            self.operate(ledger, Call::Acquire);
        }
    }

    /// A flight comes down, if there is one.
    fn come_down(&mut self, ledger: usize, how: fn(&mut Self, usize, Instant) -> Call) {
        let flight = self.world.ledgers[ledger].flights.lock().expect("no thread panics").pop();
        let Some((ticket, launched)) = flight else { return };
        let call = how(self, ledger, launched);
        self.operate(ledger, call);
        if matches!(self.histories[ledger].last(), Some(Operation { saw: Saw::Again, .. })) {
            self.launch(ledger, ticket);
        }
    }

    fn launch(&self, ledger: usize, ticket: Ticket) {
        let flight = (ticket, self.world.now());
        self.world.ledgers[ledger].flights.lock().expect("no thread panics").push(flight);
    }

    fn landing(&mut self, ledger: usize, launched: Instant) -> Call {
        let brought = match self.random.random_range(0..10) {
            0..2 => Brought::Failure(self.failure()),
            what => {
                let issued = &self.world.ledgers[ledger].issued;
                // A server that reuses tokens, or grants less than was asked for.
                let again = what == 2 && issued.load(Ordering::SeqCst) > 0;
                let name = if again {
                    issued.load(Ordering::SeqCst)
                } else {
                    issued.fetch_add(1, Ordering::SeqCst) + 1
                };
                let life = self
                    .life()
                    .map(|life| Windows::default().of(launched, life, self.random.random()));
                Brought::Token { name, life, narrow: what == 3 && self.random.random() }
            }
        };
        Call::Land(brought, self.random.random())
    }

    fn life(&mut self) -> Option<Duration> {
        let milliseconds = match self.random.random_range(0..10) {
            0 => return None,
            1 => 3_600_000,
            2..4 => self.random.random_range(1..20),
            _ => self.random.random_range(20..2_000),
        };
        Some(Duration::from_millis(milliseconds))
    }

    fn failure(&mut self) -> TokenError {
        let errors = [
            TokenError::new(TokenErrorKind::TimedOut),
            TokenError::new(TokenErrorKind::Transport)
                .with_retry_after(Some(Duration::from_secs(2))),
            TokenError::error_response("invalid_client"),
            TokenError::new(TokenErrorKind::Malformed),
        ];
        errors.choose(&mut self.random).expect("there are four").clone()
    }

    fn step_the_clock(&mut self) {
        let milliseconds = match self.random.random_range(0..400) {
            0 => self.random.random_range(0..8 * 60 * 60 * 1_000),
            1..8 => self.random.random_range(0..30_000),
            8..40 => self.random.random_range(0..200),
            _ => self.random.random_range(0..3),
        };
        self.world.pass(Duration::from_millis(milliseconds));
    }

    /// The caller that has waited longest looks for its answer, or gives up.
    fn see_to_a_wait(&mut self) {
        let Some(mut wait) = self.waits.pop_front() else { return };
        let place = &self.world.ledgers[wait.ledger];
        let reply = match wait.answer.try_recv() {
            Ok(answer) => Reply::Told(place.brief(&answer)),
            Err(TryRecvError::Closed) => Reply::Gone,
            Err(TryRecvError::Empty) if self.random.random_ratio(1, 20) => Reply::GaveUp,
            Err(TryRecvError::Empty) => {
                self.waits.push_back(wait);
                return;
            }
        };
        self.note(&wait, reply);
    }

    fn note(&mut self, wait: &Waiting, told: Reply) {
        if let Reply::Told(Ok(token)) = told {
            self.carried[wait.ledger] = token.generation;
        }
        let operation = &mut self.histories[wait.ledger][wait.operation];
        let Saw::Board { reply, .. } = &mut operation.saw else {
            panic!("{operation:?} does not wait")
        };
        *reply = told;
    }
}

// === the operations ===

impl Worker<'_> {
    /// Does it, and writes down what it saw.
    fn operate(&mut self, ledger: usize, call: Call) {
        let began = self.world.tick();
        let at = self.world.now();
        let saw = self.see(ledger, &call, at);
        let ended = self.world.tick();
        if let Saw::Use(token) | Saw::UseAndLaunch(token) = saw {
            self.carried[ledger] = token.generation;
        }
        self.histories[ledger].push(Operation { began, ended, at, call, saw });
    }

    fn see(&mut self, number: usize, call: &Call, at: Instant) -> Saw {
        let place = &self.world.ledgers[number];
        let ledger = &place.ledger;
        match call {
            Call::Fresh => match ledger.fresh(at, SCHEME) {
                Some(token) => Saw::Use(place.carried(&token)),
                None => Saw::Nothing,
            },
            Call::Acquire => self.take(number, ledger.acquire(at)),
            Call::Renew(generation) => self.take(number, ledger.renew(at, *generation, 0.0)),
            Call::RenewBehind(generation) => {
                self.fly(number, ledger.renew_behind(at, *generation, 0.0))
            }
            Call::Due => self.fly(number, ledger.due(at)),
            Call::Land(brought, random) => {
                self.landed(number, ledger.land(at, place.delivery(brought), *random))
            }
            Call::Abort(random) => self.landed(number, ledger.abort(at, *random)),
            Call::Confirm(generation) => Saw::Count(ledger.confirm(*generation)),
            Call::Invalidate => {
                ledger.invalidate();
                Saw::Nothing
            }
            Call::SecretChanged => {
                ledger.secret_changed();
                Saw::Nothing
            }
            Call::Status => {
                let status = ledger.status(at);
                Saw::Look(Look {
                    state: status.state(),
                    generation: status.generation(),
                    fetching: status.is_fetching(),
                    failures: status.failures(),
                    evictions: status.evictions(),
                    next_attempt: status.next_attempt().map(|wait| at + wait),
                })
            }
            Call::Close => {
                ledger.close();
                Saw::Nothing
            }
        }
    }

    fn take(&mut self, ledger: usize, step: Step) -> Saw {
        let place = &self.world.ledgers[ledger];
        match step {
            Step::Use(token) => Saw::Use(place.token(&token)),
            Step::UseAndLaunch(token, ticket) => {
                self.launch(ledger, ticket);
                Saw::UseAndLaunch(place.token(&token))
            }
            Step::Wait(Boarding { answer, ticket }, in_hand) => {
                let operation = self.histories[ledger].len();
                self.waits.push_back(Waiting { ledger, operation, answer });
                let claimed = ticket.is_some();
                self.fly(ledger, ticket);
                Saw::Board { claimed, in_hand, reply: Reply::Pending }
            }
            Step::Fail(error) => Saw::Refusal(error.kind()),
        }
    }

    fn fly(&self, ledger: usize, ticket: Option<Ticket>) -> Saw {
        let claimed = ticket.is_some();
        ticket.into_iter().for_each(|ticket| self.launch(ledger, ticket));
        Saw::Claim(claimed)
    }

    fn landed(&self, ledger: usize, landing: Landing) -> Saw {
        match landing {
            Landing::Done(answer) => Saw::Landed(self.world.ledgers[ledger].brief(&answer)),
            Landing::Again => Saw::Again,
            Landing::Closed => Saw::Closed,
        }
    }
}

// === after the storm ===

impl Worker<'_> {
    /// The server is well again, and all pauses are over: every ledger comes to a fresh token.
    pub(super) fn calm(&mut self) {
        self.world.pass(DAY);
        for ledger in 0..LEDGERS {
            self.land_well(ledger);
            self.send(ledger);
            self.land_well(ledger);
            self.operate(ledger, Call::Fresh);
            let last = self.histories[ledger].last();
            assert!(matches!(last, Some(Operation { saw: Saw::Use(_), .. })), "stuck: {last:#?}");
            // And one flight whose layer ends under way.
            self.operate(ledger, Call::Invalidate);
            self.operate(ledger, Call::Acquire);
            self.operate(ledger, Call::Close);
            self.come_down(ledger, Self::landing);
            self.operate(ledger, Call::Due);
        }
    }

    fn land_well(&mut self, ledger: usize) {
        let well = |worker: &mut Self, ledger: usize, launched| {
            let name = worker.world.ledgers[ledger].issued.fetch_add(1, Ordering::SeqCst) + 1;
            let life = Some(Windows::default().of(launched, 2 * DAY, 0.0));
            Call::Land(Brought::Token { name, life, narrow: false }, 0.0)
        };
        // Twice: the first may have been outdated.
        self.come_down(ledger, well);
        self.come_down(ledger, well);
    }

    /// The history of one ledger; now that all flights are down, every caller has its answer.
    pub(super) fn hand_over(&mut self, ledger: usize) -> Vec<Operation> {
        for mut wait in mem::take(&mut self.waits) {
            if wait.ledger != ledger {
                self.waits.push_back(wait);
                continue;
            }
            let reply = match wait.answer.try_recv() {
                Ok(answer) => Reply::Told(self.world.ledgers[ledger].brief(&answer)),
                Err(TryRecvError::Closed) => Reply::Gone,
                Err(TryRecvError::Empty) => Reply::Pending,
            };
            self.note(&wait, reply);
        }
        mem::take(&mut self.histories[ledger])
    }
}
