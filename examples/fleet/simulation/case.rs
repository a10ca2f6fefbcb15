//! One fleet, for some hours of simulated time.

use std::time::Duration;

use bytes::Bytes;
use http::{Request, StatusCode};
use http_body_util::Full;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until};
use tower::{BoxError, Layer, ServiceExt, service_fn};
use tower_partner_auth::store::StoreKeys;
use tower_partner_auth::{ClientCredentials, PartnerAuthLayer, ReplayBody, Route};

use super::memory::{Health, MemoryStore};
use super::partner::{API, Partner, ROUTE, TOKEN_URL};

/// The mean time between two calls of one process; they come at random.
pub(crate) const MEAN_PAUSE: Duration = Duration::from_secs(60);

/// What the store takes to answer.
const STORE_DELAY: Duration = Duration::from_millis(1);

#[derive(Debug, Clone, Copy)]
pub(crate) struct Case {
    pub(crate) processes: usize,
    pub(crate) hours: u64,
    pub(crate) revokes_previous: bool,
    pub(crate) shared: bool,
    /// Of the traffic. The jitter of the layer has a chance of its own.
    pub(crate) seed: u64,
}

/// What became of it: the counts of the token server and of the API, and of the callers.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Outcome {
    pub(crate) token_requests: u64,
    pub(crate) busiest_second: u64,
    pub(crate) rejections: u64,
    pub(crate) calls: u64,
    /// Calls that did not end with a 200.
    pub(crate) failed: u64,
    /// The tokens that the process with the most of them has had.
    pub(crate) generation: u64,
}

impl Case {
    /// Plays it, on a clock of its own that moves on whenever all wait.
    pub(crate) fn play(self) -> Result<Outcome, BoxError> {
        let mut runtime = tokio::runtime::Builder::new_current_thread();
        runtime.enable_time().start_paused(true).build()?.block_on(self.of_processes())
    }

    async fn of_processes(self) -> Result<Outcome, BoxError> {
        let partner = Partner::new(self.revokes_previous);
        let store = MemoryStore::default();
        store.health(Health::Slow(STORE_DELAY));
        let end = Instant::now() + Duration::from_secs(self.hours * 60 * 60);
        let mut fleet = JoinSet::new();
        let mut layers = Vec::new();
        for number in 0..self.processes {
            let auth = self.layer(&partner, &store)?;
            let chance = SmallRng::seed_from_u64(self.seed << 32 | number as u64);
            fleet.spawn(call_until(end, auth.clone(), partner.clone(), chance));
            layers.push(auth);
        }
        let mut outcome = Outcome::default();
        for (calls, failed) in fleet.join_all().await {
            outcome.calls += calls;
            outcome.failed += failed;
        }
        let generation = |auth: &PartnerAuthLayer| {
            auth.status().tokens().map(|token| token.generation()).max().unwrap_or_default()
        };
        Ok(Outcome {
            token_requests: partner.token_requests(),
            busiest_second: partner.busiest_second(),
            rejections: partner.rejections(),
            generation: layers.iter().map(generation).max().unwrap_or_default(),
            ..outcome
        })
    }

    fn layer(self, partner: &Partner, store: &MemoryStore) -> Result<PartnerAuthLayer, BoxError> {
        let tokens = partner.clone();
        let mut builder = PartnerAuthLayer::builder(ClientCredentials::new("client", "secret"))
            .token_url(TOKEN_URL)
            .route(Route::any(ROUTE, "read_reports"))
            .http_client(service_fn(move |request| tokens.clone().token(request)));
        if self.shared {
            builder = builder.shared_store(store.clone(), StoreKeys::new(&[7; 32]));
        }
        Ok(builder.build()?)
    }
}

/// One process: its first call at once, as after a restart of all, the others at random. How many there
/// were, and how many failed.
async fn call_until(
    end: Instant,
    auth: PartnerAuthLayer,
    partner: Partner,
    mut chance: SmallRng,
) -> (u64, u64) {
    let api =
        service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| partner.clone().call(request));
    let client = auth.layer(api);
    let (mut calls, mut failed) = (0, 0);
    let mut due = Instant::now();
    while due < end {
        sleep_until(due).await;
        let request = Request::get(API).body(Full::default()).expect("a valid request");
        let answer = client.clone().oneshot(request).await;
        calls += 1;
        failed += u64::from(!answer.is_ok_and(|answer| answer.status() == StatusCode::OK));
        // As of independent events: the pauses between them are of this distribution.
        due += MEAN_PAUSE.mul_f64(-(1.0 - chance.random::<f64>()).ln());
    }
    (calls, failed)
}
