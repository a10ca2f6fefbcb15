//! Laws W1 to W3: readiness, generics, auto-traits.

mod common;

use std::convert::Infallible;
use std::rc::Rc;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use common::scripted::{SECOND, Scripted, TokenServer, auth_with, grant};
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::sync::Semaphore;
use tower::limit::ConcurrencyLimit;
use tower::{Layer, Service, ServiceExt, service_fn};
use tower_partner_auth::{
    AuthOutcome, Error, PartnerAuth, PartnerAuthLayer, ReplayBody, ResponseFuture, Route,
    TokenError, TokenRequest, TokenResponse,
};
use tower_test::mock;

type Body = Full<Bytes>;
type Inner = mock::Mock<Request<ReplayBody<Body>>, Response<()>>;

/// Tokens named after their number.
fn auth() -> PartnerAuthLayer {
    let count = Arc::new(AtomicUsize::new(0));
    auth_with(move |_| {
        let number = count.fetch_add(1, Ordering::SeqCst);
        async move { TokenResponse::new(format!("token-{number}")) }
    })
}

fn request() -> Request<Body> {
    Request::post("https://api.example.com/v1/7").body(Full::from("body")).unwrap()
}

/// A layer whose token is there already.
async fn warm() -> PartnerAuthLayer {
    let auth = auth();
    let api =
        service_fn(|_: Request<ReplayBody<Body>>| async { Ok::<_, Infallible>(Response::new(())) });
    auth.layer(api).oneshot(request()).await.unwrap();
    auth
}

/// Counts how often it is polled ready, and panics if an instance is called that was not.
struct Picky {
    ready: bool,
    answers: Arc<dyn Fn(usize) -> StatusCode + Send + Sync>,
    calls: Arc<AtomicUsize>,
}

impl Clone for Picky {
    fn clone(&self) -> Self {
        // As of a Tower service: readiness is not cloned.
        Self { ready: false, answers: Arc::clone(&self.answers), calls: Arc::clone(&self.calls) }
    }
}

impl Picky {
    fn answering(answers: impl Fn(usize) -> StatusCode + Send + Sync + 'static) -> Self {
        Self { ready: false, answers: Arc::new(answers), calls: Arc::default() }
    }
}

impl Service<Request<ReplayBody<Body>>> for Picky {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = std::future::Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        self.ready = true;
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Request<ReplayBody<Body>>) -> Self::Future {
        assert!(std::mem::take(&mut self.ready), "called without being ready");
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let response = Response::builder().status((self.answers)(number)).body(()).unwrap();
        std::future::ready(Ok(response))
    }
}

#[tokio::test]
async fn only_instances_that_were_polled_ready_are_called() {
    // Cold, warm, and replayed.
    let inner =
        Picky::answering(|call| if call == 2 { StatusCode::UNAUTHORIZED } else { StatusCode::OK });
    let calls = Arc::clone(&inner.calls);
    let mut service = auth().layer(inner);
    for expected in [1, 2, 4] {
        let response = service.ready().await.unwrap().call(request()).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
        assert_eq!(calls.load(Ordering::SeqCst), expected);
    }
}

#[tokio::test]
async fn readiness_errors_come_through() {
    let (mut service, mut handle) = mock::spawn_with(|inner: Inner| auth().layer(inner));
    handle.send_error("not today");
    let error = service.poll_ready();
    let Poll::Ready(Err(Error::Service(error))) = error else { panic!("{error:?}") };
    assert_eq!(error.to_string(), "not today");
}

#[tokio::test]
async fn the_layer_is_ready_when_the_inner_service_is() {
    let (mut service, mut handle) = mock::spawn_with(|inner: Inner| auth().layer(inner));
    handle.allow(0);
    assert!(service.poll_ready().is_pending());
    handle.allow(1);
    assert!(service.poll_ready().is_ready());
}

