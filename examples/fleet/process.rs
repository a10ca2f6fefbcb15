//! One process of the fleet. It reads from its standard input what to do, says that it is ready, begins
//! at the next line, and prints what became of its calls.

use std::collections::BTreeMap;
use std::io::{self, Lines, StdinLock};
use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use serde::{Deserialize, Serialize};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::{BoxError, Layer, ServiceExt};
use tower_partner_auth::store::{RedisStore, StoreKeys};
use tower_partner_auth::{
    AuthOutcome, ClientCredentials, Environment, PartnerAuth, PartnerAuthLayer, ReplayBody, Scope,
};

use crate::faults::with_causes;

/// What is called, each under a scope of its own.
pub(crate) const CALLED: [(&str, &str); 2] = [
    ("refer_merchant", "/api/v1/merchants/8391017"),
    ("client_manage_kyc_details", "/api/v3/merchants/kyc_document/info"),
];

/// Between two calls under one scope.
const PAUSE: Duration = Duration::from_millis(10);

/// More than any call needs: a fault should end the process, not hang it.
const CALL_LIMIT: Duration = Duration::from_secs(40);

/// What a process is told. It has secrets in it, and so comes by the standard input: what a process is
/// started with can be read by others.
#[derive(Serialize, Deserialize)]
pub(crate) struct Orders {
    pub(crate) origin: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) store: Option<StoreOrders>,
    pub(crate) calls_for: Duration,
}

#[derive(Serialize, Deserialize)]
pub(crate) struct StoreOrders {
    pub(crate) url: String,
    /// 32 bytes in base64.
    pub(crate) key: String,
}

/// What became of its calls.
#[derive(Default, Serialize, Deserialize)]
pub(crate) struct Tally {
    pub(crate) calls: u64,
    pub(crate) replays: u64,
    /// Calls that ended with a 401.
    pub(crate) unauthorized: u64,
    /// Calls that ended with no answer, or with any status but 200 and 401.
    pub(crate) failed: u64,
    /// The first of either.
    pub(crate) fault: Option<String>,
    pub(crate) evictions: u64,
    pub(crate) longest: Duration,
    /// How many tokens it has had, by scope.
    pub(crate) tokens: BTreeMap<String, u64>,
    pub(crate) store: StoreTally,
}

#[derive(Default, Serialize, Deserialize)]
pub(crate) struct StoreTally {
    pub(crate) taken: u64,
    pub(crate) put: u64,
    pub(crate) direct: u64,
    pub(crate) failures: u64,
}

type HttpClient = PartnerAuth<Client<HttpConnector, ReplayBody<Full<Bytes>>>>;

pub(crate) fn run() -> Result<(), BoxError> {
    let mut lines = io::stdin().lines();
    let orders: Orders = serde_json::from_str(&next(&mut lines)?)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let tally = runtime.block_on(async {
        let auth = layer(&orders)?;
        println!("ready");
        next(&mut lines)?;
        call_all(&auth, &orders).await
    })?;
    println!("{}", serde_json::to_string(&tally)?);
    Ok(())
}

fn next(lines: &mut Lines<StdinLock<'static>>) -> io::Result<String> {
    lines.next().unwrap_or_else(|| Err(io::ErrorKind::UnexpectedEof.into()))
}

/// All that a process needs to share its tokens is one line more.
fn layer(orders: &Orders) -> Result<PartnerAuthLayer, BoxError> {
    let credentials = ClientCredentials::new(&*orders.client_id, &*orders.client_secret);
    let mut builder =
        PartnerAuthLayer::builder(credentials).environment(Environment::at(orders.origin.as_str()));
    if let Some(store) = &orders.store {
        let keys = StoreKeys::from_base64(&store.key)?;
        builder = builder.shared_store(RedisStore::connect(store.url.as_str())?, keys);
    }
    Ok(builder.build()?)
}

