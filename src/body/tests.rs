use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll, Waker};

use bytes::{Buf, Bytes};
use http::HeaderMap;
use http_body::{Body, Frame, SizeHint};
use http_body_util::{BodyExt, Empty, Full};
use tokio_test::{assert_pending, assert_ready, task};
use tower::BoxError;

use super::{NotReplayable, ReplayBody, Rewind, Superseded};

/// A body whose frames are fed from outside, in a data type of its own.
struct Fed(Arc<Mutex<Feed>>);

#[derive(Default)]
struct Feed {
    frames: VecDeque<Result<Frame<VecDeque<u8>>, &'static str>>,
    ended: bool,
    announced: Option<u64>,
    waker: Option<Waker>,
    polls_after_end: usize,
    dropped: bool,
}

#[derive(Clone, Default)]
struct Feeder(Arc<Mutex<Feed>>);

impl Feeder {
    fn announcing(length: u64) -> Self {
        let feeder = Self::default();
        feeder.0.lock().unwrap().announced = Some(length);
        feeder
    }

    fn body(&self) -> Fed {
        Fed(Arc::clone(&self.0))
    }

    fn change(&self, change: impl FnOnce(&mut Feed)) {
        let waker = {
            let mut feed = self.0.lock().unwrap();
            change(&mut feed);
            feed.waker.take()
        };
        if let Some(waker) = waker {
            waker.wake();
        }
    }

    fn data(&self, data: &str) {
        let data = data.bytes().collect();
        self.change(|feed| feed.frames.push_back(Ok(Frame::data(data))));
    }

    fn trailers(&self) {
        let trailers = HeaderMap::from_iter([("x-sum".parse().unwrap(), "7".parse().unwrap())]);
        self.change(|feed| feed.frames.push_back(Ok(Frame::trailers(trailers))));
    }

    fn fail(&self) {
        self.change(|feed| feed.frames.push_back(Err("broken")));
    }

    fn end(&self) {
        self.change(|feed| feed.ended = true);
    }

    fn is_dropped(&self) -> bool {
        self.0.lock().unwrap().dropped
    }
}

impl Body for Fed {
    type Data = VecDeque<u8>;
    type Error = BoxError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<VecDeque<u8>>, BoxError>>> {
        let mut feed = self.0.lock().unwrap();
        if let Some(frame) = feed.frames.pop_front() {
            return Poll::Ready(Some(frame.map_err(Into::into)));
        }
        if feed.ended {
            feed.polls_after_end += 1;
            return Poll::Ready(None);
        }
        feed.waker = Some(cx.waker().clone());
        Poll::Pending
    }

    fn size_hint(&self) -> SizeHint {
        let feed = self.0.lock().unwrap();
        let queued: usize =
            feed.frames.iter().flatten().filter_map(Frame::data_ref).map(Buf::remaining).sum();
        match (feed.announced, feed.ended) {
            (Some(length), _) => SizeHint::with_exact(length),
            // Known at last: a replay must not announce what the first attempt did not.
            (None, true) => SizeHint::with_exact(queued as u64),
            (None, false) => SizeHint::default(),
        }
    }
}

impl Drop for Fed {
    fn drop(&mut self) {
        self.0.lock().unwrap().dropped = true;
    }
}

type Polled = task::Spawn<ReplayBody<Fed>>;

fn recorded(feeder: &Feeder, limit: usize) -> (Polled, Rewind<Fed>) {
    let (body, rewind) = ReplayBody::recorded(feeder.body(), limit);
    (task::spawn(body), rewind)
}

fn poll(body: &mut Polled) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
    body.enter(|cx, body| body.poll_frame(cx))
}

fn next(body: &mut Polled) -> String {
    let frame = assert_ready!(poll(body)).expect("a frame").expect("no error");
    match frame.into_data() {
        Ok(data) => String::from_utf8(data.to_vec()).unwrap(),
        Err(_) => "[trailers]".to_owned(),
    }
}

fn is_superseded(body: &mut Polled) -> bool {
    matches!(assert_ready!(poll(body)), Some(Err(error)) if error.is::<Superseded>())
}

fn is_at_end(body: &mut Polled) -> bool {
    assert_ready!(poll(body)).is_none()
}

fn replay(rewind: Rewind<Fed>) -> Polled {
    task::spawn(rewind.hold().expect("replayable").rewind())
}

#[test]
fn taken_back_before_the_first_poll() {
    let feeder = Feeder::announcing(4);
    feeder.data("ab");
    feeder.data("cd");
    feeder.end();
    let (mut first, rewind) = recorded(&feeder, 100);
    let mut second = replay(rewind);
    assert_eq!(second.size_hint().exact(), Some(4));
    assert!(is_superseded(&mut first));
    assert_eq!((next(&mut second), next(&mut second)), ("ab".into(), "cd".into()));
    assert!(is_at_end(&mut second));
    assert!(is_superseded(&mut first), "and stays so");
}

