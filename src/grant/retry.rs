//! Which token requests are sent again at once, inside one flight.

use std::future::Future;
use std::pin::Pin;
use std::time::Duration;

use tower::retry::Policy;
use tower::retry::backoff::{Backoff, ExponentialBackoff, ExponentialBackoffMaker, MakeBackoff};
use tower::util::rng::HasherRng;

use super::request::TokenRequest;
use super::response::TokenResponse;
use crate::error::TokenError;

const FIRST_PAUSE: Duration = Duration::from_millis(100);
const LONGEST_PAUSE: Duration = Duration::from_secs(2);
// Half of the pause is random, so that the processes of a fleet drift apart.
const JITTER: f64 = 0.5;

/// Sends a token request again after a transient failure. A token request changes nothing but what
/// token is newest, so sending it twice is safe.
#[derive(Debug, Clone)]
pub(super) struct RetryTransient {
    left: usize,
    backoff: ExponentialBackoff,
}

impl RetryTransient {
    pub(super) fn new(retries: usize) -> Self {
        let mut maker =
            ExponentialBackoffMaker::new(FIRST_PAUSE, LONGEST_PAUSE, JITTER, HasherRng::default())
                .expect("the bounds are in order and the jitter is finite");
        Self { left: retries, backoff: maker.make_backoff() }
    }
}

impl Policy<TokenRequest, TokenResponse, TokenError> for RetryTransient {
    type Future = Pin<Box<dyn Future<Output = ()> + Send>>;

    fn retry(
        &mut self,
        _: &mut TokenRequest,
        result: &mut Result<TokenResponse, TokenError>,
    ) -> Option<Self::Future> {
        let error = result.as_ref().err()?;
        // A server that asks to be left alone is left alone; the slot's back-off sees to it.
        if self.left == 0 || !error.is_transient() || error.retry_after().is_some() {
            return None;
        }
        self.left -= 1;
        Some(Box::pin(self.backoff.next_backoff()))
    }

    fn clone_request(&mut self, request: &TokenRequest) -> Option<TokenRequest> {
        Some(request.clone())
    }
}
