//! The servers that the tour is shown at: a fresh one for each scene, all of them up to the end, so that
//! their counts can be read.

use std::io;
use std::sync::Mutex;

use tower_partner_auth::sandbox::Sandbox;

#[derive(Default)]
pub(crate) struct Stages {
    sandboxes: Mutex<Vec<Sandbox>>,
}

impl Stages {
    /// A fresh server.
    pub(crate) async fn open(&self) -> io::Result<Sandbox> {
        let sandbox = Sandbox::start().await?;
        self.sandboxes.lock().unwrap().push(sandbox.clone());
        Ok(sandbox)
    }

    /// A count of all servers together.
    #[cfg(feature = "metrics")]
    pub(crate) fn total(&self, count: impl Fn(&Sandbox) -> u64) -> u64 {
        self.sandboxes.lock().unwrap().iter().map(count).sum()
    }
}
