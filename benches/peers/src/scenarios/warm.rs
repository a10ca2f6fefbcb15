//! What a call costs when the token is there: nanoseconds over the same call without the peer, and
//! allocations.

use std::sync::Arc;
use std::time::{Duration, Instant};

use super::Size;
use crate::allocations;
use crate::partner::{Partner, Policy};
use crate::peer::{After401, AnyPeer, Entry, Failure};
use crate::report::{Cell, Column, Row, Table};
use crate::world::{LONG, runtime};

const NAME: &str = "warm";

/// One peer with its token, and what was measured of it.
struct Contender<'a> {
    entry: &'a Entry,
    peer: Arc<dyn AnyPeer>,
    // Its token has to be somewhere.
    _partner: Partner,
    /// Nanoseconds per call over the bare one, one figure a round.
    added: Vec<f64>,
}

pub(super) fn run(entries: &[Entry], size: Size) -> Table {
    let (rounds, calls) = size.of((301, 1_000), (21, 200));
    let columns = vec![
        Column::lower("ns a call, added"),
        Column::neither("× the floor"),
        Column::lower("allocations, added"),
        Column::neither("after a 401"),
    ];
    let method = format!(
        "One thread, a token that lives, an API in memory that looks at nothing. Each round times \
         {calls} calls of every peer, each beside as many of the same call without it; the figure \
         is the median of the {rounds} differences. A peer whose calls are sent again after a 401 is \
         compared with {}, the others with {}.",
        crate::peers::OURS,
        crate::peers::OURS_WITHOUT_REPLAY,
    );
    let rows = match measure(entries, rounds, calls) {
        Ok(rows) => rows,
        Err(failure) => entries.iter().map(|e| Row::cannot_run(&e.about, &failure)).collect(),
    };
    Table::new(NAME, "Warm call", method, columns, rows)
}

fn measure(entries: &[Entry], rounds: usize, calls: usize) -> Result<Vec<Row>, Failure> {
    let runtime = runtime()?;
    let mut contenders = Vec::new();
    let mut absent = Vec::new();
    for entry in entries {
        let partner = Partner::start(Policy { life: LONG, delay: Duration::ZERO })?;
        match runtime.block_on(warmed(entry, partner)) {
            Ok(contender) => contenders.push(contender),
            Err(failure) => absent.push(Row::cannot_run(&entry.about, failure)),
        }
    }
    let _context = runtime.enter();
    for _ in 0..rounds {
        for Contender { peer, added, .. } in &mut contenders {
            let bare = time(|| peer.call_bare(calls))?;
            let call = time(|| peer.call_warm(calls))?;
            added.push((call.as_nanos() as f64 - bare.as_nanos() as f64) / calls as f64);
        }
    }
    let floor = contenders.iter().find(|c| c.entry.about.no_tokens.is_some());
    let floor = floor.map(|floor| median(&floor.added));
    let mut rows: Vec<Row> =
        contenders.iter().map(|contender| contender.row(floor, calls)).collect();
    rows.extend(absent);
    runtime.shutdown_background();
    Ok(rows)
}

async fn warmed(entry: &Entry, partner: Partner) -> Result<Contender<'_>, Failure> {
    let peer = (entry.start)(partner.clone(), partner.api().open()).await?;
    peer.call().await?;
    Ok(Contender { entry, peer, _partner: partner, added: Vec::new() })
}

impl Contender<'_> {
    fn row(&self, floor: Option<f64>, calls: usize) -> Row {
        let added = median(&self.added);
        let allocations = |calls_of: &dyn Fn() -> Result<(), Failure>| {
            let (outcome, heap) = allocations::count(calls_of);
            outcome.expect("it has run in every round");
            heap.allocations as f64 / calls as f64
        };
        let bare = allocations(&|| self.peer.call_bare(calls));
        let call = allocations(&|| self.peer.call_warm(calls));
        let about = &self.entry.about;
        let after_401 = match about.after_401 {
            _ if about.no_tokens.is_some() => "—",
            After401::Returned => "returned",
            After401::MadeAgain => "made again by hand",
            After401::SentAgain => "sent again",
        };
        let cells = vec![
            Cell::number(added, 0),
            floor.map_or(Cell::text("—"), |floor| Cell::number(added / floor, 1)),
            // To the whole: the clone of the peer that a batch begins with is not a call's.
            Cell::number((call - bare).round(), 0),
            Cell::text(after_401),
        ];
        Row::new(about, cells).against_its_like()
    }
}

fn time(batch: impl FnOnce() -> Result<(), Failure>) -> Result<Duration, Failure> {
    let start = Instant::now();
    batch()?;
    Ok(start.elapsed())
}

fn median(figures: &[f64]) -> f64 {
    let mut sorted = figures.to_vec();
    sorted.sort_by(f64::total_cmp);
    sorted[sorted.len() / 2]
}
