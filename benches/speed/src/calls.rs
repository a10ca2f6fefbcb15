//! What a call with a fresh token costs: nanoseconds, allocations and instructions, over no layer
//! and beside a layer that can only set a constant header.

use crate::Effort;
use crate::allocations;
use crate::instructions::{Instructions, Recorded};
use crate::parts;
use crate::report::{Section, Table, verdict};
use crate::scenarios::{Calls, Scenario, Subject, Through};
use crate::stats::{Spread, at_some_depth, typical};

/// Calls in one timed batch.
const CALLS: usize = 256;

/// Timed batches of one kind in a round.
const BATCHES: usize = 5;

/// The times of one scenario.
struct Times {
    none: Vec<f64>,
    constant: Vec<f64>,
    layer: Vec<f64>,
}

/// How much is promised of a scenario.
struct Promise {
    times_the_constant: f64,
    allocations: f64,
}

pub(crate) fn measure(effort: Effort) -> Section {
    let mut section = Section::default();
    let times = times(effort.of(301, 15));
    let instructions = match Instructions::new() {
        Ok(instructions) => {
            let scenarios = effort.of(Scenario::ALL.as_slice(), &Scenario::ALL[1..2]);
            Some(instructions.of_scenarios(scenarios))
        }
        Err(why) => {
            eprintln!("{why}");
            section.add(why);
            None
        }
    };
    let recorded = |scenario: Scenario| {
        instructions.as_ref()?.iter().find_map(|(known, of)| (*known == scenario).then_some(of))
    };

    let mut table = Table::new(&[
        "",
        "no layer, ns",
        "constant header adds, ns",
        "this layer adds, ns",
        "half of the rounds",
        "times the constant",
        "allocations",
        "Verdict",
    ]);
    for (scenario, times) in Scenario::ALL.into_iter().zip(&times) {
        let none = Spread::of(times.none.iter().copied());
        let constant = Spread::of(difference(&times.constant, &times.none));
        let layer = Spread::of(difference(&times.layer, &times.none));
        let ratio = layer.middle / constant.middle;
        let allocations = added_allocations(scenario);
        let verdict = promise(scenario).map(|promise| {
            let fast = ratio <= promise.times_the_constant;
            let lean = allocations <= promise.allocations;
            section.timed(
                &format!("Added cost: {scenario}"),
                &format!("{}× the constant header's", promise.times_the_constant),
                format!(
                    "{ratio:.2}× ({:.0} ns, where it adds {:.0})",
                    layer.middle, constant.middle
                ),
                fast,
            );
            section.counted(
                &format!("Allocations of a call: {scenario}"),
                &format!("{:.0}", promise.allocations),
                format!("{allocations:.2}"),
                lean,
            );
            verdict(fast && lean)
        });
        table.row([
            scenario.to_string(),
            format!("{:.0}", none.middle),
            format!("{:.1}", constant.middle),
            format!("{:.1}", layer.middle),
            format!("{:.1} to {:.1}", layer.lower, layer.upper),
            format!("{ratio:.2}"),
            format!("{allocations:.2}"),
            verdict.unwrap_or_default(),
        ]);
    }
    section.add(table.finish());
    section.add(parts::measure(effort.of(301, 15)));

    if let Some(all) = &instructions {
        section.add(instructions_table(all));
        for scenario in [Scenario::Table, Scenario::ReplayMemory] {
            if let Some(recorded) = recorded(scenario) {
                section.add(format!("Where the instructions of a call go ({scenario}):"));
                section.add(recorded.by_file(effort.of(16, 8)));
                section.add(recorded.by_function(effort.of(16, 8)));
            }
        }
    }
    section
}

fn promise(scenario: Scenario) -> Option<Promise> {
    match scenario {
        Scenario::Table => Some(Promise { times_the_constant: 2.0, allocations: 0.0 }),
        Scenario::ReplayEmpty | Scenario::ReplayMemory => {
            Some(Promise { times_the_constant: 6.0, allocations: 3.0 })
        }
        _ => None,
    }
}

/// Round by round, all scenarios in turn, and within one the three ways in turn: what the machine
/// does to one of them, it does to all.
fn times(rounds: usize) -> Vec<Times> {
    let subjects = Scenario::ALL.map(Subject::new);
    let mut calls = subjects.each_ref().map(|subject| Through::ALL.map(|way| subject.calls(way)));
    let mut times: Vec<Times> =
        subjects.iter().map(|_| Times { none: vec![], constant: vec![], layer: vec![] }).collect();
    for round in 0..rounds {
        for ([none, constant, layer], times) in calls.iter_mut().zip(&mut times) {
            at_some_depth(round, || {
                times.none.push(typical(none.as_mut(), CALLS, BATCHES));
                times.constant.push(typical(constant.as_mut(), CALLS, BATCHES));
                times.layer.push(typical(layer.as_mut(), CALLS, BATCHES));
            });
        }
    }
    times
}

fn difference<'a>(some: &'a [f64], none: &'a [f64]) -> impl Iterator<Item = f64> + 'a {
    some.iter().zip(none).map(|(some, none)| some - none)
}

/// Per call, over no layer.
fn added_allocations(scenario: Scenario) -> f64 {
    let subject = Subject::new(scenario);
    let of = |through| {
        let mut calls = subject.calls(through);
        calls.prepare(CALLS);
        let (_, heap) = allocations::count(|| calls.run());
        heap.allocations as f64 / CALLS as f64
    };
    of(Through::Layer) - of(Through::NoLayer)
}

fn instructions_table(all: &[(Scenario, Recorded)]) -> String {
    let mut table = Table::new(&[
        "Instructions per call",
        "constant header adds",
        "this layer adds",
        "times the constant",
    ]);
    for (scenario, recorded) in all {
        let (constant, layer) = (recorded.constant(), recorded.layer());
        table.row([
            scenario.to_string(),
            format!("{constant:.0}"),
            format!("{layer:.0}"),
            format!("{:.2}", layer / constant),
        ]);
    }
    table.finish()
}

/// Makes `count` calls and nothing else: what callgrind watches.
pub(crate) fn make(mut calls: Box<dyn Calls>, count: usize) {
    calls.prepare(count);
    calls.run();
}
