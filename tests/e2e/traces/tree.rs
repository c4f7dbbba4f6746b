//! The tree of spans of each batch, with the names that OpenTelemetry's conventions give.

use std::collections::{HashMap, HashSet};

use animals_api::{Amount, Config, Server};
use muster_tests::otlp::{By, Receiver, Span};
use muster_tests::pipelines::variant;
use muster_tests::turn;

use super::{Scene, batches};
use crate::{SHORT, stand_in};

const ANIMALS: u64 = 400;
const BEGIN: &str = "muster.v1.WorkerService/BeginDelivery";
const COMPLETE: &str = "muster.v1.WorkerService/CompleteBatch";

/// It fails every tenth request, is slow now and then, and refuses two animals.
fn moody() -> Server {
    let poison = Amount::Count(2);
    stand_in(Config { chaos: 0.1, stall_share: 0.5, stall: SHORT, poison, page_size: 100, ..Config::calm(ANIMALS) })
}

#[tokio::test(flavor = "multi_thread")]
async fn a_batch_is_one_trace_across_worker_and_coordinator() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), moody());
    let receiver = Receiver::start(folder.path()).await;
    let pipeline = variant(&[("max_batch: 100", "max_batch: 50")]);
    let mut scene = Scene::play(folder.path(), &server, &pipeline, &receiver.env(By::Grpc)).await;
    let shown = scene.asks("show").await;
    scene.end().await;

    let traces = receiver.traces();
    let batches = batches(&receiver);
    let places: HashSet<_> =
        batches.iter().map(|batch| (batch.number("muster.batch"), batch.number("muster.epoch"))).collect();
    assert_eq!(places.len(), batches.len(), "a lease has two traces");
    let numbers: HashSet<_> = batches.iter().map(|batch| batch.number("muster.batch")).collect();
    assert_eq!(numbers.len() as u64, ANIMALS / 50, "a batch has none");
    let run = the_run(&receiver, &scene.run_id);
    assert_eq!(shown["trace_id"], run.trace.as_str());
    for batch in &batches {
        assert_batch(batch, &traces[&batch.trace], &scene.run_id);
        let link = batch.links.iter().find(|link| link.attributes["muster.link"] == "run").expect("a link to the run");
        assert_eq!((&link.trace, &link.span), (&run.trace, &run.span));
    }
    let requests: Vec<&Span> = traces.values().flatten().filter(|span| span.name == "GET").collect();
    assert_requests(&requests);
    assert_posts(&traces.values().flatten().filter(|span| span.name == "POST").collect::<Vec<_>>());
}

fn the_run(receiver: &Receiver, run_id: &str) -> Span {
    let mut runs: Vec<Span> = receiver.spans().into_iter().filter(|span| span.name == "run").collect();
    assert_eq!(runs.len(), 1, "{runs:?}");
    let run = runs.remove(0);
    assert_eq!(run.text("muster.run.id"), Some(run_id));
    assert_eq!((run.service(), run.kind.as_str(), run.parent.as_str()), ("muster-coordinator", "internal", ""));
    assert_eq!(run.text("muster.verdict"), Some("complete, balanced"));
    run
}

/// One root, and everything under it; the worker's calls with the coordinator's side under each.
fn assert_batch(batch: &Span, trace: &[Span], run_id: &str) {
    assert_eq!((batch.service(), batch.kind.as_str(), batch.parent.as_str()), ("muster-worker", "internal", ""));
    assert_eq!(batch.by, "grpc");
    assert_eq!((batch.text("muster.run.id"), batch.text("muster.worker.name")), (Some(run_id), Some("w1")));
    assert_eq!(batch.number("muster.records"), Some(50));
    for name in ["service.version", "service.instance.id"] {
        assert!(batch.resource.contains_key(name), "{:?}", batch.resource);
    }
    let by_id: HashMap<&str, &Span> = trace.iter().map(|span| (span.span.as_str(), span)).collect();
    assert_eq!(by_id.len(), trace.len(), "an ID came twice");
    let own: Vec<&Span> = trace.iter().filter(|span| span.parent == batch.span).collect();
    let count = |name: &str| own.iter().filter(|span| span.name == name).count();
    assert!(count("GET") >= 50, "{} of 50 records", count("GET"));
    assert_eq!((count("lease"), count("validate and transform")), (1, 1));
    assert_eq!(count(BEGIN), count("POST"), "each POST is announced");
    assert!(count("POST") > 0 && count(COMPLETE) > 0);
    for call in own.iter().filter(|span| span.name.starts_with("muster.v1.")) {
        assert_eq!((call.kind.as_str(), call.service()), ("client", "muster-worker"));
        let served: Vec<&Span> = trace.iter().filter(|span| span.parent == call.span).collect();
        let [served] = served[..] else { panic!("{} is served by {served:?}", call.name) };
        assert_eq!((served.kind.as_str(), served.service()), ("server", "muster-coordinator"));
        assert_eq!((&served.name, &served.text("rpc.method")), (&call.name, &Some(call.name.as_str())));
        for side in [call, &served] {
            assert_eq!(side.text("rpc.system.name"), Some("grpc"));
            assert_eq!(side.text("rpc.response.status_code"), Some("OK"));
        }
        assert!(call.text("server.address") == Some("127.0.0.1") && call.number("server.port") > Some(0));
    }
    for span in trace.iter().filter(|span| span.span != batch.span) {
        assert!(by_id.contains_key(span.parent.as_str()), "{} has no parent here", span.name);
        assert!(span.start <= span.end);
    }
}

