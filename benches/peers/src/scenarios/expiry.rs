//! Short-lived tokens under a steady load: what the callers notice of a renewal.

use std::time::Duration;

use tokio::task::JoinSet;

use super::{Size, rows};
use crate::partner::{Partner, Policy};
use crate::peer::{Entry, Failure, Outcome};
use crate::report::{Cell, Column, Row, Table};
use crate::world::in_a_world;

const POLICY: Policy = Policy { life: Duration::from_secs(2), delay: Duration::from_millis(200) };
const TICK: Duration = Duration::from_millis(1);
/// How long the last calls may still take.
const PATIENCE: Duration = Duration::from_secs(3);
/// In milliseconds: the generator's own step.
const NOISE: f64 = 1.0;

struct Call {
    /// From when it was due: a call that could not even begin is slow.
    took: Duration,
    outcome: Outcome,
}

pub(super) fn run(entries: &[Entry], size: Size) -> Table {
    let lasts = Duration::from_secs(size.of(10, 3));
    let columns = vec![
        Column::neither("calls"),
        Column::lower_or_nothing("calls lost"),
        Column::neither("token requests"),
        Column::lower_beyond_the_floor(NOISE, "p50, ms"),
        Column::lower_beyond_the_floor(NOISE, "p99, ms"),
        Column::lower_beyond_the_floor(NOISE, "p99.9, ms"),
        Column::lower_beyond_the_floor(NOISE, "max, ms"),
    ];
    let method = format!(
        "Tokens live {} s, the token server takes {} ms; 1,000 calls a second for {} s, each a task of \
         its own, due whether or not the last is done; a call's time counts from when it was due, by a \
         clock that ticks each millisecond. The first token is there. A call is lost \
         if it ends in an error or a 401, or not within {} s of the last. The floor has a token that \
         does not end: what it takes is the machine's noise, and no less than that, or {NOISE} ms, is a difference.",
        POLICY.life.as_secs(),
        POLICY.delay.as_millis(),
        lasts.as_secs(),
        PATIENCE.as_secs(),
    );
    let rows = rows(entries, size, |entry| {
        measure(entry, lasts).unwrap_or_else(|failure| Row::cannot_run(&entry.about, failure))
    });
    Table::new("expiry", "Expiry under load", method, columns, rows)
}

fn measure(entry: &Entry, lasts: Duration) -> Result<Row, Failure> {
    in_a_world(POLICY, async |partner: Partner| {
        let peer = (entry.start)(partner.clone(), partner.api()).await?;
        peer.call().await?;
        let requests_before = partner.token_requests();
        let (begun, calls) = under_load(lasts, || peer.call()).await;
        let token_requests = partner.token_requests() - requests_before;
        Ok(row(entry, begun, calls, token_requests))
    })
}

/// Begins calls at an even pace, and returns how many there were and those that ended.
async fn under_load<F>(lasts: Duration, mut call: impl FnMut() -> F) -> (u64, Vec<Call>)
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let mut calls = JoinSet::new();
    let mut begun = 0;
    let mut tick = tokio::time::interval(TICK);
    // What the generator was late for is begun late, and all of it; its time runs meanwhile.
    tick.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Burst);
    let ticks = u64::try_from(lasts.as_millis() / TICK.as_millis()).expect("a short load");
    for _ in 0..ticks {
        let due = tick.tick().await;
        let call = call();
        begun += 1;
        calls.spawn(async move {
            let outcome = call.await;
            Call { took: due.elapsed(), outcome }
        });
    }
    let mut ended = Vec::new();
    let all = async {
        while let Some(call) = calls.join_next().await {
            // One that panicked has no answer, like one that is not there yet.
            ended.extend(call.ok());
        }
    };
    // What is left then is lost, and counted so.
    let _ = tokio::time::timeout(PATIENCE, all).await;
    (begun, ended)
}

fn row(entry: &Entry, begun: u64, calls: Vec<Call>, token_requests: u64) -> Row {
    let mut times: Vec<Duration> = calls.iter().map(|call| call.took).collect();
    times.sort();
    let mut answered = 0;
    let mut first_failure = None;
    for Call { outcome, .. } in calls {
        match outcome {
            Ok(status) if status.is_success() => answered += 1,
            Ok(status) => first_failure = first_failure.or(Some(status.as_str().into())),
            Err(failure) => first_failure = first_failure.or(Some(failure)),
        }
    }
    let percentile = |share: f64| {
        let rank = (times.len() as f64 * share).ceil() as usize;
        times.get(rank.saturating_sub(1)).copied().unwrap_or_default()
    };
    let mut cells =
        vec![Cell::count(begun), Cell::count(begun - answered), Cell::count(token_requests)];
    cells.extend([0.5, 0.99, 0.999, 1.0].map(|share| Cell::milliseconds(percentile(share))));
    Row::new(&entry.about, cells).with_failure(first_failure)
}
