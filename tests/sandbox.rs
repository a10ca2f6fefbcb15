//! The sandbox, asked by plain clients over HTTP/1.1 and HTTP/2: it must be right before anything
//! is measured against it.

use std::io::{Read, Write};
use std::time::Duration;

use bytes::Bytes;
use http::header::{AUTHORIZATION, CONTENT_TYPE, HeaderName, LOCATION, WWW_AUTHENTICATE};
use http::{HeaderMap, HeaderValue, Method, Request, Response, StatusCode, Version};
use http_body_util::channel::{Channel, Sender};
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::client::legacy::{Client, Error};
use hyper_util::rt::TokioExecutor;
use serde_json::Value;
use tower_partner_auth::sandbox::{
    Answer, BodyEnd, Endpoint, ExpiresIn, Received, RejectionStyle, Sandbox,
};
use tower_partner_auth::{ClientCredentials, Scope};

const MERCHANT: &str = "/api/v1/merchants/{mid}";
const DOCUMENT: &str = "/api/v1/merchants/7/generate_merged_document_for_esign";

type Body = BoxBody<Bytes, std::io::Error>;

/// A sandbox and a client of it.
struct Partner {
    sandbox: Sandbox,
    client: Client<HttpConnector, Body>,
}

/// An answer, read to its end.
struct Answered {
    status: StatusCode,
    headers: HeaderMap,
    body: Bytes,
}

impl Partner {
    async fn start() -> Self {
        Self::of(Sandbox::start().await.unwrap(), false)
    }

    async fn start_http2() -> Self {
        Self::of(Sandbox::start().await.unwrap(), true)
    }

    fn of(sandbox: Sandbox, http2: bool) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_nodelay(true);
        let client = Client::builder(TokioExecutor::new()).http2_only(http2).build(connector);
        Self { sandbox, client }
    }

    async fn send(&self, request: Request<Body>) -> Result<Answered, Error> {
        Ok(read(self.client.request(request).await?).await.expect("a whole answer"))
    }

    /// A token request with these parameters, whatever they are.
    async fn ask(&self, parameters: &[(&str, &str)]) -> Answered {
        let form =
            form_urlencoded::Serializer::new(String::new()).extend_pairs(parameters).finish();
        self.send(self.post_form("/oauth/token", form)).await.unwrap()
    }

    fn post_form(&self, path: &str, form: String) -> Request<Body> {
        Request::post(format!("{}{path}", self.sandbox.origin()))
            .header(CONTENT_TYPE, "application/x-www-form-urlencoded")
            .body(full(form))
            .unwrap()
    }

    async fn grant_form(&self, scope: &str) -> String {
        let credentials = self.sandbox.credentials();
        form_urlencoded::Serializer::new(String::new())
            .append_pair("client_id", credentials.client_id())
            .append_pair("client_secret", &credentials.client_secret().await.unwrap())
            .append_pair("grant_type", "client_credentials")
            .append_pair("scope", scope)
            .finish()
    }

    async fn try_grant(&self, scope: &str) -> Answered {
        let form = self.grant_form(scope).await;
        self.send(self.post_form("/oauth/token", form)).await.unwrap()
    }

    async fn grant(&self, scope: &str) -> Value {
        let answer = self.try_grant(scope).await;
        assert_eq!(answer.status, 200);
        answer.json()
    }

    async fn token(&self, scope: &str) -> String {
        self.grant(scope).await["access_token"].as_str().unwrap().to_owned()
    }

    fn request(&self, method: Method, path: &str, token: &str, body: Body) -> Request<Body> {
        Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.sandbox.origin()))
            .header(AUTHORIZATION, format!("Bearer {token}"))
            .body(body)
            .unwrap()
    }

    async fn call(&self, method: Method, path: &str, token: &str) -> Answered {
        self.send(self.request(method, path, token, full(""))).await.unwrap()
    }

    async fn get(&self, token: &str) -> Answered {
        self.call(Method::GET, "/api/v1/merchants/7", token).await
    }

    fn only_received(&self) -> Received {
        let received = self.sandbox.received();
        assert_eq!(received.len(), 1);
        received[0].clone()
    }
}

