//! The server: its connections, and the way of one request through the rooms.

use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::EXPECT;
use http::request::Parts;
use http::{Method, Request, Response, StatusCode};
use http_body::Body;
use http_body_util::{BodyExt, Limited};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::api::Api;
use super::journal::Journal;
use super::oauth::{Authority, Form};
use super::received::BodyEnd;
use super::reply::{Payload, Unanswered};
use super::script::Answer;

pub(super) const TOKEN_PATH: &str = "/oauth/token";
pub(super) const REVOKE_PATH: &str = "/oauth/revoke";

const MAX_FORM: usize = 64 * 1024;
const ACCEPT_PAUSE: Duration = Duration::from_millis(10);

/// All that requests and controls share. The locks are taken one at a time, and none is held across
/// an await.
pub(super) struct State {
    authority: Mutex<Authority>,
    api: Mutex<Api>,
    pub(super) journal: Arc<Journal>,
    tasks: Tasks,
}

/// Every task of the server, so that it ends as a whole: the accept loop, the connections, and
/// hyper's tasks for HTTP/2 streams.
#[derive(Clone, Default)]
pub(super) struct Tasks(Arc<Mutex<Option<JoinSet<()>>>>);

impl State {
    pub(super) fn new(authority: Authority, api: Api) -> Self {
        Self {
            authority: Mutex::new(authority),
            api: Mutex::new(api),
            journal: Arc::default(),
            tasks: Tasks(Arc::new(Mutex::new(Some(JoinSet::new())))),
        }
    }

    // Nothing panics while it holds one of these, and a half-made change of a setting is none.
    pub(super) fn authority(&self) -> MutexGuard<'_, Authority> {
        self.authority.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn api(&self) -> MutexGuard<'_, Api> {
        self.api.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Serves the listener's connections until [`State::stop`].
    pub(super) fn serve(self: &Arc<Self>, listener: TcpListener) {
        self.tasks.spawn(accept(self.clone(), listener));
    }

    /// Ends all tasks, and with them all connections.
    pub(super) fn stop(&self) {
        self.tasks.stop();
    }

    async fn answer(
        self: Arc<Self>,
        request: Request<Incoming>,
    ) -> Result<Response<Payload>, Unanswered> {
        let (parts, body) = request.into_parts();
        match (&parts.method, parts.uri.path()) {
            (&Method::POST, TOKEN_PATH) => self.token(&parts, body).await,
            (&Method::POST, REVOKE_PATH) => self.revoke(&parts, body).await,
            _ => self.call(&parts, body).await,
        }
    }

    async fn token(&self, parts: &Parts, body: Incoming) -> Result<Response<Payload>, Unanswered> {
        let (scripted, delay) = {
            let mut authority = self.authority();
            (authority.script.pop_front().unwrap_or_else(Answer::pass), authority.policy.delay)
        };
        self.journal.write(|pages| pages.token_requests += 1);
        let form = read_form(parts, body).await?;
        if let Some(scope) = form.scope() {
            self.journal
                .write(|pages| *pages.token_requests_by_scope.entry(scope).or_default() += 1);
        }
        // Decided before the delay: a token ages on its way, and a client has to reckon with that.
        let answer =
            scripted.or_else(|| self.authority().token(&parts.headers, &form, Instant::now()));
        let response = answer.play(delay).await?;
        let status = response.status();
        self.journal.write(|pages| *pages.token_answers.entry(status).or_default() += 1);
        Ok(response)
    }

    async fn revoke(&self, parts: &Parts, body: Incoming) -> Result<Response<Payload>, Unanswered> {
        let form = read_form(parts, body).await?;
        let answer = self.authority().revoke(&parts.headers, &form);
        answer.play(Duration::ZERO).await
    }

    async fn call(&self, parts: &Parts, body: Incoming) -> Result<Response<Payload>, Unanswered> {
        let call = self.api().arrive(&parts.method, parts.uri.path());
        let mut entry = self.journal.open(parts, &call);
        let delay = call.manner.delay;

        if call.manner.reject_early && !body.is_end_stream() {
            let answer = call.judge(&parts.headers, 0, &self.authority().ledger);
            if answer.expected_status() == Some(StatusCode::UNAUTHORIZED) {
                let response = answer.play(delay).await?;
                entry.answered(response.status());
                if parts.headers.contains_key(EXPECT) {
                    // To read it would be to ask for it.
                    entry.end(BodyEnd::Unread);
                } else {
                    // What still comes is read behind the answer, as nginx does: a connection that
                    // is closed with unread bytes can take the answer with it.
                    self.tasks.spawn(entry.discard(body));
                }
                return Ok(response);
            }
        }
        let length = entry.read(body).await?;
        let answer = call.judge(&parts.headers, length, &self.authority().ledger);
        let response = answer.play(delay).await?;
        entry.answered(response.status());
        Ok(response)
    }
}

impl Tasks {
    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        // `None` after the end: a task that comes too late is dropped.
        if let Some(tasks) = &mut *self.lock() {
            while tasks.try_join_next().is_some() {}
            tasks.spawn(task);
        }
    }

    fn stop(&self) {
        // A `JoinSet` aborts its tasks when it is dropped: not under the lock, which they take.
        let tasks = self.lock().take();
        drop(tasks);
    }

    // A `JoinSet` is whole between two calls.
    fn lock(&self) -> MutexGuard<'_, Option<JoinSet<()>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<F> hyper::rt::Executor<F> for Tasks
where
    F: Future<Output = ()> + Send + 'static,
{
    fn execute(&self, task: F) {
        self.spawn(task);
    }
}

async fn accept(state: Arc<State>, listener: TcpListener) {
    loop {
        match listener.accept().await {
            Ok((stream, _)) => state.tasks.spawn(connection(state.clone(), stream)),
            // Out of file descriptors, say: connections that end give some back.
            Err(_) => tokio::time::sleep(ACCEPT_PAUSE).await,
        }
    }
}

async fn connection(state: Arc<State>, stream: TcpStream) {
    // It would only be slower without.
    let _ = stream.set_nodelay(true);
    let service = service_fn(|request| state.clone().answer(request));
    let server = auto::Builder::new(state.tasks.clone());
    // A connection that breaks is the client's to report.
    let _ = server.serve_connection(TokioIo::new(stream), service).await;
}

async fn read_form(parts: &Parts, body: Incoming) -> Result<Form, Unanswered> {
    let body: Bytes = match Limited::new(body, MAX_FORM).collect().await {
        Ok(body) => body.to_bytes(),
        Err(_) => return Err(Unanswered),
    };
    Ok(Form::read(&parts.headers, &body))
}
