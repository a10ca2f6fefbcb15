//! The extra headers of token requests.

use std::sync::Arc;

use http::header::{HeaderMap, HeaderName, HeaderValue};

use crate::error::{Problem, ProblemKind};
use crate::grant::{FRAMING_HEADERS, OWN_HEADERS};

/// Extra headers, and what is wrong with those that are none.
#[derive(Default)]
pub(super) struct TokenHeaders {
    map: HeaderMap,
    /// The name as far as it can be shown, and what is wrong with it.
    faults: Vec<(String, &'static str)>,
}

impl TokenHeaders {
    /// `value` is `None` if it cannot be sent.
    pub(super) fn add(&mut self, name: &str, value: Option<HeaderValue>) {
        let mut fault = |clause| {
            // No further than a name can go: behind it may be the value.
            let end = name.find(|c: char| !c.is_ascii_graphic() || c == ':').unwrap_or(name.len());
            self.faults.push((name[..end].to_owned(), clause));
        };
        let Ok(header) = HeaderName::try_from(name) else {
            return fault("is not a header's name (RFC 9110 §5.1): correct it");
        };
        if OWN_HEADERS.contains(&header) {
            return fault("is set by the grant itself: remove it");
        }
        if FRAMING_HEADERS.contains(&header) {
            return fault("frames the message, which is the HTTP client's work: remove it");
        }
        let Some(mut value) = value else {
            return fault("has a value that no header can carry: it may not have line breaks");
        };
        value.set_sensitive(true);
        // With room for the grant's own: a map that is full refuses them by a panic.
        let room = self.map.try_reserve(1 + OWN_HEADERS.len()).is_ok();
        if !room || self.map.try_append(header, value).is_err() {
            fault("is one too many: remove some");
        }
    }

    pub(super) fn faults(&self) -> impl Iterator<Item = Problem> {
        self.faults.iter().map(|(name, clause)| {
            let message = format!("the token header {name:?} {clause}");
            Problem::new(ProblemKind::TokenHeader, message).at(format!("token_headers.{name}"))
        })
    }

    pub(super) fn into_map(self) -> Arc<HeaderMap> {
        Arc::new(self.map)
    }
}
