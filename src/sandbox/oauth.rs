//! The token endpoint, as Doorkeeper 5 answers: every answer is a decision on a request that was
//! read, without any waiting.

use std::collections::HashMap;
use std::time::Duration;

use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE, PRAGMA, WWW_AUTHENTICATE};
use serde_json::{Map, Value, json};
use tokio::time::Instant;

use super::client_auth;
use super::script::{Answer, Script};
use super::tokens::{Grant, Ledger};
use crate::credentials::SecretValue;
use crate::scope::Scope;

const DEFAULT_LIFE: Duration = Duration::from_secs(7200);

/// What a token response says of the token's life, whatever its real life is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum ExpiresIn {
    /// What is left of it, rounded to whole seconds, as Doorkeeper does. Nothing for a life without
    /// end.
    #[default]
    Remaining,
    /// Nothing: there is no `expires_in`.
    Absent,
    /// Always this number.
    Seconds(u64),
}

/// The token endpoint's clients, tokens and settings.
pub(super) struct Authority {
    pub(super) clients: Vec<Client>,
    /// The scopes that the guarded routes know.
    pub(super) offered: Scope,
    pub(super) ledger: Ledger,
    pub(super) script: Script,
    pub(super) policy: TokenPolicy,
}

pub(super) struct Client {
    pub(super) id: String,
    /// Any of them is good.
    pub(super) secrets: Vec<SecretValue>,
    /// `None`: every scope that is offered.
    pub(super) allowed: Option<Scope>,
}

#[derive(Debug, Clone, Copy)]
pub(super) struct TokenPolicy {
    pub(super) life: Duration,
    pub(super) expires_in: ExpiresIn,
    pub(super) reuse: bool,
    pub(super) revoke_previous: bool,
    pub(super) delay: Duration,
}

/// The parameters of a form request. Of a repeated one the last counts, as in Rails.
pub(super) struct Form(HashMap<String, String>);

#[derive(Clone, Copy)]
enum OAuthError {
    MissingGrantType,
    UnsupportedGrantType,
    InvalidClient,
    InvalidScope,
}

impl Authority {
    /// `POST /oauth/token`.
    pub(super) fn token(&mut self, headers: &HeaderMap, form: &Form, now: Instant) -> Answer {
        let expires_in = self.policy.expires_in;
        self.grant(headers, form, now)
            .map_or_else(OAuthError::answer, |grant| granted(&grant, expires_in))
    }

    fn grant(
        &mut self,
        headers: &HeaderMap,
        form: &Form,
        now: Instant,
    ) -> Result<Grant, OAuthError> {
        // In Doorkeeper's order: the first fault is the one reported.
        match form.get("grant_type") {
            None => return Err(OAuthError::MissingGrantType),
            Some("client_credentials") => {}
            Some(_) => return Err(OAuthError::UnsupportedGrantType),
        }
        let client = self.authenticate(headers, form).ok_or(OAuthError::InvalidClient)?;
        let client_id = client.id.clone();
        let scope = self.permitted_scope(client, form)?;

        let TokenPolicy { life, reuse, revoke_previous, .. } = self.policy;
        let reused = reuse.then(|| self.ledger.reusable(&client_id, &scope, now)).flatten();
        if let Some(grant) = reused {
            return Ok(grant);
        }
        if revoke_previous {
            self.ledger.revoke(Some(&client_id), Some(&scope), now);
        }
        Ok(self.ledger.issue(&client_id, scope, life, now))
    }

    /// `POST /oauth/revoke` (RFC 7009). An unknown token is revoked already.
    pub(super) fn revoke(&mut self, headers: &HeaderMap, form: &Form) -> Answer {
        let Some(client) = self.authenticate(headers, form) else {
            return revocation_refused();
        };
        let token = form.get("token").unwrap_or_default();
        match self.ledger.owner(token) {
            Some(owner) if owner != client.id => return revocation_refused(),
            _ => self.ledger.revoke_token(token),
        }
        Answer::json(200, "{}")
    }

    fn authenticate(&self, headers: &HeaderMap, form: &Form) -> Option<&Client> {
        let (id, secret) = client_auth::basic(headers).or_else(|| {
            Some((form.get("client_id")?.to_owned(), form.get("client_secret")?.to_owned()))
        })?;
        self.clients
            .iter()
            .find(|client| client.id == id && client.secrets.iter().any(|good| **good == *secret))
    }

