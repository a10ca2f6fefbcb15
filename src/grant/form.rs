//! The request that asks a token endpoint for a token: a form, and who the client is.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use bytes::Bytes;
use http::header::{
    ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, HOST, HeaderName, HeaderValue,
    TE, TRANSFER_ENCODING, UPGRADE,
};
use http::{Method, Request};
use http_body_util::Full;
use zeroize::Zeroizing;

use super::request::TokenRequest;
use crate::credentials::ClientAuthentication;

/// The parameters that the grant sets itself: RFC 6749 §3.2 forbids to send one twice.
pub(crate) const OWN_PARAMETERS: [&str; 4] = ["grant_type", "client_id", "client_secret", "scope"];

/// The headers that the grant sets itself.
pub(crate) const OWN_HEADERS: [HeaderName; 3] = [ACCEPT, AUTHORIZATION, CONTENT_TYPE];

/// The headers by which connections and messages are framed.
pub(crate) const FRAMING_HEADERS: [HeaderName; 6] =
    [CONNECTION, CONTENT_LENGTH, HOST, TE, TRANSFER_ENCODING, UPGRADE];

/// The request of RFC 6749 §4.4.2, with this one of the client's secrets.
pub(super) fn encode(request: &TokenRequest, secret: &str) -> Request<Full<Bytes>> {
    let [_, client_id, client_secret, _] = OWN_PARAMETERS;
    let id = request.credentials().client_id();
    // RFC 6749 §2.3: not in two ways at once.
    let in_header = match request.credentials().authentication() {
        ClientAuthentication::Body => {
            return message(request, &[(client_id, id), (client_secret, secret)]);
        }
        ClientAuthentication::Basic => basic(&form_encoded(id), &form_encoded(secret)),
        ClientAuthentication::BasicUnencoded => basic(id, secret),
    };
    let mut message = message(request, &[]);
    message.headers_mut().insert(AUTHORIZATION, in_header);
    message
}

/// The request, with these parameters for who the client is.
pub(super) fn message(request: &TokenRequest, identity: &[(&str, &str)]) -> Request<Full<Bytes>> {
    let mut message = Request::new(Full::new(wiped(form(request, identity))));
    *message.method_mut() = Method::POST;
    *message.uri_mut() = request.endpoint().clone();
    let headers = message.headers_mut();
    headers.clone_from(request.headers());
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/x-www-form-urlencoded"));
    headers.insert(ACCEPT, HeaderValue::from_static("application/json"));
    message
}

// What holds the secret is written into strings that do not grow: each growth would leave it behind
// in memory that nobody wipes.

fn form(request: &TokenRequest, identity: &[(&str, &str)]) -> String {
    let [grant_type, _, _, scope] = OWN_PARAMETERS;
    let mut pairs = vec![(grant_type, "client_credentials")];
    pairs.extend(identity);
    // RFC 6749 §3.2: a parameter without a value is an omitted one.
    if !request.scope().is_none() {
        pairs.push((scope, request.scope().as_str()));
    }
    let extra = request.parameters().iter().map(|(name, value)| (name.as_str(), value.as_str()));
    pairs.extend(extra);
    // At most three characters for each byte, and two between.
    let most: usize = pairs.iter().map(|(name, value)| 3 * (name.len() + value.len()) + 2).sum();
    let mut form = form_urlencoded::Serializer::new(String::with_capacity(most));
    form.extend_pairs(pairs);
    form.finish()
}

fn form_encoded(text: &str) -> Zeroizing<String> {
    let mut encoded = Zeroizing::new(String::with_capacity(3 * text.len()));
    encoded.extend(form_urlencoded::byte_serialize(text.as_bytes()));
    encoded
}

/// RFC 7617 §2.
fn basic(id: &str, secret: &str) -> HeaderValue {
    let mut pair = Zeroizing::new(String::with_capacity(id.len() + 1 + secret.len()));
    pair.extend([id, ":", secret]);
    let most = BASIC.len() + base64::encoded_len(pair.len(), true).unwrap_or_default();
    let mut text = String::with_capacity(most);
    text.push_str(BASIC);
    BASE64_STANDARD.encode_string(pair.as_bytes(), &mut text);
    let mut value = HeaderValue::from_maybe_shared(wiped(text)).expect("base64 is visible ASCII");
    value.set_sensitive(true);
    value
}

const BASIC: &str = "Basic ";

/// Wiped when the HTTP client lets go of it.
pub(super) fn wiped(text: String) -> Bytes {
    Bytes::from_owner(Wiped(Zeroizing::new(text)))
}

struct Wiped(Zeroizing<String>);

impl AsRef<[u8]> for Wiped {
    fn as_ref(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use http_body_util::BodyExt;

    use super::*;
    use crate::credentials::ClientCredentials;
    use crate::scope::Scope;

    fn request(credentials: ClientCredentials) -> TokenRequest {
        let parameters = [("audience".to_owned(), "https://api.example.com/é?".repeat(9))];
        TokenRequest::new(
            "https://accounts.example.com/oauth/token".parse().unwrap(),
            credentials,
            Scope::parse("a:b c/d").unwrap(),
            parameters.into(),
            Arc::default(),
        )
    }

    fn text(message: Request<Full<Bytes>>) -> String {
        let body = tokio_test::block_on(message.into_body().collect()).unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }

    #[test]
    fn the_form_never_grows_and_so_leaves_no_secret_behind() {
        let secret = "&=%+ \u{7e}\"'".repeat(40);
        let identity = [("client_id", "id %&"), ("client_secret", &secret)];
        let form = form(&request(ClientCredentials::new("id %&", &secret)), &identity);
        let all: usize = form_urlencoded::parse(form.as_bytes())
            .map(|(name, value)| 3 * (name.len() + value.len()) + 2)
            .sum();
        assert_eq!(form.capacity(), all, "what was reserved at first");
    }

    #[test]
    fn basic_credentials_are_in_the_header_alone() {
        // The pairs of RFC 6749 §2.3.1 and RFC 7617 §2, and one that has to be encoded.
        for (id, secret, authentication, header) in [
            (
                "s6BhdRkqt3",
                "7Fjfp0ZBr1KtDRbnfVdmIw",
                ClientAuthentication::Basic,
                "Basic czZCaGRSa3F0Mzo3RmpmcDBaQnIxS3REUmJuZlZkbUl3",
            ),
            (
                "Aladdin",
                "open sesame",
                ClientAuthentication::BasicUnencoded,
                "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ==",
            ),
            // "a%3Ab:c+d%25"
            ("a:b", "c d%", ClientAuthentication::Basic, "Basic YSUzQWI6YytkJTI1"),
        ] {
            let pair = ClientCredentials::new(id, secret).with_authentication(authentication);
            let request = request(pair);
            let message = encode(&request, secret);
            let value = &message.headers()[AUTHORIZATION];
            assert_eq!(value, header);
            assert!(value.is_sensitive());
            let form = text(message);
            assert!(!form.contains("client_id") && !form.contains("client_secret"), "{form}");
        }
        assert!(
            !encode(&request(ClientCredentials::new("id", "s")), "s")
                .headers()
                .contains_key(AUTHORIZATION)
        );
    }
}
