//! Records go into files and into a PostgreSQL table, while workers, the server and the way to it break.

use std::collections::BTreeMap;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use animals_api::{ChaosOn, Config, Server};
use muster_proto::v1::{Run, RunState};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::until_some;
use muster_tests::pipelines::{folder, variant};
use muster_tests::postgres::Postgres;
use muster_tests::process::Process;
use muster_tests::turn;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

use crate::stand_in;

const ANIMALS: u64 = 1_500;

/// Errors and stalls of the source, and time to break something.
fn source() -> Server {
    let stall = Duration::from_millis(50)..=Duration::from_millis(300);
    let chaos = Config { chaos: 0.05, chaos_on: ChaosOn::Reads, stall, ..Config::calm(ANIMALS) };
    stand_in(Config { latency: Duration::from_millis(30), page_size: 100, ..chaos })
}

/// The pipeline of animals with another target.
fn pipeline(target: &str) -> String {
    let text = variant(&[]);
    let load = text.find("\nload:").expect("it has a load");
    let limits = text.find("\nlimits:").expect("it has limits");
    format!("{}\nload:\n  {target}\n  max_batch: 20\n{}", &text[..load], &text[limits..])
}

struct Scene {
    place: TempDir,
    server: Server,
    cluster: Cluster,
    run_id: String,
    env: Vec<(String, String)>,
    crew: Vec<Process>,
}

impl Scene {
    async fn new(target: &str, env: &[(&str, &str)]) -> Scene {
        let (place, server) = (tempfile::tempdir().expect("a folder"), source());
        let target = target.replace("FOLDER", place.path().to_str().expect("a path"));
        let pipelines = folder(place.path(), "elsewhere", &pipeline(&target));
        let cluster = Cluster::with(place.path(), &["--pipelines", pipelines.to_str().expect("a path")], &[]).await;
        let run_id = cluster.start_run("elsewhere", &server.base_url()).await;
        let env = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let mut scene = Scene { place, server, cluster, run_id, env, crew: Vec::new() };
        scene.hire();
        scene.hire();
        scene
    }

    fn hire(&mut self) {
        let env: Vec<(&str, &str)> = self.env.iter().map(|(name, value)| (name.as_str(), value.as_str())).collect();
        let name = format!("w{}", fastrand::u32(..));
        self.crew.push(self.cluster.worker_with(&name, &["--concurrency", "24", "--max-leases", "6"], &env));
    }

    /// kill -9 of a worker, and another for it.
    async fn replace_a_worker(&mut self) {
        self.crew.remove(0).kill().await;
        self.hire();
    }

    /// Waits until so many records were read.
    async fn read(&self, records: u64) {
        let book = self.server.book();
        muster_tests::deadline::within("records are read", book.until(|book| book.counters().details >= records)).await;
    }

    async fn end(&self) -> Run {
        let run = self.cluster.watch(&self.run_id).await;
        assert_eq!(run.state(), RunState::Finished);
        let verdict = self.cluster.verify(&self.run_id).await;
        assert!(verdict.complete && verdict.balanced, "{verdict:?}");
        run
    }

    /// Follows the run until it pauses, and gives the reason.
    async fn pause(&self) -> String {
        self.cluster.watch_until(&self.run_id, |run| run.state() == RunState::Paused).await.state_reason
    }

    fn loaded(&self, run: &Run) -> i64 {
        run.overall.as_ref().expect("counts").loaded
    }

    /// Nothing secret in what anybody said or wrote.
    fn assert_no_secret(&self) {
        for file in
            std::fs::read_dir(self.place.path()).expect("a folder").flatten().filter(|file| file.path().is_file())
        {
            let text = std::fs::read(file.path()).expect("it can be read");
            assert!(!text.windows(6).any(|part| part == b"canary"), "a secret is in {}", file.path().display());
        }
    }
}

/// All files of a folder, by name.
fn files(folder: &Path) -> Vec<PathBuf> {
    let mut files: Vec<_> =
        std::fs::read_dir(folder).expect("a folder").map(|file| file.expect("a file").path()).collect();
    files.retain(|file| !file.file_name().is_some_and(|name| name.to_string_lossy().starts_with('.')));
    files
}

