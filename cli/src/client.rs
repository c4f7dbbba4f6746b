//! Where a command's answers come from: a coordinator over the network, or a database opened in this process. The same
//! client code speaks to both.

use std::path::{Path, PathBuf};

use muster_coordinator::Coordinator;
use muster_proto::v1::audit_service_client::AuditServiceClient;
use muster_proto::v1::fleet_service_client::FleetServiceClient;
use muster_proto::v1::pipeline_service_client::PipelineServiceClient;
use muster_proto::v1::run_service_client::RunServiceClient;
use muster_proto::v1::{GetRunRequest, ListRunsRequest, Run};
use muster_worker::{CallChannel, CredentialArgs, Way, WorkerError};
use tonic::{Code, Status};
use tonic_types::StatusExt;

use crate::exit::Exit;
use crate::failure::{Failure, nearest_run};

/// Where a coordinator is when nobody says otherwise.
pub const DEFAULT_COORDINATOR: &str = "http://127.0.0.1:7470";

/// Whom a command asks.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A coordinator.
    Coordinator(CoordinatorAt),
    /// A database file, read in this process.
    Database(PathBuf),
}

/// Where a coordinator is, and who asks it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CoordinatorAt {
    /// Its URL.
    pub url: String,
    /// What it may ask for.
    pub credentials: CredentialArgs,
}

/// A connection to the target.
pub struct Client {
    way: Way,
    target: Target,
    /// Serves the channel while a database is read in this process.
    _reader: Option<Coordinator>,
}

impl Client {
    /// Connects, or opens the database for reading.
    pub async fn connect(target: Target) -> Result<Client, Failure> {
        match &target {
            Target::Coordinator(CoordinatorAt { url, credentials }) => {
                // Verdicts of large runs take their time, so calls have no deadline; a dead peer is noticed by its silence.
                let connected = Way::connected(url, credentials).await;
                let way = connected.map_err(|error| no_connection(url, error))?;
                Ok(Client { way, target, _reader: None })
            }
            Target::Database(file) => {
                let reader = open_read_only(file).await?;
                Ok(Client { way: reader.in_process_channel().into(), target, _reader: Some(reader) })
            }
        }
    }

    /// The same for a command that can look into a file instead.
    pub async fn connect_to_read(target: Target) -> Result<Client, Failure> {
        let place = target.place();
        Client::connect(target).await.map_err(|failure| match failure.exit() {
            // Where `muster run` keeps its ledger when nobody says otherwise.
            Exit::Other if nobody_answered(&failure, &place) && Path::new("muster.db").is_file() => {
                failure.help("or look into what `muster run` has left here: --db muster.db")
            }
            Exit::Other if nobody_answered(&failure, &place) => {
                failure.help("or look into the database of a `muster run`: --db FILE")
            }
            _ => failure,
        })
    }

    /// A client of a coordinator that lives in this process already.
    pub fn in_process(coordinator: &Coordinator, database: &Path) -> Client {
        let target = Target::Database(database.to_owned());
        Client { way: coordinator.in_process_channel().into(), target, _reader: None }
    }

    /// The run that was meant, as it is.
    pub async fn run(&self, typed: &str) -> Result<Run, Failure> {
        let request = GetRunRequest { run_id: self.run_id(typed).await? };
        let answer = self.runs().get_run(request).await.map_err(|status| self.failure(status))?;
        Ok(answer.into_inner().run.unwrap_or_default())
    }

    /// What calls go through.
    pub fn channel(&self) -> CallChannel {
        self.way.channel()
    }

    /// Runs.
    pub fn runs(&self) -> RunServiceClient<CallChannel> {
        RunServiceClient::new(self.channel())
    }

    /// Verdicts and stories.
    pub fn audit(&self) -> AuditServiceClient<CallChannel> {
        // A story holds every lease and delivery of a record: no bound is right but that of the ledger.
        AuditServiceClient::new(self.channel()).max_decoding_message_size(usize::MAX)
    }

    /// Pipelines.
    pub fn pipelines(&self) -> PipelineServiceClient<CallChannel> {
        PipelineServiceClient::new(self.channel())
    }

    /// Workers.
    pub fn fleet(&self) -> FleetServiceClient<CallChannel> {
        FleetServiceClient::new(self.channel())
    }

