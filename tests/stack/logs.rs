//! `tower-http`'s `Trace` and `SetSensitiveRequestHeaders`: who logs what.

use std::io;
use std::sync::{Arc, Mutex};

use http::header::AUTHORIZATION;
use http::{HeaderName, Method, StatusCode};
use tower::{Layer, ServiceBuilder, ServiceExt};
use tower_http::classify::{ServerErrorsAsFailures, SharedClassifier};
use tower_http::sensitive_headers::SetSensitiveRequestHeadersLayer;
use tower_http::trace::{DefaultMakeSpan, TraceLayer};
use tower_partner_auth::Route;
use tower_partner_auth::sandbox::Answer;
use tracing::subscriber::DefaultGuard;
use tracing_subscriber::fmt::MakeWriter;

use crate::common::*;

const TOKEN: &str = "t0ken-0f-the-answer";
const OWN: &str = "own-cr3dential";
const PARTNER_TOKEN: HeaderName = HeaderName::from_static("x-partner-token");
/// What `HeaderValue` prints of a sensitive one.
const SENSITIVE: &str = "Sensitive";

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Log {
    /// Everything that this thread logs from here on.
    fn start() -> (Self, DefaultGuard) {
        let log = Self::default();
        let subscriber = tracing_subscriber::fmt()
            .with_max_level(tracing::Level::TRACE)
            .with_writer(log.clone())
            .with_ansi(false)
            .finish();
        (log, tracing::subscriber::set_default(subscriber))
    }

    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }

    /// How many requests were traced.
    fn requests(&self) -> usize {
        self.text().matches("started processing request").count()
    }
}

impl io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

/// Traces requests, with all their headers.
fn trace() -> TraceLayer<SharedClassifier<ServerErrorsAsFailures>, DefaultMakeSpan> {
    TraceLayer::new_for_http().make_span_with(DefaultMakeSpan::new().include_headers(true))
}

/// A partner whose token has a known text, and whose API takes it in a header of its own as well.
async fn rig() -> Rig {
    let sandbox = Rig::start().await.sandbox;
    let url = format!("{}/qr", sandbox.origin());
    let route = Route::new(Method::GET, url, "refer_merchant").header(PARTNER_TOKEN);
    let auth = layer(&sandbox, |builder| builder.route(route));
    let grant = format!(r#"{{"access_token":"{TOKEN}","token_type":"Bearer"}}"#);
    sandbox.script_token([Answer::json(200, grant)]);
    sandbox.script_api([Answer::status(200), Answer::status(200)]);
    Rig { sandbox, auth }
}

#[tokio::test]
async fn trace_under_the_layer_sees_the_token_but_cannot_print_it() {
    let (log, _guard) = Log::start();
    let rig = rig().await;
    for path in [MERCHANT, "/qr"] {
        let client = rig.auth.layer(trace().layer(hyper()));
        let response = client.oneshot(rig.request(Method::GET, path, "")).await.unwrap();
        assert_eq!(response.status(), StatusCode::OK);
    }
    let text = log.text();
    for header in ["authorization", "x-partner-token"] {
        assert!(text.contains(&format!("\"{header}\": {SENSITIVE}")), "{text}");
    }
    assert!(!text.contains(TOKEN), "{text}");
}

#[tokio::test]
async fn trace_over_the_layer_sees_no_token() {
    let (log, _guard) = Log::start();
    let rig = rig().await;
    for path in [MERCHANT, "/qr"] {
        let client = trace().layer(rig.auth.layer(hyper()));
        client.oneshot(rig.request(Method::GET, path, "")).await.unwrap();
    }
    assert_eq!(log.requests(), 2);
    let text = log.text();
    assert!(!text.contains(SENSITIVE) && !text.contains(TOKEN), "{text}");
}

#[tokio::test]
async fn trace_sees_a_replay_under_the_layer_and_one_request_over_it() {
    for (under, seen) in [(true, 2), (false, 1)] {
        let rig = Rig::start().await;
        rig.get(MERCHANT).await;
        rig.sandbox.revoke_all();
        let (log, _guard) = Log::start();
        let request = rig.request(Method::GET, MERCHANT, "");
        let status = if under {
            rig.auth.layer(trace().layer(hyper())).oneshot(request).await.unwrap().status()
        } else {
            trace().layer(rig.auth.layer(hyper())).oneshot(request).await.unwrap().status()
        };
        assert_eq!(status, StatusCode::OK);
        assert_eq!(log.requests(), seen, "under: {under}");
    }
}

/// A caller's own credential is as it was given: it is the caller who has to mark it.
#[tokio::test]
async fn set_sensitive_headers_over_the_layer_is_for_the_callers_own_credentials() {
    for marked in [true, false] {
        let (log, _guard) = Log::start();
        let rig = rig().await;
        let mut request = rig.request(Method::GET, MERCHANT, "");
        request.headers_mut().insert(AUTHORIZATION, OWN.parse().unwrap());
        let names = marked.then_some(AUTHORIZATION);
        let client = ServiceBuilder::new()
            .layer(SetSensitiveRequestHeadersLayer::new(names))
            .layer(&rig.auth)
            .layer(trace())
            .service(hyper());
        client.oneshot(request).await.unwrap();
        assert_eq!(log.text().contains(OWN), !marked);
    }
}

#[tokio::test]
async fn set_sensitive_headers_under_the_layer_changes_nothing() {
    let (log, _guard) = Log::start();
    let rig = rig().await;
    let client = ServiceBuilder::new()
        .layer(&rig.auth)
        .layer(SetSensitiveRequestHeadersLayer::new([AUTHORIZATION]))
        .layer(trace())
        .service(hyper());
    let response = client.oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap();
    assert_eq!(response.status(), StatusCode::OK);
    assert!(rig.sandbox.received()[0].has_credential());
    assert!(!log.text().contains(TOKEN));
}
