//! A sandbox where lives are short and tokens are revoked at random, and callers of every scope.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::connect::HttpConnector;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep};
use tower::BoxError;
use tower_partner_auth::partner::UseCase;
use tower_partner_auth::sandbox::Sandbox;
use tower_partner_auth::{PartnerAuthLayer, Scope};

use super::board::{Board, Row, Used};
use crate::client::{Authorised, call, client_over, layer_for, succeeded};
use crate::scenes::one_use_case_per_scope;
use crate::use_cases::use_case_request;

/// Long enough to be seen.
const TOKEN_DELAY: Duration = Duration::from_millis(150);
/// How many lines of news are kept.
const NEWS: usize = 50;

/// Its tasks end when it is dropped.
pub(super) struct World {
    auth: PartnerAuthLayer,
    begin: Instant,
    seen: Arc<Mutex<Seen>>,
    _tasks: JoinSet<()>,
}

#[derive(Default)]
struct Seen {
    used: BTreeMap<Scope, Used>,
    news: Vec<String>,
}

impl World {
    pub(super) async fn start() -> Result<Self, BoxError> {
        let sandbox = Sandbox::start().await?;
        sandbox.token_delay(TOKEN_DELAY);
        let auth = layer_for(&sandbox)?;
        let client = client_over(&auth);
        let (begin, seen) = (Instant::now(), Arc::default());
        let mut tasks = JoinSet::new();
        let rows = one_use_case_per_scope()?;
        for (number, (row, scope)) in (0..).zip(&rows) {
            let random = SmallRng::seed_from_u64(number);
            let caller = Caller {
                client: client.clone(),
                sandbox: sandbox.clone(),
                row,
                scope: scope.clone(),
            };
            tasks.spawn(caller.go_on(Arc::clone(&seen), random));
        }
        let scopes = rows.into_iter().map(|(_, scope)| scope).collect();
        tasks.spawn(trouble(sandbox, scopes, begin, Arc::clone(&seen)));
        Ok(Self { auth, begin, seen, _tasks: tasks })
    }

    pub(super) fn board(&self) -> Board {
        let seen = lock(&self.seen);
        let row = |token| {
            let token: &tower_partner_auth::TokenStatus = token;
            let used = seen.used.get(token.scope()).copied().unwrap_or_default();
            Row::new(token, used)
        };
        Board {
            running: self.begin.elapsed(),
            rows: self.auth.status().tokens().map(row).collect(),
            news: seen.news.clone(),
        }
    }
}

/// One who calls a use case again and again.
struct Caller {
    client: Authorised<HttpConnector, Full<Bytes>>,
    sandbox: Sandbox,
    row: &'static UseCase,
    scope: Scope,
}

impl Caller {
    async fn go_on(self, seen: Arc<Mutex<Seen>>, mut random: SmallRng) {
        loop {
            let request = use_case_request(self.row, &self.sandbox.environment());
            let answer = match request {
                Ok(request) => call(&self.client, request).await,
                Err(error) => Err(error.into()),
            };
            {
                let mut seen = lock(&seen);
                let used = seen.used.entry(self.scope.clone()).or_default();
                used.calls += 1;
                used.failed += u64::from(!answer.as_ref().is_ok_and(succeeded));
                if let Ok(answer) = answer {
                    used.waited += u64::from(answer.outcome.waited_for_token());
                    used.replayed += u64::from(answer.outcome.replayed());
                }
            }
            sleep(Duration::from_millis(random.random_range(20..200))).await;
        }
    }
}

/// Gives tokens lives of all lengths, and revokes one now and then.
async fn trouble(sandbox: Sandbox, scopes: Vec<Scope>, begin: Instant, seen: Arc<Mutex<Seen>>) {
    let mut random = SmallRng::seed_from_u64(4_711);
    let mut last = scopes.len();
    loop {
        sandbox.token_life(Duration::from_secs(random.random_range(4..15)));
        sleep(Duration::from_millis(random.random_range(500..1_500))).await;
        // Never the same twice running: a call that met two revocations would, rightly, end in a 401.
        let next = random.random_range(0..scopes.len());
        if next == last {
            continue;
        }
        last = next;
        let scope = &scopes[next];
        if sandbox.revoke(scope) > 0 {
            let mut seen = lock(&seen);
            let room = seen.news.len().saturating_sub(NEWS - 1);
            seen.news.drain(..room);
            let after = begin.elapsed().as_secs_f64();
            seen.news.push(format!("{after:>6.1} s  revoked: {scope}"));
        }
    }
}

// Counts are whole between two changes.
fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}
