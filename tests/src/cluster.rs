//! A coordinator and its workers as processes, asked over gRPC.

use std::error::Error;
use std::path::{Path, PathBuf};

pub use muster_postgres::free_port;
use muster_proto::v1::audit_service_client::AuditServiceClient;
use muster_proto::v1::run_service_client::RunServiceClient;
use muster_proto::v1::worker_service_client::WorkerServiceClient;
use muster_proto::v1::{GetRunRequest, Run, StartRunRequest, Verdict, VerifyRunRequest, WatchRunRequest};
use tonic::transport::{Channel, Endpoint};
use tonic::{Code, Status};

use crate::deadline::{until_some, within};
use crate::process::{Process, Signal, Start};
use crate::programs;

/// A coordinator that can be killed and started again at the same place.
#[derive(Debug)]
pub struct Cluster {
    program: PathBuf,
    folder: PathBuf,
    /// The ledger's file; none: it is on PostgreSQL, and the environment says where.
    database: Option<PathBuf>,
    port: u16,
    flags: Vec<String>,
    env: Vec<(String, String)>,
    process: Process,
    channel: Channel,
}

impl Cluster {
    /// Starts a coordinator with its ledger in this folder.
    pub async fn start(folder: &Path) -> Cluster {
        Cluster::with(folder, &[], &[]).await
    }

    /// The same with more flags, and environment variables.
    pub async fn with(folder: &Path, flags: &[&str], env: &[(&str, &str)]) -> Cluster {
        Cluster::on(folder, &folder.join("muster.db"), flags, env).await
    }

    /// The same with its ledger elsewhere.
    pub async fn on(folder: &Path, database: &Path, flags: &[&str], env: &[(&str, &str)]) -> Cluster {
        Cluster::begin(folder, Some(database.to_owned()), flags, env).await
    }

    /// The same with its ledger on PostgreSQL, where other coordinators may be.
    pub async fn sharing(folder: &Path, url: &str, flags: &[&str], env: &[(&str, &str)]) -> Cluster {
        let env: Vec<_> = [("MUSTER_DATABASE_URL", url)].iter().chain(env).copied().collect();
        Cluster::begin(folder, None, flags, &env).await
    }

    /// The same by a program of another version, with its ledger on PostgreSQL or in this folder.
    pub async fn of_program(program: &Path, folder: &Path, url: Option<&str>) -> Cluster {
        let database = if url.is_none() { Some(folder.join("muster.db")) } else { None };
        let env: Vec<_> = url.map(|url| ("MUSTER_DATABASE_URL", url)).into_iter().collect();
        Cluster::begin_by(program.to_owned(), folder, database, &[], &env).await
    }

    /// The same in this environment, with its ledger in this folder.
    pub async fn by(program: &Path, folder: &Path, env: &[(&str, String)]) -> Cluster {
        let env: Vec<_> = env.iter().map(|(name, value)| (*name, value.as_str())).collect();
        Cluster::begin_by(program.to_owned(), folder, Some(folder.join("muster.db")), &[], &env).await
    }

    async fn begin(folder: &Path, database: Option<PathBuf>, flags: &[&str], env: &[(&str, &str)]) -> Cluster {
        Cluster::begin_by(programs::muster(), folder, database, flags, env).await
    }

    async fn begin_by(
        program: PathBuf,
        folder: &Path,
        database: Option<PathBuf>,
        flags: &[&str],
        env: &[(&str, &str)],
    ) -> Cluster {
        let port = free_port();
        let flags: Vec<String> = flags.iter().map(|flag| (*flag).to_owned()).collect();
        let env: Vec<_> = env.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        let process = launch(&program, folder, database.as_deref(), port, &flags, &env);
        let endpoint = Endpoint::from_shared(format!("http://127.0.0.1:{port}")).expect("a URL");
        let (folder, channel) = (folder.to_owned(), endpoint.connect_lazy());
        let mut cluster = Cluster { program, folder, database, port, flags, env, process, channel };
        cluster.serves().await;
        cluster
    }

