//! The machine's kind, and how busy others kept it while it was measured on.

use std::fs;
use std::process::Command;
use std::thread;

use crate::report::Table;

/// Of these, the versions are told.
const DEPENDENCIES: [&str; 6] = ["bytes", "http", "hyper", "tokio", "tower", "tower-http"];

/// What the processors have done so far, in ticks.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) struct Work {
    all: f64,
    busy: f64,
    /// This process, and those it has waited for.
    own: f64,
}

impl Work {
    /// Nothing where the system does not tell.
    pub(crate) fn so_far() -> Option<Self> {
        let stat = fs::read_to_string("/proc/stat").ok()?;
        let own = fs::read_to_string("/proc/self/stat").ok()?;
        Self::read(&stat, &own)
    }

    fn read(stat: &str, own: &str) -> Option<Self> {
        let numbers = |text: &str| -> Vec<f64> {
            text.split_whitespace().filter_map(|number| number.parse().ok()).collect()
        };
        // user nice system idle iowait irq softirq steal; guests are counted in user and nice.
        let times = numbers(stat.lines().next()?.strip_prefix("cpu ")?);
        let all = times.iter().take(8).sum();
        let busy = all - times.get(3)? - times.get(4)?;
        // After the name in parentheses: state, 10 numbers, utime, stime, cutime, cstime.
        let own = numbers(own.rsplit_once(')')?.1.trim_start().split_once(' ')?.1);
        Some(Self { all, busy, own: own.get(10..14)?.iter().sum() })
    }

    /// The part of all processors' time since then that others took, in percent.
    fn of_others_since(self, then: Self) -> f64 {
        let others = (self.busy - then.busy) - (self.own - then.own);
        (100.0 * others / (self.all - then.all)).max(0.0)
    }
}

/// A table of it, after a benchmark that began at `then`.
pub(crate) fn describe(then: Option<Work>) -> String {
    let mut table = Table::new(&["Machine", ""]);
    let cores = thread::available_parallelism().map_or(1, usize::from);
    let others = match (then, Work::so_far()) {
        (Some(then), Some(now)) => format!("{:.0} % of the processors", now.of_others_since(then)),
        _ => "not known".to_owned(),
    };
    let dependencies = DEPENDENCIES.map(|name| format!("{name} {}", version(name)));
    for (what, is) in [
        ("Processor", format!("{} ({cores} cores)", processor())),
        ("System", said("uname", &["-srm"])),
        ("Rust", said("rustc", &["--version"])),
        ("Dependencies", dependencies.join(", ")),
        ("Date", said("date", &["-u", "+%Y-%m-%d"])),
        ("Taken by other processes meanwhile", others),
    ] {
        table.row([what.to_owned(), is]);
    }
    table.finish()
}

fn processor() -> String {
    let known = fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
    let model = known.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
    model.map_or_else(|| said("uname", &["-m"]), |(_, model)| model.to_owned())
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output();
    let text = output.map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned());
    text.unwrap_or_else(|_| "not known".to_owned())
}

fn version(name: &str) -> &'static str {
    let lock = include_str!("../Cargo.lock");
    let name = format!("\nname = \"{name}\"\n");
    let package = lock.split("[[package]]").find(|package| package.contains(&name));
    package
        .and_then(|package| package.split_once("\nversion = \"")?.1.split_once('"'))
        .map_or("?", |(version, _)| version)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_take_is_all_that_is_busy_but_what_is_our_own() {
        let own = |ticks| format!("7 (a (b) c) S 1 2 3 4 5 6 7 8 9 10 {ticks} 1 2 3 99 99");
        let then = Work::read("cpu  10 0 10 80 0 0 0 0 5 5\ncpu0 1", &own(10)).unwrap();
        let now = Work::read("cpu  60 0 30 100 5 0 0 5 5 5\ncpu0 1", &own(45)).unwrap();
        assert_eq!((then.all, then.busy, then.own), (100.0, 20.0, 16.0));
        assert_eq!(now.of_others_since(then), 40.0);
    }

    #[test]
    fn versions_are_those_that_were_built() {
        assert!(version("tokio").starts_with("1."));
        assert_eq!(version("no-such"), "?");
    }
}
