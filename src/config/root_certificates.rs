//! The file of the root certificates that are trusted at the token endpoint.

use std::fs;
use std::path::PathBuf;

use serde::Deserialize;

use crate::builder::Builder;
use crate::error::{Problem, ProblemKind};

#[derive(Clone, Deserialize)]
#[serde(transparent)]
pub(super) struct RootCertificates(PathBuf);

impl RootCertificates {
    /// In the form of a setter of the builder's.
    pub(super) fn add_to(builder: Builder, Self(path): Self) -> Builder {
        let problem = |message: String| {
            Problem::new(ProblemKind::RootCertificates, message).at("token_root_certificates")
        };
        // It is not repeated, as it may be of a private key.
        if path.to_string_lossy().contains("-----BEGIN") {
            let message = "the token root certificates are in the place of their file's path: put them into a file";
            return builder.fault(problem(message.to_owned()));
        }
        match fs::read(&path) {
            Ok(pem) => builder.token_root_certificates(pem),
            Err(error) => builder.fault(problem(format!(
                "the token root certificates in the file {path:?} could not be read: {error}"
            ))),
        }
    }
}
