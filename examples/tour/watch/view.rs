//! A board, drawn on a terminal or printed in lines.

use std::time::Duration;

use ratatui::Frame;
use ratatui::layout::{Constraint, Layout};
use ratatui::style::{Color, Style, Stylize};
use ratatui::text::Line;
use ratatui::widgets::{Block, Cell, Paragraph, Row as TableRow, Table};

use super::board::{Board, Row};

const BAR: usize = 20;

pub(crate) fn draw(frame: &mut Frame<'_>, board: &Board) {
    let rows = u16::try_from(board.rows.len()).unwrap_or(u16::MAX);
    // Borders, and the line of headings.
    let [tokens, news] =
        Layout::vertical([Constraint::Length(rows.saturating_add(3)), Constraint::Min(3)])
            .areas(frame.area());

    let right = |text: String| Cell::from(Line::from(text).right_aligned());
    let line = |row: &Row| {
        let colour = colour(&row.state);
        let (age, left) = row.life.unzip();
        let state = if row.fetching { format!("{} +", row.state) } else { row.state.clone() };
        TableRow::new([
            Cell::from(row.scope.clone()),
            Cell::from(state).style(colour),
            right(seconds(age)),
            Cell::from(bar(row.share_left())).style(colour),
            right(seconds(left)),
            right(row.renewals.to_string()),
            right(row.used.replayed.to_string()),
            right(row.used.calls.to_string()),
            right(row.used.failed.to_string()),
        ])
    };
    let widths = [
        Constraint::Fill(1),
        Constraint::Length(9),
        Constraint::Length(6),
        Constraint::Length(u16::try_from(BAR).expect("a short one")),
        Constraint::Length(6),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(8),
        Constraint::Length(6),
    ];
    let headings =
        ["scope", "state", "   age", "life", "  left", "renewals", "replays", "calls", "failed"];
    let headings = headings.map(|heading| match heading {
        "replays" | "calls" | "failed" => right(heading.to_owned()),
        heading => Cell::from(heading),
    });
    let table = Table::new(board.rows.iter().map(line), widths)
        .header(TableRow::new(headings).bold())
        .block(Block::bordered().title(" tokens, + while one is fetched "));
    frame.render_widget(table, tokens);

    let room = usize::from(news.height.saturating_sub(2));
    let latest = board.news.iter().skip(board.news.len().saturating_sub(room));
    let latest: Vec<_> = latest.map(|text| Line::from(text.as_str())).collect();
    let block = Block::bordered().title(" what is done to them ").title_bottom(" q: quit ");
    frame.render_widget(Paragraph::new(latest).block(block), news);
}

pub(crate) fn print(board: &Board) {
    println!("after {:.1} s", board.running.as_secs_f64());
    for row in &board.rows {
        let (age, left) = row.life.unzip();
        println!(
            "  {:<38} {:<7} age {:>6} left {:>6} renewals {:>3} replays {:>3} calls {:>5} failed {}",
            row.scope,
            row.state,
            seconds(age),
            seconds(left),
            row.renewals,
            row.used.replayed,
            row.used.calls,
            row.used.failed,
        );
    }
}

fn colour(state: &str) -> Style {
    Style::new().fg(match state {
        "fresh" => Color::Green,
        "soft" => Color::Yellow,
        "hard" => Color::Magenta,
        "expired" => Color::Red,
        _ => Color::DarkGray,
    })
}

fn bar(share: f64) -> String {
    #[expect(
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "from 0 up to the bar's length"
    )]
    let full = ((share * BAR as f64).round() as usize).min(BAR);
    "█".repeat(full) + &"░".repeat(BAR - full)
}

fn seconds(time: Option<Duration>) -> String {
    time.map_or_else(|| "-".to_owned(), |time| format!("{:.1} s", time.as_secs_f64()))
}
