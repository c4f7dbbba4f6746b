//! What cannot be shown on this machine is said where somebody sees it.

use std::process::Command;

const WHY: &str = "a test wants to see it said";

#[test]
#[ignore = "the other test runs it"]
fn passes_and_says_that_it_was_skipped() {
    crate::skipped(WHY);
}

#[test]
fn a_test_that_was_skipped_says_so_although_it_passes() {
    let this = std::env::current_exe().expect("a test knows where it is");
    let line = ["--ignored", "--exact", "skipping::passes_and_says_that_it_was_skipped"];
    let ran = Command::new(this).args(line).output().expect("it runs");
    let [out, said] = [ran.stdout, ran.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert!(out.contains("1 passed") && said.contains(&format!("SKIPPED: {WHY}\n")), "{out}{said}");
}
