//! Request bodies that can be sent a second time.

#[cfg(all(test, partner_auth_loom))]
mod loom;
mod recording;
mod tee;
#[cfg(test)]
mod tests;

use std::fmt;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http_body::{Body, Frame, SizeHint};
use tower::BoxError;

use tee::Attempt;
pub use tee::Superseded;
pub(crate) use tee::{Held, NotReplayable, Rewind};

/// The request body that [`PartnerAuth`](crate::PartnerAuth) hands to the inner service.
///
/// It streams the caller's body through, frame by frame, and remembers what it streamed, up to the
/// route's replay limit; nothing is gathered first. If the API rejects the token, the layer takes
/// the stream back, even from a connection that is still sending it, and the second request sends
/// the same bytes, in the same frames, with the same length and trailers. The first attempt's body
/// then ends in the error [`Superseded`], never in a clean end of stream, so that no server can
/// mistake a part of it for the whole.
///
/// Data frames are `Bytes`: a body of `Bytes` is passed on and remembered without copying.
#[must_use = "a body does nothing unless it is polled"]
pub struct ReplayBody<B> {
    kind: Kind<B>,
}

enum Kind<B> {
    /// Cannot be taken back.
    Once(B),
    /// Has no frames: it needs no memory to be sent twice.
    Empty,
    Recorded(Attempt<B>),
}

impl<B> ReplayBody<B> {
    /// A body that is streamed through and cannot be taken back: what requests without a route get.
    pub fn once(body: B) -> Self {
        Self { kind: Kind::Once(body) }
    }
}

impl<B: Body> ReplayBody<B> {
    /// A body that remembers up to `limit` bytes, and the handle that takes it back.
    pub(crate) fn recorded(body: B, limit: usize) -> (Self, Rewind<B>) {
        if body.is_end_stream() {
            return (Self { kind: Kind::Empty }, Rewind::empty());
        }
        let (attempt, rewind) = tee::tee(body, limit);
        (attempt.into(), rewind)
    }
}

impl<B> From<Attempt<B>> for ReplayBody<B> {
    fn from(attempt: Attempt<B>) -> Self {
        Self { kind: Kind::Recorded(attempt) }
    }
}

impl<B> Body for ReplayBody<B>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        match &mut self.kind {
            Kind::Once(body) => poll_bytes(body, cx),
            Kind::Empty => Poll::Ready(None),
            Kind::Recorded(attempt) => attempt.poll_frame(cx),
        }
    }

    fn is_end_stream(&self) -> bool {
        match &self.kind {
            Kind::Once(body) => body.is_end_stream(),
            Kind::Empty => true,
            Kind::Recorded(attempt) => attempt.is_end_stream(),
        }
    }

    fn size_hint(&self) -> SizeHint {
        match &self.kind {
            Kind::Once(body) => body.size_hint(),
            Kind::Empty => SizeHint::with_exact(0),
            Kind::Recorded(attempt) => attempt.size_hint(),
        }
    }
}

/// Polls a body of any kind of data for a frame of `Bytes`: no copy if it is `Bytes` already.
fn poll_bytes<B>(body: &mut B, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, BoxError>>>
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    let frame = std::task::ready!(Pin::new(body).poll_frame(cx));
    Poll::Ready(frame.map(|frame| match frame {
        Ok(frame) => Ok(frame.map_data(|mut data| data.copy_to_bytes(data.remaining()))),
        Err(error) => Err(error.into()),
    }))
}

impl<B> fmt::Debug for ReplayBody<B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // The body's content is the caller's business and stays out of every log.
        f.debug_struct("ReplayBody").finish_non_exhaustive()
    }
}
