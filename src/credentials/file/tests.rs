//! Files as operators leave them, and as they change them.

use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};

use super::*;

/// A directory that is gone when this is.
struct Directory(PathBuf);

impl Directory {
    fn new() -> Self {
        static NUMBER: AtomicUsize = AtomicUsize::new(0);
        let number = NUMBER.fetch_add(1, Ordering::Relaxed);
        let name = format!("partner-auth-secret-{}-{number}", std::process::id());
        let directory = std::env::temp_dir().join(name);
        fs::create_dir(&directory).unwrap();
        Self(directory)
    }

    fn path(&self) -> PathBuf {
        self.0.join("secret")
    }

    fn write(&self, content: impl AsRef<[u8]>) {
        fs::write(self.path(), content).unwrap();
    }

    /// As an operator should: another file takes the name.
    fn replace(&self, content: impl AsRef<[u8]>) {
        let new = self.0.join("new");
        fs::write(&new, content).unwrap();
        fs::rename(new, self.path()).unwrap();
    }
}

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn text(read: Result<Zeroizing<Vec<u8>>, ReadError>) -> String {
    String::from_utf8(read.unwrap().to_vec()).unwrap()
}

/// Reads with something done amid the first so many reads; gives how many there were.
fn read_during(
    directory: &Directory,
    times: usize,
    change: impl Fn(usize),
) -> (Result<Zeroizing<Vec<u8>>, ReadError>, usize) {
    let mut reads = 0;
    let read = read_amid(&directory.path(), || {
        reads += 1;
        if reads <= times {
            change(reads);
        }
    });
    (read, reads)
}

#[test]
fn one_newline_at_the_end_is_no_part_of_the_secret() {
    let directory = Directory::new();
    for (content, secret) in [
        ("s3cret", "s3cret"),
        ("s3cret\n", "s3cret"),
        ("s3cret\r\n", "s3cret"),
        ("s3cret\n\n", "s3cret\n"),
        ("s3cret\r\n\r\n", "s3cret\r\n"),
        ("s3cret\n\r", "s3cret\n\r"),
        ("\ns3cret", "\ns3cret"),
        (" s3cret ", " s3cret "),
        ("\n", ""),
    ] {
        directory.write(content);
        assert_eq!(text(read(&directory.path())), secret, "{content:?}");
    }
}

#[test]
fn what_cannot_be_read_is_told_apart() {
    let directory = Directory::new();
    assert!(matches!(read(&directory.path()), Err(ReadError::NotFound(_))));
    assert!(matches!(read(&directory.0), Err(ReadError::Io(_))), "a directory");
    directory.write("s".repeat(MAX + 1));
    assert!(matches!(read(&directory.path()), Err(ReadError::TooLong)));
    directory.write("s".repeat(MAX));
    assert_eq!(text(read(&directory.path())).len(), MAX);
}

#[cfg(unix)]
#[test]
fn a_pipe_is_refused_and_not_waited_for() {
    let directory = Directory::new();
    let made = std::process::Command::new("mkfifo").arg(directory.path()).status().unwrap();
    assert!(made.success());
    assert!(matches!(read(&directory.path()), Err(ReadError::Io(_))));
}

#[test]
fn a_file_that_changes_while_it_is_read_is_read_again() {
    let directory = Directory::new();
    let changes: [(&str, &dyn Fn()); 4] = [
        ("renamed over, of the same length", &|| directory.replace("newer!")),
        ("written anew, longer", &|| directory.write("newer!-longer")),
        ("written anew, shorter", &|| directory.write("new")),
        ("appended to", &|| directory.write("s3cret-and-more")),
    ];
    for (name, change) in changes {
        directory.write("s3cret");
        let (read, reads) = read_during(&directory, 1, |_| change());
        assert_eq!(reads, 2, "{name}");
        assert_eq!(text(read), String::from_utf8(fs::read(directory.path()).unwrap()).unwrap());
    }
}

#[test]
fn a_file_that_is_gone_by_the_second_look_is_looked_for_again() {
    let directory = Directory::new();
    directory.write("s3cret");
    let (read, reads) = read_during(&directory, 1, |_| fs::remove_file(directory.path()).unwrap());
    assert!(matches!(read, Err(ReadError::NotFound(_))));
    assert_eq!(reads, 1);
}

#[test]
fn a_file_of_the_same_length_is_another_by_its_time() {
    let directory = Directory::new();
    directory.write("s3cret");
    let (read, reads) = read_during(&directory, 1, |_| {
        directory.write("newer!");
        // The same inode: only the time tells, and it may be of the same tick.
        let file = File::options().write(true).open(directory.path()).unwrap();
        file.set_modified(SystemTime::now() + Duration::from_secs(7)).unwrap();
    });
    assert_eq!((text(read).as_str(), reads), ("newer!", 2));
}

#[test]
fn a_file_that_never_stops_changing_is_given_up() {
    let directory = Directory::new();
    directory.write("s3cret");
    let (read, reads) =
        read_during(&directory, usize::MAX, |n| directory.write("s".repeat(10 + n)));
    assert!(matches!(read, Err(ReadError::Changing)), "{read:?}");
    assert_eq!(reads, READS);
}

// The kernel's files are of no length until they are read.
#[cfg(target_os = "linux")]
#[test]
fn a_file_of_another_length_than_it_says_is_given_up() {
    assert!(matches!(read(Path::new("/proc/self/status")), Err(ReadError::Changing)));
}

#[test]
fn an_empty_file_may_be_about_to_be_written() {
    let directory = Directory::new();
    directory.write("");
    let (read, reads) = read_during(&directory, 1, |_| directory.write("s3cret\n"));
    assert_eq!((text(read).as_str(), reads), ("s3cret", 2));
    directory.write("");
    let (read, reads) = read_during(&directory, 0, |_| {});
    assert_eq!((text(read).as_str(), reads), ("", READS), "and then it is empty");
}
