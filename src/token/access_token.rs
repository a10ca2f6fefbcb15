//! A token in the form in which requests carry it.

use std::fmt;
use std::sync::atomic::Ordering;

use bytes::Bytes;
use http::HeaderValue;
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::lifetime::{Lifetime, Phase};
use crate::striped::{Line, Striped};
use crate::sync::AtomicU64;

/// A token of a slot. Its buffers are wiped when the last request that carries it is done.
pub(crate) struct AccessToken {
    /// Counts the tokens of its slot: what a request carried is compared by this, never by bytes.
    generation: u64,
    secret: Zeroizing<Box<[u8]>>,
    /// The header values, one per scheme word that routes use, made once.
    headers: Striped<Box<[HeaderValue]>>,
    /// `None`: good until it is rejected.
    lifetime: Option<Lifetime>,
    /// Until then, nobody need look at the slot's ledger: see [`AccessToken::needs_attention`].
    attention: AtomicInstant,
}

/// What one request carries: the header's value, and which token of the slot it is.
#[derive(Debug, Clone)]
pub(crate) struct Presented {
    pub(crate) value: HeaderValue,
    pub(crate) generation: u64,
    deadline: Option<Instant>,
}

impl Presented {
    /// Whether it may be sent yet.
    pub(crate) fn is_live(&self) -> bool {
        self.deadline.is_none_or(|deadline| Instant::now() < deadline)
    }
}

/// An instant that may be moved by one thread while others compare with it.
struct AtomicInstant {
    epoch: Instant,
    nanoseconds: AtomicU64,
}

// The counter of a `Bytes` lies beside its owner: so each copy's is on a line of its own.
struct Wiped(Line<Zeroizing<Vec<u8>>>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        &self.0.0
    }
}

impl AccessToken {
    /// `token` is visible ASCII and each of `schemes` a valid part of a header value.
    pub(super) fn new(
        token: &str,
        schemes: &[String],
        generation: u64,
        lifetime: Option<Lifetime>,
    ) -> Self {
        let headers = Striped::new(|| schemes.iter().map(|scheme| header(scheme, token)).collect());
        let secret = Zeroizing::new(token.as_bytes().into());
        let attention = AtomicInstant::new(lifetime.map(|lifetime| lifetime.soft));
        Self { generation, secret, headers, lifetime, attention }
    }

    /// Whether a caller must stop and decide, under the slot's lock. It is asked on every call, and
    /// answered without one: first by the soft edge, then by when the next try is due.
    #[inline]
    pub(super) fn needs_attention(&self, now: Instant) -> bool {
        self.attention.is_past(now)
    }

    /// Puts the next look off until `then`, but not beyond the hard edge; before the soft edge there
    /// is nothing to look at.
    pub(super) fn look_again_at(&self, then: Instant) {
        if let Some(lifetime) = &self.lifetime {
            self.attention.set(then.max(lifetime.soft).min(lifetime.hard));
        }
    }

    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn lifetime(&self) -> Option<&Lifetime> {
        self.lifetime.as_ref()
    }

    /// Until when it is used; `None`: until it is rejected.
    pub(super) fn deadline(&self) -> Option<Instant> {
        self.lifetime.map(|lifetime| lifetime.deadline)
    }

    pub(super) fn phase(&self, now: Instant) -> Phase {
        self.lifetime.map_or(Phase::Fresh, |lifetime| lifetime.phase(now))
    }

    pub(super) fn is_live(&self, now: Instant) -> bool {
        self.phase(now) != Phase::Expired
    }

    /// Whether the server gave the same string again.
    pub(super) fn is_same_as(&self, token: &str) -> bool {
        **self.secret == *token.as_bytes()
    }

    /// What a request carries whose route uses the scheme word at `scheme`.
    #[inline]
    pub(super) fn present(&self, scheme: usize) -> Presented {
        Presented {
            value: self.headers.get()[scheme].clone(),
            generation: self.generation,
            deadline: self.lifetime.map(|lifetime| lifetime.deadline),
        }
    }
}

impl AtomicInstant {
    fn new(instant: Option<Instant>) -> Self {
        let epoch = Instant::now();
        let this = Self { epoch, nanoseconds: AtomicU64::new(u64::MAX) };
        if let Some(instant) = instant {
            this.set(instant);
        }
        this
    }

    // Relaxed: it is a hint of when to take the lock, under which everything is decided anew.
    fn set(&self, instant: Instant) {
        self.nanoseconds.store(self.since_epoch(instant), Ordering::Relaxed);
    }

    fn is_past(&self, now: Instant) -> bool {
        self.since_epoch(now) >= self.nanoseconds.load(Ordering::Relaxed)
    }

    fn since_epoch(&self, instant: Instant) -> u64 {
        instant.saturating_duration_since(self.epoch).as_nanos().try_into().unwrap_or(u64::MAX)
    }
}

fn header(scheme: &str, token: &str) -> HeaderValue {
    let mut text = Zeroizing::new(Vec::with_capacity(scheme.len() + 1 + token.len()));
    text.extend_from_slice(scheme.as_bytes());
    if !scheme.is_empty() {
        text.push(b' ');
    }
    text.extend_from_slice(token.as_bytes());
    let mut value = HeaderValue::from_maybe_shared(Bytes::from_owner(Wiped(Line(text))))
        .expect("the builder checks schemes, and a token response its token");
    // Keeps it out of `Debug` output and of HPACK's dynamic table (RFC 7541 §7.1.3).
    value.set_sensitive(true);
    value
}

impl fmt::Debug for AccessToken {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AccessToken")
            .field("generation", &self.generation)
            .field("lifetime", &self.lifetime)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn header_values_are_built_per_scheme_and_sensitive() {
        let schemes = ["Bearer".to_owned(), String::new()];
        let token = AccessToken::new("t0ken", &schemes, 1, None);
        assert_eq!(token.present(0).value, "Bearer t0ken");
        assert_eq!(token.present(1).value, "t0ken");
        assert!(token.present(0).value.is_sensitive());
        assert!(!format!("{token:?} {:?}", token.present(0)).contains("t0ken"));
    }

    #[test]
    fn sameness_is_of_the_string() {
        let token = AccessToken::new("t0ken", &["Bearer".to_owned()], 1, None);
        assert!(token.is_same_as("t0ken"));
        assert!(!token.is_same_as("t0ken2"));
    }
}
