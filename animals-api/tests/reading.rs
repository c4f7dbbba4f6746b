//! List, detail, and what is not there.

mod common;

use std::collections::BTreeSet;

use animals_api::{Amount, Config, Shifting};
use common::Zoo;
use reqwest::Method;
use serde_json::{Value, json};

#[tokio::test]
async fn a_page_has_ten_animals_without_friends() {
    let zoo = Zoo::open(Config::calm(25));
    let first = zoo.get("/animals/v1/animals").await;
    assert_eq!((first.status, &*first.kind, &*first.server), (200, "application/json", "uvicorn"));
    assert_eq!(first.text, zoo.get("/animals/v1/animals?page=1").await.text);
    let page = first.json();
    assert_eq!((&page["page"], &page["total_pages"]), (&json!(1), &json!(3)));
    let items = page["items"].as_array().expect("items");
    assert_eq!(items.len(), 10);
    for (id, item) in (0..).zip(items) {
        let animal = zoo.book.animal(id).expect("an animal");
        assert_eq!(*item, json!({"id": id, "name": animal.name, "born_at": animal.born_at}));
    }
    let last = zoo.get("/animals/v1/animals?page=3").await.json();
    assert_eq!(last["items"].as_array().map(Vec::len), Some(5));
}

#[tokio::test]
async fn items_may_be_whole() {
    let zoo = Zoo::open(Config { whole_items: true, malformed: Amount::Count(5), ..Config::calm(25) });
    for list in ["/animals/v1/animals", "/zoo/v1/list/offset", "/animals/v1/dated"] {
        for item in zoo.get(list).await.json()["items"].as_array().expect("items") {
            let mut detail = zoo.get(&format!("/animals/v1/animals/{}", item["id"])).await.json();
            if let Some(at) = item.get("updated_at") {
                detail["updated_at"] = at.clone();
            }
            assert_eq!(*item, detail, "{list}");
        }
    }
}

