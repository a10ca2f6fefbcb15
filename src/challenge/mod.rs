//! Reading a rejection: is this response a "no" to the token, and would another token help?

mod www_authenticate;

use http::header::{HeaderName, WWW_AUTHENTICATE};
use http::{HeaderMap, StatusCode};

pub(crate) use www_authenticate::challenges;

const GRPC_STATUS: HeaderName = HeaderName::from_static("grpc-status");
/// gRPC's UNAUTHENTICATED, as it is on the wire.
const UNAUTHENTICATED: &str = "16";

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
        if status == StatusCode::UNAUTHORIZED { Self::rejected(headers) } else { Self::Accepted }
    }

    /// The reading for gRPC, to be given to [`Route::classify`](crate::Route::classify): the status
    /// `UNAUTHENTICATED` in the headers rejects the token as a 401 does, and so does a 401.
    ///
    /// A server that refuses a call before it answers anything says so in the headers of a response
    /// without messages, with HTTP status 200 (gRPC over HTTP/2: `Trailers-Only`). Such a call is
    /// renewed and replayed like any other, its stream of messages up to the replay limit. A status
    /// in the trailers, after messages, is not seen: a stream that is rejected half way is the
    /// caller's as it is, as the messages before cannot be taken back. `PERMISSION_DENIED` is like a
    /// 403: it never renews.
    ///
    /// ```
    /// use http::Method;
    /// use tower_partner_auth::{Route, Verdict};
    ///
    /// Route::new(Method::POST, "https://grpc.example.com/notes.v1.Notes/{method}", "notes")
    ///     .classify(Verdict::of_grpc);
    /// ```
    pub fn of_grpc(status: StatusCode, headers: &HeaderMap) -> Self {
        match headers.get(GRPC_STATUS) {
            Some(code) if code == UNAUTHENTICATED => Self::rejected(headers),
            _ => Self::of(status, headers),
        }
    }

    fn rejected(headers: &HeaderMap) -> Self {
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

    #[test]
    fn grpcs_unauthenticated_in_the_headers_is_a_rejection() {
        let verdict = |status: u16, code: Option<&'static str>, challenge: Option<&'static str>| {
            let mut headers = HeaderMap::new();
            headers.extend(code.map(|code| (GRPC_STATUS, HeaderValue::from_static(code))));
            headers
                .extend(challenge.map(|text| (WWW_AUTHENTICATE, HeaderValue::from_static(text))));
            Verdict::of_grpc(StatusCode::from_u16(status).unwrap(), &headers)
        };
        let lacks = Some("Bearer error=\"insufficient_scope\"");
        for (status, code, challenge, expected) in [
            (200, Some("16"), None, Verdict::TokenRejected),
            (200, Some("16"), Some("Bearer"), Verdict::TokenRejected),
            (200, Some("16"), lacks, Verdict::InsufficientScope),
            (401, None, None, Verdict::TokenRejected),
            (401, Some("16"), None, Verdict::TokenRejected),
            (401, None, lacks, Verdict::InsufficientScope),
            (200, None, None, Verdict::Accepted),
            (200, Some("0"), None, Verdict::Accepted),
            (200, Some("7"), None, Verdict::Accepted),
            (200, Some("14"), None, Verdict::Accepted),
            (200, Some("160"), None, Verdict::Accepted),
            (403, Some("7"), None, Verdict::Accepted),
            (503, None, None, Verdict::Accepted),
        ] {
            assert_eq!(
                verdict(status, code, challenge),
                expected,
                "{status} {code:?} {challenge:?}"
            );
        }
    }
}
