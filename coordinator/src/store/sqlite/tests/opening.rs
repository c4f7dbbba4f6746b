//! Which files are opened as a ledger, and which are left alone.

use super::*;

#[cfg(unix)]
#[tokio::test]
async fn a_ledger_is_private() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let store = open(&path).unwrap();
    store.start_run(new_run("one")).await.unwrap();
    for file in std::fs::read_dir(folder.path()).unwrap() {
        let file = file.unwrap();
        if file.path().extension().is_some_and(|extension| extension != "lock") {
            assert_eq!(file.metadata().unwrap().permissions().mode() & 0o077, 0, "{}", file.path().display());
        }
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_ledger_has_one_owner_whatever_it_is_called() {
    use std::os::unix::fs::{PermissionsExt, symlink};
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::create_dir(path("links")).unwrap();
    symlink("../ledger.db", path("links/one.db")).unwrap();
    symlink("one.db", path("links/two.db")).unwrap();
    symlink("links", path("others")).unwrap();
    // A link to what is not there: that is made, as private as any.
    let first = open(&path("links/two.db")).unwrap();
    assert_eq!(path("ledger.db").metadata().unwrap().permissions().mode() & 0o077, 0);
    for name in ["ledger.db", "links/one.db", "links/two.db", "others/one.db", "links/../ledger.db"] {
        assert!(matches!(open(&path(name)), Err(OpenError::InUse(named)) if named == path(name)), "{name}");
    }
    assert!(!path("links/two.db.lock").exists() && path("ledger.db.lock").exists(), "one file, one lock");
    first.start_run(new_run("one")).await.unwrap();
    let reader = SqliteStore::open_read_only(&path("others/two.db")).unwrap();
    assert_eq!(reader.runs(None, 10).await.unwrap().len(), 1);
    first.close().await;
    open(&path("others/one.db")).unwrap().close().await;
    assert_eq!(std::fs::read_dir(path("links")).unwrap().count(), 2, "nothing is kept beside a link");
}

#[cfg(unix)]
#[test]
fn links_that_lead_nowhere_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::os::unix::fs::symlink("round.db", path("round.db")).unwrap();
    std::os::unix::fs::symlink("nowhere/ledger.db", path("away.db")).unwrap();
    for name in ["round.db", "away.db", "new.db/"] {
        assert!(matches!(open(&path(name)), Err(OpenError::Failed { .. })), "{name}");
    }
    assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 2, "nothing was made");
}

/// SQLite would take such a name for a URI, and open another file than the one that is locked.
#[cfg(unix)]
#[tokio::test]
async fn a_name_like_a_uri_is_a_name() {
    // Relative, since only a name that begins so is one: beside this crate's manifest.
    let folder = tempfile::Builder::new().prefix("file:").tempdir_in(".").unwrap();
    let path = Path::new(folder.path().file_name().unwrap()).join("ledger.db?mode=memory");
    let store = open(&path).unwrap();
    assert!(matches!(open(&path), Err(OpenError::InUse(_))));
    store.start_run(new_run("one")).await.unwrap();
    let reader = SqliteStore::open_read_only(&path).unwrap();
    assert_eq!(reader.runs(None, 10).await.unwrap().len(), 1);
    drop(reader);
    store.close().await;
    let written = std::fs::metadata(folder.path().join("ledger.db?mode=memory")).unwrap();
    assert!(written.len() > 0, "the file of that very name");
}

#[test]
fn what_is_no_ledger_is_left_alone() {
    let folder = tempfile::tempdir().unwrap();
    let path = |name: &str| folder.path().join(name);
    std::fs::write(path("text"), "not a database at all, but long enough for a header of one".repeat(99)).unwrap();
    let other = rusqlite::Connection::open(path("other")).unwrap();
    other.execute_batch("CREATE TABLE t (a); PRAGMA user_version = 3;").unwrap();
    drop(other);
    for name in ["text", "other"] {
        let before = std::fs::read(path(name)).unwrap();
        assert!(matches!(open(&path(name)), Err(OpenError::NotALedger(_))), "{name}");
        assert!(matches!(SqliteStore::open_read_only(&path(name)), Err(OpenError::NotALedger(_))), "{name}");
        assert_eq!(std::fs::read(path(name)).unwrap(), before, "{name} was written to");
    }
    assert!(matches!(SqliteStore::open_read_only(&path("none")), Err(OpenError::Missing(_))));
}

#[tokio::test]
async fn a_ledger_of_another_version_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    open(&path).unwrap().close().await;
    let set = |version: i32| {
        let connection = rusqlite::Connection::open(&path).unwrap();
        connection.execute_batch(&format!("PRAGMA user_version = {version}")).unwrap();
    };
    set(99);
    assert!(matches!(open(&path), Err(OpenError::TooNew { found: 99, .. })));
    assert!(matches!(SqliteStore::open_read_only(&path), Err(OpenError::TooNew { found: 99, .. })));
    set(-1);
    assert!(matches!(SqliteStore::open_read_only(&path), Err(OpenError::TooOld { found: -1, .. })));
    let empty = folder.path().join("empty.db");
    std::fs::write(&empty, "").unwrap();
    assert!(matches!(SqliteStore::open_read_only(&empty), Err(OpenError::Empty(_))), "nothing to upgrade");
}
