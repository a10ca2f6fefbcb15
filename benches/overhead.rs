//! What the layer costs a call whose token is fresh, against no layer and against a layer that can
//! only set a constant header (`tower-http`'s `SetRequestHeader`): times as ratios of the same run,
//! and allocations counted.
//!
//! ```text
//! cargo bench --bench overhead
//! ```

use std::alloc::System;
use std::convert::Infallible;
use std::future::{Ready, ready};
use std::hint::black_box;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, HeaderValue, USER_AGENT};
use http::{Request, Response};
use http_body_util::Full;
use stats_alloc::{INSTRUMENTED_SYSTEM, Region, StatsAlloc};
use tower::{Layer, Service, service_fn};
use tower_http::set_header::SetRequestHeader;
use tower_partner_auth::{
    ClientCredentials, OnUnauthorized, PartnerAuthLayer, Route, TokenError, TokenRequest,
    TokenResponse,
};

#[global_allocator]
static ALLOCATOR: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

const ROUNDS: usize = 201;
const CALLS: usize = 2_000;
const TOKEN: &str = "82c38b64e072f3d64da6e4e6efee9789ffe1250f0cd04c20753d6e6f25df9cc7";

/// The inner service: does nothing, as cheaply as can be.
#[derive(Clone)]
struct Nothing;

impl<B> Service<Request<B>> for Nothing {
    type Response = Response<()>;
    type Error = Infallible;
    type Future = Ready<Result<Response<()>, Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<B>) -> Self::Future {
        black_box(&request);
        ready(Ok(Response::new(())))
    }
}

/// A request as clients make them, with a path of some depth and a few headers.
struct Template {
    request: Request<Bytes>,
}

impl Template {
    fn new(path: &str, body: &'static [u8]) -> Self {
        let request = Request::post(format!("https://api.example.com{path}"))
            .header(ACCEPT, HeaderValue::from_static("application/json"))
            .header(CONTENT_TYPE, HeaderValue::from_static("application/json"))
            .header(USER_AGENT, HeaderValue::from_static("bench/1.0"))
            .body(Bytes::from_static(body))
            .expect("a valid request");
        Self { request }
    }

    fn request(&self) -> Request<Full<Bytes>> {
        let mut request = Request::new(Full::new(self.request.body().clone()));
        *request.method_mut() = self.request.method().clone();
        *request.uri_mut() = self.request.uri().clone();
        // Room for one more, as a header map that was filled by hand has.
        request.headers_mut().reserve(8);
        for (name, value) in self.request.headers() {
            request.headers_mut().append(name, value.clone());
        }
        request
    }
}

fn run<S: Service<Request<Full<Bytes>>>>(service: &mut S, template: &Template, calls: usize) {
    let mut context = Context::from_waker(Waker::noop());
    for _ in 0..calls {
        assert!(service.poll_ready(&mut context).is_ready());
        let call = pin!(service.call(template.request()));
        assert!(matches!(black_box(call.poll(&mut context)), Poll::Ready(Ok(_))));
    }
}

fn time(batch: impl FnOnce()) -> Duration {
    let start = Instant::now();
    batch();
    start.elapsed()
}

fn allocations(batch: impl FnOnce(), calls: usize) -> f64 {
    let region = Region::new(ALLOCATOR);
    batch();
    region.change().allocations as f64 / calls as f64
}

fn median(mut times: Vec<Duration>) -> f64 {
    times.sort();
    times[times.len() / 2].as_nanos() as f64 / CALLS as f64
}

