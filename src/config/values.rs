//! The small values of a file, each with the words for what it should have been: for serde's
//! `deserialize_with`.

use std::fmt;
use std::marker::PhantomData;
use std::time::Duration;

use http::{HeaderName, Method};
use serde::de::value::{MapAccessDeserializer, StrDeserializer};
use serde::de::{
    self, Deserialize, Deserializer, IntoDeserializer, MapAccess, SeqAccess, Unexpected, Visitor,
};

use crate::partner::Environment;
use crate::route::shown;

/// One value where most need only one, or a list.
#[derive(Clone)]
pub(super) struct OneOrMany<T>(pub(super) Vec<T>);

/// A string of which only what it is read as is known: a method, a header's name.
struct Parsed<T> {
    expecting: &'static str,
    parse: fn(&str) -> Option<T>,
    /// What of it may be repeated.
    shown: fn(&str) -> String,
}

/// For what has a default: a key without a value is as if it were not there.
pub(super) fn or_default<'de, D, T>(deserializer: D) -> Result<T, D::Error>
where
    D: Deserializer<'de>,
    T: Default + Deserialize<'de>,
{
    Option::deserialize(deserializer).map(Option::unwrap_or_default)
}

/// A duration with its unit. A bare number is refused: seconds and milliseconds look alike.
pub(super) fn duration<'de, D>(deserializer: D) -> Result<Option<Duration>, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_option(Optional(Parsed {
        expecting: "a duration with its unit, such as \"30s\", \"500ms\" or \"1h 30m\"",
        parse: |text| humantime::parse_duration(text).ok(),
        shown: str::to_owned,
    }))
}

/// The name of an environment, or the origin of one.
pub(super) fn environment<'de, D>(deserializer: D) -> Result<Option<Environment>, D::Error>
where
    D: Deserializer<'de>,
{
    deserializer.deserialize_option(Optional(Parsed {
        expecting: "\"test\", \"production\", or an origin such as \"http://127.0.0.1:3000\"",
        parse: |text| match text {
            "test" => Some(Environment::test()),
            "production" => Some(Environment::production()),
            origin => origin.contains("://").then(|| Environment::at(origin)),
        },
        // It was meant as a URL, perhaps, and may have a password in it.
        shown,
    }))
}

/// A method in lower case is another method (RFC 9110 §9.1), and never meant.
pub(super) fn method<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Method>, D::Error> {
    deserializer.deserialize_option(Optional(Parsed {
        expecting: "an HTTP method in upper case, such as \"GET\", or no `method` for all",
        parse: |text| text.parse().ok().filter(|_| !text.bytes().any(|b| b.is_ascii_lowercase())),
        shown: str::to_owned,
    }))
}

/// A header's name.
pub(super) fn header<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<HeaderName>, D::Error> {
    deserializer.deserialize_option(Optional(Parsed {
        expecting: "the name of a header, such as \"x-partner-token\"",
        parse: |text| text.parse().ok(),
        shown: str::to_owned,
    }))
}

/// What may have no value.
struct Optional<T>(Parsed<T>);

impl<'de, T> Visitor<'de> for Optional<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.expecting(f)
    }

    fn visit_none<E>(self) -> Result<Option<T>, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<T>, D::Error> {
        deserializer.deserialize_str(self.0).map(Some)
    }
}

impl<T> Visitor<'_> for Parsed<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<T, E> {
        (self.parse)(text)
            .ok_or_else(|| E::invalid_value(Unexpected::Str(&(self.shown)(text)), &self))
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for OneOrMany<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(OneOrManyVisitor(PhantomData))
    }
}

struct OneOrManyVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for OneOrManyVisitor<T> {
    type Value = OneOrMany<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string, or a list of them")
    }

    fn visit_str<E: de::Error>(self, text: &str) -> Result<Self::Value, E> {
        T::deserialize(StrDeserializer::new(text)).map(|one| OneOrMany(vec![one]))
    }

    // What a number is here, `T` says: it may be a secret that somebody forgot to quote.

    fn visit_i64<E: de::Error>(self, number: i64) -> Result<Self::Value, E> {
        T::deserialize(number.into_deserializer()).map(|one| OneOrMany(vec![one]))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Self::Value, E> {
        T::deserialize(number.into_deserializer()).map(|one| OneOrMany(vec![one]))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Self::Value, E> {
        T::deserialize(number.into_deserializer()).map(|one| OneOrMany(vec![one]))
    }

    fn visit_map<A: MapAccess<'de>>(self, table: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(table)).map(|one| OneOrMany(vec![one]))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut values = Vec::new();
        while let Some(value) = list.next_element()? {
            values.push(value);
        }
        Ok(OneOrMany(values))
    }
}
