//! Callers, flights and layers that go, and an operator that changes what they are about.

use super::*;

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
