//! Path templates, and which request paths may match one at all.

/// One segment of a path template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Segment {
    Literal(Box<str>),
    Parameter(Box<str>),
    CatchAll(Box<str>),
}

/// A part of a template as a path is compared with it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Part {
    /// Literals with all the slashes around them.
    Text(String),
    Parameter,
    CatchAll,
}

/// A path template: `/literal/{parameter}/{*rest}`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Template {
    pub(crate) segments: Vec<Segment>,
}

impl Template {
    /// Reads a template that begins with `/`.
    ///
    /// # Errors
    ///
    /// A clause that says what is wrong with it, to follow the name of the culprit.
    pub(crate) fn parse(path: &str) -> Result<Self, String> {
        let Some(relative) = path.strip_prefix('/') else {
            return Err("has a path that does not begin with '/'".to_owned());
        };
        if let Some(mark) = relative.find(['?', '#']) {
            let part = if relative[mark..].starts_with('?') { "query" } else { "fragment" };
            return Err(format!("has a {part}: a route is matched by its path alone, remove it"));
        }
        // Before a last slash is taken off: `//` is not the root, in a request either.
        if relative.is_empty() {
            return Ok(Self { segments: Vec::new() });
        }
        let relative = relative.strip_suffix('/').unwrap_or(relative);
        let mut segments = Vec::new();
        for text in relative.split('/') {
            if let Some(Segment::CatchAll(name)) = segments.last() {
                return Err(format!(
                    "goes on after its catch-all {{*{name}}}: a catch-all must be last"
                ));
            }
            segments.push(Segment::parse(text)?);
        }
        Ok(Self { segments })
    }

    /// The template as the texts between its parameters.
    pub(super) fn parts(&self) -> Vec<Part> {
        let mut parts = Vec::new();
        let mut text = String::new();
        for segment in &self.segments {
            text.push('/');
            let part = match segment {
                Segment::Literal(literal) => {
                    text.push_str(literal);
                    continue;
                }
                Segment::Parameter(_) => Part::Parameter,
                Segment::CatchAll(_) => Part::CatchAll,
            };
            parts.extend([Part::Text(std::mem::take(&mut text)), part]);
        }
        if !text.is_empty() {
            parts.push(Part::Text(text));
        }
        parts
    }
}

impl Segment {
    fn parse(text: &str) -> Result<Self, String> {
        if text.is_empty() {
            return Err("has an empty segment ('//'): remove it".to_owned());
        }
        if let Some(name) = text.strip_prefix('{').and_then(|t| t.strip_suffix('}')) {
            let (name, catch_all) = match name.strip_prefix('*') {
                Some(rest) => (rest, true),
                None => (name, false),
            };
            let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_' || b == b'-';
            if name.is_empty() || !name.bytes().all(word) {
                return Err(format!(
                    "has the bad parameter {text:?}: name it with letters, digits, '_' or '-', as in {{id}} or {{*rest}}"
                ));
            }
            let name = name.into();
            return Ok(if catch_all { Self::CatchAll(name) } else { Self::Parameter(name) });
        }
        if text.contains(['{', '}']) {
            return Err(format!(
                "has a parameter that is only a part of the segment {text:?}: a parameter stands for a whole segment"
            ));
        }
        if text.starts_with([':', '*']) {
            return Err(format!(
                "has the segment {text:?}: write a parameter as {{id}} and a catch-all as {{*rest}}"
            ));
        }
        if !text.bytes().all(is_path_character) || !is_plain_segment(text.as_bytes()) {
            return Err(format!(
                "has the segment {text:?}, which no request can match: use the characters of RFC 3986 §3.3, \
                 percent-encode others, and no '.', '..', encoded slash or backslash"
            ));
        }
        Ok(Self::Literal(text.into()))
    }
}

// pchar of RFC 3986 §3.3.
fn is_path_character(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@%".contains(&b)
}

/// Whether a request path means to every server on the way what it means here: no `.` or `..`
/// segments, encoded slashes or backslashes, which one party resolves and another does not.
pub(crate) fn is_plain_path(path: &[u8]) -> bool {
    // Nearly every path has none of the bytes that make trouble.
    !path.iter().any(is_suspicious) || path.split(is_slash).all(is_plain_segment)
}

