//! What happened at the server: counts without end, and the last requests in full.

use std::collections::{HashMap, VecDeque};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::AUTHORIZATION;
use http::request::Parts;
use http::{HeaderMap, StatusCode};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use tokio::sync::Notify;

use super::api::Call;
use super::received::{BodyEnd, Received};
use super::reply::Unanswered;
use crate::scope::Scope;

const MAX_RECORDS: usize = 1024;
const MAX_BODY: usize = 16 * 1024 * 1024;
/// Of all bodies kept, so that a long run of uploads does not fill the memory.
const MAX_BODIES: usize = 64 * 1024 * 1024;

/// The counts and the record.
#[derive(Default)]
pub(super) struct Journal {
    pages: Mutex<Pages>,
    changed: Notify,
}

#[derive(Default)]
pub(super) struct Pages {
    pub(super) token_requests: u64,
    pub(super) token_requests_by_scope: HashMap<Scope, u64>,
    pub(super) token_answers: HashMap<StatusCode, u64>,
    pub(super) api_requests: u64,
    pub(super) api_requests_by_endpoint: HashMap<usize, u64>,
    pub(super) api_answers: HashMap<StatusCode, u64>,
    /// The records are numbered as they come; these are the last.
    pub(super) received: VecDeque<Received>,
    next: u64,
    kept: usize,
}

/// The open record of one API request.
pub(super) struct Entry {
    journal: Arc<Journal>,
    number: u64,
    ended: bool,
}

impl Journal {
    /// To read. Everything in it is whole between two writes, so a poisoned lock is none.
    pub(super) fn pages(&self) -> MutexGuard<'_, Pages> {
        self.pages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn write(&self, write: impl FnOnce(&mut Pages)) {
        write(&mut self.pages());
        self.changed.notify_waiters();
    }

    /// Returns when `condition` holds. It is looked at again after every write.
    pub(super) async fn wait_until(&self, mut condition: impl FnMut() -> bool) {
        loop {
            let mut changed = pin!(self.changed.notified());
            // Before the look, so that no write in between is missed.
            changed.as_mut().enable();
            if condition() {
                return;
            }
            changed.await;
        }
    }

    /// Counts a request and opens its record.
    pub(super) fn open(self: &Arc<Self>, parts: &Parts, call: &Call) -> Entry {
        let header = call.endpoint.as_ref().map_or(&AUTHORIZATION, |endpoint| &endpoint.header);
        let mut headers = parts.headers.clone();
        let has_credential = headers.remove(header).is_some();
        headers.remove(AUTHORIZATION);
        let received = Received {
            method: parts.method.clone(),
            uri: parts.uri.clone(),
            version: parts.version,
            headers,
            has_credential,
            status: None,
            body: None,
            body_bytes: 0,
            body_end: BodyEnd::Pending,
            trailers: None,
        };
        let mut number = 0;
        self.write(|pages| {
            pages.api_requests += 1;
            if let Some(index) = call.index {
                *pages.api_requests_by_endpoint.entry(index).or_default() += 1;
            }
            number = pages.push(received);
        });
        Entry { journal: self.clone(), number, ended: false }
    }
}

impl Pages {
    pub(super) fn clear_received(&mut self) {
        self.received.clear();
        self.kept = 0;
    }

    fn push(&mut self, received: Received) -> u64 {
        self.received.push_back(received);
        self.next += 1;
        self.trim();
        self.next - 1
    }

    fn keep(&mut self, number: u64, body: Bytes) {
        let length = body.len();
        if let Some(received) = self.get_mut(number) {
            received.body = Some(body);
            self.kept += length;
            self.trim();
        }
    }

    fn trim(&mut self) {
        while self.received.len() > MAX_RECORDS || self.kept > MAX_BODIES {
            let Some(oldest) = self.received.pop_front() else { return };
            self.kept -= oldest.body.map_or(0, |body| body.len());
        }
    }

    /// `None` if the record is no longer kept.
    fn get_mut(&mut self, number: u64) -> Option<&mut Received> {
        let first = self.next - self.received.len() as u64;
        let index = number.checked_sub(first)?;
        self.received.get_mut(usize::try_from(index).ok()?)
    }
}

impl Entry {
    /// Reads the body to its end and keeps it, if it is not too long. Returns its length in bytes.
    pub(super) async fn read(&mut self, body: Incoming) -> Result<u64, Unanswered> {
        let mut kept = Some(Vec::new());
        let length = self
            .read_frames(body, |data| match &mut kept {
                Some(bytes) if bytes.len() + data.len() <= MAX_BODY => {
                    bytes.extend_from_slice(data)
                }
                _ => kept = None,
            })
            .await?;
        self.journal.write(|pages| {
            if let Some(bytes) = kept {
                pages.keep(self.number, bytes.into());
            }
        });
        self.end(BodyEnd::Complete);
        Ok(length)
    }

    /// Reads the body to its end and throws it away.
    pub(super) async fn discard(mut self, body: Incoming) {
        if self.read_frames(body, |_| {}).await.is_ok() {
            self.end(BodyEnd::Complete);
        }
    }

    pub(super) fn answered(&mut self, status: StatusCode) {
        self.journal.write(|pages| {
            *pages.api_answers.entry(status).or_default() += 1;
            if let Some(received) = pages.get_mut(self.number) {
                received.status = Some(status);
            }
        });
    }

    async fn read_frames(
        &mut self,
        mut body: Incoming,
        mut each: impl FnMut(&[u8]),
    ) -> Result<u64, Unanswered> {
        let mut length = 0;
        while let Some(frame) = body.frame().await {
            let Ok(frame) = frame else {
                self.end(BodyEnd::Aborted);
                return Err(Unanswered);
            };
            match frame.into_data() {
                Ok(data) => {
                    length += data.len() as u64;
                    each(&data);
                    self.update(|received| received.body_bytes = length);
                }
                Err(frame) => {
                    let trailers = frame.into_trailers().ok();
                    self.update(|received| received.trailers = trailers.map(without_credential));
                }
            }
        }
        Ok(length)
    }

    pub(super) fn end(&mut self, how: BodyEnd) {
        self.ended = true;
        self.update(|received| received.body_end = how);
    }

    fn update(&self, update: impl FnOnce(&mut Received)) {
        self.journal.write(|pages| {
            if let Some(received) = pages.get_mut(self.number) {
                update(received);
            }
        });
    }
}

// hyper drops the future of a request whose connection has ended.
impl Drop for Entry {
    fn drop(&mut self) {
        if !self.ended {
            self.end(BodyEnd::Aborted);
        }
    }
}

fn without_credential(mut trailers: HeaderMap) -> HeaderMap {
    trailers.remove(AUTHORIZATION);
    trailers
}
