//! The layer of a vector.

use http::StatusCode;
use tower_partner_auth::{ClientCredentials, OnUnauthorized, PartnerAuthLayer, Route, Verdict};

use super::format::{LayerSetup, OnRejection, RouteSetup};
use super::token_server::{CLIENT_ID, CLIENT_SECRET, TOKEN_URL, client};
use super::world::{World, absolute};

pub(crate) fn build(setup: &LayerSetup, world: &World) -> Result<PartnerAuthLayer, String> {
    let credentials = ClientCredentials::new(CLIENT_ID, CLIENT_SECRET);
    let mut builder = PartnerAuthLayer::builder(credentials)
        .token_url(TOKEN_URL)
        .http_client(client(world))
        .token_retries(setup.token_retries);
    match &setup.routes {
        None => builder = builder.route(Route::any(absolute("/{*path}"), "read")),
        Some(routes) => {
            for setup in routes {
                builder = builder.route(route(setup)?);
            }
        }
    }
    if setup.strict {
        builder = builder.strict();
    }
    if setup.keep_warm {
        builder = builder.keep_warm();
    }
    if let Some(limit) = setup.wait_limit {
        builder = builder.wait_limit(limit.0);
    }
    if let Some(age) = setup.max_token_age {
        builder = builder.max_token_age(age.0);
    }
    if let Some(timeout) = setup.token_timeout {
        builder = builder.token_timeout(timeout.0);
    }
    if let Some(bytes) = setup.replay_limit {
        builder = builder.replay_limit(bytes);
    }
    for (name, value) in &setup.token_parameters {
        builder = builder.token_parameter(name, value);
    }
    builder.build().map_err(|error| format!("the layer cannot be built: {error}"))
}

fn route(setup: &RouteSetup) -> Result<Route, String> {
    let url = absolute(&setup.url);
    let scope = setup.scope.as_str();
    let mut route = match &setup.method {
        None => Route::any(url, scope),
        Some(method) => {
            let method = method.parse().map_err(|_| format!("{method:?} is no method"))?;
            Route::new(method, url, scope)
        }
    };
    if let Some(header) = &setup.header {
        route = route.header(header.parse().map_err(|_| format!("{header:?} is no header"))?);
    }
    if let Some(scheme) = &setup.scheme {
        route = route.scheme(scheme);
    }
    if let Some(bytes) = setup.replay_limit {
        route = route.replay_limit(bytes);
    }
    if let Some(policy) = setup.on_unauthorized {
        route = route.on_unauthorized(match policy {
            OnRejection::Replay => OnUnauthorized::Replay,
            OnRejection::Renew => OnUnauthorized::Renew,
            OnRejection::Leave => OnUnauthorized::Leave,
        });
    }
    if !setup.also_rejects.is_empty() {
        let statuses = setup.also_rejects.clone();
        route = route.classify(move |status: StatusCode, headers| {
            if statuses.contains(&status.as_u16()) {
                Verdict::TokenRejected
            } else {
                Verdict::of(status, headers)
            }
        });
    }
    Ok(route)
}
