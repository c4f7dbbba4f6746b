//! The program: its line, its end, its errors.

use std::io::{BufRead as _, BufReader, Read as _};
use std::process::{Child, ChildStderr, ChildStdout, Command, Stdio};

struct Program {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: ChildStderr,
}

impl Program {
    fn start(args: &[&str], env: &[(&str, &str)]) -> Program {
        let mut command = Command::new(env!("CARGO_BIN_EXE_animals-api"));
        command.args(args).envs(env.iter().copied()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().expect("it starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let stderr = child.stderr.take().expect("piped");
        Program { child, stdout, stderr }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.stdout.read_line(&mut line).expect("a line");
        line
    }

    fn end(mut self) -> (Option<i32>, String) {
        let mut complaint = String::new();
        self.stderr.read_to_string(&mut complaint).expect("text");
        (self.child.wait().expect("it ends").code(), complaint)
    }
}

#[test]
fn it_says_where_it_listens_and_stops_at_sigterm() {
    let env = [("ANIMALS_API_ANIMALS", "77"), ("ANIMALS_API_CHAOS", "0"), ("ANIMALS_API_STRICT", "1")];
    let mut program = Program::start(&["--port", "0", "--seed", "9"], &env);
    let line = program.line();
    assert!(line.starts_with("animals-api listening on http://127.0.0.1:"), "{line}");
    assert!(line.contains("77 animals on 8 pages, seed 9, chaos 0%, strict"), "{line}");
    let killed = Command::new("kill").arg(program.child.id().to_string()).status().expect("kill runs");
    assert!(killed.success());
    assert_eq!(program.end(), (Some(0), String::new()));
}

#[test]
fn a_taken_port_is_told_with_a_way_out() {
    let holder = std::net::TcpListener::bind("127.0.0.1:0").expect("a free port");
    let addr = holder.local_addr().expect("bound").to_string();
    let port = holder.local_addr().expect("bound").port().to_string();
    let (code, complaint) = Program::start(&["--port", &port], &[]).end();
    assert_eq!(code, Some(1));
    for word in [&*addr, "--port", "in use"] {
        assert!(complaint.contains(word), "no {word} in: {complaint}");
    }
}

#[test]
fn flags_that_make_no_sense_are_refused_by_name() {
    let cases = [
        ["--chaos", "250%"],
        ["--stall", "9s..3s"],
        ["--latency", "-1s"],
        ["--poison", "many"],
        ["--rate-limit", "0"],
        ["--shifting", "1"],
        ["--page-size", "0"],
        ["--guard", "cookie:a:b"],
        ["--token-life", "0"],
    ];
    for [flag, value] in cases {
        let (code, complaint) = Program::start(&[&format!("{flag}={value}")], &[]).end();
        assert_eq!(code, Some(2), "{flag} {value}");
        assert!(complaint.contains(flag), "{complaint}");
    }
}

#[test]
fn help_names_every_knob_and_its_variable() {
    let mut program = Program::start(&["--help"], &[]);
    let mut help = String::new();
    program.stdout.read_to_string(&mut help).expect("text");
    let knobs = [
        "bind",
        "port",
        "seed",
        "animals",
        "page-size",
        "latency",
        "jitter",
        "chaos",
        "stall-share",
        "chaos-on",
        "stall",
        "disconnect",
        "poison",
        "gone",
        "malformed",
        "rate-limit",
        "guard",
        "token-life",
        "echo",
        "strict",
        "shifting",
        "keep-payloads",
        "max-body",
        "threads",
    ];
    for knob in knobs {
        let variable = format!("[env: ANIMALS_API_{}=", knob.to_uppercase().replace('-', "_"));
        assert!(help.contains(&format!("--{knob}")) && help.contains(&variable), "no {knob} in: {help}");
    }
    assert_eq!(program.end().0, Some(0));
}
