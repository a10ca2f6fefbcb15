//! A fleet: a partner's sandbox, a Redis, and processes that share their tokens by it.
//!
//! A process here is a layer that was built on its own, with a connection, a client and keys of its
//! own: nothing in it knows of another. Where a process has to die, there is a [real
//! one](super::process).

use std::future::Future;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{HeaderValue, Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::ResponseFuture;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt};
use tower_partner_auth::sandbox::Sandbox;
use tower_partner_auth::store::{RedisStore, StoreKeys, StoreStatus};
use tower_partner_auth::{
    AuthOutcome, Builder, FetchOutcome, PartnerAuth, PartnerAuthLayer, ReplayBody, TokenStatus,
};

use super::common::{self, ClientError, Hyper};
use super::server::RedisServer;

/// Longer than anything takes on a busy machine: for tests where the store is well.
const PATIENT: Duration = Duration::from_secs(5);

pub(crate) type Body = Full<Bytes>;

pub(crate) struct Fleet {
    pub(crate) sandbox: Sandbox,
    pub(crate) redis: RedisServer,
}

/// One of them.
#[derive(Clone)]
pub(crate) struct Process {
    pub(crate) auth: PartnerAuthLayer,
    client: PartnerAuth<Recorder>,
    presented: Arc<Mutex<Option<HeaderValue>>>,
    origin: Arc<str>,
}

/// The HTTP client, which remembers the last credential that it was given to send.
#[derive(Clone)]
struct Recorder {
    client: Hyper<Body>,
    presented: Arc<Mutex<Option<HeaderValue>>>,
}

/// What came of a call.
#[derive(Debug)]
pub(crate) struct Called {
    pub(crate) status: StatusCode,
    pub(crate) outcome: AuthOutcome,
}

/// The key of the fleet.
pub(crate) fn keys() -> StoreKeys {
    key(1)
}

/// One of many.
pub(crate) fn key(number: u8) -> StoreKeys {
    StoreKeys::new(&[number; 32])
}

// === impl Fleet ===

impl Fleet {
    pub(crate) async fn start() -> Self {
        Self::with(RedisServer::start()).await
    }

    pub(crate) async fn with(redis: RedisServer) -> Self {
        Self { sandbox: Sandbox::start().await.expect("a free port on loopback"), redis }
    }

    /// Processes for which the store has all the time that it needs.
    pub(crate) fn processes(&self, number: usize) -> Vec<Process> {
        (0..number).map(|_| self.process(|builder| builder.store_timeout(PATIENT))).collect()
    }

    /// Processes that give the store no more time than they would by default.
    pub(crate) fn impatient(&self, number: usize) -> Vec<Process> {
        (0..number).map(|_| self.process(|builder| builder)).collect()
    }

    pub(crate) fn process(&self, configure: impl FnOnce(Builder) -> Builder) -> Process {
        self.process_at(&self.redis.url(), keys(), configure)
    }

    pub(crate) fn process_of(&self, keys: StoreKeys) -> Process {
        self.process_at(&self.redis.url(), keys, |builder| builder.store_timeout(PATIENT))
    }

    pub(crate) fn process_at(
        &self,
        url: &str,
        keys: StoreKeys,
        configure: impl FnOnce(Builder) -> Builder,
    ) -> Process {
        let store = RedisStore::connect(url).expect("a good URL");
        self.loner(|builder| configure(builder.shared_store(store, keys)))
    }

    /// A process that shares with nobody.
    pub(crate) fn loner(&self, configure: impl FnOnce(Builder) -> Builder) -> Process {
        Process::new(common::layer(&self.sandbox, configure), self.sandbox.origin())
    }

    /// That these processes share: a revocation that all of them meet costs one token request, and
    /// they go on with one token.
    pub(crate) async fn assert_converges(&self, processes: &[Process]) {
        let before = self.sandbox.token_requests();
        assert_ne!(self.sandbox.revoke_all(), 0);
        assert_ok(&call_all(processes).await);
        let asked = self.sandbox.token_requests() - before;
        let statuses: Vec<_> = processes.iter().map(Process::store).collect();
        assert_eq!(asked, 1, "{statuses:#?}");
        assert_eq!(tokens(processes), 1);
    }

    /// That these, which have an older token, take what the others share as soon as they need one.
    pub(crate) async fn assert_catch_up(&self, behind: &[Process], others: &[Process]) {
        self.assert_converges(others).await;
        let before = self.sandbox.token_requests();
        assert_ok(&call_all(behind).await);
        assert_eq!(self.sandbox.token_requests(), before);
        assert_eq!(tokens(&[behind, others].concat()), 1);
    }

