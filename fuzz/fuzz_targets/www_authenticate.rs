//! `WWW-Authenticate` fields, read by [`Verdict::of`].
//!
//! Law J5, twice over the same bytes: as text (a line with the status, then a field value a line),
//! where garbage must never be read as more than it says; and as choices in the grammar of RFC 9110
//! §11.6.1, where the reading is known.

#![no_main]

use http::StatusCode;
use http::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use tower_partner_auth::Verdict;
use tower_partner_auth_fuzz::{blanks, recased, text};

const INSUFFICIENT: &str = "insufficient_scope";

/// Long enough that a cost that grows with the square would take minutes: the run's time limit for
/// one input finds it.
const LONG: usize = 512 * 1024;

fuzz_target!(|data: &[u8]| {
    any_text(data);
    // An input at its end ends the challenges.
    let _ = well_formed(&mut Unstructured::new(data));
});

fn any_text(data: &[u8]) {
    let mut lines = data.split(|b| *b == b'\n');
    let status = lines.next().and_then(|line| StatusCode::from_bytes(line.trim_ascii()).ok());
    let values: Vec<_> = lines.filter_map(|line| HeaderValue::from_bytes(line).ok()).collect();
    let verdict = |status, values: &[HeaderValue]| {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, value.clone());
        }
        Verdict::of(status, &headers)
    };
    let status = status.unwrap_or(StatusCode::UNAUTHORIZED);
    let read = verdict(status, &values);
    if status != StatusCode::UNAUTHORIZED {
        assert_eq!(read, Verdict::Accepted, "{status}");
        return;
    }
    assert_ne!(read, Verdict::Accepted);
    let named = values.iter().any(|value| {
        let mut text = value.as_bytes().to_ascii_lowercase();
        text.retain(|b| *b != b'\\');
        let has = |word: &str| text.windows(word.len()).any(|w| w == word.as_bytes());
        has("error") && has(INSUFFICIENT)
    });
    assert!(named || read == Verdict::TokenRejected, "{values:?}");

    // A field that says nothing of the token changes nothing, wherever it stands.
    let silent = "Basic realm=\"error=insufficient_scope\", charset=\"UTF-8\"";
    let silent = [HeaderValue::from_static(silent)];
    let between = [&silent[..], &values, &silent].concat();
    assert_eq!(verdict(status, &between), read, "{values:?}");

    if let Some(value) = values.first().filter(|value| !value.is_empty() && data.len() % 64 == 0) {
        let long = value.as_bytes().repeat(LONG / value.len());
        verdict(status, &[HeaderValue::from_bytes(&long).expect("made of a valid value")]);
    }
}

/// What a challenge says in its `error`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Says {
    Nothing,
    Insufficient,
    Other,
}

fn well_formed(u: &mut Unstructured<'_>) -> Result<()> {
    let mut headers = HeaderMap::new();
    let mut field = Vec::new();
    let mut said = Vec::new();
    for _ in 0..u.int_in_range(1..=4)? {
        let bearer = u.ratio(2, 3)?;
        let says = challenge(u, bearer, &mut field)?;
        said.push((bearer, says));
        if u.arbitrary()? {
            append(&mut headers, &mut field);
        } else {
            comma(u, &mut field)?;
        }
    }
    append(&mut headers, &mut field);

    // What is said under Bearer counts first.
    let of_bearer = said.iter().find(|(bearer, says)| *bearer && *says != Says::Nothing);
    let insufficient = match of_bearer {
        Some((_, says)) => *says == Says::Insufficient,
        None => said.iter().any(|(_, says)| *says == Says::Insufficient),
    };
    let expected = if insufficient { Verdict::InsufficientScope } else { Verdict::TokenRejected };
    assert_eq!(Verdict::of(StatusCode::UNAUTHORIZED, &headers), expected, "{headers:?}");
    Ok(())
}

fn append(headers: &mut HeaderMap, field: &mut Vec<u8>) {
    let value = HeaderValue::from_bytes(field).expect("a valid field value");
    headers.append(WWW_AUTHENTICATE, value);
    field.clear();
}

