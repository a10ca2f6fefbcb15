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
        let because = reason(scenario, column, rival).unwrap_or("**why is not known**");
        let [theirs, ours] = [self.theirs, self.ours].map(short);
        format!("{rival}: {column} {theirs}, against {ours} ({because})")
    }
}

fn short(value: f64) -> String {
    match value {
        f64::INFINITY => "never".to_owned(),
        value if value.fract() == 0.0 => format!("{value:.0}"),
        value => format!("{value:.2}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::peer::{About, After401};
    use crate::peers::OURS;
    use crate::report::Cell;

    const LIBRARY: About = About {
        name: OURS,
        package: None,
        setup: "",
        cannot: "",
        after_401: After401::SentAgain,
        no_tokens: None,
        warm_only: false,
    };
    const FLOOR: About = About { name: "floor", no_tokens: Some("it has none"), ..LIBRARY };

    fn row(name: &'static str, figures: [f64; 3]) -> Row {
        let cells = figures.map(|figure| Cell::number(figure, 2)).into();
        Row::new(&About { name, ..LIBRARY }, cells)
    }

    /// What is said of rivals beside a library that loses 2 calls, waits 10 ms and sends 4 requests.
    fn said_of(rivals: impl IntoIterator<Item = [f64; 3]>) -> Vec<String> {
        let columns = [
            Column::lower_or_nothing("lost"),
            Column::lower_beyond_the_floor(1.0, "wait, ms"),
            Column::neither("requests"),
        ];
        let floor = vec![Cell::number(0.0, 0), Cell::number(3.0, 0), Cell::number(0.0, 0)];
        let mut rows = vec![Row::new(&FLOOR, floor), row(OURS, [2.0, 10.0, 4.0])];
        rows.extend(rivals.into_iter().map(|figures| row("rival", figures)));
        not_ahead("none of ours", &columns, &rows)
    }

    #[test]
    fn a_figure_that_is_less_is_told_with_its_reason_or_that_there_is_none() {
        let said = said_of([[1.0, 6.0, 0.0]]);
        assert_eq!(
            said,
            [
                "rival: lost 1, against 2 (**why is not known**)",
                "rival: wait, ms 6, against 10 (**why is not known**)",
            ]
        );
    }

    #[test]
    fn what_differs_by_no_more_than_the_floor_is_level() {
        assert_eq!(said_of([[2.0, 7.5, 4.0], [2.0, 12.0, 9.0]]), [""; 0]);
    }

    #[test]
    fn who_loses_more_calls_is_not_faster() {
        assert_eq!(said_of([[3.0, 0.1, 4.0]]), [""; 0]);
    }

    #[test]
    fn the_known_reasons_are_of_peers_and_scenarios_that_there_are() {
        for (scenario, column, rival) in [
            ("warm", "ns a call, added", "middle"),
            ("revoked", "2nd: back after, ms", "huskarl"),
            ("failing", "token requests in the outage", "azure_core + azure_identity"),
        ] {
            assert!(reason(scenario, column, rival).is_some(), "{scenario}, {column}, {rival}");
        }
        assert_eq!(reason("herd", "1000: token requests", "middle"), None);
    }
}
