//! The proposal as a file with comments.

use http::HeaderValue;
use http::header::AUTHORIZATION;
use url::Url;

use super::detail::Details;
use super::guess::quoted;
use super::{Findings, Wish};
use crate::spec::tree::{self, Located, Node};

/// Query parameters that hold a key.
const KEYS: [&str; 10] =
    ["key", "api_key", "apikey", "api-key", "apiKey", "token", "access_token", "auth", "secret", "password"];

/// The file.
pub(super) fn yaml(wish: &Wish, found: &Findings, seen: &[String], guessed: &[String]) -> String {
    let mut text =
        String::from("# yaml-language-server: $schema=pipeline.schema.json\n#\n# Proposed from a look at the list.");
    let mut line = |words: &str| {
        text.push_str(words);
        text.push('\n');
    };
    line(" What was seen:");
    seen.iter().for_each(|words| line(&format!("#   - {}", one_line(words))));
    line("# What was guessed, and should be looked at:");
    guessed.iter().for_each(|words| line(&format!("#   - {}", one_line(words))));
    let name = wish.name.clone().unwrap_or_else(|| name(&wish.url));
    line(&format!("\nmuster: 1\nname: {}\n", as_text(&name)));
    line("parameters:\n  base_url:\n    description: Where the API answers.\n    type: url");
    line(&format!("    default: {}\n", double_quoted(&wish.url.origin().ascii_serialization())));
    line("source:");
    who_asks(wish, &mut line);
    let url = format!("${{param:base_url}}{}", path_of(&wish.url, &found.pages.sets));
    line("  # Which records there are.\n  list:");
    line(&format!("    request: {{ url: {} }}", double_quoted(&url)));
    line(&format!("    # {}", one_line(&found.pages.why)));
    line(&format!("    pagination:\n      {}", found.pages.yaml));
    line(&format!("    items: {} # the list on a page", quoted(&found.items)));
    line(&format!("    id: {} # the ID of an item on it\n", quoted(&found.id)));
    match &found.detail {
        Some(detail) => {
            let url = format!("${{param:base_url}}{}", detail.path("${record:id}"));
            line(&format!("  # One record.\n  detail:\n    request: {{ url: {} }}\n", double_quoted(&url)));
        }
        None => line("  # The items of the list are the records.\n  detail: none\n"),
    }
    line("# What a record must look like: JSON Schema 2020-12. A record that does not becomes a dead letter.\nschema:");
    let options = serde_saphyr::ser_options! { prefer_block_scalars: false };
    let schema = serde_saphyr::to_string_with_options(&found.schema, options).unwrap_or_default();
    schema.lines().for_each(|words| line(&format!("  {words}")));
    line("\n# What becomes of it, in jq: one record in, exactly one out.");
    let transform = found.detail.as_ref().map_or(".".to_owned(), Details::transform);
    line(&format!("transform: {}\n", quoted(&transform)));
    line("# Where it goes. To begin with into files, so that you can look at them; then to your API or into a table:");
    line("#   request: { url: \"https://your-api.example/items\" }");
    line("#   postgres: { url: \"${env:DATABASE_URL}\", table: items }\nload:");
    line(&format!("  files: {{ url: {} }}", double_quoted(&wish.out)));
    text
}

/// `auth` and `headers`, with references in place of what is secret.
fn who_asks(wish: &Wish, line: &mut impl FnMut(&str)) {
    let mut headers = Vec::new();
    let mut auth = secret_queries(&wish.url).next().map(|(name, _)| {
        let reference = format!("${{env:{}}}", variable(&name));
        format!("api_key: {{ query: {}, value: {} }}", double_quoted(&name), double_quoted(&reference))
    });
    for (name, value) in &wish.headers {
        if name == AUTHORIZATION {
            auth = Some(authorization(value).to_owned());
        } else {
            headers.push(format!("    {}: \"${{env:{}}}\"", double_quoted(name.as_str()), variable(name.as_str())));
        }
    }
    if let Some(auth) = auth {
        line(&format!("  # Secrets are referred to, and looked up where they are used.\n  auth:\n    {auth}"));
    }
    if !headers.is_empty() {
        line("  headers:");
        headers.iter().for_each(|words| line(words));
    }
}

/// What `auth` says for such a header. Of a scheme that it has no word for, the value keeps all.
fn authorization(value: &HeaderValue) -> &'static str {
    let value = value.as_bytes().to_ascii_lowercase();
    if value.starts_with(b"bearer ") {
        "bearer: \"${env:API_TOKEN}\""
    } else if value.starts_with(b"basic ") {
        "basic: { user: \"${env:API_USER}\", password: \"${env:API_PASSWORD}\" }"
    } else {
        "api_key: { header: Authorization, value: \"${env:API_AUTHORIZATION}\" } # the whole value, with its scheme"
    }
}

/// The keys in the query.
pub(super) fn secret_queries(url: &Url) -> impl Iterator<Item = (String, String)> {
    url.query_pairs().into_owned().filter(|(name, _)| KEYS.contains(&name.as_str()))
}

/// What is said of keys in the query that the file has no place for: `auth` is one thing, a header before a key.
pub(super) fn left_out(wish: &Wish) -> Vec<String> {
    let has_header = wish.headers.iter().any(|(name, _)| name == AUTHORIZATION);
    let further = secret_queries(&wish.url).skip(usize::from(!has_header));
    let words = |(name, _): (String, String)| {
        format!(
            "the query parameter {name} was left out: it looks like a key, and source.auth has one already; if the API \
             wants both, see whether it takes this one in a header, under source.headers"
        )
    };
    further.map(words).collect()
}

