#![doc = include_str!("../README.md")]
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
