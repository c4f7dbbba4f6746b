use tempfile::TempDir;

use super::*;
use crate::domain::DeliveryState;
use crate::planted::Planted;
use crate::store::Fenced;
use crate::store::conformance::Bench;
use crate::store::conformance::bench::{A, dead, report, versions};
use crate::store::sqlite::SqliteBackend;

/// Where the clocks of a bench stand: 2023-11-14T22:13:20Z.
const START: Timestamp = Timestamp::from_millis(1_700_000_000_000);
const BROKEN: &str = "name: animals\noops: [\n";
const VERSION: (&str, &str) = ("id: $.id # the ID of an item on it", "id: $.id\n    version: $.updated_at");

/// A clock that stands still.
struct Still(Timestamp);

impl Clock for Still {
    fn now(&self) -> Timestamp {
        self.0
    }
}

/// The pipeline `animals` with these changes.
fn animals(changes: &[(&str, &str)]) -> String {
    let mut text = muster_pipeline::built_in("animals").expect("built in").to_owned();
    for (line, instead) in changes {
        assert_eq!(text.matches(line).count(), 1, "{line:?} is not once in animals.yaml");
        text = text.replace(line, instead);
    }
    text
}

fn request(request_id: &str, since: &str) -> v1::StartRunRequest {
    v1::StartRunRequest {
        pipeline: "animals".to_owned(),
        request_id: request_id.to_owned(),
        since_run: since.to_owned(),
        ..v1::StartRunRequest::default()
    }
}

/// The service over a ledger, with a folder of pipelines and one of audit files.
struct Scene {
    bench: Bench,
    runs: Runs,
    folder: TempDir,
}

impl Scene {
    async fn new(pipeline: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let bench = Bench::new(&SqliteBackend::new(folder.path().to_owned(), Planted::default())).await;
        std::fs::write(folder.path().join("animals.yaml"), pipeline).unwrap();
        let catalog = Catalog::new(Vec::new()).unwrap().with_folder(folder.path()).unwrap();
        let runs = Runs {
            store: bench.store(),
            catalog: Arc::new(catalog),
            files: Some(Arc::new(AuditFiles::new(folder.path().join("audit")))),
            clock: Arc::new(Still(START)),
            wall: Arc::new(Still(START)),
        };
        Self { bench, runs, folder }
    }

    /// The pipeline is another one from now on.
    fn write(&self, pipeline: &str) {
        std::fs::write(self.folder.path().join("animals.yaml"), pipeline).unwrap();
    }

    async fn start(&self, request: v1::StartRunRequest) -> Result<Run, Status> {
        let started = self.runs.start_run(Request::new(request)).await?.into_inner();
        Ok(self.bench.run(&RunId::from_text(started.run.expect("a run").run_id)).await)
    }

    async fn redrive(&self, request: v1::RedriveRunRequest) -> Result<v1::RedriveRunResponse, Status> {
        self.runs.redrive_run(Request::new(request)).await.map(Response::into_inner)
    }

    /// Lists these items, loads what is to be loaded or gives the first of it up, and ends the run.
    async fn work_off(&self, run: &Run, items: &[(&str, &str)], loads: bool) {
        let listing = self.bench.take_listing("lister").await;
        self.bench.store().commit_page(&listing, versions(1, items, Some(1))).await.unwrap();
        self.bench.store().close_listing(&listing).await.unwrap();
        for lease in self.bench.acquire(A, &[], 10).await.leases {
            if loads {
                self.bench.deliver(A, &lease, DeliveryState::Applied).await;
            } else {
                self.bench.complete(A, &lease, report(&[], &[dead(0)])).await;
            }
        }
        assert_eq!(self.bench.conclude(run).await, Fenced::Committed(()));
    }

    async fn unchanged(&self, run: &Run) -> Vec<String> {
        self.bench.store().unchanged_ids(run, "", 100).await.unwrap()
    }
}

