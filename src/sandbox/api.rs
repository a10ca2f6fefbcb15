//! The API: which endpoint a request is for, and whether it may.

use std::io;
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, Method, Uri};
use serde_json::json;
use tokio::time::Instant;

use super::endpoint::Endpoint;
use super::rejection::{Refusal, RejectionStyle};
use super::script::{Answer, Script};
use super::tokens::{Fault, Ledger};
use crate::route::{Conflict, Origin, RouteTable};
use crate::scope::Scope;

/// The endpoints, and how they are set to behave.
pub(super) struct Api {
    /// `host:port`, of which every request is taken to be: the route table matches whole URIs, and
    /// a client may call the server by another name.
    authority: String,
    origin: Origin,
    table: RouteTable,
    guarded: Vec<Guarded>,
    /// For any request, after those of its own endpoint.
    pub(super) script: Script,
    pub(super) manner: Manner,
}

pub(super) struct Guarded {
    endpoint: Arc<Endpoint>,
    pub(super) rejects_always: bool,
    pub(super) script: Script,
}

/// What holds for all endpoints.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Manner {
    pub(super) style: RejectionStyle,
    pub(super) reject_early: bool,
    pub(super) delay: Duration,
}

/// A request that has arrived, and what was in force then.
pub(super) struct Call {
    /// The number of its endpoint, for the counts.
    pub(super) index: Option<usize>,
    pub(super) endpoint: Option<Arc<Endpoint>>,
    pub(super) manner: Manner,
    rejects_always: bool,
    scripted: Answer,
}

impl Api {
    /// An API without endpoints at `authority`, a loopback address and port.
    pub(super) fn new(authority: String) -> Result<Self, String> {
        Ok(Self {
            origin: Origin::parse("http", &authority)?,
            authority,
            table: RouteTable::default(),
            guarded: Vec::new(),
            script: Script::new(),
            manner: Manner::default(),
        })
    }

    /// Adds an endpoint, in the place of one with the same method and template.
    pub(super) fn add(&mut self, endpoint: Endpoint) -> io::Result<()> {
        let template = endpoint.template()?;
        let method = endpoint.method.clone();
        let index = self.guarded.len();
        let guarded =
            Guarded { endpoint: Arc::new(endpoint), rejects_always: false, script: Script::new() };
        match self.table.insert(self.origin.clone(), method, &template, index) {
            Ok(()) => self.guarded.push(guarded),
            Err(Conflict(known)) => self.guarded[known] = guarded,
        }
        Ok(())
    }

    /// The number of the endpoint for a path. A template, taken as a path, leads to itself: its
    /// parameters are no literal of any endpoint.
    pub(super) fn find(&self, method: &Method, path: &str) -> Option<usize> {
        let uri = Uri::builder().scheme("http").authority(self.authority.as_str());
        let uri = uri.path_and_query(path).build().ok()?;
        self.table.find(method, &uri)
    }

    pub(super) fn guarded_mut(&mut self, method: &Method, path: &str) -> Option<&mut Guarded> {
        let index = self.find(method, path)?;
        Some(&mut self.guarded[index])
    }

    /// Every scope that an endpoint knows.
    pub(super) fn scopes(&self) -> Scope {
        let scopes = self.guarded.iter().flat_map(|guarded| guarded.endpoint.scopes());
        let joined: Vec<_> = scopes.map(Scope::as_str).collect();
        // It fails only if there is none.
        Scope::parse(&joined.join(" ")).unwrap_or_else(|_| Scope::none())
    }

    pub(super) fn clear_scripts(&mut self) {
        self.script.clear();
        for guarded in &mut self.guarded {
            guarded.script.clear();
        }
    }

    /// Takes what a request is due: its endpoint, and the next answer of its script.
    pub(super) fn arrive(&mut self, method: &Method, path: &str) -> Call {
        let index = self.find(method, path);
        let guarded = index.map(|index| &mut self.guarded[index]);
        let endpoint = guarded.as_ref().map(|guarded| guarded.endpoint.clone());
        let rejects_always = guarded.as_ref().is_some_and(|guarded| guarded.rejects_always);
        let own = guarded.and_then(|guarded| guarded.script.pop_front());
        let scripted = own.or_else(|| self.script.pop_front()).unwrap_or_else(Answer::pass);
        Call { index, endpoint, manner: self.manner, rejects_always, scripted }
    }
}

impl Call {
    /// The answer, with the tokens as they are now. `body_bytes` is the length of the body, as far
    /// as it was read.
    pub(super) fn judge(&self, headers: &HeaderMap, body_bytes: u64, ledger: &Ledger) -> Answer {
        self.scripted.clone().or_else(|| {
            let Some(endpoint) = &self.endpoint else {
                return Answer::json(404, r#"{"status":"NotFound"}"#);
            };
            match self.refusal(endpoint, headers, ledger) {
                Some(refusal) => self.manner.style.refuse(&refusal),
                None => welcome(endpoint, body_bytes),
            }
        })
    }

    fn refusal(
        &self,
        endpoint: &Endpoint,
        headers: &HeaderMap,
        ledger: &Ledger,
    ) -> Option<Refusal> {
        if self.rejects_always {
            return Some(Refusal::Token(Fault::Unknown));
        }
        let token = endpoint.credential(headers).unwrap_or_default();
        match ledger.scope_of(token, Instant::now()) {
            Err(fault) => Some(Refusal::Token(fault)),
            Ok(granted) if endpoint.admits(granted) => None,
            Ok(_) => endpoint.scopes().next().cloned().map(Refusal::Scope),
        }
    }
}

fn welcome(endpoint: &Endpoint, body_bytes: u64) -> Answer {
    let status = endpoint.status.as_u16();
    if status == 204 {
        return Answer::status(status);
    }
    let body = json!({
        "use_case": endpoint.use_case,
        "operation": endpoint.operation,
        "body_bytes": body_bytes,
    });
    Answer::json(status, body.to_string())
}
