//! A token endpoint on loopback that every peer can ask in its own way.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use bytes::Bytes;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use serde_json::json;
use tokio::net::{TcpListener, TcpSocket};
use tokio::sync::oneshot;
use tokio::task::JoinSet;

use super::Policy;
use super::ledger::Ledger;
use crate::peer::Failure;

/// A herd may connect as one: none of it is to wait for a retransmission.
const BACKLOG: u32 = 16 * 1024;

/// A token server that runs until it is dropped.
pub(super) struct TokenServer {
    shared: Arc<Shared>,
    address: SocketAddr,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

struct Shared {
    policy: Policy,
    ledger: Arc<Ledger>,
    requests: AtomicU64,
    failing: AtomicBool,
}

impl TokenServer {
    pub(super) fn start(policy: Policy, ledger: Arc<Ledger>) -> Result<Self, Failure> {
        let shared = Arc::new(Shared {
            policy,
            ledger,
            requests: AtomicU64::new(0),
            failing: AtomicBool::new(false),
        });
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let listener = runtime.block_on(async {
            let socket = TcpSocket::new_v4()?;
            socket.bind((Ipv4Addr::LOCALHOST, 0).into())?;
            socket.listen(BACKLOG)
        })?;
        let address = listener.local_addr()?;
        let (stop, stopped) = oneshot::channel();
        let serving = shared.clone();
        let thread = std::thread::spawn(move || {
            runtime.block_on(async {
                tokio::select! {
                    () = serve(&serving, listener) => {}
                    _ = stopped => {}
                }
            });
        });
        Ok(Self { shared, address, stop: Some(stop), thread: Some(thread) })
    }

    pub(super) fn url(&self) -> String {
        format!("http://{}/oauth/token", self.address)
    }

    pub(super) fn requests(&self) -> u64 {
        self.shared.requests.load(Ordering::SeqCst)
    }

    pub(super) fn fail(&self, failing: bool) {
        self.shared.failing.store(failing, Ordering::SeqCst);
    }
}

impl Drop for TokenServer {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            // It has no panic worth passing on: the scenario is over.
            let _ = thread.join();
        }
    }
}

async fn serve(shared: &Arc<Shared>, listener: TcpListener) {
    let mut connections = JoinSet::new();
    loop {
        let Ok((stream, _)) = listener.accept().await else {
            // No file descriptor is left: a connection has to end first.
            tokio::time::sleep(Duration::from_millis(10)).await;
            continue;
        };
        // A peer that cannot send has given up, or is gone: its loss.
        let _ = stream.set_nodelay(true);
        let shared = shared.clone();
        connections.spawn(async move {
            let answer = service_fn(|request| answer(&shared, request));
            let _ = http1::Builder::new().serve_connection(TokioIo::new(stream), answer).await;
        });
        while connections.try_join_next().is_some() {}
    }
}

async fn answer(
    shared: &Shared,
    request: Request<Incoming>,
) -> Result<Response<Full<Bytes>>, Infallible> {
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let failing = shared.failing.load(Ordering::SeqCst);
    // Read, so that the connection can be used again; nobody is asked who they are.
    let _ = request.into_body().collect().await;
    let (status, body) = if failing {
        let body = json!({
            "error": "temporarily_unavailable",
            "error_description": "The server is down.",
        });
        (StatusCode::SERVICE_UNAVAILABLE, body)
    } else {
        (StatusCode::OK, grant(shared))
    };
    tokio::time::sleep(shared.policy.delay).await;
    let mut response = Response::new(Full::from(body.to_string()));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, http::HeaderValue::from_static("application/json"));
    headers.insert(CACHE_CONTROL, http::HeaderValue::from_static("no-store"));
    Ok(response)
}

fn grant(shared: &Shared) -> serde_json::Value {
    let life = shared.policy.life.as_secs();
    json!({
        "access_token": shared.ledger.issue(shared.policy.life),
        "token_type": "Bearer",
        "expires_in": life,
        // Entra's own: `azure_identity` does not read a response without it.
        "ext_expires_in": life,
    })
}
