//! A real PostgreSQL server of a test's own: Debian's programs, an empty cluster, a port on loopback. A crate of its own,
//! so that the coordinator's tests have it too.

#![allow(clippy::unwrap_used, clippy::expect_used, reason = "a test fails by panicking")]

use std::collections::BTreeSet;
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::Mutex;

/// A server. Dropped, or left behind by a process that ended in whatever way, it is stopped and its data is gone.
#[derive(Debug)]
pub struct Postgres {
    place: PathBuf,
    port: u16,
    keeper: Child,
}

impl Postgres {
    /// Makes a cluster and starts it.
    ///
    /// # Panics
    /// When PostgreSQL's programs are not there, or do not do what they are for.
    pub fn start() -> Postgres {
        // In memory, where there is such a folder: fsync is on, as a coordinator demands it, and costs nothing there.
        let memory = Path::new("/dev/shm");
        let place = if memory.is_dir() { tempfile::tempdir_in(memory) } else { tempfile::tempdir() };
        Postgres::start_in(place.expect("a folder").keep())
    }

    /// The same with its data on the disk, where fsync costs what it costs: for benchmarks.
    ///
    /// # Panics
    /// As [`Postgres::start`].
    pub fn start_on_disk() -> Postgres {
        Postgres::start_in(tempfile::tempdir().expect("a folder").keep())
    }

    fn start_in(place: PathBuf) -> Postgres {
        // The server runs as somebody else.
        std::fs::set_permissions(&place, std::fs::Permissions::from_mode(0o777)).expect("the owner may");
        let keeper = keeper(&place);
        let server = Postgres { place, port: free_port(), keeper };
        let data = server.data();
        let made = server.tool("initdb", &["-A", "trust", "-U", "muster", "-E", "UTF8", "--no-sync", "-D", &data]);
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.up();
        server
    }

    /// The URL of its database, as pipelines and coordinators have it.
    pub fn url(&self) -> String {
        self.url_at(self.port)
    }

    /// The same by way of another port: a proxy's.
    pub fn url_at(&self, port: u16) -> String {
        format!("postgres://muster:canary-password@127.0.0.1:{port}/postgres?sslmode=disable")
    }

    /// Where it listens.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Starts it, and waits until it serves.
    ///
    /// # Panics
    /// When it does not.
    pub fn up(&self) {
        // mmap: what a server that is killed leaves in memory is among its files then, and goes with them.
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c max_connections=200 \
             -c dynamic_shared_memory_type=mmap",
            self.port
        );
        let log = self.place.join("log");
        let arguments = ["-D", &self.data(), "-o", &options, "-l", &log.to_string_lossy(), "-w", "start"];
        let started = self.tool("pg_ctl", &arguments);
        assert!(started.status.success(), "pg_ctl: {}", std::fs::read_to_string(log).unwrap_or_default());
    }

    /// Stops it as a power loss would.
    pub fn down(&self) {
        self.tool("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }

    /// Starts it, after it was stopped, as a standby that waits for a primary and serves reads meanwhile.
    ///
    /// # Panics
    /// When it does not start.
    pub fn stand_by(&self) {
        std::fs::write(self.place.join("data/standby.signal"), "").expect("the owner may");
        self.up();
    }

    /// Runs statements, and gives what they print: a row a line, columns with `|` between them.
    ///
    /// # Panics
    /// When one fails.
    pub fn sql(&self, sql: &str) -> String {
        self.run_in(&self.url(), sql)
    }

    /// The same in another of its databases, by its URL.
    ///
    /// # Panics
    /// When one fails.
    pub fn run_in(&self, url: &str, sql: &str) -> String {
        let program = programs().join("psql");
        let arguments = ["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, url];
        let ran = Command::new(program).args(arguments).output().expect("psql runs");
        assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }

    /// Runs one of PostgreSQL's programs against it, such as pg_dump, as the user that the server runs as.
    pub fn tool(&self, name: &str, arguments: &[&str]) -> Output {
        let mut command = as_postgres(&programs().join(name));
        // What it starts must not hold the pipe of its output open.
        let (out, err) = (self.place.join("out"), self.place.join("err"));
        let file = |path: &Path| std::fs::File::create(path).expect("a file for what it says");
        command.args(arguments).current_dir(&self.place).stdin(Stdio::null());
        let status = command.stdout(file(&out)).stderr(file(&err)).status().expect("PostgreSQL's program runs");
        let read = |path: &Path| std::fs::read(path).unwrap_or_default();
        Output { status, stdout: read(&out), stderr: read(&err) }
    }

    fn data(&self) -> String {
        self.place.join("data").to_string_lossy().into_owned()
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        // It has nothing to say, and stays no longer than the server.
        let _ = self.keeper.wait();
    }
}

/// Waits until whoever started it has gone, then stops the server and takes its data away.
fn keeper(place: &Path) -> Child {
    let script = "place=$1; shift; cat >/dev/null; \"$@\" -D \"$place/data\" -m immediate -w stop; rm -rf \"$place\"";
    let stop = as_postgres(&programs().join("pg_ctl"));
    let mut command = Command::new("sh");
    command.args(["-c", script, "keeper"]).arg(place).arg(stop.get_program()).args(stop.get_args());
    command.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null()).spawn().expect("sh runs")
}

/// PostgreSQL's programs refuse to run as root.
fn as_postgres(program: &Path) -> Command {
    let root = std::fs::metadata("/proc/self").is_ok_and(|this| std::os::unix::fs::MetadataExt::uid(&this) == 0);
    if !root {
        return Command::new(program);
    }
    let mut command = Command::new("setpriv");
    command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
    command
}

/// The newest PostgreSQL that Debian's package brought.
pub fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.retain(|folder| folder.join("initdb").is_file());
    found.sort();
    found.pop().expect("there is no PostgreSQL: apt-get install postgresql (./tests/run does so)")
}

/// A port below those that the system gives to outgoing connections: nobody takes it while a server is down.
///
/// # Panics
/// When another test panicked in here.
pub fn free_port() -> u16 {
    static TAKEN: Mutex<BTreeSet<u16>> = Mutex::new(BTreeSet::new());
    let mut taken = TAKEN.lock().expect("no test panics in here");
    loop {
        let port = fastrand::u16(12_000..32_000);
        // Asked for, not listened on: whatever process is being started at this moment would inherit that socket, and
        // keep the port until it is somebody else.
        if TcpStream::connect(("127.0.0.1", port)).is_err() && taken.insert(port) {
            return port;
        }
    }
}
