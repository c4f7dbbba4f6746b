//! `pipeline explain` and `pipeline schema`: what a pipeline says, and what pipelines can say.

use muster_pipeline::FORMAT_SCHEMA;

use crate::args::ExplainArgs;
use crate::exit::Exit;
use crate::failure::Failure;
use crate::{output, pipeline_choice};

/// `muster pipeline explain FILE`. The words are comments, so that the whole is a pipeline file.
pub fn explain(args: &ExplainArgs) -> Result<Exit, Failure> {
    let pipeline = pipeline_choice::choose(&args.file)?.pipeline;
    if args.json {
        output::print(&format!("{}\n", pipeline.canonical()))?;
        return Ok(Exit::Fine);
    }
    let words: String = pipeline.in_words().lines().map(|line| format!("# {line}\n")).collect();
    output::print(&format!("{words}\n{}", pipeline.filled_in()))?;
    Ok(Exit::Fine)
}

/// `muster pipeline schema`.
pub fn schema() -> Result<Exit, Failure> {
    output::print(FORMAT_SCHEMA)?;
    Ok(Exit::Fine)
}