#[tokio::test]
async fn errors_of_the_inner_service_are_not_replayed() {
    let auth = warm().await;
    let (mut service, mut handle) = mock::spawn_with(|inner: Inner| auth.layer(inner));
    assert!(service.poll_ready().is_ready());
    let call = service.call(request());
    let (_, answer) = handle.next_request().await.unwrap();
    answer.send_error("reset by peer");
    assert!(
        matches!(call.await, Err(Error::Service(error)) if error.to_string() == "reset by peer")
    );
    handle.allow(9);
    assert!(tokio_test::task::spawn(handle.next_request()).poll().is_pending(), "no second try");
}

#[tokio::test]
async fn a_replay_whose_service_fails_to_get_ready_fails_with_that() {
    let auth = warm().await;
    let (mut service, mut handle) = mock::spawn_with(|inner: Inner| auth.layer(inner));
    assert!(service.poll_ready().is_ready());
    let call = tokio::spawn(service.call(request()));
    let (_, answer) = handle.next_request().await.unwrap();
    handle.send_error("gone");
    let rejected = Response::builder().status(401).body(()).unwrap();
    answer.send_response(rejected);
    assert!(
        matches!(call.await.unwrap(), Err(Error::Service(error)) if error.to_string() == "gone")
    );
}

#[tokio::test]
async fn waiting_for_a_token_holds_no_permit_of_the_inner_service() {
    let gate = Arc::new(Semaphore::new(0));
    let auth = auth_with({
        let gate = Arc::clone(&gate);
        move |_| {
            let gate = Arc::clone(&gate);
            async move {
                gate.acquire().await.unwrap().forget();
                TokenResponse::new("token")
            }
        }
    });
    let api =
        service_fn(|_: Request<ReplayBody<Body>>| async { Ok::<_, Infallible>(Response::new(())) });
    let limited = ConcurrencyLimit::new(api, 1);
    let mut service = auth.layer(limited.clone());
    let waiting = tokio::spawn(service.ready().await.unwrap().call(request()));
    tokio::task::yield_now().await;

    // The one permit is free for a request that needs no token.
    let free = Request::get("https://elsewhere.example.com/")
        .body(ReplayBody::once(Full::from("")))
        .unwrap();
    tokio::time::timeout(Duration::from_secs(5), limited.oneshot(free))
        .await
        .expect("a free permit")
        .unwrap();

    gate.add_permits(1);
    let response = waiting.await.unwrap().unwrap();
    assert!(response.extensions().get::<AuthOutcome>().unwrap().waited_for_token());
}

#[tokio::test(start_paused = true)]
async fn nor_does_a_second_wait_after_a_token_that_died_meanwhile() {
    let tokens = TokenServer::answering(grant(2)).then_after(5 * SECOND, 200, grant(3_600));
    let api =
        service_fn(|_: Request<ReplayBody<Body>>| async { Ok::<_, Infallible>(Response::new(())) });
    let limited = ConcurrencyLimit::new(api, 1);
    let mut service = Scripted::new(tokens.clone()).auth.layer(limited.clone());
    let call = service.ready().await.unwrap().call(request());
    // Given that another has the permit for longer than the token lives …
    let mut other = limited.clone();
    other.ready().await.unwrap();
    let waiting = tokio::spawn(call);
    tokio::time::sleep(3 * SECOND).await;
    drop(other);
    tokio::time::sleep(SECOND).await;
    assert_eq!(tokens.requests(), 2);

    // … the permit is free again while the next token is fetched.
    let mut other = limited.clone();
    tokio::time::timeout(SECOND, other.ready()).await.expect("a free permit").unwrap();

    drop(other);
    waiting.await.unwrap().unwrap();
}

