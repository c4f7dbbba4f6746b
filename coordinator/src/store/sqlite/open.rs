//! Opening a ledger: whose file it is, which version it has, that nobody else writes it.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rusqlite::config::DbConfig;
use rusqlite::{Connection, OpenFlags};
use tokio::sync::Semaphore;

use super::serving::Kept;
use super::{READERS, SqliteStore, migrations, writer};
use crate::domain::{Clock, SystemClock, TimeSources, Timestamp};
use crate::planted::{Bug, Planted};
use crate::store::ledger::{Writable, expire_embedded, free_all, free_notices};
use crate::store::schema::{Fit, SchemaVersion, tell_of_newer};
use crate::store::{Events, StoreError};

/// How to open a store.
#[derive(Default)]
pub struct Options {
    /// Where the time is read; the machine's clocks unless a test brings its own.
    pub clock: Option<TimeSources>,
    /// Bugs that tests switch on.
    pub planted: Planted,
}

/// Why a ledger cannot be opened: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// Another process has it.
    #[error("{} is in use by another coordinator (or `muster run`): stop that one, or use another file", .0.display())]
    InUse(PathBuf),
    /// Not ours.
    #[error("{} is no ledger but the file of another program: name a file of your own with --db or --database", .0.display())]
    NotALedger(PathBuf),
    /// From the future.
    #[error("{} has schema version {found}, this program knows up to {known}: use a newer muster", path.display())]
    TooNew {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
        /// The newest this program knows.
        known: i32,
    },
    /// From the past, and not to be written.
    #[error(
        "{} has the older schema version {found}: start `muster coordinator` or `muster run` on it once, which upgrades it",
        path.display()
    )]
    TooOld {
        /// The file.
        path: PathBuf,
        /// Its version.
        found: i32,
    },
    /// A file without anything in it, as one that was copied without its -wal file.
    #[error("{} is empty: name the file that `muster run` printed, or start a run first", .0.display())]
    Empty(PathBuf),
    /// Nothing there to read.
    #[error("there is no ledger at {}: name the file that `muster run` printed, or start a run first", .0.display())]
    Missing(PathBuf),
    /// Not a file at all.
    #[error("{} is {kind}, and a ledger is a file: name one with --db or --database", path.display())]
    NotAFile {
        /// What was named.
        path: PathBuf,
        /// What it is.
        kind: &'static str,
    },
    /// The file system or SQLite says no.
    #[error("the ledger {} cannot be opened: {reason}{}", path.display(), advice.map(|text| format!("; {text}")).unwrap_or_default())]
    Failed {
        /// The file.
        path: PathBuf,
        /// What was said.
        reason: String,
        /// What to do about it, where that is known.
        advice: Option<&'static str>,
    },
}

