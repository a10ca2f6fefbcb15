//! The head of a request that may be sent again.

use http::{Extensions, HeaderMap, HeaderName, HeaderValue, Method, Request, Uri, Version};

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
        *request.headers_mut() = HeaderMap::with_capacity(headers.len() + 1);
        for (name, value) in headers {
            request.headers_mut().append(name, value);
        }
        *request.extensions_mut() = extensions;
        request
    }
}
