//! The configuration as a file holds it: that each key does what the builder's method does, and that
//! each mistake is told with its place.

#![cfg(feature = "config")]

#[path = "config/mistakes.rs"]
mod mistakes;
#[allow(dead_code, reason = "each test file uses a part of it")]
#[path = "common/scripted.rs"]
mod scripted;
#[cfg(feature = "redis")]
#[path = "config/shared_store.rs"]
mod shared_store;

use std::time::Duration;

use http::{HeaderName, Method};
use scripted::{TokenServer, grant};
use serde::Deserialize;
use serde::de::IntoDeserializer;
use serde::de::value::{Error as ValueError, MapDeserializer};
use tower_partner_auth::{
    BuildError, Builder, ClientAuthentication, ClientCredentials, Config, Environment,
    OnUnauthorized, PartnerAuthLayer, ProblemKind, Route, Secret,
};

const EXAMPLE: &str = include_str!("../examples/partner-auth.toml");

/// Cargo sets it for every test.
const VARIABLE: &str = "CARGO_PKG_NAME";

const MINIMAL: &str = r#"
    token_url = "https://accounts.example.com/oauth/token"
    [client]
    id = "id"
    secret = "s3cret"
"#;

fn example() -> String {
    EXAMPLE.replace("PARTNER_CLIENT_SECRET", VARIABLE)
}

fn config(toml: &str) -> Config {
    toml::from_str(toml).unwrap_or_else(|error| panic!("{error}\n{toml}"))
}

fn shown(config: Config) -> String {
    format!("{:#?}", config.into_builder())
}

fn second(n: u64) -> Duration {
    Duration::from_secs(n)
}

/// What `examples/partner-auth.toml` says, in code.
fn example_in_code() -> Builder {
    let credentials = ClientCredentials::new("my-client", Secret::env(VARIABLE))
        .with_authentication(ClientAuthentication::Basic);
    PartnerAuthLayer::builder(credentials)
        .environment(Environment::test())
        .token_url("https://accounts.example.com/oauth/token")
        .strict()
        .keep_warm()
        .wait_limit(second(5))
        .token_timeout(second(20))
        .token_retries(1)
        .connect_timeout(second(2))
        .soft_window(second(90 * 60))
        .hard_window(second(45))
        .max_token_age(second(12 * 60 * 60))
        .replay_limit(131_072)
        .token_parameter("audience", "https://api.example.com")
        .token_parameter("resource", "https://api.example.com/a")
        .token_parameter("resource", "https://api.example.com/b")
        .token_header("x-tenant", "my-tenant")
        .route(Route::new(Method::GET, "https://reports.example.com/v1/{id}", "read_reports"))
        .route(
            Route::any("https://api.example.com/{*path}", "read_things write_things")
                .header(HeaderName::from_static("x-partner-token"))
                .scheme("")
                .on_unauthorized(OnUnauthorized::Renew)
                .replay_limit(0),
        )
}

// === What a file says ===

#[test]
fn the_example_file_says_what_the_same_builder_says_in_code() {
    let example = config(&example());
    example.clone().build().unwrap();
    assert_eq!(shown(example), format!("{:#?}", example_in_code()));
}

#[test]
fn the_example_file_has_every_key() {
    for (place, known) in [
        ("unknown = 1\n", "client"),
        ("[client]\nunknown = 1\n", "secret"),
        ("client = { id = \"\", secret = \"\" }\n[[routes]]\nunknown = 1\n", "url"),
    ] {
        let error = toml::from_str::<Config>(place).unwrap_err().to_string();
        let (_, keys) = error.split_once("expected one of ").unwrap();
        let keys: Vec<_> = keys.split('`').skip(1).step_by(2).collect();
        assert!(keys.contains(&known), "{error}");
        for key in keys {
            let said = |line: &str| {
                let line = line.trim_start_matches(['[', '#', ' ']);
                line.strip_prefix(key).is_some_and(|rest| rest.starts_with([' ', ']']))
            };
            assert!(EXAMPLE.lines().any(said), "{key}");
        }
    }
}

#[test]
fn toml_json_and_yaml_say_the_same() {
    let toml = config(&example());
    let value: toml::Value = toml::from_str(&example()).unwrap();
    let json: Config = serde_json::from_str(&serde_json::to_string(&value).unwrap()).unwrap();
    assert_eq!(shown(json), shown(toml));

    let yaml: Config = serde_saphyr::from_str(
        r#"
token_url: https://accounts.example.com/oauth/token
wait_limit: 5s
max_token_age:
client:
  id: { env: CARGO_PKG_NAME }
  secret:
    - { env: CARGO_PKG_NAME }
    - { file: /nowhere/secret }
routes:
  - url: https://api.example.com/v1
    scope: [read, write]
    on_unauthorized: leave
"#,
    )
    .unwrap();
    let secret = Secret::env(VARIABLE);
    let credentials = ClientCredentials::new("tower-partner-auth", secret)
        .or_secret(Secret::file("/nowhere/secret"));
    let code = PartnerAuthLayer::builder(credentials)
        .token_url("https://accounts.example.com/oauth/token")
        .wait_limit(second(5))
        .route(
            Route::any("https://api.example.com/v1", "read write")
                .on_unauthorized(OnUnauthorized::Leave),
        );
    assert_eq!(shown(yaml), format!("{code:#?}"));
}

