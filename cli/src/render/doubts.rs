//! Deliveries in doubt, and what was said of them.

use muster_proto::v1::{DeliveryInDoubt, DoubtPlan, Run};

pub use muster_coordinator::words::doubts::settled;
use muster_coordinator::words::doubts::{head, ids, next, why};

use super::clean;
use super::numbers::moment;
use super::table::fields;

/// So many deliveries are named in a line that is to be copied.
const NAMED: usize = 20;

/// A block for each.
pub fn list(all: &[DeliveryInDoubt]) -> String {
    all.iter().map(one).collect::<Vec<_>>().join("\n")
}

fn one(delivery: &DeliveryInDoubt) -> String {
    let mut lines =
        vec![("begun", moment(delivery.begun_at.as_ref())), ("why", why(delivery)), ("next", next(delivery))];
    if delivery.retry_of > 0 {
        lines.push(("repeats", format!("delivery {}", delivery.retry_of)));
    }
    if !delivery.trace_id.is_empty() {
        lines.push(("trace", clean(&delivery.trace_id)));
    }
    lines.push(("IDs", ids(&delivery.record_ids)));
    format!("{}\n{}", head(delivery), fields("  ", lines))
}

/// What an operator can type.
pub fn what_to_do(run_id: &str, all: &[DeliveryInDoubt], flag: &str) -> Vec<String> {
    let held: Vec<String> =
        all.iter().filter(|one| one.plan() == DoubtPlan::Held).map(|one| one.number.to_string()).collect();
    if held.is_empty() {
        return vec!["nobody has to settle them: unless the run is paused, it goes on with them by itself".to_owned()];
    }
    let which = if held.len() > NAMED { "--all".to_owned() } else { held.join(" ") };
    let line = |when: &str, outcome: &str| format!("{when:<32} muster settle {run_id} {which} {outcome}{flag}");
    vec![
        line("if the target has the records:", "--applied"),
        line("if it has none of them:", "--not-applied"),
        line("if it has some of them:", "--applied-only ID,ID"),
    ]
}

/// What `muster run` is to be told to go on with a run: PIPELINE stands for a file that only its owner knows.
pub fn arguments_of(run: &Run) -> String {
    let built_in = muster_pipeline::built_in_names().any(|name| name == run.pipeline);
    let mut text = if built_in { clean(&run.pipeline) } else { "PIPELINE".to_owned() };
    let mut parameters: Vec<_> = run.parameters.iter().collect();
    parameters.sort();
    for (name, value) in parameters {
        text.push_str(&format!(" --set {}={}", clean(name), clean(value)));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delivery(number: i64, plan: DoubtPlan) -> DeliveryInDoubt {
        DeliveryInDoubt {
            number,
            round: 1,
            batch: 3,
            begun_at: Some(prost_types::Timestamp { seconds: 1_444_102_907, nanos: 0 }),
            settles_at: Some(prost_types::Timestamp { seconds: 1_444_102_937, nanos: 0 }),
            http_status: 500,
            detail: "no \"Sorry!\" in it".into(),
            records: 20,
            record_ids: (1..=12).map(|id| id.to_string()).collect(),
            plan: plan.into(),
            ..DeliveryInDoubt::default()
        }
    }

    #[test]
    fn a_doubt_says_what_happens_next() {
        assert_eq!(
            list(&[delivery(7, DoubtPlan::Held)]),
            "delivery 7 (round 1, batch 3): 12 records in doubt, of 20 that it carried\n\
             \x20 begun  2015-10-06 03:41:47Z\n\
             \x20 why    HTTP 500: no \"Sorry!\" in it\n\
             \x20 next   held: an operator settles it, from 2015-10-06 03:42:17Z on\n\
             \x20 IDs    1, 2, 3, 4, 5, 6, 7, 8, 9, 10, and 2 more\n"
        );
        assert!(list(&[delivery(7, DoubtPlan::Retry)]).contains("it is sent again after"));
        assert!(list(&[delivery(7, DoubtPlan::Probe)]).contains("the target is asked"));
    }

    #[test]
    fn the_lines_to_type_name_what_waits_for_an_operator() {
        let all = [delivery(7, DoubtPlan::Held), delivery(8, DoubtPlan::Retry), delivery(9, DoubtPlan::Held)];
        let lines = what_to_do("a-1", &all, " --db my.db");
        assert!(lines[0].ends_with(" muster settle a-1 7 9 --applied --db my.db"), "{lines:?}");
        assert!(lines[1].ends_with(" muster settle a-1 7 9 --not-applied --db my.db"), "{lines:?}");
        assert_eq!(what_to_do("a-1", &all[1..2], "").len(), 1);
    }

    #[test]
    fn a_settlement_says_what_it_did() {
        let run = Run { run_id: "a-1".into(), round: 2, pipeline: "animals".into(), ..Run::default() };
        let set = [("base_url".to_owned(), "http://h:1".to_owned())].into();
        assert_eq!(arguments_of(&Run { parameters: set, ..run.clone() }), "animals --set base_url=http://h:1");
        assert_eq!(settled(&run, 1, 20, 0), "1 delivery of run a-1 settled: 20 records are loaded\n");
        assert_eq!(
            settled(&run, 2, 1, 19),
            "2 deliveries of run a-1 settled: 1 record is loaded, 19 are sent again in round 2\n"
        );
    }
}
