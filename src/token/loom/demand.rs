//! Callers that need a token, at each edge of its life.

use super::*;

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
