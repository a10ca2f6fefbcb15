//! The shared store, as a file says it.

use super::mistakes::{assert_misread, assert_problems};
use super::*;

const KEY: &str = "AQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQEBAQE=";

fn with(shared_store: &str) -> String {
    format!("shared_store = {{ {shared_store} }}\n{MINIMAL}")
}

#[tokio::test]
async fn it_is_in_the_file_with_its_keys_and_times() {
    let file = format!(
        "store_lease = \"3s\"\nstore_timeout = \"100ms\"\n{}",
        with(&format!("url = \"redis://127.0.0.1:1\", keys = [{KEY:?}, {KEY:?}], prefix = \"p:\""))
    );
    let builder = config(&file).into_builder();
    let shown = format!("{builder:?}");
    assert!(shown.contains("shared: true, lease: 3s, answer: 100ms"), "{shown}");
    assert!(builder.build().unwrap().status().store().is_some());
}

#[tokio::test]
async fn what_is_wrong_with_it_is_told_with_its_place_and_without_its_password() {
    for (text, path, part) in [
        (format!("url = \"http://u:s3cret@x\", keys = {KEY:?}"), "url", "redis://host:port"),
        (
            format!("url = {{ env = \"NO_SUCH_VARIABLE\" }}, keys = {KEY:?}"),
            "url",
            "NO_SUCH_VARIABLE",
        ),
        ("url = \"redis://x\", keys = \"s3cret\"".to_owned(), "keys[0]", "openssl rand"),
        (
            format!("url = \"redis://x\", keys = [{KEY:?}, \"s3cret\"]"),
            "keys[1]",
            "32 random bytes",
        ),
        (
            "url = \"redis://x\", keys = { file = \"/nowhere/key\" }".to_owned(),
            "keys[0]",
            "/nowhere/key",
        ),
        ("url = \"redis://x\", keys = []".to_owned(), "keys", "there is none"),
    ] {
        let place = format!("shared_store.{path}");
        assert_problems(&with(&text), &[(ProblemKind::SharedStore, Some(place.as_str()), part)]);
    }
    for (text, parts) in [
        ("url = \"redis://x\"", ["shared_store: ", "missing field `keys`"]),
        ("url = 5, keys = \"x\"", ["shared_store.url: ", "{ env = "]),
        ("url = \"redis://x\", keys = 31415926", ["shared_store.keys: ", "{ env = "]),
        ("url = \"x\", keys = \"x\", port = 1", ["shared_store.port: ", "unknown field"]),
    ] {
        assert_misread(&with(text), &parts);
    }
}

#[test]
fn without_a_runtime_it_is_told_that_one_is_needed() {
    let file = with(&format!("url = \"redis://127.0.0.1:1\", keys = {KEY:?}"));
    let problem = [(ProblemKind::SharedStore, Some("shared_store.url"), "inside a Tokio runtime")];
    assert_problems(&file, &problem);
    assert!(!format!("{:?}", config(&file)).is_empty(), "to be printed, it needs none");
}