impl Answered {
    fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap()
    }

    fn challenge(&self) -> &str {
        self.headers.get(WWW_AUTHENTICATE).map_or("", |value| value.to_str().unwrap())
    }
}

async fn read(response: Response<hyper::body::Incoming>) -> Result<Answered, hyper::Error> {
    let (parts, body) = response.into_parts();
    let body = body.collect().await?.to_bytes();
    Ok(Answered { status: parts.status, headers: parts.headers, body })
}

fn full(body: impl Into<Bytes>) -> Body {
    Full::new(body.into()).map_err(|never| match never {}).boxed()
}

fn streamed() -> (Sender<Bytes, std::io::Error>, Body) {
    let (sender, body) = Channel::new(1);
    (sender, body.boxed())
}

fn scope(text: &str) -> Scope {
    Scope::parse(text).unwrap()
}

// === The token endpoint ===

#[tokio::test]
async fn a_token_is_issued_as_the_partner_issues_it() {
    let partner = Partner::start().await;
    let answer = partner.try_grant("refer_merchant create_payment_links").await;
    assert_eq!(answer.status, 200);
    assert_eq!(answer.headers["cache-control"], "no-store");
    let body = answer.json();
    let token = body["access_token"].as_str().unwrap();
    assert_eq!(token.len(), 64);
    assert!(token.bytes().all(|b| b"0123456789abcdef".contains(&b)));
    assert_eq!(body["token_type"], "Bearer");
    assert_eq!(body["expires_in"], 7200);
    assert_eq!(
        scope(body["scope"].as_str().unwrap()),
        scope("create_payment_links refer_merchant")
    );
    assert!(body["created_at"].as_u64().unwrap() > 1_700_000_000);
    assert_ne!(partner.token("refer_merchant").await, partner.token("refer_merchant").await);
}

#[tokio::test]
async fn token_errors_are_doorkeepers() {
    let partner = Partner::start().await;
    let credentials = partner.sandbox.credentials();
    let (id, secret) = (credentials.client_id(), &*credentials.client_secret().await.unwrap());
    let grant = ("grant_type", "client_credentials");
    let good = ("scope", "refer_merchant");
    for (parameters, status, error) in [
        (&[][..], 400, "invalid_request"),
        (&[("grant_type", "password")], 400, "unsupported_grant_type"),
        (&[grant], 401, "invalid_client"),
        (&[grant, ("client_id", id), good], 401, "invalid_client"),
        (&[grant, ("client_id", id), ("client_secret", "x"), good], 401, "invalid_client"),
        (
            &[grant, ("client_id", id), ("client_secret", secret), ("scope", "refer_merchant x")],
            400,
            "invalid_scope",
        ),
        (
            &[grant, ("client_id", id), ("client_secret", secret), ("scope", "a\tb")],
            400,
            "invalid_scope",
        ),
    ] {
        let answer = partner.ask(parameters).await;
        assert_eq!(answer.status, status, "{error}");
        assert_eq!(answer.json()["error"], error);
        let challenge = format!("Bearer realm=\"Doorkeeper\", error=\"{error}\"");
        assert!(answer.challenge().starts_with(&challenge), "{}", answer.challenge());
    }
    assert_eq!(partner.sandbox.token_requests(), 7);
}

#[tokio::test]
async fn a_body_that_is_no_form_has_no_parameters() {
    let partner = Partner::start().await;
    let url = partner.sandbox.environment().token_url().to_owned();
    for (content_type, body) in [
        ("application/json", Bytes::from(partner.grant_form("refer_merchant").await)),
        ("application/x-www-form-urlencoded", Bytes::from_static(b"%ff%&=&&\xff=\x00")),
    ] {
        let request =
            Request::post(&url).header(CONTENT_TYPE, content_type).body(full(body)).unwrap();
        let answer = partner.send(request).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), &answer.json()["error"]),
            (400, &"invalid_request".into())
        );
    }
    let get = Request::get(&url).body(full("")).unwrap();
    assert_eq!(partner.send(get).await.unwrap().status, 404);
}

