//! The program as a process, where no coordinator is needed: what it prints where, and how it ends.

#![expect(clippy::unwrap_used, reason = "a test may fail by it")]

use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Command, Output, Stdio};

/// `muster` without whatever the environment says about it.
fn muster(arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
    command.args(arguments).stdin(Stdio::null());
    for (name, _) in std::env::vars_os() {
        if name.to_string_lossy().starts_with("MUSTER_") || name == "RUST_LOG" {
            command.env_remove(name);
        }
    }
    command
}

struct Ended {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn ended(command: &mut Command) -> Ended {
    let Output { status, stdout, stderr } = command.output().unwrap();
    let text = |bytes| String::from_utf8(bytes).unwrap();
    Ended { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn run(arguments: &[&str]) -> Ended {
    ended(&mut muster(arguments))
}

/// Names and texts of files.
type Files<'a> = &'a [(&'a str, &'a str)];

fn write(folder: &Path, files: Files<'_>) {
    for (name, text) in files {
        std::fs::write(folder.join(name), text).unwrap();
    }
}

#[test]
fn what_is_wrong_as_typed_ends_with_2_and_says_how_to_mend_it() {
    let table: &[(&[&str], &str)] = &[
        (&[], "Usage: muster"),
        (&["strat"], "start"),
        (&["runs", "--jsno"], "--json"),
        (&["run"], "<PIPELINE>"),
        (&["run", "animal"], "did you mean animals?"),
        (&["run", "./nowhere.yaml"], "cannot read the pipeline file ./nowhere.yaml"),
        (&["run", "animals", "--set", "base_url"], "NAME=VALUE"),
        (&["run", "animals", "--set", "bose_url=http://127.0.0.1:1"], "base_url"),
        (&["run", "animals", "--workers", "0"], "1 to 64"),
        (
            &["run", "animals", "--set", "base_url=http://127.0.0.1:1", "--db", "/nowhere/at/all.db"],
            "there is no folder",
        ),
        (&["demo", "--chaos", "2"], "from 0 to 1"),
        (&["verify"], "--files"),
        (&["verify", "latest", "--files", "."], "which one"),
        (&["runs", "--db", "a.db", "--coordinator", "http://127.0.0.1:1"], "which one"),
        (&["runs", "--coordinator", "127.0.0.1:1"], "such as http://127.0.0.1:7470"),
        (&["runs", "--log-format", "xml"], "text, json or auto"),
    ];
    for (arguments, teaches) in table {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(2), "{arguments:?}: {}", ended.stderr);
        assert!(ended.stderr.contains(teaches), "{arguments:?}: {}", ended.stderr);
        assert_eq!(ended.stdout, "", "{arguments:?}");
    }
}

#[test]
fn a_broken_log_filter_is_told_apart() {
    let ended = ended(muster(&["runs"]).env("RUST_LOG", "muster=loud"));
    assert_eq!(ended.code, Some(2));
    assert!(ended.stderr.contains("RUST_LOG is \"muster=loud\""), "{}", ended.stderr);
}

#[test]
fn a_dead_coordinator_is_named_with_what_to_do() {
    // A port that was free a moment ago: nobody listens there.
    let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    let url = format!("http://127.0.0.1:{port}");
    for command in [&["runs"][..], &["show", "latest"], &["watch", "x"], &["start", "animals"], &["cancel", "x"]] {
        let ended = ended(muster(command).env("MUSTER_COORDINATOR", &url));
        assert_eq!(ended.code, Some(1), "{command:?}: {}", ended.stderr);
        let says = format!("error: no coordinator answers at {url}\n help: start one: muster coordinator\n");
        assert!(ended.stderr.starts_with(&says), "{command:?}: {}", ended.stderr);
        // Only what can read a file is told of it.
        assert_eq!(ended.stderr.contains("--db"), matches!(command[0], "runs" | "show"), "{}", ended.stderr);
        assert_eq!(ended.stdout, "", "{command:?}");
    }
}

#[test]
fn a_database_that_is_not_there_is_not_made() {
    let folder = tempfile::tempdir().unwrap();
    let database = folder.path().join("none.db");
    let ended = run(&["runs", "--db", database.to_str().unwrap()]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("there is no database"), "{}", ended.stderr);
    assert!(!database.exists());
}

#[test]
fn help_documents_the_exit_codes_and_has_examples() {
    for arguments in [&["--help"][..], &["run", "--help"], &["help", "verify"], &["start", "-h"]] {
        let ended = run(arguments);
        assert_eq!(ended.code, Some(0));
        assert!(ended.stdout.contains("3  finished with dead letters or doubts"), "{}", ended.stdout);
    }
    assert!(run(&["help", "verify"]).stdout.contains("muster verify --files"), "examples");
    assert!(run(&["--version"]).stdout.starts_with("muster 0."), "version");
}

#[test]
fn a_folder_of_audit_files_is_judged_on_its_own() {
    let table: &[(Files<'_>, i32, &str)] = &[
        (&[("ids.json", "[0,1,\"1\"]"), ("batch_1.json", "[1,\"1\"]"), ("batch_2.json", "[0]")], 0, "exactly one file"),
        (&[("ids.json", "[]")], 0, "exactly one file"),
        (&[("ids.json", "[0,1]"), ("batch_1.json", "[0]")], 3, "1 missing: listed, but in no file\n  1\n"),
        (
            &[("ids.json", "[0]"), ("batch_1.json", "[0]"), ("batch_2.json", "[0]")],
            4,
            "1 doubled\n  0 in batch_1.json and",
        ),
        (&[("ids.json", "[7]"), ("batch_1.json", "[7,\"7\"]")], 4, "but not listed\n  \"7\" in batch_1.json"),
        (&[("ids.json", "[0]"), ("batch_1.json", "[0")], 4, "1 unreadable\n  batch_1.json: not a whole JSON array"),
    ];
    for (files, code, says) in table {
        let folder = tempfile::tempdir().unwrap();
        write(folder.path(), files);
        let ended = run(&["verify", "--files", folder.path().to_str().unwrap()]);
        assert_eq!(ended.code, Some(*code), "{files:?}: {}", ended.stdout);
        assert!(ended.stdout.contains(says), "{files:?}: {}", ended.stdout);
    }
    let folder = tempfile::tempdir().unwrap();
    let ended = run(&["verify", "--files", folder.path().to_str().unwrap()]);
    assert_eq!(ended.code, Some(1));
    assert!(ended.stderr.contains("has no ids.json"), "{}", ended.stderr);
}

#[test]
fn json_on_standard_output_is_nothing_but_json() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("ids.json", "[0,1]"), ("batch_1.json", "[0]")]);
    let ended = ended(muster(&["verify", "--json"]).env("MUSTER_FILES", folder.path()));
    assert_eq!(ended.code, Some(3));
    let value: serde_json::Value = serde_json::from_str(&ended.stdout).unwrap();
    assert_eq!((&value["good"], &value["missing"]["count"]), (&false.into(), &1.into()));
}

