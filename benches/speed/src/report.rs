//! What the sections print: Markdown tables, targets with a verdict, and the file they go into.

use std::fmt::Write as _;

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

/// Puts `figures` between the markers of that name.
///
/// # Errors
///
/// When the markers are not there: figures would be lost.
pub(crate) fn replace(document: &str, name: &str, figures: &str) -> Result<String, String> {
    let begin = format!("<!-- figures: {name} -->\n");
    let end = "<!-- end of figures -->";
    let missing = || format!("no place for the figures {name:?}: write {begin:?} and {end:?}");
    let from = document.find(&begin).ok_or_else(missing)? + begin.len();
    let to = from + document[from..].find(end).ok_or_else(missing)?;
    Ok(format!("{}\n{}\n\n{}", &document[..from], figures.trim(), &document[to..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_take_the_place_of_those_before_and_nothing_else_changes() {
        let place = |name: &str, figures: &str| {
            format!("<!-- figures: {name} -->\n{figures}<!-- end of figures -->\n")
        };
        let document = format!("# T\n\n{}prose\n{}", place("one", ""), place("two", "old\n"));
        let once = replace(&document, "two", "| new |\n").unwrap();
        assert_eq!(
            once,
            format!("# T\n\n{}prose\n{}", place("one", ""), place("two", "\n| new |\n\n"))
        );
        assert_eq!(replace(&once, "two", "| new |").unwrap(), once);
        assert!(replace(&document, "three", "").unwrap_err().contains("three"));
    }

    #[test]
    fn a_table_is_markdown() {
        let mut table = Table::new(&["", "ns", "Verdict"]);
        table.row(["a".to_owned(), "1".to_owned(), verdict(true)]);
        assert_eq!(table.finish(), "|  | ns | Verdict |\n|---|---:|---|\n| a | 1 | met |\n");
    }
}
