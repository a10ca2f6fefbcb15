//! What a call cannot do without, each by itself: the floor under this layer.

use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use arc_swap::ArcSwap;
use http::Uri;

use crate::report::Table;
use crate::stats::{median, middle};

const TIMES: usize = 1_000;

/// What it is, why a call does it, and it.
type Part = (&'static str, &'static str, Box<dyn FnMut()>);

/// Nanoseconds of each, in turns.
pub(crate) fn measure(rounds: usize) -> String {
    let mut parts = parts();
    let mut times = vec![Vec::new(); parts.len()];
    for _ in 0..rounds {
        for ((_, _, part), times) in parts.iter_mut().zip(&mut times) {
            times.push(median((0..5).map(|_| time(part))));
        }
    }
    let mut table = Table::new(&["Part of a call", "why", "ns"]);
    for ((what, why, _), times) in parts.iter().zip(times) {
        table.row([(*what).to_owned(), (*why).to_owned(), format!("{:.1}", middle(times))]);
    }
    table.finish()
}

fn parts() -> Vec<Part> {
    let shared = Arc::new([0_u8; 64]);
    let current = ArcSwap::new(Arc::clone(&shared));
    let uri: Uri = "https://uat-partner.payu.in/api/v1/merchants/8391017".parse().expect("a URI");
    vec![
        (
            "`Instant::now()`",
            "an expired token is never sent",
            Box::new(|| {
                black_box(tokio::time::Instant::now());
            }),
        ),
        (
            "`ArcSwap::load()`, and the guard's drop",
            "a newer token may come at any time",
            Box::new(move || drop(black_box(current.load()))),
        ),
        (
            "`Arc::clone()`, and its drop",
            "a call outlives the service that made it",
            Box::new(move || drop(black_box(Arc::clone(&shared)))),
        ),
        (
            "`Uri::clone()`, and its drop",
            "replay armed: a request can be sent again",
            Box::new(move || drop(black_box(uri.clone()))),
        ),
    ]
}

fn time(part: &mut dyn FnMut()) -> f64 {
    let start = Instant::now();
    for _ in 0..TIMES {
        part();
    }
    start.elapsed().as_nanos() as f64 / TIMES as f64
}