    /// Has all of them ask for tokens until each of them reaches the store again.
    pub(crate) async fn until_reached(&self, processes: &[Process]) {
        within(Duration::from_secs(30), async {
            loop {
                self.sandbox.revoke_all();
                assert_ok(&call_all(processes).await);
                if processes.iter().all(|process| process.store().available) {
                    return;
                }
                tokio::time::sleep(Duration::from_millis(50)).await;
            }
        })
        .await;
    }
}

/// A limit that is only met by what would else hang for ever.
pub(crate) async fn within<T>(limit: Duration, what: impl Future<Output = T>) -> T {
    tokio::time::timeout(limit, what).await.expect("it comes about")
}

/// One call of each process, all at once.
pub(crate) async fn call_all(processes: &[Process]) -> Vec<Called> {
    let mut calls = JoinSet::new();
    for process in processes {
        let process = process.clone();
        calls.spawn(async move { process.call().await });
    }
    calls.join_all().await
}

/// Calls of all processes, each of them every so often for so long.
pub(crate) async fn call_for(
    processes: &[Process],
    duration: Duration,
    every: Duration,
) -> Vec<Called> {
    let mut loads = JoinSet::new();
    for process in processes {
        let process = process.clone();
        loads.spawn(async move {
            let end = tokio::time::Instant::now() + duration;
            let mut called = Vec::new();
            while tokio::time::Instant::now() < end {
                called.push(process.call().await);
                tokio::time::sleep(every).await;
            }
            called
        });
    }
    loads.join_all().await.into_iter().flatten().collect()
}

#[track_caller]
pub(crate) fn assert_ok(called: &[Called]) {
    for (number, call) in called.iter().enumerate() {
        assert_eq!(call.status, StatusCode::OK, "call {number} of {}: {call:?}", called.len());
    }
}

/// How many tokens they have between them.
pub(crate) fn tokens(processes: &[Process]) -> usize {
    let mut tokens: Vec<_> = processes.iter().map(Process::token).collect();
    tokens.sort();
    tokens.dedup();
    tokens.len()
}

/// What a count of theirs comes to in all.
pub(crate) fn sum(processes: &[Process], count: impl Fn(&StoreStatus) -> u64) -> u64 {
    processes.iter().map(|process| count(&process.store())).sum()
}

// === impl Process ===

impl Process {
    pub(crate) fn new(auth: PartnerAuthLayer, origin: &str) -> Self {
        let presented = Arc::default();
        let recorder = Recorder { client: common::hyper(), presented: Arc::clone(&presented) };
        Self { client: auth.layer(recorder), auth, presented, origin: origin.into() }
    }

    pub(crate) async fn call(&self) -> Called {
        self.call_path(common::MERCHANT).await
    }

    pub(crate) async fn call_path(&self, path: &str) -> Called {
        self.try_path(path).await.expect("an answer")
    }

    /// A call for which there may be no token.
    pub(crate) async fn try_path(&self, path: &str) -> Result<Called, ClientError> {
        let request = Request::get(format!("{}{path}", self.origin));
        let request = request.body(Body::default()).expect("a good request");
        let response = self.client.clone().oneshot(request).await?;
        let outcome = common::outcome(&response).cloned().unwrap_or_default();
        let status = response.status();
        response.into_body().collect().await.expect("a whole body");
        Ok(Called { status, outcome })
    }

    pub(crate) fn store(&self) -> StoreStatus {
        *self.auth.status().store().expect("it has one")
    }

    pub(crate) fn status(&self) -> TokenStatus {
        let scope = common::scope("refer_merchant");
        self.auth.status().get(&scope).expect("it was asked for").clone()
    }

    pub(crate) fn last_fetch(&self) -> FetchOutcome {
        self.status().last_fetch().expect("there was one").outcome().clone()
    }

    /// What its last request carried.
    pub(crate) fn token(&self) -> String {
        let presented = self.presented.lock().unwrap().clone();
        let credential = presented.expect("a request went out");
        let token = credential.to_str().expect("ASCII").strip_prefix("Bearer ");
        token.expect("a bearer token").to_owned()
    }
}

impl Service<Request<ReplayBody<Body>>> for Recorder {
    type Response = http::Response<hyper::body::Incoming>;
    type Error = hyper_util::client::legacy::Error;
    type Future = ResponseFuture;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Service::poll_ready(&mut self.client, cx)
    }

    fn call(&mut self, request: Request<ReplayBody<Body>>) -> Self::Future {
        *self.presented.lock().unwrap() = request.headers().get(AUTHORIZATION).cloned();
        self.client.call(request)
    }
}
