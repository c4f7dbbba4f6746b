//! What a schema knows of the fields of a record.
//!
//! A field is known when any schema that applies to its object names it or lets it pass (`properties`,
//! `patternProperties`, `additionalProperties`, `unevaluatedProperties`). Those that apply are the schema of the value,
//! what its `$ref` and `allOf` lead to, and those branches of `anyOf`, `oneOf`, `if` and `dependentSchemas` that hold; and
//! what is in the field may be known by each of them. Nothing is refused here, so that looking for fields never
//! changes which branch holds. `not`, `contains` and the like know nothing: they say what is not, or what is somewhere.

use std::collections::BTreeMap;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::{Map, Value, json};

use super::options;

/// What stands in a URL's fragment as it is.
const IN_FRAGMENT: AsciiSet = NON_ALPHANUMERIC.remove(b'/').remove(b'~');

/// The schema's own name where a person gave it none.
const WHOLE: &str = "json-schema:///muster-whole";

/// All schemas in a schema, each with what it knows; the first is the schema itself.
pub(super) struct Fields(Vec<Known>);

/// What one schema knows. Other schemas are given by their place in [`Fields`].
#[derive(Default)]
pub(super) struct Known {
    pub(super) properties: BTreeMap<String, usize>,
    patterns: Vec<(jsonschema::Validator, usize)>,
    additional: Option<usize>,
    unevaluated: Option<usize>,
    prefix: Vec<usize>,
    items: Option<usize>,
    unevaluated_items: Option<usize>,
    /// `allOf` and `$ref`.
    all: Vec<usize>,
    /// `anyOf` and `oneOf`.
    some: Vec<Vec<Branch>>,
    /// `if`, `then` and `else`.
    condition: Option<(Branch, Option<usize>, Option<usize>)>,
    dependent: BTreeMap<String, usize>,
    /// It refers to what is not found here: it may know anything.
    pub(super) is_open: bool,
    /// It is `false`.
    is_never: bool,
}

struct Branch {
    at: usize,
    holds: jsonschema::Validator,
}

impl Fields {
    /// Of a schema; an error when a branch of it cannot be used.
    pub(super) fn of(root: &Value) -> Result<Self, String> {
        let mut whole = root.clone();
        if let Value::Object(keywords) = &mut whole {
            keywords.entry("$id").or_insert_with(|| WHOLE.into());
        }
        let has_parts = names_itself(root, 0);
        let mut making = Making { root, whole, has_parts, by_pointer: BTreeMap::new(), made: Vec::new() };
        making.place("")?;
        Ok(Self(making.made))
    }

    /// Whether these schemas name fields of the value that they describe: themselves, in a branch, or by reference.
    pub(super) fn name_any(&self, of: &[usize]) -> bool {
        let mut applying = self.applying(of, None);
        applying.any(|known| !known.properties.is_empty() || !known.patterns.is_empty())
    }

    /// The schemas that apply to a value of which these are the schemas, they among them; all that may, without a value.
    pub(super) fn applying(&self, of: &[usize], value: Option<&Value>) -> impl Iterator<Item = &Known> {
        let (mut found, mut left) = (Vec::new(), of.to_vec());
        while let Some(at) = left.pop() {
            if !found.contains(&at) {
                found.push(at);
                self.0[at].beside(value, &mut left);
            }
        }
        found.into_iter().map(|at| &self.0[at])
    }

    /// The schemas of a field, by those that apply to its object; none when they do not know it.
    pub(super) fn field(&self, applying: &[&Known], name: &str) -> Vec<usize> {
        let mut found = Vec::new();
        let text = Value::from(name);
        for known in applying {
            let before = found.len();
            found.extend(known.properties.get(name));
            found.extend(known.patterns.iter().filter(|(pattern, _)| pattern.is_valid(&text)).map(|(_, at)| at));
            if found.len() == before {
                found.extend(known.additional.filter(|at| !self.0[*at].is_never));
            }
            found.extend(known.unevaluated.filter(|at| !self.0[*at].is_never));
        }
        found
    }

