//! A token server and an API in memory, for tests under paused time.

use std::convert::Infallible;
use std::fmt::Display;
use std::future::Future;
use std::pin::Pin;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::Sleep;
use tower::util::BoxCloneService;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_partner_auth::{
    Builder, ClientCredentials, Error, PartnerAuthLayer, ReplayBody, Route, TokenError,
    TokenErrorKind, TokenRequest, TokenResponse,
};

pub(crate) const SECOND: Duration = Duration::from_secs(1);
pub(crate) const TOKEN_URL: &str = "https://accounts.example.com/oauth/token";
pub(crate) const API: &str = "https://api.example.com/v1/7";
const ROUTE: &str = "https://api.example.com/v1/{id}";

type Answer = Response<Full<Bytes>>;

/// A token response's body. Tokens are named after the number of their request.
pub(crate) fn grant(expires_in: impl Display) -> String {
    format!(r#"{{"access_token":"token-{{n}}","token_type":"Bearer","expires_in":{expires_in}}}"#)
}

pub(crate) fn kind<T>(result: Result<T, Error<Infallible>>) -> TokenErrorKind {
    match result {
        Err(Error::Token(error)) => error.kind(),
        Err(error) => panic!("another error: {error}"),
        Ok(_) => panic!("no error"),
    }
}

/// A layer over a token source, with one route: that of [`API`].
pub(crate) fn auth_with<S, F>(source: S) -> PartnerAuthLayer
where
    S: Fn(TokenRequest) -> F + Clone + Send + 'static,
    F: Future<Output = Result<TokenResponse, TokenError>> + Send + 'static,
{
    PartnerAuthLayer::builder(ClientCredentials::new("id", "secret"))
        .token_url(TOKEN_URL)
        .route(Route::any(ROUTE, "read"))
        .token_source(service_fn(source))
        .build()
        .unwrap()
}

/// One call through a layer to an API that accepts everything.
pub(crate) async fn call(auth: &PartnerAuthLayer) -> Result<(), Error<Infallible>> {
    let api = service_fn(|_: Request<ReplayBody<Full<Bytes>>>| async { Ok(Response::new(())) });
    auth.layer(api).oneshot(request()).await.map(drop)
}

pub(crate) fn request() -> Request<Full<Bytes>> {
    Request::get(API).body(Full::new(Bytes::new())).unwrap()
}

/// What the token server answers, one entry a request; the last one again and again.
#[derive(Clone, Default)]
pub(crate) struct TokenServer {
    answers: Arc<Mutex<Vec<(Duration, u16, String)>>>,
    requests: Arc<AtomicUsize>,
    forms: Arc<Mutex<Vec<String>>>,
    headers: Arc<Mutex<Vec<HeaderMap>>>,
}

impl TokenServer {
    pub(crate) fn answering(body: impl Into<String>) -> Self {
        Self::default().then(200, body)
    }

    pub(crate) fn then(self, status: u16, body: impl Into<String>) -> Self {
        self.then_after(Duration::ZERO, status, body)
    }

    pub(crate) fn then_after(self, delay: Duration, status: u16, body: impl Into<String>) -> Self {
        self.answers.lock().unwrap().push((delay, status, body.into()));
        self
    }

    /// Answers so from here on, whatever was to come.
    pub(crate) fn turn(&self, delay: Duration, status: u16, body: impl Into<String>) {
        *self.answers.lock().unwrap() = vec![(delay, status, body.into())];
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.load(Ordering::SeqCst)
    }

    pub(crate) fn forms(&self) -> Vec<String> {
        self.forms.lock().unwrap().clone()
    }

    pub(crate) fn headers(&self) -> Vec<HeaderMap> {
        self.headers.lock().unwrap().clone()
    }

    pub(crate) fn client(&self) -> BoxCloneService<Request<Full<Bytes>>, Answer, Infallible> {
        let this = self.clone();
        service_fn(move |request| this.clone().answer(request)).boxed_clone()
    }

    fn answer(
        self,
        request: Request<Full<Bytes>>,
    ) -> impl Future<Output = Result<Answer, Infallible>> {
        let number = self.requests.fetch_add(1, Ordering::SeqCst);
        self.headers.lock().unwrap().push(request.headers().clone());
        async move {
            let form = request.into_body().collect().await.unwrap().to_bytes();
            self.forms.lock().unwrap().push(String::from_utf8(form.to_vec()).unwrap());
            let (delay, status, body) = {
                let answers = self.answers.lock().unwrap();
                answers[number.min(answers.len() - 1)].clone()
            };
            tokio::time::sleep(delay).await;
            let body = body.replace("{n}", &(number + 1).to_string());
            Ok(Response::builder().status(status).body(Full::new(body.into())).unwrap())
        }
    }
}

/// A layer over a scripted token server, and an API that accepts everything.
#[derive(Clone)]
pub(crate) struct Scripted {
    pub(crate) tokens: TokenServer,
    pub(crate) auth: PartnerAuthLayer,
    carried: Arc<Mutex<Vec<String>>>,
}

impl Scripted {
    pub(crate) fn new(tokens: TokenServer) -> Self {
        Self::with(tokens, |builder| builder)
    }

    pub(crate) fn with(tokens: TokenServer, configure: impl FnOnce(Builder) -> Builder) -> Self {
        Self::of(ClientCredentials::new("my client", "s3cret&=+"), tokens, configure)
    }

    pub(crate) fn of(
        credentials: ClientCredentials,
        tokens: TokenServer,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Self {
        let builder = PartnerAuthLayer::builder(credentials)
            .token_url(TOKEN_URL)
            .route(Route::any(ROUTE, "b a"))
            .http_client(tokens.client());
        let auth = configure(builder).build().expect("a good configuration");
        Self { tokens, auth, carried: Arc::default() }
    }

    /// One call; the status if it was sent.
    pub(crate) async fn call(&self) -> Result<u16, Error<Infallible>> {
        self.send().await.map(|response| response.status().as_u16())
    }

    /// One call, its response with all that the layer says of it.
    pub(crate) async fn send(&self) -> Result<Response<()>, Error<Infallible>> {
        self.send_after_readiness_of(Duration::ZERO).await
    }

    /// One call through a service whose clones take `delay` to get ready.
    pub(crate) async fn send_after_readiness_of(
        &self,
        delay: Duration,
    ) -> Result<Response<()>, Error<Infallible>> {
        let carried = Arc::clone(&self.carried);
        let api = service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
            let credential = request.headers()[AUTHORIZATION].to_str().unwrap().to_owned();
            carried.lock().unwrap().push(credential);
            async { Ok::<_, Infallible>(Response::new(())) }
        });
        self.auth.layer(Slow::new(api, delay)).oneshot(request()).await
    }

    /// The credentials that the API has seen, in order.
    pub(crate) fn carried(&self) -> Vec<String> {
        self.carried.lock().unwrap().clone()
    }
}

/// Gets ready only after a while, the first instance excepted.
struct Slow<S> {
    inner: S,
    delay: Duration,
    pause: Option<Pin<Box<Sleep>>>,
}

impl<S> Slow<S> {
    fn new(inner: S, delay: Duration) -> Self {
        Self { inner, delay, pause: None }
    }
}

impl<S: Clone> Clone for Slow<S> {
    fn clone(&self) -> Self {
        let pause = Some(Box::pin(tokio::time::sleep(self.delay)));
        // A second time it is quick: the test is of one late instance.
        Self { inner: self.inner.clone(), delay: self.delay / 1_000, pause }
    }
}

impl<S: Service<R>, R> Service<R> for Slow<S> {
    type Response = S::Response;
    type Error = S::Error;
    type Future = S::Future;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), S::Error>> {
        if let Some(pause) = &mut self.pause {
            std::task::ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        self.inner.poll_ready(cx)
    }

    fn call(&mut self, request: R) -> S::Future {
        self.inner.call(request)
    }
}