impl SqliteStore {
    /// Opens a ledger for reading and writing, made if it is not there, upgraded if it is older.
    pub fn open(path: &Path, options: Options) -> Result<Self, OpenError> {
        let failed = |error: &rusqlite::Error| refused(path, error);
        let broken = |error: std::io::Error| io_refused(path, &error);
        is_a_file(path)?;
        let file = the_file(path).map_err(broken)?;
        let ownership = own(&file, path)?;
        create_private(&file).map_err(broken)?;
        let connection = connect(&file, WRITING).map_err(|error| failed(&error))?;
        let version = schema_version(&connection, path).inspect_err(|error| forget_lock(&file, error))?;
        match version.fit(migrations::current()) {
            Fit::TooNew => return Err(too_new(path, version)).inspect_err(|error| forget_lock(&file, error)),
            Fit::NewerButUsable => tell_of_newer(&path.display().to_string(), version, migrations::current()),
            Fit::Upgrade | Fit::Same => {}
        }
        let serving = prepare(&connection, &file, version.applied).map_err(|error| failed(&error))?;
        let sources = options.clock.unwrap_or_else(TimeSources::machine);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock::reading(sources, serving.last_seen(), options.planted));
        if options.planted.has(Bug::SeveralOpen) {
            // The schema would notice what the program does not.
            let not_unique = "DROP INDEX deliveries_open;
                CREATE INDEX deliveries_open ON deliveries (run, round, batch) WHERE state = 0;";
            connection.execute_batch(not_unique).map_err(|error| failed(&error))?;
        }
        {
            let transaction = connection.unchecked_transaction().map_err(|error| failed(&error))?;
            let freed = expire_embedded(&*transaction, clock.now())
                .and_then(|()| free_all(&*transaction))
                .and_then(|()| free_notices(&*transaction));
            freed.map_err(|fault| OpenError::Failed {
                path: path.to_owned(),
                reason: StoreError::from(fault).to_string(),
                advice: None,
            })?;
            transaction.commit().map_err(|error| failed(&error))?;
        }
        let events = Arc::new(Events::default());
        let readers = open_readers(&file).map_err(|error| failed(&error))?;
        let group = writer::Group {
            connection,
            clock: Arc::clone(&clock),
            serving,
            planted: options.planted,
            events: Arc::clone(&events),
            writable: Arc::new(Writable::new(Instant::now())),
            _ownership: ownership,
        };
        let writer = writer::Writer::start(group).map_err(broken)?;
        Ok(Self {
            events,
            clock,
            writer: Some(writer),
            readers: Arc::new(Mutex::new(readers)),
            free_readers: Arc::new(Semaphore::new(READERS)),
        })
    }

    /// Opens a ledger for reading only: another process may be writing it.
    pub fn open_read_only(path: &Path) -> Result<Self, OpenError> {
        match path.try_exists() {
            Ok(true) => is_a_file(path)?,
            Ok(false) => return Err(OpenError::Missing(path.to_owned())),
            Err(error) => return Err(io_refused(path, &error)),
        }
        let file = path.canonicalize().map_err(|error| io_refused(path, &error))?;
        let readers = open_readers(&file).map_err(|error| unreadable(path, &error))?;
        let first = readers.first().ok_or_else(|| unreadable(path, &rusqlite::Error::InvalidQuery))?;
        let version = schema_version(first, path)?;
        match version.fit(migrations::current()) {
            Fit::Upgrade if version.applied == 0 => return Err(OpenError::Empty(path.to_owned())),
            Fit::Upgrade => return Err(OpenError::TooOld { path: path.to_owned(), found: version.applied }),
            Fit::Same | Fit::NewerButUsable => {}
            Fit::TooNew => return Err(too_new(path, version)),
        }
        Ok(Self {
            events: Arc::new(Events::default()),
            clock: Arc::new(SystemClock::starting_after(Timestamp::default())),
            writer: None,
            readers: Arc::new(Mutex::new(readers)),
            free_readers: Arc::new(Semaphore::new(READERS)),
        })
    }
}

/// Makes a ledger of version `from` ready to be written; refuses one that would not be durable.
fn prepare(connection: &Connection, file: &Path, from: i32) -> rusqlite::Result<Kept> {
    connection.busy_timeout(Duration::from_secs(5))?;
    // Heard only by a file without anything in it: deleted runs give their space back.
    connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL;")?;
    connection.execute_batch("PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;")?;
    // 4 MiB of pages, however large the file grows; the rest is the system's to cache.
    connection.execute_batch("PRAGMA cache_size = -4096; PRAGMA mmap_size = 0; PRAGMA temp_store = MEMORY;")?;
    connection.set_prepared_statement_cache_capacity(128);
    keep_plans(connection)?;
    migrations::apply(connection, file, from)?;
    migrations::let_space_go(connection)?;
    // Read back: what the file system silently refuses must not pass for durable.
    let synchronous: i64 = connection.query_row("PRAGMA synchronous", [], |row| row.get(0))?;
    let journal: String = connection.query_row("PRAGMA journal_mode", [], |row| row.get(0))?;
    if synchronous != 2 || journal != "wal" {
        return Err(rusqlite::Error::InvalidParameterName(format!(
            "it is not durable there (journal_mode {journal}, synchronous {synchronous}): use a local disk"
        )));
    }
    Kept::read(connection)
}

