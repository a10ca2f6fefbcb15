//! Models of the ledger: what becomes of a token when callers, flights and the operator meet in every
//! order. Run by `.ci/models`.
//!
//! A caller that is never told shows as a deadlock, which loom reports by itself.

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
use super::lifetime::Lifetime;
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
                lifetime: Some(Lifetime::new(self.now, LIFE, 0.0)),
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

#[test]
fn one_rejected_token_costs_one_flight() {
    let ways = outcomes(|| {
        let world = World::with_token(FRESH);
        let caller = Arc::clone(&world);
        let caller = spawn(move || caller.renew(1));
        let ours = world.renew(1);
        let theirs = caller.join();
        assert_eq!((generation(&ours), generation(&theirs)), (2, 2));
        assert_eq!(world.flights(), 1);
        (ours.0, theirs.0)
    });
    use Way::*;
    assert_eq!(ways, [(Flew, Joined), (Flew, Found), (Joined, Flew), (Found, Flew)].into());
}

#[test]
fn rejections_that_meet_a_landing_flight_start_no_other() {
    let ways = outcomes(|| {
        let world = World::with_token(FRESH);
        let ticket = world.ledger.renew_behind(world.now, 1, 0.5).expect("no flight is under way");
        let [flight, caller] = [Arc::clone(&world), Arc::clone(&world)];
        let flight = spawn(move || flight.fly(ticket, || flight.serve()));
        let caller = spawn(move || caller.renew(1));
        let ours = world.renew(1);
        let theirs = caller.join();
        assert!(flight.join());
        assert_eq!((generation(&ours), generation(&theirs)), (2, 2));
        assert_eq!(world.flights(), 1);
        (ours.0, theirs.0)
    });
    use Way::*;
    assert_eq!(ways, [(Joined, Joined), (Joined, Found), (Found, Joined), (Found, Found)].into());
}

#[test]
fn a_rejected_token_that_the_server_gives_again_is_told_to_each_who_asked() {
    let flights = outcomes(|| {
        let world = World::with_token(FRESH);
        let again = || Ok("1".to_owned());
        let caller = Arc::clone(&world);
        let caller = spawn(move || caller.take(caller.ledger.renew(caller.now, 1, 0.5), again));
        let ours = world.take(world.ledger.renew(world.now, 1, 0.5), again);
        assert_eq!((generation(&ours), generation(&caller.join())), (1, 1));
        world.flights()
    });
    // Rejected after the first flight landed, it is worth another.
    assert_eq!(flights, [1, 2].into());
}

#[test]
fn a_rejection_is_not_answered_by_what_was_asked_for_before_it() {
    let ways = outcomes(|| {
        let world = World::with_token(SOFT);
        let ticket = world.ledger.due(world.now).expect("it is old enough");
        let revoked = Arc::new(AtomicU64::new(0));
        let serve = |revoked: &Arc<AtomicU64>| {
            let revoked = Arc::clone(revoked);
            move || Ok(["1", "2"][revoked.load(Ordering::Acquire) as usize].to_owned())
        };
        let (flight, at_server) = (Arc::clone(&world), serve(&revoked));
        let flight = spawn(move || flight.fly(ticket, at_server));
        revoked.store(1, Ordering::Release);
        let ours = world.take(world.ledger.renew(world.now, 1, 0.5), serve(&revoked));
        assert_eq!(generation(&ours), 2);
        assert!(flight.join());
        ours.0
    });
    assert_eq!(ways, [Way::Found, Way::Joined, Way::Flew].into());
}

#[test]
fn a_server_that_fails_is_asked_once() {
    let ways = outcomes(|| {
        let world = World::with_token(FRESH);
        let fails = || Err(failure());
        let caller = Arc::clone(&world);
        let caller = spawn(move || caller.take(caller.ledger.renew(caller.now, 1, 0.5), fails));
        let ours = world.take(world.ledger.renew(world.now, 1, 0.5), fails);
        let theirs = caller.join();
        for answer in [&ours.1, &theirs.1] {
            assert_eq!(answer.as_ref().unwrap_err().kind(), TokenErrorKind::TimedOut);
        }
        assert_eq!(world.flights(), 1);
        assert_eq!(world.send().0, 1, "a failure displaces no live token");
        (ours.0, theirs.0)
    });
    use Way::*;
    assert_eq!(ways, [(Flew, Joined), (Flew, Found), (Joined, Flew), (Found, Flew)].into());
}

