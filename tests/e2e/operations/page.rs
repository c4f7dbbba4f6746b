//! What a page has: its blocks, and who runs which.

use std::path::Path;

/// A block of a page.
#[derive(Clone, Debug)]
pub struct Block {
    /// The section it is in: `Scale / In containers`.
    pub section: String,
    pub language: String,
    pub text: String,
}

/// Who runs the commands of a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Who {
    OneMachine,
    Postgres,
    Runs,
    Kubernetes,
    /// What needs an engine, or a build: where it is run instead.
    Elsewhere(&'static str),
}

const CONTAINERS: Who = Who::Elsewhere("tests/containers/run");

/// A page, and every section of it that has commands, in its order.
#[derive(Debug)]
pub struct Page {
    pub file: &'static str,
    pub sections: &'static [(&'static str, Who)],
}

pub static OPERATIONS: Page = Page { file: "docs/OPERATIONS.md", sections: SECTIONS };

const SECTIONS: &[(&str, Who)] = &[
    ("Install / The programs", Who::Elsewhere("tests/run")),
    ("Install / On one machine", Who::OneMachine),
    ("Install / In a browser, and by curl", Who::OneMachine),
    ("Install / Authentication and roles", Who::Postgres),
    ("Install / A ledger on PostgreSQL", Who::Postgres),
    ("Install / In containers", CONTAINERS),
    ("Install / In Kubernetes", Who::Kubernetes),
    ("Scale / On one machine or several", Who::OneMachine),
    ("Scale / On PostgreSQL", Who::Postgres),
    ("Scale / With compose", CONTAINERS),
    ("Drain", Who::OneMachine),
    ("Upgrade / The services", Who::OneMachine),
    ("Upgrade / Images", CONTAINERS),
    ("Back up / Of a file", Who::OneMachine),
    ("Back up / Of a database", Who::Postgres),
    ("Back up / Of containers", CONTAINERS),
    ("Restore / A file", Who::OneMachine),
    ("Restore / A database", Who::Postgres),
    ("Restore / Containers", CONTAINERS),
    ("Rotate / Tokens", Who::Postgres),
    ("Rotate / Certificates", Who::Postgres),
    ("Observe / Traces", Who::OneMachine),
    ("Observe / Metrics", Who::OneMachine),
    ("Observe / All of it in containers", CONTAINERS),
    ("Runs / What did not go well", Who::Runs),
    ("Runs / Dead letters: another try", Who::Runs),
    ("Runs / Doubts: settle them", Who::Runs),
    ("Runs / Verdicts of several rounds", Who::Runs),
    ("Runs / On a timer", Who::Runs),
    ("Runs / Pause, resume, cancel", Who::Runs),
    ("Runs / Several runs at once", Who::Runs),
    ("Runs / Show it to others", Who::Runs),
    ("Runs / Take it elsewhere", Who::Runs),
    ("Runs / Retention", Who::Runs),
    ("Runs / Be told when a run ends or stalls", Who::Runs),
];

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace")
}

impl Page {
    /// All that it says.
    pub fn text(&self) -> String {
        std::fs::read_to_string(root().join(self.file)).unwrap_or_else(|error| panic!("{}: {error}", self.file))
    }

    /// All blocks in their order.
    pub fn blocks(&self) -> Vec<Block> {
        let (mut blocks, mut open): (Vec<Block>, Option<Block>) = (Vec::new(), None);
        let (mut chapter, mut section) = (String::new(), String::new());
        for line in self.text().lines() {
            match (&mut open, line.strip_prefix("```")) {
                (None, Some(language)) => {
                    let (section, language) = (section.clone(), language.to_owned());
                    open = Some(Block { section, language, text: String::new() });
                }
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(block), None) => block.text += &format!("{line}\n"),
                (None, None) => {
                    if let Some(name) = line.strip_prefix("## ") {
                        name.clone_into(&mut chapter);
                        name.clone_into(&mut section);
                    } else if let Some(name) = line.strip_prefix("### ") {
                        section = format!("{chapter} / {name}");
                    }
                }
            }
        }
        assert!(open.is_none(), "{}: a block is not closed", self.file);
        blocks
    }

    /// Those of one section, which this test runs.
    pub fn section(&self, name: &str, who: Who) -> Vec<Block> {
        assert!(self.sections_of(who).contains(&name), "{}: {name} is not {who:?}'s", self.file);
        let found: Vec<Block> = self.blocks().into_iter().filter(|block| block.section == name).collect();
        assert!(!found.is_empty(), "{}: {name} has nothing to run", self.file);
        found
    }

    /// The names of the sections that are run by one.
    pub fn sections_of(&self, who: Who) -> Vec<&'static str> {
        self.sections.iter().filter(|(_, by)| *by == who).map(|(name, _)| *name).collect()
    }

    /// Fails where commands stand that nobody is said to run.
    pub fn assert_somebody_runs_all(&self) {
        let mut with_commands: Vec<String> =
            self.blocks().into_iter().filter(|block| block.language == "sh").map(|block| block.section).collect();
        with_commands.dedup();
        assert_eq!(with_commands, self.sections.iter().map(|(name, _)| *name).collect::<Vec<_>>(), "{}", self.file);
    }
}

/// The commands of a block: what the shell takes for one line.
pub fn commands(text: &str) -> Vec<String> {
    text.replace("\\\n", "").lines().map(|line| line.trim().to_owned()).filter(|line| !line.is_empty()).collect()
}

#[test]
fn every_section_with_commands_has_somebody_who_runs_them() {
    OPERATIONS.assert_somebody_runs_all();
    // Nothing hides among them that could be run here.
    for block in OPERATIONS.blocks().iter().filter(|block| block.language == "sh") {
        let Some((_, Who::Elsewhere(place))) = SECTIONS.iter().find(|(name, _)| *name == block.section) else {
            continue;
        };
        let programs: &[&str] = match *place {
            "tests/run" => &["cargo build --release "],
            _ => &[
                "docker compose ",
                "docker volume ",
                "OTEL_EXPORTER_OTLP_ENDPOINT=http://otel-collector:4317 docker compose ",
            ],
        };
        assert!(root().join(place).is_file(), "there is no {place}");
        for command in commands(&block.text) {
            assert!(programs.iter().any(|program| command.starts_with(program)), "{place} does not run {command}");
        }
    }
}

#[test]
fn an_operator_finds_the_operations_by_their_names() {
    let page = OPERATIONS.text();
    let chapters: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("## ")).collect();
    assert_eq!(chapters, ["Install", "Scale", "Drain", "Upgrade", "Back up", "Restore", "Rotate", "Observe", "Runs"]);
}
