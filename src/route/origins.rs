//! The origins of a route table, found by the URIs of requests.

use std::cmp::Ordering;

use http::Uri;
use http::uri::Scheme;

use super::origin::Origin;

/// Origins, each with a number.
#[derive(Debug, Default)]
pub(super) struct Origins {
    known: Vec<Origin>,
    https: Names,
    http: Names,
}

/// All names of all origins of one scheme, with their numbers: the shorter first, then by their
/// bytes, so that most comparisons end at the length.
#[derive(Debug, Default)]
struct Names(Vec<(Box<str>, usize)>);

impl Origins {
    /// The number of an origin: those that are new are counted up from 0.
    pub(super) fn add(&mut self, origin: &Origin) -> usize {
        if let Some(number) = self.known.iter().position(|known| known == origin) {
            return number;
        }
        let number = self.known.len();
        let names = if origin.is_https() { &mut self.https } else { &mut self.http };
        origin.names().for_each(|name| names.insert(name, number));
        self.known.push(origin.clone());
        number
    }

    /// The number of the origin that `uri` is of. Hosts compare without case; a URI with user
    /// information or without a host is of none.
    pub(super) fn find(&self, uri: &Uri) -> Option<usize> {
        let scheme = uri.scheme()?;
        let names = if *scheme == Scheme::HTTPS {
            &self.https
        } else if *scheme == Scheme::HTTP {
            &self.http
        } else {
            return None;
        };
        // The authority as a whole: no other text, with user information for one, can be the same.
        names.find(uri.authority()?.as_str())
    }
}

impl Names {
    fn insert(&mut self, name: &str, number: usize) {
        let at = self.0.partition_point(|(known, _)| exact(known, name).is_lt());
        self.0.insert(at, (name.into(), number));
    }

    fn find(&self, name: &str) -> Option<usize> {
        // As it is first: nearly all clients write hosts in small letters, as all names here are.
        let search = |order: fn(&str, &str) -> Ordering| {
            self.0.binary_search_by(|(known, _)| order(known, name))
        };
        let at = search(exact).or_else(|_| search(without_case)).ok()?;
        Some(self.0[at].1)
    }
}

fn exact(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| one.cmp(other))
}

fn without_case(one: &str, other: &str) -> Ordering {
    one.len().cmp(&other.len()).then_with(|| small(one).cmp(small(other)))
}

fn small(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.bytes().map(|b| b.to_ascii_lowercase())
}