#[test]
fn a_token_that_one_route_rejects_serves_the_others_until_the_next_is_here() {
    let generations = outcomes(|| {
        let world = World::with_token(FRESH);
        let ticket = world.ledger.renew_behind(world.now, 1, 0.5).expect("no flight is under way");
        let flight = Arc::clone(&world);
        let flight = spawn(move || flight.fly(ticket, || flight.serve()));
        let (sent, claimed) = world.send();
        assert!(claimed.is_none() && flight.join());
        assert_eq!(world.send().0, 2);
        sent
    });
    assert_eq!(generations, [1, 2].into());
}

/// Whatever was put off, a call comes to look when it is due; and at the hard edge in any case.
fn assert_renewing_goes_on(World { ledger, now, .. }: &World) {
    let due = ledger.next_attempt(*now).expect("no flight is under way");
    assert!(ledger.fresh(due, 0).is_none());
    let Step::UseAndLaunch(token, _ticket) = ledger.acquire(due) else {
        panic!("the next renewal is forgotten")
    };
    let hard = token.lifetime().expect("all have one").hard;
    assert!(ledger.fresh(hard, 0).is_none());
    assert!(matches!(ledger.acquire(hard), Step::Wait(..)), "the hard edge is missed");
}

fn in_the_soft_window_one_flight_is_started(
    serve: impl Fn(&World) -> Result<String, TokenError> + Copy + Send + Sync + 'static,
) {
    model(move || {
        let world = World::with_token(SOFT);
        let [caller, alarm] = [Arc::clone(&world), Arc::clone(&world)];
        let call = move |world: &World| {
            let (sent, ticket) = world.send();
            if let Some(ticket) = ticket {
                assert!(world.fly(ticket, || serve(world)), "the ledger lost its flight");
            }
            sent
        };
        let caller = spawn(move || call(&caller));
        let alarm = spawn(move || {
            if let Some(ticket) = alarm.ledger.due(alarm.now) {
                assert!(alarm.fly(ticket, || serve(&alarm)), "the ledger lost its flight");
            }
        });
        assert!((1..=2).contains(&call(&world)) && (1..=2).contains(&caller.join()));
        alarm.join();
        assert_eq!(world.flights(), 1);
        assert_renewing_goes_on(&world);
    });
}

#[test]
fn in_the_soft_window_one_renews_and_nobody_waits() {
    in_the_soft_window_one_flight_is_started(World::serve);
}

#[test]
fn in_the_soft_window_a_failure_is_not_repeated_and_not_forgotten() {
    in_the_soft_window_one_flight_is_started(|_| Err(failure()));
}

#[test]
fn in_the_soft_window_the_same_token_is_not_asked_for_again_at_once() {
    in_the_soft_window_one_flight_is_started(|_| Ok("1".to_owned()));
}

#[test]
fn in_the_hard_window_callers_wait_for_one_flight() {
    let ways = outcomes(|| {
        let world = World::with_token(HARD);
        let caller = Arc::clone(&world);
        let caller = spawn(move || caller.acquire());
        let ours = world.acquire();
        let theirs = caller.join();
        assert_eq!((generation(&ours), generation(&theirs)), (2, 2));
        assert_eq!(world.flights(), 1);
        (ours.0, theirs.0)
    });
    use Way::*;
    assert_eq!(ways, [(Flew, Joined), (Flew, Found), (Joined, Flew), (Found, Flew)].into());
}

