//! The manual pages, from the same declarations as `--help`.

use std::io;

use clap::{Command, CommandFactory};
use clap_mangen::Man;
use clap_mangen::roff::{Roff, bold, roman};

use crate::args::Cli;
use crate::{exit, help};

/// One page.
#[derive(Debug, PartialEq, Eq)]
pub struct Page {
    /// Such as `muster-run.1`.
    pub file: String,
    /// In the roff language, with the macros of man(7).
    pub text: String,
}

/// muster(1), then a page for each command.
///
/// # Errors
/// None in practice: the pages are written into memory.
pub fn pages() -> io::Result<Vec<Page>> {
    let mut root = Cli::command().disable_help_subcommand(true);
    root.build();
    let names: Vec<String> = root.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let first = page(&root, &names.iter().map(|name| format!("muster-{name}")).collect::<Vec<_>>());
    let others = root.get_subcommands().map(|sub| page(sub, &["muster".to_owned()]));
    std::iter::once(first).chain(others).collect()
}

fn page(command: &Command, see_also: &[String]) -> io::Result<Page> {
    let name = command.get_name();
    let full = if name == "muster" { name.to_owned() } else { format!("muster-{name}") };
    // What follows options and commands in --help gets sections of its own here.
    let command = command.clone().after_help("").after_long_help("").subcommand_help_heading("COMMANDS");
    let has_commands = command.has_subcommands();
    let man = Man::new(command.subcommand_value_name("command").display_name(full.clone()))
        .title(full.to_uppercase())
        .source(format!("muster {}", env!("CARGO_PKG_VERSION")))
        .manual("Muster's manual");
    let mut text = Vec::new();
    man.render_title(&mut text)?;
    man.render_name_section(&mut text)?;
    man.render_synopsis_section(&mut text)?;
    man.render_description_section(&mut text)?;
    man.render_options_section(&mut text)?;
    if has_commands {
        man.render_subcommands_section(&mut text)?;
    }
    let mut rest = Roff::new();
    if let Some(examples) = help::examples(name) {
        verbatim(&mut rest, "EXAMPLES", examples);
    }
    verbatim(&mut rest, "EXIT STATUS", exit::HELP.trim_start_matches("Exit codes:\n"));
    rest.control("SH", ["SEE ALSO"]);
    let named = see_also
        .iter()
        .enumerate()
        .flat_map(|(place, name)| [roman(if place > 0 { ", " } else { "" }), bold(name.as_str()), roman("(1)")]);
    rest.text(named.collect::<Vec<_>>());
    rest.to_writer(&mut text)?;
    Ok(Page { file: format!("{full}.1"), text: String::from_utf8_lossy(&text).into_owned() })
}

/// A section whose lines stay as they are.
fn verbatim(roff: &mut Roff, heading: &str, lines: &str) {
    roff.control("SH", [heading]).control("nf", []);
    for line in lines.lines() {
        roff.text([roman(line)]);
    }
    roff.control("fi", []);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_command_has_a_page_with_examples_and_exit_codes() {
        let pages = pages().expect("in memory");
        let names: Vec<_> =
            Cli::command().get_subcommands().map(|sub| format!("muster-{}.1", sub.get_name())).collect();
        assert_eq!(pages.iter().map(|page| page.file.as_str()).collect::<Vec<_>>()[1..], names);
        assert_eq!(pages[0].file, "muster.1");
        for Page { file, text } in &pages {
            let sections: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
            let own = if file == "muster.1" { "COMMANDS" } else { "EXAMPLES" };
            let expected = [
                "NAME",
                "SYNOPSIS",
                "DESCRIPTION",
                "OPTIONS",
                "\"OPTIONS OF ALL COMMANDS\"",
                own,
                "\"EXIT STATUS\"",
                "\"SEE ALSO\"",
            ];
            assert_eq!(sections, expected, "{file}");
            assert!(text.contains("finished with dead letters or doubts"), "{file}");
            assert!(!text.contains('\u{1b}'), "{file} has an escape in it");
        }
        let run = &pages.iter().find(|page| page.file == "muster-run.1").expect("a page").text;
        assert!(run.contains("  muster run animals \\-\\-set base_url=") && run.contains("MUSTER_DB"), "{run}");
    }
}
