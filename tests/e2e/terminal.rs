//! What a person sees: `muster` on a real pseudo-terminal, drawn by an emulator, frame by frame.

use std::path::Path;
use std::time::Duration;

use animals_api::{Amount, ChaosOn, Config, Server};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::pipelines::impatient;
use muster_tests::process::Start;
use muster_tests::terminal::{Frame, Left, Terminal, is_coloured};
use muster_tests::turn;

use crate::{base_url, stand_in};

/// What a run is watched for a while against: POSTs stall, and two animals are refused.
fn slow(animals: u64) -> Server {
    let stall = Duration::from_millis(300)..=Duration::from_millis(1_200);
    let posts = Config { chaos: 0.6, stall_share: 0.9, chaos_on: ChaosOn::Posts, stall, ..Config::calm(animals) };
    stand_in(Config { latency: Duration::from_millis(40), poison: Amount::Count(2), ..posts })
}

/// Each frame stands whole under what was there before; that grows by whole lines and never changes.
fn assert_frames_are_whole(frames: &[Frame]) {
    assert!(frames.len() > 3, "there was hardly anything to see: {} frames", frames.len());
    let mut above = Terminal::earlier();
    for (number, frame) in frames.iter().enumerate() {
        let shown = frame.panel.join("\n");
        assert!(!frame.is_torn(), "frame {number} has a line that is wider than the terminal:\n{shown}");
        assert!(frame.above.starts_with(&above), "frame {number} scrolls or leaves debris:\n{:#?}", frame.above);
        assert!(shown.contains("listed") && shown.contains("ETA"), "frame {number} is not whole:\n{shown}");
        assert_eq!(frame.screen.cursor_position().1, 0, "the cursor waits elsewhere:\n{shown}");
        above.clone_from(&frame.above);
    }
    // Nothing moves sideways: each figure's name stands where it stood, however many digits the figures have.
    let names = ["fetched", "loaded", "rate", "dead", "in doubt", "workers", "ETA"];
    let places = frames.iter().map(|frame| names.map(|name| frame.panel.iter().find_map(|line| line.find(name))));
    let places: std::collections::BTreeSet<_> = places.collect();
    assert!(places.len() == 1, "figures move sideways: {places:?}");
    // Its height depends on what there is to say, not on numbers.
    let heights: Vec<usize> = frames.iter().map(|frame| frame.panel.len()).collect();
    let turns = heights.windows(2).filter(|pair| pair[0] != pair[1]).count();
    assert!(turns <= 1, "the display jumps: {heights:?}");
}

/// The display is gone; what was printed stands under what was there before it.
fn assert_summary_took_its_place(left: &Left, headline: &str) {
    let text = left.lines.join("\n");
    let above = &left.frames.last().expect("a frame").above;
    assert!(left.lines.starts_with(above), "the end changed what was above the display:\n{text}");
    let printed = left.lines[above.len()..].join("\n");
    assert!(printed.contains(headline), "{printed}");
    assert!(!text.contains(" WARN "), "a log line for each dead letter drives the display away:\n{text}");
    for debris in ["ETA", "[=", "draining", "^C"] {
        assert!(!printed.contains(debris), "{debris} was left behind:\n{printed}");
    }
    assert_eq!(left.screen.cursor_position().1, 0, "the prompt would not begin a line:\n{text}");
}

/// `muster run` of a pipeline whose name, and with it the run's ID, is longer than a narrow terminal.
fn run_line(folder: &Path, server: &Server) -> Vec<String> {
    let yaml = impatient(3_000, &[]).replace("name: animals\n", &format!("name: {LONG_NAME}\n"));
    std::fs::write(folder.join("my.yaml"), yaml).expect("a file");
    ["run", "./my.yaml", "--set", &base_url(server), "--db", "my.db"].map(str::to_owned).into()
}

const LONG_NAME: &str = "animals-of-every-kind-from-the-old-herd-book";

async fn run_at(columns: u16, env: &[(&str, &str)]) -> Left {
    let folder = tempfile::tempdir().expect("a folder");
    let server = slow(1_200);
    let line = run_line(folder.path(), &server);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let left = Terminal::muster(folder.path(), columns, &line, env).left().await;
    assert_eq!(left.code, Some(3), "{:#?}", left.lines);
    let text = left.lines.join("");
    assert!(text.contains("help: 2 dead letters: muster dead-letters animals-of-every-kind"), "{text}");
    left
}

