//! Readiness and liveness endpoints, made of what the layer knows of its tokens: no probe asks a server.
//!
//! ```text
//! cargo run --example health
//! ```
//!
//! serves them, and shows what they answer before, during and after an outage of the sandbox's token
//! server. It ends with status 1 if that is not as it should be.

use std::convert::Infallible;
use std::process::ExitCode;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::time::{Instant, sleep};
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_partner_auth::sandbox::{Answer, Sandbox};
use tower_partner_auth::{FetchOutcome, PartnerAuthLayer, TokenStatus};

// === The endpoints ===

/// Is this process worth sending requests to? Not while a token that it needs cannot be had.
fn ready(auth: &PartnerAuthLayer) -> (StatusCode, Value) {
    let status = auth.status();
    let in_trouble = |token: &&TokenStatus| !token.is_usable() && token.failures() > 0;
    let reasons: Vec<_> = status.tokens().filter(in_trouble).map(reason).collect();
    let code = if reasons.is_empty() { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    (code, json!({ "ready": reasons.is_empty(), "reasons": reasons }))
}

fn reason(token: &TokenStatus) -> Value {
    let error = token.last_fetch().and_then(|last| match last.outcome() {
        FetchOutcome::Failed(error) => Some(error),
        _ => None,
    });
    json!({
        "scope": token.scope(),
        "token": token.state(),
        "failures": token.failures(),
        "error": error,
        "next_attempt_seconds": token.next_attempt().map(|left| left.as_secs_f64()),
    })
}

/// Should this process be restarted? Whoever answers should not: to start again brings no token
/// back, and a fleet that does would ask the token server all at once.
fn live() -> (StatusCode, Value) {
    (StatusCode::OK, json!({ "live": true }))
}

async fn serve(listener: TcpListener, auth: PartnerAuthLayer) {
    while let Ok((stream, _)) = listener.accept().await {
        let auth = auth.clone();
        let answer = service_fn(move |request: Request<_>| {
            let (status, body) = match request.uri().path() {
                "/ready" => ready(&auth),
                "/live" => live(),
                _ => (StatusCode::NOT_FOUND, Value::Null),
            };
            let mut response = Response::new(Full::<Bytes>::from(body.to_string()));
            *response.status_mut() = status;
            async { Ok::<_, Infallible>(response) }
        });
        // A probe that breaks off is nobody's error.
        tokio::spawn(http1::Builder::new().serve_connection(TokioIo::new(stream), answer));
    }
}

// === An outage ===

const LIFE: Duration = Duration::from_secs(2);
/// More than any step needs.
const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::main]
async fn main() -> ExitCode {
    match outage().await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("health: {error}");
            ExitCode::FAILURE
        }
    }
}

async fn outage() -> Result<(), BoxError> {
    let sandbox = Sandbox::start().await?;
    sandbox.token_life(LIFE);
    let auth = PartnerAuthLayer::builder(sandbox.credentials())
        .environment(sandbox.environment())
        .token_retries(0)
        .build()?;
    let http: Client<HttpConnector, Full<Bytes>> =
        Client::builder(TokioExecutor::new()).build_http();
    let partner = Client::builder(TokioExecutor::new()).build_http();
    let partner = ServiceBuilder::new().layer(auth.clone()).service(partner);
    let call = async || {
        let uri = format!("{}/api/v1/merchants/8391017", sandbox.origin());
        let request = Request::get(uri).body(Full::<Bytes>::default())?;
        let response = partner.clone().oneshot(request).await?;
        Ok::<_, BoxError>(response.status())
    };

    let listener = TcpListener::bind("127.0.0.1:0").await?;
    let probes = format!("http://{}", listener.local_addr()?);
    tokio::spawn(serve(listener, auth.clone()));
    println!("Probes at {probes}/ready and {probes}/live");
    let probe = async |when: &str, path: &str, due: StatusCode| {
        let before = sandbox.token_requests();
        let response = http.get(format!("{probes}{path}").parse()?).await?;
        let status = response.status();
        let body: Value =
            serde_json::from_slice(&response.into_body().collect().await?.to_bytes())?;
        println!("\n{when}: {path} answers {}\n{body:#}", status.as_u16());
        if status != due {
            return Err(BoxError::from(format!("{path} is not to answer {status} {when}")));
        }
        if sandbox.token_requests() != before {
            return Err("a probe asked the token server".into());
        }
        Ok(())
    };

    auth.prewarm().await.into_result()?;
    probe("before the outage", "/ready", StatusCode::OK).await?;

    sandbox.script_token(std::iter::repeat_with(|| Answer::status(503)).take(10_000));
    let until = Instant::now() + PATIENCE;
    while call().await.is_ok() && Instant::now() < until {
        // The token that there is serves to its end.
        sleep(LIFE / 20).await;
    }
    probe("in the outage", "/ready", StatusCode::SERVICE_UNAVAILABLE).await?;
    probe("in the outage", "/live", StatusCode::OK).await?;

    sandbox.clear_scripts();
    let until = Instant::now() + PATIENCE;
    while call().await.is_err() && Instant::now() < until {
        sleep(LIFE / 20).await;
    }
    probe("after the outage", "/ready", StatusCode::OK).await
}
