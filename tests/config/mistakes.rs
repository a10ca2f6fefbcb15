//! What is wrong with a file: each mistake is told with its place, and without any secret.

use super::*;

/// A mistake of shape: it fails as it is read, and names `path` and `parts`.
pub(super) fn assert_misread(text: &str, parts: &[&str]) {
    let error = toml::from_str::<Config>(text).expect_err(text);
    assert_tells(&format!("{error} {error:?}"), text, parts);
}

fn assert_tells(message: &str, text: &str, parts: &[&str]) {
    for part in parts {
        assert!(message.contains(part), "{part:?} is not in: {message}\n{text}");
    }
    assert!(!message.contains("s3cret"), "{message}");
    assert!(!message.contains("31415926"), "{message}");
}

#[test]
fn what_has_the_wrong_shape_is_told_with_its_place() {
    const CLIENT: &str = "client = { id = \"id\", secret = \"s3cret\" }\n";
    for (text, parts) in [
        ("wait_limits = \"5s\"", &["unknown field `wait_limits`", "`wait_limit`"][..]),
        ("wait_limit = 5", &["wait_limit: ", "integer `5`", "\"30s\""]),
        ("wait_limit = \"5\"", &["wait_limit: ", "\"5\"", "\"30s\""]),
        ("token_timeout = \"-5s\"", &["token_timeout: ", "a duration with its unit"]),
        ("max_token_age = \"soon\"", &["max_token_age: ", "\"soon\""]),
        ("strict = \"yes\"", &["strict: ", "expected a boolean"]),
        ("token_retries = -1", &["token_retries: ", "`-1`"]),
        ("replay_limit = \"64 KiB\"", &["replay_limit: ", "\"64 KiB\""]),
        ("environment = \"tset\"", &["environment: ", "\"tset\"", "\"test\", \"production\""]),
        ("environment = { at = \"x\" }", &["environment: ", "\"production\""]),
        ("token_url = [\"a\"]", &["token_url: ", "expected a string"]),
        ("replay_limit = inf", &["replay_limit: ", "not finite"]),
        ("no_such_key = nan", &["no_such_key: ", "not finite"]),
        ("routes = { url = \"x\" }", &["routes: ", "expected a sequence"]),
        ("[[routes]]\nscope = \"a\"", &["routes[0]: ", "missing field `url`"]),
        ("[[routes]]\nurl = \"x\"", &["routes[0]: ", "missing field `scope`"]),
        (
            "[[routes]]\nurl = \"x\"\nscope = \"a\"\n[[routes]]\nurl = \"x\"\nscop = \"a\"",
            &["routes[1].scop: ", "unknown field `scop`"],
        ),
        ("[[routes]]\nurl = \"x\"\nscope = 5", &["routes[0].scope: ", "`5`", "a string"]),
        ("[[routes]]\nurl = \"x\"\nscope = [\"a\", 5]", &["routes[0].scope[1]: ", "`5`"]),
        ("[[routes]]\nmethod = \"get\"", &["routes[0].method: ", "\"get\"", "upper case"]),
        ("[[routes]]\nmethod = \"GET PUT\"", &["routes[0].method: ", "\"GET PUT\""]),
        ("[[routes]]\nheader = \"x y\"", &["routes[0].header: ", "\"x y\""]),
        (
            "[[routes]]\non_unauthorized = \"retry\"",
            &["routes[0].on_unauthorized: ", "`retry`", "`replay`", "`renew`", "`leave`"],
        ),
        ("[[routes]]\nreplay_limit = 1.5", &["routes[0].replay_limit: ", "`1.5`"]),
    ] {
        assert_misread(&format!("{CLIENT}{text}"), parts);
    }
}

