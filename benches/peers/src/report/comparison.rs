//! Where the library is not ahead: every figure of a rival's that is less than the library's.

use super::reasons::reason;
use super::{Better, Column, Role, Row};

/// How much less a figure has to be, to count as less.
const TIE: f64 = 0.95;

/// One figure of a rival's, beside the library's.
struct Figure<'a> {
    column: &'a Column,
    theirs: f64,
    ours: f64,
    /// What the floor has here.
    floor: f64,
}

/// One sentence for each figure.
pub(super) fn not_ahead(scenario: &str, columns: &[Column], rows: &[Row]) -> Vec<String> {
    let floor = rows.iter().find(|row| row.role == Role::Floor);
    let sentences_on = |rival: &Row| {
        let figures = figures(rival, rows, floor, columns);
        let loses_more = figures
            .iter()
            .any(|figure| figure.column.better == Better::LowerOrNothing && figure.is_more());
        let behind = figures.iter().filter(|figure| match figure.column.better {
            Better::Neither => false,
            Better::LowerOrNothing => figure.theirs < figure.ours,
            Better::Lower => !loses_more && figure.is_less(),
        });
        behind.map(|figure| figure.sentence(scenario, rival.peer)).collect::<Vec<_>>()
    };
    rows.iter().flat_map(sentences_on).collect()
}

/// What can be compared of a rival: nothing of one that could not run.
fn figures<'a>(
    rival: &Row,
    rows: &[Row],
    floor: Option<&Row>,
    columns: &'a [Column],
) -> Vec<Figure<'a>> {
    let Role::Rival(name) = rival.role else { return Vec::new() };
    let Some(ours) = rows.iter().find(|row| row.peer == name) else { return Vec::new() };
    let value = |row: &Row, at: usize| row.cells.get(at).and_then(|cell| cell.value);
    let figure = |(at, column): (usize, &'a Column)| {
        let floor = floor.and_then(|floor| value(floor, at)).unwrap_or_default();
        Some(Figure { column, theirs: value(rival, at)?, ours: value(ours, at)?, floor })
    };
    columns.iter().enumerate().filter_map(figure).collect()
}

impl Figure<'_> {
    fn is_more(&self) -> bool {
        self.theirs > self.ours
    }

    /// By enough to be no chance.
    fn is_less(&self) -> bool {
        let noise = if self.column.beyond_the_floor { self.floor } else { 0.0 };
        self.theirs < self.ours * TIE && self.ours - self.theirs > self.column.least.max(noise)
    }

    fn sentence(&self, scenario: &str, rival: &str) -> String {
        let column = &self.column.name;
        let because = match reason(scenario, column, rival) {
            Some(because) => format!(" ({because})"),
            None => String::new(),
        };
        let [theirs, ours] = [self.theirs, self.ours].map(short);
        format!("{rival}: {column} {theirs}, against {ours}{because}")
    }
}

fn short(value: f64) -> String {
    match value {
        f64::INFINITY => "never".to_owned(),
        value if value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}
