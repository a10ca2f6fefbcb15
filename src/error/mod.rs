//! The errors a user meets: when the layer is built, when a token cannot be had, when a request
//! cannot be authorised.

mod build;
mod code;
mod secret;
mod token;

use std::fmt;

use http::{Method, Uri};
use tower::BoxError;

pub use build::{BuildError, Problem, ProblemKind};
pub use secret::{SecretError, SecretErrorKind};
pub use token::{TokenError, TokenErrorKind};

/// Why a call through [`PartnerAuth`](crate::PartnerAuth) failed. `E` is the inner service's error.
///
/// A rejected token is no error: the API's own 401 comes back as a response, with an
/// [`AuthOutcome`](crate::AuthOutcome) in its extensions that says what was tried.
#[derive(Debug)]
#[non_exhaustive]
pub enum Error<E> {
    /// The inner service failed, while it got ready or in the call. Such calls are not repeated:
    /// the request may have been applied (RFC 9110 §9.2.2).
    Service(E),
    /// No token could be had, so the request was not sent.
    Token(TokenError),
    /// The request has no place to send a token to, so it was not sent.
    Route(RouteError),
}

/// Why a request was refused before any token was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RouteError {
    kind: RouteErrorKind,
    // Method, origin and path: a query may hold anything and is left out.
    request: String,
}

/// What a [`RouteError`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum RouteErrorKind {
    /// The layer is [`strict`](crate::Builder::strict) and no route matches the request.
    NoRoute,
    /// The request chose a scope, but it goes to an origin that no route names, or its path can be
    /// read in two ways.
    ForeignOrigin,
}

impl<E> Error<E> {
    /// The token error in it.
    pub fn as_token_error(&self) -> Option<&TokenError> {
        match self {
            Self::Token(error) => Some(error),
            _ => None,
        }
    }

    /// Whether the same call may succeed later without a change of configuration. An error of the
    /// inner service is not judged: `None`.
    pub fn is_transient(&self) -> Option<bool> {
        match self {
            Self::Service(_) => None,
            Self::Token(error) => Some(error.is_transient()),
            Self::Route(_) => Some(false),
        }
    }

    /// As a boxed error. An inner service's error comes out as itself.
    pub fn into_boxed(self) -> BoxError
    where
        E: Into<BoxError>,
    {
        match self {
            Self::Service(error) => error.into(),
            Self::Token(error) => error.into(),
            Self::Route(error) => error.into(),
        }
    }
}

impl<E> fmt::Display for Error<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(_) => f.write_str("the HTTP service failed"),
            Self::Token(error) => error.fmt(f),
            Self::Route(error) => error.fmt(f),
        }
    }
}

impl<E: std::error::Error + 'static> std::error::Error for Error<E> {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Service(error) => Some(error),
            // Their message is this error's own: go on with what is behind it.
            Self::Token(error) => error.source(),
            Self::Route(_) => None,
        }
    }
}

impl<E> From<TokenError> for Error<E> {
    fn from(error: TokenError) -> Self {
        Self::Token(error)
    }
}

impl<E> From<RouteError> for Error<E> {
    fn from(error: RouteError) -> Self {
        Self::Route(error)
    }
}

impl RouteError {
    pub(crate) fn new(kind: RouteErrorKind, method: &Method, uri: &Uri) -> Self {
        let path = uri.path();
        let request = match (uri.scheme_str(), uri.authority()) {
            (Some(scheme), Some(authority)) => {
                // Without user information.
                let host = authority.as_str().rsplit('@').next().unwrap_or_default();
                format!("{method} {scheme}://{host}{path}")
            }
            _ => format!("{method} {path} (a URI without a scheme and host)"),
        };
        Self { kind, request }
    }

    /// What kind of refusal it is.
    pub fn kind(&self) -> RouteErrorKind {
        self.kind
    }
}

impl fmt::Display for RouteError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let request = &self.request;
        match self.kind {
            RouteErrorKind::NoRoute => write!(
                f,
                "no route for {request}: add a Route for it, let it pass with RequestAuth::none(), or build \
                 the layer without strict()"
            ),
            RouteErrorKind::ForeignOrigin => write!(
                f,
                "no token may go to {request}: no Route names its origin, or its path has dot segments, \
                 encoded slashes or backslashes"
            ),
        }
    }
}

impl std::error::Error for RouteError {}
