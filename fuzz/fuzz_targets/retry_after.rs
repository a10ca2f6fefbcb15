//! How long a token endpoint asks to be left alone: `Retry-After` as seconds or a date, and
//! `retry_after` in the body.
//!
//! Law T6, in two halves. The grant tells the server's wish as it is: zero for a date that is past,
//! the longest duration for a number beyond all durations. The layer honours the wish up to five
//! minutes: until then it leaves the server alone, and then it asks again.

#![no_main]

use std::convert::Infallible;
use std::future::ready;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::header::{DATE, HeaderValue, RETRY_AFTER};
use http::{Request, StatusCode};
use http_body_util::Full;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use serde_json::Value;
use tower::service_fn;
use tower_partner_auth::{PartnerAuthLayer, Route, TokenError};
use tower_partner_auth_fuzz::{Answer, MAX_ANSWER, Members, ask, credentials, get, runtime, send};

/// The longest wish that the layer honours.
const LONGEST_WISH: Duration = Duration::from_secs(5 * 60);
/// The longest that the layer waits for its own reasons, after one failure.
const OWN_PAUSE: Duration = Duration::from_secs(5);
const SECOND: Duration = Duration::from_secs(1);
/// Up to here a float has every whole number.
const EXACT: u128 = 1 << 53;

fuzz_target!(|data: &[u8]| {
    let mut answer = Answer::parse(data);
    answer.cut = false;
    if answer.status.is_success() || answer.status.is_redirection() {
        answer.status = StatusCode::SERVICE_UNAVAILABLE;
    }
    let error = refusal(&answer);
    if let Some(expected) = wish(&answer) {
        assert!(expected.is(error.retry_after()), "{error:?} of {answer:?}");
    }
    leaves_the_server_alone(answer, &error);
    // An input at its end ends the dates.
    let _ = dates(&mut Unstructured::new(data));
});

fn refusal(answer: &Answer) -> TokenError {
    ask(answer).0.expect_err("the status is no success")
}

/// A wish, as a second reader reads it.
#[derive(Debug)]
enum Wish {
    None,
    Seconds(u128),
    Fraction(f64),
}

impl Wish {
    fn is(&self, read: Option<Duration>) -> bool {
        match (self, read) {
            (Self::None, None) => true,
            (Self::Seconds(n), Some(read)) if *n <= EXACT => {
                Duration::from_secs(u64::try_from(*n).expect("at most 2^53")) == read
            }
            (Self::Seconds(_), Some(read)) => u128::from(read.as_secs()) >= EXACT,
            // Two readers of a long fraction may differ in its last bits.
            (Self::Fraction(seconds), Some(read)) => {
                let told = Duration::try_from_secs_f64(*seconds).unwrap_or(Duration::MAX);
                read.abs_diff(told) <= told.div_f64(EXACT as f64 / 4.0)
            }
            _ => false,
        }
    }
}

/// The wish of an answer; `None` where it is not simple to say.
fn wish(answer: &Answer) -> Option<Wish> {
    if answer.body.len() > MAX_ANSWER {
        return Some(Wish::None);
    }
    let header = answer.headers.get(RETRY_AFTER).map(|value| value.as_bytes().trim_ascii());
    if let Some(seconds) = header.and_then(digits) {
        return Some(Wish::Seconds(seconds));
    }
    // Something else with a digit in it may be a date.
    if header.is_some_and(|text| text.iter().any(u8::is_ascii_digit)) {
        return None;
    }
    let members = Members::parse(&answer.body)?;
    if members.repeats(&["retry_after"]) {
        return None;
    }
    match members.get("retry_after") {
        Some(Value::Number(number)) => match (number.as_u64(), number.as_f64()?) {
            (Some(n), _) => Some(Wish::Seconds(n.into())),
            (None, float) if float.is_sign_positive() => Some(Wish::Fraction(float)),
            _ => Some(Wish::None),
        },
        Some(Value::String(text)) => match digits(text.trim().as_bytes()) {
            Some(seconds) => Some(Wish::Seconds(seconds)),
            None if text.bytes().any(|b| b.is_ascii_digit()) => None,
            None => Some(Wish::None),
        },
        _ => Some(Wish::None),
    }
}

