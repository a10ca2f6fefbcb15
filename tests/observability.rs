//! What the layer tells through `tracing` and `metrics`: all of it is in `OBSERVABILITY.md`, nothing
//! there is never told, and each of it means what it says.

#[path = "common/document.rs"]
mod document;
#[path = "observability/heard.rs"]
mod heard;
#[path = "common/scripted.rs"]
#[allow(dead_code, reason = "each test file uses a part of it")]
mod scripted;
#[path = "common/shared_store.rs"]
#[allow(dead_code, reason = "each test file uses a part of it")]
mod shared_store;

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use document::{names, table};
use heard::Heard;
use http::{Request, Response};
use http_body_util::Full;
use scripted::{API, SECOND, TOKEN_URL, TokenServer, grant, request};
use shared_store::{Health, MemoryStore};
use tower::{Layer, ServiceExt, service_fn};
use tower_partner_auth::store::StoreKeys;
use tower_partner_auth::{
    Builder, ClientCredentials, Error, PartnerAuthLayer, ReplayBody, Route, TokenResponse, Verdict,
};

const DOCUMENT: &str = include_str!("../OBSERVABILITY.md");
const SCOPE: &str = "a b";
const ROUTE: &str = "https://api.example.com/v1/{id}";

/// A layer with one route, over a token server, before an API that answers as it is told.
struct World {
    tokens: TokenServer,
    auth: PartnerAuthLayer,
    /// The statuses of the next answers; after them, each is a 200.
    api: Arc<Mutex<Vec<u16>>>,
}

impl World {
    fn new(tokens: TokenServer) -> Self {
        Self::with(tokens, |builder| builder)
    }

    fn with(tokens: TokenServer, configure: impl FnOnce(Builder) -> Builder) -> Self {
        let builder = PartnerAuthLayer::builder(ClientCredentials::new("id", "secret"))
            .token_url(TOKEN_URL)
            .route(Route::any(ROUTE, "b a"))
            .http_client(tokens.client());
        let auth = configure(builder).build().unwrap();
        Self { tokens, auth, api: Arc::default() }
    }

    fn api_answers(&self, statuses: &[u16]) {
        *self.api.lock().unwrap() = statuses.iter().rev().copied().collect();
    }

    async fn call(&self) -> Result<u16, Error<Infallible>> {
        let api = Arc::clone(&self.api);
        let api = service_fn(move |_: Request<ReplayBody<Full<Bytes>>>| {
            let status = api.lock().unwrap().pop().unwrap_or(200);
            async move { Ok(Response::builder().status(status).body(()).unwrap()) }
        });
        self.auth.layer(api).oneshot(request()).await.map(|response| response.status().as_u16())
    }
}

/// Lets the tasks run that have something to do.
async fn settle() {
    for _ in 0..20 {
        tokio::task::yield_now().await;
    }
}

async fn pass(time: Duration) {
    tokio::time::sleep(time).await;
}

fn same_token() -> String {
    r#"{"access_token":"t","token_type":"Bearer","expires_in":100}"#.to_owned()
}

