//! The figures, as tables of Markdown.

use std::fmt::Write as _;

use super::case::{MEAN_PAUSE, Outcome};
use super::{Fleet, Series};

/// `all`: no store, one store; the same where the previous token is revoked.
pub(super) fn write(all: &[Series], hours: u64, seeds: u64) -> String {
    let runs = match seeds {
        1 => "One run of each.".to_owned(),
        _ => format!(
            "Of {seeds} runs with traffic of their own, the median, and where they differ the least and \
             the most."
        ),
    };
    let mut text = format!(
        "One client and scope, tokens of 2 hours, {hours} simulated hours. Each process calls once at the \
         start, as after a restart of all, then at random, every {} s in the mean. A token request takes \
         200 ms, the store 1 ms. {runs}\n\n",
        MEAN_PAUSE.as_secs()
    );
    text.push_str("Token requests in all:\n\n");
    heading(&mut text);
    rows(&mut text, all, |run| run.token_requests);
    text.push_str("\nThe most token requests in one second:\n\n");
    heading(&mut text);
    rows(&mut text, all, |run| run.busiest_second);
    text.push_str("\nCalls that ended with a 401, of each 10,000:\n\n");
    heading(&mut text);
    rows(&mut text, all, |run| of_ten_thousand(run.failed, run.calls));
    text.push_str(
        "\n401s of the API, of each 10,000 calls, those included that were sent again:\n\n",
    );
    heading(&mut text);
    rows(&mut text, all, |run| of_ten_thousand(run.rejections, run.calls));
    text
}

fn of_ten_thousand(some: u64, all: u64) -> u64 {
    (some * 10_000).div_ceil(all)
}

fn heading(text: &mut String) {
    text.push_str(
        "| Processes | no store | one store | no store, previous revoked | one store, previous revoked |\n\
         |--:|--:|--:|--:|--:|\n",
    );
}

fn rows(text: &mut String, all: &[Series], count: impl Fn(&Outcome) -> u64) {
    for at in 0..all[0].fleets.len() {
        write!(text, "| {} |", thousands(all[0].fleets[at].processes as u64))
            .expect("it takes all");
        for series in all {
            write!(text, " {} |", spread(&series.fleets[at], &count)).expect("it takes all");
        }
        text.push('\n');
    }
}

/// The median, and in parentheses the least and the most.
fn spread(fleet: &Fleet, count: impl Fn(&Outcome) -> u64) -> String {
    let counts = || fleet.runs.iter().map(&count);
    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    let middle = thousands(median(counts()));
    if least == most {
        return middle;
    }
    format!("{middle} ({}–{})", thousands(least), thousands(most))
}

pub(super) fn median(counts: impl Iterator<Item = u64>) -> u64 {
    let mut counts: Vec<_> = counts.collect();
    counts.sort_unstable();
    counts.get(counts.len() / 2).copied().unwrap_or_default()
}

fn thousands(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at) % 3 == 0 {
            text.push(',');
        }
        text.push(digit);
    }
    text
}
