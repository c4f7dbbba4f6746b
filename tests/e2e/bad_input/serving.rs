//! Ports that are taken, and two coordinators on one ledger: the second gives way, the first serves on.

use std::path::PathBuf;

use muster_proto::v1::ListRunsRequest;
use muster_tests::cluster::Cluster;
use muster_tests::deadline::within;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;

use super::{Case, Later, Scene};

pub(super) const CASES: &[Case] = &[
    Case {
        what: "a port in use (gRPC)",
        code: 1,
        says: &["--listen 127.0.0.1:", "Address already in use", "Stop it, or take another port; 0 picks a free one"],
        make: |_| taken_port(|address| ["--listen".to_owned(), address]),
    },
    Case {
        what: "a port in use (HTTP)",
        code: 1,
        says: &["--http-listen 127.0.0.1:", "Address already in use", "take another port; 0 picks a free one"],
        make: |_| taken_port(|address| ["--listen=127.0.0.1:0".to_owned(), format!("--http-listen={address}")]),
    },
    Case {
        what: "an address of another machine",
        code: 1,
        says: &["--listen 192.0.2.1:7470 cannot be listened on", "this machine has no such address"],
        make: |_| Box::pin(async { Scene::of(["coordinator", "--insecure", "--listen", "192.0.2.1:7470"]) }),
    },
    Case {
        what: "an address that others can reach",
        code: 2,
        says: &["--listen 0.0.0.0:0 is reachable from other machines", "listen on 127.0.0.1, or say --insecure"],
        make: |_| Box::pin(async { Scene::of(["coordinator", "--listen", "0.0.0.0:0"]) }),
    },
    Case {
        what: "a folder of pipelines that is not there",
        code: 1,
        says: &["the pipelines in nowhere cannot be read", "--pipelines takes a folder with *.yaml files in it"],
        make: |_| {
            let line = ["coordinator", "--listen", "127.0.0.1:0", "--pipelines", "nowhere"];
            Box::pin(async move { Scene::of(line) })
        },
    },
    Case {
        what: "two coordinators on one ledger",
        code: 1,
        says: &["muster.db is in use by another coordinator", "stop that one, or use another file"],
        make: |folder| {
            let line = ["coordinator", "--listen", "127.0.0.1:0", "--database", "sqlite://muster.db"];
            beside_a_coordinator(folder, line)
        },
    },
    Case {
        what: "`muster run` on a coordinator's ledger",
        code: 1,
        says: &["muster.db is in use by another coordinator", "stop that one, or use another file"],
        make: |folder| beside_a_coordinator(folder, ["run", "animals", "--db", "muster.db", "--workers", "1"]),
    },
    Case {
        what: "audit mode at a coordinator without a folder",
        code: 2,
        says: &["this coordinator has no audit folder: start it with --audit-dir"],
        make: |folder| {
            Box::pin(async move {
                let cluster = Cluster::start(&folder).await;
                let url = cluster.url();
                Scene::of(["start", "animals", "--audit-mode", "--coordinator", &url]).keep(cluster)
            })
        },
    },
    Case {
        what: "a pipeline's file for a coordinator",
        code: 2,
        says: &[
            "knows no pipeline \"own/users.yaml\"",
            "by --pipelines, then: muster start users --coordinator http://",
        ],
        make: |folder| {
            Box::pin(async move {
                let cluster = Cluster::start(&folder).await;
                let url = cluster.url();
                Scene::of(["start", "own/users.yaml", "--coordinator", &url]).keep(cluster)
            })
        },
    },
    Case {
        what: "a coordinator that does not know the pipeline",
        code: 2,
        says: &["knows no pipeline \"animal\"; it knows: animals", "did you mean animals?", "muster pipelines"],
        make: |folder| {
            Box::pin(async move {
                let cluster = Cluster::start(&folder).await;
                let url = cluster.url();
                Scene::of(["start", "animal", "--coordinator", &url]).keep(cluster)
            })
        },
    },
    Case {
        what: "a coordinator's HTTP port for its gRPC port",
        code: 1,
        says: &["what answers at http://127.0.0.1:", "is no coordinator", "Its HTTP side"],
        make: |folder| {
            Box::pin(async move {
                let http = format!("127.0.0.1:{}", muster_tests::cluster::free_port());
                let cluster = Cluster::with(&folder, &["--http-listen", &http], &[]).await;
                Scene::of(["runs", "--coordinator", &format!("http://{http}")]).keep(cluster)
            })
        },
    },
    Case {
        what: "an SSH server's port for a coordinator's",
        code: 1,
        says: &["what answers at http://127.0.0.1:", "is no coordinator", "is it a coordinator's --listen address?"],
        make: |_| {
            Box::pin(async {
                let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
                let url = format!("http://{}", listener.local_addr().expect("an address"));
                let greeting = tokio::spawn(async move {
                    while let Ok((mut caller, _)) = listener.accept().await {
                        // A caller that has gone hears nothing.
                        let _ = caller.write_all(b"SSH-2.0-OpenSSH_9.6\r\n").await;
                    }
                });
                Scene::of(["runs", "--coordinator", &url]).keep(greeting)
            })
        },
    },
];

fn taken_port(flags: fn(String) -> [String; 2]) -> Later<Scene> {
    Box::pin(async move {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address").to_string();
        let line = ["coordinator".to_owned()].into_iter().chain(flags(address));
        Scene::of(line).keep(listener)
    })
}

fn beside_a_coordinator<const N: usize>(folder: PathBuf, line: [&'static str; N]) -> Later<Scene> {
    Box::pin(async move {
        let cluster = Cluster::start(&folder).await;
        // Its port is open before its ledger is.
        within("it serves", cluster.runs().list_runs(ListRunsRequest::default())).await.expect("an answer");
        Scene::of(line).keep(cluster)
    })
}
