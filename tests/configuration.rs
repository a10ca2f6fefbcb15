//! Law R7: everything that is wrong with a configuration is said by `build()`, naming the culprit.

mod common;

use std::process::Command;
use std::time::Duration;

use common::scratch::Scratch;
use http::{HeaderName, Method};
use tower_partner_auth::{
    Builder, ClientAuthentication, ClientAuthenticator, ClientCredentials, Environment,
    OnUnauthorized, PartnerAuthLayer, ProblemKind, ProofFuture, ProofRequest, Route, Secret,
    Verdict,
};

fn builder() -> Builder {
    PartnerAuthLayer::builder(ClientCredentials::new("id", "s3cret"))
        .token_url("https://accounts.example.com/oauth/token")
}

fn route(url: &str) -> Route {
    Route::new(Method::GET, url, "read")
}

/// The one problem of a configuration: its kind, and a message that has all the parts.
fn assert_problem(builder: Builder, kind: ProblemKind, parts: &[&str]) {
    let error = builder.build().expect_err("a bad configuration");
    let message = error.to_string();
    assert_eq!(error.problems().len(), 1, "{message}");
    assert_eq!(error.problems()[0].kind(), kind, "{message}");
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert!(!message.contains("s3cret"), "{message}");
    assert_eq!(message, format!("{error:?}"), "unwrap() reads as well");
}

#[test]
fn a_good_configuration_needs_no_runtime_and_no_network() {
    builder().route(route("https://api.example.com/v1/{id}")).build().unwrap();
    for environment in
        [Environment::test(), Environment::production(), Environment::at("http://[::1]:3000/")]
    {
        PartnerAuthLayer::builder(ClientCredentials::new("id", "s3cret"))
            .environment(environment)
            .build()
            .unwrap();
    }
    builder().token_url("http://localhost:3000/oauth/token?tenant=7").build().unwrap();
}

#[test]
fn credentials() {
    for (id, secret, parts) in [
        ("", "s3cret", ["client id", "empty"]),
        ("id", "", ["client secret", "empty"]),
        ("id", "s3cret\n", ["client secret", "newline"]),
        ("id\u{1}", "s3cret", ["client id", "printable ASCII"]),
        ("id", "s3cret\u{0}", ["client secret", "printable ASCII"]),
    ] {
        let builder = PartnerAuthLayer::builder(ClientCredentials::new(id, secret));
        assert_problem(builder.environment(Environment::test()), ProblemKind::Credentials, &parts);
    }
}

#[test]
fn secrets_that_are_files() {
    let file = Scratch::new();
    let built = |credentials: ClientCredentials| {
        PartnerAuthLayer::builder(credentials).environment(Environment::test())
    };
    let from = || ClientCredentials::new("id", Secret::file(file.path()));
    assert_problem(built(from()), ProblemKind::Credentials, &["the-file", "does not exist"]);
    for (content, says) in [
        ("", "empty"),
        ("\n", "empty"),
        ("s3cret\n\n", "newline"),
        ("s3crét", "printable ASCII"),
        (&"s3cret".repeat(20_000), "64 KiB"),
    ] {
        file.replace(content);
        assert_problem(built(from()), ProblemKind::Credentials, &["the-file", says]);
        // Beside another as well.
        let second = ClientCredentials::new("id", "s3cret").or_secret(Secret::file(file.path()));
        assert_problem(built(second), ProblemKind::Credentials, &["the-file", says]);
    }
    file.replace("s3cret\r\n");
    built(from()).build().unwrap();
    let to_come = Secret::file(file.path().with_file_name("still-to-come"));
    built(from().or_secret(to_come.clone())).build().expect("the second may be still to come");
    let first = ClientCredentials::new("id", to_come).or_secret("s3cret");
    assert_problem(built(first), ProblemKind::Credentials, &["still-to-come", "does not exist"]);

    std::fs::remove_file(file.path()).unwrap();
    std::fs::create_dir(file.path()).unwrap();
    assert_problem(built(from()), ProblemKind::Credentials, &["the-file", "no regular file"]);
}

