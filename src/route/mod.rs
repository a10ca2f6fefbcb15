//! Routes: which requests may carry a token, with which scope, and what a 401 means there.
//!
//! A route is an origin, a method and a path template (law: a token goes only to an origin that a
//! route names, RFC 9700 §4.9.1). [`Route`] is what a user writes; [`table`] is what it becomes.

mod origin;
mod origins;
mod table;
mod template;

use std::fmt;
use std::sync::Arc;

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, Method, StatusCode};

use crate::challenge::Verdict;
use crate::scope::{InvalidScope, Scope};

pub(crate) use origin::{Origin, shown};
pub(crate) use table::{Conflict, RouteTable};
pub(crate) use template::Template;

/// One kind of request that needs a token: an origin, a method and a path template, with the scope
/// the token must have and the policy for a 401.
///
/// ```
/// use http::Method;
/// use tower_partner_auth::{OnUnauthorized, Route};
///
/// // A parameter stands for one whole path segment.
/// Route::new(Method::GET, "https://reports.example.com/v1/{id}", "read_reports");
///
/// // A catch-all stands for one or more segments, at the end. `any` is for every method.
/// Route::any("https://files.example.com/{*path}", "files");
///
/// // This API reads the token elsewhere, and answers 401 for a wrong one-time password.
/// Route::new(Method::POST, "https://api.example.com/confirm", "confirm")
///     .header(http::HeaderName::from_static("x-partner-token"))
///     .scheme("")
///     .on_unauthorized(OnUnauthorized::Renew);
/// ```
///
/// Of two templates that match, literal segments beat parameters and parameters beat catch-alls,
/// from left to right; where both are the same, a route for the method beats one for any method.
/// One trailing slash, in the template or in the request, makes no difference.
///
/// Nothing is checked here: [`Builder::build`](crate::Builder::build) reports every fault.
#[derive(Clone)]
#[must_use = "a route does nothing until it is given to the builder"]
pub struct Route {
    pub(crate) method: Option<Method>,
    pub(crate) url: String,
    pub(crate) scope: Result<Scope, InvalidScope>,
    pub(crate) policy: Policy,
    /// Its place in a configuration file.
    pub(crate) path: Option<String>,
}

/// What a route says beyond its match and its scope.
#[derive(Clone)]
pub(crate) struct Policy {
    pub(crate) header: HeaderName,
    pub(crate) scheme: String,
    pub(crate) on_unauthorized: OnUnauthorized,
    pub(crate) replay_limit: Option<usize>,
    pub(crate) classifier: Option<Classifier>,
}

/// What the layer does when the API rejects the token of a request (a 401, unless the route has a
/// classifier of its own).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[cfg_attr(feature = "config", derive(serde::Deserialize), serde(rename_all = "snake_case"))]
#[non_exhaustive]
pub enum OnUnauthorized {
    /// Renew the token and send the request once more. A 401 from an authentication layer says that
    /// the request was not applied (RFC 9110 §15.5.2), so this is safe for a POST as well.
    #[default]
    Replay,
    /// Renew the token for later calls, and hand the 401 to the caller at once. For routes where
    /// sending the request twice could do harm.
    Renew,
    /// Hand the 401 to the caller and do nothing. For routes whose 401 says nothing of the token.
    Leave,
}

/// A route's own reading of a response, instead of the default one.
#[derive(Clone)]
pub(crate) struct Classifier(Arc<ClassifyFn>);

type ClassifyFn = dyn Fn(StatusCode, &HeaderMap) -> Verdict + Send + Sync;

impl Route {
    /// A route for one method. `url` is an absolute URL whose path is a template:
    /// `https://host[:port]/literal/{parameter}/{*rest}`; plain http is for loopback addresses only.
    /// `scope` is a space-separated list of scope tokens, or a [`Scope`].
    pub fn new<T>(method: Method, url: impl Into<String>, scope: T) -> Self
    where
        T: TryInto<Scope>,
        T::Error: Into<InvalidScope>,
    {
        Self::with(Some(method), url.into(), scope.try_into().map_err(Into::into))
    }

    /// A route for every method.
    pub fn any<T>(url: impl Into<String>, scope: T) -> Self
    where
        T: TryInto<Scope>,
        T::Error: Into<InvalidScope>,
    {
        Self::with(None, url.into(), scope.try_into().map_err(Into::into))
    }

