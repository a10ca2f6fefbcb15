//! The JSON of a vector. What each field means is written in `tests/vectors/README.md`.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

use super::span::{Life, Span};

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Vector {
    pub(crate) name: String,
    pub(crate) law: Vec<String>,
    pub(crate) note: Option<String>,
    #[serde(default)]
    pub(crate) given: Given,
    /// As they are written, so that a failure can quote the step; each is a [`Step`].
    pub(crate) steps: Vec<Box<RawValue>>,
    pub(crate) expect: Counts,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Given {
    pub(crate) layer: LayerSetup,
    pub(crate) token_server: TokenServerSetup,
    pub(crate) api: ApiSetup,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct LayerSetup {
    pub(crate) routes: Option<Vec<RouteSetup>>,
    pub(crate) strict: bool,
    pub(crate) keep_warm: bool,
    pub(crate) wait_limit: Option<Span>,
    pub(crate) max_token_age: Option<Span>,
    pub(crate) token_retries: usize,
    pub(crate) token_timeout: Option<Span>,
    pub(crate) token_parameters: BTreeMap<String, String>,
    pub(crate) replay_limit: Option<usize>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RouteSetup {
    pub(crate) method: Option<String>,
    pub(crate) url: String,
    pub(crate) scope: String,
    pub(crate) header: Option<String>,
    pub(crate) scheme: Option<String>,
    pub(crate) on_unauthorized: Option<OnRejection>,
    pub(crate) replay_limit: Option<usize>,
    #[serde(default)]
    pub(crate) also_rejects: Vec<u16>,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum OnRejection {
    Replay,
    Renew,
    Leave,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct TokenServerSetup {
    pub(crate) life: Option<Life>,
    pub(crate) delay: Option<Span>,
    pub(crate) reuse: Option<bool>,
    pub(crate) revoke_previous: Option<bool>,
    pub(crate) clients: Option<BTreeMap<String, String>>,
    pub(crate) answers: Vec<TokenAnswer>,
}

/// One scripted answer of the token server: a grant, a status, or a fault.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TokenAnswer {
    pub(crate) for_scope: Option<String>,
    #[serde(default = "once")]
    pub(crate) times: usize,
    pub(crate) delay: Option<Span>,
    pub(crate) grant: Option<Grant>,
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    pub(crate) json: Option<Box<RawValue>>,
    pub(crate) text: Option<String>,
    pub(crate) fault: Option<Fault>,
}

#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Grant {
    pub(crate) token: Option<u64>,
    pub(crate) life: Option<Life>,
    pub(crate) members: BTreeMap<String, Box<RawValue>>,
    pub(crate) without: Vec<String>,
    pub(crate) pad_to: usize,
}

#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Fault {
    Reset,
    Hang,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct ApiSetup {
    pub(crate) endpoints: Option<Vec<Endpoint>>,
    pub(crate) delay: Option<Span>,
    pub(crate) answers: Vec<ApiAnswer>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Endpoint {
    pub(crate) method: Option<String>,
    pub(crate) url: String,
    pub(crate) scope: String,
    #[serde(default = "authorization")]
    pub(crate) header: String,
    #[serde(default = "bearer")]
    pub(crate) scheme: String,
    pub(crate) always: Option<ApiAnswer>,
}

/// One scripted answer of the API.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ApiAnswer {
    pub(crate) for_url: Option<String>,
    #[serde(default = "once")]
    pub(crate) times: usize,
    pub(crate) status: Option<u16>,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) body: String,
    pub(crate) delay: Option<Span>,
    pub(crate) reads: Option<usize>,
    pub(crate) fault: Option<Fault>,
}

#[derive(Debug, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Step {
    Call(Call),
    Start(Call),
    Finish(Finish),
    Drop(String),
    Advance(Span),
    Until(Span),
    Revoke(Revoke),
    TokenServer(TokenServerSetup),
    Api(ApiSetup),
    Counts(Counts),
    Prewarm(Prewarm),
    Status(StatusCheck),
    Invalidate(String),
    InvalidateAll,
    SetCredentials(SetCredentials),
    DropLayer,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Call {
    pub(crate) name: Option<String>,
    #[serde(default = "once")]
    pub(crate) times: usize,
    #[serde(default = "get")]
    pub(crate) method: String,
    #[serde(default = "first_url")]
    pub(crate) url: String,
    #[serde(default)]
    pub(crate) headers: BTreeMap<String, String>,
    #[serde(default)]
    pub(crate) body: Body,
    pub(crate) auth: Option<Choice>,
    #[serde(default)]
    pub(crate) follows_redirects: bool,
    pub(crate) gives_up_after: Option<Span>,
    pub(crate) expect: Option<Outcome>,
}

#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Body {
    pub(crate) chunks: Vec<usize>,
    pub(crate) trailers: BTreeMap<String, String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Choice {
    Scope(String),
    None,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Finish {
    pub(crate) name: String,
    pub(crate) expect: Outcome,
}

/// What a caller gets: `status`, `error` or `gave_up`, and more about it.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Outcome {
    pub(crate) status: Option<u16>,
    pub(crate) error: Option<String>,
    pub(crate) gave_up: bool,
    pub(crate) body: Option<String>,
    pub(crate) waited: Option<bool>,
    pub(crate) replayed: Option<bool>,
    pub(crate) rejection: Option<String>,
    pub(crate) code: Option<String>,
    pub(crate) token_status: Option<u16>,
    pub(crate) retry_after: Option<Span>,
    pub(crate) transient: Option<bool>,
    pub(crate) tokens: Option<Vec<Option<u64>>>,
    pub(crate) took: Option<Span>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Revoke {
    Token(u64),
    Scope(String),
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Prewarm {
    pub(crate) scopes: Option<Vec<String>>,
    pub(crate) expect: BTreeMap<String, String>,
    pub(crate) took: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct StatusCheck {
    pub(crate) scope: String,
    pub(crate) expect: StatusOutcome,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct StatusOutcome {
    pub(crate) known: Option<bool>,
    pub(crate) state: Option<String>,
    pub(crate) usable: Option<bool>,
    pub(crate) remaining: Option<Life>,
    pub(crate) generation: Option<u64>,
    pub(crate) fetching: Option<bool>,
    pub(crate) waiting: Option<usize>,
    pub(crate) failures: Option<u32>,
    pub(crate) evictions: Option<u32>,
    pub(crate) last_fetch: Option<String>,
    pub(crate) last_fetch_age: Option<Span>,
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct SetCredentials {
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) refused: Option<bool>,
}

/// What the two servers have counted since the start.
#[derive(Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) token_requests: Option<usize>,
    pub(crate) token_requests_for: BTreeMap<String, usize>,
    pub(crate) abandoned: Option<usize>,
    pub(crate) api_requests: Option<usize>,
    pub(crate) api_statuses: Option<BTreeMap<String, usize>>,
}

fn once() -> usize {
    1
}

fn authorization() -> String {
    "authorization".to_owned()
}

fn bearer() -> String {
    "Bearer".to_owned()
}

fn get() -> String {
    "GET".to_owned()
}

fn first_url() -> String {
    "/v1/7".to_owned()
}