#[test]
fn taken_back_half_way_while_the_first_attempt_waits() {
    let feeder = Feeder::announcing(6);
    let (mut first, rewind) = recorded(&feeder, 100);
    feeder.data("ab");
    assert_eq!(next(&mut first), "ab");
    assert_eq!(first.size_hint().exact(), Some(4));
    assert_pending!(poll(&mut first));
    let mut second = replay(rewind);
    assert!(first.is_woken(), "the first attempt has to learn of its end");
    assert!(is_superseded(&mut first));
    assert_eq!(second.size_hint().exact(), Some(6));
    assert_eq!(next(&mut second), "ab");
    assert_pending!(poll(&mut second));
    feeder.data("cdef");
    assert!(second.is_woken());
    assert_eq!(next(&mut second), "cdef");
    assert_eq!(second.size_hint().exact(), Some(0));
}

#[test]
fn taken_back_after_the_end_with_trailers() {
    let feeder = Feeder::default();
    let (mut first, rewind) = recorded(&feeder, 100);
    feeder.data("ab");
    feeder.data("");
    feeder.data("c");
    feeder.trailers();
    feeder.end();
    let frames = |body: &mut Polled| [next(body), next(body), next(body), next(body)];
    let expected = ["ab", "", "c", "[trailers]"];
    assert_eq!(frames(&mut first), expected);
    assert!(is_at_end(&mut first));
    assert!(first.is_end_stream());
    let mut second = replay(rewind);
    assert!(!second.is_end_stream());
    assert_eq!(frames(&mut second), expected, "the same frames");
    assert!(is_at_end(&mut second));
    assert!(is_superseded(&mut first), "even an attempt that had seen the end");
    assert_eq!(feeder.0.lock().unwrap().polls_after_end, 1, "an ended body is left alone");
}

#[test]
fn the_end_is_known_with_the_last_frame_and_not_before_the_first() {
    let poll = |body: &mut task::Spawn<ReplayBody<Full<Bytes>>>| {
        assert_ready!(body.enter(|cx, body| body.poll_frame(cx))).expect("a frame")
    };
    let (first, rewind) = ReplayBody::recorded(Full::from("all in one"), 100);
    let mut first = task::spawn(first);
    assert!(!first.is_end_stream());
    assert!(poll(&mut first).is_ok());
    assert!(first.is_end_stream());

    let mut second = task::spawn(rewind.hold().ok().unwrap().rewind());
    assert!(!first.is_end_stream(), "there is an error to come");
    assert!(poll(&mut first).unwrap_err().is::<Superseded>());
    assert!(!second.is_end_stream(), "or it would be sent without a body");
    assert!(poll(&mut second).is_ok());
    assert!(second.is_end_stream());
}

#[test]
fn a_length_that_was_not_announced_is_not_announced_by_the_replay() {
    let feeder = Feeder::default();
    let (mut first, rewind) = recorded(&feeder, 100);
    assert_eq!(first.size_hint().exact(), None);
    feeder.data("ab");
    feeder.end();
    assert_eq!(next(&mut first), "ab");
    let second = replay(rewind);
    assert_eq!(second.size_hint().exact(), None, "or trailers would be lost");
    assert!(!second.is_end_stream());
}

#[test]
fn past_the_limit_the_body_goes_on_and_cannot_be_taken_back() {
    let feeder = Feeder::default();
    let (mut first, rewind) = recorded(&feeder, 4);
    feeder.data("abcd");
    assert_eq!(next(&mut first), "abcd");
    feeder.data("e");
    feeder.data("f");
    feeder.end();
    assert_eq!(next(&mut first), "e");
    assert_eq!(rewind.hold().err(), Some(NotReplayable::TooLong));
    assert_eq!(next(&mut first), "f");
    assert!(is_at_end(&mut first));
}

#[test]
fn exactly_the_limit_is_within_it() {
    let feeder = Feeder::default();
    let (mut first, rewind) = recorded(&feeder, 4);
    feeder.data("ab");
    feeder.data("cd");
    feeder.trailers();
    feeder.end();
    for expected in ["ab", "cd", "[trailers]"] {
        assert_eq!(next(&mut first), expected);
    }
    assert_eq!(next(&mut replay(rewind)), "ab");
}

#[test]
fn a_stream_of_empty_frames_does_not_grow_without_end() {
    let feeder = Feeder::default();
    let (mut first, rewind) = recorded(&feeder, 4);
    for _ in 0..5 {
        feeder.data("");
        next(&mut first);
    }
    assert_eq!(rewind.hold().err(), Some(NotReplayable::TooLong));
}

