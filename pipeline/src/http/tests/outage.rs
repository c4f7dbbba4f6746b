//! Hosts that serve nothing for a while, and those that only look so.

use std::fmt;

use futures::StreamExt;

use super::*;

/// A host that answers after 40 ms as the test says, by path and by the time since its start: a status, 0 for a reset, 1
/// for no answer ever.
struct Zoo {
    requester: Requester,
    start: Instant,
    /// When each request was sent and what it was for.
    sent: Arc<Mutex<Vec<(Duration, String)>>>,
}

fn zoo(limits: Limits, wait_for_first: bool, answer: impl Fn(&str, Duration) -> u16 + Send + Sync + 'static) -> Zoo {
    let (start, sent) = (Instant::now(), Arc::<Mutex<Vec<_>>>::default());
    let (book, answer) = (Arc::clone(&sent), Arc::new(answer));
    let transport = BoxCloneSyncService::new(tower::service_fn(move |exchange: Exchange| {
        let path = exchange.url.path().to_owned();
        let status = answer(&path, start.elapsed());
        lock(&book).push((start.elapsed(), path));
        async move {
            sleep(if status == 1 { FOREVER } else { Duration::from_millis(40) }).await;
            if status == 0 {
                return Err(TransportError::Broken("reset".to_owned()));
            }
            let status = StatusCode::from_u16(status).unwrap();
            Ok(Answer { status, headers: HeaderMap::new(), body: Bytes::from_static(b"{}"), end: BodyEnd::Whole })
        }
    }));
    let config = RequesterConfig { seed: 7, wait_for_first, ..RequesterConfig::default() };
    Zoo { requester: Requester::with(transport, limits, Credentials::nobody(), &config), start, sent }
}

impl Zoo {
    async fn get(&self, path: &str) -> Result<Bytes, FetchError> {
        self.requester.get(&Url::parse(&format!("http://host.test/{path}")).unwrap(), Get::Detail).await.0
    }

    /// Gets `count` records with 64 slots and gives how many failed, and when each was there.
    async fn get_all(&self, count: usize) -> (usize, Vec<Duration>) {
        let (failed, done) = (AtomicU32::new(0), Mutex::new(Vec::new()));
        futures::stream::iter(0..count)
            .for_each_concurrent(64, |number| {
                let (failed, done) = (&failed, &done);
                async move {
                    match self.get(&number.to_string()).await {
                        Ok(_) => lock(done).push(self.start.elapsed()),
                        Err(_) => drop(failed.fetch_add(1, Ordering::Relaxed)),
                    }
                }
            })
            .await;
        (failed.into_inner() as usize, done.into_inner().unwrap())
    }

