//! Where a client secret comes from.
//!
//! All but a value given as such is read anew for each token request and not kept: a secret that was
//! changed is used from the next fetch on, and lies in no memory between two fetches.

use std::fmt;
use std::future::Future;
use std::ops::Deref;
use std::path::PathBuf;
use std::pin::Pin;
use std::sync::Arc;

use tokio::runtime::Handle;
use tower::BoxError;
use zeroize::Zeroizing;

use super::fault::fault;
use super::file;
use crate::error::{SecretError, SecretErrorKind};

/// Where a client secret comes from: a value, an environment variable, a file, or a function of your
/// own.
///
/// Cheap to clone. Its `Debug` output names the variable or the file, and never holds a value.
///
/// ```no_run
/// use tower_partner_auth::{ClientCredentials, Secret};
///
/// # fn vault() -> impl Future<Output = Result<String, std::io::Error>> { async { Ok(String::new()) } }
/// // Read anew for each token request:
/// let from_env = ClientCredentials::new("my-client", Secret::env("PARTNER_CLIENT_SECRET"));
/// let from_file = ClientCredentials::new("my-client", Secret::file("/run/secrets/partner"));
/// let from_vault = ClientCredentials::new("my-client", Secret::from_fn(|| vault()));
/// // As it is:
/// let value = ClientCredentials::new("my-client", "s3cret");
/// ```
#[derive(Clone)]
pub struct Secret {
    origin: Origin,
    /// What it is called in errors.
    what: &'static str,
}

#[derive(Clone)]
enum Origin {
    Value(SecretValue),
    Variable(Arc<str>),
    File(Arc<PathBuf>),
    Provider(Provider),
}

type Provided = Pin<Box<dyn Future<Output = Result<String, BoxError>> + Send>>;
type Provider = Arc<dyn Fn() -> Provided + Send + Sync>;

/// A client secret, as it is to be shown to the token endpoint.
///
/// It reads as a `str`: keep that out of logs and errors. Its `Debug` output does not hold it, and
/// its memory is wiped when the last clone is dropped.
#[derive(Clone)]
pub struct SecretValue {
    text: Arc<Zeroizing<String>>,
}

impl Secret {
    fn of(origin: Origin) -> Self {
        Self { origin, what: "the client secret" }
    }

    /// The same, by another name in errors.
    #[cfg(feature = "config")]
    pub(crate) fn called(self, what: &'static str) -> Self {
        Self { what, ..self }
    }

    /// An environment variable, read anew for each token request.
    pub fn env(variable: impl Into<String>) -> Self {
        Self::of(Origin::Variable(variable.into().into()))
    }

    /// A file, read anew for each token request. One newline at its end (`\n` or `\r\n`) is no part
    /// of the secret.
    ///
    /// It must be a regular file of at most 64 KiB. One that changes while it is read is read again,
    /// up to five times within 40 ms. To change it, write another and rename that to its name, as
    /// Kubernetes and systemd do: of a file that is written in two parts, a reader that comes
    /// between may get the first alone.
    pub fn file(path: impl Into<PathBuf>) -> Self {
        Self::of(Origin::File(Arc::new(path.into())))
    }

    /// A function of your own, asked anew for each token request: for a vault, or a cloud's secret
    /// manager.
    ///
    /// It is asked inside the token request's timeout
    /// ([`Builder::token_timeout`](crate::Builder::token_timeout)), with no connection held
    /// meanwhile. If it panics, the fetch is
    /// [`Aborted`](crate::TokenErrorKind::Aborted). If it fails, that is remembered for a few seconds,
    /// as a secret is that the endpoint refused, before it is asked again; unless its error is a
    /// [`TokenError`](crate::TokenError), which comes out as itself: with
    /// [`TokenErrorKind::Source`](crate::TokenErrorKind::Source), say, it is asked again at once, and
    /// backed off from. The `Display` and `Debug` of its error, and of that error's sources, must
    /// hold no secret.
    ///
    /// ```
    /// use tower_partner_auth::Secret;
    ///
    /// # async fn read_from_vault(path: &str) -> Result<String, std::io::Error> { Ok(path.to_owned()) }
    /// let secret = Secret::from_fn(|| async { read_from_vault("partner/client-secret").await });
    /// assert_eq!(format!("{secret:?}"), "Secret::from_fn(..)");
    /// ```
    pub fn from_fn<F, Fut, E>(provider: F) -> Self
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<String, E>> + Send + 'static,
        E: Into<BoxError>,
    {
        let provider = move || -> Provided {
            let provided = provider();
            Box::pin(async move { provided.await.map_err(Into::into) })
        };
        Self::of(Origin::Provider(Arc::new(provider)))
    }