    /// Where it listens: host and port.
    pub fn address(&self) -> String {
        format!("127.0.0.1:{}", self.port)
    }

    /// Its URL.
    pub fn url(&self) -> String {
        format!("http://{}", self.address())
    }

    /// The ledger's file.
    ///
    /// # Panics
    /// When it is on PostgreSQL.
    pub fn database(&self) -> PathBuf {
        self.database.clone().expect("a ledger in a file")
    }

    /// Its process.
    pub fn process(&mut self) -> &mut Process {
        &mut self.process
    }

    /// kill -9.
    pub async fn kill(&mut self) {
        self.process.kill().await;
    }

    /// Starts it again where it was.
    pub fn restart(&mut self) {
        let database = self.database.as_deref();
        self.process = launch(&self.program, &self.folder, database, self.port, &self.flags, &self.env);
    }

    /// The same without an environment variable.
    pub fn restart_without(&mut self, name: &str) {
        self.env.retain(|(known, _)| known != name);
        self.restart();
    }

    /// Stops it as a rolling update does, and starts a program of another version where it was.
    pub async fn becomes(&mut self, program: &Path) {
        self.process.signal(Signal::Terminate);
        assert_eq!(self.process.ended().await.code, Some(0));
        program.clone_into(&mut self.program);
        self.restart();
        self.serves().await;
    }

    /// Waits until it answers.
    pub async fn serves(&mut self) {
        let address = self.address();
        let process = &mut self.process;
        until_some("the coordinator serves", async || {
            assert_eq!(process.has_ended(), None, "the coordinator has ended:\n{}", process.stderr());
            tokio::net::TcpStream::connect(&address).await.ok()
        })
        .await;
    }

    /// Starts a worker for it.
    pub fn worker(&self, name: &str, flags: &[&str]) -> Process {
        self.worker_with(name, flags, &[])
    }

    /// The same with environment variables.
    pub fn worker_with(&self, name: &str, flags: &[&str], env: &[(&str, &str)]) -> Process {
        self.worker_of(&self.url(), name, flags, env)
    }

    /// The same for all coordinators at these URLs.
    pub fn worker_of(&self, urls: &str, name: &str, flags: &[&str], env: &[(&str, &str)]) -> Process {
        let own = ["worker", "--coordinator", urls, "--name", name];
        let start = Start::muster(&self.folder, own.iter().chain(flags)).env("RUST_LOG", "info");
        env.iter().fold(start, |start, (name, value)| start.env(name, value)).start()
    }

    /// A `muster` command that asks this coordinator.
    pub fn command(&self, arguments: &[&str]) -> Start {
        Start::muster(&self.folder, arguments).env("MUSTER_COORDINATOR", self.url())
    }

    /// The way to it.
    pub fn channel(&self) -> Channel {
        self.channel.clone()
    }

    /// Asks about runs.
    pub fn runs(&self) -> RunServiceClient<Channel> {
        RunServiceClient::new(self.channel.clone())
    }

    /// Asks the ledger.
    pub fn audit(&self) -> AuditServiceClient<Channel> {
        AuditServiceClient::new(self.channel.clone())
    }

    /// Speaks as a worker.
    pub fn as_worker(&self) -> WorkerServiceClient<Channel> {
        WorkerServiceClient::new(self.channel.clone())
    }

    /// Starts a run of a pipeline against a stand-in.
    pub async fn start_run(&self, pipeline: &str, base_url: &str) -> String {
        let request = StartRunRequest {
            pipeline: pipeline.to_owned(),
            parameters: [("base_url".to_owned(), base_url.to_owned())].into(),
            ..StartRunRequest::default()
        };
        let answer = self.runs().start_run(request).await.expect("the run starts").into_inner();
        answer.run.expect("a run").run_id
    }

