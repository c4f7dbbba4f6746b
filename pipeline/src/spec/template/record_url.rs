//! The URL of each record, made without reading the whole of it again.

use url::Url;

use crate::record_id::RecordId;

/// Stands for an ID while a template is taken apart. A URL leaves its characters as they are; and it is longer than most
/// IDs, so that a copy of a URL with it in has room for those.
const MARK: &str = "the-id-of-a-record-goes-here";

/// A template with its parameters filled in: only the record's ID is still open.
#[derive(Debug, Clone)]
pub(crate) struct RecordUrl {
    literals: Vec<String>,
    /// The same as a URL, where an ID can be put into that.
    parted: Option<Parted>,
}

impl RecordUrl {
    /// Of what stands before, between and behind the IDs.
    pub(super) fn new(literals: Vec<String>) -> Self {
        let parted = Parted::of(&literals);
        Self { literals, parted }
    }

    pub(super) fn text_for(&self, segment: &str) -> String {
        self.literals.join(segment)
    }

    /// The URL of one record. The ID is percent-encoded, so the rest of the URL is what `Template::fill` checked.
    pub(crate) fn of(&self, id: &RecordId) -> Result<Url, url::ParseError> {
        let segment = id.path_segment();
        match &self.parted {
            Some(parted) if !may_be_dots(&segment) => Ok(parted.url(&segment)),
            _ => Url::parse(&self.text_for(&segment)),
        }
    }

    /// The URL of a template without a record.
    pub(crate) fn fixed(&self) -> Result<Url, url::ParseError> {
        Url::parse(&self.text_for(""))
    }
}

/// Whether an ID could make `.` or `..` of the segment of a path that it stands in, as `e` makes one of `%2`: it has no
/// other characters than such segments have. (By itself no ID is one.)
fn may_be_dots(segment: &str) -> bool {
    segment.bytes().all(|byte| matches!(byte, b'.' | b'%' | b'2' | b'e' | b'E'))
}

/// A URL that was parsed once, and what stands around the IDs in it.
#[derive(Debug, Clone)]
struct Parted {
    /// With [`MARK`] in place of each ID.
    marked: Url,
    /// The pieces of its path and of its query, where there are IDs in them.
    path: Option<Vec<String>>,
    query: Option<Vec<String>>,
}

impl Parted {
    /// Nothing where an ID stands elsewhere than in path and query, or is taken away again, as by a `..` behind it.
    fn of(literals: &[String]) -> Option<Self> {
        let marked = Url::parse(&literals.join(MARK)).ok()?;
        let pieces = |text: &str| text.split(MARK).map(str::to_owned).collect::<Vec<_>>();
        let (path, query) = (pieces(marked.path()), pieces(marked.query().unwrap_or_default()));
        let all_found = path.len() + query.len() == literals.len() + 1;
        let with_ids = |pieces: Vec<String>| (pieces.len() > 1).then_some(pieces);
        let parted = Self { path: with_ids(path), query: with_ids(query), marked };
        // Also against a mark that was in the template.
        let is_same = || Url::parse(&literals.join("0")).is_ok_and(|url| url == parted.url("0"));
        (all_found && is_same()).then_some(parted)
    }

