//! An HTTP answer as an input spells it, so that inputs are written and read by hand.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use http::{Response, StatusCode};
use http_body::{Body, Frame};

/// The longest padding: past the limit of an answer, and no further.
const MAX_PADDING: usize = 2 * crate::MAX_ANSWER;

/// An HTTP answer. Its text is a line with the status, header lines, an empty line and the body:
///
/// ```text
/// 503 pad=10 frame=3
/// Retry-After: 7
///
/// {"error":"server_error"}
/// ```
///
/// After the status, `pad=10` puts ten spaces before the body, `frame=3` sends it three bytes at a
/// time, and `cut` breaks the connection at its end. What cannot be read is left out.
#[derive(Debug, Clone)]
pub struct Answer {
    /// The status; 200 if the text has none.
    pub status: StatusCode,
    /// The header fields.
    pub headers: HeaderMap,
    /// The whole body, its padding included.
    pub body: Bytes,
    /// How many bytes of the body come at a time.
    pub frame: usize,
    /// Whether the connection breaks at the body's end.
    pub cut: bool,
}

impl Answer {
    /// Reads the text of an answer.
    pub fn parse(text: &[u8]) -> Self {
        let (first, mut rest) = line(text);
        let mut answer = Self {
            status: StatusCode::OK,
            headers: HeaderMap::new(),
            body: Bytes::new(),
            frame: usize::MAX,
            cut: false,
        };
        let mut padding = 0;
        for word in String::from_utf8_lossy(first).split(' ') {
            let number = |text: &str| text.parse().unwrap_or(0);
            match word.split_once('=') {
                Some(("pad", n)) => padding = number(n).min(MAX_PADDING),
                Some(("frame", n)) => answer.frame = number(n).max(1),
                _ if word == "cut" => answer.cut = true,
                _ => answer.status = word.parse().unwrap_or(answer.status),
            }
        }
        while !rest.is_empty() {
            let (field, after) = line(rest);
            rest = after;
            if field.is_empty() {
                break;
            }
            let mut parts = field.splitn(2, |b| *b == b':');
            let name = HeaderName::from_bytes(parts.next().unwrap_or_default());
            let value = HeaderValue::from_bytes(parts.next().unwrap_or_default().trim_ascii());
            if let (Ok(name), Ok(value)) = (name, value) {
                answer.headers.append(name, value);
            }
        }
        let mut body = vec![b' '; padding];
        body.extend_from_slice(rest);
        answer.body = body.into();
        answer
    }

    /// The answer as a client gets it, and a count of the body bytes that were taken from it.
    pub fn response(
        &self,
    ) -> (Response<impl Body<Data = Bytes, Error = io::Error> + use<>>, Taken) {
        let taken = Taken::default();
        let left = self.body.clone();
        let body = Frames { left, frame: self.frame, cut: self.cut, taken: taken.clone() };
        let mut response = Response::new(body);
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers.clone();
        (response, taken)
    }
}

fn line(text: &[u8]) -> (&[u8], &[u8]) {
    match text.iter().position(|b| *b == b'\n') {
        Some(end) => (text[..end].trim_ascii(), &text[end + 1..]),
        None => (text.trim_ascii(), &[]),
    }
}

/// How many bytes were taken from a body.
#[derive(Debug, Clone, Default)]
pub struct Taken(Arc<AtomicUsize>);

impl Taken {
    /// So many until now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

struct Frames {
    left: Bytes,
    frame: usize,
    cut: bool,
    taken: Taken,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<io::Result<Frame<Bytes>>>> {
        if self.left.is_empty() {
            let cut = std::mem::take(&mut self.cut);
            return Poll::Ready(cut.then(|| Err(io::ErrorKind::ConnectionReset.into())));
        }
        let length = self.frame.min(self.left.len());
        self.taken.0.fetch_add(length, Ordering::Relaxed);
        Poll::Ready(Some(Ok(Frame::data(self.left.split_to(length)))))
    }
}