#[test]
fn a_reader_that_leaves_early_is_no_fault() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("ids.json", "[0]"), ("batch_1.json", "[0]")]);
    for arguments in [&["verify", "--files", folder.path().to_str().unwrap()][..], &["--help"]] {
        let (reader, writer) = std::io::pipe().unwrap();
        drop(reader);
        let ended = ended(muster(arguments).stdout(writer));
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{arguments:?}");
    }
    // Nor is it one of standard error.
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    assert_eq!(muster(&["run", "animal"]).stderr(writer).status().unwrap().code(), Some(2));
}

#[test]
fn one_line_of_a_long_answer_can_be_read() {
    let mut child = muster(&["--help"]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(child.stdout.take().unwrap()).read_line(&mut line).unwrap();
    assert!(line.starts_with("Moves records"), "{line}");
    assert_eq!(child.wait().unwrap().code(), Some(0));
    let mut stderr = String::new();
    child.stderr.take().unwrap().read_to_string(&mut stderr).unwrap();
    assert_eq!(stderr, "");
}

/// Names of all commands.
fn commands() -> Vec<String> {
    let help = run(&["-h"]).stdout;
    let named = help.lines().skip_while(|line| *line != "Commands:").skip(1).take_while(|line| !line.is_empty());
    let indented = named.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' ')));
    indented.filter_map(|line| line.split(' ').next()).map(str::to_owned).collect()
}

#[test]
fn every_shell_learns_every_command() {
    let commands = commands();
    assert!(commands.len() > 15 && commands.contains(&"run".to_owned()), "{commands:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let ended = run(&["completions", shell]);
        assert_eq!((ended.code, ended.stderr.as_str()), (Some(0), ""), "{shell}");
        for command in &commands {
            assert!(ended.stdout.contains(command), "{shell} does not know {command}");
        }
        assert!(ended.stdout.contains("coordinator") && ended.stdout.contains("resume"), "{shell} knows no flags");
    }
    let refused = run(&["completions", "fisch"]);
    assert_eq!(refused.code, Some(2));
    assert!(refused.stderr.contains("'fish'"), "{}", refused.stderr);
    assert!(run(&["completions", "--help"]).stdout.contains("/fish/completions/muster.fish"));
}

#[test]
fn bash_completes_commands_flags_and_values() {
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("muster.bash"), run(&["completions", "bash"]).stdout).unwrap();
    // As bash calls it when somebody presses TAB: the words, the last of them unfinished.
    let completed = |words: &[&str]| {
        let (last, before) = (words[words.len() - 1], words[words.len() - 2]);
        let script = format!(
            "source muster.bash && complete -p muster >&2 && COMP_WORDS=({}) COMP_CWORD={} && \
             _muster muster '{last}' '{before}' && printf '%s\\n' \"${{COMPREPLY[@]}}\"",
            words.join(" "),
            words.len() - 1,
        );
        let bash = ended(Command::new("bash").args(["-c", &script]).current_dir(folder.path()));
        assert_eq!(bash.code, Some(0), "{}", bash.stderr);
        assert!(bash.stderr.contains("-F _muster"), "{}", bash.stderr);
        bash.stdout.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(completed(&["muster", "ru"]), ["run", "runs"]);
    assert_eq!(completed(&["muster", "verify", "--fi"]), ["--files"]);
    assert_eq!(completed(&["muster", "completions", "fi"]), ["fish"]);
    assert_eq!(completed(&["muster", "runs", "--color", "n"]), ["never"]);
}

