//! A token server that fails for a while, longer than the token lives: what it is spared, what the
//! callers hear, and how soon all is well when it is back.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Size, rows};
use crate::partner::{Partner, Policy};
use crate::peer::{AnyPeer, Entry, Failure};
use crate::report::{Cell, Column, Row, Table};
use crate::world::in_a_world;

const POLICY: Policy = Policy { life: Duration::from_secs(2), delay: Duration::from_millis(50) };
const CALLERS: usize = 50;
const PAUSE: Duration = Duration::from_millis(50);
/// In milliseconds: the callers' own pause.
const NOISE: f64 = 50.0;
const OUTAGE: Duration = Duration::from_secs(5);
/// The token was fetched just before the outage; until then it is beyond doubt that it lives.
const TOKEN_LIVES: Duration = Duration::from_millis(1_800);

/// What one caller has seen.
struct Seen {
    lost_on_a_live_token: u64,
    failed: u64,
    slowest: Duration,
    /// Its first success after the outage, counted from the end of that.
    back: Option<Duration>,
    first_failure: Option<Failure>,
}

pub(super) fn run(entries: &[Entry], size: Size) -> Table {
    let limit = Duration::from_secs(size.of(15, 3));
    let columns = vec![
        Column::lower_or_nothing("lost while the token lived"),
        Column::lower("token requests in the outage"),
        Column::neither("calls failed"),
        Column::lower("slowest answer, ms"),
        Column::lower_or_nothing("callers not back"),
        Column::lower_by(NOISE, "all back after, ms"),
    ];
    let method = format!(
        "Tokens live {} s; one has just been fetched when the token server begins to answer 503, \
         after {} ms, for {} s. {CALLERS} callers call all the while, each {} ms after its last \
         answer, until they have succeeded after the outage, {} s at most. Calls on the live token \
         should succeed, the others can but fail: how many do is a matter of how soon they are told.",
        POLICY.life.as_secs(),
        POLICY.delay.as_millis(),
        OUTAGE.as_secs(),
        PAUSE.as_millis(),
        limit.as_secs(),
    );
    let rows = rows(entries, size, |entry| row(entry, limit));
    Table::new("failing", "Failing token server", method, columns, rows)
}

fn row(entry: &Entry, limit: Duration) -> Row {
    if let Some(reason) = entry.about.no_tokens {
        return Row::cannot_run(&entry.about, reason);
    }
    match in_a_world(POLICY, async |partner: Partner| outage(entry, partner, limit).await) {
        Ok((token_requests, callers)) => {
            let sum = |count: fn(&Seen) -> u64| callers.iter().map(count).sum();
            let slowest = callers.iter().map(|caller| caller.slowest).max().unwrap_or_default();
            let back: Option<Vec<Duration>> = callers.iter().map(|caller| caller.back).collect();
            let all_back = back.and_then(|times| times.into_iter().max());
            let cells = vec![
                Cell::count(sum(|caller| caller.lost_on_a_live_token)),
                Cell::count(token_requests),
                Cell::count(sum(|caller| caller.failed)),
                Cell::milliseconds(slowest),
                Cell::count(sum(|caller| u64::from(caller.back.is_none()))),
                all_back.map_or(Cell::beyond(limit), Cell::milliseconds),
            ];
            let first_failure = callers.into_iter().find_map(|caller| caller.first_failure);
            Row::new(&entry.about, cells).with_failure(first_failure)
        }
        Err(failure) => Row::cannot_run(&entry.about, failure),
    }
}

async fn outage(
    entry: &Entry,
    partner: Partner,
    limit: Duration,
) -> Result<(u64, Vec<Seen>), Failure> {
    let peer = (entry.start)(partner.clone(), partner.api()).await?;
    peer.call().await?;
    let requests_before = partner.token_requests();
    partner.fail(true);
    let start = Instant::now();
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        callers.spawn(caller(peer.clone(), start, limit));
    }
    tokio::time::sleep(OUTAGE).await;
    partner.fail(false);
    let token_requests = partner.token_requests() - requests_before;
    Ok((token_requests, callers.join_all().await))
}

async fn caller(peer: Arc<dyn AnyPeer>, start: Instant, limit: Duration) -> Seen {
    let outage_ends = start + OUTAGE;
    let gives_up = outage_ends + limit;
    let mut seen = Seen {
        lost_on_a_live_token: 0,
        failed: 0,
        slowest: Duration::ZERO,
        back: None,
        first_failure: None,
    };
    while seen.back.is_none() && Instant::now() < gives_up {
        let begun = Instant::now();
        let outcome = tokio::time::timeout_at(gives_up.into(), peer.call()).await;
        seen.slowest = seen.slowest.max(begun.elapsed());
        let failure = match outcome.map_err(Failure::from).flatten() {
            Ok(status) if status.is_success() => None,
            Ok(status) => Some(status.as_str().into()),
            Err(failure) => Some(failure),
        };
        match failure {
            None if Instant::now() > outage_ends => seen.back = Some(outage_ends.elapsed()),
            None => {}
            Some(failure) => {
                seen.failed += 1;
                seen.lost_on_a_live_token += u64::from(begun < start + TOKEN_LIVES);
                seen.first_failure = seen.first_failure.or(Some(failure));
            }
        }
        tokio::time::sleep(PAUSE).await;
    }
    seen
}