    fn with(method: Option<Method>, url: String, scope: Result<Scope, InvalidScope>) -> Self {
        Self { method, url, scope, policy: Policy::default(), path: None }
    }

    /// The route at `path` of a configuration file.
    #[cfg(feature = "config")]
    pub(crate) fn in_file(mut self, path: String) -> Self {
        self.path = Some(path);
        self
    }

    /// The header that carries the token. Default: `Authorization`.
    ///
    /// A request that already has this header goes through untouched.
    ///
    /// An inner client that follows redirects by itself may carry a header of your own on to another
    /// host, where it would strip `Authorization`: let it follow none, and put a redirect-following
    /// layer around this one.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.policy.header = name;
        self
    }

    /// The word before the token, a space between them. Default: `Bearer`. The empty string puts
    /// the bare token into the header.
    pub fn scheme(mut self, scheme: impl Into<String>) -> Self {
        self.policy.scheme = scheme.into();
        self
    }

    /// What to do when the API rejects the token. Default: [`OnUnauthorized::Replay`].
    pub fn on_unauthorized(mut self, policy: OnUnauthorized) -> Self {
        self.policy.on_unauthorized = policy;
        self
    }

    /// How many bytes of a request body are remembered for a replay, instead of the builder's
    /// [`replay_limit`](crate::Builder::replay_limit). A longer body is sent as ever, but a 401
    /// that comes after its first `bytes` bytes cannot be replayed.
    pub fn replay_limit(mut self, bytes: usize) -> Self {
        self.policy.replay_limit = Some(bytes);
        self
    }

    /// Reads the responses of this route with `classify` in place of the default,
    /// [`Verdict::of`]. It sees every response's status and headers, and is called once for each.
    ///
    /// ```
    /// use http::{Method, StatusCode};
    /// use tower_partner_auth::{Route, Verdict};
    ///
    /// // This API answers 403 to an expired token.
    /// Route::new(Method::GET, "https://api.example.com/v1/{id}", "read").classify(
    ///     |status, headers| match status {
    ///         StatusCode::FORBIDDEN => Verdict::TokenRejected,
    ///         _ => Verdict::of(status, headers),
    ///     },
    /// );
    /// ```
    pub fn classify<F>(mut self, classify: F) -> Self
    where
        F: Fn(StatusCode, &HeaderMap) -> Verdict + Send + Sync + 'static,
    {
        self.policy.classifier = Some(Classifier(Arc::new(classify)));
        self
    }
}

impl Policy {
    /// Whether the two say the same. Two classifiers do if they are one and the same closure.
    pub(crate) fn agrees_with(&self, other: &Policy) -> bool {
        let same_classifier = match (&self.classifier, &other.classifier) {
            (None, None) => true,
            (Some(own), Some(other)) => Arc::ptr_eq(&own.0, &other.0),
            _ => false,
        };
        same_classifier
            && self.header == other.header
            && self.scheme == other.scheme
            && self.on_unauthorized == other.on_unauthorized
            && self.replay_limit == other.replay_limit
    }
}

impl Default for Policy {
    fn default() -> Self {
        Self {
            header: AUTHORIZATION,
            scheme: "Bearer".to_owned(),
            on_unauthorized: OnUnauthorized::default(),
            replay_limit: None,
            classifier: None,
        }
    }
}

impl Classifier {
    pub(crate) fn verdict(&self, status: StatusCode, headers: &HeaderMap) -> Verdict {
        (self.0)(status, headers)
    }
}

impl fmt::Display for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_ref().map_or("any", Method::as_str);
        write!(f, "{method} {}", shown(&self.url))
    }
}

impl fmt::Debug for Route {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Route")
            .field("method", &self.method)
            .field("url", &shown(&self.url))
            .field("scope", &self.scope)
            .field("policy", &self.policy)
            .finish()
    }
}

impl fmt::Debug for Policy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Policy")
            .field("header", &self.header)
            .field("scheme", &self.scheme)
            .field("on_unauthorized", &self.on_unauthorized)
            .field("replay_limit", &self.replay_limit)
            .field("classifier", &self.classifier.is_some())
            .finish()
    }
}