/// How often each animal is in these lines.
fn times(lines: &str) -> BTreeMap<u64, u32> {
    let mut times = BTreeMap::new();
    for line in lines.lines() {
        let animal: serde_json::Value = serde_json::from_str(line).expect("a record a line");
        assert!(animal["friends"].is_array() && animal["name"].is_string(), "{animal}");
        *times.entry(animal["id"].as_u64().expect("an ID")).or_default() += 1;
    }
    times
}

fn assert_each_once(times: &BTreeMap<u64, u32>) {
    let expected: BTreeMap<u64, u32> = (0..ANIMALS).map(|id| (id, 1)).collect();
    assert!(*times == expected, "{} of {ANIMALS} animals, not each once", times.len());
}

#[tokio::test(flavor = "multi_thread")]
async fn files_have_each_record_once_though_workers_are_killed() {
    let _turn = turn::heavy().await;
    let target = "files: { url: \"file://FOLDER/out\" }\n  compress: gzip\n  post_timeout: 2s";
    let mut scene = Scene::new(target, &[]).await;
    for round in 1..=4 {
        scene.read(round * ANIMALS / 6).await;
        scene.replace_a_worker().await;
    }
    let run = scene.end().await;
    assert_eq!(scene.loaded(&run), i64::try_from(ANIMALS).expect("few"));
    let mut lines = String::new();
    for file in files(&scene.place.path().join("out").join(&scene.run_id)) {
        assert!(file.to_string_lossy().ends_with(".ndjson.gz"), "{}", file.display());
        let content = std::fs::File::open(&file).expect("a file");
        flate2::read::GzDecoder::new(content).read_to_string(&mut lines).expect("whole files only");
    }
    assert_each_once(&times(&lines));
}

type Objects = Arc<std::sync::Mutex<BTreeMap<String, Vec<u8>>>>;

/// A store that takes PUTs as S3 does; of five, one is stored and answered by a 500, one is stored and stalls, and one is
/// told to slow down. Gives its URL and what it has.
async fn bucket() -> (String, Objects) {
    let objects = Objects::default();
    let (kept, puts) = (Arc::clone(&objects), Arc::new(std::sync::atomic::AtomicU32::new(0)));
    let put = move |uri: axum::http::Uri, body: axum::body::Bytes| {
        let (kept, number) = (Arc::clone(&kept), puts.fetch_add(1, Ordering::Relaxed));
        async move {
            let query = uri.query().unwrap_or_default();
            let signed = query.contains("X-Amz-Signature=") && query.contains("X-Amz-Credential=key-id%2F");
            if !signed {
                return (403, "<Error><Code>AccessDenied</Code><Message>who?</Message></Error>");
            }
            if number % 5 == 4 {
                return (503, "<Error><Code>SlowDown</Code></Error>");
            }
            kept.lock().expect("no panic in here").insert(uri.path().to_owned(), body.to_vec());
            match number % 5 {
                1 => (500, "<Error><Code>InternalError</Code></Error>"),
                3 => std::future::pending().await,
                _ => (200, ""),
            }
        }
    };
    let put = move |uri, body| {
        let answer = put(uri, body);
        async move {
            let (status, text) = answer.await;
            (axum::http::StatusCode::from_u16(status).expect("a status"), text)
        }
    };
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let url = format!("http://{}", listener.local_addr().expect("an address"));
    let router = axum::Router::new().fallback(axum::routing::put(put));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (url, objects)
}

