//! The store that a fleet shares, as a file says it.

use serde::Deserialize;

use super::reference::SecretReference;
use super::values::OneOrMany;
use crate::builder::Builder;
use crate::error::{Problem, ProblemKind};
use crate::store::{RedisStore, StoreKeys};

/// The table `shared_store`.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct SharedStore {
    /// It may have a password in it.
    url: SecretReference,
    keys: OneOrMany<SecretReference>,
    prefix: Option<String>,
}

impl SharedStore {
    /// In the form of a setter of the builder's.
    pub(super) fn add_to(builder: Builder, this: Self) -> Builder {
        match (this.connect(), this.read_keys()) {
            (Ok(store), Ok(keys)) => builder.shared_store(store, keys),
            (store, keys) => {
                let problems = [store.err(), keys.err()].into_iter().flatten();
                problems.fold(builder, Builder::fault)
            }
        }
    }

    fn connect(&self) -> Result<RedisStore, Problem> {
        let fault = |message| problem("url", message);
        let url = self
            .url
            .0
            .clone()
            .called("the URL of the shared store")
            .read_now()
            .map_err(|error| fault(error.to_string()))?;
        // Without the client's own words, which may be those of the URL.
        let store = RedisStore::connect(&*url).map_err(|_| {
            fault(
                "this is not the URL of a Redis: write it as redis://host:port, or rediss://… with a TLS feature of \
                 the crate `redis`; and build the layer inside a Tokio runtime"
                    .to_owned(),
            )
        })?;
        Ok(match &self.prefix {
            Some(prefix) => store.with_prefix(prefix),
            None => store,
        })
    }

    fn read_keys(&self) -> Result<StoreKeys, Problem> {
        let mut keys: Option<StoreKeys> = None;
        for (number, SecretReference(secret)) in self.keys.0.iter().enumerate() {
            let fault = |message| problem(&format!("keys[{number}]"), message);
            let secret = secret.clone().called("the key of the shared store");
            let text = secret.read_now().map_err(|error| fault(error.to_string()))?;
            let key = StoreKeys::from_base64(&text).map_err(|error| fault(error.to_string()))?;
            keys = Some(match keys {
                Some(keys) => keys.and(key),
                None => key,
            });
        }
        keys.ok_or_else(|| {
            problem("keys", "there is none: give one, or two while it is changed".to_owned())
        })
    }
}

fn problem(key: &str, message: String) -> Problem {
    Problem::new(ProblemKind::SharedStore, message).at(format!("shared_store.{key}"))
}
