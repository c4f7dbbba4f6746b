//! Who asks, through a coordinator and its workers, against stand-ins that want to know: what is loaded with each kind of
//! credentials, tokens that run out, secrets that are wrong or missing, and that no secret is ever shown.

use std::path::{Path, PathBuf};
use std::time::Duration;

use animals_api::{Config, Guard, Server, TokenLife};
use base64::Engine as _;
use base64::prelude::BASE64_STANDARD_NO_PAD;
use muster_proto::v1::{Run, RunState, StartRunRequest};
use muster_tests::cluster::Cluster;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::otlp::{By, Receiver};
use muster_tests::pipelines::{folder, impatient, variant};
use muster_tests::process::{Process, Start};
use muster_tests::turn;
use tempfile::TempDir;

use crate::{base_url, stand_in};

const ANIMALS: u64 = 400;
/// Neither spelt so in a URL, nor in JSON.
const SECRET: &str = "zookeeper/+\"7\" &co";

/// Errors and short stalls, on all requests.
fn chaos(guard: Guard) -> Config {
    let stall = Duration::from_millis(20)..=Duration::from_millis(250);
    Config { chaos: 0.1, stall, guard: Some(guard), ..Config::calm(ANIMALS) }
}

/// The changes that tell source and target of `animals` who asks.
fn with_auth(source: &str, load: &str) -> [(String, String); 2] {
    [
        ("  # One record.".to_owned(), format!("  auth: {source}\n\n  # One record.")),
        ("max_batch: 100".to_owned(), format!("max_batch: 20\n  auth: {load}")),
    ]
}

fn borrowed(changes: &[(String, String)]) -> Vec<(&str, &str)> {
    changes.iter().map(|(line, instead)| (line.as_str(), instead.as_str())).collect()
}

/// A folder with pipelines, another with secrets, and a coordinator.
struct Scene {
    place: TempDir,
    secrets: TempDir,
}

impl Scene {
    fn new() -> Scene {
        Scene { place: tempfile::tempdir().expect("a folder"), secrets: tempfile::tempdir().expect("a folder") }
    }

    fn secret_file(&self, name: &str) -> PathBuf {
        self.secrets.path().join(name)
    }

    /// Writes a secret down, and gives the reference to it.
    fn secret(&self, name: &str, text: &str) -> String {
        let file = self.secret_file(name);
        std::fs::write(&file, text).expect("a file");
        format!("${{file:{}}}", file.display())
    }

    async fn cluster(&self, pipeline: &str, flags: &[&str], env: &[(&str, &str)]) -> Cluster {
        let pipelines = folder(self.place.path(), "guarded", pipeline);
        let flags = [&["--pipelines", pipelines.to_str().expect("a path")], flags].concat();
        Cluster::with(self.place.path(), &flags, env).await
    }
}

fn two_workers(cluster: &Cluster) -> [Process; 2] {
    ["w1", "w2"].map(|name| cluster.worker(name, &["--concurrency", "24"]))
}

fn assert_perfect(case: &str, server: &Server, cluster: &Cluster, run: &Run) {
    let book = server.book();
    let verdict = run.verdict.as_ref().expect("a verdict");
    assert!(verdict.balanced && verdict.complete, "{case}: {run:#?}");
    assert!(book.is_perfect(), "{case}: {:#?}", book.summary());
    assert_nothing_lost(&book, &Ledger::read(&cluster.database(), &run.run_id));
}

