//! The token source: a stack of Tower's own layers around the grant.

use std::time::Duration;

use bytes::{Buf, Bytes};
use http::{Request, Response};
use http_body::Body;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use tower::timeout::error::Elapsed;
use tower::util::BoxCloneService;
use tower::{BoxError, ServiceBuilder, ServiceExt};
use tower_service::Service;

use super::client::ClientCredentialsGrant;
use super::request::TokenRequest;
use super::response::TokenResponse;
use super::retry::RetryTransient;
use crate::error::{TokenError, TokenErrorKind};

/// Any token source, its type forgotten.
pub(crate) type TokenSource = BoxCloneService<TokenRequest, TokenResponse, TokenError>;

/// Any HTTP client for token requests, its type forgotten.
pub(crate) type HttpClient =
    BoxCloneService<Request<Full<Bytes>>, Response<UnsyncBoxBody<Bytes, BoxError>>, BoxError>;

/// The limits of one flight.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Timeouts {
    /// For the whole flight, its retries and their pauses.
    pub(crate) total: Duration,
    /// For one token request.
    pub(crate) attempt: Duration,
    pub(crate) retries: usize,
}

/// One token request at a time: the grant over `client`, with a timeout. The grant is always ready,
/// so the timeout, which counts from the call on, is of the client's readiness too.
pub(crate) fn attempts(client: HttpClient, timeouts: Timeouts) -> TokenSource {
    ServiceBuilder::new()
        .boxed_clone()
        .map_err(token_error)
        .timeout(timeouts.attempt)
        .service(ClientCredentialsGrant::new(client))
}

/// A flight: `attempts`, as many as it takes, with a timeout for all of them.
pub(crate) fn flight(attempts: TokenSource, timeouts: Timeouts) -> TokenSource {
    ServiceBuilder::new()
        .boxed_clone()
        .map_err(token_error)
        .timeout(timeouts.total)
        .retry(RetryTransient::new(timeouts.retries))
        .service(attempts)
}

pub(crate) fn boxed_source<S>(source: S) -> TokenSource
where
    S: Service<TokenRequest, Response = TokenResponse> + Clone + Send + 'static,
    S::Error: Into<BoxError>,
    S::Future: Send + 'static,
{
    source.map_err(|error| token_error(error.into())).boxed_clone()
}

pub(crate) fn boxed_http_client<C, B>(client: C) -> HttpClient
where
    C: Service<Request<Full<Bytes>>, Response = Response<B>> + Clone + Send + 'static,
    C::Error: Into<BoxError>,
    C::Future: Send + 'static,
    B: Body + Send + 'static,
    B::Error: Into<BoxError>,
{
    client
        .map_response(|response: Response<B>| {
            response.map(|body| {
                let bytes = body.map_frame(|frame| {
                    frame.map_data(|mut data| {
                        let length = data.remaining();
                        data.copy_to_bytes(length)
                    })
                });
                bytes.map_err(Into::into).boxed_unsync()
            })
        })
        .map_err(Into::into)
        .boxed_clone()
}

/// A token error comes out as itself, Tower's timeout as one, and anything else as a source's own.
fn token_error(error: BoxError) -> TokenError {
    match error.downcast::<TokenError>() {
        Ok(error) => *error,
        Err(error) if error.is::<Elapsed>() => TokenError::new(TokenErrorKind::TimedOut),
        Err(error) => TokenError::new(TokenErrorKind::Source).with_source(error),
    }
}
