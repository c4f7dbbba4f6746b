//! The book over HTTP.

mod common;

use animals_api::{Config, Entry};
use common::{Zoo, read};
use reqwest::Method;
use serde_json::{Value, json};

async fn knobs(zoo: &Zoo, change: &str) -> common::Came {
    let request = zoo.request(Method::POST, "/book/knobs").body(change.to_owned());
    read(request.send().await.expect("an answer")).await
}

fn lines(text: &str) -> Vec<Value> {
    text.lines().map(|line| serde_json::from_str(line).expect(line)).collect()
}

#[tokio::test]
async fn the_summary_tells_what_is_missing_and_what_is_too_much() {
    let zoo = Zoo::open(Config { gone: 1.into(), ..Config::calm(200) });
    let gone = zoo.book.gone()[0];
    zoo.get("/animals/v1/animals?page=2").await;
    zoo.get("/animals/v1/animals/3").await;
    let sound: Vec<u64> = (0..60).filter(|id| *id != gone).collect();
    zoo.load(sound.iter().copied()).await;
    zoo.load(sound[..2].iter().copied()).await;
    zoo.post(r#"[{"id":900,"name":"Yeti","born_at":null,"friends":[]}]"#).await;

    let page = zoo.get("/book").await;
    assert_eq!((page.status, &*page.kind), (200, "application/json"));
    let book = page.json();
    let distinct = sound.len() as u64 + 1;
    for (name, value) in [("animals", 200), ("expected", 199), ("gone", 1), ("listed", 10), ("fetched", 1)] {
        assert_eq!(book[name], value, "{name}");
    }
    assert_eq!((&book["accepted"], &book["copies"]), (&json!(distinct), &json!(2)));
    assert_eq!(book["missing"]["count"], 199 - sound.len());
    let missing: Vec<u64> = zoo.book.missing().into_iter().take(20).collect();
    assert_eq!(book["missing"]["first"], json!(missing));
    assert_eq!(book["duplicates"], json!({"count": 2, "first": sound[..2]}));
    assert_eq!(book["unexpected"], json!({"count": 1, "first": [900]}));
    assert_eq!(book["wrong"], json!({"count": 0, "first": []}));
    assert_eq!((&book["perfect"], &book["longest_post_stall_ms"]), (&json!(false), &json!(0)));
    assert_eq!(book["counters"]["posts"], 3);
    assert_eq!(book, json!(zoo.book.summary()));
}

#[tokio::test]
async fn one_animal_is_told_in_full() {
    let zoo = Zoo::open(Config { keep_payloads: true, poison: 1.into(), ..Config::calm(100) });
    let poison = zoo.book.poison()[0];
    let id = (poison + 1) % 100;
    zoo.get(&format!("/animals/v1/animals/{id}")).await;
    let key = zoo.posting(zoo.batch([id])).header("idempotency-key", "k1");
    key.send().await.expect("an answer");
    let page = zoo.get(&format!("/book/animals/{id}")).await.json();
    let expected = zoo.book.animal(id).expect("an animal").loaded_json();
    assert_eq!(page["expected"], serde_json::from_str::<Value>(&expected).expect("JSON"));
    assert_eq!(page["payloads"], json!([expected]));
    assert_eq!((&page["fate"], &page["times"], &page["keys"]), (&json!("sound"), &json!(1), &json!(["k1"])));
    assert_eq!((&page["listed"], &page["fetched"]), (&json!(false), &json!(true)));
    let entry: Entry = zoo.book.entry(id).expect("accepted");
    assert_eq!(page["hashes"], json!(entry.hashes));

    let page = zoo.get(&format!("/book/animals/{poison}")).await.json();
    assert_eq!((&page["fate"], &page["times"], &page["expected"]), (&json!("poison"), &json!(0), &Value::Null));
    for nobody in ["/book/animals/100", "/book/animals/cat", "/book/nothing"] {
        assert_eq!(zoo.get(nobody).await.status, 404, "{nobody}");
    }
}

#[tokio::test]
async fn accepted_and_posts_stream_as_lines() {
    // More than one piece of 1000 lines, with gaps, strangers and a copy.
    let zoo = Zoo::open(Config::calm(6000));
    let ids: Vec<u64> = (0..6000).step_by(2).collect();
    for batch in ids.chunks(100) {
        assert_eq!(zoo.load(batch.iter().copied()).await.status, 200);
    }
    let key = zoo.posting(zoo.batch([4])).header("idempotency-key", "again");
    key.send().await.expect("an answer");
    zoo.post(r#"[{"id":18446744073709551615,"name":"Yeti","born_at":null,"friends":[]}]"#).await;

    let accepted = zoo.get("/book/accepted").await;
    assert_eq!((accepted.status, &*accepted.kind), (200, "application/x-ndjson"));
    let accepted = lines(&accepted.text);
    let listed: Vec<u64> = accepted.iter().filter_map(|line| line["id"].as_u64()).collect();
    assert!(listed.into_iter().eq(ids.iter().copied().chain([u64::MAX])));
    assert_eq!(accepted[2], json!({"id": 4, "times": 2, "wrong": 0, "keys": [null, "again"]}));
    let posts = lines(&zoo.get("/book/posts").await.text);
    assert_eq!(posts.len(), 32);
    assert_eq!((&posts[30]["ids"], &posts[30]["key"]), (&json!([4]), &json!("again")));
}

#[tokio::test]
async fn knobs_turn_while_it_runs() {
    let zoo = Zoo::open(Config::calm(100));
    let came = knobs(&zoo, r#"{"outage":true}"#).await;
    assert_eq!((came.status, &came.json()["outage"]), (200, &json!(true)));
    assert_eq!(zoo.load([1]).await.said(), (503, "Sorry!"));
    let change = r#"{"outage":false,"rate_limit":{"per_second":0.001,"burst":1},"stall_ms":[10,20]}"#;
    assert_eq!(knobs(&zoo, change).await.json(), zoo.get("/book/knobs").await.json());
    assert_eq!(zoo.load([1]).await.status, 200);
    assert_eq!(zoo.load([1]).await.status, 429);
    assert_eq!(knobs(&zoo, r#"{"rate_limit":null}"#).await.status, 200);
    assert_eq!(zoo.load([1]).await.status, 200);
    let before = zoo.server.knobs();
    for bad in [r#"{"chaos":2}"#, r#"{"chaoss":1}"#, r#"{"stall_ms":[2,1]}"#, "[]", "", r#"{"disconnect":"hang"}"#] {
        let came = knobs(&zoo, bad).await;
        assert_eq!(came.status, 422, "{bad}");
        assert!(came.json()["detail"].is_string(), "{}", came.text);
    }
    assert_eq!(zoo.server.knobs(), before);
}

#[tokio::test]
async fn a_reset_forgets_everything() {
    let zoo = Zoo::open(Config { strict: true, ..Config::calm(100) });
    zoo.get("/animals/v1/animals").await;
    zoo.load([1, 2]).await;
    let fresh = Zoo::open(Config::calm(100));
    let came = read(zoo.request(Method::DELETE, "/book").send().await.expect("an answer")).await;
    assert_eq!(came.status, 200);
    assert_eq!(zoo.book.summary(), fresh.book.summary());
    assert_eq!(zoo.load([1, 2]).await.status, 200, "crossed off no more");
}

#[tokio::test]
async fn an_animal_without_its_checkups_is_wrong_where_they_are_expected() {
    let zoo = Zoo::open(Config { checkups: true, ..Config::calm(40) });
    let sent = |id: u64, checkups: Value| {
        let mut animal: Value =
            serde_json::from_str(&zoo.book.animal(id).expect("an animal").loaded_json()).expect("JSON");
        animal["checkups"] = checkups;
        json!([animal]).to_string()
    };
    let mut with_some = Vec::new();
    for id in 0..40 {
        let came = zoo.get(&format!("/animals/v1/animals/{id}/checkups")).await;
        let checkups = if came.status == 404 { Value::Null } else { came.json() };
        if checkups[0].is_object() {
            with_some.push(id);
        }
        zoo.post(sent(id, checkups)).await;
    }
    assert!(zoo.book.is_perfect(), "{:?}", zoo.book.wrong());
    zoo.load([with_some[0]]).await;
    zoo.post(sent(with_some[1], Value::Null)).await;
    assert_eq!(zoo.book.wrong(), with_some[..2]);
}