#[tokio::test]
async fn a_start_that_is_repeated_is_answered_whatever_became_of_its_pipeline() {
    let mut scene = Scene::new(&animals(&[])).await;
    let asked = v1::StartRunRequest { audit_mode: true, ..request("one", "") };
    let first = scene.start(asked.clone()).await.unwrap();
    scene.write(BROKEN);
    scene.runs.files = None;
    let again = scene.start(asked.clone()).await.unwrap();
    assert_eq!((again.key, again.id), (first.key, first.id));
    let other = scene.start(request("one", "")).await.unwrap_err();
    assert_eq!(other.code(), Code::AlreadyExists, "it asks for something else");
    let new = scene.start(v1::StartRunRequest { request_id: "two".to_owned(), ..asked }).await.unwrap_err();
    assert_eq!(new.code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_redrive_that_is_repeated_is_answered_whatever_became_of_its_pipeline() {
    let scene = Scene::new(&animals(&[])).await;
    let run = scene.start(request("one", "")).await.unwrap();
    scene.work_off(&run, &[("1", "")], false).await;
    let asked = v1::RedriveRunRequest {
        run_id: run.id.to_string(),
        mended_pipeline: true,
        request_id: "two".to_owned(),
        ..v1::RedriveRunRequest::default()
    };
    assert_eq!(scene.redrive(asked.clone()).await.unwrap().records, 1);
    scene.write(BROKEN);
    assert_eq!(scene.redrive(asked.clone()).await.unwrap().records, 1);
    assert_eq!(scene.bench.run(&run.id).await.round, 2);
    let other = v1::RedriveRunRequest { stage: "load".to_owned(), ..asked.clone() };
    assert_eq!(scene.redrive(other).await.unwrap_err().code(), Code::AlreadyExists, "it asks for something else");
    let new = v1::RedriveRunRequest { request_id: "three".to_owned(), ..asked };
    assert_eq!(scene.redrive(new).await.unwrap_err().code(), Code::InvalidArgument);
}

#[tokio::test]
async fn a_watermark_follows_in_real_time() {
    let parameter =
        "parameters:\n  after:\n    type: time\n    default: 2000-01-01T00:00:00Z\n    watermark: { overlap: 1m }\n";
    let list = ("/animals/v1/animals\n", "/animals/v1/dated?updated_since=${param:after}\n");
    let mut scene = Scene::new(&animals(&[("parameters:\n", parameter), list])).await;
    // The ledger's clock is ahead, as it is for long when the machine's was.
    scene.runs.wall = Arc::new(Still(START - Duration::from_secs(7_200)));
    let first = scene.start(request("one", "latest")).await.unwrap();
    assert_eq!(first.parameters["after"], "2000-01-01T00:00:00Z");
    scene.work_off(&first, &[("1", "")], true).await;
    let second = scene.start(request("two", "latest")).await.unwrap();
    assert_eq!(second.since, Some(first.id));
    assert_eq!(second.parameters["after"], "2023-11-14T20:12:20Z", "a minute before its start");
}

#[tokio::test]
async fn what_was_loaded_under_other_limits_is_not_loaded_again() {
    let items = [("1", "a"), ("2", "b")];
    let scene = Scene::new(&animals(&[VERSION])).await;
    let first = scene.start(request("one", "")).await.unwrap();
    scene.work_off(&first, &[("1", "a"), ("2", "a")], true).await;
    scene.write(&animals(&[VERSION, ("hedge_after: 50ms", "hedge_after: 60ms")]));
    let second = scene.start(request("two", "latest")).await.unwrap();
    assert_ne!(second.revision, first.revision);
    scene.work_off(&second, &items, true).await;
    assert_eq!(scene.unchanged(&second).await, ["1"]);
    // And back.
    scene.write(&animals(&[VERSION]));
    let third = scene.start(request("three", "latest")).await.unwrap();
    assert_eq!((third.since.as_ref(), &third.revision), (Some(&second.id), &first.revision));
    scene.work_off(&third, &items, true).await;
    assert_eq!(scene.unchanged(&third).await, ["1", "2"]);
    scene.write(&animals(&[VERSION, ("max_batch: 100", "max_batch: 50")]));
    let fourth = scene.start(request("four", "latest")).await.unwrap();
    assert_eq!(fourth.since, None, "this one loads otherwise");
}