/// One challenge: a scheme, and a token68 or parameters in any order.
fn challenge(u: &mut Unstructured<'_>, bearer: bool, field: &mut Vec<u8>) -> Result<Says> {
    let others = ["Basic", "Digest", "Negotiate", "DPoP", "error", "Bearer2"];
    let scheme = if bearer { "Bearer" } else { u.choose(&others)? };
    field.extend(recased(u, scheme)?.bytes());
    if !bearer && u.arbitrary()? {
        let letters = ['a', 'Z', '0', '-', '.', '_', '~', '+', '/'];
        let token68 = text(u, &letters, 6)? + u.choose(&["", "=", "=="])?;
        if !token68.starts_with('=') && !token68.is_empty() {
            field.push(b' ');
            field.extend(token68.bytes());
        }
        return Ok(Says::Nothing);
    }
    let mut says = Says::Nothing;
    let names =
        ["realm", "scope", "error_description", "error_uri", "errors", "xerror", "algorithm"];
    // Some servers leave the commas between the parameters out.
    let commas = u.ratio(3, 4)?;
    for n in 0..u.int_in_range(0..=5)? {
        match (n, commas) {
            (0, _) => field.extend(u.choose(&[" ", "  ", " ,", " , ,"])?.bytes()),
            (_, true) => comma(u, field)?,
            (_, false) => field.extend(u.choose(&[" ", "  ", "\t"])?.bytes()),
        }
        if says == Says::Nothing && u.arbitrary()? {
            let code = *u.choose(&[INSUFFICIENT, INSUFFICIENT, "invalid_token", "insufficient"])?;
            says = if code == INSUFFICIENT { Says::Insufficient } else { Says::Other };
            let quoted = u.arbitrary()?;
            parameter(u, "error", code.as_bytes(), quoted, field)?;
        } else {
            let name = *u.choose(&names)?;
            let value = loose_text(u)?;
            let quoted = !is_token(&value) || u.arbitrary()?;
            parameter(u, name, &value, quoted, field)?;
        }
    }
    Ok(says)
}

fn comma(u: &mut Unstructured<'_>, field: &mut Vec<u8>) -> Result<()> {
    field.extend(blanks(u)?.bytes());
    // RFC 9110 §5.6.1.2: empty list elements are legal to receive.
    field.extend(u.choose(&[",", ",", ",,", ", ,"])?.bytes());
    field.extend(blanks(u)?.bytes());
    Ok(())
}

fn parameter(
    u: &mut Unstructured<'_>,
    name: &str,
    value: &[u8],
    quoted: bool,
    field: &mut Vec<u8>,
) -> Result<()> {
    field.extend(recased(u, name)?.bytes());
    field.extend(blanks(u)?.bytes());
    field.push(b'=');
    field.extend(blanks(u)?.bytes());
    if !quoted {
        field.extend(value);
        return Ok(());
    }
    let escapes: u64 = u.arbitrary()?;
    field.push(b'"');
    for (at, byte) in value.iter().enumerate() {
        if matches!(byte, b'"' | b'\\') || (escapes >> (at % 64)) & 1 == 1 {
            field.push(b'\\');
        }
        field.push(*byte);
    }
    field.push(b'"');
    Ok(())
}

/// Text of which a quoted string can be made, often one that looks like a challenge itself.
fn loose_text(u: &mut Unstructured<'_>) -> Result<Vec<u8>> {
    let trap = *u.choose(&[
        "",
        ", Bearer error=\"insufficient_scope\"",
        "error=insufficient_scope",
        "insufficient_scope",
        "\" error=\"insufficient_scope",
        "plain",
    ])?;
    let length = u.int_in_range(0..=8)?;
    let noise = u.bytes(length)?.iter().copied();
    let mut text: Vec<u8> = noise.filter(|b| matches!(b, b'\t' | b' '..=b'~' | 0x80..)).collect();
    text.extend(trap.bytes());
    Ok(text)
}

fn is_token(text: &[u8]) -> bool {
    let tchar = |b: &u8| b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(b);
    !text.is_empty() && text.iter().all(tchar)
}
