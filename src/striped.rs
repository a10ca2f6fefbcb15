//! One value in several copies, so that threads do not meet on its reference counts.
//!
//! Two threads that clone one `Arc` or one `HeaderValue` for every call send the cache line of its
//! counter back and forth, which costs more than all the rest of a call. With a copy for each
//! thread, every counter stays in the cache of the core that uses it.

use std::cell::Cell;
use std::num::NonZeroUsize;
use std::ops::Deref;
use std::sync::atomic::{AtomicUsize, Ordering};

/// More threads than this share copies; by then the calls' own work keeps them apart.
const MOST: usize = 16;

pub(crate) struct Striped<T> {
    stripes: Box<[T]>,
}

/// A value that shares no cache line with another. Put into an `Arc` or a `Bytes`, it keeps the
/// counter there from sharing one as well, since that is allocated with it.
// Two cache lines: processors fetch them in pairs.
#[repr(align(128))]
pub(crate) struct Line<T>(pub(crate) T);

impl<T> Deref for Line<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T> Striped<T> {
    /// Makes a copy for each thread that can run at once. `copy` must give values whose counters are
    /// their own, each on a [`Line`] of its own.
    pub(crate) fn new(mut copy: impl FnMut() -> T) -> Self {
        let threads = std::thread::available_parallelism().map_or(MOST, NonZeroUsize::get);
        // A power of two, so that no division is needed to find a thread's own.
        let copies = threads.min(MOST).next_power_of_two();
        Self { stripes: (0..copies).map(|_| copy()).collect() }
    }

    /// This thread's copy.
    #[inline]
    pub(crate) fn get(&self) -> &T {
        &self.stripes[thread_number() & (self.stripes.len() - 1)]
    }
}

/// Numbers threads in the order in which they first ask, so that neighbours differ.
fn thread_number() -> usize {
    static NEXT: AtomicUsize = AtomicUsize::new(0);
    thread_local! {
        static NUMBER: Cell<usize> = const { Cell::new(usize::MAX) };
    }
    // A thread that is being torn down has no locals any more: any copy will do.
    NUMBER
        .try_with(|number| {
            if number.get() == usize::MAX {
                number.set(NEXT.fetch_add(1, Ordering::Relaxed));
            }
            number.get()
        })
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn counters_of_copies_are_on_lines_of_their_own() {
        // The smallest of allocations: an allocator puts them side by side.
        let copies = Striped::new(|| Arc::new(Line(0_u8)));
        let mut counters: Vec<usize> =
            copies.stripes.iter().map(|copy| Arc::as_ptr(copy) as usize - 128).collect();
        counters.sort_unstable();
        assert!(counters.iter().all(|at| at % 128 == 0));
        assert!(counters.windows(2).all(|pair| pair[1] - pair[0] >= 256), "{counters:?}");
    }
}
