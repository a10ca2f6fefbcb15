//! OAuth2 scopes as sets.

use std::collections::BTreeSet;
use std::convert::Infallible;
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Serialize, Serializer};

/// A set of OAuth2 scopes, as a token request asks for it.
///
/// A scope is a *set* of scope tokens (RFC 6749 §3.3): order and duplicates do not matter, so
/// `"b a"` and `"a b a"` are the same scope and share one access token.
///
/// ```
/// use tower_partner_auth::Scope;
///
/// let scope: Scope = "read_reports write_reports".parse()?;
/// assert_eq!(scope, "write_reports  read_reports".parse()?);
/// assert_eq!(scope.to_string(), "read_reports write_reports");
/// # Ok::<(), tower_partner_auth::InvalidScope>(())
/// ```
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Scope {
    // Sorted, without duplicates, joined by one space: what equality, hashing and the wire need.
    canonical: Arc<str>,
}

/// A scope that breaks the grammar of RFC 6749 §3.3. The message says where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InvalidScope(Fault);

#[derive(Debug, Clone, PartialEq, Eq)]
enum Fault {
    Empty,
    Character { token: String, character: char },
}

impl Scope {
    /// The empty set: the token request carries no `scope` parameter, and the authorization server
    /// grants its default (RFC 6749 §3.3).
    pub fn none() -> Self {
        Self { canonical: Arc::from("") }
    }

    /// Reads a space-separated list of scope tokens.
    ///
    /// # Errors
    ///
    /// When there is no token in it (see [`Scope::none`]), or a token has a character outside
    /// `%x21 / %x23-5B / %x5D-7E` (RFC 6749 §3.3): controls, non-ASCII, `"` and `\`.
    pub fn parse(text: &str) -> Result<Self, InvalidScope> {
        let mut tokens = BTreeSet::new();
        for token in text.split(' ').filter(|token| !token.is_empty()) {
            if let Some(character) = token.chars().find(|c| !is_scope_character(*c)) {
                let token = token.to_owned();
                return Err(InvalidScope(Fault::Character { token, character }));
            }
            tokens.insert(token);
        }
        if tokens.is_empty() {
            return Err(InvalidScope(Fault::Empty));
        }
        let canonical = tokens.into_iter().collect::<Vec<_>>().join(" ");
        Ok(Self { canonical: canonical.into() })
    }

    /// The scope tokens, sorted.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.canonical.split(' ').filter(|token| !token.is_empty())
    }

    /// Whether every scope token of `other` is in this set.
    pub fn contains(&self, other: &Scope) -> bool {
        let own: BTreeSet<&str> = self.iter().collect();
        other.iter().all(|token| own.contains(token))
    }

    /// Whether this is the empty set.
    pub fn is_none(&self) -> bool {
        self.canonical.is_empty()
    }

    /// The canonical text: sorted, without duplicates, one space between two tokens.
    pub fn as_str(&self) -> &str {
        &self.canonical
    }
}

fn is_scope_character(c: char) -> bool {
    matches!(c, '\x21' | '\x23'..='\x5B' | '\x5D'..='\x7E')
}

impl FromStr for Scope {
    type Err = InvalidScope;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Self::parse(text)
    }
}

impl TryFrom<&str> for Scope {
    type Error = InvalidScope;

    fn try_from(text: &str) -> Result<Self, Self::Error> {
        Self::parse(text)
    }
}

impl TryFrom<String> for Scope {
    type Error = InvalidScope;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        Self::parse(&text)
    }
}

impl From<&Scope> for Scope {
    fn from(scope: &Scope) -> Self {
        scope.clone()
    }
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical)
    }
}

/// As the canonical text.
impl Serialize for Scope {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.canonical)
    }
}

impl fmt::Debug for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Scope({:?})", &*self.canonical)
    }
}

