//! Measures the layer, and writes the figures into BENCHMARKS.md.
//!
//! ```text
//! cargo run --release --manifest-path benches/speed/Cargo.toml              # all, into BENCHMARKS.md
//! cargo run --release --manifest-path benches/speed/Cargo.toml -- --quick   # under a minute, printed only
//! cargo run --release --manifest-path benches/speed/Cargo.toml -- calls     # one section, printed only
//! ```
//!
//! Nothing but a whole run is written: figures of two runs do not belong side by side. The program
//! fails if a section cannot be measured, and then writes nothing; and if something that is counted is
//! not as promised, an allocation or a token request. What is timed has a verdict in the tables, and
//! fails nothing. Without valgrind there are no instructions, which is said in their place.

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
mod parts;
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

use report::{Document, Section, Target, verdicts};

const PLOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/renewals.svg");

const USAGE: &str = "\
Measures the layer. Without arguments, everything, and writes BENCHMARKS.md and its plot.

  NAME...  only these sections, printed and not written: calls, contention, configurations, herds,
           renewals, loopback, peers
  --quick  less of each, to see that it works; printed and not written
  --help   this
";

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

/// What is said of all of them.
const OF_ALL: [&str; 2] = ["machine", "verdicts"];

/// Whatever BENCHMARKS.md has to have a place for.
pub(crate) fn places() -> impl Iterator<Item = &'static str> {
    SECTIONS.into_iter().chain(OF_ALL)
}

fn main() -> ExitCode {
    let mut arguments: Vec<String> = env::args().skip(1).collect();
    if arguments.first().is_some_and(|first| first == instructions::RUN) {
        instructions::run(&arguments.split_off(1));
        return ExitCode::SUCCESS;
    }
    if arguments.iter().any(|argument| argument == "--help") {
        print!("{USAGE}");
        return ExitCode::SUCCESS;
    }
    let quick = arguments.iter().any(|argument| argument == "--quick");
    arguments.retain(|argument| argument != "--quick");
    if let Some(unknown) = arguments.iter().find(|name| !SECTIONS.contains(&name.as_str())) {
        eprintln!("{unknown:?} is neither a section nor an option\n\n{USAGE}");
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
    // At once: not after ten minutes, if there is no place for the figures.
    let mut document = if write { Some(Document::open()?) } else { None };
    let is_chosen = |name: &str| chosen.is_empty() || chosen.iter().any(|other| other == name);
    if is_chosen("peers") {
        peers::build()?;
    }
    let work = machine::Work::so_far();
    let mut figures: Vec<(&str, String)> = Vec::new();
    let mut targets = Vec::new();
    let mut svg = None;
    for name in SECTIONS.into_iter().filter(|name| is_chosen(name)) {
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
            _ => peers::measure(effort)?,
        };
        let Section { markdown, targets: of_section } = section;
        println!("## {name}\n\n{markdown}");
        figures.push((name, markdown));
        targets.extend(of_section);
    }
    for (name, markdown) in OF_ALL.into_iter().zip([machine::describe(work), verdicts(&targets)]) {
        println!("## {name}\n\n{markdown}");
        figures.push((name, markdown));
    }
    if let Some(document) = &mut document {
        for (name, markdown) in &figures {
            document.put(name, markdown)?;
        }
        let svg = svg.expect("a whole run has a plot");
        fs::write(PLOT, svg).map_err(|error| format!("the plot: {error}"))?;
        document.write()?;
        println!("written: BENCHMARKS.md, benches/speed/renewals.svg");
    }
    Ok(targets)
}