    /// What a refusal means for the person who typed the command.
    #[expect(clippy::needless_pass_by_value, reason = "made for map_err")]
    pub fn failure(&self, status: Status) -> Failure {
        match (&self.target, self.way.trouble()) {
            // Without a reason of the coordinator's own it is the connection that failed.
            (Target::Coordinator(at), Some(trouble)) if reason(&status).is_none() => no_use(&at.url, &trouble),
            _ => explain(&status, &self.target),
        }
    }

    /// The flag that leads another command to the same place, with a blank before it.
    pub fn flag(&self) -> String {
        self.target.flag()
    }

    /// Whether who goes on with the run in this process has to say where its audit files are.
    ///
    /// # Errors
    /// When the run cannot be read.
    pub async fn audits_here(&self, run_id: &str) -> Result<bool, Failure> {
        Ok(matches!(self.target, Target::Database(_)) && self.run(run_id).await?.audit_mode)
    }

    /// The ID of the run that was meant: the ID itself, or that of the newest run for `latest`.
    ///
    /// # Errors
    /// When there is no such run; those that may have been meant are named.
    pub async fn run_id(&self, typed: &str) -> Result<String, Failure> {
        if typed != "latest" {
            let request = GetRunRequest { run_id: typed.to_owned() };
            return match self.runs().get_run(request).await {
                Err(status) if reason(&status).as_deref() == Some("RUN_UNKNOWN") => {
                    Err(self.did_you_mean(typed, self.failure(status)).await)
                }
                Err(status) => Err(self.failure(status)),
                Ok(_) => Ok(typed.to_owned()),
            };
        }
        let request = ListRunsRequest { page_size: 1, page_token: String::new() };
        let answer = self.runs().list_runs(request).await.map_err(|status| self.failure(status))?.into_inner();
        match answer.runs.into_iter().next() {
            Some(run) => Ok(run.run_id),
            None => Err(Failure::new(format!("there is no run {} yet", self.target.place()))
                .help("start one: muster run animals --set base_url=URL")),
        }
    }
}

impl Client {
    /// Adds the run that was most likely meant, if the newest ones can be asked for it.
    async fn did_you_mean(&self, typed: &str, failure: Failure) -> Failure {
        let request = ListRunsRequest { page_size: 500, page_token: String::new() };
        let Ok(answer) = self.runs().list_runs(request).await else { return failure };
        let runs = answer.into_inner().runs;
        match nearest_run(typed, runs.iter().map(|run| run.run_id.as_str())) {
            Some(run_id) => failure.help_first(format!("did you mean {run_id}?")),
            None => failure,
        }
    }
}

impl Target {
    /// `in FILE`, `at URL`.
    pub fn place(&self) -> String {
        match self {
            Target::Coordinator(at) => format!("at {}", at.url),
            Target::Database(file) => format!("in {}", file.display()),
        }
    }

    /// The flag that leads here again.
    fn flag(&self) -> String {
        match self {
            Target::Coordinator(at) if at.url == DEFAULT_COORDINATOR => at.credentials.flags(),
            Target::Coordinator(at) => format!(" --coordinator {}{}", at.url, at.credentials.flags()),
            Target::Database(file) => format!(" --db {}", file.display()),
        }
    }
}

async fn open_read_only(file: &Path) -> Result<Coordinator, Failure> {
    let url = database_url(file)?;
    if !file.is_file() {
        return Err(Failure::new(format!("there is no database {}", file.display()))
            .help("give the file that `muster run` printed, or ask a coordinator: --coordinator URL"));
    }
    Coordinator::open_read_only(&url).await.map_err(|error| Failure::new(error.to_string()))
}

/// The name of a SQLite file as the coordinator takes it. Commands open files only: a database that others share has
/// coordinators that can be asked.
pub fn database_url(file: &Path) -> Result<String, Failure> {
    let name = file.to_string_lossy();
    if name.starts_with("postgres://") || name.starts_with("postgresql://") {
        return Err(Failure::usage("--db names a SQLite file, and what was given is the URL of a PostgreSQL database")
            .help("start a coordinator on it, `muster coordinator --database URL`, and ask that: --coordinator URL"));
    }
    Ok(format!("sqlite://{name}"))
}

