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
        match fs::read(&path) {
            Ok(pem) => builder.token_root_certificates(pem),
            Err(error) => {
                let message = format!(
                    "the token root certificates in the file {path:?} could not be read: {error}"
                );
                let problem = Problem::new(ProblemKind::RootCertificates, message);
                builder.fault(problem.at("token_root_certificates"))
            }
        }
    }
}
