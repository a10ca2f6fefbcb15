//! The crate's main job, to look at and to copy from.
//!
//! ```text
//! cargo run --example tour
//! ```
//!
//! starts the sandbox, calls every use case once, and plays four scenes: a thousand first calls at a
//! time, a token that expires, tokens revoked under load, and an upload refused half way.
//!
//! With all of `PARTNER_TOKEN_URL`, `PARTNER_API_ORIGIN`, `PARTNER_CLIENT_ID` and
//! `PARTNER_CLIENT_SECRET` set, it calls the use cases on that server instead. They create, change
//! and delete things there: it is for test environments.
//!
//! It ends with status 0 if everything is as it should be, 1 if not, 2 if only some of the variables
//! are set.

use std::collections::HashSet;
use std::convert::Infallible;
use std::error::Error;
use std::fmt::Debug;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response, StatusCode};
use http_body_util::channel::{Channel, Sender};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::{Client, connect::HttpConnector};
use hyper_util::rt::TokioExecutor;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::{BoxError, Service, ServiceBuilder, ServiceExt};
use tower_partner_auth::partner::{USE_CASES, UseCase};
use tower_partner_auth::sandbox::{BodyEnd, Sandbox};
use tower_partner_auth::{
    AuthOutcome, ClientCredentials, Environment, PartnerAuth, PartnerAuthLayer, ReplayBody, Route,
    Scope,
};

/// More than any call or scene needs: a fault should end the tour, not hang it.
const CALL_LIMIT: Duration = Duration::from_secs(40);
const SCENE_LIMIT: Duration = Duration::from_secs(10);

const MIB: usize = 1 << 20;

