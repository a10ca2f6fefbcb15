//! [`PartnerAuthLayer`], the handle on everything.

use std::fmt;
#[cfg(feature = "store")]
use std::sync::Arc;

use tower_layer::Layer;

use crate::builder::Builder;
use crate::credentials::ClientCredentials;
use crate::error::BuildError;
use crate::operator::{Prewarmed, Status, prewarm};
use crate::scope::Scope;
use crate::service::{PartnerAuth, Shared};
#[cfg(feature = "store")]
use crate::store::Health;

/// Authorises the requests of an HTTP client: wraps any `Service` of HTTP requests in a
/// [`PartnerAuth`].
///
/// Cheap to clone; all clones, and all services they make, share one cache of tokens.
///
/// ```
/// use http::Method;
/// use tower::ServiceBuilder;
/// use tower_partner_auth::{ClientCredentials, Environment, PartnerAuthLayer, Route};
///
/// # fn main() -> Result<(), tower_partner_auth::BuildError> {
/// # let http_client = tower::service_fn(|_: http::Request<tower_partner_auth::ReplayBody<String>>| async {
/// #     Ok::<_, std::convert::Infallible>(http::Response::new(()))
/// # });
/// # let (client_id, client_secret) = ("id", "secret");
/// let auth = PartnerAuthLayer::builder(ClientCredentials::new(client_id, client_secret))
///     .environment(Environment::test())
///     .route(Route::new(Method::GET, "https://reports.example.com/v1/{id}", "read_reports"))
///     .build()?;
///
/// let client = ServiceBuilder::new().layer(auth.clone()).service(http_client);
/// # let _ = client;
/// # Ok(())
/// # }
/// ```
#[derive(Clone)]
pub struct PartnerAuthLayer {
    auth: Shared,
    #[cfg(feature = "store")]
    store: Option<Arc<Health>>,
}

impl PartnerAuthLayer {
    /// Begins a layer for the client with these credentials.
    pub fn builder(credentials: ClientCredentials) -> Builder {
        Builder::new(credentials)
    }

    pub(crate) fn new(auth: Shared) -> Self {
        Self {
            auth,
            #[cfg(feature = "store")]
            store: None,
        }
    }

    #[cfg(feature = "store")]
    pub(crate) fn with_store(mut self, store: Option<Arc<Health>>) -> Self {
        self.store = store;
        self
    }

    /// Fetches the tokens of all routes that are not there yet, at once, and tells of each how that
    /// went: call it before the first request, and none has to wait.
    ///
    /// One that fails harms no other, and is fetched again by the first request that needs it, when
    /// its back-off lets it. No wait is longer than [`Builder::wait_limit`](crate::Builder::wait_limit); the fetches go on
    /// without it, also if the future is dropped.
    ///
    /// # Panics
    ///
    /// When polled on a Tokio runtime without timers (`tokio::runtime::Builder::enable_time`), if
    /// there is something to wait for.
    ///
    /// ```no_run
    /// # async fn start(auth: tower_partner_auth::PartnerAuthLayer) -> Result<(), tower_partner_auth::TokenError> {
    /// // Refuse to start without tokens:
    /// auth.prewarm().await.into_result()?;
    /// # Ok(())
    /// # }
    /// ```
    pub async fn prewarm(&self) -> Prewarmed {
        prewarm(self.auth.slots().of_routes()).await
    }

    /// As [`prewarm`](Self::prewarm), for these scopes only, be they of routes or not.
    ///
    /// # Panics
    ///
    /// As [`prewarm`](Self::prewarm).
    pub async fn prewarm_scopes(&self, scopes: impl IntoIterator<Item = Scope>) -> Prewarmed {
        let slots = self.auth.slots();
        prewarm(scopes.into_iter().map(|scope| slots.get(&scope)).collect()).await
    }

    /// What is known of each token at this moment: of those of all routes, and of those that
    /// requests have chosen and still use. It asks no server and waits for nothing.
    pub fn status(&self) -> Status {
        let status = Status::of(&self.auth.slots().all());
        #[cfg(feature = "store")]
        let status = status.with_store(self.store.as_ref().map(|health| health.status()));
        status
    }

    /// Sets the gauges of the tokens to this moment: how long they live yet, how long the token server
    /// is left alone. They are set when something happens to a token, but a life ends by itself, and
    /// nothing of this crate's runs without traffic: call it before each scrape.
    ///
    /// It asks no server and waits for nothing. `OBSERVABILITY.md` in the repository lists the metrics.
    #[cfg(feature = "metrics")]
    pub fn record_gauges(&self) {
        self.auth.slots().all().iter().for_each(|slot| slot.observe());
    }

    /// Forgets the token of this scope: the next call that needs it fetches another, and waits for
    /// it. For a token that has leaked, or that was revoked on purpose. Nothing happens if the layer
    /// has no such scope.
    ///
    /// What a fetch brings that is under way is not used either: it fetches again, for all who
    /// wait. Where the server is down or has asked for rest, that is kept to. A server that reuses
    /// tokens may hand out the same one again, unless it is revoked there.
    pub fn invalidate(&self, scope: &Scope) {
        if let Some(slot) = self.auth.slots().find(scope) {
            slot.invalidate();
        }
    }

    /// [Invalidates](Self::invalidate) all tokens of the layer.
    pub fn invalidate_all(&self) {
        self.auth.slots().all().iter().for_each(|slot| slot.invalidate());
    }

    /// Fetches with these credentials from now on, in all clones of the layer and all services they
    /// have made.
    ///
    /// With the same client id, tokens are used on: only the secret is another. Tokens of another
    /// client are [forgotten](Self::invalidate). A fetch that is under way with the old secret and
    /// fails is done again with the new one, and a remembered refusal of the old one is forgotten.
    ///
    /// # Errors
    ///
    /// When the pair is unusable, as [`Builder::build`] says it, for which an environment variable or a
    /// file is read here and now; the old one stays then.
    ///
    /// [`Builder::build`]: crate::Builder::build
    pub fn set_credentials(&self, credentials: ClientCredentials) -> Result<(), BuildError> {
        let problems = credentials.problems();
        if !problems.is_empty() {
            return Err(BuildError::new(problems).without_paths());
        }
        self.auth.slots().set_credentials(credentials);
        Ok(())
    }
}

impl<S> Layer<S> for PartnerAuthLayer {
    type Service = PartnerAuth<S>;

    fn layer(&self, inner: S) -> PartnerAuth<S> {
        PartnerAuth::new(inner, self.auth.clone())
    }
}

impl fmt::Debug for PartnerAuthLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PartnerAuthLayer").finish_non_exhaustive()
    }
}