#[tokio::test]
async fn a_client_may_authenticate_with_a_header_and_has_its_own_scopes() {
    let sandbox = Sandbox::builder()
        .client(ClientCredentials::new("id", "se:cret"), "refer_merchant")
        .client(ClientCredentials::new("other", "s3cret"), "user_token")
        .start()
        .await
        .unwrap();
    let partner = Partner::of(sandbox, false);
    assert_eq!(partner.try_grant("user_token").await.status, 400);
    let mut request = partner
        .post_form("/oauth/token", "grant_type=client_credentials&scope=refer_merchant".into());
    request.headers_mut().insert(AUTHORIZATION, HeaderValue::from_static("Basic aWQ6c2U6Y3JldA=="));
    let answer = partner.send(request).await.unwrap();
    assert_eq!(answer.json()["scope"], "refer_merchant");
}

#[tokio::test(start_paused = true)]
async fn a_live_token_is_reused_if_the_server_is_set_so() {
    let partner = Partner::start().await;
    partner.sandbox.reuse_tokens(true);
    let first = partner.grant("refer_merchant user_token").await;
    tokio::time::advance(Duration::from_secs(849)).await;
    let again = partner.grant("user_token refer_merchant").await;
    assert_eq!(again["access_token"], first["access_token"]);
    assert_eq!(again["created_at"], first["created_at"]);
    let left = again["expires_in"].as_u64().unwrap();
    assert!((6350..=6351).contains(&left), "{left}");
    assert_ne!(partner.grant("user_token").await["access_token"], first["access_token"]);
    tokio::time::advance(Duration::from_secs(7200)).await;
    let last = partner.grant("refer_merchant user_token").await;
    assert_ne!(last["access_token"], first["access_token"]);
    assert!(last["created_at"].as_u64() > first["created_at"].as_u64());
}

#[tokio::test]
async fn a_new_token_revokes_the_last_if_the_server_is_set_so() {
    let partner = Partner::start().await;
    let [first, other] = [partner.token("refer_merchant").await, partner.token("user_token").await];
    let second = partner.token("refer_merchant").await;
    assert_eq!(partner.get(&first).await.status, 200, "off by default");
    partner.sandbox.revoke_previous(true);
    let third = partner.token("refer_merchant").await;
    for token in [&first, &second] {
        assert_eq!(partner.get(token).await.status, 401);
    }
    assert_eq!(partner.get(&third).await.status, 200);
    let path = "/api/v1/merchants/7/verify_penny";
    assert_eq!(partner.call(Method::POST, path, &other).await.status, 200, "of another scope");
}

#[tokio::test]
async fn tokens_are_revoked_by_scope_by_their_client_and_all_at_once() {
    let partner = Partner::start().await;
    let token = partner.token("refer_merchant").await;
    partner.token("user_token").await;
    assert_eq!(partner.sandbox.revoke(&scope("refer_merchant user_token")), 0);
    assert_eq!(partner.sandbox.revoke(&scope("refer_merchant")), 1);
    assert_eq!(partner.get(&token).await.status, 401);
    assert_eq!(partner.sandbox.revoke_all(), 1, "the other one");

    let token = partner.token("refer_merchant").await;
    let form = format!("{}&token={token}", partner.grant_form("").await);
    let revoked = partner.send(partner.post_form("/oauth/revoke", form)).await.unwrap();
    assert_eq!((revoked.status.as_u16(), &*revoked.body), (200, &b"{}"[..]));
    assert_eq!(partner.get(&token).await.status, 401);
    let nobody = partner.post_form("/oauth/revoke", format!("token={token}"));
    assert_eq!(partner.send(nobody).await.unwrap().status, 403);
}

