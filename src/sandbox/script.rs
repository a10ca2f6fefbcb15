//! Scripted answers: what the server says in place of, or on the way to, its normal answer.

use std::collections::VecDeque;
use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::header::{
    CONTENT_LENGTH, CONTENT_TYPE, HeaderName, HeaderValue, LOCATION, TRANSFER_ENCODING,
};
use http::{HeaderMap, Response, StatusCode};

use super::reply::{Payload, Unanswered};

/// One scripted answer of the server, to one request.
///
/// ```
/// use std::time::Duration;
/// use tower_partner_auth::sandbox::Answer;
///
/// // Two failures, then a slow success, then the connection breaks.
/// let script = [
///     Answer::status(503).header("retry-after", "1"),
///     Answer::json(401, r#"{"error":"rate_limit_exceeded","retry_after":60}"#),
///     Answer::pass().after(Duration::from_secs(2)),
///     Answer::reset(),
/// ];
/// ```
///
/// # Panics
///
/// The functions that take a status or a header panic if no server could send it: a test whose
/// script cannot be played would pass for the wrong reason.
#[derive(Clone)]
#[must_use = "an answer does nothing until it is in a script"]
pub struct Answer {
    action: Action,
    headers: HeaderMap,
    after: Duration,
}

#[derive(Clone)]
enum Action {
    Pass,
    Reset,
    Hang,
    Respond { status: StatusCode, body: Bytes, truncated: bool },
}

/// Answers to come, one per request.
pub(super) type Script = VecDeque<Answer>;

impl Answer {
    /// The normal answer: `[Answer::pass(), Answer::status(503)]` fails the second request.
    pub fn pass() -> Self {
        Self::new(Action::Pass)
    }

    /// `status` (200 to 999) without a body.
    #[track_caller]
    pub fn status(status: u16) -> Self {
        Self::respond(status, Bytes::new())
    }

    /// A JSON body, sent as it is: it need not be valid.
    #[track_caller]
    pub fn json(status: u16, body: impl Into<Bytes>) -> Self {
        Self::respond(status, body.into()).header(CONTENT_TYPE, "application/json; charset=utf-8")
    }

    /// 200 with this body, and a content type that says JSON, as a token response's does.
    pub fn body(body: impl Into<Bytes>) -> Self {
        Self::json(200, body)
    }

    /// 200 with an HTML login page: what the partner's wrong hosts answer.
    pub fn html() -> Self {
        let page = "<!DOCTYPE html><title>Log in</title><form method=\"post\"></form>";
        Self::body(page).header(CONTENT_TYPE, "text/html; charset=utf-8")
    }

    /// 302 to `location`.
    #[track_caller]
    pub fn redirect(location: &str) -> Self {
        Self::status(302).header(LOCATION, location)
    }

    /// 200 whose `Content-Length` says `announced` bytes; after `body` the connection (in HTTP/2:
    /// the stream) is closed.
    pub fn truncated(body: impl Into<Bytes>, announced: u64) -> Self {
        let body = body.into();
        Self::new(Action::Respond { status: StatusCode::OK, body, truncated: true })
            .header(CONTENT_TYPE, "application/json; charset=utf-8")
            .header(CONTENT_LENGTH, announced.to_string())
    }

    /// No answer: the connection (in HTTP/2: the stream) is closed.
    pub fn reset() -> Self {
        Self::new(Action::Reset)
    }

    /// No answer, ever.
    pub fn hang() -> Self {
        Self::new(Action::Hang)
    }

    /// Another status (200 to 999), for the answers with a body. It changes no other answer.
    #[track_caller]
    pub fn with_status(mut self, to: u16) -> Self {
        if let Action::Respond { status, .. } = &mut self.action {
            *status = final_status(to);
        }
        self
    }

    /// Sets a header of the answer.
    #[track_caller]
    pub fn header<N, V>(mut self, name: N, value: V) -> Self
    where
        N: TryInto<HeaderName>,
        V: TryInto<HeaderValue>,
    {
        // A slip in a test's own text: say so there and not by a server that falls silent.
        let Ok(name) = name.try_into() else { panic!("not the name of a header") };
        let Ok(value) = value.try_into() else { panic!("{name}: not the value of a header") };
        self.headers.insert(name, value);
        self
    }

    /// Waits before it answers, in addition to the delay that the server is set to.
    pub fn after(mut self, delay: Duration) -> Self {
        self.after = delay;
        self
    }

    #[track_caller]
    fn respond(status: u16, body: Bytes) -> Self {
        Self::new(Action::Respond { status: final_status(status), body, truncated: false })
    }

    fn new(action: Action) -> Self {
        Self { action, headers: HeaderMap::new(), after: Duration::ZERO }
    }

    /// The normal answer takes the place of [`Answer::pass`], which adds its headers and its delay.
    pub(super) fn or_else(self, normal: impl FnOnce() -> Self) -> Self {
        if !matches!(self.action, Action::Pass) {
            return self;
        }
        let mut answer = normal();
        answer.headers.extend(self.headers);
        answer.after = answer.after.saturating_add(self.after);
        answer
    }

    /// The status it will have, if it will have one.
    pub(super) fn expected_status(&self) -> Option<StatusCode> {
        match self.action {
            Action::Respond { status, .. } => Some(status),
            Action::Pass | Action::Reset | Action::Hang => None,
        }
    }

    /// Waits as long as it should, and answers.
    pub(super) async fn play(self, delay: Duration) -> Result<Response<Payload>, Unanswered> {
        let delay = delay.saturating_add(self.after);
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        let (status, payload) = match self.action {
            Action::Hang => std::future::pending().await,
            // `or_else` has replaced every `Pass`.
            Action::Reset | Action::Pass => return Err(Unanswered),
            Action::Respond { status, body, truncated } => {
                // hyper asserts that a length in the headers is the body's: let the header speak.
                let framed = self.headers.contains_key(CONTENT_LENGTH)
                    || self.headers.contains_key(TRANSFER_ENCODING);
                (status, Payload::new(body, truncated, framed))
            }
        };
        let mut response = Response::new(payload);
        *response.status_mut() = status;
        *response.headers_mut() = self.headers;
        Ok(response)
    }
}

#[track_caller]
fn final_status(status: u16) -> StatusCode {
    match StatusCode::from_u16(status) {
        Ok(status) if !status.is_informational() => status,
        // As above: a slip in a test's own text.
        _ => panic!("{status} is not the status of an answer: use 200 to 999"),
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the body, nor the headers' values: either may hold a token.
        let action = match &self.action {
            Action::Pass => "pass",
            Action::Reset => "reset",
            Action::Hang => "hang",
            Action::Respond { truncated: true, .. } => "truncated",
            Action::Respond { .. } => "respond",
        };
        f.debug_struct("Answer")
            .field("action", &action)
            .field("status", &self.expected_status())
            .field("after", &self.after)
            .finish_non_exhaustive()
    }
}
