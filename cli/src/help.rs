//! Examples in the long help of each command.

use clap::Command;

use crate::exit;
use crate::render::paint::headed;

/// Examples by command.
const EXAMPLES: &[(&str, &str)] = &[
    (
        "run",
        "  muster run animals --set base_url=http://127.0.0.1:3123
  muster run ./customers.yaml --workers 2 --db customers.db --audit ./audit
  muster run animals --set base_url=http://127.0.0.1:3123 --resume
  muster run ./customers.yaml --since latest --db customers.db
  muster run ./customers.yaml --notify-url https://hooks.example/muster --notify-secret-file key

--since latest is for a timer: the first run loads everything, each later one what has changed since
the one before, as source.list.version or a watermark tells.

Ctrl-C drains: nothing new is sent, what is on its way is awaited and noted, and the command
ends with 1. The same command with --resume goes on. A second Ctrl-C ends at once (130); the
ledger holds what was announced, and --resume goes on from there too.",
    ),
    ("demo", "  muster demo\n  muster demo --seed 7 --strict\n  muster demo --animals 20000 --chaos 0 --workers 2"),
    (
        "coordinator",
        "  muster coordinator --database sqlite://muster.db
  MUSTER_DATABASE_URL=postgres://me:secret@db/muster muster coordinator --listen 127.0.0.1:7471
  muster coordinator --listen [::]:7470 --tls-cert my.pem --tls-key my.key --tokens access.yaml
  muster coordinator --notify-url https://hooks.example/muster --notify-secret-file webhook.secret",
    ),
    (
        "worker",
        "  muster worker --coordinator http://127.0.0.1:7470
  muster worker --coordinator https://muster.example:7470 --tls-ca ca.pem --token-file worker.token",
    ),
    (
        "start",
        "  muster start animals --set base_url=http://127.0.0.1:3123 --watch
  muster start customers --since latest --watch
  muster start urgent-customers --priority 10 --max-workers 2
  RUN=$(muster start animals --set base_url=http://127.0.0.1:3123 --json | jq -r .run_id)",
    ),
    (
        "watch",
        "  muster watch latest
  muster watch latest --quiet --until-paused
  muster watch animals-1x2y3z4w --json | jq .progress.loaded

A pause does not end the watching: somebody may resume the run. It is told, also with --quiet; with
--until-paused it ends the command, with 1.",
    ),
    ("runs", "  muster runs\n  muster runs --db muster.db --json | jq -r '.runs[].run_id'"),
    ("show", "  muster show latest\n  muster show animals-1x2y3z4w --db muster.db"),
    ("pause", "  muster pause latest --reason 'the target is being upgraded'"),
    ("resume", "  muster resume latest\n  muster resume latest --db muster.db"),
    (
        "share",
        "  muster share latest --priority 10
  muster share animals-1x2y3z4w --weight 300 --max-workers 2

Batches are leased of the run with the highest priority; among runs of one priority, of the one that
has the fewest batches leased for its weight: 300 gets three times what 100 gets. Leases that
workers hold stay.",
    ),
    ("cancel", "  muster cancel animals-1x2y3z4w"),
    ("record", "  muster record latest 4711\n  muster record latest '\"4711\"' --db muster.db"),
    (
        "verify",
        "  muster verify latest
  muster verify animals-1x2y3z4w --db muster.db
  muster verify latest --round 1
  muster verify --files ./audit/animals-1x2y3z4w

--files reads ids.json (what the source listed) and each batch_<n>.json (what the target
acknowledged): 0 when each listed ID is in exactly one of them; 3 when IDs are missing and nothing
else is wrong; 4 when IDs are doubled or unexpected, or a file is unreadable; 1 when the folder or
its ids.json cannot be read. Dead letters and records that are gone were never acknowledged: here
they count as missing, and the ledger says why. unchanged.json names what need not be loaded, in a
run that goes on from an earlier one.",
    ),
    (
        "report",
        "  muster report latest
  muster report animals-1x2y3z4w --output herd.html --db muster.db
  muster report latest --format json | jq .costs.per_thousand
  muster report latest --format csv --output herd.csv

The page needs nothing but itself: no script, nothing from elsewhere, light and dark, fit to be
printed. Without --output it is RUN.html in this folder, in place of an earlier one; JSON and values
go to standard output. Of a run that is over it is the same each time.",
    ),
    (
        "compare",
        "  muster compare animals-1x2y3z4w latest
  muster compare animals-1x2y3z4w animals-5a6b7c8d --db muster.db --json

Differences are what the second has more than the first.",
    ),
    (
        "dead-letters",
        "  muster dead-letters latest
  muster dead-letters animals-1x2y3z4w --stage validate --db muster.db
  muster dead-letters latest --reason missing --limit 0 --json | jq -r '.dead_letters[].record_id'",
    ),
    ("in-doubt", "  muster in-doubt latest\n  muster in-doubt animals-1x2y3z4w --db muster.db --json"),
    (
        "settle",
        "  muster settle latest 7 9 --not-applied --note 'not in the import log'
  muster settle latest 7 --applied-only 4711,4712
  muster settle latest --all --applied --db muster.db

A delivery is in doubt when the target may or may not have applied it; in-doubt lists them. What
was applied is loaded. What was not is sent again: in its round while that goes on, else in the
next one. All deliveries are settled or, after an error, none.",
    ),
    (
        "redrive",
        "  muster redrive latest --dry-run
  muster redrive latest --stage validate --mended --watch
  muster redrive animals-1x2y3z4w --db muster.db --pipeline ./customers.yaml --workers 2

The records that a run gave up on go through once more, in a round with batches and a verdict of
its own; older rounds stay as they were. With --db the round is run in this process, and ends as
with `muster run`.",
    ),
    (
        "export",
        "  muster export latest | jq -r 'select(.state == \"dead_letter\") | .record_id'
  muster export animals-1x2y3z4w --format csv --output herd.csv --db muster.db",
    ),
    (
        "delete",
        "  muster delete animals-1x2y3z4w
  muster delete --older-than 30d --state finished --yes --db muster.db
  muster delete --older-than 2w --dry-run",
    ),
    ("workers", "  muster workers\n  muster workers --all --json"),
    ("health", "  muster health\n  muster health --coordinator http://muster:7470 --service muster.v1.WorkerService"),
    (
        "token",
        "  muster token nightly --role operator --expires 90d
  muster token worker-1 --role worker --output worker-1.token >>access.yaml

What is printed goes into the file that the coordinator's --tokens names, which is read again when
it changes. The token itself is not kept: the file has its SHA-256.",
    ),
    (
        "dev-certs",
        "  muster dev-certs
  muster dev-certs certs --host muster.example --expires 7d

For trying it out: the authority's key is not kept, so that nobody can issue more. Prints the
commands that go with them.",
    ),
    ("pipelines", "  muster pipelines\n  muster pipelines --db muster.db"),
    (
        "pipeline",
        "  muster pipeline init https://api.example/items -o items.yaml
  muster pipeline check items.yaml
  muster pipeline try items.yaml --records 5

Nothing of this sends anything to a target.",
    ),
    (
        "completions",
        "  muster completions bash > ~/.local/share/bash-completion/completions/muster
  muster completions zsh > ~/.zfunc/_muster
  muster completions fish > ~/.config/fish/completions/muster.fish
  muster completions elvish > ~/.config/elvish/lib/muster.elv
  muster completions powershell >> $PROFILE

Each line puts the script where its shell looks for it; a new shell has it. The folder must be
there. zsh needs its folder on the path before compinit, in ~/.zshrc: fpath=(~/.zfunc $fpath).
elvish needs a line in ~/.config/elvish/rc.elv: use muster. For this shell alone, in bash:
source <(muster completions bash)",
    ),
    ("man", "  muster man | man -l -\n  muster man ~/.local/share/man/man1"),
];

/// The same for the tools of `muster pipeline`.
const TOOLS: &[(&str, &str)] = &[
    (
        "check",
        "  muster pipeline check items.yaml
  muster pipeline check pipelines/items.yaml pipelines/orders.yaml --json
  muster pipeline check --live items.yaml --set base_url=http://127.0.0.1:3123 --records 20

Without --live nobody is asked: 0 when every file is right, 2 when one is not. With --live: 0 when
all records that were read would be loaded, 3 when some would be dead letters, 1 when the source
cannot be read.",
    ),
    ("explain", "  muster pipeline explain animals\n  muster pipeline explain items.yaml | less"),
    (
        "try",
        "  muster pipeline try items.yaml
  muster pipeline try items.yaml --records 20 --json | jq .after
  muster pipeline try items.yaml --id 4711 --id 4712

3 when some of the records would be dead letters, 1 when the source cannot be read.",
    ),
    (
        "init",
        "  muster pipeline init https://api.example/items
  muster pipeline init https://api.example/items --header 'Authorization: Bearer abc' -o items.yaml

The list is asked for once, and a few of its records at URL/ID. What is sent with --header stands in
the file by reference only.",
    ),
    (
        "record",
        "  muster pipeline record items.yaml --cassette items.cassette.yaml --records 5

Credentials, cookies, keys in headers and queries, and tokens are taken out; so is every secret that
the pipeline refers to, wherever it stands in an answer.",
    ),
    (
        "test",
        "  muster pipeline test items.yaml --cassette items.cassette.yaml --update
  muster pipeline test items.yaml --cassette items.cassette.yaml

A request that is not on the cassette is an error: 1. When what comes of the records is not what is
expected, the differences are shown: 3.",
    ),
    ("schema", "  muster pipeline schema > pipeline.schema.json"),
];

/// The examples of a tool of `muster pipeline`.
pub fn examples_of_tool(tool: &str) -> Option<&'static str> {
    TOOLS.iter().find(|(name, _)| *name == tool).map(|(_, examples)| *examples)
}

