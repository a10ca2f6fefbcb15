//! `OBSERVABILITY.md`, read as the tables that it is made of.

/// The cells of the table under a heading, a row each. Marks of code are taken off everywhere.
///
/// # Panics
///
/// If there is no such heading, or no table under it.
#[track_caller]
pub(crate) fn table(document: &str, heading: &str) -> Vec<Vec<String>> {
    let document = document.replace('`', "");
    let section =
        document.lines().skip_while(|line| line.trim_start_matches('#').trim() != heading);
    let section = section.skip(1).take_while(|line| !line.starts_with('#'));
    let rows = section.filter_map(|line| line.strip_prefix('|')?.strip_suffix('|'));
    let cell = |cell: &str| cell.trim().to_owned();
    // Its head, and the line under that.
    let rows: Vec<_> = rows.skip(2).map(|row| row.split('|').map(cell).collect()).collect();
    assert!(!rows.is_empty(), "no table under {heading:?}");
    rows
}

/// The names in a cell.
pub(crate) fn names(cell: &str) -> Vec<&str> {
    cell.split(", ").collect()
}
