//! Response bodies, among them those that break off.

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body::{Body, Frame, SizeHint};
use tokio::time::Sleep;

/// How long a body that breaks off waits before it does: what there is of it should be on the wire.
const FLUSH: Duration = Duration::from_millis(20);

/// The body of an answer.
pub(super) struct Payload {
    data: Option<Bytes>,
    end: End,
}

enum End {
    /// Of the length of its data.
    Exact,
    /// The headers say how long it is, be it true or not.
    AsAnnounced,
    BreaksOff(Option<Pin<Box<Sleep>>>),
}

/// No answer: hyper closes the connection, or resets the HTTP/2 stream.
#[derive(Debug)]
pub(super) struct Unanswered;

impl Payload {
    pub(super) fn new(data: Bytes, truncated: bool, framed: bool) -> Self {
        let end = match (truncated, framed) {
            (true, _) => End::BreaksOff(None),
            (false, true) => End::AsAnnounced,
            (false, false) => End::Exact,
        };
        Self { data: Some(data).filter(|data| !data.is_empty()), end }
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Unanswered;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Unanswered>>> {
        if let Some(data) = self.data.take() {
            return Poll::Ready(Some(Ok(Frame::data(data))));
        }
        let End::BreaksOff(pause) = &mut self.end else {
            return Poll::Ready(None);
        };
        let pause = pause.get_or_insert_with(|| Box::pin(tokio::time::sleep(FLUSH)));
        ready!(pause.as_mut().poll(cx));
        Poll::Ready(Some(Err(Unanswered)))
    }

    fn is_end_stream(&self) -> bool {
        self.data.is_none() && matches!(self.end, End::Exact)
    }

    fn size_hint(&self) -> SizeHint {
        match self.end {
            End::Exact => SizeHint::with_exact(self.data.as_ref().map_or(0, Bytes::len) as u64),
            End::AsAnnounced | End::BreaksOff(_) => SizeHint::default(),
        }
    }
}

impl fmt::Display for Unanswered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the sandbox gives no (further) answer to this request")
    }
}

impl std::error::Error for Unanswered {}
