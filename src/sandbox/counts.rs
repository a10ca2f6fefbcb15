//! What can be read of the server.

use http::{Method, StatusCode};

use super::Sandbox;
use super::received::Received;
use crate::scope::Scope;

/// # Counts
///
/// Requests are counted when they arrive, answers when they are given.
impl Sandbox {
    /// The requests to the token endpoint, failed and scripted ones too.
    pub fn token_requests(&self) -> u64 {
        self.state().journal.pages().token_requests
    }

    /// Those of them that asked for exactly this scope set.
    pub fn token_requests_for(&self, scope: &Scope) -> u64 {
        let pages = self.state().journal.pages();
        pages.token_requests_by_scope.get(scope).copied().unwrap_or_default()
    }

    /// The token requests that were answered with this status.
    pub fn token_answers(&self, status: StatusCode) -> u64 {
        self.state().journal.pages().token_answers.get(&status).copied().unwrap_or_default()
    }

    /// The requests to everything but the token endpoint and its revocation, unknown paths too.
    pub fn api_requests(&self) -> u64 {
        self.state().journal.pages().api_requests
    }

    /// Those of them for one endpoint. The path is that of a request, or the template.
    ///
    /// # Panics
    ///
    /// If there is no such endpoint.
    #[track_caller]
    pub fn api_requests_for(&self, method: Method, path: &str) -> u64 {
        let index = self.state().api().find(&method, path);
        // Not zero: a test that counts at the wrong place would pass for the wrong reason.
        let Some(index) = index else { panic!("the sandbox has no endpoint {method} {path}") };
        let pages = self.state().journal.pages();
        pages.api_requests_by_endpoint.get(&index).copied().unwrap_or_default()
    }

    /// The API requests that were answered with this status.
    pub fn api_answers(&self, status: StatusCode) -> u64 {
        self.state().journal.pages().api_answers.get(&status).copied().unwrap_or_default()
    }

    /// The last API requests, oldest first: 1,024 of them, or fewer with bodies of more than 64 MiB
    /// together.
    pub fn received(&self) -> Vec<Received> {
        self.state().journal.pages().received.iter().cloned().collect()
    }

    /// Empties the record that [`received`](Self::received) reads. The counts go on.
    pub fn clear_received(&self) {
        self.state().journal.write(|pages| pages.clear_received());
    }

    /// Waits until something is true of the server. It is asked now, and again after each thing that
    /// happens to a request.
    ///
    /// ```no_run
    /// # use tower_partner_auth::sandbox::{BodyEnd, Sandbox};
    /// # async fn example(sandbox: Sandbox) {
    /// sandbox.until(|at| at.token_requests() == 3).await;
    /// sandbox.until(|at| at.received().iter().all(|r| r.body_end() == BodyEnd::Aborted)).await;
    /// # }
    /// ```
    pub async fn until(&self, mut condition: impl FnMut(&Self) -> bool) {
        self.state().journal.wait_until(|| condition(self)).await;
    }
}
