//! Two threads at once on one token, against one alone.

use std::hint;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Instant;

use crate::Effort;
use crate::report::{Section, Table, verdict};
use crate::scenarios::{Calls, Scenario, Subject, Through};
use crate::stats::{Spread, at_some_depth, median, middle, typical};

const CALLS: usize = 256;
const BATCHES: usize = 7;
const LIMIT: f64 = 1.15;

/// How much of a batch the other thread's must cover to count.
const AT_ONCE: f64 = 0.9;

/// One round in so many has to count.
const FEWEST: usize = 10;

/// What is promised is of calls that carry a shared token; the rest is for comparison.
const SCENARIOS: [Scenario; 5] = [
    Scenario::OneRoute,
    Scenario::Table,
    Scenario::ReplayEmpty,
    Scenario::ReplayMemory,
    Scenario::NoRoute,
];

/// The rounds in which both threads ran, of one way of making calls: nanoseconds a call of the one
/// thread, alone and together.
#[derive(Default)]
struct Times {
    alone: Vec<f64>,
    together: Vec<f64>,
}

/// When a batch was made.
#[derive(Clone, Copy)]
struct Batch {
    start: Instant,
    end: Instant,
}

/// Lets two threads begin a batch together. It spins: a thread that has to be woken begins late.
#[derive(Default)]
struct Gate {
    arrived: AtomicUsize,
}

impl Gate {
    /// `turn` counts from 0, for both threads the same.
    fn pass(&self, turn: usize) {
        self.arrived.fetch_add(1, Ordering::AcqRel);
        let mut spins = 0_u32;
        while self.arrived.load(Ordering::Acquire) < 2 * (turn + 1) {
            spins = spins.wrapping_add(1);
            // The other one may not even run, on a busy machine.
            if spins.is_multiple_of(4096) { thread::yield_now() } else { hint::spin_loop() }
        }
    }
}

pub(crate) fn measure(effort: Effort) -> Section {
    let mut section = Section::default();
    let cores = thread::available_parallelism().map_or(1, usize::from);
    if cores < 2 {
        section.add("Two threads cannot run at once on this machine, which has one core.");
        return section;
    }
    let subjects = SCENARIOS.map(Subject::new);
    let rounds = effort.of(201, 15);
    let times = times(&subjects, rounds);
    let mut table = Table::new(&[
        "",
        "one thread, ns a call",
        "two threads, ns a call",
        "two to one",
        "half of the rounds",
        "no layer: two to one",
        "constant header: two to one",
        "rounds at once",
        "Verdict",
    ]);
    for (scenario, times) in SCENARIOS.into_iter().zip(times.chunks_exact(3)) {
        let [none, constant, layer] = [0, 1, 2].map(|at| times[at].ratio(rounds / FEWEST));
        let told = |ratio: Option<Spread>| match ratio {
            Some(ratio) => format!("{:.2}", ratio.middle),
            None => "not measured".to_owned(),
        };
        let met = layer.is_some_and(|layer| layer.middle <= LIMIT);
        let promised = scenario != Scenario::NoRoute;
        if promised {
            section.timed(
                &format!("Two threads on one token: {scenario}"),
                &format!("{LIMIT}× the cost of a call on one"),
                format!("{}, where no layer is {}", told(layer), told(none)),
                met,
            );
        }
        let half = layer.map(|layer| format!("{:.2} to {:.2}", layer.lower, layer.upper));
        let nanoseconds = |times: &[f64]| match layer {
            Some(_) => format!("{:.0}", middle(times.iter().copied())),
            None => String::new(),
        };
        table.row([
            scenario.to_string(),
            nanoseconds(&times[2].alone),
            nanoseconds(&times[2].together),
            told(layer),
            half.unwrap_or_default(),
            told(none),
            told(constant),
            format!("{} of {rounds}", times[2].together.len()),
            if promised { verdict(met) } else { String::new() },
        ]);
    }
    section.add(table.finish());
    section
}

