//! The calls that are measured: each request through no layer, through a layer that can only set a
//! constant header, and through ours.
//!
//! Two harnesses use them, so that they cannot measure different things: `cargo bench` in this
//! package, and the crate in `benches/speed`, where the published figures come from.

#![allow(dead_code, reason = "each harness uses a part of it")]

use std::convert::Infallible;
use std::fmt;
use std::future::{Future, Ready, ready};
use std::hint::black_box;
use std::pin::{Pin, pin};
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Method, Request, Response};
use http_body::{Body, Frame};
use http_body_util::{Empty, Full};
use tower::{BoxError, Layer, Service, service_fn};
use tower_http::set_header::SetRequestHeader;
use tower_partner_auth::{
    ClientCredentials, Environment, OnUnauthorized, PartnerAuthLayer, Route, TokenError,
    TokenRequest, TokenResponse,
};

/// As long as the partner's tokens are.
pub(crate) const TOKEN: &str = "82c38b64e072f3d64da6e4e6efee9789ffe1250f0cd04c20753d6e6f25df9cc7";

/// One kind of call. All tokens are fresh.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scenario {
    OneRoute,
    Table,
    ReplayEmpty,
    ReplayMemory,
    ReplayStream,
    NoRoute,
    ForeignOrigin,
    OwnHeader,
}

/// What stands between the caller and the inner service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Through {
    NoLayer,
    /// `tower-http`'s `SetRequestHeader`: the floor.
    Constant,
    Layer,
}

/// Calls of one kind, to be made in batches. The requests are made ahead: a harness times what
/// happens to them, not how a caller builds one.
pub(crate) trait Calls: Send {
    fn prepare(&mut self, calls: usize);
    /// Makes all calls that are prepared.
    fn run(&mut self);
    /// Makes one of them.
    fn run_one(&mut self);
}

/// A layer whose token is there, and the request to send through it. All its [`Calls`] share the
/// token.
pub(crate) struct Subject {
    layer: PartnerAuthLayer,
    constant: HeaderValue,
    request: Template,
}

/// How to make a request again and again, or several in turn.
#[derive(Clone)]
pub(crate) struct Template {
    heads: Vec<Request<()>>,
    body: Content,
}

#[derive(Clone, Copy)]
pub(crate) enum Content {
    Nothing,
    Memory(&'static [u8]),
    Stream,
}

/// The inner service: reads the request body as a client does that sends it, and answers at once.
#[derive(Clone)]
pub(crate) struct Api;

/// A body of frames that come one by one, of unknown length.
#[derive(Clone)]
struct Frames {
    left: usize,
}

// On cache lines of its own (processors fetch them in pairs), as threads have one each.
#[repr(align(128))]
struct Batch<S, B> {
    service: S,
    heads: Vec<Request<()>>,
    body: B,
    requests: Vec<Request<B>>,
}

// === impl Scenario ===

impl Scenario {
    pub(crate) const ALL: [Self; 8] = [
        Self::OneRoute,
        Self::Table,
        Self::ReplayEmpty,
        Self::ReplayMemory,
        Self::ReplayStream,
        Self::NoRoute,
        Self::ForeignOrigin,
        Self::OwnHeader,
    ];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::OneRoute => "one route, replay off",
            Self::Table => "partner's table, replay off",
            Self::ReplayEmpty => "partner's table, replay armed, no body",
            Self::ReplayMemory => "partner's table, replay armed, body in memory",
            Self::ReplayStream => "partner's table, replay armed, body of 4 frames",
            Self::NoRoute => "partner's table, no route matched",
            Self::ForeignOrigin => "partner's table, another origin",
            Self::OwnHeader => "partner's table, caller's own header",
        }
    }

    fn layer(self) -> PartnerAuthLayer {
        match self {
            Self::OneRoute => layer(|builder| {
                let route = Route::any("https://api.example.com/v1/{id}/items", "read");
                builder.route(route.on_unauthorized(OnUnauthorized::Renew))
            }),
            _ => layer(|builder| builder.environment(Environment::test())),
        }
    }

    fn request(self) -> Template {
        const BODY: Content = Content::Memory(b"{\"a\":1}");
        match self {
            Self::OneRoute => Template::post("https://api.example.com/v1/7/items", BODY),
            // Of the table's rows, those that spend a one-time password have the replay off.
            Self::Table => Template::post(
                "https://uatoneapi.payu.in/v3/merchants/8391017/agreements/5532/esign",
                BODY,
            ),
            Self::ReplayEmpty => {
                Template::get("https://uat-partner.payu.in/api/v1/merchants/8391017")
            }
            Self::ReplayMemory => {
                Template::post("https://uat-partner.payu.in/api/v3/merchants", BODY)
            }
            Self::ReplayStream => Template::post(
                "https://uat-partner.payu.in/api/v3/merchants/8391017/kyc_document",
                Content::Stream,
            ),
            Self::NoRoute => Template::get("https://uat-partner.payu.in/api/v1/health"),
            Self::ForeignOrigin => Template::get("https://www.example.com/api/v1/merchants/7"),
            Self::OwnHeader => {
                let url = "https://uat-partner.payu.in/api/v1/merchants/8391017";
                let mut request = Template::get(url);
                let own = HeaderValue::from_static("Bearer 1a2b3c4d5e6f");
                request.heads[0].headers_mut().insert(AUTHORIZATION, own);
                request
            }
        }
    }
}

impl fmt::Display for Scenario {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

// === impl Through ===

impl Through {
    pub(crate) const ALL: [Self; 3] = [Self::NoLayer, Self::Constant, Self::Layer];
}

// === impl Subject ===

impl Subject {
    pub(crate) fn new(scenario: Scenario) -> Self {
        Self::of(scenario.layer(), scenario.request())
    }

