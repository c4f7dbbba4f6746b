//! What a source or a target allows holds for all processes together, however many there are. The judge is the stand-in's
//! book, which knows when each request came. `MUSTER_TEST_FLEET_REQUESTS` makes the runs longer, and then all numbers of
//! workers meet both kinds of limits.
//!
//! That the limit is held, the source says by what it refuses. That no time is wasted is promised here as well, so
//! these tests do assert how long something took: longer runs within 5% of what the limit dictates, short ones so that a
//! machine which is busy with something else for a moment does not fail them.

use std::time::Duration;

use animals_api::{Book, Config, RateLimit, Request, Server, WindowLimit};
use muster_proto::v1::ListWorkersRequest;
use muster_proto::v1::fleet_service_client::FleetServiceClient;
use muster_tests::cluster::Cluster;
use muster_tests::deadline::{until_some, within};
use muster_tests::pipelines::{folder, variant};
use muster_tests::postgres::Postgres;
use muster_tests::process::Process;
use muster_tests::turn;

use crate::stand_in;

/// Requests per second that the source takes, and that the pipeline says.
const RATE: u32 = 200;
/// Requests that the bucket holds, a tenth of a second's: the way there bunches them together.
const BURST: u32 = 20;
/// Requests of a run: as few as show what is to be shown.
const REQUESTS: u64 = 1_600;
/// How many are asked for instead, in the environment.
const WISHED: &str = "MUSTER_TEST_FLEET_REQUESTS";

#[derive(Clone, Copy, Debug)]
enum Kind {
    Bucket,
    Window,
}

impl Kind {
    /// A source with this limit, for so many requests of a run in all.
    fn source(self, requests: u64) -> Server {
        let (mut rate_limit, mut window_limit) = (None, None);
        match self {
            Kind::Bucket => rate_limit = Some(RateLimit { per_second: f64::from(RATE), burst: BURST }),
            Kind::Window => window_limit = Some(WindowLimit { requests: RATE, window_ms: 1_000 }),
        }
        // One in a hundred is a page, another one a delivery.
        let calm = Config::calm(requests * 100 / 102);
        stand_in(Config { rate_limit, window_limit, page_size: 100, keep_times: true, ..calm })
    }

    /// Requests that need not wait, of any number.
    fn given_away(self) -> u64 {
        match self {
            Kind::Bucket => BURST.into(),
            Kind::Window => 0,
        }
    }
}

/// What a source saw of a run.
#[derive(Debug)]
struct Seen {
    requests: usize,
    limited: usize,
    seconds: f64,
    dictated: f64,
    /// The longest times without a request, in milliseconds, and after how many they began.
    silences: Vec<(u128, u128)>,
}

impl Seen {
    /// `given_away`: so many of them need not wait.
    fn of(requests: &[Request], given_away: u64) -> Seen {
        let (first, last) = (requests.first().expect("requests"), requests.last().expect("requests"));
        let limited = requests.iter().filter(|request| request.limited).count();
        let counted = u32::try_from(requests.len() as u64 - given_away).expect("few");
        Seen {
            requests: requests.len(),
            limited,
            seconds: (last.at - first.at).as_secs_f64(),
            dictated: f64::from(counted) / f64::from(RATE),
            silences: silences(requests),
        }
    }

    /// At most 10 answers of 429 per 10,000 requests, and in hardly more than the time that the limit dictates.
    fn judge(&self) -> Result<(), String> {
        self.judge_with(if std::env::var_os(WISHED).is_some() { 0.05 } else { 0.25 })
    }

    /// The same with so much more time, as a share.
    fn judge_with(&self, more: f64) -> Result<(), String> {
        if self.limited * 1_000 > self.requests {
            return Err(format!("too many were refused: {self:?}"));
        }
        match self.seconds <= self.dictated * (1.0 + more) {
            true => Ok(()),
            false => Err(format!("it took too long: {self:?}")),
        }
    }
}

/// For whoever wants to know where the time has gone.
fn silences(requests: &[Request]) -> Vec<(u128, u128)> {
    let first = requests.first().map_or(Duration::ZERO, |request| request.at);
    let silence = |pair: &[Request]| ((pair[1].at - pair[0].at).as_millis(), (pair[0].at - first).as_millis());
    let mut all: Vec<_> = requests.windows(2).map(silence).collect();
    all.sort_unstable();
    all.split_off(all.len().saturating_sub(5))
}

/// A pipeline that keeps to the source's limit.
fn limited(within: &std::path::Path) -> String {
    let rate = format!("  get_timeout: 3s\n  rate: {RATE}/s\n");
    folder(within, "limited", &variant(&[("  get_timeout: 3s\n", &rate)])).to_str().expect("a path").to_owned()
}

