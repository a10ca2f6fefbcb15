//! What a body has streamed so far, up to a limit.

use std::collections::VecDeque;

use bytes::Bytes;
use http::HeaderMap;
use http_body::Frame;

/// Frames in order: data, then at most one frame of trailers.
#[derive(Default)]
pub(super) struct Recording {
    // In place of the deque's first element, so that a body of one frame costs no allocation.
    first: Option<Bytes>,
    more: VecDeque<Bytes>,
    // Boxed, as hardly any request has them, and they are large.
    trailers: Option<Box<HeaderMap>>,
    size: usize,
}

/// The frame cannot be recorded.
pub(super) struct Full;

impl Recording {
    /// Remembers a frame.
    ///
    /// # Errors
    ///
    /// When more than `limit` bytes would be remembered, or a frame comes after the trailers, which
    /// no message of HTTP has.
    pub(super) fn push(&mut self, frame: &Frame<Bytes>, limit: usize) -> Result<(), Full> {
        if self.trailers.is_some() {
            return Err(Full);
        }
        if let Some(data) = frame.data_ref() {
            // An empty frame counts as a byte: a stream of nothing else must not grow without end.
            self.size = self.size.saturating_add(data.len().max(1));
            if self.size > limit {
                return Err(Full);
            }
            match self.first {
                None if self.more.is_empty() => self.first = Some(data.clone()),
                _ => self.more.push_back(data.clone()),
            }
        } else if let Some(trailers) = frame.trailers_ref() {
            self.trailers = Some(Box::new(trailers.clone()));
        }
        Ok(())
    }

    pub(super) fn pop(&mut self) -> Option<Frame<Bytes>> {
        let data = self.first.take().or_else(|| self.more.pop_front());
        data.map(Frame::data)
            .or_else(|| self.trailers.take().map(|trailers| Frame::trailers(*trailers)))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.first.is_none() && self.more.is_empty() && self.trailers.is_none()
    }
}
