//! What a token is asked for with.

use std::fmt;
use std::sync::Arc;

use http::{HeaderMap, HeaderName, Uri};
#[cfg(feature = "store")]
use tokio::time::Instant;

#[cfg(feature = "store")]
use super::known::Known;
use crate::credentials::ClientCredentials;
use crate::observe::FetchHandle;
use crate::scope::Scope;

/// One effective token request: endpoint, client, scope set, extra parameters and headers.
///
/// Two requests that are equal in all of these may share a token; two that are not must not.
#[derive(Clone)]
pub struct TokenRequest {
    endpoint: Uri,
    credentials: ClientCredentials,
    scope: Scope,
    parameters: Arc<[(String, String)]>,
    headers: Arc<HeaderMap>,
    fetch: FetchHandle,
    #[cfg(feature = "store")]
    known: Option<Known>,
    #[cfg(feature = "store")]
    made_at: Instant,
}

impl TokenRequest {
    pub(crate) fn new(
        endpoint: Uri,
        credentials: ClientCredentials,
        scope: Scope,
        parameters: Arc<[(String, String)]>,
        headers: Arc<HeaderMap>,
    ) -> Self {
        Self {
            endpoint,
            credentials,
            scope,
            parameters,
            headers,
            fetch: FetchHandle::default(),
            #[cfg(feature = "store")]
            known: None,
            #[cfg(feature = "store")]
            made_at: Instant::now(),
        }
    }

    /// The same, as a part of this fetch.
    pub(crate) fn of_fetch(mut self, fetch: FetchHandle) -> Self {
        self.fetch = fetch;
        self
    }

    pub(crate) fn fetch(&self) -> &FetchHandle {
        &self.fetch
    }

    /// The same, for a token that is newer than this one.
    #[cfg(feature = "store")]
    pub(crate) fn newer_than(mut self, known: Option<Known>) -> Self {
        self.known = known;
        self
    }

    #[cfg(feature = "store")]
    pub(crate) fn known(&self) -> Option<&Known> {
        self.known.as_ref()
    }

    /// When its flight was sent. Its retries are clones of it.
    #[cfg(feature = "store")]
    pub(crate) fn made_at(&self) -> Instant {
        self.made_at
    }

    /// The token endpoint's URL.
    pub fn endpoint(&self) -> &Uri {
        &self.endpoint
    }

    /// Who asks.
    pub fn credentials(&self) -> &ClientCredentials {
        &self.credentials
    }

    /// The scope to ask for. The empty set asks for the server's default.
    pub fn scope(&self) -> &Scope {
        &self.scope
    }

    /// Extra parameters, such as `audience` or `resource` (RFC 8707 §2).
    pub fn parameters(&self) -> &[(String, String)] {
        &self.parameters
    }

    /// Extra headers. Their values are marked sensitive.
    pub fn headers(&self) -> &HeaderMap {
        &self.headers
    }
}

impl fmt::Debug for TokenRequest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the endpoint's query, nor the values of parameters and headers: any may hold a key.
        let names: Vec<_> = self.parameters.iter().map(|(name, _)| name).collect();
        let headers: Vec<_> = self.headers.keys().map(HeaderName::as_str).collect();
        f.debug_struct("TokenRequest")
            .field("endpoint", &self.endpoint.path())
            .field("credentials", &self.credentials)
            .field("scope", &self.scope)
            .field("parameters", &names)
            .field("headers", &headers)
            .finish()
    }
}
