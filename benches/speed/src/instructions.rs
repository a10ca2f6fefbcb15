//! Instructions per call, by callgrind: the benchmark runs itself again under valgrind, once with N
//! calls and once with 2 N, and the difference is what N calls cost. They are the same on a busy
//! machine as on a quiet one.
//!
//! What the kernel does is not in them, and neither is the clock: under valgrind a clock is read by
//! a system call.

use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};
use std::{env, fs, thread};

use crate::callgrind::{Place, Profile};
use crate::calls;
use crate::report::Table;
use crate::scenarios::{Scenario, Subject, Through};
use crate::slots_and_routes::Routes;

/// The argument that makes this program such a run.
pub(crate) const RUN: &str = "--run-calls";

const CALLS: usize = 2_000;

/// What callgrind can run.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Subjects {
    Scenario(Scenario),
    Routes(Routes),
}

pub(crate) struct Instructions {
    directory: PathBuf,
}

/// Instructions per call of one subject.
pub(crate) struct Recorded {
    none: Profile,
    constant: Profile,
    layer: Profile,
}

// === impl Instructions ===

impl Instructions {
    /// # Errors
    ///
    /// If valgrind is missing: how to install it.
    pub(crate) fn new() -> Result<Self, &'static str> {
        let found = Command::new("valgrind").arg("--version").stdout(Stdio::null()).status();
        if !found.is_ok_and(|status| status.success()) {
            return Err("Instructions were not counted: valgrind is missing. It is a package of \
                        every distribution; on Debian, `apt-get install valgrind`.");
        }
        let directory = env::temp_dir().join(format!("speed-{}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory for callgrind's files");
        Ok(Self { directory })
    }

    pub(crate) fn of_scenarios(&self, scenarios: &[Scenario]) -> Vec<(Scenario, Recorded)> {
        let subjects: Vec<_> = scenarios.iter().copied().map(Subjects::Scenario).collect();
        scenarios.iter().copied().zip(self.record(&subjects)).collect()
    }

    pub(crate) fn of_routes(&self, routes: &[Routes]) -> Vec<Recorded> {
        self.record(&routes.iter().copied().map(Subjects::Routes).collect::<Vec<_>>())
    }

    fn record(&self, subjects: &[Subjects]) -> Vec<Recorded> {
        let runs: Vec<(Subjects, Through, usize)> = subjects
            .iter()
            .flat_map(|subject| Through::ALL.map(|through| (*subject, through)))
            .flat_map(|(subject, through)| [CALLS, 2 * CALLS].map(|n| (subject, through, n)))
            .collect();
        let profiles = self.run_all(&runs);
        let mut per_call = profiles
            .chunks_exact(2)
            .map(|pair| Profile::per_call(&pair[0], &pair[1], CALLS))
            .collect::<Vec<_>>()
            .into_iter();
        let mut next = || per_call.next().expect("a profile of each run");
        subjects
            .iter()
            .map(|_| Recorded { none: next(), constant: next(), layer: next() })
            .collect()
    }

    /// As many at a time as there are cores: their figures do not depend on one another.
    fn run_all(&self, runs: &[(Subjects, Through, usize)]) -> Vec<Profile> {
        let profiles: Vec<Mutex<Option<Profile>>> = runs.iter().map(|_| Mutex::default()).collect();
        let next = AtomicUsize::new(0);
        let work = || {
            loop {
                let at = next.fetch_add(1, Relaxed);
                let Some(&(subject, through, calls)) = runs.get(at) else { break };
                let profile = self.run(at, subject, through, calls);
                *profiles[at].lock().expect("no panic under the lock") = Some(profile);
            }
        };
        let threads = thread::available_parallelism().map_or(1, Into::into);
        thread::scope(|scope| {
            (0..threads).for_each(|_| drop(scope.spawn(work)));
        });
        let done = |profile: Mutex<Option<Profile>>| profile.into_inner().ok().flatten();
        profiles.into_iter().map(|profile| done(profile).expect("every run was made")).collect()
    }

    fn run(&self, at: usize, subject: Subjects, through: Through, calls: usize) -> Profile {
        let file = self.directory.join(format!("{at}.out"));
        let output = Command::new("valgrind")
            .args(["--tool=callgrind", "--quiet"])
            .arg(format!("--callgrind-out-file={}", file.display()))
            .arg(env::current_exe().expect("this program"))
            .args([RUN, &key(subject), &format!("{through:?}"), &calls.to_string()])
            .output()
            .expect("valgrind runs");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "valgrind failed: {said}");
        let text = fs::read_to_string(&file).expect("callgrind's file");
        drop(fs::remove_file(file));
        Profile::parse(&text)
    }
}

