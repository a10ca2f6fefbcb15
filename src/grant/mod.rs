//! The client-credentials grant (RFC 6749 §4.4) on the wire, as a Tower service from
//! [`TokenRequest`] to [`TokenResponse`].
//!
//! ```text
//! total timeout ▷ retry ▷ attempt timeout ▷ ClientCredentialsGrant ▷ HTTP client
//! ```
//!
//! Nothing here knows of slots, routes or the layer: a token request can never meet the layer that
//! it serves.

mod answer;
mod certificate;
mod client;
mod form;
#[cfg(feature = "rustls")]
mod http_client;
#[cfg(feature = "store")]
mod known;
mod proof;
mod request;
mod response;
mod retry;
#[cfg(feature = "rustls")]
mod roots;
mod stack;

pub use client::ClientCredentialsGrant;
pub(crate) use form::{FRAMING_HEADERS, OWN_HEADERS, OWN_PARAMETERS};
#[cfg(feature = "rustls")]
pub(crate) use http_client::http_client;
#[cfg(feature = "store")]
pub(crate) use known::Known;
pub use request::TokenRequest;
pub(crate) use response::SHORTEST_LIFE;
pub use response::TokenResponse;
#[cfg(feature = "rustls")]
pub(crate) use roots::Roots;
pub(crate) use stack::{
    HttpClient, Timeouts, TokenSource, attempts, boxed_http_client, boxed_source, flight,
};
