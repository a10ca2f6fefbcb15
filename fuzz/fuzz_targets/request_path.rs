//! Request URIs against a layer with many routes: as text, `METHOD uri`, and put together from the
//! pieces that are apt to be mistaken.
//!
//! Laws R1 and R3: whether a token goes along, and which, is compared with a matcher that knows no
//! tree: it holds every route against the URI's text and takes the best. Chosen scopes and lying
//! `Host` headers send no token anywhere else.

#![no_main]

use std::convert::Infallible;
use std::sync::LazyLock;

use http::header::{AUTHORIZATION, HOST, HeaderMap, HeaderValue};
use http::{Method, Uri};
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use tower_partner_auth::partner::USE_CASES;
use tower_partner_auth::{
    Environment, Error, PartnerAuthLayer, RequestAuth, Route, RouteErrorKind, Scope,
};
use tower_partner_auth_fuzz::{
    credentials, get, now, recased, runtime, send, text, token_of, token_source,
};

/// Where a URI has this in its user information or query, no message may show it.
const MARKER: &str = "s3cret-0f-the-uri";

/// Routes beside those of the environment: method, origin, path, scope.
const ROUTES: &[(&str, &str, &str, &str)] = &[
    ("GET", "https://a.test", "/m/{id}/docs/{doc}", "doc"),
    ("GET", "https://a.test", "/m/{id}/docs/required", "doc_required"),
    ("any", "https://a.test", "/m/{id}/docs/required", "doc_required_any"),
    ("GET", "https://a.test", "/m/docs/info", "info"),
    ("GET", "https://a.test", "/m/{*rest}", "m_rest"),
    ("POST", "https://a.test", "/m/{id}/{*rest}", "m_id_rest"),
    ("any", "https://a.test", "/{top}", "top"),
    ("any", "https://a.test", "/{*all}", "all"),
    ("PURGE", "https://a.test", "/", "purge_root"),
    ("any", "https://b.test:8443", "/only/{id}/", "only"),
    ("GET", "https://b.test:8443", "/%7Euser/a;b=1/@me", "odd_literals"),
    ("any", "https://c.test", "/", "root"),
    ("any", "http://127.0.0.1:3000", "/{*all}", "loopback"),
    ("GET", "http://[::1]", "/v6/{x}", "v6"),
    ("GET", "http://localhost:80", "/x/{*all}", "localhost"),
];

struct Rig {
    layer: PartnerAuthLayer,
    strict: PartnerAuthLayer,
    rules: Vec<Rule>,
    chosen: Scope,
}

static RIG: LazyLock<Rig> = LazyLock::new(|| {
    let environment = Environment::test();
    let mut rules = Vec::new();
    for row in USE_CASES {
        for origin in environment.origins(row.host) {
            rules.push(Rule::new(row.method.as_str(), origin, row.path, row.scope));
        }
    }
    for (method, origin, path, scope) in ROUTES {
        rules.push(Rule::new(method, origin, path, scope));
    }
    let builder = || {
        let routes = ROUTES.iter().map(|(method, origin, path, scope)| {
            let url = format!("{origin}{path}");
            match *method {
                "any" => Route::any(url, *scope),
                method => Route::new(method.parse().expect("a valid method"), url, *scope),
            }
        });
        PartnerAuthLayer::builder(credentials())
            .environment(environment.clone())
            .routes(routes)
            .token_source(token_source())
    };
    let layer = builder().build().expect("a good configuration");
    let strict = builder().strict().build().expect("a good configuration");
    let chosen: Scope = "chosen".parse().expect("a valid scope");
    // Once its token is there, and it never expires, a request has nothing to wait for.
    for scope in rules.iter().map(|rule| &rule.scope).chain([&chosen]) {
        for layer in [&layer, &strict] {
            let mut request = get("https://a.test/warm");
            request.extensions_mut().insert(choice(scope));
            runtime(|runtime| runtime.block_on(send(layer, request))).expect("a token");
        }
    }
    Rig { layer, strict, rules, chosen }
});

fuzz_target!(|data: &[u8]| {
    let line = String::from_utf8_lossy(data);
    let (method, uri) = line.split_once(' ').unwrap_or(("GET", &line));
    check(method, uri);
    // An input at its end ends the request.
    if let Ok((method, uri)) = request(&mut Unstructured::new(data)) {
        check(&method, &uri);
    }
});

