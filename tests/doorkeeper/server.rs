//! A Doorkeeper under Puma, for as long as a value lives, and clients of it under the layer.

#![allow(dead_code, reason = "each test file uses a part of it")]

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdout, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

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
use tokio::task::JoinSet;
use tokio::time::{Instant, MissedTickBehavior};
use tower::{Layer, Service, ServiceExt};
use tower_partner_auth::partner::USE_CASES;
use tower_partner_auth::{
    AuthOutcome, Builder, ClientAuthentication, ClientCredentials, Environment, Error, PartnerAuth,
    PartnerAuthLayer, ReplayBody, Secret,
};

pub(crate) const CLIENT_ID: &str = "partner-client";

/// With all that an encoding could get wrong.
pub(crate) const CLIENT_SECRET: &str = "s3cr&t =+/:%26";

const READY: &str = "Listening on http://";
const ROUTES: &str = "routes.json";

/// Calls of one client under a steady load.
const MOST_AT_ONCE: usize = 16;

pub(crate) type Body = Full<Bytes>;
pub(crate) type CallError = Error<hyper_util::client::legacy::Error>;
type Http<B> = Client<HttpConnector, B>;

/// A running server. Its routes are the table of use cases, each behind the scopes of its row.
pub(crate) struct Doorkeeper {
    puma: Puma,
    origin: String,
    controls: Http<Body>,
    options: Vec<(String, String)>,
    /// Where its files are.
    scratch: Arc<Scratch>,
}

