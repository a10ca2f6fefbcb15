//! What the sections print: Markdown tables, targets with a verdict, and the file they go into.

use std::fmt::Write as _;
use std::{env, fs};

use crate::places;

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../BENCHMARKS.md");
/// Where this package lies on this machine, which is nobody's business.
const HERE: &str = env!("CARGO_MANIFEST_DIR");

/// What one section of the benchmark has to say.
#[derive(Debug, Default)]
pub(crate) struct Section {
    pub(crate) markdown: String,
    pub(crate) targets: Vec<Target>,
}

/// Something that was promised, and what was seen.
#[derive(Debug, Clone)]
pub(crate) struct Target {
    pub(crate) what: String,
    pub(crate) limit: String,
    pub(crate) measured: String,
    pub(crate) met: bool,
    /// Counted, not timed: the same on every machine.
    pub(crate) is_count: bool,
}

pub(crate) struct Table {
    text: String,
}

/// BENCHMARKS.md, with a place for the figures of each section.
pub(crate) struct Document {
    text: String,
}

// === impl Section ===

impl Section {
    pub(crate) fn add(&mut self, markdown: impl AsRef<str>) {
        if !self.markdown.is_empty() {
            self.markdown.push('\n');
        }
        self.markdown.push_str(markdown.as_ref().trim_end());
        self.markdown.push('\n');
    }

    pub(crate) fn timed(&mut self, what: &str, limit: &str, measured: String, met: bool) {
        self.target(what, limit, measured, met, false);
    }

    pub(crate) fn counted(&mut self, what: &str, limit: &str, measured: String, met: bool) {
        self.target(what, limit, measured, met, true);
    }

    fn target(&mut self, what: &str, limit: &str, measured: String, met: bool, is_count: bool) {
        let (what, limit) = (what.to_owned(), limit.to_owned());
        self.targets.push(Target { what, limit, measured, met, is_count });
    }
}

/// The table of all targets.
pub(crate) fn verdicts(targets: &[Target]) -> String {
    let mut table = Table::new(&["Target", "Limit", "Measured", "Verdict"]);
    for Target { what, limit, measured, met, .. } in targets {
        table.row([what.clone(), limit.clone(), measured.clone(), verdict(*met)]);
    }
    table.finish()
}

pub(crate) fn verdict(met: bool) -> String {
    if met { "met" } else { "**not met**" }.to_owned()
}

// === impl Table ===

impl Table {
    /// Columns of numbers are set to the right.
    pub(crate) fn new(head: &[&str]) -> Self {
        let mut text = format!("| {} |\n|", head.join(" | "));
        for (at, title) in head.iter().enumerate() {
            let is_text = at == 0 || matches!(*title, "" | "Limit" | "Measured" | "Verdict");
            text.push_str(if is_text { "---|" } else { "---:|" });
        }
        text.push('\n');
        Self { text }
    }

    pub(crate) fn row<const N: usize>(&mut self, cells: [String; N]) {
        writeln!(self.text, "| {} |", cells.join(" | ")).expect("a string takes all");
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }
}

// === impl Document ===

impl Document {
    /// # Errors
    ///
    /// When it cannot be read, or has no place for something.
    pub(crate) fn open() -> Result<Self, String> {
        let text =
            fs::read_to_string(DOCUMENT).map_err(|error| format!("BENCHMARKS.md: {error}"))?;
        places().try_for_each(|name| place(&text, name).map(drop))?;
        Ok(Self { text })
    }

    /// Puts `figures` in their place.
    ///
    /// # Errors
    ///
    /// When there is none: figures would be lost. When they tell where something lies on this machine.
    pub(crate) fn put(&mut self, name: &str, figures: &str) -> Result<(), String> {
        if let Some(line) = figures.lines().find(|line| tells_a_place(line)) {
            return Err(format!("nothing is written: {name} tells where things lie here: {line}"));
        }
        let (from, to) = place(&self.text, name)?;
        self.text.replace_range(from..to, &format!("\n{}\n\n", figures.trim()));
        Ok(())
    }

    pub(crate) fn write(&self) -> Result<(), String> {
        fs::write(DOCUMENT, &self.text).map_err(|error| format!("BENCHMARKS.md: {error}"))
    }
}

/// Where the figures of that name begin and end, between their markers.
fn place(document: &str, name: &str) -> Result<(usize, usize), String> {
    let begin = format!("<!-- figures: {name} -->\n");
    let end = "<!-- end of figures -->";
    let missing =
        || format!("BENCHMARKS.md has no place for {name:?}: write {begin:?} and {end:?}");
    let from = document.find(&begin).ok_or_else(missing)? + begin.len();
    let to = from + document[from..].find(end).ok_or_else(missing)?;
    Ok((from, to))
}

fn tells_a_place(line: &str) -> bool {
    let home = env::var("HOME").unwrap_or_default();
    let temporary = env::temp_dir();
    let places = [home.as_str(), &temporary.to_string_lossy(), HERE, "/registry/"];
    // A home at the root is in every path.
    places.into_iter().any(|place| place.len() > 1 && line.contains(place))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_take_the_place_of_those_before_and_nothing_else_changes() {
        let place = |name: &str, figures: &str| {
            format!("<!-- figures: {name} -->\n{figures}<!-- end of figures -->\n")
        };
        let text = format!("# T\n\n{}prose\n{}", place("one", ""), place("two", "old\n"));
        let mut document = Document { text };
        document.put("two", "| new |\n").unwrap();
        let once = format!("# T\n\n{}prose\n{}", place("one", ""), place("two", "\n| new |\n\n"));
        assert_eq!(document.text, once);
        document.put("two", "| new |").unwrap();
        assert_eq!(document.text, once);
        assert!(document.put("three", "").unwrap_err().contains("three"));
    }

    #[test]
    fn the_document_has_a_place_for_everything() {
        Document::open().unwrap();
    }

    #[test]
    fn where_things_lie_on_this_machine_is_not_written() {
        let mut document = Document { text: "<!-- figures: a -->\n<!-- end of figures -->".into() };
        for place in [env::temp_dir().join("x").display().to_string(), format!("{HERE}/src/a.rs")] {
            assert!(document.put("a", &format!("| `{place}` | 1 |")).is_err(), "{place}");
        }
        document.put("a", "| `http-1.5.0/src/header/map.rs` | 1 |").unwrap();
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(&["", "ns", "Verdict"]);
        table.row(["a".to_owned(), "1".to_owned(), verdict(true)]);
        assert_eq!(table.finish(), "|  | ns | Verdict |\n|---|---:|---|\n| a | 1 | met |\n");
    }
}
