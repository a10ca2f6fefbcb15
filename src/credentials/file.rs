//! Reading a file that holds a secret, and that may be changed at the same time.

use std::fs::{self, File, Metadata};
use std::io::{self, Read};
use std::path::Path;
use std::thread;
use std::time::{Duration, SystemTime};

use zeroize::Zeroizing;

/// The longest file that is read, in bytes.
const MAX: usize = 64 * 1024;

/// How often a file is read that changes.
const READS: usize = 5;
const PAUSE: Duration = Duration::from_millis(10);

/// Why there is nothing to be had of a file.
#[derive(Debug)]
pub(super) enum ReadError {
    NotFound(io::Error),
    Io(io::Error),
    TooLong,
    Changing,
}

/// What one look at a file brought.
enum Look {
    Steady(Zeroizing<Vec<u8>>),
    /// It changed under the reader's hands.
    Changed,
}

/// What is another after a change. Two changes within one tick of the file system's clock, of equal
/// length and in place, look the same.
#[derive(PartialEq, Eq)]
struct Stamp {
    length: u64,
    modified: Option<SystemTime>,
    /// Device and inode: a file that took another's place is another.
    #[cfg(unix)]
    identity: (u64, u64),
}

/// The bytes of a file, as they were at one moment, without one newline at their end. It blocks.
pub(super) fn read(path: &Path) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    read_amid(path, || {})
}

/// `meanwhile` is run between each read and the look whether the file is still the same.
fn read_amid(path: &Path, mut meanwhile: impl FnMut()) -> Result<Zeroizing<Vec<u8>>, ReadError> {
    let mut empty = false;
    for round in 0..READS {
        if round > 0 {
            thread::sleep(PAUSE);
        }
        match look(path, &mut meanwhile)? {
            // It may have been emptied only to be written anew.
            Look::Steady(bytes) if bytes.is_empty() => empty = true,
            Look::Steady(mut bytes) => {
                let newline =
                    [b"\r\n".as_slice(), b"\n"].into_iter().find(|end| bytes.ends_with(end));
                let length = bytes.len() - newline.map_or(0, <[u8]>::len);
                bytes.truncate(length);
                return Ok(bytes);
            }
            Look::Changed => empty = false,
        }
    }
    if empty { Ok(Zeroizing::default()) } else { Err(ReadError::Changing) }
}

fn look(path: &Path, meanwhile: &mut impl FnMut()) -> Result<Look, ReadError> {
    // Before it is opened: to open a pipe is to wait for its other end.
    if !fs::metadata(path)?.is_file() {
        return Err(ReadError::Io(io::Error::other("it is no regular file")));
    }
    let mut file = File::open(path)?;
    let before = Stamp::of(&file.metadata()?);
    let length = usize::try_from(before.length).unwrap_or(usize::MAX);
    if length > MAX {
        return Err(ReadError::TooLong);
    }
    // Never grown, and filled by hand: `read_to_end` reads through a buffer that nobody wipes. One byte
    // more than there are, so that a file that grew shows.
    let mut bytes = Zeroizing::new(vec![0; length + 1]);
    let mut filled = 0;
    while filled < bytes.len() {
        match file.read(&mut bytes[filled..]) {
            Ok(0) => break,
            Ok(read) => filled += read,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error.into()),
        }
    }
    meanwhile();
    // Of the name, not of the open file: another may have taken its place.
    let after = fs::metadata(path).ok().map(|metadata| Stamp::of(&metadata));
    if filled != length || after != Some(before) {
        return Ok(Look::Changed);
    }
    bytes.truncate(length);
    Ok(Look::Steady(bytes))
}

impl Stamp {
    fn of(metadata: &Metadata) -> Self {
        #[cfg(unix)]
        use std::os::unix::fs::MetadataExt;
        Self {
            length: metadata.len(),
            modified: metadata.modified().ok(),
            #[cfg(unix)]
            identity: (metadata.dev(), metadata.ino()),
        }
    }
}

impl From<io::Error> for ReadError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound {
            Self::NotFound(error)
        } else {
            Self::Io(error)
        }
    }
}

#[cfg(test)]
mod tests;
