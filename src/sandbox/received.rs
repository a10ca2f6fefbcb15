//! One API request, as the server received it.

use std::fmt;

use bytes::Bytes;
use http::header::{CONTENT_LENGTH, TRANSFER_ENCODING};
use http::{HeaderMap, Method, StatusCode, Uri, Version};

/// An API request that the sandbox received.
///
/// Its credential is not in it: only whether there was one.
#[derive(Clone)]
pub struct Received {
    pub(super) method: Method,
    pub(super) uri: Uri,
    pub(super) version: Version,
    pub(super) headers: HeaderMap,
    pub(super) has_credential: bool,
    pub(super) status: Option<StatusCode>,
    pub(super) body: Option<Bytes>,
    pub(super) body_bytes: u64,
    pub(super) body_end: BodyEnd,
    pub(super) trailers: Option<HeaderMap>,
}

/// Whether a request's body came to its end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum BodyEnd {
    /// Not yet.
    Pending,
    /// The server answered without it, before the client began to send it
    /// (`Expect: 100-continue`).
    Unread,
    /// A clean end: the server has every reason to take what it got for the whole.
    Complete,
    /// The client, or the connection, broke off.
    Aborted,
}

impl Received {
    /// The request's method.
    pub fn method(&self) -> &Method {
        &self.method
    }

    /// The request's path, without the query.
    pub fn path(&self) -> &str {
        self.uri.path()
    }

    /// The request's query.
    pub fn query(&self) -> Option<&str> {
        self.uri.query()
    }

    /// The version of HTTP it came over.
    pub fn version(&self) -> Version {
        self.version
    }

    /// The request's headers, but for `Authorization` and its endpoint's credential header.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }

    /// Whether it carried something in the place where its endpoint looks for a token.
    pub fn has_credential(&self) -> bool {
        self.has_credential
    }

    /// The status it was answered with; `None` if it was not, or not yet.
    pub fn status(&self) -> Option<StatusCode> {
        self.status
    }

    /// Its `Content-Length`, in bytes.
    pub fn content_length(&self) -> Option<u64> {
        self.headers.get(CONTENT_LENGTH)?.to_str().ok()?.parse().ok()
    }

    /// Its `Transfer-Encoding`.
    pub fn transfer_encoding(&self) -> Option<&str> {
        self.headers.get(TRANSFER_ENCODING)?.to_str().ok()
    }

    /// The body, if it came to a clean end. It is not kept if the answer did not wait for it
    /// ([`reject_early`](super::Sandbox::reject_early)), nor beyond 16 MiB.
    pub fn body(&self) -> Option<&Bytes> {
        self.body.as_ref()
    }

    /// How many bytes of the body the server has read, kept or not.
    pub fn body_bytes(&self) -> u64 {
        self.body_bytes
    }

    /// Whether, and how, the body ended.
    pub fn body_end(&self) -> BodyEnd {
        self.body_end
    }

    /// Whether the body came to a clean end.
    pub fn complete(&self) -> bool {
        self.body_end == BodyEnd::Complete
    }

    /// The trailers after the body.
    pub fn trailers(&self) -> Option<&HeaderMap> {
        self.trailers.as_ref()
    }
}

impl fmt::Debug for Received {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Names and numbers: a query, a header or a body may hold anything.
        f.debug_struct("Received")
            .field("method", &self.method)
            .field("path", &self.path())
            .field("version", &self.version)
            .field("has_credential", &self.has_credential)
            .field("status", &self.status)
            .field("content_length", &self.content_length())
            .field("body_bytes", &self.body_bytes)
            .field("body_end", &self.body_end)
            .finish_non_exhaustive()
    }
}
