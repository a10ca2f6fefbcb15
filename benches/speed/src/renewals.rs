//! Latency around renewals: tokens of 2 seconds from a token server that takes 200 ms, under 1,000
//! calls a second, beside the same calls on a token that never needs renewing, twice, so that it shows
//! how far apart two that do the same are; and the mutex that people write by hand.
//!
//! Calls are made by the clock, whether earlier ones have been answered or not, and their latency
//! counts from when they were due: a client that stalls is charged for every call it held up. Each client
//! has a thread and a runtime of its own: on a shared one, all wait for the same timer and behind the
//! same tasks, and what a renewal does to one it does to all.

use std::fmt;
use std::sync::atomic::{AtomicU32, AtomicUsize, Ordering::Relaxed};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Duration;

use bytes::Bytes;
use hdrhistogram::Histogram;
use http::{Request, Response};
use http_body_util::Empty;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, sleep_until};
use tower::util::BoxCloneSyncService;
use tower::{Layer, ServiceExt, service_fn};
use tower_partner_auth::{AuthOutcome, PartnerAuthLayer, ReplayBody};

use crate::Effort;
use crate::mutex_client::MutexClient;
use crate::partner::Partner;
use crate::plot::{Line, plot};
use crate::report::{Section, Table, verdict};
use crate::stats::{median, median_interval};

const LIFE: Duration = Duration::from_secs(2);
const LONG_LIFE: Duration = Duration::from_secs(7200);
const TOKEN_DELAY: Duration = Duration::from_millis(200);
/// One call each.
const TICK: Duration = Duration::from_millis(1);
/// What the API takes.
const API: Duration = Duration::from_millis(5);
const LIMIT: f64 = 1.10;

/// The ticks whose p99.9 is compared side by side: five of the calls are slower than that.
const SLICE: usize = 5_000;

/// The seconds that the plot shows.
const PLOTTED: usize = 12;

type Client = BoxCloneSyncService<Request<Empty<Bytes>>, Response<()>, tower::BoxError>;

/// The calls of one client, one each tick.
struct Calls {
    client: Client,
    url: String,
    log: Arc<Log>,
}

/// What became of them.
struct Log {
    /// By tick.
    microseconds: Vec<AtomicU32>,
    waited: AtomicUsize,
}

/// The median of the ratios of slices side by side, and its interval.
struct Ratio {
    middle: f64,
    lower: f64,
    upper: f64,
}

pub(crate) struct Renewals {
    pub(crate) section: Section,
    pub(crate) svg: String,
}

pub(crate) fn measure(effort: Effort) -> Renewals {
    let seconds = effort.of(60, 5);
    let short = Partner::start(TOKEN_DELAY);
    short.sandbox.token_life(LIFE);
    let long = Partner::start(TOKEN_DELAY);
    long.sandbox.token_life(LONG_LIFE);

    let twin = Partner::start(TOKEN_DELAY);
    twin.sandbox.token_life(LONG_LIFE);

    let clients = [&short, &long, &twin].map(|of| (layered(&of.layer()), of.url()));
    let [renewing, steady, steady_too] = &run(clients, seconds);
    let fetches = short.sandbox.token_requests();
    let mutex = MutexClient::new(&short);
    let by_hand = service_fn(move |request| {
        let mutex = mutex.clone();
        async move { Ok(mutex.call(service_fn(api::<Empty<Bytes>>), request).await) }
    });
    let by_hand = [(Client::new(by_hand), short.url())];
    let [by_hand] = &run(by_hand, seconds);

    let mut section = Section::default();
    let mut table = Table::new(&[
        "1,000 calls a second",
        "p50, ms",
        "p99, ms",
        "p99.9, ms",
        "longest, ms",
        "calls that waited for a token",
        "token requests",
    ]);
    let by_hand_fetches = short.sandbox.token_requests() - fetches;
    for (name, log, fetches) in [
        ("this layer, tokens of 2 s", renewing, fetches),
        ("this layer, a token of 2 h", steady, long.sandbox.token_requests()),
        ("the same once more", steady_too, twin.sandbox.token_requests()),
        ("a mutex by hand, tokens of 2 s", by_hand, by_hand_fetches),
    ] {
        let histogram = log.histogram();
        let at = |quantile| format!("{:.2}", histogram.value_at_quantile(quantile) as f64 / 1e3);
        let longest = format!("{:.2}", histogram.max() as f64 / 1e3);
        let waited = if std::ptr::eq(log, by_hand) {
            "not told".to_owned()
        } else {
            log.waited.load(Relaxed).to_string()
        };
        table.row([
            name.to_owned(),
            at(0.5),
            at(0.99),
            at(0.999),
            longest,
            waited,
            fetches.to_string(),
        ]);
    }
    section.add(table.finish());

    let [ratio, noise] = [renewing, steady_too].map(|log| Ratio::of(&log.tails(), &steady.tails()));
    let met = ratio.middle <= LIMIT;
    let waited = renewing.waited.load(Relaxed);
    section.timed(
        "Renewals under load: p99.9",
        &format!("{LIMIT:.2}× that of a run without renewals"),
        format!("{ratio}, where two runs without renewals are {noise}"),
        met,
    );
    section.timed(
        "Renewals under load: calls that waited, but for the first",
        "0",
        format!("{waited} of {}", renewing.microseconds.len()),
        waited == 0,
    );
    section.add(format!(
        "p99.9 with renewals is {ratio} of that without: {}. That of the second run without them is \
         {noise} of that of the first, which is what chance does. In parentheses is the interval of 95 \
         %.",
        verdict(met)
    ));

    let svg = plot(
        "Latency around renewals: tokens of 2 s, a token server that takes 200 ms",
        "time, seconds",
        "latency: slowest call in 10 ms (log scale)",
        &[
            Line { name: "a mutex by hand", colour: "#d55e00", points: by_hand.slowest() },
            Line { name: "this layer", colour: "#0072b2", points: renewing.slowest() },
        ],
    );
    Renewals { section, svg }
}

