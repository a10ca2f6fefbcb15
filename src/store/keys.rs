//! The operator's keys: names that tell nothing, and seals that only the fleet can open.
//!
//! Of each key, two are derived (HKDF, RFC 5869): one makes names (HMAC-SHA-256, RFC 2104), since a
//! plain digest of a scope is found by trying the scopes there are; the other seals
//! (ChaCha20-Poly1305, RFC 8439). What a token is for is bound to the seal as associated data, so that
//! an entry that was moved under another name does not open.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use ring::aead::{Aad, CHACHA20_POLY1305, LessSafeKey, NONCE_LEN, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};
use ring::{hkdf, hmac};
use tokio::time::Instant;
use zeroize::Zeroizing;

use super::contents;
use crate::grant::{TokenRequest, TokenResponse};

/// The first byte of an entry, and of what is bound to it.
const VERSION: u8 = 1;

/// Of a key, in bytes.
const KEY: usize = 32;

/// Of a name, in bytes: no two are ever the same.
const NAME: usize = 16;

/// The keys that a fleet shares its tokens under.
///
/// Every process that has a key shares with all others that have it. To change keys, give the new one
/// [beside](Self::and) the old one to all, then take the old one away: meanwhile, those with two keys
/// share with those who have only one, whichever it is.
///
/// ```
/// use tower_partner_auth::store::StoreKeys;
///
/// // `openssl rand -base64 32`
/// let keys = StoreKeys::from_base64("q2y2wZcz1y1j1bJWn0cLR0XJKsHnnhWlkSxv9pYdq6k=")?;
/// assert!(!format!("{keys:?}").contains("q2y2"));
/// # Ok::<(), tower_partner_auth::store::InvalidStoreKey>(())
/// ```
#[derive(Clone)]
pub struct StoreKeys {
    keys: Vec<Arc<Key>>,
}

/// What a key has to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct InvalidStoreKey;

struct Key {
    naming: hmac::Key,
    sealing: LessSafeKey,
}

/// Where a token is put under one key: its name, and its seal.
pub(super) struct Room {
    pub(super) name: String,
    key: Arc<Key>,
    /// All that the token is for.
    purpose: Arc<[u8]>,
    unreadable: AtomicBool,
}

impl StoreKeys {
    /// One key: 32 random bytes.
    pub fn new(key: &[u8; KEY]) -> Self {
        Self { keys: vec![Arc::new(Key::derive(key))] }
    }

    /// One key: 32 random bytes in base64 (RFC 4648 §4), as `openssl rand -base64 32` prints them.
    ///
    /// # Errors
    ///
    /// When it is not base64, or not 32 bytes.
    pub fn from_base64(text: &str) -> Result<Self, InvalidStoreKey> {
        let mut key = Zeroizing::new([0; KEY]);
        // With room for more than a key: the decoder asks for it.
        let mut bytes = Zeroizing::new([0; 2 * KEY]);
        let length =
            BASE64_STANDARD.decode_slice(text.trim(), &mut *bytes).map_err(|_| InvalidStoreKey)?;
        let decoded = bytes.get(..length).filter(|bytes| bytes.len() == KEY);
        key.copy_from_slice(decoded.ok_or(InvalidStoreKey)?);
        Ok(Self::new(&key))
    }

    /// These keys and those.
    #[must_use]
    pub fn and(mut self, others: Self) -> Self {
        self.keys.extend(others.keys);
        self
    }

    /// The rooms for the token of this request, in the order in which all processes lease them, so
    /// that no two wait for each other.
    pub(super) fn rooms(&self, request: &TokenRequest) -> Vec<Room> {
        let purpose: Arc<[u8]> = purpose(request).into();
        let room = |key: &Arc<Key>| Room {
            name: key.name(&purpose),
            key: Arc::clone(key),
            purpose: Arc::clone(&purpose),
            unreadable: AtomicBool::new(false),
        };
        let mut rooms: Vec<_> = self.keys.iter().map(room).collect();
        rooms.sort_by(|one, other| one.name.cmp(&other.name));
        rooms.dedup_by(|one, other| one.name == other.name);
        rooms
    }
}

