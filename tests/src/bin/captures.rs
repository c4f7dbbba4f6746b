//! Remakes the pictures in docs/captures from real runs on a pseudo-terminal: `just captures`.

use std::path::Path;
use std::time::Duration;

use animals_api::{Amount, ChaosOn, Config, Server};
use anyhow::{Context, Result};
use clap::Parser;
use muster_tests::capture::svg;
use muster_tests::terminal::{Frame, Terminal};

/// Draws what `muster` shows on terminals of 40, 80 and 200 columns into SVG files.
#[derive(Parser)]
struct Args {
    /// Where the pictures go.
    folder: std::path::PathBuf,
}

#[tokio::main]
async fn main() -> Result<()> {
    let to = Args::parse().folder;
    std::fs::create_dir_all(&to).with_context(|| format!("cannot make {}", to.display()))?;
    let place = tempfile::tempdir()?;
    for columns in [40, 80, 200] {
        demo(&to, place.path(), columns).await?;
    }
    let server = with_exceptions();
    draining(&to, place.path(), &server).await?;
    exceptions(&to, place.path(), &server).await?;
    for columns in [40, 80, 200] {
        let command = ["runs", "--db", "herd.db"];
        let left = Terminal::prompted(place.path(), columns, &command).left().await;
        write(&to, &format!("runs-{columns}"), &svg(&left.screen))?;
    }
    let left = Terminal::prompted(place.path(), 80, &["verify", "-h"]).left().await;
    write(&to, "help-80", &svg(&left.screen))
}

/// A demo on its way, and the usual one at its end: that is over before much can be seen of it.
async fn demo(to: &Path, place: &Path, columns: u16) -> Result<()> {
    let db = format!("long-{columns}.db");
    let long = ["demo", "--seed", "7", "--animals", "100000", "--db", &db];
    let mut terminal = Terminal::prompted(place, columns, &long);
    let half = |frame: &Frame, _: usize| (40..70).any(|share| frame.panel[0].contains(&format!(" {share}% ")));
    let frame = terminal.until("the demo is half done", half).await;
    write(to, &format!("live-{columns}"), &svg(&frame.screen))?;
    terminal.left().await;
    let db = format!("demo-{columns}.db");
    let left = Terminal::prompted(place, columns, &["demo", "--seed", "7", "--db", &db]).left().await;
    write(to, &format!("demo-{columns}"), &svg(&left.screen))
}

/// Some animals are refused, some are gone, and POSTs take their time.
fn with_exceptions() -> Server {
    let stall = Duration::from_millis(500)..=Duration::from_millis(1_500);
    let config = Config { chaos: 0.6, stall_share: 0.9, chaos_on: ChaosOn::Posts, stall, ..Config::calm(4_000) };
    let config = Config { poison: Amount::Count(3), gone: Amount::Count(2), ..config };
    Server::start(Config { latency: Duration::from_millis(30), ..config }, ([127, 0, 0, 1], 0).into())
        .expect("a stand-in")
}

fn run_line(server: &Server) -> Vec<String> {
    let set = format!("base_url={}", server.base_url());
    ["run", "animals", "--set", &set, "--db", "herd.db"].map(str::to_owned).into()
}

/// Ctrl-C in the middle of a run.
async fn draining(to: &Path, place: &Path, server: &Server) -> Result<()> {
    let line = run_line(server);
    let line: Vec<&str> = line.iter().map(String::as_str).collect();
    let mut terminal = Terminal::prompted(place, 80, &line);
    let some = |frame: &Frame, _: usize| (15..60).any(|share| frame.panel[0].contains(&format!(" {share}% ")));
    terminal.until("a part is done", some).await;
    terminal.type_in("\u{3}").await;
    let frame = terminal.until("draining is shown", |frame, _| frame.panel.join(" ").contains("draining: ")).await;
    write(to, "draining-80", &svg(&frame.screen))?;
    terminal.left().await;
    Ok(())
}

/// The same run to its end, which is not all well.
async fn exceptions(to: &Path, place: &Path, server: &Server) -> Result<()> {
    let line = run_line(server);
    let line: Vec<&str> = line.iter().map(String::as_str).chain(["--resume"]).collect();
    let left = Terminal::prompted(place, 80, &line).left().await;
    write(to, "exceptions-80", &svg(&left.screen))
}

fn write(folder: &Path, name: &str, text: &str) -> Result<()> {
    let file = folder.join(name).with_extension("svg");
    std::fs::write(&file, text).with_context(|| format!("cannot write {}", file.display()))
}
