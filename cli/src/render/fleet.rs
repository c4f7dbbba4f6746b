//! Workers and pipelines, as lists.

use muster_proto::v1::{PipelineSummary, Worker};

use super::fold::hanging;
use super::numbers::{count, moment};
use super::table::{Align, Table, fields};
use super::{clean, short_revision};

/// Sessions of workers, a row each.
pub fn list(workers: &[Worker], width: Option<usize>) -> String {
    let mut table = Table::new(&[
        ("worker", Align::Left),
        ("session", Align::Left),
        ("version", Align::Left),
        ("started", Align::Left),
        ("last seen", Align::Left),
        ("leases", Align::Right),
        ("batches done", Align::Right),
    ])
    .narrowed_by(&["version", "started", "session"]);
    for worker in workers {
        let embedded = if worker.embedded { " (embedded)" } else { "" };
        table.row([
            format!("{}{embedded}", worker.name),
            worker.worker_id.to_string(),
            worker.version.clone(),
            moment(worker.started_at.as_ref()),
            moment(worker.last_seen_at.as_ref()),
            worker.leases_held.to_string(),
            count(worker.batches_completed),
        ]);
    }
    table.render(width)
}

/// Pipelines, a block each, with what can be set.
pub fn pipelines(pipelines: &[PipelineSummary]) -> String {
    pipelines.iter().map(pipeline).collect::<Vec<_>>().join("\n")
}

fn pipeline(pipeline: &PipelineSummary) -> String {
    let mut text = format!("{} (revision {})\n", clean(&pipeline.name), clean(short_revision(&pipeline.revision)));
    for line in pipeline.description.trim().lines() {
        text.push_str(&format!("  {}\n", hanging(2, &clean(line)).join("\n  ")));
    }
    let parameters = pipeline.parameters.iter().map(|parameter| {
        let default = match &parameter.default_value {
            Some(value) => format!("[default: {value}]"),
            None => "(must be set)".to_owned(),
        };
        (parameter.name.as_str(), format!("{} {default}", parameter.description.trim()).trim().to_owned())
    });
    text.push_str(&fields("  --set ", parameters));
    text
}

#[cfg(test)]
mod tests {
    use muster_proto::v1::PipelineParameter;

    use super::*;

    #[test]
    fn a_pipeline_shows_what_can_be_set() {
        let parameter = |name: &str, default: Option<&str>| PipelineParameter {
            name: name.into(),
            description: "Where it is".into(),
            default_value: default.map(String::from),
        };
        let text = pipelines(&[PipelineSummary {
            name: "animals".into(),
            revision: "0123456789abcdef".into(),
            description: "Loads every animal\n".into(),
            parameters: vec![parameter("base_url", None), parameter("home", Some("h"))],
        }]);
        assert_eq!(
            text,
            "animals (revision 0123456789ab)\n\
             \x20 Loads every animal\n\
             \x20 --set base_url  Where it is (must be set)\n\
             \x20 --set home      Where it is [default: h]\n"
        );
    }

    #[test]
    fn a_worker_is_a_row() {
        let worker = Worker { name: "host-1".into(), embedded: true, leases_held: 3, ..Worker::default() };
        assert!(list(&[worker], None).contains("host-1 (embedded)"));
    }
}
