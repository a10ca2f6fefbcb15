//! Law T7: no log line, metric, error or `Debug` output holds a token, a secret or a response body. One test
//! captures everything at trace level, from all crates, and looks for them.

mod common;

use std::io;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use common::*;
use http::{HeaderName, Method};
use metrics_exporter_prometheus::PrometheusBuilder;
use tower::{Layer, ServiceExt};
use tower_partner_auth::sandbox::{Answer, Sandbox};
use tower_partner_auth::{
    ClientAuthentication, ClientAuthenticator, ClientCredentials, ClientProof, PartnerAuthLayer,
    ProofFuture, ProofRequest, Secret,
};
use tracing_subscriber::fmt::MakeWriter;

const SECRET: &str = "s3cret-0f-the-client";
const TOKEN: &str = "t0ken-0f-the-answer";
const BODY: &str = "b0dy-0f-the-answer";

#[derive(Clone, Default)]
struct Capture(Arc<Mutex<Vec<u8>>>);

impl io::Write for Capture {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Capture {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

struct Proves(&'static str);

impl ClientAuthenticator for Proves {
    fn authenticate<'a>(&'a self, request: ProofRequest<'a>) -> ProofFuture<'a> {
        let proof = ClientProof::new().with_parameter(self.0, SECRET);
        let proof = proof.with_header(HeaderName::from_static("x-proof"), SECRET);
        tracing::info!(?proof, ?request, "proved");
        Box::pin(std::future::ready(Ok(proof)))
    }
}

#[tokio::test]
async fn nothing_at_trace_level_holds_a_secret() {
    let capture = Capture::default();
    let subscriber = tracing_subscriber::fmt().with_max_level(tracing::Level::TRACE);
    subscriber.with_writer(capture.clone()).with_ansi(false).init();

    let prometheus = PrometheusBuilder::new().install_recorder().unwrap();

    let credentials = ClientCredentials::new("client-id", SECRET);
    let sandbox =
        Sandbox::builder().client(credentials.clone(), "refer_merchant").start().await.unwrap();
    let builder = PartnerAuthLayer::builder(credentials.clone())
        .environment(sandbox.environment())
        .token_parameter("resource", SECRET)
        .token_retries(0);
    let mut said = format!("{builder:?} {credentials:?} {sandbox:?}");
    let auth = builder.build().unwrap();
    let rig = Rig { sandbox, auth };
    said.push_str(&format!("{:?}", rig.auth));

    // A token with a known text: over HTTP/1.1, over HTTP/2, rejected and replayed.
    let grant = format!(r#"{{"access_token":"{TOKEN}","token_type":"Bearer","x":"{BODY}"}}"#);
    rig.sandbox.script_token([Answer::json(200, grant)]);
    rig.sandbox.script_api([Answer::json(200, BODY)]);
    rig.get(MERCHANT).await;
    rig.get(MERCHANT).await;
    let client = rig.auth.layer(hyper_h2());
    said.push_str(&format!("{client:?}"));
    let response = client.oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap();
    said.push_str(&format!("{:?}", response.extensions().get::<tower_partner_auth::AuthOutcome>()));

    // The secret in a header of the token request.
    let in_header = credentials.clone().with_authentication(ClientAuthentication::Basic);
    said.push_str(&format!("{in_header:?}"));
    let builder = PartnerAuthLayer::builder(in_header).environment(rig.sandbox.environment());
    let client = builder.build().unwrap().layer(hyper());
    client.oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap();

    // Its parts from other places, and what is wrong with them.
    let file = scratch::Scratch::with(format!("{SECRET}\n"));
    let from_file = ClientCredentials::new("client-id", Secret::file(file.path()))
        .or_secret(Secret::from_fn(|| async { Ok::<_, std::io::Error>(format!("{SECRET}\n")) }));
    let auth = PartnerAuthLayer::builder(from_file.clone())
        .environment(rig.sandbox.environment())
        .token_header("x-api-key", SECRET)
        .build()
        .unwrap();
    said.push_str(&format!("{from_file:?} {:?}", from_file.client_secret().await));
    let client = auth.layer(hyper());
    client.oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap();
    file.replace(format!("{SECRET}\n\n"));
    let new = auth.set_credentials(from_file.clone()).unwrap_err();
    said.push_str(&format!("{new} {new:?}"));
    auth.invalidate_all();
    let error =
        auth.layer(hyper()).oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap_err();
    said.push_str(&all_forms(&error));

    // In place of it: a proof, and one that is refused.
    for name in ["client_assertion", "scope"] {
        let client = ClientCredentials::with_authenticator("client-id", Proves(name));
        let builder = PartnerAuthLayer::builder(client).environment(rig.sandbox.environment());
        let auth = builder.build().unwrap();
        let error =
            auth.layer(hyper()).oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap_err();
        said.push_str(&all_forms(&error));
    }

    // Every kind of bad answer, with the secrets echoed in it, for a layer of its own each.
    for answer in [
        Answer::json(
            401,
            format!(r#"{{"error":"invalid_client","error_description":"{SECRET}"}}"#),
        ),
        Answer::json(400, format!(r#"{{"error":"{SECRET}","error_uri":"{BODY}"}}"#)),
        Answer::json(200, format!(r#"{{"access_token":"{TOKEN}","token_type":"{TOKEN}"}}"#)),
        Answer::json(200, format!(r#"{{"access_token":"{TOKEN}\n","token_type":"Bearer"}}"#)),
        Answer::json(
            200,
            format!(r#"{{"access_token":"{TOKEN}","token_type":"Bearer","scope":"{TOKEN}"}}"#),
        ),
        Answer::json(
            200,
            format!(r#"{{"access_token":"{TOKEN}","token_type":"Bearer","expires_in":"{TOKEN}"}}"#),
        ),
        Answer::body(format!("<html>{BODY}")),
        Answer::truncated(BODY, 900),
        Answer::redirect(&format!("https://elsewhere.example.com/?{SECRET}")),
        Answer::status(500),
        Answer::reset(),
    ] {
        let auth = PartnerAuthLayer::builder(credentials.clone())
            .environment(rig.sandbox.environment())
            .token_retries(0)
            .build()
            .unwrap();
        rig.sandbox.script_token([answer]);
        let error =
            auth.layer(hyper()).oneshot(rig.request(Method::GET, MERCHANT, "")).await.unwrap_err();
        said.push_str(&all_forms(&error));
    }

    let scraped = prometheus.render();
    if cfg!(feature = "metrics") {
        assert!(scraped.contains("tower_partner_auth_token_requests_total"));
    }
    said.push_str(&scraped);
    let logged = String::from_utf8(capture.0.lock().unwrap().clone()).unwrap();
    assert!(logged.contains("tower_partner_auth"), "the layer's own events are among them");
    assert!(logged.contains("h2"), "and those of the crates below");
    assert!(logged.contains("client_assertion"), "and the names in a proof");
    assert!(said.contains("invalid_client") && said.contains("the-file"));
    let in_basic = BASE64_STANDARD.encode(format!("client-id:{SECRET}"));
    for needle in [SECRET, &in_basic, TOKEN, BODY] {
        assert!(!said.contains(needle), "{needle} in an error, a metric or a Debug output");
        if let Some(line) = logged.lines().find(|line| line.contains(needle)) {
            panic!("{needle} in a log line: {line}");
        }
    }
}
