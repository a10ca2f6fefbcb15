//! The tables, as Markdown, and under each where the library is not ahead.

mod comparison;
mod reasons;

use std::error::Error;
use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use crate::peer::{About, After401, Failure};
use crate::peers::{OURS, OURS_WITHOUT_REPLAY};

pub(crate) struct Table {
    title: &'static str,
    /// How the figures came about.
    method: String,
    columns: Vec<Column>,
    rows: Vec<Row>,
    /// Where the library is not ahead, one sentence each.
    not_ahead: Vec<String>,
}

pub(crate) struct Column {
    name: String,
    better: Better,
    /// What two figures have to differ by, to differ.
    least: f64,
    /// And that they have to differ by what the floor has here.
    beyond_the_floor: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Better {
    Lower,
    /// Lower, and whoever is worse here is not compared in the rest: a call that is lost at once is
    /// not fast.
    LowerOrNothing,
    Neither,
}

pub(crate) struct Row {
    peer: &'static str,
    role: Role,
    after_401: After401,
    cells: Vec<Cell>,
    cannot_run: Option<String>,
    /// What went wrong first, if anything did.
    first_failure: Option<String>,
}

#[derive(Clone, Copy, PartialEq)]
enum Role {
    Floor,
    Library,
    /// Compared with the library's row of this name.
    Rival(&'static str),
}

pub(crate) struct Cell {
    value: Option<f64>,
    text: String,
}

impl Column {
    pub(crate) fn lower(name: impl Into<String>) -> Self {
        Self::new(name, Better::Lower)
    }

    /// Lower, and figures closer than `least` are the same.
    pub(crate) fn lower_by(least: f64, name: impl Into<String>) -> Self {
        Self { least, ..Self::lower(name) }
    }

    /// Lower, and figures closer than `least`, or than what the floor has here, are the same.
    pub(crate) fn lower_beyond_the_floor(least: f64, name: impl Into<String>) -> Self {
        Self { beyond_the_floor: true, ..Self::lower_by(least, name) }
    }

    pub(crate) fn lower_or_nothing(name: impl Into<String>) -> Self {
        Self::new(name, Better::LowerOrNothing)
    }

    pub(crate) fn neither(name: impl Into<String>) -> Self {
        Self::new(name, Better::Neither)
    }

    fn new(name: impl Into<String>, better: Better) -> Self {
        Self { name: name.into(), better, least: 0.0, beyond_the_floor: false }
    }
}

impl Cell {
    pub(crate) fn count(count: u64) -> Self {
        Self { value: Some(count as f64), text: count.to_string() }
    }

    pub(crate) fn number(value: f64, digits: usize) -> Self {
        Self { value: Some(value), text: format!("{value:.digits$}") }
    }

    pub(crate) fn milliseconds(time: Duration) -> Self {
        let value = time.as_secs_f64() * 1e3;
        let digits = match value {
            ..1.0 => 3,
            ..10.0 => 2,
            _ => 0,
        };
        Self::number(value, digits)
    }

    /// A time that did not come within `limit`.
    pub(crate) fn beyond(limit: Duration) -> Self {
        Self { value: Some(f64::INFINITY), text: format!("not in {} s", limit.as_secs()) }
    }

    pub(crate) fn text(text: impl Into<String>) -> Self {
        Self { value: None, text: text.into() }
    }
}

impl Row {
    pub(crate) fn new(about: &About, cells: Vec<Cell>) -> Self {
        let role = match about.name {
            OURS | OURS_WITHOUT_REPLAY => Role::Library,
            _ if about.no_tokens.is_some() => Role::Floor,
            _ => Role::Rival(OURS),
        };
        Self {
            peer: about.name,
            role,
            after_401: about.after_401,
            cells,
            cannot_run: None,
            first_failure: None,
        }
    }

    pub(crate) fn cannot_run(about: &About, reason: impl Display) -> Self {
        Self { cannot_run: Some(reason.to_string()), ..Self::new(about, Vec::new()) }
    }

    /// Compares it with that row of the library's which does the same for its caller after a 401.
    pub(crate) fn against_its_like(mut self) -> Self {
        if let (Role::Rival(_), After401::Returned) = (self.role, self.after_401) {
            self.role = Role::Rival(OURS_WITHOUT_REPLAY);
        }
        self
    }

    pub(crate) fn with_failure(mut self, failure: Option<Failure>) -> Self {
        self.first_failure = failure.map(|failure| chain(&*failure));
        self
    }
}

impl Table {
    pub(crate) fn new(
        scenario: &'static str,
        title: &'static str,
        method: impl Into<String>,
        columns: Vec<Column>,
        rows: Vec<Row>,
    ) -> Self {
        let not_ahead = comparison::not_ahead(scenario, &columns, &rows);
        Self { title, method: method.into(), columns, rows, not_ahead }
    }
}

/// An error with its causes.
fn chain(error: &(dyn Error + 'static)) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.ends_with(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        // Below a section's own heading.
        writeln!(f, "### {}\n\n{}\n", self.title, self.method)?;
        let names: Vec<_> = self.columns.iter().map(|column| column.name.as_str()).collect();
        writeln!(f, "| | {} |", names.join(" | "))?;
        writeln!(f, "|---|{}", "---:|".repeat(names.len()))?;
        for row in &self.rows {
            let cells: Vec<_> = row.cells.iter().map(|cell| cell.text.as_str()).collect();
            match &row.cannot_run {
                None => writeln!(f, "| {} | {} |", row.peer, cells.join(" | "))?,
                Some(reason) => {
                    let rest = " |".repeat(names.len() - 1);
                    writeln!(f, "| {} | cannot run: {reason} |{rest}", row.peer)?;
                }
            }
        }
        writeln!(f)?;
        for row in &self.rows {
            if let Some(failure) = &row.first_failure {
                writeln!(f, "- {}, first failure: {failure}", row.peer)?;
            }
        }
        if self.rows.iter().any(|row| row.first_failure.is_some()) {
            writeln!(f)?;
        }
        if self.not_ahead.is_empty() {
            return writeln!(f, "{OURS} is ahead of every peer here, or level.");
        }
        writeln!(f, "**Where {OURS} is not ahead:**\n")?;
        self.not_ahead.iter().try_for_each(|sentence| writeln!(f, "- {sentence}"))
    }
}
