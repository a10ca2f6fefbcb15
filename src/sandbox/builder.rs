//! What a sandbox starts with.

use std::fmt;
use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::time::Instant;

use super::api::Api;
use super::endpoint::Endpoint;
use super::oauth::{Authority, Client, TokenPolicy};
use super::script::Script;
use super::server::State;
use super::tokens::{Ledger, random_hex};
use super::{Running, Sandbox};
use crate::credentials::ClientCredentials;
use crate::partner::USE_CASES;
use crate::scope::{InvalidScope, Scope};

/// Configures a [`Sandbox`] that is not started yet. Everything else can be set while it runs.
///
/// ```
/// use http::Method;
/// use tower_partner_auth::ClientCredentials;
/// use tower_partner_auth::sandbox::{Endpoint, Sandbox};
///
/// # tokio::runtime::Runtime::new()?.block_on(async {
/// let sandbox = Sandbox::builder()
///     .client(ClientCredentials::new("reader", "s3cret"), "read_reports")
///     .endpoint(Endpoint::new(Method::GET, "/v1/reports/{id}", "read_reports"))
///     .start()
///     .await?;
/// assert_eq!(sandbox.credentials().client_id(), "reader");
/// # Ok::<(), std::io::Error>(())
/// # })?;
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Default)]
#[must_use = "a builder does nothing until `start` is called"]
pub struct SandboxBuilder {
    port: u16,
    clients: Vec<(ClientCredentials, Result<Scope, InvalidScope>)>,
    endpoints: Vec<Endpoint>,
}

impl SandboxBuilder {
    /// A client of the token endpoint, and the scopes it may ask for. Can be called more than once.
    /// Its secrets are read when the server starts; any of them is good.
    /// Default: one client with an invented id and secret, which may ask for every scope that an
    /// endpoint knows.
    pub fn client<T>(mut self, credentials: ClientCredentials, scope: T) -> Self
    where
        T: TryInto<Scope>,
        T::Error: Into<InvalidScope>,
    {
        self.clients.push((credentials, scope.try_into().map_err(Into::into)));
        self
    }

    /// An endpoint beside the partner's, or in the place of the one with the same method and path.
    /// Can be called more than once.
    pub fn endpoint(mut self, endpoint: Endpoint) -> Self {
        self.endpoints.push(endpoint);
        self
    }

    /// The port on 127.0.0.1. Default: 0, any free one.
    pub fn port(mut self, port: u16) -> Self {
        self.port = port;
        self
    }

    /// Starts the server on the current Tokio runtime, which has to have I/O and time.
    ///
    /// # Errors
    ///
    /// If the port cannot be had, or ([`io::ErrorKind::InvalidInput`]) a client or an endpoint is
    /// bad: the message names it.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn start(self) -> io::Result<Sandbox> {
        let (credentials, clients) = clients(self.clients).await?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, self.port)).await?;
        let address = listener.local_addr()?.to_string();
        let origin = format!("http://{address}");

        let mut api = Api::new(address).map_err(io::Error::other)?;
        let partners = USE_CASES.iter().map(Endpoint::of_use_case);
        partners.chain(self.endpoints).try_for_each(|endpoint| api.add(endpoint))?;

        let authority = Authority {
            clients,
            offered: api.scopes(),
            ledger: Ledger::new(Instant::now()),
            script: Script::new(),
            policy: TokenPolicy::default(),
        };
        let state = Arc::new(State::new(authority, api));
        state.serve(listener);
        Ok(Sandbox { running: Arc::new(Running { state, origin, credentials }) })
    }
}

/// At least one client, and the credentials of the first.
async fn clients(
    mut configured: Vec<(ClientCredentials, Result<Scope, InvalidScope>)>,
) -> io::Result<(ClientCredentials, Vec<Client>)> {
    let invented = configured.is_empty();
    if invented {
        let credentials = ClientCredentials::new(random_hex(), random_hex());
        configured.push((credentials, Ok(Scope::none())));
    }
    let first = configured[0].0.clone();
    let mut clients = Vec::new();
    for (credentials, allowed) in configured {
        let id = credentials.client_id().to_owned();
        let bad = |fault: String| {
            io::Error::new(io::ErrorKind::InvalidInput, format!("client {id:?}: {fault}"))
        };
        let allowed = allowed.map_err(|fault| bad(fault.to_string()))?;
        let mut secrets = Vec::new();
        for number in credentials.secrets().in_order() {
            secrets.extend(credentials.secrets().read(number).await.ok());
        }
        if secrets.is_empty() {
            let fault = credentials.client_secret().await.expect_err("none can be read");
            return Err(bad(fault.to_string()));
        }
        clients.push(Client { id, secrets, allowed: (!invented).then_some(allowed) });
    }
    Ok((first, clients))
}

impl fmt::Debug for SandboxBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let clients: Vec<_> = self.clients.iter().map(|(client, _)| client.client_id()).collect();
        f.debug_struct("SandboxBuilder")
            .field("port", &self.port)
            .field("clients", &clients)
            .field("endpoints", &self.endpoints)
            .finish()
    }
}
