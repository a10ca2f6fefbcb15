//! A counting allocator that counts only when asked to: counters that are always on cost more than
//! some of the calls that are timed here.

#![allow(unsafe_code, reason = "a global allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;

#[global_allocator]
static ALLOCATOR: Counting = Counting;

// Of each thread, so that what others do is not counted. Without initialisers and destructors: they
// could allocate.
thread_local! {
    static ON: Cell<bool> = const { Cell::new(false) };
    static ALLOCATIONS: Cell<usize> = const { Cell::new(0) };
    static LIVE_BYTES: Cell<isize> = const { Cell::new(0) };
}

struct Counting;

/// What this thread did on the heap.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Heap {
    /// A block that was moved to grow counts as one more.
    pub(crate) allocations: usize,
    /// Taken and not given back.
    pub(crate) bytes: isize,
}

/// Counts while `work` runs. What it returns is alive when the counting ends.
pub(crate) fn count<T>(work: impl FnOnce() -> T) -> (T, Heap) {
    ALLOCATIONS.set(0);
    LIVE_BYTES.set(0);
    ON.set(true);
    let value = work();
    ON.set(false);
    (value, Heap { allocations: ALLOCATIONS.get(), bytes: LIVE_BYTES.get() })
}

fn note(allocations: usize, bytes: isize) {
    if ON.get() {
        ALLOCATIONS.set(ALLOCATIONS.get() + allocations);
        LIVE_BYTES.set(LIVE_BYTES.get() + bytes);
    }
}

// A `Layout` is never larger than `isize::MAX`.
fn size(layout: Layout) -> isize {
    layout.size() as isize
}

// SAFETY: every call is handed on to the system's allocator as it came.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        note(1, size(layout));
        unsafe { System.alloc(layout) }
    }

    unsafe fn alloc_zeroed(&self, layout: Layout) -> *mut u8 {
        note(1, size(layout));
        unsafe { System.alloc_zeroed(layout) }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, new_size: usize) -> *mut u8 {
        note(1, new_size as isize - size(layout));
        unsafe { System.realloc(block, layout, new_size) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        note(0, -size(layout));
        unsafe { System.dealloc(block, layout) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_counted_and_what_is_given_back_is_not_live() {
        let (kept, heap) = count(|| {
            drop(std::hint::black_box(vec![0_u8; 1000]));
            let mut kept = Vec::<u8>::with_capacity(100);
            kept.reserve_exact(300);
            kept
        });
        assert_eq!(heap, Heap { allocations: 3, bytes: 300 });
        drop(kept);
        let (_, after) = count(|| ());
        assert_eq!(after, Heap { allocations: 0, bytes: 0 });
    }
}
