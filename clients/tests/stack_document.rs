//! That STACK.md names only tests that there are.

use std::fs;
use std::path::Path;

#[test]
fn every_claim_names_a_test_that_there_is() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap();
    let document = fs::read_to_string(root.join("STACK.md")).unwrap();
    let mut claims = 0;
    for line in document.lines().filter(|line| line.starts_with('|')) {
        let mut source = None;
        // What is in backticks is every second part: a file, then the tests in it.
        for code in line.split('`').skip(1).step_by(2) {
            if code.ends_with(".rs") {
                source =
                    Some(fs::read_to_string(root.join(code)).unwrap_or_else(|_| panic!("{code}?")));
            } else if let Some(source) = &source {
                assert!(source.contains(&format!("async fn {code}(")), "{code}, in: {line}");
                claims += 1;
            }
        }
        // Headings and rules aside, every line is a claim.
        let is_claim = line.len() > 60;
        assert_eq!(is_claim, source.is_some(), "without a test: {line}");
    }
    assert!(claims > 30, "{claims}");
}
