//! The scenario vectors of `tests/vectors`: the laws of tokens, rejections and routing as given, steps
//! and expected results, in JSON, so that another language can run them as well.

mod scenario;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use scenario::{Vector, run};

/// The laws that are seen through the layer, without a server or a second language.
const LAWS: [&str; 22] = [
    "R1", "R2", "R3", "R4", "R5", "R6", "T1", "T2", "T3", "T4", "T5", "T6", "T7", "T8", "T9", "J1",
    "J2", "J3", "J4", "J5", "J6", "J7",
];

/// What the operator's calls do is no law of its own.
const OPERATOR: &str = "operator";

const FEWEST: usize = 60;

/// Real time, a thousand times what the longest vector needs.
const PATIENCE: Duration = Duration::from_secs(60);

fn directory() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

/// All vectors, each with the name of its file.
fn vectors() -> Vec<(String, Vector)> {
    let mut files: Vec<_> = fs::read_dir(directory())
        .expect("the vectors are beside this file")
        .map(|entry| entry.expect("a readable directory").path())
        .filter(|path| path.extension().is_some_and(|extension| extension == "json"))
        .collect();
    files.sort();
    let mut all = Vec::new();
    for path in files {
        let file = path.file_name().expect("a file").to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).expect("a readable file");
        let vectors: Vec<Vector> =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{file}: {error}"));
        all.extend(vectors.into_iter().map(|vector| (file.clone(), vector)));
    }
    all
}

/// Runs a vector on a thread of its own: code that spins, as no virtual time can end it, must not
/// keep the name of the vector to itself.
fn attempt(vector: Vector) -> Result<(), String> {
    let (done, result) = mpsc::channel();
    thread::spawn(move || done.send(run(&vector)));
    result.recv_timeout(PATIENCE).unwrap_or_else(|error| {
        Err(match error {
            RecvTimeoutError::Timeout => format!("it spins: no end in {PATIENCE:?} of real time"),
            RecvTimeoutError::Disconnected => "it panicked: see above".to_owned(),
        })
    })
}

#[test]
fn every_vector_holds() {
    let mut failures = Vec::new();
    for (file, vector) in vectors() {
        let name = vector.name.clone();
        let note = vector.note.as_ref().map_or(String::new(), |note| format!("\n    ({note})"));
        if let Err(what) = attempt(vector) {
            failures.push(format!("{file}: \"{name}\", {what}{note}"));
        }
    }
    assert!(failures.is_empty(), "{} failed\n\n{}\n", failures.len(), failures.join("\n\n"));
}

#[test]
fn every_law_is_claimed_by_a_vector_and_no_other() {
    let mut claims: BTreeMap<String, usize> = BTreeMap::new();
    for (file, vector) in vectors() {
        assert!(!vector.law.is_empty(), "{file}: \"{}\" names no law", vector.name);
        for law in vector.law {
            let known = LAWS.contains(&&*law) || law == OPERATOR;
            assert!(known, "{file}: \"{}\" names {law:?}, which is no law here", vector.name);
            *claims.entry(law).or_default() += 1;
        }
    }
    let unclaimed: Vec<_> = LAWS.iter().filter(|law| !claims.contains_key(**law)).collect();
    assert!(unclaimed.is_empty(), "no vector names {unclaimed:?}");
}

#[test]
fn names_are_unique_and_vectors_are_many() {
    let vectors = vectors();
    let names: BTreeSet<_> = vectors.iter().map(|(_, vector)| &vector.name).collect();
    assert_eq!(names.len(), vectors.len(), "two vectors have one name");
    assert!(names.len() >= FEWEST, "{} vectors", names.len());
}

#[test]
fn the_example_of_the_format_holds() {
    let text = fs::read_to_string(directory().join("README.md")).expect("a readable file");
    let example = text.split("```json").nth(1).and_then(|rest| rest.split("```").next());
    let vector = serde_json::from_str(example.expect("an example")).expect("a vector");
    assert_eq!(run(&vector), Ok(()));
}

