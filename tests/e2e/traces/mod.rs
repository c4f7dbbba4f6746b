//! Traces, as a receiver gets them that nobody wrote for these tests: one for each lease of a batch, across worker and
//! coordinator.

mod kept;
mod over_tls;
mod tree;
mod trouble;

use std::path::Path;

use animals_api::Server;
use muster_tests::cluster::Cluster;
use muster_tests::otlp::{Receiver, Span};
use muster_tests::process::{Process, Signal};
use serde_json::Value;

/// What belongs to one run: processes that export what they do.
struct Scene {
    cluster: Cluster,
    worker: Process,
    run_id: String,
}

type Env = Vec<(&'static str, String)>;

fn borrowed(env: &Env) -> Vec<(&str, &str)> {
    env.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

impl Scene {
    /// A run of this pipeline, from its start to its end, by one coordinator and one worker in this environment.
    async fn play(folder: &Path, server: &Server, pipeline: &str, env: &Env) -> Scene {
        muster_tests::pipelines::folder(folder, "herd", pipeline);
        let env = borrowed(env);
        let cluster = Cluster::with(folder, &["--pipelines", "pipelines"], &env).await;
        let worker = cluster.worker_with("w1", &[], &env);
        let run_id = cluster.start_run("herd", &server.base_url()).await;
        cluster.watch(&run_id).await;
        Scene { cluster, worker, run_id }
    }

    /// What a command says of the run, as JSON.
    async fn asks(&self, command: &str) -> Value {
        self.cluster.command(&[command, &self.run_id, "--json"]).run().await.with_code(0).json()
    }

    /// Ends both processes, which makes them export what they still have.
    async fn end(&mut self) {
        self.worker.signal(Signal::Terminate);
        self.worker.ended().await.with_code(0);
        self.cluster.process().signal(Signal::Terminate);
        self.cluster.process().ended().await.with_code(0);
    }
}

/// The roots of all batches' traces.
fn batches(receiver: &Receiver) -> Vec<Span> {
    receiver.spans().into_iter().filter(|span| span.name == "batch").collect()
}
