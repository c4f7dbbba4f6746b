//! Credentials that are wanted, tokens that are given, and answers that say back what they were sent.

mod common;

use animals_api::{Config, Guard, TokenLife};
use common::{Came, Zoo, read};
use reqwest::Method;

fn guarded(guard: &str) -> Config {
    Config { guard: Some(guard.parse::<Guard>().expect("a guard")), ..Config::calm(100) }
}

async fn as_bearer(zoo: &Zoo, token: &str) -> Came {
    read(zoo.request(Method::GET, "/animals/v1/animals/7").bearer_auth(token).send().await.expect("an answer")).await
}

async fn token(zoo: &Zoo, secret: &str) -> Came {
    let asking = zoo.request(Method::POST, "/zoo/v1/token").basic_auth("me", Some(secret));
    let form = asking.header("content-type", "application/x-www-form-urlencoded").body("grant_type=client_credentials");
    read(form.send().await.expect("an answer")).await
}

#[tokio::test]
async fn nothing_but_hello_and_the_book_is_open_to_strangers() {
    let zoo = Zoo::open(guarded("bearer:t0ken"));
    for path in ["/animals/v1/animals", "/animals/v1/animals/1", "/animals/v1/home/1", "/docs", "/nowhere"] {
        assert_eq!(zoo.get(path).await.said(), (401, r#"{"detail":"Not authenticated"}"#), "{path}");
    }
    assert_eq!(zoo.load([1, 2]).await.status, 401);
    assert_eq!(zoo.get("/").await.status, 200);
    let came = as_bearer(&zoo, "t0ken").await;
    assert!(came.status == 200 && came.text.starts_with("{\"id\":7,"), "{came:?}");
    let counters = zoo.book.counters();
    assert_eq!((counters.unauthorized, counters.posts, counters.details), (6, 1, 2));
    assert!(zoo.book.accepted().is_empty() && !zoo.book.was_listed(0) && !zoo.book.was_fetched(1));
    assert_eq!(zoo.get("/book").await.json()["counters"]["unauthorized"], 6);
}

#[tokio::test]
async fn tokens_are_given_counted_and_run_out() {
    let zoo = Zoo::open(Config { token_life: TokenLife::Requests(2), ..guarded("oauth2:me:s3cr3t") });
    assert_eq!(token(&zoo, "other").await.said(), (401, r#"{"error":"invalid_client"}"#));
    let given = token(&zoo, "s3cr3t").await.json();
    let text = given["access_token"].as_str().expect("a token");
    let mut statuses = Vec::new();
    for _ in 0..3 {
        statuses.push(as_bearer(&zoo, text).await.status);
    }
    assert_eq!(statuses, [200, 200, 401]);
    assert_ne!(token(&zoo, "s3cr3t").await.json()["access_token"], text);
    let counters = zoo.book.counters();
    assert_eq!((counters.tokens, counters.unauthorized, counters.others), (2, 2, 3));
}

#[tokio::test]
async fn an_echo_says_credentials_back_whatever_the_answer() {
    let zoo = Zoo::open(Config { echo: true, ..guarded("bearer:t0ken") });
    for (bearer, status) in [("t0ken", 200), ("wr0ng", 401)] {
        let came = as_bearer(&zoo, bearer).await;
        assert_eq!(came.status, status);
        let said = came.json()["you_sent"].as_str().expect("a text").to_owned();
        assert!(said.contains(&format!("authorization: Bearer {bearer}")), "{said}");
    }
}
