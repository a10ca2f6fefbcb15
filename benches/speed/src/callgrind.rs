//! Reads what callgrind writes: how many instructions each function ran itself, told apart by the
//! source file that they come from, so that inlined code is counted where it was written.

use std::collections::HashMap;

/// The instructions of one run, by source file and function.
#[derive(Debug, Default, Clone, PartialEq)]
pub(crate) struct Profile {
    by_place: HashMap<Place, f64>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    pub(crate) file: String,
    pub(crate) function: String,
}

impl Profile {
    /// Reads a file of callgrind's format, version 1, with positions by line and one event.
    pub(crate) fn parse(text: &str) -> Self {
        let mut names = Names::default();
        let (mut file, mut function) = (String::new(), String::new());
        let mut by_place: HashMap<Place, f64> = HashMap::new();
        // The line after `calls=` says what the callee cost: that is counted where it ran.
        let mut skip = false;
        for line in text.lines() {
            if let Some((key, value)) = line.split_once('=') {
                match key {
                    "fl" | "fi" | "fe" => file = names.of("file", value),
                    "fn" => function = names.of("function", value),
                    "cfi" | "cfl" => drop(names.of("file", value)),
                    "cfn" => drop(names.of("function", value)),
                    "calls" => skip = true,
                    _ => {}
                }
                continue;
            }
            let Some(cost) = cost(line) else { continue };
            if !std::mem::take(&mut skip) {
                let place = Place { file: file.clone(), function: function.clone() };
                *by_place.entry(place).or_default() += cost;
            }
        }
        Self { by_place }
    }

    /// What the longer of two runs did more than the shorter, for each of `calls`: what both did
    /// before their first call is no part of it.
    pub(crate) fn per_call(shorter: &Self, longer: &Self, calls: usize) -> Self {
        let mut by_place = longer.by_place.clone();
        for (place, cost) in &shorter.by_place {
            *by_place.entry(place.clone()).or_default() -= cost;
        }
        by_place.values_mut().for_each(|cost| *cost /= calls as f64);
        Self { by_place }
    }

    pub(crate) fn total(&self) -> f64 {
        self.by_place.values().sum()
    }

    /// The sums of what `key` says is the same, the largest first.
    pub(crate) fn ranked(&self, key: impl Fn(&Place) -> String) -> Vec<(String, f64)> {
        let mut sums: HashMap<String, f64> = HashMap::new();
        for (place, cost) in &self.by_place {
            *sums.entry(key(place)).or_default() += cost;
        }
        let mut ranked: Vec<_> = sums.into_iter().collect();
        ranked.sort_by(|(a, one), (b, other)| other.total_cmp(one).then_with(|| a.cmp(b)));
        ranked
    }
}

/// A name is written out once, as `(7) name`, and is `(7)` from then on.
#[derive(Default)]
struct Names(HashMap<(&'static str, String), String>);

impl Names {
    fn of(&mut self, kind: &'static str, text: &str) -> String {
        let Some((number, name)) = text.split_once(')') else {
            return text.to_owned();
        };
        let key = (kind, number.to_owned());
        let name = name.trim();
        if !name.is_empty() {
            self.0.insert(key.clone(), name.to_owned());
        }
        self.0.get(&key).cloned().unwrap_or_default()
    }
}

/// `line cost`, where the line may be relative: `+3 7`, `-2 7`, `* 7`.
fn cost(line: &str) -> Option<f64> {
    let (position, cost) = line.split_once(' ')?;
    position.starts_with(|c: char| c.is_ascii_digit() || "+-*".contains(c)).then_some(())?;
    cost.trim().parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const RUN: &str = "\
version: 1
positions: line
events: Ir
summary: 1110

ob=(1) /some/program
fl=(1) src/a.rs
fn=(1) outer
10 5
fi=(2) src/inlined.rs
+2 7
fe=(1)
cfi=(2)
cfn=(2) inner
calls=3 20
* 1000
14 1
fl=(2)
fn=(2)
20 998
-1 2

totals: 1110
";

    #[test]
    fn own_cost_is_counted_by_function_and_by_the_file_it_was_written_in() {
        let profile = Profile::parse(RUN);
        let by_function = profile.ranked(|place| place.function.clone());
        assert_eq!(by_function, [("inner".to_owned(), 1000.0), ("outer".to_owned(), 13.0)]);
        let by_file = profile.ranked(|place| place.file.clone());
        assert_eq!(by_file, [("src/inlined.rs".to_owned(), 1007.0), ("src/a.rs".to_owned(), 6.0)]);
    }

    #[test]
    fn what_two_runs_have_in_common_cancels_out() {
        let once = Profile::parse(RUN);
        let twice = Profile::parse(&RUN.replace("20 998", "20 1998"));
        let per_call = Profile::per_call(&once, &twice, 100);
        assert_eq!(per_call.total(), 10.0);
        assert_eq!(per_call.ranked(|place| place.function.clone())[0], ("inner".to_owned(), 10.0));
    }
}
