//! A TLS server in front of a plain one, as a load balancer is.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_rustls::TlsAcceptor;

use crate::Identity;

/// A TLS server on `localhost` that hands everything on to a plain server behind it, until it is
/// dropped.
pub struct Front {
    origin: String,
    accepted: Arc<AtomicUsize>,
    task: JoinHandle<()>,
}

impl Front {
    /// Starts it with a certificate, in front of `http://host:port`.
    pub async fn start(identity: &Identity, behind: &str) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await?;
        let origin = format!("https://localhost:{}", listener.local_addr()?.port());
        let acceptor = TlsAcceptor::from(identity.config());
        let behind = behind.strip_prefix("http://").unwrap_or(behind).to_owned();
        let accepted = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&accepted);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                count.fetch_add(1, Ordering::SeqCst);
                tokio::spawn(serve(client, acceptor.clone(), behind.clone()));
            }
        });
        Ok(Self { origin, accepted, task })
    }

    /// Its address, as `https://localhost:PORT`.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// How many connections it has seen, those included whose client refused the certificate.
    pub fn accepted(&self) -> usize {
        self.accepted.load(Ordering::SeqCst)
    }
}

impl Drop for Front {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A client that does not like the certificate is the client's business, and told there.
async fn serve(client: TcpStream, acceptor: TlsAcceptor, behind: String) -> io::Result<()> {
    let mut client = acceptor.accept(client).await?;
    let mut server = TcpStream::connect(behind).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}
