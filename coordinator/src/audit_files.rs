//! The audit folder: the IDs that the target acknowledged, one file for each acknowledgement, for those who would
//! rather read files than ask a ledger.
//!
//! `<folder>/<run>/batch_<n>.json` has the IDs of the run's n-th acknowledged delivery that no earlier one covers;
//! `ids.json` has what the source listed and is to be loaded; beside it `unchanged.json` has, of a run that goes on from an
//! earlier one, what need not be. A file is written after the acknowledgement is in the ledger, under another
//! name, and renamed when it is whole. What a crash left out is made up from the ledger.

use std::collections::HashMap;
use std::fs::TryLockError;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::domain::{Run, RunId};
use crate::store::{Acknowledgement, Store, StoreError};

/// Acknowledgements that are read at once.
const READ_AT_ONCE: u32 = 50;
/// Listed IDs that are read at once.
const IDS_AT_ONCE: u32 = 10_000;
/// Acknowledgements that come in quick succession are written together.
const SETTLE: Duration = Duration::from_millis(100);
/// Also without a change, e.g. after a full disk.
const AT_LEAST_EVERY: Duration = Duration::from_secs(5);

/// How often, and how far apart, another coordinator's file is asked for: one that stands still must not hold up the ends
/// of all runs. What takes longer is looked for again.
const HELD_TRIES: u32 = 50;
const HELD_PAUSE: Duration = Duration::from_millis(100);

/// The folder of audit files, and how far it is written.
pub(crate) struct AuditFiles {
    folder: PathBuf,
    /// Up to which acknowledgement a run's files are known to be there.
    written: Mutex<HashMap<RunId, i64>>,
    /// What was last said about a run's files that cannot be written.
    told: std::sync::Mutex<HashMap<RunId, String>>,
}

/// Why files are not whole.
#[derive(Debug, thiserror::Error)]
enum FilesError {
    #[error(transparent)]
    Store(#[from] StoreError),
    #[error("{} cannot be written: {reason}; {}", path.display(), advice(reason))]
    Unwritable { path: PathBuf, reason: std::io::Error },
    #[error(
        "{} is held by another program for more than {} s: most likely another coordinator with this folder, which writes a long \
         list or stands still; see that it goes on, or end it",
        path.display(), (HELD_PAUSE * HELD_TRIES).as_secs()
    )]
    Held { path: PathBuf },
}

/// What to do about a folder that cannot be written.
fn advice(reason: &std::io::Error) -> &'static str {
    use std::io::ErrorKind as Kind;
    match reason.kind() {
        Kind::StorageFull | Kind::QuotaExceeded => "make room on that disk",
        Kind::ReadOnlyFilesystem => "its disk is mounted for reading only: name a folder elsewhere",
        Kind::NotADirectory | Kind::AlreadyExists => "a file stands where a folder should be: name another folder",
        _ => {
            "the folder must be writable for the user that runs this program: change its owner or mode, or name another"
        }
    }
}

impl AuditFiles {
    /// Files below this folder.
    pub fn new(folder: PathBuf) -> Self {
        Self { folder, written: Mutex::default(), told: std::sync::Mutex::default() }
    }

    /// Makes the folder, to find out early that it cannot be written.
    pub fn prepare(&self) -> Result<(), String> {
        std::fs::create_dir_all(&self.folder).and_then(|()| tempfile_probe(&self.folder)).map_err(|error| {
            format!("the audit folder {} cannot be written: {error}; {}", self.folder.display(), advice(&error))
        })
    }

    /// Writes files as acknowledgements come, until it is told to stop.
    pub async fn start(self: Arc<Self>, store: Arc<dyn Store>, stop: CancellationToken) {
        let mut changed = store.events().changed();
        loop {
            self.run_once(store.as_ref()).await;
            let wait = async {
                let _ = tokio::time::timeout(AT_LEAST_EVERY, changed.changed()).await;
                tokio::time::sleep(SETTLE).await;
            };
            if stop.run_until_cancelled(wait).await.is_none() {
                return;
            }
        }
    }

    async fn run_once(&self, store: &dyn Store) {
        let runs = match store.runs_with_unwritten_files().await {
            Ok(runs) => runs,
            // Said once, by the ledger's writer.
            Err(_) if store.writable().is_err() => return,
            Err(error) => {
                return tracing::error!(error = %error, next = "tried again", "audit files cannot be brought up");
            }
        };
        for run in runs {
            let over = run.state.is_over();
            let known = self.written.lock().await.get(&run.id).copied();
            let written = self.write(store, &run, known).await;
            self.say(&run, written.as_ref().err());
            if written.is_ok() && over {
                self.note_whole(store, &run).await;
            }
        }
    }

