//! Tower's `Timeout`, `Buffer`, `ConcurrencyLimit` and `LoadShed`, under paused time: who waits for a
//! token, and what is held meanwhile.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::buffer::Buffer;
use tower::limit::ConcurrencyLimit;
use tower::load_shed::LoadShed;
use tower::load_shed::error::Overloaded;
use tower::timeout::Timeout;
use tower::timeout::error::Elapsed;
use tower::{BoxError, Layer, Service, ServiceExt, service_fn};
use tower_partner_auth::{Error, ReplayBody, RouteErrorKind};

use crate::common::scripted::*;

const MILLISECOND: Duration = Duration::from_millis(1);

type Sent = Request<ReplayBody<Full<Bytes>>>;

/// An API that answers with these statuses, the last one again and again, after a while each.
#[derive(Clone)]
struct Api {
    statuses: &'static [u16],
    takes: Duration,
    calls: Arc<AtomicUsize>,
}

impl Api {
    fn new(statuses: &'static [u16], takes: Duration) -> Self {
        Self { statuses, takes, calls: Arc::default() }
    }

    fn service(
        &self,
    ) -> impl Service<Sent, Response = Response<()>, Error = Infallible, Future: Send>
    + Clone
    + Send
    + 'static {
        let this = self.clone();
        service_fn(move |_: Sent| {
            let call = this.calls.fetch_add(1, Ordering::SeqCst);
            let status = this.statuses[call.min(this.statuses.len() - 1)];
            let takes = this.takes;
            async move {
                sleep(takes).await;
                Ok(Response::builder().status(status).body(()).unwrap())
            }
        })
    }

    fn calls(&self) -> usize {
        self.calls.load(Ordering::SeqCst)
    }
}

/// A token server that takes eight seconds.
fn slow_tokens() -> Scripted {
    Scripted::new(TokenServer::default().then_after(8 * SECOND, 200, grant(3_600)))
}

#[tokio::test(start_paused = true)]
async fn timeout_over_the_layer_counts_the_wait_for_a_token_and_leaves_the_fetch() {
    let scripted = slow_tokens();
    let api = Api::new(&[200], SECOND);
    let client = Timeout::new(scripted.auth.layer(api.service()), 5 * SECOND);
    let start = Instant::now();

    let error = client.clone().oneshot(request()).await.unwrap_err();

    assert!(error.is::<Elapsed>(), "{error}");
    assert_eq!((start.elapsed(), api.calls()), (5 * SECOND, 0));
    // The fetch goes on, and what is left of it is within the next call's time.
    sleep(2 * SECOND).await;
    assert!(client.oneshot(request()).await.is_ok());
    assert_eq!((scripted.tokens.requests(), api.calls()), (1, 1));
}

#[tokio::test(start_paused = true)]
async fn timeout_under_the_layer_counts_each_call_and_no_wait() {
    let scripted = slow_tokens();
    let api = Api::new(&[401, 200], 4 * SECOND);
    let client = scripted.auth.layer(Timeout::new(api.service(), 5 * SECOND));
    let start = Instant::now();

    let response = client.oneshot(request()).await.unwrap();

    // Two tokens, a rejected call and its replay.
    assert_eq!((response.status(), api.calls()), (StatusCode::OK, 2));
    assert_eq!(start.elapsed(), 24 * SECOND);
}

#[tokio::test(start_paused = true)]
async fn timeout_under_the_layer_ends_a_call_as_the_services_own_error() {
    let scripted = Scripted::new(TokenServer::answering(grant(3_600)));
    let api = Api::new(&[200], 10 * SECOND);
    let client = scripted.auth.layer(Timeout::new(api.service(), 5 * SECOND));
    let Err(Error::Service(error)) = client.oneshot(request()).await else { panic!("no timeout") };
    assert!(error.is::<Elapsed>());
    assert_eq!(api.calls(), 1, "no replay of what may have been applied");
}

#[tokio::test(start_paused = true)]
async fn buffer_over_the_layer_keeps_its_errors() {
    let scripted = Scripted::with(TokenServer::answering(grant(3_600)), |b| b.strict());
    let api = Api::new(&[200], SECOND);
    let client = Buffer::new(scripted.auth.layer(api.service()), 4);
    let elsewhere =
        Request::get("https://elsewhere.example.com/").body(Full::<Bytes>::default()).unwrap();

    let error = client.clone().oneshot(elsewhere).await.unwrap_err();

    let error = error.downcast::<Error<Infallible>>().unwrap();
    let Error::Route(error) = *error else { panic!("{error}") };
    assert_eq!(error.kind(), RouteErrorKind::NoRoute);
}

