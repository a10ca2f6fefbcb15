//! A partner in memory: a token server, and an API that knows which tokens are good.

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::time::{Instant, sleep};
use tower::BoxError;

pub(crate) const TOKEN_URL: &str = "https://accounts.example.com/oauth/token";
pub(crate) const API: &str = "https://api.example.com/v1/reports/7";
pub(crate) const ROUTE: &str = "https://api.example.com/v1/reports/{id}";

/// Of a token: the partner's.
pub(crate) const LIFE: Duration = Duration::from_secs(2 * 60 * 60);

/// How long a token request takes, half of it on the way there.
const TOKEN_DELAY: Duration = Duration::from_millis(200);

/// How long a call is on its way to the API.
const API_DELAY: Duration = Duration::from_millis(20);

#[derive(Clone)]
pub(crate) struct Partner {
    /// Whether a new token revokes the one before.
    revokes_previous: bool,
    books: Arc<Mutex<Books>>,
}

#[derive(Default)]
struct Books {
    /// When each token was issued: a token is its number in here.
    issued: Vec<Instant>,
    rejections: u64,
}

impl Partner {
    pub(crate) fn new(revokes_previous: bool) -> Self {
        Self { revokes_previous, books: Arc::default() }
    }

    pub(crate) fn token_requests(&self) -> u64 {
        self.books.lock().unwrap().issued.len() as u64
    }

    /// The most of them in one second.
    pub(crate) fn busiest_second(&self) -> u64 {
        let books = self.books.lock().unwrap();
        let issued = &books.issued;
        let within = |from: usize| {
            let end = issued[from] + Duration::from_secs(1);
            issued[from..].partition_point(|at| *at < end)
        };
        (0..issued.len()).map(within).max().unwrap_or_default() as u64
    }

    pub(crate) fn rejections(&self) -> u64 {
        self.books.lock().unwrap().rejections
    }

    /// The token server.
    pub(crate) async fn token(
        self,
        _: Request<Full<Bytes>>,
    ) -> Result<Response<Full<Bytes>>, Infallible> {
        sleep(TOKEN_DELAY / 2).await;
        let number = {
            let mut books = self.books.lock().unwrap();
            books.issued.push(Instant::now());
            books.issued.len() - 1
        };
        sleep(TOKEN_DELAY / 2).await;
        let life = LIFE.as_secs();
        let body = format!(
            r#"{{"access_token":"token-{number}","token_type":"Bearer","expires_in":{life}}}"#
        );
        Ok(Response::new(Full::new(body.into())))
    }

    /// The API.
    pub(crate) async fn call<B>(self, request: Request<B>) -> Result<Response<()>, BoxError> {
        sleep(API_DELAY).await;
        let credential = request.headers().get(AUTHORIZATION).ok_or("no credential")?;
        let number = credential.to_str()?.strip_prefix("Bearer token-").ok_or("no token")?;
        let mut response = Response::new(());
        let mut books = self.books.lock().unwrap();
        if !self.is_good(&books, number.parse()?) {
            books.rejections += 1;
            *response.status_mut() = StatusCode::UNAUTHORIZED;
        }
        Ok(response)
    }

    fn is_good(&self, books: &Books, number: usize) -> bool {
        let newest = books.issued.len() - 1;
        let lives = books.issued.get(number).is_some_and(|issued| issued.elapsed() < LIFE);
        lives && (!self.revokes_previous || number == newest)
    }
}
