//! A coordinator: a store, the loops that work on it and the services that show it.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use muster_pipeline::Pipeline;
use muster_telemetry::metrics::Metrics;
use muster_telemetry::names;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;
use tonic::transport::Channel;
use url::Url;

use crate::access::Access;
use crate::audit_files::AuditFiles;
use crate::catalog::{Catalog, CatalogError};
use crate::domain::{Clock, RunId, SystemClock, Timestamp, WallClock};
use crate::notify::Notify;
use crate::planted::Planted;
use crate::service::{Audits, Fleets, Paces, Pipelines, Runs, Scaler, Workers};
use crate::store::postgres::{self, PostgresStore};
use crate::store::sqlite::{self, SqliteStore};
use crate::store::{Store, StoreError};
use crate::web::{HttpOptions, MetricsPage};
use crate::{concluder, grpc, in_process, lister, reaper, sweeper, web};

/// What a coordinator needs.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// `sqlite://FILE`, or `postgres://USER:PASSWORD@HOST/DATABASE`.
    pub database: String,
    /// Serve although the PostgreSQL database may lose what it has committed; every verdict says so.
    pub accept_data_loss: bool,
    /// Where runs in audit mode write their files.
    pub audit_dir: Option<PathBuf>,
    /// Who is told when a run ends or stalls.
    pub notify: Notify,
    /// A proxy for all requests to sources.
    pub proxy: Option<Url>,
    /// Pipelines besides the built-in ones.
    pub pipelines: Vec<Pipeline>,
    /// A folder of more pipelines.
    pub pipelines_dir: Option<PathBuf>,
    /// Bugs that tests switch on.
    pub planted: Planted,
}

