//! `completions` and `man`: what shells and manuals are told of this program.

use std::path::Path;

use clap::CommandFactory;

use crate::args::{Cli, CompletionsArgs, ManArgs};
use crate::exit::Exit;
use crate::failure::Failure;
use crate::render::numbers::counted;
use crate::{manual, output};

/// `muster completions SHELL`.
pub fn completions(args: CompletionsArgs) -> Result<Exit, Failure> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "muster", &mut script);
    output::print(&String::from_utf8_lossy(&script))?;
    Ok(Exit::Fine)
}

/// `muster man [DIR]`.
pub fn man(args: &ManArgs) -> Result<Exit, Failure> {
    let pages = manual::pages().map_err(|error| Failure::new(format!("cannot make the manual: {error}")))?;
    let Some(folder) = &args.dir else {
        output::print(&pages[0].text)?;
        return Ok(Exit::Fine);
    };
    let cannot = |what: &Path, error: std::io::Error| {
        Failure::new(format!("cannot write {}: {error}", what.display())).help("give a folder that you may write to")
    };
    std::fs::create_dir_all(folder).map_err(|error| cannot(folder, error))?;
    for page in &pages {
        let file = folder.join(&page.file);
        std::fs::write(&file, &page.text).map_err(|error| cannot(&file, error))?;
    }
    let pages = counted(i64::try_from(pages.len()).unwrap_or(i64::MAX), "page", "pages");
    output::remark(&format!("{pages} in {folder}; read one: man -l {folder}/muster.1\n", folder = folder.display()))?;
    Ok(Exit::Fine)
}