#[test]
fn callers_that_give_up_take_nothing_from_those_that_wait() {
    let ways = outcomes(|| {
        let world = World::without_token();
        let board = || match world.ledger.acquire(world.now) {
            Step::Wait(boarding, _) => boarding,
            _ => panic!("there is no token to use"),
        };
        // The caller for whom the flight is launched gives up, too; and there is no room left for
        // the next caller, but where others have given up.
        let first = board();
        let ticket = first.ticket.expect("the first to come");
        let [mut second, third, fourth] = [board(), board(), board()].map(|place| place.answer);
        let [flight, quitter] = [Arc::clone(&world), Arc::clone(&world)];
        let flight = spawn(move || flight.fly(ticket, || flight.serve()));
        let quitter = spawn(move || {
            drop(first.answer);
            let _ = poll(&mut second);
            drop(second);
            drop(quitter);
        });
        let fifth = world.acquire();
        assert_eq!(generation(&fifth), 1);
        for place in [third, fourth] {
            assert_eq!(wait(place).expect("told").expect("fetched").generation(), 1);
        }
        quitter.join();
        assert!(flight.join());
        assert_eq!(world.flights(), 1);
        fifth.0
    });
    assert_eq!(ways, [Way::Found, Way::Joined].into());
}

#[test]
fn closed_at_any_moment_every_caller_is_told_and_no_flight_is_left() {
    let answered = outcomes(|| {
        let world = World::without_token();
        let Step::Wait(boarding, _) = world.ledger.acquire(world.now) else { unreachable!() };
        let ticket = boarding.ticket.expect("the first to come");
        let [flight, caller] = [Arc::clone(&world), Arc::clone(&world)];
        let flight = spawn(move || flight.fly(ticket, || flight.serve()));
        let caller = spawn(move || match caller.ledger.acquire(caller.now) {
            Step::Use(_) => true,
            Step::Wait(boarding, _) => {
                if let Some(ticket) = boarding.ticket {
                    caller.fly(ticket, || caller.serve());
                }
                wait(boarding.answer).is_ok()
            }
            Step::UseAndLaunch(..) | Step::Fail(_) => panic!("nothing has failed"),
        });
        world.ledger.close();
        let answered = (wait(boarding.answer).is_ok(), caller.join());
        flight.join();
        assert!(!world.is_fetching());
        answered
    });
    assert_eq!(answered, [(true, true), (false, true), (false, false)].into());
}

#[test]
fn a_flight_that_dies_fails_all_who_wait_and_all_who_come() {
    let ways = outcomes(|| {
        let world = World::without_token();
        let Step::Wait(boarding, _) = world.ledger.acquire(world.now) else { unreachable!() };
        let (flight, ticket) = (Arc::clone(&world), boarding.ticket);
        let flight = spawn(move || {
            drop(ticket);
            drop(flight.ledger.abort(flight.now, 0.5));
        });
        let (way, ours) = world.acquire();
        let theirs = wait(boarding.answer).expect("every caller is told");
        for answer in [ours, theirs] {
            assert_eq!(answer.unwrap_err().kind(), TokenErrorKind::Aborted);
        }
        flight.join();
        assert!(!world.is_fetching());
        way
    });
    assert_eq!(ways, [Way::Found, Way::Joined].into());
}

#[test]
fn what_was_issued_before_an_invalidation_is_not_used_after_it() {
    const REVOKED: &str = "revoked";
    const GOOD: &str = "good";
    let ways = outcomes(|| {
        let world = World::with_token(SOFT);
        let ticket = world.ledger.due(world.now).expect("it is old enough");
        let issued_after = Arc::new(AtomicU64::new(0));
        let serve = |revoked: &Arc<AtomicU64>| {
            let revoked = Arc::clone(revoked);
            move || Ok([REVOKED, GOOD][revoked.load(Ordering::Acquire) as usize].to_owned())
        };
        let (flight, caller) = (Arc::clone(&world), Arc::clone(&world));
        let [at_server, elsewhere] = [serve(&issued_after), serve(&issued_after)];
        let flight = spawn(move || flight.fly(ticket, at_server));
        let caller = spawn(move || {
            let (_, answer) = caller.take(caller.ledger.renew(caller.now, 1, 0.5), elsewhere);
            answer.expect("the server is well").generation()
        });
        issued_after.store(1, Ordering::Release);
        world.ledger.invalidate();
        let (way, answer) = world.take(world.ledger.acquire(world.now), serve(&issued_after));
        let ours = answer.expect("the server is well");
        assert!(ours.is_same_as(GOOD), "issued before the invalidation, got after it");
        assert!(flight.join());
        assert!(caller.join() > 1);
        assert!(world.ledger.live(world.now).is_some_and(|token| token.is_same_as(GOOD)));
        way
    });
    assert_eq!(ways, [Way::Found, Way::Joined, Way::Flew].into());
}

