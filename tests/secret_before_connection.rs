//! The order in which a token request is made: the secret first, then a connection, then the time from
//! which the token's life counts.

mod common;

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use common::scripted::{SECOND, Scripted, TokenServer, grant, kind};
use http::{Request, Response};
use http_body_util::Full;
use tokio::time::Sleep;
use tower::util::BoxCloneService;
use tower::{Service, ServiceExt};
use tower_partner_auth::{ClientCredentials, Secret, TokenErrorKind};

/// A client that takes a while to get ready, as one that connects first; and what was done in which
/// order.
#[derive(Clone)]
struct Connecting {
    tokens: BoxCloneService<Request<Full<Bytes>>, Response<Full<Bytes>>, Infallible>,
    delay: Duration,
    pause: Option<Arc<Mutex<Pin<Box<Sleep>>>>>,
    log: Log,
}

type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;
type Log = Arc<Mutex<Vec<&'static str>>>;

impl Connecting {
    fn to(tokens: &TokenServer, delay: Duration, log: &Log) -> Self {
        Self { tokens: tokens.client(), delay, pause: None, log: Arc::clone(log) }
    }
}

impl Service<Request<Full<Bytes>>> for Connecting {
    type Response = Response<Full<Bytes>>;
    type Error = Infallible;
    type Future = BoxFuture<Result<Self::Response, Infallible>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        let pause = self.pause.get_or_insert_with(|| {
            self.log.lock().unwrap().push("connect");
            Arc::new(Mutex::new(Box::pin(tokio::time::sleep(self.delay))))
        });
        pause.lock().unwrap().as_mut().poll(cx).map(Ok)
    }

    fn call(&mut self, request: Request<Full<Bytes>>) -> Self::Future {
        self.pause.take().expect("it is ready");
        self.log.lock().unwrap().push("send");
        Box::pin(self.tokens.clone().oneshot(request))
    }
}

/// A secret that takes a while to be had.
fn slow_secret(delay: Duration, log: &Log) -> Secret {
    let log = Arc::clone(log);
    Secret::from_fn(move || {
        let log = Arc::clone(&log);
        async move {
            tokio::time::sleep(delay).await;
            log.lock().unwrap().push("secret");
            Ok::<_, Infallible>("secret".to_owned())
        }
    })
}

#[tokio::test(start_paused = true)]
async fn no_connection_is_held_while_the_secret_is_read_and_a_life_counts_from_after_both() {
    // Given a vault and a connection that each take longer than the token lives
    let log = Log::default();
    let tokens = TokenServer::answering(grant(4));
    let client = Connecting::to(&tokens, 5 * SECOND, &log);
    let credentials = ClientCredentials::new("my client", slow_secret(5 * SECOND, &log));
    let calls = Scripted::of(credentials, tokens, |builder| {
        builder.http_client(client).token_timeout(60 * SECOND)
    });
    // When
    assert_eq!(calls.call().await.unwrap(), 200);
    // Then
    assert_eq!(*log.lock().unwrap(), ["secret", "connect", "send"]);
    assert_eq!(calls.call().await.unwrap(), 200);
    assert_eq!(calls.tokens.requests(), 1, "the token was not taken for expired");
}

#[tokio::test(start_paused = true)]
async fn the_attempts_timeout_is_of_the_secret_the_connection_and_the_call_together() {
    // Given three waits of a second
    for (timeout, in_time) in [(12 * SECOND, true), (8 * SECOND, false)] {
        let log = Log::default();
        let tokens = TokenServer::default().then_after(SECOND, 200, grant(100));
        let client = Connecting::to(&tokens, SECOND, &log);
        let credentials = ClientCredentials::new("my client", slow_secret(SECOND, &log));
        let calls = Scripted::of(credentials, tokens, |builder| {
            builder.http_client(client).token_timeout(timeout).token_retries(0)
        });
        // When
        let result = calls.call().await;
        // Then
        match in_time {
            true => assert_eq!(result.unwrap(), 200),
            false => assert_eq!(kind(result), TokenErrorKind::TimedOut),
        }
        assert_eq!(*log.lock().unwrap(), ["secret", "connect", "send"]);
    }
}
