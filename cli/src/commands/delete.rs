//! `delete`: runs that nobody needs any more.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, SystemTime};

use console::Term;
use muster_proto::v1::{DeleteRunRequest, Run, RunState};
use muster_telemetry::Stderr;
use serde_json::json;
use tonic::Code;

use crate::args::{DeleteArgs, Ended};
use crate::client::Client;
use crate::commands::lists::all_runs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::manner;
use crate::output;
use crate::render::numbers::{bytes, counted};
use crate::render::run_state;
use crate::writing::Writing;

/// `muster delete RUN...`.
pub async fn delete(args: DeleteArgs, stderr: &Stderr) -> Result<Exit, Failure> {
    let target = args.read.clone().target()?;
    if args.dry_run {
        let client = Client::connect_to_read(target).await?;
        let runs = meant(&client, &args).await?;
        return tell(&args, &runs, None);
    }
    let ledger = Writing::open(target).await?;
    let runs = meant(&ledger.client, &args).await?;
    if runs.is_empty() {
        ledger.close().await;
        return tell(&args, &runs, None);
    }
    if !args.yes && !agreed(&runs)? {
        ledger.close().await;
        manner::remark(stderr, "nothing was deleted");
        return Ok(Exit::Other);
    }
    let file = ledger.file().map(Path::to_owned);
    let before = file.as_deref().map(size);
    let (deleted, failed) = delete_each(&ledger.client, &runs).await;
    // The file gets shorter when it is closed.
    let caught_up = ledger.catch_up().await;
    ledger.close().await;
    // Also when not all went: what is gone is gone.
    if failed.is_none() || !deleted.is_empty() {
        tell(&args, &deleted, before.zip(file.as_deref().map(size)))?;
    }
    failed.map_or(caught_up.map(|()| Exit::Fine), Err)
}

/// Deletes one after another, until one cannot be. What somebody else has deleted meanwhile is as well.
async fn delete_each(client: &Client, runs: &[Run]) -> (Vec<Run>, Option<Failure>) {
    let mut deleted = Vec::new();
    for run in runs {
        let request = DeleteRunRequest { run_id: run.run_id.clone() };
        match client.runs().delete_run(request).await {
            Err(status) if status.code() != Code::NotFound => return (deleted, Some(client.failure(status))),
            _ => deleted.push(run.clone()),
        }
    }
    (deleted, None)
}

/// The runs that are meant. Those that were named must be over.
async fn meant(client: &Client, args: &DeleteArgs) -> Result<Vec<Run>, Failure> {
    let mut runs: Vec<Run> = Vec::new();
    for name in &args.runs {
        let run = client.run(name).await?;
        if !is_over(&run) {
            let state = run_state(run.state());
            let failure =
                Failure::new(format!("run {} is {state}: only a run that is over can be deleted", run.run_id));
            return Err(failure.help(format!("muster cancel {}{} ends it early", run.run_id, client.flag())));
        }
        if !runs.iter().any(|known| known.run_id == run.run_id) {
            runs.push(run);
        }
    }
    if let Some(age) = args.older_than {
        let all = all_runs(client, usize::MAX).await?;
        runs.extend(all.into_iter().filter(|run| is_older(run, age, SystemTime::now())));
    }
    runs.retain(|run| match args.state {
        None => true,
        Some(Ended::Finished) => run.state() == RunState::Finished,
        Some(Ended::Cancelled) => run.state() == RunState::Cancelled,
    });
    Ok(runs)
}

fn is_over(run: &Run) -> bool {
    matches!(run.state(), RunState::Finished | RunState::Cancelled)
}

/// Has the run been over for so long?
fn is_older(run: &Run, age: Duration, now: SystemTime) -> bool {
    let ended = run.finished_at.and_then(|time| SystemTime::try_from(time).ok());
    is_over(run) && ended.is_some_and(|ended| now.duration_since(ended).is_ok_and(|since| since >= age))
}

/// Asks whoever sits at the terminal.
fn agreed(runs: &[Run]) -> Result<bool, Failure> {
    let term = Term::stderr();
    if !std::io::stdin().is_terminal() || !term.is_term() {
        return Err(Failure::usage("deleting is for good, and there is no terminal to ask at: nothing was deleted")
            .help("say that you mean it: --yes")
            .help("see what would be deleted: --dry-run"));
    }
    let ask = || -> std::io::Result<String> {
        term.write_str(&format!("{}Delete {}, for good? [y/N] ", list(runs), what(runs)))?;
        term.read_line()
    };
    let answer = ask().map_err(|error| Failure::new(format!("cannot ask at the terminal: {error}")))?;
    Ok(matches!(answer.trim().to_lowercase().as_str(), "y" | "yes"))
}

fn what(runs: &[Run]) -> String {
    counted(i64::try_from(runs.len()).unwrap_or(i64::MAX), "run", "runs")
}

fn list(runs: &[Run]) -> String {
    runs.iter().map(|run| format!("{} ({})\n", run.run_id, run_state(run.state()))).collect()
}

/// The bytes of a ledger's file and of what is not written into it yet.
fn size(file: &Path) -> u64 {
    let mut log = file.as_os_str().to_owned();
    log.push("-wal");
    let length = |path: &Path| std::fs::metadata(path).map_or(0, |found| found.len());
    length(file) + length(Path::new(&log))
}

fn tell(args: &DeleteArgs, runs: &[Run], sizes: Option<(u64, u64)>) -> Result<Exit, Failure> {
    if args.read.json {
        let ids: Vec<&str> = runs.iter().map(|run| run.run_id.as_str()).collect();
        output::print_json(&json!({
            "runs": ids,
            "dry_run": args.dry_run,
            "bytes_before": sizes.map(|(before, _)| before),
            "bytes_after": sizes.map(|(_, after)| after),
        }))?;
        return Ok(Exit::Fine);
    }
    let text = match (runs.is_empty(), args.dry_run, sizes) {
        (true, ..) => "no runs to delete\n".to_owned(),
        (_, true, _) => format!("{}{} would be deleted\n", list(runs), what(runs)),
        (_, _, None) => format!("{}{} deleted; the ledger gives the space back soon\n", list(runs), what(runs)),
        (_, _, Some((before, after))) => {
            let freed = bytes(before.saturating_sub(after));
            format!("{}{} deleted; the ledger gave {freed} back, it has {} now\n", list(runs), what(runs), bytes(after))
        }
    };
    output::remark(&text)?;
    Ok(Exit::Fine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn age_counts_from_the_end() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000);
        let run = |state: RunState, seconds| Run {
            state: state.into(),
            finished_at: Some(prost_types::Timestamp { seconds, nanos: 0 }),
            ..Run::default()
        };
        let age = Duration::from_secs(100);
        assert!(is_older(&run(RunState::Finished, 900), age, now));
        assert!(!is_older(&run(RunState::Finished, 901), age, now));
        assert!(!is_older(&run(RunState::Cancelled, 2_000), age, now), "a clock that is ahead");
        assert!(!is_older(&run(RunState::Running, 900), age, now));
        assert!(!is_older(&Run { finished_at: None, ..run(RunState::Cancelled, 0) }, age, now));
    }
}
