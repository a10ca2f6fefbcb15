//! The API: judges the token of each request by what the authorization server knows of it, or answers
//! what it is told to, and takes note of what must never reach it.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::request::Parts;
use http::{HeaderMap, Request, Response};
use http_body_util::Full;
use tokio::task::JoinHandle;
use tower::BoxError;
use tower_partner_auth::{ReplayBody, Superseded};

use super::body::{Chunks, Reading};
use super::format::{ApiAnswer, ApiSetup, Body, Endpoint, Fault};
use super::tokens::{canonical, text_of};
use super::world::{API_ORIGIN, Reset, State, World, absolute};

const REJECTED: &str = r#"{"error":"the token is not accepted"}"#;

pub(crate) struct Api {
    endpoints: Vec<Endpoint>,
    delay: Duration,
    script: Vec<ApiAnswer>,
    requests: usize,
    statuses: BTreeMap<u16, usize>,
}

/// What the API sees of one caller.
#[derive(Clone)]
pub(crate) struct Trace {
    seen: Arc<Mutex<Seen>>,
}

pub(crate) struct Seen {
    /// The scope that the caller chose, in place of the endpoint's.
    chosen: Option<String>,
    body: Body,
    /// The attempts at the current hop; a redirect begins another one.
    pub(crate) hop: Vec<Attempt>,
    /// The token of each attempt at any hop.
    pub(crate) tokens: Vec<Option<u64>>,
    /// The rest of a body that was answered before its end.
    upload: Option<Upload>,
}

type Upload = JoinHandle<(Reading, Result<(), BoxError>)>;

#[derive(Debug, Clone)]
pub(crate) struct Attempt {
    /// The API's answer, unless the connection broke.
    pub(crate) answer: Option<(u16, String)>,
}

/// An answer that has been decided on.
struct Reply {
    delay: Duration,
    fault: Option<Fault>,
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
    reads: Option<usize>,
}

impl Api {
    pub(crate) fn new(setup: &ApiSetup) -> Result<Self, String> {
        let everything = Endpoint {
            method: None,
            url: API_ORIGIN.to_owned(),
            scope: "read".to_owned(),
            header: "authorization".to_owned(),
            scheme: "Bearer".to_owned(),
            always: None,
        };
        let endpoints = setup.endpoints.clone().unwrap_or_else(|| vec![everything]);
        let mut this = Self {
            endpoints,
            delay: Duration::ZERO,
            script: Vec::new(),
            requests: 0,
            statuses: BTreeMap::new(),
        };
        this.extend(setup);
        Ok(this)
    }

    /// Behaves as told from now on; the answers come after those of before.
    pub(crate) fn change(&mut self, setup: &ApiSetup) -> Result<(), String> {
        if setup.endpoints.is_some() {
            return Err("the endpoints are given once, at the start".to_owned());
        }
        self.extend(setup);
        Ok(())
    }

    fn extend(&mut self, setup: &ApiSetup) {
        self.delay = setup.delay.map_or(self.delay, |delay| delay.0);
        self.script.extend_from_slice(&setup.answers);
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests
    }

    pub(crate) fn statuses(&self) -> &BTreeMap<u16, usize> {
        &self.statuses
    }

    pub(crate) fn unused_answers(&self) -> usize {
        self.script.len()
    }

    fn endpoint(&self, head: &Parts) -> Option<&Endpoint> {
        let url = head.uri.to_string();
        let url = url.split('?').next().unwrap_or_default();
        let of_origin = |origin: &str| {
            url.strip_prefix(origin).is_some_and(|path| path.is_empty() || path.starts_with('/'))
        };
        self.endpoints.iter().find(|endpoint| {
            let wanted = absolute(&endpoint.url);
            let whole_origin =
                wanted.split_once("://").is_some_and(|(_, rest)| !rest.contains('/'));
            let here = if whole_origin { of_origin(&wanted) } else { wanted == url };
            here && endpoint.method.as_ref().is_none_or(|method| *method == head.method.as_str())
        })
    }

    fn scripted(&mut self, url: &str) -> Option<ApiAnswer> {
        let fits = |answer: &ApiAnswer| {
            answer.for_url.as_deref().is_none_or(|wanted| absolute(wanted) == url)
        };
        let index = self.script.iter().position(fits)?;
        let answer = self.script[index].clone();
        self.script[index].times -= 1;
        if self.script[index].times == 0 {
            self.script.remove(index);
        }
        Some(answer)
    }
}

impl State {
    /// Decides on the answer to a request, at the moment it arrives.
    fn judge(&mut self, head: &Parts, seen: &mut Seen) -> (Reply, Vec<String>) {
        self.api.requests += 1;
        let endpoint = self.api.endpoint(head).cloned();
        let token = endpoint.as_ref().and_then(|endpoint| self.credential(&head.headers, endpoint));
        seen.tokens.push(token);
        let broken = self.broken_rules(head, endpoint.as_ref(), token, seen);
        let accepted = match (&endpoint, token) {
            (None, _) => true,
            (Some(_), None) => false,
            (Some(_), Some(token)) => self.tokens.get(token).is_some_and(|token| token.is_good()),
        };
        let mut reply = Reply {
            delay: self.api.delay,
            fault: None,
            status: if accepted { 200 } else { 401 },
            headers: BTreeMap::new(),
            body: if accepted { "ok" } else { REJECTED }.to_owned(),
            reads: None,
        };
        let always = endpoint.and_then(|endpoint| endpoint.always);
        if let Some(answer) = self.api.scripted(&head.uri.to_string()).or(always) {
            reply.delay = answer.delay.map_or(reply.delay, |delay| delay.0);
            reply.fault = answer.fault;
            reply.reads = answer.reads;
            if let Some(status) = answer.status {
                reply.status = status;
                reply.headers = answer.headers;
                reply.body = answer.body;
            }
        }
        let answer = reply.fault.is_none().then(|| (reply.status, reply.body.clone()));
        if answer.is_some() {
            *self.api.statuses.entry(reply.status).or_default() += 1;
        }
        seen.hop.push(Attempt { answer });
        (reply, broken)
    }

