//! Why a client could not show who it is.

use std::error::Error;
use std::fmt;

use tower::BoxError;

/// Why a client secret could not be had, or a proof in its place.
///
/// It names the environment variable or the file. Neither the message nor the `Debug` form holds any
/// part of what was read; the wording is no API, the methods are.
pub struct SecretError {
    kind: SecretErrorKind,
    subject: String,
    clause: &'static str,
    source: Option<BoxError>,
}

/// What a [`SecretError`] is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum SecretErrorKind {
    /// The environment variable is not set.
    NotSet,
    /// The file is not there.
    NotFound,
    /// The file could not be read, or is no regular file: see `source()`.
    Unreadable,
    /// The file is longer than 64 KiB.
    TooLong,
    /// The file changed each time that it was read.
    Changing,
    /// There is nothing in it.
    Empty,
    /// It has white space around it, or a character other than printable ASCII (RFC 6749 appendix
    /// A.2).
    BadCharacters,
    /// The user's own provider or authenticator failed: see `source()`.
    Provider,
    /// The authenticator's proof has a parameter or a header that it must not have.
    BadProof,
    /// The credentials have an authenticator in place of a secret.
    NoSecret,
}

impl SecretError {
    pub(crate) fn new(kind: SecretErrorKind, subject: String, clause: &'static str) -> Self {
        Self { kind, subject, clause, source: None }
    }

    pub(crate) fn with_source(mut self, source: impl Into<BoxError>) -> Self {
        self.source = Some(source.into());
        self
    }

    /// What kind of failure it is.
    pub fn kind(&self) -> SecretErrorKind {
        self.kind
    }
}

impl fmt::Display for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.subject, self.clause)
    }
}

impl fmt::Debug for SecretError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SecretError")
            .field("kind", &self.kind)
            .field("message", &self.to_string())
            .field("source", &self.source)
            .finish()
    }
}

impl Error for SecretError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source: &(dyn Error + 'static) = self.source.as_deref()?;
        Some(source)
    }
}
