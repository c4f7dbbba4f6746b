//! `Link` headers, as RFC 8288 has them: `<…>; rel="next"; title="a, b", <…>; rel=prev`.

use http::HeaderMap;
use http::header::LINK;

/// The target of the first link with this relation type.
pub(super) fn target(headers: &HeaderMap, rel: &str) -> Result<Option<String>, String> {
    for value in headers.get_all(LINK) {
        let text = std::str::from_utf8(value.as_bytes()).map_err(|_| "the header Link is no text".to_owned())?;
        let mut rest = text;
        while let Some((link, after)) = next(rest)? {
            if link.relations.iter().any(|known| known.eq_ignore_ascii_case(rel)) {
                return Ok(Some(link.target.to_owned()));
            }
            rest = after;
        }
    }
    Ok(None)
}

struct Link<'a> {
    target: &'a str,
    /// Of its first `rel`: RFC 8288 lets further ones count for nothing.
    relations: Vec<String>,
}

/// The next link of a header, and what comes after it.
fn next(text: &str) -> Result<Option<(Link<'_>, &str)>, String> {
    let broken = |what: &str| format!("the header Link cannot be read: {what}");
    // Empty elements of a list are allowed: RFC 9110, section 5.6.1.
    let text = text.trim_start_matches([' ', '\t', ',']);
    if text.is_empty() {
        return Ok(None);
    }
    let text = text.strip_prefix('<').ok_or_else(|| broken("a link does not begin with <"))?;
    let (target, mut rest) = text.split_once('>').ok_or_else(|| broken("a < is not closed"))?;
    let mut relations: Option<Vec<String>> = None;
    loop {
        rest = rest.trim_start();
        let Some(after) = rest.strip_prefix(';') else { break };
        let after = after.trim_start();
        let end = after.find(['=', ';', ',']).unwrap_or(after.len());
        let name = after[..end].trim_end();
        rest = &after[end..];
        let mut value = String::new();
        if let Some(after) = rest.strip_prefix('=') {
            (value, rest) = parameter(after.trim_start()).ok_or_else(|| broken("a quote is not closed"))?;
        }
        if relations.is_none() && name.eq_ignore_ascii_case("rel") {
            relations = Some(value.split_ascii_whitespace().map(str::to_owned).collect());
        }
    }
    if !rest.is_empty() && !rest.starts_with(',') {
        return Err(broken("something stands between two links"));
    }
    Ok(Some((Link { target: target.trim(), relations: relations.unwrap_or_default() }, rest)))
}

/// A token or a quoted string, and what comes after it.
fn parameter(text: &str) -> Option<(String, &str)> {
    let Some(quoted) = text.strip_prefix('"') else {
        let end = text.find([';', ',']).unwrap_or(text.len());
        return Some((text[..end].trim_end().to_owned(), &text[end..]));
    };
    let mut value = String::new();
    let mut escaped = false;
    for (at, character) in quoted.char_indices() {
        match character {
            _ if escaped => {
                value.push(character);
                escaped = false;
            }
            '\\' => escaped = true,
            '"' => return Some((value, &quoted[at + 1..])),
            _ => value.push(character),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    fn next_of(values: &[&'static str]) -> Result<Option<String>, String> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(LINK, http::HeaderValue::from_static(value));
        }
        target(&headers, "next")
    }

    #[test]
    fn the_link_with_the_relation_is_found() {
        for values in [
            &[r#"<http://a.test/2>; rel="next""#][..],
            &["<http://a.test/2>;rel=next"],
            &[r#"<http://a.test/1>; rel="prev", <http://a.test/2>; rel="next", <http://a.test/9>; rel="last""#],
            &[r#"<http://a.test/1>; rel="prev""#, r#"<http://a.test/2>; rel="next""#],
            &[r#"<http://a.test/1>; title="a, \"<x>; rel=next\""; rel=prev, <http://a.test/2>; REL="archives Next""#],
            &[r#", ,<http://a.test/2> ; x ; rel = "next" ; rel="prev""#],
        ] {
            assert_eq!(next_of(values).unwrap().as_deref(), Some("http://a.test/2"), "{values:?}");
        }
        for values in [
            &[][..],
            &[""],
            &["<http://a.test/2>"],
            &[r#"<http://a.test/2>; rel="nextest""#],
            &[r#"<http://a.test/2>; rel="prev"; rel="next""#],
            &[r#"<http://a.test/2>; title="rel=next""#],
        ] {
            assert_eq!(next_of(values).unwrap(), None, "{values:?}");
        }
        assert_eq!(next_of(&["<?a=1,2;3>; rel=next"]).unwrap().as_deref(), Some("?a=1,2;3"));
    }

    #[test]
    fn broken_links_are_named() {
        for value in
            ["http://a.test/2; rel=next", "<http://a.test/2; rel=next", r#"<a>; rel="next"#, "<a> <b>; rel=next"]
        {
            assert!(next_of(&[value]).unwrap_err().contains("Link"), "{value}");
        }
    }
}
