//! Other ways for a client to say who it is than a shared secret.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use http::{HeaderName, Uri};
use tower::BoxError;
use zeroize::Zeroizing;

use crate::scope::Scope;

/// Says who the client is, in place of a secret: a signed assertion (RFC 7521, RFC 7523), a key in
/// the hands of a hardware module or a cloud, or whatever the authorization server takes.
///
/// ```
/// use tower_partner_auth::{
///     ClientAuthenticator, ClientCredentials, ClientProof, ProofFuture, ProofRequest,
/// };
///
/// # struct Key;
/// # impl Key {
/// #     async fn sign(&self, _: String) -> Result<String, std::io::Error> { Ok("jwt".to_owned()) }
/// # }
/// # fn claims(client_id: &str, audience: &str) -> String { format!("{client_id} {audience}") }
/// /// `private_key_jwt` of OpenID Connect.
/// struct PrivateKeyJwt {
///     key: Key,
/// }
///
/// impl ClientAuthenticator for PrivateKeyJwt {
///     fn authenticate<'a>(&'a self, request: ProofRequest<'a>) -> ProofFuture<'a> {
///         Box::pin(async move {
///             // With a new `jti` and an `exp` soon: it is asked for each token request.
///             let claims = claims(request.client_id(), &request.endpoint().to_string());
///             Ok(ClientProof::jwt_bearer(self.key.sign(claims).await?))
///         })
///     }
/// }
///
/// let credentials = ClientCredentials::with_authenticator("my-client", PrivateKeyJwt { key: Key });
/// # let _ = credentials;
/// ```
pub trait ClientAuthenticator: Send + Sync + 'static {
    /// The proof for one token request. It is asked anew for each, also for one that is sent again
    /// after a failure: an assertion may be good for one time only (RFC 7523 §3, `jti`).
    ///
    /// It is asked inside the token request's timeout
    /// ([`Builder::token_timeout`](crate::Builder::token_timeout)), with no connection held
    /// meanwhile. If it panics, the fetch is [`Aborted`](crate::TokenErrorKind::Aborted).
    ///
    /// # Errors
    ///
    /// They end the fetch as those of [`Secret::from_fn`](crate::Secret::from_fn) do. Their `Display`
    /// and `Debug`, and those of their sources, must hold no secret.
    fn authenticate<'a>(&'a self, request: ProofRequest<'a>) -> ProofFuture<'a>;
}

/// The answer of a [`ClientAuthenticator`].
pub type ProofFuture<'a> = Pin<Box<dyn Future<Output = Result<ClientProof, BoxError>> + Send + 'a>>;

/// What a proof is asked for: the token request that it goes into.
#[derive(Clone, Copy)]
pub struct ProofRequest<'a> {
    endpoint: &'a Uri,
    client_id: &'a str,
    scope: &'a Scope,
}

impl<'a> ProofRequest<'a> {
    /// One of your own, to try an authenticator with.
    ///
    /// ```
    /// # use tower_partner_auth::{ClientAuthenticator, ClientProof, ProofFuture, ProofRequest, Scope};
    /// # struct Signer;
    /// # impl ClientAuthenticator for Signer {
    /// #     fn authenticate<'a>(&'a self, request: ProofRequest<'a>) -> ProofFuture<'a> {
    /// #         Box::pin(async move { Ok(ClientProof::jwt_bearer(format!("for {}", request.client_id()))) })
    /// #     }
    /// # }
    /// # #[tokio::main(flavor = "current_thread")]
    /// # async fn main() -> Result<(), Box<dyn std::error::Error + Send + Sync>> {
    /// let endpoint = "https://accounts.example.com/oauth/token".parse()?;
    /// let scope = Scope::parse("read")?;
    /// let proof = Signer.authenticate(ProofRequest::new(&endpoint, "my-client", &scope)).await?;
    /// assert!(proof.parameters().any(|(name, value)| name == "client_assertion" && value == "for my-client"));
    /// # Ok(())
    /// # }
    /// ```
    pub fn new(endpoint: &'a Uri, client_id: &'a str, scope: &'a Scope) -> Self {
        Self { endpoint, client_id, scope }
    }

    /// The token endpoint's URL, which is what most servers want as an assertion's audience.
    pub fn endpoint(&self) -> &'a Uri {
        self.endpoint
    }

    /// Who asks: the assertion's issuer and subject.
    pub fn client_id(&self) -> &'a str {
        self.client_id
    }

    /// The scope that is asked for.
    pub fn scope(&self) -> &'a Scope {
        self.scope
    }
}

impl fmt::Debug for ProofRequest<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Not the endpoint's query: it may hold a key.
        f.debug_struct("ProofRequest")
            .field("endpoint", &self.endpoint.path())
            .field("client_id", &self.client_id)
            .field("scope", &self.scope)
            .finish()
    }
}

/// What a token request carries in place of a secret, beside the `client_id`: form parameters, and
/// headers.
///
/// None of them may be there already: the parameters that the grant sets itself (`grant_type`,
/// `client_id`, `client_secret`, `scope`; for a secret that is made anew for each request there is
/// [`Secret::from_fn`](crate::Secret::from_fn)), those of
/// [`Builder::token_parameter`](crate::Builder::token_parameter), and as headers `Accept`,
/// `Content-Type`, those by which messages are framed, and those of
/// [`Builder::token_header`](crate::Builder::token_header). `Authorization` is free.
///
/// The values are in no `Debug` output, and their memory is wiped when the request is done.
#[derive(Default)]
pub struct ClientProof {
    pub(crate) parameters: Vec<(String, Zeroizing<String>)>,
    pub(crate) headers: Vec<(HeaderName, Zeroizing<String>)>,
}

impl ClientProof {
    /// An empty one: for a server that knows the client by its connection (RFC 8705), and for what is
    /// added.
    pub fn new() -> Self {
        Self::default()
    }

    /// A signed JWT, in `client_assertion` and `client_assertion_type` (RFC 7523 §2.2).
    pub fn jwt_bearer(assertion: impl Into<String>) -> Self {
        Self::new()
            .with_parameter(
                "client_assertion_type",
                "urn:ietf:params:oauth:client-assertion-type:jwt-bearer",
            )
            .with_parameter("client_assertion", assertion)
    }

    /// Adds a form parameter.
    #[must_use]
    pub fn with_parameter(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.parameters.push((name.into(), Zeroizing::new(value.into())));
        self
    }

    /// Adds a header, marked sensitive. Its value may hold visible ASCII, spaces and tabs.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: impl Into<String>) -> Self {
        self.headers.push((name, Zeroizing::new(value.into())));
        self
    }

    /// Its form parameters. Keep their values out of logs.
    pub fn parameters(&self) -> impl Iterator<Item = (&str, &str)> {
        self.parameters.iter().map(|(name, value)| (name.as_str(), value.as_str()))
    }

    /// Its headers. Keep their values out of logs.
    pub fn headers(&self) -> impl Iterator<Item = (&HeaderName, &str)> {
        self.headers.iter().map(|(name, value)| (name, value.as_str()))
    }
}

impl fmt::Debug for ClientProof {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let parameters: Vec<_> = self.parameters.iter().map(|(name, _)| name).collect();
        let headers: Vec<_> = self.headers.iter().map(|(name, _)| name.as_str()).collect();
        f.debug_struct("ClientProof")
            .field("parameters", &parameters)
            .field("headers", &headers)
            .finish()
    }
}
