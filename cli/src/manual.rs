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
    root = root.mut_subcommand("pipeline", |tools| tools.disable_help_subcommand(true));
    root.build();
    let names: Vec<String> = root.get_subcommands().map(|sub| sub.get_name().to_owned()).collect();
    let first = page(&root, &names.iter().map(|name| format!("muster-{name}")).collect::<Vec<_>>());
    let mut pages = vec![first?];
    for sub in root.get_subcommands() {
        let tools: Vec<&Command> = sub.get_subcommands().collect();
        let name = sub.get_name();
        let mut see_also = vec!["muster".to_owned()];
        see_also.extend(tools.iter().map(|tool| format!("muster-{name}-{}", tool.get_name())));
        pages.push(page(sub, &see_also)?);
        for tool in tools {
            let full = format!("{name}-{}", tool.get_name());
            let page = written(tool, &full, help::examples_of_tool(tool.get_name()), &[format!("muster-{name}")])?;
            pages.push(page);
        }
    }
    Ok(pages)
}

fn page(command: &Command, see_also: &[String]) -> io::Result<Page> {
    let name = command.get_name();
    written(command, name, help::examples(name), see_also)
}

fn written(command: &Command, name: &str, examples: Option<&str>, see_also: &[String]) -> io::Result<Page> {
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
    if let Some(examples) = examples {
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
        let mut names: Vec<_> =
            Cli::command().get_subcommands().map(|sub| format!("muster-{}.1", sub.get_name())).collect();
        let own = pages[1..].iter().map(|page| page.file.as_str()).filter(|file| !file.starts_with("muster-pipeline-"));
        let mut own: Vec<_> = own.collect();
        names.sort_unstable();
        own.sort_unstable();
        assert_eq!(own, names);
        assert_eq!(pages.len() - 1 - names.len(), 7, "a page for each tool of pipeline");
        assert_eq!(pages[0].file, "muster.1");
        for Page { file, text } in &pages {
            let sections: Vec<_> = text.lines().filter_map(|line| line.strip_prefix(".SH ")).collect();
            let own: &[&str] = match file.as_str() {
                "muster.1" => &["COMMANDS"],
                "muster-pipeline.1" => &["COMMANDS", "EXAMPLES"],
                _ => &["EXAMPLES"],
            };
            let mut expected = vec!["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "\"OPTIONS OF ALL COMMANDS\""];
            expected.extend(own);
            expected.extend(["\"EXIT STATUS\"", "\"SEE ALSO\""]);
            assert_eq!(sections, expected, "{file}");
            assert!(text.contains("finished with dead letters or doubts"), "{file}");
            assert!(!text.contains('\u{1b}'), "{file} has an escape in it");
        }
        let run = &pages.iter().find(|page| page.file == "muster-run.1").expect("a page").text;
        assert!(run.contains("  muster run animals \\-\\-set base_url=") && run.contains("MUSTER_DB"), "{run}");
    }
}