    /// Characters are encoded one by one, so what stands around an ID is the same whatever the ID; but see [`may_be_dots`].
    fn url(&self, segment: &str) -> Url {
        let mut url = self.marked.clone();
        if let Some(path) = &self.path {
            url.set_path(&path.join(segment));
        }
        if let Some(query) = &self.query {
            url.set_query(Some(&query.join(segment)));
        }
        url
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `{}` stands for the ID.
    fn template(text: &str) -> RecordUrl {
        RecordUrl::new(text.split("{}").map(str::to_owned).collect())
    }

    fn ids() -> Vec<RecordId> {
        let long = "é".repeat(80);
        let dots = ["e", "E", "2", "2e", "2E", "22", "222", "...", "e.", ".e"];
        let percents = ["%", "%2", "%2e", "2e%2e", "%2E."];
        let others = ["a", "A b", "0", "id-7", "a/b", "../x", "?", "#", "a?b#c", "\\", "\t", "\n", " ", "x ", "日本"];
        let signs = ["&", "=", "'", "\"", "+", ":", "@", "|", "~", MARK, long.as_str()];
        let string = |text: &str| RecordId::from_text(&serde_json::Value::from(text).to_string()).unwrap();
        let number = |text: &str| RecordId::from_text(text).unwrap();
        let numbers = ["7", "2", "22", "-5", "1.50", "1e3", "123456789012345678901234567890"];
        let strings = dots.into_iter().chain(percents).chain(others).chain(signs).map(string);
        strings.chain(numbers.map(number)).collect()
    }

    /// What is made for each ID is what parsing the text gives, in all its parts.
    fn assert_same_as_parsed(url: &RecordUrl, ids: &[RecordId]) {
        for id in ids {
            let text = url.text_for(&id.path_segment());
            let (made, parsed) = (url.of(id), Url::parse(&text));
            assert_eq!(made.as_ref().map(Url::as_str), parsed.as_ref().map(Url::as_str), "{text:?}");
            assert_eq!(format!("{made:?}"), format!("{parsed:?}"), "{text:?}");
        }
    }

    const COMMON: [&str; 18] = [
        "http://host.test/animals/v1/animals/{}",
        "http://127.0.0.1:3123/animals/{}/",
        "https://host.test/a/{}.json?full=true",
        "https://host.test/a?id={}",
        "https://host.test?id={}&other={}",
        "https://host.test/{}/b/{}?c={}&d={}",
        "HTTP://HOST.Test:80/A/{}",
        "https://host.test:443/{}#top",
        "https://[::1]:8443/a b/{}/c d?e f={} g",
        "http://host.test/a/../b/./{}",
        "http://host.test/a/%2e%2E/%41/{}",
        "http://host.test//{}//b",
        "http://host.test\\a\\{}\\b?\\{}",
        "  http://host.test/\ta/{}\n/b  ",
        "http://höst.test/ä/{}/<>\"`{x}|^?<>\"'`{x}|^={}#<>\"`{x}|^",
        "http://host.test/a/x{}x/b?",
        "http://host.test/%2{}/.{}./{}{}",
        "http://host.test/same/for/all?x=y",
    ];

    const ODD: [&str; 7] = [
        "http://host.test/a#{}",
        "http://host.test/{}/../b",
        "http://host.test/{}/%2e%2E/{}?{}",
        "http://host.test/the-id-of-a-record-goes-here/{}/../b",
        "http://host{}.test/",
        "http://host.test:80{}/",
        "http://{}@host.test/a",
    ];

    #[test]
    fn what_is_made_is_what_would_be_parsed() {
        let ids = ids();
        for text in COMMON {
            let url = template(text);
            assert!(url.parted.is_some(), "{text}");
            assert_same_as_parsed(&url, &ids);
        }
        for text in ODD {
            let url = template(text);
            assert!(url.parted.is_none(), "{text}");
            assert_same_as_parsed(&url, &ids);
        }
    }

    #[test]
    fn what_is_made_is_what_would_be_parsed_however_odd_the_template() {
        let places = ["{}", "{}", "{}", "{}"];
        let paths = ["/", "/", "/", ".", "..", "%2", "%", "2", "e", "%2e", "a", "B", "\\"];
        let others = ["?", "#", "&", "=", " ", "\t", "é", "'", ":", "@", "|", MARK];
        let pieces: Vec<&str> = places.into_iter().chain(paths).chain(others).collect();
        let beginnings = ["http://host.test/", "https://Host.test:443/", "http://host.test", "http://[::1]:80/a?"];
        let (ids, mut random) = (ids(), fastrand::Rng::with_seed(5));
        let mut parted = 0;
        for _ in 0..2_000 {
            let mut text = beginnings[random.usize(..beginnings.len())].to_owned();
            for _ in 0..random.usize(..12) {
                text.push_str(pieces[random.usize(..pieces.len())]);
            }
            let url = template(&text);
            parted += u32::from(url.parted.is_some());
            let some: Vec<RecordId> = (0..8).map(|_| ids[random.usize(..ids.len())].clone()).collect();
            assert_same_as_parsed(&url, &some);
        }
        assert!(parted > 400, "{parted} of them could be taken apart");
    }

    #[test]
    fn an_id_that_could_make_dots_is_told_from_others() {
        for dots in ["e", "2e", "%2E", "22", "..."] {
            assert!(may_be_dots(dots), "{dots}");
        }
        for other in ["7", "20", "2e3", "a", "-", "%C3%A9"] {
            assert!(!may_be_dots(other), "{other}");
        }
    }
}
