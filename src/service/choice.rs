//! A caller's choice for one request, in its extensions.

use crate::scope::{InvalidScope, Scope};

/// Chooses what one request is authorised with, instead of what its route says: put it into the
/// request's extensions.
///
/// ```
/// use tower_partner_auth::RequestAuth;
///
/// let mut request = http::Request::new(());
/// request.extensions_mut().insert(RequestAuth::scope("read_reports write_reports")?);
/// # Ok::<(), tower_partner_auth::InvalidScope>(())
/// ```
///
/// A chosen scope changes nothing of where a token may go: the origin has to be one that a route
/// names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestAuth {
    pub(super) choice: Choice,
}

#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Choice {
    Scope(Scope),
    None,
}

impl RequestAuth {
    /// A token of this scope.
    ///
    /// # Errors
    ///
    /// When the scope breaks the grammar of RFC 6749 §3.3.
    pub fn scope<T>(scope: T) -> Result<Self, InvalidScope>
    where
        T: TryInto<Scope>,
        T::Error: Into<InvalidScope>,
    {
        let scope = scope.try_into().map_err(Into::into)?;
        Ok(Self { choice: Choice::Scope(scope) })
    }

    /// No token: the request goes through untouched, even through a strict layer.
    pub fn none() -> Self {
        Self { choice: Choice::None }
    }
}
