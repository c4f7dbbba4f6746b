//! PauseRun amid work: POSTs in flight are awaited, no other begins, no lease is kept, and once it is resumed the run
//! goes on as if nothing had been.

use std::time::Duration;

use animals_api::{ChaosOn, Config};
use muster_proto::v1::{PauseRunRequest, ResumeRunRequest, RunState};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::{until_some, within};
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::{Ledger, State, most_attempts};
use muster_tests::turn;

use crate::stand_in;

#[tokio::test(flavor = "multi_thread")]
async fn posts_in_flight_are_awaited_and_the_run_goes_on_where_it_was() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let stall = Duration::from_millis(1_000)..=Duration::from_millis(2_000);
    let server =
        stand_in(Config { chaos: 1.0, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(8_000) });
    let book = &server.book();
    let cluster = Cluster::start(folder.path()).await;
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    let _worker = cluster.worker("w1", &["--max-leases", "12"]);
    // Some are acknowledged, others on their way.
    within("POSTs arrive", book.until(|book| book.counters().posts >= 20)).await;
    let pause = PauseRunRequest { run_id: run_id.clone(), reason: "lunch".to_owned() };
    cluster.runs().pause_run(pause).await.expect("paused");
    let ledger = || Ledger::read(&cluster.database(), &run_id);
    let announced = ledger();
    assert!(announced.count(State::Open) > 0, "no POST was in flight");

    let none_held = async || Some(ledger()).filter(|ledger| !ledger.endings.contains_key("held"));
    let paused = until_some("no lease is held", none_held).await;
    assert_eq!(paused.deliveries.len(), announced.deliveries.len(), "a delivery began after the pause");
    assert_eq!((paused.count(State::Open), paused.count(State::InDoubt)), (0, 0), "a POST in flight was not awaited");
    assert_eq!(cluster.run(&run_id).await.state(), RunState::Paused);
    assert!(!book.is_perfect(), "it was done before it was paused");

    server.set_chaos(0.0);
    cluster.runs().resume_run(ResumeRunRequest { run_id: run_id.clone() }).await.expect("resumed");
    assert_eq!(cluster.watch(&run_id).await.state(), RunState::Finished);
    let verdict = cluster.verify(&run_id).await;
    assert!(verdict.complete && verdict.balanced, "{verdict:?}");
    assert_eq!(verdict.possible_copies, 0);
    // What was announced and not yet sent at that very moment is reported as such, and its batch is charged for that.
    let charged = 1 + i64::from(paused.count(State::NotApplied) > 0);
    assert!(most_attempts(&cluster.database(), &run_id) <= charged, "the pause was charged to a batch");
    assert_nothing_lost(book, &ledger());
    assert!(book.is_perfect(), "{:?}", book.summary());
}
