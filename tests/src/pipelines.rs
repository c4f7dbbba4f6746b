//! The pipeline `animals`, and variants of it.

use std::path::{Path, PathBuf};

/// A variant: each of these lines of pipelines/animals.yaml stands for what comes with it.
pub fn variant(changes: &[(&str, &str)]) -> String {
    let mut text = muster_pipeline::built_in("animals").expect("built in").to_owned();
    for (line, instead) in changes {
        assert_eq!(text.matches(line).count(), 1, "{line:?} is not once in animals.yaml");
        text = text.replace(line, instead);
    }
    text
}

/// A variant whose POSTs time out after so many milliseconds, after which its doubts may be settled.
pub fn impatient(post_timeout_ms: u64, changes: &[(&str, &str)]) -> String {
    let patience = format!("post_timeout: {post_timeout_ms}ms");
    let with: Vec<(&str, &str)> =
        [("post_timeout: 25s", patience.as_str())].into_iter().chain(changes.iter().copied()).collect();
    variant(&with)
}

/// The change that leaves doubts to an operator.
pub const HOLD: (&str, &str) = ("on_doubt: retry", "on_doubt: hold");

/// The change that takes the items of the list for records.
pub const WHOLE_ITEMS: (&str, &str) =
    ("  detail:\n    request:\n      url: ${param:base_url}/animals/v1/animals/${record:id}\n", "  detail: none\n");

/// Writes a pipeline into a folder of its own for `--pipelines`, and gives the folder.
pub fn folder(within: &Path, name: &str, text: &str) -> PathBuf {
    let folder = within.join("pipelines");
    std::fs::create_dir_all(&folder).expect("a folder");
    std::fs::write(folder.join(format!("{name}.yaml")), text.replace("name: animals\n", &format!("name: {name}\n")))
        .expect("a file");
    folder
}