/// Everything that there is to tell of, once at least.
async fn everything() {
    // A first token for two callers, and a renewal behind.
    let world = World::new(TokenServer::answering(grant(100)));
    let (one, other) = tokio::join!(world.call(), world.call());
    assert_eq!((one.unwrap(), other.unwrap()), (200, 200));
    pass(70 * SECOND).await;
    world.call().await.unwrap();
    settle().await;

    // Rivals: three tokens in a row are rejected so young that their renewal is held back.
    for _ in 0..3 {
        world.api_answers(&[401]);
        assert_eq!(world.call().await.unwrap(), 200);
    }
    // And rejections that come through, for want of anything better or of a scope.
    world.api_answers(&[401, 401]);
    assert_eq!(world.call().await.unwrap(), 401);
    let broken = r#"{"access_token":"x","token_type":"Bearer","scope":"a"}"#;
    world.tokens.turn(Duration::ZERO, 200, broken);
    pass(80 * SECOND).await;
    world.api_answers(&[401]);
    assert_eq!(world.call().await.unwrap(), 401, "what was granted is too narrow");

    // Without a token, calls fail; the operator helps, and a fetch under way is out of date.
    let world =
        World::with(TokenServer::default().then(400, r#"{"error":"invalid_client"}"#), |builder| {
            builder.token_timeout(3 * SECOND)
        });
    world.call().await.unwrap_err();
    world.tokens.turn(SECOND, 200, grant(100));
    world.auth.set_credentials(ClientCredentials::new("id", "another")).unwrap();
    let operator = async {
        pass(SECOND / 2).await;
        world.auth.invalidate(&SCOPE.parse().unwrap());
    };
    assert_eq!(tokio::join!(world.call(), operator).0.unwrap(), 200);
    // A token request without an answer, and a layer that goes while it is under way.
    world.tokens.turn(1000 * SECOND, 200, "");
    world.auth.invalidate_all();
    world.call().await.unwrap_err();
    world.auth.record_gauges();
    drop(world);

    // A server that gives a token again, to a layer that is kept warm.
    let world = World::with(TokenServer::answering(same_token()), Builder::keep_warm);
    world.call().await.unwrap();
    pass(80 * SECOND).await;
    world.api_answers(&[401]);
    assert_eq!(world.call().await.unwrap(), 401, "it gave the rejected one again");

    // The API says that the scope is not enough.
    let insufficient = |route: Route| route.classify(|_, _| Verdict::InsufficientScope);
    let world = World::with(TokenServer::answering(grant(100)), |builder| {
        builder.route(insufficient(Route::any(API, "b a")))
    });
    assert_eq!(world.call().await.unwrap(), 200);

    let world = World::new(TokenServer::default().then_after(SECOND, 200, grant(100)));
    tokio::time::timeout(SECOND / 2, world.call()).await.unwrap_err();
    drop(world);
    settle().await;

    everything_about_a_store().await;
}

async fn everything_about_a_store() {
    let store = MemoryStore::default();
    let process = |tokens: &TokenServer| {
        World::with(tokens.clone(), |builder| {
            let keys = StoreKeys::new(&[1; 32]);
            builder.token_retries(0).shared_store(store.clone(), keys)
        })
    };
    // A token that is put there and taken, and one that cannot be opened.
    let tokens = TokenServer::answering(grant(100));
    process(&tokens).call().await.unwrap();
    process(&tokens).call().await.unwrap();
    let name = store.contents()[0].0.clone();
    // A fetch that fails, and one that takes longer than its lease.
    store.flush();
    process(&TokenServer::default().then(400, "")).call().await.unwrap_err();
    let slow = process(&TokenServer::default().then_after(8 * SECOND, 200, grant(100)));
    let late = async {
        pass(SECOND).await;
        process(&tokens).call().await
    };
    let (slow, late) = tokio::join!(slow.call(), late);
    assert_eq!((slow.unwrap(), late.unwrap()), (200, 200));
    store.tamper(&name, "garbage");
    process(&tokens).call().await.unwrap();
    for health in [Health::Down, Health::Hanging] {
        store.health(health);
        process(&tokens).call().await.unwrap();
    }
}