/// Each kind that a stand-in can want, and how a pipeline says it.
fn kinds(secret: &str) -> [(Guard, String); 6] {
    let (name, value, client) = ("X-Zoo".to_owned(), SECRET.to_owned(), "muster:1".to_owned());
    let oauth2 = |send| {
        let url = "${param:base_url}/zoo/v1/token";
        format!(
            "{{ oauth2: {{ token_url: '{url}', client_id: 'muster:1', client_secret: '{secret}', send: {send} }} }}"
        )
    };
    [
        (Guard::Bearer(value.clone()), format!("{{ bearer: '{secret}' }}")),
        (
            Guard::Basic { user: "me".to_owned(), password: value.clone() },
            format!("{{ basic: {{ user: me, password: '{secret}' }} }}"),
        ),
        (
            Guard::Header { name: name.clone(), value: value.clone() },
            format!("{{ api_key: {{ header: X-Zoo, value: '{secret}' }} }}"),
        ),
        (Guard::Query { name, value: value.clone() }, format!("{{ api_key: {{ query: X-Zoo, value: '{secret}' }} }}")),
        (Guard::OAuth2 { client: client.clone(), secret: value.clone() }, oauth2("basic")),
        (Guard::OAuth2 { client, secret: value }, oauth2("body")),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_kind_brings_every_animal_home() {
    let _turn = turn::light().await;
    let secrets = Scene::new();
    for (guard, auth) in kinds(&secrets.secret("secret", SECRET)) {
        let (case, scene, server) = (format!("{guard:?}"), Scene::new(), stand_in(chaos(guard)));
        let cluster = scene.cluster(&variant(&borrowed(&with_auth(&auth, &auth))), &[], &[]).await;
        let run_id = cluster.start_run("guarded", &server.base_url()).await;
        let _workers = two_workers(&cluster);
        let run = cluster.watch(&run_id).await;
        assert_perfect(&case, &server, &cluster, &run);
        let counters = server.book().counters();
        assert_eq!(counters.unauthorized, 0, "{case}: somebody asked without credentials");
        // The coordinator asks the source, each worker source and target. A token whose answer stalls too long is lost.
        assert!(counters.tokens <= 5 + counters.stalls_other, "{case}: {counters:?}");
        assert_eq!(counters.tokens > 0, auth.contains("oauth2"), "{case}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_that_run_out_in_mid_run_are_fetched_again() {
    let _turn = turn::light().await;
    let scene = Scene::new();
    let [.., (guard, auth)] = kinds(&scene.secret("secret", SECRET));
    let life = 120;
    let server = stand_in(Config { animals: 1_500, token_life: TokenLife::Requests(life), ..chaos(guard) });
    let cluster = scene.cluster(&variant(&borrowed(&with_auth(&auth, &auth))), &[], &[]).await;
    let run_id = cluster.start_run("guarded", &server.base_url()).await;
    let _workers = two_workers(&cluster);
    let run = cluster.watch(&run_id).await;
    assert_perfect("tokens run out", &server, &cluster, &run);
    let counters = server.book().counters();
    let let_in = counters.lists + counters.details + counters.posts - counters.unauthorized;
    assert!(counters.unauthorized > 0, "no token ran out: {counters:?}");
    assert!(counters.tokens >= let_in / life, "{counters:?}");
    // Each is used up before the next is fetched, but for the last of each process and side; a request that was under way
    // when its token ran out may ask for another once more. Without sharing there would be one for each answer 401.
    assert!(counters.tokens <= 3 * (let_in / life) + 5 + counters.stalls_other, "{counters:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_wrong_secret_pauses_and_once_mended_the_run_goes_on() {
    let _turn = turn::light().await;
    for wrong in ["source", "target"] {
        let scene = Scene::new();
        let [source, target] =
            ["source", "target"].map(|side| scene.secret(side, if side == wrong { "outdated" } else { SECRET }));
        let server = stand_in(chaos(Guard::Bearer(SECRET.to_owned())));
        let changes = with_auth(&format!("{{ bearer: '{source}' }}"), &format!("{{ bearer: '{target}' }}"));
        let cluster = scene.cluster(&variant(&borrowed(&changes)), &[], &[]).await;
        let run_id = cluster.start_run("guarded", &server.base_url()).await;
        let _workers = two_workers(&cluster);
        let paused = cluster.watch_until(&run_id, |run| run.state() == RunState::Paused).await;
        let reason = &paused.state_reason;
        assert!(reason.contains("401") && reason.contains("Not authenticated"), "{wrong}: {reason}");
        assert!(server.book().accepted().is_empty(), "{wrong}");

        std::fs::write(scene.secret_file(wrong), format!("{SECRET}\n")).expect("a file");
        cluster.command(&["resume", &run_id]).run().await.with_code(0);
        let run = cluster.watch(&run_id).await;
        assert_perfect(wrong, &server, &cluster, &run);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_variable_that_a_worker_lacks_pauses_in_words_that_name_it() {
    let _turn = turn::light().await;
    let scene = Scene::new();
    let server = stand_in(chaos(Guard::Bearer(SECRET.to_owned())));
    let auth = "{ bearer: '${env:ZOO_SECRET}' }";
    let has_it = [("ZOO_SECRET", SECRET)];
    let cluster = scene.cluster(&variant(&borrowed(&with_auth(auth, auth))), &[], &has_it).await;
    let run_id = cluster.start_run("guarded", &server.base_url()).await;
    let mut lacking = cluster.worker("lacking", &[]);
    let paused = cluster.watch_until(&run_id, |run| run.state() == RunState::Paused).await;
    for words in ["source.auth", "${env:ZOO_SECRET}", "the worker's process", "is not set", "muster resume"] {
        assert!(paused.state_reason.contains(words), "no {words:?} in: {}", paused.state_reason);
    }
    assert_eq!(server.book().counters().unauthorized, 0, "it asked all the same");

    lacking.kill().await;
    let _worker = cluster.worker_with("having", &[], &has_it);
    cluster.command(&["resume", &run_id]).run().await.with_code(0);
    let run = cluster.watch(&run_id).await;
    assert_perfect("a variable", &server, &cluster, &run);
}

/// Begins so that it is found in JSON and in URLs as well: no letter of this beginning is ever spelt otherwise.
const CANARY: &str = "canary7q/+\"x\" &co";
const FOUND: &str = "canary7q";
/// What the tokens of a stand-in begin with.
const TOKEN: &str = "zoo-token-";
const USER: &str = "keeper";

/// All forms in which the canary could be found.
fn needles() -> Vec<String> {
    let encode = |text: String| BASE64_STANDARD_NO_PAD.encode(text);
    // As in OAuth2, where both parts are encoded first; cut where the next letter would change it.
    let begin = |text: String| encode(text)[..16].to_owned();
    vec![
        FOUND.to_owned(),
        TOKEN.to_owned(),
        encode(CANARY.to_owned()),
        encode(format!("{USER}:{CANARY}")),
        begin(format!("{USER}:{FOUND}")),
    ]
}

/// Every file below a folder that has one of these in it.
fn found_in(folder: &Path, needles: &[String], found: &mut Vec<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder") {
        let path = entry.expect("a file").path();
        if path.is_dir() {
            found_in(&path, needles, found);
            continue;
        }
        let text = String::from_utf8_lossy(&std::fs::read(&path).expect("it can be read")).into_owned();
        for needle in needles {
            if let Some(line) = text.lines().find(|line| line.contains(needle)) {
                let at = line.find(needle).unwrap_or_default();
                let near: String =
                    line.chars().skip(line[..at].chars().count().saturating_sub(300)).take(400).collect();
                found.push(format!("{needle} in {}: …{near}", path.display()));
            }
        }
    }
}

fn assert_not_in_the_command_line(process: &Process) {
    let line = std::fs::read(format!("/proc/{}/cmdline", process.pid())).expect("Linux says so");
    let line = String::from_utf8_lossy(&line);
    assert!(!line.is_empty() && !line.contains(FOUND), "{line}");
}

/// A source and a target that want credentials, say them back whatever they answer, and are trouble in every other way.
fn echoing(source: Guard, target: Guard) -> [Server; 2] {
    let troubled = |guard| {
        let special = Config { poison: 3_u64.into(), gone: 2_u64.into(), malformed: 5_u64.into(), ..chaos(guard) };
        stand_in(Config { echo: true, partial: 0.2, animals: 300, ..special })
    };
    [troubled(source), troubled(target)]
}

/// The pipeline from one to the other. Doubts stay, so that they can be looked at.
fn from_to(target: &Server, source_auth: &str, target_auth: &str) -> String {
    let home = format!("url: {}/animals/v1/home", target.base_url());
    let mut changes = with_auth(source_auth, target_auth).to_vec();
    changes.extend([
        ("url: ${param:base_url}/animals/v1/home".to_owned(), home),
        ("on_doubt: retry".to_owned(), "on_doubt: hold".to_owned()),
        ("max_gone: 1%".to_owned(), "max_gone: 10%".to_owned()),
        ("get_timeout: 3s".to_owned(), "get_timeout: 3s\n  get_attempts: 3".to_owned()),
    ]);
    impatient(2_000, &borrowed(&changes))
}

/// What a run in audit mode leaves behind, with everything logged; all that people ask about it is asked.
async fn leave_traces(scene: &Scene, source: &Server, pipeline: &str) {
    let audit = scene.place.path().join("audit");
    let loud = [("RUST_LOG", "trace")];
    let mut cluster = scene.cluster(pipeline, &["--audit-dir", audit.to_str().expect("a path")], &loud).await;
    let request = StartRunRequest {
        pipeline: "guarded".to_owned(),
        parameters: [("base_url".to_owned(), source.base_url())].into(),
        audit_mode: true,
        ..StartRunRequest::default()
    };
    let run = cluster.runs().start_run(request).await.expect("it starts").into_inner().run.expect("a run");
    let workers = ["w1", "w2"].map(|name| cluster.worker_with(name, &["--concurrency", "24"], &loud));
    let run = cluster.watch_until(&run.run_id, |run| run.finished_at.is_some()).await;
    let counts = run.verdict.expect("a verdict").counts.expect("counts");
    assert!(counts.dead_letter > 0 && counts.in_doubt > 0, "nobody had anything to say: {counts:?}");
    for worker in &workers {
        assert_not_in_the_command_line(worker);
    }
    assert_not_in_the_command_line(cluster.process());
    let mut said = String::new();
    for line in [
        &["export"][..],
        &["report", "--output", "-"],
        &["report", "--format", "json"],
        &["report", "--format", "csv"],
        &["dead-letters"],
        &["dead-letters", "--json"],
        &["in-doubt"],
        &["in-doubt", "--json"],
        &["show"],
        &["show", "--json"],
        &["verify", "--json"],
    ] {
        let line = [&line[..1], &[&run.run_id], &line[1..]].concat();
        said += &cluster.command(&line).env("RUST_LOG", "trace").run().await.stdout;
    }
    assert!(said.contains("[secret]"), "nothing was said back, so that nothing was proven: {said}");
    // While it stands, and what is not yet in the database is in its log beside it.
    let log = cluster.database().with_extension("db-wal");
    assert!(log.exists(), "no {}", log.display());
    for process in workers.iter().chain([&*cluster.process()]) {
        assert!(process.stderr().contains("TRACE"), "it is not loud");
    }
    assert_no_canary(scene.place.path());
    let mut where_it_is = Vec::new();
    found_in(scene.secrets.path(), &needles(), &mut where_it_is);
    assert!(!where_it_is.is_empty(), "the search finds nothing at all");
}

fn assert_no_canary(folder: &Path) {
    let mut found = Vec::new();
    found_in(folder, &needles(), &mut found);
    assert!(found.is_empty(), "{} places, the first: {:#?}", found.len(), &found[..found.len().min(6)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn keys_and_passwords_are_nowhere_to_be_found() {
    let _turn = turn::light().await;
    let scene = Scene::new();
    let secret = scene.secret("canary", CANARY);
    let query = Guard::Query { name: "key".to_owned(), value: CANARY.to_owned() };
    let basic = Guard::Basic { user: USER.to_owned(), password: CANARY.to_owned() };
    let [source, target] = echoing(query, basic);
    let pipeline = from_to(
        &target,
        &format!("{{ api_key: {{ query: key, value: '{secret}' }} }}\n  headers: {{ x-more: '{secret}' }}"),
        &format!("{{ basic: {{ user: {USER}, password: '{secret}' }} }}"),
    );
    leave_traces(&scene, &source, &pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_and_what_they_are_got_with_are_nowhere_to_be_found() {
    let _turn = turn::light().await;
    let scene = Scene::new();
    let secret = scene.secret("canary", CANARY);
    let oauth2 = |send: &str, url: &str| {
        let client = format!("client_id: {USER}, client_secret: '{secret}', send: {send}");
        format!("{{ oauth2: {{ token_url: '{url}/zoo/v1/token', {client} }} }}")
    };
    let guard = || Guard::OAuth2 { client: USER.to_owned(), secret: CANARY.to_owned() };
    let [source, target] = echoing(guard(), guard());
    let source_auth = oauth2("basic", "${param:base_url}");
    let pipeline = from_to(&target, &source_auth, &oauth2("body", &target.base_url()));
    leave_traces(&scene, &source, &pipeline).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_of_ones_own_shows_no_secret_either() {
    let _turn = turn::light().await;
    let scene = Scene::new();
    let [source, target] =
        echoing(Guard::Bearer(CANARY.to_owned()), Guard::Header { name: "x-key".to_owned(), value: CANARY.to_owned() });
    let pipeline = from_to(
        &target,
        "{ bearer: '${env:ZOO_CANARY}' }",
        "{ api_key: { header: X-Key, value: '${env:ZOO_CANARY}' } }",
    );
    let here = scene.place.path();
    std::fs::write(here.join("guarded.yaml"), pipeline).expect("a file");
    let set = base_url(&source);
    let line = ["run", "./guarded.yaml", "--set", &set, "--db", "my.db", "--audit", "audit", "--json"];
    let start = |secret: &str| Start::muster(here, line).env("ZOO_CANARY", secret).env("RUST_LOG", "trace");
    // Refused first, by a source that says what it refuses.
    let refused = start(&format!("{CANARY}?")).run().await;
    assert!(refused.stdout.contains("[secret]") || refused.stderr.contains("[secret]"), "{}", refused.stdout);
    let receiver = Receiver::start(here).await;
    let headers = [("OTEL_EXPORTER_OTLP_HEADERS", format!("x-api-key={CANARY}"))];
    let again = Start::muster(here, line.iter().chain(&["--resume"])).env("ZOO_CANARY", CANARY);
    let again = again.env("RUST_LOG", "trace");
    let env = receiver.env(By::Grpc).into_iter().chain(headers);
    let told = env.fold(again, |start, (name, value)| start.env(name, value)).run().await.with_code(3).json();
    let run_id = told["run_id"].as_str().expect("an ID");
    assert!(receiver.spans().iter().any(|span| span.name == "batch"), "no trace to look into");
    for command in ["export", "report", "dead-letters", "in-doubt"] {
        Start::muster(here, [command, run_id, "--db", "my.db"]).env("RUST_LOG", "trace").run().await;
    }
    assert_no_canary(here);
}