    /// `layer` gets the token that the first `request` needs, if any.
    pub(crate) fn of(layer: PartnerAuthLayer, request: Template) -> Self {
        let first = request.heads[0].clone().map(|()| Empty::<Bytes>::new());
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let call = async { layer.layer(Api).call(first).await };
        let response = runtime.expect("a runtime").block_on(call);
        response.expect("a token");
        Self { layer, constant: constant(), request }
    }

    pub(crate) fn calls(&self, through: Through) -> Box<dyn Calls> {
        match through {
            Through::NoLayer => self.request.through(Api),
            Through::Constant => self.request.through(SetRequestHeader::overriding(
                Api,
                AUTHORIZATION,
                self.constant.clone(),
            )),
            Through::Layer => self.request.through(self.layer.layer(Api)),
        }
    }
}

fn constant() -> HeaderValue {
    let mut constant = HeaderValue::from_str(&format!("Bearer {TOKEN}")).expect("a header");
    constant.set_sensitive(true);
    constant
}

/// The floor around `service`.
pub(crate) fn constant_header<S>(service: S) -> SetRequestHeader<S, HeaderValue> {
    SetRequestHeader::overriding(service, AUTHORIZATION, constant())
}

/// A layer with a token source that answers at once.
pub(crate) fn layer(
    configure: impl FnOnce(tower_partner_auth::Builder) -> tower_partner_auth::Builder,
) -> PartnerAuthLayer {
    let source = service_fn(|_: TokenRequest| async {
        Ok::<_, TokenError>(TokenResponse::new(TOKEN)?.with_expires_in(Duration::from_secs(7200)))
    });
    let builder = PartnerAuthLayer::builder(ClientCredentials::new("id", "secret"))
        .token_url("https://accounts.example.com/oauth/token")
        .token_source(source);
    configure(builder).build().expect("a good configuration")
}

// === impl Template ===

impl Template {
    pub(crate) fn get(url: &str) -> Self {
        Self::new(Method::GET, url, Content::Nothing)
    }

    /// Requests in turn, of one scope.
    pub(crate) fn gets(urls: &[String]) -> Self {
        let heads = urls.iter().flat_map(|url| Self::get(url).heads).collect();
        Self { heads, body: Content::Nothing }
    }

    pub(crate) fn post(url: &str, body: Content) -> Self {
        Self::new(Method::POST, url, body)
    }

    fn new(method: Method, url: &str, body: Content) -> Self {
        let head = Request::builder()
            .method(method)
            .uri(url)
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static("bench/1.0"))
            .body(())
            .expect("a valid request");
        Self { heads: vec![head], body }
    }

    fn through<S>(&self, service: S) -> Box<dyn Calls>
    where
        S: Service<Request<Empty<Bytes>>>
            + Service<Request<Full<Bytes>>>
            + Service<Request<Frames>>
            + Send
            + 'static,
    {
        let heads: Vec<_> = self.heads.iter().map(on_its_own).collect();
        match self.body {
            Content::Nothing => Box::new(Batch::new(service, heads, Empty::<Bytes>::new())),
            Content::Memory(data) => {
                Box::new(Batch::new(service, heads, Full::new(Bytes::from_static(data))))
            }
            Content::Stream => Box::new(Batch::new(service, heads, Frames { left: 4 })),
        }
    }
}

/// A copy that shares no memory with `head`: two threads are to share a token, and nothing else.
fn on_its_own(head: &Request<()>) -> Request<()> {
    let mut copy = head.clone();
    *copy.uri_mut() = head.uri().to_string().parse().expect("a URI");
    copy
}

// === impl Batch ===

impl<S, B: Clone> Batch<S, B> {
    fn new(service: S, heads: Vec<Request<()>>, body: B) -> Self {
        Self { service, heads, body, requests: Vec::new() }
    }
}

impl<S, B> Calls for Batch<S, B>
where
    S: Service<Request<B>> + Send,
    B: Clone + Send,
{
    fn prepare(&mut self, calls: usize) {
        let Self { heads, body, requests, .. } = self;
        requests.extend(heads.iter().cycle().take(calls).map(|head| {
            let mut request = Request::new(body.clone());
            *request.method_mut() = head.method().clone();
            *request.uri_mut() = head.uri().clone();
            // Not a clone of the map, which has no room for one more header.
            for (name, value) in head.headers() {
                request.headers_mut().append(name, value.clone());
            }
            request
        }));
    }

    fn run(&mut self) {
        while !self.requests.is_empty() {
            self.run_one();
        }
    }

    #[inline]
    fn run_one(&mut self) {
        let request = self.requests.pop().expect("a prepared request");
        let mut context = Context::from_waker(Waker::noop());
        assert!(self.service.poll_ready(&mut context).is_ready());
        let call = pin!(self.service.call(request));
        assert!(matches!(black_box(call.poll(&mut context)), Poll::Ready(Ok(_))));
    }
}

// === impl Api ===

impl<B> Service<Request<B>> for Api
where
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        let (head, mut body) = request.into_parts();
        black_box(&head);
        if !body.is_end_stream() {
            let mut context = Context::from_waker(Waker::noop());
            black_box(body.size_hint());
            while let Poll::Ready(Some(frame)) = Pin::new(&mut body).poll_frame(&mut context) {
                assert!(black_box(frame).is_ok());
            }
        }
        ready(Ok(Response::new(())))
    }
}

// === impl Frames ===

impl Body for Frames {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.left == 0 {
            return Poll::Ready(None);
        }
        self.left -= 1;
        Poll::Ready(Some(Ok(Frame::data(Bytes::from_static(&[0; 1024])))))
    }
}
