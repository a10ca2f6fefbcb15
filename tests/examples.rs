//! The examples, run as their readers run them: the metrics of the tour's scenes beside the servers'
//! counts, the live view of tokens, and the health endpoints.

use std::process::Command;
use std::time::Duration;

use ratatui::Terminal;
use ratatui::backend::TestBackend;
use ratatui::style::Color;

#[path = "../examples/tour/watch/board.rs"]
#[allow(dead_code, reason = "the tour uses all of it")]
mod board;
#[path = "../examples/tour/watch/view.rs"]
#[allow(dead_code, reason = "the tour uses all of it")]
mod view;

use board::{Board, Row, Used};

/// What an example prints, if it succeeds.
fn run(example: &str, arguments: &[&str]) -> String {
    let mut command = Command::new(env!("CARGO"));
    command.args(["run", "--quiet", "--all-features", "--example", example, "--"]).args(arguments);
    // What this test is told of its package would have ring's build script run, and compile, anew.
    let told = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
    let of_package =
        |name: &String| ["CARGO_PKG_", "CARGO_MANIFEST_"].iter().any(|p| name.starts_with(p));
    told.filter(of_package).for_each(|name| {
        command.env_remove(name);
    });
    let output = command.output().unwrap();
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{printed}{}", String::from_utf8_lossy(&output.stderr));
    printed
}

#[test]
fn a_scrape_during_the_scenes_shows_exactly_what_the_servers_have_counted() {
    // When
    let printed = run("tour", &[]);
    // Then
    let table = printed.split_once("what the servers have counted").expect("the table").1;
    let rows = table.lines().filter_map(|line| {
        let mut words = line.split_whitespace().rev();
        let [servers, metrics] = [words.next()?.parse().ok()?, words.next()?.parse().ok()?];
        let what: Vec<_> = words.collect();
        Some((what.into_iter().rev().collect::<Vec<_>>().join(" "), metrics, servers))
    });
    let rows: Vec<(String, u64, u64)> = rows.collect();
    for (what, metrics, servers) in &rows {
        assert_eq!(metrics, servers, "{what}");
    }
    let servers = |what: &str| rows.iter().find(|row| row.0 == what).expect("a row").2;
    let of_scopes = rows.iter().filter(|row| row.0.starts_with("token requests: "));
    assert_eq!(of_scopes.map(|row| row.2).sum::<u64>(), servers("token requests"));
    assert!(servers("token requests: refer_merchant") >= 14);
    assert!(servers("requests sent a second time") >= 50);
    assert_eq!(servers("401s of the API"), servers("requests sent a second time"));
}

#[test]
fn without_a_terminal_the_live_view_is_lines_for_a_while() {
    // When
    let printed = run("tour", &["--watch", "--for", "2s"]);
    // Then
    let of_one_scope = printed.lines().filter(|line| line.starts_with("  refer_merchant "));
    let states: Vec<_> =
        of_one_scope.map(|line| line.split_whitespace().nth(1).unwrap().to_owned()).collect();
    // Which it is, and how many lines there are, is a matter of how busy the machine is.
    let of_a_token = ["fresh", "soft", "hard", "expired", "absent"];
    let known = states.iter().all(|state| of_a_token.contains(&state.as_str()));
    assert!(known && states.iter().any(|state| state == "fresh"), "{printed}");
    let last = printed.lines().last().unwrap();
    assert!(last.contains("under 12 scopes") && last.contains(" 0 failed"), "{last}");
}

#[test]
fn a_frame_shows_of_each_token_its_age_what_is_left_and_what_became_of_calls() {
    // Given
    let seconds = Duration::from_secs_f64;
    let board = Board {
        running: seconds(9.0),
        rows: vec![
            Row {
                scope: "refer_merchant".to_owned(),
                state: "soft".to_owned(),
                fetching: true,
                life: Some((seconds(7.5), seconds(2.5))),
                renewals: 3,
                used: Used { calls: 412, waited: 1, replayed: 2, failed: 0 },
            },
            Row { scope: "user_token".to_owned(), state: "absent".to_owned(), ..Row::default() },
        ],
        news: vec!["   1.0 s  revoked: user_token".to_owned(); 9],
    };
    // When
    let mut terminal = Terminal::new(TestBackend::new(100, 11)).unwrap();
    terminal.draw(|frame| view::draw(frame, &board)).unwrap();
    // Then
    let screen = terminal.backend();
    let lines: Vec<String> = screen.to_string().lines().map(str::to_owned).collect();
    let words = |line: usize| lines[line].replace(['"', '│'], " ");
    let words = |line: usize| words(line).split_whitespace().collect::<Vec<_>>().join(" ");
    assert_eq!(words(1), "scope state age life left renewals replays calls failed");
    assert_eq!(words(2), "refer_merchant soft + 7.5 s █████░░░░░░░░░░░░░░░ 2.5 s 3 2 412 0");
    assert_eq!(words(3), "user_token absent - ░░░░░░░░░░░░░░░░░░░░ - 0 0 0 0");
    assert_eq!(lines.iter().filter(|line| line.contains("revoked: user_token")).count(), 4);
    assert!(lines[10].contains("q: quit"), "{screen}");
    let bar = screen.buffer().content().iter().find(|cell| cell.symbol() == "█");
    assert_eq!(bar.expect("a bar").fg, Color::Yellow);
}

#[test]
fn the_health_endpoints_tell_an_outage_its_reason_and_its_end() {
    // When
    let printed = run("health", &[]);
    // Then
    let told: Vec<_> = printed.lines().filter(|line| line.contains("answers")).collect();
    assert_eq!(
        told,
        [
            "before the outage: /ready answers 200",
            "in the outage: /ready answers 503",
            "in the outage: /live answers 200",
            "after the outage: /ready answers 200",
        ]
    );
    for part in ["\"scope\": \"refer_merchant\"", "\"kind\": \"status\"", "\"status\": 503"] {
        assert!(printed.contains(part), "{part}: {printed}");
    }
}
