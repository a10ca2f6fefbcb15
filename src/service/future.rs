//! The state machine of one request.

use std::fmt;
use std::future::Future;
use std::ops::ControlFlow;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use http::{Request, Response};
use http_body::Body;
use pin_project_lite::pin_project;
use tower::BoxError;
use tower_service::Service;

use super::judge::{Rejected, Sentence, UnderWay, Unsent};
use crate::body::ReplayBody;
use crate::error::{Error, TokenError};
use crate::token::{Acquired, Presented, Wait};

pin_project! {
    /// The future of one request through [`PartnerAuth`](crate::PartnerAuth).
    ///
    /// Dropped at any point, it leaves nothing behind but a token fetch that others may be waiting
    /// for, or will profit from.
    #[must_use = "futures do nothing unless polled"]
    pub struct ResponseFuture<S, B>
    where
        S: Service<Request<ReplayBody<B>>>,
    {
        #[pin]
        state: State<S, B>,
    }
}

pin_project! {
    #[project = StateProjection]
    enum State<S, B>
    where
        S: Service<Request<ReplayBody<B>>>,
    {
        /// The inner service has the request. Without a judge, its answer is the caller's as it is.
        Called {
            #[pin]
            response: S::Future,
            judge: Option<UnderWay<S, B>>,
        },
        /// There is no token to send the request with yet.
        AwaitingToken {
            #[pin]
            wait: Wait,
            unsent: Option<Unsent<S, B>>,
        },
        /// There is a token; a clone of the inner service is getting ready for the request.
        Readying {
            unsent: Option<(Presented, Unsent<S, B>)>,
        },
        /// The token was rejected; the answer is kept until there is a newer one, or will be none.
        AwaitingRenewal {
            #[pin]
            wait: Wait,
            rejected: Option<Rejected<S, B, S::Response>>,
        },
        /// The request is not sent.
        Refused {
            error: Option<Error<S::Error>>,
        },
    }
}

/// Either there is a next state, or this is the answer.
type Next<R, E> = Result<ControlFlow<Response<R>>, Error<E>>;

const POLLED_AGAIN: &str = "ResponseFuture was polled after it was ready";

impl<S, B> ResponseFuture<S, B>
where
    S: Service<Request<ReplayBody<B>>>,
{
    /// Sends the request as it is. `service` has been polled ready.
    pub(super) fn untouched(service: &mut S, request: Request<B>) -> Self {
        let response = service.call(request.map(ReplayBody::once));
        Self { state: State::Called { response, judge: None } }
    }

    pub(super) fn called(response: S::Future, judge: UnderWay<S, B>) -> Self {
        Self { state: State::Called { response, judge: Some(judge) } }
    }

    pub(super) fn awaiting_token(wait: Wait, unsent: Unsent<S, B>) -> Self {
        Self { state: State::AwaitingToken { wait, unsent: Some(unsent) } }
    }

    pub(super) fn refused(error: Error<S::Error>) -> Self {
        Self { state: State::Refused { error: Some(error) } }
    }
}

impl<S, B, R> Future for ResponseFuture<S, B>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    type Output = Result<Response<R>, Error<S::Error>>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut state = self.project().state;
        loop {
            let StateProjection::Called { response, judge } = state.as_mut().project() else {
                match ready!(state.as_mut().poll_next(cx))? {
                    ControlFlow::Continue(()) => continue,
                    ControlFlow::Break(response) => return Poll::Ready(Ok(response)),
                }
            };
            let response = ready!(response.poll(cx)).map_err(Error::Service)?;
            let verdict = judge.as_ref().and_then(|(judge, _)| judge.verdict(&response));
            let Some(verdict) = verdict else {
                // In place, as moving it costs more than all else that is done here.
                *judge = None;
                return Poll::Ready(Ok(response));
            };
            let (judge, again) = judge.take().expect("its verdict is there");
            if let ControlFlow::Break(response) =
                state.as_mut().follow(judge.judge(verdict, response, again))
            {
                return Poll::Ready(Ok(response));
            }
        }
    }
}

impl<S, B, R> State<S, B>
where
    S: Service<Request<ReplayBody<B>>, Response = Response<R>> + Clone,
    B: Body + Unpin,
    B::Error: Into<BoxError>,
{
    /// Goes on from any state but [`Called`](Self::Called), to the next one or the end.
    #[cold]
    fn poll_next(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Next<R, S::Error>> {
        let next = match self.as_mut().project() {
            StateProjection::Called { .. } => return Poll::Ready(Ok(ControlFlow::Continue(()))),
            StateProjection::AwaitingToken { wait, unsent } => {
                let answer = ready!(wait.poll(cx));
                let mut unsent = unsent.take().expect(POLLED_AGAIN);
                match unsent.judge.settle(answer) {
                    Acquired::Ready(token) => State::Readying { unsent: Some((token?, unsent)) },
                    Acquired::Pending(wait) => State::AwaitingToken { wait, unsent: Some(unsent) },
                }
            }
            StateProjection::Readying { unsent } => {
                let (_, waiting) = unsent.as_mut().expect(POLLED_AGAIN);
                ready!(waiting.service.poll_ready(cx)).map_err(Error::Service)?;
                let (token, unsent) = unsent.take().expect(POLLED_AGAIN);
                State::send(token, unsent)?
            }
            StateProjection::AwaitingRenewal { wait, rejected } => {
                let answer = ready!(wait.poll(cx));
                let sentence = rejected.take().expect(POLLED_AGAIN).settle(answer);
                return Poll::Ready(Ok(self.follow(sentence)));
            }
            StateProjection::Refused { error } => {
                return Poll::Ready(Err(error.take().expect(POLLED_AGAIN)));
            }
        };
        self.set(next);
        Poll::Ready(Ok(ControlFlow::Continue(())))
    }

    /// Does what has been decided about a response.
    #[cold]
    fn follow(
        mut self: Pin<&mut Self>,
        sentence: Sentence<S, B, Response<R>>,
    ) -> ControlFlow<Response<R>> {
        self.set(match sentence {
            Sentence::Return(response) => return ControlFlow::Break(response),
            Sentence::Wait(wait, rejected) => {
                State::AwaitingRenewal { wait, rejected: Some(rejected) }
            }
            Sentence::Replay(token, unsent) => State::Readying { unsent: Some((token, unsent)) },
        });
        ControlFlow::Continue(())
    }
}

impl<S, B> State<S, B>
where
    S: Service<Request<ReplayBody<B>>> + Clone,
    B: Body,
{
    /// Sends with the service that has just become ready.
    fn send(token: Presented, mut unsent: Unsent<S, B>) -> Result<Self, TokenError> {
        // Getting ready may have taken longer than the token had to live.
        let token = if token.is_live() {
            token
        } else {
            match unsent.judge.acquire() {
                Acquired::Ready(token) => token?,
                Acquired::Pending(wait) => {
                    // Like the first wait: without holding on to what is ready.
                    unsent.service = unsent.service.clone();
                    return Ok(State::AwaitingToken { wait, unsent: Some(unsent) });
                }
            }
        };
        let Unsent { judge, mut service, message } = unsent;
        let (response, judge) = judge.send_with(&mut service, message, token);
        Ok(State::Called { response, judge: Some(judge) })
    }
}

impl<S, B> fmt::Debug for ResponseFuture<S, B>
where
    S: Service<Request<ReplayBody<B>>>,
{
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResponseFuture").finish_non_exhaustive()
    }
}
