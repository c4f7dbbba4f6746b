//! Reports of runs.

use std::path::{Path, PathBuf};

use clap::{Args, ValueEnum, ValueHint};

use super::ReadArgs;

/// Flags of `muster report`.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// The run's ID, or latest
    pub run: String,
    /// What is written [default: html, or json with --json]
    #[arg(long, env = "MUSTER_REPORT_FORMAT", value_enum, value_name = "FORMAT")]
    pub format: Option<ReportFormat>,
    /// Write this file, whole or not at all; - is standard output [default: RUN.html, or standard output for json and csv]
    #[arg(short, long, env = "MUSTER_OUTPUT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
    /// Where to read.
    #[command(flatten)]
    pub read: ReadArgs,
}

/// What a report is written as.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum ReportFormat {
    /// A page for a browser that needs nothing but itself
    Html,
    /// The report as the API answers it
    Json,
    /// Comma-separated values, a line for each figure: run_id, round, section, name, value
    Csv,
}

/// Where a report goes.
#[derive(Debug, PartialEq, Eq)]
pub enum ReportPlace {
    /// Standard output.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl ReportArgs {
    /// What is wanted.
    pub fn format(&self) -> ReportFormat {
        let otherwise = if self.read.json { ReportFormat::Json } else { ReportFormat::Html };
        self.format.unwrap_or(otherwise)
    }

    /// Where a page of this name or other text goes.
    pub fn place(&self, name: &str) -> ReportPlace {
        match &self.output {
            Some(path) if path == Path::new("-") => ReportPlace::Stdout,
            Some(path) => ReportPlace::File(path.clone()),
            None if self.format() == ReportFormat::Html => ReportPlace::File(name.into()),
            None => ReportPlace::Stdout,
        }
    }
}

/// Flags of `muster compare`.
#[derive(Args, Debug)]
pub struct CompareArgs {
    /// The run to compare with: its ID, or latest
    pub first: String,
    /// The run that is compared: its ID, or latest
    pub second: String,
    /// Where to read.
    #[command(flatten)]
    pub read: ReadArgs,
}
