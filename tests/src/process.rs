//! Processes: started without the environment's opinions, heard, signalled, and never left behind.

use std::ffi::OsStr;
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};

use serde_json::Value;

use crate::deadline::within;
use crate::programs;

/// Lines of a log that are shown when a test fails.
const SHOWN: usize = 40;
static STARTED: AtomicU32 = AtomicU32::new(0);

/// A process to be started.
#[derive(Debug)]
pub struct Start {
    name: String,
    folder: PathBuf,
    command: Command,
}

/// A running process. Dropped, it is killed; dropped by a failing test, it shows the end of what it said.
#[derive(Debug)]
pub struct Process {
    name: String,
    child: tokio::process::Child,
    pid: u32,
    stdout: PathBuf,
    stderr: PathBuf,
}

/// How a process ended.
#[derive(Debug)]
pub struct Ended {
    /// Its exit code; nothing when a signal ended it.
    pub code: Option<i32>,
    /// The number of that signal.
    pub signal: Option<i32>,
    /// All that it printed.
    pub stdout: String,
    /// All that it said.
    pub stderr: String,
}

/// What a process has used.
#[derive(Clone, Copy, Debug)]
pub struct Spent {
    /// Seconds of processor time.
    pub cpu_seconds: f64,
    /// The most memory it has had at once, in KiB.
    pub peak_kib: u64,
}

/// What can be sent to a process besides the end.
#[derive(Clone, Copy, Debug)]
pub enum Signal {
    /// Drain.
    Terminate,
    /// Ctrl-C.
    Interrupt,
    /// Stand still.
    Stop,
    /// Go on.
    Continue,
}

impl Start {
    /// `muster` with these arguments; what it says goes into files in `folder`.
    pub fn muster<S: AsRef<OsStr>>(folder: &Path, arguments: impl IntoIterator<Item = S>) -> Start {
        Start::program(&programs::muster(), folder, arguments)
    }

    /// Any program.
    pub fn program<S: AsRef<OsStr>>(program: &Path, folder: &Path, arguments: impl IntoIterator<Item = S>) -> Start {
        let mut command = Command::new(program);
        command.args(arguments).current_dir(folder).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let name_text = name.to_string_lossy();
            if ["MUSTER_", "ANIMALS_API_", "OTEL_", "RUST_LOG"].iter().any(|start| name_text.starts_with(start)) {
                command.env_remove(&name);
            }
        }
        let number = STARTED.fetch_add(1, Ordering::Relaxed);
        let called = program.file_name().unwrap_or_default().to_string_lossy();
        let first = command.get_args().next().unwrap_or_default().to_string_lossy().into_owned();
        let name = format!("{called}-{first}-{number}").replace(['/', ' '], "_");
        Start { name, folder: folder.to_owned(), command }
    }

    /// Sets an environment variable.
    #[must_use]
    pub fn env(mut self, name: &str, value: impl AsRef<OsStr>) -> Start {
        self.command.env(name, value);
        self
    }

    /// Starts it. To be called inside a Tokio runtime.
    pub fn start(mut self) -> Process {
        let file = |end: &str| {
            let path = self.folder.join(format!("{}.{end}", self.name));
            let file = std::fs::File::create(&path).expect("a file for what a process says");
            (path, file)
        };
        let ((stdout, out), (stderr, err)) = (file("out"), file("err"));
        self.command.stdout(out).stderr(err);
        let mut command = tokio::process::Command::from(self.command);
        let child = command.kill_on_drop(true).spawn().unwrap_or_else(|error| panic!("{}: {error}", self.name));
        let pid = child.id().expect("just started");
        Process { name: self.name, child, pid, stdout, stderr }
    }

    /// Starts it and waits for its end.
    pub async fn run(self) -> Ended {
        self.start().ended().await
    }
}

impl Process {
    /// Its number.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// kill -9, and its end.
    pub async fn kill(&mut self) {
        // It may have ended already.
        let _ = self.child.start_kill();
        within("a killed process ends", self.child.wait()).await.expect("a child can be waited for");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: Signal) {
        let name = match signal {
            Signal::Terminate => "TERM",
            Signal::Interrupt => "INT",
            Signal::Stop => "STOP",
            Signal::Continue => "CONT",
        };
        // The shell's own kill: there on every machine.
        let sent = Command::new("sh").args(["-c", &format!("kill -s {name} {}", self.pid)]).status();
        assert!(sent.expect("sh").success(), "{} cannot be sent {name}", self.name);
    }

    /// Waits for its end.
    pub async fn ended(&mut self) -> Ended {
        let status =
            within(&format!("{} ends", self.name), self.child.wait()).await.expect("a child can be waited for");
        let (stdout, stderr) = (read(&self.stdout), read(&self.stderr));
        Ended { code: status.code(), signal: status.signal(), stdout, stderr }
    }

    /// Waits until it has ended by itself, and gives what it has used. Its end is still to be taken note of.
    pub async fn spent(&mut self) -> Spent {
        const LOOK: std::time::Duration = std::time::Duration::from_millis(2);
        let mut peak_kib = 0;
        loop {
            // What has ended keeps its times until somebody waits for it, but no memory.
            if let Some(kib) = self.peak_kib() {
                peak_kib = kib;
            } else {
                return Spent { cpu_seconds: self.cpu_seconds(), peak_kib };
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    /// Its exit code, if it has ended.
    pub fn has_ended(&mut self) -> Option<Option<i32>> {
        self.child.try_wait().expect("a child can be asked").map(|status| status.code())
    }

    /// What it has printed so far.
    pub fn stdout(&self) -> String {
        read(&self.stdout)
    }

    /// What it has said so far.
    pub fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// The most memory it has had at once, in KiB.
    pub fn peak_memory_kib(&self) -> u64 {
        self.peak_kib().expect("it runs")
    }

    fn peak_kib(&self) -> Option<u64> {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.pid)).ok()?;
        let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
        line.trim().trim_end_matches(" kB").parse().ok()
    }

    /// Seconds of processor time it has had.
    pub fn cpu_seconds(&self) -> f64 {
        const TICKS_PER_SECOND: f64 = 100.0;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.pid)).expect("it runs");
        // Fields are counted from behind the name, which may contain anything: utime and stime are the 12th and 13th.
        let (_, fields) = stat.rsplit_once(')').expect("a name in brackets");
        fields.split_whitespace().skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap_or(0.0)).sum::<f64>()
            / TICKS_PER_SECOND
    }
}

impl Drop for Process {
    #[expect(clippy::print_stderr, reason = "what a program said last belongs to the output of the test that failed")]
    fn drop(&mut self) {
        if std::thread::panicking() {
            let said = format!("{}{}", read(&self.stdout), read(&self.stderr));
            let lines: Vec<&str> = said.lines().collect();
            eprintln!("--- the last of {} ---\n{}", self.name, lines[lines.len().saturating_sub(SHOWN)..].join("\n"));
        }
    }
}

impl Ended {
    /// Itself, if it ended with this code.
    ///
    /// # Panics
    /// With all it said, if it did not.
    pub fn with_code(self, code: i32) -> Ended {
        assert_eq!(self.code, Some(code), "stdout:\n{}\nstderr:\n{}", tail(&self.stdout), tail(&self.stderr));
        self
    }

    /// The one JSON value that it printed.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|error| panic!("{error} in {}", tail(&self.stdout)))
    }
}

fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(SHOWN)..].join("\n")
}

fn read(path: &Path) -> String {
    String::from_utf8_lossy(&std::fs::read(path).unwrap_or_default()).into_owned()
}