#[tokio::test(start_paused = true)]
async fn buffer_over_or_under_the_layer_lets_many_wait_for_one_token() {
    for over in [true, false] {
        let scripted = slow_tokens();
        let api = Api::new(&[200], SECOND);
        let mut calls = tokio::task::JoinSet::new();
        if over {
            let client = Buffer::new(scripted.auth.layer(api.service()), 4);
            (0..50).for_each(|_| {
                let call = client.clone().oneshot(request());
                calls.spawn(async move { call.await.map(drop) });
            });
        } else {
            let client = scripted.auth.layer(Buffer::new(api.service(), 4));
            (0..50).for_each(|_| {
                let call = client.clone().oneshot(request());
                calls.spawn(async move { call.await.map(drop).map_err(Error::into_boxed) });
            });
        }
        let start = Instant::now();

        let answers: Vec<Result<(), BoxError>> = calls.join_all().await;

        assert!(answers.iter().all(Result::is_ok), "over: {over}");
        assert_eq!((scripted.tokens.requests(), api.calls()), (1, 50), "over: {over}");
        // All of them together: neither the wait nor the calls queue up.
        assert_eq!(start.elapsed(), 9 * SECOND, "over: {over}");
    }
}

/// A call that waits for its token, and a request beside it that needs none: when is that answered?
async fn a_request_without_a_route_beside_a_wait<S>(client: S) -> Duration
where
    S: Service<Request<Full<Bytes>>, Future: Send> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: std::fmt::Debug + Send,
{
    let start = Instant::now();
    let waiting = tokio::spawn(client.clone().oneshot(request()));
    sleep(MILLISECOND).await;
    let free = Request::get("https://elsewhere.example.com/").body(Full::default()).unwrap();
    client.oneshot(free).await.unwrap();
    let took = start.elapsed();
    waiting.await.unwrap().unwrap();
    took
}

#[tokio::test(start_paused = true)]
async fn concurrency_limit_over_the_layer_is_held_while_waiting_for_a_token() {
    let client =
        ConcurrencyLimit::new(slow_tokens().auth.layer(Api::new(&[200], SECOND).service()), 1);
    let took = a_request_without_a_route_beside_a_wait(client).await;
    assert_eq!(took, 10 * SECOND, "the token, the first call, and only then this one");
}

#[tokio::test(start_paused = true)]
async fn concurrency_limit_under_the_layer_is_free_while_waiting_for_a_token() {
    let client =
        slow_tokens().auth.layer(ConcurrencyLimit::new(Api::new(&[200], SECOND).service(), 1));
    let took = a_request_without_a_route_beside_a_wait(client).await;
    assert_eq!(took, SECOND + MILLISECOND);
}

/// How many of five calls at once are shed while the token is fetched, and after.
async fn shed<S>(client: S, is_overload: impl Fn(&S::Error) -> bool) -> usize
where
    S: Service<Request<Full<Bytes>>, Future: Send> + Clone + Send + 'static,
    S::Response: Send,
    S::Error: Send,
{
    let calls = (0..5).map(|_| tokio::spawn(client.clone().oneshot(request())));
    let mut shed = 0;
    for call in calls.collect::<Vec<_>>() {
        shed += call.await.unwrap().is_err_and(|error| is_overload(&error)) as usize;
    }
    shed
}

#[tokio::test(start_paused = true)]
async fn load_shed_over_the_layer_does_not_mistake_a_wait_for_load() {
    let auth = slow_tokens().auth;
    let client = LoadShed::new(auth.layer(Api::new(&[200], SECOND).service()));
    assert_eq!(shed(client, |error| error.is::<Overloaded>()).await, 0);
}

#[tokio::test(start_paused = true)]
async fn load_shed_over_a_limit_over_the_layer_sheds_while_a_token_is_fetched() {
    let auth = slow_tokens().auth;
    let api = Api::new(&[200], SECOND);
    let client = LoadShed::new(ConcurrencyLimit::new(auth.layer(api.service()), 3));
    let start = Instant::now();
    // The API is idle for the eight seconds that two calls are refused in.
    assert_eq!(shed(client.clone(), |error| error.is::<Overloaded>()).await, 2);
    assert_eq!((start.elapsed(), api.calls()), (9 * SECOND, 3));
    assert_eq!(shed(client, |error| error.is::<Overloaded>()).await, 2, "and with a token as well");
}

#[tokio::test(start_paused = true)]
async fn load_shed_under_the_layer_sheds_the_herd_that_waited_for_the_token() {
    let auth = slow_tokens().auth;
    let api = Api::new(&[200], SECOND);
    let client = auth.layer(LoadShed::new(ConcurrencyLimit::new(api.service(), 3)));
    let overload = |error: &Error<BoxError>| matches!(error, Error::Service(error) if error.is::<Overloaded>());
    assert_eq!(shed(client, overload).await, 2);
    assert_eq!(api.calls(), 3);
}
