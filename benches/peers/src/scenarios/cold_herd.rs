//! Many first calls at once: how often the token server is asked, and how long the herd takes over
//! what it has to.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::task::JoinSet;

use super::{Size, rows};
use crate::partner::Policy;
use crate::peer::{AnyPeer, Entry, Failure};
use crate::report::{Cell, Column, Row, Table};
use crate::world::{LONG, in_a_world};

const DELAY: Duration = Duration::from_millis(200);
const LIMIT: Duration = Duration::from_secs(30);
const WARM_HERDS: usize = 5;

/// A herd that has run.
struct Herd {
    wall: Duration,
    lost: u64,
    first_failure: Option<Failure>,
}

struct Figures {
    token_requests: u64,
    cold: Herd,
    warm: Duration,
}

pub(super) fn run(entries: &[Entry], size: Size) -> Table {
    let herds = size.of([1_000, 10_000], [100, 1_000]);
    let mut columns = Vec::new();
    for tasks in herds {
        columns.extend([
            Column::lower(format!("{tasks}: token requests")),
            Column::lower_or_nothing(format!("{tasks}: calls lost")),
            Column::neither(format!("{tasks}: cold, ms")),
            Column::neither(format!("{tasks}: warm, ms")),
            Column::lower(format!("{tasks}: cold / (delay + warm)")),
        ]);
    }
    let method = format!(
        "So many tasks make their first call at once; the token server takes {} ms. Cold is from \
         before the peer is set up to the last call's answer; warm is the same herd again (median \
         of {WARM_HERDS}). A call without an answer after {} s is lost.",
        DELAY.as_millis(),
        LIMIT.as_secs(),
    );
    let rows = rows(entries, size, |entry| row(entry, &herds));
    Table::new("herd", "Cold herd", method, columns, rows)
}

fn row(entry: &Entry, herds: &[usize]) -> Row {
    if let Some(reason) = entry.about.no_tokens {
        return Row::cannot_run(&entry.about, reason);
    }
    let mut cells = Vec::new();
    let mut first_failure = None;
    for &tasks in herds {
        match measure(entry, tasks) {
            Ok(Figures { token_requests, cold, warm }) => {
                cells.extend([
                    Cell::count(token_requests),
                    Cell::count(cold.lost),
                    Cell::milliseconds(cold.wall),
                    Cell::milliseconds(warm),
                    Cell::number(cold.wall.as_secs_f64() / (DELAY + warm).as_secs_f64(), 2),
                ]);
                first_failure = first_failure.or(cold.first_failure);
            }
            Err(failure) => return Row::cannot_run(&entry.about, failure),
        }
    }
    Row::new(&entry.about, cells).with_failure(first_failure)
}

fn measure(entry: &Entry, tasks: usize) -> Result<Figures, Failure> {
    in_a_world(Policy { life: LONG, delay: DELAY }, async |partner| {
        let start = Instant::now();
        let peer = (entry.start)(partner.clone(), partner.api()).await?;
        let mut cold = herd(&peer, tasks).await;
        cold.wall = start.elapsed();
        let token_requests = partner.token_requests();
        let mut warm = Vec::new();
        for _ in 0..WARM_HERDS {
            warm.push(herd(&peer, tasks).await.wall);
        }
        warm.sort();
        Ok(Figures { token_requests, cold, warm: warm[WARM_HERDS / 2] })
    })
}

async fn herd(peer: &Arc<dyn AnyPeer>, tasks: usize) -> Herd {
    let start = Instant::now();
    let mut calls = JoinSet::new();
    for _ in 0..tasks {
        let peer = peer.clone();
        calls.spawn(async move { peer.call().await });
    }
    let mut answered = 0;
    let mut first_failure = None;
    let all = async {
        while let Some(call) = calls.join_next().await {
            match call.map_err(Failure::from).flatten() {
                Ok(status) if status.is_success() => answered += 1,
                Ok(status) => first_failure = first_failure.take().or(Some(status.as_str().into())),
                Err(failure) => first_failure = first_failure.take().or(Some(failure)),
            }
        }
    };
    // Whatever is not answered by then is lost, and counted so below.
    let _ = tokio::time::timeout(LIMIT, all).await;
    let lost = tasks as u64 - answered;
    Herd { wall: start.elapsed(), lost, first_failure }
}
