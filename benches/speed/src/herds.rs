//! Herds: ten thousand first calls at once, and a thousand calls that all meet a revoked token.

use std::time::{Duration, Instant};

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Empty;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt};
use tower_partner_auth::PartnerAuthLayer;

use crate::Effort;
use crate::partner::{Partner, client_runtime, http_client};
use crate::report::{Section, Table, verdict};
use crate::scenarios::Api;
use crate::stats::Spread;

const COLD: usize = 10_000;
const STAMPEDE: usize = 1_000;
const DELAY: Duration = Duration::from_millis(200);
const COLD_LIMIT: f64 = 1.2;

/// Younger than this, a token that is rejected is taken for a rival process's work, and its renewal
/// held back.
const GROWN_UP: Duration = Duration::from_millis(1_100);

const TEMPLATE: &str = "/api/v1/merchants/{mid}";

type Empties = Empty<Bytes>;

pub(crate) fn measure(effort: Effort) -> Section {
    let mut section = Section::default();
    cold(&mut section, effort.of(15, 3));
    stampede(&mut section, effort.of(9, 1));
    section
}

/// `calls` tasks that make one call each: how long until the last has its answer.
async fn herd<S>(service: S, calls: usize, url: &str) -> (Duration, usize)
where
    S: Service<Request<Empties>, Response: Answer> + Clone + Send + 'static,
    S::Error: std::fmt::Debug,
    S::Future: Send,
{
    let request = || Request::get(url).body(Empties::new()).expect("a valid request");
    let requests: Vec<_> = (0..calls).map(|_| request()).collect();
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for request in requests {
        let service = service.clone();
        tasks.spawn(async move { service.oneshot(request).await.expect("an answer").is_ok() });
    }
    let good = tasks.join_all().await.into_iter().filter(|good| *good).count();
    (start.elapsed(), good)
}

trait Answer: Send + 'static {
    fn is_ok(&self) -> bool;
}

impl<B: Send + 'static> Answer for http::Response<B> {
    fn is_ok(&self) -> bool {
        self.status() == StatusCode::OK
    }
}

/// The inner service answers at once, so that the herd's own time is the layer's and the runtime's.
fn cold(section: &mut Section, rounds: usize) {
    let runtime = client_runtime();
    let partner = Partner::start(DELAY);
    let url = partner.url();
    let mut cold_times = Vec::new();
    let mut warm_times = Vec::new();
    let mut ratios = Vec::new();
    let mut most_requests = 0;
    let mut answered = 0;
    for _ in 0..rounds {
        let before = partner.sandbox.token_requests();
        let client = partner.layer().layer(Api);
        let (cold, good) = runtime.block_on(herd(client.clone(), COLD, &url));
        let (warm, also_good) = runtime.block_on(herd(client, COLD, &url));
        most_requests = most_requests.max(partner.sandbox.token_requests() - before);
        answered += good + also_good;
        cold_times.push(milliseconds(cold));
        warm_times.push(milliseconds(warm));
        ratios.push(cold.as_secs_f64() / (DELAY + warm).as_secs_f64());
    }
    let (cold, warm, ratio) = (Spread::of(cold_times), Spread::of(warm_times), Spread::of(ratios));
    let fast = ratio.middle <= COLD_LIMIT;
    let once = most_requests == 1 && answered == 2 * COLD * rounds;
    section.counted(
        "Token requests for 10,000 cold callers",
        "1",
        format!("{most_requests}, {answered} of {} calls answered", 2 * COLD * rounds),
        once,
    );
    section.timed(
        "10,000 cold callers, until the last is done",
        &format!("{COLD_LIMIT}× (the token server's delay + the same herd warm)"),
        format!("{:.2}×", ratio.middle),
        fast,
    );
    let mut table = Table::new(&[
        "10,000 callers at once",
        "cold, ms",
        "warm, ms",
        "token server's delay, ms",
        "cold to delay + warm",
        "half of the rounds",
        "token requests",
        "Verdict",
    ]);
    table.row([
        "until the last is done".to_owned(),
        format!("{:.1}", cold.middle),
        format!("{:.1}", warm.middle),
        format!("{}", DELAY.as_millis()),
        format!("{:.2}", ratio.middle),
        format!("{:.2} to {:.2}", ratio.lower, ratio.upper),
        most_requests.to_string(),
        verdict(fast && once),
    ]);
    section.add(table.finish());
}

/// Over real connections, and judged by a real server: the rejected call's way back is part of it.
fn stampede(section: &mut Section, rounds: usize) {
    let runtime = client_runtime();
    let mut times = Vec::new();
    let mut warm_times = Vec::new();
    let mut most_fetches = 0;
    let mut good = 0;
    let mut api_requests = 0;
    for _ in 0..rounds {
        let partner = Partner::start(DELAY);
        let url = partner.url();
        let auth: PartnerAuthLayer = partner.layer();
        let client = {
            let _context = runtime.enter();
            auth.layer(http_client(true))
        };
        runtime.block_on(herd(client.clone(), STAMPEDE, &url));
        let (warm, _) = runtime.block_on(herd(client.clone(), STAMPEDE, &url));
        std::thread::sleep(GROWN_UP);

        let before = (partner.sandbox.token_requests(), calls_of(&partner));
        partner.sandbox.revoke_all();
        let (time, answered) = runtime.block_on(herd(client, STAMPEDE, &url));
        most_fetches = most_fetches.max(partner.sandbox.token_requests() - before.0);
        api_requests += calls_of(&partner) - before.1;
        good += answered;
        times.push(milliseconds(time));
        warm_times.push(milliseconds(warm));
    }
    let all = STAMPEDE * rounds;
    section.counted(
        "Token requests for 1,000 calls on a revoked token",
        "1, and every call answered 200",
        format!("{most_fetches}, {good} of {all} answered 200"),
        most_fetches == 1 && good == all,
    );
    let mut table = Table::new(&[
        "1,000 calls at once, HTTP/2 on loopback",
        "until the last is done, ms",
        "the same herd on a good token, ms",
        "token server's delay, ms",
        "requests at the API, per call",
        "token requests",
        "answered 200",
    ]);
    table.row([
        "on a revoked token".to_owned(),
        format!("{:.1}", Spread::of(times).middle),
        format!("{:.1}", Spread::of(warm_times).middle),
        format!("{}", DELAY.as_millis()),
        format!("{:.2}", api_requests as f64 / all as f64),
        most_fetches.to_string(),
        format!("{good} of {all}"),
    ]);
    section.add(table.finish());
}

fn calls_of(partner: &Partner) -> u64 {
    partner.sandbox.api_requests_for(Method::GET, TEMPLATE)
}

fn milliseconds(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}
