//! Laws F1 to F4 over a store in memory, under paused time: what a fleet of layers costs its token
//! server, and what becomes of calls when the store fails. One layer stands for one process.

#![cfg(feature = "store")]

mod common;
#[path = "store/faults.rs"]
mod faults;
#[path = "store/keys.rs"]
mod keys;
#[path = "store/leases.rs"]
mod leases;
#[path = "store/rejections.rs"]
mod rejections;
#[path = "store/sharing.rs"]
mod sharing;

use std::convert::Infallible;
use std::time::Duration;

use bytes::Bytes;
use common::outcome;
use common::scripted::{API, SECOND, Scripted, TOKEN_URL, TokenServer, grant, kind, request};
use common::shared_store::{Health, MemoryStore};
use http::header::AUTHORIZATION;
use http::{Request, Response, StatusCode};
use http_body_util::Full;
use tokio::task::JoinSet;
use tokio::time::Instant;
use tower::{Layer, ServiceExt, service_fn};
use tower_partner_auth::store::{StoreKeys, StoreStatus};
use tower_partner_auth::{
    Builder, ClientCredentials, FetchOutcome, PartnerAuthLayer, ReplayBody, Route, Scope,
    TokenError, TokenErrorKind, TokenResponse,
};

const MILLISECOND: Duration = Duration::from_millis(1);
const ATTEMPT: Duration = Duration::from_secs(10);

fn key(number: u8) -> StoreKeys {
    StoreKeys::new(&[number; 32])
}

/// A process of a fleet.
fn process(tokens: &TokenServer, store: &MemoryStore) -> Scripted {
    process_with(tokens, store, key(1), |builder| builder)
}

fn process_with(
    tokens: &TokenServer,
    store: &MemoryStore,
    keys: StoreKeys,
    configure: impl FnOnce(Builder) -> Builder,
) -> Scripted {
    Scripted::with(tokens.clone(), |builder| {
        configure(builder.token_retries(0).shared_store(store.clone(), keys))
    })
}

fn fleet(size: usize, tokens: &TokenServer, store: &MemoryStore) -> Vec<Scripted> {
    (0..size).map(|_| process(tokens, store)).collect()
}

/// One call of each, all at once: all succeed.
async fn call_all(fleet: &[Scripted]) {
    let mut calls = JoinSet::new();
    for process in fleet {
        let process = process.clone();
        calls.spawn(async move { process.call().await });
    }
    while let Some(call) = calls.join_next().await {
        assert_eq!(call.unwrap().unwrap(), 200);
    }
}

fn store_status(process: &Scripted) -> StoreStatus {
    *process.auth.status().store().expect("there is a store")
}

fn last_carried(process: &Scripted) -> String {
    process.carried().last().expect("a call").clone()
}

/// One call to an API that accepts this token only.
async fn call_api(process: &Scripted, accepted: &str) -> Response<()> {
    let accepted = format!("Bearer {accepted}");
    let api = service_fn(move |request: Request<ReplayBody<Full<Bytes>>>| {
        let good = request.headers()[AUTHORIZATION] == accepted.as_str();
        async move {
            let mut response = Response::new(());
            if !good {
                *response.status_mut() = StatusCode::UNAUTHORIZED;
            }
            Ok::<_, Infallible>(response)
        }
    });
    process.auth.layer(api).oneshot(request()).await.unwrap()
}