/// The times of each subject, through each way.
fn times(subjects: &[Subject], rounds: usize) -> Vec<Times> {
    let gate = &Gate::default();
    // The other thread sleeps at it while the one is alone.
    let barrier = &Barrier::new(2);
    // In the thread that makes them: what one thread allocates may lie on one cache line.
    let calls = || -> Vec<Box<dyn Calls>> {
        subjects.iter().flat_map(|subject| Through::ALL.map(|way| subject.calls(way))).collect()
    };
    let (of_one, of_other, alone) = thread::scope(|scope| {
        let other = scope.spawn(move || {
            stay_on_core(1);
            let mut others = calls();
            let mut batches = Vec::new();
            for round in 0..rounds {
                for calls in &mut others {
                    barrier.wait();
                    at_some_depth(round, || together(calls.as_mut(), gate, &mut batches));
                }
            }
            batches
        });
        // A thread of its own as well: what is measured later may run where it likes.
        let one = scope.spawn(move || {
            stay_on_core(0);
            let mut ones = calls();
            let mut batches = Vec::new();
            let mut alone = Vec::new();
            for round in 0..rounds {
                for calls in &mut ones {
                    // Each is first in its turn: what is first finds the caches colder.
                    for is_alone in [round % 2 == 0, round % 2 != 0] {
                        if is_alone {
                            let time = || alone.push(typical(calls.as_mut(), CALLS, BATCHES));
                            at_some_depth(round, time);
                        } else {
                            barrier.wait();
                            at_some_depth(round, || together(calls.as_mut(), gate, &mut batches));
                        }
                    }
                }
            }
            (batches, alone)
        });
        let (of_one, alone) = one.join().expect("the one thread");
        (of_one, other.join().expect("the other thread"), alone)
    });

    let ways = subjects.len() * Through::ALL.len();
    let mut times: Vec<Times> = (0..ways).map(|_| Times::default()).collect();
    // The first, with cold caches, is not counted.
    let of_round = of_one.chunks_exact(1 + BATCHES).zip(of_other.chunks_exact(1 + BATCHES));
    for (at, ((of_one, of_other), alone)) in of_round.zip(alone).enumerate() {
        let at_once: Vec<f64> = (of_one.iter().zip(of_other).skip(1))
            .filter(|(one, other)| one.part_within(other) >= AT_ONCE)
            .map(|(one, _)| one.seconds() * 1e9 / CALLS as f64)
            .collect();
        if !at_once.is_empty() {
            let times = &mut times[at % ways];
            times.alone.push(alone);
            times.together.push(median(at_once));
        }
    }
    times
}

/// Left to itself, a busy system may put both threads on one core, and there they stay. Where it
/// does not let itself be told, it is left to itself.
fn stay_on_core(number: usize) {
    let cores = core_affinity::get_core_ids().unwrap_or_default();
    if let Some(core) = cores.get(number) {
        core_affinity::set_for_current(*core);
    }
}

/// Batches that another thread makes as well, at the same time.
fn together(calls: &mut dyn Calls, gate: &Gate, batches: &mut Vec<Batch>) {
    for _ in 0..1 + BATCHES {
        calls.prepare(CALLS);
        gate.pass(batches.len());
        let start = Instant::now();
        calls.run();
        batches.push(Batch { start, end: Instant::now() });
    }
}

impl Times {
    /// Of two threads to one, round by round; `None` if both ran in fewer rounds than `fewest`.
    fn ratio(&self, fewest: usize) -> Option<Spread> {
        let ratios =
            self.together.iter().zip(&self.alone).map(|(together, alone)| together / alone);
        (self.together.len() >= fewest.max(1)).then(|| Spread::of(ratios))
    }
}

impl Batch {
    fn seconds(&self) -> f64 {
        (self.end - self.start).as_secs_f64()
    }

    /// How much of it was while the other was made: on a busy machine, two threads may take turns.
    fn part_within(&self, other: &Batch) -> f64 {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        end.saturating_duration_since(start).as_secs_f64() / self.seconds()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_batch_is_at_once_with_another_as_far_as_they_overlap() {
        let start = Instant::now();
        let batch = |from, to| Batch {
            start: start + Duration::from_micros(from),
            end: start + Duration::from_micros(to),
        };
        let one = batch(100, 200);
        for (other, part) in [
            ((100, 200), 1.0),
            ((0, 150), 0.5),
            ((120, 150), 0.3),
            ((200, 300), 0.0),
            ((300, 400), 0.0),
        ] {
            assert_eq!(one.part_within(&batch(other.0, other.1)), part, "{other:?}");
        }
    }
}