fn check(method: &str, text: &str) {
    let (Ok(method), Ok(uri)) = (method.parse::<Method>(), text.parse::<Uri>()) else { return };
    let Rig { layer, strict, rules, chosen } = &*RIG;
    let target = Target::parse(text);
    let best = target.as_ref().and_then(|target| target.best(&method, rules));
    let expected = best.map(|rule| credential(&rule.scope));
    let sent = |layer, choice| sent(layer, &method, &uri, choice);
    assert_eq!(sent(layer, None).expect("a token or none"), expected, "{method} {text}");

    match sent(strict, None) {
        Ok(credential) => assert_eq!((best.is_some(), credential), (true, expected), "{text}"),
        Err(error) => {
            assert!(best.is_none(), "{method} {text}: {error}");
            is_refusal(&error, RouteErrorKind::NoRoute, &method, text);
        }
    }

    // A chosen scope changes which token goes along, not where one may go.
    let allowed = target.is_some_and(|target| target.may_have_a_token(rules));
    match sent(layer, Some(choice(chosen))) {
        Ok(sent) => assert_eq!((allowed, sent), (true, Some(credential(chosen))), "{text}"),
        Err(error) => {
            assert!(!allowed, "{method} {text}: {error}");
            is_refusal(&error, RouteErrorKind::ForeignOrigin, &method, text);
        }
    }
}

/// The credential with which the layer sends a request on, whose `Host` is always one that routes
/// name.
fn sent(
    layer: &PartnerAuthLayer,
    method: &Method,
    uri: &Uri,
    choice: Option<RequestAuth>,
) -> Result<Option<String>, Error<Infallible>> {
    let mut request = get("/");
    *request.method_mut() = method.clone();
    *request.uri_mut() = uri.clone();
    request.headers_mut().insert(HOST, HeaderValue::from_static("a.test"));
    choice.map(|choice| request.extensions_mut().insert(choice));
    let own = request.headers().clone();
    let mut sent: HeaderMap = now(send(layer, request))?;
    let credential = sent.remove(AUTHORIZATION);
    assert_eq!(sent, own, "the other header fields are the caller's");
    Ok(credential.map(|value| value.to_str().expect("visible ASCII").to_owned()))
}

fn choice(scope: &Scope) -> RequestAuth {
    RequestAuth::scope(scope.clone()).expect("a valid scope")
}

fn credential(scope: &Scope) -> String {
    format!("Bearer {}", token_of(scope))
}

fn is_refusal(error: &Error<Infallible>, kind: RouteErrorKind, method: &Method, text: &str) {
    let Error::Route(refusal) = error else { panic!("{text}: {error}") };
    assert_eq!(refusal.kind(), kind, "{text}");
    let said = format!("{error} {error:?} {refusal} {refusal:?}");
    let open = format!("{method} {}", without_secrets(text));
    assert!(open.contains(MARKER) || !said.contains(MARKER), "{said}");
}

/// The text of a URI without user information and query.
fn without_secrets(text: &str) -> String {
    let text = text.split(['?', '#']).next().unwrap_or_default();
    let Some((scheme, rest)) = text.split_once("://").filter(|_| !text.starts_with('/')) else {
        return text.to_owned();
    };
    let (authority, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    format!("{scheme}://{}{path}", authority.rsplit('@').next().unwrap_or_default())
}

/// A route, for a reader without a tree.
struct Rule {
    method: Option<Method>,
    origin: Origin,
    segments: Vec<String>,
    scope: Scope,
}

type Origin = (String, String, String);

impl Rule {
    fn new(method: &str, origin: &str, path: &str, scope: &str) -> Self {
        Self {
            method: (method != "any").then(|| method.parse().expect("a valid method")),
            origin: Target::parse(origin).expect("a good origin").origin,
            segments: segments(path).into_iter().map(str::to_owned).collect(),
            scope: scope.parse().expect("a valid scope"),
        }
    }

    /// How well the segments of a path fit: the lower, from left to right, the better.
    fn fit(&self, path: &[&str]) -> Option<Vec<u8>> {
        let mut fit = Vec::new();
        let mut left = path.iter();
        for segment in &self.segments {
            let found = *left.next()?;
            fit.push(match segment {
                _ if found.is_empty() => return None,
                // One segment or more; what is behind the first may be anything.
                _ if segment.starts_with("{*") => {
                    fit.push(2);
                    return Some(fit);
                }
                _ if segment.starts_with('{') => 1,
                _ if segment == found => 0,
                _ => return None,
            });
        }
        left.next().is_none().then_some(fit)
    }
}

/// What the text of a URI points at.
struct Target {
    origin: Origin,
    path: String,
}

impl Target {
    /// Reads an absolute URI without user information.
    fn parse(text: &str) -> Option<Self> {
        let (scheme, rest) = text.split_once("://")?;
        let scheme = scheme.to_ascii_lowercase();
        let (authority, rest) = rest.split_at(rest.find(['/', '?', '#']).unwrap_or(rest.len()));
        let path = rest.split(['?', '#']).next().filter(|path| !path.is_empty()).unwrap_or("/");
        let in_brackets = authority.find(']').unwrap_or(0);
        let (host, port) = match authority[in_brackets..].find(':') {
            Some(colon) => authority.split_at(in_brackets + colon),
            None => (authority, if scheme == "https" { ":443" } else { ":80" }),
        };
        let origin = (scheme, host.to_ascii_lowercase(), port.to_owned());
        (!authority.contains('@')).then(|| Self { origin, path: path.to_owned() })
    }

    /// The route that the request belongs to.
    fn best<'a>(&self, method: &Method, rules: &'a [Rule]) -> Option<&'a Rule> {
        if !self.is_plain() {
            return None;
        }
        let path = segments(&self.path);
        let of_origin = rules.iter().filter(|rule| rule.origin == self.origin);
        let of_method = of_origin.filter(|rule| rule.method.as_ref().is_none_or(|m| m == method));
        let fitting = of_method.filter_map(|rule| Some((rule.fit(&path)?, rule)));
        let best = fitting.min_by_key(|(fit, rule)| (fit.clone(), rule.method.is_none()));
        best.map(|(_, rule)| rule)
    }

    fn may_have_a_token(&self, rules: &[Rule]) -> bool {
        self.is_plain() && rules.iter().any(|rule| rule.origin == self.origin)
    }

    /// Whether no server could read the path as another.
    fn is_plain(&self) -> bool {
        let path = self.path.to_ascii_lowercase();
        let dots = |segment: &str| {
            let name = segment.split(';').next().unwrap_or_default().replace("%2e", ".");
            name == "." || name == ".."
        };
        !path.contains(['\\'])
            && !path.contains("%2f")
            && !path.contains("%5c")
            && !path.split('/').any(dots)
    }
}

