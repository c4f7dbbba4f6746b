//! A real PostgreSQL server of a test's own: Debian's programs, an empty cluster, a port on loopback.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use tempfile::TempDir;

use crate::cluster::free_port;
use crate::deadline::until_some;

/// A server. Dropped, it is stopped and its data is gone.
#[derive(Debug)]
pub struct Postgres {
    place: TempDir,
    port: u16,
}

impl Postgres {
    /// Makes a cluster and starts it.
    pub async fn start() -> Postgres {
        let place = tempfile::tempdir().expect("a folder");
        // The server runs as somebody else.
        std::fs::set_permissions(place.path(), std::fs::Permissions::from_mode(0o777)).expect("the owner may");
        let server = Postgres { place, port: free_port() };
        let data = server.data();
        let made = server.tool("initdb", &["-A", "trust", "-U", "muster", "-E", "UTF8", "--no-sync", "-D", &data]);
        assert!(made.status.success(), "initdb: {}", String::from_utf8_lossy(&made.stderr));
        server.up().await;
        server
    }

    /// The URL of its database, as pipelines have it.
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
    pub async fn up(&self) {
        let options = format!(
            "-p {} -c listen_addresses=127.0.0.1 -c unix_socket_directories= -c fsync=off -c max_connections=60",
            self.port
        );
        let log = self.place.path().join("log");
        let started = self.tool("pg_ctl", &["-D", &self.data(), "-o", &options, "-l", &log.to_string_lossy(), "start"]);
        assert!(started.status.success(), "pg_ctl: {}", std::fs::read_to_string(log).unwrap_or_default());
        until_some("PostgreSQL serves", async || self.psql("SELECT 1").status.success().then_some(())).await;
    }

    /// Stops it as a power loss would.
    pub fn down(&self) {
        self.tool("pg_ctl", &["-D", &self.data(), "-m", "immediate", "-w", "stop"]);
    }

    /// Runs statements, and gives what they print: a row a line, columns with `|` between them.
    ///
    /// # Panics
    /// When one fails.
    pub fn sql(&self, sql: &str) -> String {
        let ran = self.psql(sql);
        assert!(ran.status.success(), "{sql}: {}", String::from_utf8_lossy(&ran.stderr));
        String::from_utf8_lossy(&ran.stdout).trim().to_owned()
    }

    fn psql(&self, sql: &str) -> Output {
        Command::new(programs().join("psql"))
            .args(["-X", "-q", "-A", "-t", "-v", "ON_ERROR_STOP=1", "-c", sql, &self.url()])
            .output()
            .expect("psql runs")
    }

    fn data(&self) -> String {
        self.place.path().join("data").to_string_lossy().into_owned()
    }

    /// One of the programs that refuse to run as root.
    fn tool(&self, name: &str, arguments: &[&str]) -> Output {
        let program = programs().join(name);
        let root = std::fs::metadata("/proc/self").is_ok_and(|this| std::os::unix::fs::MetadataExt::uid(&this) == 0);
        let mut command = match root {
            true => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
                command
            }
            false => Command::new(program),
        };
        // What it starts must not hold the pipe of its output open.
        let (out, err) = (self.place.path().join("out"), self.place.path().join("err"));
        let file = |path: &Path| std::fs::File::create(path).expect("a file for what it says");
        command.args(arguments).current_dir(self.place.path()).stdin(std::process::Stdio::null());
        let status = command.stdout(file(&out)).stderr(file(&err)).status().expect("PostgreSQL's program runs");
        let read = |path: &Path| std::fs::read(path).unwrap_or_default();
        Output { status, stdout: read(&out), stderr: read(&err) }
    }
}

impl Drop for Postgres {
    fn drop(&mut self) {
        self.down();
    }
}

/// Where the programs of the newest PostgreSQL are that Debian's package brought.
pub fn programs() -> PathBuf {
    let versions = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let mut found: Vec<PathBuf> = versions.map(|version| version.path().join("bin")).collect();
    found.retain(|folder| folder.join("initdb").is_file());
    found.sort();
    found.pop().expect("there is no PostgreSQL: apt-get install postgresql (./tests/run does so)")
}