/// What the runner says of a vector with these steps.
fn verdict(steps: &str) -> String {
    let counts = r#"{ "token_requests": 1, "api_requests": 2 }"#;
    let json = format!(r#"{{ "name": "n", "law": ["T1"], "steps": {steps}, "expect": {counts} }}"#);
    let vector: Vector = serde_json::from_str(&json).expect("a vector, up to its steps");
    run(&vector).err().unwrap_or_default()
}

#[test]
fn a_step_that_does_not_hold_is_reported_with_its_number_and_both_values() {
    let call = r#"{ "call": { "expect": { "status": 200 } } }"#;
    assert_eq!(verdict(&format!("[{call}, {call}]")), "");
    for (second, reported) in [
        (
            r#"{ "call": { "expect": { "status": 404 } } }"#,
            r#"expected "status 404", got "status 200""#,
        ),
        (
            r#"{ "call": { "expect": { "status": 200, "tokens": [2] } } }"#,
            "expected [Some(2)], got [Some(1)]",
        ),
        (
            r#"{ "call": { "expect": { "status": 200, "took": "1s" } } }"#,
            "took: expected 1s, got 0ns",
        ),
        (r#"{ "counts": { "token_requests_for": { "read": 2 } } }"#, "expected 2, counted 1"),
        (r#"{ "counts": { "api_statuses": { "401": 1 } } }"#, "counted {\"200\": 1}"),
        (r#"{ "call": { "expects": { "status": 200 } } }"#, "unknown field `expects`"),
        (r#"{ "call": { "expect": { "waited": true } } }"#, "expect one"),
        (r#"{ "await": "1s" }"#, "unknown variant `await`"),
        (r#"{ "advance": "1 s" }"#, "no duration"),
        (r#"{ "finish": { "name": "a", "expect": { "status": 200 } } }"#, "no call \"a\""),
    ] {
        let said = verdict(&format!("[{call}, {second}]"));
        assert!(said.starts_with("step 2, ") && said.contains(reported), "{second}: {said}");
    }
}

#[test]
fn what_is_left_over_at_the_end_is_reported() {
    let call = r#"{ "call": { "expect": { "status": 200 } } }"#;
    for (second, reported) in [
        (r#"{ "start": { "name": "a" } }"#, "neither finished nor dropped"),
        (r#"{ "api": { "answers": [{ "status": 500 }] } }"#, "left over"),
        (r#"{ "advance": "1s" }"#, "API requests: expected 2, counted 1"),
    ] {
        let said = verdict(&format!("[{call}, {second}]"));
        assert!(said.starts_with("at the end") && said.contains(reported), "{second}: {said}");
    }
}

#[test]
fn a_token_that_must_not_be_sent_is_reported_whatever_is_expected() {
    // The layer sends none of these: a caller does, with a header of its own.
    let leak = |url: &str, status: u16| {
        format!(
            r#"{{ "call": {{ "url": "{url}", "headers": {{ "authorization": "Bearer token-1" }},
                 "expect": {{ "status": {status} }} }} }}"#
        )
    };
    let call = r#"{ "call": { "expect": { "status": 200 } } }"#;
    let chosen = r#"{ "call": { "auth": { "scope": "write" }, "expect": { "status": 200 } } }"#;
    let advance = r#"{ "advance": "100s" }"#;
    for (steps, reported) in [
        (format!("[{call}, {advance}, {}]", leak("/v1/7", 401)), "which had expired"),
        (format!("[{call}, {}]", leak("https://evil.test/", 200)), "where none belong"),
        (format!("[{chosen}, {}]", leak("/v1/7", 200)), "needs the scope \"read\""),
    ] {
        let said = verdict(&steps);
        assert!(said.starts_with("step ") && said.contains(reported), "{steps}: {said}");
    }
}