#[tokio::test(start_paused = true)]
async fn a_token_expires_in_its_own_time_whatever_was_said_of_it() {
    let partner = Partner::start().await;
    partner.sandbox.rejection_style(RejectionStyle::Doorkeeper);
    partner.sandbox.token_life(Duration::from_secs(3600));
    for (says, expires_in) in [
        (ExpiresIn::Remaining, Value::from(3600)),
        (ExpiresIn::Absent, Value::Null),
        (ExpiresIn::Seconds(5), Value::from(5)),
    ] {
        partner.sandbox.expires_in(says);
        let grant = partner.grant("refer_merchant").await;
        assert_eq!(grant["expires_in"], expires_in);
        let token = grant["access_token"].as_str().unwrap();
        tokio::time::advance(Duration::from_secs(3500)).await;
        assert_eq!(partner.get(token).await.status, 200);
        tokio::time::advance(Duration::from_secs(101)).await;
        assert!(partner.get(token).await.challenge().contains("The access token expired"));
    }

    partner.sandbox.expires_in(ExpiresIn::Remaining);
    partner.sandbox.token_life(Duration::from_millis(300));
    assert_eq!(partner.grant("refer_merchant").await["expires_in"], 0);
    partner.sandbox.token_life(Duration::MAX);
    let token = partner.grant("refer_merchant").await;
    assert_eq!(token["expires_in"], Value::Null);
}

// === The API ===

#[tokio::test]
async fn endpoints_answer_what_they_are_and_are_guarded_by_scope() {
    for partner in [Partner::start().await, Partner::start_http2().await] {
        let token =
            partner.token("refer_merchant send_sign_in_otp client_manage_kyc_details").await;
        let body = full("x".repeat(20));
        let create = partner.request(Method::POST, "/api/v3/merchants", &token, body);
        let created = partner.send(create).await.unwrap();
        assert_eq!(created.status, 200);
        let expected = serde_json::json!(
            { "use_case": "Refer Merchant", "operation": "create", "body_bytes": 20 }
        );
        assert_eq!(created.json(), expected);

        let otp = partner.call(Method::POST, "/api/v1/otps/send_otp", &token).await;
        assert_eq!(otp.status, 202);
        let kyc = "/api/v3/merchants/7/kyc_document/9";
        let deleted = partner.call(Method::DELETE, kyc, &token).await;
        assert_eq!((deleted.status.as_u16(), deleted.body.len()), (204, 0));
        assert_eq!(partner.call(Method::GET, "/payment-links", &token).await.status, 401);
        assert_eq!(partner.call(Method::GET, "/nothing", &token).await.status, 404);
        assert_eq!(partner.call(Method::PATCH, "/payment-links", &token).await.status, 404);
        assert_eq!(partner.call(Method::GET, "/a/%2e%2e/b%2f{x}\"", &token).await.status, 404);
    }
}

#[tokio::test]
async fn the_e_sign_document_needs_two_scopes() {
    let partner = Partner::start().await;
    for (scope, status) in [
        ("client_manage_agreement", 401),
        ("client_manage_agreement client_manage_kyc_details", 401),
        ("refer_merchant client_manage_agreement", 200),
        ("refer_merchant client_manage_kyc_details", 200),
    ] {
        let token = partner.token(scope).await;
        assert_eq!(partner.call(Method::GET, DOCUMENT, &token).await.status, status, "{scope}");
    }
}

