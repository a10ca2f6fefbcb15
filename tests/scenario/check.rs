//! Compares what came with what is expected.

use std::fmt::Debug;

use serde::Serialize;
use tower_partner_auth::{
    AuthOutcome, Error, FetchOutcome, Prewarmed, Rejection, RouteErrorKind, Scope, Status,
    TokenError,
};

use super::caller::{Ending, Report};
use super::format::{Counts, Outcome, Prewarm, StatusOutcome};
use super::tokens::canonical;

/// Compares one thing, if anything is expected of it.
fn same<T: PartialEq + Debug>(what: &str, expected: Option<T>, got: T) -> Result<(), String> {
    match expected {
        Some(expected) if expected != got => {
            Err(format!("{what}: expected {expected:?}, got {got:?}"))
        }
        _ => Ok(()),
    }
}

/// What is wrong with an expectation itself.
pub(crate) fn outcome_is_complete(expected: &Outcome) -> Result<(), String> {
    let endings = [expected.status.is_some(), expected.error.is_some(), expected.gave_up];
    if endings.iter().filter(|given| **given).count() == 1 {
        Ok(())
    } else {
        Err("a call ends with a status, an error or gave_up: expect one".to_owned())
    }
}

pub(crate) fn counts_are_complete(expected: &Counts) -> Result<(), String> {
    if expected.token_requests.is_some() && expected.api_requests.is_some() {
        Ok(())
    } else {
        Err("a vector has to say how many token_requests and api_requests there were".to_owned())
    }
}

pub(crate) fn call(expected: &Outcome, report: &Report) -> Result<(), String> {
    let none = AuthOutcome::default();
    let (ending, told) = match &report.ending {
        Ending::Answered { status, told, .. } => (format!("status {status}"), told),
        Ending::Failed(error) => (format!("error {}", error_kind(error)), &none),
        Ending::GaveUp => ("gave up".to_owned(), &none),
    };
    let wanted = match (expected.status, &expected.error) {
        (Some(status), _) => format!("status {status}"),
        (None, Some(error)) => format!("error {error}"),
        (None, None) => "gave up".to_owned(),
    };
    same("the call's end", Some(wanted), ending)?;
    if let Ending::Answered { body, .. } = &report.ending {
        same("body", expected.body.as_ref(), body)?;
    }
    same("waited", expected.waited, told.waited_for_token())?;
    same("replayed", expected.replayed, told.replayed())?;
    let rejection = told.rejection().map_or("none", rejection_kind).to_owned();
    same("rejection", expected.rejection.clone(), rejection)?;
    let cause = match (&report.ending, told.rejection()) {
        (Ending::Failed(Error::Token(error)), _) => Some(error),
        (_, Some(Rejection::RenewalFailed(error))) => Some(error),
        _ => None,
    };
    token_error(expected, cause)?;
    same("tokens", expected.tokens.as_ref(), &report.tokens)?;
    same("took", expected.took.map(|took| took.0), report.took)
}

fn token_error(expected: &Outcome, error: Option<&TokenError>) -> Result<(), String> {
    let code = error.and_then(TokenError::code).unwrap_or("none");
    same("code", expected.code.as_deref(), code)?;
    let status = error.and_then(TokenError::status).map(|status| status.as_u16());
    same("token_status", expected.token_status.map(Some), status)?;
    let retry_after = error.and_then(TokenError::retry_after);
    same("retry_after", expected.retry_after.map(|after| Some(after.0)), retry_after)?;
    same("transient", expected.transient.map(Some), error.map(TokenError::is_transient))
}

fn error_kind<E>(error: &Error<E>) -> String {
    match error {
        Error::Service(_) => "service".to_owned(),
        Error::Token(error) => snake_case(&error.kind()),
        Error::Route(error) => match error.kind() {
            RouteErrorKind::NoRoute => "no_route".to_owned(),
            RouteErrorKind::ForeignOrigin => "foreign_origin".to_owned(),
            other => format!("{other:?}"),
        },
        _ => "unknown".to_owned(),
    }
}

fn rejection_kind(rejection: &Rejection) -> &'static str {
    match rejection {
        Rejection::SameToken => "same_token",
        Rejection::FreshTokenRejected => "fresh_token_rejected",
        Rejection::RecentlyInVain => "recently_in_vain",
        Rejection::RenewalFailed(_) => "renewal_failed",
        Rejection::BodyTooLong => "body_too_long",
        Rejection::BodyFailed => "body_failed",
        Rejection::Policy => "policy",
        Rejection::InsufficientScope => "insufficient_scope",
        _ => "unknown",
    }
}

/// The name under which a kind is serialised.
fn snake_case(kind: &impl Serialize) -> String {
    let name = serde_json::to_value(kind).expect("a kind is a name");
    name.as_str().expect("a kind is a name").to_owned()
}

pub(crate) fn prewarmed(expected: &Prewarm, prewarmed: &Prewarmed) -> Result<(), String> {
    let name = |result: Result<(), &TokenError>| match result {
        Ok(()) => "ok".to_owned(),
        Err(error) => snake_case(&error.kind()),
    };
    let results = prewarmed.results();
    let results = results.map(|(scope, result)| (scope.to_string(), name(result))).collect();
    same("prewarmed", Some(&expected.expect), &results)
}

pub(crate) fn status(scope: &str, expected: &StatusOutcome, status: &Status) -> Result<(), String> {
    let canonical: Scope = canonical(scope).parse().map_err(|_| format!("bad scope {scope:?}"))?;
    let token = status.get(&canonical);
    same("known", Some(expected.known.unwrap_or(true)), token.is_some())?;
    let Some(token) = token else { return Ok(()) };
    same("state", expected.state.clone(), token.state().to_string())?;
    same("usable", expected.usable, token.is_usable())?;
    same("remaining", expected.remaining.map(|remaining| remaining.0), token.remaining())?;
    same("generation", expected.generation, token.generation())?;
    same("fetching", expected.fetching, token.is_fetching())?;
    same("waiting", expected.waiting, token.waiting())?;
    same("failures", expected.failures, token.failures())?;
    same("evictions", expected.evictions, token.evictions())?;
    let last = token.last_fetch().map_or("none".to_owned(), |last| match last.outcome() {
        FetchOutcome::Fetched => "fetched".to_owned(),
        FetchOutcome::Shared => "shared".to_owned(),
        FetchOutcome::SameToken => "same_token".to_owned(),
        FetchOutcome::Failed(error) => snake_case(&error.kind()),
        _ => "unknown".to_owned(),
    });
    same("last_fetch", expected.last_fetch.clone(), last)?;
    let age = token.last_fetch().map(|last| last.age());
    same("last_fetch_age", expected.last_fetch_age.map(|age| Some(age.0)), age)
}
