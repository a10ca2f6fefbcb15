//! Tower's `Retry`.

use std::future::{Ready, ready};

use bytes::Bytes;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::Full;
use tower::retry::{Policy, Retry};
use tower::{Layer, ServiceExt};
use tower_partner_auth::sandbox::Answer;
use tower_partner_auth::{PartnerAuthLayer, Rejection, ReplayBody};

use crate::common::*;

type Plain = Request<Full<Bytes>>;
type Sent = Request<ReplayBody<Full<Bytes>>>;

/// Tries again after some statuses, and lets something happen before it does.
#[derive(Clone)]
struct Again<F> {
    after: &'static [u16],
    left: usize,
    meanwhile: F,
}

impl<F: FnMut()> Again<F> {
    fn wants<B, E>(&mut self, result: &Result<Response<B>, E>) -> Option<Ready<()>> {
        let status = result.as_ref().ok()?.status().as_u16();
        if self.left == 0 || !self.after.contains(&status) {
            return None;
        }
        self.left -= 1;
        (self.meanwhile)();
        Some(ready(()))
    }
}

impl<F: FnMut(), B, E> Policy<Plain, Response<B>, E> for Again<F> {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Plain, result: &mut Result<Response<B>, E>) -> Option<Ready<()>> {
        self.wants(result)
    }

    fn clone_request(&mut self, request: &Plain) -> Option<Plain> {
        Some(request.clone())
    }
}

impl<F: FnMut(), B, E> Policy<Sent, Response<B>, E> for Again<F> {
    type Future = Ready<()>;

    fn retry(&mut self, _: &mut Sent, result: &mut Result<Response<B>, E>) -> Option<Ready<()>> {
        self.wants(result)
    }

    /// A `ReplayBody` is no `Clone`: only what has no body can be tried again.
    fn clone_request(&mut self, request: &Sent) -> Option<Sent> {
        let empty = || ReplayBody::once(Full::default());
        request.body().is_end_stream().then(|| head(request).map(|()| empty()))
    }
}

fn head<B>(request: &Request<B>) -> Request<()> {
    let mut head = Request::new(());
    *head.method_mut() = request.method().clone();
    *head.uri_mut() = request.uri().clone();
    *head.headers_mut() = request.headers().clone();
    head
}

fn forget(auth: &PartnerAuthLayer) -> impl FnMut() + Clone + use<> {
    let auth = auth.clone();
    move || {
        auth.invalidate_all();
    }
}

#[tokio::test]
async fn over_the_layer_each_try_gets_the_token_of_its_moment() {
    let rig = Rig::start().await;
    rig.sandbox.script_api([Answer::status(503)]);
    let policy = Again { after: &[503], left: 3, meanwhile: forget(&rig.auth) };
    let client = Retry::new(policy, rig.auth.layer(hyper()));
    let response = client.oneshot(rig.request(Method::POST, MERCHANTS, "{}")).await.unwrap();
    assert!(response.status().is_success());
    assert_eq!((rig.sandbox.api_requests(), rig.sandbox.token_requests()), (2, 2));
    assert_eq!(rig.sandbox.received()[1].body().unwrap(), "{}");
}

#[tokio::test]
async fn under_the_layer_each_try_has_the_first_ones_token() {
    let rig = Rig::start().await;
    rig.sandbox.script_api([Answer::status(503)]);
    // The token dies between the tries, so that the second is rejected, and the layer sends a third.
    let sandbox = rig.sandbox.clone();
    let meanwhile = move || {
        sandbox.revoke_all();
    };
    let policy = Again { after: &[503], left: 3, meanwhile };
    let client = rig.auth.layer(Retry::new(policy, hyper()));
    let response = client.oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!((rig.sandbox.api_requests(), rig.sandbox.token_requests()), (3, 2));
}

#[tokio::test]
async fn under_the_layer_a_request_with_a_body_is_not_tried_again() {
    let rig = Rig::start().await;
    rig.sandbox.script_api([Answer::status(503)]);
    let policy = Again { after: &[503], left: 3, meanwhile: || () };
    let client = rig.auth.layer(Retry::new(policy, hyper()));
    let response = client.oneshot(rig.request(Method::POST, MERCHANTS, "{}")).await.unwrap();
    assert_eq!(response.status(), StatusCode::SERVICE_UNAVAILABLE);
    assert_eq!(rig.sandbox.api_requests(), 1);
}

/// The layer has sent such a request twice already. To retry it is only to call the API more often.
#[tokio::test]
async fn over_the_layer_retrying_a_401_costs_calls_but_no_token_requests() {
    let rig = Rig::start().await;
    rig.sandbox.reject_always(Method::GET, MERCHANT);
    let policy = Again { after: &[401], left: 3, meanwhile: || () };
    let client = Retry::new(policy, rig.auth.layer(hyper()));
    let response = client.oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap();
    assert_eq!(response.status(), StatusCode::UNAUTHORIZED);
    assert!(matches!(rejection(&response), Rejection::RecentlyInVain));
    // The call and its replay, and three more.
    assert_eq!((rig.sandbox.api_requests(), rig.sandbox.token_requests()), (5, 2));
}

/// It hides the 401 from the layer until it has given up.
#[tokio::test]
async fn under_the_layer_retrying_a_401_sends_the_dead_token_again() {
    let rig = Rig::start().await;
    rig.get(MERCHANT).await;
    rig.sandbox.revoke_all();
    let policy = Again { after: &[401], left: 3, meanwhile: || () };
    let client = rig.auth.layer(Retry::new(policy, hyper()));
    let response = client.oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(rig.sandbox.api_answers(StatusCode::UNAUTHORIZED), 4, "three of them in vain");
}