/// What a token is for, without ambiguity: each part after its length. In which order a process names its
/// parameters and headers makes no other token; that of values of one name may.
fn purpose(request: &TokenRequest) -> Vec<u8> {
    let mut bytes = vec![VERSION];
    let mut part = |text: &[u8]| {
        bytes.extend((text.len() as u64).to_be_bytes());
        bytes.extend(text);
    };
    part(request.endpoint().to_string().as_bytes());
    part(request.credentials().client_id().as_bytes());
    part(request.scope().as_str().as_bytes());
    let mut parameters: Vec<_> = request.parameters().iter().collect();
    parameters.sort_by_key(|(name, _)| name);
    let mut headers: Vec<_> = request.headers().iter().collect();
    headers.sort_by_key(|(name, _)| name.as_str());
    part(&(parameters.len() as u64).to_be_bytes());
    for (name, value) in parameters {
        part(name.as_bytes());
        part(value.as_bytes());
    }
    for (name, value) in headers {
        part(name.as_str().as_bytes());
        part(value.as_bytes());
    }
    bytes
}

// === impl Key ===

impl Key {
    fn derive(key: &[u8; KEY]) -> Self {
        let root = hkdf::Salt::new(hkdf::HKDF_SHA256, b"tower-partner-auth").extract(key);
        let expand = |purpose: &'static [u8]| {
            let mut derived = Zeroizing::new([0; KEY]);
            root.expand(&[purpose], hkdf::HKDF_SHA256)
                .and_then(|derivation| derivation.fill(&mut *derived))
                .expect("as long as a digest");
            derived
        };
        let sealing = UnboundKey::new(&CHACHA20_POLY1305, &*expand(b"seal"));
        Self {
            naming: hmac::Key::new(hmac::HMAC_SHA256, &*expand(b"name")),
            sealing: LessSafeKey::new(sealing.expect("32 bytes")),
        }
    }

    fn name(&self, purpose: &[u8]) -> String {
        hex(&hmac::sign(&self.naming, purpose).as_ref()[..NAME])
    }
}

// === impl Room ===

impl Room {
    /// What is there could not be opened. Gives whether this is news: one who waits looks often.
    pub(super) fn found_unreadable(&self) -> bool {
        !self.unreadable.swap(true, Ordering::Relaxed)
    }

    /// The token as it is put into the store. `None` if the system has no randomness to give.
    pub(super) fn seal(&self, response: &TokenResponse, older: Duration) -> Option<Bytes> {
        let mut contents = contents::write(response, older, CHACHA20_POLY1305.tag_len());
        let mut nonce = [0; NONCE_LEN];
        // Random, as the processes have no counter in common: of so few messages under one key, no two
        // ever have the same.
        SystemRandom::new().fill(&mut nonce).ok()?;
        let sealed = Nonce::assume_unique_for_key(nonce);
        self.key
            .sealing
            .seal_in_place_append_tag(sealed, Aad::from(&*self.purpose), &mut *contents)
            .ok()?;
        Some([&[VERSION], &nonce[..], &contents[..]].concat().into())
    }

    /// The token in an entry; `None` if it was not sealed for this room, or was changed since.
    pub(super) fn open(&self, sealed: &[u8], leased_at: Instant) -> Option<TokenResponse> {
        let (version, rest) = sealed.split_first()?;
        let (nonce, contents) = rest.split_at_checked(NONCE_LEN)?;
        if *version != VERSION {
            return None;
        }
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut contents = Zeroizing::new(contents.to_vec());
        let opened =
            self.key.sealing.open_in_place(nonce, Aad::from(&*self.purpose), &mut contents).ok()?;
        contents::read(opened, leased_at)
    }
}

/// A name that no other has: of a holder of a lease.
pub(super) fn unique() -> Option<String> {
    let mut bytes = [0; NAME];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(hex(&bytes))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

impl fmt::Debug for StoreKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StoreKeys").field("keys", &self.keys.len()).finish()
    }
}

impl fmt::Display for InvalidStoreKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a key of the shared store is 32 random bytes in base64: make one with `openssl rand -base64 32`")
    }
}

impl std::error::Error for InvalidStoreKey {}
