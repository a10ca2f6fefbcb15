//! [`PartnerAuth`], the service, and what its response future does for one request.
//!
//! # Layout
//!
//! - [`auth`] is what all clones of a layer share: which request needs which token;
//! - [`slots`] are the tokens themselves, one for each set of scopes;
//! - [`future`] is the state machine of one request;
//! - [`judge`] reads a response and decides whether the request is sent again;
//! - [`head`] is what is kept of a request to send it again, beside its body;
//! - [`memory`] keeps rejections that no renewal can mend from costing a fetch each;
//! - [`choice`] and [`outcome`] are what a caller says and is told, in extensions.

mod auth;
mod choice;
mod future;
mod head;
mod judge;
mod memory;
mod outcome;
mod slots;

use std::fmt;
use std::sync::Arc;
use std::task::{Context, Poll};

use http::header::Entry;
use http::{Request, Response};
use http_body::Body;
use tower::BoxError;
use tower_service::Service;

pub(crate) use auth::{Auth, Guard};
pub use choice::RequestAuth;
pub use future::ResponseFuture;
use judge::{Judge, Message, Unsent};
pub use outcome::{AuthOutcome, Rejection};
pub(crate) use slots::Slots;

use crate::body::ReplayBody;
use crate::error::Error;
use crate::striped::{Line, Striped};
use crate::token::Acquired;

/// Authorises requests before it hands them to the inner service `S`: made by
/// [`PartnerAuthLayer`](crate::PartnerAuthLayer).
///
/// The inner service gets `Request<ReplayBody<B>>` for the caller's `Request<B>`, where `B` is any
/// `Unpin` body. It has to be `Clone`: a request that waited for a token, or is sent a second time,
/// goes through a clone that is made ready for it.
///
/// # Errors
///
/// See [`Error`]. Only a request that needs a token and cannot have one fails because of this
/// service.
///
/// # Panics
///
/// A call that has to wait for a token panics on a Tokio runtime without timers
/// (`tokio::runtime::Builder::enable_time`).
#[derive(Clone)]
pub struct PartnerAuth<S> {
    inner: S,
    auth: Shared,
}

/// What all clones of a layer share. Each thread has a copy of its own, so that the future of a call
/// can own it without touching a counter that another thread touches.
#[derive(Clone)]
pub(crate) struct Shared {
    copies: Arc<Striped<Handle>>,
}

/// One thread's copy: a counter of its own around the one that all share.
type Handle = Arc<Line<Arc<Auth>>>;

impl Shared {
    pub(crate) fn new(auth: Auth) -> Self {
        let auth = Arc::new(auth);
        Self { copies: Arc::new(Striped::new(|| Arc::new(Line(Arc::clone(&auth))))) }
    }

    fn handle(&self) -> &Handle {
        self.copies.get()
    }

    pub(crate) fn slots(&self) -> &Slots {
        self.handle().slots()
    }
}

impl<S> PartnerAuth<S> {
    pub(crate) fn new(inner: S, auth: Shared) -> Self {
        Self { inner, auth }
    }

    /// The inner service.
    pub fn get_ref(&self) -> &S {
        &self.inner
    }

    /// The inner service.
    pub fn get_mut(&mut self) -> &mut S {
        &mut self.inner
    }

    /// The inner service.
    pub fn into_inner(self) -> S {
        self.inner
    }
}

impl<S, B, R> Service<Request<B>> for PartnerAuth<S>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Response = Response<R>;
    type Error = Error<S::Error>;
    type Future = ResponseFuture<S, B>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        self.inner.poll_ready(cx).map_err(Error::Service)
    }

    #[inline]
    fn call(&mut self, mut request: Request<B>) -> Self::Future {
        let auth = self.auth.handle();
        let ticket = match auth.admit(&request) {
            Ok(Some(ticket)) => ticket,
            Ok(None) => return ResponseFuture::untouched(&mut self.inner, request),
            Err(error) => return ResponseFuture::refused(error.into()),
        };
        let header = auth.guard(&ticket).header();
        // What the request carries already is the caller's own: a user's token, a signature. And a
        // map that is full (of some 24,000 names) has no place for another.
        let Ok(Entry::Vacant(place)) = request.headers_mut().try_entry(header) else {
            return ResponseFuture::untouched(&mut self.inner, request);
        };
        let fresh = auth.slot(&ticket).fresh(auth.guard(&ticket).scheme());
        let mut judge = Judge::new(Arc::clone(auth), ticket);
        if let Some(token) = fresh {
            place.insert(token.value);
            let (response, judge) = judge.send(&mut self.inner, request, token.generation);
            return ResponseFuture::called(response, judge);
        }
        match judge.acquire() {
            Acquired::Ready(Ok(token)) => {
                let (response, judge) =
                    judge.send_with(&mut self.inner, Message::First(request), token);
                ResponseFuture::called(response, judge)
            }
            Acquired::Ready(Err(error)) => ResponseFuture::refused(error.into()),
            Acquired::Pending(wait) => {
                // The instance that was polled ready may hold a permit or a connection for its
                // call. Let go of it: the wait may be long, and a clone is made ready after it.
                let service = self.inner.clone();
                self.inner = service.clone();
                let message = Message::First(request);
                ResponseFuture::awaiting_token(wait, Unsent { judge, service, message })
            }
        }
    }
}

impl<S: fmt::Debug> fmt::Debug for PartnerAuth<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartnerAuth").field("inner", &self.inner).finish_non_exhaustive()
    }
}
