//! The token server: issues numbered tokens, or answers what it is told to.

use std::collections::BTreeMap;
use std::time::Duration;

use bytes::Bytes;
use http::header::CONTENT_TYPE;
use http::{Method, Request, Response};
use http_body_util::{BodyExt, Full};
use serde_json::value::RawValue;
use tower::util::BoxCloneService;
use tower::{ServiceExt, service_fn};

use super::format::{Fault, Grant, TokenAnswer, TokenServerSetup};
use super::tokens::{canonical, text_of};
use super::world::{Reset, State, World};

pub(crate) const TOKEN_URL: &str = "https://accounts.example.com/oauth/token";
pub(crate) const CLIENT_ID: &str = "client-1";
pub(crate) const CLIENT_SECRET: &str = "secret-1";

const LIFE: Duration = Duration::from_secs(100);

pub(crate) struct TokenServer {
    life: Option<Duration>,
    delay: Duration,
    reuse: bool,
    revoke_previous: bool,
    /// Secrets by client id.
    clients: BTreeMap<String, String>,
    script: Vec<TokenAnswer>,
    /// What each token request has to have beside the grant's own.
    parameters: BTreeMap<String, String>,
    /// By scope.
    requests: BTreeMap<String, usize>,
    under_way: BTreeMap<String, usize>,
    abandoned: usize,
}

/// An answer that has been decided on.
struct Reply {
    delay: Duration,
    fault: Option<Fault>,
    status: u16,
    headers: BTreeMap<String, String>,
    body: String,
}

/// One token request while it is under way.
struct Visit {
    world: World,
    scope: String,
    answered: bool,
}

impl TokenServer {
    pub(crate) fn new(
        setup: &TokenServerSetup,
        parameters: &BTreeMap<String, String>,
    ) -> Result<Self, String> {
        let mut this = Self {
            life: Some(LIFE),
            delay: Duration::ZERO,
            reuse: false,
            revoke_previous: false,
            clients: [(CLIENT_ID.to_owned(), CLIENT_SECRET.to_owned())].into(),
            script: Vec::new(),
            parameters: parameters.clone(),
            requests: BTreeMap::new(),
            under_way: BTreeMap::new(),
            abandoned: 0,
        };
        this.change(setup)?;
        Ok(this)
    }

    /// Behaves as told from now on; the answers come after those of before.
    pub(crate) fn change(&mut self, setup: &TokenServerSetup) -> Result<(), String> {
        self.life = setup.life.map_or(self.life, |life| life.0);
        self.delay = setup.delay.map_or(self.delay, |delay| delay.0);
        self.reuse = setup.reuse.unwrap_or(self.reuse);
        self.revoke_previous = setup.revoke_previous.unwrap_or(self.revoke_previous);
        if let Some(clients) = &setup.clients {
            self.clients.clone_from(clients);
        }
        for answer in &setup.answers {
            let kinds = [answer.grant.is_some(), answer.status.is_some(), answer.fault.is_some()];
            if kinds.iter().filter(|given| **given).count() != 1 {
                return Err("a token answer is a grant, a status or a fault: give one".to_owned());
            }
            self.script.push(answer.clone());
        }
        Ok(())
    }

    pub(crate) fn requests(&self) -> usize {
        self.requests.values().sum()
    }

    pub(crate) fn requests_for(&self, scope: &str) -> usize {
        self.requests.get(scope).copied().unwrap_or_default()
    }

    /// Requests whose client did not wait for the answer.
    pub(crate) fn abandoned(&self) -> usize {
        self.abandoned
    }

    pub(crate) fn unused_answers(&self) -> usize {
        self.script.len()
    }

