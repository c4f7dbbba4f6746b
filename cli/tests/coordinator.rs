//! The program against a scripted coordinator: what it asks, and what it makes of the answers.

#![expect(clippy::unwrap_used, reason = "a test may fail by it")]

use std::collections::HashMap;
use std::process::{Command, Output};
use std::sync::atomic::{AtomicUsize, Ordering};

use muster_proto::v1::run_service_server::{RunService, RunServiceServer};
use muster_proto::v1::{
    CancelRunRequest, CancelRunResponse, Counts, DeleteRunRequest, DeleteRunResponse, GetRunRequest, GetRunResponse,
    ListRunsRequest, ListRunsResponse, PauseRunRequest, PauseRunResponse, Progress, RedriveRunRequest,
    RedriveRunResponse, ResumeRunRequest, ResumeRunResponse, Run, RunShare, RunState, SetRunShareRequest,
    SetRunShareResponse, SettleDeliveryRequest, SettleDeliveryResponse, StartRunRequest, StartRunResponse, Verdict,
    WatchRunRequest, WatchRunResponse,
};
use tokio_stream::wrappers::TcpListenerStream;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt};

/// Knows one run, `animals-1`, which has a dead letter. The first stream of news breaks after one message.
#[derive(Default)]
struct Scripted {
    watched: AtomicUsize,
}

fn running() -> Run {
    let progress = Progress { pages_committed: 1, pages_total: 2, listed: 10, loaded: 3, ..Progress::default() };
    Run {
        run_id: "animals-1".into(),
        pipeline: "animals".into(),
        state: RunState::Running.into(),
        round: 1,
        progress: Some(progress),
        ..Run::default()
    }
}

fn over() -> Run {
    let counts = Counts { listed: 20, loaded: 19, dead_letter: 1, ..Counts::default() };
    let verdict = Verdict { complete: true, balanced: true, counts: Some(counts), ..Verdict::default() };
    Run { state: RunState::Finished.into(), finished_at: Some(Default::default()), verdict: Some(verdict), ..running() }
}

fn refusal(code: Code, message: &str, reason: &str) -> Status {
    Status::with_error_details(code, message, ErrorDetails::with_error_info(reason, "muster", HashMap::new()))
}

#[tonic::async_trait]
impl RunService for Scripted {
    type WatchRunStream = tokio_stream::Iter<std::vec::IntoIter<Result<WatchRunResponse, Status>>>;

    async fn start_run(&self, request: Request<StartRunRequest>) -> Result<Response<StartRunResponse>, Status> {
        let request = request.into_inner();
        match request.parameters.get("base_url").map(String::as_str) {
            Some("http://h:1") if request.audit_mode => Ok(Response::new(StartRunResponse { run: Some(running()) })),
            _ => Err(refusal(Code::InvalidArgument, "the parameter base_url is missing", "PARAMETER_INVALID")),
        }
    }

    async fn get_run(&self, request: Request<GetRunRequest>) -> Result<Response<GetRunResponse>, Status> {
        match request.into_inner().run_id.as_str() {
            "animals-1" => Ok(Response::new(GetRunResponse { run: Some(over()) })),
            other => Err(refusal(Code::NotFound, &format!("there is no run {other}"), "RUN_UNKNOWN")),
        }
    }

    async fn list_runs(&self, request: Request<ListRunsRequest>) -> Result<Response<ListRunsResponse>, Status> {
        // Three pages, the second of them empty: only an empty token is the end.
        let (runs, next) = match request.into_inner().page_token.as_str() {
            "" => (vec![over()], "2"),
            "2" => (vec![], "3"),
            _ => (vec![Run { run_id: "animals-0".into(), ..over() }], ""),
        };
        Ok(Response::new(ListRunsResponse { runs, next_page_token: next.into() }))
    }

    async fn watch_run(&self, _: Request<WatchRunRequest>) -> Result<Response<Self::WatchRunStream>, Status> {
        let news = |run| Ok(WatchRunResponse { run: Some(run) });
        let messages = match self.watched.fetch_add(1, Ordering::SeqCst) {
            0 => vec![news(running()), Err(Status::unavailable("restarting"))],
            _ => vec![news(running()), news(over())],
        };
        Ok(Response::new(tokio_stream::iter(messages)))
    }

