//! What is wrong with a configuration.

use std::fmt;

/// Everything that is wrong with a layer's configuration: [`Builder::build`](crate::Builder::build)
/// reports all faults at once, each naming its culprit and what to change.
#[derive(Clone, PartialEq, Eq)]
pub struct BuildError {
    problems: Vec<Problem>,
}

/// One fault of a configuration.
#[derive(Clone, PartialEq, Eq)]
pub struct Problem {
    kind: ProblemKind,
    path: Option<String>,
    message: String,
}

/// What part of the configuration a [`Problem`] is in.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ProblemKind {
    /// The client id or secret is empty or has characters that cannot be sent.
    Credentials,
    /// The token URL is missing, malformed, or would send the secret over plain http.
    TokenUrl,
    /// An extra parameter of the token request is one that the grant sets itself.
    TokenParameter,
    /// An extra header of the token request is malformed, or one that the grant sets itself.
    TokenHeader,
    /// A route's URL, template, header or scheme is bad.
    Route,
    /// A route's scope breaks the grammar.
    Scope,
    /// Two routes contradict each other.
    Conflict,
    /// A limit or duration is zero where that makes no sense.
    Limit,
    /// The shared store's URL or key is bad.
    SharedStore,
    /// There is no HTTP client for token requests.
    HttpClient,
    /// What was given as root certificates is something else, or there is no built-in HTTP client
    /// to trust them.
    RootCertificates,
}

impl BuildError {
    pub(crate) fn new(problems: Vec<Problem>) -> Self {
        Self { problems }
    }

    /// There is no file that they could be in.
    pub(crate) fn without_paths(mut self) -> Self {
        self.problems.iter_mut().for_each(|problem| problem.path = None);
        self
    }

    /// The faults, at least one, in the order of the configuration.
    pub fn problems(&self) -> &[Problem] {
        &self.problems
    }
}

impl Problem {
    pub(crate) fn new(kind: ProblemKind, message: impl Into<String>) -> Self {
        Self { kind, path: None, message: message.into() }
    }

    /// Names the place in a configuration file.
    pub(crate) fn at(mut self, path: impl Into<String>) -> Self {
        self.path = Some(path.into());
        self
    }

    /// Where in the configuration file the fault is, such as `routes[2].url`. `None`, if the
    /// builder was not made from one.
    pub fn path(&self) -> Option<&str> {
        self.path.as_deref()
    }

    /// What part of the configuration the fault is in.
    pub fn kind(&self) -> ProblemKind {
        self.kind
    }
}

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(path) = &self.path {
            write!(f, "{path}: ")?;
        }
        f.write_str(&self.message)
    }
}

impl fmt::Debug for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?}: {self}", self.kind)
    }
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.problems.as_slice() {
            [one] => write!(f, "bad PartnerAuthLayer configuration: {one}"),
            many => {
                write!(f, "bad PartnerAuthLayer configuration, {} problems:", many.len())?;
                many.iter().try_for_each(|problem| write!(f, "\n  - {problem}"))
            }
        }
    }
}

// `main() -> Result<(), BuildError>` and `unwrap()` print Debug: it has to read as well as Display.
impl fmt::Debug for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for BuildError {}
