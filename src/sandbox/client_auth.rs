//! Client authentication in a header: HTTP Basic, as Doorkeeper reads it.

use base64::Engine;
use base64::alphabet::STANDARD;
use base64::engine::{DecodePaddingMode, GeneralPurpose, GeneralPurposeConfig};
use http::HeaderMap;
use http::header::AUTHORIZATION;

/// The id and secret of an `Authorization: Basic` header.
///
/// Doorkeeper splits at the first colon and, against RFC 6749 §2.3.1, decodes neither part as a
/// form.
pub(super) fn basic(headers: &HeaderMap) -> Option<(String, String)> {
    let value = headers.get(AUTHORIZATION)?.to_str().ok()?;
    let (scheme, encoded) = value.split_once(' ')?;
    if !scheme.eq_ignore_ascii_case("Basic") {
        return None;
    }
    let decoded = String::from_utf8(decode_base64(encoded.trim())?).ok()?;
    let (id, secret) = decoded.split_once(':')?;
    Some((id.to_owned(), secret.to_owned()))
}

/// RFC 4648 §4, with or without padding.
fn decode_base64(text: &str) -> Option<Vec<u8>> {
    let lenient = GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true);
    GeneralPurpose::new(&STANDARD, lenient).decode(text).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(value: &'static str) -> Option<(String, String)> {
        let value = http::HeaderValue::from_static(value);
        basic(&HeaderMap::from_iter([(AUTHORIZATION, value)]))
    }

    #[test]
    fn id_and_secret_are_split_at_the_first_colon() {
        let pair = Some(("id".to_owned(), "se:cret".to_owned()));
        assert_eq!(read("Basic aWQ6c2U6Y3JldA=="), pair);
        assert_eq!(read("basic aWQ6c2U6Y3JldA"), pair);
    }

    #[test]
    fn anything_else_is_no_client() {
        for bad in ["", "Basic", "Basic !", "Basic aWQ=", "Basic /w==", "Bearer aWQ6c2U6Y3JldA=="] {
            assert_eq!(read(bad), None, "{bad}");
        }
    }
}
