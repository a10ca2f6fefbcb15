//! One token for a whole fleet, shown with real processes and a real Redis.
//!
//! ```text
//! cargo run --example fleet --features redis,sandbox
//! cargo run --example fleet --features redis,sandbox -- --processes 20 --redis redis://127.0.0.1:6379
//! ```
//!
//! starts processes that call the sandbox's API for some seconds, on a server that revokes the previous
//! token at each issue and with tokens that live two seconds: once each for itself, once with a shared
//! store. What it cost is counted at the server, and printed side by side. Without `--redis`, it starts a
//! `redis-server` of its own on a free port, and ends it.
//!
//! ```text
//! cargo run --release --example fleet --features redis,sandbox -- --simulate
//! cargo run --example fleet --features redis,sandbox -- --simulate --short
//! ```
//!
//! counts the token requests of fleets of up to a thousand processes in simulated time, and writes the
//! figures into `FLEET.md` and the plot beside it. The short form goes to fifty, and only prints.
//!
//! It ends with status 0 if everything is as promised, 1 if not, 2 if it was called wrongly or there is
//! no Redis.
//!
//! # Layout
//!
//! - [`process`] is one process of the fleet: the layer around an HTTP client, and calls through it;
//! - [`fleet`] starts them, lets them go at one moment, and adds up what they tell;
//! - [`redis_server`] is where they leave tokens for each other;
//! - [`variants`] are the two runs, their table, and what is promised of them;
//! - [`simulation`] is the same in simulated time;
//! - [`faults`] is what was not as it should be.

#[path = "../tour/faults.rs"]
mod faults;
mod fleet;
mod process;
mod redis_server;
mod simulation;
mod variants;

use std::process::ExitCode;

use tower::BoxError;

use faults::{Faults, with_causes};
use redis_server::{NoRedis, Redis};

/// How the example calls itself.
const PROCESS: &str = "--as-one-process";

enum Arguments {
    Fleet { processes: usize, redis: Option<String> },
    Simulate { short: bool },
    Process,
}

fn main() -> ExitCode {
    let arguments = match arguments(std::env::args().skip(1)) {
        Ok(arguments) => arguments,
        Err(argument) => {
            eprintln!(
                "fleet: what is {argument:?}? Known are --processes NUMBER (1 to 200), --redis URL, \
                 and --simulate, with it --short"
            );
            return ExitCode::from(2);
        }
    };
    let run = match arguments {
        Arguments::Process => process::run().map(|()| Faults::default()),
        Arguments::Simulate { short } => simulation::run(short),
        Arguments::Fleet { processes, redis } => of_processes(processes, redis),
    };
    match run {
        Ok(faults) if faults.0.is_empty() => ExitCode::SUCCESS,
        Ok(faults) => {
            eprintln!("\nfleet: {} not as promised:", faults.0.len());
            faults.0.iter().for_each(|fault| eprintln!("  - {fault}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("fleet: {}", with_causes(error.as_ref()));
            if error.is::<NoRedis>() { ExitCode::from(2) } else { ExitCode::FAILURE }
        }
    }
}

fn of_processes(processes: usize, redis: Option<String>) -> Result<Faults, BoxError> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build()?;
    runtime.block_on(async {
        let redis = Redis::find(redis).await?;
        variants::play(processes, &redis).await
    })
}

/// # Errors
///
/// What was not understood.
fn arguments(mut given: impl Iterator<Item = String>) -> Result<Arguments, String> {
    let (mut processes, mut redis) = (8, None);
    let (mut simulate, mut short) = (false, false);
    while let Some(name) = given.next() {
        match name.as_str() {
            PROCESS => return Ok(Arguments::Process),
            "--simulate" => simulate = true,
            "--short" if simulate => short = true,
            "--redis" => redis = Some(given.next().ok_or(name)?),
            "--processes" => {
                let number = given.next().ok_or(name)?;
                let known = number.parse().ok().filter(|number| (1..=200).contains(number));
                processes = known.ok_or(number)?;
            }
            _ => return Err(name),
        }
    }
    if simulate {
        return Ok(Arguments::Simulate { short });
    }
    Ok(Arguments::Fleet { processes, redis })
}
