//! Files that appear whole or not at all.

use std::io::{self, Write};
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
        for nowhere in [folder.path().join("none/rows.csv"), path.join("rows.csv")] {
            let said = unfinished(&nowhere).expect_err("no such folder").to_string();
            assert!(!said.contains("unfinished") && said.contains("help: "), "{said}");
        }
    }
}