#[tokio::test]
async fn a_page_past_the_end_has_no_items() {
    let zoo = Zoo::open(Config::calm(25));
    let past = zoo.get("/animals/v1/animals?page=4").await;
    assert_eq!(past.said(), (200, r#"{"page":4,"total_pages":3,"items":[]}"#));
    assert_eq!(zoo.get("/animals/v1/animals?page=99999999999999999999999").await.status, 200);
    let nobody = Zoo::open(Config::calm(0));
    assert_eq!(nobody.get("/animals/v1/animals").await.said(), (200, r#"{"page":1,"total_pages":0,"items":[]}"#));
}

#[tokio::test]
async fn a_page_that_is_no_page_is_a_422() {
    let zoo = Zoo::open(Config::calm(25));
    let junk = zoo.get("/animals/v1/animals?page=one").await;
    let detail =
        r#"{"detail":[{"loc":["query","page"],"msg":"value is not a valid integer","type":"type_error.integer"}]}"#;
    assert_eq!(junk.said(), (422, detail));
    let zero = zoo.get("/animals/v1/animals?page=0").await;
    assert_eq!(zero.status, 422);
    assert_eq!(zero.json()["detail"][0]["loc"], json!(["query", "page"]));
    assert_eq!(zoo.get("/animals/v1/animals?page=-3").await.status, 422);
}

#[tokio::test]
async fn a_detail_adds_the_friends() {
    let zoo = Zoo::open(Config::calm(60));
    for id in 0..60 {
        let animal = zoo.book.animal(id).expect("an animal");
        let friends = animal.friends().join(",");
        let detail = json!({"id": id, "name": animal.name, "born_at": animal.born_at, "friends": friends});
        assert_eq!(zoo.get(&format!("/animals/v1/animals/{id}")).await.said(), (200, &*detail.to_string()));
    }
}

#[tokio::test]
async fn an_id_that_is_none() {
    let zoo = Zoo::open(Config::calm(60));
    let past = zoo.get("/animals/v1/animals/60").await;
    assert_eq!(past.said(), (500, "Internal Server Error"));
    assert_eq!(past.kind, "text/plain; charset=utf-8");
    let junk = zoo.get("/animals/v1/animals/cat").await;
    assert_eq!(junk.status, 422);
    let fault =
        json!({"loc": ["path", "animal_id"], "msg": "value is not a valid integer", "type": "type_error.integer"});
    assert_eq!(junk.json()["detail"], json!([fault]));
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused_as_fastapi_does() {
    let zoo = Zoo::open(Config::calm(1));
    let unknown = zoo.get("/zoo").await;
    assert_eq!(unknown.said(), (404, r#"{"detail":"Not Found"}"#));
    assert_eq!((&*unknown.kind, &*unknown.server), ("application/json", "uvicorn"));
    let deleted = zoo.request(Method::DELETE, "/animals/v1/animals").send().await.expect("an answer");
    assert_eq!(deleted.headers().get("allow").map(|allow| allow.as_bytes()), Some(&b"GET"[..]));
    assert_eq!(common::read(deleted).await.said(), (405, r#"{"detail":"Method Not Allowed"}"#));
    // reqwest follows the redirect.
    assert_eq!(zoo.get("/animals/v1/animals/").await.status, 200);
}

#[tokio::test]
async fn hello_and_the_docs() {
    let zoo = Zoo::open(Config::calm(1));
    assert_eq!(zoo.get("/").await.said(), (200, "Hello!"));
    let docs = zoo.get("/docs").await;
    assert_eq!((docs.status, &*docs.kind), (200, "text/html; charset=utf-8"));
    let openapi = zoo.get("/openapi.json").await.json();
    assert!(openapi["paths"]["/animals/v1/home"]["post"].is_object());
}

#[tokio::test]
async fn same_seed_same_animals() {
    let open = |seed| Zoo::open(Config { chaos: 0.0, ..Config::seeded(seed) });
    let (zoo, twin, other) = (open(7), open(7), open(8));
    for path in ["/animals/v1/animals?page=400", "/animals/v1/animals/4711"] {
        assert_eq!(zoo.get(path).await.text, twin.get(path).await.text);
        assert_ne!(zoo.get(path).await.text, other.get(path).await.text);
    }
}

#[tokio::test]
async fn gone_animals_are_listed_but_have_no_detail() {
    let zoo = Zoo::open(Config { gone: 0.1.into(), ..Config::calm(50) });
    let gone = zoo.book.gone();
    assert_eq!(gone.len(), 5);
    let page = zoo.get(&format!("/animals/v1/animals?page={}", gone[0] / 10 + 1)).await.json();
    assert!(page["items"].as_array().expect("items").iter().any(|item| item["id"] == gone[0]));
    for id in gone {
        let came = zoo.get(&format!("/animals/v1/animals/{id}")).await;
        assert_eq!(came.said(), (404, r#"{"detail":"Not Found"}"#));
    }
}

#[tokio::test]
async fn malformed_details_have_each_wrong_shape() {
    let zoo = Zoo::open(Config { malformed: Amount::Count(30), ..Config::calm(100) });
    let mut shapes = BTreeSet::new();
    for id in zoo.book.malformed() {
        let came = zoo.get(&format!("/animals/v1/animals/{id}")).await;
        let detail = came.json();
        assert_eq!((came.status, &detail["id"]), (200, &json!(id)));
        shapes.insert(match (&detail["name"], &detail["born_at"], &detail["friends"]) {
            (_, Value::String(_), _) => "born_at",
            (_, _, Value::Number(_)) => "friends",
            (Value::Null, _, _) => "name",
            sound => panic!("{id} is sound: {sound:?}"),
        });
    }
    assert_eq!(shapes, BTreeSet::from(["born_at", "friends", "name"]));
}

#[tokio::test]
async fn a_shifting_list_repeats_or_skips() {
    let read = async |by| {
        let zoo = Zoo::open(Config { shifting: Some(Shifting { every: 2, by }), ..Config::calm(60) });
        let mut ids = Vec::new();
        for page in 1..=6 {
            let page = zoo.get(&format!("/animals/v1/animals?page={page}")).await.json();
            ids.extend(page["items"].as_array().expect("items").iter().filter_map(|item| item["id"].as_u64()));
        }
        let distinct: BTreeSet<u64> = ids.iter().copied().collect();
        (ids.len(), distinct.len(), distinct.contains(&20))
    };
    // Forwards: the page boundary is met twice, and who came to the front is missed.
    assert_eq!(read(1).await, (60, 58, true));
    // Backwards: animal 20 slips from page 3 to page 2, which was read already; the front is read again at the end.
    assert_eq!(read(-1).await, (60, 58, false));
}

#[tokio::test]
async fn checkups_are_a_part_of_their_own() {
    let zoo = Zoo::open(Config { gone: 3.into(), ..Config::calm(100) });
    let (mut some, mut none) = (0, 0);
    for id in 0..100 {
        let came = zoo.get(&format!("/animals/v1/animals/{id}/checkups")).await;
        match came.status {
            200 => some += came.json().as_array().map_or(0, Vec::len),
            404 => none += 1,
            status => panic!("{status}: {}", came.text),
        }
    }
    assert!(some > 80 && (4..40).contains(&none), "{some} checkups, {none} without a list");
    assert_eq!(zoo.get(&format!("/animals/v1/animals/{}/checkups", zoo.book.gone()[0])).await.status, 404);
    assert_eq!(zoo.get("/animals/v1/animals/100/checkups").await.status, 404);
    assert_eq!(zoo.get("/animals/v1/animals/seven/checkups").await.status, 422);
    assert_eq!((zoo.book.counters().parts, zoo.book.counters().details), (103, 0));
}

#[tokio::test]
async fn animals_that_drift_have_the_fields_that_the_book_says() {
    let zoo = Zoo::open(Config { drift: 0.3.into(), malformed: 10.into(), ..Config::calm(100) });
    let drifting = zoo.book.drifting();
    let mut found: std::collections::BTreeMap<&str, Vec<u64>> = std::collections::BTreeMap::new();
    for id in (0..100).filter(|id| !zoo.book.malformed().contains(id)) {
        let animal = zoo.get(&format!("/animals/v1/animals/{id}")).await.json();
        let checkups = zoo.get(&format!("/animals/v1/animals/{id}/checkups")).await;
        let noted = checkups.status == 200 && checkups.json()[0].get("note").is_some();
        let has = [("/wings", animal.get("wings").is_some()), ("/keeper", animal["keeper"]["pager"] == id)];
        for (path, _) in has.into_iter().chain([("/checkups/*/note", noted)]).filter(|(_, has)| *has) {
            found.entry(path).or_default().push(id);
        }
    }
    assert_eq!((found.len(), &found), (3, &drifting));
}
