//! What a process shows, and what docs/METRICS.md says that it does.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use muster_telemetry::metrics::names::{ALL, By, Kind, Metric};
use muster_tests::http;
use muster_tests::process::Start;
use muster_tests::programs;

/// The families of a page, with the labels that their series have.
pub type Families = BTreeMap<String, Family>;

/// One of them.
#[derive(Debug, Default)]
pub struct Family {
    pub kind: String,
    pub labels: BTreeSet<String>,
}

/// What is shown at an address; Prometheus' own tool has nothing to say against it.
pub async fn read(folder: &Path, address: &str) -> Families {
    let answer = http::client().expect("a client").get(format!("http://{address}/metrics")).send().await;
    let answer = answer.expect("an answer").error_for_status().expect("a page");
    let text = String::from_utf8(answer.bytes().await.expect("a body").to_vec()).expect("text");
    let file = folder.join("page.txt");
    std::fs::write(&file, &text).expect("a file");
    let script = "\"$0\" check metrics <\"$1\"".to_owned();
    let line = ["-c".into(), script.into(), programs::promtool().into_os_string(), file.into_os_string()];
    let checked = Start::program(Path::new("/bin/sh"), folder, line).run().await.with_code(0);
    assert_eq!((checked.stdout, checked.stderr), (String::new(), String::new()), "promtool has something to say");
    families(&text)
}

fn families(text: &str) -> Families {
    let mut found = Families::new();
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("# TYPE ") {
            let (name, kind) = rest.split_once(' ').expect("a name and a type");
            found.entry(name.to_owned()).or_default().kind = kind.to_owned();
        } else if !line.starts_with('#') && !line.is_empty() {
            let name = line.split(['{', ' ']).next().expect("a name");
            let of_histogram = ["_bucket", "_sum", "_count"].iter().find_map(|end| name.strip_suffix(end));
            let family = of_histogram.filter(|family| found.contains_key(*family)).unwrap_or(name);
            let labels = line.split_once('{').map_or("", |(_, rest)| rest.split('}').next().unwrap_or_default());
            let names = labels.split(',').filter_map(|label| Some(label.split_once('=')?.0.to_owned()));
            let own = names.filter(|label| label != "le");
            found.get_mut(family).unwrap_or_else(|| panic!("{line} has no type")).labels.extend(own);
        }
    }
    found
}

/// Nothing is shown that is not in the list, and as the list has it.
pub fn assert_known(families: &Families, by: By) {
    for (name, family) in families.iter().filter(|(name, _)| *name != "target_info") {
        let metric = ALL.iter().find(|metric| metric.in_prometheus() == *name);
        let metric = metric.unwrap_or_else(|| panic!("{name} is not in the list"));
        assert!(metric.by == by || metric.by == By::Both, "{name} is shown by {by:?}");
        assert_eq!(family.kind, word_of(metric.kind), "{name}");
        let known: BTreeSet<String> = metric.labels.iter().map(|label| label.replace('.', "_")).collect();
        assert!(family.labels.is_subset(&known), "{name} has {:?}, of which it should have {known:?}", family.labels);
    }
}

/// What Prometheus has of a process, if it has all that is in the list: the names of series. How a coordinator's hosts are is
/// shown while it lists from them, which may be over before anybody looks.
pub fn expected(by: By) -> Vec<String> {
    let stays = |metric: &Metric| by == By::Worker || metric.kind != Kind::Gauge;
    let of = ALL.iter().filter(move |metric| metric.by == by || (metric.by == By::Both && stays(metric)));
    let series = |metric: &Metric| match metric.kind {
        Kind::Histogram => format!("{}_count", metric.in_prometheus()),
        Kind::Counter | Kind::Gauge => metric.in_prometheus(),
    };
    of.map(series).collect()
}

fn word_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Counter => "counter",
        Kind::Gauge => "gauge",
        Kind::Histogram => "histogram",
    }
}

/// A row of the page's table.
fn row(metric: &Metric) -> String {
    let by = match metric.by {
        By::Coordinator => "coordinator",
        By::Worker => "worker",
        By::Both => "both",
    };
    let labels: Vec<String> = metric.labels.iter().map(|label| format!("`{}`", label.replace('.', "_"))).collect();
    let (name, kind) = (metric.in_prometheus(), word_of(metric.kind));
    format!("| `{name}` | {kind} | {by} | {} | {} |", labels.join(" "), metric.tells)
}

#[test]
fn the_documentation_has_a_row_for_each_metric() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/METRICS.md");
    let text = std::fs::read_to_string(file).expect("the page");
    let rows: Vec<&str> = text.lines().filter(|line| line.starts_with("| `")).collect();
    let of_metrics: Vec<&str> = rows.into_iter().filter(|row| row.matches(" | ").count() == 4).collect();
    assert_eq!(of_metrics, ALL.iter().map(row).collect::<Vec<_>>());
}

#[test]
fn a_page_is_understood() {
    let text = "# HELP a_total x\n# TYPE a_total counter\na_total{b=\"c\",d=\"e\"} 1\n# TYPE h histogram\n\
                h_bucket{b=\"c\",le=\"1\"} 0\nh_sum{b=\"c\"} 0\nh_count{b=\"c\"} 0\n";
    let found = families(text);
    assert_eq!(found["a_total"].labels, ["b", "d"].map(str::to_owned).into());
    assert_eq!((found["h"].kind.as_str(), found["h"].labels.len(), found.len()), ("histogram", 1, 2));
}
