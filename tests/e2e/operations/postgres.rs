//! Several coordinators on one PostgreSQL, and everybody is asked who he is.

use animals_api::Config;
use muster_tests::deadline::until_some;
use muster_tests::ledger::Ledger;
use muster_tests::postgres::Postgres;
use muster_tests::{programs, turn};

use super::operator::Operator;
use super::page::{OPERATIONS, Who};
use super::{SLOW_MS, assert_restored, assert_untroubled, some_progress};
use crate::stand_in;

/// A server on which nobody is called muster yet.
fn server() -> Postgres {
    let database = Postgres::start();
    database.sql("CREATE ROLE admin SUPERUSER LOGIN");
    let admin = database.url().replace("muster:", "admin:");
    database.run_in(&admin, "ALTER ROLE muster RENAME TO nobody");
    database
}

fn url(database: &Postgres, name: &str) -> String {
    format!("postgres://muster:secret@127.0.0.1:{}/{name}?sslmode=disable", database.port())
}

/// Somebody who has PostgreSQL's programs, and may use them.
fn operator(base_url: &str, database: &Postgres) -> Operator {
    let mut operator = Operator::new(&OPERATIONS, Who::Postgres, base_url);
    operator.has_muster();
    std::os::unix::fs::symlink(programs::grpcurl(), operator.below("/usr/local/bin/grpcurl")).expect("a link");
    for name in ["muster", "restored"] {
        operator
            .means(&format!("postgres://muster:secret@db.example/{name}?sslmode=verify-full"), &url(database, name));
    }
    operator.env("PGHOST", "127.0.0.1");
    operator.env("PGPORT", &database.port().to_string());
    operator.env("PGUSER", "admin");
    operator
}

/// Takes the first entry of this name out of the list, as an editor would.
fn takes_out(operator: &Operator, name: &str) {
    let file = operator.folder().join("certs/access.yaml");
    let text = std::fs::read_to_string(&file).expect("the list");
    let entry = text.find(&format!("- name: {name}\n")).expect("an entry");
    let end = text[entry + 1..].find("\n- ").map_or(text.len(), |at| entry + 1 + at + 1);
    std::fs::write(&file, format!("{}{}", &text[..entry], &text[end..])).expect("written");
    let now = std::fs::read_to_string(&file).expect("the list");
    assert_eq!(now.matches(&format!("- name: {name}\n")).count(), 1, "{now}");
}

/// Each step is done when all coordinators have taken up the one before; they are replaced meanwhile, as by an upgrade, so
/// that workers have to connect anew.
async fn certificates_are_rotated(operator: &mut Operator) {
    let section = "Rotate / Certificates";
    assert_eq!(OPERATIONS.section(section, Who::Postgres).len(), 2);
    let old = std::fs::read_to_string(operator.folder().join("certs/ca.pem")).expect("the old authority");
    std::fs::write(operator.folder().join("old.pem"), old).expect("a file");
    operator.does_block(section, 0).await;
    for coordinator in ["one", "two"] {
        let runs = format!("muster runs --coordinator https://{coordinator}.example:7470");
        until_some("it has its new certificate", async || {
            let ended = operator.tries(&format!("{runs} --tls-ca new/ca.pem")).await;
            (ended.code == Some(0)).then_some(())
        })
        .await;
        operator.command(&runs).await;
        let ended = operator.tries(&format!("{runs} --tls-ca old.pem")).await;
        assert_ne!(ended.code, Some(0), "it still has the old one");
    }
    operator.replaces_coordinators().await;
    operator.does_block(section, 1).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn on_postgresql_it_is_scaled_backed_up_rotated_and_restored_amid_a_run() {
    let _turn = turn::heavy().await;
    let server = stand_in(Config { page_size: 100, ..Config::calm(30_000) });
    server.turn(|knobs| knobs.latency_ms = SLOW_MS);
    let database = self::server();
    let operator = &mut operator(&server.base_url(), &database);
    operator.does("Install / Authentication and roles").await;
    assert_eq!(operator.stops("muster").await, 3, "a coordinator and two workers");

    operator.does("Install / A ledger on PostgreSQL").await;
    let told = operator.command("muster runs --json").await.json();
    let run_id = told["runs"][0]["run_id"].as_str().expect("a run").to_owned();
    some_progress(&server).await;
    operator.does("Scale / On PostgreSQL").await;
    some_progress(&server).await;
    operator.does("Back up / Of a database").await;
    some_progress(&server).await;

    let old = std::fs::read_to_string(operator.folder().join("worker-1.token")).expect("a token");
    std::fs::write(operator.folder().join("old.token"), old).expect("a file");
    operator.does("Rotate / Tokens").await;
    takes_out(operator, "worker-1");
    until_some("who has the old token is out", async || {
        let ended = operator.tries("muster runs --token-file old.token").await;
        ended.stderr.contains("knows no such token").then_some(())
    })
    .await;
    some_progress(&server).await;
    certificates_are_rotated(operator).await;
    some_progress(&server).await;
    operator.nobody_has_gone();

    server.turn(|knobs| knobs.latency_ms = 0);
    operator.command("muster watch latest").await;
    let ledger = Ledger::read_in(&database, &url(&database, "muster"), &run_id);
    assert_untroubled(&server, &ledger);

    assert_eq!(operator.stops("muster").await, 4, "two coordinators and two workers");
    operator.does("Restore / A database").await;
    let shown = operator.told("muster show latest").stdout.clone();
    assert!(shown.contains(&run_id), "{shown}");
    // Nobody works yet: this is what the backup had.
    let backup = Ledger::read_in(&database, &url(&database, "restored"), &run_id);
    assert!(backup.deliveries.len() < ledger.deliveries.len(), "the backup was made too late");
    operator.does("Scale / On PostgreSQL").await;
    operator.command("muster watch latest").await;
    operator.command("muster verify latest").await;
    assert_restored(&server, &backup, &Ledger::read_in(&database, &url(&database, "restored"), &run_id));
}