#[test]
fn a_body_that_failed_cannot_be_taken_back() {
    let feeder = Feeder::default();
    let (mut first, rewind) = recorded(&feeder, 100);
    feeder.data("ab");
    feeder.fail();
    assert_eq!(next(&mut first), "ab");
    let error = assert_ready!(poll(&mut first)).unwrap().unwrap_err();
    assert_eq!(error.to_string(), "broken");
    assert_eq!(rewind.hold().err(), Some(NotReplayable::Failed));
    assert!(is_at_end(&mut first));
}

#[test]
fn a_body_that_fails_in_the_replay_fails_the_replay() {
    let feeder = Feeder::default();
    let (_first, rewind) = recorded(&feeder, 100);
    let mut second = replay(rewind);
    feeder.data("ab");
    feeder.fail();
    assert_eq!(next(&mut second), "ab");
    assert!(assert_ready!(poll(&mut second)).unwrap().is_err());
}

#[test]
fn held_the_first_attempt_stands_still_and_let_go_it_goes_on() {
    let feeder = Feeder::default();
    let (mut first, rewind) = recorded(&feeder, 4);
    feeder.data("ab");
    assert_eq!(next(&mut first), "ab");
    let Ok(held) = rewind.hold() else { panic!("replayable") };
    feeder.data("cdefgh");
    assert_pending!(poll(&mut first), "or it would outrun the limit");
    drop(held);
    assert!(first.is_woken());
    assert_eq!(next(&mut first), "cdefgh");
}

#[test]
fn without_its_rewind_the_body_goes_on() {
    let feeder = Feeder::default();
    let (mut first, rewind) = recorded(&feeder, 100);
    drop(rewind);
    feeder.data("ab");
    feeder.end();
    assert_eq!(next(&mut first), "ab");
    assert!(is_at_end(&mut first));
}

#[test]
fn a_dropped_first_attempt_can_be_taken_back() {
    let feeder = Feeder::default();
    feeder.data("ab");
    let (mut first, rewind) = recorded(&feeder, 100);
    assert_eq!(next(&mut first), "ab");
    drop(first);
    assert!(!feeder.is_dropped());
    let mut second = replay(rewind);
    assert_eq!(next(&mut second), "ab");
}

#[test]
fn the_source_is_dropped_with_the_last_that_could_read_it() {
    let feeder = Feeder::default();
    let (first, rewind) = recorded(&feeder, 100);
    drop(rewind);
    drop(first);
    assert!(feeder.is_dropped());

    let feeder = Feeder::default();
    let (first, rewind) = recorded(&feeder, 100);
    let second = replay(rewind);
    drop(second);
    assert!(feeder.is_dropped(), "though the superseded attempt lingers");
    drop(first);

    let feeder = Feeder::default();
    let (first, rewind) = recorded(&feeder, 100);
    let held = rewind.hold().ok();
    drop(first);
    drop(held);
    assert!(feeder.is_dropped());
}

#[test]
fn a_body_that_panicked_leaves_the_tee_in_order() {
    struct Panics;
    impl Body for Panics {
        type Data = Bytes;
        type Error = BoxError;
        fn poll_frame(
            self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
            panic!("a body's own bug")
        }
    }
    let (first, rewind) = ReplayBody::recorded(Panics, 100);
    let mut first = task::spawn(first);
    let poll =
        std::panic::AssertUnwindSafe(|| first.enter(|cx, body| body.poll_frame(cx)).is_ready());
    assert!(std::panic::catch_unwind(poll).is_err());
    drop(rewind.hold().map(|held| held.rewind()));
}

#[tokio::test]
async fn an_empty_body_needs_no_memory() {
    let (first, rewind) = ReplayBody::recorded(Empty::<Bytes>::new(), 0);
    let second = rewind.hold().ok().unwrap().rewind();
    for body in [first, second] {
        assert!(body.is_end_stream());
        assert_eq!(body.size_hint().exact(), Some(0));
        assert!(body.collect().await.unwrap().to_bytes().is_empty());
    }
}

#[tokio::test]
async fn a_body_in_memory_is_not_copied() {
    let data = Bytes::from_static(b"all in one");
    let (first, rewind) = ReplayBody::recorded(Full::new(data.clone()), 100);
    assert_eq!(first.size_hint().exact(), Some(10));
    assert_eq!(first.collect().await.unwrap().to_bytes().as_ptr(), data.as_ptr());
    let second = rewind.hold().ok().unwrap().rewind();
    assert_eq!(second.size_hint().exact(), Some(10));
    assert_eq!(second.collect().await.unwrap().to_bytes().as_ptr(), data.as_ptr());
}

#[tokio::test]
async fn a_body_that_is_sent_once_is_passed_through() {
    let feeder = Feeder::announcing(2);
    feeder.data("ab");
    feeder.trailers();
    feeder.end();
    let body = ReplayBody::once(feeder.body());
    assert_eq!(body.size_hint().exact(), Some(2));
    let collected = body.collect().await.unwrap();
    assert!(collected.trailers().is_some());
    assert_eq!(collected.to_bytes(), "ab");
}