#[tokio::test]
async fn a_replay_needs_no_second_permit_while_the_first_answer_is_held() {
    let auth = warm().await;
    let calls = Arc::new(AtomicUsize::new(0));
    let api = service_fn(move |_: Request<ReplayBody<Body>>| {
        let status = if calls.fetch_add(1, Ordering::SeqCst) == 0 { 401 } else { 200 };
        async move { Ok::<_, Infallible>(Response::builder().status(status).body(()).unwrap()) }
    });
    let service = auth.layer(ConcurrencyLimit::new(api, 1));
    let call = tokio::time::timeout(Duration::from_secs(5), service.oneshot(request()));
    assert_eq!(call.await.expect("no deadlock").unwrap().status(), StatusCode::OK);
}

#[tokio::test]
async fn what_a_replay_would_need_is_let_go_with_the_answer() {
    let inner = Picky::answering(|_| StatusCode::OK);
    let instances = Arc::clone(&inner.calls);
    let mut service = warm().await.layer(inner);
    let mut call = tokio_test::task::spawn(service.ready().await.unwrap().call(request()));
    assert_eq!(Arc::strong_count(&instances), 3, "ours, the service, and what would replay");

    assert!(call.poll().is_ready());

    assert_eq!(Arc::strong_count(&instances), 2, "though the future is there yet");
}

#[tokio::test]
async fn a_future_dropped_at_any_poll_leaves_nothing_stuck() {
    for polls in 0..6 {
        let rejected = Picky::answering(|call| match call {
            0 => StatusCode::UNAUTHORIZED,
            _ => StatusCode::OK,
        });
        let auth = auth();
        let mut call = tokio_test::task::spawn(auth.layer(rejected.clone()).oneshot(request()));
        for _ in 0..polls {
            if call.poll().is_ready() {
                break;
            }
            tokio::task::yield_now().await;
        }
        drop(call);
        let next =
            tokio::time::timeout(Duration::from_secs(5), auth.layer(rejected).oneshot(request()));
        assert_eq!(next.await.expect("not stuck").unwrap().status(), StatusCode::OK, "{polls}");
    }
}

/// Inner services and bodies that are not `Send` work where they are used on one thread.
#[tokio::test]
async fn what_is_not_send_can_be_wrapped() {
    let own = Rc::new(());
    let api = service_fn(move |_: Request<ReplayBody<Body>>| {
        let own = Rc::clone(&own);
        async move { Ok::<_, Infallible>(Response::new(own)) }
    });
    auth().layer(api).oneshot(request()).await.unwrap();
}

#[test]
fn auto_traits_are_those_of_the_inner_parts() {
    fn send_and_sync<T: Send + Sync>() {}
    fn unpin<T: Unpin>() {}
    type Sending = mock::Mock<Request<ReplayBody<Body>>, Response<()>>;
    send_and_sync::<PartnerAuthLayer>();
    send_and_sync::<PartnerAuth<Sending>>();
    send_and_sync::<ReplayBody<Body>>();
    send_and_sync::<Error<std::io::Error>>();
    send_and_sync::<TokenError>();
    send_and_sync::<tower_partner_auth::BuildError>();
    send_and_sync::<tower_partner_auth::AuthOutcome>();
    send_and_sync::<Route>();
    send_and_sync::<TokenRequest>();
    send_and_sync::<TokenResponse>();
    send_and_sync::<ResponseFuture<Picky, Body>>();
    unpin::<ReplayBody<Body>>();
}

/// The token client is a stack of its own: over this very layer's API client, it meets no recursion.
#[tokio::test]
async fn the_token_source_sees_the_whole_request_and_no_layer() {
    let auth = auth_with(|request: TokenRequest| async move {
        assert_eq!(request.scope().as_str(), "read");
        assert_eq!(request.endpoint(), "https://accounts.example.com/oauth/token");
        assert_eq!(request.credentials().client_id(), "id");
        TokenResponse::new("token")
    });
    let api = service_fn(|request: Request<ReplayBody<Body>>| async move {
        assert_eq!(request.headers()["authorization"], "Bearer token");
        assert!(request.headers()["authorization"].is_sensitive());
        Ok::<_, Infallible>(Response::new(()))
    });
    auth.layer(api).oneshot(request()).await.unwrap();
}
