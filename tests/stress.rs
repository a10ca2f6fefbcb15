//! A storm over the whole layer: callers, some of whom give up, revocations, failures, delays and an
//! operator, against a partner that keeps books of all that the laws allow.
//!
//! No expired, forgotten or foreign token is sent; never two token requests of a scope at once, and
//! none without a reason; every caller is answered, and what it is told is true (laws T1 to T8 and J1
//! to J6). Once in real time on many threads, and once in paused time, where moments are exact and
//! hours pass. A seed, printed with every failure, gives the same weather again, but not the same
//! timing. Longer, and by another seed:
//!
//! ```text
//! STRESS_SEED=7 STRESS_SECONDS=300 STRESS_ROUNDS=500 cargo test --test stress
//! ```

#[path = "stress/books.rs"]
mod books;
#[path = "stress/partner.rs"]
mod partner;

use std::convert::Infallible;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::task::Poll;
use std::time::Duration;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::Full;
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::sync::Mutex;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::{Layer, ServiceExt};
use tower_partner_auth::{
    ClientCredentials, Error, OnUnauthorized, PartnerAuthLayer, RequestAuth, Route, Scope,
    TokenStatus,
};

use books::{Books, Call};
use partner::{Climate, ONCE, Partner, ROUTES};

/// Scopes that no route has.
const CHOSEN: u32 = 8;

/// Long enough for anything but what hangs.
const HANG: Duration = Duration::from_secs(120);

type Answer = Result<Response<String>, Error<Infallible>>;

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn a_storm_in_real_time_breaks_no_law() {
    let seconds = number("STRESS_SECONDS").unwrap_or(3);
    let climate = Climate {
        token_delay: 60,
        hang: 400,
        api_delay: 20,
        readiness: 20,
        life: 2_000,
        wish: 1_500,
        failures: 25,
    };
    // None is reached, so that a caller that is forgotten hangs.
    let books = Books::new(false, Duration::from_secs(3_600));
    let seed = number("STRESS_SEED").unwrap_or(1);
    let _named = Named(format!("STRESS_SEED={seed}, in real time"));
    let storm = Storm::new(climate, books, seed, 20);
    let end = Instant::now() + Duration::from_secs(seconds);
    let callers = storm.callers(300, move |_| Instant::now() < end);
    let operators = storm.operators(2);
    timeout(Duration::from_secs(seconds) + HANG, callers.join_all())
        .await
        .expect("no caller hangs");
    storm.end(operators).await;
    let recovery = async {
        for route in 0..ROUTES.len() {
            while !storm.is_well(route).await {
                sleep(Duration::from_millis(50)).await;
            }
        }
    };
    timeout(HANG, recovery).await.expect("every route recovers");
    storm.check();
}

#[tokio::test(start_paused = true)]
async fn a_storm_in_paused_time_breaks_no_law_to_the_moment() {
    for round in 0..number("STRESS_ROUNDS").unwrap_or(6) {
        let wait_limit = Duration::from_secs(20);
        let life = [3_000, 60_000, 7_200_000][round as usize % 3];
        let climate = Climate {
            token_delay: 900,
            hang: 40_000,
            api_delay: 2_000,
            readiness: 3_000,
            life,
            wish: 90_000,
            failures: 6,
        };
        let books = Books::new(true, wait_limit);
        let seed = number("STRESS_SEED").unwrap_or(1);
        let _named = Named(format!("STRESS_SEED={seed}, round {round}, in paused time"));
        let seed = seed.wrapping_mul(1_000_003).wrapping_add(round);
        let storm = Storm::new(climate, books, seed, 15_000);
        let callers = storm.callers(60, |calls| calls < 60);
        let operators = storm.operators(2);
        callers.join_all().await;
        storm.end(operators).await;
        // Longer than anything is remembered.
        sleep(Duration::from_secs(2 * 3_600)).await;
        for route in 0..ROUTES.len() {
            assert!(storm.is_well(route).await, "route {route} recovers");
        }
        storm.check();
    }
}

fn number(variable: &str) -> Option<u64> {
    let text = std::env::var(variable).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{variable} is a number, not {text:?}")))
}

/// Says which storm it was, if it ends in a panic.
struct Named(String);

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("in the storm of {}", self.0);
        }
    }
}

/// A layer, its partner, and what goes on between them.
#[derive(Clone)]
struct Storm {
    auth: PartnerAuthLayer,
    partner: Partner,
    seed: u64,
    /// The longest that anybody idles, in milliseconds.
    idle: u64,
    calls: Arc<AtomicU64>,
    over: Arc<AtomicBool>,
    /// Held for each change: the books have one at a time.
    changing: Arc<Mutex<()>>,
}