    async fn cancel_run(&self, _: Request<CancelRunRequest>) -> Result<Response<CancelRunResponse>, Status> {
        let run = Run { state: RunState::Cancelling.into(), ..running() };
        Ok(Response::new(CancelRunResponse { run: Some(run) }))
    }

    async fn pause_run(&self, request: Request<PauseRunRequest>) -> Result<Response<PauseRunResponse>, Status> {
        let state_reason = request.into_inner().reason;
        let run = Run { state: RunState::Paused.into(), state_reason, ..running() };
        Ok(Response::new(PauseRunResponse { run: Some(run) }))
    }

    async fn resume_run(&self, _: Request<ResumeRunRequest>) -> Result<Response<ResumeRunResponse>, Status> {
        Err(refusal(Code::FailedPrecondition, "run animals-1 is over", "RUN_OVER"))
    }

    async fn set_run_share(
        &self,
        request: Request<SetRunShareRequest>,
    ) -> Result<Response<SetRunShareResponse>, Status> {
        let changed = request.into_inner().share.unwrap_or_default();
        let share = RunShare {
            priority: changed.priority.or(Some(0)),
            weight: changed.weight.or(Some(100)),
            max_workers: changed.max_workers.or(Some(2)),
        };
        Ok(Response::new(SetRunShareResponse { run: Some(Run { share: Some(share), ..running() }) }))
    }

    async fn redrive_run(&self, _: Request<RedriveRunRequest>) -> Result<Response<RedriveRunResponse>, Status> {
        Err(refusal(Code::FailedPrecondition, "run animals-1 is not over: wait, or cancel it", "RUN_NOT_OVER"))
    }

    async fn settle_delivery(
        &self,
        _: Request<SettleDeliveryRequest>,
    ) -> Result<Response<SettleDeliveryResponse>, Status> {
        Err(refusal(Code::NotFound, "run animals-1 has no delivery 9", "DELIVERY_UNKNOWN"))
    }

    async fn delete_run(&self, _: Request<DeleteRunRequest>) -> Result<Response<DeleteRunResponse>, Status> {
        Err(refusal(Code::FailedPrecondition, "run animals-1 is not over: cancel it first", "RUN_NOT_OVER"))
    }
}

/// A scripted coordinator's URL; it serves as long as the test's process lives.
fn coordinator() -> String {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            listener.set_nonblocking(true).unwrap();
            let incoming = TcpListenerStream::new(tokio::net::TcpListener::from_std(listener).unwrap());
            let service = RunServiceServer::new(Scripted::default());
            tonic::transport::Server::builder().add_service(service).serve_with_incoming(incoming).await.unwrap();
        });
    });
    url
}