    fn scripted(&mut self, scope: &str) -> Option<TokenAnswer> {
        let fits = |answer: &TokenAnswer| {
            answer.for_scope.as_deref().is_none_or(|wanted| canonical(wanted) == scope)
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
    /// Decides on the answer to a form, at the moment it arrives.
    fn reply(&mut self, form: &BTreeMap<String, String>, scope: &str) -> Reply {
        let client = form.get("client_id").cloned().unwrap_or_default();
        let mut reply = Reply {
            delay: self.token_server.delay,
            fault: None,
            status: 200,
            headers: BTreeMap::new(),
            body: String::new(),
        };
        let scripted = self.token_server.scripted(scope);
        let Some(answer) = scripted else {
            if self.token_server.clients.get(&client) == form.get("client_secret") {
                reply.body = self.grant(&Grant::default(), scope, &client);
            } else {
                reply.status = 401;
                reply.body = r#"{"error":"invalid_client"}"#.to_owned();
            }
            return reply;
        };
        reply.delay = answer.delay.map_or(reply.delay, |delay| delay.0);
        reply.fault = answer.fault;
        reply.headers = answer.headers;
        reply.status = answer.status.unwrap_or(200);
        reply.body = match (answer.grant, answer.json, answer.text) {
            (Some(grant), _, _) => self.grant(&grant, scope, &client),
            (None, Some(json), _) => json.get().to_owned(),
            (None, None, text) => text.unwrap_or_default(),
        };
        reply
    }

    /// Issues a token, or gives one again, and writes the answer of RFC 6749 §5.1.
    fn grant(&mut self, grant: &Grant, scope: &str, client: &str) -> String {
        let newest = self.tokens.newest(scope, client);
        let again = grant.token.or(newest.filter(|_| self.token_server.reuse));
        let number = again.unwrap_or_else(|| {
            if self.token_server.revoke_previous {
                self.tokens.revoke_all_of(scope, client);
            }
            let life = grant.life.map_or(self.token_server.life, |life| life.0);
            self.tokens.issue(scope, client, life)
        });
        let quoted = |text: &str| serde_json::to_string(text).expect("text is JSON");
        let mut members: BTreeMap<&str, String> = BTreeMap::new();
        members.insert("access_token", quoted(&text_of(number)));
        members.insert("token_type", quoted("Bearer"));
        members.insert("scope", quoted(scope));
        if let Some(rest) = self.tokens.get(number).and_then(|token| token.rest()) {
            members.insert("expires_in", seconds(rest));
        }
        let given = grant.members.iter();
        members.extend(given.map(|(name, value)| (&**name, RawValue::get(value).to_owned())));
        let members = members.iter().filter(|(name, _)| !grant.without.iter().any(|n| n == *name));
        let members: Vec<_> =
            members.map(|(name, value)| format!("{}:{value}", quoted(name))).collect();
        let mut body = format!("{{{}}}", members.join(","));
        let padding = grant.pad_to.saturating_sub(body.len());
        body.extend(std::iter::repeat_n(' ', padding));
        body
    }
}

fn seconds(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        duration.as_secs().to_string()
    } else {
        duration.as_secs_f64().to_string()
    }
}

/// The HTTP client of the layer: every request through it reaches the token server.
pub(crate) fn client(
    world: &World,
) -> BoxCloneService<Request<Full<Bytes>>, Response<Full<Bytes>>, Reset> {
    let world = world.clone();
    service_fn(move |request| answer(world.clone(), request)).boxed_clone()
}

async fn answer(
    world: World,
    request: Request<Full<Bytes>>,
) -> Result<Response<Full<Bytes>>, Reset> {
    let (head, body) = request.into_parts();
    if (head.method != Method::POST) || (head.uri != TOKEN_URL) {
        world.violation(format!("the secret was sent to {} {}", head.method, head.uri));
    }
    let body = body.collect().await.expect("a body in memory").to_bytes();
    let form = form_urlencoded::parse(&body).into_owned().collect();
    let scope = check_form(&world, &form);
    let mut visit = Visit::begin(&world, &scope);
    let reply = world.state().reply(&form, &scope);
    if !reply.delay.is_zero() {
        tokio::time::sleep(reply.delay).await;
    }
    if let Some(Fault::Hang) = reply.fault {
        std::future::pending::<()>().await;
    }
    visit.answered = true;
    if let Some(Fault::Reset) = reply.fault {
        return Err(Reset);
    }
    let mut response = Response::builder().status(reply.status);
    response = response.header(CONTENT_TYPE, "application/json");
    for (name, value) in &reply.headers {
        response = response.header(name, value);
    }
    Ok(response.body(Full::new(reply.body.into())).expect("a scripted answer is a valid one"))
}

/// The scope that a form asks for; a form that is not the grant's breaks the law.
fn check_form(world: &World, form: &BTreeMap<String, String>) -> String {
    let mut expected = world.state().token_server.parameters.clone();
    expected.insert("grant_type".to_owned(), "client_credentials".to_owned());
    let mut rest = form.clone();
    rest.retain(|name, _| !["client_id", "client_secret", "scope"].contains(&name.as_str()));
    if rest != expected {
        world.violation(format!("a token request had {rest:?} in place of {expected:?}"));
    }
    let scope = form.get("scope").cloned().unwrap_or_default();
    if scope != canonical(&scope) {
        world.violation(format!("a token request asked for the scope {scope:?}"));
    }
    scope
}

// === impl Visit ===

impl Visit {
    fn begin(world: &World, scope: &str) -> Self {
        let mut state = world.state();
        *state.token_server.requests.entry(scope.to_owned()).or_default() += 1;
        let under_way = state.token_server.under_way.entry(scope.to_owned()).or_default();
        *under_way += 1;
        let crowded = *under_way > 1;
        drop(state);
        if crowded {
            world.violation(format!("two token requests for the scope {scope:?} at once"));
        }
        Self { world: world.clone(), scope: scope.to_owned(), answered: false }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        let server = &mut self.world.state().token_server;
        *server.under_way.entry(self.scope.clone()).or_default() -= 1;
        server.abandoned += usize::from(!self.answered);
    }
}
