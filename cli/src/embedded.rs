//! A coordinator and its workers inside this process: what `muster run` and `muster demo` are made of.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use url::Url;

use muster_coordinator::{Config, Coordinator, Notify};
use muster_pipeline::Pipeline;
use muster_telemetry::metrics::Metrics;
use muster_worker::{Worker, WorkerConfig, WorkerError, WorkerSummary};
use tokio::task::{JoinError, JoinSet};
use tokio_util::sync::CancellationToken;

use crate::client::{Client, database_url};
use crate::dashboard::Dashboard;
use crate::failure::Failure;

/// How long an end waits for those who are told of it.
const TOLD_WITHIN: Duration = Duration::from_secs(30);

/// What to embed.
#[derive(Clone, Debug)]
pub struct Setup {
    /// The ledger's file.
    pub database: PathBuf,
    /// Where audit files go, if they are wanted.
    pub audit: Option<PathBuf>,
    /// How many workers.
    pub workers: usize,
    /// Fetch slots of each.
    pub concurrency: Option<usize>,
    /// A proxy for all requests to source and target.
    pub proxy: Option<Url>,
    /// Where the dashboard is, if it is wanted.
    pub http: Option<SocketAddr>,
    /// Who is told when the run ends or stalls.
    pub notify: Notify,
}

/// A coordinator that has no port, with workers that talk gRPC to it through memory.
pub struct Embedded {
    /// Asks the coordinator.
    pub client: Client,
    coordinator: Coordinator,
    crew: Crew,
    metrics: Option<Arc<Metrics>>,
    dashboard: Option<Dashboard>,
}

/// The workers.
pub struct Crew {
    workers: JoinSet<Result<WorkerSummary, WorkerError>>,
    stop: CancellationToken,
    /// What was wrong with the first of those that ended while they were drained.
    trouble: Option<Failure>,
}

impl Embedded {
    /// Opens the ledger, and makes it if it is not there. No worker works yet.
    pub async fn open(setup: &Setup, pipelines: Vec<Pipeline>) -> Result<Embedded, Failure> {
        let database = database_url(&setup.database)?;
        check_folder(&setup.database)?;
        check_concurrency(setup.concurrency)?;
        // Shown beside the dashboard, and sent where a collector is named.
        let metrics =
            Metrics::start("muster", setup.http.is_some()).map_err(|error| Failure::usage(error.to_string()))?;
        let (audit_dir, notify, proxy) = (setup.audit.clone(), setup.notify.clone(), setup.proxy.clone());
        let config = Config { database, audit_dir, notify, proxy, pipelines, ..Config::default() };
        let mut coordinator = Coordinator::open(config).await.map_err(|error| Failure::new(error.to_string()))?;
        if let Some(metrics) = &metrics {
            coordinator.tell_metrics(metrics);
        }
        let client = Client::in_process(&coordinator, &setup.database);
        let crew = Crew { workers: JoinSet::new(), stop: CancellationToken::new(), trouble: None };
        let dashboard = match setup.http {
            Some(address) => Some(Dashboard::open(&coordinator, address).await?),
            None => None,
        };
        Ok(Embedded { client, coordinator, crew, metrics, dashboard })
    }

    /// Where the dashboard is.
    pub fn dashboard(&self) -> Option<&str> {
        self.dashboard.as_ref().map(|dashboard| dashboard.url.as_str())
    }

    /// Starts the listing and puts the workers to work.
    pub fn employ(&mut self, setup: &Setup) {
        self.coordinator.start();
        let name = WorkerConfig::default().name;
        for number in 1..=setup.workers {
            let config = WorkerConfig {
                name: format!("{name}-{number}"),
                concurrency: setup.concurrency,
                proxy: setup.proxy.clone(),
                ..WorkerConfig::default()
            };
            let worker = Worker::new(config, self.coordinator.in_process_channel());
            let stop = self.crew.stop.clone();
            self.crew.workers.spawn(worker.run(stop));
        }
    }

    /// The client, and the workers to wait for trouble with: two borrows that may live at the same time.
    pub fn parts(&mut self) -> (&Client, &mut Crew) {
        (&self.client, &mut self.crew)
    }