#[tokio::test]
async fn each_style_refuses_in_its_own_way() {
    let partner = Partner::start().await;
    let [revoked, narrow] =
        [partner.token("refer_merchant").await, partner.token("user_token").await];
    partner.sandbox.revoke(&scope("refer_merchant"));
    for (style, bad_token, missing_scope) in [
        (RejectionStyle::Partner, (401, ""), (401, "")),
        (RejectionStyle::Doorkeeper, (401, "invalid_token"), (403, "insufficient_scope")),
        (RejectionStyle::PaymentLinks, (401, "invalid_token"), (401, "insufficient_scope")),
    ] {
        partner.sandbox.rejection_style(style);
        for (token, (status, error)) in [
            ("", bad_token),
            ("unknown", bad_token),
            (&revoked, bad_token),
            (&narrow, missing_scope),
        ] {
            let answer = partner.get(token).await;
            assert_eq!(answer.status, status, "{style:?}");
            match style {
                RejectionStyle::Partner => {
                    assert_eq!(answer.json()["status"], "Unauthorized");
                    assert_eq!(answer.challenge(), "");
                }
                _ => {
                    let start = format!("Bearer realm=\"Doorkeeper\", error=\"{error}\"");
                    assert!(answer.challenge().starts_with(&start), "{}", answer.challenge());
                }
            }
        }
    }
    assert_eq!(partner.sandbox.api_answers(StatusCode::FORBIDDEN), 1);
    assert_eq!(partner.sandbox.api_answers(StatusCode::UNAUTHORIZED), 11);
}

#[tokio::test]
async fn endpoints_of_a_users_own_are_guarded_as_they_say() {
    let own = Endpoint::new(Method::GET, "/v1/reports/{id}", "read_reports");
    let partner = Partner::of(Sandbox::builder().endpoint(own).start().await.unwrap(), false);
    let token = partner.token("read_reports").await;
    assert_eq!(partner.call(Method::GET, "/v1/reports/7", &token).await.status, 200);

    let header = HeaderName::from_static("x-partner-token");
    let qr = Endpoint::any("/qr/{*path}", "partner_payments")
        .header(header.clone())
        .scheme("")
        .status(StatusCode::CREATED);
    partner.sandbox.add_endpoint(qr).unwrap();
    let token = partner.token("partner_payments").await;
    assert_eq!(partner.call(Method::PUT, "/qr/a/b", &token).await.status, 401);
    let mut request = partner.request(Method::PUT, "/qr/a/b", "an HMAC", full(""));
    request.headers_mut().insert(header, token.parse().unwrap());
    assert_eq!(partner.send(request).await.unwrap().status, 201);
    assert_eq!(partner.sandbox.api_requests_for(Method::PUT, "/qr/{*path}"), 2);

    let error = partner.sandbox.add_endpoint(Endpoint::any("/x{id}", "s")).unwrap_err();
    assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    assert!(error.to_string().contains("/x{id}"), "{error}");
}

#[tokio::test]
async fn an_endpoint_can_be_told_to_reject_every_token() {
    let partner = Partner::start().await;
    let token = partner.token("refer_merchant").await;
    partner.sandbox.reject_always(Method::GET, MERCHANT);
    assert_eq!(partner.get(&token).await.status, 401);
    let create = partner.call(Method::POST, "/api/v3/merchants", &token).await;
    assert_eq!(create.status, 200, "another endpoint");
    partner.sandbox.stop_rejecting(Method::GET, MERCHANT);
    assert_eq!(partner.get(&token).await.status, 200);
}

#[tokio::test]
#[should_panic(expected = "no endpoint GET /api/v1/merchant/{mid}")]
async fn a_slip_in_a_tests_path_is_said() {
    Partner::start().await.sandbox.reject_always(Method::GET, "/api/v1/merchant/{mid}");
}

// === Bodies ===

