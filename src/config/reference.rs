//! A value, or where it is: in the file itself, in an environment variable, in another file.

use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};
use zeroize::Zeroizing;

use crate::credentials::Secret;
use crate::error::SecretError;

/// A secret, or where it is.
#[derive(Clone)]
pub(super) struct SecretReference(pub(super) Secret);

impl<'de> Deserialize<'de> for SecretReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference {
            expecting: EXPECTING,
            value: |value| Self(value.into()),
            keys: &["env", "file"],
            reference: |key, name| Self(place(key, name)),
        })
    }
}

/// A text that may be a secret: as it is, or where it is.
#[derive(Clone)]
pub(super) enum TextReference {
    Value(Zeroizing<String>),
    Elsewhere(Secret),
}

impl TextReference {
    /// `what` it is called in an error.
    pub(super) fn read(self, what: &'static str) -> Result<Zeroizing<String>, SecretError> {
        match self {
            Self::Value(value) => Ok(value),
            Self::Elsewhere(place) => {
                Ok(Zeroizing::new(String::from(&*place.called(what).read_now()?)))
            }
        }
    }
}

impl<'de> Deserialize<'de> for TextReference {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reference {
            expecting: EXPECTING,
            value: |value| Self::Value(Zeroizing::new(value)),
            keys: &["env", "file"],
            reference: |key, name| Self::Elsewhere(place(key, name)),
        })
    }
}

const EXPECTING: &str = "{ env = \"NAME\" }, { file = \"/path\" }, or a string in quotes";

fn place(key: &str, name: String) -> Secret {
    if key == "env" { Secret::env(name) } else { Secret::file(name) }
}

/// Reads a string, or a table with one of `keys`. It never repeats what else it found: a secret of
/// digits alone, if it is not quoted, is a number.
pub(super) struct Reference<T> {
    pub(super) expecting: &'static str,
    pub(super) value: fn(String) -> T,
    pub(super) keys: &'static [&'static str],
    pub(super) reference: fn(&'static str, String) -> T,
}

impl<T> Reference<T> {
    fn wrong<E: de::Error>(&self) -> E {
        E::custom(format_args!("expected {}", self.expecting))
    }
}

impl<'de, T> Visitor<'de> for Reference<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.expecting)
    }

    fn visit_i64<E: de::Error>(self, _: i64) -> Result<T, E> {
        Err(self.wrong())
    }

    fn visit_u64<E: de::Error>(self, _: u64) -> Result<T, E> {
        Err(self.wrong())
    }

    fn visit_f64<E: de::Error>(self, _: f64) -> Result<T, E> {
        Err(self.wrong())
    }

    fn visit_str<E: de::Error>(self, value: &str) -> Result<T, E> {
        Ok((self.value)(value.to_owned()))
    }

    fn visit_string<E: de::Error>(self, value: String) -> Result<T, E> {
        Ok((self.value)(value))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<T, A::Error> {
        let Some(key) = table.next_key::<String>()? else { return Err(self.wrong()) };
        let Some(known) = self.keys.iter().find(|known| **known == key) else {
            return Err(de::Error::unknown_field(&key, self.keys));
        };
        let name = table.next_value()?;
        match table.next_key::<String>()? {
            None => Ok((self.reference)(known, name)),
            Some(_) => Err(self.wrong()),
        }
    }
}
