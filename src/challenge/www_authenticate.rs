//! A `WWW-Authenticate` reader (RFC 9110 §11.6.1) that never fails: servers send raw UTF-8, stray
//! commas and open quotes, and a 401 has to be read all the same. What cannot be read is skipped.

/// One challenge: its scheme (empty if the header never named one) and its `error` parameter.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Challenge<'a> {
    pub(crate) scheme: &'a [u8],
    pub(crate) error: Option<Value<'a>>,
}

/// A parameter's value as it stands in the header: inside its quotes, still escaped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Value<'a>(&'a [u8]);

/// The challenges of one header value, in order.
pub(crate) fn challenges(header: &[u8]) -> impl Iterator<Item = Challenge<'_>> {
    let mut elements = Elements { rest: header }.peekable();
    std::iter::from_fn(move || {
        let first = elements.next()?;
        let mut challenge =
            Challenge { scheme: first.scheme.unwrap_or_default(), error: first.error() };
        // Elements without a scheme of their own are further parameters of this challenge.
        while let Some(more) = elements.next_if(|element| element.scheme.is_none()) {
            // RFC 6750 §3: each attribute once. Of several, the first counts.
            challenge.error = challenge.error.or_else(|| more.error());
        }
        Some(challenge)
    })
}

impl Value<'_> {
    /// Whether the value, unescaped (RFC 9110 §5.6.4), is `text`.
    pub(crate) fn is(&self, text: &str) -> bool {
        let mut bytes = self.0.iter();
        let unescaped = std::iter::from_fn(|| match bytes.next()? {
            b'\\' => bytes.next(),
            byte => Some(byte),
        });
        unescaped.eq(text.as_bytes())
    }
}

/// The comma-separated elements of a header: each begins a challenge, or goes on with one.
struct Elements<'a> {
    rest: &'a [u8],
}

struct Element<'a> {
    scheme: Option<&'a [u8]>,
    parameters: Parameters<'a>,
}

/// The parameters of an element: one, or several by a server that leaves the commas out.
struct Parameters<'a> {
    rest: &'a [u8],
}

impl<'a> Element<'a> {
    fn parse(text: &'a [u8]) -> Self {
        let (word, rest) = split_word(text);
        // `name=value`, with or without white space around the sign, or else a `Scheme`.
        if rest.trim_ascii_start().starts_with(b"=") {
            Self { scheme: None, parameters: Parameters { rest: text } }
        } else {
            Self { scheme: Some(word), parameters: Parameters { rest } }
        }
    }

    fn error(mut self) -> Option<Value<'a>> {
        let (_, value) = self.parameters.find(|(name, _)| name.eq_ignore_ascii_case(b"error"))?;
        Some(value)
    }
}

impl<'a> Iterator for Parameters<'a> {
    type Item = (&'a [u8], Value<'a>);

    fn next(&mut self) -> Option<Self::Item> {
        loop {
            let text = self.rest.trim_ascii_start();
            if text.is_empty() {
                return None;
            }
            let (name, rest) = split_word(text);
            if let [b'=', value @ ..] = rest.trim_ascii_start() {
                let (value, rest) = Value::split(value);
                self.rest = rest;
                return Some((name, value));
            }
            // A token68, or a word of a text without quotes: no parameter.
            self.rest = rest;
        }
    }
}

impl<'a> Value<'a> {
    /// The value at the start of `text`, and what comes after it.
    fn split(text: &'a [u8]) -> (Self, &'a [u8]) {
        match text.trim_ascii_start() {
            [b'"', quoted @ ..] => {
                let (value, rest) = quoted.split_at(end_of_quoted(quoted));
                (Self(value), rest.get(1..).unwrap_or_default())
            }
            bare => {
                let (value, rest) = bare.split_at(end_of(bare, is_blank));
                (Self(value), rest)
            }
        }
    }
}

impl<'a> Iterator for Elements<'a> {
    type Item = Element<'a>;

    fn next(&mut self) -> Option<Element<'a>> {
        loop {
            if self.rest.is_empty() {
                return None;
            }
            let end = end_of(self.rest, |b| b == b',');
            let element = self.rest[..end].trim_ascii();
            self.rest = self.rest.get(end + 1..).unwrap_or_default();
            // RFC 9110 §5.6.1.2: empty list elements are skipped.
            if !element.is_empty() {
                return Some(Element::parse(element));
            }
        }
    }
}