/// What follows the segment that `path` begins with; `None` if that is empty, or not plain.
pub(super) fn after_plain_segment(path: &[u8]) -> Option<&[u8]> {
    let stop = path.iter().position(|b| is_slash(b) || is_suspicious(b)).unwrap_or(path.len());
    let end = match path.get(stop) {
        Some(b) if is_suspicious(b) => {
            let end = path.iter().position(is_slash).unwrap_or(path.len());
            is_plain_segment(&path[..end]).then_some(end)?
        }
        _ => stop,
    };
    (end > 0).then(|| &path[end..])
}

fn is_slash(b: &u8) -> bool {
    *b == b'/'
}

/// Whether a segment with it needs a closer look.
fn is_suspicious(b: &u8) -> bool {
    matches!(b, b'%' | b'\\' | b'.')
}

fn is_plain_segment(segment: &[u8]) -> bool {
    // Some servers cut a segment's `;parameters` off before they resolve dots.
    let mut rest = segment.split(|b| *b == b';').next().unwrap_or_default();
    let mut dots = 0;
    while let Some(after) = strip_dot(rest) {
        rest = after;
        dots += 1;
    }
    let dot_segment = rest.is_empty() && (1..=2).contains(&dots);
    !dot_segment && !segment.contains(&b'\\') && !has_encoded_separator(segment)
}

fn strip_dot(bytes: &[u8]) -> Option<&[u8]> {
    match bytes {
        [b'.', rest @ ..] | [b'%', b'2', b'e' | b'E', rest @ ..] => Some(rest),
        _ => None,
    }
}

fn has_encoded_separator(bytes: &[u8]) -> bool {
    bytes.windows(3).any(|w| matches!(w, [b'%', b'2', b'f' | b'F'] | [b'%', b'5', b'c' | b'C']))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn segments_are_literals_parameters_and_a_last_catch_all() {
        let template = Template::parse("/v1/{id}/{*rest}").unwrap();
        assert_eq!(
            template.segments,
            [
                Segment::Literal("v1".into()),
                Segment::Parameter("id".into()),
                Segment::CatchAll("rest".into()),
            ]
        );
        assert_eq!(Template::parse("/").unwrap().segments, []);
        assert_eq!(Template::parse("/a/").unwrap(), Template::parse("/a").unwrap());
    }

    #[test]
    fn bad_templates_say_what_to_change() {
        for (bad, says) in [
            ("v1", "begin with '/'"),
            ("/v1?x=1", "query"),
            ("/v1#top", "fragment"),
            ("/v1//x", "empty segment"),
            ("/v1//", "empty segment"),
            ("//", "empty segment"),
            ("/{}", "bad parameter"),
            ("/{a b}", "bad parameter"),
            ("/{*}", "bad parameter"),
            ("/x{id}", "whole segment"),
            ("/{id", "whole segment"),
            ("/{a}{b}", "bad parameter"),
            ("/{*rest}/x", "must be last"),
            ("/:id", "{id}"),
            ("/*", "{*rest}"),
            ("/a b", "RFC 3986"),
            ("/../x", "RFC 3986"),
            ("/a/%2e%2E", "RFC 3986"),
            ("/a%2Fb", "RFC 3986"),
            ("/a\\b", "RFC 3986"),
            ("/é", "RFC 3986"),
        ] {
            let error = Template::parse(bad).unwrap_err();
            assert!(error.contains(says), "{bad}: {error}");
        }
    }

    #[test]
    fn paths_that_two_parties_can_read_differently_are_not_plain() {
        for bad in [
            "/a/../b",
            "/a/./b",
            "/..",
            "/a/%2e%2e/b",
            "/a/.%2E",
            "/a/%2e",
            "/a/..;x=1/b",
            "/a/.;/b",
            "/a%2fb",
            "/a%2Fb",
            "/a%5cb",
            "/a%5Cb",
            "/a\\b",
        ] {
            assert!(!is_plain_path(bad.as_bytes()), "{bad}");
        }
        for good in ["/", "/a/b", "/a.b/c..d", "/...", "/a%20b", "/v1.2/x", "/a;b/c", "/%2e%2e%2e"]
        {
            assert!(is_plain_path(good.as_bytes()), "{good}");
        }
    }
}
