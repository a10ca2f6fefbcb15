//! What the API serves: the partner's use cases, and endpoints of a user's own.

use std::fmt;
use std::io;

use http::header::{AUTHORIZATION, HeaderName};
use http::{HeaderMap, Method, StatusCode};

use crate::partner::{Host, UseCase};
use crate::route::Template;
use crate::scope::{InvalidScope, Scope};

/// One endpoint of the sandbox's API: a method and a path template, guarded by a scope.
///
/// ```
/// use http::{Method, StatusCode, header::HeaderName};
/// use tower_partner_auth::sandbox::Endpoint;
///
/// // It wants both scopes, or the third alone.
/// Endpoint::new(Method::GET, "/v1/reports/{id}", "read_reports list_reports")
///     .or_scope("admin");
///
/// // It reads the bare token from another header, and answers 202.
/// Endpoint::any("/qr/{*path}", "partner_payments")
///     .header(HeaderName::from_static("x-partner-token"))
///     .scheme("")
///     .status(StatusCode::ACCEPTED);
/// ```
///
/// Templates are those of [`Route`](crate::Route), without the origin. Nothing is checked here: the
/// sandbox reports every fault when it is given the endpoint.
#[derive(Clone)]
#[must_use = "an endpoint does nothing until the sandbox has it"]
pub struct Endpoint {
    pub(super) method: Option<Method>,
    pub(super) path: String,
    pub(super) use_case: String,
    pub(super) operation: String,
    pub(super) header: HeaderName,
    pub(super) status: StatusCode,
    scheme: String,
    // The token needs all scopes of one of these sets.
    scopes: Vec<Result<Scope, InvalidScope>>,
}

impl Endpoint {
    /// An endpoint for one method. `scope` is a space-separated list, or a [`Scope`]; the token
    /// needs all of it. For [`Scope::none`], any live token will do.
    pub fn new<T>(method: Method, path: impl Into<String>, scope: T) -> Self
    where
        T: TryInto<Scope>,
        T::Error: Into<InvalidScope>,
    {
        Self::with(Some(method), path.into(), scope.try_into().map_err(Into::into))
    }

    /// An endpoint for every method.
    pub fn any<T>(path: impl Into<String>, scope: T) -> Self
    where
        T: TryInto<Scope>,
        T::Error: Into<InvalidScope>,
    {
        Self::with(None, path.into(), scope.try_into().map_err(Into::into))
    }

    fn with(method: Option<Method>, path: String, scope: Result<Scope, InvalidScope>) -> Self {
        let operation = format!("{} {path}", method.as_ref().map_or("any", Method::as_str));
        Self {
            method,
            path,
            use_case: "Sandbox".to_owned(),
            operation,
            header: AUTHORIZATION,
            scheme: "Bearer".to_owned(),
            status: StatusCode::OK,
            scopes: vec![scope],
        }
    }

    /// Another scope set that is enough by itself.
    pub fn or_scope<T>(mut self, scope: T) -> Self
    where
        T: TryInto<Scope>,
        T::Error: Into<InvalidScope>,
    {
        self.scopes.push(scope.try_into().map_err(Into::into));
        self
    }

    /// The header that the token is read from. Default: `Authorization`.
    pub fn header(mut self, name: HeaderName) -> Self {
        self.header = name;
        self
    }

    /// The word before the token, in any case. Default: `Bearer`. The empty string: none.
    pub fn scheme(mut self, scheme: impl Into<String>) -> Self {
        self.scheme = scheme.into();
        self
    }

    /// The status of an authorised request. Default: 200.
    pub fn status(mut self, status: StatusCode) -> Self {
        self.status = status;
        self
    }

    /// An operation of the partner API, as it is known to behave.
    pub(super) fn of_use_case(row: &UseCase) -> Self {
        let endpoint = Self::new(row.method.clone(), row.path, row.scope);
        let endpoint =
            Self { use_case: row.name.to_owned(), operation: row.operation.to_owned(), ..endpoint };
        match (row.host, row.path) {
            // The provider's own live test: see the row's note.
            (Host::Partner, path) if path.ends_with("/generate_merged_document_for_esign") => {
                endpoint.or_scope("refer_merchant client_manage_kyc_details")
            }
            (_, "/api/v1/otps/send_otp") => endpoint.status(StatusCode::ACCEPTED),
            (_, path) if row.method == Method::DELETE && path.contains("/kyc_document/") => {
                endpoint.status(StatusCode::NO_CONTENT)
            }
            _ => endpoint,
        }
    }