#[test]
fn secrets_in_the_environment() {
    const CASE: &str = "PARTNER_AUTH_TEST_CASE";
    const SECRET: &str = "PARTNER_AUTH_TEST_SECRET";
    let cases = [
        (Some("s3cret"), None),
        (None, Some("not set")),
        (Some(""), Some("is empty")),
        (Some("s3cret\n"), Some("newline")),
        (Some("s3crét"), Some("printable ASCII")),
    ];
    // A process cannot safely change its own environment: this test runs itself, once for each case.
    let Some(case) = std::env::var(CASE).ok() else {
        for (number, (value, _)) in cases.iter().enumerate() {
            let mut this = Command::new(std::env::current_exe().unwrap());
            this.args(["--exact", "secrets_in_the_environment"]).env(CASE, number.to_string());
            this.env_remove(SECRET).envs(value.map(|value| (SECRET, value)));
            let output = this.output().unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            assert!(output.status.success(), "case {number}: {printed}");
            assert!(printed.contains("1 passed"), "{printed}");
        }
        return;
    };
    let (_, says) = cases[case.parse::<usize>().unwrap()];
    let credentials = ClientCredentials::new("id", Secret::env(SECRET));
    let builder = PartnerAuthLayer::builder(credentials).environment(Environment::test());
    match says {
        Some(says) => assert_problem(builder, ProblemKind::Credentials, &[SECRET, says]),
        None => drop(builder.build().unwrap()),
    }
}

#[test]
fn a_client_with_an_authenticator_has_no_secret() {
    struct Panics;
    impl ClientAuthenticator for Panics {
        fn authenticate<'a>(&'a self, _: ProofRequest<'a>) -> ProofFuture<'a> {
            panic!("it is not asked to build a layer")
        }
    }
    let built = |credentials: ClientCredentials| {
        PartnerAuthLayer::builder(credentials).environment(Environment::test())
    };
    let client = || ClientCredentials::with_authenticator("id", Panics);
    built(client()).build().unwrap();
    let unnamed = ClientCredentials::with_authenticator("", Panics);
    assert_problem(built(unnamed), ProblemKind::Credentials, &["client id", "empty"]);
    let with_secret = client().or_secret("s3cret");
    assert_problem(built(with_secret), ProblemKind::Credentials, &["or_secret"]);
    let in_header = client().with_authentication(ClientAuthentication::Basic);
    assert_problem(built(in_header), ProblemKind::Credentials, &["with_authentication"]);
}

#[test]
fn token_urls() {
    let missing = PartnerAuthLayer::builder(ClientCredentials::new("id", "s3cret"));
    assert_problem(missing, ProblemKind::TokenUrl, &["token_url"]);
    for (url, parts) in [
        (
            "http://accounts.example.com/oauth/token",
            ["\"http://accounts.example.com/oauth/token\"", "use https"],
        ),
        ("http://10.0.0.1/oauth/token?key=s3cret", ["10.0.0.1", "use https"]),
        ("accounts.example.com/oauth/token", ["accounts.example.com", "absolute"]),
        ("ftp://accounts.example.com/", ["ftp", "use https"]),
        ("https:///oauth/token", ["token URL", "host"]),
        ("https://id:s3cret@accounts.example.com/", ["token URL", "user information"]),
        ("https://id:s3cret@accounts.example.com/#top", ["accounts.example.com", "fragment"]),
        ("id:s3cret@accounts.example.com/token", ["accounts.example.com", "absolute"]),
        ("https://accounts.example.com/token#s3cret", ["accounts.example.com", "fragment"]),
        ("https://accounts.example.com/to ken", ["accounts.example.com", "valid URL"]),
        ("https://accounts.example.com:99999/token", ["accounts.example.com", "port"]),
    ] {
        assert_problem(builder().token_url(url), ProblemKind::TokenUrl, &parts);
    }
}

