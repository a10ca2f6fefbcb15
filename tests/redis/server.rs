//! A real redis-server, for as long as a value lives.

use std::net::{Ipv4Addr, TcpListener};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::thread;
use std::time::Duration;

use redis::{Client, Connection, FromRedisValue};

/// How often, and how long in all, a server is asked whether it is up.
const PROBE: Duration = Duration::from_millis(20);
const PROBES: usize = 500;

/// A Redis that keeps nothing on disk, on a loopback port of its own.
pub(crate) struct RedisServer {
    port: u16,
    options: Vec<String>,
    child: Option<Child>,
}

impl RedisServer {
    pub(crate) fn start() -> Self {
        Self::start_with(&[])
    }

    /// With these arguments as well.
    pub(crate) fn start_with(options: &[&str]) -> Self {
        let mut server = Self::absent();
        server.options = options.iter().map(|&option| option.to_owned()).collect();
        server.restart();
        server
    }

    /// A place where none runs yet.
    pub(crate) fn absent() -> Self {
        Self { port: free_port(), options: Vec::new(), child: None }
    }

    /// Starts it, at the place where it was. Nothing is left of what it held.
    pub(crate) fn restart(&mut self) {
        assert!(self.child.is_none(), "it runs");
        let mut command = Command::new("redis-server");
        command.args(["--port", &self.port.to_string(), "--bind", "127.0.0.1"]);
        command.args(["--save", "", "--appendonly", "no"]).args(&self.options);
        self.child = Some(command.stdout(Stdio::null()).spawn().expect("redis-server on the path"));
        for _ in 0..PROBES {
            let answer = self
                .client()
                .get_connection()
                .map(|mut connection| redis::cmd("PING").exec(&mut connection).is_ok());
            if answer.unwrap_or(false) {
                return;
            }
            thread::sleep(PROBE);
        }
        panic!("redis-server does not answer");
    }

    /// Ends it at once, as a crash would.
    pub(crate) fn kill(&mut self) {
        let mut child = self.child.take().expect("it runs");
        child.kill().expect("it runs");
        child.wait().expect("it has ended");
    }

    /// It takes connections and commands from here on, and answers none.
    pub(crate) fn pause(&self) {
        self.signal("-STOP");
    }

    /// It answers again, what was asked meanwhile as well.
    pub(crate) fn resume(&self) {
        self.signal("-CONT");
    }

    fn signal(&self, signal: &str) {
        let id = self.child.as_ref().expect("it runs").id().to_string();
        let status = Command::new("kill").args([signal, &id]).status().expect("kill on the path");
        assert!(status.success());
    }

    pub(crate) fn port(&self) -> u16 {
        self.port
    }

    pub(crate) fn url(&self) -> String {
        format!("redis://127.0.0.1:{}", self.port)
    }

    fn client(&self) -> Client {
        Client::open(self.url()).expect("a good URL")
    }

    pub(crate) fn connection(&self) -> Connection {
        self.client().get_connection().expect("it runs")
    }

    /// What it answers to a command.
    #[track_caller]
    pub(crate) fn ask<T: FromRedisValue>(&self, command: &[&str]) -> T {
        let mut asked = redis::cmd(command[0]);
        for argument in &command[1..] {
            asked.arg(*argument);
        }
        asked.query(&mut self.connection()).unwrap_or_else(|error| panic!("{command:?}: {error}"))
    }

    /// Has it do something.
    #[track_caller]
    pub(crate) fn tell(&self, command: &[&str]) {
        let _: redis::Value = self.ask(command);
    }

    /// The names of all that it holds.
    pub(crate) fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = self.ask(&["KEYS", "*"]);
        names.sort();
        names
    }

    /// How many bytes it has sent.
    pub(crate) fn sent(&self) -> u64 {
        let statistics: String = self.ask(&["INFO", "stats"]);
        let mut lines = statistics.lines();
        let number = lines.find_map(|stat| stat.strip_prefix("total_net_output_bytes:"));
        number.expect("it is told").parse().expect("a number")
    }

    /// How often clients have called this command; not what scripts have called.
    pub(crate) fn calls(&self, command: &str) -> u64 {
        let statistics: String = self.ask(&["INFO", "commandstats"]);
        let line = format!("cmdstat_{command}:calls=");
        let rest = statistics.lines().find_map(|stat| stat.strip_prefix(&line));
        let number = rest.and_then(|rest| rest.split(',').next());
        number.map_or(0, |number| number.parse().expect("a number"))
    }
}

impl Drop for RedisServer {
    fn drop(&mut self) {
        if let Some(child) = &mut self.child {
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

/// Below those that the system gives to clients: a client that looks for a server which is not there
/// might else come to be connected to itself.
pub(crate) fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    loop {
        let offset = u16::try_from(std::process::id() % 10_000).expect("small");
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let port = 20_000 + (offset + number * 7) % 10_000;
        if TcpListener::bind((Ipv4Addr::LOCALHOST, port)).is_ok() {
            return port;
        }
    }
}