/// The examples of a command.
pub fn examples(command: &str) -> Option<&'static str> {
    EXAMPLES.iter().find(|(name, _)| *name == command).map(|(_, examples)| *examples)
}

/// Adds to each command its examples and the exit codes.
pub fn with_examples(command: Command) -> Command {
    with(EXAMPLES, command).mut_subcommand("pipeline", |tools| with(TOOLS, tools))
}

fn with(examples: &[(&'static str, &str)], command: Command) -> Command {
    examples.iter().fold(command, |command, (name, examples)| {
        command.mut_subcommand(name, |sub| {
            let long = format!("Examples:\n{examples}\n\n{}", exit::HELP);
            sub.after_help(headed(exit::HELP)).after_long_help(headed(&long))
        })
    })
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::args::Cli;

    #[test]
    fn every_command_has_examples_that_parse() {
        let names: Vec<_> = Cli::command().get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
        assert_eq!(names, EXAMPLES.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for (name, examples) in EXAMPLES {
            assert!(examples.starts_with(&format!("  muster {name}")), "{name}: the first example, indented");
        }
        let tools = Cli::command();
        let tools = tools.find_subcommand("pipeline").expect("the tools");
        let names: Vec<_> = tools.get_subcommands().map(|sub| sub.get_name()).collect();
        assert_eq!(names, TOOLS.iter().map(|(name, _)| *name).collect::<Vec<_>>());
        for (name, examples) in TOOLS {
            assert!(examples.starts_with(&format!("  muster pipeline {name}")), "{name}: the first example, indented");
        }
        for line in EXAMPLES.iter().chain(TOOLS).flat_map(|(_, examples)| examples.lines()) {
            let Some(line) = line.strip_prefix("  muster ") else { continue };
            let line = line.split(['|', '>']).next().unwrap_or(line).trim_end();
            let words = std::iter::once("muster".into()).chain(words(line));
            assert!(Cli::parse_from(words).is_ok(), "{line}");
        }
        // Whoever copies one that is folded copies two commands.
        for line in EXAMPLES.iter().chain(TOOLS).flat_map(|(_, examples)| examples.lines()) {
            assert!(line.len() <= 100, "{} columns: {line}", line.len());
        }
    }

    #[test]
    fn the_commands_of_the_operators_page_parse() {
        const PAGE: &str = include_str!("../../docs/OPERATIONS.md");
        let lines: Vec<&str> = PAGE.lines().filter(|line| line.starts_with("muster ")).collect();
        assert!(lines.len() > 20, "{lines:?}");
        for line in lines {
            let line = line.split(['|', '#', '>']).next().unwrap_or(line).trim_end();
            let parsed = Cli::parse_from(words(line));
            assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
        }
    }

    /// A line's words, as a shell splits them at blanks outside of single quotes.
    fn words(line: &str) -> Vec<std::ffi::OsString> {
        let mut quoted = false;
        let split = line.split(|c: char| {
            quoted ^= c == '\'';
            c == ' ' && !quoted
        });
        split.map(|word| word.replace('\'', "").into()).collect()
    }
}
