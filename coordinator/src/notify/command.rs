//! Command hooks: a program that is given the message on its standard input.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use muster_pipeline::excerpt;
use muster_telemetry::names;
use rustix::process::{Pid, Signal, kill_process_group};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt};
use tokio::process::Child;

use super::address;
use super::body::Told;
use super::sender::Sent;
use crate::store::{Destination, NoticeClaim};

/// How long a program may take.
const TIMEOUT: Duration = Duration::from_secs(60);
/// How long its output is awaited when it has ended: somebody that it started may have it open.
const LAST_WORDS: Duration = Duration::from_millis(500);
/// Bytes of its output that are kept.
const KEPT: usize = 4096;
/// What it has of this process's environment, which may hold secrets.
const PASSED_ON: [&str; 3] = ["PATH", "HOME", "LANG"];

/// A program that is told.
#[derive(Debug)]
pub(super) struct Command {
    program: PathBuf,
}

/// The processes of a program: when it is dropped before their end, they are killed.
struct Group {
    child: Child,
    ended: bool,
}

impl Drop for Group {
    fn drop(&mut self) {
        let pid = self.child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        if let Some(pid) = pid.filter(|_| !self.ended) {
            // They may have ended by themselves.
            let _ = kill_process_group(pid, Signal::KILL);
        }
    }
}

impl Command {
    /// One that can be started, by its path.
    pub fn of(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let program = std::fs::canonicalize(path).map_err(|error| {
            format!("{shown} cannot be used: {error}; give the path of a program, without arguments")
        })?;
        let may_be_started =
            std::fs::metadata(&program).is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0);
        match may_be_started {
            true => Ok(Self { program }),
            false => Err(format!("{shown} is no program that can be started: chmod +x it, or name another")),
        }
    }

    pub fn destination(&self) -> Destination {
        use std::os::unix::ffi::OsStrExt;
        let name = address::name("command", self.program.as_os_str().as_bytes());
        Destination { name, shown: excerpt(&self.program.display().to_string()) }
    }

    /// Starts the program and waits for its end.
    pub async fn send(&self, claim: &NoticeClaim, told: &Told) -> Sent {
        let failed = |error: String| Sent::Failed { error, after: None };
        let mut group = match self.start(claim, told) {
            Ok(child) => Group { child, ended: false },
            Err(error) => return failed(format!("it cannot be started: {error}")),
        };
        let Ok(ended) = tokio::time::timeout(TIMEOUT, group.carry_out(&told.text)).await else {
            return failed(format!("it was killed after {} s", TIMEOUT.as_secs()));
        };
        let (code, output) = match ended {
            Ok(ended) => ended,
            Err(error) => return failed(format!("it cannot be waited for: {error}")),
        };
        let said = excerpt(&output);
        if !said.is_empty() {
            tracing::info!({ names::RUN } = %claim.run, program = %self.program.display(), said, "a command hook has said");
        }
        match code {
            Some(0) => Sent::Accepted,
            Some(code) => failed(format!("it ended with {code}: {said}").trim_end_matches([':', ' ']).to_owned()),
            None => failed("a signal ended it".to_owned()),
        }
    }

    fn start(&self, claim: &NoticeClaim, told: &Told) -> std::io::Result<Child> {
        let mut command = tokio::process::Command::new(&self.program);
        command.env_clear().process_group(0).kill_on_drop(true);
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        for name in PASSED_ON {
            if let Some(value) = std::env::var_os(name) {
                command.env(name, value);
            }
        }
        command.env("MUSTER_EVENT", claim.event.name());
        command.env("MUSTER_NOTICE", &claim.id);
        command.env("MUSTER_RUN", claim.run.as_str());
        command.env("MUSTER_VERDICT", told.verdict);
        command.spawn()
    }
}

impl Group {
    /// Its exit code, if it has one, and the beginning of what it said.
    async fn carry_out(&mut self, text: &str) -> std::io::Result<(Option<i32>, String)> {
        let (stdin, stdout, stderr) = (self.child.stdin.take(), self.child.stdout.take(), self.child.stderr.take());
        let write = async {
            if let Some(mut stdin) = stdin {
                // It need not read what it is told.
                let _ = stdin.write_all(text.as_bytes()).await;
            }
        };
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let status = {
            let read = async { tokio::join!(keep(stdout, &mut out), keep(stderr, &mut err)) };
            let talk = async { tokio::join!(write, read) };
            tokio::pin!(talk);
            tokio::select! {
                status = self.child.wait() => {
                    let _ = tokio::time::timeout(LAST_WORDS, &mut talk).await;
                    status?
                }
                _ = &mut talk => self.child.wait().await?,
            }
        };
        self.ended = true;
        let said = [out, err].concat();
        Ok((status.code(), String::from_utf8_lossy(&said).into_owned()))
    }
}

/// Reads to the end and keeps the beginning.
async fn keep(from: Option<impl AsyncRead + Unpin>, into: &mut Vec<u8>) {
    let Some(mut from) = from else { return };
    let mut buffer = [0; 1024];
    while let Ok(count @ 1..) = from.read(&mut buffer).await {
        let room = KEPT.saturating_sub(into.len());
        into.extend_from_slice(&buffer[..count.min(room)]);
    }
}