    /// The schemas of what stands at a place of an array.
    pub(super) fn item(applying: &[&Known], index: usize) -> Vec<usize> {
        let of = |known: &&Known| {
            let own = known.prefix.get(index).copied().or(known.items);
            own.into_iter().chain(known.unevaluated_items)
        };
        applying.iter().flat_map(of).collect()
    }
}

impl Known {
    /// The schemas that look at the same value, when they apply to it.
    fn beside(&self, value: Option<&Value>, found: &mut Vec<usize>) {
        found.extend(&self.all);
        for branches in &self.some {
            let before = found.len();
            let holding = branches.iter().filter(|branch| value.is_none_or(|value| branch.holds.is_valid(value)));
            found.extend(holding.map(|branch| branch.at));
            // Of a value that is wrong here nobody can say which was meant.
            if found.len() == before {
                found.extend(branches.iter().map(|branch| branch.at));
            }
        }
        if let Some((condition, then, or_else)) = &self.condition {
            match value.map(|value| condition.holds.is_valid(value)) {
                Some(true) => found.extend(then.iter().chain([&condition.at])),
                Some(false) => found.extend(or_else),
                None => found.extend(then.iter().chain(or_else).chain([&condition.at])),
            }
        }
        let applies = |name: &str| value.is_none_or(|value| value.get(name).is_some());
        found.extend(self.dependent.iter().filter(|(name, _)| applies(name)).map(|(_, at)| at));
    }
}

struct Making<'a> {
    root: &'a Value,
    /// The same with a name, by which a branch is referred to.
    whole: Value,
    /// A schema in it has a name of its own, so that references in it may mean something else.
    has_parts: bool,
    by_pointer: BTreeMap<String, usize>,
    made: Vec<Known>,
}

impl Making<'_> {
    /// The schema at a pointer: once, as a definition may contain itself.
    fn place(&mut self, pointer: &str) -> Result<usize, String> {
        if let Some(at) = self.by_pointer.get(pointer) {
            return Ok(*at);
        }
        let at = self.made.len();
        self.made.push(Known::default());
        self.by_pointer.insert(pointer.to_owned(), at);
        self.made[at] = match self.root.pointer(pointer) {
            Some(Value::Object(keywords)) => self.known(pointer, keywords)?,
            Some(Value::Bool(false)) => Known { is_never: true, ..Known::default() },
            _ => Known::default(),
        };
        Ok(at)
    }

    fn known(&mut self, pointer: &str, keywords: &Map<String, Value>) -> Result<Known, String> {
        let mut known = Known::default();
        for (keyword, given) in keywords {
            let at = format!("{pointer}/{keyword}");
            match (keyword.as_str(), given) {
                ("properties", Value::Object(named)) => known.properties = self.named(&at, named)?,
                ("dependentSchemas", Value::Object(named)) => known.dependent = self.named(&at, named)?,
                ("patternProperties", Value::Object(named)) => {
                    for (pattern, place) in self.named(&at, named)? {
                        known.patterns.push((build(&json!({ "pattern": pattern }))?, place));
                    }
                }
                ("additionalProperties", _) => known.additional = Some(self.place(&at)?),
                ("unevaluatedProperties", _) => known.unevaluated = Some(self.place(&at)?),
                ("items", _) => known.items = Some(self.place(&at)?),
                ("unevaluatedItems", _) => known.unevaluated_items = Some(self.place(&at)?),
                ("prefixItems", Value::Array(given)) => known.prefix = self.listed(&at, given.len())?,
                ("allOf", Value::Array(given)) => known.all.extend(self.listed(&at, given.len())?),
                ("anyOf" | "oneOf", Value::Array(given)) => known.some.push(self.branches(&at, given)?),
                ("if", condition) if speaks_of_fields(&Value::Object(keywords.clone())) => {
                    let mut beside = |keyword: &str| {
                        let at = keywords.get(keyword).map(|_| format!("{pointer}/{keyword}"));
                        at.map(|at| self.place(&at)).transpose()
                    };
                    let (then, or_else) = (beside("then")?, beside("else")?);
                    known.condition = Some((self.branch(&at, condition)?, then, or_else));
                }
                ("$ref" | "$dynamicRef", Value::String(reference)) => match self.referred(reference) {
                    Some(at) => known.all.push(self.place(&at)?),
                    None => known.is_open = true,
                },
                _ => {}
            }
        }
        Ok(known)
    }

    fn named(&mut self, above: &str, named: &Map<String, Value>) -> Result<BTreeMap<String, usize>, String> {
        let mut place = |name: &String| self.place(&format!("{above}/{}", escaped(name)));
        named.keys().map(|name| Ok((name.clone(), place(name)?))).collect()
    }

    fn listed(&mut self, above: &str, count: usize) -> Result<Vec<usize>, String> {
        (0..count).map(|index| self.place(&format!("{above}/{index}"))).collect()
    }

    /// Branches; those that say nothing of fields are left out, as long lists of constants are.
    fn branches(&mut self, above: &str, given: &[Value]) -> Result<Vec<Branch>, String> {
        let speaking = given.iter().enumerate().filter(|(_, branch)| speaks_of_fields(branch));
        speaking.map(|(index, branch)| self.branch(&format!("{above}/{index}"), branch)).collect()
    }

    fn branch(&mut self, pointer: &str, given: &Value) -> Result<Branch, String> {
        let holds = if given.is_object() {
            let name = self.whole["$id"].as_str().unwrap_or(WHOLE).trim_end_matches('#');
            let reference = format!("{name}#{}", utf8_percent_encode(pointer, &IN_FRAGMENT));
            build(&json!({ "$defs": { "whole": self.whole }, "$ref": reference }))?
        } else {
            build(given)?
        };
        Ok(Branch { at: self.place(pointer)?, holds })
    }

    /// Where a reference within the schema leads (`#`, `#/$defs/herd`, `#anchor`), as a pointer.
    fn referred(&self, reference: &str) -> Option<String> {
        if self.has_parts {
            return None;
        }
        let own = self.root["$id"].as_str().map_or("", |name| name.trim_end_matches('#'));
        let fragment = reference.strip_prefix(own).unwrap_or(reference);
        let fragment = if fragment.is_empty() { fragment } else { fragment.strip_prefix('#')? };
        let fragment = percent_decode_str(fragment).decode_utf8().ok()?.into_owned();
        if fragment.is_empty() || fragment.starts_with('/') {
            return self.root.pointer(&fragment).map(|_| fragment);
        }
        anchored(self.root, String::new(), &fragment)
    }
}

