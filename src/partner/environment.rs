//! Where the partner API is.

use std::collections::BTreeSet;
use std::fmt;

use crate::route::{Route, shown};

use super::use_cases::{Host, USE_CASES, UseCase};

/// The partner API's token URL, hosts and routes, for one of its environments.
///
/// Credentials of one environment do not work in another; switch both together.
#[derive(Clone)]
pub struct Environment {
    token_url: String,
    partner: Vec<String>,
    one_api: Vec<String>,
    onboarding: Vec<String>,
}

impl Environment {
    /// The test environment. The provider's pages name several hosts for it: its routes are on
    /// both partner hosts, and another token URL is set with
    /// [`Builder::token_url`](crate::Builder::token_url).
    pub fn test() -> Self {
        Self::with(
            "https://uat-accounts.payu.in/oauth/token",
            &["https://uat-partner.payu.in", "https://test-partner.payu.in"],
            &["https://uatoneapi.payu.in"],
            &["https://test10-onboarding.payu.in"],
        )
    }

    /// The production environment.
    pub fn production() -> Self {
        Self::with(
            "https://accounts.payu.in/oauth/token",
            &["https://partner.payu.in"],
            &["https://oneapi.payu.in"],
            &["https://onboarding.payu.in"],
        )
    }

    /// Token endpoint (`/oauth/token`) and API on one origin, such as `http://127.0.0.1:3000`: a
    /// sandbox, a mock, a gateway. Whether `origin` is one is checked when the layer is built.
    pub fn at(origin: impl Into<String>) -> Self {
        let origin = origin.into();
        let origin = origin.strip_suffix('/').unwrap_or(&origin);
        let token_url = format!("{origin}/oauth/token");
        Self::with(&token_url, &[origin], &[origin], &[origin])
    }

    fn with(token_url: &str, partner: &[&str], one_api: &[&str], onboarding: &[&str]) -> Self {
        let owned = |origins: &[&str]| origins.iter().map(|&origin| origin.to_owned()).collect();
        Self {
            token_url: token_url.to_owned(),
            partner: owned(partner),
            one_api: owned(one_api),
            onboarding: owned(onboarding),
        }
    }

    /// The URL of the token endpoint.
    pub fn token_url(&self) -> &str {
        &self.token_url
    }

    /// The origins at which this environment serves `host`; the first is the one to call.
    pub fn origins(&self, host: Host) -> &[String] {
        match host {
            Host::Partner => &self.partner,
            Host::OneApi => &self.one_api,
            Host::Onboarding => &self.onboarding,
        }
    }

    /// Every origin of it, once.
    pub(crate) fn all_origins(&self) -> BTreeSet<&str> {
        let hosts = [&self.partner, &self.one_api, &self.onboarding];
        hosts.into_iter().flatten().map(String::as_str).collect()
    }

    /// The routes of all use cases, on every origin that serves them.
    pub fn routes(&self) -> impl Iterator<Item = Route> {
        let at = |row: &'static UseCase| {
            self.origins(row.host).iter().map(move |origin| {
                Route::new(row.method.clone(), format!("{origin}{}", row.path), row.scope)
                    .on_unauthorized(row.on_unauthorized)
            })
        };
        USE_CASES.iter().flat_map(at)
    }
}

impl fmt::Debug for Environment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let all =
            |origins: &[String]| origins.iter().map(|origin| shown(origin)).collect::<Vec<_>>();
        f.debug_struct("Environment")
            .field("token_url", &shown(&self.token_url))
            .field("partner", &all(&self.partner))
            .field("one_api", &all(&self.one_api))
            .field("onboarding", &all(&self.onboarding))
            .finish()
    }
}
