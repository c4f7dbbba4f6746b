//! What a POST brings: parsed in one pass, with texts borrowed from the body.

use std::borrow::Cow;
use std::fmt;

use serde::de::{self, Deserialize, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::Value;

use crate::herd::Animal;
use crate::moment::Moment;

/// One posted animal whose types are right; whether its content is, [`Posted::matches`] tells.
#[derive(Debug)]
pub(crate) struct Posted<'a> {
    pub(crate) id: u64,
    name: Text<'a>,
    born_at: Option<Born<'a>>,
    friends: Vec<Text<'a>>,
    checkups: Option<Value>,
    /// It has keys that an animal does not have, or one of them twice.
    odd_keys: bool,
}

impl Posted<'_> {
    /// Whether it came with these checkups; with none at all where none are expected.
    pub(crate) fn has_checkups(&self, expected: Option<&Value>) -> bool {
        self.checkups.as_ref() == expected
    }

    /// Whether this is the animal as a correct client sends it, checkups aside.
    pub(crate) fn matches(&self, animal: &Animal) -> bool {
        let born = match (&self.born_at, animal.born_at) {
            (None, None) => true,
            (Some(born), Some(millis)) => born.moment.is_utc_millis(millis),
            _ => false,
        };
        let friends = self.friends.iter().map(|friend| &*friend.0);
        born && !self.odd_keys && self.name.0 == animal.name && friends.eq(animal.friends().iter().copied())
    }

    /// FNV-1a over the content, as a client spelt it: equal for equal payloads, whatever their whitespace.
    pub(crate) fn hash(&self) -> u64 {
        let born_at = self.born_at.as_ref().map_or("", |born| &*born.text.0);
        let texts = [&*self.name.0, born_at, if self.odd_keys { "odd" } else { "" }];
        let friends = self.friends.iter().map(|friend| &*friend.0);
        let checkups = self.checkups.as_ref().map(Value::to_string);
        let mut hash = 0xcbf2_9ce4_8422_2325_u64;
        for text in texts.into_iter().chain(friends).chain(checkups.as_deref()) {
            // 0xff occurs in no UTF-8 text, and so keeps neighbours apart.
            for byte in text.bytes().chain([0xff]) {
                hash = (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
            }
        }
        hash
    }
}

#[derive(Debug)]
struct Born<'a> {
    text: Text<'a>,
    moment: Moment,
}

impl<'de> Deserialize<'de> for Born<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Born<'de>, D::Error> {
        let text = Text::deserialize(deserializer)?;
        let moment = Moment::parse(&text.0).ok_or_else(|| de::Error::custom("invalid datetime format"))?;
        Ok(Born { text, moment })
    }
}

/// Borrowed unless it had escapes. (A plain `Cow<str>` inside a `Vec` is always owned by serde.)
#[derive(Debug)]
struct Text<'a>(Cow<'a, str>);

impl<'de> Deserialize<'de> for Text<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Text<'de>, D::Error> {
        deserializer.deserialize_str(TextVisitor)
    }
}

struct TextVisitor;

impl<'de> Visitor<'de> for TextVisitor {
    type Value = Text<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a string")
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Borrowed(text)))
    }

    fn visit_str<E>(self, text: &str) -> Result<Text<'de>, E> {
        Ok(Text(Cow::Owned(text.to_owned())))
    }
}

#[derive(serde::Deserialize)]
#[serde(field_identifier, rename_all = "snake_case")]
enum Key {
    Id,
    Name,
    BornAt,
    Friends,
    Checkups,
    #[serde(other)]
    Other,
}

impl<'de> Deserialize<'de> for Posted<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Posted<'de>, D::Error> {
        deserializer.deserialize_map(PostedVisitor)
    }
}

struct PostedVisitor;

impl<'de> Visitor<'de> for PostedVisitor {
    type Value = Posted<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an animal")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Posted<'de>, A::Error> {
        let (mut id, mut name, mut born_at, mut friends, mut checkups) = (None, None, None, None, None);
        let mut odd_keys = false;
        while let Some(key) = map.next_key()? {
            // The last of several wins, as in Python.
            odd_keys |= match key {
                Key::Id => id.replace(map.next_value()?).is_some(),
                Key::Name => name.replace(map.next_value()?).is_some(),
                Key::BornAt => born_at.replace(map.next_value()?).is_some(),
                Key::Friends => friends.replace(map.next_value()?).is_some(),
                Key::Checkups => checkups.replace(map.next_value()?).is_some(),
                Key::Other => {
                    map.next_value::<IgnoredAny>()?;
                    true
                }
            };
        }
        let missing = de::Error::missing_field;
        Ok(Posted {
            id: id.ok_or_else(|| missing("id"))?,
            name: name.ok_or_else(|| missing("name"))?,
            born_at: born_at.ok_or_else(|| missing("born_at"))?,
            friends: friends.ok_or_else(|| missing("friends"))?,
            checkups,
            odd_keys,
        })
    }
}

/// The animals of a body, or nothing if anything about it is wrong: [`explain`](crate::refusal::explain) says what.
pub(crate) fn parse(body: &[u8]) -> Option<Vec<Posted<'_>>> {
    serde_json::from_slice(body).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;
    use crate::herd::Herd;

    fn one(json: &str) -> Posted<'_> {
        serde_json::from_str(json).expect(json)
    }

    #[test]
    fn what_a_correct_client_sends_matches() {
        let herd = Herd::new(&Config::calm(200));
        for id in 0..200 {
            let (animal, other) = (herd.animal(id), herd.animal(id + 200));
            let json = animal.loaded_json();
            assert!(one(&json).matches(&animal), "{json}");
            assert!(!one(&json).matches(&other), "{json}");
        }
    }

    #[test]
    fn a_difference_is_seen() {
        let herd = Herd::new(&Config::calm(1));
        let dated = (0..)
            .map(|id| herd.animal(id))
            .find(|animal| animal.born_at.is_some_and(|millis| millis % 1000 != 0) && animal.friends().len() > 1);
        let animal = dated.expect("some animal is dated");
        let json = animal.loaded_json();
        let iso = animal.born_at_iso8601().expect("dated");
        let wrong = [
            json.replace(animal.name, "Nobody"),
            json.replace(&iso, &iso.replace(&iso[19..23], "")),
            json.replace(&iso, &iso.replace('Z', "+01:00")),
            json.replace(&format!("\"{iso}\""), "null"),
            json.replace("\"friends\":[", "\"friends\":[\"Nobody\","),
            json.replace('}', ",\"page\":1}"),
        ];
        let with = json.replace('}', ",\"checkups\":null}");
        assert!(one(&with).matches(&animal) && one(&with).has_checkups(Some(&Value::Null)));
        assert!(!one(&with).has_checkups(None) && one(&with).hash() != one(&json).hash());
        assert!(one(&json).has_checkups(None) && !one(&json).has_checkups(Some(&Value::Null)));
        for wrong in &wrong {
            assert!(!one(wrong).matches(&animal), "{wrong}");
            assert_ne!(one(wrong).hash(), one(&json).hash(), "{wrong}");
        }
        let spaced = json.replace(',', " , ");
        assert!(one(&spaced).matches(&animal));
        assert_eq!(one(&spaced).hash(), one(&json).hash());
    }

    #[test]
    fn escapes_are_undone() {
        let posted = one(r#"{"id":1,"name":"C\u0061t","born_at":null,"friends":["D\u006fg"]}"#);
        assert_eq!((&*posted.name.0, &*posted.friends[0].0), ("Cat", "Dog"));
    }
}