/// Workers of these coordinators, once all are known: starting up is not what is measured.
async fn hire(coordinators: &[&Cluster], names: std::ops::Range<usize>, flags: &[&str]) -> Vec<Process> {
    let urls: Vec<String> = coordinators.iter().map(|coordinator| coordinator.url()).collect();
    let name = |number| format!("w{number}");
    let crew =
        names.clone().map(|number| coordinators[0].worker_of(&urls.join(","), &name(number), flags, &[])).collect();
    until_some("the workers have come", async || {
        let request = ListWorkersRequest { page_size: 100, ..ListWorkersRequest::default() };
        let known = FleetServiceClient::new(coordinators[0].channel()).list_workers(request).await.ok()?.into_inner();
        let known: Vec<String> = known.workers.into_iter().map(|worker| worker.name).collect();
        names.clone().all(|number| known.contains(&name(number))).then_some(())
    })
    .await;
    crew
}

/// A whole run with so many workers, by what the source saw from the `from`th request on.
async fn run(kind: Kind, workers: usize, requests: u64, from: usize) -> Seen {
    let (place, server) = (tempfile::tempdir().expect("a folder"), kind.source(requests));
    let cluster = Cluster::with(place.path(), &["--pipelines", &limited(place.path())], &[]).await;
    let _crew = hire(&[&cluster], 0..workers, &[]).await;
    whole_run(&cluster, &server, kind, workers, from).await
}

#[expect(clippy::print_stdout, reason = "the figures, for those who read the output of the tests")]
async fn whole_run(cluster: &Cluster, server: &Server, kind: Kind, workers: usize, from: usize) -> Seen {
    let run_id = cluster.start_run("limited", &server.base_url()).await;
    cluster.watch(&run_id).await;
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
    // What was saved up was used by those that came first.
    let given_away = if from == 0 { kind.given_away() } else { 0 };
    let seen = Seen::of(&server.book().requests()[from..], given_away);
    println!(
        "{workers} workers, {kind:?}: {} requests, {} answers of 429, {:.2} s, dictated {:.2} s ({:+.1}%); silences {:?}",
        seen.requests,
        seen.limited,
        seen.seconds,
        seen.dictated,
        (seen.seconds / seen.dictated - 1.0) * 100.0,
        seen.silences
    );
    seen
}

/// Requests of a run, and from which on they are looked at: of a short run, the moment in which workers make their
/// pipeline ready would be too large a part.
fn size() -> (u64, usize) {
    let wished = std::env::var(WISHED).ok();
    let requests = wished.map(|text| text.parse().unwrap_or_else(|_| panic!("{WISHED} is a number")));
    requests.map_or((REQUESTS + 300, 300), |requests| (requests, 0))
}

