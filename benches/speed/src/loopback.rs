//! End to end: calls over real connections, with and without the layer in turns, against a server
//! that does as little as a server can.

use std::convert::Infallible;
use std::fmt;
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
use crate::scenarios::{constant_header, layer};
use crate::stats::{median, median_interval};

/// Of one slice.
const CALLS: usize = 1_024;
/// One after another, as a caller makes them, and so many that the client has no rest.
const AT_ONCE: [usize; 2] = [1, 32];
const LIMIT: f64 = 0.98;

type Memory = Full<Bytes>;

#[derive(Debug, Clone, Copy)]
enum Way {
    None,
    /// What the header itself costs, on the wire and at the server.
    Constant,
    Layer,
}

/// Seconds that each way took, turn by turn.
#[derive(Default)]
struct Times {
    turns: Vec<[f64; Way::ALL.len()]>,
}

/// The throughput of one way for that of another, with its interval.
struct Against {
    ratio: f64,
    lower: f64,
    upper: f64,
}

pub(crate) fn measure(effort: Effort) -> Section {
    let mut section = Section::default();
    let turns = effort.of(120, 6);
    let servers = server_runtime();
    let origin = servers.block_on(serve());
    // One thread: the client is what limits the throughput.
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    let mut table = Table::new(&[
        "",
        "calls at a time",
        "no layer, calls a second",
        "constant header",
        "this layer",
        "constant header to no layer",
        "this layer to no layer",
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
                let times = slices(&runtime, &origin, http2, &request, at_once, turns);
                let per_second = |way: Way| CALLS as f64 / median(times.of(way));
                let [constant, layer] =
                    [Way::Constant, Way::Layer].map(|way| times.against_none(way));
                let met = layer.ratio >= LIMIT;
                section.timed(
                    &format!("Throughput on loopback: {protocol}, {what}, {at_once} at a time"),
                    &format!("{:.0} % of that without the layer", LIMIT * 100.0),
                    format!("{layer}, where the constant header leaves {constant}"),
                    met,
                );
                table.row([
                    format!("{protocol}, {what}"),
                    at_once.to_string(),
                    format!("{:.0}", per_second(Way::None)),
                    format!("{:.0}", per_second(Way::Constant)),
                    format!("{:.0}", per_second(Way::Layer)),
                    constant.to_string(),
                    layer.to_string(),
                    verdict(met),
                ]);
            }
        }
    }
    section.add(table.finish());
    section
}

/// Times of slices, side by side.
fn slices(
    runtime: &Runtime,
    origin: &str,
    http2: bool,
    request: &Request<Memory>,
    at_once: usize,
    turns: usize,
) -> Times {
    let none = http_client::<Memory>(http2);
    let constant = constant_header(http_client::<Memory>(http2));
    let auth = layer(|builder| builder.environment(Environment::at(origin)));
    let layer = auth.layer(http_client::<ReplayBody<Memory>>(http2));
    let slice = |way| match way {
        Way::None => runtime.block_on(slice(&none, request, at_once)),
        Way::Constant => runtime.block_on(slice(&constant, request, at_once)),
        Way::Layer => runtime.block_on(slice(&layer, request, at_once)),
    };
    // Connections, and the token.
    for way in Way::ALL {
        slice(way);
    }
    let mut times = Times::default();
    for turn in 0..turns {
        // Each is first in its turn.
        let mut order = Way::ALL;
        order.rotate_left(turn % Way::ALL.len());
        let mut of_turn = [0.0; Way::ALL.len()];
        order.into_iter().for_each(|way| of_turn[way as usize] = slice(way));
        times.turns.push(of_turn);
    }
    times
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

impl Way {
    const ALL: [Self; 3] = [Self::None, Self::Constant, Self::Layer];
}

impl Times {
    fn of(&self, way: Way) -> impl Iterator<Item = f64> + '_ {
        self.turns.iter().map(move |turn| turn[way as usize])
    }

    fn against_none(&self, way: Way) -> Against {
        let ratios: Vec<f64> = self.of(Way::None).zip(self.of(way)).map(|(a, b)| a / b).collect();
        let ratio = median(ratios.iter().copied());
        let (lower, upper) = median_interval(ratios);
        Against { ratio, lower, upper }
    }
}

impl fmt::Display for Against {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [ratio, lower, upper] = [self.ratio, self.lower, self.upper].map(|part| part * 100.0);
        write!(f, "{ratio:.1} % ({lower:.1} to {upper:.1})")
    }
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
