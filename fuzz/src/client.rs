//! The crate's services over others in memory.

use std::cell::RefCell;
use std::convert::Infallible;
use std::error::Error as StdError;
use std::fmt::{Debug, Write as _};
use std::future::{Ready, ready};
use std::sync::mpsc;
use std::sync::{Arc, LazyLock, Mutex};

use bytes::Bytes;
use http::{HeaderMap, Method, Request, Response};
use http_body_util::{Empty, Full};
use tokio::runtime::Runtime;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_partner_auth::{
    ClientCredentials, ClientCredentialsGrant, Error, PartnerAuthLayer, ReplayBody, Route, Scope,
    TokenError, TokenErrorKind, TokenRequest, TokenResponse,
};

use crate::answer::Answer;
use crate::now;

/// The client secret of every request; no text that the crate makes may hold it.
pub const CLIENT_SECRET: &str = "client-s3cret-0f-the-fuzz";

/// The credentials of every request.
pub fn credentials() -> ClientCredentials {
    ClientCredentials::new("client-id", CLIENT_SECRET)
}

/// Asks the grant for a token, over a client that has this answer. Gives what the grant made of it,
/// and how many bytes of the body it took.
pub fn ask(answer: &Answer) -> (Result<TokenResponse, TokenError>, usize) {
    let (response, taken) = answer.response();
    let response = Arc::new(Mutex::new(Some(response)));
    let client = service_fn(move |_: Request<Full<Bytes>>| {
        let response = response.lock().expect("no panic").take();
        ready(Ok::<_, Infallible>(response.expect("one call is one request")))
    });
    let result = now(ClientCredentialsGrant::new(client).call(token_request()));
    (result, taken.bytes())
}

/// A token request has no public constructor: this is one that a layer has made.
fn token_request() -> TokenRequest {
    static REQUEST: LazyLock<TokenRequest> = LazyLock::new(|| {
        let (sender, requests) = mpsc::channel();
        let layer = PartnerAuthLayer::builder(credentials())
            .token_url("https://accounts.example.com/oauth/token")
            .route(Route::any("https://api.example.com/{*path}", "read"))
            .token_source(service_fn(move |request| {
                sender.send(request).expect("the receiver is below");
                ready(Err::<TokenResponse, _>(TokenError::new(TokenErrorKind::Source)))
            }))
            .build()
            .expect("a good configuration");
        let request = get("https://api.example.com/x");
        runtime(|runtime| runtime.block_on(send(&layer, request))).expect_err("there is no token");
        requests.recv().expect("the source was asked")
    });
    REQUEST.clone()
}

/// All that can be read of what the grant made of an answer: what it prints for debugging, and an
/// error's message and sources.
pub fn said(result: &Result<TokenResponse, TokenError>) -> String {
    let mut said = format!("{result:?} {result:#?} ");
    let mut next = result.as_ref().err().map(|error| error as &(dyn StdError + 'static));
    while let Some(error) = next {
        write!(said, "{error} {error:?} {error:#?} ").expect("a string takes any text");
        next = error.source();
    }
    said
}

/// The token that [`token_source`] gives for a scope.
pub fn token_of(scope: &Scope) -> String {
    format!("token-of:{}", scope.as_str().replace(' ', "+"))
}

/// Gives every scope a token of its own, good until it is rejected.
pub fn token_source() -> impl Service<
    TokenRequest,
    Response = TokenResponse,
    Error = TokenError,
    Future = Ready<Result<TokenResponse, TokenError>>,
> + Clone
+ Send
+ 'static {
    service_fn(|request: TokenRequest| ready(TokenResponse::new(token_of(request.scope()))))
}

/// A GET without a body.
pub fn get(uri: &str) -> Request<Empty<Bytes>> {
    let request = Request::builder().method(Method::GET).uri(uri);
    request.body(Empty::new()).expect("a valid request")
}

/// The header fields with which the layer sends a request on; an answer of 200 comes back.
pub async fn send(
    layer: &PartnerAuthLayer,
    request: Request<Empty<Bytes>>,
) -> Result<HeaderMap, Error<Infallible>> {
    let server = service_fn(|request: Request<ReplayBody<Empty<Bytes>>>| {
        ready(Ok(Response::new(request.headers().clone())))
    });
    layer.layer(server).oneshot(request).await.map(Response::into_body)
}

/// Runs something on this thread's runtime, whose clock stands still unless it is moved.
pub fn runtime<T>(run: impl FnOnce(&Runtime) -> T) -> T {
    thread_local! {
        static RUNTIME: RefCell<Option<Runtime>> = const { RefCell::new(None) };
    }
    RUNTIME.with_borrow_mut(|runtime| {
        run(runtime.get_or_insert_with(|| {
            tokio::runtime::Builder::new_current_thread()
                .enable_time()
                .start_paused(true)
                .build()
                .expect("a runtime without I/O")
        }))
    })
}

/// Whether `text` is in what `value` prints for debugging.
pub fn debug_holds(value: &impl Debug, text: &str) -> bool {
    format!("{value:?} {value:#?}").contains(text)
}
