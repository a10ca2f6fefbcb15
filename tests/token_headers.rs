//! The user's own headers of token requests: what `build()` takes is sent, with each request.

mod common;

use common::scripted::{Scripted, TokenServer, grant};
use tower_partner_auth::{ClientAuthentication, ClientCredentials};

#[tokio::test(start_paused = true)]
async fn token_headers_are_in_each_token_request_and_are_sensitive() {
    let tokens = TokenServer::default().then(503, "").then(200, grant(100));
    let calls = Scripted::with(tokens, |builder| {
        builder
            .token_header("X-Api-Key", "k3y")
            .token_header("x-tag", "a")
            .token_header("x-tag", "b")
    });
    calls.call().await.unwrap();
    assert_eq!(calls.tokens.requests(), 2);
    for headers in calls.tokens.headers() {
        assert_eq!(headers["x-api-key"], "k3y");
        assert!(headers["x-api-key"].is_sensitive());
        assert_eq!(headers.get_all("x-tag").iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(headers["content-type"], "application/x-www-form-urlencoded");
        assert_eq!(headers["accept"], "application/json");
    }
}

#[tokio::test(start_paused = true)]
async fn as_many_token_headers_as_can_be_built_can_be_sent() {
    let credentials = ClientCredentials::new("id", "s3cret");
    let credentials = credentials.with_authentication(ClientAuthentication::Basic);
    let calls = Scripted::of(credentials, TokenServer::answering(grant(100)), |builder| {
        (0..24_573).fold(builder, |builder, n| builder.token_header(format!("x-{n}"), "v"))
    });
    calls.call().await.unwrap();
    assert_eq!(calls.tokens.headers()[0].keys().count(), 24_576);
}