    // All or nothing: Doorkeeper grants no part of what was asked for.
    fn permitted_scope(&self, client: &Client, form: &Form) -> Result<Scope, OAuthError> {
        let requested = form.scope().ok_or(OAuthError::InvalidScope)?;
        let permitted = match &client.allowed {
            Some(allowed) if requested.is_none() => allowed.is_none(),
            Some(allowed) => allowed.contains(&requested),
            None => self.offered.contains(&requested),
        };
        permitted.then_some(requested).ok_or(OAuthError::InvalidScope)
    }
}

impl Form {
    /// Reads a body that says it is a form; of any other, Rails finds no parameters either.
    pub(super) fn read(headers: &HeaderMap, body: &[u8]) -> Self {
        let is_form = headers.get(CONTENT_TYPE).is_some_and(|value| {
            let essence = value.as_bytes().split(|b| *b == b';').next().unwrap_or_default();
            essence.trim_ascii().eq_ignore_ascii_case(b"application/x-www-form-urlencoded")
        });
        let body = if is_form { body } else { &[] };
        Self(form_urlencoded::parse(body).into_owned().collect())
    }

    /// An empty parameter is an omitted one (RFC 6749 §3.2).
    fn get(&self, name: &str) -> Option<&str> {
        self.0.get(name).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// The scope asked for; the empty set if there is none, `None` if it breaks the grammar.
    pub(super) fn scope(&self) -> Option<Scope> {
        match self.get("scope") {
            Some(text) => Scope::parse(text).ok(),
            None => Some(Scope::none()),
        }
    }
}

impl OAuthError {
    fn answer(self) -> Answer {
        let (status, error, description) = match self {
            Self::MissingGrantType => {
                (400, "invalid_request", "Missing required parameter: grant_type.")
            }
            Self::UnsupportedGrantType => (
                400,
                "unsupported_grant_type",
                "The authorization grant type is not supported by the authorization server.",
            ),
            Self::InvalidClient => (
                401,
                "invalid_client",
                "Client authentication failed due to unknown client, no client authentication \
                 included, or unsupported authentication method.",
            ),
            Self::InvalidScope => {
                (400, "invalid_scope", "The requested scope is invalid, unknown, or malformed.")
            }
        };
        let body = json!({ "error": error, "error_description": description });
        let challenge = format!(
            "Bearer realm=\"Doorkeeper\", error=\"{error}\", error_description=\"{description}\""
        );
        uncached(Answer::json(status, body.to_string())).header(WWW_AUTHENTICATE, challenge)
    }
}

fn granted(grant: &Grant, expires_in: ExpiresIn) -> Answer {
    // Half up, so that 7199.6 is 7200.
    let rounded = |left: Duration| left.saturating_add(Duration::from_millis(500)).as_secs();
    let seconds = match expires_in {
        ExpiresIn::Remaining => grant.remaining.map(rounded),
        ExpiresIn::Absent => None,
        ExpiresIn::Seconds(seconds) => Some(seconds),
    };
    // Doorkeeper leaves blank values out.
    let scope = (!grant.scope.is_none()).then(|| grant.scope.as_str());
    let members = [
        ("access_token", Some(json!(grant.token))),
        ("token_type", Some(json!("Bearer"))),
        ("expires_in", seconds.map(Value::from)),
        ("scope", scope.map(Value::from)),
        ("created_at", Some(json!(grant.created_at))),
    ];
    let body: Map<String, Value> =
        members.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect();
    uncached(Answer::json(200, Value::Object(body).to_string()))
}

fn revocation_refused() -> Answer {
    let description = "You are not authorized to revoke this token";
    let body = json!({ "error": "unauthorized_client", "error_description": description });
    Answer::json(403, body.to_string())
}

// RFC 6749 §5.1.
fn uncached(answer: Answer) -> Answer {
    answer.header(CACHE_CONTROL, "no-store").header(PRAGMA, "no-cache")
}

impl Default for TokenPolicy {
    fn default() -> Self {
        Self {
            life: DEFAULT_LIFE,
            expires_in: ExpiresIn::default(),
            reuse: false,
            revoke_previous: false,
            delay: Duration::ZERO,
        }
    }
}