#[test]
fn what_has_the_wrong_shape_about_the_client_is_told_without_the_secret() {
    for (client, parts) in [
        ("", &["missing field `client`"][..]),
        ("client = \"s3cret\"", &["client: ", "`id` and `secret`"]),
        ("client = { secret = \"s3cret\" }", &["client: ", "missing field `id`"]),
        ("client = { id = \"id\" }", &["client: ", "missing field `secret`"]),
        (
            "client = { id = \"id\", secrets = \"s3cret\" }",
            &["client.secrets: ", "unknown field", "`secret`"],
        ),
        ("client = { id = 5, secret = \"s3cret\" }", &["client.id: ", "expected", "{ env"]),
        (
            "client = { id = { file = \"x\" }, secret = \"s3cret\" }",
            &["client.id", "unknown field `file`", "`env`"],
        ),
        ("client = { id = \"id\", secret = 31415926 }", &["client.secret: ", "{ file = "]),
        ("client = { id = \"id\", secret = 3.1415926 }", &["client.secret: ", "{ file = "]),
        ("client = { id = \"id\", secret = -31415926 }", &["client.secret: ", "{ file = "]),
        ("client = { id = \"id\", secret = true }", &["client.secret: "]),
        ("client = { id = \"id\", secret = {} }", &["client.secret: ", "{ file = "]),
        (
            "client = { id = \"id\", secret = { vault = \"s3cret\" } }",
            &["client.secret", "unknown field `vault`", "`env`", "`file`"],
        ),
        (
            "client = { id = \"id\", secret = { env = \"A\", file = \"s3cret\" } }",
            &["client.secret: ", "{ file = "],
        ),
        ("client = { id = \"id\", secret = [] }", &["client.secret: ", "one secret, or two"]),
        (
            "client = { id = \"id\", secret = [\"s3cret\", \"b\", \"c\"] }",
            &["client.secret: ", "length 3", "one secret, or two"],
        ),
        (
            "client = { id = \"id\", secret = [\"s3cret\", 31415926] }",
            &["client.secret[1]: ", "a string in quotes"],
        ),
        (
            "client = { id = \"id\", secret = \"s3cret\", authentication = \"mtls\" }",
            &["client.authentication: ", "`mtls`", "`basic_unencoded`"],
        ),
    ] {
        assert_misread(client, parts);
    }
}

#[test]
fn what_has_the_wrong_shape_where_a_secret_may_be_is_told_without_it() {
    const CLIENT: &str = "client = { id = \"id\", secret = \"s3cret\" }\n";
    for (text, parts) in [
        ("token_headers = \"x-api-key: s3cret\"", &["token_headers: ", "a table"][..]),
        ("token_headers = { k = 31415926 }", &["token_headers.k: ", "a string in quotes"]),
        ("token_headers = { k = [\"s3cret\"] }", &["token_headers.k: ", "a string in quotes"]),
        ("token_parameters = \"key=s3cret\"", &["token_parameters: ", "a table"]),
        ("token_parameters = { k = 31415926 }", &["token_parameters.k: ", "a string in quotes"]),
        (
            "token_parameters = { k = [\"s3cret\", 3.1415926] }",
            &["token_parameters.k[1]: ", "a string in quotes"],
        ),
        (
            "environment = \"id:s3cret@partner.example.com\"",
            &["environment: ", "\"partner.example.com\"", "\"production\""],
        ),
        (
            "environment = \"https://id:s3cret@partner.example.com\"\nstrict = 5",
            &["strict: ", "expected a boolean"],
        ),
    ] {
        assert_misread(&format!("{CLIENT}{text}"), parts);
    }
}

#[test]
fn a_secret_of_more_digits_than_a_number_has_is_not_told() {
    fn assert_hidden<'de, T: IntoDeserializer<'de, ValueError>>(secret: T) {
        let file = MapDeserializer::<_, ValueError>::new([("client", secret)].into_iter());
        let error = Config::deserialize(file).unwrap_err().to_string();
        assert_tells(&error, "", &["client: ", "in quotes"]);
    }
    assert_hidden(31_415_926_535_897_932_384_626_433_u128);
    assert_hidden(-31_415_926_535_897_932_384_626_433_i128);
}

