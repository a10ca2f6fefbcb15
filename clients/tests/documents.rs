//! That STACK.md and SECURITY.md name only tests that there are.

use std::fs;
use std::path::Path;

/// A file of the repository.
fn source(path: &str) -> String {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    fs::read_to_string(root.join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

#[test]
fn every_claim_names_a_test_that_there_is() {
    let document = source("STACK.md");
    let mut claims = 0;
    for line in document.lines().filter(|line| line.starts_with('|')) {
        let mut tests = None;
        // What is in backticks is every second part: a file, then the tests in it.
        for code in line.split('`').skip(1).step_by(2) {
            if code.ends_with(".rs") {
                tests = Some(source(code));
            } else if let Some(tests) = &tests {
                assert!(tests.contains(&format!("async fn {code}(")), "{code}, in: {line}");
                claims += 1;
            }
        }
        // Headings and rules aside, every line is a claim.
        let is_claim = line.len() > 60;
        assert_eq!(is_claim, tests.is_some(), "without a test: {line}");
    }
    assert!(claims > 30, "{claims}");
}

#[test]
fn every_promise_names_a_test_that_there_is() {
    let document = source("SECURITY.md");
    let mut promises = 0;
    let tables = document.split("| Promise | Proved by |\n|---|---|\n").skip(1);
    for line in tables.flat_map(|table| table.lines().take_while(|line| line.starts_with('|'))) {
        let (_, proof) = line.trim_end_matches([' ', '|']).rsplit_once(" | ").unwrap();
        // A file, then the tests in it, or what is quoted of it.
        let (mut path, mut text) = ("", String::new());
        for name in proof.split(['`', '"']).skip(1).step_by(2) {
            if name.ends_with(".rs") || name.ends_with(".json") {
                (path, text) = (name, source(name));
                continue;
            }
            let there = if path.ends_with(".rs") { format!("fn {name}(") } else { name.to_owned() };
            assert!(text.contains(&there), "{name} is not in {path}: {line}");
            promises += 1;
        }
        assert!(!path.is_empty(), "without a test: {line}");
    }
    assert!(promises > 50, "{promises}");
}
