//! The tokens that exist, as the authorization server knows them.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::time::Instant;

use super::format::Revoke;

/// All tokens ever issued; the first one's number is 1.
#[derive(Default)]
pub(crate) struct Tokens {
    issued: Vec<Token>,
}

pub(crate) struct Token {
    /// In [canonical] form.
    pub(crate) scope: String,
    pub(crate) client: String,
    /// `None`: it has no end.
    expires: Option<Instant>,
    revoked: bool,
}

/// A scope set in one form: sorted, without duplicates, one space between two words.
pub(crate) fn canonical(scope: &str) -> String {
    let words: BTreeSet<&str> = scope.split_ascii_whitespace().collect();
    words.into_iter().collect::<Vec<_>>().join(" ")
}

/// The text of a token.
pub(crate) fn text_of(number: u64) -> String {
    format!("token-{number}")
}

impl Tokens {
    pub(crate) fn issue(&mut self, scope: &str, client: &str, life: Option<Duration>) -> u64 {
        let expires = life.map(|life| Instant::now() + life);
        let token =
            Token { scope: canonical(scope), client: client.to_owned(), expires, revoked: false };
        self.issued.push(token);
        self.issued.len() as u64
    }

    pub(crate) fn get(&self, number: u64) -> Option<&Token> {
        self.issued.get(usize::try_from(number).ok()?.checked_sub(1)?)
    }

    /// Which token a text is, if it is one.
    pub(crate) fn number_of(&self, text: &str) -> Option<u64> {
        let number = text.strip_prefix("token-")?.parse().ok()?;
        self.get(number).map(|_| number)
    }

    /// The newest token that is good.
    pub(crate) fn newest(&self, scope: &str, client: &str) -> Option<u64> {
        let fits = |token: &Token| {
            token.scope == canonical(scope) && token.client == client && token.is_good()
        };
        self.issued.iter().rposition(fits).map(|index| index as u64 + 1)
    }

    pub(crate) fn revoke_all_of(&mut self, scope: &str, client: &str) {
        let scope = canonical(scope);
        let fits = |token: &&mut Token| token.scope == scope && token.client == client;
        self.issued.iter_mut().filter(fits).for_each(|token| token.revoked = true);
    }

    pub(crate) fn revoke(&mut self, what: &Revoke) -> Result<(), String> {
        match what {
            Revoke::Token(number) => {
                let index = number.checked_sub(1).and_then(|index| usize::try_from(index).ok());
                let token = index.and_then(|index| self.issued.get_mut(index));
                token.ok_or_else(|| format!("there is no token {number} to revoke"))?.revoked =
                    true;
            }
            Revoke::Scope(scope) => {
                let scope = canonical(scope);
                let of_scope = self.issued.iter_mut().filter(|token| token.scope == scope);
                of_scope.for_each(|token| token.revoked = true);
            }
        }
        Ok(())
    }
}

impl Token {
    pub(crate) fn is_expired(&self) -> bool {
        self.expires.is_some_and(|expires| Instant::now() >= expires)
    }

    pub(crate) fn is_good(&self) -> bool {
        !self.revoked && !self.is_expired()
    }

    /// What is left of its life; `None` if it has no end.
    pub(crate) fn rest(&self) -> Option<Duration> {
        self.expires.map(|expires| expires.saturating_duration_since(Instant::now()))
    }
}
