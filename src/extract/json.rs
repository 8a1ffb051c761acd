//! A JSON document as written: numbers keep their text (`5.10` stays `5.10`) and every access tolerates every shape.
//!
//! There are deliberately no typed FHIR structures: one field of a wrong type would lose a whole resource, and one bad
//! entry never refuses the record (extract §1.2).

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::value::RawValue;

/// One JSON value. What cannot be read (a lone surrogate in a string) becomes `Null`.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Json {
    #[default]
    Null,
    Bool(bool),
    /// The number's own characters.
    Number(String),
    Text(String),
    Array(Vec<Json>),
    Object(Vec<(String, Json)>),
}

/// Why a text is no JSON document we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    NotJson,
    TooDeep,
}

static NULL: Json = Json::Null;

impl Json {
    /// Reads a document of at most `depth` levels.
    pub(super) fn parse(bytes: &[u8], depth: usize) -> Result<Self, Unreadable> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let raw: &RawValue = serde_json::from_slice(bytes).map_err(|_| Unreadable::NotJson)?;
        Self::of(raw, depth)
    }

    fn of(raw: &RawValue, depth: usize) -> Result<Self, Unreadable> {
        let depth = depth.checked_sub(1).ok_or(Unreadable::TooDeep)?;
        let text = raw.get();
        match text.as_bytes().first() {
            Some(b'{') => {
                let Members(members) = serde_json::from_str(text).map_err(|_| Unreadable::NotJson)?;
                let read = members.into_iter().map(|(name, inner)| Ok((name, Self::of(inner, depth)?)));
                Ok(Self::Object(read.collect::<Result<_, _>>()?))
            }
            Some(b'[') => {
                let items: Vec<&RawValue> = serde_json::from_str(text).map_err(|_| Unreadable::NotJson)?;
                Ok(Self::Array(
                    items.into_iter().map(|inner| Self::of(inner, depth)).collect::<Result<_, _>>()?,
                ))
            }
            Some(b'"') => Ok(serde_json::from_str(text).map_or(Self::Null, Self::Text)),
            Some(b't') => Ok(Self::Bool(true)),
            Some(b'f') => Ok(Self::Bool(false)),
            Some(b'n') | None => Ok(Self::Null),
            Some(_) => Ok(Self::Number(text.to_owned())),
        }
    }

    /// The member of that name, or nothing at all (`Null`).
    pub(super) fn at(&self, name: &str) -> &Json {
        match self {
            Self::Object(members) => {
                members.iter().find(|(n, _)| n == name).map_or(&NULL, |(_, value)| value)
            }
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Array(_) => &NULL,
        }
    }

    /// The elements of the array of that name; a lone value counts as an array of one.
    pub(super) fn list(&self, name: &str) -> &[Json] {
        match self.at(name) {
            Self::Null => &[],
            Self::Array(items) => items,
            lone => std::slice::from_ref(lone),
        }
    }

    /// Words: a text that is not blank, trimmed; a number or a truth value as written.
    pub(super) fn text(&self) -> Option<&str> {
        match self {
            Self::Text(text) | Self::Number(text) => Some(text.trim()).filter(|t| !t.is_empty()),
            Self::Bool(true) => Some("true"),
            Self::Bool(false) => Some("false"),
            Self::Null | Self::Array(_) | Self::Object(_) => None,
        }
    }

    /// The words of the member of that name.
    pub(super) fn word(&self, name: &str) -> Option<&str> {
        self.at(name).text()
    }

    /// Whether there is nothing here.
    pub(super) fn is_nothing(&self) -> bool {
        matches!(self, Self::Null)
    }

    /// Whether the value is an object.
    pub(super) fn is_object(&self) -> bool {
        matches!(self, Self::Object(_))
    }

    /// Name and value of each member.
    pub(super) fn members(&self) -> &[(String, Json)] {
        match self {
            Self::Object(members) => members,
            Self::Null | Self::Bool(_) | Self::Number(_) | Self::Text(_) | Self::Array(_) => &[],
        }
    }

    /// The value of the member whose name begins so (`value[x]`), with the rest of the name.
    pub(super) fn choice<'a>(&'a self, prefix: &str) -> Option<(&'a str, &'a Json)> {
        self.members().iter().find_map(|(name, value)| {
            let rest = name.strip_prefix(prefix)?;
            rest.starts_with(|c: char| c.is_ascii_uppercase()).then_some((rest, value))
        })
    }

    /// The extensions whose address contains these words.
    pub(super) fn extensions<'a>(&'a self, words: &'a str) -> impl Iterator<Item = &'a Json> {
        self.list("extension").iter().filter(move |e| e.word("url").is_some_and(|url| url.contains(words)))
    }

    /// The first such extension, or nothing.
    pub(super) fn extension(&self, words: &str) -> &Json {
        self.list("extension")
            .iter()
            .find(|e| e.word("url").is_some_and(|url| url.contains(words)))
            .unwrap_or(&NULL)
    }
}

struct Members<'a>(Vec<(String, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Collect;
        impl<'de> Visitor<'de> for Collect {
            type Value = Members<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(name) = map.next_key::<String>()? {
                    members.push((name, map.next_value()?));
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Collect)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_their_characters_and_wrong_shapes_are_nothing() {
        let json =
            Json::parse(br#"{"value": 5.10, "coding": {"code": "x"}, "valueString": " a "}"#, 8).unwrap();
        assert_eq!(json.word("value"), Some("5.10"), "trailing noughts carry precision (extract §4)");
        assert_eq!(json.list("coding").len(), 1, "a lone object stands for an array of one");
        assert_eq!(json.choice("value").and_then(|(kind, v)| Some((kind, v.text()?))), Some(("String", "a")));
        assert!(json.at("value").at("anything").is_nothing());
    }

    #[test]
    fn depth_is_bounded_and_rubbish_refused() {
        let deep = [vec![b'['; 100], vec![b']'; 100]].concat();
        assert_eq!(Json::parse(&deep, 64), Err(Unreadable::TooDeep));
        assert_eq!(Json::parse(b"{", 64), Err(Unreadable::NotJson));
        assert_eq!(Json::parse(br#"{"a": 1} x"#, 64), Err(Unreadable::NotJson));
    }
}
