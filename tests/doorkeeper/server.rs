//! A Doorkeeper under Puma, for as long as a value lives, and clients of it under the layer.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::PathBuf;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, ResponseFuture};
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;
use serde_json::{Value, json};
use tower::{Layer, Service, ServiceExt};
use tower_partner_auth::partner::USE_CASES;
use tower_partner_auth::{
    AuthOutcome, ClientCredentials, Environment, Error, PartnerAuth, PartnerAuthLayer, ReplayBody,
};

const CLIENT_ID: &str = "partner-client";

/// With all that an encoding could get wrong.
const CLIENT_SECRET: &str = "s3cr&t =+/:%26";

const READY: &str = "Listening on http://";

pub(crate) type Body = Full<Bytes>;
pub(crate) type CallError = Error<hyper_util::client::legacy::Error>;
type Http<B> = Client<HttpConnector, B>;

/// A running server. Its routes are the table of use cases, each behind the scopes of its row.
pub(crate) struct Doorkeeper {
    puma: Child,
    /// Kept open: Puma would fail on writing to a closed pipe.
    stdout: BufReader<ChildStdout>,
    origin: String,
    controls: Http<Body>,
}

/// What the server has counted.
#[derive(Debug, Deserialize)]
pub(crate) struct Counts {
    pub(crate) token_requests: usize,
    pub(crate) token_requests_by_scope: BTreeMap<String, usize>,
    pub(crate) token_statuses: BTreeMap<u16, usize>,
    pub(crate) api_requests: usize,
    pub(crate) api_statuses: BTreeMap<u16, usize>,
}

/// A client with a layer of its own, as a process of its own would have.
#[derive(Clone)]
pub(crate) struct PartnerClient {
    service: PartnerAuth<Recorder>,
    presented: Arc<Mutex<Vec<HeaderValue>>>,
}

/// The HTTP client, with a record of the credentials it was given to send.
#[derive(Clone)]
pub(crate) struct Recorder {
    client: Http<ReplayBody<Body>>,
    presented: Arc<Mutex<Vec<HeaderValue>>>,
}

/// A response, read to its end.
pub(crate) struct Answered {
    pub(crate) status: StatusCode,
    pub(crate) outcome: AuthOutcome,
    pub(crate) body: Bytes,
}

/// A file that is gone when this is.
struct Scratch(PathBuf);

fn http_client<B>() -> Http<B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

// === impl Doorkeeper ===

