//! The tools for whoever writes a pipeline, as processes, against the stand-in: whose book shows that nothing was sent.

use std::path::Path;

use animals_api::{Amount, Config, Server};
use axum::Router;
use axum::response::Html;
use muster_tests::cluster::free_port;
use muster_tests::process::{Ended, Start};
use muster_tests::terminal::{Terminal, is_coloured};
use serde_json::{Value, json};

use crate::{base_url, stand_in};

const CANARY: &str = "canary-7f3a";

fn folder() -> tempfile::TempDir {
    tempfile::tempdir().expect("a folder")
}

async fn tool(folder: &Path, line: &[&str]) -> Ended {
    Start::muster(folder, [&["pipeline"][..], line].concat()).run().await
}

fn assert_nothing_was_sent(server: &Server) {
    assert_eq!(server.book().summary().accepted, 0, "a tool sent something to the target");
}

fn write(folder: &Path, name: &str, text: &str) {
    std::fs::write(folder.join(name), text).expect("a file");
}

fn read(folder: &Path, name: &str) -> String {
    std::fs::read_to_string(folder.join(name)).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[tokio::test(flavor = "multi_thread")]
async fn files_are_checked_and_explained_without_asking_anybody() {
    let folder = folder();
    let yaml = muster_pipeline::built_in("animals").expect("built in");
    write(folder.path(), "good.yaml", yaml);
    write(folder.path(), "bad.yaml", &yaml.replace("items: $.items", "itmes: $.items"));
    let good = tool(folder.path(), &["check", "good.yaml", "animals"]).await.with_code(0);
    assert!(good.stdout.contains("ok: good.yaml") && good.stdout.contains("(built in)"), "{}", good.stdout);
    assert!(good.stdout.contains("base_url is http://127.0.0.1:3123 by default"), "{}", good.stdout);

    let both = tool(folder.path(), &["check", "good.yaml", "bad.yaml", "--json"]).await.with_code(2).json();
    assert_eq!((&both["ok"], &both["files"][0]["ok"]), (&json!(false), &json!(true)));
    let error = &both["files"][1]["error"];
    assert_eq!((&error["key"], &error["help"]), (&json!("source.list.itmes"), &json!("did you mean \"items\"?")));
    assert!(error["line"].as_u64().is_some_and(|line| line > 30) && error["column"] == 5, "{error}");
    let bad = tool(folder.path(), &["check", "bad.yaml"]).await.with_code(2);
    assert!(bad.stderr.starts_with("error: bad.yaml:") && bad.stderr.contains("did you mean"), "{}", bad.stderr);
    for (line, says) in [
        (&["check", "none.yaml"][..], "cannot read the pipeline file"),
        (&["check", "good.yaml", "--set", "base_url=nowhere"], "is not a URL"),
        (&["check", "good.yaml", "--set", "url=http://h"], "there is no such parameter"),
    ] {
        let ended = tool(folder.path(), line).await.with_code(2);
        assert!(ended.stderr.contains(says), "{line:?}: {}", ended.stderr);
    }

    // A text that must be set may be anything that fits where it stands.
    let files = yaml.find("\nload:").map(|load| &yaml[..load]).expect("a load");
    let out = files.replace("parameters:\n", "parameters:\n  out: { description: A folder. }\n");
    write(folder.path(), "out.yaml", &format!("{out}\nload: {{ files: {{ url: \"${{param:out}}\" }} }}\n"));
    let fine = tool(folder.path(), &["check", "out.yaml"]).await.with_code(0).stdout;
    assert!(fine.contains("out must be set: --set out=VALUE"), "{fine}");

    let explained = tool(folder.path(), &["explain", "good.yaml"]).await.with_code(0).stdout;
    assert!(explained.contains("sent again after 25s: at least once"), "{explained}");
    let pipeline = muster_pipeline::Pipeline::from_yaml(yaml, "good").expect("good");
    let again = muster_pipeline::Pipeline::from_yaml(&explained, "explained").expect("a pipeline");
    assert_eq!(again.revision(), pipeline.revision());
    let schema = tool(folder.path(), &["schema"]).await.with_code(0).stdout;
    assert_eq!(schema, muster_pipeline::FORMAT_SCHEMA);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_at_the_source_finds_drift_and_dead_letters_and_sends_nothing() {
    let folder = folder();
    let server = stand_in(Config { malformed: Amount::Count(300), chaos: 0.02, ..Config::calm(300) });
    let set = base_url(&server);
    let look = ["check", "--live", "animals", "--set", &set, "--records", "20", "--json"];
    let found = tool(folder.path(), &look).await.with_code(3).json();
    assert_eq!((&found["records"], found["dead_letters"].as_array().map(Vec::len)), (&json!(20), Some(20)));
    assert_nothing_was_sent(&server);

    let server = stand_in(Config::calm(300));
    let set = base_url(&server);
    let yaml = muster_pipeline::built_in("animals").expect("built in");
    let drifted = yaml
        .replace("    friends: { type: string }", "    weight: { type: number }\n    friends: { type: string }")
        .replace("    name: { type: string }\n", "");
    write(folder.path(), "drifted.yaml", &drifted);
    let fine = tool(folder.path(), &["check", "--live", "drifted.yaml", "--set", &set]).await.with_code(0).stdout;
    assert!(fine.contains("ok, but: drifted.yaml") && fine.contains("1 of 30 pages read, with 10 items"), "{fine}");
    assert!(fine.contains("/name in 10 of 10, which the schema does not know"), "{fine}");
    assert!(fine.contains("/weight, which the schema knows, came in no record"), "{fine}");
    assert_nothing_was_sent(&server);

    let dead = format!("base_url=http://127.0.0.1:{}", free_port());
    let mut quick = yaml.replace("get_timeout: 3s", "get_timeout: 3s\n  get_attempts: 2");
    write(folder.path(), "quick.yaml", &quick);
    let ended = tool(folder.path(), &["check", "--live", "quick.yaml", "--set", &dead]).await.with_code(1);
    assert!(ended.stderr.contains("the source's list cannot be read: given up after 2 attempts"), "{}", ended.stderr);
    quick = quick.replace("items: $.items", "items: $.animals");
    write(folder.path(), "quick.yaml", &quick);
    let ended = tool(folder.path(), &["try", "quick.yaml", "--set", &set]).await.with_code(1);
    assert!(ended.stderr.contains("$.animals is missing; there is items"), "{}", ended.stderr);
    let html = html().await;
    let ended = tool(folder.path(), &["try", "animals", "--set", &html]).await.with_code(1);
    assert!(ended.stderr.contains("text/html; charset=utf-8, not JSON"), "{}", ended.stderr);
}

/// A server of pages for people.
async fn html() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = listener.local_addr().expect("an address");
    let pages = Router::new().fallback(async || Html("<!doctype html><title>Sign in</title>"));
    tokio::spawn(async move { axum::serve(listener, pages).await });
    format!("base_url=http://{address}")
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_shown_before_and_after() {
    let folder = folder();
    let server = stand_in(Config::calm(300));
    let set = base_url(&server);
    let tried = tool(folder.path(), &["try", "animals", "--set", &set, "--records", "3", "--json"]).await.with_code(0);
    let lines: Vec<Value> = tried.stdout.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    assert_eq!(lines.len(), 3);
    for line in &lines {
        assert_eq!((&line["before"]["id"], &line["after"]["id"]), (&line["id"], &line["id"]));
        assert!(line["before"]["friends"].is_string() && line["after"]["friends"].is_array(), "{line}");
    }
    let chosen = ["try", "animals", "--set", &set, "--id", "7", "--id", "99999", "--json"];
    // The stand-in answers an ID past its end as the real API does: with a 500.
    let chosen = tool(folder.path(), &chosen).await.with_code(3).stdout;
    let given_up = "{\"id\":99999,\"dead_letter\":{\"stage\":\"fetch\",";
    assert!(chosen.starts_with("{\"id\":7,") && chosen.contains(given_up), "{chosen}");
    let wrong = tool(folder.path(), &["try", "animals", "--id", "seven"]).await.with_code(2).stderr;
    assert!(wrong.contains("an ID is JSON text"), "{wrong}");

    let line = ["pipeline", "try", "animals", "--set", &set, "--records", "1"];
    let left = Terminal::prompted(folder.path(), 100, &line).left().await;
    let text = left.lines.join("\n");
    assert!(left.code == Some(0) && text.contains("before {") && text.contains("after  {"), "{text}");
    assert!(is_coloured(&left.screen));
    let plain = tool(folder.path(), &line[1..]).await.with_code(0).stdout;
    assert!(!plain.contains('\u{1b}'), "{plain}");
    assert_nothing_was_sent(&server);
}

#[tokio::test(flavor = "multi_thread")]
async fn fields_that_would_be_reported_are_named_with_each_record() {
    let folder = folder();
    let server = stand_in(Config { drift: Amount::Fraction(1.0), ..Config::calm(300) });
    let set = base_url(&server);
    let yaml = muster_pipeline::built_in("animals").expect("built in");
    let reporting = yaml.replace("schema:\n  type: object\n", "on_schema_drift: report\nschema:\n  type: object\n");
    write(folder.path(), "my.yaml", &reporting);
    let drifting = server.book().drifting();
    let known = |id: u64| {
        let paths = ["/keeper", "/wings"].into_iter().filter(|path| drifting[path].binary_search(&id).is_ok());
        paths.collect::<Vec<_>>()
    };
    let tried = ["try", "my.yaml", "--set", &set, "--records", "20", "--json"];
    let tried = tool(folder.path(), &tried).await.with_code(0).stdout;
    for line in tried.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON")) {
        let named = line.get("unknown_fields").cloned().unwrap_or_else(|| json!([]));
        assert_eq!(named, json!(known(line["id"].as_u64().expect("an ID"))), "{line}");
    }
    assert!(tried.contains("\"unknown_fields\":[\"/keeper\",\"/wings\"]"), "{tried}");
    let both = (0..300).find(|id| known(*id).len() == 2).expect("one with both").to_string();
    let words = tool(folder.path(), &["try", "my.yaml", "--set", &set, "--id", &both]).await.with_code(0).stdout;
    assert!(words.contains("\nthe schema does not know: /keeper, /wings\n"), "{words}");
    let record = ["record", "my.yaml", "--cassette", "my.cassette.yaml", "--set", &set, "--records", "20"];
    tool(folder.path(), &record).await.with_code(0);
    let test = ["test", "my.yaml", "--cassette", "my.cassette.yaml", "--set", &set, "--update"];
    tool(folder.path(), &test).await.with_code(0);
    let expected = read(folder.path(), "my.cassette.expected.jsonl");
    assert!(expected.contains("\"unknown_fields\":[\"/keeper\",\"/wings\"]"), "{expected}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_cassette_stands_in_for_the_source() {
    let folder = folder();
    let server = stand_in(Config { chaos: 0.02, gone: Amount::Count(1), ..Config::calm(300) });
    let set = base_url(&server);
    write(folder.path(), "my.yaml", muster_pipeline::built_in("animals").expect("built in"));
    let record = ["record", "my.yaml", "--cassette", "my.cassette.yaml", "--set", &set, "--records", "12"];
    let recorded = tool(folder.path(), &record).await.with_code(0);
    assert!(recorded.stderr.contains("for 12 records in my.cassette.yaml, without secrets"), "{}", recorded.stderr);
    assert_nothing_was_sent(&server);
    server.shutdown().await;

    let test = ["test", "my.yaml", "--cassette", "my.cassette.yaml", "--set", &set];
    let nothing = tool(folder.path(), &test).await.with_code(1);
    assert!(nothing.stderr.contains("nothing to compare with in my.cassette.expected.jsonl"), "{}", nothing.stderr);
    assert_eq!(nothing.stdout.lines().count(), 12);
    tool(folder.path(), &[&test[..], &["--update"]].concat()).await.with_code(0);
    assert_eq!(read(folder.path(), "my.cassette.expected.jsonl"), nothing.stdout);
    let fine = tool(folder.path(), &test).await.with_code(0);
    assert!(fine.stdout.contains("ok: 12 records as expected"), "{}", fine.stdout);

    // Another transform is seen, record by record.
    let changed = read(folder.path(), "my.yaml").replace("    name,\n", "    name: (.name | ascii_upcase),\n");
    write(folder.path(), "changed.yaml", &changed);
    let line = ["test", "changed.yaml", "--cassette", "my.cassette.yaml", "--set", &set];
    let other = tool(folder.path(), &line).await.with_code(3);
    assert!(
        other.stdout.contains("\n-     \"name\": \"") && other.stdout.contains("\n+     \"name\": \""),
        "{}",
        other.stdout
    );
    // So is a request that is not on it.
    let changed = read(folder.path(), "my.yaml").replace("parameter: page", "parameter: p");
    write(folder.path(), "changed.yaml", &changed);
    let missing = tool(folder.path(), &line).await.with_code(1).stderr;
    assert!(missing.contains("/animals?p=1 is not on the cassette; the nearest that is: GET "), "{missing}");
    assert!(missing.contains("not asked for: GET "), "{missing}");
    write(folder.path(), "html.yaml", "<html>");
    let wrong = ["test", "my.yaml", "--cassette", "html.yaml"];
    let wrong = tool(folder.path(), &wrong).await.with_code(2).stderr;
    assert!(wrong.contains("this is no cassette in the format of VCR"), "{wrong}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_pipeline_is_proposed_from_a_look_at_the_list() {
    let folder = folder();
    let server = stand_in(Config::calm(300));
    let list = format!("{}/animals/v1/animals", server.base_url());
    let authorization = format!("Authorization: Bearer {CANARY}");
    let init = ["init", &list, "-o", "mine.yaml", "--header", &authorization, "--header", &format!("X-Key: {CANARY}")];
    let said = tool(folder.path(), &init).await.with_code(0).stderr;
    assert!(said.contains("10 items at $.items") && said.contains("$.total_pages says how many pages"), "{said}");
    let yaml = read(folder.path(), "mine.yaml");
    assert!(!yaml.contains(CANARY) && !said.contains(CANARY), "{yaml}");
    for part in ["bearer: \"${env:API_TOKEN}\"", "\"x-key\": \"${env:X_KEY}\"", "/animals/${record:id}", "file://"] {
        assert!(yaml.contains(part), "{part} is not in\n{yaml}");
    }
    muster_pipeline::Pipeline::from_yaml(&yaml, "mine.yaml").unwrap_or_else(|error| panic!("{error}"));
    let again = tool(folder.path(), &init).await.with_code(1).stderr;
    assert!(again.contains("cannot write mine.yaml") && again.contains("another name"), "{again}");
    for (line, code, says) in [
        (&["init"][..], 2, "which list is to be looked at?"),
        (&["init", "api.example"], 2, "is not a URL"),
        (&["init", "http://me:canary@api.example/"], 2, "must not carry a user name"),
        (&["init", &list, "--header", "canary"], 2, "is not of the form"),
        (&["init", &format!("http://127.0.0.1:{}/", free_port())], 1, "are host and port right"),
        (&["init", &html().await["base_url=".len()..]], 1, "text/html; charset=utf-8, not JSON"),
    ] {
        let ended = tool(folder.path(), line).await.with_code(code);
        assert!(ended.stderr.contains(says) && !ended.stderr.contains("canary"), "{line:?}: {}", ended.stderr);
    }

    let mut terminal = Terminal::prompted(folder.path(), 100, &["pipeline", "init", "-o", "typed.yaml"]);
    terminal.type_in(&format!("{list}\r")).await;
    let left = terminal.left().await;
    let text = left.lines.join("\n");
    assert!(left.code == Some(0) && text.contains("next: muster pipeline try typed.yaml"), "{text}");
    assert!(read(folder.path(), "typed.yaml").contains("name: animals"), "typed.yaml");
    assert_nothing_was_sent(&server);
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_found_below_a_slash_and_in_what_wraps_them() {
    let folder = folder();
    let list = async |headers: axum::http::HeaderMap| {
        let host = headers["host"].to_str().expect("a name").to_owned();
        let items: Vec<Value> =
            (1..=4).map(|id| json!({"id": id, "name": (id > 3).then_some("Gnu"), "read": 0})).collect();
        ([("next-page", format!("http://{host}/api/items/?page=2"))], axum::Json(json!({"results": items})))
    };
    let detail = async |axum::extract::Path(id): axum::extract::Path<u64>| {
        axum::Json(json!({"data": {"id": id, "name": null, "read": 1}, "links": {"self": "/"}}))
    };
    // Without the slash at its end it redirects, as many do.
    let routes = Router::new()
        .route("/api/items/", axum::routing::get(list))
        .route("/api/items/{id}/", axum::routing::get(detail))
        .fallback(async || axum::response::Redirect::permanent("/api/items/"));
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let url = format!("http://{}/api/items/", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, routes).await });
    let said = tool(folder.path(), &["init", &url, "-o", "items.yaml"]).await.with_code(0).stderr;
    assert!(said.contains("each record at /api/items/ID/, in the answer at $.data: 3 were read"), "{said}");
    let yaml = read(folder.path(), "items.yaml");
    for part in [
        "request: { url: \"${param:base_url}/api/items/\" }",
        "next_url: { next: { header: Next-Page } }",
        "request: { url: \"${param:base_url}/api/items/${record:id}/\" }",
        "transform: .data\n",
        // What is empty in the records that were read, and not in an item, is both.
        "name:\n          type:\n          - string\n          - \"null\"\n",
    ] {
        assert!(yaml.contains(part), "{part} is not in\n{yaml}");
    }
    let tried = tool(folder.path(), &["try", "items.yaml", "--records", "4", "--json"]).await.with_code(0).stdout;
    assert!(tried.contains("\"after\":{\"id\":4,\"name\":null,\"read\":1}"), "{tried}");
    // A source that changes around its records has not changed.
    let live = tool(folder.path(), &["check", "--live", "items.yaml", "--records", "4"]).await.with_code(0).stdout;
    assert!(live.starts_with("ok: items.yaml") && live.contains("1 page read, with 4 items"), "{live}");
}
