//! The layer's configuration, and its validation: everything that is wrong with it is said by
//! [`Builder::build`], all at once, before the first request.

mod checks;
mod headers;
mod rules;
#[cfg(feature = "store")]
mod shared_store;

use std::fmt;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderValue, Request, Response};
use http_body::Body;
use http_body_util::Full;
use tower::BoxError;
use tower_service::Service;

use crate::credentials::ClientCredentials;
use crate::error::{BuildError, Problem};
use crate::grant::{
    HttpClient, Timeouts, TokenRequest, TokenResponse, TokenSource, boxed_http_client, boxed_source,
};
use crate::layer::PartnerAuthLayer;
use crate::partner::Environment;
use crate::route::{Route, shown};
use crate::token::Windows;

use headers::TokenHeaders;

const DEFAULT_REPLAY_LIMIT: usize = 64 * 1024;
const DEFAULT_WAIT_LIMIT: Duration = Duration::from_secs(30);
const DEFAULT_TOKEN_TIMEOUT: Duration = Duration::from_secs(30);
const DEFAULT_CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
const DEFAULT_TOKEN_RETRIES: usize = 2;

/// Configures a [`PartnerAuthLayer`].
///
/// ```
/// use std::time::Duration;
/// use tower_partner_auth::{ClientCredentials, PartnerAuthLayer, Route};
///
/// // Any API with client credentials: a token URL and routes.
/// let auth = PartnerAuthLayer::builder(ClientCredentials::new("id", "secret"))
///     .token_url("https://accounts.example.com/oauth/token")
///     .route(Route::any("https://api.example.com/{*path}", "api"))
///     .wait_limit(Duration::from_secs(5))
///     .build()?;
/// # Ok::<(), tower_partner_auth::BuildError>(())
/// ```
#[must_use = "a builder does nothing until `build` is called"]
pub struct Builder {
    credentials: ClientCredentials,
    /// Whether problems name their places in a file.
    from_file: bool,
    /// What is wrong before anything is checked.
    faults: Vec<Problem>,
    environment: Option<Environment>,
    token_url: Option<String>,
    routes: Vec<Route>,
    parameters: Vec<(String, String)>,
    headers: TokenHeaders,
    strict: bool,
    source: Source,
    #[cfg(feature = "rustls")]
    roots: crate::grant::Roots,
    connect_timeout: Duration,
    timeouts: Timeouts,
    wait_limit: Duration,
    windows: Windows,
    max_token_age: Option<Duration>,
    keep_warm: bool,
    replay_limit: usize,
    #[cfg(feature = "store")]
    store: shared_store::SharedStoreConfig,
}

enum Source {
    BuiltIn,
    OverClient(HttpClient),
    Custom(TokenSource),
}

impl Builder {
    pub(crate) fn new(credentials: ClientCredentials) -> Self {
        Self {
            credentials,
            from_file: false,
            faults: Vec::new(),
            environment: None,
            token_url: None,
            routes: Vec::new(),
            parameters: Vec::new(),
            headers: TokenHeaders::default(),
            strict: false,
            source: Source::BuiltIn,
            #[cfg(feature = "rustls")]
            roots: crate::grant::Roots::none(),
            connect_timeout: DEFAULT_CONNECT_TIMEOUT,
            timeouts: Timeouts {
                total: DEFAULT_TOKEN_TIMEOUT,
                attempt: DEFAULT_TOKEN_TIMEOUT / 3,
                retries: DEFAULT_TOKEN_RETRIES,
            },
            wait_limit: DEFAULT_WAIT_LIMIT,
            windows: Windows::default(),
            max_token_age: None,
            keep_warm: false,
            replay_limit: DEFAULT_REPLAY_LIMIT,
            #[cfg(feature = "store")]
            store: shared_store::SharedStoreConfig::default(),
        }
    }

    /// Begins a layer whose configuration is in a file.
    #[cfg(feature = "config")]
    pub(crate) fn from_file(credentials: ClientCredentials) -> Self {
        Self { from_file: true, ..Self::new(credentials) }
    }

    /// To be said by `build`, beside what it finds itself.
    #[cfg(feature = "config")]
    pub(crate) fn fault(mut self, problem: Problem) -> Self {
        self.faults.push(problem);
        self
    }

