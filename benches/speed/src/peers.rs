//! The comparison with other crates: a crate of its own, which prints its tables.

use std::process::{Command, Stdio};

use crate::Effort;
use crate::report::Section;

const MANIFEST: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../peers/Cargo.toml");

/// Builds it, which takes minutes the first time: before anything is measured, not amid it.
///
/// # Errors
///
/// When it does not build: cargo has said why.
pub(crate) fn build() -> Result<(), String> {
    run(&mut cargo("build")).map(drop)
}

/// # Errors
///
/// When it does not run: it has said why.
pub(crate) fn measure(effort: Effort) -> Result<Section, String> {
    let mut command = cargo("run");
    if effort == Effort::Quick {
        command.args(["--", "--quick"]);
    }
    let mut section = Section::default();
    section.add(run(&mut command)?);
    Ok(section)
}

fn cargo(verb: &str) -> Command {
    let mut command = Command::new(env!("CARGO"));
    command.args([verb, "--release", "--locked", "--manifest-path", MANIFEST]);
    // What it says on the way is for who waits.
    command.stderr(Stdio::inherit());
    command
}

fn run(command: &mut Command) -> Result<String, String> {
    let failed = |why: String| format!("benches/peers was not measured: {why}");
    let output = command.output().map_err(|error| failed(error.to_string()))?;
    if !output.status.success() {
        return Err(failed(output.status.to_string()));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}
