//! A token server and an API in memory that do all that such servers do, at random, and keep books.

use std::convert::Infallible;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, WWW_AUTHENTICATE};
use http::{Request, Response, StatusCode};
use http_body_util::{BodyExt, Full};
use rand::rngs::SmallRng;
use rand::{Rng, SeedableRng};
use tokio::time::{Instant, Sleep, sleep};
use tower::util::BoxCloneService;
use tower::{Service, ServiceExt, service_fn};
use tower_partner_auth::{
    ReplayBody, Scope, TokenError, TokenErrorKind, TokenRequest, TokenResponse,
};

use crate::books::{Books, Call, End};

/// How long everything takes, up to so many milliseconds, and how often it fails.
#[derive(Debug, Clone)]
pub(crate) struct Climate {
    pub(crate) token_delay: u64,
    /// One token request in thirty takes this long.
    pub(crate) hang: u64,
    pub(crate) api_delay: u64,
    pub(crate) readiness: u64,
    pub(crate) life: u64,
    pub(crate) wish: u64,
    /// One token request in so many.
    pub(crate) failures: u32,
}

#[derive(Clone)]
pub(crate) struct Partner {
    climate: Arc<Climate>,
    state: Arc<Mutex<State>>,
}

pub(crate) struct State {
    pub(crate) books: Books,
    pub(crate) random: SmallRng,
    /// Both servers are well: nothing fails, hangs or is rejected.
    pub(crate) calm: bool,
}

impl State {
    pub(crate) fn up_to(&mut self, milliseconds: u64) -> Duration {
        Duration::from_millis(self.random.random_range(0..=milliseconds))
    }

    pub(crate) fn one_in(&mut self, many: u32) -> bool {
        !self.calm && self.random.random_ratio(1, many)
    }
}

impl Partner {
    pub(crate) fn new(climate: Climate, books: Books, seed: u64) -> Self {
        let state = State { books, random: SmallRng::seed_from_u64(seed), calm: false };
        Self { climate: Arc::new(climate), state: Arc::new(Mutex::new(state)) }
    }

    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().expect("nobody panics with it")
    }

    // === the token server ===

    pub(crate) fn token_source(&self) -> BoxCloneService<TokenRequest, TokenResponse, TokenError> {
        let this = self.clone();
        service_fn(move |request| this.clone().token(request)).boxed_clone()
    }

    async fn token(self, request: TokenRequest) -> Result<TokenResponse, TokenError> {
        let requested = Instant::now();
        let delay = {
            let mut state = self.state();
            state.books.ask(request.scope().as_str(), requested);
            let most = if state.one_in(30) { self.climate.hang } else { self.climate.token_delay };
            state.up_to(most)
        };
        sleep(delay).await;
        self.state().answer(&self.climate, &request, requested)
    }

    // === the API ===

    pub(crate) fn api(&self) -> Api {
        Api { partner: self.clone(), pause: None }
    }
}

impl State {
    fn answer(
        &mut self,
        climate: &Climate,
        request: &TokenRequest,
        requested: Instant,
    ) -> Result<TokenResponse, TokenError> {
        let now = Instant::now();
        let scope = request.scope().as_str();
        let client = request.credentials().client_id().parse().expect("clients are numbers");
        let narrow = self.one_in(100);
        if let Some(error) = self.failure(climate) {
            let wish = error.retry_after().unwrap_or_default();
            let (kind, transient) = (error.kind(), error.is_transient());
            self.books.end(scope, End::Failure { kind, transient, wish, at: now });
            return Err(error);
        }
        if narrow {
            let kind = TokenErrorKind::NarrowScope;
            self.books
                .end(scope, End::Failure { kind, transient: false, wish: Duration::ZERO, at: now });
            return Ok(TokenResponse::new("narrow")?.with_scope(Scope::none()));
        }
        let newest = self.books.newest(scope, client, now);
        let (name, life, end) = match newest.filter(|_| self.one_in(10)) {
            Some((name, life)) => (name.clone(), life, End::Same(name, now)),
            None => {
                let name = self.books.issue(scope, client);
                let life = (!self.one_in(15)).then(|| self.up_to(climate.life));
                (name.clone(), life, End::Token(name))
            }
        };
        self.books.grant(scope, &name, requested, life, end);
        let response = TokenResponse::new(name)?.with_requested_at(requested);
        Ok(match life {
            Some(life) => response.with_expires_in(life),
            None => response,
        })
    }

    fn failure(&mut self, climate: &Climate) -> Option<TokenError> {
        if !self.one_in(climate.failures) {
            return None;
        }
        let wish = self.up_to(climate.wish);
        Some(match self.random.random_range(0..6) {
            0 => TokenError::error_response("invalid_client"),
            1 => TokenError::error_response("rate_limit_exceeded").with_retry_after(Some(wish)),
            2 => TokenError::new(TokenErrorKind::Status)
                .with_status(StatusCode::SERVICE_UNAVAILABLE)
                .with_retry_after(Some(wish)),
            3 => TokenError::new(TokenErrorKind::TimedOut),
            _ => TokenError::new(TokenErrorKind::Transport),
        })
    }
}

/// The API. A clone of it takes a while to get ready.
pub(crate) struct Api {
    partner: Partner,
    pause: Option<Pin<Box<Sleep>>>,
}

/// The routes of the layer, by their numbers: what they do beside authorising.
pub(crate) const ROUTES: [(&str, &str); 5] =
    [("a", "a"), ("b", "b"), ("both", "a b"), ("odd", "a"), ("once", "b")];
/// It rejects good tokens for reasons of its own.
const ODD: usize = 3;
/// It is not to be replayed.
pub(crate) const ONCE: usize = 4;

impl Clone for Api {
    fn clone(&self) -> Self {
        let mut state = self.partner.state();
        let late = state.one_in(8).then(|| state.up_to(self.partner.climate.readiness));
        Self { partner: self.partner.clone(), pause: late.map(|late| Box::pin(sleep(late))) }
    }
}

impl Service<Request<ReplayBody<Full<Bytes>>>> for Api {
    type Response = Response<String>;
    type Error = Infallible;
    type Future = Pin<Box<dyn Future<Output = Result<Response<String>, Infallible>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        if let Some(pause) = &mut self.pause {
            ready!(pause.as_mut().poll(cx));
            self.pause = None;
        }
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<ReplayBody<Full<Bytes>>>) -> Self::Future {
        let mut state = self.partner.state();
        let call: Call = request.extensions().get().cloned().expect("every request has its call");
        let token = request.headers()[AUTHORIZATION].to_str().expect("visible ASCII");
        let token = token.strip_prefix("Bearer ").expect("the scheme of the route").to_owned();
        let own = call.place.0 == ODD && state.one_in(3);
        let accepted = state.books.accepts(&call, &token, own, Instant::now());
        let mut response = Response::new(token);
        if !accepted {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        } else if state.one_in(40) {
            *response.status_mut() = StatusCode::FORBIDDEN;
        } else if state.one_in(40) {
            *response.status_mut() = StatusCode::UNAUTHORIZED;
            let challenge = "Bearer error=\"insufficient_scope\"".parse().expect("a header value");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
        }
        let early = state.one_in(3);
        let delay = state.up_to(self.partner.climate.api_delay);
        drop(state);
        Box::pin(async move {
            if !early || accepted {
                let body =
                    request.into_body().collect().await.expect("a body in memory").to_bytes();
                assert_eq!(body, call.number.to_string(), "each attempt has the whole body");
            }
            sleep(delay).await;
            Ok(response)
        })
    }
}