    /// # Errors
    ///
    /// [`io::ErrorKind::InvalidInput`], naming the endpoint and what is wrong with it.
    pub(super) fn template(&self) -> io::Result<Template> {
        let bad = |fault| io::Error::new(io::ErrorKind::InvalidInput, format!("{self:?} {fault}"));
        if let Some(fault) = self.scopes.iter().find_map(|scope| scope.as_ref().err()) {
            return Err(bad(format!("has a bad scope: {fault}")));
        }
        if self.status.is_informational() {
            return Err(bad(format!("answers {}, which ends no response", self.status)));
        }
        Template::parse(&self.path).map_err(bad)
    }

    /// The sets of which a token needs one.
    pub(super) fn scopes(&self) -> impl Iterator<Item = &Scope> {
        self.scopes.iter().filter_map(|scope| scope.as_ref().ok())
    }

    pub(super) fn admits(&self, granted: &Scope) -> bool {
        self.scopes().any(|scope| granted.contains(scope))
    }

    /// The token that a request carries for this endpoint. Two credentials are none.
    pub(super) fn credential<'a>(&self, headers: &'a HeaderMap) -> Option<&'a str> {
        let mut values = headers.get_all(&self.header).iter();
        let (Some(value), None) = (values.next(), values.next()) else {
            return None;
        };
        let value = value.to_str().ok()?;
        if self.scheme.is_empty() {
            return Some(value);
        }
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case(&self.scheme).then(|| token.trim_start())
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method = self.method.as_ref().map_or("any", Method::as_str);
        write!(f, "Endpoint({method} {})", self.path)
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;
    use crate::partner::USE_CASES;

    #[test]
    fn the_e_sign_document_wants_one_of_two_sets() {
        let is_document =
            |row: &&UseCase| row.host == Host::Partner && row.path.ends_with("_for_esign");
        let row = USE_CASES.iter().find(is_document).unwrap();
        let endpoint = Endpoint::of_use_case(row);
        for (granted, admitted) in [
            ("refer_merchant", false),
            ("client_manage_agreement", false),
            ("client_manage_agreement client_manage_kyc_details", false),
            ("refer_merchant client_manage_agreement", true),
            ("refer_merchant client_manage_kyc_details", true),
            ("refer_merchant client_manage_agreement client_manage_kyc_details", true),
        ] {
            assert_eq!(endpoint.admits(&Scope::parse(granted).unwrap()), admitted, "{granted}");
        }
    }

    #[test]
    fn a_credential_is_one_header_with_the_endpoints_scheme() {
        let headers = |values: &[&'static str]| {
            let value = |v: &&'static str| (AUTHORIZATION, HeaderValue::from_static(v));
            values.iter().map(value).collect::<HeaderMap>()
        };
        let bearer = Endpoint::any("/x", "s");
        let bare = bearer.clone().scheme("");
        for (values, of_bearer, of_bare) in [
            (&["Bearer t"][..], Some("t"), Some("Bearer t")),
            (&["bEARER  t"], Some("t"), Some("bEARER  t")),
            (&["t"], None, Some("t")),
            (&["Basic t"], None, Some("Basic t")),
            (&[], None, None),
            (&["Bearer t", "Bearer t"], None, None),
        ] {
            assert_eq!(bearer.credential(&headers(values)), of_bearer, "{values:?}");
            assert_eq!(bare.credential(&headers(values)), of_bare, "{values:?}");
        }
    }

    #[test]
    fn faults_name_the_endpoint() {
        for (endpoint, says) in [
            (Endpoint::any("x", "s"), "begin with '/'"),
            (Endpoint::any("/x", "a\"b"), "bad scope"),
            (Endpoint::any("/x", "s").or_scope(""), "bad scope"),
            (Endpoint::any("/x", "s").status(StatusCode::CONTINUE), "ends no response"),
        ] {
            let error = endpoint.template().unwrap_err().to_string();
            assert!(error.contains(says) && error.contains("any "), "{error}");
        }
    }
}
