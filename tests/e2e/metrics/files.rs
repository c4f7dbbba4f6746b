//! What is deployed beside Muster: Prometheus' files, by its own tool, and what Grafana's dashboards ask for.

use std::ffi::OsString;
use std::path::{Path, PathBuf};

use muster_tests::process::Start;
use muster_tests::programs;
use serde_json::Value;

pub fn deployed(path: &str) -> PathBuf {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("a workspace");
    root.join("deploy").join(path).canonicalize().expect("a file")
}

/// What the panels of all dashboards ask for, each with where.
pub fn questions() -> Vec<(String, String)> {
    let mut found = Vec::new();
    for board in ["run", "fleet", "store"] {
        let text = std::fs::read_to_string(deployed(&format!("grafana/dashboards/{board}.json"))).expect("a file");
        let board: Value = serde_json::from_str(&text).expect("JSON");
        let title = board["title"].as_str().expect("a title");
        let before = found.len();
        for panel in board["panels"].as_array().expect("panels") {
            let place = format!("{title}, {}", panel["title"].as_str().expect("a title"));
            let targets = panel["targets"].as_array().into_iter().flatten();
            found.extend(targets.map(|target| (place.clone(), target["expr"].as_str().expect("text").to_owned())));
        }
        assert!(found.len() > before, "{title} asks for nothing");
    }
    found
}

/// What an expression reads: names of our metrics with what narrows them down, without how long back.
pub fn selectors(expression: &str) -> Vec<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
    let mut found = Vec::new();
    let mut rest = expression;
    while let Some(start) = rest.find(is_name) {
        rest = &rest[start..];
        let end = rest.find(|c| !is_name(c)).unwrap_or(rest.len());
        let (name, after) = rest.split_at(end);
        let braces = after.starts_with('{').then(|| after.find('}').map_or(after, |end| &after[..=end]));
        // Labels of ours begin so as well: they stand in brackets after `by` and `on`, or in braces.
        let in_list = expression_is_list(expression, expression.len() - rest.len());
        if !in_list && ["muster_", "http_client_"].iter().any(|start| name.starts_with(start)) {
            found.push(format!("{name}{}", braces.unwrap_or_default()));
        }
        rest = &after[braces.map_or(0, str::len)..];
    }
    found
}

/// Whether this place is in the brackets after `by`, `on` or `without`.
fn expression_is_list(expression: &str, place: usize) -> bool {
    let before = &expression[..place];
    let Some(open) = before.rfind('(') else { return false };
    !before[open..].contains(')')
        && ["by", "on", "without"].iter().any(|word| before[..open].trim_end().ends_with(&format!(" {word}")))
}

async fn promtool(arguments: &[&str], file: &Path) {
    let place = tempfile::tempdir().expect("a folder");
    let line = arguments.iter().map(OsString::from).chain([file.as_os_str().to_owned()]);
    Start::program(&programs::promtool(), place.path(), line).run().await.with_code(0);
}

#[tokio::test]
async fn prometheus_accepts_its_files_and_each_alert_is_heard_when_it_should_be() {
    promtool(&["check", "config"], &deployed("prometheus/prometheus.yml")).await;
    promtool(&["check", "rules"], &deployed("prometheus/alerts.yml")).await;
    promtool(&["test", "rules"], &deployed("prometheus/alerts_test.yml")).await;
}

#[tokio::test]
async fn every_alert_has_a_test_and_names_commands_that_there_are() {
    let alerts = std::fs::read_to_string(deployed("prometheus/alerts.yml")).expect("a file");
    let tests = std::fs::read_to_string(deployed("prometheus/alerts_test.yml")).expect("a file");
    let names = alerts.lines().filter_map(|line| line.trim().strip_prefix("- alert: "));
    for name in names {
        let heard = tests
            .split(&format!("alertname: {name}\n"))
            .skip(1)
            .any(|test| test.split("alertname:").next().is_some_and(|test| test.contains("exp_labels:")));
        assert!(heard, "{name} is heard in no test");
    }
    let place = tempfile::tempdir().expect("a folder");
    for command in alerts.split('`').filter_map(|text| text.trim().strip_prefix("muster ")) {
        let name = command.split_whitespace().next().expect("a command");
        Start::muster(place.path(), [name, "--help"]).run().await.with_code(0);
    }
}

#[test]
fn what_an_expression_reads_is_understood() {
    let expression = "max by (muster_run_id) (deriv(muster_run_records{muster_run_id=\"$run\",muster_outcome!=\"x\"}[1m])) \
                      / on (muster_run_id) sum(http_client_active_requests)";
    let read = ["muster_run_records{muster_run_id=\"$run\",muster_outcome!=\"x\"}", "http_client_active_requests"];
    assert_eq!(selectors(expression), read);
}
