//! The partner's servers, on loopback and on a thread of their own, as they are another machine's
//! business; and what a caller needs to reach them.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use tokio::runtime::{Builder, Runtime};
use tower_partner_auth::PartnerAuthLayer;
use tower_partner_auth::sandbox::Sandbox;

pub(crate) type HttpClient<B> = Client<HttpConnector, B>;

/// A sandbox whose token requests take a while.
pub(crate) struct Partner {
    pub(crate) sandbox: Sandbox,
    // Dropped last: it runs the sandbox.
    runtime: Runtime,
}

impl Partner {
    pub(crate) fn start(token_delay: Duration) -> Self {
        let runtime = server_runtime();
        let sandbox = runtime.block_on(Sandbox::start()).expect("a free port on loopback");
        sandbox.token_delay(token_delay);
        Self { sandbox, runtime }
    }

    /// A layer for it, without tokens yet.
    pub(crate) fn layer(&self) -> PartnerAuthLayer {
        PartnerAuthLayer::builder(self.sandbox.credentials())
            .environment(self.sandbox.environment())
            .http_client(http_client::<Full<Bytes>>(false))
            .build()
            .expect("a good configuration")
    }

    pub(crate) fn id_and_secret(&self) -> (String, String) {
        let credentials = self.sandbox.credentials();
        let secret = self.runtime.block_on(credentials.client_secret());
        let secret = secret.expect("the sandbox invented it").to_string();
        (credentials.client_id().to_owned(), secret)
    }

    /// Of a route of the partner's that is replayed.
    pub(crate) fn url(&self) -> String {
        format!("{}/api/v1/merchants/8391017", self.sandbox.origin())
    }
}

/// One thread: what serves does not take the cores of what is measured, if there are more.
pub(crate) fn server_runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().expect("a runtime")
}

/// As many threads as there are cores.
pub(crate) fn client_runtime() -> Runtime {
    Builder::new_multi_thread().enable_all().build().expect("a runtime")
}

pub(crate) fn http_client<B>(http2: bool) -> HttpClient<B>
where
    B: http_body::Body + Send,
    B::Data: Send,
{
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).http2_only(http2).build(connector)
}