/// What SQLite says, and what to do about it.
fn refused(path: &Path, error: &rusqlite::Error) -> OpenError {
    use rusqlite::ErrorCode as Code;
    let advice = match error.sqlite_error_code() {
        Some(Code::DiskFull) => Some(MAKE_ROOM),
        None if error.to_string().contains("disk is full") => Some(MAKE_ROOM),
        Some(Code::ReadOnly | Code::CannotOpen | Code::PermissionDenied) => Some(MAKE_WRITABLE),
        Some(Code::SystemIoFailure) => Some("the disk is full or failing: look at `df` and at the system's log"),
        Some(Code::DatabaseBusy | Code::DatabaseLocked) => {
            Some("another program has the file open and locked: end that one, or name another file")
        }
        Some(Code::DatabaseCorrupt) => {
            Some("the file is damaged: take a copy of it (with -wal, if there is one) before anything else")
        }
        _ => None,
    };
    let reason = match error {
        // Ours: see `open`.
        rusqlite::Error::InvalidParameterName(said) => said.clone(),
        other => other.to_string(),
    };
    OpenError::Failed { path: path.to_owned(), reason, advice }
}

const MAKE_ROOM: &str = "make room on that disk, or name a file elsewhere";
const MAKE_WRITABLE: &str = "file and folder must be writable for you (SQLite makes files beside the ledger, even to read \
                             it): change their owner or mode, or name a file elsewhere";

/// What the file system says, and what to do about it.
fn io_refused(path: &Path, error: &std::io::Error) -> OpenError {
    use std::io::ErrorKind as Kind;
    let advice = match error.kind() {
        Kind::NotFound => Some("its folder is not there: make it first, or name a file elsewhere"),
        Kind::NotADirectory => Some("a file stands where its folder should be: name a file elsewhere"),
        Kind::StorageFull | Kind::QuotaExceeded => Some(MAKE_ROOM),
        Kind::PermissionDenied | Kind::ReadOnlyFilesystem => Some(MAKE_WRITABLE),
        _ => None,
    };
    OpenError::Failed { path: path.to_owned(), reason: error.to_string(), advice }
}

/// Refuses what SQLite would open in its own way: folders, devices, pipes.
fn is_a_file(path: &Path) -> Result<(), OpenError> {
    let kind = match path.metadata() {
        Ok(found) if found.is_file() => return Ok(()),
        Ok(found) if found.is_dir() => "a folder",
        Ok(_) => "a device or a pipe",
        // What is not there is made, and what cannot be looked at is refused by whoever opens it.
        Err(_) => return Ok(()),
    };
    Err(OpenError::NotAFile { path: path.to_owned(), kind })
}

fn too_new(path: &Path, found: SchemaVersion) -> OpenError {
    OpenError::TooNew { path: path.to_owned(), found: found.newest(), known: migrations::current() }
}

/// The links that are followed from a name to its file, as many as Linux follows.
const MOST_LINKS: usize = 40;

/// The file that a name stands for, wherever links lead, also where it is not there yet: whatever it is called, it is one
/// file with one lock.
fn the_file(path: &Path) -> std::io::Result<PathBuf> {
    use std::io::{Error, ErrorKind};
    let mut name = path.to_owned();
    for _ in 0..MOST_LINKS {
        match name.canonicalize() {
            Err(error) if error.kind() == ErrorKind::NotFound => {}
            found => return found,
        }
        let folder = name.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
        // A link to what is not there is followed: SQLite would make that file.
        if let Ok(target) = name.read_link() {
            name = folder.join(target);
            continue;
        }
        let of_a_folder = name.as_os_str().as_encoded_bytes().ends_with(b"/");
        let last = name.file_name().filter(|_| !of_a_folder).ok_or(ErrorKind::NotFound)?;
        return Ok(folder.canonicalize()?.join(last));
    }
    Err(Error::other("its symbolic links lead nowhere"))
}

