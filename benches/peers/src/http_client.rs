//! The HTTP client of those peers that take one: hyper-util's, without TLS, as the token server is
//! on loopback.

use std::time::Duration;

use bytes::Bytes;
use http::header::{CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use serde::Deserialize;

use crate::partner::Partner;
use crate::peer::{Failure, SCOPE};

pub(crate) type HttpClient = Client<HttpConnector, Full<Bytes>>;

pub(crate) fn http_client() -> HttpClient {
    let mut connector = HttpConnector::new();
    connector.set_nodelay(true);
    Client::builder(TokioExecutor::new()).build(connector)
}

/// The client-credentials grant as one writes it by hand: a form, and three members of the answer.
#[derive(Clone)]
pub(crate) struct TokenEndpoint {
    client: HttpClient,
    url: http::Uri,
}

pub(crate) struct Fetched {
    pub(crate) token: String,
    pub(crate) life: Duration,
}

#[derive(Deserialize)]
struct Answer {
    access_token: String,
    expires_in: u64,
}

impl TokenEndpoint {
    pub(crate) fn of(partner: &Partner) -> Result<Self, Failure> {
        Ok(Self { client: http_client(), url: partner.token_url().parse()? })
    }

    pub(crate) async fn fetch(&self) -> Result<Fetched, Failure> {
        let form = format!(
            "grant_type=client_credentials&client_id=id&client_secret=secret&scope={SCOPE}"
        );
        let mut request = Request::new(Full::from(form));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = self.url.clone();
        let form_type = HeaderValue::from_static("application/x-www-form-urlencoded");
        request.headers_mut().insert(CONTENT_TYPE, form_type);
        let response = self.client.request(request).await?;
        if !response.status().is_success() {
            return Err(format!("the token server answered {}", response.status()).into());
        }
        let body = response.into_body().collect().await?.to_bytes();
        let answer: Answer = serde_json::from_slice(&body)?;
        let life = Duration::from_secs(answer.expires_in);
        Ok(Fetched { token: answer.access_token, life })
    }
}
