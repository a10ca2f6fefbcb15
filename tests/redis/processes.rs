//! Law F1 with real processes.

use std::time::{Duration, Instant};

use http::StatusCode;

use super::common;
use super::fleet::{Fleet, within};
use super::process::RealProcess;

const SECOND: Duration = Duration::from_secs(1);

/// Two scopes.
const PATHS: &str = "/api/v1/merchants/8391017 /payment-links";
const SCOPES: [&str; 2] = ["refer_merchant", "read_payment_links"];

async fn start(fleet: &Fleet, number: usize, lease: Duration) -> Vec<RealProcess> {
    let mut processes = Vec::new();
    for _ in 0..number {
        processes.push(RealProcess::start(fleet, lease).await);
    }
    processes
}

fn token_requests(fleet: &Fleet) -> [u64; 2] {
    SCOPES.map(|scope| fleet.sandbox.token_requests_for(&common::scope(scope)))
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn fifty_processes_that_start_together_ask_once_per_scope_and_once_at_each_revocation() {
    // Given
    let fleet = Fleet::start().await;
    let mut processes = start(&fleet, 50, 10 * SECOND).await;
    for round in 1..=11 {
        // When
        for process in &mut processes {
            process.tell(&format!("call {PATHS}"));
        }
        for process in &mut processes {
            assert_eq!(process.answer().await, "200 200", "round {round}");
        }
        // Then
        assert_eq!(token_requests(&fleet), [round, round]);
        fleet.sandbox.revoke_all();
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn fifty_processes_under_load_renew_no_more_often_than_one_would() {
    // Given
    let fleet = Fleet::start().await;
    let life = 4 * SECOND;
    fleet.sandbox.token_life(life);
    let mut processes = start(&fleet, 50, 10 * SECOND).await;
    // When
    let begin = Instant::now();
    for process in &mut processes {
        process.tell(&format!("load {PATHS}"));
    }
    let renewed = fleet.sandbox.until(|_| token_requests(&fleet).iter().all(|times| *times >= 11));
    within(120 * SECOND, renewed).await;
    let requests = token_requests(&fleet);
    let elapsed = begin.elapsed();
    // Then a token is renewed in the second half of its life, so there is time for so many and no more.
    for (scope, times) in SCOPES.iter().zip(requests) {
        let most = 1 + u64::try_from(elapsed.as_millis() / (life / 2).as_millis()).unwrap();
        assert!(times <= most, "{times} requests for {scope} in {elapsed:?}");
    }
    let (mut put, mut taken) = (0, 0);
    for process in &mut processes {
        process.tell("end");
        let load = process.answer().await;
        assert!(load.ends_with(" 0 failed"), "{load}");
        let status = process.status().await;
        assert_eq!(status["store"]["direct"], 0, "{status}");
        put += status["store"]["put"].as_u64().unwrap();
        taken += status["store"]["taken"].as_u64().unwrap();
    }
    eprintln!("{requests:?} requests in {elapsed:?}, {put} put, {taken} taken");
    assert_eq!(put, fleet.sandbox.token_requests());
    assert_eq!(fleet.sandbox.api_answers(StatusCode::UNAUTHORIZED), 0);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_holder_that_is_killed_in_mid_fetch_delays_the_others_by_the_lease() {
    // Given a holder whose token is on its way, and others who wait for it.
    let fleet = Fleet::start().await;
    let mut processes = start(&fleet, 4, SECOND).await;
    fleet.sandbox.token_delay(60 * SECOND);
    processes[0].tell("call /api/v1/merchants/8391017");
    fleet.sandbox.until(|at| at.token_requests() == 1).await;
    fleet.sandbox.token_delay(Duration::ZERO);
    for process in &mut processes[1..] {
        process.tell("call /api/v1/merchants/8391017");
    }
    // When
    processes[0].kill();
    let killed = Instant::now();
    // Then
    for process in &mut processes[1..] {
        assert_eq!(process.answer().await, "200");
    }
    let delay = killed.elapsed();
    eprintln!("{delay:?}");
    // The lease, the longest pause between two looks, and what a busy machine takes. By themselves they
    // would have gone on after 20 s.
    assert!(delay < 5 * SECOND, "{delay:?}");
    assert_eq!(fleet.sandbox.token_requests(), 2, "one of them has taken over");
    let mut counts = [0, 0, 0];
    for process in &mut processes[1..] {
        let status = process.status().await;
        for (sum, count) in counts.iter_mut().zip(["put", "taken", "direct"]) {
            *sum += status["store"][count].as_u64().unwrap();
        }
    }
    assert_eq!(counts, [1, 2, 0]);
}
