//! The grant as a service over any HTTP client.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use tokio::time::Instant;
use tower::BoxError;
use tower_service::Service;

use super::answer::{self, MAX_ANSWER};
use super::form;
use super::request::TokenRequest;
use super::response::TokenResponse;
use crate::error::{TokenError, TokenErrorKind};

/// The client-credentials grant (RFC 6749 §4.4) over an HTTP client: a `Service` from
/// [`TokenRequest`] to [`TokenResponse`].
///
/// One call is one HTTP request. Timeouts and retries are layers around it; the builder adds its own
/// ([`Builder::http_client`](crate::Builder::http_client)), or build a stack to taste and hand it to
/// [`Builder::token_source`](crate::Builder::token_source).
///
/// The HTTP client must not follow redirects: the secret in the body would go along.
#[derive(Debug, Clone)]
pub struct ClientCredentialsGrant<C> {
    client: C,
}

impl<C> ClientCredentialsGrant<C> {
    /// The grant over `client`.
    pub fn new(client: C) -> Self {
        Self { client }
    }
}

impl<C, B> Service<TokenRequest> for ClientCredentialsGrant<C>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>>,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = TokenResponse;
    type Error = TokenError;
    // Boxed: this is once in a token's life, never on the way of a request.
    type Future = Pin<Box<dyn Future<Output = Result<TokenResponse, TokenError>> + Send>>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), TokenError>> {
        self.client.poll_ready(cx).map_err(transport)
    }

    fn call(&mut self, request: TokenRequest) -> Self::Future {
        // Before the request is sent: the server's clock for the token starts later than ours.
        let requested_at = Instant::now();
        let answer = self.client.call(form::encode(&request));
        Box::pin(async move {
            let (head, body) = answer.await.map_err(transport)?.into_parts();
            if head.status.is_redirection() {
                // Whatever its body is: it need not be read.
                return answer::decode(head.status, &head.headers, b"");
            }
            let body = Limited::new(body, MAX_ANSWER).collect().await.map_err(|error| {
                if error.is::<LengthLimitError>() {
                    TokenError::new(TokenErrorKind::TooLarge).with_status(head.status)
                } else {
                    transport(error).with_status(head.status)
                }
            })?;
            let response = answer::decode(head.status, &head.headers, &body.to_bytes())?;
            Ok(response.with_requested_at(requested_at))
        })
    }
}

fn transport(error: impl Into<BoxError>) -> TokenError {
    TokenError::new(TokenErrorKind::Transport).with_source(error)
}