#[tokio::test]
async fn a_body_is_recorded_with_its_length_and_trailers() {
    for (partner, version) in [
        (Partner::start().await, Version::HTTP_11),
        (Partner::start_http2().await, Version::HTTP_2),
    ] {
        let token = partner.token("refer_merchant").await;
        let (mut sender, body) = streamed();
        let request = partner.request(Method::POST, "/api/v3/merchants?x=1", &token, body);
        let (response, ()) = tokio::join!(partner.client.request(request), async {
            sender.send_data(Bytes::from_static(b"one ")).await.unwrap();
            sender.send_data(Bytes::from_static(b"two")).await.unwrap();
            drop(sender);
        });
        assert_eq!(response.unwrap().status(), 200);
        let received = partner.only_received();
        assert_eq!((received.path(), received.query()), ("/api/v3/merchants", Some("x=1")));
        assert_eq!(received.version(), version);
        assert_eq!(received.body().unwrap(), "one two");
        assert!(received.complete() && received.has_credential());
        assert_eq!(received.content_length(), None);
        assert_eq!(received.transfer_encoding().is_some(), version == Version::HTTP_11);
        assert!(!received.headers().contains_key(AUTHORIZATION));
        assert!(!format!("{received:?} {:?}", partner.sandbox).contains(&token));

        partner.sandbox.clear_received();
        let request = partner.request(Method::POST, "/api/v3/merchants", "", full("three"));
        assert_eq!(partner.send(request).await.unwrap().status, 401);
        assert_eq!(partner.only_received().content_length(), Some(5));
        assert_eq!(partner.only_received().body().unwrap(), "three", "read, then judged");
    }
}

#[tokio::test]
async fn trailers_are_recorded() {
    let partner = Partner::start_http2().await;
    let (mut sender, body) = streamed();
    let request = partner.request(Method::POST, "/api/v3/merchants", "", body);
    let trailers = HeaderMap::from_iter([(
        HeaderName::from_static("checksum"),
        HeaderValue::from_static("7"),
    )]);
    let (response, ()) = tokio::join!(partner.client.request(request), async {
        sender.send_data(Bytes::from_static(b"x")).await.unwrap();
        sender.send_trailers(trailers.clone()).await.unwrap();
    });
    response.unwrap();
    assert_eq!(partner.only_received().trailers(), Some(&trailers));
}

#[tokio::test]
async fn an_early_401_does_not_wait_for_a_slow_upload() {
    for partner in [Partner::start().await, Partner::start_http2().await] {
        partner.sandbox.reject_early(true);
        let good = partner.token("refer_merchant").await;
        for broken in [false, true] {
            partner.sandbox.clear_received();
            let (mut sender, body) = streamed();
            sender.send_data(Bytes::from_static(b"some")).await.unwrap();
            // Given an upload that has not ended, when it is refused,
            let request = partner.request(Method::POST, "/api/v3/merchants", "bad", body);
            let answer = partner.send(request).await.unwrap();
            // then the answer is here, and the record waits for the rest.
            assert_eq!(answer.status, 401);
            partner.sandbox.until(|at| at.received()[0].body_bytes() == 4).await;
            assert_eq!(partner.only_received().body_end(), BodyEnd::Pending);
            assert_eq!(partner.only_received().status(), Some(StatusCode::UNAUTHORIZED));
            let end = if broken {
                sender.abort(std::io::Error::other("superseded"));
                BodyEnd::Aborted
            } else {
                drop(sender);
                BodyEnd::Complete
            };
            partner.sandbox.until(|at| at.received()[0].body_end() == end).await;
            assert_eq!(partner.only_received().body(), None, "it is not kept");
        }
        // And a good token's body is read as ever.
        let request = partner.request(Method::POST, "/api/v3/merchants", &good, full("all"));
        assert_eq!(partner.send(request).await.unwrap().json()["body_bytes"], 3);
    }
}

