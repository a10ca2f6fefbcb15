//! The scenes.

use std::convert::Infallible;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, StatusCode};
use http_body_util::Full;
use http_body_util::channel::{Channel, Sender};
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep, timeout};
use tower::BoxError;
use tower_partner_auth::partner::{USE_CASES, UseCase};
use tower_partner_auth::sandbox::{BodyEnd, Sandbox};
use tower_partner_auth::{PartnerAuthLayer, Route, Scope};

use crate::client::{call, call_all, client_over, count, http2_client_over, layer_for, succeeded};
use crate::faults::{Faults, with_causes};
use crate::stages::Stages;
use crate::use_cases::use_case_request;

/// More than any scene needs: a fault should end the tour, not hang it.
const SCENE_LIMIT: Duration = Duration::from_secs(10);

const MIB: usize = 1 << 20;

/// Plays all of them; what was not as it should be, for each.
pub(crate) async fn play(stages: &Stages) -> Vec<Faults> {
    vec![
        scene("1. A thousand first calls at once", a_thousand_first_calls(stages)).await,
        scene("2. A token expires", an_expiry(stages)).await,
        scene("3. A token is revoked under load", revocations(stages)).await,
        scene("4. An upload is refused half way", an_upload_refused_half_way(stages)).await,
    ]
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

/// Calls that need the same token wait for one fetch, however many they are.
async fn a_thousand_first_calls(stages: &Stages) -> Result<Faults, BoxError> {
    const CALLS: usize = 1000;
    let sandbox = stages.open().await?;
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

pub(crate) fn one_use_case_per_scope() -> Result<Vec<(&'static UseCase, Scope)>, BoxError> {
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
async fn an_expiry(stages: &Stages) -> Result<Faults, BoxError> {
    const LIFE: Duration = Duration::from_secs(1);
    let sandbox = stages.open().await?;
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

async fn revocations(stages: &Stages) -> Result<Faults, BoxError> {
    let mut faults = revocations_under_load(stages).await?;
    faults.0.extend(fifty_calls_with_a_revoked_token(stages).await?.0);
    Ok(faults)
}

/// The API's 401 is between it and the layer: callers see what came of the second try.
async fn revocations_under_load(stages: &Stages) -> Result<Faults, BoxError> {
    const CALLERS: usize = 8;
    const REVOCATIONS: u64 = 5;
    let sandbox = stages.open().await?;
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
async fn fifty_calls_with_a_revoked_token(stages: &Stages) -> Result<Faults, BoxError> {
    const CALLS: usize = 50;
    let sandbox = stages.open().await?;
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
async fn an_upload_refused_half_way(stages: &Stages) -> Result<Faults, BoxError> {
    const SCOPE: &str = "client_manage_kyc_details";
    let sandbox = stages.open().await?;
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
