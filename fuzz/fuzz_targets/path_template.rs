//! Route URLs, as [`Route::new`] and [`Builder::build`](tower_partner_auth::Builder::build) take
//! them: as text, a `METHOD url` a line, and as a URL with a password and a key in it.
//!
//! Law R7 and half of R1: a bad route is an error that names it and shows no secret of its URL; a
//! good one matches the path that its template describes, and no longer one.

#![no_main]

use http::Method;
use libfuzzer_sys::arbitrary::{Result, Unstructured};
use libfuzzer_sys::fuzz_target;
use tower_partner_auth::{BuildError, Builder, Environment, PartnerAuthLayer, Route};
use tower_partner_auth_fuzz::{
    credentials, debug_holds, get, runtime, send, text, token_of, token_source,
};

/// What no message may show. In lower case, as schemes and hosts are shown.
const MARKER: &str = "s3cret-0f-the-url";
const SCOPE: &str = "read";
const MOST_ROUTES: usize = 4;

fuzz_target!(|data: &[u8]| {
    routes_of_text(&String::from_utf8_lossy(data));
    // An input at its end ends the URL.
    let _ = secret_url(&mut Unstructured::new(data));
});

fn builder() -> Builder {
    PartnerAuthLayer::builder(credentials())
        .token_url("https://accounts.example.com/oauth/token")
        .token_source(token_source())
}

fn routes_of_text(text: &str) {
    let routes: Vec<_> = text
        .lines()
        .take(MOST_ROUTES)
        .map(|line| {
            let (method, url) = line.split_once(' ').unwrap_or(("any", line));
            (method.parse::<Method>().ok().filter(|_| method != "any"), url)
        })
        .collect();
    let route = |(method, url): &(Option<Method>, &str)| match method {
        Some(method) => Route::new(method.clone(), *url, SCOPE),
        None => Route::any(*url, SCOPE),
    };
    let mut faulty = Vec::new();
    for entry in &routes {
        match builder().route(route(entry)).build() {
            Ok(layer) => matches_what_it_describes(&layer, entry.0.as_ref(), entry.1),
            Err(error) => {
                names(&error, &route(entry));
                faulty.push(route(entry));
            }
        }
    }
    // Routes of one scope never contradict each other.
    match builder().routes(routes.iter().map(route)).build() {
        Ok(_) => assert!(faulty.is_empty(), "{faulty:?} is faulty on its own"),
        Err(error) => {
            assert_eq!(error.problems().len(), faulty.len(), "{error}");
            faulty.iter().for_each(|route| names(&error, route));
        }
    }
}

fn names(error: &BuildError, culprit: &Route) {
    let name = format!("\"{culprit}\"");
    assert!(error.problems().iter().any(|p| p.to_string().contains(&name)), "{name}: {error}");
}

