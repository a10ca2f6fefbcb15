//! The layer: what a flight does with a store, and with a source of tokens under it.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::time::Instant;
use tower::ServiceExt;
use tower_service::Service;

use super::fleet::{Fleet, Found, Unavailable};
use super::shared::SharedStore;
use crate::error::TokenError;
use crate::grant::{TokenRequest, TokenResponse};
use crate::observe::StoreResult;

/// A source of tokens that looks into a store first.
#[derive(Clone)]
pub(crate) struct SharedTokens<S, T> {
    source: S,
    fleet: Fleet<T>,
}

impl<S, T> SharedTokens<S, T> {
    pub(crate) fn new(source: S, fleet: Fleet<T>) -> Self {
        Self { source, fleet }
    }
}

impl<S, T> Service<TokenRequest> for SharedTokens<S, T>
where
    S: Service<TokenRequest, Response = TokenResponse, Error = TokenError> + Clone + Send + 'static,
    S::Future: Send,
    T: SharedStore,
{
    type Response = TokenResponse;
    type Error = TokenError;
    // Boxed: this is once in a token's life, never on the way of a request.
    type Future = Pin<Box<dyn Future<Output = Result<TokenResponse, TokenError>> + Send>>;

    // Always: the source is made ready when it is known that it is to be asked.
    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), TokenError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: TokenRequest) -> Self::Future {
        let Self { source, fleet } = self.clone();
        Box::pin(async move { obtain(source, &fleet, request).await })
    }
}

async fn obtain<S, T>(
    source: S,
    fleet: &Fleet<T>,
    request: TokenRequest,
) -> Result<TokenResponse, TokenError>
where
    S: Service<TokenRequest, Response = TokenResponse, Error = TokenError>,
    T: SharedStore,
{
    let rooms = fleet.rooms(&request);
    let scope = request.scope().clone();
    match fleet.look_or_lease(&rooms, &request).await {
        Ok(Some(Found::Token(response))) => {
            fleet.health().used(&scope, StoreResult::Taken);
            Ok(response)
        }
        Ok(Some(Found::Leased(holder))) => {
            let leased_at = Instant::now();
            let result = source.oneshot(request).await;
            match &result {
                // RFC 6749 §5.1: one that is less than was asked for is of no use to any.
                Ok(response) if response.scope().is_none_or(|granted| granted.contains(&scope)) => {
                    fleet.put(&rooms, &holder, leased_at, &scope, response).await
                }
                // So that another may try at once: it may be able to where this one is not.
                _ => fleet.release(&rooms, &holder).await,
            }
            result
        }
        Ok(Some(Found::Held(_)) | None) | Err(Unavailable) => {
            fleet.health().used(&scope, StoreResult::Direct);
            source.oneshot(request).await
        }
    }
}
