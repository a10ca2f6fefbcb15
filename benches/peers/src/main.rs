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
//!
//! What it prints is a section of BENCHMARKS.md, into which `benches/speed` writes it, with the machine's
//! kind.

// The one counter of both crates.
#[path = "../../speed/src/allocations.rs"]
mod allocations;
mod args;
mod http_client;
mod partner;
mod peer;
mod peers;
mod report;
mod scenarios;
mod world;

use std::process::ExitCode;

use args::Args;
use peer::Entry;

fn main() -> ExitCode {
    let args = match Args::parse(std::env::args().skip(1)) {
        Ok(args) => args,
        Err(message) => {
            eprintln!("{message}");
            return ExitCode::FAILURE;
        }
    };
    let entries = args.peers(peers::all());
    println!("| | version | leaves to its user | set up after |\n|---|---|---|---|");
    for Entry { about, .. } in &entries {
        let version = about.package.and_then(locked_version).unwrap_or("—");
        println!("| {} | {version} | {} | {} |", about.name, about.cannot, about.setup);
    }
    if !args.list {
        for scenario in args.scenarios() {
            eprintln!("measuring: {}", scenario.name);
            println!("\n{}", (scenario.run)(&entries, args.size));
        }
    }
    ExitCode::SUCCESS
}

/// The version of a package that this binary was built with.
fn locked_version(package: &str) -> Option<&'static str> {
    let (_, entry) =
        include_str!("../Cargo.lock").split_once(&format!("name = \"{package}\"\n"))?;
    entry.strip_prefix("version = \"")?.split('"').next()
}
