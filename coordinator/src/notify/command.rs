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

/// A program and what it started: what is left of them when it is dropped is killed.
struct Group {
    child: Child,
    leader: Option<Pid>,
}

impl Drop for Group {
    fn drop(&mut self) {
        if let Some(leader) = self.leader {
            // They may have ended by themselves.
            let _ = kill_process_group(leader, Signal::KILL);
        }
    }
}

impl Command {
    /// One that can be started, by its path.
    pub fn of(path: &Path) -> Result<Self, String> {
        let shown = path.display();
        let wrong = |error: std::io::Error| {
            format!("{shown} cannot be used: {error}; give the path of a program, without arguments")
        };
        // Links stay: what they lead to may be another version at the next start, and is the same program to the ledger.
        let program = std::path::absolute(path).map_err(wrong)?;
        let file = std::fs::metadata(&program).map_err(wrong)?;
        match file.is_file() && file.permissions().mode() & 0o111 != 0 {
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
            Ok(child) => Group::of(child),
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
        let (run, program) = (&claim.run, self.program.display());
        // `muster run` logs warnings alone, and nobody else says why it failed.
        match code {
            _ if said.is_empty() => {}
            Some(0) => tracing::info!({ names::RUN } = %run, program = %program, said, "a command hook has said"),
            _ => tracing::warn!({ names::RUN } = %run, program = %program, said, "a command hook has failed and said"),
        }
        match code {
            Some(0) => Sent::Accepted,
            // What it said is its owner's, and may be a secret: more people read the ledger than the log.
            Some(code) => failed(format!("it ended with {code}")),
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
    fn of(child: Child) -> Self {
        // A number that it no longer has once it was waited for.
        let leader = child.id().and_then(|id| i32::try_from(id).ok()).and_then(Pid::from_raw);
        Self { child, leader }
    }

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

#[cfg(test)]
mod tests {
    use std::os::unix::fs::symlink;

    use super::*;

    #[test]
    fn a_program_behind_a_link_is_the_same_when_the_link_leads_elsewhere() {
        let folder = tempfile::tempdir().unwrap();
        let current = folder.path().join("current");
        let release = |version: &str| {
            let release = folder.path().join(version);
            std::fs::create_dir(&release).unwrap();
            std::fs::write(release.join("hook"), "#!/bin/sh\n").unwrap();
            std::fs::set_permissions(release.join("hook"), std::fs::Permissions::from_mode(0o755)).unwrap();
            let _ = std::fs::remove_file(&current);
            symlink(&release, &current).unwrap();
            Command::of(&current.join("hook")).unwrap().destination()
        };
        let (one, two) = (release("1.0"), release("2.0"));
        assert_eq!(one, two);
        assert!(one.shown.ends_with("current/hook"), "{one:?}");
    }
}
