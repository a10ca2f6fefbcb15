//! Large configurations: what ten thousand routes and a thousand scope sets cost to build, to hold,
//! and to look up in.

use std::time::Instant;

use tower_partner_auth::{Builder, OnUnauthorized, PartnerAuthLayer, Route};

use crate::Effort;
use crate::allocations::count;
use crate::instructions::Instructions;
use crate::report::{Section, Table};
use crate::scenarios::{Calls, Subject, Template, Through, layer};
use crate::stats::{at_some_depth, middle, typical};

const ROUTES: usize = 10_000;
const SETS: usize = 1_000;

const CALLS: usize = 256;
const BATCHES: usize = 3;

/// So many routes of a table are called in turn.
const CALLED: usize = 64;

/// A table of routes that is looked up in. All routes have one scope.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Routes {
    origins: usize,
    per_origin: usize,
    /// Of each path.
    segments: usize,
}

const BY_NUMBER: [Routes; 4] = [
    Routes { origins: 1, per_origin: 10, segments: 4 },
    Routes { origins: 1, per_origin: 100, segments: 4 },
    Routes { origins: 1, per_origin: 1_000, segments: 4 },
    Routes { origins: 1, per_origin: ROUTES, segments: 4 },
];

const BY_ORIGINS: [Routes; 3] = [
    Routes { origins: 10, per_origin: 10, segments: 4 },
    Routes { origins: 100, per_origin: 10, segments: 4 },
    Routes { origins: 1_000, per_origin: 10, segments: 4 },
];

const BY_LENGTH: [Routes; 4] = [
    Routes { origins: 1, per_origin: 1_000, segments: 2 },
    Routes { origins: 1, per_origin: 1_000, segments: 4 },
    Routes { origins: 1, per_origin: 1_000, segments: 8 },
    Routes { origins: 1, per_origin: 1_000, segments: 16 },
];

pub(crate) fn measure(effort: Effort) -> Section {
    let mut section = Section::default();
    building(&mut section, effort.of(9, 3));
    memory(&mut section);
    lookups(&mut section, effort);
    section
}

// === impl Routes ===

impl Routes {
    pub(crate) fn key(self) -> String {
        format!("routes:{}:{}:{}", self.origins, self.per_origin, self.segments)
    }

    pub(crate) fn from_key(key: &str) -> Option<Self> {
        let numbers: Vec<_> = key.strip_prefix("routes:")?.split(':').map(str::parse).collect();
        let [Ok(origins), Ok(per_origin), Ok(segments)] = numbers[..] else { return None };
        Some(Self { origins, per_origin, segments })
    }

    pub(crate) fn subject(self) -> Subject {
        let route = |(origin, number)| {
            Route::any(self.url(origin, number, "{id}"), "read")
                .on_unauthorized(OnUnauthorized::Renew)
        };
        let numbers = |origin| (0..self.per_origin).map(move |number| (origin, number));
        let all: Vec<_> = (0..self.origins).flat_map(numbers).collect();
        // Spread over the whole table, neither the first nor the last alone.
        let called = (0..CALLED).map(|at| all[(at * 2 + 1) * all.len() / (2 * CALLED)]);
        let urls: Vec<_> = called.map(|(origin, number)| self.url(origin, number, "7")).collect();
        let layer = layer(|builder| builder.routes(all.into_iter().map(route)));
        Subject::of(layer, Template::gets(&urls))
    }

    /// `/r<number>/items/<id>`, longer or shorter by the number of segments alone: a larger table has
    /// no longer names.
    fn url(self, origin: usize, number: usize, id: &str) -> String {
        let mut url = format!("https://api{origin:03}.example.com/r{number:04}");
        for at in 1..self.segments {
            url.push('/');
            url.push_str(if at % 2 == 1 { "items" } else { id });
        }
        url
    }
}

fn configured(routes: usize, sets: usize) -> PartnerAuthLayer {
    let route = |number| {
        let scope = format!("scope_{}", number % sets);
        Route::any(format!("https://api.example.com/v1/r{number}/items/{{id}}"), scope)
    };
    layer(|builder: Builder| builder.routes((0..routes).map(route)))
}

