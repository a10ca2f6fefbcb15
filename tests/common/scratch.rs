//! Files that a test changes.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};

/// A file in a directory of its own, which is gone when this is. It is not there at first.
pub(crate) struct Scratch {
    directory: PathBuf,
    file: PathBuf,
}

impl Scratch {
    pub(crate) fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("partner-auth-test-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).expect("a place for the test's files");
        let file = directory.join("the-file");
        Self { directory, file }
    }

    /// With this in the file.
    pub(crate) fn with(content: impl AsRef<[u8]>) -> Self {
        let scratch = Self::new();
        scratch.replace(content);
        scratch
    }

    pub(crate) fn path(&self) -> &Path {
        &self.file
    }

    /// Another file takes the name, as it should be done where somebody may be reading.
    pub(crate) fn replace(&self, content: impl AsRef<[u8]>) {
        let new = self.directory.join("new");
        fs::write(&new, content).expect("a file");
        fs::rename(new, &self.file).expect("another name");
    }
}

impl Drop for Scratch {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.directory);
    }
}