    /// Reads it, without blocking the runtime.
    pub(crate) async fn read(&self) -> Result<SecretValue, SecretError> {
        match &self.origin {
            Origin::Provider(provide) => match provide().await {
                Ok(text) => self.checked(Zeroizing::new(text.into_bytes())),
                Err(error) => Err(self
                    .error(SecretErrorKind::Provider, "could not be had")
                    .with_source(error)),
            },
            Origin::File(_) => match Handle::try_current() {
                Ok(runtime) => {
                    let this = self.clone();
                    let read = runtime.spawn_blocking(move || this.read_now());
                    // It does not panic: it was taken down with its runtime.
                    read.await.unwrap_or_else(|gone| {
                        let error = self.error(SecretErrorKind::Unreadable, UNREADABLE);
                        Err(error.with_source(gone))
                    })
                }
                // Nobody else is kept from running.
                Err(_) => self.read_now(),
            },
            _ => self.read_now(),
        }
    }

    /// Whether it can be read and used. A provider is not asked.
    pub(super) fn check(&self) -> Result<(), SecretError> {
        match self.origin {
            Origin::Provider(_) => Ok(()),
            _ => self.read_now().map(drop),
        }
    }

    /// Reads it, unless that takes a provider, which has to be waited for.
    pub(crate) fn read_now(&self) -> Result<SecretValue, SecretError> {
        match &self.origin {
            Origin::Value(value) => match fault(value.as_bytes()) {
                Some((kind, clause)) => Err(self.error(kind, clause)),
                None => Ok(value.clone()),
            },
            Origin::Variable(name) => match std::env::var_os(&**name) {
                Some(value) => self.checked(Zeroizing::new(value.into_encoded_bytes())),
                None => Err(self.error(
                    SecretErrorKind::NotSet,
                    "is not there: the variable is not set where this process was started",
                )),
            },
            Origin::File(path) => match file::read(path) {
                Ok(bytes) => self.checked(bytes),
                Err(error) => Err(self.file_error(error)),
            },
            Origin::Provider(_) => unreachable!("a provider is asked, not read"),
        }
    }

    fn checked(&self, mut bytes: Zeroizing<Vec<u8>>) -> Result<SecretValue, SecretError> {
        if let Some((kind, clause)) = fault(&bytes) {
            return Err(self.error(kind, clause));
        }
        // Taken, not copied.
        let text = String::from_utf8(std::mem::take(&mut *bytes)).expect("ASCII, as was checked");
        Ok(SecretValue::from(text))
    }

    fn file_error(&self, error: file::ReadError) -> SecretError {
        use file::ReadError;
        match error {
            ReadError::NotFound(error) => self
                .error(SecretErrorKind::NotFound, "is not there: the file does not exist")
                .with_source(error),
            ReadError::Io(error) => {
                self.error(SecretErrorKind::Unreadable, UNREADABLE).with_source(error)
            }
            ReadError::TooLong => {
                self.error(SecretErrorKind::TooLong, "is longer than 64 KiB: is it the right file?")
            }
            ReadError::Changing => self.error(
                SecretErrorKind::Changing,
                "changed each time that it was read: replace the file by renaming another to its name",
            ),
        }
    }

    fn error(&self, kind: SecretErrorKind, clause: &'static str) -> SecretError {
        let what = self.what;
        let subject = match &self.origin {
            Origin::Value(_) => what.to_owned(),
            Origin::Variable(name) => match shown_variable(name) {
                Some(name) => format!("{what} in the variable {name:?}"),
                None => format!("{what} in a variable whose name is none"),
            },
            Origin::File(path) => format!("{what} in the file {path:?}"),
            Origin::Provider(_) => format!("{what} from its provider"),
        };
        SecretError::new(kind, subject, clause)
    }
}

/// A name such as a shell can set. What is none is not repeated: it may be the secret itself.
pub(crate) fn shown_variable(name: &str) -> Option<&str> {
    let good = !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    good.then_some(name)
}

const UNREADABLE: &str = "could not be read";

impl From<String> for Secret {
    /// The secret itself.
    fn from(value: String) -> Self {
        Self::of(Origin::Value(value.into()))
    }
}

impl From<&str> for Secret {
    /// The secret itself.
    fn from(value: &str) -> Self {
        value.to_owned().into()
    }
}

impl From<&String> for Secret {
    /// The secret itself.
    fn from(value: &String) -> Self {
        value.as_str().into()
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.origin {
            Origin::Value(_) => f.write_str("Secret([redacted])"),
            Origin::Variable(name) => match shown_variable(name) {
                Some(name) => write!(f, "Secret::env({name:?})"),
                None => f.write_str("Secret::env([no name])"),
            },
            Origin::File(path) => write!(f, "Secret::file({path:?})"),
            Origin::Provider(_) => f.write_str("Secret::from_fn(..)"),
        }
    }
}

// === impl SecretValue ===

impl From<String> for SecretValue {
    fn from(text: String) -> Self {
        Self { text: Arc::new(Zeroizing::new(text)) }
    }
}

impl Deref for SecretValue {
    type Target = str;

    fn deref(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for SecretValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretValue([redacted])")
    }
}
