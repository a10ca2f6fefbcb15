//! The grant as a service over any HTTP client.

use std::error::Error;
use std::future::Future;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body::Body;
use http_body_util::{BodyExt, Full};
use tokio::time::Instant;
use tower::{BoxError, ServiceExt};
use tower_service::Service;
use zeroize::Zeroizing;

use super::answer::{self, MAX_ANSWER};
use super::certificate;
use super::request::TokenRequest;
use super::response::TokenResponse;
use super::{form, proof};
use crate::error::{SecretError, TokenError, TokenErrorKind};
use crate::observe::Attempt;

/// The client-credentials grant (RFC 6749 §4.4) over an HTTP client: a `Service` from
/// [`TokenRequest`] to [`TokenResponse`].
///
/// One call is one HTTP request, or one for each secret, if the client has
/// [more than one](crate::ClientCredentials::or_secret) and the endpoint refuses the first. The secret
/// is read first, and the HTTP client made ready after: nothing is held meanwhile. Timeouts and retries are layers around it; the builder adds its own
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
    C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send,
    B: Body + Send,
    B::Data: Send,
    B::Error: Into<BoxError>,
{
    type Response = TokenResponse;
    type Error = TokenError;
    // Boxed: this is once in a token's life, never on the way of a request.
    type Future = Pin<Box<dyn Future<Output = Result<TokenResponse, TokenError>> + Send>>;

    // Always: what the client readies, a connection perhaps, would be held while the secret is read,
    // which may take its time. It is made ready in the call, when all is there.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TokenError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TokenRequest) -> Self::Future {
        let client = self.client.clone();
        Box::pin(async move { fetch(client, &request).await })
    }
}

/// Asks with what the authenticator says, or with the client's secrets, one after the other, until one
/// is not refused.
async fn fetch<C, B>(mut client: C, request: &TokenRequest) -> Result<TokenResponse, TokenError>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>>,
    C::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
{
    if let Some(authenticator) = request.credentials().authenticator() {
        let message = proof::encode(request, authenticator).await.map_err(unshown)?;
        return send(&mut client, request, message).await;
    }
    let secrets = request.credentials().secrets();
    let (mut refused, mut unreadable) = (None, None);
    for number in secrets.in_order() {
        let secret = match secrets.read(number).await {
            Ok(secret) => secret,
            Err(error) => {
                unreadable = unreadable.or(Some(error));
                continue;
            }
        };
        match send(&mut client, request, form::encode(request, &secret)).await {
            Ok(response) => {
                secrets.begin_with(number);
                return Ok(response);
            }
            // A server that asks to be left alone is left alone.
            Err(error)
                if error.code() == Some("invalid_client") && error.retry_after().is_none() =>
            {
                // Should the other be for a retry to try: not with a refused one again.
                secrets.begin_after(number);
                refused = Some(error);
            }
            Err(error) => return Err(error),
        }
    }
    let Some(refused) = refused else {
        return Err(unshown(unreadable.expect("each secret was read, or was not")));
    };
    let Some(unreadable) = unreadable else { return Err(refused) };
    // It may be the right one, and be there by the next try.
    if own(&unreadable).is_some_and(TokenError::is_transient) {
        return Err(unshown(unreadable));
    }
    Err(refused.with_source(unreadable))
}

/// One token request.
async fn send<C, B>(
    client: &mut C,
    request: &TokenRequest,
    message: Request<Full<Bytes>>,
) -> Result<TokenResponse, TokenError>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>>,
    C::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
{
    Attempt::sent(request.scope(), request.fetch()).watch(exchange(client, message)).await
}

async fn exchange<C, B>(
    client: &mut C,
    message: Request<Full<Bytes>>,
) -> Result<TokenResponse, TokenError>
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>>,
    C::Error: Into<BoxError>,
    B: Body,
    B::Error: Into<BoxError>,
{
    let endpoint = message.uri().clone();
    let host = endpoint.host();
    client.ready().await.map_err(|error| transport(error, host))?;
    // Before the request is sent: the server's clock for the token starts later than ours.
    let requested_at = Instant::now();
    let (head, body) =
        client.call(message).await.map_err(|error| transport(error, host))?.into_parts();
    if head.status.is_redirection() {
        // Whatever its body is: it need not be read.
        return answer::decode(head.status, &head.headers, b"");
    }
    let body = match read(body).await {
        Ok(Some(body)) => body,
        Ok(None) => return Err(TokenError::new(TokenErrorKind::TooLarge).with_status(head.status)),
        Err(error) => return Err(transport(error, host).with_status(head.status)),
    };
    let response = answer::decode(head.status, &head.headers, &body)?;
    Ok(response.with_requested_at(requested_at))
}

/// The whole body, which may hold a token: in a buffer that is wiped, and that never grows, for each
/// growth would leave a copy behind. `None` if it is longer than any answer.
async fn read<B: Body>(body: B) -> Result<Option<Zeroizing<Vec<u8>>>, B::Error> {
    let mut body = pin!(body);
    let mut bytes = Zeroizing::new(Vec::with_capacity(MAX_ANSWER));
    while let Some(frame) = body.frame().await {
        let Ok(mut data) = frame?.into_data() else { continue };
        if data.remaining() > MAX_ANSWER - bytes.len() {
            return Ok(None);
        }
        while data.has_remaining() {
            let chunk = data.chunk();
            bytes.extend_from_slice(chunk);
            let length = chunk.len();
            data.advance(length);
        }
    }
    Ok(Some(bytes))
}

fn unshown(error: SecretError) -> TokenError {
    match own(&error) {
        Some(own) => own.clone(),
        None => TokenError::new(TokenErrorKind::Secret).with_source(error),
    }
}

/// A token error of a user's own provider comes out as itself: it may say that it is transient.
fn own(error: &SecretError) -> Option<&TokenError> {
    error.source()?.downcast_ref()
}

fn transport(error: impl Into<BoxError>, host: Option<&str>) -> TokenError {
    let error = error.into();
    let failure = match certificate::complaint(&*error, host) {
        Some(complaint) => TokenError::new(TokenErrorKind::Certificate).with_message(complaint),
        None => TokenError::new(TokenErrorKind::Transport),
    };
    failure.with_source(error)
}

#[cfg(test)]
mod tests {
    use std::convert::Infallible;

    use http_body::Frame;

    use super::*;

    /// So many frames of a kibibyte.
    struct Kibibytes(usize);

    impl Body for Kibibytes {
        type Data = Bytes;
        type Error = Infallible;

        fn poll_frame(
            mut self: Pin<&mut Self>,
            _: &mut Context<'_>,
        ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
            let left = self.0.checked_sub(1);
            self.0 = left.unwrap_or_default();
            Poll::Ready(left.map(|_| Ok(Frame::data(Bytes::from_static(&[b'x'; 1024])))))
        }
    }

    #[test]
    fn the_answers_buffer_never_grows_and_so_leaves_no_token_behind() {
        let read = |kibibytes| {
            let Ok(bytes) = tokio_test::block_on(read(Kibibytes(kibibytes)));
            bytes.map(|bytes| (bytes.len(), bytes.capacity()))
        };
        assert_eq!(read(64), Some((MAX_ANSWER, MAX_ANSWER)));
        assert_eq!(read(1), Some((1024, MAX_ANSWER)));
        assert_eq!(read(65), None);
    }
}
