//! Origins (RFC 6454): scheme, host and effective port.

use std::fmt;
use std::net::{Ipv4Addr, Ipv6Addr};

use http::uri::Authority;

/// An origin that may receive a token.
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Origin {
    https: bool,
    /// `host:port`, and `host` alone where the port is the scheme's own: how a URI may name it.
    with_port: Box<str>,
    bare: Option<Box<str>>,
}

impl Origin {
    /// Reads `scheme://host[:port]`.
    ///
    /// # Errors
    ///
    /// A clause that says what is wrong with it, to follow the name of the culprit.
    pub(crate) fn parse(scheme: &str, authority: &str) -> Result<Self, String> {
        let https = match scheme.to_ascii_lowercase().as_str() {
            "https" => true,
            "http" => false,
            other if is_scheme(other) => {
                return Err(format!("has the scheme {other:?}: use https"));
            }
            // Anything may be in it, a password too.
            _ => return Err("has no valid scheme: write it as https://host/path".to_owned()),
        };
        if authority.contains('@') {
            return Err("has user information before its host: remove it".to_owned());
        }
        let parsed: Authority = authority
            .parse()
            .map_err(|_| "has no valid host: write it as https://host[:port]/path".to_owned())?;
        let host = parsed.host().to_ascii_lowercase();
        let valid = |b: u8| b.is_ascii_alphanumeric() || b"-._[]:".contains(&b);
        if host.is_empty() || !host.bytes().all(valid) {
            return Err("has no valid host: use its ASCII form (punycode)".to_owned());
        }
        let port = effective_port(&parsed, https)
            .ok_or_else(|| "has an invalid port: use 1 to 65535, or leave it out".to_owned())?;
        if !https && !is_loopback(&host) {
            return Err(
                "is plain http, where anybody on the way can read the token: use https (http is for \
                 loopback addresses only)"
                    .to_owned(),
            );
        }
        let bare = (port == default_port(https)).then(|| host.as_str().into());
        Ok(Self { https, with_port: format!("{host}:{port}").into(), bare })
    }

    pub(super) fn is_https(&self) -> bool {
        self.https
    }

    /// How a URI may name its host and port, in small letters.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        [Some(&self.with_port), self.bare.as_ref()].into_iter().flatten().map(|name| &**name)
    }

    fn scheme(&self) -> &'static str {
        if self.https { "https" } else { "http" }
    }
}

// `Authority` reads `host:` and `host:99999` as having no port at all, and passes over what is between
// the two in `host:1[::1]:80`: such a host is of no origin. Nor is one with a port that is written in
// another way than a request's is: `:0443`, `:+443`.
fn effective_port(authority: &Authority, https: bool) -> Option<u16> {
    let behind_host = authority.as_str().len() - authority.host().len();
    match authority.port() {
        None => (behind_host == 0).then_some(default_port(https)),
        Some(port) => {
            let text = port.as_str();
            let plain = text.starts_with(|c| matches!(c, '1'..='9'));
            (plain && behind_host == ":".len() + text.len()).then(|| port.as_u16())
        }
    }
}

fn default_port(https: bool) -> u16 {
    if https { 443 } else { 80 }
}

/// A URL as it may be shown: without user information, query and fragment, any of which may hold a
/// password or a key. A URL that is badly written is shown only as far as none of them can be in it.
pub(crate) fn shown(url: &str) -> String {
    let (scheme, rest) = match url.split_once("://") {
        Some((scheme, rest)) if is_scheme(scheme) => (Some(scheme), rest),
        _ => (None, url),
    };
    let end = rest.find(['/', '?', '#']).unwrap_or(rest.len());
    let host = rest[..end].rfind('@').map_or(0, |at| at + 1);
    let text = if scheme.is_some() && is_host(&rest[host..end]) {
        &rest[host..]
    } else {
        // A password may have any of the three marks in it, unescaped.
        match rest.rsplit_once('@') {
            Some((user, _)) if user.contains(['?', '#']) => "…",
            Some((_, host)) => host,
            None => rest,
        }
    };
    let text = text.split(['?', '#']).next().unwrap_or_default();
    scheme.map_or(text.to_owned(), |scheme| format!("{scheme}://{text}"))
}

/// Whether a text has the form of a scheme (RFC 3986 §3.1).
fn is_scheme(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_alphabetic())
        && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"+-.".contains(&b))
}

/// Whether an authority without user information has the form of `host[:port]`, and not of the
/// beginning of `user:password`.
fn is_host(authority: &str) -> bool {
    let (host, port) = match authority.strip_prefix('[') {
        Some(address) => address.split_once(']').unwrap_or_default(),
        None => authority.split_at(authority.find(':').unwrap_or(authority.len())),
    };
    let digits = |port: &str| !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit());
    !host.is_empty() && (port.is_empty() || port.strip_prefix(':').is_some_and(digits))
}

/// Whether a host is this machine: `localhost` (RFC 6761 §6.3), `127.0.0.0/8` or `[::1]`.
fn is_loopback(host: &str) -> bool {
    if host.eq_ignore_ascii_case("localhost") {
        return true;
    }
    if let Ok(address) = host.parse::<Ipv4Addr>() {
        return address.is_loopback();
    }
    let unbracketed = host.strip_prefix('[').and_then(|h| h.strip_suffix(']'));
    unbracketed.is_some_and(|h| h.parse::<Ipv6Addr>().is_ok_and(|a| a.is_loopback()))
}