/// A template that was accepted, filled with plain segments.
fn matches_what_it_describes(layer: &PartnerAuthLayer, method: Option<&Method>, url: &str) {
    let (scheme, rest) = url.split_once("://").expect("a good route has an origin");
    let (host, path) = rest.split_at(rest.find('/').unwrap_or(rest.len()));
    let endless = path.contains("{*");
    let fill = |segment: &str| match segment {
        _ if segment.starts_with("{*") => "files/a.b/c".to_owned(),
        _ if segment.starts_with('{') => "8391017".to_owned(),
        literal => literal.to_owned(),
    };
    let path = path.split('/').map(fill).collect::<Vec<_>>().join("/");
    let path = path.strip_suffix('/').unwrap_or(&path);

    let method = method.unwrap_or(&Method::PATCH);
    let authorised = |url: String| {
        let mut request = get(&url);
        *request.method_mut() = method.clone();
        let sent = runtime(|runtime| runtime.block_on(send(layer, request)));
        let sent = sent.expect("there is a token for every scope");
        sent.get(http::header::AUTHORIZATION).map(|value| value.as_bytes().to_vec())
    };
    let scope = SCOPE.parse().expect("a valid scope");
    let token = Some(format!("Bearer {}", token_of(&scope)).into_bytes());
    for good in [
        format!("{scheme}://{host}{path}"),
        format!("{scheme}://{host}{path}/"),
        format!("{scheme}://{}{path}?page=2", host.to_ascii_uppercase()),
    ] {
        assert_eq!(authorised(good.clone()), token, "{url} matches {good}");
    }
    // To a catch-all, more is more of the same.
    let longer = [format!("{scheme}://{host}{path}/more"), format!("{scheme}://{host}{path}//")];
    for longer in longer.into_iter().filter(|_| !endless) {
        assert_eq!(authorised(longer.clone()), None, "{url} does not match {longer}");
    }
    for bad in [
        format!("{scheme}://{host}{path}/.."),
        format!("{scheme}://{host}{path}/%2e/x"),
        format!("{scheme}://{host}{path}/x%2fy"),
        format!("{scheme}://user@{host}{path}"),
        format!("{scheme}://{host}.evil.test{path}"),
    ] {
        // Some hosts, an IPv6 address for one, make no URI with more behind them.
        if bad.parse::<http::Uri>().is_ok() {
            assert_eq!(authorised(bad.clone()), None, "{url} does not match {bad}");
        }
    }
}

/// A URL with a password, a key in its query and one in its fragment, often badly written: whoever
/// reads what is said of it learns none of them.
fn secret_url(u: &mut Unstructured<'_>) -> Result<()> {
    let any =
        ['a', 'Z', '1', ':', '@', '/', '?', '#', '\\', '{', '}', '*', '%', '.', '[', ']', ' ', 'é'];
    // A slash in a user name, or an '@' before one in a password, ends the host for whoever reads the
    // URL: what comes then is a path.
    let of_user = ['a', 'Z', '1', ':', '@', '\\', '%', '.', ' ', 'é'];
    let of_password =
        ['a', 'Z', '1', ':', '/', '?', '#', '\\', '{', '*', '%', '.', '[', ']', ' ', 'é'];
    let scheme = *u.choose(&["https", "http", "HTTPS", "ftp", ""])?;
    let separator = *u.choose(&["://", "://", ":/", ":///", ":", "//", ""])?;
    let user = text(u, &of_user, 4)?;
    let (before, after) = (text(u, &of_password, 4)?, text(u, &any, 4)?);
    let host =
        *u.choose(&["api.example.com", "127.0.0.1:80", "[::1]", "", "bücher.example", "a:b"])?;
    let path = *u.choose(&["", "/", "/v1/{id}", "/v1/{*rest}", "/{bad", "//", "/../x", "/a@b"])?;
    let tail = *u.choose(&["", "?key=", "#", "?"])?;
    let tail = if tail.is_empty() { String::new() } else { format!("{tail}{MARKER}") };
    // A letter before it: digits alone after a host are its port.
    let password = *u.choose(&["", ":p"])?;
    let userinfo = match password {
        "" => String::new(),
        start => format!("{user}{start}{before}{MARKER}{after}@"),
    };
    let url = match u.ratio(1, 8)? {
        true => format!("{userinfo}{scheme}{separator}{host}{path}{tail}"),
        false => format!("{scheme}{separator}{userinfo}{host}{path}{tail}"),
    };

    let route = Route::any(url.as_str(), SCOPE);
    hides(&route.to_string(), &url);
    assert!(!debug_holds(&route, MARKER), "{route:?}");
    let environment = Environment::at(url.as_str());
    assert!(!debug_holds(&environment, MARKER), "{environment:?}");
    for builder in [
        builder().route(route.clone()),
        builder().token_url(url.as_str()).route(route),
        builder().environment(environment),
    ] {
        assert!(!debug_holds(&builder, MARKER), "{builder:?}");
        if let Err(error) = builder.build() {
            hides(&error.to_string(), &url);
        }
    }
    Ok(())
}

fn hides(said: &str, url: &str) {
    assert!(!said.to_ascii_lowercase().contains(MARKER), "{said} shows what is in {url}");
}
