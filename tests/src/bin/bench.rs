//! Measures whole runs beside a bare HTTP client, prints medians and ratios, and keeps them as JSON.
//!
//! `cargo run --release -p muster-tests --bin bench -- plain latency --rounds 5`, or `just bench`: see docs/PERFORMANCE.md.

use std::path::PathBuf;

use clap::{Parser, ValueEnum};
use muster_tests::bench::Sheet;
use muster_tests::bench::control::{Play, play};
use muster_tests::bench::outage::outage;
use muster_tests::bench::page::page;
use muster_tests::bench::runs::{Round, latency, plain, reality, scale, small, workers};
use muster_tests::bench::tracing::tracing;

/// As workers have it: what simulated ones cost is taken from the coordinator beside them.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measure whole runs beside a bare HTTP client
#[derive(Debug, Parser)]
struct Flags {
    /// What to measure
    #[arg(required = true)]
    scenarios: Vec<Scenario>,
    /// How often
    #[arg(long, default_value_t = 5)]
    rounds: usize,
    /// IDs of the control plane's scenarios
    #[arg(long, default_value_t = 500_000)]
    ids: u64,
    /// Records of the run whose page is open
    #[arg(long, default_value_t = 1_000_000)]
    records: u64,
    /// Workers of the control plane's scenarios
    #[arg(long, default_value_t = 200)]
    workers: usize,
    /// Where the figures are kept, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// A `muster` from before there were traces, for the scenario that says what they cost
    #[arg(long, value_name = "PROGRAM")]
    untraced: Option<PathBuf>,
    /// A sheet of figures that was kept before, to compare with
    #[arg(long, value_name = "FILE")]
    against: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum Scenario {
    /// 5,500 animals, 2% chaos, stalls of 5 to 15 s; each round is a seed
    Reality,
    /// 20,000 animals, 20 ms for each detail
    Latency,
    /// 100,000 animals that are there at once
    Plain,
    /// 10 records
    Small,
    /// 1, 2, 4 and 8 workers at 50 ms
    Workers,
    /// 10 thousand, 100 thousand and a million records
    Scale,
    /// A source that serves nothing for 30 s
    Outage,
    /// 100,000 animals that are there at once: without traces, with 1% of them, with all
    Tracing,
    /// A run's page that is open in a browser: the coordinator's processor time, and what it sends
    Page,
    /// Simulated workers, the ledger on SQLite
    Control,
    /// Simulated workers, the ledger on PostgreSQL
    ControlPostgres,
}

async fn round(scenario: Scenario, flags: &Flags, number: usize) -> anyhow::Result<Round> {
    let control = |postgres| play(Play { records: flags.ids, workers: flags.workers, postgres });
    match scenario {
        Scenario::Reality => Box::pin(reality(number)).await,
        Scenario::Latency => Box::pin(latency(number)).await,
        Scenario::Plain => Box::pin(plain(number)).await,
        Scenario::Small => Box::pin(small(number)).await,
        Scenario::Workers => Box::pin(workers(number)).await,
        Scenario::Scale => Box::pin(scale(number)).await,
        Scenario::Outage => Box::pin(outage(number)).await,
        Scenario::Tracing => Box::pin(tracing(number, flags.untraced.as_deref())).await,
        Scenario::Page => Box::pin(page(flags.records)).await,
        Scenario::Control => Box::pin(control(false)).await,
        Scenario::ControlPostgres => Box::pin(control(true)).await,
    }
}

#[tokio::main]
#[expect(clippy::print_stdout, clippy::print_stderr, reason = "this is what it is for")]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    let before = flags.against.as_deref().map(Sheet::read).transpose()?;
    let mut sheet = Sheet::new();
    for scenario in &flags.scenarios {
        let name = scenario.to_possible_value().map(|value| value.get_name().to_owned()).unwrap_or_default();
        for number in 0..flags.rounds {
            eprintln!("{name}, round {} of {}", number + 1, flags.rounds);
            sheet.add(&name, round(*scenario, &flags, number).await?);
        }
        println!("{}\n", sheet.table(&name, before.as_ref()));
        if let Some(file) = &flags.json {
            sheet.keep(file)?;
        }
    }
    Ok(())
}
