//! A gRPC service and client over tonic's channel: calls are counted at the gRPC server, token requests
//! at the sandbox.

use std::time::Duration;

use clients::notes::{Note, NoteServer, NotesClient};
use http::{Method, Request, Uri};
use tokio::time::timeout;
use tokio_stream::StreamExt;
use tonic::body::Body;
use tonic::client::GrpcService;
use tonic::transport::Channel;
use tonic::{Code, Status};
use tower::{BoxError, ServiceBuilder};
use tower_partner_auth::sandbox::{Answer, Endpoint, Sandbox};
use tower_partner_auth::{
    Error, PartnerAuthLayer, ReplayBody, Route, RouteErrorKind, TokenErrorKind, Verdict,
};

type TransportError = Error<tonic::transport::Error>;

struct World {
    sandbox: Sandbox,
    server: NoteServer,
    auth: PartnerAuthLayer,
    channel: Channel,
}

impl World {
    async fn new() -> Self {
        Self::with(|route| route.classify(Verdict::of_grpc)).await
    }

    async fn with(configure: impl FnOnce(Route) -> Route) -> Self {
        let sandbox = Sandbox::start().await.unwrap();
        // Only so that the scope may be asked for.
        sandbox.add_endpoint(Endpoint::any("/notes", "notes")).unwrap();
        let server = NoteServer::start().await;
        let url = format!("{}/notes.v1.Notes/{{method}}", server.origin());
        let auth = PartnerAuthLayer::builder(sandbox.credentials())
            .token_url(sandbox.environment().token_url())
            .route(configure(Route::new(Method::POST, url, "notes")))
            .strict()
            .build()
            .unwrap();
        let channel =
            Channel::from_shared(server.origin().to_owned()).unwrap().connect().await.unwrap();
        Self { sandbox, server, auth, channel }
    }

    fn service(
        &self,
    ) -> impl GrpcService<Body, Error: Into<BoxError>, ResponseBody = Body, Future: Send> + use<>
    {
        ServiceBuilder::new()
            .layer(&self.auth)
            .map_request(|request: Request<ReplayBody<Body>>| request.map(Body::new))
            .service(self.channel.clone())
    }

    fn origin(&self) -> Uri {
        self.server.origin().parse().unwrap()
    }

    async fn echo(&self, text: &str) -> Result<String, Status> {
        let mut client = NotesClient::with_origin(self.service(), self.origin());
        Ok(client.echo(Note::new(text)).await?.into_inner().text)
    }

    async fn join(&self, notes: Vec<Note>) -> Result<String, Status> {
        let mut client = NotesClient::with_origin(self.service(), self.origin());
        Ok(client.join(tokio_stream::iter(notes)).await?.into_inner().text)
    }

    /// Calls that came, tokens they had, and token requests.
    fn counts(&self) -> (usize, usize, u64) {
        let (calls, tokens) = self.server.calls_and_tokens();
        (calls, tokens, self.sandbox.token_requests())
    }
}

fn notes(count: usize) -> Vec<Note> {
    (0..count).map(|number| Note::new(format!("{number};"))).collect()
}

fn cause(status: &Status) -> &TransportError {
    let source = std::error::Error::source(status).unwrap_or_else(|| panic!("no source: {status}"));
    source.downcast_ref().unwrap_or_else(|| panic!("another source: {source}"))
}

#[tokio::test]
async fn calls_share_a_token() {
    let world = World::new().await;
    assert_eq!(world.echo("one").await.unwrap(), "one");
    assert_eq!(world.echo("two").await.unwrap(), "two");
    assert_eq!(world.counts(), (2, 1, 1));
}

#[tokio::test]
async fn a_call_refused_in_the_headers_is_renewed_and_replayed() {
    let world = World::new().await;
    world.echo("one").await.unwrap();
    world.server.revoke_all();
    assert_eq!(world.echo("two").await.unwrap(), "two");
    assert_eq!(world.counts(), (3, 2, 2));
}