    /// The partner API's token URL and routes. A [`route`](Self::route) of your own with the same
    /// method and template takes precedence.
    pub fn environment(mut self, environment: Environment) -> Self {
        self.environment = Some(environment);
        self
    }

    /// The token endpoint: an `https` URL, or an `http` one of a loopback address. It takes
    /// precedence over the environment's.
    pub fn token_url(mut self, url: impl Into<String>) -> Self {
        self.token_url = Some(url.into());
        self
    }

    /// Adds a route.
    pub fn route(mut self, route: Route) -> Self {
        self.routes.push(route);
        self
    }

    /// Adds routes.
    pub fn routes(mut self, routes: impl IntoIterator<Item = Route>) -> Self {
        self.routes.extend(routes);
        self
    }

    /// Fails requests that match no route, instead of letting them through untouched.
    pub fn strict(mut self) -> Self {
        self.strict = true;
        self
    }

    /// Adds a parameter to every token request, such as `audience`, or `resource` (RFC 8707 §2).
    pub fn token_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), value.into()));
        self
    }

    /// Adds a header to every token request, such as a gateway's key. The same name again adds
    /// another field. The value is marked sensitive, and is in no `Debug` output.
    ///
    /// Not for the headers that the grant sets itself (`Accept`, `Authorization`, `Content-Type`),
    /// nor for those by which messages are framed. For other ways to show who the client is, see
    /// [`ClientCredentials::with_authenticator`].
    ///
    /// ```
    /// # use tower_partner_auth::{ClientCredentials, PartnerAuthLayer};
    /// # let credentials = ClientCredentials::new("id", "secret");
    /// let builder = PartnerAuthLayer::builder(credentials)
    ///     .token_url("https://accounts.example.com/oauth/token")
    ///     .token_header("x-api-key", "k3y");
    /// # let _ = builder;
    /// ```
    pub fn token_header<V>(mut self, name: impl AsRef<str>, value: V) -> Self
    where
        V: TryInto<HeaderValue>,
    {
        self.headers.add(name.as_ref(), value.try_into().ok());
        self
    }

    /// Sends token requests with this HTTP client instead of the built-in one. Timeouts and retries
    /// are put around it. It must not follow redirects, and must not be wrapped in this layer.
    pub fn http_client<C, B>(mut self, client: C) -> Self
    where
        C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
        C::Error: Into<BoxError>,
        C::Future: Send + 'static,
        B: Body + Send + 'static,
        B::Error: Into<BoxError>,
    {
        self.source = Source::OverClient(boxed_http_client(client));
        self
    }

    /// Gets tokens from this service instead of the client-credentials grant over HTTP. It is called
    /// once a fetch, with no timeouts or retries around it: as long as it hangs, so does the fetch. An error that is a
    /// [`TokenError`](crate::TokenError) comes out as itself.
    pub fn token_source<S>(mut self, source: S) -> Self
    where
        S: Service<TokenRequest, Response = TokenResponse> + Clone + Send + 'static,
        S::Error: Into<BoxError>,
        S::Future: Send + 'static,
    {
        self.source = Source::Custom(boxed_source(source));
        self
    }

    /// Trusts these root certificates at the token endpoint, as PEM text of one or more, in addition
    /// to Mozilla's, which the built-in HTTP client has with it. For a token server whose certificate
    /// is of a private authority. It says nothing of the API: that is your own client's business.
    ///
    /// Nothing of the text is kept but the certificates, nor repeated in an error.
    #[cfg(feature = "rustls")]
    pub fn token_root_certificates(mut self, pem: impl AsRef<[u8]>) -> Self {
        self.roots.add(pem.as_ref());
        self
    }

    /// How long connecting to the token endpoint may take, with the built-in HTTP client.
    /// Default: 5 seconds.
    pub fn connect_timeout(mut self, timeout: Duration) -> Self {
        self.connect_timeout = timeout;
        self
    }

    /// How long a token fetch may take, its retries included. One token request gets a third of it.
    /// Default: 30 seconds.
    pub fn token_timeout(mut self, timeout: Duration) -> Self {
        self.timeouts.total = timeout;
        self.timeouts.attempt = timeout / 3;
        self
    }

    /// How often a token request is sent again at once, after a transient failure, before its
    /// waiters are told. Default: 2.
    pub fn token_retries(mut self, retries: usize) -> Self {
        self.timeouts.retries = retries;
        self
    }

    /// How long a request waits for tokens, from its first wait on. The fetch goes on without it.
    /// Default: 30 seconds.
    pub fn wait_limit(mut self, limit: Duration) -> Self {
        self.wait_limit = limit;
        self
    }

    /// How long before its end a token is renewed at the earliest, behind its callers: the window of
    /// [`TokenState::Soft`](crate::TokenState::Soft). It is never more than half of the token's life,
    /// and up to a quarter of it is left out at random, so that the processes of a fleet do not renew
    /// as one. Default: 60 minutes.
    pub fn soft_window(mut self, window: Duration) -> Self {
        self.windows.soft = window;
        self
    }

    /// How long before a token's end calls begin to wait for its renewal, should the renewals
    /// behind have failed until then: the window of [`TokenState::Hard`](crate::TokenState::Hard). It
    /// is never more than a tenth of the token's life, nor than half of the soft window.
    /// Default: 30 seconds.
    pub fn hard_window(mut self, window: Duration) -> Self {
        self.windows.hard = window;
        self
    }

    /// The longest that any token is used, whatever its server says. Default: as long as it lives;
    /// one that never expires, until it is rejected.
    pub fn max_token_age(mut self, age: Duration) -> Self {
        self.max_token_age = Some(age);
        self
    }

    /// Renews the tokens of the routes without traffic, as long as the layer lives. Default: a token
    /// that nobody uses is let go, and the next call waits for another.
    ///
    /// A token is kept warm from its first fetch on, so that, together with
    /// [`prewarm`](PartnerAuthLayer::prewarm), no call waits as long as the token server is well. One
    /// that fails is asked less and less often where no call does, down to once in five minutes.
    /// Tokens of scopes that requests [chose](crate::RequestAuth::scope), beside the routes', are let
    /// go as ever. The renewals run on the runtime of the last fetch.
    pub fn keep_warm(mut self) -> Self {
        self.keep_warm = true;
        self
    }

    /// How many bytes of a request body are remembered for a replay. A longer body is sent as ever,
    /// but a 401 that comes later cannot be replayed. Default: 64 KiB. A route may have
    /// [its own](Route::replay_limit).
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.replay_limit = bytes;
        self
    }

    /// Checks the configuration and makes the layer. Nothing is fetched yet, and no runtime is
    /// needed.
    ///
    /// # Errors
    ///
    /// Everything that is wrong with the configuration: unusable credentials, be it that their
    /// environment variable or file is missing; a token URL that is
    /// missing, malformed, or plain http beyond this machine; a route with a bad template, no
    /// origin, plain http, a bad scope, or in contradiction to another; a limit of zero; root
    /// certificates that are none, or that are given beside an HTTP client of the user's own; no HTTP
    /// client, where the feature `rustls` is off and none was given.
    pub fn build(self) -> Result<PartnerAuthLayer, BuildError> {
        let from_file = self.from_file;
        self.checked().map_err(|problems| {
            let error = BuildError::new(problems);
            if from_file { error } else { error.without_paths() }
        })
    }
}

impl fmt::Debug for Builder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not their values, which may be keys.
        let parameters: Vec<_> = self.parameters.iter().map(|(name, _)| name).collect();
        let mut debug = f.debug_struct("Builder");
        debug
            .field("credentials", &self.credentials)
            .field("environment", &self.environment)
            .field("token_url", &self.token_url.as_deref().map(shown))
            .field("parameters", &parameters)
            .field("routes", &self.routes)
            .field("strict", &self.strict)
            .field("connect_timeout", &self.connect_timeout)
            .field("timeouts", &self.timeouts)
            .field("wait_limit", &self.wait_limit)
            .field("windows", &self.windows)
            .field("max_token_age", &self.max_token_age)
            .field("keep_warm", &self.keep_warm)
            .field("replay_limit", &self.replay_limit);
        #[cfg(feature = "store")]
        debug.field("store", &self.store);
        debug.finish_non_exhaustive()
    }
}
