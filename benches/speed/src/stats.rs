//! The middle of many measurements, and the time of a batch of calls.

use std::hint::black_box;
use std::time::Instant;

use crate::scenarios::Calls;

/// The middle of many measurements: a neighbour on the machine moves their mean, and hardly this.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Spread {
    /// The mean of the middle half. Where a time has two values, as it has when it depends on where
    /// something lies in memory, a median jumps from one to the other between two runs.
    pub(crate) middle: f64,
    /// Half of the measurements are from here
    pub(crate) lower: f64,
    /// to here.
    pub(crate) upper: f64,
}

impl Spread {
    pub(crate) fn of(values: impl IntoIterator<Item = f64>) -> Self {
        let values = sorted(values);
        let quarter = values.len() / 4;
        let half = &values[quarter..values.len() - quarter];
        let middle = half.iter().sum::<f64>() / half.len() as f64;
        Self { middle, lower: half[0], upper: half[half.len() - 1] }
    }
}

pub(crate) fn middle(values: impl IntoIterator<Item = f64>) -> f64 {
    Spread::of(values).middle
}

pub(crate) fn median(values: impl IntoIterator<Item = f64>) -> f64 {
    let values = sorted(values);
    values[values.len() / 2]
}

fn sorted(values: impl IntoIterator<Item = f64>) -> Vec<f64> {
    let mut values: Vec<f64> = values.into_iter().collect();
    values.sort_by(f64::total_cmp);
    values
}

/// The first and the last of the sorted values between which the true median lies in 95 of 100
/// cases, whatever the values' distribution (the sign test's interval).
pub(crate) fn median_interval(values: impl IntoIterator<Item = f64>) -> (f64, f64) {
    let values = sorted(values);
    let n = values.len() as f64;
    let half = 0.98 * n.sqrt();
    let first = (n / 2.0 - half).floor().max(0.0) as usize;
    let last = ((n / 2.0 + half).ceil() as usize).min(values.len() - 1);
    (values[first], values[last])
}

/// Makes the `calls` that are prepared: nanoseconds per call.
pub(crate) fn run_prepared(batch: &mut dyn Calls, calls: usize) -> f64 {
    let start = Instant::now();
    batch.run();
    start.elapsed().as_nanos() as f64 / calls as f64
}

/// The middle of several batches, one after the other; the first, with cold caches, is not counted.
pub(crate) fn typical(batch: &mut dyn Calls, calls: usize, batches: usize) -> f64 {
    let mut run = || {
        batch.prepare(calls);
        run_prepared(batch, calls)
    };
    run();
    median((0..batches).map(|_| run()))
}

/// Does `work` at another depth of the stack in each round.
///
/// Where the stack begins is chosen at random for each process, and what lies where in it, against
/// what lies on the heap, makes a difference of as much as 20 ns a call: more than some of what is
/// measured. So no process stays with the place that it was given.
pub(crate) fn at_some_depth(round: usize, mut work: impl FnMut()) {
    // Prime to each other: neighbouring rounds are far apart, and all depths have their turn.
    deeper(round * 7 % 61, &mut work);
}

#[inline(never)]
fn deeper(frames: usize, work: &mut dyn FnMut()) {
    // With what else a frame holds, 61 of them are more than a page of memory.
    let frame = black_box([0_u8; 80]);
    if frames == 0 {
        work()
    } else {
        deeper(frames - 1, work)
    }
    black_box(&frame);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_middle_is_the_mean_of_the_middle_half() {
        let spread = Spread::of([1000.0, 5.0, 1.0, 3.0, 2.0, 4.0, 7.0, -1000.0]);
        assert_eq!(spread, Spread { middle: 3.5, lower: 2.0, upper: 5.0 });
        assert_eq!(middle([7.0]), 7.0);
    }

    #[test]
    fn the_interval_of_the_median_is_that_of_the_sign_test() {
        let (first, last) = median_interval((1..=100).map(f64::from));
        assert_eq!((first, last), (41.0, 61.0));
        assert_eq!(median_interval([1.0, 2.0]), (1.0, 2.0));
    }

    #[test]
    fn each_depth_has_its_place_on_the_stack_and_together_they_cover_a_page() {
        let mut places = Vec::new();
        for round in 0..61 {
            at_some_depth(round, || {
                let here = 0_u8;
                places.push(std::ptr::from_ref(black_box(&here)).addr());
            });
        }
        places.sort_unstable();
        places.dedup();
        assert_eq!(places.len(), 61);
        assert!(places[60] - places[0] >= 4096);
    }
}
