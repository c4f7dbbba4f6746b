//! Flags of the commands that tell shells and manuals about this program.

use std::path::PathBuf;

use clap::{Args, ValueHint};
use clap_complete::Shell;

/// Flags of `muster completions`.
#[derive(Args, Clone, Copy, Debug)]
pub struct CompletionsArgs {
    /// The shell
    pub shell: Shell,
}

/// Flags of `muster man`.
#[derive(Args, Clone, Debug)]
pub struct ManArgs {
    /// Write muster.1 and a page for each command into this folder, which is made if it is not there
    #[arg(value_hint = ValueHint::DirPath)]
    pub dir: Option<PathBuf>,
}