#[tokio::test(flavor = "multi_thread")]
async fn any_number_of_workers_uses_what_a_source_allows_and_no_more() {
    let _turn = turn::alone().await;
    let (requests, from) = size();
    let mut judged = Vec::new();
    for (workers, kind) in [
        (1, Kind::Window),
        (4, Kind::Bucket),
        (16, Kind::Window),
        (1, Kind::Bucket),
        (4, Kind::Window),
        (16, Kind::Bucket),
    ]
    .into_iter()
    .take(if from == 0 { 6 } else { 3 })
    {
        let seen = run(kind, workers, requests, from).await;
        judged.push((workers, seen.judge()));
    }
    // All of them first: the figures of one say something about those of another.
    assert!(judged.iter().all(|(_, verdict)| verdict.is_ok()), "{judged:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_that_do_not_share_are_found_out() {
    let _turn = turn::alone().await;
    let (place, server) = (tempfile::tempdir().expect("a folder"), Kind::Bucket.source(400));
    let env = [("MUSTER_PLANTED_BUG", "shares_no_rate")];
    let cluster = Cluster::with(place.path(), &["--pipelines", &limited(place.path())], &env).await;
    let _crew = hire(&[&cluster], 0..4, &[]).await;
    cluster.start_run("limited", &server.base_url()).await;
    let book = server.book();
    within("some are refused", book.until(|book| book.counters().limited >= 3)).await;
    Seen::of(&book.requests(), Kind::Bucket.given_away())
        .judge()
        .expect_err("each worker had the whole rate for itself");
}

#[tokio::test(flavor = "multi_thread")]
async fn two_coordinators_share_out_one_rate() {
    let _turn = turn::alone().await;
    let (requests, from) = size();
    let (place, server) = (tempfile::tempdir().expect("a folder"), Kind::Window.source(requests));
    let (database, pipelines) = (Postgres::start(), limited(place.path()));
    let flags = ["--pipelines", pipelines.as_str()];
    let one = Cluster::sharing(place.path(), &database.url(), &flags, &[]).await;
    let other = Cluster::sharing(place.path(), &database.url(), &flags, &[]).await;
    let _crew = (hire(&[&one], 0..2, &[]).await, hire(&[&other], 2..4, &[]).await);
    let seen = whole_run(&one, &server, Kind::Window, 4, from).await;
    assert_eq!(seen.judge(), Ok(()));
}

#[tokio::test(flavor = "multi_thread")]
async fn shares_follow_as_workers_come_and_are_killed() {
    const COUNTED: u64 = 2_000;
    let _turn = turn::alone().await;
    // Far more than is looked at: those who are killed hold batches that nobody else works on for a while.
    let (place, server) = (tempfile::tempdir().expect("a folder"), Kind::Window.source(6_000));
    let cluster = Cluster::with(place.path(), &["--pipelines", &limited(place.path())], &[]).await;
    let mut crew = hire(&[&cluster], 0..2, &[]).await;
    cluster.start_run("limited", &server.base_url()).await;
    let book = server.book();
    let seen = async |count| within("the crew goes on", book.until(|book| came(book) >= count)).await;
    seen(400).await;
    crew.extend(hire(&[&cluster], 2..6, &[]).await);
    seen(1_000).await;
    for victim in [0, 2, 3] {
        crew[victim].kill().await;
    }
    seen(COUNTED).await;
    // From when it is under way.
    let [begun, counted] = [200, COUNTED].map(|count| usize::try_from(count).expect("few"));
    // Counted as they come, and written down a moment later.
    within("they are written down", book.until(|book| book.requests().len() >= counted)).await;
    // What was reserved for those who were killed is lost; shares that somebody has to cut anew would cost half of the time.
    assert_eq!(Seen::of(&book.requests()[begun..counted], 0).judge_with(0.35), Ok(()));
}

/// Requests that have come, of all kinds.
fn came(book: &Book) -> u64 {
    let counted = book.counters();
    counted.lists + counted.details + counted.posts
}

/// How long requests may still come that were on their way when a host asked to be left alone, and those of workers that
/// have not heard of it yet, on a machine that is busy with something else: half of the pause, in which who was not told would
/// go on asking.
const ON_THE_WAY: Duration = Duration::from_millis(1_500);
/// Workers that leave the machine idle for most of the time: what takes long then is no lack of it.
const AT_LEISURE: [&str; 2] = ["--concurrency", "4"];

/// Has a server that has had so many requests refuse one of its next for 3 s, and waits until requests come again after
/// that.
#[expect(clippy::print_stdout, reason = "the figures, for those who read the output of the tests")]
async fn is_left_alone(server: &Server, before: u64, meanwhile: impl AsyncFnOnce()) {
    let (book, pause) = (server.book(), Duration::from_secs(3));
    within("requests come", book.until(|book| came(book) >= before)).await;
    server.throttle(pause);
    within("one is refused", book.until(|book| book.counters().limited > 0)).await;
    meanwhile().await;
    let after = |book: &Book| -> Vec<Duration> {
        let mut requests = book.requests().into_iter().skip_while(|request| !request.limited);
        let refused = requests.next().expect("a refused request").at;
        requests.map(|request| request.at - refused).collect()
    };
    within("requests come again", book.until(|book| after(book).last().is_some_and(|after| *after > pause))).await;
    let after = after(&book);
    let in_pause: Vec<_> = after.iter().filter(|after| **after < pause).collect();
    println!("{} requests came after the refusal, the last {:?} after it", in_pause.len(), in_pause.last());
    assert!(in_pause.iter().all(|after| **after < ON_THE_WAY), "requests in the pause: {in_pause:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_asks_one_worker_for_a_pause_is_left_alone_by_all() {
    let _turn = turn::heavy().await;
    let place = tempfile::tempdir().expect("a folder");
    let latency = Duration::from_millis(50);
    let server = stand_in(Config { latency, page_size: 100, keep_times: true, ..Config::calm(3_000) });
    // A pipeline without a rate: nobody asks before it sends.
    let cluster = Cluster::start(place.path()).await;
    let _crew = hire(&[&cluster], 0..3, &AT_LEISURE).await;
    cluster.start_run("animals", &server.base_url()).await;
    let mut late = Vec::new();
    is_left_alone(&server, 500, async || late.extend(hire(&[&cluster], 3..4, &AT_LEISURE).await)).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_that_asks_one_worker_for_a_pause_is_left_alone_by_all_while_reading_goes_on() {
    let _turn = turn::heavy().await;
    let place = tempfile::tempdir().expect("a folder");
    let latency = Duration::from_millis(50);
    let source = stand_in(Config { latency, page_size: 100, keep_times: true, ..Config::calm(3_000) });
    let target = stand_in(Config { latency, keep_times: true, ..Config::calm(3_000) });
    let elsewhere = format!("url: {}/animals/v1/home\n", target.base_url());
    let text =
        variant(&[("max_batch: 100", "max_batch: 10"), ("url: ${param:base_url}/animals/v1/home\n", &elsewhere)]);
    let pipelines = folder(place.path(), "elsewhere", &text);
    let flags = ["--pipelines", pipelines.to_str().expect("a path")];
    // What one coordinator hears, the workers of another are told.
    let database = Postgres::start();
    let one = Cluster::sharing(place.path(), &database.url(), &flags, &[]).await;
    let other = Cluster::sharing(place.path(), &database.url(), &flags, &[]).await;
    let _crew = (hire(&[&one], 0..2, &AT_LEISURE).await, hire(&[&other], 2..4, &AT_LEISURE).await);
    one.start_run("elsewhere", &source.base_url()).await;
    let read = || came(&source.book());
    let mut before = 0;
    is_left_alone(&target, 5, async || before = read()).await;
    assert!(read() > before + 100, "nothing was read meanwhile");
}
