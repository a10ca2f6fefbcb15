//! A token that is revoked while it is in use: whose calls end in a 401, what the fleet of them
//! costs the token server, and when calls succeed again. Twice, since it happens twice.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Size, rows};
use crate::partner::{Partner, Policy, Spread};
use crate::peer::{AnyPeer, Entry, Failure, Outcome};
use crate::report::{Cell, Column, Row, Table};
use crate::world::{LONG, in_a_world};

const POLICY: Policy = Policy { life: LONG, delay: Duration::from_millis(50) };
const CALLS: u32 = 50;
/// So that all calls are begun when the first is answered.
const FIRST: Duration = Duration::from_millis(20);
/// The answers come this far apart, over 200 ms: a peer that does not compare what a 401 was for
/// drops the new token for the old one's sake.
const APART: Duration = Duration::from_millis(4);
/// The first token's age when it is revoked.
const AGE: Duration = Duration::from_millis(1_500);
/// In milliseconds: calls and probes come this close.
const NOISE: f64 = 10.0;
const PAUSE: Duration = Duration::from_millis(10);
const BETWEEN: Duration = Duration::from_secs(2);

struct Revocation {
    lost: u64,
    token_requests: u64,
    back: Option<Duration>,
    first_failure: Option<Failure>,
}

pub(super) fn run(entries: &[Entry], size: Size) -> Table {
    let limit = Duration::from_secs(size.of(5, 1));
    let columns = ["1st", "2nd"].iter().flat_map(|time| {
        [
            Column::lower_or_nothing(format!("{time}: calls lost")),
            Column::lower(format!("{time}: token requests")),
            Column::lower_by(NOISE, format!("{time}: back after, ms")),
        ]
    });
    let method = format!(
        "{CALLS} calls at once on a token of {} s that has just been revoked; their answers come \
         after {} ms, {} ms apart, and the token server takes {} ms. Lost are the calls whose caller gets a 401 or an \
         error. Back is the first call that succeeds, counted from the revocation; if none of the \
         {CALLS} does, one call follows another for {} s. Then the new token is revoked as well, {} \
         s later.",
        AGE.as_secs_f64(),
        FIRST.as_millis(),
        APART.as_millis(),
        POLICY.delay.as_millis(),
        limit.as_secs(),
        BETWEEN.as_secs(),
    );
    let rows = rows(entries, size, |entry| row(entry, limit));
    Table::new("revoked", "Revoked token", method, columns.collect(), rows)
}

fn row(entry: &Entry, limit: Duration) -> Row {
    if let Some(reason) = entry.about.no_tokens {
        return Row::cannot_run(&entry.about, reason);
    }
    let revocations = in_a_world(POLICY, async |partner: Partner| {
        let peer = (entry.start)(partner.clone(), partner.api()).await?;
        peer.call().await?;
        tokio::time::sleep(AGE).await;
        let first = revoke(&partner, &peer, limit).await;
        tokio::time::sleep(BETWEEN).await;
        let second = revoke(&partner, &peer, limit).await;
        Ok([first, second])
    });
    match revocations {
        Ok(revocations) => {
            let cells = revocations.iter().flat_map(|revocation| revocation.cells(limit)).collect();
            let first_failure = revocations.into_iter().find_map(|r| r.first_failure);
            Row::new(&entry.about, cells).with_failure(first_failure)
        }
        Err(failure) => Row::cannot_run(&entry.about, failure),
    }
}

async fn revoke(partner: &Partner, peer: &Arc<dyn AnyPeer>, limit: Duration) -> Revocation {
    let requests_before = partner.token_requests();
    partner.spread_answers(Some(Spread::new(FIRST, APART, CALLS)));
    partner.revoke_all();
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..CALLS {
        let peer = peer.clone();
        calls.spawn(async move { (peer.call().await, Instant::now()) });
    }
    let mut revocation = Revocation { lost: 0, token_requests: 0, back: None, first_failure: None };
    for (outcome, at) in calls.join_all().await {
        match check(outcome) {
            Ok(()) => {
                let since = at - start;
                revocation.back =
                    Some(revocation.back.map_or(since, |earliest| earliest.min(since)));
            }
            Err(failure) => {
                revocation.lost += 1;
                revocation.first_failure = revocation.first_failure.or(Some(failure));
            }
        }
    }
    partner.spread_answers(None);
    while revocation.back.is_none() && start.elapsed() < limit {
        tokio::time::sleep(PAUSE).await;
        if check(peer.call().await).is_ok() {
            revocation.back = Some(start.elapsed());
        }
    }
    revocation.token_requests = partner.token_requests() - requests_before;
    revocation
}

fn check(outcome: Outcome) -> Result<(), Failure> {
    match outcome? {
        status if status.is_success() => Ok(()),
        status => Err(status.as_str().into()),
    }
}

impl Revocation {
    fn cells(&self, limit: Duration) -> [Cell; 3] {
        [
            Cell::count(self.lost),
            Cell::count(self.token_requests),
            self.back.map_or(Cell::beyond(limit), Cell::milliseconds),
        ]
    }
}
