//! What every peer is to the scenarios: one call with a token, and the same call without.

use std::error::Error;
use std::future::{Future, poll_fn};
use std::pin::{Pin, pin};
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, Waker};

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tower::Service;

use crate::partner::{Api, Partner};

pub(crate) type Failure = Box<dyn Error + Send + Sync>;
pub(crate) type Outcome = Result<StatusCode, Failure>;

/// A client of the API that sees to its own tokens. Clones share them.
pub(crate) trait Peer: Clone + Send + Sync + 'static {
    /// Sets the peer up, as its documentation does. `api` is what it calls, the partner's URL where
    /// it gets its tokens. It may fetch its first token here, if it cannot be set up otherwise.
    fn start(partner: &Partner, api: Api) -> impl Future<Output = Result<Self, Failure>>;

    /// One call: gets a token, puts it into a request and sends that to the API.
    fn call(&mut self) -> impl Future<Output = Outcome> + Send;

    /// The same call without the peer: what is left when nothing sees to a token.
    fn bare(&mut self) -> impl Future<Output = Outcome> + Send;
}

/// A peer whose type is forgotten.
pub(crate) trait AnyPeer: Send + Sync {
    /// One call by a clone of its own.
    fn call(&self) -> Pin<Box<dyn Future<Output = Outcome> + Send>>;

    /// Calls one after another on this thread, each of which has to be ready at once.
    fn call_warm(&self, calls: usize) -> Result<(), Failure>;

    /// As many calls without the peer.
    fn call_bare(&self, calls: usize) -> Result<(), Failure>;
}

impl<P: Peer> AnyPeer for P {
    fn call(&self) -> Pin<Box<dyn Future<Output = Outcome> + Send>> {
        let mut peer = self.clone();
        Box::pin(async move { Peer::call(&mut peer).await })
    }

    fn call_warm(&self, calls: usize) -> Result<(), Failure> {
        let mut peer = self.clone();
        (0..calls).try_for_each(|_| at_once(Peer::call(&mut peer)))
    }

    fn call_bare(&self, calls: usize) -> Result<(), Failure> {
        let mut peer = self.clone();
        (0..calls).try_for_each(|_| at_once(peer.bare()))
    }
}

fn at_once(call: impl Future<Output = Outcome>) -> Result<(), Failure> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(StatusCode::OK)) => Ok(()),
        Poll::Ready(Ok(status)) => Err(format!("a warm call was answered {status}").into()),
        Poll::Ready(Err(failure)) => Err(failure),
        Poll::Pending => Err("a warm call had to wait".into()),
    }
}

pub(crate) type Started = Pin<Box<dyn Future<Output = Result<Arc<dyn AnyPeer>, Failure>>>>;

/// What the tables say of a peer.
#[derive(Clone, Copy)]
pub(crate) struct About {
    pub(crate) name: &'static str,
    /// Its package in the lock file, if it is one.
    pub(crate) package: Option<&'static str>,
    /// The page that its setup here follows.
    pub(crate) setup: &'static str,
    /// What it leaves to its user.
    pub(crate) cannot: &'static str,
    /// What becomes of a call that gets a 401 for a dead token.
    pub(crate) after_401: After401,
    /// Why it has no tokens to fetch, renew or lose, if it has none.
    pub(crate) no_tokens: Option<&'static str>,
    /// Whether it is in the warm scenario only: the same as another peer, but for a setting.
    pub(crate) warm_only: bool,
}

#[derive(Clone, Copy, PartialEq)]
pub(crate) enum After401 {
    /// The caller gets it.
    Returned,
    /// The peer's user, who made the request, makes it once more.
    MadeAgain,
    /// The peer sends it again, and has kept what it needs for that.
    SentAgain,
}

/// A peer of the comparison, not started yet.
#[derive(Clone, Copy)]
pub(crate) struct Entry {
    pub(crate) about: About,
    pub(crate) start: fn(Partner, Api) -> Started,
}

impl Entry {
    pub(crate) const fn of<P: Peer>(about: About) -> Self {
        let start = |partner: Partner, api: Api| -> Started {
            Box::pin(async move {
                let peer: Arc<dyn AnyPeer> = Arc::new(P::start(&partner, api).await?);
                Ok(peer)
            })
        };
        Self { about, start }
    }
}

/// A request as clients make them, with a path of some depth, a few headers and a body in memory.
pub(crate) fn request() -> Request<Full<Bytes>> {
    static TEMPLATE: LazyLock<Request<Full<Bytes>>> = LazyLock::new(|| {
        Request::post(API_URL)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static("bench/1.0"))
            .body(Full::from(API_BODY))
            .expect("a valid request")
    });
    let mut request = Request::new(TEMPLATE.body().clone());
    *request.method_mut() = TEMPLATE.method().clone();
    *request.uri_mut() = TEMPLATE.uri().clone();
    // Room for one more, as a header map that was filled by hand has.
    request.headers_mut().reserve(8);
    for (name, value) in TEMPLATE.headers() {
        request.headers_mut().append(name, value.clone());
    }
    request
}

pub(crate) const API_ORIGIN: &str = "https://api.example.com";
pub(crate) const API_URL: &str = "https://api.example.com/once/v1/7/items";
pub(crate) const API_BODY: &str = "{\"a\":1}";
pub(crate) const SCOPE: &str = "reports";

/// Sends a request through a service, as `tower` wants it: ready first.
pub(crate) async fn send<S, B>(service: &mut S, request: Request<Full<Bytes>>) -> Outcome
where
    S: Service<Request<Full<Bytes>>, Response = Response<B>>,
    S::Error: Into<Failure>,
{
    poll_fn(|cx| service.poll_ready(cx)).await.map_err(Into::into)?;
    Ok(service.call(request).await.map_err(Into::into)?.status())
}