#[test]
fn the_manual_has_a_page_for_every_command_that_man_can_read() {
    let folder = tempfile::tempdir().unwrap();
    let pages = folder.path().join("made/man1");
    let told = run(&["man", pages.to_str().unwrap()]);
    assert_eq!(told.code, Some(0), "{}", told.stderr);
    let mut names: Vec<_> = commands().iter().map(|name| format!("muster-{name}.1")).collect();
    names.retain(|name| name != "muster-help.1");
    names.push("muster.1".to_owned());
    let tools = ["check", "explain", "init", "record", "schema", "test", "try"];
    names.extend(tools.map(|tool| format!("muster-pipeline-{tool}.1")));
    for name in &names {
        let text = std::fs::read_to_string(pages.join(name)).unwrap();
        assert!(text.contains(".SH \"EXIT STATUS\"") && text.contains("finished with dead letters"), "{name}");
        assert!(text.contains("muster "), "{name}");
        // Where there is a formatter, it has nothing to complain of.
        if let Ok(read) = Command::new("groff").args(["-man", "-ww", "-Tascii"]).arg(pages.join(name)).output() {
            assert_eq!((read.status.code(), String::from_utf8_lossy(&read.stderr).as_ref()), (Some(0), ""), "{name}");
        }
    }
    assert_eq!(std::fs::read_dir(&pages).unwrap().count(), names.len());
    assert_eq!(run(&["man"]).stdout, std::fs::read_to_string(pages.join("muster.1")).unwrap());
    assert_eq!(run(&["-q", "man", pages.to_str().unwrap()]).stdout, "");
    std::fs::write(folder.path().join("file"), "").unwrap();
    let refused = run(&["man", folder.path().join("file").to_str().unwrap()]);
    assert_eq!(refused.code, Some(1));
    assert!(refused.stderr.contains("cannot write") && refused.stderr.contains("help: "), "{}", refused.stderr);
}

#[test]
fn colours_are_there_when_they_are_wanted_and_never_in_a_pipe_by_themselves() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("ids.json", "[0]"), ("batch_1.json", "[0]")]);
    let files = folder.path().to_str().unwrap();
    let coloured = |arguments: &[&str], env: &[(&str, &str)]| {
        let mut command = muster(arguments);
        for name in ["NO_COLOR", "CLICOLOR", "CLICOLOR_FORCE", "CI"] {
            command.env_remove(name);
        }
        let ended = ended(command.envs(env.iter().copied()));
        (ended.stdout.contains("\u{1b}["), ended.stderr.contains("\u{1b}["))
    };
    let verify = ["verify", "--files", files];
    type Case<'a> = (&'a [&'a str], &'a [(&'a str, &'a str)], bool);
    let table: &[Case<'_>] = &[
        (&[], &[], false),
        (&["--color", "always"], &[], true),
        (&["--color", "always"], &[("NO_COLOR", "1")], true),
        (&[], &[("MUSTER_COLOR", "always")], true),
        (&[], &[("CLICOLOR_FORCE", "1")], true),
        (&[], &[("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")], false),
        (&[], &[("CLICOLOR_FORCE", "1"), ("MUSTER_COLOR", "never")], false),
        (&["--color=never"], &[("MUSTER_COLOR", "always")], false),
    ];
    for (flags, env, expected) in table {
        let line = [&verify[..], flags].concat();
        assert_eq!(coloured(&line, env), (*expected, false), "{line:?} {env:?}");
        // What clap says by itself, and what a failure says.
        let line = [&["runs", "--help"], *flags].concat();
        assert_eq!(coloured(&line, env), (*expected, false), "{line:?} {env:?}");
        for wrong in [&["runs", "--jsno"][..], &["run", "animal"]] {
            let line = [wrong, *flags].concat();
            assert_eq!(coloured(&line, env), (false, *expected), "{line:?} {env:?}");
        }
    }
    // JSON is for programs.
    assert_eq!(coloured(&["verify", "--files", files, "--json", "--color", "always"], &[]), (false, false));
}

#[test]
fn who_wants_quiet_still_hears_what_was_asked_for_and_what_went_wrong() {
    let folder = tempfile::tempdir().unwrap();
    write(folder.path(), &[("ids.json", "[0]"), ("batch_1.json", "[0]")]);
    let verify = ["verify", "--files", folder.path().to_str().unwrap()];
    assert_eq!(run(&[&["-q"], &verify[..]].concat()).stdout, run(&verify).stdout);
    let wrong = ended(muster(&["run", "animal"]).env("MUSTER_QUIET", "yes"));
    assert_eq!((wrong.code, wrong.stderr.contains("did you mean animals?")), (Some(2), true), "{}", wrong.stderr);
}
