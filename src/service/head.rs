//! The head of a request that may be sent again.

use http::{Extensions, HeaderName, HeaderValue, Method, Request, Uri, Version};

/// A copy of a request's head without its token, to be sent again with another.
///
/// The headers are a list here, which takes one allocation where a map takes two: hardly any request
/// is sent again.
pub(super) struct Head {
    method: Method,
    uri: Uri,
    version: Version,
    headers: Vec<(HeaderName, HeaderValue)>,
    extensions: Extensions,
}

impl Head {
    /// Copies all but the header that carries the token.
    pub(super) fn of<B>(request: &Request<B>, token: &HeaderName) -> Self {
        let mut headers = Vec::with_capacity(request.headers().len());
        let others = request.headers().iter().filter(|(name, _)| *name != token);
        headers.extend(others.map(|(name, value)| (name.clone(), value.clone())));
        Self {
            method: request.method().clone(),
            uri: request.uri().clone(),
            version: request.version(),
            headers,
            extensions: request.extensions().clone(),
        }
    }

    pub(super) fn into_request<B>(self, body: B) -> Request<B> {
        let Self { method, uri, version, headers, extensions } = self;
        let mut request = Request::new(body);
        *request.method_mut() = method;
        *request.uri_mut() = uri;
        *request.version_mut() = version;
        // Without a capacity: there may be more values than a map can be asked to hold names.
        for (name, value) in headers {
            request.headers_mut().append(name, value);
        }
        *request.extensions_mut() = extensions;
        request
    }
}

#[cfg(test)]
mod tests {
    use http::header::{ACCEPT, AUTHORIZATION, COOKIE};

    use super::*;

    fn request() -> Request<()> {
        let mut request = Request::put("https://api.test/v1/7?full").version(Version::HTTP_2);
        let mut secret = HeaderValue::from_static("session");
        secret.set_sensitive(true);
        let own = [
            (ACCEPT, HeaderValue::from_static("text/plain")),
            (COOKIE, secret),
            (ACCEPT, HeaderValue::from_static("text/html")),
            (AUTHORIZATION, HeaderValue::from_static("Bearer token")),
            (HeaderName::from_static("x-own"), HeaderValue::from_static("kept")),
        ];
        for (name, value) in own {
            request = request.header(name, value);
        }
        request.extension("the caller's").body(()).unwrap()
    }

    fn headers<B>(request: &Request<B>) -> Vec<(&str, &[u8], bool)> {
        let header = |(name, value)| {
            let (name, value): (&HeaderName, &HeaderValue) = (name, value);
            (name.as_str(), value.as_bytes(), value.is_sensitive())
        };
        request.headers().iter().map(header).collect()
    }

    #[test]
    fn a_copy_is_the_same_but_for_the_token() {
        let request = request();
        let head = Head::of(&request, &AUTHORIZATION);
        assert!(head.headers.iter().all(|(name, _)| name != AUTHORIZATION), "nor is it kept");
        let copy = head.into_request("body");
        assert_eq!(copy.method(), request.method());
        assert_eq!(copy.uri(), request.uri());
        assert_eq!(copy.version(), request.version());
        assert_eq!(copy.extensions().get(), request.extensions().get::<&str>());
        let mut others = headers(&request);
        others.retain(|(name, ..)| *name != AUTHORIZATION);
        assert_eq!(others.len(), 4);
        assert_eq!(headers(&copy), others);
    }

    #[test]
    fn more_values_than_a_map_can_have_names_are_copied() {
        let mut request = Request::new(());
        for _ in 0..30_000 {
            request.headers_mut().append(ACCEPT, HeaderValue::from_static("text/plain"));
        }
        let copy = Head::of(&request, &AUTHORIZATION).into_request(());
        assert_eq!(copy.headers(), request.headers());
    }
}
