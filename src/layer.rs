//! [`PartnerAuthLayer`], the handle on everything.

use std::fmt;

use tower_layer::Layer;

use crate::builder::Builder;
use crate::credentials::ClientCredentials;
use crate::service::{PartnerAuth, Shared};

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
}

impl PartnerAuthLayer {
    /// Begins a layer for the client with these credentials.
    pub fn builder(credentials: ClientCredentials) -> Builder {
        Builder::new(credentials)
    }

    pub(crate) fn new(auth: Shared) -> Self {
        Self { auth }
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