async fn call_all(auth: &PartnerAuthLayer, orders: &Orders) -> Result<Tally, BoxError> {
    let end = Instant::now() + orders.calls_for;
    let mut http = HttpConnector::new();
    // Small requests are not to wait for more to send.
    http.set_nodelay(true);
    let client = auth.layer(Client::builder(TokioExecutor::new()).build(http));
    let mut callers = JoinSet::new();
    for (scope, path) in CALLED {
        let url = format!("{}{path}", orders.origin);
        let caller = Caller {
            auth: auth.clone(),
            client: client.clone(),
            scope: scope.parse()?,
            url,
            evictions: 0,
        };
        callers.spawn(caller.call_until(end));
    }
    let mut tally = Tally::default();
    for of_one in callers.join_all().await {
        tally.add(of_one);
    }
    let status = auth.status();
    tally.tokens =
        status.tokens().map(|token| (token.scope().to_string(), token.generation())).collect();
    if let Some(store) = status.store() {
        let (taken, put) = (store.taken, store.put);
        tally.store = StoreTally { taken, put, direct: store.direct, failures: store.failures };
    }
    Ok(tally)
}

/// The calls under one scope, one after the other.
struct Caller {
    auth: PartnerAuthLayer,
    client: HttpClient,
    scope: Scope,
    url: String,
    /// In a row, when last seen.
    evictions: u32,
}

impl Caller {
    async fn call_until(mut self, end: Instant) -> Tally {
        let mut tally = Tally::default();
        while Instant::now() < end {
            let start = Instant::now();
            let answer = match timeout(CALL_LIMIT, self.call()).await {
                Ok(answer) => answer,
                Err(late) => Err(late.into()),
            };
            tally.calls += 1;
            tally.longest = tally.longest.max(start.elapsed());
            let fault = match answer {
                Ok((status, outcome)) => {
                    tally.replays += u64::from(outcome.replayed());
                    tally.unauthorized += u64::from(status == StatusCode::UNAUTHORIZED);
                    let known = [StatusCode::OK, StatusCode::UNAUTHORIZED].contains(&status);
                    tally.failed += u64::from(!known);
                    let reason = || outcome.rejection().map(|r| format!(": {r}"));
                    (status != StatusCode::OK)
                        .then(|| format!("{status}{}", reason().unwrap_or_default()))
                }
                Err(error) => {
                    tally.failed += 1;
                    Some(with_causes(error.as_ref()))
                }
            };
            tally.fault = tally.fault.or(fault);
            tally.evictions += self.evictions_since();
            sleep(PAUSE).await;
        }
        tally
    }

    async fn call(&self) -> Result<(StatusCode, AuthOutcome), BoxError> {
        let request = Request::get(&self.url).body(Full::default())?;
        let mut response = self.client.clone().oneshot(request).await?;
        // The layer is silent where it had nothing to do but to put the token in.
        let outcome = response.extensions_mut().remove().unwrap_or_default();
        // Read to its end, so that the connection serves the next call.
        while let Some(frame) = response.body_mut().frame().await {
            frame?;
        }
        Ok((response.status(), outcome))
    }

    /// One at the most: they are told by answers, and there was one.
    fn evictions_since(&mut self) -> u64 {
        let status = self.auth.status();
        let token = status.tokens().find(|token| *token.scope() == self.scope);
        let now = token.map_or(0, |token| token.evictions());
        let before = std::mem::replace(&mut self.evictions, now);
        now.saturating_sub(before).into()
    }
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.calls += other.calls;
        self.replays += other.replays;
        self.unauthorized += other.unauthorized;
        self.failed += other.failed;
        self.fault = self.fault.take().or(other.fault);
        self.evictions += other.evictions;
        self.longest = self.longest.max(other.longest);
        for (scope, tokens) in other.tokens {
            let most = self.tokens.entry(scope).or_default();
            *most = tokens.max(*most);
        }
        self.store.taken += other.store.taken;
        self.store.put += other.store.put;
        self.store.direct += other.store.direct;
        self.store.failures += other.store.failures;
    }
}
