//! The builder as a file holds it: [`Config`].
//!
//! A file is read in two steps. What has the wrong shape (an unknown key, a duration without a unit)
//! fails while it is deserialised; what is wrong in itself (a route without a host, a secret that is
//! not there) is said by [`Builder::build`], with everything else that is. Both name the place.

mod client;
mod entries;
mod reference;
#[cfg(feature = "rustls")]
mod root_certificates;
#[cfg(feature = "redis")]
mod shared_store;
mod tree;
mod values;

use std::fmt;

use serde::de::{Deserialize, Deserializer, Error as _};
use serde_path_to_error::Track;

use crate::builder::Builder;
use crate::error::BuildError;
use crate::layer::PartnerAuthLayer;

use entries::Entries;
use tree::Tree;

/// A layer's configuration as a file holds it: the whole [`Builder`] as a type of serde, for TOML,
/// JSON, YAML and the like.
///
/// The keys are the names of the builder's methods, with the same defaults. Only `client`, and
/// one of `environment` and `token_url`, have to be there.
///
/// ```
/// use tower_partner_auth::Config;
///
/// let config: Config = toml::from_str(r#"
///     token_url = "https://accounts.example.com/oauth/token"
///     wait_limit = "5s"
///
///     [client]
///     id = "my-client"
///     secret = "s3cret"      # better: { env = "CLIENT_SECRET" } or { file = "/run/secrets/client" }
///
///     [[routes]]
///     method = "GET"
///     url = "https://api.example.com/v1/{id}"
///     scope = "read"
/// "#)?;
/// let auth = config.build()?;
/// # let _ = auth;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// # Keys
///
/// | Key | Value |
/// |---|---|
/// | `client.id` | a string, or `{ env = "NAME" }` |
/// | `client.secret` | `{ env = "NAME" }`, `{ file = "/path" }`, a string, or a list of two of them that [overlap](crate::ClientCredentials::or_secret) |
/// | `client.authentication` | `"body"`, `"basic"` or `"basic_unencoded"`: [`ClientAuthentication`](crate::ClientAuthentication) |
/// | `environment` | `"test"`, `"production"`, or an origin as for [`Environment::at`](crate::Environment::at) |
/// | `token_url` | [a URL](Builder::token_url) |
/// | `token_parameters` | a table of [parameters](Builder::token_parameter), each a string, `{ env = "NAME" }`, `{ file = "/path" }`, or a list of these; read once |
/// | `token_headers` | a table of [headers](Builder::token_header), each a string, `{ env = "NAME" }` or `{ file = "/path" }`; read once |
/// | `token_root_certificates` | the path of a file of [PEM](Builder::token_root_certificates), read once |
/// | `connect_timeout`, `token_timeout`, `wait_limit`, `soft_window`, `hard_window`, `max_token_age`, `store_lease`, `store_timeout` | a duration with its unit: `"30s"`, `"500ms"`, `"1h 30m"` |
/// | `shared_store.url` | [a Redis](crate::store::RedisStore::connect): a string, `{ env = "NAME" }` or `{ file = "/path" }`; with the feature `redis` |
/// | `shared_store.keys` | a [key](crate::store::StoreKeys::from_base64) in base64, as `url` is; or a list, while keys are changed |
/// | `shared_store.prefix` | [a string](crate::store::RedisStore::with_prefix) |
/// | `token_retries` | [a number](Builder::token_retries) |
/// | `replay_limit` | [a number of bytes](Builder::replay_limit) |
/// | `strict`, `keep_warm` | `true` or `false` |
/// | `routes[].method` | in upper case; without one, the route is for all |
/// | `routes[].url` | [an absolute URL](crate::Route::new) whose path is a template |
/// | `routes[].scope` | a string, or a list of strings |
/// | `routes[].header`, `.scheme`, `.replay_limit` | as for [`Route`](crate::Route) |
/// | `routes[].on_unauthorized` | `"replay"`, `"renew"` or `"leave"`: [`OnUnauthorized`](crate::OnUnauthorized) |
///
/// What takes code (an HTTP client, a token source, a classifier, a provider of secrets) is set on the
/// builder that [`into_builder`](Self::into_builder) gives.
///
/// # Errors
///
/// Deserialising fails for a key that is unknown or stands twice, and for a value of the wrong type
/// or form, with the path to it: `routes[2].method: …`. No error of this type quotes a secret. One
/// of the parser's own may quote the line that it is at: another reason to keep the secret itself
/// out of the file.
#[derive(Clone)]
pub struct Config {
    entries: Entries,
}

impl Config {
    /// A builder with all that the file says. What is said to the builder from here on takes
    /// precedence, and routes add up.
    pub fn into_builder(self) -> Builder {
        self.entries.into_builder()
    }

    /// Makes the layer.
    ///
    /// # Errors
    ///
    /// As [`Builder::build`]. Each problem names its [place](crate::Problem::path) in the file.
    pub fn build(self) -> Result<PartnerAuthLayer, BuildError> {
        self.into_builder().build()
    }
}

impl<'de> Deserialize<'de> for Config {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let mut track = Track::new();
        let tree =
            Tree::deserialize(serde_path_to_error::Deserializer::new(deserializer, &mut track));
        let Tree(tree) = tree.map_err(|error| match track.path().to_string() {
            // The file as a whole: the parser's words are the best there are.
            path if path == "." => error,
            path => D::Error::custom(format_args!("{path}: {error}")),
        })?;
        // Said here, since serde would repeat what it found instead: it may well be the secret.
        if !tree.is_object() {
            return Err(D::Error::custom("expected a table with `client` and more"));
        }
        for (key, of) in [
            ("client", "`id` and `secret`"),
            ("token_headers", "a value in quotes for each header"),
            ("token_parameters", "a value in quotes for each parameter"),
        ] {
            if tree.get(key).is_some_and(|value| !value.is_object() && !value.is_null()) {
                return Err(D::Error::custom(format_args!("{key}: expected a table with {of}")));
            }
        }
        let entries = serde_path_to_error::deserialize(tree).map_err(D::Error::custom)?;
        Ok(Self { entries })
    }
}

impl fmt::Debug for Config {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // As the builder shows it: without what may be secret in URLs, parameters and headers.
        let builder = self.entries.clone().without_connections().into_builder();
        f.debug_tuple("Config").field(&builder).finish()
    }
}
