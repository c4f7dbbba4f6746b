//! What the documents say of the code and of each other, held against these.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use muster_proto::{OLDEST_PROTOCOL, PROTOCOL};
use muster_tests::programs;

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace")
}

/// A file of the repository.
pub fn read(path: &str) -> String {
    std::fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// All files with this ending, in a folder and below it.
fn files(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    for entry in folder.read_dir().expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            files(&entry, ending, found);
        } else if entry.extension().is_some_and(|extension| extension == ending) {
            found.push(entry);
        }
    }
}

/// The texts of these, without their tests.
fn programs_of(folders: &[&str]) -> Vec<String> {
    let mut found = Vec::new();
    for folder in folders {
        match root().join(folder) {
            path if path.is_dir() => files(&path, "rs", &mut found),
            path => found.push(path),
        }
    }
    found.retain(|path| !path.ends_with("tests.rs"));
    let text = |path: &PathBuf| std::fs::read_to_string(path).expect("a file");
    found.iter().map(text).map(|text| text.split("#[cfg(test)]").next().unwrap_or_default().to_owned()).collect()
}

fn is_code(text: &str) -> bool {
    text.len() >= 4 && text.chars().all(|c| c.is_ascii_uppercase() || c == '_')
}

/// The codes that stand in quotes: capitals alone.
fn quoted(texts: &[String]) -> BTreeSet<&str> {
    let words = texts.iter().flat_map(|text| text.split('"'));
    words.filter(|word| is_code(word) && !word.starts_with("CARGO_")).collect()
}

/// The codes of a text, however they stand there.
fn codes(text: &str) -> BTreeSet<&str> {
    text.split(|c: char| !c.is_ascii_uppercase() && c != '_').filter(|word| is_code(word)).collect()
}

/// A document's lines outside of blocks of code.
pub fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut in_block = false;
    text.lines().filter(move |line| {
        let border = line.starts_with("```");
        in_block ^= border;
        !in_block && !border
    })
}

/// What a heading is linked to by.
fn anchor(heading: &str) -> String {
    let kept = heading.to_lowercase().replace(' ', "-");
    kept.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut documents = Vec::new();
    files(&root().join("docs"), "md", &mut documents);
    files(&root().join("pipelines"), "md", &mut documents);
    for name in ["README.md", "CHANGELOG.md", "CONTRIBUTING.md", "SECURITY.md"] {
        documents.push(root().join(name));
    }
    let (mut checked, mut broken) = (0, Vec::new());
    for document in &documents {
        let text = std::fs::read_to_string(document).expect("a document");
        let links = prose(&text).flat_map(|line| line.split("](").skip(1)).filter_map(|rest| rest.split_once(')'));
        for (link, _) in links.filter(|(link, _)| !link.contains("://")) {
            checked += 1;
            let (path, wanted) = link.split_once('#').map_or((link, None), |(path, wanted)| (path, Some(wanted)));
            let place = if path.is_empty() { document.clone() } else { document.with_file_name(path) };
            let found = match wanted {
                None => place.exists(),
                Some(wanted) => std::fs::read_to_string(&place).is_ok_and(|there| {
                    let headings = prose(&there).filter(|line| line.starts_with('#'));
                    headings.map(|line| anchor(line.trim_start_matches('#').trim())).any(|known| known == wanted)
                }),
            };
            if !found {
                broken.push(format!("{}: {link}", document.display()));
            }
        }
    }
    assert_eq!(broken, Vec::<String>::new());
    assert!(checked > 100, "{checked} links");
}

#[test]
fn the_protos_name_every_reason_of_an_error() {
    let mut protos = Vec::new();
    files(&root().join("proto"), "proto", &mut protos);
    let protos: String = protos.iter().map(|path| std::fs::read_to_string(path).expect("a proto")).collect();
    let services = programs_of(&["coordinator/src/service", "coordinator/src/access/judge.rs"]);
    let missing: Vec<_> = quoted(&services).difference(&codes(&protos)).copied().collect();
    assert_eq!(missing, Vec::<&str>::new(), "no call says that it may have these");
    // Whatever any call may have is said in one place.
    let run = read("proto/muster/v1/run.proto");
    let (of_all, _) = run.split_once("\nservice RunService {").expect("the service");
    let judge = programs_of(&["coordinator/src/access/judge.rs"]);
    let mut wanted = quoted(&judge);
    wanted.extend(quoted(&services).into_iter().filter(|reason| reason.starts_with("STORE_")));
    assert!(wanted.len() >= 7, "{wanted:?}");
    let missing: Vec<_> = wanted.difference(&codes(of_all)).copied().collect();
    assert_eq!(missing, Vec::<&str>::new(), "they are not among those of all services");
}