fn layered(auth: &PartnerAuthLayer) -> Client {
    let inner = service_fn(api::<ReplayBody<Empty<Bytes>>>);
    Client::new(auth.layer(inner).map_err(Into::into))
}

async fn api<B>(_: Request<B>) -> Result<Response<()>, std::convert::Infallible> {
    sleep(API).await;
    Ok(Response::new(()))
}

/// Makes the calls of all clients side by side, so that what disturbs one disturbs the others.
fn run<const N: usize>(clients: [(Client, String); N], seconds: usize) -> [Arc<Log>; N] {
    let together = &Barrier::new(N);
    thread::scope(|scope| {
        let threads = clients.map(|(client, url)| {
            let calls = Calls { client, url, log: Log::of(0) };
            scope.spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
                runtime.expect("a runtime").block_on(calls.each_tick(seconds * 1_000, together))
            })
        });
        threads.map(|thread| thread.join().expect("a client's thread"))
    })
}

impl Calls {
    async fn each_tick(mut self, ticks: usize, together: &Barrier) -> Arc<Log> {
        // The first token is nobody's renewal.
        self.call().await;
        self.log = Log::of(ticks);
        together.wait();
        let mut tasks = JoinSet::new();
        let start = Instant::now() + TICK;
        for tick in 0..ticks {
            // Somewhere in its millisecond: tokio's timers have steps of one, and a client whose calls
            // are all due just before a step would be quicker than one whose are due just after.
            let somewhere = Duration::from_micros((tick * 617 % 1_000) as u64);
            let due = start + TICK * tick as u32 + somewhere;
            // In the past, if the clock is behind: then at once.
            sleep_until(due).await;
            let call = self.call();
            tasks.spawn(async move {
                let log = call.await;
                let late = u32::try_from(due.elapsed().as_micros()).unwrap_or(u32::MAX);
                log.microseconds[tick].store(late, Relaxed);
            });
            while tasks.try_join_next().is_some() {}
        }
        tasks.join_all().await;
        self.log
    }

    fn call(&self) -> impl Future<Output = Arc<Log>> + Send + 'static {
        let request = Request::get(&self.url).body(Empty::new()).expect("a valid request");
        let (client, log) = (self.client.clone(), Arc::clone(&self.log));
        async move {
            let response = client.oneshot(request).await.expect("an answer");
            let outcome = response.extensions().get::<AuthOutcome>();
            if outcome.is_some_and(AuthOutcome::waited_for_token) {
                log.waited.fetch_add(1, Relaxed);
            }
            log
        }
    }
}

impl Log {
    fn of(ticks: usize) -> Arc<Self> {
        let microseconds = (0..ticks).map(|_| AtomicU32::new(0)).collect();
        Arc::new(Self { microseconds, waited: AtomicUsize::new(0) })
    }

    fn histogram(&self) -> Histogram<u64> {
        histogram(&self.microseconds)
    }

    /// The p99.9 of each slice.
    fn tails(&self) -> Vec<f64> {
        let tail = |slice| histogram(slice).value_at_quantile(0.999) as f64;
        self.microseconds.chunks_exact(SLICE).map(tail).collect()
    }

    /// The slowest call of each ten ticks: seconds, and milliseconds.
    fn slowest(&self) -> Vec<(f64, f64)> {
        let plotted = self.microseconds.len().min(PLOTTED * 1_000);
        let slowest = |ticks: &[AtomicU32]| ticks.iter().map(|call| call.load(Relaxed)).max();
        self.microseconds[..plotted]
            .chunks(10)
            .enumerate()
            .map(|(at, ticks)| (at as f64 / 100.0, f64::from(slowest(ticks).unwrap_or(0)) / 1e3))
            .collect()
    }
}

fn histogram(microseconds: &[AtomicU32]) -> Histogram<u64> {
    let mut histogram = Histogram::new(3).expect("three digits are possible");
    for microseconds in microseconds {
        histogram.record(microseconds.load(Relaxed).into()).expect("it grows");
    }
    histogram
}

impl Ratio {
    fn of(some: &[f64], others: &[f64]) -> Self {
        let ratios: Vec<f64> = some.iter().zip(others).map(|(some, other)| some / other).collect();
        let (lower, upper) = median_interval(ratios.iter().copied());
        Self { middle: median(ratios), lower, upper }
    }
}

impl fmt::Display for Ratio {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.3}× ({:.3} to {:.3})", self.middle, self.lower, self.upper)
    }
}