    /// The run as it is, however often the coordinator dies meanwhile.
    pub async fn run(&self, run_id: &str) -> Run {
        until_some("GetRun answers", async || {
            let answer = self.runs().get_run(GetRunRequest { run_id: run_id.to_owned() }).await;
            unless_away(answer).map(|answer| answer.into_inner().run.expect("a run"))
        })
        .await
    }

    /// Follows a run until it satisfies `done`, however often the coordinator dies meanwhile.
    pub async fn watch_until(&self, run_id: &str, mut done: impl FnMut(&Run) -> bool) -> Run {
        let watched = until_some("the run gets there", async || {
            let request = WatchRunRequest { run_id: run_id.to_owned() };
            let mut changes = unless_away(self.runs().watch_run(request).await)?.into_inner();
            while let Some(change) = unless_away(changes.message().await)? {
                let run = change.run.expect("a run");
                if done(&run) {
                    return Some(run);
                }
            }
            None
        });
        within("the run gets there", watched).await
    }

    /// Follows a run to its end.
    pub async fn watch(&self, run_id: &str) -> Run {
        self.watch_until(run_id, |run| run.finished_at.is_some()).await
    }

    /// Audits a run now.
    pub async fn verify(&self, run_id: &str) -> Verdict {
        let request = VerifyRunRequest { run_id: run_id.to_owned(), round: 0 };
        self.audit().verify_run(request).await.expect("a verdict").into_inner().verdict.expect("a verdict")
    }
}

fn launch(
    program: &Path,
    folder: &Path,
    database: Option<&Path>,
    port: u16,
    flags: &[String],
    env: &[(String, String)],
) -> Process {
    let listen = format!("127.0.0.1:{port}");
    let file = database.map(|database| format!("sqlite://{}", database.display()));
    let own = ["coordinator", "--listen", &listen].into_iter().chain(file.iter().flat_map(|file| ["--database", file]));
    let start = Start::program(program, folder, own.chain(flags.iter().map(String::as_str)));
    env.iter().fold(start, |start, (name, value)| start.env(name, value)).start()
}

/// Nothing when the coordinator is away; the answer when it is not.
fn unless_away<T>(answer: Result<T, Status>) -> Option<T> {
    match answer {
        Ok(answer) => Some(answer),
        Err(status) if status.code() == Code::Unavailable || broke_off(&status) => None,
        Err(status) => panic!("the coordinator refuses: {status}"),
    }
}

/// Whether it was not the coordinator who said so, but the way to it. How tonic names a connection that broke depends
/// on where it broke; what broke is the status's source then, which none has that came over the wire. A stream that was
/// closed without a word has no source, but words of tonic's own.
fn broke_off(status: &Status) -> bool {
    let may_be = matches!(status.code(), Code::Unknown | Code::Cancelled | Code::Internal);
    let words = ["missing grpc-status trailer", "Unexpected EOF decoding stream", "Missing response message"];
    may_be && (status.source().is_some() || words.iter().any(|words| status.message().contains(words)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn a_coordinator_that_cannot_be_reached_is_away() {
        let nowhere = Endpoint::from_shared(format!("http://127.0.0.1:{}", free_port())).expect("a URL");
        let asked = RunServiceClient::new(nowhere.connect_lazy()).get_run(GetRunRequest::default()).await;
        assert!(asked.is_err() && unless_away(asked).is_none());
        let broken: Box<dyn Error + Send + Sync> = "connection reset".into();
        for status in [Status::from_error(broken), Status::unavailable("it is starting")] {
            assert_eq!(unless_away::<()>(Err(status)), None);
        }
    }

    #[test]
    fn a_coordinator_that_is_at_fault_is_not_away() {
        for code in [Code::Internal, Code::Unknown, Code::Cancelled] {
            assert!(!broke_off(&Status::new(code, "the ledger is damaged")), "{code:?}");
        }
    }

    #[test]
    #[should_panic(expected = "the coordinator refuses")]
    fn what_a_coordinator_says_of_itself_ends_the_test() {
        unless_away::<()>(Err(Status::internal("the ledger is damaged")));
    }
}