fn auth() -> PartnerAuthLayer {
    let source = service_fn(|_: TokenRequest| async {
        Ok::<_, TokenError>(TokenResponse::new(TOKEN)?.with_expires_in(Duration::from_secs(7200)))
    });
    let route = |path: &str| {
        Route::any(format!("https://api.example.com{path}"), "read")
            .on_unauthorized(OnUnauthorized::Renew)
    };
    let auth = PartnerAuthLayer::builder(ClientCredentials::new("id", "secret"))
        .token_url("https://accounts.example.com/oauth/token")
        .routes((0..30).map(|n| route(&format!("/other/{n}/{{id}}"))))
        .route(route("/once/v1/{id}/items"))
        .route(Route::any("https://api.example.com/replay/v1/{id}/items", "read"))
        .token_source(source)
        .build()
        .expect("a good configuration");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.expect("a runtime").block_on(async {
        let request = Template::new("/once/v1/7/items", b"").request();
        auth.layer(Nothing).call(request).await.expect("a token");
    });
    auth
}

fn main() {
    let once = Template::new("/once/v1/7/items", b"{\"a\":1}");
    let replay_empty = Template::new("/replay/v1/7/items", b"");
    let replay_memory = Template::new("/replay/v1/7/items", b"{\"a\":1}");
    let auth = auth();

    let mut none = Nothing;
    let mut header = HeaderValue::from_str(&format!("Bearer {TOKEN}")).expect("a valid header");
    header.set_sensitive(true);
    let mut floor = SetRequestHeader::overriding(Nothing, AUTHORIZATION, header);
    let mut layer = auth.layer(Nothing);

    let names = [
        "no layer",
        "SetRequestHeader",
        "replay off",
        "replay armed, empty",
        "replay armed, in memory",
    ];
    let mut times = vec![Vec::new(); names.len()];
    for _ in 0..ROUNDS {
        times[0].push(time(|| run(&mut none, &once, CALLS)));
        times[1].push(time(|| run(&mut floor, &once, CALLS)));
        times[2].push(time(|| run(&mut layer, &once, CALLS)));
        times[3].push(time(|| run(&mut layer, &replay_empty, CALLS)));
        times[4].push(time(|| run(&mut layer, &replay_memory, CALLS)));
    }
    let counts = [
        allocations(|| run(&mut none, &once, CALLS), CALLS),
        allocations(|| run(&mut floor, &once, CALLS), CALLS),
        allocations(|| run(&mut layer, &once, CALLS), CALLS),
        allocations(|| run(&mut layer, &replay_empty, CALLS), CALLS),
        allocations(|| run(&mut layer, &replay_memory, CALLS), CALLS),
    ];
    let nanoseconds: Vec<f64> = times.into_iter().map(median).collect();
    let over = |at: usize| nanoseconds[at] - nanoseconds[0];
    println!(
        "{:<26}{:>10}{:>12}{:>12}{:>14}",
        "", "ns/call", "over none", "of floor", "allocations"
    );
    for (at, name) in names.iter().enumerate() {
        let of_floor = over(at) / over(1);
        let extra = counts[at] - counts[0];
        println!(
            "{name:<26}{:>10.1}{:>12.1}{of_floor:>11.2}×{extra:>+14.2}",
            nanoseconds[at],
            over(at)
        );
    }

    // The same work on one thread, then on two at once.
    let alone: Vec<Duration> =
        (0..ROUNDS).map(|_| time(|| run(&mut layer, &once, CALLS))).collect();
    let together = two_threads(&auth, &once);
    println!(
        "\ntwo threads on one token: {:.2}× of one thread's cost per call",
        median(together) / median(alone)
    );
}

fn two_threads(auth: &PartnerAuthLayer, template: &Template) -> Vec<Duration> {
    let barrier = std::sync::Barrier::new(2);
    let work = || {
        let mut service = auth.layer(Nothing);
        // Its own requests: what is measured is the token that both share.
        let template = Template::new(template.request.uri().path(), b"{\"a\":1}");
        run(&mut service, &template, CALLS);
        barrier.wait();
        (0..ROUNDS).map(|_| time(|| run(&mut service, &template, CALLS))).collect::<Vec<_>>()
    };
    std::thread::scope(|scope| {
        let other = scope.spawn(work);
        let mut times = work();
        times.extend(other.join().expect("the other thread"));
        times
    })
}
