//! Reading what a token endpoint answers.
//!
//! It is pure and trusts nothing: every answer is a token or a typed error, and no error holds a part
//! of the answer.

use std::time::{Duration, SystemTime};

use http::StatusCode;
use http::header::{DATE, HeaderMap, RETRY_AFTER};
use serde::Deserialize;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::response::TokenResponse;
use crate::error::{TokenError, TokenErrorKind};
use crate::scope::Scope;

/// The longest answer that is read, in bytes.
pub(super) const MAX_ANSWER: usize = 64 * 1024;

/// The members of RFC 6749 §5.1 and §5.2 in one: servers send errors with status 200 as well.
/// Unknown members are ignored (RFC 6749 §5.1), and each is read only where it is needed: one that is
/// mistyped must not hide another's error code.
#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    access_token: Option<&'a RawValue>,
    #[serde(borrow)]
    token_type: Option<&'a RawValue>,
    #[serde(borrow)]
    expires_in: Option<&'a RawValue>,
    #[serde(borrow)]
    scope: Option<&'a RawValue>,
    #[serde(borrow)]
    created_at: Option<&'a RawValue>,
    #[serde(borrow)]
    error: Option<&'a RawValue>,
    #[serde(borrow)]
    retry_after: Option<&'a RawValue>,
}

/// Reads the whole answer of a token endpoint.
pub(crate) fn decode(
    status: StatusCode,
    headers: &HeaderMap,
    body: &[u8],
) -> Result<TokenResponse, TokenError> {
    let fail = |kind| Err(TokenError::new(kind).with_status(status));
    if status.is_redirection() {
        return fail(TokenErrorKind::Redirected);
    }
    // The parse error is not kept: it may quote the answer.
    let answer: Option<Answer<'_>> = serde_json::from_slice(body).ok();
    let in_body = answer.as_ref().and_then(|answer| seconds(answer.retry_after?.get()));
    let retry_after = retry_after_header(headers).or(in_body);
    if let Some(error) = answer.as_ref().and_then(|answer| answer.error) {
        // A code that is not a string is an unknown code.
        let code = string(error).unwrap_or_default();
        let error = TokenError::error_response(&code).with_status(status);
        return Err(error.with_retry_after(retry_after));
    }
    if !status.is_success() {
        let error = TokenError::new(TokenErrorKind::Status).with_status(status);
        return Err(error.with_retry_after(retry_after));
    }
    let Some(answer) = answer else {
        return fail(TokenErrorKind::Malformed);
    };
    let Some(access_token) = answer.access_token else {
        return fail(TokenErrorKind::MissingToken);
    };
    // RFC 6749 §7.1: a token of a type that is not understood must not be used.
    let token_type = answer.token_type.and_then(string);
    if !token_type.is_some_and(|kind| kind.eq_ignore_ascii_case("bearer")) {
        return fail(TokenErrorKind::TokenType);
    }
    let Some(mut access_token) = string(access_token) else {
        return fail(TokenErrorKind::Malformed);
    };
    // Taken, not copied.
    let mut response = TokenResponse::new(std::mem::take(&mut *access_token))
        .map_err(|error| error.with_status(status))?;
    if let Some(raw) = answer.expires_in {
        let Some(life) = seconds(raw.get()) else {
            return fail(TokenErrorKind::InvalidLifetime);
        };
        response = response.with_expires_in(life);
    }
    if let Some(raw) = answer.scope {
        let Some(text) = string(raw) else {
            return fail(TokenErrorKind::Malformed);
        };
        // What cannot be read as a scope grants nothing.
        let granted = Scope::parse(&text).unwrap_or_else(|_| Scope::none());
        response = response.with_scope(granted);
    }
    if let Some(created_at) = answer.created_at.and_then(|raw| raw.get().parse().ok()) {
        response = response.with_created_at(created_at);
    }
    Ok(response)
}

/// Wiped: which member a server puts a token into is the server's choice.
fn string(json: &RawValue) -> Option<Zeroizing<String>> {
    serde_json::from_str(json.get()).ok()
}

/// A JSON value that means a number of seconds from zero up: an integer of any length, a float, or
/// either as a string. Beyond what a duration holds, the longest one.
fn seconds(json: &str) -> Option<Duration> {
    let text: Zeroizing<String>;
    let number = if json.starts_with('"') {
        text = serde_json::from_str(json).ok()?;
        text.trim()
    } else {
        json
    };
    // Rust also reads "inf", "nan" and "1.", which no number of JSON is: ask for digits at both ends.
    let digit = |b: Option<&u8>| b.is_some_and(u8::is_ascii_digit);
    if !digit(number.as_bytes().first()) || !digit(number.as_bytes().last()) {
        return None;
    }
    let seconds: f64 = number.parse().ok()?;
    Some(Duration::try_from_secs_f64(seconds).unwrap_or(Duration::MAX))
}

