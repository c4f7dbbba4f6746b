//! A table that a real Datasette publishes, into files and into PostgreSQL: equal by SQL on both sides.

use std::io::Read;
use std::path::Path;

use muster_tests::datasette::{Datasette, SUMS, TABLE, sqlite, zoo};
use muster_tests::postgres::Postgres;
use muster_tests::process::Start;
use muster_tests::turn;
use rusqlite::Connection;

use super::{example, run};

const ANIMALS: u64 = 2_300;
/// All there is, in an order that does not depend on a locale.
const ROWS: &str = "SELECT id, name, born, CAST(weight_kg * 8 AS integer), cents, note FROM animals ORDER BY id";

/// A scene: the table, and a Datasette that publishes it.
async fn published(here: &Path) -> (std::path::PathBuf, Datasette) {
    let table = zoo(here, i64::try_from(ANIMALS).expect("few"));
    let server = Datasette::serve(here, &table).await;
    (table, server)
}

/// What the run must be told.
fn parameters(server: &Datasette, out: &Path) -> [String; 4] {
    [
        format!("base_url={}", server.url()),
        "database=zoo".to_owned(),
        "table=animals".to_owned(),
        format!("out=file://{}", out.display()),
    ]
}

/// Loads files of records, one a line, into a database of SQLite.
fn imported(files: &Path, database: &Path) {
    let mut lines = String::new();
    for file in std::fs::read_dir(files).expect("a folder").map(|file| file.expect("a file").path()) {
        let content = std::fs::File::open(&file).expect("a file");
        flate2::read::GzDecoder::new(content).read_to_string(&mut lines).expect("whole files only");
    }
    let mut database = Connection::open(database).expect("a database");
    let all = database.transaction().expect("a transaction");
    all.execute_batch(TABLE).expect("a table");
    let member = |name: &str| format!("json_extract(?1, '$.{name}')");
    let columns = ["id", "name", "born", "weight_kg", "cents", "note"].map(member).join(", ");
    for line in lines.lines() {
        all.execute(&format!("INSERT INTO animals SELECT {columns}"), [line]).expect("a row");
    }
    all.commit().expect("they stay");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_a_table_is_in_the_files() {
    let _turn = turn::heavy().await;
    let here = tempfile::tempdir().expect("a folder");
    let (table, server) = published(here.path()).await;
    let out = here.path().join("out");
    let set = parameters(&server, &out);
    let done = run(here.path(), "datasette.yaml", &set.each_ref().map(String::as_str), &[], ANIMALS).await;
    let loaded = here.path().join("loaded.db");
    imported(&out.join(done["run_id"].as_str().expect("an ID")), &loaded);
    assert_eq!(sqlite(&loaded, SUMS), sqlite(&table, SUMS));
    assert_eq!(sqlite(&loaded, ROWS), sqlite(&table, ROWS));

    // Nothing has changed: nothing is read again. One row has: it alone is.
    let again = |more: &[&str]| {
        let file = example("datasette.yaml");
        let sets = set.iter().flat_map(|set| ["--set".to_owned(), set.clone()]);
        let line = ["run", &file, "--db", "run.db", "--json"].into_iter().chain(more.iter().copied());
        let line: Vec<String> = line.map(str::to_owned).chain(sets).collect();
        Start::muster(here.path(), line).run()
    };
    let changed = Connection::open(&table).expect("a database");
    changed.execute("UPDATE animals SET note = 'new' WHERE id = 4", []).expect("it is there");
    let second = again(&["--since", "latest"]).await.with_code(0).json();
    let counts = &second["verdict"]["counts"];
    assert_eq!((&counts["loaded"], &counts["unchanged"]), (&1.into(), &(ANIMALS - 1).into()), "{second}");
}

#[tokio::test(flavor = "multi_thread")]
async fn every_row_of_a_table_is_in_postgresql() {
    let _turn = turn::heavy().await;
    let here = tempfile::tempdir().expect("a folder");
    let (table, server) = published(here.path()).await;
    let database = Postgres::start();
    database.sql(
        "CREATE TABLE animals (id bigint PRIMARY KEY, name text NOT NULL, born date, weight_kg double precision, \
         cents bigint NOT NULL, note text)",
    );
    // The example with another target.
    let text = std::fs::read_to_string(example("datasette.yaml")).expect("an example");
    let (load, limits) = (text.find("\nload:").expect("a load"), text.find("\nlimits:").expect("limits"));
    let target = "load:\n  postgres: { url: \"${env:ZOO_DATABASE}\", table: animals }\n  max_batch: 500\n";
    let text = format!("{}\n{target}{}", &text[..load], &text[limits..]);
    std::fs::write(here.path().join("into-a-table.yaml"), text).expect("a file");
    let set = parameters(&server, here.path());
    let mut line = vec!["run", "into-a-table.yaml", "--db", "run.db", "--json"];
    set.iter().for_each(|set| line.extend(["--set", set.as_str()]));
    let start = Start::muster(here.path(), &line).env("ZOO_DATABASE", database.url());
    let done = start.run().await.with_code(0).json();
    let verdict = &done["verdict"];
    assert_eq!((&verdict["complete"], &verdict["balanced"]), (&true.into(), &true.into()), "{done}");
    assert_eq!(database.sql(SUMS), sqlite(&table, SUMS));
    assert_eq!(database.sql(ROWS), sqlite(&table, ROWS));
    assert_eq!(database.sql("SELECT count(*) FROM muster_loaded"), ANIMALS.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_with_odd_ids_are_read_by_a_filter_as_the_comment_says() {
    let _turn = turn::light().await;
    let here = tempfile::tempdir().expect("a folder");
    let table = here.path().join("zoo.db");
    let ids =
        ["plain", "a b", "ü", "a/b", "a.b", "a~b", "a,b", "x.json", "50%", "a+b", "-", "q?x#y&z=1", "\"quoted\"", "小"];
    let database = Connection::open(&table).expect("a database");
    database.execute_batch("CREATE TABLE animals (id TEXT PRIMARY KEY, number INTEGER)").expect("a table");
    for (number, id) in (0_i64..).zip(ids) {
        database.execute("INSERT INTO animals VALUES (?1, ?2)", (id, number)).expect("a row");
    }
    let server = Datasette::serve(here.path(), &table).await;
    let text = std::fs::read_to_string(example("datasette.yaml")).expect("an example");
    let by_filter = text.lines().find_map(|line| line.strip_prefix("  #     url: ")).expect("a comment");
    let by_path = text.lines().find(|line| line.contains("${record:id}.json")).expect("a detail");
    let text = text.replace(by_path, &format!("      url: {by_filter}"));
    std::fs::write(here.path().join("by-filter.yaml"), text).expect("a file");
    let mut line = vec!["run", "by-filter.yaml", "--db", "run.db", "--json"];
    let set = parameters(&server, &here.path().join("out"));
    set.iter().for_each(|set| line.extend(["--set", set.as_str()]));
    let done = Start::muster(here.path(), &line).run().await.with_code(0).json();
    assert_eq!(done["verdict"]["counts"]["loaded"], ids.len(), "{done}");
}