#[tokio::main]
async fn main() -> ExitCode {
    let target = match target() {
        Ok(target) => target,
        Err(missing) => {
            eprintln!("tour: not set: {}. Set all four, or none", missing.join(", "));
            return ExitCode::from(2);
        }
    };
    let tour = match target {
        None => sandbox_tour().await,
        Some(partner) => partner_tour(partner).await,
    };
    match tour {
        Ok((summary, faults)) if faults.0.is_empty() => {
            println!("\ntour: {summary}");
            ExitCode::SUCCESS
        }
        Ok((_, faults)) => {
            eprintln!("\ntour: {} not as it should be:", faults.0.len());
            faults.0.iter().for_each(|fault| eprintln!("  - {fault}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("\ntour: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// The tour of the sandbox: what a successful one ends with, and what is not as it should be.
async fn sandbox_tour() -> Result<(String, Faults), BoxError> {
    let mut faults = sandbox_use_cases().await?;
    let scenes = [
        scene("1. A thousand first calls at once", a_thousand_first_calls()).await,
        scene("2. A token expires", an_expiry()).await,
        scene("3. A token is revoked under load", revocations()).await,
        scene("4. An upload is refused half way", an_upload_refused_half_way()).await,
    ];
    let played = scenes.len();
    faults.0.extend(scenes.into_iter().flat_map(|faults| faults.0));
    let rows = USE_CASES.len();
    Ok((format!("{rows} use cases authorised, {played} scenes as they should be"), faults))
}

// === The client ===

/// An HTTP client that authorises its requests. `C` connects, `B` is the body of a request.
type Authorised<C, B> = PartnerAuth<Client<C, ReplayBody<B>>>;

/// The layer, for a sandbox.
fn layer_for(sandbox: &Sandbox) -> Result<PartnerAuthLayer, BoxError> {
    let builder = PartnerAuthLayer::builder(sandbox.credentials());
    Ok(builder.environment(sandbox.environment()).build()?)
}

/// The layer around hyper-util's client. All clients made of one layer share its tokens.
fn client_over<B>(auth: &PartnerAuthLayer) -> Authorised<HttpConnector, B>
where
    B: http_body::Body + Unpin + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    let http_client = Client::builder(TokioExecutor::new()).build(connector());
    ServiceBuilder::new().layer(auth.clone()).service(http_client)
}

/// The same over HTTP/2, where a thousand requests need one connection and not a thousand: more
/// files than a process may have open on many a machine.
fn http2_client_over(auth: &PartnerAuthLayer) -> Authorised<HttpConnector, Full<Bytes>> {
    let http_client = Client::builder(TokioExecutor::new()).http2_only(true).build(connector());
    ServiceBuilder::new().layer(auth.clone()).service(http_client)
}

/// The same for an API that may be behind TLS.
fn https_client_over(
    auth: &PartnerAuthLayer,
) -> Result<Authorised<HttpsConnector<HttpConnector>, Full<Bytes>>, BoxError> {
    let mut http = connector();
    // Its part is the TCP connection, whatever the scheme.
    http.enforce_http(false);
    let https = HttpsConnectorBuilder::new()
        .with_provider_and_webpki_roots(rustls::crypto::ring::default_provider())?
        .https_or_http()
        .enable_http1()
        .wrap_connector(http);
    let http_client = Client::builder(TokioExecutor::new()).build(https);
    Ok(ServiceBuilder::new().layer(auth.clone()).service(http_client))
}

fn connector() -> HttpConnector {
    let mut connector = HttpConnector::new();
    // Small requests are not to wait for more to send.
    connector.set_nodelay(true);
    connector
}

// === A call ===

/// What came back of a call.
#[derive(Clone)]
struct Answer {
    status: StatusCode,
    outcome: AuthOutcome,
}

async fn call<S, B>(client: &S, request: Request<B>) -> Result<Answer, BoxError>
where
    S: Service<Request<B>, Response = Response<Incoming>> + Clone,
    S::Error: Into<BoxError>,
{
    let exchange = async {
        let mut response = client.clone().oneshot(request).await.map_err(Into::into)?;
        // The layer is silent where it had nothing to do but to put the token in.
        let outcome = response.extensions_mut().remove().unwrap_or_default();
        // Read to its end, so that the connection serves the next call.
        while let Some(frame) = response.body_mut().frame().await {
            frame?;
        }
        Ok(Answer { status: response.status(), outcome })
    };
    timeout(CALL_LIMIT, exchange).await?
}

/// Makes all calls at the same time.
async fn call_all(
    client: &Authorised<HttpConnector, Full<Bytes>>,
    requests: Vec<Request<Full<Bytes>>>,
) -> Result<Vec<Answer>, BoxError> {
    let mut calls = JoinSet::new();
    for request in requests {
        let client = client.clone();
        calls.spawn(async move { call(&client, request).await });
    }
    calls.join_all().await.into_iter().collect()
}

fn what_the_layer_did(outcome: &AuthOutcome) -> &'static str {
    match outcome {
        outcome if outcome.rejection().is_some() => "gave up",
        outcome if outcome.replayed() => "replayed",
        outcome if outcome.waited_for_token() => "fetched token",
        _ => "cached token",
    }
}

fn count(answers: &[Answer], matches: impl Fn(&Answer) -> bool) -> usize {
    answers.iter().filter(|answer| matches(answer)).count()
}

fn succeeded(answer: &Answer) -> bool {
    answer.status.is_success()
}

// === The use cases ===

/// Calls every use case at a fresh sandbox.
async fn sandbox_use_cases() -> Result<Faults, BoxError> {
    let sandbox = Sandbox::start().await?;
    let client = client_over(&layer_for(&sandbox)?);
    println!("Every use case, at the sandbox on {}", sandbox.origin());

    let mut faults = Faults::default();
    let mut scopes_seen = HashSet::new();
    let mut table = Table::default();
    for row in USE_CASES {
        let answer = call(&client, use_case_request(row, &sandbox.environment())?).await;
        table.print(row, &answer);
        let first_of_its_scope = scopes_seen.insert(row.scope.parse::<Scope>()?);
        let due = if first_of_its_scope { "fetched token" } else { "cached token" };
        let fine =
            |answer: &Answer| succeeded(answer) && what_the_layer_did(&answer.outcome) == due;
        faults.check(answer.as_ref().is_ok_and(fine), || {
            format!("{}; a success with a {due} is due", describe(row, &answer))
        });
    }

    println!(
        "\n  Counted at the server: {} calls, {} token requests for {} scopes",
        sandbox.api_requests(),
        sandbox.token_requests(),
        scopes_seen.len(),
    );
    faults.expect("calls of use cases", sandbox.api_requests(), USE_CASES.len() as u64);
    faults.expect("their token requests", sandbox.token_requests(), scopes_seen.len() as u64);
    Ok(faults)
}

fn use_case_request(
    row: &UseCase,
    environment: &Environment,
) -> Result<Request<Full<Bytes>>, http::Error> {
    // There is always one, and the first is the one to call.
    let origin = &environment.origins(row.host)[0];
    let request =
        Request::builder().method(row.method.clone()).uri(format!("{origin}{}", filled(row.path)));
    if [Method::POST, Method::PUT].contains(&row.method) {
        let body = Bytes::from_static(br#"{"reference":"tour-1"}"#);
        request.header(CONTENT_TYPE, "application/json").body(body.into())
    } else {
        request.body(Full::default())
    }
}

/// The path of a template, with an invented value for each of its parameters.
fn filled(template: &str) -> String {
    let value = |segment| match segment {
        "{mid}" => "8391017",
        "{uuid}" => "11ed-52c7-7e1f3a90-8d4b-02a1c0de5f17",
        "{agreement}" => "20417",
        "{document}" => "553086",
        "{invoice}" => "INV-2024-0017",
        parameter if parameter.starts_with('{') => "1",
        literal => literal,
    };
    template.split('/').map(value).collect::<Vec<_>>().join("/")
}

/// Rows under a heading for each use case and scope. Paths come last, so that a long one harms no
/// column.
#[derive(Default)]
struct Table {
    heading: Option<(&'static str, &'static str)>,
}

impl Table {
    fn print(&mut self, row: &UseCase, answer: &Result<Answer, BoxError>) {
        let heading = (row.name, row.scope);
        if self.heading.replace(heading) != Some(heading) {
            println!("\n{}  [{}]", row.name, row.scope);
        }
        let (status, did) = match answer {
            Ok(answer) => (answer.status.as_str(), what_the_layer_did(&answer.outcome)),
            Err(_) => ("-", "failed"),
        };
        let UseCase { operation, method, path, .. } = row;
        println!("  {operation:<27} {status:<4} {did:<14} {:<6} {path}", method.as_str());
    }
}

/// A row and its answer in a sentence, with the reasons that have no place in the table.
fn describe(row: &UseCase, answer: &Result<Answer, BoxError>) -> String {
    let answer = match answer {
        Ok(Answer { status, outcome }) => match outcome.rejection() {
            Some(rejection) => format!("{status}: {rejection}"),
            None => format!("{status}, {}", what_the_layer_did(outcome)),
        },
        Err(error) => with_causes(error.as_ref()),
    };
    format!("{} ({}): {answer}", row.name, row.operation)
}

// === The scenes ===

/// Calls that need the same token wait for one fetch, however many they are.
async fn a_thousand_first_calls() -> Result<Faults, BoxError> {
    const CALLS: usize = 1000;
    let sandbox = Sandbox::start().await?;
    let client = http2_client_over(&layer_for(&sandbox)?);
    // Long enough for all to be under way before there is a token.
    sandbox.token_delay(Duration::from_millis(200));

    let rows = one_use_case_per_scope()?;
    let environment = sandbox.environment();
    let requests = rows.iter().cycle().take(CALLS);
    let requests = requests.map(|(row, _)| use_case_request(row, &environment));
    let answers = call_all(&client, requests.collect::<Result<_, _>>()?).await?;

    let (scopes, successes) = (rows.len(), count(&answers, succeeded));
    println!(
        "  {CALLS} calls under {scopes} scopes: {successes} succeeded, {} of them had to wait",
        count(&answers, |answer| answer.outcome.waited_for_token()),
    );
    println!("  Token requests: {}, one for each scope", sandbox.token_requests());

    let mut faults = Faults::default();
    faults.expect("successes", successes, CALLS);
    faults.expect("requests at the API", sandbox.api_requests(), CALLS as u64);
    faults.expect("token requests", sandbox.token_requests(), scopes as u64);
    for (_, scope) in &rows {
        let what = format!("token requests for {scope}");
        faults.expect(&what, sandbox.token_requests_for(scope), 1);
    }
    Ok(faults)
}

fn one_use_case_per_scope() -> Result<Vec<(&'static UseCase, Scope)>, BoxError> {
    let mut rows: Vec<(&UseCase, Scope)> = Vec::new();
    for row in USE_CASES {
        let scope = row.scope.parse()?;
        if rows.iter().all(|(_, known)| *known != scope) {
            rows.push((row, scope));
        }
    }
    Ok(rows)
}

/// A token is replaced before its end if there are calls to notice, and at the next call if not.
async fn an_expiry() -> Result<Faults, BoxError> {
    const LIFE: Duration = Duration::from_secs(1);
    let sandbox = Sandbox::start().await?;
    let client = client_over(&layer_for(&sandbox)?);
    sandbox.token_life(LIFE);

    // Nobody calls while the token expires: the next caller waits for another one.
    let first = call(&client, get_merchant(&sandbox)?).await?;
    sleep(LIFE + Duration::from_millis(50)).await;
    let next = call(&client, get_merchant(&sandbox)?).await?;
    let of_the_idle = sandbox.token_requests();
    println!(
        "  Idle past the end: {} before, {} after; token requests: {of_the_idle}",
        first.status.as_u16(),
        next.status.as_u16(),
    );

    // There are calls all the time: the token is renewed behind their backs.
    let end = Instant::now() + LIFE + LIFE / 4;
    let mut answers = Vec::new();
    while Instant::now() < end {
        answers.push(call(&client, get_merchant(&sandbox)?).await?);
        sleep(Duration::from_millis(10)).await;
    }
    let successes = count(&answers, succeeded);
    let of_the_busy = sandbox.token_requests() - of_the_idle;
    println!(
        "  Busy past the end: {successes} of {} calls succeeded, {} had to wait; token requests: \
         {of_the_busy} more",
        answers.len(),
        count(&answers, |answer| answer.outcome.waited_for_token()),
    );

    let mut faults = Faults::default();
    faults.expect("status before the end", first.status, StatusCode::OK);
    faults.expect("status after the end", next.status, StatusCode::OK);
    faults.expect("token requests before and after", of_the_idle, 2);
    faults.expect("successes past the end", successes, answers.len());
    // A renewal every half life at the most, and one at least: how many depends on the machine.
    faults.check((1..=3).contains(&of_the_busy), || format!("{of_the_busy} renewals"));
    Ok(faults)
}

async fn revocations() -> Result<Faults, BoxError> {
    let mut faults = revocations_under_load().await?;
    faults.0.extend(fifty_calls_with_a_revoked_token().await?.0);
    Ok(faults)
}

/// The API's 401 is between it and the layer: callers see what came of the second try.
async fn revocations_under_load() -> Result<Faults, BoxError> {
    const CALLERS: usize = 8;
    const REVOCATIONS: u64 = 5;
    let sandbox = Sandbox::start().await?;
    let client = client_over(&layer_for(&sandbox)?);
    call(&client, get_merchant(&sandbox)?).await?;

    let done = Arc::new(AtomicBool::new(false));
    let mut callers = JoinSet::new();
    for _ in 0..CALLERS {
        let (client, sandbox, done) = (client.clone(), sandbox.clone(), done.clone());
        callers.spawn(async move {
            let mut answers = Vec::new();
            while !done.load(Ordering::Relaxed) {
                answers.push(call(&client, get_merchant(&sandbox)?).await?);
            }
            Ok::<_, BoxError>(answers)
        });
    }
    for revocation in 1..=REVOCATIONS {
        // Apart from one another: a request is sent again once, so one that met two revocations
        // would, rightly, end in a 401.
        sleep(Duration::from_millis(100)).await;
        sandbox.revoke_all();
        sandbox.until(|at| at.token_requests() > revocation).await;
    }
    sleep(Duration::from_millis(50)).await;
    done.store(true, Ordering::Relaxed);
    let answers = callers.join_all().await.into_iter().collect::<Result<Vec<_>, _>>()?.concat();

    let (calls, successes) = (answers.len(), count(&answers, succeeded));
    let rejections = sandbox.api_answers(StatusCode::UNAUTHORIZED);
    let token_requests = sandbox.token_requests();
    println!(
        "  {calls} calls by {CALLERS} callers, the token revoked {REVOCATIONS} times: \
         {successes} succeeded"
    );
    println!(
        "  The API said 401 {rejections} times, to no caller's notice; token requests: \
         {token_requests}"
    );

    let mut faults = Faults::default();
    faults.expect("successes under load", successes, calls);
    faults.check(rejections >= REVOCATIONS, || "a revocation went unnoticed".to_owned());
    faults.expect("token requests under load", token_requests, 1 + REVOCATIONS);
    Ok(faults)
}

/// However many calls meet the same revoked token, it is renewed once.
async fn fifty_calls_with_a_revoked_token() -> Result<Faults, BoxError> {
    const CALLS: usize = 50;
    let sandbox = Sandbox::start().await?;
    let client = client_over(&layer_for(&sandbox)?);
    call(&client, get_merchant(&sandbox)?).await?;
    let before = sandbox.token_requests();

    // Long enough for all to be rejected before there is a new token.
    sandbox.token_delay(Duration::from_millis(200));
    sandbox.revoke_all();
    let requests = (0..CALLS).map(|_| get_merchant(&sandbox)).collect::<Result<_, _>>()?;
    let answers = call_all(&client, requests).await?;

    let successes = count(&answers, |answer| answer.status == StatusCode::OK);
    let token_requests = sandbox.token_requests() - before;
    println!(
        "  {CALLS} calls at once with a token just revoked: {successes} times 200, {} of them \
         replayed; token requests: {token_requests} more",
        count(&answers, |answer| answer.outcome.replayed()),
    );

    let mut faults = Faults::default();
    faults.expect("200s after the revocation", successes, CALLS);
    faults.expect("token requests after the revocation", token_requests, 1);
    Ok(faults)
}

fn get_merchant(sandbox: &Sandbox) -> Result<Request<Full<Bytes>>, http::Error> {
    let uri = format!("{}/api/v1/merchants/8391017", sandbox.origin());
    Request::get(uri).body(Full::default())
}

/// A 401 that comes while the body is still being sent: the layer takes the stream back, and sends
/// all of it again with a new token.
async fn an_upload_refused_half_way() -> Result<Faults, BoxError> {
    const SCOPE: &str = "client_manage_kyc_details";
    let sandbox = Sandbox::start().await?;
    let upload_to = |mid| format!("{}/api/v3/merchants/{mid}/kyc_document", sandbox.origin());
    // The environment's route, but with a memory for large bodies.
    let route = Route::new(Method::POST, upload_to("{mid}"), SCOPE).replay_limit(2 * MIB);
    let auth = PartnerAuthLayer::builder(sandbox.credentials())
        .environment(sandbox.environment())
        .route(route)
        .build()?;

    // A token that the layer takes for good, and the API no longer does.
    let info = format!("{}/api/v3/merchants/kyc_document/info", sandbox.origin());
    call(&client_over(&auth), Request::get(info).body(Full::<Bytes>::default())?).await?;
    sandbox.revoke_all();
    sandbox.clear_received();
    sandbox.reject_early(true);

    let document = document();
    let (sender, body) = Channel::<Bytes, Infallible>::new(1);
    let client = client_over(&auth);
    let request = Request::post(upload_to("8391017")).body(body)?;
    let (answer, ()) =
        tokio::join!(call(&client, request), send_in_chunks(sender, &document, &sandbox));
    let answer = answer?;

    // The first attempt's end may come to the server after the second's.
    sandbox.until(|at| at.received().iter().all(|r| r.body_end() != BodyEnd::Pending)).await;
    let received = sandbox.received();
    for (number, attempt) in (1..).zip(&received) {
        println!(
            "  Attempt {number}: answered {}, {} bytes received, body {}",
            attempt.status().map_or("nothing".to_owned(), |status| status.as_u16().to_string()),
            attempt.body_bytes(),
            if attempt.complete() { "complete" } else { "broken off" },
        );
    }
    let whole = received.last().and_then(|attempt| attempt.body()) == Some(&document);
    println!(
        "  The caller got {}; sent were {} bytes, and the server has {}",
        answer.status.as_u16(),
        document.len(),
        if whole { "exactly these" } else { "others" },
    );

    let mut faults = Faults::default();
    let statuses: Vec<_> = received.iter().filter_map(|attempt| attempt.status()).collect();
    faults.expect("status of the upload", answer.status, StatusCode::OK);
    faults.expect("answers", statuses, vec![StatusCode::UNAUTHORIZED, StatusCode::OK]);
    faults.check(answer.outcome.replayed(), || "the upload was not replayed".to_owned());
    faults.check(whole, || "the server has not got the bytes that were sent".to_owned());
    let cut = received.first().is_some_and(|attempt| attempt.body_end() == BodyEnd::Aborted);
    faults.check(cut, || "the refused upload was not broken off".to_owned());
    Ok(faults)
}

/// 1 MiB in which no two places look the same, so that a gap or a repetition would show.
fn document() -> Bytes {
    (0..MIB as u32 / 4).flat_map(u32::to_be_bytes).collect()
}

/// A quarter of the document; the rest when the API has refused the first attempt and the second
/// is there. So the 401 surely finds the upload under way.
async fn send_in_chunks(mut sender: Sender<Bytes>, document: &Bytes, sandbox: &Sandbox) {
    const CHUNK: usize = 64 * 1024;
    for start in (0..document.len()).step_by(CHUNK) {
        if start == document.len() / 4 {
            sandbox.until(|at| at.received().len() == 2).await;
        }
        let end = document.len().min(start + CHUNK);
        if sender.send_data(document.slice(start..end)).await.is_err() {
            // Nobody reads any more: the call has failed, and says why.
            return;
        }
    }
}

/// Plays a scene, and says at once what is not as it should be.
async fn scene(title: &str, play: impl Future<Output = Result<Faults, BoxError>>) -> Faults {
    println!("\n{title}");
    let mut faults = match timeout(SCENE_LIMIT, play).await {
        Ok(Ok(faults)) => faults,
        Ok(Err(error)) => Faults(vec![with_causes(error.as_ref())]),
        Err(_) => Faults(vec![format!("not over after {SCENE_LIMIT:?}")]),
    };
    for fault in &mut faults.0 {
        println!("  NOT as it should be: {fault}");
        *fault = format!("{title}: {fault}");
    }
    faults
}

// === A server of your own ===

/// A server that is not the sandbox.
struct Partner {
    token_url: String,
    api_origin: String,
    credentials: ClientCredentials,
}

/// The server that the environment variables name, if there are any of them.
///
/// # Errors
///
/// The names of those that are missing beside others.
fn target() -> Result<Option<Partner>, Vec<&'static str>> {
    const NAMES: [&str; 4] =
        ["PARTNER_TOKEN_URL", "PARTNER_API_ORIGIN", "PARTNER_CLIENT_ID", "PARTNER_CLIENT_SECRET"];
    let values = NAMES.map(|name| std::env::var(name).ok().filter(|value| !value.is_empty()));
    let missing: Vec<_> =
        NAMES.into_iter().zip(&values).filter(|(_, v)| v.is_none()).map(|(name, _)| name).collect();
    match values {
        [Some(token_url), Some(api_origin), Some(id), Some(secret)] => {
            let credentials = ClientCredentials::new(id, secret);
            Ok(Some(Partner { token_url, api_origin, credentials }))
        }
        _ if missing.len() == NAMES.len() => Ok(None),
        _ => Err(missing),
    }
}

/// The tour of another server: its use cases, as it answers them.
async fn partner_tour(partner: Partner) -> Result<(String, Faults), BoxError> {
    let environment = Environment::at(partner.api_origin.as_str());
    let auth = PartnerAuthLayer::builder(partner.credentials)
        .environment(environment.clone())
        .token_url(partner.token_url)
        .build()?;
    let client = https_client_over(&auth)?;
    println!("Every use case, at {}", partner.api_origin);

    let mut faults = Faults::default();
    let mut table = Table::default();
    for row in USE_CASES {
        let answer = call(&client, use_case_request(row, &environment)?).await;
        table.print(row, &answer);
        let fine = |answer: &Answer| answer.status.as_u16() < 400;
        faults.check(answer.as_ref().is_ok_and(fine), || describe(row, &answer));
    }
    Ok((format!("{} use cases authorised", USE_CASES.len()), faults))
}

// === Faults ===

/// What is not as it should be.
#[derive(Default)]
struct Faults(Vec<String>);

impl Faults {
    fn check(&mut self, fine: bool, fault: impl FnOnce() -> String) {
        if !fine {
            self.0.push(fault());
        }
    }

    fn expect<T: PartialEq + Debug>(&mut self, what: &str, seen: T, due: T) {
        self.check(seen == due, || format!("{what}: {seen:?}, not {due:?}"));
    }
}

fn with_causes(error: &(dyn Error + 'static)) -> String {
    let causes = std::iter::successors(Some(error), |&error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