fn muster(url: &str, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MUSTER_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    let Output { status, stdout, stderr } = command.args(arguments).env("MUSTER_COORDINATOR", url).output().unwrap();
    (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
}

#[test]
fn a_run_is_watched_across_a_restart_to_its_verdict() {
    let (code, stdout, stderr) = muster(&coordinator(), &["watch", "latest"]);
    assert_eq!(code, Some(3), "{stderr}");
    assert!(stderr.contains("animals-1 running after 0.0 s: listed 10 of about 20, fetched 0, loaded 3"), "{stderr}");
    assert!(stderr.contains("the coordinator is away (restarting)"), "{stderr}");
    assert!(stdout.contains("verdict: complete and balanced\n"), "{stdout}");
    assert!(stdout.contains("  dead letters               1\n"), "{stdout}");
}

#[test]
fn json_of_a_watched_start_is_a_line_for_each_change() {
    let line = ["start", "animals", "--set", "base_url=http://h:1", "--audit-mode", "--watch", "--json"];
    let (code, stdout, stderr) = muster(&coordinator(), &line);
    assert_eq!(code, Some(3), "{stderr}");
    let states: Vec<String> = stdout
        .lines()
        .map(|line| {
            let run: serde_json::Value = serde_json::from_str(line).unwrap();
            assert_eq!(run["run_id"], "animals-1");
            run["state"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(states, ["running", "running", "running", "finished"]);
}

#[test]
fn a_start_answers_at_once_with_the_runs_id() {
    let url = coordinator();
    let line = ["start", "animals", "--set", "base_url=http://h:1", "--audit-mode"];
    let (code, stdout, _) = muster(&url, &line);
    let follow = format!("run animals-1 started; follow it: muster watch animals-1 --coordinator {url}\n");
    assert_eq!((code, stdout), (Some(0), follow));
    let (code, stdout, _) = muster(&url, &[&line[..], &["--json"]].concat());
    let run: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, run["run_id"].as_str()), (Some(0), Some("animals-1")));
}

#[test]
fn refusals_are_told_in_words() {
    let url = coordinator();
    let (code, _, stderr) = muster(&url, &["start", "animals"]);
    assert_eq!(code, Some(2));
    let help = format!("muster pipelines --coordinator {url} shows each pipeline's parameters");
    assert_eq!(stderr, format!("error: the parameter base_url is missing\n help: {help}\n"));
    let (code, _, stderr) = muster(&url, &["show", "animals-9"]);
    assert_eq!(code, Some(1));
    let help = format!("did you mean animals-1?\n help: muster runs --coordinator {url} lists the runs");
    assert_eq!(stderr, format!("error: there is no run animals-9\n help: {help}\n"));
    let (code, _, stderr) = muster(&url, &["resume", "animals-1"]);
    assert_eq!((code, stderr.contains("error: run animals-1 is over\n")), (Some(1), true), "{stderr}");
    // A service that this coordinator does not have.
    let (code, _, stderr) = muster(&url, &["workers"]);
    assert_eq!((code, stderr.contains("does not know this call")), (Some(1), true), "{stderr}");
}

#[test]
fn lists_are_read_to_the_empty_token() {
    let url = coordinator();
    let (code, stdout, _) = muster(&url, &["runs", "--json"]);
    let runs: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, runs["runs"].as_array().unwrap().len()), (Some(0), 2));
    let (_, stdout, _) = muster(&url, &["runs", "--limit", "1"]);
    assert_eq!(stdout.lines().count(), 2, "{stdout}");
}

#[test]
fn a_run_can_be_changed() {
    let url = coordinator();
    let (code, stdout, _) = muster(&url, &["cancel", "latest"]);
    let expected = "run animals-1 is cancelling (deliveries on their way are awaited)\n";
    assert_eq!((code, stdout.as_str()), (Some(0), expected));
    let (code, stdout, _) = muster(&url, &["pause", "animals-1", "--reason", "lunch", "--json"]);
    let run: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((code, run["state_reason"].as_str()), (Some(0), Some("lunch")));
    let (code, stdout, _) = muster(&url, &["share", "animals-1", "--weight", "300"]);
    let expected = "run animals-1: priority 0, weight 300, at most 2 workers; that counts from the next lease on\n";
    assert_eq!((code, stdout.as_str()), (Some(0), expected));
    let (_, stdout, _) = muster(&url, &["share", "animals-1", "--priority", "-1", "--json"]);
    let run: serde_json::Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!(run["share"], serde_json::json!({ "priority": -1, "weight": 100, "max_workers": 2 }));
}

#[test]
fn who_wants_quiet_gets_the_result_alone() {
    let url = coordinator();
    let line = ["start", "animals", "--set", "base_url=http://h:1", "--audit-mode", "--quiet"];
    assert_eq!(muster(&url, &line), (Some(0), "animals-1\n".to_owned(), String::new()));
    // Nothing but that it did not go well.
    let (code, stdout, stderr) = muster(&url, &["-q", "watch", "animals-1"]);
    let told = "error: run animals-1 is finished, complete and balanced, 1 dead letter\n";
    assert_eq!((code, stdout.as_str(), stderr.as_str()), (Some(3), "", told));
    assert_eq!(muster(&url, &["pause", "animals-1", "-q"]), (Some(0), String::new(), String::new()));
    let (_, stdout, _) = muster(&url, &["show", "animals-1", "-q"]);
    assert_eq!(stdout, muster(&url, &["show", "animals-1"]).1);
}