#[test]
fn routes() {
    for (url, says) in [
        ("/v1/{id}", "no origin"),
        ("api.example.com/v1", "no origin"),
        ("http://api.example.com/v1", "plain http"),
        ("ws://api.example.com/v1", "use https"),
        ("https://user@api.example.com/v1", "user information"),
        ("https:///v1", "host"),
        ("https://api.example.com/v1/{id", "whole segment"),
        ("https://api.example.com/v1/{}", "bad parameter"),
        ("https://api.example.com/{*all}/v1", "must be last"),
        ("https://api.example.com/a//b", "empty segment"),
        ("https://api.example.com/a/../b", "RFC 3986"),
        ("https://api.example.com/v1?page=1", "query"),
        ("https://api.example.com/v1#top", "fragment"),
    ] {
        // Named without what may be secret in it.
        let name = url.replace("user@", "");
        let name = name.split(['?', '#']).next().unwrap();
        assert_problem(builder().route(route(url)), ProblemKind::Route, &[name, says]);
    }
    let url = "https://api.example.com/v1";
    let scheme = route(url).scheme("Bearer ");
    assert_problem(builder().route(scheme), ProblemKind::Route, &[url, "Bearer", "without spaces"]);
    let scheme = route(url).scheme("Bea\nrer");
    assert_problem(builder().route(scheme), ProblemKind::Route, &[url, "bad scheme"]);
    let header = route(url).header(HeaderName::from_static("content-length"));
    assert_problem(builder().route(header), ProblemKind::Route, &[url, "content-length"]);
    for url in ["https://u:s3cret@api.example.com/v1", "https://api.example.com/v1?key=s3cret"] {
        assert_problem(
            builder().route(route(url)),
            ProblemKind::Route,
            &["https://api.example.com/v1"],
        );
        assert!(!format!("{:?}", route(url)).contains("s3cret"));
    }
    let environment = Environment::at("http://u:s3cret@partner.example.com");
    assert!(!format!("{environment:?}").contains("s3cret"));
    assert_problem(
        builder().environment(environment),
        ProblemKind::Route,
        &["the environment's origin \"http://partner.example.com\"", "user information"],
    );
}

#[test]
fn scopes() {
    for (scope, says) in
        [("", "empty"), ("a\tb", "'\\t'"), ("a \"b\"", "RFC 6749"), ("lesen_für", "'ü'")]
    {
        let route = Route::new(Method::GET, "https://api.example.com/v1", scope);
        assert_problem(
            builder().route(route),
            ProblemKind::Scope,
            &["GET https://api.example.com/v1", says],
        );
    }
}

#[test]
fn routes_that_contradict_each_other() {
    let one = || route("https://api.example.com/v1/{id}");
    for other in [
        Route::new(Method::GET, "https://API.example.com:443/v1/{name}/", "write"),
        one().on_unauthorized(OnUnauthorized::Leave),
        one().replay_limit(7),
        one().scheme("Token"),
        one().header(HeaderName::from_static("x-token")),
        one().classify(Verdict::of),
    ] {
        let builder = builder().route(one()).route(other);
        assert_problem(
            builder,
            ProblemKind::Conflict,
            &["GET https://api.example.com/v1/{id}", "remove one"],
        );
    }
    builder().route(one()).route(one()).build().expect("the same twice is no contradiction");
    builder()
        .route(one())
        .route(Route::any("https://api.example.com/v1/{id}", "write"))
        .build()
        .unwrap();
    let classified = one().classify(Verdict::of);
    builder().route(classified.clone()).route(classified).build().unwrap();
}

#[test]
fn parameters_and_limits() {
    for name in ["client_id", "client_secret", "grant_type", "scope"] {
        let builder = builder().token_parameter(name, "x");
        assert_problem(builder, ProblemKind::TokenParameter, &[name]);
    }
    let zero = Duration::ZERO;
    assert_problem(builder().wait_limit(zero), ProblemKind::Limit, &["wait_limit"]);
    assert_problem(builder().token_timeout(zero), ProblemKind::Limit, &["token_timeout"]);
    assert_problem(builder().connect_timeout(zero), ProblemKind::Limit, &["connect_timeout"]);
    assert_problem(builder().max_token_age(zero), ProblemKind::Limit, &["max_token_age"]);
    assert_problem(builder().soft_window(zero), ProblemKind::Limit, &["soft_window"]);
    assert_problem(builder().hard_window(zero), ProblemKind::Limit, &["hard_window"]);
}

