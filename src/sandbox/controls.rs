//! What can be set while the server runs.

use std::io;
use std::time::Duration;

use http::Method;
use tokio::time::Instant;

use super::Sandbox;
use super::api::Guarded;
use super::endpoint::Endpoint;
use super::oauth::ExpiresIn;
use super::rejection::RejectionStyle;
use super::script::Answer;
use crate::credentials::SecretValue;
use crate::scope::Scope;

/// # Tokens
///
/// Settings are for the tokens issued from then on.
impl Sandbox {
    /// How long tokens live. Default: 2 hours. A life need not be of whole seconds, though
    /// `expires_in` is; with [`Duration::MAX`] they do not expire, and there is no `expires_in`.
    pub fn token_life(&self, life: Duration) {
        self.state().authority().policy.life = life;
    }

    /// What token responses say of the life, whatever it is. Default: [`ExpiresIn::Remaining`].
    pub fn expires_in(&self, expires_in: ExpiresIn) {
        self.state().authority().policy.expires_in = expires_in;
    }

    /// Whether a request for a scope set with a live token gets that token again, with what remains
    /// of its life and its first `created_at` (Doorkeeper's `reuse_access_token`). Default: no.
    pub fn reuse_tokens(&self, reuse: bool) {
        self.state().authority().policy.reuse = reuse;
    }

    /// Whether a new token revokes the client's earlier ones of the same scope set (Doorkeeper's
    /// `revoke_previous_client_credentials_token`). Default: no.
    pub fn revoke_previous(&self, revoke: bool) {
        self.state().authority().policy.revoke_previous = revoke;
    }

    /// Revokes the live tokens of exactly this scope set, and returns how many there were.
    pub fn revoke(&self, scope: &Scope) -> usize {
        self.state().authority().ledger.revoke(None, Some(scope), Instant::now())
    }

    /// Revokes all live tokens, and returns how many there were.
    pub fn revoke_all(&self) -> usize {
        self.state().authority().ledger.revoke(None, None, Instant::now())
    }

    /// The secrets of a client from now on: another, or two for as long as they overlap. Its tokens
    /// stay.
    ///
    /// # Panics
    ///
    /// If there is no such client.
    #[track_caller]
    pub fn accept_secrets<T: Into<String>>(
        &self,
        client_id: &str,
        secrets: impl IntoIterator<Item = T>,
    ) {
        // Before the lock is taken: an iterator may do anything.
        let secrets: Vec<String> = secrets.into_iter().map(Into::into).collect();
        let secrets = secrets.into_iter().map(SecretValue::from).collect();
        let mut authority = self.state().authority();
        let client = authority.clients.iter_mut().find(|client| client.id == client_id);
        let found = client.map(|client| client.secrets = secrets).is_some();
        drop(authority);
        // Not an error to pass on: a test that changes nothing would pass for the wrong reason.
        assert!(found, "the sandbox has no client {client_id}");
    }

    /// How long every token request takes. Default: zero. It is spent on the way back: the token
    /// has been issued by then, and is ageing.
    pub fn token_delay(&self, delay: Duration) {
        self.state().authority().policy.delay = delay;
    }
}

/// # The API
impl Sandbox {
    /// Adds an endpoint, or replaces the one with the same method and path. Its scopes may be asked
    /// for from then on, unless the client's are fixed.
    ///
    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`] if its path template, scope or status is bad.
    pub fn add_endpoint(&self, endpoint: Endpoint) -> io::Result<()> {
        let offered = {
            let mut api = self.state().api();
            api.add(endpoint)?;
            api.scopes()
        };
        self.state().authority().offered = offered;
        Ok(())
    }

    /// How the API refuses a token. Default: [`RejectionStyle::Partner`].
    pub fn rejection_style(&self, style: RejectionStyle) {
        self.state().api().manner.style = style;
    }

    /// Whether a 401 is answered from the head of the request, before its body has come. What comes
    /// of the body is then read behind the answer and thrown away; how it ended is in the record.
    /// Default: no, the body is read to its end and the request judged after.
    pub fn reject_early(&self, early: bool) {
        self.state().api().manner.reject_early = early;
    }

    /// Answers 401 to every request of this endpoint, good token or not, until
    /// [`stop_rejecting`](Self::stop_rejecting). The path is that of a request, or the template.
    ///
    /// # Panics
    ///
    /// If there is no such endpoint.
    #[track_caller]
    pub fn reject_always(&self, method: Method, path: &str) {
        self.endpoint(&method, path, |endpoint| endpoint.rejects_always = true);
    }

    /// Ends [`reject_always`](Self::reject_always).
    ///
    /// # Panics
    ///
    /// If there is no such endpoint.
    #[track_caller]
    pub fn stop_rejecting(&self, method: Method, path: &str) {
        self.endpoint(&method, path, |endpoint| endpoint.rejects_always = false);
    }

    /// How long every API request takes, in addition to the reading of its body. Default: zero. It
    /// is spent on the way back: the request has been judged by then.
    pub fn api_delay(&self, delay: Duration) {
        self.state().api().manner.delay = delay;
    }
}

/// # Scripts
///
/// A script's answers are taken one per request, in the order of arrival, before anything else is
/// looked at; after the last, answers are normal again. A second script goes behind the first.
impl Sandbox {
    /// For the token endpoint.
    pub fn script_token(&self, answers: impl IntoIterator<Item = Answer>) {
        // Before the lock is taken: an iterator may do anything.
        let answers: Vec<_> = answers.into_iter().collect();
        self.state().authority().script.extend(answers);
    }

    /// For API requests of any path.
    pub fn script_api(&self, answers: impl IntoIterator<Item = Answer>) {
        let answers: Vec<_> = answers.into_iter().collect();
        self.state().api().script.extend(answers);
    }

    /// For the requests of one endpoint: they come before those of
    /// [`script_api`](Self::script_api). The path is that of a request, or the template.
    ///
    /// # Panics
    ///
    /// If there is no such endpoint.
    #[track_caller]
    pub fn script_endpoint(
        &self,
        method: Method,
        path: &str,
        answers: impl IntoIterator<Item = Answer>,
    ) {
        let answers: Vec<_> = answers.into_iter().collect();
        self.endpoint(&method, path, |endpoint| endpoint.script.extend(answers));
    }

    /// Forgets all answers that no request has taken.
    pub fn clear_scripts(&self) {
        self.state().authority().script.clear();
        self.state().api().clear_scripts();
    }

    #[track_caller]
    fn endpoint(&self, method: &Method, path: &str, change: impl FnOnce(&mut Guarded)) {
        let found = self.state().api().guarded_mut(method, path).map(change).is_some();
        // Not an error to pass on: a test that sets up nothing would pass for the wrong reason.
        assert!(found, "the sandbox has no endpoint {method} {path}");
    }
}
