//! What was measured: for each figure a value a round; printed as medians, kept as JSON, compared with an earlier sheet.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::path::Path;

use anyhow::Context;
use serde::{Deserialize, Serialize};

/// One figure of a scenario.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Figure {
    /// What it is, and its unit.
    pub name: String,
    /// A value a round.
    pub values: Vec<f64>,
}

/// All that one call of the benchmark measured.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Sheet {
    /// Commit of the programs, as git names it; empty where there is no git.
    pub commit: String,
    /// Processors of the machine.
    pub processors: usize,
    /// By scenario.
    pub scenarios: BTreeMap<String, Vec<Figure>>,
}

impl Sheet {
    /// An empty one of this machine and these programs.
    pub fn new() -> Sheet {
        let git = std::process::Command::new("git").args(["describe", "--always", "--dirty"]).output();
        let commit = git.map(|git| String::from_utf8_lossy(&git.stdout).trim().to_owned()).unwrap_or_default();
        let processors = std::thread::available_parallelism().map_or(1, usize::from);
        Sheet { commit, processors, scenarios: BTreeMap::new() }
    }

    /// One that was kept.
    ///
    /// # Errors
    /// When the file cannot be read or is none.
    pub fn read(file: &Path) -> anyhow::Result<Sheet> {
        let text = std::fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        serde_json::from_slice(&text).with_context(|| format!("{} is no sheet of figures", file.display()))
    }

    /// Keeps it.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn keep(&self, file: &Path) -> anyhow::Result<()> {
        let text = serde_json::to_string_pretty(self)?;
        std::fs::write(file, text + "\n").with_context(|| format!("{} cannot be written", file.display()))
    }

    /// Adds what one round of a scenario measured.
    pub fn add(&mut self, scenario: &str, round: Vec<(String, f64)>) {
        let figures = self.scenarios.entry(scenario.to_owned()).or_default();
        for (name, value) in round {
            match figures.iter_mut().find(|figure| figure.name == name) {
                Some(figure) => figure.values.push(value),
                None => figures.push(Figure { name, values: vec![value] }),
            }
        }
    }

    /// A scenario as a table: median, least and most of each figure, and how the median stands to that of an earlier sheet.
    pub fn table(&self, scenario: &str, against: Option<&Sheet>) -> String {
        let mut text = format!("{:<58} {:>10} {:>10} {:>10}", scenario, "median", "least", "most");
        if against.is_some() {
            let _ = write!(text, " {:>10}", "of before");
        }
        let before = against.and_then(|sheet| sheet.scenarios.get(scenario));
        for Figure { name, values } in self.scenarios.get(scenario).into_iter().flatten() {
            let (least, most) =
                (values.iter().copied().fold(f64::MAX, f64::min), values.iter().copied().fold(f64::MIN, f64::max));
            let _ = write!(text, "\n  {name:<56} {} {} {}", number(median(values)), number(least), number(most));
            if let Some(earlier) = before.and_then(|figures| figures.iter().find(|figure| figure.name == *name)) {
                let _ = write!(text, " {:>9.2}x", median(values) / median(&earlier.values));
            }
        }
        text
    }
}

/// The value in the middle, or between the two that are.
pub fn median(values: &[f64]) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    let middle = sorted.len() / 2;
    match (sorted.len(), sorted.len() % 2) {
        (0, _) => f64::NAN,
        (_, 1) => sorted[middle],
        _ => f64::midpoint(sorted[middle - 1], sorted[middle]),
    }
}

/// Three digits that matter, in ten columns.
fn number(value: f64) -> String {
    let digits = match value.abs() {
        above if above >= 100.0 => 0,
        above if above >= 10.0 => 1,
        above if above >= 1.0 => 2,
        _ => 3,
    };
    format!("{value:>10.digits$}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn medians_are_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 3.0]), 2.5);
        assert!(median(&[]).is_nan());
    }

    #[test]
    fn a_sheet_is_kept_and_compared() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = folder.path().join("sheet.json");
        let mut before = Sheet::new();
        before.add("plain", vec![("records/s".to_owned(), 100.0)]);
        before.keep(&file).expect("kept");
        let mut now = Sheet::new();
        for value in [150.0, 250.0, 50.0] {
            now.add("plain", vec![("records/s".to_owned(), value)]);
        }
        let table = now.table("plain", Some(&Sheet::read(&file).expect("a sheet")));
        assert!(
            table.contains("150") && table.contains("50.0") && table.contains("250") && table.contains("1.50x"),
            "{table}"
        );
    }
}
