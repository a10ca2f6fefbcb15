//! What a client id or secret must look like.

use crate::error::SecretErrorKind;

/// Why a value cannot be used: the kind, and the end of a sentence about it.
pub(super) type Fault = (SecretErrorKind, &'static str);

/// VSCHAR of RFC 6749 appendix A.1 and A.2, by far the commonest slip being a file's last newline.
pub(super) fn fault(value: &[u8]) -> Option<Fault> {
    if value.is_empty() {
        Some((SecretErrorKind::Empty, "is empty: is its environment variable or file set?"))
    } else if value.trim_ascii() != value {
        Some((
            SecretErrorKind::BadCharacters,
            "begins or ends with white space: trim it (a trailing newline is the usual cause)",
        ))
    } else if !value.iter().all(|b| matches!(b, 0x20..=0x7e)) {
        Some((
            SecretErrorKind::BadCharacters,
            "has a character outside printable ASCII (RFC 6749 appendix A): copy it again from the partner's console",
        ))
    } else {
        None
    }
}
