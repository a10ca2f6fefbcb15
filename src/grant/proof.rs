//! The token request of a client that has an authenticator in place of a secret.

use bytes::Bytes;
use http::Request;
use http::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use http_body_util::Full;
use zeroize::Zeroizing;

use super::form::{self, FRAMING_HEADERS, OWN_PARAMETERS, wiped};
use super::request::TokenRequest;
use crate::credentials::{ClientAuthenticator, ClientProof, ProofRequest};
use crate::error::{SecretError, SecretErrorKind};

/// The request of RFC 6749 §4.4.2, with what the authenticator says to it.
pub(super) async fn encode(
    request: &TokenRequest,
    authenticator: &dyn ClientAuthenticator,
) -> Result<Request<Full<Bytes>>, SecretError> {
    let proof = authenticator.authenticate(ProofRequest::new(
        request.endpoint(),
        request.credentials().client_id(),
        request.scope(),
    ));
    let proof = proof.await.map_err(|error| {
        let subject = "the client's authenticator".to_owned();
        SecretError::new(SecretErrorKind::Provider, subject, "failed").with_source(error)
    })?;
    encode_with(request, proof)
}

fn encode_with(
    request: &TokenRequest,
    proof: ClientProof,
) -> Result<Request<Full<Bytes>>, SecretError> {
    // RFC 7521 §4.2: it may be there, and some servers look for nothing else.
    let mut identity = vec![("client_id", request.credentials().client_id())];
    for (name, value) in &proof.parameters {
        // RFC 6749 §3.2: none twice.
        let mut taken = OWN_PARAMETERS.into_iter();
        let mut extra = request.parameters().iter();
        if taken.any(|own| own == name)
            || extra.any(|(extra, _)| extra == name)
            || identity.iter().any(|(own, _)| own == name)
        {
            return Err(refused("parameter", name));
        }
        identity.push((name, value));
    }
    let mut message = form::message(request, &identity);
    let headers = message.headers_mut();
    for (name, value) in proof.headers {
        add(headers, request.headers(), name, value)?;
    }
    Ok(message)
}

fn add(
    headers: &mut HeaderMap,
    extra: &HeaderMap,
    name: HeaderName,
    mut value: Zeroizing<String>,
) -> Result<(), SecretError> {
    let own = [ACCEPT, CONTENT_TYPE].contains(&name);
    if own || FRAMING_HEADERS.contains(&name) || extra.contains_key(&name) {
        return Err(refused("header", name.as_str()));
    }
    // Taken, not copied.
    let Ok(mut value) = HeaderValue::from_maybe_shared(wiped(std::mem::take(&mut *value))) else {
        let subject = format!("the authenticator's header {:?}", name.as_str());
        let clause = "has a value that no header can carry: it may not have line breaks";
        return Err(SecretError::new(SecretErrorKind::BadProof, subject, clause));
    };
    value.set_sensitive(true);
    headers.try_append(name, value).map(drop).map_err(|_| {
        let subject = "the authenticator's proof".to_owned();
        SecretError::new(SecretErrorKind::BadProof, subject, "has more headers than can be sent")
    })
}

fn refused(what: &str, name: &str) -> SecretError {
    let subject = format!("the authenticator's {what} {name:?}");
    let clause = "is in the token request already, or is not its to set: leave it out";
    SecretError::new(SecretErrorKind::BadProof, subject, clause)
}
