//! Fleets of up to a thousand processes in simulated time: how token requests grow with the fleet, with a
//! store and without, on a server that lets old tokens live and on one that revokes the previous.
//!
//! - [`case`] is one fleet for some hours, over a [`partner`] and a store in [`memory`];
//! - [`table`] and [`plot`] are what is written of them.

mod case;
#[path = "../../../tests/common/shared_store.rs"]
#[allow(dead_code, reason = "the tests use all of it")]
mod memory;
mod partner;
mod plot;
mod table;

use std::fs;
use std::path::Path;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use tower::BoxError;

use crate::faults::Faults;
use case::{Case, Outcome};

const SIZES: [usize; 10] = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];
const SHORT: usize = 50;
const HOURS: u64 = 12;

/// Runs of each, with other traffic.
const SEEDS: u64 = 5;

const START: &str = "<!-- figures: simulation -->\n";
const END: &str = "<!-- end of figures -->";

/// A server with or without a store: what became of its fleets.
struct Series {
    revokes_previous: bool,
    shared: bool,
    fleets: Vec<Fleet>,
}

/// All runs of one size.
struct Fleet {
    processes: usize,
    runs: Vec<Outcome>,
}

pub(crate) fn run(short: bool) -> Result<Faults, BoxError> {
    let began = Instant::now();
    let (most, hours, seeds) = if short { (SHORT, 6, 1) } else { (1000, HOURS, SEEDS) };
    let sizes: Vec<_> = SIZES.into_iter().filter(|processes| *processes <= most).collect();
    let mut all = Vec::new();
    for (revokes_previous, shared) in [(false, false), (false, true), (true, false), (true, true)] {
        let of_size = |processes: &usize| {
            let case = |seed| Case { processes: *processes, hours, revokes_previous, shared, seed };
            Ok(Fleet { processes: *processes, runs: play((1..=seeds).map(case).collect())? })
        };
        let fleets = sizes.iter().map(of_size).collect::<Result<_, BoxError>>()?;
        all.push(Series { revokes_previous, shared, fleets });
    }
    let text = table::write(&all, hours, seeds);
    println!("{text}");
    println!("Simulated in {:.0} s.", began.elapsed().as_secs_f64());
    if !short {
        keep(&text, &plot_of(&all, hours))?;
    }
    Ok(check(&all))
}

/// As many at a time as there are processors.
fn play(cases: Vec<Case>) -> Result<Vec<Outcome>, BoxError> {
    let threads = thread::available_parallelism().map_or(1, usize::from);
    let (waiting, done) = (Mutex::new(cases), Mutex::new(Vec::new()));
    let work = || {
        loop {
            let case = waiting.lock().unwrap().pop();
            let Some(case) = case else { return };
            let outcome = case.play();
            done.lock().unwrap().push(outcome);
        }
    };
    thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    done.into_inner().unwrap().into_iter().collect()
}

/// What is promised of a fleet with a store.
fn check(all: &[Series]) -> Faults {
    let mut faults = Faults::default();
    for series in all.iter().filter(|series| series.shared) {
        for fleet in &series.fleets {
            for run in &fleet.runs {
                let which = format!(
                    "of {} processes with a store{}",
                    fleet.processes,
                    if series.revokes_previous { ", the previous token revoked" } else { "" }
                );
                faults.expect(&format!("failed calls {which}"), run.failed, 0);
                let requests = format!("token requests {which}");
                faults.expect(&requests, run.token_requests, run.generation);
                faults.expect(&format!("{requests}, in one second"), run.busiest_second, 1);
            }
        }
    }
    faults
}

fn plot_of(all: &[Series], hours: u64) -> String {
    let line = |series: &Series| {
        let point = |fleet: &Fleet| {
            let median = table::median(fleet.runs.iter().map(|run| run.token_requests));
            (fleet.processes as f64, median as f64 / hours as f64)
        };
        let (name, colour) = match (series.revokes_previous, series.shared) {
            (false, false) => ("no store", "#d55e00"),
            (false, true) => ("one store", "#0072b2"),
            (true, false) => ("no store, server revokes the previous token", "#e69f00"),
            (true, true) => ("one store, server revokes the previous token", "#56b4e9"),
        };
        let points = series.fleets.iter().map(point).collect();
        plot::Line { name, colour, dashed: series.revokes_previous, points }
    };
    plot::plot(
        "Token requests of a fleet: one client and scope, tokens of 2 h, a call a minute and process",
        "processes (log scale)",
        "token requests an hour (log scale)",
        &all.iter().map(line).collect::<Vec<_>>(),
    )
}

/// The figures into the document, the plot beside the example.
fn keep(text: &str, svg: &str) -> Result<(), BoxError> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    fs::write(root.join("examples/fleet/requests.svg"), svg)?;
    let path = root.join("FLEET.md");
    let document = fs::read_to_string(&path)?;
    let (before, rest) = document.split_once(START).ok_or("FLEET.md has no place for figures")?;
    let (_, after) = rest.split_once(END).ok_or("FLEET.md has no end of the figures")?;
    fs::write(&path, format!("{before}{START}\n{text}\n{END}{after}"))?;
    Ok(())
}
