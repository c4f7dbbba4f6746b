//! Dependencies: each has its reason on the page and is declared once; some are there in one version only, and known
//! faults are looked for where that can be done.

use std::collections::BTreeSet;
use std::process::Command;

use crate::documents::{read, root};

/// What stands under a heading of a manifest: names, and what is said of each.
fn section<'a>(manifest: &'a str, heading: &str) -> Vec<(&'a str, &'a str)> {
    let lines = manifest.lines().skip_while(|line| *line != heading).skip(1);
    let lines = lines.take_while(|line| !line.starts_with('[')).filter(|line| !line.starts_with('#'));
    lines.filter_map(|line| line.split_once(" = ")).collect()
}

#[test]
fn each_has_its_reason_on_the_page() {
    let (page, manifest) = (read("docs/ARCHITECTURE.md"), read("Cargo.toml"));
    let (_, table) = page.split_once("\n## Dependencies\n").expect("the section");
    let rows = table.lines().filter_map(|line| line.strip_prefix("| ")?.split_once(" |"));
    let named: BTreeSet<&str> = rows.flat_map(|(names, _)| names.split([',', ' ', '(', ')'])).collect();
    let all = section(&manifest, "[workspace.dependencies]");
    assert!(all.len() > 60, "{all:?}");
    let others = all.iter().filter(|(_, said)| !said.contains("path = ")).map(|(name, _)| *name);
    let missing: Vec<&str> = others.filter(|name| !named.contains(name)).collect();
    assert_eq!(missing, Vec::<&str>::new(), "docs/ARCHITECTURE.md does not say what they are for");
}

#[test]
fn each_is_declared_once_and_used() {
    let manifest = read("Cargo.toml");
    let (_, members) = manifest.split_once("members = [").expect("members");
    let (members, _) = members.split_once(']').expect("their end");
    let mut unused: BTreeSet<&str> =
        section(&manifest, "[workspace.dependencies]").into_iter().map(|(name, _)| name).collect();
    for member in members.split(", ").map(|member| member.trim_matches('"')) {
        let text = read(&format!("{member}/Cargo.toml"));
        assert!(text.contains("\ndescription = \""), "{member} does not say what it is");
        let [normal, dev, build] =
            ["[dependencies]", "[dev-dependencies]", "[build-dependencies]"].map(|heading| section(&text, heading));
        for (name, said) in normal.iter().chain(&dev).chain(&build) {
            let shared = name.ends_with(".workspace") || said.contains("workspace = true");
            assert!(shared, "{member} has a version of its own of {name}");
            unused.remove(name.trim_end_matches(".workspace"));
        }
        // With more features for tests it is something else.
        let twice: Vec<_> = dev.iter().filter(|one| normal.contains(one)).collect();
        assert!(twice.is_empty(), "{member} has both for itself and for its tests: {twice:?}");
    }
    assert!(unused.is_empty(), "nobody uses {unused:?}");
}

#[test]
fn there_is_one_http_stack() {
    let (deny, lock) = (read("deny.toml"), read("Cargo.lock"));
    let once = deny.lines().filter(|line| line.contains("deny-multiple-versions = true"));
    let once: Vec<&str> = once.filter_map(|line| line.split('"').nth(1)).collect();
    assert_eq!(once, ["hyper", "rustls", "tonic"]);
    for name in once {
        let entry = format!("\nname = \"{name}\"\n");
        assert_eq!(lock.matches(&entry).count(), 1, "versions of {name} in Cargo.lock");
    }
}

/// How tests/deny ends, and all that it says, where cargo-deny gets the database of advisories or not, and finds
/// something in it or not.
fn denied(fetched: bool, found: bool) -> (bool, String) {
    let script = r#"
        cargo() {
            echo "$*"
            case "$*" in
                'deny fetch db') "$FETCHED" ;;
                *advisories) ! "$FOUND" ;;
            esac
        }
        cargo-deny() { :; }
        export -f cargo cargo-deny
        exec tests/deny 2>&1
    "#;
    let mut bash = Command::new("bash");
    bash.args(["-c", script]).env("FETCHED", fetched.to_string()).env("FOUND", found.to_string());
    let ended = bash.current_dir(root()).output().expect("bash");
    (ended.status.success(), String::from_utf8_lossy(&ended.stdout).into_owned())
}

#[test]
fn known_faults_are_looked_for_where_the_database_can_be_reached() {
    let (others, faults) = ("check licenses bans sources", "check --disable-fetch advisories");
    for (found, is_well) in [(false, true), (true, false)] {
        let (ended_well, said) = denied(true, found);
        assert_eq!(ended_well, is_well, "{said}");
        assert!(said.contains(others) && said.contains(faults) && !said.contains("cannot be reached"), "{said}");
    }
    let (ended_well, said) = denied(false, true);
    assert!(ended_well && said.contains(others), "{said}");
    assert!(!said.contains(faults) && said.contains("cannot be reached"), "{said}");
}