    /// Lets the workers finish what is on its way to the target and give back the rest.
    pub async fn drain(&mut self) -> Result<(), Failure> {
        self.crew.drain().await;
        self.crew.trouble.take().map_or(Ok(()), Err)
    }

    /// Waits for a while until those who are to be told of the run have been; gives in words who has not.
    pub async fn told(&mut self, run_id: &str) -> Vec<String> {
        match self.coordinator.notices_told(run_id, TOLD_WITHIN).await {
            Ok(not_told) => not_told,
            Err(error) => vec![format!("whether all were told is not known: {error}")],
        }
    }

    /// Closes the dashboard, which tells that the run is over if it is, and the ledger.
    pub async fn close(self, is_over: bool) {
        if let Some(dashboard) = self.dashboard {
            dashboard.close(is_over).await;
        }
        drop(self.client);
        self.coordinator.shutdown().await;
        if let Some(metrics) = self.metrics {
            metrics.end().await;
        }
    }
}

impl Crew {
    /// Lets the workers finish what is on its way to the target and give back the rest. [`Embedded::drain`] tells what
    /// was wrong with them.
    pub async fn drain(&mut self) {
        self.stop.cancel();
        while let Some(ended) = self.workers.join_next().await {
            self.trouble = self.trouble.take().or_else(|| why(ended));
        }
    }

    /// Resolves when a worker has ended that nobody asked to.
    pub async fn trouble(&mut self) -> Failure {
        match self.workers.join_next().await {
            Some(ended) => why(ended).unwrap_or_else(|| Failure::new("a worker ended before the run did")),
            // Nobody is employed: nobody can fail.
            None => std::future::pending().await,
        }
    }
}

/// What is wrong with the way in which a worker ended, if anything is.
fn why(ended: Result<Result<WorkerSummary, WorkerError>, JoinError>) -> Option<Failure> {
    match ended {
        Ok(Ok(_)) => None,
        // The only settings that come from the command line are numbers.
        Ok(Err(error @ WorkerError::BadSetting { .. })) => Some(Failure::usage(error.to_string())),
        Ok(Err(error)) => Some(Failure::new(format!("a worker ended: {error}"))),
        Err(_) => Some(
            Failure::new("a worker failed by a fault of this program; the log above says where")
                .help("the same command with --resume goes on"),
        ),
    }
}

/// The workers would refuse it too, but only after a run was begun.
fn check_concurrency(concurrency: Option<usize>) -> Result<(), Failure> {
    match concurrency {
        None | Some(1..=10_000) => Ok(()),
        Some(typed) => Err(Failure::usage(format!("--concurrency {typed} cannot be used"))
            .help("give 1 to 10,000, or leave it out: the pipeline has a limit of its own")),
    }
}

/// SQLite says no more than "unable to open" when the folder is not there.
fn check_folder(database: &Path) -> Result<(), Failure> {
    let folder = match database.parent() {
        Some(folder) if folder != Path::new("") => folder,
        _ => Path::new("."),
    };
    if database.to_str().is_none() {
        return Err(Failure::usage(format!("the name {} is not UTF-8", database.display()))
            .help("give the database a name that is: --db FILE"));
    }
    if database.is_dir() {
        return Err(Failure::usage(format!("{} is a folder, not a database file", database.display()))
            .help(format!("--db {}", database.join("muster.db").display())));
    }
    if !folder.is_dir() {
        return Err(Failure::usage(format!("there is no folder {} for the database", folder.display()))
            .help("make it first, or give another file: --db FILE"));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_database_needs_a_folder() {
        let folder = tempfile::tempdir().expect("a folder");
        assert!(check_folder(Path::new("muster.db")).is_ok());
        assert!(check_folder(&folder.path().join("muster.db")).is_ok());
        let failure = check_folder(&folder.path().join("no/muster.db")).expect_err("no folder").to_string();
        assert!(failure.contains("there is no folder"), "{failure}");
        let latin1 = <std::ffi::OsStr as std::os::unix::ffi::OsStrExt>::from_bytes(b"k\xfche.db");
        assert!(check_folder(Path::new(latin1)).expect_err("no UTF-8").to_string().contains("is not UTF-8"));
        assert!(check_concurrency(Some(0)).is_err() && check_concurrency(Some(10_000)).is_ok());
        assert!(check_folder(folder.path()).expect_err("a folder").to_string().contains("is a folder"));
    }
}
