//! An embedded partner server on loopback, to try the layer and to test clients against.
//!
//! A [`Sandbox`] is a real server, of HTTP/1.1 and of HTTP/2 without TLS, with the token endpoint of
//! Doorkeeper, the software that the partner's runs, and the partner's use cases behind it
//! ([`USE_CASES`](crate::partner::USE_CASES)), each guarded by its scope. It knows nothing of this
//! crate's layer: any client can be tested with it.
//!
//! Everything else is set while it runs: how long tokens live, whether they are reused or revoked,
//! how the API says no, which answer is next. What a test wants to know is counted at the server,
//! not in a mock.
//!
//! ```
//! use http::{Method, Request, StatusCode, header::AUTHORIZATION};
//! use http_body_util::{BodyExt, Full};
//! use hyper_util::{client::legacy::Client, rt::TokioExecutor};
//! use tower_partner_auth::sandbox::{Answer, Sandbox};
//!
//! # tokio::runtime::Runtime::new()?.block_on(async {
//! // Given a partner whose token server fails once,
//! let sandbox = Sandbox::start().await?;
//! sandbox.script_token([Answer::status(503)]);
//!
//! // when a client asks for a token, twice, and calls an endpoint with it,
//! let client = Client::builder(TokioExecutor::new()).build_http::<Full<bytes::Bytes>>();
//! let credentials = sandbox.credentials();
//! let form = format!(
//!     "grant_type=client_credentials&client_id={}&client_secret={}&scope=refer_merchant",
//!     credentials.client_id(),
//!     &*credentials.client_secret().await?,
//! );
//! let ask = Request::post(sandbox.environment().token_url())
//!     .header("content-type", "application/x-www-form-urlencoded")
//!     .body(Full::from(form))?;
//! let failure = client.request(ask.clone()).await?;
//! let success = client.request(ask).await?.into_body().collect().await?.to_bytes();
//! let token: serde_json::Value = serde_json::from_slice(&success)?;
//!
//! let get = Request::get(format!("{}/api/v1/merchants/7", sandbox.origin()))
//!     .header(AUTHORIZATION, format!("Bearer {}", token["access_token"].as_str().unwrap()))
//!     .body(Full::default())?;
//! let merchant = client.request(get).await?;
//!
//! // then the server has seen it so.
//! assert_eq!(failure.status(), StatusCode::SERVICE_UNAVAILABLE);
//! assert_eq!(merchant.status(), StatusCode::OK);
//! assert_eq!(sandbox.token_requests(), 2);
//! assert_eq!(sandbox.api_requests_for(Method::GET, "/api/v1/merchants/{mid}"), 1);
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! # })?;
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Time
//!
//! The lives of tokens and all delays are of Tokio's clock, so they follow a test's
//! `tokio::time::advance`. A paused clock advances by itself whenever every task waits, and that
//! is also while bytes are under way on a socket: a client's own timeouts may then fire early.

mod api;
mod builder;
mod client_auth;
mod controls;
mod counts;
mod endpoint;
mod journal;
mod oauth;
mod received;
mod rejection;
mod reply;
mod script;
mod server;
mod tokens;

use std::fmt;
use std::io;
use std::sync::Arc;

pub use builder::SandboxBuilder;
pub use endpoint::Endpoint;
pub use oauth::ExpiresIn;
pub use received::{BodyEnd, Received};
pub use rejection::RejectionStyle;
pub use script::Answer;

use crate::credentials::ClientCredentials;
use crate::partner::Environment;
use server::State;

/// A partner server that runs on 127.0.0.1 until its last handle is dropped.
///
/// Cheap to clone: all clones are handles of one server. See the [module](self) for an example.
#[derive(Clone)]
pub struct Sandbox {
    running: Arc<Running>,
}

struct Running {
    state: Arc<State>,
    origin: String,
    credentials: ClientCredentials,
}

impl Sandbox {
    /// Starts a server on a free port, with one client and the partner's endpoints.
    ///
    /// # Errors
    ///
    /// If no port can be had on 127.0.0.1.
    ///
    /// # Panics
    ///
    /// Outside a Tokio runtime.
    pub async fn start() -> io::Result<Self> {
        Self::builder().start().await
    }

    /// A server with clients, endpoints or a port of your own.
    pub fn builder() -> SandboxBuilder {
        SandboxBuilder::default()
    }

    /// Its address, as `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> &str {
        &self.running.origin
    }

    /// The partner's environment, with everything at this server.
    pub fn environment(&self) -> Environment {
        Environment::at(self.origin())
    }

    /// The credentials of its (first) client.
    pub fn credentials(&self) -> ClientCredentials {
        self.running.credentials.clone()
    }

    fn state(&self) -> &State {
        &self.running.state
    }
}

// Connections hold the state as well: it is the handles that keep the server up.
impl Drop for Running {
    fn drop(&mut self) {
        self.state.stop();
    }
}

impl fmt::Debug for Sandbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Sandbox").field("origin", &self.origin()).finish_non_exhaustive()
    }
}
