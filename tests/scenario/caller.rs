//! One call through the layer.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::header::LOCATION;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_partner_auth::{AuthOutcome, Error, PartnerAuthLayer, RequestAuth};

use super::api::{self, Trace};
use super::body::Chunks;
use super::format::{Body, Call, Choice};
use super::world::{Reset, World, absolute};

/// What a caller can tell of its call.
pub(crate) struct Report {
    pub(crate) ending: Ending,
    /// The token of each attempt.
    pub(crate) tokens: Vec<Option<u64>>,
    pub(crate) took: Duration,
}

pub(crate) enum Ending {
    Answered { status: u16, body: String, told: AuthOutcome },
    Failed(Error<Reset>),
    GaveUp,
}

/// A request without what makes it one caller's.
struct Message {
    method: String,
    url: String,
    body: Body,
}

/// The future of one call. It owns a service of the layer, and no layer.
pub(crate) fn perform(
    layer: &PartnerAuthLayer,
    world: &World,
    call: Arc<Call>,
) -> impl Future<Output = Report> + Send + 'static {
    let chosen = match &call.auth {
        Some(Choice::Scope(scope)) => Some(scope.clone()),
        _ => None,
    };
    let trace = Trace::new(chosen, call.body.clone());
    let service = layer.layer(service_fn({
        let (world, trace) = (world.clone(), trace.clone());
        move |request| api::answer(world.clone(), trace.clone(), request)
    }));
    let send = move |request| service.clone().oneshot(request);
    let world = world.clone();
    async move {
        let start = Instant::now();
        let follow = follow(&call, &trace, send);
        let ending = match call.gives_up_after {
            Some(limit) => tokio::time::timeout(limit.0, follow).await.unwrap_or(Ending::GaveUp),
            None => follow.await,
        };
        let took = start.elapsed();
        trace.conclude(&world).await;
        check_answer(&ending, &trace, &world);
        let tokens = trace.seen().tokens.clone();
        Report { ending, tokens, took }
    }
}

async fn follow<F>(call: &Call, trace: &Trace, send: impl Fn(Request<Chunks>) -> F) -> Ending
where
    F: Future<Output = Result<Response<Full<Bytes>>, Error<Reset>>>,
{
    let mut message =
        Message { method: call.method.clone(), url: absolute(&call.url), body: call.body.clone() };
    loop {
        let response = match send(request(call, &message)).await {
            Ok(response) => response,
            Err(error) => return Ending::Failed(error),
        };
        let (head, body) = response.into_parts();
        let location = head.headers.get(LOCATION).and_then(|value| value.to_str().ok());
        match location {
            Some(url) if call.follows_redirects => {
                let url = absolute(url);
                message = Message { method: "GET".to_owned(), url, body: Body::default() };
                trace.next_hop();
            }
            _ => {
                let body = body.collect().await.expect("a body in memory").to_bytes();
                return Ending::Answered {
                    status: head.status.as_u16(),
                    body: String::from_utf8_lossy(&body).into_owned(),
                    told: head.extensions.get::<AuthOutcome>().cloned().unwrap_or_default(),
                };
            }
        }
    }
}

fn request(call: &Call, message: &Message) -> Request<Chunks> {
    let mut request = Request::builder().method(&*message.method).uri(&*message.url);
    for (name, value) in &call.headers {
        request = request.header(name, value);
    }
    if let Some(choice) = &call.auth {
        request = request.extension(match choice {
            Choice::Scope(scope) => RequestAuth::scope(scope.as_str()).expect("a valid scope"),
            Choice::None => RequestAuth::none(),
        });
    }
    request.body(Chunks::new(&message.body)).expect("a valid request")
}

/// The caller gets the last answer of the API, and is told of a replay if there was one.
fn check_answer(ending: &Ending, trace: &Trace, world: &World) {
    let Ending::Answered { status, body, told } = ending else { return };
    let attempts = trace.seen().hop.clone();
    let last = attempts.last().and_then(|attempt| attempt.answer.clone());
    let got = (*status, body.clone());
    if last.as_ref() != Some(&got) {
        world.violation(format!("the API answered {last:?}, and the caller got {got:?}"));
    }
    if told.replayed() != (attempts.len() == 2) {
        let attempts = attempts.len();
        let told = told.replayed();
        world.violation(format!("sent {attempts} times, and the caller was told replayed: {told}"));
    }
}