#[tokio::test(start_paused = true)]
async fn all_that_is_told_is_documented_and_all_that_is_documented_is_told() {
    // Given
    let heard = Heard::all();
    // When
    everything().await;
    // Then
    for (heading, spans) in [("Spans", true), ("Events", false)] {
        let listed = table(DOCUMENT, heading).into_iter().map(|row| {
            let fields = names(&row[2]).into_iter().map(str::to_owned).collect();
            (row[0].clone(), row[1].clone(), fields)
        });
        assert_eq!(heard.shapes(spans), listed.collect(), "{heading}");
    }
    let listed = [("Counters", "counter"), ("Gauges", "gauge"), ("Histogram", "histogram")];
    let listed = listed.into_iter().flat_map(|(heading, kind)| {
        table(DOCUMENT, heading).into_iter().map(move |mut row| {
            let unit = if kind == "counter" { "count".to_owned() } else { row.remove(1) };
            (kind, row[0].clone(), unit, row[1].clone())
        })
    });
    let told = heard.metrics().into_iter();
    let told = told.map(|(kind, name, unit, labels)| (kind, name, unit.to_owned(), labels));
    assert_eq!(told.collect::<BTreeSet<_>>(), listed.collect());

    // Values: those of the small sets all occur, and there are no others.
    let kinds = "Kinds of token errors";
    for (metric, label, sets, all) in [
        ("fetches_total", "cause", &["cause"][..], true),
        ("waits_total", "role", &["role"], true),
        ("rejections_total", "verdict", &["verdict"], true),
        ("cooling_seconds", "reason", &["reason of cooling"], true),
        (
            "rejections_returned_total",
            "reason",
            &["reason of a rejection that came through"],
            false,
        ),
        ("store_answers_total", "operation", &["operation of the shared store"], true),
        ("store_answers_total", "answer", &["answer of the shared store"], true),
        ("store_results_total", "result", &["result of the shared store"], true),
        ("token_requests_total", "outcome", &["outcome of a token request", kinds], false),
        ("fetches_total", "outcome", &["outcome of a fetch", kinds], false),
        ("failed_calls_total", "reason", &[kinds], false),
    ] {
        let name = format!("tower_partner_auth_{metric}");
        let told: BTreeSet<_> = heard
            .series()
            .into_keys()
            .filter(|(series, _)| *series == name)
            .map(|(_, mut labels)| labels.remove(label).unwrap())
            .collect();
        let listed = |set: &&str| {
            table(DOCUMENT, set).into_iter().map(|row| row[0].clone()).collect::<BTreeSet<_>>()
        };
        let any: BTreeSet<_> = sets.iter().flat_map(listed).collect();
        assert!(told.is_subset(&any), "{name}: {told:?}");
        assert!(!all || told == any, "{name}: {told:?}");
        let own = listed(&sets[0]);
        assert!(sets.len() == 1 || own.is_subset(&told), "{name}: {told:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_call_with_a_fresh_token_tells_nothing() {
    // Given
    let heard = Heard::all();
    let world = World::new(TokenServer::answering(grant(100)));
    world.call().await.unwrap();
    let (said, series) = (heard.said().len(), heard.series());
    // When
    for _ in 0..10 {
        world.call().await.unwrap();
    }
    world.api_answers(&[404, 500, 204]);
    for status in [404, 500, 204] {
        assert_eq!(world.call().await.unwrap(), status);
    }
    // Then
    assert!(said > 0);
    assert_eq!(heard.said().len(), said);
    assert_eq!(heard.series(), series);
}

#[tokio::test(start_paused = true)]
async fn a_fetch_is_a_span_around_its_token_requests() {
    // Given
    let heard = Heard::all();
    let tokens = TokenServer::default().then(503, "").then(200, grant(100));
    let world = World::new(tokens);
    // When
    let call = world.call();
    tracing::Instrument::instrument(call, tracing::info_span!("call")).await.unwrap();
    // Then
    let requests = heard.events("token_requested");
    let numbers: Vec<_> = requests.iter().map(|said| said.values["attempt"].as_str()).collect();
    assert_eq!(numbers, ["1", "2"]);
    for (number, said) in (1..).zip(&requests) {
        let around = |field| said.around.get(field).map(String::as_str);
        assert_eq!((around("scope"), around("cause")), (Some(SCOPE), Some("demand")));
        assert_eq!(around("generation"), Some("0"));
        assert_eq!(around("attempt"), Some(number.to_string().as_str()));
    }
    let answers = heard.events("token_answered");
    let outcomes: Vec<_> = answers.iter().map(|said| said.values["outcome"].as_str()).collect();
    assert_eq!(outcomes, ["status", "granted"]);
    assert_eq!(answers[0].values["status"], "503");
    let fetched = &heard.events("token_fetched")[0];
    assert_eq!(fetched.values["attempts"], "2");
    assert_eq!(fetched.values["generation"], "1");
    assert_eq!(fetched.around["outcome"], "new_token");
    let waited: f64 = fetched.values["elapsed_seconds"].parse().unwrap();
    let lives: f64 = fetched.values["remaining_seconds"].parse().unwrap();
    assert!(waited > 0.0 && lives == 100.0, "the second request was sent after a pause");
}

#[tokio::test(start_paused = true)]
async fn requests_are_counted_apart_from_fetches_as_the_server_counts_them() {
    // Given
    let heard = Heard::all();
    let refusal = r#"{"error":"invalid_client"}"#;
    let tokens = TokenServer::default().then(503, "").then(200, grant(100)).then(400, refusal);
    let world = World::new(tokens);
    let requests =
        |outcome| heard.value("token_requests_total", &[("outcome", outcome), ("scope", SCOPE)]);
    let fetches = |cause, outcome| {
        heard.value("fetches_total", &[("cause", cause), ("outcome", outcome), ("scope", SCOPE)])
    };
    // When
    world.call().await.unwrap();
    pass(70 * SECOND).await;
    world.call().await.unwrap();
    settle().await;
    // Then
    assert_eq!(
        (requests("status"), requests("granted"), requests("error_response")),
        (1.0, 1.0, 1.0)
    );
    assert_eq!(world.tokens.requests(), 3);
    assert_eq!((fetches("demand", "new_token"), fetches("renewal", "error_response")), (1.0, 1.0));
    let failed = &heard.events("fetch_failed")[0];
    assert_eq!(failed.values["transient"], "false");
    assert!(failed.values["error"].contains("invalid_client"));
    assert_eq!(heard.events("token_answered")[2].values["code"], "invalid_client");
}

#[tokio::test(start_paused = true)]
async fn callers_are_counted_while_they_wait_one_led_and_the_rest_joined() {
    // Given
    let heard = Heard::all();
    let world = World::new(TokenServer::default().then_after(SECOND, 200, grant(100)));
    let waits =
        |role| heard.value("waits_total", &[("cause", "demand"), ("role", role), ("scope", SCOPE)]);
    let now = |gauge| heard.value(gauge, &[("scope", SCOPE)]);
    let seen = async {
        pass(SECOND / 4).await;
        let first = (now("waiting_callers"), now("fetches_under_way"));
        pass(SECOND / 2).await;
        (first, (now("waiting_callers"), now("fetches_under_way")))
    };
    // When
    let impatient = tokio::time::timeout(SECOND / 2, world.call());
    let (_, _, _, gone, (first, then)) =
        tokio::join!(world.call(), world.call(), world.call(), impatient, seen);
    // Then
    assert!(gone.is_err());
    assert_eq!((waits("led"), waits("joined")), (1.0, 3.0));
    assert_eq!((first, then), ((4.0, 1.0), (3.0, 1.0)));
    assert_eq!((now("waiting_callers"), now("fetches_under_way")), (0.0, 0.0));
}

#[tokio::test(start_paused = true)]
async fn the_remaining_life_is_shown_at_each_scrape_and_is_zero_without_a_token() {
    // Given
    let heard = Heard::all();
    let world = World::new(TokenServer::answering(grant(100)));
    let shown = || {
        let gauge = |name| heard.value(name, &[("scope", SCOPE)]);
        (gauge("token_remaining_seconds"), gauge("token_generation"))
    };
    // When and then
    world.auth.record_gauges();
    assert_eq!(shown(), (0.0, 0.0), "there is none yet");
    world.call().await.unwrap();
    assert_eq!(shown(), (100.0, 1.0));
    pass(30 * SECOND).await;
    world.auth.record_gauges();
    assert_eq!(shown(), (70.0, 1.0));
    pass(80 * SECOND).await;
    world.auth.record_gauges();
    assert_eq!(shown(), (0.0, 1.0), "it has expired");
    world.call().await.unwrap();
    assert_eq!(shown(), (100.0, 2.0));
    world.auth.invalidate_all();
    assert_eq!(shown(), (0.0, 2.0), "without a scrape");
    world.tokens.turn(Duration::ZERO, 200, r#"{"access_token":"t","token_type":"Bearer"}"#);
    world.call().await.unwrap();
    assert_eq!(shown(), (f64::INFINITY, 3.0), "good until it is rejected");
    drop(world);
    assert_eq!(shown(), (0.0, 0.0), "the last clone is gone");
}

#[tokio::test(start_paused = true)]
async fn the_server_is_shown_to_be_left_alone_and_why() {
    // Given
    let heard = Heard::all();
    let world = World::new(TokenServer::answering(same_token()));
    let cooling = |reason| heard.value("cooling_seconds", &[("reason", reason), ("scope", SCOPE)]);
    let failures = || heard.value("consecutive_failures", &[("scope", SCOPE)]);
    world.call().await.unwrap();
    // When it gives the same token again, with 20 seconds to the hard edge
    pass(70 * SECOND).await;
    world.call().await.unwrap();
    settle().await;
    // Then
    assert_eq!((cooling("no_progress"), cooling("failure"), failures()), (10.0, 0.0, 0.0));
    assert_eq!(heard.events("same_token_returned").len(), 1);

    // When it asks for rest
    world.tokens.turn(
        Duration::ZERO,
        503,
        r#"{"error":"temporarily_unavailable","retry_after":7}"#,
    );
    pass(12 * SECOND).await;
    world.call().await.unwrap();
    settle().await;
    // Then
    assert_eq!((cooling("no_progress"), cooling("failure"), failures()), (0.0, 7.0, 1.0));
    pass(3 * SECOND).await;
    world.auth.record_gauges();
    assert_eq!((cooling("failure"), failures()), (4.0, 1.0));
    pass(5 * SECOND).await;
    world.auth.record_gauges();
    assert_eq!((cooling("failure"), failures()), (0.0, 1.0), "it may be asked again");
}

#[tokio::test(start_paused = true)]
async fn each_rejection_is_replayed_or_returned_with_a_reason() {
    // Given
    let heard = Heard::all();
    let world = World::new(TokenServer::answering(grant(3600)));
    world.call().await.unwrap();
    pass(100 * SECOND).await;
    let of = |name| heard.value(name, &[("scope", SCOPE)]);
    let returned =
        |reason| heard.value("rejections_returned_total", &[("reason", reason), ("scope", SCOPE)]);
    let rejections =
        || heard.value("rejections_total", &[("scope", SCOPE), ("verdict", "token_rejected")]);
    // When the next token is good,
    world.api_answers(&[401]);
    assert_eq!(world.call().await.unwrap(), 200);
    // Then
    assert_eq!((rejections(), of("replays_total"), of("evictions_total")), (1.0, 1.0, 1.0));
    // when it is not, twice,
    pass(100 * SECOND).await;
    for _ in 0..2 {
        world.api_answers(&[401, 401]);
        assert_eq!(world.call().await.unwrap(), 401);
        pass(100 * SECOND).await;
    }
    // and when there is no next one.
    world.tokens.turn(Duration::ZERO, 400, r#"{"error":"invalid_scope"}"#);
    world.api_answers(&[401]);
    assert_eq!(world.call().await.unwrap(), 401);
    // Then
    assert_eq!((rejections(), of("replays_total")), (6.0, 3.0));
    assert_eq!((returned("fresh_token_rejected"), returned("renewal_failed")), (2.0, 1.0));
    let events = heard.events("rejection_returned");
    let last = events.last().unwrap();
    assert_eq!(last.values["reason"], "renewal_failed");
    assert_eq!(last.values["generation"], "4");
    assert_eq!(heard.events("token_rejected")[0].values["status"], "401");
}

#[tokio::test(start_paused = true)]
async fn the_requests_of_a_source_of_ones_own_are_not_known() {
    // Given
    let heard = Heard::all();
    let token = || async { TokenResponse::new("t") };
    let auth = scripted::auth_with(move |_| token());
    // When
    scripted::call(&auth).await.unwrap();
    // Then
    let fetches = [("cause", "demand"), ("outcome", "new_token"), ("scope", "read")];
    assert_eq!(heard.value("fetches_total", &fetches), 1.0);
    assert!(heard.series().keys().all(|(name, _)| !name.contains("token_requests")));
    let fetched = &heard.events("token_fetched")[0];
    assert_eq!(fetched.values["attempts"], "0");
    assert!(!fetched.around.contains_key("attempt"));
}

#[tokio::test(start_paused = true)]
async fn what_is_given_up_is_counted_as_such_and_not_as_under_way() {
    // Given
    let heard = Heard::all();
    let tokens = TokenServer::default().then_after(1000 * SECOND, 200, grant(100));
    let world = World::with(tokens, |builder| builder.token_timeout(3 * SECOND).token_retries(1));
    let unanswered = [("outcome", "unanswered"), ("scope", SCOPE)];
    let fetches = |cause, outcome| {
        heard.value("fetches_total", &[("cause", cause), ("outcome", outcome), ("scope", SCOPE)])
    };
    // When
    world.call().await.unwrap_err();
    // Then
    settle().await;
    assert_eq!(heard.value("token_requests_total", &unanswered), 2.0);
    assert_eq!(world.tokens.requests(), 2);
    assert_eq!(fetches("demand", "timed_out"), 1.0);
    let reason = [("reason", "timed_out"), ("scope", SCOPE)];
    assert_eq!(heard.value("failed_calls_total", &reason), 1.0);

    // When
    pass(10 * SECOND).await;
    tokio::time::timeout(SECOND / 2, world.call()).await.unwrap_err();
    drop(world);
    settle().await;
    // Then
    assert_eq!(heard.value("token_requests_total", &unanswered), 3.0);
    assert_eq!(fetches("demand", "closed"), 1.0);
    assert_eq!(heard.value("fetches_under_way", &[("scope", SCOPE)]), 0.0);
}
