//! The revocable tee: one stream, read by one attempt at a time, taken back by its [`Rewind`].
//!
//! The source is behind a mutex that both sides share. Whoever polls holds the lock for the length
//! of one poll; so a rewind never meets a half-read frame, and a superseded attempt never gets
//! another one. No lock is held while a waker runs or a body is dropped.

use std::fmt;
use std::sync::atomic::Ordering;
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tower::BoxError;

use super::poll_bytes;
use super::recording::{Full, Recording};
use super::{Kind, ReplayBody};
use crate::sync::{Arc, AtomicBool, Mutex, MutexGuard, PoisonError};

/// The error that ends a request body whose request was sent again with a new token.
///
/// The caller never sees it: it goes to the connection that was still sending the first attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct Superseded;

/// Why a body cannot be sent a second time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotReplayable {
    /// More of it was streamed than the limit lets be remembered.
    TooLong,
    /// It failed while it was streamed.
    Failed,
}

/// One attempt's view of the stream.
pub(super) struct Attempt<B> {
    tee: Arc<Tee<B>>,
    number: Number,
    // As it was before the first frame, less what this attempt delivered: a replay has to announce
    // what the first attempt announced, even if more is known by then.
    hint: SizeHint,
    /// Nothing comes after the last frame. Unknown before the first one: a replay must not look
    /// emptier than the first attempt did.
    at_end: bool,
}

/// The right to take the stream back. Dropped, it ends the recording.
pub(crate) struct Rewind<B> {
    // None: the body has no frames.
    tee: Option<Arc<Tee<B>>>,
}

/// A stream that stands still, so that it can be taken back at any time. Dropped, it goes on.
pub(crate) struct Held<B> {
    tee: Option<Arc<Tee<B>>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Number {
    First,
    Replay,
}

struct Tee<B> {
    limit: usize,
    /// A replay reads the stream now. Set under the lock; beside it, so that a first attempt need not
    /// take the lock to know that it is at its end.
    superseded: AtomicBool,
    state: Mutex<State<B>>,
}

struct State<B> {
    /// What is left of the stream; `None` once nobody can read it.
    source: Option<B>,
    /// The source has ended or failed: not every body bears another poll.
    ended: bool,
    memory: Memory,
    hold: Hold,
    /// The reader, if it waits: to be woken when it is superseded or released.
    waker: Option<Waker>,
    /// As the source announced it before its first frame.
    announced: SizeHint,
}

enum Memory {
    /// Everything streamed so far.
    Recording(Recording),
    /// What the replay has still to repeat before it goes on with the source.
    Replaying(Recording),
    /// Nobody can rewind any more.
    Off,
    Lost(NotReplayable),
}

/// Whether the first attempt may read on.
#[derive(PartialEq, Eq)]
enum Hold {
    Open,
    /// The API has rejected the token: what is read now is read in vain, and may cost the replay.
    Held,
}

pub(super) fn tee<B: Body>(body: B, limit: usize) -> (Attempt<B>, Rewind<B>) {
    let hint = body.size_hint();
    let tee = Arc::new(Tee {
        limit,
        superseded: AtomicBool::new(false),
        state: Mutex::new(State {
            source: Some(body),
            ended: false,
            memory: Memory::Recording(Recording::default()),
            hold: Hold::Open,
            waker: None,
            announced: hint,
        }),
    });
    let attempt = Attempt { tee: Arc::clone(&tee), number: Number::First, hint, at_end: false };
    (attempt, Rewind { tee: Some(tee) })
}

// === impl Attempt ===

impl<B> Attempt<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    pub(super) fn poll_frame(
        &mut self,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        if self.is_end_stream() {
            return Poll::Ready(None);
        }
        let frame = {
            let mut state = self.tee.lock();
            if self.is_superseded() {
                return Poll::Ready(Some(Err(Superseded.into())));
            }
            let frame = std::task::ready!(state.poll_frame(self.tee.limit, cx));
            self.at_end = state.is_at_end();
            frame
        };
        if let Some(data) = frame.as_ref().and_then(|frame| frame.as_ref().ok()?.data_ref()) {
            self.hint = less(&self.hint, data.len() as u64);
        }
        Poll::Ready(frame)
    }

    pub(super) fn size_hint(&self) -> SizeHint {
        self.hint
    }
}

impl<B> Attempt<B> {
    pub(super) fn is_end_stream(&self) -> bool {
        // A superseded attempt has an error to deliver still.
        self.at_end && !self.is_superseded()
    }

    fn is_superseded(&self) -> bool {
        self.number == Number::First && self.tee.superseded.load(Ordering::Acquire)
    }
}

impl<B> Drop for Attempt<B> {
    fn drop(&mut self) {
        // A first attempt may linger in a broken connection: it must not keep the source alive.
        if self.number == Number::Replay {
            let finished = self.tee.lock().source.take();
            drop(finished);
        }
    }
}

