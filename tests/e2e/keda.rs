//! KEDA, played by its own protocol: no worker while nothing runs, more while there is much to do, none at the end.

use std::collections::{BTreeMap, HashMap};
use std::time::Duration;

use animals_api::Config;
use muster_proto::keda::external_scaler_client::ExternalScalerClient;
use muster_proto::keda::{GetMetricsRequest, IsActiveResponse, ScaledObjectRef};
use muster_proto::v1::RunState;
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use muster_tests::judge::assert_nothing_lost;
use muster_tests::ledger::Ledger;
use muster_tests::process::{Process, Signal};
use muster_tests::turn;
use tonic::transport::Channel;
use tonic::{Code, Status};

use crate::stand_in;

const MOST: usize = 4;

/// What KEDA and the autoscaler do together: ask, reckon, start and stop.
struct Keda {
    client: ExternalScalerClient<Channel>,
    trigger: ScaledObjectRef,
    workers: Vec<Process>,
    started: usize,
    leaving: Vec<Process>,
}

fn trigger(metadata: &[(&str, &str)]) -> ScaledObjectRef {
    let metadata: HashMap<_, _> = metadata.iter().map(|(key, value)| ((*key).into(), (*value).into())).collect();
    // KEDA passes on all that the trigger has.
    let scaler_metadata = metadata.into_iter().chain([("scalerAddress".into(), "muster:7470".into())]).collect();
    ScaledObjectRef { name: "muster-worker".into(), namespace: "default".into(), scaler_metadata }
}

impl Keda {
    fn new(cluster: &Cluster, metadata: &[(&str, &str)]) -> Keda {
        let client = ExternalScalerClient::new(cluster.channel());
        Keda { client, trigger: trigger(metadata), workers: Vec::new(), started: 0, leaving: Vec::new() }
    }

    async fn is_active(&mut self) -> bool {
        self.client.is_active(self.trigger.clone()).await.expect("an answer").into_inner().result
    }

    /// How many workers the autoscaler wants: the metric over the target, rounded up.
    async fn wanted(&mut self) -> usize {
        if !self.is_active().await {
            return 0;
        }
        let specs = self.client.get_metric_spec(self.trigger.clone()).await.expect("specs").into_inner().metric_specs;
        let [spec] = &specs[..] else { panic!("{specs:?}") };
        assert!((spec.target_size as f64 - spec.target_size_float).abs() < 1.0 && spec.target_size > 0, "{spec:?}");
        let asks =
            GetMetricsRequest { scaled_object_ref: Some(self.trigger.clone()), metric_name: spec.metric_name.clone() };
        let values = self.client.get_metrics(asks).await.expect("values").into_inner().metric_values;
        let [value] = &values[..] else { panic!("{values:?}") };
        assert_eq!(value.metric_name, spec.metric_name);
        assert!((value.metric_value as f64 - value.metric_value_float).abs() < 1.0, "{value:?}");
        let wanted = (value.metric_value_float / spec.target_size_float).ceil();
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a small number")]
        (wanted as usize).clamp(1, MOST)
    }

    /// As many workers as are wanted; who goes is told so, and drains.
    async fn scale(&mut self, cluster: &Cluster) -> usize {
        let wanted = self.wanted().await;
        while self.workers.len() < wanted {
            self.started += 1;
            let name = format!("w{}", self.started);
            self.workers.push(cluster.worker(&name, &["--concurrency", "8", "--max-leases", "4"]));
        }
        while self.workers.len() > wanted {
            let leaver = self.workers.remove(0);
            leaver.signal(Signal::Terminate);
            self.leaving.push(leaver);
        }
        wanted
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn workers_follow_the_work_from_none_to_none() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let server = stand_in(Config { latency: Duration::from_millis(40), page_size: 100, ..Config::calm(6_000) });
    let cluster = Cluster::start(place.path()).await;
    let mut keda = Keda::new(&cluster, &[("pipeline", "animals"), ("batchesPerWorker", "8.5")]);
    assert_eq!(keda.scale(&cluster).await, 0);
    let mut pushed = keda.client.stream_is_active(keda.trigger.clone()).await.expect("a stream").into_inner();
    let mut push = async || within("a push", pushed.message()).await.expect("no error");
    assert_eq!(push().await, Some(IsActiveResponse { result: false }));

    let run_id = cluster.start_run("animals", &server.base_url()).await;
    assert_eq!(push().await, Some(IsActiveResponse { result: true }));
    let mut seen: BTreeMap<usize, usize> = BTreeMap::new();
    let over = within("the run is over", async {
        loop {
            *seen.entry(keda.scale(&cluster).await).or_default() += 1;
            let run = cluster.run(&run_id).await;
            if run.state() == RunState::Finished {
                break run;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    });
    let run = over.await;
    assert_eq!(push().await, Some(IsActiveResponse { result: false }));
    assert_eq!(keda.scale(&cluster).await, 0);
    assert!(seen.contains_key(&MOST) && seen.contains_key(&1), "not up and down: {seen:?}");

    // Who was sent away drained: nothing had to run out, nothing was sent twice.
    for leaver in &mut keda.leaving {
        leaver.ended().await.with_code(0);
    }
    let ledger = Ledger::read(&cluster.database(), &run_id);
    assert!(!ledger.endings.contains_key("expired"), "{:?}", ledger.endings);
    assert_nothing_lost(&server.book(), &ledger);
    assert!(server.book().is_perfect(), "{:?}", server.book().summary());
    assert_eq!(run.verdict.expect("a verdict").possible_copies, 0);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_trigger_that_makes_no_sense_is_told_so() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let cluster = Cluster::start(place.path()).await;
    let refused = async |metadata: &[(&str, &str)]| -> Status {
        let mut client = ExternalScalerClient::new(cluster.channel());
        let asks = GetMetricsRequest { scaled_object_ref: Some(trigger(metadata)), metric_name: String::new() };
        client.get_metrics(asks).await.expect_err("it makes no sense")
    };
    let unknown = refused(&[("pipeline", "animal")]).await;
    assert_eq!(unknown.code(), Code::NotFound);
    assert!(unknown.message().contains("no pipeline \"animal\"; it knows: animals"), "{unknown}");
    for share in ["0", "-1", "many", "NaN", "inf", ""] {
        let wrong = refused(&[("batchesPerWorker", share)]).await;
        assert_eq!(wrong.code(), Code::InvalidArgument, "{share}");
        assert!(wrong.message().contains("batchesPerWorker must be a number above 0"), "{wrong}");
    }
    let mut keda = Keda::new(&cluster, &[]);
    assert_eq!(keda.scale(&cluster).await, 0);
    let spec = keda.client.get_metric_spec(keda.trigger.clone()).await.expect("a spec").into_inner();
    assert_eq!(spec.metric_specs[0].target_size, 10);
}
