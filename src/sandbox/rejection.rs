//! How an API refuses a token: the three manners that are known of the partner's.

use http::header::WWW_AUTHENTICATE;
use serde_json::json;

use super::script::Answer;
use super::tokens::Fault;
use crate::scope::Scope;

/// How the API routes answer a request whose token is missing, dead, or lacks a scope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum RejectionStyle {
    /// As the partner's onboarding API: 401 with `{"status":"Unauthorized"}` in every case, and no
    /// `WWW-Authenticate`. A missing scope looks like a dead token.
    #[default]
    Partner,
    /// As Doorkeeper itself: 401 with a `Bearer` challenge and `error="invalid_token"`, without a
    /// body; 403 with `error="insufficient_scope"` for a missing scope.
    Doorkeeper,
    /// As the payment links API: the same challenges, with the error as JSON as well, but 401 for a
    /// missing scope too.
    PaymentLinks,
}

/// Why a request is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Refusal {
    Token(Fault),
    /// The token is good but for this scope set.
    Scope(Scope),
}

impl RejectionStyle {
    pub(super) fn refuse(self, refusal: &Refusal) -> Answer {
        let error = refusal.code();
        let description = refusal.description();
        let challenge = format!(
            "Bearer realm=\"Doorkeeper\", error=\"{error}\", error_description=\"{description}\""
        );
        match (self, refusal) {
            (Self::Partner, _) => Answer::json(401, r#"{"status":"Unauthorized"}"#),
            (Self::Doorkeeper, Refusal::Token(_)) => {
                Answer::status(401).header(WWW_AUTHENTICATE, challenge)
            }
            (Self::Doorkeeper, Refusal::Scope(_)) => {
                Answer::status(403).header(WWW_AUTHENTICATE, challenge)
            }
            (Self::PaymentLinks, _) => {
                let body = json!({ "error": error, "error_description": description });
                Answer::json(401, body.to_string()).header(WWW_AUTHENTICATE, challenge)
            }
        }
    }
}

impl Refusal {
    fn code(&self) -> &'static str {
        match self {
            Self::Token(_) => "invalid_token",
            Self::Scope(_) => "insufficient_scope",
        }
    }

    fn description(&self) -> String {
        match self {
            Self::Token(Fault::Unknown) => "The access token is invalid".to_owned(),
            Self::Token(Fault::Expired) => "The access token expired".to_owned(),
            Self::Token(Fault::Revoked) => "The access token was revoked".to_owned(),
            // A scope token has no character that a quoted string would have to escape.
            Self::Scope(scope) => format!("Access to this resource requires scope _{scope}_."),
        }
    }
}