fn less(hint: &SizeHint, delivered: u64) -> SizeHint {
    let mut rest = SizeHint::new();
    if let Some(upper) = hint.upper() {
        rest.set_upper(upper.saturating_sub(delivered));
    }
    rest.set_lower(hint.lower().saturating_sub(delivered));
    rest
}

// === impl State ===

impl<B> State<B> {
    fn is_at_end(&self) -> bool
    where
        B: Body,
    {
        let ended = self.ended || self.source.as_ref().is_some_and(Body::is_end_stream);
        let repeated = match &self.memory {
            Memory::Replaying(recording) => recording.is_empty(),
            _ => true,
        };
        ended && repeated
    }

    fn poll_frame(
        &mut self,
        limit: usize,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
    where
        B: Body + Unpin,
        B::Error: Into<BoxError>,
    {
        if self.hold == Hold::Held {
            self.park(cx);
            return Poll::Pending;
        }
        if let Memory::Replaying(recording) = &mut self.memory {
            if let Some(frame) = recording.pop() {
                return Poll::Ready(Some(Ok(frame)));
            }
            self.memory = Memory::Off;
        }
        let Some(source) = self.source.as_mut().filter(|_| !self.ended) else {
            return Poll::Ready(None);
        };
        let Poll::Ready(frame) = poll_bytes(source, cx) else {
            self.park(cx);
            return Poll::Pending;
        };
        if let Memory::Recording(recording) = &mut self.memory {
            match &frame {
                Some(Ok(frame)) => {
                    if let Err(Full) = recording.push(frame, limit) {
                        self.memory = Memory::Lost(NotReplayable::TooLong);
                    }
                }
                Some(Err(_)) => self.memory = Memory::Lost(NotReplayable::Failed),
                None => {}
            }
        }
        self.ended = !matches!(frame, Some(Ok(_)));
        Poll::Ready(frame)
    }

    fn park(&mut self, cx: &mut Context<'_>) {
        match &mut self.waker {
            Some(waker) => waker.clone_from(cx.waker()),
            None => self.waker = Some(cx.waker().clone()),
        }
    }
}

impl<B> Tee<B> {
    /// Ends the recording, and lets the first attempt read on.
    // `tee` and not `self`: a model checker's `Arc` is no receiver.
    fn release(tee: &Arc<Self>) {
        if Arc::strong_count(tee) == 1 {
            // It has read all it wants.
            return;
        }
        let (recording, reader) = {
            let mut state = tee.lock();
            let recording = std::mem::replace(&mut state.memory, Memory::Off);
            let held = std::mem::replace(&mut state.hold, Hold::Open) == Hold::Held;
            (recording, if held { state.waker.take() } else { None })
        };
        drop(recording);
        if let Some(waker) = reader {
            waker.wake();
        }
    }

    // A body that panicked in a poll has poisoned the lock; the state around it is still sound.
    fn lock(&self) -> MutexGuard<'_, State<B>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

// === impl Rewind ===

impl<B> Rewind<B> {
    /// For a body without frames.
    pub(super) fn empty() -> Self {
        Self { tee: None }
    }

    /// Stops the first attempt from reading on, so that the stream can be taken back.
    ///
    /// # Errors
    ///
    /// When it is too late for that; the attempt goes on then.
    pub(crate) fn hold(mut self) -> Result<Held<B>, NotReplayable> {
        if let Some(tee) = &self.tee {
            let mut state = tee.lock();
            if let Memory::Lost(why) = state.memory {
                return Err(why);
            }
            state.hold = Hold::Held;
        }
        Ok(Held { tee: self.tee.take() })
    }
}

impl<B> Drop for Rewind<B> {
    fn drop(&mut self) {
        if let Some(tee) = &self.tee {
            Tee::release(tee);
        }
    }
}

// === impl Held ===

impl<B> Held<B> {
    /// Ends the first attempt's body in an error and gives the whole stream anew.
    pub(crate) fn rewind(mut self) -> ReplayBody<B> {
        let Some(tee) = self.tee.take() else {
            return ReplayBody { kind: Kind::Empty };
        };
        let (hint, superseded) = {
            let mut state = tee.lock();
            // Held, nothing has been read since it was found to be replayable.
            if let Memory::Recording(recording) = &mut state.memory {
                let recording = std::mem::take(recording);
                state.memory = Memory::Replaying(recording);
            }
            tee.superseded.store(true, Ordering::Release);
            state.hold = Hold::Open;
            (state.announced, state.waker.take())
        };
        if let Some(waker) = superseded {
            waker.wake();
        }
        Attempt { tee, number: Number::Replay, hint, at_end: false }.into()
    }
}

impl<B> Drop for Held<B> {
    fn drop(&mut self) {
        if let Some(tee) = &self.tee {
            Tee::release(tee);
        }
    }
}

// === impl Superseded ===

impl fmt::Display for Superseded {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the request was sent again with a new token; this attempt's body ends here")
    }
}

impl std::error::Error for Superseded {}
