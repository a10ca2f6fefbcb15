//! Models of the tee: what becomes of a stream when the first attempt, the rewind and the replay meet
//! in every order. Run by `.ci/models`.
//!
//! A lost wake-up shows as a deadlock, and a tee that outlives its users as a leak: loom reports
//! both by itself.

use std::collections::VecDeque;
use std::pin::Pin;
use std::task::{Context, Poll, Wake, Waker};

use bytes::Bytes;
use http_body::{Body, Frame};
use tower::BoxError;

use super::{NotReplayable, ReplayBody, Rewind, Superseded};
use crate::sync::model::{block_on, model, outcomes, spawn};
use crate::sync::{Arc, Mutex};

/// What the caller's body has still to give, and what became of it.
#[derive(Default)]
struct Feed {
    frames: VecDeque<Result<&'static str, &'static str>>,
    ended: bool,
    waker: Option<Waker>,
    dropped: bool,
}

/// The caller's body, fed while it is read.
struct Source(Arc<Mutex<Feed>>);

#[derive(Clone)]
struct Feeder(Arc<Mutex<Feed>>);

impl Feeder {
    /// A stream of `frames` that waits for more.
    fn waiting(frames: &[&'static str]) -> Self {
        let frames = frames.iter().copied().map(Ok).collect();
        Self(Arc::new(Mutex::new(Feed { frames, ..Feed::default() })))
    }

    /// A stream of `frames` and no more.
    fn ended(frames: &[&'static str]) -> Self {
        let feeder = Self::waiting(frames);
        feeder.0.lock().unwrap().ended = true;
        feeder
    }

    fn recorded(&self, limit: usize) -> (ReplayBody<Source>, Rewind<Source>) {
        ReplayBody::recorded(Source(Arc::clone(&self.0)), limit)
    }

    fn feed(&self, change: impl FnOnce(&mut Feed)) {
        let waker = {
            let mut feed = self.0.lock().unwrap();
            change(&mut feed);
            feed.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn last(&self, frame: &'static str) {
        self.feed(|feed| {
            feed.frames.push_back(Ok(frame));
            feed.ended = true;
        });
    }

    fn is_dropped(&self) -> bool {
        self.0.lock().unwrap().dropped
    }
}

impl Body for Source {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let mut feed = self.0.lock().unwrap();
        if let Some(frame) = feed.frames.pop_front() {
            let frame = frame.map(|data| Frame::data(Bytes::from_static(data.as_bytes())));
            return Poll::Ready(Some(frame.map_err(Into::into)));
        }
        if feed.ended {
            return Poll::Ready(None);
        }
        feed.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn is_end_stream(&self) -> bool {
        let feed = self.0.lock().unwrap();
        feed.ended && feed.frames.is_empty()
    }
}

impl Drop for Source {
    fn drop(&mut self) {
        Feeder(Arc::clone(&self.0)).feed(|feed| feed.dropped = true);
    }
}

/// How a connection's reading of a body ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum End {
    Clean,
    Superseded,
    Broken,
}

/// The frames that one attempt sent, and how it ended.
type Sent = (Vec<String>, End);

/// Reads a body as a connection does, which believes a body that says it is at its end.
fn send(mut body: ReplayBody<Source>) -> Sent {
    let mut frames = Vec::new();
    loop {
        match block_on(|cx| Pin::new(&mut body).poll_frame(cx)) {
            Some(Ok(frame)) => frames.push(text(frame)),
            Some(Err(error)) if error.is::<Superseded>() => return (frames, End::Superseded),
            Some(Err(_)) => return (frames, End::Broken),
            None => return (frames, End::Clean),
        }
        if body.is_end_stream() {
            return (frames, End::Clean);
        }
    }
}

fn text(frame: Frame<Bytes>) -> String {
    let data = frame.into_data().expect("these streams have no trailers");
    String::from_utf8(data.into()).unwrap()
}

/// One poll by a connection that then has other things to do.
fn poll_once(body: &mut ReplayBody<Source>) -> Option<String> {
    let mut cx = Context::from_waker(Waker::noop());
    match Pin::new(body).poll_frame(&mut cx) {
        Poll::Ready(Some(Ok(frame))) => Some(text(frame)),
        _ => None,
    }
}

fn replay(rewind: Rewind<Source>) -> ReplayBody<Source> {
    rewind.hold().ok().expect("within the limit").rewind()
}

fn whole(frames: &[&str]) -> Sent {
    (frames.iter().map(ToString::to_string).collect(), End::Clean)
}

/// What a first attempt may have sent of `frames` when another took its place: a part, never taken
/// for the whole; or the whole, before it was stopped.
#[track_caller]
fn assert_superseded((sent, end): &Sent, frames: &[&str]) {
    assert!(frames.starts_with(&sent.iter().map(String::as_str).collect::<Vec<_>>()), "{sent:?}");
    match end {
        End::Superseded => {}
        End::Clean => assert_eq!(sent.len(), frames.len(), "a part was taken for the whole"),
        End::Broken => panic!("the stream did not fail"),
    }
}

#[test]
fn taken_back_at_any_moment_the_replay_sends_the_whole_stream() {
    const FRAMES: [&str; 3] = ["a", "b", "c"];
    let ends = outcomes(|| {
        let feeder = Feeder::ended(&FRAMES);
        let (first, rewind) = feeder.recorded(100);
        let first = spawn(move || send(first));
        assert_eq!(send(replay(rewind)), whole(&FRAMES));
        let sent = first.join();
        assert_superseded(&sent, &FRAMES);
        (sent.0.len(), sent.1)
    });
    let stopped = (0..=3).map(|sent| (sent, End::Superseded));
    assert_eq!(ends, stopped.chain([(3, End::Clean)]).collect());
}

#[test]
fn a_first_attempt_that_waits_learns_that_it_is_superseded() {
    model(|| {
        let feeder = Feeder::waiting(&["a"]);
        let (first, rewind) = feeder.recorded(100);
        let first = spawn(move || send(first));
        let second = replay(rewind);
        // Without a frame from the source: nothing but the rewind can have woken it.
        let sent = first.join();
        assert_eq!(sent.1, End::Superseded);
        assert_superseded(&sent, &["a"]);
        feeder.last("b");
        assert_eq!(send(second), whole(&["a", "b"]));
    });
}

#[test]
fn let_go_the_first_attempt_reads_on_whenever_the_source_woke_it() {
    model(|| {
        let feeder = Feeder::waiting(&["a"]);
        let (first, rewind) = feeder.recorded(100);
        let first = spawn(move || send(first));
        let held = rewind.hold().ok().expect("within the limit");
        // The source's one wake-up may come to a reader that must not read now.
        feeder.last("b");
        drop(held);
        assert_eq!(first.join(), whole(&["a", "b"]));
    });
}

#[test]
fn the_replay_waits_for_the_source_as_the_first_attempt_did() {
    model(|| {
        let feeder = Feeder::waiting(&["a"]);
        let (first, rewind) = feeder.recorded(100);
        let first = spawn(move || send(first));
        let fed = spawn(move || feeder.last("b"));
        assert_eq!(send(replay(rewind)), whole(&["a", "b"]));
        assert_superseded(&first.join(), &["a", "b"]);
        fed.join();
    });
}

#[test]
fn a_first_attempt_that_dies_takes_nothing_from_the_replay() {
    model(|| {
        let feeder = Feeder::ended(&["a", "b"]);
        let (mut first, rewind) = feeder.recorded(100);
        let first = spawn(move || poll_once(&mut first));
        assert_eq!(send(replay(rewind)), whole(&["a", "b"]));
        assert!(feeder.is_dropped(), "with the replay, whoever lives yet");
        first.join();
    });
}

#[test]
fn a_replay_that_dies_takes_the_source_with_it() {
    model(|| {
        let feeder = Feeder::waiting(&["a", "b"]);
        let (first, rewind) = feeder.recorded(100);
        let first = spawn(move || send(first));
        let mut second = replay(rewind);
        assert_eq!(poll_once(&mut second).as_deref(), Some("a"));
        drop(second);
        assert!(feeder.is_dropped());
        let sent = first.join();
        assert_eq!(sent.1, End::Superseded);
        assert_superseded(&sent, &["a", "b"]);
    });
}

#[test]
fn a_stream_that_nobody_reads_is_dropped_with_its_last_user() {
    model(|| {
        let feeder = Feeder::waiting(&["a"]);
        let (mut first, rewind) = feeder.recorded(100);
        let first = spawn(move || poll_once(&mut first));
        drop(rewind.hold().ok());
        first.join();
        assert!(feeder.is_dropped());
    });
}

#[test]
fn at_the_limit_either_attempt_sends_the_whole_stream() {
    const FRAMES: [&str; 3] = ["ab", "c", "d"];
    let held = outcomes(|| {
        let feeder = Feeder::ended(&FRAMES);
        let (first, rewind) = feeder.recorded(2);
        let first = spawn(move || send(first));
        let second = rewind.hold().map(|held| held.rewind());
        let held = second.is_ok();
        match second {
            Ok(second) => {
                assert_eq!(send(second), whole(&FRAMES));
                let sent = first.join();
                assert_superseded(&sent, &FRAMES);
                assert!(sent.0.len() < 2, "stopped, or it would have outrun the memory");
            }
            Err(why) => {
                assert_eq!(why, NotReplayable::TooLong);
                assert_eq!(first.join(), whole(&FRAMES));
            }
        }
        held
    });
    assert_eq!(held, [true, false].into());
}

#[test]
fn a_stream_that_fails_fails_whoever_reads_it_then() {
    let held = outcomes(|| {
        let feeder = Feeder::waiting(&["a"]);
        feeder.feed(|feed| feed.frames.push_back(Err("broken")));
        let (first, rewind) = feeder.recorded(100);
        let first = spawn(move || send(first));
        let second = rewind.hold().map(|held| held.rewind());
        let held = second.is_ok();
        let broken = (vec!["a".to_owned()], End::Broken);
        match second {
            Ok(second) => {
                assert_eq!(send(second), broken);
                assert_eq!(first.join().1, End::Superseded);
            }
            Err(why) => {
                assert_eq!(why, NotReplayable::Failed);
                assert_eq!(first.join(), broken);
            }
        }
        held
    });
    assert_eq!(held, [true, false].into());
}

/// A connection that polls the body at once when it is woken, or when the source is dropped.
struct Polls(std::sync::Mutex<Option<ReplayBody<Source>>>);

impl Wake for Polls {
    fn wake(self: std::sync::Arc<Self>) {
        let mut first = self.0.lock().unwrap();
        let Some(first) = first.as_mut() else { return };
        let Poll::Ready(frame) =
            Pin::new(first).poll_frame(&mut Context::from_waker(Waker::noop()))
        else {
            panic!("it is superseded, or was never to be woken");
        };
        assert!(frame.is_some_and(|frame| frame.is_err_and(|error| error.is::<Superseded>())));
    }
}

#[test]
fn wakers_run_and_sources_are_dropped_without_the_lock() {
    model(|| {
        let feeder = Feeder::waiting(&[]);
        let (first, rewind) = feeder.recorded(100);
        let polls = std::sync::Arc::new(Polls(std::sync::Mutex::new(Some(first))));
        let waker = Waker::from(std::sync::Arc::clone(&polls));
        let mut cx = Context::from_waker(&waker);
        let waits = |body: &mut ReplayBody<Source>, cx: &mut Context<'_>| {
            assert!(Pin::new(body).poll_frame(cx).is_pending());
        };
        waits(polls.0.lock().unwrap().as_mut().unwrap(), &mut cx);
        let mut second = replay(rewind);
        waits(&mut second, &mut cx);
        drop(second);
        assert!(feeder.is_dropped());
        // Or the tee and the one who waits would hold each other.
        drop(polls.0.lock().unwrap().take());
    });
}

#[test]
fn accepted_the_request_is_sent_to_its_end() {
    model(|| {
        let feeder = Feeder::waiting(&["a", "b"]);
        let (first, rewind) = feeder.recorded(2);
        let first = spawn(move || send(first));
        drop(rewind);
        feeder.last("c");
        assert_eq!(first.join(), whole(&["a", "b", "c"]));
        assert!(feeder.is_dropped());
    });
}
