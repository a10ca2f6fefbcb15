//! What people write by hand: a token behind a mutex, fetched under the lock by whoever finds it
//! expired.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue};
use http::{Request, Response};
use http_body_util::{BodyExt, Empty, Full};
use tokio::sync::Mutex;
use tower::{Service, ServiceExt};

use crate::partner::{HttpClient, Partner, http_client};

#[derive(Clone)]
pub(crate) struct MutexClient {
    shared: Arc<Shared>,
}

struct Shared {
    token: Mutex<Option<(String, Instant)>>,
    http: HttpClient<Full<Bytes>>,
    token_url: String,
    form: String,
}

impl MutexClient {
    /// For the scope of [`Partner::url`].
    pub(crate) fn new(partner: &Partner) -> Self {
        let (id, secret) = partner.id_and_secret();
        let form = format!(
            "grant_type=client_credentials&client_id={id}&client_secret={secret}&scope=refer_merchant"
        );
        let token_url = partner.sandbox.environment().token_url().to_owned();
        let (token, http) = (Mutex::default(), http_client(false));
        Self { shared: Arc::new(Shared { token, http, token_url, form }) }
    }

    pub(crate) async fn call<S>(self, inner: S, mut request: Request<Empty<Bytes>>) -> Response<()>
    where
        S: Service<Request<Empty<Bytes>>, Response = Response<()>>,
        S::Error: std::fmt::Debug,
    {
        let bearer = format!("Bearer {}", self.token().await);
        let bearer = HeaderValue::from_str(&bearer).expect("a valid header");
        request.headers_mut().insert(AUTHORIZATION, bearer);
        inner.oneshot(request).await.expect("an answer")
    }

    async fn token(&self) -> String {
        let mut token = self.shared.token.lock().await;
        if let Some((token, expires)) = &*token
            && Instant::now() < *expires
        {
            return token.clone();
        }
        let (fresh, life) = self.fetch().await;
        *token = Some((fresh.clone(), Instant::now() + life));
        fresh
    }

    async fn fetch(&self) -> (String, Duration) {
        let request = Request::post(&self.shared.token_url)
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(Full::from(self.shared.form.clone()))
            .expect("a valid request");
        let response = self.shared.http.request(request).await.expect("a token response");
        let body = response.into_body().collect().await.expect("a whole body").to_bytes();
        let answer: serde_json::Value = serde_json::from_slice(&body).expect("JSON");
        let token = answer["access_token"].as_str().expect("a token").to_owned();
        (token, Duration::from_secs(answer["expires_in"].as_u64().expect("a life")))
    }
}
