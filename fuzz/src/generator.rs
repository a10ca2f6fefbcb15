//! Pieces of structured inputs.

use libfuzzer_sys::arbitrary::{Result, Unstructured};

/// `text` with the case of its letters at random.
///
/// # Errors
///
/// When the input is at its end.
pub fn recased(u: &mut Unstructured<'_>, text: &str) -> Result<String> {
    let mut bits: u32 = u.arbitrary()?;
    let turned = text.chars().map(|c| {
        bits = bits.rotate_right(1);
        match bits & 1 {
            0 => c.to_ascii_lowercase(),
            _ => c.to_ascii_uppercase(),
        }
    });
    Ok(turned.collect())
}

/// Up to `longest` characters, each one of `alphabet`.
///
/// # Errors
///
/// When the input is at its end.
pub fn text(u: &mut Unstructured<'_>, alphabet: &[char], longest: usize) -> Result<String> {
    let length = u.int_in_range(0..=longest)?;
    (0..length).map(|_| u.choose(alphabet).copied()).collect()
}

/// A number of blanks that a grammar leaves free: mostly none or one.
///
/// # Errors
///
/// When the input is at its end.
pub fn blanks(u: &mut Unstructured<'_>) -> Result<&'static str> {
    u.choose(&["", "", " ", " ", "\t", "  \t "]).copied()
}
