//! The coordinator's memory does not grow with the number of records. `cargo run --release -p muster-tests --bin scale`
//! measures the same with a million.

use muster_tests::scale::{Load, Measured, measure};
use muster_tests::turn;

/// What an allocator may keep of a busier moment: of 140,000 records more, 175 bytes each.
const SLACK_KIB: u64 = 24 * 1024;

#[tokio::test(flavor = "multi_thread")]
async fn fifteen_times_the_records_need_no_more_memory() {
    let _turn = turn::alone().await;
    for whole_items in [false, true] {
        let load = |records| Load { whole_items, api_threads: Some(1), ..Load::of(records) };
        let few = measure(&load(10_000)).await.expect("10,000 records");
        let many = measure(&load(150_000)).await.expect("150,000 records");
        println!("whole items: {whole_items}\n{}\n{}\n{}", Measured::HEADING, few.line(), many.line());
        let most = few.coordinator_kib + few.coordinator_kib / 10 + SLACK_KIB;
        assert!(
            many.coordinator_kib <= most,
            "{} KiB with 150,000, {} KiB with 10,000, whole items: {whole_items}",
            many.coordinator_kib,
            few.coordinator_kib
        );
    }
}
