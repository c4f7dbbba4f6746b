//! What is expected against what came, record by record, line by line.

use serde_json::Value;

use crate::render::clean;
use crate::render::paint::{self, Tone};

/// The differences, in lines with `-` for what is expected and `+` for what came; nothing where there are none.
pub fn records(expected: &[&str], got: &[String]) -> String {
    let mut text = String::new();
    for number in 0..expected.len().max(got.len()) {
        let (wanted, came) = (expected.get(number).map(|line| tree(line)), got.get(number).map(|line| tree(line)));
        if wanted == came {
            continue;
        }
        let id = wanted.as_ref().or(came.as_ref()).map_or(String::new(), |record| record["id"].to_string());
        let heading = format!("record {} ({} of {})", clean(&id), number + 1, expected.len().max(got.len()));
        text.push_str(&format!("{}\n", paint::out(Tone::Heading, &heading)));
        text.push_str(&lines(&pretty(wanted.as_ref()), &pretty(came.as_ref())));
    }
    text
}

fn tree(line: &str) -> Value {
    serde_json::from_str(line).unwrap_or_else(|_| line.into())
}

fn pretty(record: Option<&Value>) -> Vec<String> {
    record.map_or_else(Vec::new, |record| format!("{record:#}").lines().map(clean).collect())
}

/// The longest common subsequence keeps its lines; the others are marked.
fn lines(old: &[String], new: &[String]) -> String {
    let mut common = vec![vec![0_u32; new.len() + 1]; old.len() + 1];
    for i in (0..old.len()).rev() {
        for j in (0..new.len()).rev() {
            common[i][j] =
                if old[i] == new[j] { common[i + 1][j + 1] + 1 } else { common[i + 1][j].max(common[i][j + 1]) };
        }
    }
    let (mut i, mut j, mut text) = (0, 0, String::new());
    while i < old.len() || j < new.len() {
        let line = if i < old.len() && j < new.len() && old[i] == new[j] {
            (i, j) = (i + 1, j + 1);
            format!("  {}", new[j - 1])
        } else if j == new.len() || (i < old.len() && common[i + 1][j] >= common[i][j + 1]) {
            i += 1;
            paint::out(Tone::Bad, &format!("- {}", old[i - 1]))
        } else {
            j += 1;
            paint::out(Tone::Good, &format!("+ {}", new[j - 1]))
        };
        text.push_str(&line);
        text.push('\n');
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_differs_is_marked() {
        let expected = [r#"{"id":1,"record":{"a":1,"b":2}}"#, r#"{"id":2,"record":{}}"#];
        let got = [r#"{"id":1,"record":{"a":1,"b":3}}"#.to_owned(), r#"{"id":2,"record":{}}"#.to_owned()];
        let text = records(&expected, &got);
        assert!(text.starts_with("record 1 (1 of 2)\n  {\n"), "{text}");
        assert!(text.contains("\n      \"a\": 1,\n-     \"b\": 2\n+     \"b\": 3\n"), "{text}");
        assert!(!text.contains("record 2"), "{text}");
        assert_eq!(records(&expected[1..], &got[1..]), "");
        assert!(records(&expected, &got[..1]).contains("record 2 (2 of 2)\n- {\n"));
    }
}
