//! Cassettes as this program writes and reads them.

use std::collections::BTreeMap;

use secrecy::SecretString;

use super::*;
use crate::http::{Get, RequesterConfig};
use crate::{Limits, Requester};

/// As vcrpy 8 writes it.
const BY_VCRPY: &str = r#"interactions:
- request:
    body: null
    headers:
      Accept:
      - '*/*'
      User-Agent:
      - python-requests/2.32.5
    method: GET
    uri: http://127.0.0.1:3123/list?page=1&size=2
  response:
    body:
      string: '{"items":[{"id":1},{"id":2}],"it''s":"so"}'
    headers:
      Content-Type:
      - application/json
    status:
      code: 200
      message: OK
- request:
    body: null
    headers: {}
    method: GET
    uri: http://127.0.0.1:3123/items/1
  response:
    body:
      string: !!binary |
        eyJuYW1lIjoiw6kifQ==
    headers:
      Content-Type:
      - application/json
    status:
      code: 200
      message: OK
version: 1
"#;

fn asked(method: &str, uri: &str) -> Asked {
    Asked { body: None, headers: Headers::new(), method: method.to_owned(), uri: uri.to_owned() }
}

fn answered(body: &str) -> Answered {
    Answered {
        body: AnswerBody { string: Body(body.as_bytes().to_vec()) },
        headers: Headers::new(),
        status: Status { code: 200, message: Some("OK".to_owned()) },
    }
}

async fn get(requester: &Requester, url: &str) -> Result<String, String> {
    let (answer, _) = requester.get(&url::Url::parse(url).unwrap(), Get::Detail).await;
    answer.map(|body| String::from_utf8(body.to_vec()).unwrap()).map_err(|error| error.to_string())
}

#[test]
fn what_is_written_can_be_read_whatever_stands_in_it() {
    for body in
        ["", "{\"a\":1}", "line\nline\n", "  \u{1}\u{7f}é\u{2028}\r\n# '\"\\ \t", "null", "7", "- a", "---\n", "a: b"]
    {
        let interaction = Interaction { request: asked("GET", "http://h.test/?a=b&c=%20"), response: answered(body) };
        let cassette = Cassette { interactions: vec![interaction], version: VERSION, records: Some(3) };
        let yaml = cassette.to_yaml();
        assert_eq!(Cassette::from_yaml(&yaml).unwrap_or_else(|error| panic!("{error} in\n{yaml}")), cassette);
    }
    for (text, says) in
        [("a: b", "no cassette"), ("<html>", "no cassette"), ("interactions: []\nversion: 2", "version is 2")]
    {
        assert!(Cassette::from_yaml(text).unwrap_err().to_string().contains(says), "{text}");
    }
}