/// The HTTP status is 200: by the default reading there is nothing to renew.
#[tokio::test]
async fn without_the_classifier_it_is_not_seen() {
    let world = World::with(|route| route).await;
    world.echo("one").await.unwrap();
    world.server.revoke_all();
    assert_eq!(world.echo("two").await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(world.counts(), (2, 1, 1));
}

#[tokio::test]
async fn a_fresh_token_that_is_refused_too_is_the_servers_own_answer() {
    let world = World::new().await;
    world.server.refuse_all();
    assert_eq!(world.echo("one").await.unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(world.counts(), (2, 2, 2), "one replay, never two");
}

#[tokio::test]
async fn a_stream_of_messages_passes_and_is_replayed_whole() {
    let world = World::new().await;
    let whole: String = notes(100).iter().map(|note| note.text.clone()).collect();
    assert_eq!(world.join(notes(100)).await.unwrap(), whole);
    world.server.revoke_all();
    assert_eq!(world.join(notes(100)).await.unwrap(), whole, "refused at once");
    world.server.revoke_all();
    world.server.read_first();
    assert_eq!(world.join(notes(100)).await.unwrap(), whole, "refused after the last message");
    assert_eq!(world.counts(), (5, 3, 3));
}

#[tokio::test]
async fn a_stream_past_the_replay_limit_is_refused_and_the_next_call_is_not() {
    let world = World::with(|route| route.classify(Verdict::of_grpc).replay_limit(100)).await;
    world.join(notes(100)).await.unwrap();
    world.server.revoke_all();
    world.server.read_first();
    assert_eq!(world.join(notes(100)).await.unwrap_err().code(), Code::Unauthenticated);
    let renewed = world.sandbox.until(|at| at.token_requests() == 2);
    timeout(Duration::from_secs(10), renewed).await.expect("renewed behind the answer");
    // A short call has the new token, or waits for it.
    world.echo("short").await.unwrap();
    assert!(world.join(notes(100)).await.is_ok());
    let (_, tokens, token_requests) = world.counts();
    assert_eq!((tokens, token_requests), (2, 2));
}

/// The status is in the trailers then, after messages that cannot be taken back.
#[tokio::test]
async fn a_stream_rejected_half_way_is_the_callers_as_it_is() {
    let world = World::new().await;
    let (say, said) = tokio::sync::mpsc::channel(1);
    let said = tokio_stream::wrappers::ReceiverStream::new(said);
    let mut client = NotesClient::with_origin(world.service(), world.origin());
    let mut answers = client.chat(said).await.unwrap().into_inner();
    say.send(Note::new("one")).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().text, "one");

    world.server.revoke_all();
    say.send(Note::new("two")).await.unwrap();

    assert_eq!(answers.next().await.unwrap().unwrap_err().code(), Code::Unauthenticated);
    assert_eq!(world.counts(), (1, 1, 1), "nothing renewed, nothing replayed");
    // The next call meets the refusal in its headers, and mends it.
    assert_eq!(world.echo("three").await.unwrap(), "three");
    assert_eq!(world.counts(), (3, 2, 2));
}

#[tokio::test]
async fn a_stream_both_ways_is_replayed_while_it_is_open() {
    let world = World::new().await;
    world.echo("warm").await.unwrap();
    world.server.revoke_all();
    let (say, said) = tokio::sync::mpsc::channel(1);
    let said = tokio_stream::wrappers::ReceiverStream::new(said);
    let mut client = NotesClient::with_origin(world.service(), world.origin());
    say.send(Note::new("one")).await.unwrap();
    let mut answers = client.chat(said).await.unwrap().into_inner();
    assert_eq!(answers.next().await.unwrap().unwrap().text, "one");
    say.send(Note::new("two")).await.unwrap();
    assert_eq!(answers.next().await.unwrap().unwrap().text, "two");
    assert_eq!(world.counts(), (3, 2, 2));
}

#[tokio::test]
async fn the_layers_errors_are_the_source_of_the_status() {
    let world = World::new().await;
    world.sandbox.script_token([Answer::json(401, r#"{"error":"invalid_client"}"#)]);
    let status = world.echo("one").await.unwrap_err();
    let error = cause(&status).as_token_error().unwrap();
    assert_eq!(error.kind(), TokenErrorKind::ErrorResponse);
    assert!(status.message().contains("invalid_client"), "{status}");
    assert_eq!(world.counts(), (0, 0, 1));
}

/// Without it, the layer sees a path without a host, which is no route's.
#[tokio::test]
async fn a_client_without_its_origin_matches_no_route() {
    let world = World::new().await;
    let status = NotesClient::new(world.service()).echo(Note::new("one")).await.unwrap_err();
    let Error::Route(error) = cause(&status) else { panic!("{status}") };
    assert_eq!(error.kind(), RouteErrorKind::NoRoute);
    assert!(error.to_string().contains("without a scheme and host"), "{error}");
}