fn split_word(text: &[u8]) -> (&[u8], &[u8]) {
    text.split_at(end_of(text, |b| is_blank(b) || b == b'='))
}

fn is_blank(b: u8) -> bool {
    matches!(b, b' ' | b'\t')
}

/// Where the first byte stands that `ends` the text and is in no quoted string, or the text's end.
fn end_of(text: &[u8], ends: impl Fn(u8) -> bool) -> usize {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b if ends(b) => return at,
            b'"' => at += 1 + end_of_quoted(&text[at + 1..]),
            _ => {}
        }
        at += 1;
    }
    text.len()
}

/// Where the quote stands that closes a quoted string; its end if none does. `text` begins after
/// the opening quote.
fn end_of_quoted(text: &[u8]) -> usize {
    let mut at = 0;
    while at < text.len() {
        match text[at] {
            b'"' => return at,
            b'\\' => at += 2,
            _ => at += 1,
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(header: &str) -> Vec<(String, Option<String>)> {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        challenges(header.as_bytes())
            .map(|c| (text(c.scheme), c.error.map(|value| text(value.0))))
            .collect()
    }

    #[test]
    fn legal_forms() {
        let bearer = |error: Option<&str>| vec![("Bearer".to_owned(), error.map(str::to_owned))];
        assert_eq!(read("Bearer"), bearer(None));
        assert_eq!(read("Bearer error=\"invalid_token\""), bearer(Some("invalid_token")));
        assert_eq!(read("Bearer error=invalid_token"), bearer(Some("invalid_token")));
        assert_eq!(read("Bearer realm=\"a, error=\\\"x\\\"\",\terror = \"y\""), bearer(Some("y")));
        assert_eq!(read("Bearer ERROR=\"x\", error=\"y\""), bearer(Some("x")));
        let two = read("Basic realm=\"b\", Bearer realm=\"c\", error=\"d\", Negotiate ab+/=");
        let schemes: Vec<_> = two.iter().map(|(scheme, _)| scheme.as_str()).collect();
        assert_eq!(schemes, ["Basic", "Bearer", "Negotiate"]);
        assert_eq!(two[1].1.as_deref(), Some("d"));
    }

    #[test]
    fn broken_forms_are_read_as_far_as_they_go() {
        assert_eq!(read(""), []);
        assert_eq!(read(" , ,, "), []);
        assert_eq!(read("Bearer error=\"open")[0].1.as_deref(), Some("open"));
        assert_eq!(read("Bearer error=\"open\\")[0].1.as_deref(), Some("open\\"));
        assert_eq!(read("Bearer error="), [("Bearer".to_owned(), Some(String::new()))]);
        assert_eq!(read("error=\"x\""), [(String::new(), Some("x".to_owned()))]);
        assert_eq!(read("=, ==, \"\"").len(), 2);
        assert_eq!(read("Bearer,error=\"x\""), [("Bearer".to_owned(), Some("x".to_owned()))]);
    }

    #[test]
    fn parameters_without_commas_are_read_like_those_with() {
        let bearer = |error: &str| vec![("Bearer".to_owned(), Some(error.to_owned()))];
        for header in [
            "Bearer realm=\"x\" error=\"e\"",
            "Bearer realm=x error=e",
            "Bearer error=e realm=x",
            "Bearer realm=\"x\"error=\"e\"scope=\"s\"",
            "Bearer realm=\"a error=f\" \t error = \"e\"",
            "Bearer realm=a\" error=f\" error=e",
            "Bearer realm=My API error=e",
            "Bearer \"a error=f\" error=e",
            "Bearer scope=\"s\", realm=\"x\" error=\"e\", error=\"f\"",
        ] {
            assert_eq!(read(header), bearer("e"), "{header}");
        }
        let sentence = read("Bearer error_description=The token has no scope, error=\"e\"");
        assert_eq!(sentence, bearer("e"), "a loose word begins no challenge");
    }

    #[test]
    fn values_compare_unescaped() {
        assert!(Value(b"in\\sufficient").is("insufficient"));
        assert!(!Value(b"insufficient").is("insufficient_scope"));
        assert!(!Value(b"insufficient_scope2").is("insufficient_scope"));
    }
}
