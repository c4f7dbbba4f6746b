//! A local folder. A file is there whole or not at all, and what is acknowledged survives a power loss.

use std::fs::{self, File};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::time::{Instant, timeout_at};

use crate::http::PostOutcome;

/// Tells the files apart that this process has under way.
static WRITTEN: AtomicU64 = AtomicU64::new(0);

#[derive(Debug, Clone)]
pub(super) struct Folder {
    path: PathBuf,
}

/// Why a file was not written, and whether it may be there all the same.
struct Failed {
    error: io::Error,
    place: PathBuf,
    renamed: bool,
}

impl Folder {
    pub(super) fn new(path: PathBuf) -> Self {
        Self { path }
    }

    /// Writes a file of a run, over one of the same name.
    pub(super) async fn write(&self, run: &str, name: &str, body: Bytes, until: Instant) -> PostOutcome {
        let (folder, name) = (self.path.join(run), name.to_owned());
        let writing = tokio::task::spawn_blocking(move || write(&folder, &name, &body));
        match timeout_at(until, writing).await {
            Ok(Ok(Ok(()))) => PostOutcome::Applied { status: 0 },
            Ok(Ok(Err(failed))) => outcome(&failed),
            Ok(Err(error)) => in_doubt(format!("writing the file came to nothing: {error}")),
            // The thread goes on, and may be done at some time.
            Err(_) => in_doubt(format!("{} did not take the file in time", self.path.display())),
        }
    }
}

/// Written beside its place and synced, then moved there, and the folder synced.
fn write(folder: &Path, name: &str, body: &[u8]) -> Result<(), Failed> {
    make(folder)?;
    let unique = format!(".{name}.{}-{}.part", std::process::id(), WRITTEN.fetch_add(1, Ordering::Relaxed));
    let (part, whole) = (folder.join(unique), folder.join(name));
    let at = |place: &Path, renamed| {
        let place = place.to_owned();
        move |error| Failed { error, place, renamed }
    };
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(body)?;
        file.sync_all()
    });
    let moved = written.and_then(|()| fs::rename(&part, &whole));
    moved.inspect_err(|_| drop(fs::remove_file(&part))).map_err(at(&whole, false))?;
    sync(folder).map_err(at(folder, true))
}

/// Makes a folder and those above it, each synced into the one that it is in.
fn make(folder: &Path) -> Result<(), Failed> {
    if folder.is_dir() {
        return Ok(());
    }
    let at = |error| Failed { error, place: folder.to_owned(), renamed: false };
    let above = folder.parent().ok_or_else(|| at(ErrorKind::NotFound.into()))?;
    make(above)?;
    match fs::create_dir(folder) {
        Ok(()) => sync(above).map_err(at),
        // Another delivery was quicker.
        Err(error) if error.kind() == ErrorKind::AlreadyExists && folder.is_dir() => sync(above).map_err(at),
        Err(error) => Err(at(error)),
    }
}

fn sync(folder: &Path) -> io::Result<()> {
    File::open(folder)?.sync_all()
}

fn outcome(failed: &Failed) -> PostOutcome {
    let Failed { error, place, renamed } = failed;
    if *renamed {
        return in_doubt(format!(
            "the file is written, but {} does not confirm that it lasts: {error}",
            place.display()
        ));
    }
    let advice = match error.kind() {
        ErrorKind::StorageFull | ErrorKind::QuotaExceeded => "make room there, then resume the run",
        ErrorKind::ReadOnlyFilesystem => {
            "mount it so that it can be written to, or set load.files.url to another folder"
        }
        ErrorKind::PermissionDenied => "let the user that the worker runs as write there",
        ErrorKind::NotADirectory | ErrorKind::AlreadyExists | ErrorKind::IsADirectory => {
            "something else has that name: move it away, or set load.files.url to another folder"
        }
        ErrorKind::InvalidFilename => "set load.files.url to a folder with a shorter name",
        _ => {
            let detail = format!("{} cannot be written: {error}", place.display());
            return PostOutcome::NotApplied { status: 0, retry_after: None, detail };
        }
    };
    let detail = format!("{} cannot be written: {error}; {advice}", place.display());
    PostOutcome::PipelineWrong { status: 0, detail }
}

fn in_doubt(reason: String) -> PostOutcome {
    PostOutcome::InDoubt { status: None, reason, detail: String::new() }
}