/// The segments of a path, whose last slash makes no difference.
fn segments(path: &str) -> Vec<&str> {
    let path = path.strip_prefix('/').unwrap_or(path);
    match path.strip_suffix('/').unwrap_or(path) {
        "" if path.is_empty() => Vec::new(),
        path => path.split('/').collect(),
    }
}

/// A request made of the routes' own pieces and of what is apt to be mistaken for them.
fn request(u: &mut Unstructured<'_>) -> Result<(String, String)> {
    let rule = u.choose(&RIG.rules)?;
    let method = match u.ratio(3, 4)? {
        true => rule.method.as_ref().map_or("PATCH", Method::as_str),
        false => *u.choose(&["GET", "POST", "get", "PURGE", "CONNECT", "OPTIONS"])?,
    };
    let (scheme, host, port) = &rule.origin;
    let host = recased(u, host)?;
    let default = if scheme == "https" { ":443" } else { ":80" };
    let mut origin = match port == default && u.arbitrary()? {
        true => format!("{}://{host}", recased(u, scheme)?),
        false => format!("{scheme}://{host}{port}"),
    };
    if u.ratio(1, 8)? {
        let user = format!("https://user:{MARKER}@{host}");
        let (dot, evil) =
            (format!("{scheme}://{host}.{port}"), format!("{scheme}://{host}.evil.test"));
        let (odd, no) = (format!("{scheme}://{host}:0443"), format!("{scheme}://{host}:"));
        let (wrong, elsewhere) =
            (format!("{scheme}://{host}:8080"), format!("https://{host}@evil.test"));
        origin = u.choose(&[user, dot, evil, odd, no, wrong, elsewhere])?.clone();
    }
    const APT: [&str; 22] = [
        "..",
        ".",
        "%2e",
        "%2E.",
        "..;x",
        ".;",
        "%2e%2e;a=b",
        "...",
        "%2e%2e%2e",
        "a%2fb",
        "%2F",
        "a%5Cb",
        "%5c",
        "%252f",
        "%",
        "%2",
        ";",
        "",
        "{id}",
        "{*all}",
        "docs",
        "..%00",
    ];
    let mut path = String::new();
    for segment in &rule.segments {
        path.push('/');
        match u.int_in_range(0..=9)? {
            0 => path.push_str(u.choose(&APT)?),
            1 => path.push_str(&recased(u, segment)?),
            _ if segment.starts_with('{') => {
                path.push_str(&text(u, &['a', '7', '.', '%', '2', 'e', 'é'], 4)?)
            }
            _ => path.push_str(segment),
        }
    }
    for _ in 0..u.int_in_range(0..=2)? {
        path.push('/');
        path.push_str(u.choose(&APT)?);
    }
    let tail = ["", "", "/", "//", "?q=/../", "#/..", "?", "\\"];
    let tail = u.choose(&tail)?;
    let tail = if *tail == "?" { format!("?{MARKER}") } else { (*tail).to_owned() };
    Ok((method.to_owned(), format!("{origin}{path}{tail}")))
}
