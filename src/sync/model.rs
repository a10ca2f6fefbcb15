//! What models need beside loom's own primitives: those that it has not, and threads that wait for a
//! waker or for each other.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Wake, Waker};

use ::loom::sync::{Condvar, Mutex, atomic};
use ::loom::thread;
use arc_swap::Guard;

/// Runs a model in every order of its threads' steps, up to the bounds in the environment.
pub(crate) use ::loom::model;

/// Like [`model`], and gives all that the runs came to: a model that never meets the race it is
/// about would hold for nothing.
pub(crate) fn outcomes<T>(run: impl Fn() -> T + Send + Sync + 'static) -> BTreeSet<T>
where
    T: Ord + Send + 'static,
{
    let all = Arc::new(std::sync::Mutex::new(BTreeSet::new()));
    let seen = Arc::clone(&all);
    model(move || {
        let outcome = run();
        seen.lock().unwrap().insert(outcome);
    });
    std::mem::take(&mut *all.lock().unwrap())
}

/// A value that one thread leaves for another. Loom's own ways to wait (`join`, `Notify`,
/// `block_on`) print a line each time: too much for millions of runs.
struct Signal<T> {
    value: Mutex<Option<T>>,
    here: Condvar,
}

impl<T> Signal<T> {
    fn new() -> Arc<Self> {
        Arc::new(Self { value: Mutex::new(None), here: Condvar::new() })
    }

    fn put(&self, value: T) {
        *self.value.lock().unwrap() = Some(value);
        self.here.notify_one();
    }

    fn take(&self) -> T {
        let mut value = self.value.lock().unwrap();
        loop {
            if let Some(value) = value.take() {
                return value;
            }
            value = self.here.wait(value).unwrap();
        }
    }
}

impl Wake for Signal<()> {
    fn wake(self: Arc<Self>) {
        self.put(());
    }
}

/// Polls until there is a result. In between, only a wake-up lets the thread go on: if it is lost,
/// loom reports a deadlock. Each poll is as by another task: only the last waker counts.
pub(crate) fn block_on<T>(mut poll: impl FnMut(&mut Context<'_>) -> Poll<T>) -> T {
    loop {
        let woken = Signal::new();
        let waker = Waker::from(Arc::clone(&woken));
        match poll(&mut Context::from_waker(&waker)) {
            Poll::Ready(result) => return result,
            Poll::Pending => woken.take(),
        }
    }
}

/// A thread of a model.
pub(crate) struct Running<T>(Arc<Signal<T>>);

pub(crate) fn spawn<T: 'static>(run: impl FnOnce() -> T + 'static) -> Running<T> {
    let end = Signal::new();
    let result = Arc::clone(&end);
    thread::spawn(move || result.put(run()));
    Running(end)
}

impl<T> Running<T> {
    pub(crate) fn join(self) -> T {
        self.0.take()
    }
}

/// A point where threads meet, without an order between what they did before and after.
///
/// Loom tries both orders of a load and a store only if nobody loads in between: it remembers but
/// the last access to an atomic, and takes two loads for independent. Here each access depends on
/// the one before it.
struct Meeting(Condvar);

impl Meeting {
    fn new() -> Self {
        Self(Condvar::new())
    }

    fn meet(&self) {
        self.0.notify_one();
    }
}

/// Stands in for `std`'s: a load may give any value that the memory model lets it see.
pub(crate) struct AtomicU64 {
    value: atomic::AtomicU64,
    meeting: Meeting,
}

impl AtomicU64 {
    pub(crate) fn new(value: u64) -> Self {
        Self { value: atomic::AtomicU64::new(value), meeting: Meeting::new() }
    }

    pub(crate) fn load(&self, ordering: Ordering) -> u64 {
        self.meeting.meet();
        self.value.load(ordering)
    }

    pub(crate) fn store(&self, value: u64, ordering: Ordering) {
        self.meeting.meet();
        self.value.store(value, ordering);
    }
}

/// Stands in for arc-swap's, whose loads acquire and whose stores swap.
pub(crate) struct ArcSwapOption<T> {
    stored: std::sync::Mutex<Vec<Option<Arc<T>>>>,
    // The place of the current value: what loom sees of it.
    current: atomic::AtomicUsize,
    meeting: Meeting,
}

impl<T> ArcSwapOption<T> {
    pub(crate) fn empty() -> Self {
        Self {
            stored: std::sync::Mutex::new(vec![None]),
            current: atomic::AtomicUsize::new(0),
            meeting: Meeting::new(),
        }
    }

    pub(crate) fn load(&self) -> Guard<Option<Arc<T>>> {
        Guard::from_inner(self.load_full())
    }

    pub(crate) fn load_full(&self) -> Option<Arc<T>> {
        self.meeting.meet();
        let place = self.current.load(Ordering::Acquire);
        self.stored.lock().unwrap()[place].clone()
    }

    pub(crate) fn store(&self, value: Option<Arc<T>>) {
        let place = {
            let mut stored = self.stored.lock().unwrap();
            stored.push(value);
            stored.len() - 1
        };
        self.meeting.meet();
        self.current.swap(place, Ordering::AcqRel);
    }
}

/// Stands in for tokio's channel of one value.
pub(crate) mod oneshot {
    use std::future::Future;
    use std::pin::Pin;
    use std::sync::Arc;
    use std::task::{Context, Poll, Waker};

    use ::loom::sync::Mutex;

    pub(crate) struct Sender<T>(Arc<Mutex<State<T>>>);
    pub(crate) struct Receiver<T>(Arc<Mutex<State<T>>>);

    /// The sender is gone.
    #[derive(Debug)]
    pub(crate) struct RecvError;

    struct State<T> {
        value: Option<T>,
        sending: bool,
        receiving: bool,
        receiver: Option<Waker>,
    }

    pub(crate) fn channel<T>() -> (Sender<T>, Receiver<T>) {
        let state = State { value: None, sending: true, receiving: true, receiver: None };
        let state = Arc::new(Mutex::new(state));
        (Sender(Arc::clone(&state)), Receiver(state))
    }

    impl<T> Sender<T> {
        pub(crate) fn send(self, value: T) -> Result<(), T> {
            let mut state = self.0.lock().unwrap();
            if !state.receiving {
                return Err(value);
            }
            state.value = Some(value);
            Ok(())
        }

        pub(crate) fn is_closed(&self) -> bool {
            !self.0.lock().unwrap().receiving
        }
    }

    impl<T> Drop for Sender<T> {
        fn drop(&mut self) {
            let receiver = {
                let mut state = self.0.lock().unwrap();
                state.sending = false;
                state.receiver.take()
            };
            if let Some(receiver) = receiver {
                receiver.wake();
            }
        }
    }

    impl<T> Future for Receiver<T> {
        type Output = Result<T, RecvError>;

        fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
            let mut state = self.0.lock().unwrap();
            if let Some(value) = state.value.take() {
                return Poll::Ready(Ok(value));
            }
            if !state.sending {
                return Poll::Ready(Err(RecvError));
            }
            state.receiver = Some(cx.waker().clone());
            Poll::Pending
        }
    }

    impl<T> Drop for Receiver<T> {
        fn drop(&mut self) {
            self.0.lock().unwrap().receiving = false;
        }
    }
}
