//! The error codes of token endpoints (RFC 6749 §5.2) that are known, and what is to be done about each.

/// The error codes that may be repeated to a human. A code is chosen by the server, which could put
/// anything into it, a secret included: what is not known here is not repeated.
const KNOWN_CODES: &[Code] = &[
    // RFC 6749 §5.2
    Code::permanent(
        "invalid_request",
        "check the token URL and the extra parameters of the request",
    ),
    Code::permanent(
        "invalid_client",
        "check the client id and the secret, and that they belong to this environment",
    ),
    Code::permanent("invalid_grant", "the server does not accept this grant for this client"),
    Code::permanent(
        "unauthorized_client",
        "ask the partner to enable the client_credentials grant for this client",
    ),
    Code::permanent(
        "unsupported_grant_type",
        "check that the token URL is an OAuth2 token endpoint",
    ),
    Code::permanent(
        "invalid_scope",
        "ask the partner to enable this scope for the client, or correct the route",
    ),
    // RFC 8707 §2
    Code::permanent("invalid_target", "check the resource parameter"),
    Code::permanent("access_denied", "ask the partner why this client is denied"),
    // RFC 6749 §4.1.2.1, seen from token endpoints as well
    Code::transient("server_error"),
    Code::transient("temporarily_unavailable"),
    // Seen from the partner's API, with status 401
    Code::transient("rate_limit_exceeded"),
    // Doorkeeper's answer to the loser of two concurrent requests, with status 400
    Code::transient("invalid_token_reuse"),
    // RFC 8628 §3.5
    Code::transient("slow_down"),
];

/// A code that is known, and what follows from it.
pub(super) struct Code {
    pub(super) name: &'static str,
    pub(super) transient: bool,
    pub(super) advice: &'static str,
}

impl Code {
    const fn permanent(name: &'static str, advice: &'static str) -> Self {
        Self { name, transient: false, advice }
    }

    const fn transient(name: &'static str) -> Self {
        Self { name, transient: true, advice: "it is tried again" }
    }

    pub(super) fn find(name: &str) -> Option<&'static Self> {
        KNOWN_CODES.iter().find(|code| code.name == name)
    }
}
