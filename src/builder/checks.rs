//! What `build` does: every part of the configuration is checked, and what is wrong is gathered.

use std::mem;
use std::sync::Mutex;

use arc_swap::ArcSwap;
use http::Uri;

use super::rules::{Rules, Standing};
use super::{Builder, Source};
use crate::error::{Problem, ProblemKind};
use crate::grant::{OWN_PARAMETERS, TokenSource, attempts, flight};
use crate::layer::PartnerAuthLayer;
use crate::observe;
use crate::partner::Environment;
use crate::route::{Origin, Policy, shown};
use crate::service::{Auth, Guard, Shared, Slots};
use crate::token::SlotConfig;

impl Builder {
    /// The layer, or everything that is wrong, each with its place in a file.
    pub(super) fn checked(mut self) -> Result<PartnerAuthLayer, Vec<Problem>> {
        let mut problems = mem::take(&mut self.faults);
        problems.extend(self.credentials.problems());
        let endpoint = self.endpoint().map_err(|problem| problems.push(problem)).ok();
        problems.extend(self.parameter_faults());
        problems.extend(self.headers.faults());
        problems.extend(self.limit_faults());
        #[cfg(feature = "rustls")]
        problems.extend(self.root_faults());

        let mut rules = Rules::default();
        // The user's own routes first: an environment's row yields to them.
        for route in &self.routes {
            rules.add(route, Standing::Explicit, &mut problems);
        }
        if let Some(environment) = &self.environment {
            rules.add_environment(environment, &mut problems);
        }
        let attempts = self.attempts().map_err(|problem| problems.push(problem)).ok();
        let (Some(endpoint), Some(attempts), true) = (endpoint, attempts, problems.is_empty())
        else {
            return Err(problems);
        };
        #[cfg(feature = "store")]
        let (attempts, store) = self.shared(attempts);
        let source = match self.source {
            // Its own timeouts and retries are all there are.
            Source::Custom(_) => attempts,
            Source::BuiltIn | Source::OverClient(_) => flight(attempts, self.timeouts),
        };

        observe::layer_built();
        let schemes = rules.schemes();
        let config = SlotConfig {
            schemes: schemes.as_slice().into(),
            source: Mutex::new(source),
            endpoint,
            credentials: ArcSwap::from_pointee(self.credentials),
            parameters: self.parameters.into(),
            headers: self.headers.into_map(),
            wait_limit: self.wait_limit,
            windows: self.windows,
            max_age: self.max_token_age,
        };
        let mut slots = Slots::new(config, self.keep_warm);
        let replay_limit = self.replay_limit;
        let guard = |policy: Policy, slot| {
            let scheme = schemes.iter().position(|scheme| *scheme == policy.scheme);
            Guard::new(policy, scheme.expect("collected from all policies"), replay_limit, slot)
        };
        let mut guards: Vec<Guard> = rules
            .list
            .into_iter()
            .map(|rule| guard(rule.policy, Some(slots.of_route(&rule.scope))))
            .collect();
        guards.push(guard(Policy::default(), None));
        let layer =
            PartnerAuthLayer::new(Shared::new(Auth::new(rules.table, guards, slots, self.strict)));
        #[cfg(feature = "store")]
        let layer = layer.with_store(store);
        Ok(layer)
    }

    fn endpoint(&self) -> Result<Uri, Problem> {
        let preset = self.environment.as_ref().map(Environment::token_url);
        let key = match (&self.token_url, preset) {
            (None, Some(_)) => "environment",
            _ => "token_url",
        };
        let bad = |what: String| Problem::new(ProblemKind::TokenUrl, what).at(key);
        let Some(url) = self.token_url.as_deref().or(preset) else {
            return Err(bad(
                "there is no token URL: set token_url(\"https://…/oauth/token\") or an environment(…)".to_owned(),
            ));
        };
        let name = shown(url);
        let bad = |clause: String| bad(format!("the token URL {name:?} {clause}"));
        if url.contains('#') {
            return Err(bad("has a fragment, which RFC 6749 §3.2 forbids: remove it".to_owned()));
        }
        let Some((scheme, rest)) = url.split_once("://") else {
            return Err(bad("is not absolute: write it as https://host/path".to_owned()));
        };
        let authority = rest.split(['/', '?']).next().unwrap_or_default();
        Origin::parse(scheme, authority).map_err(bad)?;
        url.parse().map_err(|_| bad("is not a valid URL".to_owned()))
    }

    fn parameter_faults(&self) -> Vec<Problem> {
        let own =
            self.parameters.iter().filter(|(name, _)| OWN_PARAMETERS.contains(&name.as_str()));
        own.map(|(name, _)| {
            let message =
                format!("the token parameter {name:?} is set by the grant itself: remove it");
            Problem::new(ProblemKind::TokenParameter, message)
                .at(format!("token_parameters.{name}"))
        })
        .collect()
    }

    fn limit_faults(&self) -> Vec<Problem> {
        let limits = [
            ("connect_timeout", Some(self.connect_timeout)),
            ("token_timeout", Some(self.timeouts.total)),
            ("wait_limit", Some(self.wait_limit)),
            ("soft_window", Some(self.windows.soft)),
            ("hard_window", Some(self.windows.hard)),
            ("max_token_age", self.max_token_age),
            #[cfg(feature = "store")]
            ("store_lease", Some(self.store.lease)),
            #[cfg(feature = "store")]
            ("store_timeout", Some(self.store.answer)),
        ];
        let zero =
            limits.into_iter().filter(|(_, limit)| limit.is_some_and(|limit| limit.is_zero()));
        zero.map(|(name, _)| {
            let message = format!("{name} is zero, which leaves no time for it: give it one");
            Problem::new(ProblemKind::Limit, message).at(name)
        })
        .collect()
    }

    #[cfg(feature = "rustls")]
    fn root_faults(&self) -> Vec<Problem> {
        let problem = |clause: &str| {
            Problem::new(
                ProblemKind::RootCertificates,
                format!("the token root certificates {clause}"),
            )
            .at("token_root_certificates")
        };
        let mut problems: Vec<_> =
            self.roots.faults().iter().map(|clause| problem(clause)).collect();
        if self.roots.are_given() && !matches!(self.source, Source::BuiltIn) {
            // They would go nowhere, and every token request fail where they are needed.
            problems
                .push(problem("are for the built-in HTTP client: give them to your own instead"));
        }
        problems
    }

    /// What is called for one try to get a token.
    fn attempts(&self) -> Result<TokenSource, Problem> {
        match &self.source {
            Source::Custom(source) => Ok(source.clone()),
            Source::OverClient(client) => Ok(attempts(client.clone(), self.timeouts)),
            #[cfg(feature = "rustls")]
            Source::BuiltIn => {
                let client = crate::grant::http_client(self.connect_timeout, self.roots.trusted());
                Ok(attempts(client, self.timeouts))
            }
            #[cfg(not(feature = "rustls"))]
            Source::BuiltIn => Err(Problem::new(
                ProblemKind::HttpClient,
                "there is no HTTP client for token requests: enable the feature \"rustls\", or set http_client(…) or \
                 token_source(…)",
            )),
        }
    }
}
