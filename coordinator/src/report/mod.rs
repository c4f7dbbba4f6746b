//! A run's report: one page that needs nothing but itself, a line for each figure, or the message as JSON. The same report gives
//! the same bytes, whoever makes it: the dashboard and the command line do so here.

mod figures;
mod page;
mod parts;
mod plot;
mod table;

pub use figures::{Amount, Figure, compared, possible_copies};
pub use page::html;
pub use parts::verdict;
pub use table::csv;

use muster_proto::v1::Report;
use serde_json::Value;

/// The report as the API answers it.
#[must_use]
pub fn json(report: &Report) -> Value {
    crate::web::as_json("muster.v1.Report", report)
}

/// The name of a file for the report of a run, `herd-1a2b3c4d.html`: whatever a run is called, it is a plain name.
#[must_use]
pub fn file_name(run_id: &str, ending: &str) -> String {
    let plain = |letter: char| letter.is_ascii_alphanumeric() || "-_.".contains(letter);
    let name: String = run_id.chars().map(|letter| if plain(letter) { letter } else { '_' }).take(100).collect();
    let name = name.trim_start_matches('.');
    format!("{}.{ending}", if name.is_empty() { "report" } else { name })
}

/// What a source may say, to whoever reads a report.
#[cfg(test)]
const HOSTILE: &str = "</style><script>alert(1)</script><img src=http://evil.test/x onerror=alert(2)>\"'&\u{1b}[2J";

#[cfg(test)]
mod tests {
    use muster_proto::v1::Run;
    use serde_json::json;

    use super::*;

    #[test]
    fn a_file_name_is_plain() {
        assert_eq!(file_name("herd-1a2b3c4d", "html"), "herd-1a2b3c4d.html");
        assert_eq!(file_name("../a b\"\r\n", "csv"), "_a_b___.csv");
        assert_eq!(file_name("..", "csv"), "report.csv");
    }

    #[test]
    fn json_has_the_protocols_names() {
        let run = Some(Run { run_id: "herd-1".into(), ..Run::default() });
        let told = json(&Report { run, muster_version: "1".into(), ..Report::default() });
        assert_eq!((&told["run"]["run_id"], &told["muster_version"]), (&json!("herd-1"), &json!("1")));
        assert_eq!((&told["costs"], &told["round_costs"]), (&json!(null), &json!([])));
    }
}
