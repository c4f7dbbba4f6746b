//! What a listed item brings beside its ID.

use bytes::Bytes;

use super::*;
use crate::domain::{ListedItem, ListedPage};
use crate::store::conformance::bench::dead;
use crate::store::{Outcomes, Redrive};

type Row = (u32, String, Option<String>, Option<Vec<u8>>);

fn rows(path: &Path) -> Vec<Row> {
    let connection = rusqlite::Connection::open(path).unwrap();
    let sql = "SELECT r.round, r.id, r.version, i.body FROM records r LEFT JOIN items i USING (run, round, seq) ORDER BY 1, r.seq";
    let mut statement = connection.prepare(sql).unwrap();
    let rows = statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))).unwrap();
    rows.collect::<Result<_, _>>().unwrap()
}

fn item(id: &str, version: Option<&str>, body: Option<&'static str>) -> ListedItem {
    ListedItem { id: id.to_owned(), version: version.map(str::to_owned), body: body.map(Bytes::from) }
}

#[tokio::test]
async fn items_are_kept_once_and_taken_over() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("ledger.db");
    let bench = Bench::on(Box::new(SqliteBackend::new(folder.path().to_owned(), Planted::default()).on(path.clone())));
    let run = bench.start(new_run("one")).await;
    let lease = bench.take_listing("lister").await;
    let items = vec![
        item("1", Some("a"), Some("{\"id\":1}")),
        item("2", Some("b"), Some("{\"id\":2}")),
        item("1", Some("c"), Some("{\"id\":1,\"late\":true}")),
        item("3", None, None),
    ];
    bench
        .store()
        .commit_page(&lease, ListedPage { page: 1, items, total_pages: Some(1), ..Default::default() })
        .await
        .unwrap();
    bench.store().close_listing(&lease).await.unwrap();
    let first: Vec<Row> = vec![
        (1, "1".into(), Some("a".into()), Some(b"{\"id\":1}".to_vec())),
        (1, "2".into(), Some("b".into()), Some(b"{\"id\":2}".to_vec())),
        (1, "3".into(), None, None),
    ];
    assert_eq!(rows(&path), first, "what came first counts");

    let lease = bench.lease(A).await;
    bench.announce(A, &lease, begin(0, [0], 0)).await;
    bench.complete(A, &lease, report(&[(0, DeliveryState::Applied)], &[dead(1), dead(2)])).await;
    bench.conclude(&run).await;
    for round in [2, 3] {
        let redrive = Redrive { outcomes: Outcomes { dead_letter: true, ..Default::default() }, ..Default::default() };
        bench.store().redrive(&run.id, redrive).await.unwrap();
        let expected = [(round, "2".into(), first[1].2.clone(), first[1].3.clone()), (round, "3".into(), None, None)];
        assert_eq!(rows(&path).split_off(rows(&path).len() - 2), expected);
        let lease = bench.lease(A).await;
        bench.complete(A, &lease, report(&[], &[dead(0), dead(1)])).await;
        bench.conclude(&bench.run(&run.id).await).await;
    }
    bench.store().delete_run(&run.id).await.unwrap();
    while bench.store().sweep().await.unwrap().more {}
    let connection = rusqlite::Connection::open(&path).unwrap();
    let left: i64 = connection.query_row("SELECT count(*) FROM items", [], |row| row.get(0)).unwrap();
    assert_eq!(left, 0);
}
