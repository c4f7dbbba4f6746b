//! Files that are no ledgers, or not this program's.

use std::path::Path;

use animals_api::Config;
use rusqlite::Connection;

use super::{Case, Later, Mended, Scene, Server};
use crate::base_url;

/// A ledger as the first version made it.
const FIRST_SCHEMA: &str = include_str!("../../../coordinator/src/store/sqlite/migrations/0001_ledger.sql");
const RUN: [&str; 3] = ["run", "animals", "--db"];

pub(super) const CASES: &[Case] = &[
    Case {
        what: "the database of another program",
        code: 1,
        says: &["other.db is no ledger but the file of another program: name a file of your own with --db"],
        make: |folder| refused(&folder, "other.db", |path| change(path, "CREATE TABLE customers (name TEXT)")),
    },
    Case {
        what: "a file that is no database",
        code: 1,
        says: &["notes.txt is no ledger but the file of another program: name a file of your own with --db"],
        make: |folder| {
            refused(&folder, "notes.txt", |path| std::fs::write(path, "notes\n".repeat(100)).expect("a file"))
        },
    },
    Case {
        what: "a ledger of a newer program",
        code: 1,
        says: &["new.db has schema version 99, this program knows up to", "use a newer muster"],
        make: |folder| {
            refused(&folder, "new.db", |path| {
                change(path, "PRAGMA user_version = 99; PRAGMA application_id = 1297306706")
            })
        },
    },
    Case {
        what: "an older ledger, to be read",
        code: 1,
        says: &["old.db has the older schema version 1: start `muster coordinator` or `muster run` on it once"],
        make: |folder| {
            read(&folder, "old.db", |path| {
                change(path, FIRST_SCHEMA);
                change(path, "PRAGMA user_version = 1; PRAGMA application_id = 1297306706");
            })
        },
    },
    Case {
        what: "an empty file, to be read",
        code: 1,
        says: &["empty.db is empty: name the file that `muster run` printed, or start a run first"],
        make: |folder| read(&folder, "empty.db", |path| std::fs::write(path, "").expect("a file")),
    },
    Case {
        what: "no file, to be read",
        code: 1,
        says: &["there is no database none.db", "give the file that `muster run` printed"],
        make: |_| Box::pin(async { Scene::of(["verify", "latest", "--db", "none.db"]) }),
    },
    Case {
        what: "a folder for a ledger",
        code: 2,
        says: &["here.db is a folder, not a database file", "--db here.db/muster.db"],
        make: |folder| {
            std::fs::create_dir(folder.join("here.db")).expect("a folder");
            Box::pin(async { Scene::of(RUN.into_iter().chain(["here.db"])) })
        },
    },
    Case {
        what: "a device for a ledger",
        code: 1,
        says: &["/dev/null is a device or a pipe, and a ledger is a file: name one with --db"],
        make: |_| Box::pin(async { Scene::of(RUN.into_iter().chain(["/dev/null"])) }),
    },
    Case {
        what: "a ledger in a folder that is not there",
        code: 2,
        says: &["there is no folder nowhere for the database", "make it first, or give another file: --db FILE"],
        make: |_| Box::pin(async { Scene::of(RUN.into_iter().chain(["nowhere/my.db"])) }),
    },
    Case {
        what: "a coordinator's ledger in a folder that is not there",
        code: 1,
        says: &["the ledger nowhere/my.db cannot be opened", "its folder is not there: make it first"],
        make: |_| {
            let line = ["coordinator", "--listen", "127.0.0.1:0", "--database", "sqlite://nowhere/my.db"];
            Box::pin(async move { Scene::of(line) })
        },
    },
    Case {
        what: "a ledger that may not be written",
        code: 1,
        says: &["the ledger my.db cannot be opened", "file and folder must be writable for you"],
        make: |folder| {
            // A ledger that was written and closed, and whose mode was changed since.
            mode(&folder, "my.db", 0o400, |path| std::fs::write(path, "").expect("a file"))
        },
    },
];

/// Makes or changes a database.
fn change(path: &Path, sql: &str) {
    Connection::open(path).and_then(|database| database.execute_batch(sql)).expect("a database");
}

/// A run with a file that is to be left as it is; another file mends it.
fn refused(folder: &Path, name: &str, make: fn(&Path)) -> Later<Scene> {
    let path = folder.join(name);
    make(&path);
    let mut lock = path.clone().into_os_string();
    lock.push(".lock");
    // Not even a lock is left beside it.
    let scene = Scene { untouched: vec![path, lock.into()], ..Scene::of(RUN.into_iter().chain([name])) };
    Box::pin(async { scene })
}

/// A command that reads such a file.
fn read(folder: &Path, name: &str, make: fn(&Path)) -> Later<Scene> {
    let path = folder.join(name);
    make(&path);
    let scene = Scene { untouched: vec![path], ..Scene::of(["runs", "--db", name]) };
    Box::pin(async { scene })
}

/// A run with a file whose mode is in the way, until it is changed.
fn mode(folder: &Path, name: &str, mode: u32, make: fn(&Path)) -> Later<Scene> {
    use std::os::unix::fs::PermissionsExt;
    let path = folder.join(name);
    make(&path);
    std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).expect("a mode");
    let server = crate::stand_in(Config::calm(20));
    let line = ["run", "animals", "--set", &base_url(&server), "--db", name].map(str::to_owned);
    let mend = move || -> Later<Mended> {
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o600)).expect("a mode");
        let server: Server = server;
        Box::pin(async { Mended { server, resume: false } })
    };
    let scene = Scene { powerless: true, ..Scene::of(line) }.mended(mend);
    Box::pin(async { scene })
}