/// What kept a connection from being made.
fn no_connection(url: &str, error: WorkerError) -> Failure {
    match error {
        WorkerError::BadUrl { url, why } => Failure::usage(format!("{url:?} is no coordinator's URL: {why}"))
            .help(format!("such as {DEFAULT_COORDINATOR}")),
        WorkerError::NoConnection { why: Some(why) } => no_use(url, &why),
        WorkerError::NoConnection { why: None } => no_answer(url),
        other => Failure::usage(other.to_string()),
    }
}

/// Somebody is there, and no connection with him is of use. `why` says what to do.
fn no_use(url: &str, why: &str) -> Failure {
    match why.split_once(": ") {
        Some((what, help)) => Failure::new(format!("what answers at {url} cannot be asked: {what}")).help(help),
        None => Failure::new(format!("what answers at {url} cannot be asked: {why}")),
    }
}

/// Where somebody did, a file is not what was meant.
fn nobody_answered(failure: &Failure, place: &str) -> bool {
    failure.what() == format!("no coordinator answers {place}")
}

fn no_answer(url: &str) -> Failure {
    Failure::new(format!("no coordinator answers at {url}"))
        .help("start one: muster coordinator")
        .help("or say where it is: --coordinator URL (or MUSTER_COORDINATOR)")
}

/// The reason that the coordinator gave, if it gave one.
pub fn reason(status: &Status) -> Option<String> {
    status.get_error_details().error_info().map(|info| info.reason.clone())
}

fn explain(status: &Status, target: &Target) -> Failure {
    let reason = reason(status).unwrap_or_default();
    let told = status.message().trim();
    let what = if told.is_empty() { status.code().description().to_owned() } else { told.to_owned() };
    let flag = target.flag();
    match (reason.as_str(), status.code(), target) {
        ("RUN_UNKNOWN", ..) => Failure::new(what).help(format!("muster runs{flag} lists the runs")),
        ("RECORD_UNKNOWN", ..) => Failure::new(what)
            .help("a number and a text are different IDs: 7 is the number, '\"7\"' with its quotes the text"),
        ("RECORD_ID_INVALID", ..) => Failure::usage(what)
            .help("an ID is JSON text: 7 is the number, '\"7\"' with its quotes (quoted for the shell) the text"),
        ("PIPELINE_UNKNOWN", ..) => Failure::usage(what).help(format!("muster pipelines{flag} lists the pipelines")),
        ("PARAMETER_INVALID", ..) => {
            Failure::usage(what).help(format!("muster pipelines{flag} shows each pipeline's parameters"))
        }
        ("REQUEST_ID_REUSED", ..) => Failure::usage(what)
            .help("a request ID belongs to one command with its arguments: take another for this one"),
        ("AUDIT_UNAVAILABLE", ..) => Failure::usage(what),
        ("AUDIT_UNWRITABLE", ..) => Failure::new(what),
        ("ROUND_UNKNOWN", ..) => Failure::new(what).help(format!("muster show RUN{flag} shows its rounds")),
        ("RUN_NOT_OVER", ..) => {
            let goes_on = match target {
                Target::Database(_) => format!("muster run PIPELINE --resume{flag} brings it to its end"),
                Target::Coordinator(_) => format!("muster watch RUN{flag} follows it to its end"),
            };
            Failure::new(what).help(goes_on).help(format!("muster cancel RUN{flag} ends it early"))
        }
        ("NOTHING_TO_REDRIVE", ..) => Failure::new(what)
            .help(format!("muster dead-letters RUN{flag} lists what was given up on"))
            .help("records that are gone: --gone; without an outcome in a cancelled run: --cancelled"),
        ("DELIVERY_UNKNOWN" | "DELIVERY_NOT_IN_DOUBT" | "SETTLED_TOO_EARLY" | "SETTLEMENT_INVALID", ..) => {
            let is_usage = status.code() == Code::InvalidArgument;
            let failure = if is_usage { Failure::usage(what) } else { Failure::new(what) };
            failure.help(format!("muster in-doubt RUN{flag} lists what can be settled, and from when on"))
        }
        ("DELIVERY_SETTLED", ..) => {
            Failure::new(what).help(format!("muster record RUN ID{flag} tells what was said of it before"))
        }
        ("SINCE_RUN_UNFIT" | "SINCE_RUN_USELESS", ..) => {
            let is_usage = status.code() == Code::InvalidArgument;
            let failure = if is_usage { Failure::usage(what) } else { Failure::new(what) };
            failure.help("--since latest takes the newest run that will do; without --since everything is loaded")
        }
        ("CREDENTIALS_MISSING", ..) => Failure::new(what)
            .help("give a token: --token-file FILE, or MUSTER_TOKEN in the environment")
            .help("or a client certificate: --tls-cert FILE --tls-key FILE"),
        ("CREDENTIALS_UNKNOWN" | "CREDENTIALS_EXPIRED", ..) => Failure::new(what)
            .help("whoever runs the coordinator has its file of tokens: `muster token` makes new ones"),
        ("ROLE_REQUIRED", ..) => Failure::new(what).help("take a token or certificate of that role"),
        ("RUN_OVER", ..) => Failure::new(what).help(format!("muster show RUN{flag} shows how it ended")),
        ("STORE_UNAVAILABLE", ..) => {
            Failure::new(what).help("nothing was changed, or nobody knows: the same command may be given again")
        }
        ("", Code::Unavailable, Target::Coordinator(at)) => no_answer(&at.url),
        ("", Code::Unimplemented, Target::Coordinator(CoordinatorAt { url, .. })) => Failure::new(format!(
            "what answers at {url} does not know this call"
        ))
        .help("it is another program, or a coordinator of another version: `muster --version` says which this one is"),
        (_, Code::InvalidArgument, _) => Failure::usage(what),
        // Without a reason of the coordinator's own it is the connection that failed.
        ("", Code::Unknown | Code::Internal | Code::Cancelled, Target::Coordinator(CoordinatorAt { url, .. })) => {
            Failure::new(format!("what answers at {url} broke off or is no coordinator: {what}")).help(
                "is it a coordinator's --listen address? Its HTTP side and other programs have ports of their own",
            )
        }
        _ => Failure::new(format!("the coordinator {} says: {what}", target.place())),
    }
}