/// Why a coordinator cannot start: what, where, what to do.
#[derive(Debug, thiserror::Error)]
pub enum OpenError {
    /// The database URL.
    #[error("{:?} is no database that this program can use: write sqlite://FILE or postgres://USER@HOST/DATABASE", shown(.0))]
    Database(String),
    /// The file.
    #[error(transparent)]
    Sqlite(#[from] sqlite::OpenError),
    /// The database on PostgreSQL.
    #[error(transparent)]
    Postgres(#[from] postgres::OpenError),
    /// A database that only coordinators look into.
    #[error("{} is a PostgreSQL database: ask a coordinator on it, with --coordinator URL", shown(.0))]
    Shared(String),
    /// A pipeline.
    #[error(transparent)]
    Catalog(#[from] CatalogError),
}

/// A running coordinator. Dropping it stops its loops; `shutdown` also waits for them.
pub struct Coordinator {
    services: Services,
    stop: CancellationToken,
    loops: JoinSet<()>,
    proxy: Option<Url>,
    notify: Notify,
    /// Those who are told are being told.
    telling: bool,
    metrics: Option<Arc<MetricsPage>>,
}

/// All services of a coordinator.
#[derive(Clone)]
pub(crate) struct Services {
    pub store: Arc<dyn Store>,
    catalog: Arc<Catalog>,
    files: Option<Arc<AuditFiles>>,
    clock: Arc<dyn Clock>,
    paces: Arc<Paces>,
    reports: Arc<Semaphore>,
}

impl Services {
    pub fn runs(&self) -> Runs {
        let Self { store, catalog, files, clock, .. } = self.clone();
        Runs { store, catalog, files, clock, wall: Arc::new(WallClock) }
    }

    pub fn audits(&self) -> Audits {
        Audits { store: Arc::clone(&self.store), reports: Arc::clone(&self.reports) }
    }

    pub fn pipelines(&self) -> Pipelines {
        Pipelines { store: Arc::clone(&self.store), catalog: Arc::clone(&self.catalog) }
    }

    pub fn fleets(&self) -> Fleets {
        Fleets { store: Arc::clone(&self.store) }
    }

    pub fn scaler(&self) -> Scaler {
        Scaler { store: Arc::clone(&self.store), catalog: Arc::clone(&self.catalog) }
    }

    /// `embedded`: workers in this process, whose leases die with it.
    pub fn workers(&self, embedded: bool) -> Workers {
        Workers::new(Arc::clone(&self.store), embedded, Arc::clone(&self.paces))
    }
}

impl Coordinator {
    /// Opens the database. Nothing happens in it before `start`.
    pub async fn open(config: Config) -> Result<Self, OpenError> {
        let place = Place::of(&config.database)?;
        let mut catalog = Catalog::new(config.pipelines)?;
        if let Some(folder) = &config.pipelines_dir {
            catalog = catalog.with_folder(folder)?;
        }
        let planted = config.planted;
        let store: Arc<dyn Store> = match place {
            Place::Sqlite(path) => {
                let options = sqlite::Options { clock: None, planted };
                let opened = tokio::task::spawn_blocking(move || SqliteStore::open(&path, options)).await;
                Arc::new(opened.map_err(|error| OpenError::Database(error.to_string()))??)
            }
            Place::Postgres(url) => {
                let accept_data_loss = config.accept_data_loss;
                let options = postgres::Options { accept_data_loss, planted };
                Arc::new(PostgresStore::open(url, options).await?)
            }
        };
        let files = config.audit_dir.map(|folder| Arc::new(AuditFiles::new(folder)));
        let mut coordinator = Self::new(store, catalog, files);
        coordinator.notify = config.notify;
        coordinator.proxy = config.proxy;
        Ok(coordinator)
    }

    /// Opens a database to look into it: nothing is listed, leased or changed. Another coordinator may be using it.
    pub async fn open_read_only(database: &str) -> Result<Self, OpenError> {
        let Place::Sqlite(path) = Place::of(database)? else { return Err(OpenError::Shared(database.to_owned())) };
        let opened = tokio::task::spawn_blocking(move || SqliteStore::open_read_only(&path)).await;
        let store = Arc::new(opened.map_err(|error| OpenError::Database(error.to_string()))??);
        Ok(Self::new(store, Catalog::new(Vec::new())?, None))
    }

    fn new(store: Arc<dyn Store>, catalog: Catalog, files: Option<Arc<AuditFiles>>) -> Self {
        let services = Services {
            paces: Arc::new(Paces::new(Arc::clone(&store))),
            store,
            catalog: Arc::new(catalog),
            files,
            clock: Arc::new(SystemClock::starting_after(Timestamp::default())),
            reports: Arc::new(Semaphore::new(1)),
        };
        Self {
            services,
            stop: CancellationToken::new(),
            loops: JoinSet::new(),
            notify: Notify::default(),
            proxy: None,
            telling: false,
            metrics: None,
        }
    }

    /// Starts to list, expire and conclude.
    pub fn start(&mut self) {
        self.tell();
        let store = || Arc::clone(&self.services.store);
        let files = self.services.files.clone();
        let holder = format!("{}-{}", std::process::id(), random_name());
        self.loops.spawn(lister::start(store(), holder, self.proxy.clone(), self.stop.clone()));
        self.loops.spawn(reaper::start(store(), self.stop.clone()));
        self.loops.spawn(sweeper::start(store(), self.stop.clone()));
        self.loops.spawn(concluder::start(store(), files.clone(), self.notify.destinations(), self.stop.clone()));
        if let Some(files) = files {
            // A run may be started in audit mode much later, by somebody who can mend nothing here.
            if let Err(error) = files.prepare() {
                tracing::error!(
                    error,
                    { names::NEXT } = "runs in audit mode are refused, or wait for it at their end",
                    "audit files cannot be written"
                );
            }
            self.loops.spawn(files.start(store(), self.stop.clone()));
        }
    }

    /// Starts to tell those who are to be told, once.
    fn tell(&mut self) {
        if !std::mem::replace(&mut self.telling, true) {
            self.notify.start(&mut self.loops, &self.services.store, &self.services.clock, &self.stop);
        }
    }

    /// Waits until all that is to be told of a run has been, for so long at most; gives in words what could not be.
    pub async fn notices_told(&mut self, run_id: &str, within: Duration) -> Result<Vec<String>, StoreError> {
        self.tell();
        self.notify.told(&self.services.store, &RunId::from_text(run_id), within).await
    }

    /// What the loops do besides listing and leasing, once, for a coordinator that was not started: ends rounds that
    /// can be ended, writes verdicts anew that say less than the ledger knows, takes deleted runs out of the file.
    pub async fn catch_up(&self) -> Result<(), StoreError> {
        concluder::run_once(self.services.store.as_ref(), self.services.files.as_deref(), &[]).await?;
        sweeper::run_once(self.services.store.as_ref()).await
    }

    /// gRPC to this coordinator over a pipe in memory: no port is opened.
    pub fn in_process_channel(&self) -> Channel {
        in_process::channel(grpc::routes(&self.services, true), self.stop.clone())
    }

    /// Serves gRPC on a listener, to whom `access` lets in, until `stop`.
    pub async fn serve_grpc(
        &self,
        listener: TcpListener,
        access: &Access,
        stop: CancellationToken,
    ) -> anyhow::Result<()> {
        grpc::serve(&self.services, listener, access, stop).await
    }

    /// Has this process's metrics say what the ledger does, until `shutdown`; from now on they are served with the rest.
    pub fn tell_metrics(&mut self, metrics: &Arc<Metrics>) {
        let Services { store, clock, .. } = self.services.clone();
        let page = Arc::new(MetricsPage::new(Arc::clone(metrics), store, clock));
        let (kept, stop) = (Arc::clone(&page), self.stop.clone());
        self.loops.spawn(async move { kept.keep_up(&stop).await });
        self.metrics = Some(page);
    }

    /// Serves HTTP on a listener, to whom `access` lets in, until `stop`. Besides addresses and this machine's own name,
    /// it answers to the names that are given. Whatever somebody follows ends by itself, or is broken off with `break_off`.
    pub fn serve_http(
        &self,
        listener: TcpListener,
        access: Arc<Access>,
        options: HttpOptions,
        stop: CancellationToken,
        break_off: CancellationToken,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (services, metrics) = (self.services.clone(), self.metrics.clone());
        async move { web::serve(&services, metrics, listener, access, options, stop, break_off).await }
    }

    /// Stops the loops, gives listings back, commits what is queued and closes the database.
    pub async fn shutdown(mut self) {
        self.stop.cancel();
        while self.loops.join_next().await.is_some() {}
        self.services.store.close().await;
    }
}

impl Drop for Coordinator {
    fn drop(&mut self) {
        self.stop.cancel();
    }
}

fn random_name() -> String {
    let mut random = [0; 8];
    // The name tells coordinators apart for people; the fence is the epoch.
    let _ = getrandom::fill(&mut random);
    hex::encode(random)
}

/// A database's URL without what may be a password: what stands before an @, and settings.
pub(crate) fn shown(database: &str) -> String {
    let place = database.split_once('?').map_or(database, |(place, _)| place);
    match (place.split_once("://"), place.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, rest))) => format!("{scheme}://…@{rest}"),
        (None, Some((_, rest))) => format!("…@{rest}"),
        _ => place.to_owned(),
    }
}

/// Where a ledger is.
enum Place<'a> {
    Sqlite(PathBuf),
    Postgres(&'a str),
}

impl<'a> Place<'a> {
    fn of(database: &'a str) -> Result<Self, OpenError> {
        if database.starts_with("postgres://") || database.starts_with("postgresql://") {
            return Ok(Self::Postgres(database));
        }
        let path = database.strip_prefix("sqlite://").filter(|path| !path.is_empty());
        path.map(|path| Self::Sqlite(path.into())).ok_or_else(|| OpenError::Database(database.to_owned()))
    }
}
