//! Reading a rejection: is this response a "no" to the token, and would another token help?

mod www_authenticate;

use http::header::WWW_AUTHENTICATE;
use http::{HeaderMap, StatusCode};

pub(crate) use www_authenticate::challenges;

/// What a response says of the token that its request carried.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Verdict {
    /// Nothing against the token.
    Accepted,
    /// The token was not accepted: a new one may be.
    TokenRejected,
    /// The token is good, but lacks a scope: another token of the same scope would not help.
    InsufficientScope,
}

impl Verdict {
    /// The default reading, RFC 6750 §3.1: a 401 rejects the token, unless its `WWW-Authenticate`
    /// names the error `insufficient_scope`. The header is read when it is there, in any legal or
    /// broken form, and never required. No other status says anything of the token: a 403, 404 or
    /// 422 never renews.
    pub fn of(status: StatusCode, headers: &HeaderMap) -> Self {
        if status != StatusCode::UNAUTHORIZED {
            return Self::Accepted;
        }
        if lacks_scope(headers) { Self::InsufficientScope } else { Self::TokenRejected }
    }
}

// A server may challenge for several schemes at once; what it says under Bearer counts first.
fn lacks_scope(headers: &HeaderMap) -> bool {
    let mut elsewhere = false;
    for value in headers.get_all(WWW_AUTHENTICATE) {
        for challenge in challenges(value.as_bytes()) {
            let Some(error) = challenge.error else { continue };
            let insufficient = error.is("insufficient_scope");
            if challenge.scheme.eq_ignore_ascii_case(b"bearer") {
                return insufficient;
            }
            elsewhere |= insufficient;
        }
    }
    elsewhere
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    fn unauthorized(challenges: &[&[u8]]) -> Verdict {
        let mut headers = HeaderMap::new();
        for challenge in challenges {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_bytes(challenge).unwrap());
        }
        Verdict::of(StatusCode::UNAUTHORIZED, &headers)
    }

    #[test]
    fn a_401_rejects_the_token_with_any_challenge_or_none() {
        for challenges in [
            &[][..],
            &[&b"Bearer"[..]],
            &[b"Bearer realm=\"Doorkeeper\", error=\"invalid_token\", error_description=\"insufficient_scope\""],
            &[b"Basic realm=\"insufficient_scope\""],
            &[b"\xff\xfe garbage ,,= \"unterminated"],
            &[b"Bearer error=\"invalid_token\"", b"DPoP error=\"insufficient_scope\""],
        ] {
            assert_eq!(unauthorized(challenges), Verdict::TokenRejected, "{challenges:?}");
        }
    }

    #[test]
    fn insufficient_scope_is_no_rejection_of_the_token() {
        for challenges in [
            &[&b"Bearer error=\"insufficient_scope\""[..]][..],
            &[b"bearer realm=\"a, b\", scope=\"x\", error=insufficient_scope"],
            &[b"Basic realm=\"x\"", b"Bearer realm=\"y\",error = \"insufficient_scope\""],
            &[b"Negotiate abc==, Bearer realm=\"y\", error=\"insufficient_scope\", scope=\"a b\""],
            &[b"error=\"insufficient_scope\""],
            &[b"Bearer realm=\"x\" error=\"insufficient_scope\""],
            &[b"Bearer error=\"insufficient_\\scope\""],
        ] {
            assert_eq!(unauthorized(challenges), Verdict::InsufficientScope, "{challenges:?}");
        }
    }

    #[test]
    fn no_other_status_says_anything_of_the_token() {
        let mut headers = HeaderMap::new();
        let challenge = HeaderValue::from_static("Bearer error=\"invalid_token\"");
        headers.insert(WWW_AUTHENTICATE, challenge);
        for status in [200, 202, 302, 400, 403, 404, 407, 422, 429, 500, 503] {
            let status = StatusCode::from_u16(status).unwrap();
            assert_eq!(Verdict::of(status, &headers), Verdict::Accepted, "{status}");
        }
    }
}
