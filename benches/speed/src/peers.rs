//! The comparison with other crates: a crate of its own, which prints its tables.

use std::path::Path;
use std::process::{Command, Stdio};

use crate::Effort;
use crate::report::Section;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../peers/Cargo.toml");

pub(crate) fn measure(effort: Effort) -> Section {
    let mut section = Section::default();
    if effort == Effort::Quick {
        section.add("Not measured in a quick run: it takes its time to build.");
        return section;
    }
    if !Path::new(MANIFEST).exists() {
        section.add("Not measured: `benches/peers` is not there.");
        return section;
    }
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--release", "--quiet", "--manifest-path", MANIFEST]);
    // What it says on the way is for who waits.
    match command.stderr(Stdio::inherit()).output() {
        Ok(output) if output.status.success() => {
            section.add(String::from_utf8_lossy(&output.stdout));
        }
        Ok(output) => section.add(format!("Not measured: it ended with {}.", output.status)),
        Err(error) => section.add(format!("Not measured: {error}.")),
    }
    section
}
