//! The tokens that were issued: whose they are, what they are good for, and until when.

use std::collections::HashMap;
use std::hash::{BuildHasher, RandomState};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

use crate::scope::Scope;

/// Every token ever issued: a dead one is told from an unknown one, as Doorkeeper does.
pub(super) struct Ledger {
    tokens: HashMap<Box<str>, Issued>,
    /// One reading of both clocks, so that `created_at` follows a test's paused time as well.
    epoch: (Instant, Duration),
}

struct Issued {
    client_id: Box<str>,
    scope: Scope,
    created: Instant,
    /// `None`: it does not expire.
    deadline: Option<Instant>,
    revoked: bool,
}

/// What the token endpoint says of one token.
#[derive(PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) token: Box<str>,
    pub(super) scope: Scope,
    pub(super) remaining: Option<Duration>,
    pub(super) created_at: u64,
}

/// Why a token is not good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fault {
    Unknown,
    Expired,
    Revoked,
}

impl Ledger {
    pub(super) fn new(now: Instant) -> Self {
        let since_1970 = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Self { tokens: HashMap::new(), epoch: (now, since_1970) }
    }

    /// A new token. A `life` beyond the clock's range is one without end.
    pub(super) fn issue(
        &mut self,
        client_id: &str,
        scope: Scope,
        life: Duration,
        now: Instant,
    ) -> Grant {
        let token: Box<str> = random_hex().into();
        let issued = Issued {
            client_id: client_id.into(),
            scope,
            created: now,
            deadline: now.checked_add(life),
            revoked: false,
        };
        let grant = self.grant(&token, &issued, now);
        self.tokens.insert(token, issued);
        grant
    }

    /// The newest live token of the client for exactly this scope set.
    pub(super) fn reusable(&self, client_id: &str, scope: &Scope, now: Instant) -> Option<Grant> {
        let is_same = |issued: &Issued| *issued.client_id == *client_id && issued.scope == *scope;
        let (token, issued) = self
            .tokens
            .iter()
            .filter(|(_, issued)| is_same(issued) && issued.fault(now).is_none())
            .max_by_key(|(_, issued)| issued.created)?;
        Some(self.grant(token, issued, now))
    }

    /// Revokes the live tokens of `scope`, or all; of `client_id`, or of every client. Returns how
    /// many there were.
    pub(super) fn revoke(
        &mut self,
        client_id: Option<&str>,
        scope: Option<&Scope>,
        now: Instant,
    ) -> usize {
        let mut revoked = 0;
        for issued in self.tokens.values_mut() {
            let is_of_client = client_id.is_none_or(|id| *issued.client_id == *id);
            let is_of_scope = scope.is_none_or(|scope| issued.scope == *scope);
            if is_of_client && is_of_scope && issued.fault(now).is_none() {
                issued.revoked = true;
                revoked += 1;
            }
        }
        revoked
    }

    pub(super) fn revoke_token(&mut self, token: &str) {
        if let Some(issued) = self.tokens.get_mut(token) {
            issued.revoked = true;
        }
    }

    /// The client that a token was issued to, dead or alive.
    pub(super) fn owner(&self, token: &str) -> Option<&str> {
        self.tokens.get(token).map(|issued| &*issued.client_id)
    }

    /// The scopes of a token, if it is good.
    pub(super) fn scope_of(&self, token: &str, now: Instant) -> Result<&Scope, Fault> {
        let issued = self.tokens.get(token).ok_or(Fault::Unknown)?;
        issued.fault(now).map_or(Ok(&issued.scope), Err)
    }

    fn grant(&self, token: &str, issued: &Issued, now: Instant) -> Grant {
        let (epoch, since_1970) = self.epoch;
        Grant {
            token: token.into(),
            scope: issued.scope.clone(),
            remaining: issued.deadline.map(|end| end.saturating_duration_since(now)),
            created_at: (since_1970 + issued.created.saturating_duration_since(epoch)).as_secs(),
        }
    }
}

impl Issued {
    fn fault(&self, now: Instant) -> Option<Fault> {
        if self.revoked {
            Some(Fault::Revoked)
        } else if self.deadline.is_some_and(|deadline| now >= deadline) {
            Some(Fault::Expired)
        } else {
            None
        }
    }
}

/// 64 lowercase hex digits, as the partner's ids, secrets and tokens are. They have to be unique,
/// not hard to guess: the server is for loopback and everything in it is invented.
pub(super) fn random_hex() -> String {
    // Every `RandomState` has keys of its own.
    let word = |_| format!("{:016x}", RandomState::new().hash_one(0));
    (0..4).map(word).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIFE: Duration = Duration::from_secs(10);

    fn scope(text: &str) -> Scope {
        Scope::parse(text).unwrap()
    }

    #[test]
    fn a_token_is_good_until_its_deadline_or_its_revocation() {
        let start = Instant::now();
        let mut ledger = Ledger::new(start);
        let [a, b] = ["a", "b"].map(|s| ledger.issue("id", scope(s), LIFE, start).token);
        assert_eq!(ledger.scope_of(&a, start), Ok(&scope("a")));
        assert_eq!(ledger.scope_of("other", start), Err(Fault::Unknown));
        assert_eq!(ledger.revoke(None, Some(&scope("b")), start), 1);
        assert_eq!(ledger.scope_of(&b, start), Err(Fault::Revoked));
        assert_eq!(ledger.scope_of(&a, start + LIFE), Err(Fault::Expired));
        assert_eq!(ledger.revoke(None, None, start + LIFE), 0, "none was live");
    }

    #[test]
    fn a_reused_token_keeps_its_deadline_and_its_birthday() {
        let start = Instant::now();
        let later = start + Duration::from_secs(4);
        let mut ledger = Ledger::new(start);
        let first = ledger.issue("id", scope("a b"), LIFE, start);
        let again = ledger.reusable("id", &scope("b a"), later).unwrap();
        assert!(again.token == first.token && again.created_at == first.created_at);
        assert_eq!(again.remaining, Some(Duration::from_secs(6)));
        assert!(ledger.reusable("other", &scope("a b"), later).is_none());
        assert!(ledger.reusable("id", &scope("a"), later).is_none());
        assert!(ledger.reusable("id", &scope("a b"), start + LIFE).is_none());
    }

    #[test]
    fn hex_is_of_the_partners_form_and_never_twice_the_same() {
        let all: std::collections::HashSet<_> = (0..1_000).map(|_| random_hex()).collect();
        assert_eq!(all.len(), 1_000);
        assert!(all.iter().all(|hex| hex.len() == 64));
        assert!(all.iter().all(|hex| hex.bytes().all(|b| b"0123456789abcdef".contains(&b))));
    }
}