#[test]
fn a_key_that_stands_twice_is_told_in_every_format() {
    let json =
        r#"{"client": {"id": "a", "id": "b", "secret": "s3cret"}, "token_url": "https://x"}"#;
    let error = serde_json::from_str::<Config>(json).unwrap_err().to_string();
    assert_tells(&error, json, &["client: the key `id` stands twice", "line 1"]);
    let json = r#"{"routes": [{"url": "a", "scope": "a"}, {"url": "b", "url": "c"}]}"#;
    let error = serde_json::from_str::<Config>(json).unwrap_err().to_string();
    assert_tells(&error, json, &["routes[1]: the key `url` stands twice"]);
    assert!(toml::from_str::<Config>("strict = true\nstrict = false").is_err());
    assert!(serde_saphyr::from_str::<Config>("strict: true\nstrict: false").is_err());
}

#[test]
fn what_is_no_table_is_told() {
    for json in ["5", "[]", "\"s3cret\"", "null"] {
        let error = serde_json::from_str::<Config>(json).unwrap_err().to_string();
        assert_tells(&error, json, &["expected"]);
    }
}

/// The problems of a file that can be read: each its kind, its place, and a part of its message.
pub(super) fn assert_problems(text: &str, expected: &[(ProblemKind, Option<&str>, &str)]) {
    let error = config(text).build().expect_err(text);
    let found: Vec<_> =
        error.problems().iter().map(|problem| (problem.kind(), problem.path())).collect();
    let places: Vec<_> = expected.iter().map(|(kind, path, _)| (*kind, *path)).collect();
    assert_eq!(found, places, "{error}");
    for (problem, (_, path, part)) in error.problems().iter().zip(expected) {
        let message = problem.to_string();
        assert!(message.starts_with(path.unwrap_or_default()), "{message}");
        assert!(message.contains(part), "{part:?} is not in: {message}");
    }
    assert!(!error.to_string().contains("s3cret"), "{error}");
}

#[test]
fn what_is_wrong_in_itself_is_told_all_at_once_with_its_places() {
    assert_problems(
        r#"
            token_url = "http://accounts.example.com/token"
            wait_limit = "0s"
            soft_window = "0ms"
            client = { id = "", secret = "s3cret" }
            token_parameters = { client_secret = "s3cret", audience = "x" }
            [[routes]]
            url = "https://api.example.com/v1"
            scope = "read"
            [[routes]]
            url = "api.example.com/v1"
            scope = "re\"ad"
            header = "host"
            scheme = " "
            [[routes]]
            url = "https://api.example.com/v1"
            scope = "write"
        "#,
        &[
            (ProblemKind::Credentials, Some("client.id"), "client id is empty"),
            (ProblemKind::TokenUrl, Some("token_url"), "use https"),
            (ProblemKind::TokenParameter, Some("token_parameters.client_secret"), "remove it"),
            (ProblemKind::Limit, Some("wait_limit"), "zero"),
            (ProblemKind::Limit, Some("soft_window"), "zero"),
            (ProblemKind::Route, Some("routes[1].url"), "no origin"),
            (ProblemKind::Route, Some("routes[1].header"), "host"),
            (ProblemKind::Route, Some("routes[1].scheme"), "scheme"),
            (ProblemKind::Scope, Some("routes[1].scope"), "bad scope"),
            (ProblemKind::Conflict, Some("routes[2]"), "contradicts"),
        ],
    );
}

