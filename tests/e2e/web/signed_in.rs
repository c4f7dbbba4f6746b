//! Sessions of browsers, where the coordinator asks who comes.

use muster_tests::turn;
use reqwest::{Method, StatusCode};

use super::Site;
use crate::access::{Keys, replace};

const HTML: (&str, &str) = ("accept", "text/html,application/xhtml+xml");

#[tokio::test(flavor = "multi_thread")]
async fn a_token_begins_a_session_that_ends_with_it() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    let mut list = String::new();
    for role in ["viewer", "worker"] {
        list += &keys.token(&format!("{role}.token"), role, role).await;
    }
    replace(&keys.file("access.yaml"), &list);
    let site = Site::with(place.path(), &["--tokens", &keys.text("access.yaml")]).await;
    let token =
        |name: &str| std::fs::read_to_string(keys.file(&format!("{name}.token"))).expect("a token").trim().to_owned();

    let asked = site.ask(Method::GET, "/runs?page=", None, &[HTML]).await;
    assert_eq!((asked.status, asked.header("www-authenticate")), (StatusCode::UNAUTHORIZED, "Bearer"));
    assert!(asked.text.contains("name=\"next\" value=\"/runs?page=\""), "{}", asked.text);
    let wrong = site.submit("/sign-in", "token=mst_nobody&next=/runs").await;
    assert_eq!((wrong.status, wrong.header("set-cookie")), (StatusCode::UNAUTHORIZED, ""));
    assert!(wrong.text.contains("knows no such token"), "{}", wrong.text);
    let worker = site.submit("/sign-in", &format!("token={}&next=/runs", token("worker"))).await;
    assert_eq!((worker.status, worker.header("set-cookie")), (StatusCode::FORBIDDEN, ""));

    let fine = site.submit("/sign-in", &format!("token={}&next=//evil.example", token("viewer"))).await;
    assert_eq!((fine.status, fine.header("location")), (StatusCode::SEE_OTHER, "/"));
    let set = fine.header("set-cookie").to_owned();
    assert!(set.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{set}");
    let cookie = set.split(';').next().expect("a pair");
    let sealed = cookie.strip_prefix("muster=").expect("its name");
    assert!(!cookie.contains(&token("viewer")) && sealed.len() > 100, "{cookie}");
    // The cookie is a session, and no token.
    let as_token = format!("Bearer {sealed}");
    assert_eq!(
        site.ask(Method::GET, "/runs", None, &[("authorization", as_token.as_str())]).await.status,
        StatusCode::UNAUTHORIZED
    );
    let own = format!("muster={}", token("viewer"));
    assert_eq!(
        site.ask(Method::GET, "/runs", None, &[("cookie", own.as_str())]).await.status,
        StatusCode::UNAUTHORIZED
    );
    let session = [HTML, ("cookie", cookie)];
    let runs = site.ask(Method::GET, "/runs", None, &session).await;
    assert_eq!(runs.status, StatusCode::OK);
    assert!(runs.text.contains("Sign out") && !runs.text.contains("/runs/new"), "a viewer cannot start any");
    assert!(!runs.text.contains(&token("viewer")), "the token is on the page");
    let origin = site.url("");
    let form =
        [HTML, ("cookie", cookie), ("origin", origin.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let start = site.ask(Method::POST, "/runs/new", Some("pipeline=animals"), &form).await;
    assert_eq!(start.status, StatusCode::FORBIDDEN, "a viewer starts nothing: {}", start.text);
    assert_eq!(site.ask(Method::GET, "/api/v1/runs", None, &session).await.status, StatusCode::OK);

    let document = site.ask(Method::GET, "/api/v1/openapi.json", None, &[HTML]).await;
    assert_eq!((document.status.as_u16(), document.kind.as_str()), (401, "application/problem+json"), "{document:?}");
    assert_eq!(document.json()["reason"], "CREDENTIALS_MISSING");

    let bare = [HTML, ("origin", origin.as_str()), ("content-type", "application/x-www-form-urlencoded")];
    let late = site.ask(Method::POST, "/runs/a-1/cancel", Some(""), &bare).await;
    assert_eq!(late.status, StatusCode::UNAUTHORIZED);
    assert!(late.text.contains("name=\"next\" value=\"/\""), "there is nothing to go to: {}", late.text);
    let asked = site.ask(Method::GET, "/sign-in", None, &[HTML]).await;
    assert!(asked.status == StatusCode::OK && asked.text.contains("name=\"token\""), "{asked:?}");
    let long = site.submit("/sign-in", &format!("token={}", "x".repeat(5_000))).await;
    assert_eq!(long.status, StatusCode::PAYLOAD_TOO_LARGE);
    // What ends TLS in front of it says nothing; the browser does.
    let behind = [("origin", origin.replace("http:", "https:")), ("content-type", bare[2].1.to_owned())];
    let behind: Vec<_> = behind.iter().map(|(name, value)| (*name, value.as_str())).collect();
    let secure = site.ask(Method::POST, "/sign-in", Some(&format!("token={}", token("viewer"))), &behind).await;
    let set = secure.header("set-cookie").to_owned();
    assert!(set.starts_with("__Host-muster=") && set.ends_with("; Secure"), "{set}");
    let pair = set.split(';').next().expect("a pair");
    assert_eq!(site.ask(Method::GET, "/runs", None, &[HTML, ("cookie", pair)]).await.status, StatusCode::OK);

    let out = site.ask(Method::POST, "/sign-out", Some(""), &form).await;
    assert!(out.header("set-cookie").contains("Max-Age=0"), "{out:?}");
    replace(&keys.file("access.yaml"), &keys.token("another.token", "another", "viewer").await);
    muster_tests::deadline::until_some("the session ends with its entry", async || {
        let answer = site.ask(Method::GET, "/runs", None, &session).await;
        (answer.status == StatusCode::UNAUTHORIZED).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn over_tls_a_session_is_of_this_host_and_of_tls_alone() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    replace(&keys.file("access.yaml"), &keys.token("viewer.token", "viewer", "viewer").await);
    let token = std::fs::read_to_string(keys.file("viewer.token")).expect("a token");
    let flags = ["--tokens", "access.yaml", "--tls-cert", "server.pem", "--tls-key", "server.key"];
    let flags: Vec<String> =
        flags.iter().map(|flag| if flag.starts_with("--") { (*flag).to_owned() } else { keys.text(flag) }).collect();
    let flags: Vec<&str> = flags.iter().map(String::as_str).collect();
    let site = Site::with(place.path(), &flags).await;
    let authority = std::fs::read(keys.file("ca.pem")).expect("an authority");
    let builder = reqwest::Client::builder().no_proxy().redirect(reqwest::redirect::Policy::none());
    let builder = builder.tls_certs_only([reqwest::Certificate::from_pem(&authority).expect("a certificate")]);
    let client = builder.build().expect("a client");
    let url = format!("https://{}", site.address);
    let request = client.post(format!("{url}/sign-in")).header("origin", &url);
    let request = request.header("content-type", "application/x-www-form-urlencoded");
    let answer = request.body(format!("token={}", token.trim())).send().await.expect("an answer");
    let set = answer.headers()["set-cookie"].to_str().expect("text").to_owned();
    assert!(set.starts_with("__Host-muster=") && set.ends_with("; HttpOnly; SameSite=Strict; Secure"), "{set}");
    let cookie = set.split(';').next().expect("a pair");
    let runs = client.get(format!("{url}/runs")).header("cookie", cookie).send().await.expect("an answer");
    assert_eq!(runs.status(), StatusCode::OK);
}

#[tokio::test(flavor = "multi_thread")]
async fn every_page_admits_the_roles_that_it_is_for() {
    let _turn = turn::light().await;
    let place = tempfile::tempdir().expect("a folder");
    let keys = Keys::make(place.path()).await;
    let mut list = String::new();
    for role in ["viewer", "operator", "worker"] {
        list += &keys.token(&format!("{role}.token"), role, role).await;
    }
    replace(&keys.file("access.yaml"), &list);
    let mut site = Site::with(place.path(), &["--tokens", &keys.text("access.yaml")]).await;
    let shown = [
        "/",
        "/runs",
        "/runs/new",
        "/runs/a-1",
        "/runs/a-1/live",
        "/runs/a-1/verdict",
        "/runs/a-1/record?id=7",
        "/runs/a-1/dead-letters",
        "/runs/a-1/in-doubt",
        "/pipelines",
        "/pipelines/animals",
        "/revisions/none",
        "/workers",
        "/nowhere",
    ];
    let changed = [
        ("/runs/new", "pipeline=none"),
        ("/runs/a-1/pause", ""),
        ("/runs/a-1/resume", ""),
        ("/runs/a-1/cancel", ""),
        ("/runs/a-1/share", "weight=7"),
        ("/runs/a-1/delete", ""),
        ("/runs/a-1/dead-letters", "request_id=r-1"),
        ("/runs/a-1/in-doubt", "delivery=1&settlement=applied"),
    ];
    let refused = [StatusCode::UNAUTHORIZED, StatusCode::FORBIDDEN];
    for role in ["", "viewer", "operator", "worker"] {
        site.token = (!role.is_empty()).then(|| {
            let token = std::fs::read_to_string(keys.file(&format!("{role}.token"))).expect("a token");
            token.trim().to_owned()
        });
        let (sees, changes) = (["viewer", "operator"].contains(&role), role == "operator");
        for path in shown {
            let status = site.get(path).await.status;
            assert_eq!(!refused.contains(&status), sees, "{role:?} GET {path}: {status}");
        }
        for (path, body) in changed {
            let status = site.submit(path, body).await.status;
            assert_eq!(!refused.contains(&status), changes, "{role:?} POST {path}: {status}");
            assert!(status != StatusCode::INTERNAL_SERVER_ERROR, "{role:?} POST {path}: {status}");
        }
    }
}
