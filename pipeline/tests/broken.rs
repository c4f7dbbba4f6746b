//! Broken pipeline files, each with the message that a person gets. The message stands in the file's first line; to write
//! it anew, for all files, run this test with `UPDATE_BROKEN=1` and read the difference.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use std::path::Path;

use muster_pipeline::Pipeline;

const EXPECTED: &str = "# expected:";

#[test]
fn every_broken_file_is_told_with_line_column_and_the_mend() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/broken");
    let mut files: Vec<_> = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.sort();
    assert!(files.len() >= 30, "{}", files.len());
    let mut wrong = Vec::new();
    for path in files {
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        let text = std::fs::read_to_string(&path).unwrap();
        let (first, rest) = text.split_once('\n').unwrap();
        let Err(error) = Pipeline::from_yaml(&text, &name) else {
            wrong.push(format!("{name} is taken"));
            continue;
        };
        let said = error.to_string();
        if std::env::var_os("UPDATE_BROKEN").is_some() {
            std::fs::write(&path, format!("{EXPECTED} {said}\n{rest}")).unwrap();
        } else if first.strip_prefix(EXPECTED).map(str::trim) != Some(&said) {
            wrong.push(format!("{first}\n       got: {said}"));
        }
        // Some say what is wanted in the same breath as what is wrong.
        let mends =
            error.mend().is_some() || ["such as", "must be", "expected"].iter().any(|words| said.contains(words));
        if error.place().is_none() || !mends || said.contains('\n') {
            wrong.push(format!("{name}: no place, or no mend, or more than a line: {said}"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}