#[test]
fn token_root_certificates() {
    // Of a private authority; what it signed is of no interest here.
    const ROOT: &str = include_str!("certificates/root.pem");
    let section =
        |label: &str| format!("-----BEGIN {label}-----\nczNjcmV0\n-----END {label}-----\n");
    let good = || builder().token_root_certificates(ROOT);
    good().token_root_certificates(format!("# Ours\n{ROOT}{ROOT}")).build().unwrap();
    for (pem, part) in [
        (String::new(), "are empty"),
        ("s3cret".to_owned(), "no -----BEGIN CERTIFICATE-----"),
        (section("PKCS7"), "no -----BEGIN CERTIFICATE-----"),
        ("0\u{2}s3cret".to_owned(), "look like DER"),
        (section("CERTIFICATE"), "no X.509 certificate"),
        (ROOT[..ROOT.len() - 20].to_owned(), "cut off"),
        (section("CERTIFICATE").replace("czNj", "s3cret!"), "malformed"),
        ("-----BEGIN s3cret\n".to_owned(), "malformed"),
        (section("PRIVATE KEY"), "a private key"),
        (section("RSA PRIVATE KEY"), "a private key"),
        (ROOT.to_owned() + &section("EC PRIVATE KEY"), "a private key"),
        (section("PUBLIC KEY"), "a bare public key"),
        (section("CERTIFICATE REQUEST"), "a certificate request"),
        (section("X509 CRL"), "something else"),
    ] {
        let parts = ["token root certificates", part];
        let bad = good().token_root_certificates(pem);
        assert_problem(bad, ProblemKind::RootCertificates, &parts);
    }

    let unused = good().http_client(tower::service_fn(|_| async {
        Ok::<_, std::convert::Infallible>(http::Response::new(String::new()))
    }));
    assert_problem(unused, ProblemKind::RootCertificates, &["built-in", "your own"]);
}

#[test]
fn token_headers() {
    for name in ["Authorization", "accept", "Content-Type"] {
        let builder = builder().token_header(name, "s3cret");
        assert_problem(builder, ProblemKind::TokenHeader, &[name, "grant"]);
    }
    for name in ["host", "content-length", "transfer-encoding", "connection", "te", "upgrade"] {
        let builder = builder().token_header(name, "s3cret");
        assert_problem(builder, ProblemKind::TokenHeader, &[name, "frames"]);
    }
    for (name, shown) in [
        ("", "\"\""),
        ("x api key", "\"x\""),
        ("x-api-key: s3cret", "\"x-api-key\""),
        ("x-schlüssel", "\"x-schl\""),
    ] {
        let builder = builder().token_header(name, "v");
        assert_problem(builder, ProblemKind::TokenHeader, &[shown, "not a header's name"]);
    }
    for value in ["s3cret\r\nx-other: 1", "s3cret\0"] {
        let builder = builder().token_header("x-api-key", value);
        assert_problem(builder, ProblemKind::TokenHeader, &["x-api-key", "line breaks"]);
    }
    // A map has room for 24,576 names, and the grant has three.
    let full = |headers| {
        (0..headers).fold(builder(), |builder, n| builder.token_header(format!("x-{n}"), "s3cret"))
    };
    assert_problem(full(24_574), ProblemKind::TokenHeader, &["x-24573", "too many"]);
    full(24_573).build().unwrap();

    let name = HeaderName::from_static("x-tenant");
    let good = builder().token_header(name, 7).token_header("x-api-key", "s3cret".to_owned());
    assert!(!format!("{good:?}").contains("s3cret"));
    good.build().unwrap();
}

#[test]
fn everything_is_said_at_once() {
    let error = PartnerAuthLayer::builder(ClientCredentials::new("", ""))
        .route(route("/v1"))
        .route(Route::new(Method::GET, "https://api.example.com/v1", ""))
        .build()
        .unwrap_err();
    let kinds: Vec<_> = error.problems().iter().map(tower_partner_auth::Problem::kind).collect();
    use ProblemKind as Kind;
    let routes = [Kind::Route, Kind::Scope];
    assert_eq!(kinds[..3], [Kind::Credentials, Kind::Credentials, Kind::TokenUrl]);
    assert_eq!(kinds[3..], routes);
    assert_eq!(error.to_string().lines().count(), 6);
}
