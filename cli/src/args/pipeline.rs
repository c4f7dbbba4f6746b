//! Flags of the tools for whoever writes a pipeline: `muster pipeline ...`.

use muster_pipeline::proxy_url;
use std::path::PathBuf;
use url::Url;

use clap::builder::BoolishValueParser;
use clap::{Args, Subcommand, ValueHint};

use super::SetArgs;

/// Flags of `muster pipeline`.
#[derive(Args, Debug)]
pub struct PipelineArgs {
    /// A proxy for all requests to the source: http://HOST:PORT. With a name and a password in it, better given in
    /// MUSTER_PROXY: whoever lists processes sees flags. Proxies that other variables name are not used
    #[arg(long, global = true, env = "MUSTER_PROXY", hide_env_values = true, value_name = "URL", value_parser = proxy_url)]
    pub proxy: Option<Url>,
    /// What to do.
    #[command(subcommand)]
    pub tool: PipelineTool,
}

/// The tools.
#[derive(Debug, Subcommand)]
pub enum PipelineTool {
    /// Check pipeline files: keys, values, schema, jq, URLs; with --live also a few records of the source
    Check(CheckArgs),
    /// Say what a pipeline does: in words, and as a file with every default filled in
    Explain(ExplainArgs),
    /// Show a few records before and after the transform; nothing is sent to the target
    Try(TryArgs),
    /// Propose a pipeline for an API, from a look at its list
    Init(InitArgs),
    /// Write a few records' requests and answers on a cassette, without secrets
    Record(CassetteArgs),
    /// Run a pipeline on a cassette, and compare what it makes of the records with what is expected
    Test(TestArgs),
    /// Print the JSON Schema of pipeline files, for editors
    Schema(SchemaArgs),
}

/// Flags of `muster pipeline check`.
#[derive(Args, Debug)]
pub struct CheckArgs {
    /// Pipeline files, or names of built-in pipelines
    #[arg(required = true, value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub files: Vec<String>,
    /// Values of parameters.
    #[command(flatten)]
    pub set: SetArgs,
    /// Also read the first page and a few records, and say how they differ from what the pipeline expects; nothing is
    /// sent to the target
    #[arg(long, env = "MUSTER_LIVE", value_parser = BoolishValueParser::new())]
    pub live: bool,
    /// How many records --live reads
    #[arg(long, env = "MUSTER_RECORDS", value_name = "N", default_value_t = 10, value_parser = record_count)]
    pub records: usize,
    /// Print one JSON object, and nothing else, on standard output
    #[arg(long, env = "MUSTER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Flags of `muster pipeline explain`.
#[derive(Args, Debug)]
pub struct ExplainArgs {
    /// The pipeline file, or the name of a built-in pipeline
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: String,
    /// Print the pipeline as JSON, defaults filled in, in its canonical form: what its revision is the hash of
    #[arg(long, env = "MUSTER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Flags of `muster pipeline try`.
#[derive(Args, Debug)]
pub struct TryArgs {
    /// The pipeline file, or the name of a built-in pipeline
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: String,
    /// Values of parameters.
    #[command(flatten)]
    pub set: SetArgs,
    /// How many records, from the beginning of the list
    #[arg(long, env = "MUSTER_RECORDS", value_name = "N", default_value_t = 5, value_parser = record_count)]
    pub records: usize,
    /// A record's ID as JSON text, 7 or '"7"' for the text, in place of the first ones; may be given more than once
    #[arg(long, env = "MUSTER_ID", value_name = "ID", value_delimiter = '\n', allow_negative_numbers = true)]
    pub id: Vec<String>,
    /// Print a JSON object a line for each record
    #[arg(long, env = "MUSTER_JSON", value_parser = BoolishValueParser::new())]
    pub json: bool,
}

/// Flags of `muster pipeline init`.
#[derive(Args, Debug)]
pub struct InitArgs {
    /// The URL of the API's list; asked for on a terminal when it is not given
    #[arg(value_hint = ValueHint::Url)]
    pub url: Option<String>,
    /// A header to send, such as 'Authorization: Bearer ...'; the file gets a reference in place of its value
    #[arg(long, env = "MUSTER_HEADER", value_name = "NAME: VALUE", value_delimiter = '\n')]
    pub header: Vec<String>,
    /// The pipeline's name [default: from the URL]
    #[arg(long, env = "MUSTER_NAME", value_name = "NAME")]
    pub name: Option<String>,
    /// Write the pipeline into this file, which must not be there yet [default: standard output]
    #[arg(short, long, env = "MUSTER_OUTPUT", value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub output: Option<PathBuf>,
}

/// Flags of `muster pipeline record`.
#[derive(Args, Debug)]
pub struct CassetteArgs {
    /// The pipeline file, or the name of a built-in pipeline
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: String,
    /// Values of parameters.
    #[command(flatten)]
    pub set: SetArgs,
    /// The cassette to write, in the YAML of VCR; one that is there is replaced
    #[arg(long, env = "MUSTER_CASSETTE", value_name = "F", value_hint = ValueHint::FilePath)]
    pub cassette: PathBuf,
    /// How many records, from the beginning of the list
    #[arg(long, env = "MUSTER_RECORDS", value_name = "N", default_value_t = 10, value_parser = record_count)]
    pub records: usize,
}

/// Flags of `muster pipeline test`.
#[derive(Args, Debug)]
pub struct TestArgs {
    /// The pipeline file, or the name of a built-in pipeline
    #[arg(value_name = "FILE", value_hint = ValueHint::FilePath)]
    pub file: String,
    /// Values of parameters, as they were when the cassette was recorded.
    #[command(flatten)]
    pub set: SetArgs,
    /// The cassette to play
    #[arg(long, env = "MUSTER_CASSETTE", value_name = "F", value_hint = ValueHint::FilePath)]
    pub cassette: PathBuf,
    /// How many records [default: as many as it was recorded for, else 10]
    #[arg(long, env = "MUSTER_RECORDS", value_name = "N", value_parser = record_count)]
    pub records: Option<usize>,
    /// Write what comes of it beside the cassette, as what is expected from now on: F with .expected.jsonl in place of
    /// its extension
    #[arg(long, env = "MUSTER_UPDATE", value_parser = BoolishValueParser::new())]
    pub update: bool,
}

/// Flags of `muster pipeline schema`.
#[derive(Args, Clone, Copy, Debug)]
pub struct SchemaArgs {}

fn record_count(text: &str) -> Result<usize, String> {
    match text.parse() {
        Ok(count @ 1..=1000) => Ok(count),
        _ => Err("expected 1 to 1000".to_owned()),
    }
}