/// Path and query as they stand in a template, without what the style of listing sets and without a key.
pub(super) fn path_of(url: &Url, without: &[String]) -> String {
    let kept: Vec<(String, String)> = url
        .query_pairs()
        .into_owned()
        .filter(|(name, _)| !without.contains(name) && !KEYS.contains(&name.as_str()))
        .collect();
    if kept.is_empty() {
        return plain_path(url);
    }
    let query = url::form_urlencoded::Serializer::new(String::new()).extend_pairs(kept).finish();
    format!("{}?{query}", plain_path(url))
}

/// The path as it stands in a template. A slash at its end is part of it: without, many APIs redirect.
pub(super) fn plain_path(url: &Url) -> String {
    url.path().replace("${", "$${")
}

/// A name from the last words of the URL's path, else from its host.
fn name(url: &Url) -> String {
    let last = url.path().split('/').rev().find(|word| !word.is_empty());
    let last = last.map(|word| word.trim_end_matches(".json")).or(url.host_str()).unwrap_or("pipeline");
    let clean = |c: char| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' };
    let name: String = last.chars().take(64).map(clean).collect();
    match name.trim_matches('-') {
        "" => "pipeline".to_owned(),
        name => name.to_owned(),
    }
}

/// The environment variable for a header or a query parameter.
fn variable(name: &str) -> String {
    name.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_uppercase() } else { '_' }).collect()
}

/// A text as YAML has it: in quotes where it would be something else without.
fn as_text(text: &str) -> String {
    match tree::from_yaml(text, "") {
        Ok(Located { value: Node::Text(read), .. }) if read == text => read,
        _ => double_quoted(text),
    }
}

/// Quoted as JSON does, which YAML understands.
fn double_quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use http::{HeaderMap, HeaderName};
    use serde_json::json;

    use super::super::{guess, shape};
    use super::*;
    use crate::Pipeline;

    fn wish(url: &str, authorization: Option<&'static str>) -> Wish {
        let header = |value| (HeaderName::from_static("authorization"), HeaderValue::from_static(value));
        let headers = authorization.map(header).into_iter().collect();
        Wish { url: Url::parse(url).unwrap(), headers, name: None, out: "file:///out".to_owned() }
    }

    /// The file, which must be a pipeline, and have no secret in it.
    fn written(wish: &Wish) -> (String, Pipeline) {
        let items = json!([{"id": 1}, {"id": 2}]);
        let pages = guess::pages(&wish.url, &HeaderMap::new(), &items, 2);
        let schema = shape::schema(&[json!({"id": 1})]);
        let findings = Findings { items: "$".to_owned(), id: "$.id".to_owned(), pages, detail: None, schema };
        let text = yaml(wish, &findings, &[], &left_out(wish));
        assert!(!text.contains("canary"), "{text}");
        let pipeline = Pipeline::from_yaml(&text, "proposed").unwrap_or_else(|error| panic!("{error} in\n{text}"));
        (text, pipeline)
    }

    #[test]
    fn a_name_is_a_text_whatever_it_looks_like() {
        for (url, name, line) in [
            ("http://h.test/items", "items", "name: items"),
            ("http://h.test/v1/9-lives", "9-lives", "name: 9-lives"),
            ("http://h.test/herds/42", "42", "name: \"42\""),
            ("http://h.test/true", "true", "name: \"true\""),
            ("http://h.test/null.json", "null", "name: \"null\""),
            ("http://h.test/1e5", "1e5", "name: \"1e5\""),
        ] {
            let (text, pipeline) = written(&wish(url, None));
            assert_eq!(pipeline.name(), name);
            assert!(text.contains(&format!("\n{line}\n")), "{line} is not in\n{text}");
        }
    }

    #[test]
    fn who_asks_is_said_as_it_was_asked() {
        let own = "api_key: { header: Authorization, value: \"${env:API_AUTHORIZATION}\" }";
        for (value, auth) in [
            ("Bearer canary", "bearer: \"${env:API_TOKEN}\""),
            ("bearer canary", "bearer: \"${env:API_TOKEN}\""),
            ("Basic canary", "basic: { user: \"${env:API_USER}\", password: \"${env:API_PASSWORD}\" }"),
            ("Token canary", own),
            ("BearerToken canary", own),
            ("canary", own),
        ] {
            let (text, _) = written(&wish("http://h.test/items", Some(value)));
            assert!(text.contains(&format!("  auth:\n    {auth}")), "{auth} is not in\n{text}");
        }
    }

    #[test]
    fn keys_without_a_place_in_the_file_are_named() {
        let url = "http://h.test/items?key=canary&lang=de&token=canary";
        for (authorization, kept, named) in [
            (None, "api_key: { query: \"key\", value: \"${env:KEY}\" }", &["token"][..]),
            (Some("Bearer canary"), "bearer:", &["key", "token"]),
        ] {
            let (text, _) = written(&wish(url, authorization));
            assert!(text.contains(kept) && text.contains("/items?lang=de\""), "{text}");
            let words: Vec<&str> = text.lines().filter(|line| line.contains("was left out")).collect();
            assert_eq!(words.len(), named.len(), "{text}");
            for (line, name) in words.iter().zip(named) {
                assert!(line.starts_with(&format!("#   - the query parameter {name} was left out")), "{line}");
            }
        }
        assert!(left_out(&wish("http://h.test/items?key=canary", None)).is_empty());
    }
}