#[tokio::test]
async fn a_cassette_of_another_program_is_played_strictly() {
    let cassette = Cassette::from_yaml(BY_VCRPY).unwrap();
    assert_eq!((cassette.len(), cassette.records()), (2, None));
    let player = Player::new(cassette);
    let requester = Requester::playing(&Limits::default(), &RequesterConfig::default(), &player);
    assert_eq!(player.played().unused.len(), 2);
    // The order of query parameters says nothing.
    let list = get(&requester, "http://127.0.0.1:3123/list?size=2&page=1").await.unwrap();
    assert_eq!(list, r#"{"items":[{"id":1},{"id":2}],"it's":"so"}"#);
    let wrong = get(&requester, "http://127.0.0.1:3123/items/2").await.unwrap_err();
    let says = "GET http://127.0.0.1:3123/items/2 is not on the cassette; the nearest that is: \
                GET http://127.0.0.1:3123/items/1";
    assert!(wrong.contains(says), "{wrong}");
    let again = get(&requester, "http://127.0.0.1:3123/list?page=1&size=2").await.unwrap_err();
    assert!(again.contains("is asked more often than the cassette has answers to it"), "{again}");
    let played = player.played();
    assert_eq!(played.unused, ["GET http://127.0.0.1:3123/items/1"]);
    assert_eq!((played.missing.len(), played.missing[0].as_str()), (2, says));
    assert_eq!(get(&requester, "http://127.0.0.1:3123/items/1").await.unwrap(), "{\"name\":\"é\"}");
}

#[test]
fn no_secret_is_written_down_wherever_it_stood() {
    const CANARIES: [&str; 7] = [
        "canary-key",
        "canary\"quoted",
        "canary/plus+ é",
        "canary-token",
        "canary-cookie",
        "canary-basic",
        "canary-new",
    ];
    let header = |name: &str, value: &str| (name.to_owned(), Values::Many(vec![value.to_owned()]));
    let mut token = asked("POST", "https://id.test/token");
    token.body = Some(Body(b"grant_type=client_credentials&client_secret=canary%2Fplus%2B+%C3%A9&scope=all".to_vec()));
    token.headers = BTreeMap::from([header("authorization", "Basic canary-basic")]);
    let mut list = asked("GET", "https://h.test/list?key=canary-key&access_token=canary-token&page_token=kept&page=1");
    list.headers = BTreeMap::from([header("x-api-key", "whatever"), header("x-tenant", "canary-key")]);
    let mut answer = answered(
        "{\"next\":\"https://h.test/?key=canary-key&q=canary%2Fplus%2B%20%C3%A9\",\"said\":\"canary\\\"quoted\",\"kept\":1}",
    );
    answer.headers =
        BTreeMap::from([header("set-cookie", "a=canary-cookie"), header("content-type", "application/json")]);
    let granted = "{\"access_token\":\"canary-token\",\"refresh_token\":\"canary-new\",\"expires_in\":60}";
    let mut interactions = vec![
        Interaction { request: token.clone(), response: answered(granted) },
        Interaction { request: list, response: answer },
        Interaction { request: asked("GET", "https://h.test/canary-new"), response: answered("canary-new") },
    ];
    let known = ["canary-key", "canary\"quoted", "canary/plus+ é"].map(str::to_owned);
    let brought = scrub::brought(&token, granted.as_bytes());
    assert_eq!(brought, ["canary-token", "canary-new"]);
    let cursors = scrub::Cursors::of(&interactions);
    let scrubber = scrub::Scrubber::new(known.into_iter().chain(brought), cursors);
    interactions.iter_mut().for_each(|interaction| scrubber.clean(interaction));
    let yaml = Cassette { interactions, version: VERSION, records: None }.to_yaml();
    for canary in CANARIES {
        assert!(!yaml.contains(canary), "{canary} in\n{yaml}");
    }
    assert!(!yaml.contains("canary"), "{yaml}");
    for kept in ["page_token=kept", "application/json", "expires_in", "scope=all", "kept"] {
        assert!(yaml.contains(kept), "{kept} is not in\n{yaml}");
    }
}

#[test]
fn a_recorder_takes_the_secrets_out_before_it_gives_anything_away() {
    let cassette = Recorder::default().cassette(5, &[SecretString::from("x")]);
    assert!(cassette.is_empty());
    assert_eq!(cassette.records(), Some(5));
}

#[tokio::test]
async fn a_cursor_that_is_called_a_token_tells_pages_apart() {
    let page = |query: &str, next: &str| {
        let mut response = answered("[]");
        let next = format!("http://h.test/list?key=said-back&{next}");
        response.headers.insert("next-page".to_owned(), Values::One(next));
        Interaction { request: asked("GET", &format!("http://h.test/list?{query}")), response }
    };
    let mut interactions =
        vec![page("api-key=said-back", "_token=b%3D2"), page("api-key=said-back&_token=b%3D2", "_token=end")];
    let scrubber = scrub::Scrubber::new([], scrub::Cursors::of(&interactions));
    interactions.iter_mut().for_each(|interaction| scrubber.clean(interaction));
    let uris: Vec<&str> = interactions.iter().map(|interaction| interaction.request.uri.as_str()).collect();
    assert_eq!(uris, ["http://h.test/list?api-key=REDACTED", "http://h.test/list?api-key=REDACTED&_token=b%3D2"]);
    let player = Player::new(Cassette { interactions, version: VERSION, records: None });
    let requester = Requester::playing(&Limits::default(), &RequesterConfig::default(), &player);
    get(&requester, "http://h.test/list?api-key=another").await.unwrap();
    let again = get(&requester, "http://h.test/list").await.unwrap_err();
    assert!(again.contains("asked more often"), "{again}");
    let wrong = get(&requester, "http://h.test/list?_token=c").await.unwrap_err();
    assert!(wrong.contains("asked more often"), "{wrong}");
    get(&requester, "http://h.test/list?_token=b%3D2").await.unwrap();
}

/// What is kept of an exchange: the body that was sent, and the answer.
fn clean(asked: Asked, answer: &str) -> (Option<String>, String) {
    let mut interactions = [Interaction { request: asked, response: answered(answer) }];
    let scrubber = scrub::Scrubber::new([], scrub::Cursors::of(&interactions));
    interactions.iter_mut().for_each(|interaction| scrubber.clean(interaction));
    let [Interaction { request, response }] = interactions;
    let text = |body: Body| String::from_utf8(body.0).unwrap();
    (request.body.map(text), text(response.body.string))
}

#[test]
fn what_its_name_gives_away_is_taken_out_at_any_depth() {
    let answer = r#"{"user":{"access_token":"canary","name":"Ada"},"keys":[{"client_secret":"canary","id":1}],
        "password":"canary","api_key":"canary","session_token":"canary","apiKeys":["canary","canary"],
        "token_type":"Bearer","tokens":5,"secret":null,"next_page_token":"kept",
        "next":"https:\/\/h.test\/l?page=2&api_key=canary%2Fx\u0026sig=kept&amp;access_token=canary#a",
        "note":"see /l?password=canary and ask? Token=kept","credentials":{"user":"Ada","password":"canary"}}"#;
    let mut asked_with = asked("POST", "https://h.test/login");
    asked_with.body = Some(Body(br#"{"login":{"password":"canary","user":"Ada"}}"#.to_vec()));
    let (sent, said) = clean(asked_with, answer);
    assert_eq!(sent.unwrap(), r#"{"login":{"password":"REDACTED","user":"Ada"}}"#);
    assert!(!said.contains("canary"), "{said}");
    let said: serde_json::Value = serde_json::from_str(&said).unwrap();
    let expected = serde_json::json!({
        "user": {"access_token": "REDACTED", "name": "Ada"}, "keys": [{"client_secret": "REDACTED", "id": 1}],
        "password": "REDACTED", "api_key": "REDACTED", "session_token": "REDACTED", "apiKeys": ["REDACTED", "REDACTED"],
        "token_type": "Bearer", "tokens": 5, "secret": null, "next_page_token": "kept",
        "next": "https://h.test/l?page=2&api_key=REDACTED&sig=kept&amp;access_token=REDACTED#a",
        "note": "see /l?password=REDACTED and ask? Token=kept",
        "credentials": {"user": "Ada", "password": "REDACTED"},
    });
    assert_eq!(said, expected);
    let mut form = asked("POST", "https://h.test/login");
    form.headers =
        BTreeMap::from([("content-type".to_owned(), Values::One("application/x-www-form-urlencoded".to_owned()))]);
    form.body = Some(Body(b"user=Ada&api_key=canary".to_vec()));
    let lines = "{\"id\":1,\"a\":{\"token\":\"canary\"}}\n{ \"id\": 2 }\n";
    let (sent, said) = clean(form, lines);
    assert_eq!(sent.unwrap(), "user=Ada&api_key=REDACTED");
    assert_eq!(said, "{\"id\":1,\"a\":{\"token\":\"REDACTED\"}}\n{ \"id\": 2 }\n");
    // What has no secret stays to the letter, whatever it is.
    for kept in ["{ \"a\" : 1.10 }", "a?b&c\\d=\\", "<a href='/?x=1'>", "?token=", "é?é=1"] {
        assert_eq!(clean(asked("GET", "http://h.test/"), kept).1, kept);
    }
}

#[test]
fn what_stands_beside_a_secret_keeps_its_digits() {
    let answer = r#"{ "token": "canary", "id": 12345678901234567890123, "price": 10.50, "far": [1E400, -0, "\u00e9"],
        "secrets" : [ "canary", {"id": "kept", "password" : "\ud800canary"}, ["canary"] ], "odd": "\ud800", "id": 1 }"#;
    let kept = r#"{ "token": "REDACTED", "id": 12345678901234567890123, "price": 10.50, "far": [1E400, -0, "é"],
        "secrets" : [ "REDACTED", {"id": "kept", "password" : "REDACTED"}, ["REDACTED"] ], "odd": "\ud800", "id": 1 }"#;
    assert_eq!(clean(asked("GET", "http://h.test/"), answer).1, kept);
    let deep = |secret: &str| format!("{}{{\"token\":\"{secret}\"}}{}", "[".repeat(500), "]".repeat(500));
    assert_eq!(clean(asked("GET", "http://h.test/"), &deep("canary")).1, deep("REDACTED"));
}

#[test]
fn an_id_that_is_called_a_session_still_leads_to_its_record() {
    let list = answered(r#"[{"session_id":"s 1"},{"session_id":"s2"}]"#);
    let mut interactions = vec![
        Interaction { request: asked("GET", "http://h.test/list"), response: list },
        Interaction { request: asked("GET", "http://h.test/items/s%201"), response: answered("{}") },
    ];
    let scrubber = scrub::Scrubber::new([], scrub::Cursors::of(&interactions));
    interactions.iter_mut().for_each(|interaction| scrubber.clean(interaction));
    let said = String::from_utf8(interactions[0].response.body.string.0.clone()).unwrap();
    assert_eq!(said, r#"[{"session_id":"s 1"},{"session_id":"REDACTED"}]"#);
}
