//! The machine's kind, since no figure is worth anything without it.

use serde::Serialize;

#[derive(Serialize)]
pub(crate) struct Machine {
    cores: usize,
    cpu: String,
    os: &'static str,
    rustc: &'static str,
}

impl Machine {
    pub(crate) fn here() -> Self {
        let cpus = std::fs::read_to_string("/proc/cpuinfo").unwrap_or_default();
        let model = cpus.lines().find_map(|line| line.strip_prefix("model name")?.split_once(": "));
        Self {
            cores: std::thread::available_parallelism().map_or(0, usize::from),
            cpu: model.map_or("unknown", |(_, model)| model).to_owned(),
            os: std::env::consts::OS,
            rustc: env!("RUSTC_VERSION"),
        }
    }
}

impl std::fmt::Display for Machine {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { cores, cpu, os, rustc } = self;
        write!(f, "{cores} cores of {cpu}, {os}, {rustc}")
    }
}
