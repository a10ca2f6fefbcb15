//! The Redis that the fleet shares: the one that is told, or one of its own for as long as it runs.

use std::fmt;
use std::io;
use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use tokio::time::{sleep, timeout};
use tower::BoxError;
use tower_partner_auth::store::{RedisStore, SharedStore};

/// Either will do.
const PROGRAMS: [&str; 2] = ["redis-server", "valkey-server"];

/// Longer than a Redis takes to start.
const START: Duration = Duration::from_secs(5);

/// Another may take a port between the look for a free one and its use.
const PORTS: usize = 3;

pub(crate) struct Redis {
    url: String,
    _server: Option<Server>,
}

/// What there is to do about it.
#[derive(Debug)]
pub(crate) enum NoRedis {
    NotInstalled,
    NoAnswer(String, Option<BoxError>),
}

/// Ends with its handle.
struct Server(Child);

impl Redis {
    pub(crate) async fn find(url: Option<String>) -> Result<Self, BoxError> {
        if let Some(url) = url {
            answers(&url).await?;
            return Ok(Self { url, _server: None });
        }
        let mut failure = None;
        for _ in 0..PORTS {
            let port = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port();
            let server = Server::start(port)?;
            let url = format!("redis://127.0.0.1:{port}");
            match answers(&url).await {
                Ok(()) => return Ok(Self { url, _server: Some(server) }),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.expect("there was an attempt"))
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }
}

/// Waits until a store on it can be asked.
async fn answers(url: &str) -> Result<(), BoxError> {
    let store = RedisStore::connect(url)?;
    let mut last = None;
    let answer = async {
        while let Err(error) = store.get("is it there?").await {
            last = Some(error.into());
            sleep(Duration::from_millis(20)).await;
        }
    };
    if timeout(START, answer).await.is_err() {
        // Without what may be a password in it.
        let address = url.rsplit('@').next().unwrap_or_default().to_owned();
        return Err(NoRedis::NoAnswer(address, last).into());
    }
    Ok(())
}

impl Server {
    fn start(port: u16) -> Result<Self, BoxError> {
        for program in PROGRAMS {
            let mut command = Command::new(program);
            command.args(["--bind", "127.0.0.1", "--port", &port.to_string()]);
            // Nothing of it is left on the disk.
            command.args(["--save", "", "--appendonly", "no"]);
            match command.stdin(Stdio::null()).stdout(Stdio::null()).spawn() {
                Ok(child) => return Ok(Self(child)),
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                Err(error) => return Err(error.into()),
            }
        }
        Err(NoRedis::NotInstalled.into())
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

impl fmt::Display for NoRedis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotInstalled => f.write_str(
                "there is no redis-server or valkey-server to start: install one (on Debian and \
                 Ubuntu: apt install redis-server), or name one that runs: \
                 --redis redis://127.0.0.1:6379",
            ),
            Self::NoAnswer(address, _) => {
                write!(f, "no Redis answers at {address}: is it there, and may this user ask it?")
            }
        }
    }
}

impl std::error::Error for NoRedis {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::NoAnswer(_, Some(error)) => Some(error.as_ref()),
            _ => None,
        }
    }
}