#[test]
fn what_a_file_does_not_say_is_as_the_builder_has_it() {
    let code = PartnerAuthLayer::builder(ClientCredentials::new("id", "s3cret"))
        .token_url("https://accounts.example.com/oauth/token");
    assert_eq!(shown(config(MINIMAL)), format!("{code:#?}"));
}

#[test]
fn an_environment_is_a_name_or_an_origin() {
    for (name, environment) in [
        ("test", Environment::test()),
        ("production", Environment::production()),
        ("http://127.0.0.1:3000", Environment::at("http://127.0.0.1:3000")),
    ] {
        let config = config(&format!(
            "environment = {name:?}\nclient = {{ id = \"id\", secret = \"s3cret\" }}"
        ));
        let code = PartnerAuthLayer::builder(ClientCredentials::new("id", "s3cret"));
        assert_eq!(shown(config), format!("{:#?}", code.environment(environment)));
    }
}

#[tokio::test(start_paused = true)]
async fn what_a_file_says_is_on_the_wire() {
    // Given
    let tokens = TokenServer::answering(grant(100));
    let file = format!(
        "{MINIMAL}
        [token_parameters]
        audience = \"here\"
        resource = [\"a\", \"b\"]
        [[routes]]
        url = \"https://api.example.com/v1\"
        scope = [\"write\", \"read\"]"
    );
    let auth = config(&file).into_builder().http_client(tokens.client()).build().unwrap();
    // When
    auth.prewarm().await.into_result().unwrap();
    // Then
    assert_eq!(
        tokens.forms(),
        [
            "grant_type=client_credentials&client_id=id&client_secret=s3cret&scope=read+write&audience=here&\
             resource=a&resource=b"
        ]
    );
}

#[cfg(feature = "rustls")]
#[test]
fn root_certificates_are_in_a_file() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/certificates/root.pem");
    config(&format!("token_root_certificates = {path:?}\n{MINIMAL}")).build().unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_values_of_parameters_and_headers_may_be_elsewhere() {
    // Given
    let tokens = TokenServer::answering(grant(100));
    let reference = format!("{{ env = {VARIABLE:?} }}");
    let file = format!(
        "{MINIMAL}
        [token_parameters]
        one = {reference}
        two = [\"é\", {reference}]
        [token_headers]
        x-key = {reference}
        [[routes]]
        url = \"https://api.example.com/v1\"
        scope = \"read\""
    );
    let auth = config(&file).into_builder().http_client(tokens.client()).build().unwrap();
    // When
    auth.prewarm().await.into_result().unwrap();
    // Then
    let form = &tokens.forms()[0];
    assert!(form.ends_with("&one=tower-partner-auth&two=%C3%A9&two=tower-partner-auth"), "{form}");
}

#[test]
fn a_key_without_a_value_is_as_if_it_were_not_there_if_it_need_not_be() {
    let yaml = |more: &str| {
        let client = "client: { id: id, secret: s, authentication: }";
        serde_saphyr::from_str::<Config>(&format!("token_url: https://x/t\n{client}\n{more}"))
    };
    let all = "environment:\ntoken_parameters:\ntoken_headers:\nroutes:\nstrict:\nkeep_warm:\nconnect_timeout:\n\
               token_timeout:\ntoken_retries:\nwait_limit:\nsoft_window:\nhard_window:\nmax_token_age:\nreplay_limit:";
    assert_eq!(shown(yaml(all).unwrap()), shown(yaml("").unwrap()));
    let error = yaml("stirct:").unwrap_err().to_string();
    assert!(error.contains("unknown field `stirct`"), "{error}");
    let route = "routes: [{ url: https://x/y, scope: a, method: , header: , scheme: , on_unauthorized: , replay_limit: }]";
    yaml(route).unwrap().build().unwrap();
    assert!(yaml(&route.replace("scope: a", "scope: ")).is_err());
}

#[test]
fn a_configuration_may_be_a_part_of_another() {
    #[derive(Deserialize)]
    struct App {
        name: String,
        partner: Config,
    }
    let text = |limit: &str| {
        format!(
            "name = \"app\"\n[partner]\nenvironment = \"test\"\nwait_limit = {limit}\n\
             client = {{ id = \"id\", secret = \"s3cret\" }}"
        )
    };
    let app: App = toml::from_str(&text("\"5s\"")).unwrap();
    assert_eq!(app.name, "app");
    app.partner.build().unwrap();
    let error = toml::from_str::<App>(&text("5")).err().unwrap().to_string();
    assert!(error.contains("wait_limit: "), "{error}");
}
