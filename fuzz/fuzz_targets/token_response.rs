//! Any answer of a token endpoint, as [`Answer`] spells it, read by the grant.
//!
//! Laws T4 and T7: an answer is a token that can be used or a typed error; it is read up to 64 KiB;
//! and nothing that is printed of it holds a token or a secret.

#![no_main]

use std::time::Duration;

use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower_partner_auth::{Scope, TokenError, TokenErrorKind as Kind, TokenResponse};
use tower_partner_auth_fuzz::{Answer, CLIENT_SECRET, MAX_ANSWER, Members, ask, said};

/// Where a body has this text, it stands for a token.
const TOKEN: &str = "t0ken-0f-the-answer";

/// The members that the grant reads.
const READ: [&str; 7] =
    ["access_token", "token_type", "expires_in", "scope", "created_at", "error", "retry_after"];

fuzz_target!(|data: &[u8]| {
    let answer = Answer::parse(data);
    let (result, taken) = ask(&answer);
    size_is_limited(&answer, &result, taken);
    nothing_secret_is_said(&answer, &result);
    if let Err(error) = &result {
        error_is_of_the_answer(&answer, error);
    }
    let whole = answer.body.len() <= MAX_ANSWER && !answer.cut && !answer.status.is_redirection();
    let Some(members) = Members::parse(&answer.body).filter(|_| whole) else { return };
    match (&result, grant(&answer, &members)) {
        (Ok(response), Some(expected)) => expected.compare(response),
        (Err(error), None) => {
            if let Some(code) = error.code() {
                assert_eq!(members.text("error"), Some(code), "the code is the server's");
            }
        }
        (Ok(response), None) => panic!("no grant was read as {response:?}"),
        (Err(error), Some(_)) => panic!("a good grant was refused: {error}"),
    }
});

fn size_is_limited(answer: &Answer, result: &Result<TokenResponse, TokenError>, taken: usize) {
    let frame = answer.frame.min(answer.body.len());
    assert!(taken <= MAX_ANSWER + frame, "{taken} bytes were taken of an answer that is too long");
    let refused = matches!(result, Err(error) if error.kind() == Kind::TooLarge);
    let too_long = answer.body.len() > MAX_ANSWER && !answer.status.is_redirection();
    assert_eq!(refused, too_long, "{} bytes", answer.body.len());
}

fn nothing_secret_is_said(answer: &Answer, result: &Result<TokenResponse, TokenError>) {
    let said = said(result);
    assert!(!said.contains(CLIENT_SECRET), "the client secret is in: {said}");
    assert!(!said.contains(TOKEN), "the token is in: {said} of {answer:?}");
}

fn error_is_of_the_answer(answer: &Answer, error: &TokenError) {
    assert_eq!(error.status(), Some(answer.status));
    let redirected = error.kind() == Kind::Redirected;
    assert_eq!(redirected, answer.status.is_redirection(), "{error}");
    assert!(answer.cut || error.kind() != Kind::Transport, "{error}");
}

/// What a good grant says.
struct Grant<'a> {
    access_token: &'a str,
    expires_in: Option<f64>,
    scope: Option<&'a str>,
    created_at: Option<i64>,
}

/// The grant in an answer, read from the promise of the documentation and not from the code.
fn grant<'a>(answer: &Answer, members: &'a Members) -> Option<Grant<'a>> {
    if !answer.status.is_success() || members.repeats(&READ) || members.get("error").is_some() {
        return None;
    }
    let access_token = members.text("access_token")?;
    let usable = !access_token.is_empty() && access_token.chars().all(|c| c.is_ascii_graphic());
    let bearer = members.text("token_type")?.eq_ignore_ascii_case("bearer");
    let expires_in = match members.get("expires_in") {
        None => None,
        Some(Value::Number(number)) => Some(number.as_f64()?),
        Some(Value::String(text)) => {
            let text = text.trim();
            let digits = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
            let number = text.parse().ok()?;
            let bytes = text.as_bytes();
            Some(if digits(bytes.first()) && digits(bytes.last()) { number } else { -1.0 })
        }
        Some(_) => return None,
    };
    let scope = match members.get("scope") {
        None => None,
        Some(scope) => Some(scope.as_str()?),
    };
    let created_at = members.get("created_at").and_then(Value::as_i64);
    let alive = expires_in.is_none_or(f64::is_sign_positive);
    let grant = Grant { access_token, expires_in, scope, created_at };
    (usable && bearer && alive).then_some(grant)
}

impl Grant<'_> {
    fn compare(&self, response: &TokenResponse) {
        assert_eq!(response.access_token(), self.access_token);
        assert_eq!(response.created_at(), self.created_at);
        let scope = self.scope.map(|text| Scope::parse(text).unwrap_or_else(|_| Scope::none()));
        assert_eq!(response.scope(), scope.as_ref());
        let life = |seconds| Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX);
        assert_eq!(response.expires_in(), self.expires_in.map(life));
        assert!(response.requested_at().is_some(), "a life counts from the request");
    }
}
