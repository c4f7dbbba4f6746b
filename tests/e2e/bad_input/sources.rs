//! Sources and targets that are not what the pipeline says. Each stands at a port where the stand-in serves later.

use std::net::SocketAddr;
use std::path::Path;

use animals_api::Config;
use axum::extract::Path as InPath;
use axum::http::StatusCode;
use axum::response::Html;
use axum::routing::{get, post};
use axum::{Json, Router};
use muster_tests::cluster::{Cluster, free_port};
use muster_tests::deadline::within;
use muster_tests::pipelines::variant;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use super::{Case, Later, Mended, Scene, Server};

/// As many as fit on a page of a source that has one page.
const ANIMALS: u64 = 30;

pub(super) const CASES: &[Case] = &[
    Case {
        what: "a list that answers HTML",
        code: 1,
        says: &[
            "is paused: the source's list at http://127.0.0.1:",
            "/animals/v1/animals cannot be read: page 1: the source answered 200 with text/html",
            "<title>Sign in</title>",
            "is this the API's address",
            "the same command with --resume goes on",
        ],
        make: |folder| served(folder, || Router::new().fallback(page_of_html)),
    },
    Case {
        what: "details that answer HTML",
        code: 1,
        says: &[
            "is paused: records cannot be fetched, as http://127.0.0.1:",
            "the source answered 200 with text/html",
            "is this the API's address",
        ],
        make: |folder| served(folder, || api().route("/animals/v1/animals/{id}", get(page_of_html))),
    },
    Case {
        what: "a target that answers HTML",
        code: 1,
        says: &[
            "is paused: the target refuses any records at http://127.0.0.1:",
            "/animals/v1/home with 405: <!doctype html>",
            "check load.request in the pipeline",
        ],
        make: |folder| {
            let refuse = async || (StatusCode::METHOD_NOT_ALLOWED, page_of_html().await);
            served(folder, move || with_details().route("/animals/v1/home", post(refuse)))
        },
    },
    Case {
        what: "a wrong path in base_url",
        code: 1,
        says: &["/animals/v1/animals cannot be read: page 1: the source says 404", "check the pipeline's URL"],
        make: |folder| served(folder, || Router::new().route("/elsewhere", get(page_of_html))),
    },
    Case {
        what: "a port where nothing listens",
        code: 1,
        says: &[
            "/animals/v1/animals cannot be read: page 1: given up after 3 attempts",
            "Connection refused",
            "are host and port right, and does the source run there?",
        ],
        make: |folder| Box::pin(async move { mended_later(&folder, free_port()) }),
    },
    Case {
        what: "a port of another protocol (SSH)",
        code: 1,
        says: &["what answers there does not speak HTTP", "are host and port right"],
        make: |folder| other_protocol(folder, b"SSH-2.0-OpenSSH_9.6\r\n"),
    },
    Case {
        what: "a port that accepts and says nothing",
        code: 1,
        says: &["given up after 3 attempts, the last: no answer within", "slower than limits.get_timeout: raise that"],
        make: |folder| other_protocol(folder, b""),
    },
    Case {
        what: "a gRPC server's port",
        code: 1,
        says: &["415: This is a port for gRPC", "check the pipeline's URL"],
        make: |folder| {
            Box::pin(async move {
                let place = tempfile::tempdir().expect("a folder");
                let mut cluster = Cluster::start(place.path()).await;
                let port = cluster.address().parse::<SocketAddr>().expect("an address").port();
                let mut scene = mended_later(&folder, port);
                let mend = scene.mend.take().expect("mended by the stand-in");
                scene.mended(move || {
                    Box::pin(async move {
                        cluster.kill().await;
                        drop(place);
                        mend().await
                    })
                })
            })
        },
    },
    Case {
        what: "a page without items",
        code: 1,
        says: &[
            "$.items is missing; there is page, total_pages",
            "compare the answer with source.list in the pipeline",
        ],
        make: |folder| served(folder, || listing(json!({ "page": 1, "total_pages": 3 }))),
    },
    Case {
        what: "a page whose items are no list",
        code: 1,
        says: &["page 1: $.items must be a list, it is an object", "compare the answer"],
        make: |folder| served(folder, || listing(json!({ "items": { "id": 1 }, "total_pages": 3 }))),
    },
    Case {
        what: "items without an ID",
        code: 1,
        says: &["page 1: item 0 of $.items: $.id is missing; there is key, name", "compare the answer"],
        make: |folder| served(folder, || listing(json!({ "items": [{ "key": 1, "name": "Gnu" }], "total_pages": 1 }))),
    },
    Case {
        what: "a list that promises one more page with each",
        code: 5,
        says: &[],
        make: |folder| {
            let promising = async |query: axum::extract::Query<std::collections::HashMap<String, u64>>| {
                let page = query["page"];
                Json(json!({ "items": [{ "id": 0 }], "total_pages": page + 1 }))
            };
            served_for_good(folder, move || {
                Router::new()
                    .route("/animals/v1/animals", get(promising))
                    .route("/animals/v1/animals/{id}", get(gnu))
                    .route("/animals/v1/home", post(async || Json(json!({ "message": "Helped" }))))
            })
        },
    },
    Case {
        what: "one detail in a hundred of the wrong shape",
        code: 3,
        says: &[
            "record cannot be sent",
            "stage=validate",
            "/friends: 7 is not of type \\\"string\\\"",
            "/born_at: ",
            "the rest of the batch goes on",
        ],
        make: |folder| stand_in(&folder, Config { malformed: 0.01.into(), ..Config::calm(300) }),
    },
    Case {
        what: "a target that refuses one record in a hundred",
        code: 3,
        says: &["the target refuses the record", "422", "the rest of the batch goes on"],
        make: |folder| stand_in(&folder, Config { poison: 0.01.into(), ..Config::calm(300) }),
    },
];

