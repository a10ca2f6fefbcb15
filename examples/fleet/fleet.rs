//! The processes of a fleet: started, let go at one moment, and asked what became of their calls.

use std::io::{self, BufRead, BufReader, Write};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use tower::BoxError;

use crate::PROCESS;
use crate::process::{Orders, Tally};

/// Ends with its handle: none outlives a run that fails.
struct Process {
    child: Child,
    to: ChildStdin,
    from: BufReader<ChildStdout>,
}

/// Has so many processes do the same, and adds up what they tell. Blocks until they have.
pub(crate) fn run(processes: usize, orders: &Orders) -> Result<Tally, BoxError> {
    let orders = serde_json::to_string(orders)?;
    let start = |_| Process::start(&orders);
    let mut fleet = (0..processes).map(start).collect::<io::Result<Vec<_>>>()?;
    for process in &mut fleet {
        process.read()?;
    }
    // All are up: as when the whole fleet is restarted.
    for process in &mut fleet {
        process.tell("go")?;
    }
    let mut total = Tally::default();
    for process in &mut fleet {
        total.add(serde_json::from_str(&process.read()?)?);
    }
    Ok(total)
}

impl Process {
    fn start(orders: &str) -> io::Result<Self> {
        let mut command = Command::new(std::env::current_exe()?);
        command.arg(PROCESS).stdin(Stdio::piped()).stdout(Stdio::piped());
        let mut child = command.spawn()?;
        let (to, from) = (child.stdin.take(), child.stdout.take());
        let (to, from) = (to.expect("it is piped"), BufReader::new(from.expect("it is piped")));
        let mut process = Self { child, to, from };
        process.tell(orders)?;
        Ok(process)
    }

    fn tell(&mut self, line: &str) -> io::Result<()> {
        writeln!(self.to, "{line}")
    }

    fn read(&mut self) -> io::Result<String> {
        let mut line = String::new();
        if self.from.read_line(&mut line)? == 0 {
            let status = self.child.wait()?;
            return Err(io::Error::other(format!("a process ended too early, with {status}")));
        }
        Ok(line)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
