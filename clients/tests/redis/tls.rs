//! A Redis that is reached by TLS, with a certificate of a private authority.

use clients::{Authority, Identity};
use redis::{Client, TlsCertificates};
use rustls::crypto::ring::default_provider;
use tokio::task::JoinSet;
use tower_partner_auth::sandbox::Sandbox;
use tower_partner_auth::store::{RedisStore, SharedStore};

use super::scratch::Scratch;
use super::server::{RedisServer, free_port};
use super::world::{PATHS, RIGHTS, assert_ok, auth, impatient, status};

/// A Redis with a TLS port. By its other port, the test looks on.
struct TlsRedis {
    server: RedisServer,
    url: String,
}

impl TlsRedis {
    fn start(identity: &Identity) -> Self {
        let file = Scratch::with(identity.pem());
        let path = file.path().to_str().expect("UTF-8");
        let port = free_port();
        let server = RedisServer::start_with(&[
            "--tls-port",
            &port.to_string(),
            "--tls-cert-file",
            path,
            "--tls-key-file",
            path,
            "--tls-auth-clients",
            "no",
        ]);
        server.tell(&[&["ACL", "SETUSER", "fleet"][..], &RIGHTS].concat());
        Self { server, url: format!("rediss://fleet:s3cret@localhost:{port}") }
    }

    /// Connects as the documentation says.
    fn store(&self, authority: &Authority) -> RedisStore {
        // More than one test does so, and the first is as good as all.
        let _ = default_provider().install_default();
        let root = TlsCertificates { client_tls: None, root_cert: Some(authority.root().into()) };
        let client = Client::build_with_tls(&*self.url, root).unwrap();
        RedisStore::connect(client.get_connection_info().clone()).unwrap()
    }
}

/// That the store refuses to connect, and why; that each call goes on; and that the Redis was told
/// nothing: neither the password, nor a name, nor a token.
async fn assert_refused(redis: &TlsRedis, store: RedisStore, says: &str) {
    let sandbox = Sandbox::start().await.unwrap();
    let auth = impatient(&sandbox, store.clone());
    assert_ok(&sandbox, &auth, PATHS[0]).await;
    assert_eq!(sandbox.token_requests(), 1, "{says}");
    let status = status(&auth);
    assert!(!status.available, "{status:?}");
    assert!(status.failures > 0, "{status:?}");
    assert_eq!((status.direct, status.put, status.taken), (1, 0, 0), "{status:?}");

    let error = store.get("name").await.unwrap_err().to_string();
    assert!(error.contains(says), "{says:?} is not in: {error}");
    assert!(!error.contains("s3cret"), "{error}");
    for command in ["auth", "hello", "evalsha", "script|load"] {
        assert_eq!(redis.server.calls(command), 0, "{command}: {says}");
    }
    assert!(redis.server.names().is_empty(), "{says}");
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn over_tls_with_a_private_authority_two_share_one_token_request_for_each_scope() {
    // Given
    let authority = Authority::new("Ours");
    let redis = TlsRedis::start(&authority.issue("localhost"));
    let sandbox = Sandbox::start().await.unwrap();
    let layers = [(); 2].map(|()| auth(&sandbox, redis.store(&authority)));
    // When
    for path in PATHS {
        for layer in &layers {
            assert_ok(&sandbox, layer, path).await;
        }
    }
    // Then
    assert_eq!(sandbox.token_requests(), 5);
    let [first, second] = layers.map(|layer| status(&layer));
    assert_eq!((first.put, first.taken, first.failures), (5, 0, 0), "{first:?}");
    assert_eq!((second.put, second.taken, second.failures), (0, 5, 0), "{second:?}");
    assert_eq!(redis.server.names().len(), 5);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_redis_with_a_bad_certificate_is_told_nothing_and_fails_no_call() {
    let authority = Authority::new("Ours");
    let mut cases = JoinSet::new();
    for (bad, says) in [
        (authority.issue_expired("localhost"), "certificate expired"),
        (authority.issue("elsewhere.example.com"), "not valid for name"),
        (Authority::new("Another").issue("localhost"), "UnknownIssuer"),
        (Identity::self_signed("localhost"), "UnknownIssuer"),
    ] {
        let redis = TlsRedis::start(&bad);
        let store = redis.store(&authority);
        cases.spawn(async move { assert_refused(&redis, store, says).await });
    }
    cases.join_all().await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "needs redis-server"]
async fn a_private_authority_that_was_not_given_is_unknown() {
    let redis = TlsRedis::start(&Authority::new("Ours").issue("localhost"));
    let _ = default_provider().install_default();
    let store = RedisStore::connect(&*redis.url).unwrap();
    assert_refused(&redis, store, "UnknownIssuer").await;
}