/// A number of digits alone; beyond any, the highest.
fn digits(text: &[u8]) -> Option<u128> {
    let digits = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
    let number = text.iter().fold(0_u128, |n, b| {
        n.saturating_mul(10).saturating_add(u128::from(b.saturating_sub(b'0')))
    });
    digits.then_some(number)
}

/// The layer over a server that gives this answer: asked before its wish is over and after it.
fn leaves_the_server_alone(answer: Answer, error: &TokenError) {
    let wish = error.retry_after().unwrap_or_default().min(LONGEST_WISH);
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    let server = service_fn(move |_: Request<Full<Bytes>>| {
        count.fetch_add(1, Ordering::Relaxed);
        ready(Ok::<_, Infallible>(answer.response().0))
    });
    let layer = PartnerAuthLayer::builder(credentials())
        .token_url("https://accounts.example.com/oauth/token")
        .route(Route::any("https://api.example.com/{*path}", "read"))
        .http_client(server)
        .token_retries(0)
        .build()
        .expect("a good configuration");
    let call = async || {
        let result = send(&layer, get("https://api.example.com/x")).await;
        result.expect_err("there is no token");
        asked.load(Ordering::Relaxed)
    };
    runtime(|runtime| {
        runtime.block_on(async {
            assert_eq!(call().await, 1);
            let before = wish.saturating_sub(SECOND);
            if !before.is_zero() {
                tokio::time::advance(before).await;
                assert_eq!(call().await, 1, "{wish:?} was asked for: {error:?}");
            }
            tokio::time::advance(wish.max(OWN_PAUSE) + SECOND - before).await;
            assert_eq!(call().await, 2, "the wish is over: {error:?}");
        });
    });
}

/// Two dates in any of the three forms of RFC 9110 §5.6.7: when the answer was sent, and when to
/// come back.
fn dates(u: &mut Unstructured<'_>) -> Result<()> {
    let (sent, until) = (moment(u)?, moment(u)?);
    let mut answer = Answer::parse(b"429");
    for (name, seconds) in [(DATE, sent), (RETRY_AFTER, until)] {
        let form = *u.choose(&[Form::Fixdate, Form::Rfc850, Form::Asctime])?;
        let value = HeaderValue::from_str(&date(seconds, form)).expect("a valid field value");
        answer.headers.insert(name, value);
    }
    let expected = Duration::from_secs(until.saturating_sub(sent));
    assert_eq!(refusal(&answer).retry_after(), Some(expected), "{:?}", answer.headers);
    Ok(())
}

/// A moment from 1970 to 2069, the years that two digits tell.
fn moment(u: &mut Unstructured<'_>) -> Result<u64> {
    u.int_in_range(0..=3_155_759_999)
}

#[derive(Clone, Copy)]
enum Form {
    Fixdate,
    Rfc850,
    Asctime,
}

fn date(unix_seconds: u64, form: Form) -> String {
    const DAYS: [&str; 7] =
        ["Thursday", "Friday", "Saturday", "Sunday", "Monday", "Tuesday", "Wednesday"];
    const MONTHS: [&str; 12] =
        ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"];
    let (mut days, second) = (unix_seconds / 86_400, unix_seconds % 86_400);
    let weekday = DAYS[(days % 7) as usize];
    let time = format!("{:02}:{:02}:{:02}", second / 3600, second / 60 % 60, second % 60);
    let leap = |year: u64| year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let mut year = 1970;
    while days >= 365 + u64::from(leap(year)) {
        days -= 365 + u64::from(leap(year));
        year += 1;
    }
    let lengths = [31, 28 + u64::from(leap(year)), 31, 30, 31, 30, 31, 31, 30, 31, 30, 31];
    let mut month = 0;
    while days >= lengths[month] {
        days -= lengths[month];
        month += 1;
    }
    let (day, month, short) = (days + 1, MONTHS[month], &weekday[..3]);
    match form {
        Form::Fixdate => format!("{short}, {day:02} {month} {year} {time} GMT"),
        Form::Rfc850 => format!("{weekday}, {day:02}-{month}-{:02} {time} GMT", year % 100),
        Form::Asctime => format!("{short} {month} {day:2} {time} {year}"),
    }
}
