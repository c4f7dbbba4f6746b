//! The schema's versions: each a file, applied in order, each in a transaction.

use rusqlite::Connection;

/// "MSTR": tells a ledger from the database of another program.
pub(super) const APPLICATION_ID: i32 = 0x4d53_5452;

/// All versions, oldest first. A released file never changes.
const MIGRATIONS: &[&str] = &[include_str!("migrations/0001_ledger.sql")];

/// The version that this program writes.
pub(super) fn current() -> i32 {
    i32::try_from(MIGRATIONS.len()).unwrap_or(i32::MAX)
}

/// Brings a ledger of an older version (0: an empty file) to the current one.
pub(super) fn apply(connection: &Connection, from: i32) -> rusqlite::Result<()> {
    let done = usize::try_from(from).unwrap_or(usize::MAX);
    for (version, migration) in (1..).zip(MIGRATIONS).skip(done) {
        connection.execute_batch(&format!(
            "BEGIN IMMEDIATE;\n{migration}\nPRAGMA application_id = {APPLICATION_ID};\nPRAGMA user_version = {version};\nCOMMIT;"
        ))?;
    }
    Ok(())
}