    fn credential(&self, headers: &HeaderMap, endpoint: &Endpoint) -> Option<u64> {
        let value = headers.get(&endpoint.header)?.to_str().ok()?;
        let text = if endpoint.scheme.is_empty() {
            value
        } else {
            value.strip_prefix(&endpoint.scheme)?.strip_prefix(' ')?
        };
        self.tokens.number_of(text)
    }

    /// What must never be, in any vector.
    fn broken_rules(
        &self,
        head: &Parts,
        endpoint: Option<&Endpoint>,
        carried: Option<u64>,
        seen: &Seen,
    ) -> Vec<String> {
        let mut broken = Vec::new();
        let request = format!("{} {}", head.method, head.uri);
        let mut anywhere = Vec::new();
        for (name, value) in &head.headers {
            let text = String::from_utf8_lossy(value.as_bytes());
            let tokens =
                text.split_ascii_whitespace().filter_map(|word| self.tokens.number_of(word));
            anywhere.extend(tokens.map(|token| (name.as_str().to_owned(), token)));
        }
        let expected = carried.map(|token| {
            let endpoint = endpoint.expect("a credential is an endpoint's");
            (endpoint.header.to_ascii_lowercase(), token)
        });
        if anywhere != Vec::from_iter(expected) {
            broken.push(format!("{request} carried tokens where none belong: {anywhere:?}"));
        }
        if let (Some(number), Some(endpoint)) = (carried, endpoint) {
            let token = self.tokens.get(number).expect("it has a number");
            if token.is_expired() {
                broken.push(format!("{request} carried {}, which had expired", text_of(number)));
            }
            let wanted = canonical(seen.chosen.as_ref().unwrap_or(&endpoint.scope));
            if token.scope != wanted {
                let scope = &token.scope;
                broken.push(format!(
                    "{request} needs the scope {wanted:?}, and carried one of {scope:?}"
                ));
            }
        }
        if seen.hop.len() > 1 {
            broken.push(format!("{request} was sent a third time"));
        }
        broken
    }
}

/// The inner service: every request through it reaches the API.
pub(crate) async fn answer(
    world: World,
    trace: Trace,
    request: Request<ReplayBody<Chunks>>,
) -> Result<Response<Full<Bytes>>, Reset> {
    let (head, body) = request.into_parts();
    let (reply, broken) = world.state().judge(&head, &mut trace.seen());
    broken.into_iter().for_each(|broken| world.violation(broken));

    trace.supersede(&world).await;
    let mut reading = Reading::new(body);
    let read = reading.read(reply.reads).await;
    world.check_body(&reading, read, &trace.seen().body);

    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    match reply.fault {
        Some(Fault::Hang) => std::future::pending().await,
        Some(Fault::Reset) => return Err(Reset),
        None => {}
    }
    let mut response = Response::builder().status(reply.status);
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    if !reading.is_ended() {
        // A connection goes on with the request while its answer is on the way.
        trace.seen().upload = Some(tokio::spawn(async move {
            let read = reading.read(None).await;
            (reading, read)
        }));
    }
    Ok(response.body(Full::new(reply.body.into())).expect("a scripted answer is a valid one"))
}

impl World {
    fn check_body(&self, reading: &Reading, read: Result<(), BoxError>, sent: &Body) {
        let broken = read.err().map(|error| format!("a request's body broke off: {error}"));
        broken.or_else(|| reading.fault(sent)).into_iter().for_each(|fault| self.violation(fault));
    }
}

// === impl Trace ===

impl Trace {
    pub(crate) fn new(chosen: Option<String>, body: Body) -> Self {
        let seen = Seen { chosen, body, hop: Vec::new(), tokens: Vec::new(), upload: None };
        Self { seen: Arc::new(Mutex::new(seen)) }
    }

    pub(crate) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The caller follows a redirect, with a request without a body.
    pub(crate) fn next_hop(&self) {
        let mut seen = self.seen();
        seen.hop.clear();
        seen.body = Body::default();
    }

    /// The request was sent again: what the API still reads of the attempt before has to break off.
    async fn supersede(&self, world: &World) {
        let upload = self.seen().upload.take();
        let Some(upload) = upload else { return };
        let broken_off = matches!(upload.await, Ok((_, Err(error))) if error.is::<Superseded>());
        if !broken_off {
            world.violation("the body of a superseded attempt did not end in its error");
        }
    }

    /// The caller has its answer: a body that was not taken back goes on to its end.
    pub(crate) async fn conclude(&self, world: &World) {
        let upload = self.seen().upload.take();
        let Some(upload) = upload else { return };
        match upload.await {
            Ok((reading, read)) => world.check_body(&reading, read, &self.seen().body),
            Err(error) => world.violation(format!("a body panicked: {error}")),
        }
    }
}
