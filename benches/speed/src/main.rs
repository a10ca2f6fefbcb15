//! Measures the layer, and writes the figures into BENCHMARKS.md.
//!
//! ```text
//! cargo run --release --manifest-path benches/speed/Cargo.toml              # all, into BENCHMARKS.md
//! cargo run --release --manifest-path benches/speed/Cargo.toml -- --quick   # under a minute, printed only
//! cargo run --release --manifest-path benches/speed/Cargo.toml -- calls     # one section, printed only
//! ```
//!
//! Nothing but a whole run is written: figures of two runs do not belong side by side. The program
//! fails if something that is counted is not as promised, an allocation or a token request; what is
//! timed has a verdict in the tables, and fails nothing.

mod allocations;
mod callgrind;
mod calls;
mod contention;
mod herds;
mod instructions;
mod loopback;
mod machine;
mod mutex_client;
mod partner;
mod peers;
mod plot;
mod renewals;
mod report;
#[path = "../../overhead/scenarios.rs"]
mod scenarios;
mod slots_and_routes;
mod stats;

use std::process::ExitCode;
use std::{env, fs};

use report::{Section, Target, replace, verdicts};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../BENCHMARKS.md");
const PLOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/renewals.svg");

/// How much is measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Effort {
    Full,
    /// To see that it works: the figures are not worth much.
    Quick,
}

impl Effort {
    pub(crate) fn of<T>(self, full: T, quick: T) -> T {
        match self {
            Self::Full => full,
            Self::Quick => quick,
        }
    }
}

/// In the order in which they are run. What needs quiet comes before what makes the machine warm.
const SECTIONS: [&str; 7] =
    ["calls", "contention", "configurations", "herds", "renewals", "loopback", "peers"];

fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == instructions::RUN) {
        instructions::run(&arguments.split_off(1));
        return ExitCode::SUCCESS;
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    arguments.retain(|argument| argument != "--quick");
    if let Some(unknown) = arguments.iter().find(|name| !SECTIONS.contains(&name.as_str())) {
        eprintln!("there is no section {unknown:?}: there are {}", SECTIONS.join(", "));
        return ExitCode::FAILURE;
    }
    let effort = if quick { Effort::Quick } else { Effort::Full };
    let whole = arguments.is_empty() && !quick;
    match run(effort, &arguments, whole) {
        Ok(targets) => {
            let broken: Vec<_> =
                targets.iter().filter(|target| target.is_count && !target.met).collect();
            for Target { what, limit, measured, .. } in &broken {
                eprintln!("not as promised: {what}: {measured}, where the limit is {limit}");
            }
            if broken.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
        }
        Err(why) => {
            eprintln!("{why}");
            ExitCode::FAILURE
        }
    }
}

fn run(effort: Effort, chosen: &[String], write: bool) -> Result<Vec<Target>, String> {
    let work = machine::Work::so_far();
    let mut figures: Vec<(&str, String)> = Vec::new();
    let mut targets = Vec::new();
    let mut svg = None;
    for name in SECTIONS {
        if !chosen.is_empty() && !chosen.iter().any(|other| other == name) {
            continue;
        }
        eprintln!("measuring: {name}");
        let section = match name {
            "calls" => calls::measure(effort),
            "contention" => contention::measure(effort),
            "configurations" => slots_and_routes::measure(effort),
            "herds" => herds::measure(effort),
            "renewals" => {
                let renewals = renewals::measure(effort);
                svg = Some(renewals.svg);
                renewals.section
            }
            "loopback" => loopback::measure(effort),
            _ => peers::measure(effort),
        };
        let Section { markdown, targets: of_section } = section;
        println!("## {name}\n\n{markdown}");
        figures.push((name, markdown));
        targets.extend(of_section);
    }
    for (name, markdown) in [("machine", machine::describe(work)), ("verdicts", verdicts(&targets))]
    {
        println!("## {name}\n\n{markdown}");
        figures.push((name, markdown));
    }
    if write {
        let read = |error| format!("BENCHMARKS.md: {error}");
        let mut document = fs::read_to_string(DOCUMENT).map_err(read)?;
        for (name, markdown) in figures {
            document = replace(&document, name, &markdown)?;
        }
        fs::write(DOCUMENT, document).map_err(read)?;
        let svg = svg.expect("a whole run has a plot");
        fs::write(PLOT, svg).map_err(|error| format!("the plot: {error}"))?;
        println!("written: BENCHMARKS.md, benches/speed/renewals.svg");
    }
    Ok(targets)
}
