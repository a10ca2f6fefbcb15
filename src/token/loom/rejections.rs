//! Callers whose token the API rejected.

use super::*;

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
