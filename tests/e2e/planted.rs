//! The switches that break guards: each is used by a test, or nobody would notice that what it breaks is guarded by
//! nothing.

use std::path::{Path, PathBuf};

/// Where the bugs are, and where tests that plant them may be, from the root of the project.
const PLANTED: [&str; 2] = ["coordinator/src/planted.rs", "worker/src/planted.rs"];
const TESTS: [&str; 4] = ["tests/e2e", "coordinator/tests", "coordinator/src/store/conformance", "worker/tests"];

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("within the project").to_owned()
}

fn read(file: &Path) -> String {
    std::fs::read_to_string(file).unwrap_or_else(|error| panic!("{}: {error}", file.display()))
}

/// All that is written in a folder.
fn all_of(folder: &Path) -> String {
    let entries = std::fs::read_dir(folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display()));
    let paths = entries.map(|entry| entry.expect("an entry").path());
    paths.map(|path| if path.is_dir() { all_of(&path) } else { text_of(&path) }).collect()
}

fn text_of(path: &Path) -> String {
    if path.extension().is_some_and(|extension| extension == "rs") { read(path) } else { String::new() }
}

/// The names in an enum.
pub fn names(source: &str, of: &str) -> Vec<String> {
    let (_, rest) = source.split_once(&format!("enum {of} {{\n")).expect("an enum");
    let (names, _) = rest.split_once("\n}").expect("its end");
    let names = names.lines().map(str::trim).filter(|line| !line.starts_with("//"));
    names.filter_map(|line| line.strip_suffix(',').map(str::to_owned)).collect()
}

/// As the environment has it: `NoEpochCheck` is `no_epoch_check`.
pub fn in_the_environment(bug: &str) -> String {
    let letters = bug.chars().enumerate().flat_map(|(place, letter)| {
        let apart = (place > 0 && letter.is_uppercase()).then_some('_');
        apart.into_iter().chain(letter.to_lowercase())
    });
    letters.collect()
}

#[test]
fn each_bug_is_planted_by_a_test() {
    let tests: String = TESTS.iter().map(|folder| all_of(&project().join(folder))).collect();
    for file in PLANTED {
        let source = read(&project().join(file));
        let bugs = names(&source, "Bug");
        assert!(bugs.len() >= 4, "{file}: {bugs:?}");
        for bug in bugs {
            let name = format!("\"{}\"", in_the_environment(&bug));
            assert!(source.contains(&name), "{file}: {bug} cannot be planted as {name}");
            let planted = tests.contains(&name) || tests.contains(&format!("Bug::{bug},"));
            assert!(planted, "no test plants {bug} of {file}");
        }
    }
}
