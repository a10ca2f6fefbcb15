//! A store in memory, for tests under paused time, that can be told to fail.

use std::collections::HashMap;
use std::future::pending;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use tokio::time::Instant;
use tower_partner_auth::store::{Entry, Lease, SharedStore, View};

/// How a store does.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum Health {
    #[default]
    Well,
    /// It answers after a while.
    Slow(Duration),
    Down,
    Hanging,
    ReadOnly,
}

#[derive(Clone, Default)]
pub(crate) struct MemoryStore {
    inner: Arc<Mutex<Inner>>,
}

#[derive(Default)]
struct Inner {
    health: Health,
    slots: HashMap<String, Slot>,
    asked: usize,
}

#[derive(Default)]
struct Slot {
    entry: Option<(Bytes, Instant)>,
    holder: String,
    granted: Option<Instant>,
    leased_until: Option<Instant>,
}

#[derive(Debug)]
pub(crate) struct Down;

impl std::fmt::Display for Down {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("the store is down")
    }
}

impl std::error::Error for Down {}

impl MemoryStore {
    pub(crate) fn health(&self, health: Health) {
        self.inner.lock().unwrap().health = health;
    }

    /// How often it was asked.
    pub(crate) fn asked(&self) -> usize {
        self.inner.lock().unwrap().asked
    }

    pub(crate) fn flush(&self) {
        self.inner.lock().unwrap().slots.clear();
    }

    /// All names, in order, and what lies under them.
    pub(crate) fn contents(&self) -> Vec<(String, Bytes)> {
        let inner = self.inner.lock().unwrap();
        let entry =
            |(name, slot): (&String, &Slot)| Some((name.clone(), slot.entry.as_ref()?.0.clone()));
        let mut contents: Vec<_> = inner.slots.iter().filter_map(entry).collect();
        contents.sort();
        contents
    }

    /// Puts bytes under a name that nobody sealed for it.
    pub(crate) fn tamper(&self, name: &str, bytes: impl Into<Bytes>) {
        let mut inner = self.inner.lock().unwrap();
        inner.slots.get_mut(name).unwrap().entry = Some((bytes.into(), Instant::now()));
    }

    async fn act<T>(&self, writes: bool, action: impl FnOnce(&mut Inner) -> T) -> Result<T, Down> {
        let health = {
            let mut inner = self.inner.lock().unwrap();
            inner.asked += 1;
            inner.health
        };
        match health {
            Health::Slow(delay) => tokio::time::sleep(delay).await,
            Health::Hanging => pending().await,
            Health::Down => return Err(Down),
            Health::ReadOnly if writes => return Err(Down),
            Health::Well | Health::ReadOnly => {}
        }
        Ok(action(&mut self.inner.lock().unwrap()))
    }
}

impl Slot {
    fn view(&self, granted: bool) -> View {
        let entry =
            self.entry.as_ref().map(|(sealed, since)| Entry::new(sealed.clone(), since.elapsed()));
        let held = self.leased_until.map(|until| until.saturating_duration_since(Instant::now()));
        let lease = match held {
            _ if granted => Lease::Granted,
            Some(left) if !left.is_zero() => Lease::Held(left),
            _ => Lease::Free,
        };
        View::new(entry, lease)
    }
}

impl SharedStore for MemoryStore {
    type Error = Down;

    async fn get(&self, name: &str) -> Result<View, Down> {
        let look = |inner: &mut Inner| match inner.slots.get(name) {
            Some(slot) => slot.view(false),
            None => View::new(None, Lease::Free),
        };
        self.act(false, look).await
    }

    async fn lease(&self, name: &str, holder: &str, time: Duration) -> Result<View, Down> {
        let lease = |inner: &mut Inner| {
            let slot = inner.slots.entry(name.to_owned()).or_default();
            let now = Instant::now();
            if slot.leased_until.is_some_and(|until| now < until) {
                return slot.view(false);
            }
            holder.clone_into(&mut slot.holder);
            (slot.granted, slot.leased_until) = (Some(now), Some(now + time));
            slot.view(true)
        };
        self.act(true, lease).await
    }

    async fn put(
        &self,
        name: &str,
        holder: &str,
        sealed: Bytes,
        _: Duration,
    ) -> Result<bool, Down> {
        let put = |inner: &mut Inner| {
            let Some(slot) = inner.slots.get_mut(name).filter(|slot| slot.holder == holder) else {
                return false;
            };
            slot.entry = Some((sealed, slot.granted.unwrap()));
            slot.leased_until = None;
            true
        };
        self.act(true, put).await
    }

    async fn release(&self, name: &str, holder: &str) -> Result<(), Down> {
        let release = |inner: &mut Inner| {
            if let Some(slot) = inner.slots.get_mut(name).filter(|slot| slot.holder == holder) {
                slot.leased_until = None;
            }
        };
        self.act(true, release).await
    }
}
