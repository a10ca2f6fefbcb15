//! Who the client is, as a file says it: identifier and secret are there, or somewhere else.

use std::env;

use serde::de::{self, Deserialize, Deserializer};

use super::reference::{Reference, SecretReference};
use super::values::{self, OneOrMany};
use crate::builder::Builder;
use crate::credentials::{ClientAuthentication, ClientCredentials, Secret, shown_variable};
use crate::error::{Problem, ProblemKind};

/// The table `client`.
#[derive(Clone, serde::Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Client {
    id: ClientId,
    secret: Secrets,
    #[serde(default, deserialize_with = "values::or_default")]
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
                let name = shown_variable(&name).map_or_else(
                    || "a variable whose name is none".to_owned(),
                    |name| format!("the variable {name:?}"),
                );
                let message = format!(
                    "the client id in {name} is not there: the variable is not set, or not as text, where this \
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
        deserializer.deserialize_any(Reference {
            expecting: "a string in quotes, or { env = \"NAME\" }",
            value: Self::Value,
            keys: &["env"],
            reference: |_, name| Self::Variable(name),
        })
    }
}

impl<'de> Deserialize<'de> for Secrets {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let OneOrMany(secrets) = OneOrMany::<SecretReference>::deserialize(deserializer)?;
        let count = secrets.len();
        let mut secrets = secrets.into_iter().map(|SecretReference(secret)| secret);
        match (secrets.next(), secrets.next(), secrets.next()) {
            (Some(first), other, None) => Ok(Self { first, other }),
            _ => Err(de::Error::invalid_length(count, &"one secret, or two that overlap")),
        }
    }
}