    fn hosts_down(&self) -> usize {
        *self.requester.hosts_down().borrow()
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_no_record_costs_few_requests_and_is_soon_made_up_for() {
    let (from, to) = (Duration::from_secs(2), Duration::from_secs(32));
    for status in [0, 1, 503] {
        let zoo = zoo(Limits::default(), false, move |_, time| if (from..to).contains(&time) { status } else { 200 });
        // 1,600 a second: 3,200 until the outage, and 9 s of them after it.
        let (failed, done) = zoo.get_all(18_000).await;
        assert_eq!((failed, zoo.hosts_down()), (0, 0), "{status}");
        let sent = lock(&zoo.sent).clone();
        let within = |from: Duration, to: Duration| sent.iter().filter(|(at, _)| (from..to).contains(at)).count();
        // In flight when it began (with two hedges each, where nothing answers), the saved-up budget of retries, and then
        // questions.
        assert!(within(from, to) <= 64 * 3 + 120 + 60, "{status}: {}", within(from, to));
        let questions = within(from + Duration::from_secs(10), to);
        assert!((4..=45).contains(&questions), "{status}: {questions} in 20 s");
        assert!(sent.len() <= 18_000 + 600, "{status}: {}", sent.len());
        let rate = |from: Duration| done.iter().filter(|at| (from..from + Duration::from_secs(1)).contains(at)).count();
        let (before, after) = (rate(Duration::from_secs(1)), rate(to + Duration::from_secs(8)));
        assert!(after * 100 >= before * 95, "{status}: {before} a second before, {after} 8 s after its end");
    }
}

#[tokio::test(start_paused = true)]
async fn a_record_with_few_and_quick_tries_outlives_an_outage_too() {
    let limits = Limits { get_attempts: 1, backoff: Duration::from_millis(1), ..Limits::default() };
    let down = Duration::from_millis(100)..Duration::from_secs(20);
    let zoo = zoo(limits, false, move |_, time| if down.contains(&time) { 503 } else { 200 });
    assert_eq!(zoo.get_all(2_000).await.0, 0);
}

#[tokio::test(start_paused = true)]
async fn chance_opens_no_circuit() {
    let said = Said::default();
    let _saying = hear(&said);
    for (slots, share) in [(1, 2), (1, 30), (8, 30)] {
        let random = Mutex::new(fastrand::Rng::with_seed(11));
        let limits = Limits { retry_budget: 1.0, ..Limits::default() };
        let zoo = zoo(limits, false, move |_, _| if lock(&random).u32(..100) < share { 502 } else { 200 });
        futures::stream::iter(0..5_000)
            .for_each_concurrent(slots, |number: u32| {
                let zoo = &zoo;
                async move { drop(zoo.get(&number.to_string()).await.unwrap()) }
            })
            .await;
    }
    assert_eq!(*lock(&said.0), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn records_that_always_fail_are_given_up_and_are_no_outage_even_when_nothing_else_is_asked_for() {
    let said = Said::default();
    let _saying = hear(&said);
    for ill in [1, 40] {
        let zoo = zoo(Limits::default(), true, |path, _| if path.starts_with("/ill") { 500 } else { 200 });
        zoo.get("well").await.unwrap();
        let paths: Vec<String> = (0..ill).map(|number| format!("ill{number}")).collect();
        for result in futures::future::join_all(paths.iter().map(|path| zoo.get(path))).await {
            assert!(matches!(result, Err(FetchError::GivenUp { attempts: 12, status: Some(500), .. })), "{result:?}");
        }
        let witness = lock(&zoo.sent).iter().filter(|(_, path)| path == "/well").count();
        assert!(witness > 1, "what was served before was asked for");
    }
    assert_eq!(*lock(&said.0), Vec::<String>::new());
}

#[tokio::test(start_paused = true)]
async fn a_host_that_never_served_anything_is_waited_for_by_those_who_are_told_to() {
    for wait_for_first in [false, true] {
        let up = Duration::from_secs(60);
        let zoo = zoo(Limits::default(), wait_for_first, move |_, time| if time < up { 0 } else { 200 });
        let result = zoo.get("1").await;
        match wait_for_first {
            true => assert!(result.is_ok() && zoo.start.elapsed() < up + Duration::from_secs(2), "{result:?}"),
            false => assert!(matches!(result, Err(FetchError::GivenUp { attempts: 12, .. })), "{result:?}"),
        }
    }
}

#[tokio::test(start_paused = true)]
async fn an_outage_ends_also_when_what_was_served_before_never_is_again() {
    let down = Duration::from_secs(1)..Duration::from_secs(10);
    let zoo = zoo(Limits::default(), false, move |path, time| match path {
        "/first" if time > Duration::from_millis(500) => 500,
        _ if down.contains(&time) => 503,
        _ => 200,
    });
    zoo.get("first").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    zoo.get("second").await.unwrap();
    assert!(zoo.start.elapsed() < Duration::from_secs(14), "{:?}", zoo.start.elapsed());
    assert_eq!(zoo.hosts_down(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_question_that_is_dropped_is_asked_by_the_next() {
    let down = Duration::from_secs(1)..Duration::from_secs(10);
    let zoo = zoo(Limits::default(), false, move |_, time| if down.contains(&time) { 1 } else { 200 });
    zoo.get("1").await.unwrap();
    sleep(Duration::from_secs(1)).await;
    for number in 0..20 {
        let path = number.to_string();
        drop(tokio::time::timeout(Duration::from_millis(700), zoo.get(&path)).await);
    }
    zoo.get("last").await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn posts_that_repeat_others_wait_for_the_budget_of_retries() {
    let zoo = zoo(Limits { retry_budget: 0.0, ..Limits::default() }, false, |_, _| 200);
    let url = Url::parse("http://host.test/").unwrap();
    for _ in 0..100 {
        zoo.requester.turn(&url, false).await;
    }
    for _ in 0..10 {
        zoo.requester.turn(&url, true).await;
    }
    assert_eq!(zoo.start.elapsed(), Duration::ZERO, "first sendings wait for nothing, and the burst is free");
    for _ in 0..5 {
        zoo.requester.turn(&url, true).await;
    }
    assert!(zoo.start.elapsed() >= Duration::from_secs(5), "{:?}", zoo.start.elapsed());
}

/// What is said at the level that people see: level and fields of each event.
#[derive(Clone, Default)]
struct Said(Arc<Mutex<Vec<String>>>);

/// Hears what this thread says from now on.
///
/// While one subscriber alone exists, tracing asks whichever thread comes first to a line whether anybody wants it, and
/// keeps the answer for all: a test without a subscriber would silence it. So there are always two.
fn hear(said: &Said) -> tracing::subscriber::DefaultGuard {
    static ANOTHER: std::sync::OnceLock<tracing::Dispatch> = std::sync::OnceLock::new();
    ANOTHER.get_or_init(|| tracing::Dispatch::new(Said::default()));
    tracing::subscriber::set_default(said.clone())
}

impl tracing::Subscriber for Said {
    fn enabled(&self, metadata: &tracing::Metadata<'_>) -> bool {
        *metadata.level() <= tracing::Level::INFO
    }

    fn event(&self, event: &tracing::Event<'_>) {
        let mut line = event.metadata().level().to_string();
        let mut add = |field: &tracing::field::Field, value: &dyn fmt::Debug| line += &format!(" {field}={value:?}");
        event.record(&mut add);
        lock(&self.0).push(line);
    }

    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }

    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test(start_paused = true)]
async fn a_host_that_is_down_is_said_once_and_so_is_that_it_is_back() {
    let said = Said::default();
    let _saying = hear(&said);
    let limits = Limits { get_attempts: 200, ..Limits::default() };
    let scripted = scripted(limits, |number| (Duration::ZERO, if number < 100 { 0 } else { 200 }, &[]));
    let url = Url::parse("http://reader:secret@host.test:8080/animals?key=secret").unwrap();
    let all = futures::future::join_all((0..20).map(|_| scripted.requester.get(&url, Get::Detail))).await;
    assert!(all.iter().all(|(result, _)| result.is_ok()));
    let said = lock(&said.0).clone();
    let [down, up] = &said[..] else { panic!("{said:#?}") };
    for (line, parts) in [
        (down, ["WARN", "http://host.test:8080", "reset", "asks whether it is back"]),
        (up, ["INFO", "http://host.test:8080", "serves requests again", "muster.seconds"]),
    ] {
        assert!(parts.iter().all(|part| line.contains(part)) && !line.contains("secret"), "{line}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_down_is_said_too() {
    let said = Said::default();
    let _saying = hear(&said);
    let yaml = crate::built_in("animals").unwrap();
    let compiled = crate::Pipeline::from_yaml(yaml, "animals").unwrap().compile(&BTreeMap::new()).unwrap();
    let scripted = scripted(Limits::default(), |number| (Duration::ZERO, if number < 20 { 503 } else { 200 }, &[]));
    for _ in 0..30 {
        let deadline = Instant::now() + FOREVER;
        let turn = scripted.requester.turn(compiled.target().http().unwrap().url(), false).await;
        scripted.requester.post(compiled.target().http().unwrap(), &nothing(), deadline, Turn::default()).await;
        turn.sent();
        sleep(Duration::from_secs(1)).await;
    }
    let said = lock(&said.0).clone();
    assert!(matches!(&said[..], [down, up] if down.contains("503") && up.starts_with("INFO")), "{said:#?}");
}

#[tokio::test(start_paused = true)]
async fn a_target_that_is_only_looked_for_is_said_to_be_down_as_well() {
    let said = Said::default();
    let _saying = hear(&said);
    // The port is taken, but nobody listens: connections are refused.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = Url::parse(&format!("http://{}/", socket.local_addr().unwrap())).unwrap();
    let scripted = scripted(Limits::default(), |_| (Duration::ZERO, 200, &[]));
    for _ in 0..5 {
        assert!(!scripted.requester.reachable(&url).await);
        sleep(Duration::from_secs(1)).await;
    }
    let lines = lock(&said.0).clone();
    assert!(matches!(&lines[..], [down] if down.starts_with("WARN")), "{lines:#?}");
    let _listening = socket.listen(1).unwrap();
    assert!(scripted.requester.reachable(&url).await);
    assert_eq!(lock(&said.0).len(), 1, "only an answer says that it serves requests again");
}

#[tokio::test(start_paused = true)]
async fn records_of_a_host_that_is_down_from_the_start_outlive_that_however_few_their_tries() {
    for get_attempts in [1, 2, 12] {
        let limits = Limits { get_attempts, ..Limits::default() };
        let zoo = zoo(limits, true, move |_, time| if time < Duration::from_secs(20) { 0 } else { 200 });
        assert_eq!(zoo.get_all(200).await.0, 0, "{get_attempts}");
    }
}

#[tokio::test(start_paused = true)]
async fn records_that_are_ill_by_themselves_end_also_when_nothing_was_served_before() {
    let zoo = zoo(Limits::default(), true, |_, _| 500);
    let (failed, done) = zoo.get_all(5).await;
    assert_eq!((failed, done.len()), (5, 0));
}
