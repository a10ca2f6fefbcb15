#![doc = include_str!("../README.md")]
//!
//! # The way of a request
//!
//! ```text
//! Request ─▶ route ─▶ token ─▶ head ─▶ the inner service ─▶ challenge ─▶ Response
//!            which    fresh?   with                         a rejection
//!            scope?     │no    the token                    of the token?
//!                       ▼                                     │yes
//!                     wait ◀──────────── renew ◀──────────────┘
//!                       │                  └─▶ send again, once, with the body that was recorded
//!                       ▼
//!                     flight: one for a token, in a task of its own
//!                       │
//!                       ▼
//!                     token source: timeout ▷ retry ▷ [shared store] ▷ timeout ▷ grant ▷ HTTP client
//! ```
//!
//! A request that finds a fresh token goes straight through the upper row: it takes no lock, and is
//! told nobody of.
//!
//! # Layout
//!
//! For those who read the code. Each room knows only what it must, and those further down:
//!
//! | Room | What it holds |
//! |---|---|
//! | `layer`, `builder`, `config` | [`PartnerAuthLayer`], its configuration and the checks of it |
//! | `operator` | What an operator is told: [`Status`], [`Prewarmed`] |
//! | `service` | [`PartnerAuth`], the state machine of one request, and what is remembered of rejections |
//! | `body` | [`ReplayBody`], which records a body while it streams, and takes it back |
//! | `route` | Which requests may carry a token: origins, templates, policies |
//! | `challenge` | Reading a rejection |
//! | `token` | A token's life, the slot that holds it, the ledger of what is known of it, the flight that fetches the next |
//! | `grant` | The token request and its answer on the wire, as a Tower service |
//! | `store` | Tokens shared by a fleet: a layer over the token source |
//! | `partner` | The partner API's hosts, scopes and routes, as data |
//! | `sandbox` | An embedded partner server |
//! | `observe` | What is told through `tracing` and `metrics`, and under which names |
//! | `credentials`, `scope`, `error` | The ground floor |
#![cfg_attr(docsrs, feature(doc_cfg))]

mod body;
mod builder;
mod challenge;
#[cfg(feature = "config")]
mod config;
mod credentials;
mod error;
mod grant;
mod layer;
mod observe;
mod operator;
pub mod partner;
mod route;
#[cfg(feature = "sandbox")]
pub mod sandbox;
mod scope;
mod service;
#[cfg(feature = "store")]
pub mod store;
mod striped;
mod sync;
mod token;

pub use body::{ReplayBody, Superseded};
pub use builder::Builder;
pub use challenge::Verdict;
#[cfg(feature = "config")]
pub use config::Config;
pub use credentials::{
    ClientAuthentication, ClientAuthenticator, ClientCredentials, ClientProof, ProofFuture,
    ProofRequest, Secret, SecretValue,
};
pub use error::{
    BuildError, Error, Problem, ProblemKind, RouteError, RouteErrorKind, SecretError,
    SecretErrorKind, TokenError, TokenErrorKind,
};
pub use grant::{ClientCredentialsGrant, TokenRequest, TokenResponse};
pub use layer::PartnerAuthLayer;
pub use operator::{Prewarmed, Status};
pub use partner::Environment;
pub use route::{OnUnauthorized, Route};
pub use scope::{InvalidScope, Scope};
pub use service::{AuthOutcome, PartnerAuth, Rejection, RequestAuth, ResponseFuture};
pub use token::{FetchOutcome, LastFetch, TokenState, TokenStatus};
