//! What is kept of a request while it is under way, and what is done with the response.

use std::sync::Arc;

use http::{Request, Response};
use http_body::Body;
use tower_service::Service;

use super::Handle;
use super::auth::Ticket;
use super::head::Head;
use super::outcome::{AuthOutcome, Rejection};
use crate::body::{Held, NotReplayable, ReplayBody, Rewind};
use crate::challenge::Verdict;
use crate::observe;
use crate::route::OnUnauthorized;
use crate::token::{Acquired, Answer, NotRenewed, Patience, Presented, Slot, Wait};

/// Judges the responses to one request.
pub(super) struct Judge {
    auth: Handle,
    ticket: Ticket,
    /// Which token the request carried last.
    generation: u64,
    /// Whether the token was fetched for the sake of this request's rejection.
    led: bool,
    patience: Patience,
    outcome: AuthOutcome,
}

/// What is needed to send a request a second time.
pub(super) struct Again<S, B> {
    service: S,
    head: Head,
    rewind: Rewind<B>,
}

/// A request that is with the inner service: who judges its response, and what a replay needs.
pub(super) type UnderWay<S, B> = (Judge, Option<Again<S, B>>);

/// A request whose token was rejected, to be sent again as soon as there is a newer one.
///
/// `T` is the inner service's response type, a `Response<R>`.
pub(super) struct Rejected<S, B, T> {
    judge: Judge,
    /// The API's answer: the caller's, if nothing comes of the renewal.
    response: T,
    service: S,
    head: Head,
    body: Held<B>,
}

/// A request that is not with the inner service: it waits for a token, or for the service.
pub(super) struct Unsent<S, B> {
    pub(super) judge: Judge,
    /// Not ready yet.
    pub(super) service: S,
    pub(super) message: Message<B>,
}

/// What is sent.
pub(super) enum Message<B> {
    First(Request<B>),
    Replay(Request<ReplayBody<B>>),
}

/// What becomes of a response.
pub(super) enum Sentence<S, B, T> {
    Return(T),
    Wait(Wait, Rejected<S, B, T>),
    Replay(Presented, Unsent<S, B>),
}

impl Judge {
    pub(super) fn new(auth: Handle, ticket: Ticket) -> Self {
        Self {
            auth,
            ticket,
            generation: 0,
            led: false,
            patience: Patience::default(),
            outcome: AuthOutcome::default(),
        }
    }

    /// The token to send a message with.
    pub(super) fn acquire(&mut self) -> Acquired {
        let Self { auth, ticket, patience, .. } = self;
        let acquired = auth.slot(ticket).acquire(auth.guard(ticket).scheme(), patience);
        observed(acquired)
    }

    fn slot(&self) -> &Arc<Slot> {
        self.auth.slot(&self.ticket)
    }

    fn scheme(&self) -> usize {
        self.auth.guard(&self.ticket).scheme()
    }

    /// The token for the request, after a wait for it.
    pub(super) fn settle(&mut self, answer: Answer) -> Acquired {
        let Self { auth, ticket, patience, outcome, .. } = self;
        outcome.note_wait();
        observed(auth.slot(ticket).settle(answer, auth.guard(ticket).scheme(), patience))
    }

    /// Sends a message with its token. `service` has been polled ready.
    pub(super) fn send_with<S, B>(
        mut self,
        service: &mut S,
        message: Message<B>,
        token: Presented,
    ) -> (S::Future, UnderWay<S, B>)
    where
        S: Service<Request<ReplayBody<B>>> + Clone,
        B: Body,
    {
        let header = self.auth.guard(&self.ticket).header();
        match message {
            Message::First(mut request) => {
                request.headers_mut().insert(header, token.value);
                self.send(service, request, token.generation)
            }
            Message::Replay(mut request) => {
                request.headers_mut().insert(header, token.value);
                self.generation = token.generation;
                observe::request_replayed(self.slot().scope(), token.generation);
                (service.call(request), (self, None))
            }
        }
    }

    /// Sends a request that carries the token of `generation`. `service` has been polled ready; if
    /// the request may be sent again, a clone is kept for that.
    // Else the request and what is kept of it are moved once more, a tenth of the layer's time.
    #[inline(always)]
    pub(super) fn send<S, B>(
        mut self,
        service: &mut S,
        request: Request<B>,
        generation: u64,
    ) -> (S::Future, UnderWay<S, B>)
    where
        S: Service<Request<ReplayBody<B>>> + Clone,
        B: Body,
    {
        self.generation = generation;
        let Some(limit) = self.auth.guard(&self.ticket).replay_limit() else {
            return (service.call(request.map(ReplayBody::once)), (self, None));
        };
        let head = Head::of(&request, self.auth.guard(&self.ticket).header());
        let (parts, body) = request.into_parts();
        let (body, rewind) = ReplayBody::recorded(body, limit);
        // NOTE: `service` is ready and its clone need not be: the ready one is called, the clone is kept.
        let again = Again { service: service.clone(), head, rewind };
        let response = service.call(Request::from_parts(parts, body));
        (response, (self, Some(again)))
    }

    /// What the API says of the token; `None` if the response is the caller's as it is, as nearly
    /// all are.
    pub(super) fn verdict<R>(&self, response: &Response<R>) -> Option<Verdict> {
        let verdict = self.auth.guard(&self.ticket).verdict(response.status(), response.headers());
        // If `led`, the request was sent again, which is noteworthy.
        let nothing = verdict == Verdict::Accepted && !self.outcome.is_noteworthy();
        (!nothing).then_some(verdict)
    }