impl Storm {
    fn new(climate: Climate, books: Books, seed: u64, idle: u64) -> Self {
        let wait_limit = books.wait_limit;
        let partner = Partner::new(climate, books, seed);
        let mut builder = PartnerAuthLayer::builder(ClientCredentials::new("0", "secret"))
            .token_url("https://accounts.example.com/oauth/token")
            .token_source(partner.token_source())
            .wait_limit(wait_limit);
        for (number, (path, scope)) in ROUTES.iter().enumerate() {
            let route = Route::any(format!("https://api.example.com/{path}/{{id}}"), *scope);
            let once = if number == ONCE { OnUnauthorized::Renew } else { OnUnauthorized::Replay };
            builder = builder.route(route.on_unauthorized(once));
        }
        let builder = if seed % 2 == 0 { builder.keep_warm() } else { builder };
        Self {
            auth: builder.build().expect("a good configuration"),
            partner,
            seed,
            idle,
            calls: Arc::default(),
            over: Arc::default(),
            changing: Arc::default(),
        }
    }

    /// So many tasks, each calling as long as `go_on` says so of its number of calls.
    fn callers(
        &self,
        tasks: u64,
        go_on: impl Fn(u64) -> bool + Copy + Send + 'static,
    ) -> JoinSet<()> {
        let mut callers = JoinSet::new();
        for task in 0..tasks {
            let this = self.clone();
            let mut random = SmallRng::seed_from_u64(self.seed ^ task.rotate_left(32));
            callers.spawn(async move {
                let mut calls = 0;
                while go_on(calls) {
                    calls += 1;
                    this.idle(&mut random).await;
                    this.call_in_some_way(&mut random).await;
                }
            });
        }
        callers
    }

    async fn idle(&self, random: &mut SmallRng) {
        sleep(Duration::from_millis(random.random_range(0..=self.idle))).await;
    }

    /// Most calls go on to their end; the others are dropped somewhere on the way.
    async fn call_in_some_way(&self, random: &mut SmallRng) {
        let route = random.random_range(0..ROUTES.len());
        let chosen =
            random.random_ratio(1, 4).then(|| format!("c{}", random.random_range(0..CHOSEN)));
        let call = self.call(route, chosen);
        let limit = Duration::from_millis(random.random_range(0..=self.idle));
        let answered = match random.random_range(0..10) {
            0 => timeout(limit, call).await.ok(),
            1 => until_polled(random.random_range(0..6), call).await,
            2 => {
                let task = tokio::spawn(call);
                sleep(limit).await;
                task.abort();
                task.await.map_err(|error| assert!(error.is_cancelled(), "{error}")).ok()
            }
            _ => Some(call.await),
        };
        if answered.is_none() {
            self.partner.state().books.tally.given_up += 1;
        }
    }

    fn call(
        &self,
        route: usize,
        chosen: Option<String>,
    ) -> impl Future<Output = Answer> + Send + 'static {
        let this = self.clone();
        async move {
            let (path, scope) = ROUTES[route];
            let scope = chosen.clone().unwrap_or_else(|| scope.to_owned());
            let call = this.begin(route, scope);
            let number = call.number.to_string();
            let mut request = Request::post(format!("https://api.example.com/{path}/{number}"))
                .extension(call.clone())
                .body(Full::new(Bytes::from(number)))
                .expect("a valid request");
            if let Some(scope) = chosen {
                request.extensions_mut().insert(RequestAuth::scope(scope).expect("a valid scope"));
            }
            let answer = this.auth.layer(this.partner.api()).oneshot(request).await;
            this.partner.state().books.answered(&call, route != ONCE, &answer);
            answer
        }
    }

    fn begin(&self, route: usize, scope: String) -> Call {
        let number = self.calls.fetch_add(1, Ordering::Relaxed);
        self.partner.state().books.begin(number, (route, scope))
    }

    /// Whether a call by this route ends well.
    async fn is_well(&self, route: usize) -> bool {
        matches!(self.call(route, None).await, Ok(response) if response.status().is_success())
    }

    /// The storm is over: from here on all is well.
    async fn end(&self, operators: JoinSet<()>) {
        self.over.store(true, Ordering::SeqCst);
        operators.join_all().await;
        self.partner.state().calm = true;
        // Not for the dead: one that was revoked and lives for ever may be remembered for an hour.
        self.forget_all();
    }

    fn check(self) {
        let mut state = self.partner.state();
        let breaches = state.books.breaches();
        assert!(breaches.is_empty(), "{} breaches: {breaches:#?}", breaches.len());
        let tally = &state.books.tally;
        println!("{tally:?}");
        assert!(tally.has_all(), "no storm at all: {tally:?}");
    }
}