/// Each try is a span; of the tries for one record each says how many there were before it.
fn assert_requests(requests: &[&Span]) {
    let mut tries: HashMap<(&str, &str), Vec<i64>> = HashMap::new();
    for request in requests {
        assert_eq!((request.kind.as_str(), request.text("http.request.method")), ("client", Some("GET")));
        let url = request.text("url.full").expect("a URL");
        assert!(url.contains("/animals/v1/animals/"), "{url}");
        assert_eq!(request.text("server.address"), Some("127.0.0.1"));
        let status = request.number("http.response.status_code");
        assert_eq!(request.error, request.text("error.type").is_some());
        assert!(status.is_some() || request.error || request.attributes["muster.outrun"] == true, "{request:?}");
        if let Some(status) = status.filter(|status| *status >= 400) {
            assert_eq!(request.text("error.type"), Some(status.to_string().as_str()));
        }
        let resend = request.number("http.request.resend_count").unwrap_or(0);
        tries.entry((&request.trace, url)).or_default().push(resend);
    }
    for resends in tries.values_mut() {
        resends.sort_unstable();
        assert!(resends.iter().copied().eq(0..resends.len() as i64), "{resends:?}");
    }
    assert!(tries.values().any(|resends| resends.len() > 1), "nothing was tried again");
    let hedged = |span: &&&Span| span.attributes.get("muster.hedge").is_some_and(|hedge| hedge == true);
    assert!(requests.iter().any(|request| hedged(&request)), "nothing was hedged");
}

fn assert_posts(posts: &[&Span]) {
    for post in posts {
        assert_eq!((post.kind.as_str(), post.text("http.request.method")), ("client", Some("POST")));
        assert!(post.text("url.full").is_some_and(|url| url.ends_with("/animals/v1/home")), "{post:?}");
        assert!(post.number("muster.delivery") > Some(0) && post.number("http.request.body.size") > Some(2));
    }
    let outcomes: HashSet<_> = posts.iter().filter_map(|post| post.text("muster.outcome")).collect();
    assert!(outcomes.contains("applied") && outcomes.contains("rejected"), "{outcomes:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_whole_run_in_one_process_is_traced_as_well() {
    let _turn = turn::light().await;
    let (folder, server) = (tempfile::tempdir().expect("a folder"), stand_in(Config::calm(200)));
    let receiver = Receiver::start(folder.path()).await;
    let base_url = crate::base_url(&server);
    let arguments = ["run", "animals", "--set", &base_url, "--db", "my.db", "--json"];
    let start = muster_tests::process::Start::muster(folder.path(), arguments);
    let env = receiver.env(By::Http);
    let ended = env.iter().fold(start, |start, (name, value)| start.env(name, value)).run().await.with_code(0);
    assert_eq!(ended.json()["trace_id"], receiver.spans().iter().find(|span| span.name == "run").expect("a run").trace);
    let batches = batches(&receiver);
    assert_eq!(batches.len(), 2);
    for batch in &batches {
        assert_eq!((batch.service(), batch.by.as_str()), ("muster", "http"));
        let trace = &receiver.traces()[&batch.trace];
        let call = trace.iter().find(|span| span.name == COMPLETE && span.kind == "client").expect("a report");
        assert!(trace.iter().any(|span| span.kind == "server" && span.parent == call.span), "over the pipe");
        assert_eq!(call.text("server.address"), None, "there is no address in a process");
    }
}
