//! `pipeline test`: a pipeline on a cassette, held against what is expected. It needs neither network nor secrets.

use std::path::{Path, PathBuf};

use muster_pipeline::{Cassette, Played, Player, Requester, Wanted};
use muster_telemetry::Stderr;

use super::{diff, sampling};
use crate::args::TestArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::clean;
use crate::render::numbers::counted;
use crate::render::paint::{self, Tone};
use crate::{manner, output};

/// How many records are taken where neither the command nor the cassette says.
const RECORDS: usize = 10;

/// `muster pipeline test FILE --cassette F`.
pub async fn test(args: TestArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let ready = sampling::ready(&args.file, &args.set)?;
    let cassette = read(&args.cassette)?;
    let records = args.records.or(cassette.records()).unwrap_or(RECORDS);
    let player = Player::new(cassette);
    let requester = Requester::playing(ready.pipeline.limits(), &sampling::config(None), &player);
    let sample = ready.compiled.sample(&requester, &Wanted::First(records)).await;
    let played = player.played();
    if !played.missing.is_empty() {
        return Err(not_on_it(&args, &played));
    }
    let sample = sample.map_err(|error| sampling::unreadable(&error))?;
    let got: Vec<String> = sample.records.iter().map(|record| sampling::outcome(record).to_string()).collect();
    for unused in &played.unused {
        manner::remark(stderr, &format!("not asked for: {unused}"));
    }
    let beside = beside(&args.cassette);
    let whole: String = got.iter().map(|line| format!("{line}\n")).collect();
    if args.update {
        std::fs::write(&beside, whole)
            .map_err(|error| Failure::new(format!("cannot write {}: {error}", beside.display())))?;
        manner::remark(stderr, &format!("{} expected from now on, in {}", many(got.len()), beside.display()));
        return Ok(Exit::Fine);
    }
    let Ok(expected) = std::fs::read_to_string(&beside) else {
        output::print(&whole)?;
        return Err(Failure::new(format!("there is nothing to compare with in {}", beside.display()))
            .help("if what came of the records is right, the same command with --update keeps it"));
    };
    let expected: Vec<&str> = expected.lines().filter(|line| !line.trim().is_empty()).collect();
    let differences = diff::records(&expected, &got);
    if differences.is_empty() {
        output::remark(&format!("{} {} as expected\n", paint::out(Tone::Good, "ok:"), many(got.len())))?;
        return Ok(Exit::Fine);
    }
    output::print(&differences)?;
    let what = format!("not what is expected in {}", beside.display());
    stderr.write_lines(format!("{}\n", Failure::new(what).help("if it is right so: --update").painted()).as_bytes());
    Ok(Exit::Exceptions)
}

fn many(count: usize) -> String {
    counted(i64::try_from(count).unwrap_or(i64::MAX), "record", "records")
}

/// `F.expected.jsonl`, in place of the extension that F has.
fn beside(cassette: &Path) -> PathBuf {
    cassette.with_extension("expected.jsonl")
}

fn read(path: &Path) -> Result<Cassette, Failure> {
    let name = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Failure::usage(format!("cannot read the cassette {name}: {error}")).help("muster pipeline record makes one")
    })?;
    Cassette::from_yaml(&text).map_err(|error| Failure::usage(format!("{name}: {error}")))
}

fn not_on_it(args: &TestArgs, played: &Played) -> Failure {
    let mut what = format!("{} does not answer all that is asked", args.cassette.display());
    played.missing.iter().for_each(|missing| what.push_str(&format!("\n{}", clean(missing))));
    played.unused.iter().for_each(|unused| what.push_str(&format!("\nnot asked for: {}", clean(unused))));
    let parameters = "were other --set values given when it was recorded?";
    let again = format!("record it again: muster pipeline record {} --cassette {}", args.file, args.cassette.display());
    Failure::new(what).help(parameters).help(again)
}