/// Drops the future at its poll of this number, if it is not ready by then.
async fn until_polled<F: Future>(mut polls: u32, future: F) -> Option<F::Output> {
    let mut future = pin!(future);
    poll_fn(|cx| match future.as_mut().poll(cx) {
        Poll::Ready(output) => Poll::Ready(Some(output)),
        Poll::Pending if polls == 0 => Poll::Ready(None),
        Poll::Pending => {
            polls -= 1;
            Poll::Pending
        }
    })
    .await
}

// === the operator ===

impl Storm {
    fn operators(&self, tasks: u64) -> JoinSet<()> {
        let mut operators = JoinSet::new();
        for task in 0..tasks {
            let this = self.clone();
            let mut random = SmallRng::seed_from_u64(!self.seed ^ task.rotate_left(32));
            operators.spawn(async move {
                let mut generations = Vec::new();
                while !this.over.load(Ordering::SeqCst) {
                    this.idle(&mut random).await;
                    this.idle(&mut random).await;
                    this.operate(&mut random).await;
                    this.look(&mut generations);
                }
            });
        }
        operators
    }

    async fn operate(&self, random: &mut SmallRng) {
        let scope = ROUTES[random.random_range(0..ROUTES.len())].1;
        match random.random_range(0..20) {
            0..8 => self.partner.state().books.revoke(|other| other == scope),
            8..10 => self.partner.state().books.revoke(|_| true),
            10..13 => {
                let _change = self.changing.lock().await;
                self.partner.state().books.begin_invalidation(scope);
                self.auth.invalidate(&scope.parse().expect("a valid scope"));
                self.partner.state().books.end_change();
            }
            13 => {
                let _change = self.changing.lock().await;
                self.forget_all();
            }
            14..16 => {
                let _change = self.changing.lock().await;
                let client = self.partner.state().books.begin_secret();
                self.set_credentials(client, random.random());
            }
            16 => {
                let _change = self.changing.lock().await;
                let client = self.partner.state().books.begin_client();
                self.set_credentials(client, 0);
            }
            17..19 => self.prewarm().await,
            _ if self.partner.state().books.exact => {
                tokio::time::advance(Duration::from_secs(random.random_range(0..7_200))).await;
            }
            _ => {}
        }
    }

    fn forget_all(&self) {
        for scope in ROUTES.map(|(_, scope)| scope) {
            self.partner.state().books.begin_invalidation(scope);
        }
        for chosen in 0..CHOSEN {
            self.partner.state().books.begin_invalidation(&format!("c{chosen}"));
        }
        self.auth.invalidate_all();
        self.partner.state().books.end_change();
    }

    fn set_credentials(&self, client: u64, secret: u64) {
        let credentials = ClientCredentials::new(client.to_string(), format!("secret-{secret}"));
        self.auth.set_credentials(credentials).expect("usable credentials");
        self.partner.state().books.end_change();
    }

    async fn prewarm(&self) {
        let scopes: Vec<&str> = ROUTES.map(|(_, scope)| scope).to_vec();
        let calls: Vec<Call> =
            scopes.iter().map(|scope| self.begin(ONCE, (*scope).to_owned())).collect();
        let prewarmed = self.auth.prewarm().await;
        for (scope, result) in prewarmed.results() {
            let call = calls
                .iter()
                .find(|call| call.place.1 == scope.as_str())
                .expect("a scope of a route");
            self.partner.state().books.prewarmed(call, result);
        }
    }

    /// Generations of the routes' tokens never go back.
    fn look(&self, before: &mut Vec<(Scope, u64)>) {
        let status = self.auth.status();
        for (scope, generation) in before.drain(..) {
            let now = status.get(&scope).map(TokenStatus::generation);
            assert!(now >= Some(generation), "{scope}: {now:?} after {generation}");
        }
        let of_routes =
            |token: &&TokenStatus| ROUTES.iter().any(|(_, scope)| *scope == token.scope().as_str());
        before.extend(
            status
                .tokens()
                .filter(of_routes)
                .map(|token| (token.scope().clone(), token.generation())),
        );
    }
}
