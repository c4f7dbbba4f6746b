use super::*;
use crate::domain::{DeliveryState, NewRun};
use crate::planted::Planted;
use crate::store::conformance::Bench;
use crate::store::conformance::bench::{A, begin, dead, new_run, report};
use crate::store::sqlite::SqliteBackend;

/// A run in audit mode of three batches: two and four IDs acknowledged in the first two, the last is still to be leased.
async fn run(bench: &Bench) -> Run {
    let new = NewRun { audit_mode: true, ..new_run("files") };
    let run = bench.listed(new, &[&["1", "\"2\"", "3", "4", "5", "6"], &["7", "8", "9"]]).await;
    let leases = bench.acquire(A, &[], 2).await.leases;
    bench.announce(A, &leases[0], begin(1, [0, 1], 0)).await;
    bench.complete(A, &leases[0], report(&[(1, DeliveryState::Applied)], &[dead(2), dead(3)])).await;
    bench.deliver(A, &leases[1], DeliveryState::Applied).await;
    bench.run(&run.id).await
}

async fn bench() -> (Bench, tempfile::TempDir) {
    let folder = tempfile::tempdir().unwrap();
    let bench = Bench::new(&SqliteBackend::new(folder.path().to_owned(), Planted::default())).await;
    (bench, folder)
}

/// All files of a run's folder, by name.
fn contents(folder: &Path, run: &Run) -> std::collections::BTreeMap<String, String> {
    let files = std::fs::read_dir(folder.join(run.id.as_str())).unwrap();
    let content = |file: std::io::Result<std::fs::DirEntry>| {
        let file = file.unwrap();
        let text = std::fs::read_to_string(file.path()).unwrap();
        (file.file_name().into_string().unwrap(), text)
    };
    files.map(content).collect()
}

fn whole() -> std::collections::BTreeMap<String, String> {
    let files =
        [("batch_1.json", "[1,\"2\"]\n"), ("batch_2.json", "[5,6,7,8]\n"), ("ids.json", "[1,\"2\",3,4,5,6,7,8,9]\n")];
    files.into_iter().map(|(name, text)| (name.to_owned(), text.to_owned())).collect()
}

#[tokio::test]
async fn the_folder_says_what_the_ledger_says() {
    let (bench, folder) = bench().await;
    let run = run(&bench).await;
    let files = AuditFiles::new(folder.path().join("audit"));
    files.prepare().unwrap();
    assert!(files.make_whole(bench.store().as_ref(), &run).await);
    assert_eq!(contents(&folder.path().join("audit"), &run), whole());
}

#[tokio::test]
async fn what_a_crash_left_out_is_made_up() {
    let (bench, folder) = bench().await;
    let run = run(&bench).await;
    let path = folder.path().join("audit");
    assert!(AuditFiles::new(path.clone()).make_whole(bench.store().as_ref(), &run).await);
    // The crash came while the first file was written: nothing has a name that is not whole.
    let of_run = path.join(run.id.as_str());
    for name in ["batch_1.json", "ids.json"] {
        std::fs::remove_file(of_run.join(name)).unwrap();
    }
    std::fs::write(of_run.join("batch_1.unfinished"), "[1,").unwrap();
    assert!(AuditFiles::new(path.clone()).make_whole(bench.store().as_ref(), &run).await);
    assert_eq!(contents(&path, &run), whole());
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coordinators_may_have_one_folder() {
    let (bench, folder) = bench().await;
    let run = run(&bench).await;
    let path = folder.path().join("audit");
    for _ in 0..20 {
        let write = || {
            let (store, run, files) = (bench.store(), run.clone(), AuditFiles::new(path.clone()));
            tokio::spawn(async move { files.make_whole(store.as_ref(), &run).await })
        };
        let (one, other) = (write(), write());
        assert!(one.await.unwrap() && other.await.unwrap());
        assert_eq!(contents(&path, &run), whole());
        std::fs::remove_dir_all(&path).unwrap();
    }
}

/// A coordinator with the same folder stands still: that ends no run there, and holds up no other.
#[tokio::test]
async fn who_stands_still_is_not_waited_for_for_ever() {
    let (bench, folder) = bench().await;
    let run = run(&bench).await;
    let path = folder.path().join("audit");
    let of_run = path.join(run.id.as_str());
    std::fs::create_dir_all(&of_run).unwrap();
    let other = std::fs::File::create(of_run.join("batch_1.unfinished")).unwrap();
    other.lock().unwrap();
    let files = AuditFiles::new(path.clone());
    let made = tokio::time::timeout(Duration::from_secs(60), files.make_whole(bench.store().as_ref(), &run)).await;
    assert_eq!(made.ok(), Some(false));
    let error = files.write(bench.store().as_ref(), &run, None).await.unwrap_err().to_string();
    assert!(error.contains("batch_1.unfinished is held by another program"), "{error}");
    drop(other);
    assert!(files.make_whole(bench.store().as_ref(), &run).await);
    assert_eq!(contents(&path, &run), whole());
}

#[tokio::test]
async fn later_acknowledgements_are_added() {
    let (bench, folder) = bench().await;
    let run = run(&bench).await;
    let files = AuditFiles::new(folder.path().join("audit"));
    files.run_once(bench.store().as_ref()).await;
    let mut expected = whole();
    expected.remove("ids.json");
    assert_eq!(contents(&folder.path().join("audit"), &run), expected, "ids.json comes at the end");
    // The rest of the last batch.
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    files.run_once(bench.store().as_ref()).await;
    expected.insert("batch_3.json".to_owned(), "[9]\n".to_owned());
    assert_eq!(contents(&folder.path().join("audit"), &run), expected);
}

#[tokio::test]
async fn a_run_that_is_over_is_noted_as_whole() {
    let (bench, folder) = bench().await;
    let run = bench.listed(NewRun { audit_mode: true, ..new_run("files") }, &[&["1"]]).await;
    let files = AuditFiles::new(folder.path().join("audit"));
    let unwritten = || async { bench.store().runs_with_unwritten_files().await.unwrap().len() };
    files.run_once(bench.store().as_ref()).await;
    assert_eq!(unwritten().await, 1, "more may come");
    let lease = bench.lease(A).await;
    bench.deliver(A, &lease, DeliveryState::Applied).await;
    bench.conclude(&run).await;
    files.run_once(bench.store().as_ref()).await;
    assert_eq!(unwritten().await, 0);
    let written = contents(&folder.path().join("audit"), &run);
    assert_eq!(written.get("batch_1.json").map(String::as_str), Some("[1]\n"));
}

#[tokio::test]
async fn an_unwritable_folder_is_found_early() {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("file");
    std::fs::write(&file, "").unwrap();
    let error = AuditFiles::new(file.join("audit")).prepare().unwrap_err();
    assert!(error.contains("cannot be written"), "{error}");
    let (bench, _folder) = bench().await;
    let run = run(&bench).await;
    assert!(!AuditFiles::new(file).make_whole(bench.store().as_ref(), &run).await);
}