#[test]
fn no_call_after_a_new_secret_fails_because_of_the_old() {
    let ways = outcomes(|| {
        let world = World::without_token();
        let ticket = world.ledger.due(world.now).expect("there is no token");
        let secret = Arc::new(AtomicU64::new(0));
        let serve = |secret: &Arc<AtomicU64>, world: &Arc<World>| {
            let (secret, world) = (Arc::clone(secret), Arc::clone(world));
            move || match secret.load(Ordering::Acquire) {
                0 => Err(TokenError::error_response("invalid_client")),
                _ => world.serve(),
            }
        };
        let (flight, at_server) = (Arc::clone(&world), serve(&secret, &world));
        let flight = spawn(move || flight.fly(ticket, at_server));
        // In this order: see `Slots::set_credentials`.
        secret.store(1, Ordering::Release);
        world.ledger.secret_changed();
        let at_server = serve(&secret, &world);
        let ours = world.take(world.ledger.acquire(world.now), at_server);
        assert_eq!(generation(&ours), 1);
        assert!(flight.join());
        ours.0
    });
    assert_eq!(ways, [Way::Found, Way::Joined, Way::Flew].into());
}

/// A caller whose token is rejected, and the next one, too.
fn reject_twice(world: &World) {
    let next = world.renew(1).1.expect("the server is well");
    let last = world.renew(next.generation()).1.expect("the server is well");
    assert!(1 < next.generation() && next.generation() < last.generation());
    assert!(is_numbered(&next) && is_numbered(&last), "one generation, one token");
}

#[test]
fn each_rejection_of_each_caller_ends_in_a_newer_token() {
    let flights = outcomes(|| {
        let world = World::with_token(FRESH);
        let caller = Arc::clone(&world);
        let caller = spawn(move || reject_twice(&caller));
        reject_twice(&world);
        caller.join();
        assert_eq!(world.ledger.generation(), 1 + world.flights() as u64);
        world.flights()
    });
    // Who comes late finds the other's last token, and rejects that.
    assert_eq!(flights, [2, 3].into());
}

#[test]
fn generations_only_grow() {
    model(|| {
        let world = World::with_token(FRESH);
        let caller = Arc::clone(&world);
        let caller = spawn(move || reject_twice(&caller));
        let seen = [world.send().0, world.ledger.generation(), world.send().0];
        assert!(seen.is_sorted(), "{seen:?}");
        caller.join();
        assert_eq!(world.ledger.generation(), 3);
    });
}

/// Whether a token is the one that the server issued for its generation.
fn is_numbered(token: &AccessToken) -> bool {
    token.is_same_as(&token.generation().to_string())
}

#[test]
fn a_revocation_is_counted_once() {
    let news = outcomes(|| {
        let world = World::with_token(FRESH);
        assert_eq!(generation(&world.renew(1)), 2);
        let caller = Arc::clone(&world);
        let caller = spawn(move || caller.ledger.confirm(2));
        (world.ledger.confirm(2), caller.join())
    });
    assert_eq!(news, [(Some(1), None), (None, Some(1))].into());
}

/// A caller that, when it is woken, goes and asks at once.
struct Asks(Arc<World>);

impl Wake for Asks {
    fn wake(self: Arc<Self>) {
        assert!(!self.0.is_fetching());
    }
}

#[test]
fn callers_are_told_without_the_lock() {
    model(|| {
        for close in [true, false] {
            let world = World::without_token();
            let Step::Wait(mut boarding, _) = world.ledger.acquire(world.now) else {
                unreachable!()
            };
            let waker = Waker::from(Arc::new(Asks(Arc::clone(&world))));
            let waits = Pin::new(&mut boarding.answer).poll(&mut Context::from_waker(&waker));
            assert!(waits.is_pending());
            if close {
                world.ledger.close();
            } else {
                world.fly(boarding.ticket.expect("the first to come"), || world.serve());
            }
            assert!(poll(&mut boarding.answer).is_ready());
        }
    });
}