fn building(section: &mut Section, rounds: usize) {
    let milliseconds = |routes: usize, sets: usize| {
        middle((0..rounds).map(|_| {
            let start = Instant::now();
            let layer = configured(routes, sets);
            let time = start.elapsed().as_secs_f64() * 1e3;
            drop(layer);
            time
        }))
    };
    let mut table = Table::new(&["Routes", "scope sets", "build time, ms", "µs a route"]);
    for (routes, sets) in [(1_000, 1), (1_000, SETS), (ROUTES, 1), (ROUTES, SETS)] {
        let time = milliseconds(routes, sets);
        table.row([
            routes.to_string(),
            sets.to_string(),
            format!("{time:.1}"),
            format!("{:.2}", 1e3 * time / routes as f64),
        ]);
    }
    section.add(table.finish());
}

fn memory(section: &mut Section) {
    let bytes = |routes, sets| count(|| configured(routes, sets)).1.bytes as f64;
    let (few, many) = (bytes(1_000, 1), bytes(ROUTES, 1));
    let (layer, with_slots) = count(|| configured(ROUTES, SETS));
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let runtime = runtime.expect("a runtime");
    // Before it is counted, so that the runtime has made itself at home.
    runtime.block_on(async { drop(configured(1, 1).prewarm().await) });
    let ((), tokens) = count(|| {
        runtime.block_on(async { layer.prewarm().await.into_result() }).expect("all tokens");
    });
    let mut table = Table::new(&["Memory", "bytes"]);
    for (what, bytes) in [
        ("a route", (many - few) / (ROUTES - 1_000) as f64),
        ("a slot (one scope set)", (with_slots.bytes as f64 - many) / (SETS - 1) as f64),
        ("a token in it, of 64 characters", tokens.bytes as f64 / SETS as f64),
    ] {
        table.row([what.to_owned(), format!("{bytes:.0}")]);
    }
    section.add(table.finish());
}

fn lookups(section: &mut Section, effort: Effort) {
    let all = [&BY_NUMBER[..], &BY_ORIGINS, &BY_LENGTH].concat();
    let subjects: Vec<Subject> = all.iter().map(|routes| routes.subject()).collect();
    let nanoseconds = added_nanoseconds(&subjects, effort.of(101, 9));
    // A large table takes callgrind a while.
    let instructions = match effort {
        Effort::Full => Instructions::new().ok().map(|callgrind| callgrind.of_routes(&all)),
        Effort::Quick => None,
    };
    let mut rows = nanoseconds.iter().enumerate().map(|(at, nanoseconds)| {
        let counted = instructions.as_ref().map(|all| format!("{:.0}", all[at].layer()));
        (format!("{nanoseconds:.1}"), counted.unwrap_or_else(|| "not counted".to_owned()))
    });
    let mut tabulate = |head: &str, routes: &[Routes], name: &dyn Fn(&Routes) -> usize| {
        let mut table = Table::new(&[head, "this layer adds, ns", "instructions"]);
        for routes in routes {
            let (nanoseconds, instructions) = rows.next().expect("a row of each table of routes");
            table.row([name(routes).to_string(), nanoseconds, instructions]);
        }
        section.add(table.finish());
    };
    tabulate("Routes at one origin", &BY_NUMBER, &|routes| routes.per_origin);
    tabulate("Origins of 10 routes", &BY_ORIGINS, &|routes| routes.origins);
    tabulate("Segments of the path", &BY_LENGTH, &|routes| routes.segments);

    for (what, few, many) in
        [("10,000 routes at one origin cost a call", 0, 3), ("1,000 origins cost a call", 4, 6)]
    {
        let ratio = nanoseconds[many] / nanoseconds[few];
        section.add(format!("{what} {ratio:.2}× what 10 do."));
    }
}

/// Over no layer, round by round.
fn added_nanoseconds(subjects: &[Subject], rounds: usize) -> Vec<f64> {
    let mut calls: Vec<[Box<dyn Calls>; 2]> = subjects
        .iter()
        .map(|subject| [subject.calls(Through::NoLayer), subject.calls(Through::Layer)])
        .collect();
    let mut added = vec![Vec::new(); subjects.len()];
    for round in 0..rounds {
        for ([none, layer], added) in calls.iter_mut().zip(&mut added) {
            at_some_depth(round, || {
                let without = typical(none.as_mut(), CALLS, BATCHES);
                added.push(typical(layer.as_mut(), CALLS, BATCHES) - without);
            });
        }
    }
    added.into_iter().map(middle).collect()
}