async fn page_of_html() -> Html<String> {
    Html(format!("<!doctype html>\n<html><head><title>Sign in</title></head>\n{}</html>", "<p>more</p>\n".repeat(500)))
}

async fn gnu(InPath(id): InPath<u64>) -> Json<Value> {
    Json(json!({ "id": id, "name": "Gnu", "born_at": null, "friends": "" }))
}

/// A source whose list answers so.
fn listing(answer: Value) -> Router {
    Router::new().route("/animals/v1/animals", get(async || Json(answer)))
}

/// A source with one page of the stand-in's animals.
fn api() -> Router {
    let items: Vec<Value> = (0..ANIMALS).map(|id| json!({ "id": id })).collect();
    listing(json!({ "items": items, "total_pages": 1 }))
}

fn with_details() -> Router {
    api().route("/animals/v1/animals/{id}", get(gnu))
}

/// The command that runs the animals of a port, with less patience than people have.
fn command(folder: &Path, port: u16) -> Scene {
    let hasty = ("get_timeout: 3s", "get_timeout: 500ms\n  get_attempts: 3");
    std::fs::write(folder.join("own.yaml"), variant(&[hasty])).expect("a file");
    Scene::of(["run", "./own.yaml", "--set", &format!("base_url=http://127.0.0.1:{port}"), "--db", "my.db"])
}

/// The command for a port at which the stand-in serves when all is mended.
fn mended_later(folder: &Path, port: u16) -> Scene {
    command(folder, port).mended(move || {
        Box::pin(async move {
            let config = Config { page_size: 100, ..Config::calm(ANIMALS) };
            let start = || Server::start(config.clone(), ([127, 0, 0, 1], port).into());
            Mended { server: once_free(start).await, resume: true }
        })
    })
}

/// What was closed is free a little later when another process was being started meanwhile: that one inherits every
/// socket until it is somebody else.
async fn once_free<T>(listen: impl Fn() -> std::io::Result<T>) -> T {
    let free = async {
        loop {
            match listen() {
                Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => tokio::task::yield_now().await,
                result => return result.expect("it listens"),
            }
        }
    };
    within("the port is free", free).await
}

/// What serves until it is mended: the tasks end with the set.
fn until_mended(folder: &Path, port: u16, mut tasks: JoinSet<()>) -> Scene {
    let mut scene = mended_later(folder, port);
    let mend = scene.mend.take().expect("mended by the stand-in");
    scene.mended(move || {
        Box::pin(async move {
            tasks.shutdown().await;
            mend().await
        })
    })
}

async fn listen() -> (TcpListener, u16) {
    let listener = TcpListener::bind(("127.0.0.1", free_port())).await.expect("a port");
    let port = listener.local_addr().expect("an address").port();
    (listener, port)
}

/// An API that serves so until it is mended.
fn served(folder: std::path::PathBuf, router: impl FnOnce() -> Router + 'static) -> Later<Scene> {
    Box::pin(async move {
        let (listener, port) = listen().await;
        let mut tasks = JoinSet::new();
        let router = router();
        tasks.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        until_mended(&folder, port, tasks)
    })
}

/// An API that serves so and whose run comes to its end.
fn served_for_good(folder: std::path::PathBuf, router: impl FnOnce() -> Router + 'static) -> Later<Scene> {
    Box::pin(async move {
        let (listener, port) = listen().await;
        let mut tasks = JoinSet::new();
        let router = router();
        tasks.spawn(async move { axum::serve(listener, router).await.expect("it serves") });
        command(&folder, port).keep(tasks)
    })
}

/// A server that greets with these bytes, if any, and never says anything else.
fn other_protocol(folder: std::path::PathBuf, greeting: &'static [u8]) -> Later<Scene> {
    Box::pin(async move {
        let (listener, port) = listen().await;
        let mut tasks = JoinSet::new();
        tasks.spawn(async move {
            let mut callers = Vec::new();
            while let Ok((mut caller, _)) = listener.accept().await {
                // A caller that has gone hears nothing.
                let _ = caller.write_all(greeting).await;
                callers.push(caller);
            }
        });
        until_mended(&folder, port, tasks)
    })
}

/// The stand-in itself, with records that it is made to be difficult about.
fn stand_in(folder: &Path, config: Config) -> Later<Scene> {
    let server = crate::stand_in(config);
    let port = server.base_url().rsplit(':').next().and_then(|port| port.parse().ok()).expect("a port");
    let scene = command(folder, port).keep(server);
    Box::pin(async { scene })
}
