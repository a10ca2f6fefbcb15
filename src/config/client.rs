//! Who the client is, as a file says it: identifier and secret are there, or somewhere else.

use std::env;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, MapAccess, Visitor};

use super::values::OneOrMany;
use crate::builder::Builder;
use crate::credentials::{ClientAuthentication, ClientCredentials, Secret};
use crate::error::{Problem, ProblemKind};

/// The table `client`.
#[derive(Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    id: ClientId,
    secret: Secrets,
    #[serde(default)]
    authentication: ClientAuthentication,
}

#[derive(Clone)]
enum ClientId {
    Value(String),
    Variable(String),
}

/// The secret, and the one that will replace it, or that it has replaced.
#[derive(Clone)]
struct Secrets {
    first: Secret,
    other: Option<Secret>,
}

impl Client {
    pub(super) fn into_builder(self) -> Builder {
        let mut fault = None;
        let id = match self.id {
            ClientId::Value(id) => id,
            ClientId::Variable(name) => env::var(&name).unwrap_or_else(|_| {
                let message = format!(
                    "the client id in the variable {name:?} is not there: the variable is not set where this \
                     process was started"
                );
                fault = Some(Problem::new(ProblemKind::Credentials, message).at("client.id"));
                // Any that is well formed, so that it is not said twice.
                "unknown".to_owned()
            }),
        };
        let Secrets { first, other } = self.secret;
        let credentials = ClientCredentials::new(id, first);
        let credentials = match other {
            Some(other) => credentials.or_secret(other),
            None => credentials,
        };
        let builder = Builder::from_file(credentials.with_authentication(self.authentication));
        fault.into_iter().fold(builder, Builder::fault)
    }
}

impl<'de> Deserialize<'de> for ClientId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferenceVisitor {
            expecting: "a string in quotes, or { env = \"NAME\" }",
            value: Self::Value,
            keys: &["env"],
            reference: |_, name| Self::Variable(name),
        })
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let OneOrMany(secrets) = OneOrMany::<OneSecret>::deserialize(deserializer)?;
        let count = secrets.len();
        let mut secrets = secrets.into_iter().map(|OneSecret(secret)| secret);
        match (secrets.next(), secrets.next(), secrets.next()) {
            (Some(first), other, None) => Ok(Self { first, other }),
            _ => Err(de::Error::invalid_length(count, &"one secret, or two that overlap")),
        }
    }
}

struct OneSecret(Secret);

impl<'de> Deserialize<'de> for OneSecret {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReferenceVisitor {
            expecting: "{ env = \"NAME\" }, { file = \"/path\" }, or a string in quotes",
            value: |value| Self(value.into()),
            keys: &["env", "file"],
            reference: |key, name| {
                Self(if key == "env" { Secret::env(name) } else { Secret::file(name) })
            },
        })
    }
}

/// Reads a string, or a table with one of `keys`. It never repeats what else it found: a secret of
/// digits alone, if it is not quoted, is a number.
struct ReferenceVisitor<T> {
    expecting: &'static str,
    value: fn(String) -> T,
    keys: &'static [&'static str],
    reference: fn(&'static str, String) -> T,
}

impl<T> ReferenceVisitor<T> {
    fn wrong<E: de::Error>(&self) -> E {
        E::custom(format_args!("expected {}", self.expecting))
    }
}

impl<'de, T> Visitor<'de> for ReferenceVisitor<T> {
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