#[tokio::test(flavor = "multi_thread")]
async fn objects_of_a_bucket_have_each_record_once_though_it_fails_and_stalls() {
    let _turn = turn::heavy().await;
    let (url, objects) = bucket().await;
    let target = format!(
        "files: {{ url: s3://herd/all, endpoint: \"{url}\", access_key_id: \"${{env:MUSTER_TEST_ID}}\", \
         secret_access_key: \"${{env:MUSTER_TEST_KEY}}\" }}\n  post_timeout: 1s\n  max_attempts: 1000"
    );
    let env = [("MUSTER_TEST_ID", "key-id"), ("MUSTER_TEST_KEY", "canary-key")];
    let mut scene = Scene::new(&target, &env).await;
    scene.read(ANIMALS / 3).await;
    scene.replace_a_worker().await;
    let run = scene.end().await;
    assert_eq!(scene.loaded(&run), i64::try_from(ANIMALS).expect("few"));
    assert!(scene.cluster.verify(&scene.run_id).await.possible_copies > 0, "nothing was in doubt");
    let objects = objects.lock().expect("no panic in there");
    let folder = format!("/herd/all/{}/", scene.run_id);
    assert!(objects.keys().all(|name| name.starts_with(&folder) && name.ends_with(".ndjson")), "{:?}", objects.keys());
    let lines: Vec<u8> = objects.values().flatten().copied().collect();
    assert_each_once(&times(&String::from_utf8(lines).expect("text")));
    scene.assert_no_secret();
}

/// A table as the animals' transform gives them.
const TABLE: &str = "CREATE TABLE animals (id bigint PRIMARY KEY, name text NOT NULL, born_at timestamptz, \
                     friends text[] NOT NULL, kept text NOT NULL DEFAULT 'by default')";
const POSTGRES: &str = "postgres: { url: \"${env:MUSTER_TEST_DB}\", table: animals }\n  post_timeout: 3s";
/// The same without a primary key: a second row would be there, and seen.
const NO_KEY: &str = "CREATE TABLE animals (id bigint, name text NOT NULL, born_at timestamptz, friends text[] NOT NULL, \
                      kept text NOT NULL DEFAULT 'by default')";