impl Doorkeeper {
    /// Starts one with these environment variables, which `config.ru` explains.
    pub(crate) fn start(options: &[(&str, &str)]) -> Self {
        let routes = routes_file();
        let mut puma = Command::new("puma")
            .args(["-C", "-", "-t", "16:16", "-b", "tcp://127.0.0.1:0"])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doorkeeper/config.ru"))
            .env("DOORKEEPER_CLIENT_ID", CLIENT_ID)
            .env("DOORKEEPER_CLIENT_SECRET", CLIENT_SECRET)
            .env("DOORKEEPER_ROUTES", &routes.0)
            .envs(options.iter().copied())
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("puma on the path");
        let stdout = BufReader::new(puma.stdout.take().expect("piped"));
        let origin = String::new();
        let mut server = Self { puma, stdout, origin, controls: http_client() };
        let mut line = String::new();
        while server.origin.is_empty() {
            line.clear();
            let read = server.stdout.read_line(&mut line).expect("text");
            assert_ne!(read, 0, "puma ended before it was ready");
            if let Some((_, address)) = line.split_once(READY) {
                server.origin = format!("http://{}", address.trim());
            }
        }
        server
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    /// The environment variables under which the tour finds this server.
    pub(crate) fn tour_variables(&self) -> [(&'static str, String); 4] {
        [
            ("PARTNER_TOKEN_URL", format!("{}/oauth/token", self.origin())),
            ("PARTNER_API_ORIGIN", self.origin().to_owned()),
            ("PARTNER_CLIENT_ID", CLIENT_ID.to_owned()),
            ("PARTNER_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
        ]
    }

    /// A client that the server knows.
    pub(crate) fn client(&self) -> PartnerClient {
        self.client_with_secret(CLIENT_SECRET)
    }

    pub(crate) fn client_with_secret(&self, secret: &str) -> PartnerClient {
        let layer = PartnerAuthLayer::builder(ClientCredentials::new(CLIENT_ID, secret))
            .environment(Environment::at(self.origin()))
            .build()
            .expect("a valid configuration");
        let presented = Arc::default();
        let recorder = Recorder { client: http_client(), presented: Arc::clone(&presented) };
        PartnerClient { service: layer.layer(recorder), presented }
    }

    pub(crate) async fn counts(&self) -> Counts {
        let (status, body) = self.control("GET", "/__counts").await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_slice(&body).expect("counts")
    }

    /// Revokes every token there is.
    pub(crate) async fn revoke_all(&self) {
        let (status, _) = self.control("POST", "/__revoke").await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }

    async fn control(&self, method: &str, path: &str) -> (StatusCode, Bytes) {
        let uri = format!("{}{path}", self.origin);
        let request = Request::builder().method(method).uri(uri).body(Body::default()).unwrap();
        let response = self.controls.request(request).await.expect("the server answers");
        (response.status(), response.into_body().collect().await.unwrap().to_bytes())
    }
}

impl Drop for Doorkeeper {
    fn drop(&mut self) {
        // SIGTERM, so that it takes its database along.
        let asked = Command::new("kill").arg(self.puma.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.puma.kill();
        }
        let _ = self.puma.wait();
    }
}

fn routes_file() -> Scratch {
    static FILES: AtomicUsize = AtomicUsize::new(0);
    let number = FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("doorkeeper-routes-{}-{number}.json", std::process::id());
    let routes: Vec<Value> = USE_CASES
        .iter()
        .map(|row| {
            let scopes: Vec<_> = row.scope.split(' ').collect();
            json!({ "method": row.method.as_str(), "path": row.path, "scopes": scopes })
        })
        .collect();
    let file = Scratch(std::env::temp_dir().join(name));
    std::fs::write(&file.0, Value::from(routes).to_string()).expect("a place for the routes");
    file
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

// === impl PartnerClient ===

impl PartnerClient {
    pub(crate) async fn send(&self, request: Request<Body>) -> Result<Answered, CallError> {
        read(self.service.clone().oneshot(request).await?).await
    }

    /// Sends the request `times` times at once: every call has begun before any is driven on.
    pub(crate) async fn send_at_once(
        &self,
        times: usize,
        request: &Request<Body>,
    ) -> Vec<Result<Answered, CallError>> {
        let mut calls = Vec::new();
        for _ in 0..times {
            let mut service = self.service.clone();
            calls.push(service.ready().await.expect("ready").call(request.clone()));
        }
        let tasks: Vec<_> =
            calls.into_iter().map(|call| tokio::spawn(async { read(call.await?).await })).collect();
        let mut answers = Vec::new();
        for task in tasks {
            answers.push(task.await.expect("no panic"));
        }
        answers
    }

    /// The credential that went out last.
    pub(crate) fn last_presented(&self) -> HeaderValue {
        self.presented.lock().unwrap().last().expect("a request went out").clone()
    }
}

async fn read(response: Response<Incoming>) -> Result<Answered, CallError> {
    let (head, body) = response.into_parts();
    let outcome = head.extensions.get::<AuthOutcome>().cloned().unwrap_or_default();
    let body = body.collect().await.expect("a whole answer").to_bytes();
    Ok(Answered { status: head.status, outcome, body })
}

impl Answered {
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("JSON")
    }
}

// === impl Recorder ===

impl Service<Request<ReplayBody<Body>>> for Recorder {
    type Response = Response<Incoming>;
    type Error = hyper_util::client::legacy::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.client, cx)
    }

    fn call(&mut self, request: Request<ReplayBody<Body>>) -> Self::Future {
        let credential = request.headers().get(AUTHORIZATION).cloned();
        self.presented.lock().unwrap().extend(credential);
        self.client.call(request)
    }
}