fn build(source: &Value) -> Result<jsonschema::Validator, String> {
    options().build(source).map_err(|error| error.to_string())
}

/// A name as a part of a JSON pointer.
pub(super) fn escaped(name: &str) -> String {
    name.replace('~', "~0").replace('/', "~1")
}

/// Whether a schema in this one has a name of its own.
fn names_itself(schema: &Value, depth: usize) -> bool {
    match schema {
        Value::Object(keywords) => {
            (depth > 0 && keywords.get("$id").is_some_and(Value::is_string))
                || keywords.values().any(|within| names_itself(within, depth + 1))
        }
        Value::Array(values) => values.iter().any(|within| names_itself(within, depth + 1)),
        _ => false,
    }
}

/// Where an anchor stands.
fn anchored(schema: &Value, pointer: String, name: &str) -> Option<String> {
    match schema {
        Value::Object(keywords) => {
            if ["$anchor", "$dynamicAnchor"].iter().any(|keyword| keywords.get(*keyword).is_some_and(|at| at == name)) {
                return Some(pointer);
            }
            keywords.iter().find_map(|(key, within)| anchored(within, format!("{pointer}/{}", escaped(key)), name))
        }
        Value::Array(values) => {
            values.iter().enumerate().find_map(|(at, within)| anchored(within, format!("{pointer}/{at}"), name))
        }
        _ => None,
    }
}

/// Whether a schema may know a field, somewhere within.
fn speaks_of_fields(schema: &Value) -> bool {
    match schema {
        Value::Object(keywords) => keywords.iter().any(|(keyword, within)| {
            keyword.ends_with("roperties") || keyword.ends_with("ef") || speaks_of_fields(within)
        }),
        Value::Array(values) => values.iter().any(speaks_of_fields),
        _ => false,
    }
}
