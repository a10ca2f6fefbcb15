//! The origins of a route table, found by the URIs of requests.

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

/// All names of all origins of one scheme, with their numbers: by their length, as hardly any two
/// have the same, then sorted.
#[derive(Debug, Default)]
struct Names {
    by_length: Vec<Vec<(Box<str>, usize)>>,
}

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
        if self.by_length.len() <= name.len() {
            self.by_length.resize_with(name.len() + 1, Vec::new);
        }
        let names = &mut self.by_length[name.len()];
        let at = names.partition_point(|(known, _)| **known < *name);
        names.insert(at, (name.into(), number));
    }

    fn find(&self, name: &str) -> Option<usize> {
        let names = self.by_length.get(name.len())?;
        // As it is first: nearly all clients write hosts in small letters, as all names here are.
        let exact = names.binary_search_by(|(known, _)| (**known).cmp(name));
        let without_case = |_| names.binary_search_by(|(known, _)| known.bytes().cmp(small(name)));
        Some(names[exact.or_else(without_case).ok()?].1)
    }
}

fn small(text: &str) -> impl Iterator<Item = u8> + '_ {
    text.bytes().map(|b| b.to_ascii_lowercase())
}