#[test]
fn what_is_not_there_is_told_with_its_place() {
    const UNSET: &str = "PARTNER_AUTH_NO_SUCH_VARIABLE";
    let with = |client: &str| format!("environment = \"test\"\nclient = {client}");
    let problem = |part| [(ProblemKind::Credentials, Some("client.id"), part)];
    assert_problems(
        &with(&format!("{{ id = {{ env = \"{UNSET}\" }}, secret = \"s3cret\" }}")),
        &problem(UNSET),
    );
    let problem = |part| [(ProblemKind::Credentials, Some("client.secret"), part)];
    let secret = |secret: &str| with(&format!("{{ id = \"id\", secret = {secret} }}"));
    assert_problems(&secret(&format!("{{ env = \"{UNSET}\" }}")), &problem(UNSET));
    for slip in ["s3cr=t", "s3cret!", ""] {
        let slip = format!("{{ env = {slip:?} }}");
        let problem = [(ProblemKind::Credentials, Some("client.secret"), "whose name is none")];
        assert_problems(&secret(&slip), &problem);
        let id = with(&format!("{{ id = {slip}, secret = \"s3cret\" }}"));
        let problem = [(ProblemKind::Credentials, Some("client.id"), "whose name is none")];
        assert_problems(&id, &problem);
        assert!(!format!("{:?}", config(&secret(&slip))).contains("s3cr"));
    }
    let file = format!(
        "{MINIMAL}[token_parameters]\nkey = {{ env = {UNSET:?} }}\n[token_headers]\nkey = {{ file = \"/nowhere\" }}"
    );
    assert_problems(
        &file,
        &[
            (
                ProblemKind::TokenParameter,
                Some("token_parameters.key"),
                "the value of the token parameter in",
            ),
            (
                ProblemKind::TokenHeader,
                Some("token_headers.key"),
                "the value of the token header in the file",
            ),
        ],
    );
    assert_problems(&secret("{ file = \"/nowhere/secret\" }"), &problem("/nowhere/secret"));
    assert_problems(
        &secret(&format!("[\"s3cret\", {{ env = \"{UNSET}\" }}]")),
        &[(ProblemKind::Credentials, Some("client.secret[1]"), UNSET)],
    );
    let client = "client = { id = \"id\", secret = \"s3cret\" }";
    #[cfg(feature = "rustls")]
    for (path, part) in [
        ("/nowhere/root.pem", "\"/nowhere/root.pem\" could not be read"),
        (concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"), "BEGIN CERTIFICATE"),
        ("-----BEGIN PRIVATE KEY-----\ns3cret\n-----END PRIVATE KEY-----", "put them into a file"),
    ] {
        assert_problems(
            &format!("environment = \"test\"\ntoken_root_certificates = {path:?}\n{client}"),
            &[(ProblemKind::RootCertificates, Some("token_root_certificates"), part)],
        );
    }
    assert_problems(client, &[(ProblemKind::TokenUrl, Some("token_url"), "there is no token URL")]);
    assert_problems(
        "environment = \"http://partner.example.com\"\nclient = { id = \"id\", secret = \"s3cret\" }",
        &[
            (ProblemKind::TokenUrl, Some("environment"), "use https"),
            (ProblemKind::Route, Some("environment"), "http://partner.example.com"),
        ],
    );
}

#[test]
fn what_is_said_in_code_has_no_place_in_a_file() {
    let from_code =
        |error: BuildError| error.problems().iter().all(|problem| problem.path().is_none());
    let bad_route = || Route::any("api.example.com", "a");
    let code = PartnerAuthLayer::builder(ClientCredentials::new("", "s3cret"))
        .wait_limit(Duration::ZERO)
        .route(bad_route());
    assert!(from_code(code.build().unwrap_err()));
    let added = config(MINIMAL).into_builder().route(bad_route());
    assert!(from_code(added.build().unwrap_err()));
    let swapped = config(MINIMAL).build().unwrap();
    let nameless = ClientCredentials::new("", "s3cret");
    assert!(from_code(swapped.set_credentials(nameless).unwrap_err()));
}

#[test]
fn what_is_printed_holds_no_secret() {
    let file =
        format!("{MINIMAL}[token_parameters]\nkey = \"s3cret\"\n[token_headers]\nkey = \"s3cret\"");
    let config = config(&file);
    assert!(!format!("{config:?} {config:#?}").contains("s3cret"), "{config:?}");
    assert!(!shown(config.clone()).contains("s3cret"));
    assert!(!format!("{:?}", config.build().unwrap()).contains("s3cret"));
}
