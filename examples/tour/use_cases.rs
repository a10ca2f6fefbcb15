//! The use cases, each called once.

use std::collections::HashSet;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request};
use http_body_util::Full;
use tower::BoxError;
use tower_partner_auth::partner::{USE_CASES, UseCase};
use tower_partner_auth::{Environment, Scope};

use crate::client::{Answer, call, client_over, layer_for, succeeded, what_the_layer_did};
use crate::faults::{Faults, with_causes};
use crate::stages::Stages;

/// Calls every use case at a fresh sandbox.
pub(crate) async fn at_the_sandbox(stages: &Stages) -> Result<Faults, BoxError> {
    let sandbox = stages.open().await?;
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

pub(crate) fn use_case_request(
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
pub(crate) struct Table {
    heading: Option<(&'static str, &'static str)>,
}

impl Table {
    pub(crate) fn print(&mut self, row: &UseCase, answer: &Result<Answer, BoxError>) {
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
pub(crate) fn describe(row: &UseCase, answer: &Result<Answer, BoxError>) -> String {
    let answer = match answer {
        Ok(Answer { status, outcome }) => match outcome.rejection() {
            Some(rejection) => format!("{status}: {rejection}"),
            None => format!("{status}, {}", what_the_layer_did(outcome)),
        },
        Err(error) => with_causes(error.as_ref()),
    };
    format!("{} ({}): {answer}", row.name, row.operation)
}
