//! What all clones of a layer share: the routes, and the slots of their scopes.

use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode};

use super::choice::{Choice, RequestAuth};
use super::memory::RejectionMemory;
use super::slots::Slots;
use crate::challenge::Verdict;
use crate::error::{RouteError, RouteErrorKind};
use crate::route::{OnUnauthorized, Policy, RouteTable};
use crate::token::Slot;

/// The routes and slots of a layer.
pub(crate) struct Auth {
    table: RouteTable,
    /// By the numbers of the table; the last one is for requests that match no route but chose a
    /// scope.
    guards: Vec<Guard>,
    slots: Slots,
    strict: bool,
}

/// What the service does with the requests of one route.
pub(crate) struct Guard {
    policy: Policy,
    /// The place of the route's scheme word in the slots' header values.
    scheme: usize,
    replay_limit: usize,
    slot: Option<Arc<Slot>>,
    memory: RejectionMemory,
}

/// How one request is authorised: the number of its guard, and its slot if that is not the guard's.
#[derive(Clone)]
pub(super) struct Ticket {
    guard: usize,
    chosen: Option<Arc<Slot>>,
}

impl Auth {
    /// `guards` has one entry more than `table` has routes: the one for chosen scopes, without a slot.
    pub(crate) fn new(table: RouteTable, guards: Vec<Guard>, slots: Slots, strict: bool) -> Self {
        Self { table, guards, slots, strict }
    }

    /// Finds out how `request` is to be authorised; `None` if it goes through untouched.
    pub(super) fn admit<B>(&self, request: &Request<B>) -> Result<Option<Ticket>, RouteError> {
        let refuse = |kind| Err(RouteError::new(kind, request.method(), request.uri()));
        let route = self.table.find(request.method(), request.uri());
        let choice = request.extensions().get::<RequestAuth>().map(|auth| &auth.choice);
        match (choice, route) {
            (Some(Choice::None), _) => Ok(None),
            (None, Some(guard)) => Ok(Some(Ticket { guard, chosen: None })),
            (None, None) if self.strict => refuse(RouteErrorKind::NoRoute),
            (None, None) => Ok(None),
            (Some(Choice::Scope(scope)), route) => {
                if route.is_none() && !self.table.allows(request.uri()) {
                    return refuse(RouteErrorKind::ForeignOrigin);
                }
                let guard = route.unwrap_or(self.guards.len() - 1);
                Ok(Some(Ticket { guard, chosen: Some(self.slots.get(scope)) }))
            }
        }
    }

    pub(crate) fn slots(&self) -> &Slots {
        &self.slots
    }

    pub(super) fn guard(&self, ticket: &Ticket) -> &Guard {
        &self.guards[ticket.guard]
    }

    pub(super) fn slot<'a>(&'a self, ticket: &'a Ticket) -> &'a Arc<Slot> {
        let own = || self.guard(ticket).slot.as_ref();
        ticket.chosen.as_ref().or_else(own).expect("only the guard for chosen scopes has no slot")
    }
}

impl Drop for Auth {
    fn drop(&mut self) {
        // Nobody is left who could wait for them.
        self.slots.close();
    }
}

impl Guard {
    pub(crate) fn new(
        policy: Policy,
        scheme: usize,
        replay_limit: usize,
        slot: Option<Arc<Slot>>,
    ) -> Self {
        let replay_limit = policy.replay_limit.unwrap_or(replay_limit);
        Self { policy, scheme, replay_limit, slot, memory: RejectionMemory::default() }
    }

    pub(super) fn header(&self) -> &http::HeaderName {
        &self.policy.header
    }

    pub(super) fn scheme(&self) -> usize {
        self.scheme
    }

    /// How much of a body to remember; `None` if the route is never replayed.
    pub(super) fn replay_limit(&self) -> Option<usize> {
        (self.policy.on_unauthorized == OnUnauthorized::Replay).then_some(self.replay_limit)
    }

    pub(super) fn on_unauthorized(&self) -> OnUnauthorized {
        self.policy.on_unauthorized
    }

    pub(super) fn verdict(&self, status: StatusCode, headers: &HeaderMap) -> Verdict {
        match &self.policy.classifier {
            Some(classifier) => classifier.verdict(status, headers),
            None => Verdict::of(status, headers),
        }
    }

    pub(super) fn memory(&self) -> &RejectionMemory {
        &self.memory
    }
}
