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
