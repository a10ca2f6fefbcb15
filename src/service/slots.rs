//! The slots of a layer, one for each of its scope sets.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::credentials::ClientCredentials;
use crate::observe;
use crate::scope::Scope;
use crate::token::{Slot, SlotConfig};

/// The slots of a layer: those of its routes, and those that requests have chosen.
pub(crate) struct Slots {
    config: Arc<SlotConfig>,
    keep_warm: bool,
    of_routes: HashMap<Scope, Arc<Slot>>,
    chosen: Mutex<HashMap<Scope, Arc<Slot>>>,
}

impl Slots {
    /// No slots yet. `keep_warm`: those of routes renew themselves.
    pub(crate) fn new(config: SlotConfig, keep_warm: bool) -> Self {
        let config = Arc::new(config);
        Self { config, keep_warm, of_routes: HashMap::new(), chosen: Mutex::default() }
    }

    /// The slot for a route's scope.
    pub(crate) fn of_route(&mut self, scope: &Scope) -> Arc<Slot> {
        let Self { config, keep_warm, of_routes, .. } = self;
        let make = || Arc::new(Slot::new(scope.clone(), Arc::clone(config), *keep_warm));
        Arc::clone(of_routes.entry(scope.clone()).or_insert_with(make))
    }

    /// The slot for any scope.
    pub(crate) fn get(&self, scope: &Scope) -> Arc<Slot> {
        if let Some(slot) = self.of_routes.get(scope) {
            return Arc::clone(slot);
        }
        let mut chosen = self.chosen();
        if let Some(slot) = chosen.get(scope) {
            return Arc::clone(slot);
        }
        // Scopes are chosen at run time, perhaps from a large set: let go of those nobody uses.
        chosen.retain(|_, slot| Arc::strong_count(slot) > 1 || !slot.is_idle());
        // Kept warm, it would never be let go.
        let slot = Arc::new(Slot::new(scope.clone(), Arc::clone(&self.config), false));
        chosen.insert(scope.clone(), Arc::clone(&slot));
        slot
    }

    /// The slot for a scope that was asked for before.
    pub(crate) fn find(&self, scope: &Scope) -> Option<Arc<Slot>> {
        let of_route = self.of_routes.get(scope).cloned();
        of_route.or_else(|| self.chosen().get(scope).cloned())
    }

    /// The slots of all routes, by their scopes.
    pub(crate) fn of_routes(&self) -> Vec<Arc<Slot>> {
        sorted(self.of_routes.values().cloned().collect())
    }

    /// All slots, by their scopes.
    pub(crate) fn all(&self) -> Vec<Arc<Slot>> {
        let chosen = self.chosen();
        sorted(self.of_routes.values().chain(chosen.values()).cloned().collect())
    }

    /// Fetches from now on with these credentials. The tokens of another client are forgotten.
    pub(crate) fn set_credentials(&self, credentials: ClientCredentials) {
        let id = credentials.client_id().to_owned();
        // First: a flight that starts from here on asks with the new ones.
        let previous = self.config.credentials.swap(Arc::new(credentials));
        observe::credentials_changed(previous.client_id() == id);
        for slot in self.all() {
            if previous.client_id() == id { slot.secret_changed() } else { slot.invalidate() }
        }
    }

    pub(super) fn close(&self) {
        self.all().iter().for_each(|slot| slot.close());
    }

    fn chosen(&self) -> MutexGuard<'_, HashMap<Scope, Arc<Slot>>> {
        self.chosen.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn sorted(mut slots: Vec<Arc<Slot>>) -> Vec<Arc<Slot>> {
    slots.sort_by(|one, other| one.scope().cmp(other.scope()));
    slots
}