#[cfg(test)]
mod tests {
    use tonic_types::ErrorDetails;

    use super::*;

    fn status(code: Code, message: &str, reason: &str) -> Status {
        let details = ErrorDetails::with_error_info(reason, "muster", std::collections::HashMap::new());
        Status::with_error_details(code, message, details)
    }

    fn at_default() -> Target {
        Target::Coordinator(CoordinatorAt { url: DEFAULT_COORDINATOR.to_owned(), ..CoordinatorAt::default() })
    }

    #[test]
    fn refusals_say_what_to_do() {
        let database = Target::Database("muster.db".into());
        let failure = explain(&status(Code::NotFound, "there is no run x", "RUN_UNKNOWN"), &database);
        assert_eq!(failure.to_string(), "error: there is no run x\n help: muster runs --db muster.db lists the runs");
        assert_eq!(failure.exit(), Exit::Other);
        let failure =
            explain(&status(Code::InvalidArgument, "base_url is missing", "PARAMETER_INVALID"), &at_default());
        assert!(failure.to_string().ends_with("help: muster pipelines shows each pipeline's parameters"), "{failure}");
        assert_eq!(failure.exit(), Exit::Usage);
    }

    #[test]
    fn a_coordinator_that_went_away_reads_like_one_that_never_was() {
        let failure = explain(&Status::unavailable("tcp connect error"), &at_default()).to_string();
        assert!(failure.starts_with("error: no coordinator answers at http://127.0.0.1:7470\n"), "{failure}");
        assert!(failure.contains("muster coordinator") && failure.contains("--coordinator URL"), "{failure}");
    }

    #[test]
    fn nothing_is_shown_as_a_program_sees_it() {
        for code in [Code::Internal, Code::Unknown, Code::DeadlineExceeded] {
            let failure = explain(&Status::new(code, ""), &at_default()).to_string();
            assert!(!failure.contains("Status") && failure.contains(DEFAULT_COORDINATOR), "{failure}");
        }
    }

    #[test]
    fn urls_are_checked_before_anything_is_sent() {
        let no = ["", "127.0.0.1:7470", "host", "ftp://host", "http://h:1/x", "http://me:canary@h:1"];
        for url in no {
            let error = Way::to(url, &CredentialArgs::default()).map(|_| ()).expect_err(url);
            let failure = no_connection(url, error);
            assert!(!failure.to_string().contains("canary"), "{failure}");
            assert_eq!(failure.exit(), Exit::Usage);
            assert!(failure.to_string().contains("such as http://127.0.0.1:7470"), "{failure}");
        }
    }
}
