//! What a worker holds is its own: another one that has its session and its token gets nothing by them.

use animals_api::Config;
use muster_proto::v1::run_service_client::RunServiceClient;
use muster_proto::v1::worker_service_client::WorkerServiceClient;
use muster_proto::v1::{
    AcquireLeasesRequest, AttendRequest, BeginDeliveryRequest, CompleteBatchRequest, ReadItemsRequest,
    ReleaseLeasesRequest, RenewLeasesRequest, RenewalState, StartRunRequest, WorkerInfo,
};
use muster_tests::cluster::Cluster;
use muster_tests::deadline::until_some;
use muster_tests::postgres::Postgres;
use muster_tests::turn;
use muster_worker::{CallChannel, CredentialArgs};
use tonic::{Code, Status};

use super::{Keys, channel, reason, replace};
use crate::stand_in;

const OF_A: &str = "session-of-worker-a";
const OF_B: &str = "session-of-worker-b";

fn acquire(session: &str, capacity: i32) -> AcquireLeasesRequest {
    let worker = WorkerInfo { name: session.to_owned(), version: "1".to_owned(), protocol: muster_proto::PROTOCOL };
    AcquireLeasesRequest {
        session_id: session.to_owned(),
        worker: Some(worker),
        capacity,
        ..AcquireLeasesRequest::default()
    }
}

/// Every call of a worker with this session and lease, and what each is refused with.
async fn refusals(channel: &CallChannel, session: &str, token: &str) -> Vec<Status> {
    let mut worker = WorkerServiceClient::new(channel.clone());
    let (session_id, lease_token) = (session.to_owned(), token.to_owned());
    let lease_tokens = vec![lease_token.clone()];
    let renew = RenewLeasesRequest { session_id: session_id.clone(), lease_tokens: lease_tokens.clone() };
    let items = ReadItemsRequest { session_id: session_id.clone(), lease_token: lease_token.clone(), from_position: 0 };
    let begin = BeginDeliveryRequest {
        session_id: session_id.clone(),
        lease_token: lease_token.clone(),
        ordinal: 1,
        positions: vec![0],
        body_sha256: vec![0; 32],
        ..BeginDeliveryRequest::default()
    };
    let complete = CompleteBatchRequest {
        session_id: session_id.clone(),
        lease_token: lease_token.clone(),
        ..CompleteBatchRequest::default()
    };
    let release = ReleaseLeasesRequest { session_id, lease_tokens, end_session: true };
    vec![
        worker.renew_leases(renew).await.map(drop).expect_err("renew"),
        worker.read_items(items).await.map(drop).expect_err("items"),
        worker.begin_delivery(begin).await.map(drop).expect_err("begin"),
        worker.complete_batch(complete).await.map(drop).expect_err("complete"),
        worker.release_leases(release).await.map(drop).expect_err("release"),
    ]
}

/// Two workers, each with a token of its own, and one more for the first one.
async fn replayed(keys: &Keys, mut cluster: Cluster) {
    let server = stand_in(Config::calm(100));
    let token = |file: &str| CredentialArgs { token_file: Some(keys.file(file)), ..CredentialArgs::default() };
    let url = cluster.url();
    let [ops, a, a_again, b] = ["ops", "a", "a-again", "b"].map(|name| channel(&url, &token(&format!("{name}.token"))));
    let request = StartRunRequest {
        pipeline: "animals".to_owned(),
        parameters: [("base_url".to_owned(), server.base_url())].into(),
        ..StartRunRequest::default()
    };
    RunServiceClient::new(ops).start_run(request).await.expect("it starts");
    let mut of_a = WorkerServiceClient::new(a);
    let lease = until_some("a batch is leased", async || {
        of_a.acquire_leases(acquire(OF_A, 1)).await.expect("an answer").into_inner().leases.pop()
    })
    .await;

    let expect = |status: &Status, expected: &str| {
        assert_eq!((status.code(), reason(status).as_str()), (Code::PermissionDenied, expected), "{status:?}");
        assert!(!status.message().contains("worker-a"), "B is not told whose it is: {status:?}");
    };
    for round in ["as it stands", "after a restart"] {
        for status in refusals(&b, OF_A, &lease.lease_token).await {
            expect(&status, "SESSION_OF_ANOTHER_IDENTITY");
        }
        let mut of_b = WorkerServiceClient::new(b.clone());
        // Both would tell of tokens: what A holds and did not list, and what it has lost.
        let stolen = of_b.acquire_leases(acquire(OF_A, 0)).await.map(drop).expect_err("not B's session");
        expect(&stolen, "SESSION_OF_ANOTHER_IDENTITY");
        let attend = AttendRequest { session_id: OF_A.to_owned(), worker: acquire(OF_A, 0).worker };
        let listened = of_b.attend(attend).await.map(drop).expect_err("not B's session");
        expect(&listened, "SESSION_OF_ANOTHER_IDENTITY");
        of_b.acquire_leases(acquire(OF_B, 0)).await.expect("B has a session of its own");
        for status in refusals(&b, OF_B, &lease.lease_token).await {
            expect(&status, "LEASE_OF_ANOTHER_SESSION");
        }
        let renew =
            || RenewLeasesRequest { session_id: OF_A.to_owned(), lease_tokens: vec![lease.lease_token.clone()] };
        // A itself, and A with the token that will replace its first one.
        for own in [of_a.clone(), WorkerServiceClient::new(a_again.clone())] {
            let mut own = own;
            let renewed = own.renew_leases(renew()).await.expect("A holds it").into_inner().renewals;
            assert_eq!(renewed[0].state(), RenewalState::Held, "{round}");
        }
        cluster.kill().await;
        cluster.restart();
        cluster.serves().await;
    }
}

async fn keys(place: &std::path::Path) -> Keys {
    let keys = Keys::make(place).await;
    let mut list = String::new();
    for (file, name, role) in [
        ("ops.token", "ops", "operator"),
        ("a.token", "worker-a", "worker"),
        ("a-again.token", "worker-a", "worker"),
        ("b.token", "worker-b", "worker"),
    ] {
        list += &keys.token(file, name, role).await;
    }
    replace(&keys.file("access.yaml"), &list);
    keys
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_that_was_stolen_is_of_no_use() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = keys(place.path()).await;
    let cluster = Cluster::with(place.path(), &["--tokens", &keys.text("access.yaml")], &[]).await;
    replayed(&keys, cluster).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn nor_is_it_on_postgresql() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let (keys, database) = (keys(place.path()).await, Postgres::start());
    let flags = ["--tokens", &keys.text("access.yaml")];
    let cluster = Cluster::sharing(place.path(), &database.url(), &flags, &[]).await;
    replayed(&keys, cluster).await;
}
