//! POSTs: what is taken, what is refused, and what the book then says.

mod common;

use animals_api::{Amount, Config};
use common::Zoo;
use serde_json::json;

#[tokio::test]
async fn a_batch_finds_home() {
    let zoo = Zoo::open(Config { keep_payloads: true, ..Config::calm(150) });
    let came = zoo.load(0..100).await;
    assert_eq!(came.said(), (200, r#"{"message":"Helped 100 find home"}"#));
    assert_eq!(zoo.post("[]").await.said(), (200, r#"{"message":"Helped 0 find home"}"#));
    let request = zoo.posting(zoo.batch([149, 7])).header("idempotency-key", "second");
    assert_eq!(request.send().await.expect("an answer").status(), 200);

    assert!(zoo.book.accepted().into_iter().eq((0..100).chain([149])));
    assert!(zoo.book.missing().into_iter().eq(100..149));
    assert_eq!(zoo.book.duplicates(), [(7, 2)]);
    assert!(zoo.book.wrong().is_empty() && zoo.book.unexpected().is_empty());
    let seven = zoo.book.entry(7).expect("accepted");
    assert_eq!((seven.times, seven.keys), (2, vec![None, Some("second".to_owned())]));
    assert_eq!(seven.posts, [0, 2]);
    assert_eq!(seven.hashes[0], seven.hashes[1]);
    assert_eq!(seven.payloads, vec![zoo.book.animal(7).expect("an animal").loaded_json(); 2]);
    let posts = zoo.book.posts();
    assert_eq!(posts.len(), 3);
    assert_eq!((&*posts[2].ids, posts[2].key.as_deref(), posts[2].whole), (&[149, 7][..], Some("second"), true));
}

#[tokio::test]
async fn loading_everyone_once_is_perfect() {
    let zoo = Zoo::open(Config { poison: 3.into(), gone: 2.into(), malformed: 4.into(), ..Config::calm(250) });
    let special = [zoo.book.poison(), zoo.book.gone(), zoo.book.malformed()].concat();
    let sound: Vec<u64> = (0..250).filter(|id| !special.contains(id)).collect();
    for batch in sound.chunks(100) {
        assert!(!zoo.book.is_perfect());
        assert_eq!(zoo.load(batch.iter().copied()).await.status, 200);
    }
    assert!(zoo.book.is_perfect() && zoo.book.missing().is_empty());
    zoo.load([sound[0]]).await;
    assert!(!zoo.book.is_perfect());
}

#[tokio::test]
async fn a_hundred_and_one_are_too_many() {
    let zoo = Zoo::open(Config::calm(150));
    let came = zoo.load(0..101).await;
    assert_eq!(came.said(), (400, r#"{"detail":"Sorry, only 100 animals at a time"}"#));
    assert!(zoo.book.accepted().is_empty());
    assert_eq!(zoo.book.counters().refused_400, 1);
}

#[tokio::test]
async fn wrong_types_are_a_422_that_names_them() {
    let zoo = Zoo::open(Config::calm(150));
    let came = zoo.post(r#"[{"id":1,"name":"Cat","born_at":null,"friends":"Dog,Cat"}]"#).await;
    let fault = json!({"loc": ["body", 0, "friends"], "msg": "value is not a valid list", "type": "type_error.list"});
    assert_eq!((came.status, came.json()), (422, json!({ "detail": [fault] })));
    let keys = came.text.find("loc").zip(came.text.find("msg")).zip(came.text.find("type\""));
    assert!(keys.is_some_and(|((loc, msg), kind)| loc < msg && msg < kind), "{}", came.text);
    for body in ["", "{", "{}", "[[]]", r#"[{"id":1}]"#] {
        let came = zoo.post(body).await;
        assert_eq!(came.status, 422, "{body}: {}", came.text);
        assert_eq!(came.json()["detail"][0]["loc"][0], "body");
    }
    let good = zoo.batch([1]);
    let text = zoo.request(reqwest::Method::POST, "/animals/v1/home").header("content-type", "text/plain");
    assert_eq!(text.body(good.clone()).send().await.expect("an answer").status(), 422);
    // ... but without a content type FastAPI reads JSON.
    let bare = zoo.request(reqwest::Method::POST, "/animals/v1/home").body(good);
    assert_eq!(bare.send().await.expect("an answer").status(), 200);
    assert_eq!(zoo.book.accepted(), [1]);
}

#[tokio::test]
async fn a_body_beyond_the_bound_is_a_413() {
    let zoo = Zoo::open(Config { max_body: 1000, ..Config::calm(150) });
    assert_eq!(zoo.load(0..100).await.status, 413);
    assert_eq!(zoo.load(0..2).await.status, 200);
    assert_eq!(zoo.book.counters().refused_413, 1);
}

#[tokio::test]
async fn other_content_is_accepted_but_noted_as_wrong() {
    let zoo = Zoo::open(Config::calm(2000));
    let ids = || 0..2000;
    let dated = ids().find(|id| zoo.book.animal(*id).is_some_and(|a| a.born_at.is_some_and(|at| at % 1000 != 0)));
    let dated = dated.expect("someone is dated");
    let lonely = ids().find(|id| zoo.book.animal(*id).is_some_and(|a| a.friends().is_empty())).expect("lonely");
    let iso = zoo.book.animal(dated).and_then(|animal| animal.born_at_iso8601()).expect("dated");
    let seconds_only = format!("{}Z", &iso[..19]);
    assert_eq!(zoo.post(zoo.batch([dated]).replace(&iso, &seconds_only)).await.status, 200);
    assert_eq!(zoo.post(zoo.batch([lonely]).replace("[]}", "[\"\"]}")).await.status, 200);
    assert_eq!(zoo.load([1, 2]).await.status, 200);
    let mut wrong = [dated, lonely];
    wrong.sort_unstable();
    assert_eq!(zoo.book.wrong(), wrong);
    assert!(zoo.book.unexpected().is_empty());
}

#[tokio::test]
async fn strangers_the_gone_and_the_malformed_are_accepted_but_unexpected() {
    let zoo = Zoo::open(Config { gone: Amount::Count(1), malformed: Amount::Count(1), ..Config::calm(50) });
    let (gone, malformed) = (zoo.book.gone()[0], zoo.book.malformed()[0]);
    let stranger = r#"[{"id":5000,"name":"Yeti","born_at":null,"friends":[]}]"#;
    assert_eq!(zoo.load([gone, malformed]).await.status, 200);
    assert_eq!(zoo.post(stranger).await.status, 200);
    let mut unexpected = [gone, malformed, 5000];
    unexpected.sort_unstable();
    assert_eq!(zoo.book.unexpected(), unexpected);
    assert_eq!(zoo.book.missing().len(), 48);
}

#[tokio::test]
async fn poison_spoils_its_whole_batch() {
    let zoo = Zoo::open(Config { poison: 2.into(), ..Config::calm(50) });
    let poison = zoo.book.poison();
    let sound: Vec<u64> = (0..50).filter(|id| !poison.contains(id)).take(3).collect();
    let came = zoo.load([sound[0], poison[0], sound[1], poison[1]]).await;
    assert_eq!(came.status, 422);
    let detail = came.json();
    let places: Vec<_> = detail["detail"].as_array().expect("a list").iter().map(|fault| &fault["loc"]).collect();
    assert_eq!(places, [&json!(["body", 1]), &json!(["body", 3])]);
    assert!(zoo.book.accepted().is_empty());
    assert_eq!(zoo.load(sound).await.status, 200);
    assert_eq!(zoo.book.counters().refused_poison, 1);
}

#[tokio::test]
async fn strict_crosses_off_and_then_fails_for_ever() {
    let zoo = Zoo::open(Config { strict: true, ..Config::calm(50) });
    assert_eq!(zoo.load([0, 1, 2]).await.status, 200);
    let came = zoo.load([3, 4, 1, 5]).await;
    assert_eq!(came.said(), (500, "Internal Server Error"));
    assert_eq!(zoo.book.accepted(), [0, 1, 2, 3, 4]);
    for _ in 0..3 {
        assert_eq!(zoo.load([3, 4, 1, 5]).await.said(), (500, "Internal Server Error"));
    }
    // Unknown, and with other content.
    let stranger = r#"[{"id":5000,"name":"Yeti","born_at":null,"friends":[]}]"#;
    assert_eq!(zoo.post(stranger).await.said(), (500, "Internal Server Error"));
    let renamed = zoo.batch([6]).replace(zoo.book.animal(6).expect("an animal").name, "Yeti");
    assert_eq!(zoo.post(renamed).await.said(), (500, "Internal Server Error"));
    assert_eq!(zoo.load([5, 6]).await.status, 200);

    assert_eq!(zoo.book.accepted(), [0, 1, 2, 3, 4, 5, 6]);
    assert!(zoo.book.duplicates().is_empty());
    let parts: Vec<_> = zoo.book.posts().into_iter().filter(|post| !post.whole).collect();
    assert_eq!(parts.len(), 1);
    assert_eq!(*parts[0].ids, [3, 4]);
    assert_eq!(zoo.book.counters().cut_short, 6);
}

#[tokio::test]
async fn who_asks_learns_whether_an_animal_has_found_home() {
    let zoo = Zoo::open(Config::calm(150));
    zoo.load(0..3).await;
    let came = zoo.get("/animals/v1/home/2").await;
    assert_eq!((came.said(), came.kind.as_str()), ((200, r#"{"id":2}"#), "application/json"));
    for absent in ["3", "149", "150", "-1"] {
        let came = zoo.get(&format!("/animals/v1/home/{absent}")).await;
        assert_eq!(came.said(), (404, r#"{"detail":"Not Found"}"#), "{absent}");
    }
    assert_eq!(zoo.get("/animals/v1/home/cat").await.status, 422);
    let counters = zoo.book.counters();
    assert_eq!((counters.asked, counters.others), (6, 0));
    assert_eq!(zoo.book.accepted(), [0, 1, 2], "asking stores nothing");
}

#[tokio::test]
async fn a_post_that_is_stored_in_part_is_a_500_that_does_not_say_so() {
    let zoo = Zoo::open(Config { partial: 1.0, keep_payloads: true, ..Config::calm(150) });
    let came = zoo.load(0..100).await;
    assert_eq!(came.said(), (500, "Internal Server Error"));
    let first = zoo.book.accepted();
    assert_eq!(first.len(), 50);
    assert!(first != (0..50).collect::<Vec<_>>(), "not merely the first of them: {first:?}");
    let (post, counters) = (zoo.book.posts().remove(0), zoo.book.counters());
    assert_eq!((post.ids.to_vec(), post.whole), (first.clone(), false));
    assert_eq!((counters.halved, counters.accepted_posts, counters.cut_short), (1, 0, 0));
    for id in first {
        let loaded = zoo.book.animal(id).expect("an animal").loaded_json();
        assert_eq!(zoo.book.entry(id).expect("accepted").payloads, [loaded]);
    }
    assert!(zoo.book.wrong().is_empty());
    zoo.load(100..101).await;
    assert_eq!(zoo.book.times(100), 0, "half of one is none");
    zoo.server.turn(|knobs| knobs.partial = 0.0);
    assert_eq!(zoo.load(0..100).await.status, 200);
}
