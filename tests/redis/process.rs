//! A real process of a fleet: this test binary once more, told by its environment what to be.
//!
//! It is told what to do by lines, and answers each with one.

use std::env;
use std::io::{BufRead, BufReader, Write, stdin};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::thread;
use std::time::Duration;

use tokio::runtime::Builder;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinHandle;
use tower_partner_auth::store::RedisStore;
use tower_partner_auth::{ClientCredentials, Environment, PartnerAuthLayer};

use super::fleet::{self, Fleet, Process};

const ORIGIN: &str = "FLEET_ORIGIN";
const CLIENT: &str = "FLEET_CLIENT";
const SECRET: &str = "FLEET_SECRET";
const REDIS: &str = "FLEET_REDIS";
const LEASE: &str = "FLEET_LEASE_MS";

/// Before each answer: the test harness prints to the same place.
const ANSWER: &str = "answer: ";

/// How often a process under load makes a call.
const EVERY: Duration = Duration::from_millis(250);

/// The other end of one.
pub(crate) struct RealProcess {
    child: Child,
    lines: ChildStdin,
    answers: mpsc::UnboundedReceiver<String>,
}

impl RealProcess {
    pub(crate) async fn start(fleet: &Fleet, lease: Duration) -> Self {
        let credentials = fleet.sandbox.credentials();
        let secret = credentials.client_secret().await.expect("a plain one");
        let mut child = Command::new(env::current_exe().expect("this"))
            .args(["--ignored", "--exact", "--nocapture", "process::one_process_of_a_fleet"])
            .env(ORIGIN, fleet.sandbox.origin())
            .env(CLIENT, credentials.client_id())
            .env(SECRET, &*secret)
            .env(REDIS, fleet.redis.url())
            .env(LEASE, lease.as_millis().to_string())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("this binary once more");
        let lines = child.stdin.take().expect("piped");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let (answered, answers) = mpsc::unbounded_channel();
        thread::spawn(move || {
            for line in stdout.lines().map_while(Result::ok) {
                if let Some((_, answer)) = line.split_once(ANSWER) {
                    let _ = answered.send(answer.to_owned());
                }
            }
        });
        let mut process = Self { child, lines, answers };
        assert_eq!(process.answer().await, "ready");
        process
    }

    /// Tells it to do something, and does not wait.
    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.lines, "{line}").expect("it runs");
    }

    pub(crate) async fn answer(&mut self) -> String {
        self.answers.recv().await.expect("it runs")
    }

    /// The answer to `status`.
    pub(crate) async fn status(&mut self) -> serde_json::Value {
        self.tell("status");
        serde_json::from_str(&self.answer().await).expect("JSON")
    }

    /// SIGKILL.
    pub(crate) fn kill(&mut self) {
        self.child.kill().expect("it runs");
        self.child.wait().expect("it has ended");
    }
}

impl Drop for RealProcess {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What the process does.
#[test]
#[ignore = "is started by other tests"]
fn one_process_of_a_fleet() {
    let Ok(origin) = env::var(ORIGIN) else { return };
    let runtime = Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(run(origin));
}

async fn run(origin: String) {
    let variable = |name| env::var(name).expect("set by the one who started this");
    let store = RedisStore::connect(variable(REDIS)).unwrap();
    let lease = Duration::from_millis(variable(LEASE).parse().unwrap());
    let auth =
        PartnerAuthLayer::builder(ClientCredentials::new(variable(CLIENT), variable(SECRET)))
            .environment(Environment::at(&origin))
            .shared_store(store, fleet::keys())
            .store_lease(lease)
            .store_timeout(Duration::from_secs(10))
            .build()
            .unwrap();
    let process = Process::new(auth, &origin);
    let (line, mut lines) = mpsc::unbounded_channel();
    thread::spawn(move || {
        stdin().lines().map_while(Result::ok).try_for_each(|next| line.send(next))
    });
    answer("ready");
    let mut loads = Vec::new();
    let (end, ends) = watch::channel(());
    while let Some(line) = lines.recv().await {
        match line.split_once(' ') {
            Some(("call", paths)) => answer(&calls(&process, paths).await),
            Some(("load", paths)) => loads.push(load(&process, paths, ends.clone())),
            None if line == "end" => {
                end.send_replace(());
                let mut done = Vec::new();
                for load in loads.drain(..) {
                    done.push(load.await.unwrap());
                }
                answer(&done.join(","));
            }
            None if line == "status" => {
                answer(&serde_json::to_string(&process.auth.status()).unwrap());
            }
            _ => panic!("what is {line:?}?"),
        }
    }
}

fn answer(text: &str) {
    // A line of its own, whatever the harness has printed before.
    println!("\n{ANSWER}{text}");
}

/// One call of each path, all at once; what came of them.
async fn calls(process: &Process, paths: &str) -> String {
    let calls = paths.split(' ').map(|path| {
        let (process, path) = (process.clone(), path.to_owned());
        tokio::spawn(async move { process.call_path(&path).await.status.as_u16().to_string() })
    });
    let calls: Vec<_> = calls.collect();
    let mut statuses = Vec::new();
    for call in calls {
        statuses.push(call.await.unwrap());
    }
    statuses.join(" ")
}

/// Calls of each path, again and again; how many there were, and how many of them were not well.
fn load(process: &Process, paths: &str, mut ends: watch::Receiver<()>) -> JoinHandle<String> {
    let (process, paths) = (process.clone(), paths.to_owned());
    tokio::spawn(async move {
        let (mut all, mut failed) = (0, 0);
        ends.mark_unchanged();
        while !ends.has_changed().unwrap() {
            let answers = calls(&process, &paths).await;
            all += answers.split(' ').count();
            failed += answers.split(' ').filter(|status| *status != "200").count();
            tokio::time::sleep(EVERY).await;
        }
        format!("{all} calls, {failed} failed")
    })
}