impl Drop for Instructions {
    fn drop(&mut self) {
        drop(fs::remove_dir_all(&self.directory));
    }
}

/// Does what such a run is told to do.
pub(crate) fn run(arguments: &[String]) {
    let [subject, through, count] = arguments else { panic!("{RUN} subject through count") };
    let through = Through::ALL.into_iter().find(|way| format!("{way:?}") == *through);
    let through = through.expect("a way through");
    let subject =
        match Scenario::ALL.into_iter().find(|scenario| format!("{scenario:?}") == *subject) {
            Some(scenario) => Subject::new(scenario),
            None => Routes::from_key(subject).expect("a scenario or a table of routes").subject(),
        };
    calls::make(subject.calls(through), count.parse().expect("a number of calls"));
}

fn key(subject: Subjects) -> String {
    match subject {
        Subjects::Scenario(scenario) => format!("{scenario:?}"),
        Subjects::Routes(routes) => routes.key(),
    }
}

// === impl Recorded ===

impl Recorded {
    pub(crate) fn constant(&self) -> f64 {
        self.constant.total() - self.none.total()
    }

    pub(crate) fn layer(&self) -> f64 {
        self.layer.total() - self.none.total()
    }

    /// What the layer's calls spend in each source file over those without it, the most first.
    pub(crate) fn by_file(&self, rows: usize) -> String {
        self.ranking("Where (source file)", source_file, rows)
    }

    /// The same, by function: by what is left of them after inlining.
    pub(crate) fn by_function(&self, rows: usize) -> String {
        self.ranking("Where (function)", |place| format!("`{}`", place.function), rows)
    }

    fn ranking(&self, head: &str, key: impl Fn(&Place) -> String, rows: usize) -> String {
        let added = Profile::per_call(&self.none, &self.layer, 1);
        let mut table = Table::new(&[head, "instructions per call", "of what the layer adds"]);
        for (place, cost) in added.ranked(key).into_iter().take(rows) {
            let share = 100.0 * cost / self.layer();
            table.row([place, format!("{cost:.0}"), format!("{share:.0} %")]);
        }
        table.finish()
    }
}

/// The file as a reader knows it, wherever it lies on this machine.
fn source_file(place: &Place) -> String {
    let file = place.file.as_str();
    let package = concat!(env!("CARGO_MANIFEST_DIR"), "/");
    let root = package.strip_suffix("benches/speed/").expect("where this crate lies");
    let own = file.strip_prefix(root).or_else(|| file.starts_with("src/").then_some(file));
    if let Some(own) = own {
        // A file that is included by its path.
        return format!("`{}`", own.replace("speed/src/../../", ""));
    }
    // `…/registry/src/<index>/http-1.3.1/src/header/map.rs`
    if let Some((_, dependency)) = file.split_once("/registry/src/") {
        let path = dependency.split_once('/').map_or(dependency, |(_, path)| path);
        return format!("`{path}`");
    }
    // What the standard library is made of: `/rust/deps/hashbrown-0.16.1/src/raw/mod.rs`
    let library = file.split_once("/library/").or_else(|| file.split_once("/rust/deps/"));
    if let Some((_, library)) = library {
        return format!("`{library}` (standard library)");
    }
    format!("`{}` (C library)", place.function)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_source_file_is_told_without_where_it_lies_on_this_machine() {
        let here = env!("CARGO_MANIFEST_DIR");
        let root = here.strip_suffix("/benches/speed").unwrap();
        for (file, told) in [
            (format!("{root}/src/lib.rs"), "`src/lib.rs`"),
            ("src/lib.rs".to_owned(), "`src/lib.rs`"),
            (format!("{here}/src/../../overhead/scenarios.rs"), "`benches/overhead/scenarios.rs`"),
            ("/x/registry/src/index-1/http-1.3.1/src/a.rs".to_owned(), "`http-1.3.1/src/a.rs`"),
            ("/rustc/1/library/core/src/a.rs".to_owned(), "`core/src/a.rs` (standard library)"),
            (
                "/rust/deps/hashbrown-1/src/a.rs".to_owned(),
                "`hashbrown-1/src/a.rs` (standard library)",
            ),
            ("./malloc/malloc.c".to_owned(), "`malloc` (C library)"),
        ] {
            let function = "malloc".to_owned();
            assert_eq!(source_file(&Place { file, function }), told);
        }
    }
}
