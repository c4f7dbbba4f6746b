//! The proposal as a file with comments.

use url::Url;

use super::detail::Details;
use super::guess::quoted;
use super::{Findings, Wish};

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
    line(&format!("\nmuster: 1\nname: {}\n", wish.name.clone().unwrap_or_else(|| name(&wish.url))));
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
    let mut auth = secret_query(&wish.url).map(|(name, _)| {
        let reference = format!("${{env:{}}}", variable(&name));
        format!("api_key: {{ query: {}, value: {} }}", double_quoted(&name), double_quoted(&reference))
    });
    for (name, value) in &wish.headers {
        if name == http::header::AUTHORIZATION {
            let basic = value.as_bytes().to_ascii_lowercase().starts_with(b"basic ");
            auth = Some(match basic {
                true => "basic: { user: \"${env:API_USER}\", password: \"${env:API_PASSWORD}\" }".to_owned(),
                false => "bearer: \"${env:API_TOKEN}\"".to_owned(),
            });
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

/// The key in the query, if there is one.
pub(super) fn secret_query(url: &Url) -> Option<(String, String)> {
    let found = url.query_pairs().find(|(name, _)| KEYS.contains(&name.as_ref()))?;
    Some((found.0.into_owned(), found.1.into_owned()))
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

/// Quoted as JSON does, which YAML understands.
fn double_quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn one_line(words: &str) -> String {
    words.split_whitespace().collect::<Vec<_>>().join(" ")
}