impl fmt::Display for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authority = self.bare.as_ref().unwrap_or(&self.with_port);
        write!(f, "{}://{authority}", self.scheme())
    }
}

impl fmt::Debug for Origin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Origin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::origins::Origins;

    fn matches(origin: &str, uri: &str) -> bool {
        let (scheme, authority) = origin.split_once("://").unwrap();
        let mut origins = Origins::default();
        origins.add(&Origin::parse(scheme, authority).unwrap());
        origins.find(&uri.parse().unwrap()).is_some()
    }

    #[test]
    fn scheme_host_and_effective_port_make_an_origin() {
        assert!(matches("https://a.example", "https://A.EXAMPLE/x"));
        assert!(matches("https://a.example", "https://a.example:443/x"));
        assert!(matches("HTTPS://A.example:443", "https://a.example/x"));
        assert!(matches("http://127.0.0.1:80", "http://127.0.0.1/x"));
        assert!(matches("http://[::1]:8080", "http://[::1]:8080/"));
        for other in [
            "http://a.example/x",
            "http://a.example:443/x",
            "https://a.example:8443/x",
            "https://b.example/x",
            "https://a.example.evil.test/x",
            "https://a.example./x",
            "https://a.example@evil.test/x",
            "https://user@a.example/x",
            "https://user:pw@a.example/x",
            "https://user@a.example:443/x",
            "/x",
        ] {
            assert!(!matches("https://a.example", other), "{other}");
        }
    }

    #[test]
    fn only_loopback_may_be_plain_http() {
        for good in ["localhost", "LOCALHOST:3000", "127.0.0.1", "127.9.9.9:1", "[::1]:3000"] {
            assert!(Origin::parse("http", good).is_ok(), "{good}");
        }
        for bad in
            ["example.com", "10.0.0.1", "127.0.0.1.evil.test", "localhost.evil.test", "[::2]"]
        {
            assert!(Origin::parse("http", bad).unwrap_err().contains("use https"), "{bad}");
        }
    }

    #[test]
    fn bad_origins_are_named() {
        for (scheme, authority, says) in [
            ("ftp", "a.example", "scheme"),
            ("https", "", "host"),
            ("https", "u@a.example", "user information"),
            ("https", "a.example:99999", "port"),
            ("https", "a.example:", "port"),
            ("https", "a.example:0", "port"),
            ("https", "a.example:0443", "port"),
            ("https", "a.example:+443", "port"),
            ("http", "127.0.0.1:1.example[::1]:80", "port"),
            ("https", "bücher.example", "host"),
            ("https", "a%2eexample", "host"),
            ("https", "a example", "host"),
        ] {
            let error = Origin::parse(scheme, authority).unwrap_err();
            assert!(error.contains(says), "{scheme}://{authority}: {error}");
        }
    }

    #[test]
    fn what_may_be_secret_in_a_url_is_not_shown() {
        for (url, text) in [
            ("https://u:pw@a.example:8443/x?key=pw#pw", "https://a.example:8443/x"),
            ("u:pw@a.example/x", "a.example/x"),
            ("https://a@b@c/d@e", "https://c/d@e"),
            ("https://u:pw@a.example?x", "https://a.example"),
            ("https://[::1]:8080/{id}", "https://[::1]:8080/{id}"),
            ("https://a.example:99999/@me", "https://a.example:99999/@me"),
            ("https://bücher.example/@me", "https://bücher.example/@me"),
            ("https://a.example:/x", "https://a.example:/x"),
            ("", ""),
        ] {
            assert_eq!(shown(url), text);
        }
    }

    #[test]
    fn a_badly_written_url_shows_no_password_either() {
        for (url, text) in [
            // Marks in the password, unescaped.
            ("https://u:p/w@a.example/x", "https://a.example/x"),
            ("https://u:p?w@a.example/x", "https://…"),
            ("https://u:p#w@a.example/x", "https://…"),
            ("https://u@v:p/w@a.example/x", "https://a.example/x"),
            ("https://u:p]:80/w@a.example/x", "https://a.example/x"),
            ("https://[u:p/w@a.example/x", "https://a.example/x"),
            // Not the separator that a URL has.
            ("https:/u:pw@a.example/x?key=k", "a.example/x"),
            ("https:u:pw@a.example/x", "a.example/x"),
            ("https//u:pw@a.example/x", "a.example/x"),
            ("https:///u:pw@a.example/x", "https://a.example/x"),
            ("u:pw@https://a.example/x", "https://a.example/x"),
            ("https://:/x?mail=a@k", "https://…"),
        ] {
            assert_eq!(shown(url), text, "{url}");
        }
        let error = Origin::parse("u:pw@https", "a.example").unwrap_err();
        assert!(error.contains("no valid scheme") && !error.contains("pw"), "{error}");
    }

    #[test]
    fn an_origin_prints_without_its_default_port() {
        let origin = Origin::parse("https", "A.example:443").unwrap();
        assert_eq!(origin.to_string(), "https://a.example");
        let origin = Origin::parse("http", "127.0.0.1:3000").unwrap();
        assert_eq!(origin.to_string(), "http://127.0.0.1:3000");
    }
}
