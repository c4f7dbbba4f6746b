//! A real Datasette over a real SQLite table: an API that nobody wrote for these tests.

use std::net::TcpStream;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, params};

use crate::cluster::free_port;
use crate::deadline::until_some;
use crate::process::{Process, Start};
use crate::programs;

/// The table, as SQLite has it. Weights are multiples of 1/8, so that sums of them are exact everywhere.
pub const TABLE: &str = "CREATE TABLE animals (id INTEGER PRIMARY KEY, name TEXT NOT NULL, born TEXT, weight_kg REAL, \
                         cents INTEGER NOT NULL, note TEXT)";

/// What the two sides of a load must agree on, in SQL that SQLite and PostgreSQL both know.
pub const SUMS: &str = "SELECT count(*), count(DISTINCT id), sum(id), sum(cents), \
                        sum(CAST(weight_kg * 8 AS integer)), count(weight_kg), sum(length(name)), count(DISTINCT name), \
                        count(born), min(born), max(born), count(note), sum(length(note)) FROM animals";

/// Names with all that trips programs up.
const NAMES: [&str; 12] = [
    "Löwe",
    "O'Malley",
    "The \"Grey\"",
    "Ürschel",
    "back\\slash",
    "Ñandú",
    "小熊",
    "🦒",
    "tab\tand\nline",
    "",
    "a,b;c|d",
    "<b>&amp;</b>",
];

/// A server. Dropped, it is killed.
#[derive(Debug)]
pub struct Datasette {
    port: u16,
    _process: Process,
}

impl Datasette {
    /// Serves a database of SQLite.
    pub async fn serve(folder: &Path, database: &Path) -> Datasette {
        let port = free_port();
        let number = port.to_string();
        let database = database.to_str().expect("a path");
        let line = ["serve", database, "--port", &number];
        let process = Start::program(&programs::datasette(), folder, line).start();
        serves(port).await;
        Datasette { port, _process: process }
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }
}

/// Waits until something listens on a port of this machine.
pub async fn serves(port: u16) {
    let listens = async || TcpStream::connect(("127.0.0.1", port)).is_ok().then_some(());
    until_some("a server listens", listens).await;
}

/// Makes `zoo.db` with a table of so many animals, the same each time, with numbers, texts, dates and NULLs.
pub fn zoo(folder: &Path, animals: i64) -> PathBuf {
    let path = folder.join("zoo.db");
    let mut zoo = Connection::open(&path).expect("a database");
    let all = zoo.transaction().expect("a transaction");
    all.execute_batch(TABLE).expect("a table");
    let names = i64::try_from(NAMES.len()).expect("few");
    for number in 0..animals {
        let name = NAMES[usize::try_from(number % names).expect("few")];
        let name = if number < names { name.to_owned() } else { format!("{name} {number}") };
        // Every seventh was born nobody knows when, every fifth was never weighed.
        let born =
            (number % 7 != 0).then(|| format!("{}-{:02}-{:02}", 1960 + number % 60, number % 12 + 1, number % 28 + 1));
        #[expect(clippy::cast_precision_loss, reason = "small numbers")]
        let weight = (number % 5 != 0).then(|| (number * 37 % 8_000) as f64 / 8.0);
        // Beyond what a double can tell apart.
        let cents = if number % 100 == 99 { 9_007_199_254_740_993 + number } else { number * 1_009 - 500_000 };
        let note = (number % 3 != 0)
            .then(|| format!("“{number}” – 'noted', \"{}\"", "x".repeat(usize::try_from(number % 50).expect("few"))));
        // IDs with gaps.
        let row = params![number * 3 + 1, name, born, weight, cents, note];
        all.execute("INSERT INTO animals VALUES (?1, ?2, ?3, ?4, ?5, ?6)", row).expect("a row");
    }
    all.commit().expect("they stay");
    path
}

/// What a query on a database of SQLite gives, as `psql -A -t` would print it.
pub fn sqlite(database: &Path, sql: &str) -> String {
    let database = Connection::open(database).expect("a database");
    let mut statement = database.prepare(sql).expect("SQL");
    let columns = statement.column_count();
    let mut rows = statement.query([]).expect("it runs");
    let mut lines = Vec::new();
    while let Some(row) = rows.next().expect("a row") {
        let cell = |index| match row.get_ref(index).expect("a column") {
            rusqlite::types::ValueRef::Null => String::new(),
            rusqlite::types::ValueRef::Integer(value) => value.to_string(),
            rusqlite::types::ValueRef::Real(value) => value.to_string(),
            rusqlite::types::ValueRef::Text(text) | rusqlite::types::ValueRef::Blob(text) => {
                String::from_utf8_lossy(text).into_owned()
            }
        };
        lines.push((0..columns).map(cell).collect::<Vec<_>>().join("|"));
    }
    lines.join("\n")
}