    /// Writes all that the ledger had acknowledged when `run` was read, and what was listed. Gives whether all is there:
    /// each file is looked for, whatever was written before.
    pub async fn make_whole(&self, store: &dyn Store, run: &Run) -> bool {
        let made = async {
            self.write(store, run, None).await?;
            self.write_listed(store, run).await?;
            if run.since.is_some() {
                self.write_unchanged(store, run).await?;
            }
            Ok(())
        };
        let made = made.await;
        self.say(run, made.as_ref().err());
        made.is_ok()
    }

    /// Says what is wrong with a run's files when that is news, and when they can be written again.
    fn say(&self, run: &Run, error: Option<&FilesError>) {
        let mut told = self.told.lock().unwrap_or_else(PoisonError::into_inner);
        match error.map(FilesError::kind) {
            None if told.remove(&run.id).is_some() => {
                tracing::warn!(muster.run.id = %run.id, "audit files can be written again");
            }
            None => {}
            Some(kind) if told.get(&run.id) == Some(&kind) => {
                tracing::debug!(muster.run.id = %run.id, kind, "audit files still cannot be written");
            }
            Some(kind) => {
                let error = error.map(ToString::to_string).unwrap_or_default();
                tracing::error!(muster.run.id = %run.id, error,
                    next = "tried again every few seconds; the run is not over before its audit files are there",
                    "audit files cannot be written");
                told.insert(run.id.clone(), kind);
            }
        }
    }

    async fn note_whole(&self, store: &dyn Store, run: &Run) {
        match store.files_whole(run).await {
            Ok(_) => drop(self.written.lock().await.remove(&run.id)),
            Err(error) => tracing::warn!(muster.run.id = %run.id, error = %error, next = "tried again",
                "that the audit files are whole cannot be noted"),
        }
    }

    /// Brings the batch files up to the acknowledgements in `run`. `known`: up to which they are there, if the folder is.
    async fn write(&self, store: &dyn Store, run: &Run, known: Option<i64>) -> Result<(), FilesError> {
        let mut written = self.written.lock().await;
        let folder = self.folder.join(run.id.as_str());
        let mut number = first_missing(folder.clone(), known, run.acknowledged).await?;
        while number < run.acknowledged {
            let batch = store.acknowledgements(run, number, READ_AT_ONCE).await?;
            let Some(last) = batch.last() else { break };
            number = last.number;
            let folder = folder.clone();
            blocking(move || batch.iter().try_for_each(|acknowledgement| write_batch(&folder, acknowledgement)))
                .await?;
            written.insert(run.id.clone(), number);
        }
        Ok(())
    }

    async fn write_listed(&self, store: &dyn Store, run: &Run) -> Result<(), FilesError> {
        let path = self.folder.join(run.id.as_str()).join("ids.json");
        let mut file = blocking(move || Unfinished::create(path)).await?;
        let mut from = 0;
        loop {
            let ids = store.listed_ids(run, from, IDS_AT_ONCE).await?;
            from += ids.len() as u64;
            let last = ids.len() < IDS_AT_ONCE as usize;
            file = blocking(move || {
                ids.iter().try_for_each(|id| file.push(id))?;
                Ok(file)
            })
            .await?;
            if last {
                return blocking(move || file.finish()).await;
            }
        }
    }
}

impl AuditFiles {
    async fn write_unchanged(&self, store: &dyn Store, run: &Run) -> Result<(), FilesError> {
        let path = self.folder.join(run.id.as_str()).join("unchanged.json");
        let mut file = blocking(move || Unfinished::create(path)).await?;
        let mut after = String::new();
        loop {
            let ids = store.unchanged_ids(run, &after, IDS_AT_ONCE).await?;
            let Some(last) = ids.last().cloned() else { return blocking(move || file.finish()).await };
            after = last;
            file = blocking(move || {
                ids.iter().try_for_each(|id| file.push(id))?;
                Ok(file)
            })
            .await?;
        }
    }
}

impl FilesError {
    /// The same for failures that one line says all about: a full disk has as many of them as there are files.
    fn kind(&self) -> String {
        match self {
            Self::Store(_) => "store".to_owned(),
            Self::Unwritable { reason, .. } => reason.kind().to_string(),
            Self::Held { .. } => "held".to_owned(),
        }
    }
}

async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, FilesError> + Send + 'static,
) -> Result<T, FilesError> {
    let gone = |error: tokio::task::JoinError| StoreError::Unavailable(error.to_string());
    tokio::task::spawn_blocking(work).await.map_err(gone)?
}

