//! End to end: calls over real connections, with and without the layer in turns, against a server
//! that does as little as a server can.

use std::convert::Infallible;
use std::time::Instant;

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::TcpListener;
use tokio::runtime::Runtime;
use tokio::task::JoinSet;
use tower::{Layer, Service, ServiceExt};
use tower_partner_auth::{Environment, ReplayBody};

use crate::Effort;
use crate::partner::{http_client, server_runtime};
use crate::report::{Section, Table, verdict};
use crate::scenarios::layer;
use crate::stats::{median, median_interval};

/// Of one slice.
const CALLS: usize = 1_024;
/// One after another, as a caller makes them, and so many that the client has no rest.
const AT_ONCE: [usize; 2] = [1, 32];
const LIMIT: f64 = 0.98;

type Memory = Full<Bytes>;

pub(crate) fn measure(effort: Effort) -> Section {
    let mut section = Section::default();
    let pairs = effort.of(120, 6);
    let servers = server_runtime();
    let origin = servers.block_on(serve());
    // One thread: the client is what limits the throughput.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut table = Table::new(&[
        "",
        "calls at a time",
        "without, calls a second",
        "with this layer",
        "with to without",
        "95 % interval",
        "Verdict",
    ]);
    for (protocol, http2) in [("HTTP/1.1", false), ("HTTP/2", true)] {
        for (what, path, body) in [
            ("GET", "/api/v1/merchants/8391017", None),
            ("POST, 1 KiB", "/api/v3/merchants", Some([b'x'; 1024])),
        ] {
            let mut request = Request::get(format!("{origin}{path}"));
            if body.is_some() {
                request = request.method("POST");
            }
            let body = body.map(|body| Bytes::copy_from_slice(&body)).unwrap_or_default();
            let request = request.body(Full::new(body)).expect("a valid request");
            for at_once in AT_ONCE {
                let (without, with) = slices(&runtime, &origin, http2, &request, at_once, pairs);
                let ratios: Vec<f64> = without.iter().zip(&with).map(|(a, b)| a / b).collect();
                let ratio = median(ratios.iter().copied());
                let (lower, upper) = median_interval(ratios);
                let met = ratio >= LIMIT;
                let percent = |ratio: f64| format!("{:.1}", ratio * 100.0);
                section.timed(
                    &format!("Throughput on loopback: {protocol}, {what}, {at_once} at a time"),
                    &format!("{:.0} % of that without the layer", LIMIT * 100.0),
                    format!("{} % ({} to {})", percent(ratio), percent(lower), percent(upper)),
                    met,
                );
                let per_second = |times: &[f64]| CALLS as f64 / median(times.iter().copied());
                table.row([
                    format!("{protocol}, {what}"),
                    at_once.to_string(),
                    format!("{:.0}", per_second(&without)),
                    format!("{:.0}", per_second(&with)),
                    format!("{} %", percent(ratio)),
                    format!("{} to {} %", percent(lower), percent(upper)),
                    verdict(met),
                ]);
            }
        }
    }
    section.add(table.finish());
    section
}

/// The times of slices without and with the layer, side by side.
fn slices(
    runtime: &Runtime,
    origin: &str,
    http2: bool,
    request: &Request<Memory>,
    at_once: usize,
    pairs: usize,
) -> (Vec<f64>, Vec<f64>) {
    let auth = layer(|builder| builder.environment(Environment::at(origin)));
    let bare = http_client::<Memory>(http2);
    let layered = auth.layer(http_client::<ReplayBody<Memory>>(http2));
    let without = || runtime.block_on(slice(&bare, request, at_once));
    let with = || runtime.block_on(slice(&layered, request, at_once));
    // Connections, and the token.
    without();
    with();
    let turn = |pair| {
        // Each is first in its turn.
        if pair % 2 == 0 {
            let without = without();
            (without, with())
        } else {
            let with = with();
            (without(), with)
        }
    };
    (0..pairs).map(turn).unzip()
}

/// Seconds that the calls take.
async fn slice<S>(client: &S, request: &Request<Memory>, at_once: usize) -> f64
where
    S: Service<Request<Memory>, Response = Response<Incoming>> + Clone + Send + 'static,
    S::Error: std::fmt::Debug,
    S::Future: Send,
{
    let start = Instant::now();
    let mut tasks = JoinSet::new();
    for _ in 0..at_once {
        let (client, request) = (client.clone(), request.clone());
        tasks.spawn(async move {
            for _ in 0..CALLS / at_once {
                let response = client.clone().oneshot(request.clone()).await.expect("an answer");
                response.into_body().collect().await.expect("a whole body");
            }
        });
    }
    tasks.join_all().await;
    start.elapsed().as_secs_f64()
}

/// Answers every request with two bytes.
async fn serve() -> String {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a free port on loopback");
    let origin = format!("http://{}", listener.local_addr().expect("its address"));
    tokio::spawn(async move {
        loop {
            let (stream, _) = listener.accept().await.expect("a connection");
            stream.set_nodelay(true).expect("a socket");
            tokio::spawn(async move {
                let service = hyper::service::service_fn(|request: Request<Incoming>| async {
                    drop(request.into_body().collect().await);
                    Ok::<_, Infallible>(Response::new(Full::new(Bytes::from_static(b"ok"))))
                });
                let server = auto::Builder::new(TokioExecutor::new());
                // It ends when the client hangs up.
                drop(server.serve_connection(TokioIo::new(stream), service).await);
            });
        }
    });
    origin
}
