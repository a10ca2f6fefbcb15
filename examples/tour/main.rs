//! The crate's main job, to look at and to copy from.
//!
//! ```text
//! cargo run --example tour
//! cargo run --example tour --features metrics
//! ```
//!
//! starts the sandbox, calls every use case once, and plays four scenes: a thousand first calls at a
//! time, a token that expires, tokens revoked under load, and an upload refused half way. With the
//! feature `metrics`, a scrape of the layer's metrics is compared with what the servers have counted
//! meanwhile.
//!
//! ```text
//! cargo run --example tour -- --watch
//! cargo run --example tour -- --watch --for 3s
//! ```
//!
//! shows the tokens live instead, of a sandbox where lives are short and tokens are revoked at random,
//! until `q` is pressed or the time is up. Without a terminal, it prints lines.
//!
//! With all of `PARTNER_TOKEN_URL`, `PARTNER_API_ORIGIN`, `PARTNER_CLIENT_ID` and
//! `PARTNER_CLIENT_SECRET` set, it calls the use cases on that server instead. They create, change
//! and delete things there: it is for test environments.
//!
//! It ends with status 0 if everything is as it should be, 1 if not, 2 if it was called wrongly or
//! only some of the variables are set.
//!
//! # Layout
//!
//! - [`client`] is the layer around an HTTP client, and a call through it;
//! - [`use_cases`], [`scenes`] and [`partner`] are what is shown;
//! - [`stages`] are the servers that it is shown at;
//! - [`reconcile`] compares the layer's metrics with their counts;
//! - [`watch`] is the live view;
//! - [`faults`] is what was not as it should be.

mod client;
mod faults;
mod partner;
#[cfg(feature = "metrics")]
mod reconcile;
mod scenes;
mod stages;
mod use_cases;
mod watch;

use std::process::ExitCode;
use std::time::Duration;

use tower::BoxError;
use tower_partner_auth::partner::USE_CASES;

use faults::{Faults, with_causes};
use stages::Stages;

#[tokio::main]
async fn main() -> ExitCode {
    match arguments() {
        Ok(None) => {}
        Ok(Some(limit)) => return watch::run(limit).await,
        Err(argument) => {
            eprintln!("tour: what is {argument:?}? Known are --watch, and with it --for SECONDS");
            return ExitCode::from(2);
        }
    }
    let target = match partner::target() {
        Ok(target) => target,
        Err(missing) => {
            eprintln!("tour: not set: {}. Set all four, or none", missing.join(", "));
            return ExitCode::from(2);
        }
    };
    let tour = match target {
        None => sandbox_tour().await,
        Some(partner) => partner::tour(partner).await,
    };
    match tour {
        Ok((summary, faults)) if faults.0.is_empty() => {
            println!("\ntour: {summary}");
            ExitCode::SUCCESS
        }
        Ok((_, faults)) => {
            eprintln!("\ntour: {} not as it should be:", faults.0.len());
            faults.0.iter().for_each(|fault| eprintln!("  - {fault}"));
            ExitCode::FAILURE
        }
        Err(error) => {
            eprintln!("\ntour: {}", with_causes(error.as_ref()));
            ExitCode::FAILURE
        }
    }
}

/// Whether to watch, and how long if it is said.
///
/// # Errors
///
/// What was not understood.
fn arguments() -> Result<Option<Option<Duration>>, String> {
    let given: Vec<_> = std::env::args().skip(1).collect();
    match given.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        [] => Ok(None),
        ["--watch"] => Ok(Some(None)),
        ["--watch", "--for", time] => match time.trim_end_matches('s').parse() {
            Ok(seconds) => Ok(Some(Some(Duration::from_secs(seconds)))),
            Err(_) => Err(time.to_owned()),
        },
        ["--watch", other, ..] | [other, ..] => Err(other.to_owned()),
    }
}

/// The tour of the sandbox: what a successful one ends with, and what is not as it should be.
async fn sandbox_tour() -> Result<(String, Faults), BoxError> {
    // Before the first layer, so that its metrics are described.
    #[cfg(feature = "metrics")]
    let scraper = reconcile::Scraper::install()?;
    let stages = Stages::default();
    let mut faults = use_cases::at_the_sandbox(&stages).await?;
    let played = scenes::play(&stages).await;
    let scenes = played.len();
    faults.0.extend(played.into_iter().flat_map(|faults| faults.0));
    #[cfg(feature = "metrics")]
    faults.0.extend(scraper.reconcile(&stages).await.0);
    let rows = USE_CASES.len();
    Ok((format!("{rows} use cases authorised, {scenes} scenes as they should be"), faults))
}
