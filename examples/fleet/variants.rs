//! The two runs of one fleet: each process for itself, and all with one store.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use http::StatusCode;
use ring::rand::{SecureRandom, SystemRandom};
use tokio::task::spawn_blocking;
use tower::BoxError;
use tower_partner_auth::sandbox::Sandbox;

use crate::faults::Faults;
use crate::fleet;
use crate::process::{CALLED, Orders, StoreOrders, Tally};
use crate::redis_server::Redis;

const LIFE: Duration = Duration::from_secs(2);
const CALLS_FOR: Duration = Duration::from_secs(4);

/// What the token server takes: long enough for all processes to want a token before there is one.
const TOKEN_DELAY: Duration = Duration::from_millis(100);

/// What became of one run: told by the processes, and counted at the server.
struct Run {
    told: Tally,
    /// In the order of [`CALLED`].
    token_requests: Vec<u64>,
    rejections: u64,
    at_the_api: u64,
}

/// Plays both, prints what they cost, and tells what of it was not as promised.
pub(crate) async fn play(processes: usize, redis: &Redis) -> Result<Faults, BoxError> {
    println!(
        "{processes} processes of one client call the API for {CALLS_FOR:?}, under {} scopes. Tokens \
         live {LIFE:?}, and the server revokes the previous token at each issue.\n",
        CALLED.len()
    );
    let alone = run(processes, None).await?;
    let mut key = [0; 32];
    SystemRandom::new().fill(&mut key).map_err(|_| "no random key is to be had")?;
    // As `openssl rand -base64 32` prints it.
    let key = BASE64_STANDARD.encode(key);
    let store = StoreOrders { url: redis.url().to_owned(), key };
    let shared = run(processes, Some(store)).await?;
    print(&alone, &shared);

    let mut faults = Faults::default();
    alone.check_alone(&mut faults);
    shared.check_shared(processes, &mut faults);
    Ok(faults)
}

async fn run(processes: usize, store: Option<StoreOrders>) -> Result<Run, BoxError> {
    let sandbox = Sandbox::start().await?;
    sandbox.revoke_previous(true);
    sandbox.token_life(LIFE);
    sandbox.token_delay(TOKEN_DELAY);
    let credentials = sandbox.credentials();
    let orders = Orders {
        origin: sandbox.origin().to_owned(),
        client_id: credentials.client_id().to_owned(),
        client_secret: credentials.client_secret().await?.to_string(),
        store,
        calls_for: CALLS_FOR,
    };
    let told = spawn_blocking(move || fleet::run(processes, &orders)).await??;
    let of_scope = |(scope, _): &(&str, &str)| Ok(sandbox.token_requests_for(&scope.parse()?));
    Ok(Run {
        told,
        token_requests: CALLED.iter().map(of_scope).collect::<Result<_, BoxError>>()?,
        rejections: sandbox.api_answers(StatusCode::UNAUTHORIZED),
        at_the_api: sandbox.api_requests(),
    })
}

fn print(alone: &Run, shared: &Run) {
    let row = |what: &str, count: &dyn Fn(&Run) -> u64| {
        println!("{what:<44}{:>12}{:>12}", count(alone), count(shared));
    };
    println!("{:<44}{:>12}{:>12}", "", "no store", "one store");
    row("calls", &|run| run.told.calls);
    row("token requests (at the server)", &|run| run.token_requests.iter().sum());
    for (number, (scope, _)) in CALLED.iter().enumerate() {
        row(&format!("  {scope}"), &|run| run.token_requests[number]);
    }
    row("tokens taken from the store", &|run| run.told.store.taken);
    row("401s of the API (at the server)", &|run| run.rejections);
    row("requests sent a second time", &|run| run.told.replays);
    row("evictions: fetches for a token revoked", &|run| run.told.evictions);
    row("calls that ended with a 401", &|run| run.told.unauthorized);
    row("calls that failed", &|run| run.told.failed);
    row("longest call, ms", &|run| run.told.longest.as_millis() as u64);
}

impl Run {
    /// Of a fleet without a store, on such a server, no more can be promised.
    fn check_alone(&self, faults: &mut Faults) {
        faults.check(self.told.failed == 0, || {
            format!("without a store, {} calls failed: {}", self.told.failed, self.fault())
        });
        self.check_counts("without a store", faults);
    }

    fn check_shared(&self, processes: usize, faults: &mut Faults) {
        let Tally { unauthorized, failed, evictions, store, tokens, .. } = &self.told;
        faults.check(unauthorized + failed == 0, || {
            format!(
                "with the store, {unauthorized} calls ended with a 401 and {failed} failed: {}",
                self.fault()
            )
        });
        faults.expect("evictions with the store", *evictions, 0);
        for ((scope, _), requests) in CALLED.iter().zip(&self.token_requests) {
            let renewals = tokens.get(*scope).copied().unwrap_or_default();
            faults.expect(&format!("token requests for {scope}"), *requests, renewals);
            // A life, used up to its half at least.
            let most = (CALLS_FOR.as_secs_f64() / (LIFE / 2).as_secs_f64()) as u64 + 1;
            faults.check((2..=most).contains(requests), || {
                format!("{requests} token requests for {scope}, not 2 to {most}")
            });
        }
        let requests: u64 = self.token_requests.iter().sum();
        faults.expect("tokens put into the store", store.put, requests);
        faults.expect("fetches beside the store", store.direct, 0);
        faults.expect("failures of the store", store.failures, 0);
        let most = requests * processes as u64;
        faults.check(self.rejections <= most, || {
            format!("{} 401s of the API, more than one a process and token", self.rejections)
        });
        self.check_counts("with the store", faults);
    }

    /// What the processes tell is what the server has seen.
    fn check_counts(&self, which: &str, faults: &mut Faults) {
        let Tally { calls, replays, unauthorized, failed, .. } = self.told;
        let seen = (self.at_the_api, self.rejections);
        if failed == 0 {
            let what = format!("requests at the API, and its 401s, {which}");
            faults.expect(&what, seen, (calls + replays, replays + unauthorized));
        }
    }

    fn fault(&self) -> &str {
        self.told.fault.as_deref().unwrap_or("no reason is known")
    }
}