#[test]
fn every_code_of_a_verdict_is_explained() {
    let explained = ["docs/OPERATIONS.md", "docs/PIPELINES.md"].map(read).concat();
    let audits = programs_of(&[
        "coordinator/src/domain/audit.rs",
        "coordinator/src/lister.rs",
        "coordinator/src/store/ledger/listing.rs",
        "coordinator/src/store/ledger/page_ids.rs",
        "coordinator/src/store/ledger/pages.rs",
    ]);
    let of_verdicts = quoted(&audits);
    assert!(of_verdicts.len() > 25, "{of_verdicts:?}");
    let missing: Vec<_> = of_verdicts.difference(&codes(&explained)).copied().collect();
    assert_eq!(missing, Vec::<&str>::new(), "neither page says what they mean");
}

#[test]
fn the_map_has_every_module() {
    let page = read("docs/ARCHITECTURE.md");
    let mut missing = Vec::new();
    for name in ["coordinator", "pipeline", "worker", "cli"] {
        let (_, map) = page.split_once(&format!("\n### In `{name}/`\n")).expect("a map of each");
        let map = map.split("\n#").next().unwrap_or_default();
        for module in root().join(name).join("src").read_dir().expect("a crate").map(|entry| entry.expect("an entry")) {
            let file = module.file_name().into_string().expect("a name");
            let stem = file.trim_end_matches(".rs");
            let is_there = map.contains(&format!("`{stem}.rs`")) || map.contains(&format!("`{stem}/`"));
            if !is_there && !["lib", "main"].contains(&stem) {
                missing.push(format!("{name}/src/{file}"));
            }
        }
    }
    assert_eq!(missing, Vec::<String>::new(), "docs/ARCHITECTURE.md does not say what they are");
}

#[test]
fn the_changes_name_the_versions_that_this_program_speaks() {
    let page = read("CHANGELOG.md");
    let newest = page.split("\n## ").nth(1).expect("a version");
    assert!(newest.starts_with(env!("CARGO_PKG_VERSION")), "{newest}");
    let workers = format!("coordinators take workers that speak {OLDEST_PROTOCOL} to {PROTOCOL};");
    let protocol = format!("| worker protocol | {PROTOCOL} | {workers}");
    assert!(newest.contains(&protocol), "CHANGELOG.md lacks {protocol}");
    for (store, folder) in [("SQLite", "sqlite"), ("PostgreSQL", "postgres")] {
        let file = format!("coordinator/src/store/{folder}/migrations.rs");
        let migrations = programs_of(&[file.as_str()]).concat();
        let known = migrations.matches("include_str!(\"migrations/").count();
        let (_, usable) = migrations.split_once("const USABLE_FROM: i32 = ").expect("what a program must know");
        let (usable, _) = usable.split_once(';').expect("a number");
        let schema = format!("| schema of {store} | {known} | programs that know {usable} or newer |");
        assert!(newest.contains(&schema), "CHANGELOG.md lacks {schema}");
    }
}

#[test]
fn whoever_copies_the_sample_of_an_access_file_lets_nobody_in() {
    let page = read("docs/OPERATIONS.md");
    let hashes: Vec<&str> = page.lines().filter_map(|line| line.trim().strip_prefix("token_sha256: ")).collect();
    assert_eq!(hashes.len(), 2, "{hashes:?}");
    for word in ["", "test", "token", "secret", "password", "changeme", "muster", "worker", "worker-1", "nightly"] {
        for guess in ["", "1", "2", "3", "\n"].map(|end| format!("{word}{end}")) {
            let hash = muster_pipeline::sha256(guess.as_bytes()).map(|byte| format!("{byte:02x}")).concat();
            assert!(!hashes.contains(&hash.as_str()), "{guess:?} is somebody's token there");
        }
    }
}

#[test]
fn what_is_to_be_built_for_one_test_is_what_the_tests_ask_for() {
    for page in ["docs/OPERATIONS.md", "CONTRIBUTING.md"] {
        let text = read(page);
        assert!(text.contains(programs::BUILD), "{page} does not say {}", programs::BUILD);
        let tests = text.split("cargo test ").skip(1);
        for test in tests {
            let like_it = "--release --workspace --features muster-tests/planted-bugs --test e2e ";
            assert!(test.starts_with(like_it), "{page} runs other tests than were built: {test:.100}");
        }
    }
}

#[test]
fn the_script_names_every_variable_that_makes_tests_longer() {
    // Set by scripts, or by the tests themselves.
    const OTHERS: [&str; 5] =
        ["MUSTER_TEST_DB", "MUSTER_TEST_ID", "MUSTER_TEST_KEY", "MUSTER_TEST_PREVIOUS", "MUSTER_TEST_TOOLS"];
    let texts = programs_of(&["tests/e2e"]);
    let stores = ["sqlite", "postgres"].map(|store| read(&format!("coordinator/src/store/{store}/tests.rs")));
    let mut variables = quoted(&texts);
    variables.extend(quoted(&stores));
    variables.retain(|name| name.starts_with("MUSTER_TEST_") && *name != "MUSTER_TEST_" && !OTHERS.contains(name));
    assert!(variables.len() >= 6, "{variables:?}");
    let script = read("tests/run");
    let missing: Vec<_> = variables.difference(&codes(&script)).copied().collect();
    assert_eq!(missing, Vec::<&str>::new(), "tests/run does not tell of these");
}
