//! The layer beside what one would use instead: the code people write by hand, and published crates
//! that do part of its job, each set up as its documentation says, on the same scenarios.
//!
//! ```text
//! cargo run --release --manifest-path benches/peers/Cargo.toml
//! ```
//!
//! - [`peer`] says what every peer is to the scenarios, [`peers`] has one file for each;
//! - [`partner`] is the other side: a token server on loopback and an API in memory;
//! - [`scenarios`] has one file for each table, [`report`] prints them and says where the library is
//!   not ahead.

mod allocations;
mod args;
mod http_client;
mod machine;
mod partner;
mod peer;
mod peers;
mod report;
mod scenarios;
mod world;

use std::process::ExitCode;

use serde::Serialize;

use args::Args;
use machine::Machine;
use peer::{Entry, Failure};
use report::Table;

/// What `--json` writes.
#[derive(Serialize)]
struct Results {
    machine: Machine,
    quick: bool,
    peers: Vec<Listed>,
    tables: Vec<Table>,
}

#[derive(Serialize)]
struct Listed {
    name: &'static str,
    version: Option<&'static str>,
    setup: &'static str,
    cannot: &'static str,
}

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    match run(&args) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("{failure}");
            ExitCode::FAILURE
        }
    }
}

fn run(args: &Args) -> Result<(), Failure> {
    let entries = args.peers(peers::all());
    let machine = Machine::here();
    println!("# Peers\n\n{machine}.\n");
    let listed: Vec<Listed> = entries.iter().map(Listed::of).collect();
    println!("| | version | leaves to its user | set up after |\n|---|---|---|---|");
    for Listed { name, version, setup, cannot } in &listed {
        println!("| {name} | {} | {cannot} | {setup} |", version.unwrap_or("—"));
    }
    if args.list {
        return Ok(());
    }
    let quick = args.size == scenarios::Size::Quick;
    let mut results = Results { machine, quick, peers: listed, tables: Vec::new() };
    for scenario in args.scenarios() {
        let table = (scenario.run)(&entries, args.size);
        println!("\n{table}");
        results.tables.push(table);
    }
    if let Some(path) = &args.json {
        std::fs::write(path, serde_json::to_string_pretty(&results)?)?;
    }
    Ok(())
}

impl Listed {
    fn of(entry: &Entry) -> Self {
        let about = &entry.about;
        let version = about.package.and_then(locked_version);
        Self { name: about.name, version, setup: about.setup, cannot: about.cannot }
    }
}

/// The version of a package that this binary was built with.
fn locked_version(package: &str) -> Option<&'static str> {
    let (_, entry) =
        include_str!("../Cargo.lock").split_once(&format!("name = \"{package}\"\n"))?;
    entry.strip_prefix("version = \"")?.split('"').next()
}