/// Takes the lock file beside the ledger, which was named so; the system lets go of it when the process dies, however it
/// dies.
fn own(file: &Path, named: &Path) -> Result<std::fs::File, OpenError> {
    let failed = |error: std::io::Error| io_refused(named, &error);
    let mut options = std::fs::OpenOptions::new();
    let lock = options.create(true).truncate(false).write(true).open(lock_of(file)).map_err(failed)?;
    match lock.try_lock() {
        Ok(()) => Ok(lock),
        Err(std::fs::TryLockError::WouldBlock) => Err(OpenError::InUse(named.to_owned())),
        Err(std::fs::TryLockError::Error(error)) => Err(failed(error)),
    }
}

fn lock_of(file: &Path) -> PathBuf {
    let mut lock = file.as_os_str().to_owned();
    lock.push(".lock");
    lock.into()
}

/// Leaves no lock beside a file that this program does not use. To be called with the lock in hand.
fn forget_lock(file: &Path, error: &OpenError) {
    if matches!(error, OpenError::NotALedger(_) | OpenError::TooNew { .. }) {
        // One that stays does no harm.
        let _ = std::fs::remove_file(lock_of(file));
    }
}

/// The ledger names every record: nobody but its owner may read it.
fn create_private(path: &Path) -> std::io::Result<()> {
    let mut options = std::fs::OpenOptions::new();
    options.create_new(true).write(true);
    #[cfg(unix)]
    std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
    match options.open(path) {
        Err(error) if error.kind() != std::io::ErrorKind::AlreadyExists => Err(error),
        _ => Ok(()),
    }
}

/// The version of a ledger, 0 of an empty file; an error for the database of another program.
fn schema_version(connection: &Connection, path: &Path) -> Result<SchemaVersion, OpenError> {
    let pragma = |name: &str| connection.query_row(&format!("PRAGMA {name}"), [], |row| row.get::<_, i32>(0));
    let read = || -> rusqlite::Result<(i32, i32, i64)> {
        let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
        Ok((pragma("application_id")?, pragma("user_version")?, tables))
    };
    match read() {
        Ok((migrations::APPLICATION_ID, version, _)) => {
            migrations::version(connection, version).map_err(|error| unreadable(path, &error))
        }
        Ok((0, 0, 0)) => Ok(SchemaVersion { applied: 0, usable_from: 0 }),
        Ok(_) => Err(OpenError::NotALedger(path.to_owned())),
        Err(error) => Err(unreadable(path, &error)),
    }
}

/// Why nothing can be read: it may be no database at all.
fn unreadable(path: &Path, error: &rusqlite::Error) -> OpenError {
    match error.sqlite_error_code() {
        Some(rusqlite::ErrorCode::NotADatabase) => OpenError::NotALedger(path.to_owned()),
        _ => refused(path, error),
    }
}

/// How the writer opens a ledger.
const WRITING: OpenFlags = OpenFlags::SQLITE_OPEN_READ_WRITE.union(OpenFlags::SQLITE_OPEN_CREATE);

/// Opens a file by its absolute name. The flags alone do not keep SQLite from taking a name that begins with "file:" for a
/// URI: the one that is compiled in always does.
fn connect(file: &Path, flags: OpenFlags) -> rusqlite::Result<Connection> {
    Connection::open_with_flags(file, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)
}

fn open_readers(file: &Path) -> rusqlite::Result<Vec<Connection>> {
    let open = |_| {
        let connection = connect(file, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
        connection.busy_timeout(Duration::from_secs(5))?;
        connection.execute_batch("PRAGMA cache_size = -512; PRAGMA mmap_size = 0; PRAGMA query_only = ON;")?;
        keep_plans(&connection)?;
        Ok(connection)
    };
    (0..READERS).map(open).collect()
}

/// Without this SQLite plans a statement anew whenever the value of its LIMIT is bound: a third of what the ledger cost.
fn keep_plans(connection: &Connection) -> rusqlite::Result<()> {
    connection.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true).map(drop)
}
