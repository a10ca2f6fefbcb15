//! What is in an entry, once it is opened: a token and its life.

use std::mem;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use tokio::time::Instant;
use zeroize::Zeroizing;

use crate::grant::TokenResponse;
use crate::scope::Scope;

/// Times are relative, in milliseconds: the hosts of a fleet need not agree on the date.
#[derive(Serialize, Deserialize)]
struct Contents<'a> {
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    life: Option<u64>,
    older: u64,
    #[serde(skip_serializing_if = "Option::is_none")]
    scope: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    created_at: Option<i64>,
}

/// More than a token response has beside its token and scope.
const ROOM: usize = 256;

/// In a buffer that never grows, and has room for `more` bytes behind: each growth would leave the
/// token behind in memory that nobody wipes.
///
/// `older` is by how much the token is older than its entry will seem.
pub(super) fn write(response: &TokenResponse, older: Duration, more: usize) -> Zeroizing<Vec<u8>> {
    let scope = response.scope().map(Scope::as_str);
    let contents = Contents {
        token: response.access_token(),
        life: response.expires_in().map(milliseconds),
        older: milliseconds(older),
        scope,
        created_at: response.created_at(),
    };
    // Both are ASCII; a quote or a backslash in a token takes two bytes.
    let most = 2 * (contents.token.len() + scope.map_or(0, str::len)) + ROOM + more;
    let mut bytes = Zeroizing::new(Vec::with_capacity(most));
    serde_json::to_writer(&mut *bytes, &contents).expect("strings and numbers can be written");
    bytes
}

fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// A token whose entry was leased at `leased_at`; `None` if it is none.
pub(super) fn read(bytes: &[u8], leased_at: Instant) -> Option<TokenResponse> {
    let mut contents: Owned = serde_json::from_slice(bytes).ok()?;
    let requested_at = leased_at.checked_sub(Duration::from_millis(contents.older))?;
    let mut response = TokenResponse::new(mem::take(&mut *contents.token)).ok()?;
    if let Some(life) = contents.life {
        response = response.with_expires_in(Duration::from_millis(life));
    }
    if let Some(scope) = &contents.scope {
        response = response.with_scope(Scope::parse(scope).unwrap_or_else(|_| Scope::none()));
    }
    if let Some(created_at) = contents.created_at {
        response = response.with_created_at(created_at);
    }
    Some(response.with_requested_at(requested_at).with_shared())
}

/// As [`Contents`], where escapes may have to be resolved.
#[derive(Deserialize)]
struct Owned {
    token: Zeroizing<String>,
    life: Option<u64>,
    older: u64,
    scope: Option<String>,
    created_at: Option<i64>,
}
