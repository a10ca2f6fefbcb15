//! The API, as a service in memory: 200 for a token that lives, else 401 with a challenge
//! (RFC 6750 §3.1), which those peers that read it can read.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::Sleep;
use tower::Service;

use super::ledger::Ledger;

pub(crate) const CHALLENGE: &str = "Bearer error=\"invalid_token\"";

#[derive(Clone, Debug)]
pub(crate) struct Api {
    /// `None`: every request is welcome, and nothing is looked at.
    ledger: Option<Arc<Ledger>>,
}

/// The answer to one request: at once, without an allocation, or after the API's delay.
pub(crate) struct Answer {
    status: StatusCode,
    after: Option<Pin<Box<Sleep>>>,
}

impl Api {
    pub(super) fn guarded_by(ledger: Arc<Ledger>) -> Self {
        Self { ledger: Some(ledger) }
    }

    /// The same API without a guard: all that a call then costs is the caller's.
    pub(crate) fn open(self) -> Self {
        Self { ledger: None }
    }

    /// Judges the token as the request arrives, as a server does, and answers when it is due.
    pub(crate) fn answer(&self, authorization: Option<&[u8]>) -> Answer {
        let Some(ledger) = &self.ledger else {
            return Answer { status: StatusCode::OK, after: None };
        };
        let admitted = ledger.admits(authorization);
        let status = if admitted { StatusCode::OK } else { StatusCode::UNAUTHORIZED };
        let delay = ledger.delay();
        let after = (!delay.is_zero()).then(|| Box::pin(tokio::time::sleep(delay)));
        Answer { status, after }
    }
}

impl<B> Service<Request<B>> for Api {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = Answer;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Answer {
        let authorization = request.headers().get(AUTHORIZATION);
        std::hint::black_box(self.answer(authorization.map(HeaderValue::as_bytes)))
    }
}

impl Future for Answer {
    type Output = Result<Response<Full<Bytes>>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        if let Some(after) = &mut self.after {
            ready!(after.as_mut().poll(cx));
        }
        let mut response = Response::new(Full::default());
        *response.status_mut() = self.status;
        if self.status == StatusCode::UNAUTHORIZED {
            response.headers_mut().insert(WWW_AUTHENTICATE, HeaderValue::from_static(CHALLENGE));
        }
        Poll::Ready(Ok(response))
    }
}
