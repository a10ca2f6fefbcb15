//! The command line.

use crate::peer::Entry;
use crate::peers::{OURS, OURS_WITHOUT_REPLAY};
use crate::scenarios::{self, Scenario, Size};

pub(crate) const USAGE: &str = "\
The layer beside the code it replaces and the crates that do part of its job.

  --scenario NAME[,NAME]  only these: warm, herd, expiry, revoked, failing
  --peer TEXT[,TEXT]      only peers whose name has one of these in it, the floor and this library
  --quick                 smaller scenarios, to see that they run
  --list                  the peers, and no scenario
";

pub(crate) struct Args {
    scenarios: Option<Vec<String>>,
    peers: Option<Vec<String>>,
    pub(crate) size: Size,
    pub(crate) list: bool,
}

impl Args {
    /// # Errors
    ///
    /// What is wrong with them, for the user.
    pub(crate) fn parse(mut args: impl Iterator<Item = String>) -> Result<Self, String> {
        let mut parsed = Self { scenarios: None, peers: None, size: Size::Full, list: false };
        while let Some(arg) = args.next() {
            let mut value = || args.next().ok_or_else(|| format!("{arg} needs a value\n\n{USAGE}"));
            match arg.as_str() {
                "--scenario" => parsed.scenarios = Some(list(&value()?)),
                "--peer" => parsed.peers = Some(list(&value()?)),
                "--quick" => parsed.size = Size::Quick,
                "--list" => parsed.list = true,
                _ => return Err(format!("{arg:?} is no option\n\n{USAGE}")),
            }
        }
        for name in parsed.scenarios.iter().flatten() {
            if !scenarios::ALL.iter().any(|scenario| scenario.name == name) {
                return Err(format!("{name:?} is no scenario\n\n{USAGE}"));
            }
        }
        Ok(parsed)
    }

    pub(crate) fn scenarios(&self) -> impl Iterator<Item = &'static Scenario> {
        let chosen = |scenario: &&Scenario| match &self.scenarios {
            Some(names) => names.iter().any(|name| name == scenario.name),
            None => true,
        };
        scenarios::ALL.iter().filter(chosen)
    }

    /// The chosen ones, with what they are measured by.
    pub(crate) fn peers(&self, all: Vec<Entry>) -> Vec<Entry> {
        let Some(names) = &self.peers else { return all };
        let always = |entry: &Entry| {
            let about = &entry.about;
            [OURS, OURS_WITHOUT_REPLAY].contains(&about.name) || about.no_tokens.is_some()
        };
        let chosen = |entry: &Entry| names.iter().any(|name| entry.about.name.contains(name));
        all.into_iter().filter(|entry| always(entry) || chosen(entry)).collect()
    }
}

fn list(value: &str) -> Vec<String> {
    value.split(',').map(|item| item.trim().to_owned()).collect()
}