#[tokio::test]
async fn an_upload_that_breaks_off_is_told_from_one_that_ends() {
    for partner in [Partner::start().await, Partner::start_http2().await] {
        let (mut sender, body) = streamed();
        let request = partner.request(Method::POST, "/api/v3/merchants", "bad", body);
        let (response, ()) = tokio::join!(partner.client.request(request), async {
            sender.send_data(Bytes::from_static(b"some")).await.unwrap();
            partner.sandbox.until(|at| at.received().iter().any(|r| r.body_bytes() == 4)).await;
            sender.abort(std::io::Error::other("gone"));
        });
        assert!(response.is_err());
        partner.sandbox.until(|at| at.received()[0].body_end() == BodyEnd::Aborted).await;
        let received = partner.only_received();
        assert_eq!((received.body(), received.status()), (None, None));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_early_401_does_not_ask_for_a_body_that_waits_for_leave() {
    let partner = Partner::start().await;
    partner.sandbox.reject_early(true);
    let head = "POST /api/v3/merchants HTTP/1.1\r\nhost: x\r\ncontent-length: 5\r\n\
                expect: 100-continue\r\n\r\n";
    let answer = exchange(&partner.sandbox, head).await;
    assert!(answer.starts_with("HTTP/1.1 401"), "{answer}");
    assert_eq!(partner.only_received().body_end(), BodyEnd::Unread);
}

#[tokio::test(flavor = "multi_thread")]
async fn bytes_that_are_no_http_harm_nothing() {
    let partner = Partner::start().await;
    for garbage in ["\0\r\n\r\n", "GET\r\n\r\n", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\nxxxxxxxxxxxxxxxx"]
    {
        exchange(&partner.sandbox, garbage).await;
    }
    exchange(&partner.sandbox, "OPTIONS * HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").await;
    assert_eq!(partner.only_received().status(), Some(StatusCode::NOT_FOUND));
}

/// Sends bytes, says no more, and reads until the server ends the connection.
async fn exchange(sandbox: &Sandbox, bytes: &'static str) -> String {
    let address = sandbox.origin().strip_prefix("http://").unwrap().to_owned();
    let talk = move || {
        let mut stream = std::net::TcpStream::connect(address).unwrap();
        stream.write_all(bytes.as_bytes()).unwrap();
        let mut answer = Vec::new();
        // An end is an end, reset or not.
        let _ = stream.read_to_end(&mut answer);
        String::from_utf8_lossy(&answer).into_owned()
    };
    tokio::task::spawn_blocking(talk).await.unwrap()
}

// === Scripts ===

#[tokio::test]
async fn scripted_answers_are_taken_one_per_request() {
    for partner in [Partner::start().await, Partner::start_http2().await] {
        partner.sandbox.script_token([
            Answer::pass(),
            Answer::status(503).header("retry-after", "7"),
            Answer::json(401, r#"{"error":"rate_limit_exceeded","retry_after":60}"#),
            Answer::redirect("https://login.example.com/"),
            Answer::html().with_status(403),
            Answer::body(&b"\xff{"[..]),
            Answer::body("four").header("content-length", "4"),
        ]);
        partner.grant("refer_merchant").await;
        let answer = partner.try_grant("refer_merchant").await;
        assert_eq!(
            (answer.status.as_u16(), &answer.headers["retry-after"]),
            (503, &"7".parse().unwrap())
        );
        let answer = partner.try_grant("refer_merchant").await;
        assert_eq!((answer.status.as_u16(), &answer.json()["retry_after"]), (401, &60.into()));
        let answer = partner.try_grant("refer_merchant").await;
        assert_eq!(answer.status, 302);
        assert_eq!(answer.headers[LOCATION], "https://login.example.com/");
        let answer = partner.try_grant("refer_merchant").await;
        assert!(answer.headers[CONTENT_TYPE].to_str().unwrap().starts_with("text/html"));
        assert_eq!(answer.status, 403);
        assert_eq!(partner.try_grant("refer_merchant").await.body, &b"\xff{"[..]);
        assert_eq!(partner.try_grant("refer_merchant").await.body, "four");
        partner.grant("refer_merchant").await;
        assert_eq!(partner.sandbox.token_requests(), 8);
        assert_eq!(partner.sandbox.token_requests_for(&scope("refer_merchant")), 8);
        assert_eq!(partner.sandbox.token_requests_for(&scope("user_token")), 0);
    }
}

#[tokio::test]
async fn answers_can_break_off_or_never_come() {
    for partner in [Partner::start().await, Partner::start_http2().await] {
        let form = partner.grant_form("refer_merchant").await;
        let request = || partner.client.request(partner.post_form("/oauth/token", form.clone()));
        partner.sandbox.script_token([
            Answer::reset(),
            Answer::truncated(r#"{"access_"#, 100),
            Answer::hang(),
        ]);
        assert!(request().await.is_err());

        let truncated = request().await.unwrap();
        assert_eq!(truncated.headers()["content-length"], "100");
        let mut body = truncated.into_body();
        let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
        assert_eq!(first, r#"{"access_"#);
        assert!(body.frame().await.unwrap().is_err());

        let hung = request();
        tokio::pin!(hung);
        tokio::select! {
            _ = &mut hung => panic!("it was answered"),
            () = partner.sandbox.until(|at| {
                at.token_requests_for(&scope("refer_merchant")) == 3
            }) => {}
        }
        partner.grant("refer_merchant").await;
    }
}

#[tokio::test]
async fn an_endpoints_script_comes_before_the_apis() {
    let partner = Partner::start().await;
    let token = partner.token("refer_merchant").await;
    partner.sandbox.script_api([Answer::status(500), Answer::status(502)]);
    partner.sandbox.script_endpoint(
        Method::GET,
        "/api/v1/merchants/9",
        [Answer::pass(), Answer::status(429)],
    );
    let mut statuses = Vec::new();
    for _ in 0..5 {
        statuses.push(partner.get(&token).await.status.as_u16());
    }
    assert_eq!(statuses, [200, 429, 500, 502, 200]);

    partner.sandbox.script_api([Answer::status(500)]);
    partner.sandbox.script_token([Answer::status(500)]);
    partner.sandbox.clear_scripts();
    assert_eq!(partner.get(&partner.token("refer_merchant").await).await.status, 200);
    assert_eq!(partner.sandbox.api_requests(), 6);
    assert_eq!(partner.sandbox.api_requests_for(Method::GET, MERCHANT), 6);
    assert_eq!(partner.sandbox.api_requests_for(Method::POST, "/api/v3/merchants"), 0);
    assert_eq!(partner.sandbox.api_answers(StatusCode::OK), 3);
}

#[tokio::test(start_paused = true)]
async fn delays_are_of_the_tests_clock() {
    let partner = Partner::start().await;
    partner.sandbox.token_delay(Duration::from_secs(3600));
    partner.sandbox.api_delay(Duration::from_secs(600));
    partner.sandbox.script_api([Answer::pass().after(Duration::from_secs(60))]);
    let start = tokio::time::Instant::now();
    let token = partner.token("refer_merchant").await;
    assert!(start.elapsed() >= Duration::from_secs(3600));
    partner.get(&token).await;
    assert!(start.elapsed() >= Duration::from_secs(4260));
}

// === The server ===

#[tokio::test]
async fn it_serves_until_its_last_handle_is_dropped() {
    for partner in [Partner::start().await, Partner::start_http2().await] {
        let Partner { sandbox, client } = partner;
        let request = || {
            let request = Request::get(format!("{}/x", sandbox.origin()));
            client.request(request.body(full("")).unwrap())
        };
        sandbox.script_api([Answer::pass(), Answer::hang()]);
        let clone = sandbox.clone();
        assert_eq!(request().await.unwrap().status(), 404);
        let origin = sandbox.origin().to_owned();
        let hung = tokio::spawn(request());
        sandbox.until(|at| at.received().iter().filter(|r| r.complete()).count() == 2).await;
        drop(sandbox);
        assert_eq!(clone.api_requests(), 2, "the other handle holds it");
        drop(clone);
        assert!(hung.await.unwrap().is_err(), "connections end with it");
        let again = Request::get(format!("{origin}/x")).body(full("")).unwrap();
        assert!(client.request(again).await.is_err());
    }
}

#[test]
fn public_types_can_go_anywhere() {
    fn anywhere<T: Send + Sync + Unpin + 'static>() {}
    anywhere::<Sandbox>();
    anywhere::<tower_partner_auth::sandbox::SandboxBuilder>();
    anywhere::<Endpoint>();
    anywhere::<Answer>();
    anywhere::<Received>();
    anywhere::<RejectionStyle>();
    anywhere::<ExpiresIn>();
    anywhere::<BodyEnd>();
}
