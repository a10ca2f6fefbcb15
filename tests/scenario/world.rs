//! What the two servers and all callers share.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use super::api::Api;
use super::format::{Counts, Given};
use super::token_server::TokenServer;
use super::tokens::{Tokens, canonical};

/// The part of a vector's URLs that is left out in it.
pub(crate) const API_ORIGIN: &str = "https://api.example.com";

#[derive(Clone)]
pub(crate) struct World {
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    pub(crate) tokens: Tokens,
    pub(crate) token_server: TokenServer,
    pub(crate) api: Api,
    /// What must never happen, in any vector, and did.
    violations: Vec<String>,
}

/// How the connection to either server breaks.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reset;

impl World {
    pub(crate) fn new(given: &Given) -> Result<Self, String> {
        let state = State {
            tokens: Tokens::default(),
            token_server: TokenServer::new(&given.token_server, &given.layer.token_parameters)?,
            api: Api::new(&given.api)?,
            violations: Vec::new(),
        };
        Ok(Self { state: Arc::new(Mutex::new(state)) })
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn violation(&self, what: impl Into<String>) {
        self.state().violations.push(what.into());
    }

    pub(crate) fn violations(&self) -> Vec<String> {
        self.state().violations.clone()
    }

    /// Compares what was counted with what is expected.
    pub(crate) fn check(&self, expected: &Counts) -> Result<(), String> {
        let state = self.state();
        let (token_server, api) = (&state.token_server, &state.api);
        let of_scopes = expected.token_requests_for.iter();
        let of_scopes = of_scopes.map(|(scope, count)| {
            let counted = token_server.requests_for(&canonical(scope));
            (format!("token requests for {scope:?}"), Some(*count), counted)
        });
        let all = [
            ("token requests".to_owned(), expected.token_requests, token_server.requests()),
            ("abandoned token requests".to_owned(), expected.abandoned, token_server.abandoned()),
            ("API requests".to_owned(), expected.api_requests, api.requests()),
        ];
        for (name, expected, counted) in all.into_iter().chain(of_scopes) {
            if expected.is_some_and(|expected| expected != counted) {
                let expected = expected.unwrap_or_default();
                return Err(format!("{name}: expected {expected}, counted {counted}"));
            }
        }
        let statuses: BTreeMap<String, usize> =
            api.statuses().iter().map(|(status, count)| (status.to_string(), *count)).collect();
        match &expected.api_statuses {
            Some(expected) if *expected != statuses => {
                Err(format!("API statuses: expected {expected:?}, counted {statuses:?}"))
            }
            _ => Ok(()),
        }
    }
}

/// A URL of a vector as a whole one.
pub(crate) fn absolute(url: &str) -> String {
    if url.starts_with('/') { format!("{API_ORIGIN}{url}") } else { url.to_owned() }
}

impl std::fmt::Display for Reset {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the connection was reset")
    }
}

impl std::error::Error for Reset {}
