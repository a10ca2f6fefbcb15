//! The live view: the tokens of all scopes, while they are used, expire and are revoked.
//!
//! - [`world`] is the sandbox, its callers, and what is done to the tokens;
//! - [`board`] is what is shown of it, a moment at a time;
//! - [`view`] draws that.

mod board;
mod view;
mod world;

use std::io::{self, IsTerminal};
use std::process::ExitCode;
use std::time::Duration;

use ratatui::DefaultTerminal;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyModifiers};
use tokio::time::{Instant, sleep};
use tower::BoxError;

use crate::faults::with_causes;
use world::World;

/// Between two frames.
const FRAME: Duration = Duration::from_millis(100);
/// Between two boards in lines.
const LINES: Duration = Duration::from_secs(1);
/// Where nobody can press a key, and no time is said.
const LIMIT_WITHOUT_TERMINAL: Duration = Duration::from_secs(10);

pub(crate) async fn run(limit: Option<Duration>) -> ExitCode {
    let watched = async {
        let world = World::start().await?;
        if io::stdout().is_terminal() && io::stdin().is_terminal() {
            let mut terminal = ratatui::try_init()?;
            let drawn = draw(&world, &mut terminal, limit).await;
            // First: an error is to be seen on a terminal that is as it was.
            ratatui::restore();
            drawn?;
        } else {
            print(&world, limit.unwrap_or(LIMIT_WITHOUT_TERMINAL)).await;
        }
        Ok::<_, BoxError>(world.board())
    };
    match watched.await {
        Ok(board) => {
            println!("\ntour: {}", board.summary());
            ExitCode::SUCCESS
        }
        Err(error) => {
            eprintln!("\ntour: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

async fn draw(
    world: &World,
    terminal: &mut DefaultTerminal,
    limit: Option<Duration>,
) -> io::Result<()> {
    let begin = Instant::now();
    while limit.is_none_or(|limit| begin.elapsed() < limit) {
        let board = world.board();
        terminal.draw(|frame| view::draw(frame, &board))?;
        sleep(FRAME).await;
        while event::poll(Duration::ZERO)? {
            if let Event::Key(key) = event::read()? {
                if is_farewell(key) {
                    return Ok(());
                }
            }
        }
    }
    Ok(())
}

/// Ctrl-C is a key like any other, as the terminal is in raw mode.
fn is_farewell(key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => true,
        KeyCode::Char('c') => key.modifiers.contains(KeyModifiers::CONTROL),
        _ => false,
    }
}

async fn print(world: &World, limit: Duration) {
    let end = Instant::now() + limit;
    while Instant::now() < end {
        sleep(LINES.min(end - Instant::now())).await;
        view::print(&world.board());
    }
}
