//! What is between one process and its Redis: a way that can be cut, or be long.

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// How the way is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// All connections end, and no new one is let through.
    Cut,
    /// What is sent arrives so much later, in each direction.
    Long(Duration),
}

/// A proxy on loopback.
pub(crate) struct Proxy {
    address: SocketAddr,
    way: watch::Sender<Way>,
}

impl Proxy {
    /// In front of this port, and open.
    pub(crate) async fn start(port: u16) -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("bound");
        let (way, ways) = watch::channel(Way::Open);
        tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                tokio::spawn(carry(client, port, ways.clone()));
            }
        });
        Self { address, way }
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://{}", self.address)
    }

    pub(crate) fn set(&self, way: Way) {
        self.way.send_replace(way);
    }
}

/// One connection, to its end.
async fn carry(client: TcpStream, port: u16, mut ways: watch::Receiver<Way>) {
    if *ways.borrow_and_update() == Way::Cut {
        return;
    }
    let Ok(server) = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await else { return };
    let (from_client, to_client) = client.into_split();
    let (from_server, to_server) = server.into_split();
    let there = pass(from_client, to_server, ways.clone());
    let back = pass(from_server, to_client, ways.clone());
    tokio::select! {
        _ = async { tokio::join!(there, back) } => {}
        () = async { drop(ways.wait_for(|way| *way == Way::Cut).await) } => {}
    }
}

async fn pass(
    mut from: OwnedReadHalf,
    mut to: OwnedWriteHalf,
    ways: watch::Receiver<Way>,
) -> io::Result<()> {
    let mut bytes = [0; 4096];
    loop {
        let read = from.read(&mut bytes).await?;
        if read == 0 {
            return to.shutdown().await;
        }
        let way = *ways.borrow();
        if let Way::Long(time) = way {
            tokio::time::sleep(time).await;
        }
        to.write_all(&bytes[..read]).await?;
    }
}