#[tokio::test(flavor = "multi_thread")]
async fn the_display_stands_still_at_any_width_and_makes_room_for_the_summary() {
    let _turn = turn::heavy().await;
    let (narrow, usual, wide) = tokio::join!(run_at(40, &[]), run_at(80, &[]), run_at(200, &[]));
    for (left, height) in [(narrow, 5), (usual, 3), (wide, 2)] {
        assert_frames_are_whole(&left.frames);
        assert_summary_took_its_place(&left, "verdict: complete and balanced");
        let last = left.frames.last().expect("a frame");
        assert_eq!(last.panel.len(), height, "{:#?}", last.panel);
        assert!(last.panel[0].starts_with("animals-of-every-kind-"), "{}", last.panel[0]);
        assert!(left.frames.iter().any(Frame::is_coloured), "a terminal that can show colours shows none");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_demo_is_shown_from_its_first_frame_to_the_book() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let at = async |columns: u16| {
        let db = format!("{columns}.db");
        let line = ["demo", "--seed", "5", "--animals", "2000", "--chaos", "0.01", "--db", &db];
        Terminal::muster(folder.path(), columns, &line, &[]).left().await
    };
    let (narrow, usual, wide) = tokio::join!(at(40), at(80), at(200));
    for left in [narrow, usual, wide] {
        assert_eq!(left.code, Some(0), "{:#?}", left.lines);
        assert_frames_are_whole(&left.frames);
        assert_summary_took_its_place(&left, "stand-in's book agrees with the ledger");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn without_colours_it_says_the_same() {
    let _turn = turn::light().await;
    let left = run_at(80, &[("NO_COLOR", "1")]).await;
    assert_frames_are_whole(&left.frames);
    assert_summary_took_its_place(&left, "verdict: complete and balanced");
    assert!(!left.frames.iter().any(Frame::is_coloured), "NO_COLOR is set, and there are colours");
    assert!(!is_coloured(&left.screen), "NO_COLOR is set, and there are colours");
}

#[tokio::test(flavor = "multi_thread")]
async fn log_lines_appear_above_the_display() {
    let _turn = turn::light().await;
    let left = run_at(40, &[("RUST_LOG", "warn")]).await;
    assert_frames_are_whole(&left.frames);
    let above = left.frames.last().expect("a frame").above.join("");
    assert_eq!(above.matches("the target refuses the record").count(), 2, "{above}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_terminal_that_cannot_move_its_cursor_gets_lines() {
    let _turn = turn::light().await;
    // Of a CI service it is said that it shows colours on any terminal: not on this one.
    let left = run_at(80, &[("TERM", "dumb"), ("CI", "true")]).await;
    assert_eq!(left.frames.len(), 0, "frames on a dumb terminal");
    let text = left.lines.join("\n");
    assert!(text.contains(" running after ") && text.contains("verdict: complete and balanced"), "{text}");
    assert!(!is_coloured(&left.screen));
}

#[tokio::test(flavor = "multi_thread")]
async fn ctrl_c_drains_in_sight_and_leaves_a_clean_screen() {
    let _turn = turn::light().await;
    for columns in [40, 80] {
        let folder = tempfile::tempdir().expect("a folder");
        let server = slow(4_000);
        let book = &server.book();
        let line = run_line(folder.path(), &server);
        let line: Vec<&str> = line.iter().map(String::as_str).collect();
        let mut terminal = Terminal::muster(folder.path(), columns, &line, &[]);
        let some_are_fetched = |frame: &Frame, _| !frame.panel.join(" ").contains("fetched          0");
        terminal.until("records are fetched", some_are_fetched).await;
        within("POSTs are on their way", book.until(|book| book.counters().stalls_post >= 3)).await;
        terminal.type_in("\u{3}").await;
        let draining =
            terminal.until("draining is shown", |frame, _| frame.panel.join(" ").contains("draining: ")).await;
        assert!(draining.panel.join(" ").contains("Ctrl-C again"), "{:#?}", draining.panel);
        let left = terminal.left().await;
        assert_eq!(left.code, Some(1), "{:#?}", left.lines);
        assert_frames_are_whole(&left.frames);
        assert_summary_took_its_place(&left, " running\n");
        let hint = left.lines[left.lines.len() - 4..].join("");
        assert!(hint.contains("--resume"), "{hint}");
        assert!(!book.is_perfect(), "it was done before it was interrupted");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_second_ctrl_c_ends_at_once_and_leaves_a_clean_screen() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    // A POST that is on its way stays there until the test has seen what it came for.
    let stall = Duration::from_secs(60)..=Duration::from_secs(60);
    let stuck = Config { chaos: 1.0, stall_share: 1.0, chaos_on: ChaosOn::Posts, stall, ..Config::calm(500) };
    let server = stand_in(stuck);
    let line = ["run", "animals", "--set", &base_url(&server), "--db", "my.db"];
    let mut terminal = Terminal::muster(folder.path(), 80, &line, &[]);
    within("a POST is on its way", server.book().until(|book| book.counters().stalls_post >= 1)).await;
    terminal.until("the display stands", |frame, _| frame.panel.join(" ").contains("listed")).await;
    terminal.type_in("\u{3}").await;
    terminal.until("draining is shown", |frame, _| frame.panel.join(" ").contains("draining: ")).await;
    terminal.type_in("\u{3}").await;
    let left = terminal.left().await;
    assert_eq!(left.code, Some(130), "{:#?}", left.lines);
    let above = &left.frames.last().expect("a frame").above;
    assert_eq!(left.lines[above.len()..], [] as [&str; 0], "it left something behind");
    assert_eq!(left.screen.cursor_position().1, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_watcher_is_told_in_words_why_a_run_does_not_go_on() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { latency: Duration::from_millis(5), ..Config::calm(500) });
    let cluster = Cluster::start(folder.path()).await;
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    let url = cluster.url();
    let mut terminal = Terminal::muster(folder.path(), 60, &["watch", &run_id], &[("MUSTER_COORDINATOR", &url)]);
    terminal.until("the run is shown", |frame, _| frame.panel[0].starts_with(&run_id)).await;
    let reason = "the herd is at lunch \u{5de5}\u{5177}, and nobody is there to open the gate before two";
    cluster.command(&["pause", &run_id, "--reason", reason]).run().await.with_code(0);
    let paused = terminal.until("the pause is shown", |frame, _| frame.panel[1].starts_with("paused: ")).await;
    // In as many lines as it takes, broken between words.
    assert_eq!(paused.panel[1..3].join(" "), format!("paused: {reason}"));
    cluster.command(&["cancel", &run_id]).run().await.with_code(0);
    let left = terminal.left().await;
    assert_eq!(left.code, Some(1), "{:#?}", left.lines);
    assert!(left.frames.iter().all(|frame| !frame.is_torn()));
    assert_summary_took_its_place(&left, "cancelled");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_display_follows_the_terminal_s_size() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = slow(3_000);
    let line = run_line(folder.path(), &server);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let mut terminal = Terminal::muster(folder.path(), 80, &line, &[]);
    let height = |lines: usize| move |frame: &Frame, _: usize| frame.panel.len() == lines;
    terminal.until("three lines at 80 columns", height(3)).await;
    terminal.resize(40).await;
    terminal.until("five lines at 40 columns", height(5)).await;
    terminal.resize(200).await;
    terminal.until("two lines at 200 columns", height(2)).await;
    let left = terminal.left().await;
    assert_summary_took_its_place(&left, "verdict: complete and balanced");
    assert!(left.frames.iter().all(|frame| !frame.is_torn()), "a line was wider than the terminal");
    let first_lines = left.frames.iter().map(|frame| frame.panel[0].chars().take(20).collect::<String>());
    assert!(first_lines.collect::<std::collections::BTreeSet<_>>().len() == 1, "a frame began elsewhere");
}

#[tokio::test(flavor = "multi_thread")]
async fn sentences_break_between_words_and_commands_stay_whole() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { poison: Amount::Count(2), ..Config::calm(200) });
    let cluster = Cluster::start(folder.path()).await;
    let _worker = cluster.worker("w1", &[]);
    let run_id = cluster.start_run("animals", &server.base_url()).await;
    cluster.watch(&run_id).await;
    let url = cluster.url();
    let commands: [(&[&str], &str); 8] = [
        (&["runs"], &run_id),
        (&["show", "latest"], "dead letters               2"),
        (&["dead-letters", "latest"], "the target refuses it with 422"),
        (&["in-doubt", "latest"], "has no deliveries in doubt"),
        (&["record", "latest", "7"], "leased to w1"),
        (&["record", "latest", "99999"], "different IDs"),
        (&["verify", "latest"], "complete and balanced"),
        (&["workers"], "w1"),
    ];
    for columns in [40, 60, 80, 200] {
        for (line, says) in commands {
            let left = Terminal::muster(folder.path(), columns, line, &[("MUSTER_COORDINATOR", &url)]).left().await;
            // Where a sentence breaks is no matter here.
            let said = left.lines.iter().flat_map(|line| line.split_whitespace()).collect::<Vec<_>>().join(" ");
            let says = says.split_whitespace().collect::<Vec<_>>().join(" ");
            assert!(said.contains(&says), "{line:?} at {columns}: {:#?}", left.lines);
            assert_eq!(left.screen.cursor_position().1, 0, "{line:?} at {columns}: the prompt would not begin a line");
            // What is there to be copied: a command, which runs on until its line ends.
            let torn: Vec<_> = left
                .torn()
                .into_iter()
                .filter(|line| !line.contains("muster ") && !line.contains("--") && !line.contains("://"))
                .collect();
            assert_eq!(torn, [""; 0], "{line:?} at {columns}: {:#?}", left.lines);
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn nothing_of_a_terminal_goes_into_a_pipe_or_a_file() {
    let _turn = turn::light().await;
    let folder = tempfile::tempdir().expect("a folder");
    let server = slow(600);
    let line = run_line(folder.path(), &server);
    let ended = Start::muster(folder.path(), &line).env("TERM", "xterm-256color").run().await.with_code(3);
    for said in [&ended.stdout, &ended.stderr] {
        assert!(!said.contains(['\u{1b}', '\r', '\u{8}']), "{said:?}");
    }
    assert!(ended.stderr.contains(" running after ") && ended.stdout.contains("verdict: "), "{ended:?}");

    let quiet = [&line[..], &["--resume".to_owned(), "--quiet".to_owned()]].concat();
    let ended = Start::muster(folder.path(), quiet).run().await.with_code(3);
    assert_eq!(ended.stdout, "");
    let run = ended.stderr.strip_suffix(" is finished, complete and balanced, 2 dead letters\n");
    assert!(run.is_some_and(|run| run.starts_with("error: run animals-of-every-kind")), "{}", ended.stderr);
}
