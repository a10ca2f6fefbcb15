//! What a request sends, and what came of it.

use std::collections::{BTreeMap, VecDeque};
use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::HeaderMap;
use http_body::{Body as _, Frame, SizeHint};
use http_body_util::BodyExt;
use tower::BoxError;
use tower_partner_auth::ReplayBody;

use super::format::Body;

/// A body that streams the chunks of a vector, then its trailers.
pub(crate) struct Chunks {
    frames: VecDeque<Frame<Bytes>>,
    left: u64,
}

/// A body that the API is reading.
pub(crate) struct Reading {
    body: ReplayBody<Chunks>,
    announced: Option<u64>,
    received: Body,
    size: usize,
    /// A byte that was another when it was sent.
    mangled: bool,
    ended: bool,
}

impl Chunks {
    pub(crate) fn new(body: &Body) -> Self {
        let mut offset = 0;
        let mut frames = VecDeque::new();
        for length in &body.chunks {
            let bytes: Vec<u8> = (offset..offset + length).map(byte_at).collect();
            frames.push_back(Frame::data(bytes.into()));
            offset += length;
        }
        if !body.trailers.is_empty() {
            let mut trailers = HeaderMap::new();
            for (name, value) in &body.trailers {
                let name: http::HeaderName = name.parse().expect("a valid name of a trailer");
                trailers.insert(name, value.parse().expect("a valid trailer"));
            }
            frames.push_back(Frame::trailers(trailers));
        }
        Self { frames, left: offset as u64 }
    }
}

/// The content of all bodies: the byte at each place, so that nothing can change places unseen.
fn byte_at(offset: usize) -> u8 {
    (offset % 251) as u8
}

impl http_body::Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let frame = self.frames.pop_front();
        let length = frame.as_ref().and_then(Frame::data_ref).map_or(0, Bytes::len);
        self.left -= length as u64;
        Poll::Ready(frame.map(Ok))
    }

    fn is_end_stream(&self) -> bool {
        self.frames.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.left)
    }
}

// === impl Reading ===

impl Reading {
    pub(crate) fn new(body: ReplayBody<Chunks>) -> Self {
        let announced = body.size_hint().exact();
        let ended = body.is_end_stream();
        Self { body, announced, received: Body::default(), size: 0, mangled: false, ended }
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.ended
    }

    /// Reads up to `limit` frames, or all there are.
    pub(crate) async fn read(&mut self, limit: Option<usize>) -> Result<(), BoxError> {
        let mut frames = 0;
        while !self.ended && limit.is_none_or(|limit| frames < limit) {
            match self.body.frame().await {
                None => self.ended = true,
                Some(frame) => self.take(frame?),
            }
            frames += 1;
        }
        Ok(())
    }

    fn take(&mut self, frame: Frame<Bytes>) {
        match frame.into_data() {
            Ok(data) => {
                let offset = self.size;
                self.mangled |=
                    data.iter().enumerate().any(|(at, byte)| *byte != byte_at(offset + at));
                self.received.chunks.push(data.len());
                self.size += data.len();
            }
            Err(frame) => {
                let text =
                    |value: &http::HeaderValue| value.to_str().unwrap_or_default().to_owned();
                let trailers = frame.into_trailers().unwrap_or_default();
                let trailers = trailers.iter().map(|(name, value)| (name.to_string(), text(value)));
                self.received.trailers = trailers.collect::<BTreeMap<_, _>>();
            }
        }
    }

    /// What is wrong with what has been read so far, given what was sent.
    pub(crate) fn fault(&self, sent: &Body) -> Option<String> {
        let size: usize = sent.chunks.iter().sum();
        if self.announced != Some(size as u64) {
            return Some(format!("a body of {size} bytes was announced as {:?}", self.announced));
        }
        let whole = if self.ended {
            self.received == *sent
        } else {
            sent.chunks.starts_with(&self.received.chunks)
        };
        let received = &self.received;
        (self.mangled || !whole).then(|| format!("{sent:?} was sent, and {received:?} came"))
    }
}
