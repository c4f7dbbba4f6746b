//! dummyjson-products.yaml into the table that its comment makes, against a server that pages as DummyJSON does.

use std::collections::HashMap;

use axum::extract::{Path, Query};
use axum::routing::get;
use axum::{Json, Router};
use muster_tests::postgres::Postgres;
use muster_tests::turn;
use serde_json::{Value, json};

use super::{example, run, serve};

const PRODUCTS: u64 = 194;
/// It gives no more than that.
const MOST: u64 = 30;

async fn list(Query(query): Query<HashMap<String, String>>) -> Json<Value> {
    let number = |name: &str| query[name].parse::<u64>().expect("a number");
    let (skip, limit) = (number("skip"), number("limit").min(MOST));
    assert_eq!(query["select"], "id");
    let products: Vec<Value> = (skip + 1..=PRODUCTS.min(skip + limit)).map(|id| json!({"id": id})).collect();
    Json(json!({"products": products, "total": PRODUCTS, "skip": skip, "limit": limit}))
}

async fn detail(Path(id): Path<u64>) -> Json<Value> {
    let mut product = json!({
        "id": id, "title": format!("Größe {id} \"XL\""), "category": "beauty", "price": format!("{id}.99").parse::<f64>().expect("a price"),
        "stock": id * 3, "rating": 4.5, "meta": {"updatedAt": "2026-04-30T09:41:02.053Z"},
        "dimensions": {"width": 15.14, "depth": 23},
    });
    if !id.is_multiple_of(4) {
        product["tags"] = json!(["a,b", "ü\"}"]);
    }
    Json(product)
}

/// The statement in the comment of an example.
fn table(text: &str) -> String {
    let comment = text.lines().map_while(|line| line.strip_prefix('#'));
    let from = comment.skip_while(|line| !line.contains("CREATE TABLE"));
    let mut sql = String::new();
    for line in from {
        sql.push_str(line);
        sql.push('\n');
        if line.trim() == ");" {
            break;
        }
    }
    assert!(sql.ends_with(");\n"), "no CREATE TABLE in the comment: {sql}");
    sql
}

#[tokio::test(flavor = "multi_thread")]
async fn products_become_rows() {
    let _turn = turn::heavy().await;
    let here = tempfile::tempdir().expect("a folder");
    let database = Postgres::start();
    database.sql(&table(&std::fs::read_to_string(example("dummyjson-products.yaml")).expect("an example")));
    let shop = Router::new().route("/products", get(list)).route("/products/{id}", get(detail));
    let set = format!("base_url={}", serve(shop).await);
    let url = database.url();
    let secrets = [("SHOP_DATABASE", url.as_str())];
    for _ in 0..2 {
        // The second time each is overwritten.
        run(here.path(), "dummyjson-products.yaml", &[&set], &secrets, PRODUCTS).await;
    }
    let sums = database.sql(
        "SELECT count(*), count(DISTINCT id), sum(price), sum(stock), sum(cardinality(tags)), \
         count(*) FILTER (WHERE tags = ARRAY['a,b', 'ü\"}']), sum((dimensions->>'width')::numeric), \
         count(DISTINCT updated_at) FROM products",
    );
    let ids: u64 = (1..=PRODUCTS).sum();
    let price = format!("{}.{:02}", ids + PRODUCTS * 99 / 100, PRODUCTS * 99 % 100);
    let tagged = PRODUCTS - PRODUCTS / 4;
    let width = PRODUCTS * 1_514;
    let width = format!("{}.{:02}", width / 100, width % 100);
    let expected = format!("{PRODUCTS}|{PRODUCTS}|{price}|{}|{}|{tagged}|{width}|1", ids * 3, tagged * 2);
    assert_eq!(sums, expected);
    let row = database.sql("SELECT title, price, updated_at AT TIME ZONE 'UTC' FROM products WHERE id = 7");
    assert_eq!(row, "Größe 7 \"XL\"|7.99|2026-04-30 09:41:02.053");
}