fn assert_rows(database: &Postgres) {
    let sums = database.sql("SELECT count(*), count(DISTINCT id), sum(id), bool_and(kept = 'by default') FROM animals");
    assert_eq!(sums, format!("{ANIMALS}|{ANIMALS}|{}|t", (0..ANIMALS).sum::<u64>()));
    let marks = database.sql("SELECT count(*) FROM muster_loaded");
    assert_eq!(marks, ANIMALS.to_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_table_has_each_record_once_though_workers_and_server_die() {
    let _turn = turn::heavy().await;
    let database = Postgres::start();
    database.sql(NO_KEY);
    let mut scene = Scene::new(POSTGRES, &[("MUSTER_TEST_DB", &database.url())]).await;
    for round in 1..=4 {
        scene.read(round * ANIMALS / 6).await;
        scene.replace_a_worker().await;
        match round {
            2 => {
                database.down();
                database.up();
            }
            _ => drop(
                database
                    .sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'muster'"),
            ),
        }
    }
    let run = scene.end().await;
    assert_eq!(scene.loaded(&run), i64::try_from(ANIMALS).expect("few"));
    assert_rows(&database);
    scene.assert_no_secret();
}

/// Carries bytes to a database, and cuts the connection when a COMMIT has passed and before its answer does: every third.
async fn proxy(to: u16) -> (u16, Arc<AtomicBool>) {
    let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
    let (port, cut) = (listener.local_addr().expect("an address").port(), Arc::new(AtomicBool::new(false)));
    let told = Arc::clone(&cut);
    tokio::spawn(async move {
        let commits = Arc::new(std::sync::atomic::AtomicU32::new(0));
        while let Ok((client, _)) = listener.accept().await {
            let (told, commits) = (Arc::clone(&told), Arc::clone(&commits));
            tokio::spawn(async move {
                let Ok(server) = TcpStream::connect(("127.0.0.1", to)).await else { return };
                let ((mut from, mut back), (mut answers, mut server)) = (client.into_split(), server.into_split());
                let answering = tokio::spawn(async move { drop(tokio::io::copy(&mut answers, &mut back).await) });
                let mut buffer = vec![0; 1 << 16];
                while let Ok(read @ 1..) = from.read(&mut buffer).await {
                    let part = &buffer[..read];
                    let commit = part.windows(7).any(|part| part == b"COMMIT\0");
                    let last = commit && commits.fetch_add(1, Ordering::Relaxed) % 3 == 2;
                    if last {
                        // The answer must not get through.
                        answering.abort();
                    }
                    if server.write_all(part).await.is_err() {
                        break;
                    }
                    if last {
                        told.store(true, Ordering::Relaxed);
                        break;
                    }
                }
                answering.abort();
            });
        }
    });
    (port, cut)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_commit_whose_answer_got_lost_is_settled_by_the_next_try() {
    let _turn = turn::heavy().await;
    let database = Postgres::start();
    database.sql(NO_KEY);
    let (port, cut) = proxy(database.port()).await;
    let scene = Scene::new(POSTGRES, &[("MUSTER_TEST_DB", &database.url_at(port))]).await;
    let run = scene.end().await;
    assert!(cut.load(Ordering::Relaxed), "no COMMIT was cut off");
    assert_eq!(scene.loaded(&run), i64::try_from(ANIMALS).expect("few"));
    let verdict = scene.cluster.verify(&scene.run_id).await;
    assert!(verdict.possible_copies > 0, "no delivery was in doubt: {verdict:?}");
    assert_rows(&database);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_table_refuses_are_dead_letters_with_its_words() {
    let _turn = turn::heavy().await;
    let database = Postgres::start();
    database.sql(&format!("{TABLE}; ALTER TABLE animals ADD CONSTRAINT odd CHECK (id % 100 <> 7)"));
    let scene = Scene::new(POSTGRES, &[("MUSTER_TEST_DB", &database.url())]).await;
    let run = scene.end().await;
    let dead = ANIMALS / 100;
    assert_eq!(scene.loaded(&run), i64::try_from(ANIMALS - dead).expect("few"));
    assert_eq!(database.sql("SELECT count(*) FROM animals"), (ANIMALS - dead).to_string());
    let dead = scene.cluster.command(&["record", &scene.run_id, "107"]).run().await;
    assert!(dead.stdout.contains("check constraint \"odd\""), "{}", dead.stdout);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_no_record_can_mend_pauses_the_run_in_words() {
    let _turn = turn::heavy().await;
    let database = Postgres::start();
    let url = database.url();
    let env = [("MUSTER_TEST_DB", url.as_str())];
    let scene = Scene::new(POSTGRES, &env).await;
    let reason = scene.pause().await;
    assert!(reason.contains("the database has no table animals"), "{reason}");
    // Mended half, it pauses again and names the column.
    database
        .sql("CREATE TABLE animals (id bigint PRIMARY KEY, name text, friends text[], kept text DEFAULT 'by default')");
    let resume = scene.cluster.command(&["resume", &scene.run_id]).run().await;
    assert_eq!(resume.code, Some(0), "{}", resume.stderr);
    let about_column =
        |run: &Run| run.state() == RunState::Paused && run.state_reason.contains("no column \"born_at\"");
    scene.cluster.watch_until(&scene.run_id, about_column).await;
    database.sql("ALTER TABLE animals ADD COLUMN born_at timestamptz");
    until_some("nothing pauses it any more", async || {
        let run = scene.cluster.run(&scene.run_id).await;
        if run.state() == RunState::Paused {
            scene.cluster.command(&["resume", &scene.run_id]).run().await;
        }
        (run.state() == RunState::Finished).then_some(())
    })
    .await;
    scene.end().await;
    database.sql("UPDATE animals SET kept = 'by default' WHERE kept IS NULL");
    assert_rows(&database);
    scene.assert_no_secret();
    // Without the secret the worker says which one it lacks.
    let scene = Scene::new(POSTGRES, &[]).await;
    let reason = scene.pause().await;
    assert!(reason.contains("MUSTER_TEST_DB is not set"), "{reason}");
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_that_are_there_are_overwritten_where_that_is_wished() {
    let _turn = turn::heavy().await;
    let database = Postgres::start();
    database
        .sql(&format!("{TABLE}; INSERT INTO animals SELECT id, 'old', NULL, '{{}}' FROM generate_series(0, 99) AS id"));
    let target = POSTGRES.replace("table: animals", "table: public.animals, update_by: [id]");
    let scene = Scene::new(&target, &[("MUSTER_TEST_DB", &database.url())]).await;
    scene.end().await;
    assert_rows(&database);
    assert_eq!(database.sql("SELECT count(*) FROM animals WHERE name = 'old'"), "0");
}
