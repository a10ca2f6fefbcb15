//! What an operator is told: the state of all tokens, and how fetching them ahead went.

use std::sync::Arc;

use serde::Serialize;

use crate::error::TokenError;
use crate::scope::Scope;
#[cfg(feature = "store")]
use crate::store::StoreStatus;
use crate::token::{Acquired, Patience, Slot, TokenStatus};

/// The tokens of a layer at one moment: see
/// [`PartnerAuthLayer::status`](crate::PartnerAuthLayer::status).
///
/// It serialises to an object with a list of [`TokenStatus`], `tokens`. It holds no token and no secret.
///
/// ```
/// # fn health(auth: &tower_partner_auth::PartnerAuthLayer) -> bool {
/// // Unhealthy: a token was fetched in vain, and none is left to use.
/// auth.status().tokens().all(|token| token.is_usable() || token.failures() == 0)
/// # }
/// ```
#[derive(Debug, Clone, Serialize)]
pub struct Status {
    tokens: Vec<TokenStatus>,
    #[cfg(feature = "store")]
    #[serde(skip_serializing_if = "Option::is_none")]
    store: Option<StoreStatus>,
}

/// How fetching tokens ahead went: see [`PartnerAuthLayer::prewarm`](crate::PartnerAuthLayer::prewarm).
#[derive(Debug, Clone)]
#[must_use = "a failed fetch is only told here"]
pub struct Prewarmed {
    results: Vec<(Scope, Result<(), TokenError>)>,
}

impl Status {
    pub(crate) fn of(slots: &[Arc<Slot>]) -> Self {
        Self {
            tokens: slots.iter().map(|slot| slot.status()).collect(),
            #[cfg(feature = "store")]
            store: None,
        }
    }

    #[cfg(feature = "store")]
    pub(crate) fn with_store(mut self, store: Option<StoreStatus>) -> Self {
        self.store = store;
        self
    }

    /// How the [shared store](crate::Builder::shared_store) does, if there is one.
    #[cfg(feature = "store")]
    pub fn store(&self) -> Option<&StoreStatus> {
        self.store.as_ref()
    }

    /// The tokens, in the order of their scopes.
    pub fn tokens(&self) -> impl Iterator<Item = &TokenStatus> {
        self.tokens.iter()
    }

    /// The token of one scope, if the layer has it.
    pub fn get(&self, scope: &Scope) -> Option<&TokenStatus> {
        self.tokens().find(|token| token.scope() == scope)
    }
}

impl Prewarmed {
    /// Each scope, and why there is no token for it, if there is none.
    pub fn results(&self) -> impl Iterator<Item = (&Scope, Result<(), &TokenError>)> {
        self.results.iter().map(|(scope, result)| (scope, result.as_ref().copied()))
    }

    /// Why there is no token, for each scope that has none.
    pub fn failures(&self) -> impl Iterator<Item = &TokenError> {
        self.results.iter().filter_map(|(_, result)| result.as_ref().err())
    }

    /// Whether all tokens are there.
    ///
    /// # Errors
    ///
    /// The first failure, if there is one. It names its scope.
    pub fn into_result(self) -> Result<(), TokenError> {
        self.results.into_iter().try_for_each(|(_, result)| result)
    }
}

/// Has all tokens fetched at once, and waits for each.
pub(crate) async fn prewarm(slots: Vec<Arc<Slot>>) -> Prewarmed {
    // No request is made with them: any scheme word will do.
    const SCHEME: usize = 0;
    // All flights are under way before the first wait.
    let under_way = |slot: &Arc<Slot>| {
        let mut patience = Patience::default();
        (slot.acquire(SCHEME, &mut patience), patience)
    };
    let acquired: Vec<_> = slots.iter().map(under_way).collect();
    let mut results = Vec::with_capacity(slots.len());
    for (slot, (mut acquired, mut patience)) in slots.iter().zip(acquired) {
        let token = loop {
            match acquired {
                Acquired::Ready(token) => break token,
                Acquired::Pending(wait) => {
                    acquired = slot.settle(wait.await, SCHEME, &mut patience);
                }
            }
        };
        results.push((slot.scope().clone(), token.map(drop)));
    }
    Prewarmed { results }
}
