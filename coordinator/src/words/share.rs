//! How a run shares the workers.

use muster_proto::v1::RunShare;

use super::numbers::counted;

/// What a run has of which nothing was said: not worth a line.
pub const DEFAULT_SHARE: RunShare = RunShare { priority: Some(0), weight: Some(100), max_workers: Some(0) };

/// How a run shares the workers.
pub fn share_in_words(share: &RunShare) -> String {
    let bound = match share.max_workers() {
        0 => "any number of workers".to_owned(),
        most => format!("at most {}", counted(most.into(), "worker", "workers")),
    };
    format!("priority {}, weight {}, {bound}", share.priority(), share.weight())
}
