//! A gRPC service that wants a token, and says UNAUTHENTICATED to one that is over: before it answers
//! anything, or half way.

use std::collections::HashSet;
use std::net::Ipv4Addr;
use std::pin::Pin;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use tokio_stream::{Stream, StreamExt};
use tonic::service::interceptor::InterceptedService;
use tonic::transport::Server;
use tonic::transport::server::TcpIncoming;
use tonic::{Request, Response, Status, Streaming};

pub use generated::notes_client::NotesClient;
use generated::notes_server::{Notes, NotesServer};

mod generated {
    #![allow(unreachable_pub, reason = "generated")]
    tonic::include_proto!("notes.v1.Notes");
}

/// The message that all methods take and give.
#[derive(Clone, PartialEq, prost::Message)]
pub struct Note {
    /// What it says.
    #[prost(string, tag = "1")]
    pub text: String,
}

impl Note {
    /// A note that says this.
    pub fn new(text: impl Into<String>) -> Self {
        Self { text: text.into() }
    }
}

/// The server, until it is dropped.
pub struct NoteServer {
    origin: String,
    books: Arc<Books>,
    task: JoinHandle<()>,
}

/// What the server knows and counts.
#[derive(Default)]
struct Books {
    // By the text of the `authorization` metadata.
    seen: Mutex<Vec<Option<String>>>,
    dead: Mutex<HashSet<String>>,
    reads_first: AtomicBool,
    refuses_all: AtomicBool,
}

impl NoteServer {
    /// Starts it on loopback.
    pub async fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("it is bound");
        let books = Arc::<Books>::default();
        let at_door = Arc::clone(&books);
        let service = InterceptedService::new(
            NotesServer::new(Desk(Arc::clone(&books))),
            move |call: Request<()>| at_door.admit(call),
        );
        let serving =
            Server::builder().add_service(service).serve_with_incoming(TcpIncoming::from(listener));
        let task =
            tokio::spawn(async move { serving.await.expect("it serves until it is dropped") });
        Self { origin: format!("http://{address}"), books, task }
    }

    /// Its address, as `http://127.0.0.1:PORT`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many calls have come, and how many different tokens with them.
    pub fn calls_and_tokens(&self) -> (usize, usize) {
        let seen = self.books.seen.lock().unwrap();
        (seen.len(), seen.iter().flatten().collect::<HashSet<_>>().len())
    }

    /// Says no to all tokens that were seen until now, wherever they come up.
    pub fn revoke_all(&self) {
        let seen = self.books.seen.lock().unwrap();
        self.books.dead.lock().unwrap().extend(seen.iter().flatten().cloned());
    }

    /// Says no to every token from here on.
    pub fn refuse_all(&self) {
        self.books.refuses_all.store(true, Ordering::SeqCst);
    }

    /// Reads all that a caller sends before it looks at the token.
    pub fn read_first(&self) {
        self.books.reads_first.store(true, Ordering::SeqCst);
    }
}

impl Drop for NoteServer {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Books {
    fn admit(&self, call: Request<()>) -> Result<Request<()>, Status> {
        let token = bearer(&call);
        self.seen.lock().unwrap().push(token);
        // Without a message or a body: a response of headers only.
        if !self.reads_first.load(Ordering::SeqCst) {
            self.check(&call)?;
        }
        Ok(call)
    }

    fn check<T>(&self, call: &Request<T>) -> Result<(), Status> {
        let refused = |token| {
            self.refuses_all.load(Ordering::SeqCst) || self.dead.lock().unwrap().contains(token)
        };
        match bearer(call) {
            Some(token) if !refused(&token) => Ok(()),
            _ => Err(Status::unauthenticated("no good token")),
        }
    }
}

fn bearer<T>(call: &Request<T>) -> Option<String> {
    let value = call.metadata().get("authorization")?.to_str().ok()?;
    Some(value.strip_prefix("Bearer ")?.to_owned())
}

struct Desk(Arc<Books>);

#[tonic::async_trait]
impl Notes for Desk {
    async fn echo(&self, call: Request<Note>) -> Result<Response<Note>, Status> {
        self.0.check(&call)?;
        Ok(Response::new(call.into_inner()))
    }

    async fn join(&self, call: Request<Streaming<Note>>) -> Result<Response<Note>, Status> {
        let (metadata, extensions, mut notes) = call.into_parts();
        let mut all = String::new();
        while let Some(note) = notes.try_next().await? {
            all.push_str(&note.text);
        }
        self.0.check(&Request::from_parts(metadata, extensions, ()))?;
        Ok(Response::new(Note::new(all)))
    }

    type ChatStream = Pin<Box<dyn Stream<Item = Result<Note, Status>> + Send>>;

    /// Looks at the token again before each answer.
    async fn chat(
        &self,
        call: Request<Streaming<Note>>,
    ) -> Result<Response<Self::ChatStream>, Status> {
        let (metadata, extensions, notes) = call.into_parts();
        let caller = Request::from_parts(metadata, extensions, ());
        let books = Arc::clone(&self.0);
        let answers = notes.map(move |note| books.check(&caller).and(note));
        Ok(Response::new(Box::pin(answers)))
    }
}
