//! What is expected against what came, record by record, line by line.

use super::exact::Exact;
use crate::render::clean;
use crate::render::paint::{self, Tone};

/// The differences, in lines with `-` for what is expected and `+` for what came; nothing where there are none.
pub fn records(expected: &[&str], got: &[String]) -> String {
    let mut text = String::new();
    for number in 0..expected.len().max(got.len()) {
        let wanted = expected.get(number).map(|line| Exact::read(line.as_bytes()));
        let came = got.get(number).map(|line| Exact::read(line.as_bytes()));
        if wanted == came {
            continue;
        }
        let id = wanted.as_ref().or(came.as_ref()).and_then(|record| record.member("id"));
        let id = id.map_or_else(|| "null".to_owned(), Exact::to_string);
        let heading = format!("record {} ({} of {})", clean(&id), number + 1, expected.len().max(got.len()));
        text.push_str(&format!("{}\n", paint::out(Tone::Heading, &heading)));
        text.push_str(&lines(&pretty(wanted.as_ref()), &pretty(came.as_ref())));
    }
    text
}

fn pretty(record: Option<&Exact>) -> Vec<String> {
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

    #[test]
    fn digits_beyond_machine_types_are_compared_and_shown() {
        let line = |last: char| format!(r#"{{"id":1,"record":{{"a":1000000000000000000000000000{last}}}}}"#);
        assert_eq!(records(&[line('1').as_str()], &[line('1')]), "");
        let text = records(&[line('1').as_str()], &[line('2')]);
        assert!(text.contains("\n-     \"a\": 10000000000000000000000000001\n"), "{text}");
        assert!(text.contains("\n+     \"a\": 10000000000000000000000000002\n"), "{text}");
        let (old, new) = (r#"{"id":1,"record":1.1}"#, r#"{"id":1,"record":1.10}"#);
        assert!(!records(&[old], &[new.to_owned()]).is_empty());
        // The order of keys is no difference.
        assert_eq!(records(&[r#"{"record":1.1,"id":1}"#], &[old.to_owned()]), "");
    }
}
