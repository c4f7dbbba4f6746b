//! Files that appear whole or not at all.

use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::failure::Failure;

/// A file with this content, in place of one that is there.
pub fn write(path: &Path, content: &[u8]) -> Result<(), Failure> {
    let mut file = unfinished(path)?;
    file.write_all(content).map_err(|error| unwritten(&path.display().to_string(), &error))?;
    keep(file, path)
}

/// What to say when something cannot be written.
pub fn unwritten(place: &str, error: &io::Error) -> Failure {
    Failure::new(format!("cannot write {place}: {error}"))
}

/// A file beside the one that is wanted: that one appears whole or not at all.
pub fn unfinished(path: &Path) -> Result<NamedTempFile, Failure> {
    let folder = path.parent().filter(|folder| *folder != Path::new("")).map_or_else(|| PathBuf::from("."), Into::into);
    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    if name.is_empty() || path.is_dir() {
        return Err(Failure::usage(format!("{} is a folder: give a file", path.display())));
    }
    if is_of_database(path) {
        return Err(Failure::usage(format!("{} is a database or part of one, such as a ledger", path.display()))
            .help("it would be lost: give another file"));
    }
    let made = tempfile::Builder::new().prefix(&format!("{name}.")).suffix(".unfinished").tempfile_in(&folder);
    // The kind alone: the error itself names a file that nobody asked for.
    made.map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => {
            Failure::new(format!("there is no folder {}", folder.display())).help("make it first, or give another file")
        }
        kind => Failure::new(format!("cannot write into the folder {}: {kind}", folder.display()))
            .help("it must be a folder that is writable for you; or give a file elsewhere"),
    })
}

/// Whether this is a file of SQLite, or one that stands beside such a file and belongs to it.
fn is_of_database(path: &Path) -> bool {
    let name = path.to_string_lossy();
    let beside = ["-wal", "-shm", "-journal", ".lock"].iter().filter_map(|ending| name.strip_suffix(ending));
    is_database(path) || beside.into_iter().any(|database| is_database(Path::new(database)))
}

fn is_database(path: &Path) -> bool {
    // As <https://www.sqlite.org/fileformat.html#magic_header_string> has it. Whatever else there is, a pipe say, is not read.
    const BEGINS: &[u8; 16] = b"SQLite format 3\0";
    let mut begins = [0; BEGINS.len()];
    path.is_file()
        && std::fs::File::open(path).is_ok_and(|mut file| file.read_exact(&mut begins).is_ok())
        && begins == *BEGINS
}

/// Gives it its name, once it is on the disk.
pub fn keep(file: NamedTempFile, path: &Path) -> Result<(), Failure> {
    let failed = |error: &io::Error| unwritten(&path.display().to_string(), error);
    file.as_file().sync_all().map_err(|error| failed(&error))?;
    file.persist(path).map_err(|error| failed(&error.error))?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_appears_whole_or_not_at_all() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("rows.csv");
        let mut file = unfinished(&path).expect("a file");
        file.write_all(b"x").expect("written");
        assert!(!path.exists());
        keep(file, &path).expect("kept");
        assert_eq!(std::fs::read(&path).expect("there"), b"x");
        drop(unfinished(&path).expect("another"));
        write(&path, b"y").expect("in its place");
        assert_eq!(std::fs::read(&path).expect("there"), b"y");
        assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 1);
        assert!(unfinished(folder.path()).is_err());
        let ledger = folder.path().join("muster.db");
        std::fs::write(&ledger, b"SQLite format 3\0 and pages").expect("written");
        for name in ["muster.db", "muster.db-wal", "muster.db-shm", "muster.db.lock"] {
            let said = write(&folder.path().join(name), b"x").expect_err("the ledger's").to_string();
            assert!(said.contains(name) && said.contains("it would be lost"), "{said}");
        }
        write(&folder.path().join("herd.db"), b"x").expect("a file of whatever name");
        for nowhere in [folder.path().join("none/rows.csv"), path.join("rows.csv")] {
            let said = unfinished(&nowhere).expect_err("no such folder").to_string();
            assert!(!said.contains("unfinished") && said.contains("help: "), "{said}");
        }
    }
}
