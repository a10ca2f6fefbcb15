//! What a call with a fresh token costs, at a glance: nanoseconds and allocations of each scenario
//! through no layer, through a constant header, and through ours.
//!
//! ```text
//! cargo bench
//! ```
//!
//! The published figures come from the crate in `benches/speed`, which measures the three in turns;
//! see BENCHMARKS.md. This is the quick look while the code is worked on.

use std::cell::RefCell;

use divan::{AllocProfiler, Bencher};
use scenarios::{Scenario, Subject, Through};

mod scenarios;

#[global_allocator]
static ALLOCATOR: AllocProfiler = AllocProfiler::system();

fn main() {
    divan::main();
}

#[divan::bench(args = Scenario::ALL)]
fn a_no_layer(bencher: Bencher<'_, '_>, scenario: Scenario) {
    bench(bencher, scenario, Through::NoLayer);
}

#[divan::bench(args = Scenario::ALL)]
fn b_constant_header(bencher: Bencher<'_, '_>, scenario: Scenario) {
    bench(bencher, scenario, Through::Constant);
}

#[divan::bench(args = Scenario::ALL)]
fn c_this_layer(bencher: Bencher<'_, '_>, scenario: Scenario) {
    bench(bencher, scenario, Through::Layer);
}

fn bench(bencher: Bencher<'_, '_>, scenario: Scenario, through: Through) {
    let calls = RefCell::new(Subject::new(scenario).calls(through));
    bencher
        .with_inputs(|| calls.borrow_mut().prepare(1))
        .bench_local_values(|()| calls.borrow_mut().run_one());
}
