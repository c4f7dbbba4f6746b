//! The schema's versions: each a file, applied in order. The file as it was is kept beside it.

use std::path::{Path, PathBuf};

use rusqlite::Connection;

use crate::store::schema::SchemaVersion;

/// "MSTR": tells a ledger from the database of another program.
pub(super) const APPLICATION_ID: i32 = 0x4d53_5452;

/// All versions, oldest first. A released file never changes.
const MIGRATIONS: &[&str] = &[
    include_str!("migrations/0001_ledger.sql"),
    include_str!("migrations/0002_rounds.sql"),
    include_str!("migrations/0003_sources.sql"),
    include_str!("migrations/0004_rates.sql"),
    include_str!("migrations/0005_shares.sql"),
    include_str!("migrations/0006_identities.sql"),
    include_str!("migrations/0007_resumed.sql"),
    include_str!("migrations/0008_traces.sql"),
    include_str!("migrations/0009_costs.sql"),
    include_str!("migrations/0010_notices.sql"),
    include_str!("migrations/0011_since.sql"),
];

/// The version that a program must know to use a ledger that all of these were applied to. The one before only added to what
/// programs of version 3 use, and so did those after it: this stays until a migration takes something away from them. It is
/// what the file's `user_version` says, where programs of version 3 look; what was applied stands in `muster_schema`.
const USABLE_FROM: i32 = 3;

/// The version that this program writes.
pub(super) fn current() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Where the copy of a ledger of this version is kept when it is upgraded.
pub(super) fn copy_of(path: &Path, version: i32) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(format!(".schema-{version}"));
    name.into()
}

/// Older files could not give back the space of deleted runs: that needs every page to be written once. Where there is
/// no room for it now, the next start tries again.
pub(super) fn let_space_go(connection: &Connection) -> rusqlite::Result<()> {
    const INCREMENTAL: i64 = 2;
    if connection.query_row("PRAGMA auto_vacuum", [], |row| row.get::<_, i64>(0))? == INCREMENTAL {
        return Ok(());
    }
    if let Err(error) = connection.execute_batch("PRAGMA auto_vacuum = INCREMENTAL; VACUUM;") {
        tracing::warn!(error = %error, next = "tried again at the next start; until then the file does not shrink",
            "the ledger cannot be written anew so that deleted runs give their space back");
    }
    Ok(())
}

/// What a ledger says of itself; its `user_version` is 0 in an empty file.
pub(super) fn version(connection: &Connection, user_version: i32) -> rusqlite::Result<SchemaVersion> {
    let told = "SELECT count(*) FROM sqlite_schema WHERE type = 'table' AND name = 'muster_schema'";
    let applied = if user_version > 0 && connection.query_row(told, [], |row| row.get::<_, i64>(0))? > 0 {
        connection.query_row("SELECT applied FROM muster_schema", [], |row| row.get(0))?
    } else {
        // Until version 3 both were the same.
        user_version
    };
    Ok(SchemaVersion { applied, usable_from: user_version })
}

/// Brings a ledger of an older version (0: an empty file) to the current one. All versions in one transaction: it is of
/// the old one or of the new one, whatever happens. A ledger that was written before is copied first.
pub(super) fn apply(connection: &Connection, path: &Path, from: i32) -> rusqlite::Result<()> {
    if from >= current() {
        return Ok(());
    }
    if from > 0 {
        keep_copy(connection, path, from)?;
    }
    let done = usize::try_from(from).unwrap_or(usize::MAX);
    let steps: String = MIGRATIONS.iter().skip(done).copied().collect::<Vec<_>>().join("\n");
    let version = current();
    connection.execute_batch(&format!(
        "BEGIN IMMEDIATE;\n{steps}\nPRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {USABLE_FROM};
         CREATE TABLE IF NOT EXISTS muster_schema (one INTEGER PRIMARY KEY CHECK (one = 1), applied INTEGER NOT NULL) STRICT;
         INSERT OR REPLACE INTO muster_schema (one, applied) VALUES (1, {version});
         COMMIT;"
    ))?;
    if from > 0 {
        let copy = copy_of(path, from);
        tracing::info!(from, to = version, copy = %copy.display(), "the ledger was upgraded; a copy of it as it was is kept");
    }
    Ok(())
}

/// The copy has its name only once it is whole. One that a broken upgrade left behind is of the same version, and as
/// good: it is made anew.
fn keep_copy(connection: &Connection, path: &Path, version: i32) -> rusqlite::Result<()> {
    let copy = copy_of(path, version);
    let mut unfinished = copy.clone().into_os_string();
    unfinished.push(".unfinished");
    let failed = |error: std::io::Error| {
        let text = format!(
            "it has schema version {version} and is not upgraded before a copy is kept at {}: {error}",
            copy.display()
        );
        // The one whose text stands by itself.
        rusqlite::Error::ToSqlConversionFailure(text.into())
    };
    match std::fs::remove_file(&unfinished) {
        Err(error) if error.kind() != std::io::ErrorKind::NotFound => return Err(failed(error)),
        _ => {}
    }
    let name = unfinished.to_string_lossy();
    connection.execute("VACUUM INTO ?1", [name.as_ref()]).map_err(|error| failed(std::io::Error::other(error)))?;
    make_private(Path::new(&unfinished)).map_err(failed)?;
    std::fs::rename(&unfinished, &copy).map_err(failed)?;
    // The copy must have its name on the disk before the ledger changes.
    let folder = copy.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    std::fs::File::open(folder).and_then(|folder| folder.sync_all()).map_err(failed)
}

/// It names every record, as the ledger does.
fn make_private(path: &Path) -> std::io::Result<()> {
    #[cfg(unix)]
    std::fs::set_permissions(path, std::os::unix::fs::PermissionsExt::from_mode(0o600))?;
    std::fs::File::open(path)?.sync_all()
}
