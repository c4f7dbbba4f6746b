//! Loads many small records through separate processes, and prints how fast and with how much memory.
//!
//! `cargo run --release -p muster-tests --bin scale -- --records 100000 --records 1000000 --workers 2`

use clap::Parser;
use muster_tests::scale::{Load, Measured, measure};

/// Load many small records through a coordinator and workers as separate processes, and measure
#[derive(Debug, Parser)]
struct Flags {
    /// How many records; one run for each
    #[arg(long, default_values_t = [100_000, 1_000_000])]
    records: Vec<u64>,
    /// How many workers
    #[arg(long, default_value_t = 1)]
    workers: usize,
    /// The list has whole records: none is read by itself
    #[arg(long)]
    whole_items: bool,
}

#[tokio::main]
#[expect(clippy::print_stdout, reason = "this is what it is for")]
async fn main() -> anyhow::Result<()> {
    let flags = Flags::parse();
    println!("{}", Measured::HEADING);
    for records in flags.records {
        let load = Load { records, workers: flags.workers, whole_items: flags.whole_items, api_threads: Some(1) };
        println!("{}", Box::pin(measure(&load)).await?.line());
    }
    Ok(())
}