/// The process.
struct Puma {
    child: Child,
    /// Kept open: Puma would fail on writing to a closed pipe.
    stdout: BufReader<ChildStdout>,
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

/// A directory that is gone when this is, with whatever a killed server left in it.
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
        let owned = |&(name, value): &(&str, &str)| (name.to_owned(), value.to_owned());
        Self::start_in(Arc::new(Scratch::new()), options.iter().map(owned).collect())
    }

    /// Another server like this one, on the same database.
    pub(crate) fn twin(&self) -> Self {
        Self::start_in(Arc::clone(&self.scratch), self.options.clone())
    }

    fn start_in(scratch: Arc<Scratch>, options: Vec<(String, String)>) -> Self {
        let (puma, origin) = Puma::start("127.0.0.1:0", scratch.path(), &options);
        Self { puma, origin, controls: http_client(), options, scratch }
    }

    /// Ends it at once, as a crash would. Its tokens stay in the database.
    pub(crate) fn kill(&mut self) {
        self.puma.child.kill().expect("it runs");
        self.puma.child.wait().expect("it has ended");
    }

    /// Starts it again at the same place, after [`kill`](Self::kill). Its counts begin anew.
    pub(crate) fn restart(&mut self) {
        let address = self.origin.strip_prefix("http://").expect("as it was printed");
        (self.puma, self.origin) = Puma::start(address, self.scratch.path(), &self.options);
    }

    pub(crate) fn origin(&self) -> &str {
        &self.origin
    }

    pub(crate) fn token_url(&self) -> String {
        format!("{}/oauth/token", self.origin)
    }

    /// The environment variables under which the tour finds this server.
    pub(crate) fn tour_variables(&self) -> [(&'static str, String); 4] {
        [
            ("PARTNER_TOKEN_URL", self.token_url()),
            ("PARTNER_API_ORIGIN", self.origin().to_owned()),
            ("PARTNER_CLIENT_ID", CLIENT_ID.to_owned()),
            ("PARTNER_CLIENT_SECRET", CLIENT_SECRET.to_owned()),
        ]
    }

    /// A client that the server knows.
    pub(crate) fn client(&self) -> PartnerClient {
        self.client_with(|builder| builder)
    }

    pub(crate) fn client_with_secret(&self, secret: impl Into<Secret>) -> PartnerClient {
        self.client_of(ClientCredentials::new(CLIENT_ID, secret))
    }

    pub(crate) fn client_of(&self, credentials: ClientCredentials) -> PartnerClient {
        self.build_client(credentials, |builder| builder)
    }

    pub(crate) fn client_that(&self, authentication: ClientAuthentication) -> PartnerClient {
        let credentials = ClientCredentials::new(CLIENT_ID, CLIENT_SECRET);
        self.client_of(credentials.with_authentication(authentication))
    }

    pub(crate) fn client_with(&self, configure: impl FnOnce(Builder) -> Builder) -> PartnerClient {
        self.build_client(ClientCredentials::new(CLIENT_ID, CLIENT_SECRET), configure)
    }

    fn build_client(
        &self,
        credentials: ClientCredentials,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> PartnerClient {
        let builder =
            PartnerAuthLayer::builder(credentials).environment(Environment::at(self.origin()));
        let layer = configure(builder).build().expect("a valid configuration");
        let presented = Arc::default();
        let recorder = Recorder { client: http_client(), presented: Arc::clone(&presented) };
        PartnerClient { service: layer.layer(recorder), presented }
    }

    pub(crate) async fn counts(&self) -> Counts {
        let (status, body) = self.control("GET", "/__counts", "").await;
        assert_eq!(status, StatusCode::OK);
        serde_json::from_slice(&body).expect("counts")
    }

    /// Gives the client another secret; the one before is no good from now on.
    pub(crate) async fn change_secret(&self, secret: &str) {
        let (status, _) = self.control("POST", "/__secret", secret).await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }

    /// Revokes every token there is.
    pub(crate) async fn revoke_all(&self) {
        let (status, _) = self.control("POST", "/__revoke", "").await;
        assert_eq!(status, StatusCode::NO_CONTENT);
    }

    async fn control(&self, method: &str, path: &str, body: &str) -> (StatusCode, Bytes) {
        let uri = format!("{}{path}", self.origin);
        let body = Body::from(body.to_owned());
        let request = Request::builder().method(method).uri(uri).body(body).unwrap();
        let response = self.controls.request(request).await.expect("the server answers");
        (response.status(), response.into_body().collect().await.unwrap().to_bytes())
    }
}

// === impl Puma ===

impl Puma {
    /// Starts it at `address`, and waits until it can be reached; gives its origin, too.
    fn start(address: &str, scratch: &Path, options: &[(String, String)]) -> (Self, String) {
        let mut child = Command::new("puma")
            // A thread waits 0.2 s at each connection for its next request: with fewer threads than
            // connections, a request may wait for one as long.
            .args(["-C", "-", "-t", "64:64", "-b", &format!("tcp://{address}")])
            .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/doorkeeper/config.ru"))
            .env("DOORKEEPER_CLIENT_ID", CLIENT_ID)
            .env("DOORKEEPER_CLIENT_SECRET", CLIENT_SECRET)
            .env("DOORKEEPER_ROUTES", scratch.join(ROUTES))
            .env("DOORKEEPER_DB", scratch.join("tokens.sqlite3"))
            .env("TMPDIR", scratch)
            .envs(options.iter().map(|(name, value)| (name, value)))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .expect("puma on the path");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let mut puma = Self { child, stdout };
        let mut line = String::new();
        loop {
            line.clear();
            let read = puma.stdout.read_line(&mut line).expect("text");
            assert_ne!(read, 0, "puma ended before it was ready");
            if let Some((_, address)) = line.split_once(READY) {
                return (puma, format!("http://{}", address.trim()));
            }
        }
    }
}

impl Drop for Puma {
    fn drop(&mut self) {
        if matches!(self.child.try_wait(), Ok(Some(_))) {
            // Its process id may be another's by now.
            return;
        }
        // SIGTERM, so that it takes its files along.
        let asked = Command::new("kill").arg(self.child.id().to_string()).status();
        if !asked.is_ok_and(|status| status.success()) {
            let _ = self.child.kill();
        }
        let _ = self.child.wait();
    }
}

// === impl Scratch ===

impl Scratch {
    /// A directory with the routes in it.
    fn new() -> Self {
        static DIRECTORIES: AtomicUsize = AtomicUsize::new(0);
        let number = DIRECTORIES.fetch_add(1, Ordering::Relaxed);
        let name = format!("doorkeeper-test-{}-{number}", std::process::id());
        let directory = Self(std::env::temp_dir().join(name));
        let routes: Vec<Value> = USE_CASES
            .iter()
            .map(|row| {
                let scopes: Vec<_> = row.scope.split(' ').collect();
                json!({ "method": row.method.as_str(), "path": row.path, "scopes": scopes })
            })
            .collect();
        std::fs::create_dir(directory.path()).expect("a place for the server's files");
        std::fs::write(directory.path().join(ROUTES), Value::from(routes).to_string())
            .expect("a place for the routes");
        directory
    }

    fn path(&self) -> &Path {
        &self.0
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
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

    /// Sends the request again and again, `every` so often, whatever becomes of those before; at most
    /// [`MOST_AT_ONCE`] are under way, lest a slow machine measure its own queue.
    pub(crate) async fn send_for(
        &self,
        duration: Duration,
        every: Duration,
        request: &Request<Body>,
    ) -> Vec<Result<Answered, CallError>> {
        let end = Instant::now() + duration;
        let mut ticks = tokio::time::interval(every);
        ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        let mut calls = JoinSet::new();
        let mut answers = Vec::new();
        while Instant::now() < end {
            ticks.tick().await;
            if calls.len() == MOST_AT_ONCE {
                answers.extend(calls.join_next().await);
            }
            let (client, request) = (self.clone(), request.clone());
            calls.spawn(async move { client.send(request).await });
        }
        while let Some(answer) = calls.join_next().await {
            answers.push(answer);
        }
        answers.into_iter().map(|answer| answer.expect("no panic")).collect()
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
