//! How the runs stand that a worker has leases of: some wait for a source or a target that is down.

use std::collections::BTreeMap;
use std::sync::Arc;

use futures::StreamExt;
use futures::stream::FuturesUnordered;

use crate::ready::ReadyPipeline;

/// How they stood at one moment.
#[derive(Debug, Default)]
pub(crate) struct Standing(BTreeMap<String, Of>);

#[derive(Debug)]
struct Of {
    pipeline: Arc<ReadyPipeline>,
    is_down: bool,
}

impl Standing {
    /// Of these runs, each with what it is worked on with.
    pub(crate) fn now<'a>(runs: impl Iterator<Item = (&'a str, &'a Arc<ReadyPipeline>)>) -> Self {
        let mut standing = BTreeMap::new();
        for (run_id, pipeline) in runs {
            if !standing.contains_key(run_id) {
                let of = Of { is_down: pipeline.is_down(), pipeline: Arc::clone(pipeline) };
                standing.insert(run_id.to_owned(), of);
            }
        }
        Self(standing)
    }

    /// The runs that wait.
    pub(crate) fn waiting(&self) -> impl Iterator<Item = &String> {
        self.0.iter().filter(|(_, of)| of.is_down).map(|(run_id, _)| run_id)
    }

    /// Whether this run waits.
    pub(crate) fn waits(&self, run_id: &str) -> bool {
        self.0.get(run_id).is_some_and(|of| of.is_down)
    }

    /// Waits until one of them stands otherwise.
    pub(crate) async fn changed(&self) {
        let mut changes: FuturesUnordered<_> = self.0.values().map(|of| of.pipeline.until(!of.is_down)).collect();
        if changes.next().await.is_none() {
            std::future::pending().await
        }
    }
}
