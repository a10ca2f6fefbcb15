//! The keys of a file, and what each says to the builder.

use std::collections::BTreeMap;
use std::time::Duration;

use http::{HeaderName, Method};
use serde::Deserialize;

use super::client::Client;
use super::reference::TextReference;
#[cfg(feature = "rustls")]
use super::root_certificates::RootCertificates;
#[cfg(feature = "redis")]
use super::shared_store::SharedStore;
use super::values::{self, OneOrMany};
use crate::builder::Builder;
use crate::error::{Problem, ProblemKind};
use crate::partner::Environment;
use crate::route::{OnUnauthorized, Route};

/// A file. Its keys are the names of the builder's methods.
#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Entries {
    client: Client,
    #[serde(default, deserialize_with = "values::environment")]
    environment: Option<Environment>,
    token_url: Option<String>,
    #[serde(default, deserialize_with = "values::or_default")]
    token_parameters: BTreeMap<String, OneOrMany<TextReference>>,
    #[serde(default, deserialize_with = "values::or_default")]
    token_headers: BTreeMap<String, TextReference>,
    #[serde(default, deserialize_with = "values::or_default")]
    routes: Vec<RouteEntry>,
    #[serde(default, deserialize_with = "values::or_default")]
    strict: bool,
    #[serde(default, deserialize_with = "values::or_default")]
    keep_warm: bool,
    #[serde(default, deserialize_with = "values::duration")]
    connect_timeout: Option<Duration>,
    #[cfg(feature = "rustls")]
    token_root_certificates: Option<RootCertificates>,
    #[serde(default, deserialize_with = "values::duration")]
    token_timeout: Option<Duration>,
    token_retries: Option<usize>,
    #[serde(default, deserialize_with = "values::duration")]
    wait_limit: Option<Duration>,
    #[serde(default, deserialize_with = "values::duration")]
    soft_window: Option<Duration>,
    #[serde(default, deserialize_with = "values::duration")]
    hard_window: Option<Duration>,
    #[serde(default, deserialize_with = "values::duration")]
    max_token_age: Option<Duration>,
    replay_limit: Option<usize>,
    #[cfg(feature = "redis")]
    shared_store: Option<SharedStore>,
    #[cfg(feature = "store")]
    #[serde(default, deserialize_with = "values::duration")]
    store_lease: Option<Duration>,
    #[cfg(feature = "store")]
    #[serde(default, deserialize_with = "values::duration")]
    store_timeout: Option<Duration>,
}

#[derive(Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct RouteEntry {
    #[serde(default, deserialize_with = "values::method")]
    method: Option<Method>,
    url: String,
    scope: OneOrMany<String>,
    #[serde(default, deserialize_with = "values::header")]
    header: Option<HeaderName>,
    scheme: Option<String>,
    on_unauthorized: Option<OnUnauthorized>,
    replay_limit: Option<usize>,
}

impl Entries {
    /// To be looked at only.
    #[cfg_attr(not(feature = "redis"), expect(unused_mut, reason = "there are none"))]
    pub(super) fn without_connections(mut self) -> Self {
        #[cfg(feature = "redis")]
        {
            self.shared_store = None;
        }
        self
    }

    pub(super) fn into_builder(self) -> Builder {
        let mut builder = self.client.into_builder();
        builder = set(builder, self.environment, Builder::environment);
        builder = set(builder, self.token_url, Builder::token_url);
        for (name, OneOrMany(values)) in self.token_parameters {
            for value in values {
                builder = match value.read("the value of the token parameter") {
                    Ok(value) => builder.token_parameter(name.as_str(), &*value),
                    Err(error) => {
                        let problem = Problem::new(ProblemKind::TokenParameter, error.to_string());
                        builder.fault(problem.at(format!("token_parameters.{name}")))
                    }
                };
            }
        }
        for (name, value) in self.token_headers {
            builder = match value.read("the value of the token header") {
                Ok(value) => builder.token_header(name, &*value),
                Err(error) => {
                    let problem = Problem::new(ProblemKind::TokenHeader, error.to_string());
                    builder.fault(problem.at(format!("token_headers.{name}")))
                }
            };
        }
        #[cfg(feature = "rustls")]
        {
            builder = set(builder, self.token_root_certificates, RootCertificates::add_to);
        }
        for (index, route) in self.routes.into_iter().enumerate() {
            builder = builder.route(route.into_route().in_file(format!("routes[{index}]")));
        }
        builder = set(builder, self.strict.then_some(()), |builder, ()| builder.strict());
        builder = set(builder, self.keep_warm.then_some(()), |builder, ()| builder.keep_warm());
        builder = set(builder, self.connect_timeout, Builder::connect_timeout);
        builder = set(builder, self.token_timeout, Builder::token_timeout);
        builder = set(builder, self.token_retries, Builder::token_retries);
        builder = set(builder, self.wait_limit, Builder::wait_limit);
        builder = set(builder, self.soft_window, Builder::soft_window);
        builder = set(builder, self.hard_window, Builder::hard_window);
        builder = set(builder, self.max_token_age, Builder::max_token_age);
        #[cfg(feature = "store")]
        {
            builder = set(builder, self.store_lease, Builder::store_lease);
            builder = set(builder, self.store_timeout, Builder::store_timeout);
        }
        #[cfg(feature = "redis")]
        {
            builder = set(builder, self.shared_store, SharedStore::add_to);
        }
        set(builder, self.replay_limit, Builder::replay_limit)
    }
}

impl RouteEntry {
    fn into_route(self) -> Route {
        let scope = self.scope.0.join(" ");
        let mut route = match self.method {
            Some(method) => Route::new(method, self.url, scope),
            None => Route::any(self.url, scope),
        };
        route = set(route, self.header, Route::header);
        route = set(route, self.scheme, Route::scheme);
        route = set(route, self.on_unauthorized, Route::on_unauthorized);
        set(route, self.replay_limit, Route::replay_limit)
    }
}

/// What a file does not say stays at its default.
fn set<B, T>(builder: B, value: Option<T>, setter: impl FnOnce(B, T) -> B) -> B {
    match value {
        Some(value) => setter(builder, value),
        None => builder,
    }
}
