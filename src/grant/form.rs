//! The form that asks a token endpoint for a token.

use bytes::Bytes;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderValue};
use http::{Method, Request};
use http_body_util::Full;
use zeroize::Zeroizing;

use super::request::TokenRequest;

/// The parameters that the grant sets itself: RFC 6749 §3.2 forbids to send one twice.
pub(crate) const OWN_PARAMETERS: [&str; 4] = ["grant_type", "client_id", "client_secret", "scope"];

/// The request of RFC 6749 §4.4.2, with the credentials in the body (§2.3.1).
pub(super) fn encode(request: &TokenRequest) -> Request<Full<Bytes>> {
    let body = Wiped(Zeroizing::new(form(request)));
    let mut message = Request::new(Full::new(Bytes::from_owner(body)));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = request.endpoint().clone();
    let headers = message.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    message
}

fn form(request: &TokenRequest) -> String {
    let [grant_type, client_id, client_secret, scope] = OWN_PARAMETERS;
    let credentials = request.credentials();
    let mut pairs = vec![
        (grant_type, "client_credentials"),
        (client_id, credentials.client_id()),
        (client_secret, credentials.client_secret()),
    ];
    // RFC 6749 §3.2: a parameter without a value is an omitted one.
    if !request.scope().is_none() {
        pairs.push((scope, request.scope().as_str()));
    }
    let extra = request.parameters().iter().map(|(name, value)| (name.as_str(), value.as_str()));
    pairs.extend(extra);
    // At most three characters for each byte, and two between. A string that grows leaves the
    // secret behind in memory that nobody wipes.
    let most: usize = pairs.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(most));
    form.extend_pairs(pairs);
    form.finish()
}

/// The form holds the secret: its memory is wiped when the HTTP client lets go of it.
struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::credentials::ClientCredentials;
    use crate::scope::Scope;

    #[test]
    fn the_form_never_grows_and_so_leaves_no_secret_behind() {
        let secret = "&=%+ \u{7e}\"'".repeat(40);
        let parameters = [("audience".to_owned(), "https://api.example.com/é?".repeat(9))];
        let request = TokenRequest::new(
            "https://accounts.example.com/oauth/token".parse().unwrap(),
            ClientCredentials::new("id %&", secret),
            Scope::parse("a:b c/d").unwrap(),
            parameters.into(),
        );
        let form = form(&request);
        let all: usize = form_urlencoded::parse(form.as_bytes())
            .map(|(name, value)| 3 * (name.len() + value.len()) + 2)
            .sum();
        assert_eq!(form.capacity(), all, "what was reserved at first");
    }
}