/// `Retry-After` in both forms (RFC 9110 §10.2.3), its number read as one in the body is. A date
/// counts from the answer's own `Date`, so that the two hosts' clocks need not agree.
fn retry_after_header(headers: &HeaderMap) -> Option<Duration> {
    let text = headers.get(RETRY_AFTER)?.to_str().ok()?.trim();
    if let Some(number) = seconds(text) {
        return Some(number);
    }
    let date = |text: &str| httpdate::parse_http_date(text).ok();
    let until = date(text)?;
    let sent = headers.get(DATE).and_then(|value| date(value.to_str().ok()?));
    Some(until.duration_since(sent.unwrap_or_else(SystemTime::now)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer(status: u16, body: &str) -> Result<TokenResponse, TokenError> {
        decode(StatusCode::from_u16(status).unwrap(), &HeaderMap::new(), body.as_bytes())
    }

    fn kind(status: u16, body: &str) -> TokenErrorKind {
        answer(status, body).unwrap_err().kind()
    }

    #[test]
    fn the_answer_of_the_spec_is_read() {
        let response = answer(
            200,
            r#"{"access_token":"t0ken","token_type":"Bearer","expires_in":7200,"scope":"b a","created_at":1595411399,"mid":null}"#,
        )
        .unwrap();
        assert_eq!(response.access_token(), "t0ken");
        assert_eq!(response.expires_in(), Some(Duration::from_secs(7200)));
        assert_eq!(response.scope(), Some(&Scope::parse("a b").unwrap()));
        assert_eq!(response.created_at(), Some(1_595_411_399));
    }

    #[test]
    fn all_but_token_and_type_may_be_missing_or_null() {
        for body in [
            r#"{"access_token":"t","token_type":"bearer"}"#,
            r#"{"access_token":"t","token_type":"BEARER","expires_in":null,"scope":null,"created_at":null,"error":null}"#,
            r#"{"access_token":"t","token_type":"Bearer","created_at":"yesterday"}"#,
        ] {
            let response = answer(200, body).unwrap();
            assert_eq!(response.expires_in(), None);
            assert_eq!(response.scope(), None);
            assert_eq!(response.created_at(), None);
        }
    }

    #[test]
    fn expires_in_is_read_in_every_form_of_a_number() {
        let life = |json: &str| {
            answer(
                200,
                &format!(r#"{{"access_token":"t","token_type":"Bearer","expires_in":{json}}}"#),
            )
        };
        for (json, seconds) in [
            ("0", 0.0),
            ("1", 1.0),
            ("2591999", 2_591_999.0),
            ("\"7200\"", 7200.0),
            ("\" 7200 \"", 7200.0),
            ("7199.5", 7199.5),
            ("7.2e3", 7200.0),
            ("\"7199.5\"", 7199.5),
        ] {
            assert_eq!(
                life(json).unwrap().expires_in(),
                Some(Duration::from_secs_f64(seconds)),
                "{json}"
            );
        }
        for huge in ["1e300", "1e999", "99999999999999999999999999999999999999999999", "\"1e300\""]
        {
            assert_eq!(life(huge).unwrap().expires_in(), Some(Duration::MAX), "{huge}");
        }
        for bad in [
            "-1", "\"-1\"", "{}", "[]", "true", "\"\"", "\"soon\"", "\"inf\"", "\"NaN\"", "-0.5",
            "\"1.\"",
        ] {
            assert_eq!(life(bad).unwrap_err().kind(), TokenErrorKind::InvalidLifetime, "{bad}");
        }
    }

    #[test]
    fn what_is_no_token_response_is_a_typed_error() {
        use TokenErrorKind as Kind;
        for (status, body, expected) in [
            (200, "<html><body>Log in</body></html>", Kind::Malformed),
            (200, "", Kind::Malformed),
            (200, r#"{"access_token":"t","token_type":"Bea"#, Kind::Malformed),
            (200, r#"["access_token"]"#, Kind::Malformed),
            (200, r#"{"access_token":5,"token_type":"Bearer"}"#, Kind::Malformed),
            (
                200,
                r#"{"access_token":"a","access_token":"b","token_type":"Bearer"}"#,
                Kind::Malformed,
            ),
            (200, r#"{"token_type":"Bearer"}"#, Kind::MissingToken),
            (200, r#"{"access_token":null,"token_type":"Bearer"}"#, Kind::MissingToken),
            (200, r#"{"access_token":"","token_type":"Bearer"}"#, Kind::UnusableToken),
            (200, r#"{"access_token":"a\nb","token_type":"Bearer"}"#, Kind::UnusableToken),
            (200, r#"{"access_token":"a b","token_type":"Bearer"}"#, Kind::UnusableToken),
            (200, r#"{"access_token":"t","token_type":"mac"}"#, Kind::TokenType),
            (200, r#"{"access_token":"t","token_type":"DPoP"}"#, Kind::TokenType),
            (200, r#"{"access_token":"t"}"#, Kind::TokenType),
            (200, r#"{"error":"invalid_scope"}"#, Kind::ErrorResponse),
            (
                200,
                r#"{"error":{"code":7},"access_token":"t","token_type":"Bearer"}"#,
                Kind::ErrorResponse,
            ),
            (401, r#"{"error":"invalid_client","error_description":"…"}"#, Kind::ErrorResponse),
            (302, r#"{"access_token":"t","token_type":"Bearer"}"#, Kind::Redirected),
            (502, "<html>Bad gateway</html>", Kind::Status),
            (403, r#"{"access_token":"t","token_type":"Bearer"}"#, Kind::Status),
        ] {
            assert_eq!(kind(status, body), expected, "{status} {body}");
        }
    }

    #[test]
    fn a_mistyped_member_hides_no_error_code() {
        let error = answer(401, r#"{"error":"rate_limit_exceeded","scope":[],"token_type":5}"#);
        assert_eq!(error.unwrap_err().code(), Some("rate_limit_exceeded"));
        assert_eq!(
            kind(200, r#"{"access_token":"t","token_type":"Bearer","scope":[]}"#),
            TokenErrorKind::Malformed
        );
    }

    #[test]
    fn a_scope_that_cannot_be_read_grants_nothing() {
        let response =
            answer(200, r#"{"access_token":"t","token_type":"Bearer","scope":""}"#).unwrap();
        assert_eq!(response.scope(), Some(&Scope::none()));
    }

    #[test]
    fn errors_hold_no_part_of_the_answer() {
        for (status, body) in [
            (200, "s3cret"),
            (200, r#"{"access_token":"s3cret","token_type":"s3cret"}"#),
            (200, r#"{"access_token":"s3cret","token_type":"Bearer","expires_in":"s3cret"}"#),
            (200, r#"{"access_token":"s3cret \u0000","token_type":"Bearer"}"#),
            (400, r#"{"error":"s3cret","error_description":"s3cret"}"#),
            (500, "s3cret"),
        ] {
            let error = answer(status, body).unwrap_err();
            assert!(!format!("{error} {error:?}").contains("s3cret"), "{error:?}");
        }
    }

    #[test]
    fn what_a_token_response_prints_holds_no_part_of_the_answer() {
        let body = r#"{"access_token":"s3cret","token_type":"Bearer","scope":"s3cret"}"#;
        let response = answer(200, body).unwrap();
        assert!(!format!("{response:?} {response:#?}").contains("s3cret"), "{response:?}");
    }

    #[test]
    fn retry_after_is_read_from_header_and_body() {
        let retry_after = |headers: &[(&str, &str)], body: &str| {
            let mut map = HeaderMap::new();
            for (name, value) in headers {
                let name: http::HeaderName = name.parse().unwrap();
                map.insert(name, value.parse().unwrap());
            }
            decode(StatusCode::SERVICE_UNAVAILABLE, &map, body.as_bytes())
                .unwrap_err()
                .retry_after()
        };
        let seconds = |n| Some(Duration::from_secs(n));
        assert_eq!(retry_after(&[("retry-after", "7")], ""), seconds(7));
        let date = ("date", "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(
            retry_after(&[("retry-after", "Sun, 06 Nov 1994 08:49:47 GMT"), date], ""),
            seconds(10)
        );
        assert_eq!(
            retry_after(&[("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT"), date], ""),
            seconds(0)
        );
        assert_eq!(
            retry_after(&[("retry-after", "Sun, 06 Nov 1994 08:49:07 GMT")], ""),
            seconds(0)
        );
        assert_eq!(retry_after(&[("retry-after", "soon")], ""), None);
        for no_number in ["+7", "-7", "7s", "inf"] {
            assert_eq!(retry_after(&[("retry-after", no_number)], ""), None, "{no_number}");
        }
        // More than any integer holds is no reason to come back at once.
        let beyond_all = "99999999999999999999999999";
        assert_eq!(retry_after(&[("retry-after", beyond_all)], ""), Some(Duration::MAX));
        let fraction = Some(Duration::from_millis(1500));
        assert_eq!(retry_after(&[("retry-after", "1.5")], ""), fraction);
        let body = r#"{"error":"rate_limit_exceeded","retry_after":60}"#;
        assert_eq!(retry_after(&[], body), seconds(60));
        assert_eq!(retry_after(&[("retry-after", "7")], body), seconds(7));
        assert_eq!(retry_after(&[], r#"{"retry_after":60}"#), seconds(60));
        assert_eq!(retry_after(&[], r#"{"error":"server_error","retry_after":"x"}"#), None);
    }
}