    /// Decides what becomes of a response to the request.
    pub(super) fn judge<S, B, R>(
        self,
        verdict: Verdict,
        response: Response<R>,
        again: Option<Again<S, B>>,
    ) -> Sentence<S, B, Response<R>> {
        let guard = self.auth.guard(&self.ticket);
        if verdict != Verdict::Accepted {
            let status = response.status();
            observe::token_rejected(self.slot().scope(), self.generation, status, verdict);
        }
        match verdict {
            Verdict::Accepted => {
                // An error of the API's own says nothing of the token.
                if self.led && !response.status().is_server_error() {
                    self.slot().confirm(self.generation);
                }
                self.finish(response)
            }
            Verdict::InsufficientScope => self.reject(response, Rejection::InsufficientScope),
            Verdict::TokenRejected if self.outcome.replayed() => {
                if !self.slot().is_contended() {
                    guard.memory().remember(self.slot().id(), self.generation);
                }
                self.reject(response, Rejection::FreshTokenRejected)
            }
            Verdict::TokenRejected if guard.on_unauthorized() == OnUnauthorized::Leave => {
                self.reject(response, Rejection::Policy)
            }
            Verdict::TokenRejected if self.is_futile() => {
                self.reject(response, Rejection::RecentlyInVain)
            }
            Verdict::TokenRejected => match again {
                Some(again) => self.renew(response, again),
                None => self.renew_behind(response, Rejection::Policy),
            },
        }
    }

    fn renew<S, B, R>(
        mut self,
        response: Response<R>,
        again: Again<S, B>,
    ) -> Sentence<S, B, Response<R>> {
        let Again { service, head, rewind } = again;
        let body = match rewind.hold() {
            Ok(body) => body,
            Err(NotReplayable::TooLong) => {
                return self.renew_behind(response, Rejection::BodyTooLong);
            }
            Err(NotReplayable::Failed) => {
                return self.renew_behind(response, Rejection::BodyFailed);
            }
        };
        let Self { auth, ticket, generation, patience, .. } = &mut self;
        let scheme = auth.guard(ticket).scheme();
        let renewal = auth.slot(ticket).renew(*generation, scheme, patience);
        if let Acquired::Pending(wait) = &renewal {
            self.led = wait.led();
        }
        let rejected = Rejected { judge: self, response, service, head, body };
        match renewal {
            Acquired::Ready(token) => rejected.resolve(token.map_err(NotRenewed::Failed)),
            Acquired::Pending(wait) => Sentence::Wait(wait, rejected),
        }
    }

    /// Renews for later calls, and gives this one its rejection.
    fn renew_behind<S, B, R>(
        self,
        response: Response<R>,
        why: Rejection,
    ) -> Sentence<S, B, Response<R>> {
        let memory = self.auth.guard(&self.ticket).memory();
        if memory.should_renew_behind(self.slot().id(), self.generation) {
            self.slot().renew_behind(self.generation);
        }
        self.reject(response, why)
    }

    fn is_futile(&self) -> bool {
        let slot = self.slot();
        let memory = self.auth.guard(&self.ticket).memory();
        memory.is_futile(slot.id(), self.generation, slot.generation())
    }

    fn reject<S, B, R>(
        mut self,
        response: Response<R>,
        why: Rejection,
    ) -> Sentence<S, B, Response<R>> {
        observe::rejection_returned(self.slot().scope(), self.generation, &why);
        self.outcome.reject(why);
        self.finish(response)
    }

    fn finish<S, B, R>(self, mut response: Response<R>) -> Sentence<S, B, Response<R>> {
        if self.outcome.is_noteworthy() {
            response.extensions_mut().insert(self.outcome);
        }
        Sentence::Return(response)
    }
}

/// What a caller is to know of, if it fails for want of a token.
fn observed(acquired: Acquired) -> Acquired {
    if let Acquired::Ready(Err(error)) = &acquired {
        observe::call_failed(error);
    }
    acquired
}

impl<S, B, R> Rejected<S, B, Response<R>> {
    /// Goes on after the wait for the renewal.
    pub(super) fn settle(self, answer: Answer) -> Sentence<S, B, Response<R>> {
        let judge = &self.judge;
        let token = judge.slot().settle_renewal(answer, judge.generation, judge.scheme());
        self.resolve(token)
    }

    fn resolve(self, token: Result<Presented, NotRenewed>) -> Sentence<S, B, Response<R>> {
        let Self { mut judge, response, service, head, body } = self;
        match token {
            Ok(token) => {
                // First: a connection that it holds may be the one that the replay needs.
                drop(response);
                judge.outcome.note_replay();
                let message = Message::Replay(head.into_request(body.rewind()));
                Sentence::Replay(token, Unsent { judge, service, message })
            }
            Err(NotRenewed::SameToken) => {
                let memory = judge.auth.guard(&judge.ticket).memory();
                memory.remember(judge.slot().id(), judge.generation);
                judge.reject(response, Rejection::SameToken)
            }
            Err(NotRenewed::Failed(error)) => {
                judge.reject(response, Rejection::RenewalFailed(error))
            }
        }
    }
}