/// Up to which number the files are there: what a crash left out, or somebody took away, begins after it. Of those that
/// are known to be there only the last is looked for.
async fn first_missing(folder: PathBuf, known: Option<i64>, acknowledged: i64) -> Result<i64, FilesError> {
    blocking(move || {
        make_folder(&folder)?;
        let there = |number: i64| batch_path(&folder, number).exists();
        if let Some(known) = known.filter(|known| *known > 0 && there(*known)) {
            return Ok(known);
        }
        Ok((1..=acknowledged).find(|number| !there(*number)).map_or(acknowledged, |missing| missing - 1))
    })
    .await
}

fn make_folder(folder: &Path) -> Result<(), FilesError> {
    let mut builder = std::fs::DirBuilder::new();
    builder.recursive(true);
    #[cfg(unix)]
    std::os::unix::fs::DirBuilderExt::mode(&mut builder, 0o700);
    builder.create(folder).map_err(|reason| FilesError::Unwritable { path: folder.to_owned(), reason })
}

fn batch_path(folder: &Path, number: i64) -> PathBuf {
    folder.join(format!("batch_{number}.json"))
}

fn write_batch(folder: &Path, acknowledgement: &Acknowledgement) -> Result<(), FilesError> {
    let mut file = Unfinished::create(batch_path(folder, acknowledgement.number))?;
    acknowledgement.ids.iter().try_for_each(|id| file.push(id))?;
    file.finish()
}

/// A JSON array that has its name only once it is whole and on the disk.
struct Unfinished {
    file: BufWriter<std::fs::File>,
    unfinished: PathBuf,
    path: PathBuf,
    empty: bool,
}

impl Unfinished {
    fn create(path: PathBuf) -> Result<Self, FilesError> {
        if let Some(folder) = path.parent() {
            make_folder(folder)?;
        }
        let unfinished = path.with_extension("unfinished");
        let file = open_alone(&unfinished)?;
        Ok(Self { file: BufWriter::new(file), unfinished, path, empty: true })
    }

    /// Adds an ID, which is JSON already.
    fn push(&mut self, id: &str) -> Result<(), FilesError> {
        let separator = if std::mem::take(&mut self.empty) { "[" } else { "," };
        self.file
            .write_all(separator.as_bytes())
            .and_then(|()| self.file.write_all(id.as_bytes()))
            .map_err(|reason| FilesError::Unwritable { path: self.unfinished.clone(), reason })
    }

    fn finish(mut self) -> Result<(), FilesError> {
        let end: &[u8] = if self.empty { b"[]\n" } else { b"]\n" };
        let mut finish = || -> std::io::Result<()> {
            self.file.write_all(end)?;
            self.file.flush()?;
            self.file.get_ref().sync_data()?;
            std::fs::rename(&self.unfinished, &self.path)?;
            // The name too must be on the disk before the ledger says that the folder is whole.
            self.path.parent().map_or(Ok(()), |folder| std::fs::File::open(folder)?.sync_all())
        };
        finish().map_err(|reason| FilesError::Unwritable { path: self.path.clone(), reason })
    }
}

/// Opens a file to write it anew. Another coordinator with the same folder may be about the same one: it is waited for, for
/// a while, and what it has given its name meanwhile is another file.
fn open_alone(unfinished: &Path) -> Result<std::fs::File, FilesError> {
    // They name every record, as the ledger does: nobody but their owner may read them.
    let mut options = std::fs::OpenOptions::new();
    options.create(true).write(true).truncate(false);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    let unwritable = |reason| FilesError::Unwritable { path: unfinished.to_owned(), reason };
    for tried in 0..HELD_TRIES {
        if tried > 0 {
            std::thread::sleep(HELD_PAUSE);
        }
        let file = options.open(unfinished).map_err(unwritable)?;
        match file.try_lock() {
            Ok(()) if is_still(unfinished, &file).map_err(unwritable)? => {
                file.set_len(0).map_err(unwritable)?;
                return Ok(file);
            }
            Ok(()) | Err(TryLockError::WouldBlock) => {}
            Err(TryLockError::Error(reason)) => return Err(unwritable(reason)),
        }
    }
    Err(FilesError::Held { path: unfinished.to_owned() })
}

/// Has this file this name?
#[cfg(unix)]
fn is_still(name: &Path, file: &std::fs::File) -> std::io::Result<bool> {
    use std::os::unix::fs::MetadataExt;
    let own = file.metadata()?;
    match std::fs::metadata(name) {
        Ok(named) => Ok((named.dev(), named.ino()) == (own.dev(), own.ino())),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
        Err(error) => Err(error),
    }
}

/// Can files be made here?
fn tempfile_probe(folder: &Path) -> std::io::Result<()> {
    let probe = folder.join(".writable");
    // Not empty: a full disk still takes names.
    let written = std::fs::write(&probe, b"muster\n");
    let removed = match std::fs::remove_file(&probe) {
        // By another coordinator that has asked the same.
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        removed => removed,
    };
    written.and(removed)
}

#[cfg(test)]
mod tests;
