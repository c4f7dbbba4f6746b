//! Somebody who does what a page says, line by line, in a folder that stands for a machine.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use muster_tests::cluster::free_port;
use muster_tests::deadline::until_some;
use muster_tests::process::{Ended, Process, Signal, Start};
use muster_tests::{postgres, programs};

use super::page::{self, Page, Who};

/// Folders of the page: here they are below the operator's own.
const FOLDERS: [&str; 5] =
    ["/etc/systemd/system", "/etc/muster", "/var/lib/muster", "/var/backups/muster", "/usr/local/bin"];

pub struct Operator {
    place: tempfile::TempDir,
    page: &'static Page,
    who: Who,
    path: OsString,
    /// Commands that end well with another code than 0, by how their lines begin.
    codes: Vec<(&'static str, i32)>,
    /// What stands on the page, and what is here instead.
    names: Vec<(String, String)>,
    env: Vec<(&'static str, String)>,
    exported: String,
    /// One for each coordinator that listens where others reach it, by turns.
    ports: [u16; 2],
    turn: usize,
    http: u16,
    /// What systemd would have.
    services: BTreeMap<String, Process>,
    /// What was started in a terminal of its own, with its line.
    started: Vec<(String, Process)>,
    /// Every command that was done, and how it ended.
    pub done: Vec<(String, Ended)>,
}

impl Operator {
    pub fn new(page: &'static Page, who: Who, base_url: &str) -> Operator {
        let place = tempfile::tempdir().expect("a folder");
        let before = [place.path().join("usr/local/bin"), postgres::programs()];
        let path = std::env::var_os("PATH").unwrap_or_default();
        let path = std::env::join_paths(before.into_iter().chain(std::env::split_paths(&path))).expect("a PATH");
        let ports = [free_port(), free_port()];
        let mut operator = Operator {
            place,
            page,
            who,
            path,
            codes: Vec::new(),
            names: Vec::new(),
            env: Vec::new(),
            exported: String::new(),
            ports,
            turn: 0,
            http: free_port(),
            services: BTreeMap::new(),
            started: Vec::new(),
            done: Vec::new(),
        };
        for folder in FOLDERS {
            std::fs::create_dir_all(operator.below(folder)).expect("a folder");
            operator.means(folder, operator.below(folder).to_str().expect("a path"));
        }
        // Some have to be made by what the page says.
        for folder in ["/etc/muster", "/var/backups/muster"] {
            std::fs::remove_dir(operator.below(folder)).expect("an empty folder");
        }
        operator.means("target/release/muster", programs::muster().to_str().expect("a path"));
        operator.means("http://127.0.0.1:3123", base_url);
        let [one, two] = ports;
        operator.means("127.0.0.1:7470", &format!("127.0.0.1:{one}"));
        operator.means("127.0.0.1:7480", &format!("127.0.0.1:{}", operator.http));
        for name in ["localhost", "muster.example", "one.example"] {
            operator.means(&format!("{name}:7470"), &format!("localhost:{one}"));
        }
        operator.means("two.example:7470", &format!("localhost:{two}"));
        operator
    }

    /// On the page it is called so, here otherwise, whatever it meant before. What was said first is looked for first.
    pub fn means(&mut self, there: &str, here: &str) {
        self.names.retain(|(known, _)| known != there);
        self.names.push((there.to_owned(), here.to_owned()));
    }

    /// A command whose line begins so ends with this code where it does what the page says.
    pub fn may_end(&mut self, start: &'static str, code: i32) {
        self.codes.push((start, code));
    }

    pub fn env(&mut self, name: &'static str, value: &str) {
        self.env.push((name, value.to_owned()));
    }

    /// Has the program where the page puts it.
    pub fn has_muster(&self) {
        let there = self.below("/usr/local/bin/muster");
        std::os::unix::fs::symlink(programs::muster(), there).expect("a link");
    }

    pub fn folder(&self) -> &Path {
        self.place.path()
    }

    /// Where a path of the page is here.
    pub fn below(&self, path: &str) -> PathBuf {
        self.folder().join(path.trim_start_matches('/'))
    }

    pub fn port(&self) -> u16 {
        self.ports[0]
    }

    /// Does all that a section says.
    pub async fn does(&mut self, section: &str) {
        for index in 0..self.page.section(section, self.who).len() {
            self.does_block(section, index).await;
        }
    }

    /// Does what one block of a section says, for a test that does something before the next.
    pub async fn does_block(&mut self, section: &str, index: usize) {
        let block = &self.page.section(section, self.who)[index];
        match block.language.as_str() {
            "sh" => {
                for command in page::commands(&block.text) {
                    self.command(&command).await;
                }
            }
            "ini" => self.writes(&block.text),
            // What a file looks like; `muster token` makes it.
            "yaml" if section == "Install / Authentication and roles" => {}
            // A receiver's; tests/e2e/notices/signed.rs runs it.
            "python" if section == "Runs / Be told when a run ends or stalls" => {}
            // cron takes a % for the end of a line.
            "cron" => {
                let command = block.text.splitn(6, ' ').nth(5).expect("a command").replace("\\%", "%");
                self.command(command.trim()).await;
            }
            other => panic!("nobody knows what to do with {other}: {}", block.text),
        }
    }

    /// One command of the page; it ends well.
    pub async fn command(&mut self, line: &str) -> &Ended {
        let code = self.codes.iter().find(|(start, _)| line.starts_with(start)).map_or(0, |(_, code)| *code);
        self.ends(line, code).await
    }

    /// One command, which ends with this code.
    pub async fn ends(&mut self, line: &str, code: i32) -> &Ended {
        let here = self.here(line);
        let ended = if let Some(told) = here.strip_prefix("systemctl ") {
            self.systemctl(told).await;
            Ended { code: Some(0), signal: None, stdout: String::new(), stderr: String::new() }
        } else if ["muster coordinator ", "muster worker "].iter().any(|start| here.starts_with(start)) {
            self.starts(&here).await;
            Ended { code: Some(0), signal: None, stdout: String::new(), stderr: String::new() }
        } else {
            self.shell(&here).run().await
        };
        if here.starts_with("export ") {
            self.exported += &format!("{here}\n");
        }
        assert_eq!(ended.code, Some(code), "{line}\n(here: {here})\n{}\n{}", ended.stdout, ended.stderr);
        self.done.push((line.to_owned(), ended));
        &self.done.last().expect("just done").1
    }

    /// One command that may fail.
    pub async fn tries(&self, line: &str) -> Ended {
        self.shell(&self.here(line)).run().await
    }

    /// What a command that was done printed, by how its line begins.
    pub fn told(&self, line: &str) -> &Ended {
        let found = self.done.iter().rev().find(|(done, _)| done.starts_with(line));
        &found.unwrap_or_else(|| panic!("{line} was not done")).1
    }

    fn here(&self, line: &str) -> String {
        let mut line = line.to_owned();
        if let Some(listens) = line.strip_prefix("muster coordinator ").filter(|rest| rest.contains("0.0.0.0:7470")) {
            // On one machine, and on another.
            let port = self.ports[self.turn % 2];
            line = format!("muster coordinator {}", listens.replace("0.0.0.0:7470", &format!("127.0.0.1:{port}")));
        }
        if line.starts_with("kubectl ") && line.contains(" create secret ") {
            // There is no cluster: all but the last step.
            line += " --dry-run=client --output=yaml";
        }
        if line.starts_with("createuser --pwprompt") {
            // Nobody sits at a terminal here.
            line = format!("printf 'secret\\nsecret\\n' | setsid --wait {line}");
        }
        self.names.iter().fold(line, |line, (there, here)| line.replace(there, here))
    }

    fn shell(&self, text: &str) -> Start {
        let script = format!("set -euo pipefail\n{}{text}", self.exported);
        let start = Start::program(Path::new("/bin/bash"), self.folder(), ["-c", &script]).env("PATH", &self.path);
        self.env.iter().fold(start, |start, (name, value)| start.env(name, value))
    }

    /// In a terminal of its own.
    async fn starts(&mut self, line: &str) {
        if line.contains(" --token-file ") {
            self.token_is_known(line).await;
        }
        let mut process = self.shell(&format!("exec {line}")).start();
        if line.starts_with("muster coordinator ") {
            serves(self.ports[self.turn % 2], &mut process).await;
            self.turn += 1;
        }
        self.started.push((line.to_owned(), process));
    }

    /// Whoever comes sooner than the coordinator has read its list again is not let in.
    async fn token_is_known(&self, worker: &str) {
        let (urls, rest) = worker.split_once(',').unwrap_or((worker, ""));
        let other = rest.find(" --").map_or("", |flags| &rest[flags..]);
        let asks = format!("{}{other}", urls.replace("muster worker ", "muster runs "));
        until_some("the list is taken up", async || {
            let told = self.shell(&asks).run().await.stderr;
            (!told.contains("knows no such token")).then_some(())
        })
        .await;
    }

    /// Those that were started in a terminal and whose lines begin so: each drains, and ends well.
    pub async fn stops(&mut self, start: &str) -> usize {
        let started = std::mem::take(&mut self.started);
        let (mut stopped, kept): (Vec<_>, Vec<_>) = started.into_iter().partition(|(line, _)| line.starts_with(start));
        self.started = kept;
        for (_, process) in &mut stopped {
            ends_well(process).await;
        }
        if "muster coordinator".starts_with(start) {
            self.turn = 0;
        }
        stopped.len()
    }

    /// Each coordinator in turn is stopped and started anew, by the same line.
    pub async fn replaces_coordinators(&mut self) {
        for index in 0..self.started.len() {
            let line = self.started[index].0.clone();
            if line.starts_with("muster coordinator ") {
                ends_well(&mut self.started[index].1).await;
                let mut process = self.shell(&format!("exec {line}")).start();
                serves(self.ports[index % 2], &mut process).await;
                self.started[index].1 = process;
            }
        }
    }

    pub fn nobody_has_gone(&mut self) {
        let started = self.started.iter_mut().map(|(line, process)| (line.as_str(), process));
        for (name, process) in self.services.iter_mut().map(|(name, process)| (name.as_str(), process)).chain(started) {
            assert_eq!(process.has_ended(), None, "{name}\n{}", process.stderr());
        }
    }

    /// A file of the page, whose first line says where it is.
    fn writes(&self, text: &str) {
        let path = text.lines().next().and_then(|line| line.strip_prefix("# ")).expect("where it is");
        std::fs::write(self.below(path), self.here(text)).expect("a file");
    }

    /// What systemd does with the units that were written.
    async fn systemctl(&mut self, told: &str) {
        let words: Vec<&str> = told.split_whitespace().collect();
        match words.as_slice() {
            ["daemon-reload"] => {}
            ["enable" | "disable", "--now", ..] | ["start" | "stop" | "restart", ..] => {
                let (stop, start) = match words[0] {
                    "enable" | "start" => (false, true),
                    "restart" => (true, true),
                    _ => (true, false),
                };
                for unit in words.iter().skip(1).filter(|word| **word != "--now") {
                    if stop {
                        let mut service = self.services.remove(*unit).unwrap_or_else(|| panic!("{unit} does not run"));
                        ends_well(&mut service).await;
                    }
                    if start {
                        let service = self.serve(unit).await;
                        assert!(self.services.insert((*unit).to_owned(), service).is_none(), "{unit} runs already");
                    }
                }
            }
            _ => panic!("nobody knows how to do systemctl {told}"),
        }
    }

    async fn serve(&self, unit: &str) -> Process {
        let (name, instance) = unit.split_once('@').map_or((unit, ""), |(name, instance)| (name, instance));
        let at = if instance.is_empty() { "" } else { "@" };
        let file = self.below(&format!("/etc/systemd/system/{name}{at}.service"));
        let text = std::fs::read_to_string(&file).unwrap_or_else(|error| panic!("{}: {error}", file.display()));
        let line = text.lines().find_map(|line| line.strip_prefix("ExecStart=")).expect("a command");
        let line = line.replace("%i", instance);
        let mut words = line.split_whitespace();
        let program = Path::new(words.next().expect("a program"));
        let file = text.lines().find_map(|line| line.strip_prefix("EnvironmentFile=-")).expect("an environment");
        // There need be none.
        let environment = std::fs::read_to_string(file).unwrap_or_default();
        let variables = environment.lines().filter_map(|line| line.split_once('='));
        let start = Start::program(program, self.folder(), words);
        let mut process = variables.fold(start, |start, (name, value)| start.env(name, value)).start();
        if line.contains(" coordinator ") {
            serves(self.port(), &mut process).await;
        }
        process
    }
}

async fn serves(port: u16, process: &mut Process) {
    until_some("the coordinator serves", async || {
        assert_eq!(process.has_ended(), None, "the coordinator has ended:\n{}", process.stderr());
        tokio::net::TcpStream::connect(("127.0.0.1", port)).await.ok()
    })
    .await;
}

async fn ends_well(process: &mut Process) {
    process.signal(Signal::Terminate);
    process.ended().await.with_code(0);
}