impl fmt::Display for InvalidScope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Fault::Empty => f.write_str(
                "the scope is empty: name at least one scope, or use Scope::none() for an API without scopes",
            ),
            Fault::Character { token, character } => write!(
                f,
                "scope {token:?} has the character {character:?}, which RFC 6749 §3.3 does not allow: \
                 separate scopes with single spaces and use printable ASCII without '\"' and '\\'"
            ),
        }
    }
}

impl std::error::Error for InvalidScope {}

// So that a function that takes `impl TryInto<Scope>` takes a `Scope` as well.
impl From<Infallible> for InvalidScope {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// From an alphabet that is small, so that sets meet, and has the ends of each legal range.
    fn sets() -> impl Strategy<Value = BTreeSet<String>> {
        prop::collection::btree_set("[!#\\[\\]~ab]{1,2}", 1..6)
    }

    fn scope(set: &BTreeSet<String>) -> Scope {
        Scope::parse(&Vec::from_iter(set.iter().map(String::as_str)).join(" ")).unwrap()
    }

    proptest! {
        #[test]
        fn a_scope_is_the_set_of_its_tokens_however_it_is_written(
            set in sets(), again in prop::collection::vec(any::<prop::sample::Index>(), 0..4), space in 1..3_usize,
        ) {
            let mut tokens = Vec::from_iter(set.iter().map(String::as_str));
            for index in again {
                let token = *index.get(&tokens);
                tokens.insert(index.index(tokens.len()), token);
            }
            tokens.reverse();
            let written = Scope::parse(&tokens.join(&" ".repeat(space))).unwrap();
            prop_assert_eq!(&written, &scope(&set));
            prop_assert!(written.iter().eq(set.iter().map(String::as_str)), "sorted, and each once");
            prop_assert_eq!(&Scope::parse(written.as_str()).unwrap(), &written, "reading twice changes nothing");
        }

        #[test]
        fn containment_is_that_of_the_sets(one in sets(), other in sets()) {
            let union = BTreeSet::from_iter(one.union(&other).cloned());
            prop_assert_eq!(scope(&one).contains(&scope(&other)), one.is_superset(&other));
            prop_assert!(scope(&union).contains(&scope(&one)) && scope(&union).contains(&scope(&other)));
            prop_assert_eq!(scope(&one) == scope(&other), one == other);
        }

        #[test]
        fn a_text_is_a_scope_if_all_its_characters_may_be_in_one(text in "[ -~\\x00-\\x1f\\x7fé]{0,4}") {
            let legal = |c| matches!(c, ' '..='~') && c != '"' && c != '\\';
            let good = text.chars().all(legal) && text.chars().any(|c| c != ' ');
            prop_assert_eq!(Scope::parse(&text).is_ok(), good);
        }
    }

    #[test]
    fn order_duplicates_and_spaces_do_not_matter() {
        let scope = Scope::parse("b a").unwrap();
        assert_eq!(scope, Scope::parse(" a  b a ").unwrap());
        assert_eq!(scope.as_str(), "a b");
        assert_ne!(scope, Scope::parse("a B").unwrap(), "case matters");
    }

    #[test]
    fn the_grammar_of_rfc_6749_is_checked() {
        for bad in ["", "   ", "a\tb", "a\nb", "a\"b", "a\\b", "é", "a\u{7f}"] {
            assert!(Scope::parse(bad).is_err(), "{bad:?}");
        }
        for good in ["!", "#", "[", "]", "~", "https://example.com/auth.read", "a:b,c"] {
            assert!(Scope::parse(good).is_ok(), "{good:?}");
        }
    }

    #[test]
    fn containment_is_of_sets() {
        let wide = Scope::parse("a b c").unwrap();
        assert!(wide.contains(&Scope::parse("c a").unwrap()));
        assert!(wide.contains(&Scope::none()));
        assert!(!wide.contains(&Scope::parse("a d").unwrap()));
        assert!(!Scope::parse("ab").unwrap().contains(&Scope::parse("a").unwrap()));
        assert!(Scope::none().is_none());
    }
}
