//! A JSON document as written: numbers keep their text (`5.10` stays `5.10`) and every access tolerates every shape.
//!
//! serde reads it in one pass into this one type of our own, which borrows its words from the text. There are
//! deliberately no typed FHIR structures on this side: with them one field of a wrong type, or one member named twice,
//! would lose a whole resource, and one bad entry never refuses the record (extract §1.2). What we write as FHIR
//! ourselves is typed, in `fhir`.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};

use serde::de::{DeserializeSeed, Deserializer, Error, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use super::xml;

/// One JSON value.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum Json<'a> {
    #[default]
    Null,
    Bool(bool),
    /// The number's own characters.
    Number(&'a str),
    /// A number that serde has read for us: no decimal.
    Counted(Box<str>),
    Text(&'a str),
    /// A text that was written with escapes.
    Unescaped(Box<str>),
    // Boxed slices and no vectors: a record is mostly these, and its memory with them.
    Array(Box<[Json<'a>]>),
    Object(Box<[Member<'a>]>),
}

/// Why a text is no JSON document we take.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Unreadable {
    NotJson { line: usize, column: usize },
    TooDeep,
}

static NULL: Json<'static> = Json::Null;

impl<'a> Json<'a> {
    /// Reads a document of a test.
    #[cfg(test)]
    pub(super) fn parse(bytes: &'a [u8], depth: usize) -> Result<Self, Unreadable> {
        Self::parse_and_look(bytes, depth, &Cell::new(false))
    }

    /// Reads a document of at most `depth` levels (serde_json itself takes no more than 127), and says whether a text in it
    /// may hold a character that XML does not have.
    pub(super) fn parse_and_look(
        bytes: &'a [u8],
        depth: usize,
        suspect: &Cell<bool>,
    ) -> Result<Self, Unreadable> {
        let bytes = bytes.strip_prefix(b"\xef\xbb\xbf").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|e| not_utf8(bytes, e.valid_up_to()))?;
        // JSON writes most of those characters as escapes; the others begin with one byte.
        suspect.set(bytes.contains(&0xEF));
        match Self::read(text, depth, suspect) {
            // Half a surrogate pair is no reason to refuse a record: the character is replaced.
            Err(Unreadable::NotJson { line, column }) => {
                let mended = mended(text).ok_or(Unreadable::NotJson { line, column })?;
                Json::read(&mended, depth, suspect).map(Json::into_owned)
            }
            read => read,
        }
    }

    fn read(text: &'a str, depth: usize, suspect: &Cell<bool>) -> Result<Self, Unreadable> {
        let too_deep = Cell::new(false);
        let (items, members) = (RefCell::new(Vec::new()), RefCell::new(Vec::new()));
        let mut deserializer = serde_json::Deserializer::from_str(text);
        let value = Value { depth, too_deep: &too_deep, suspect, items: &items, members: &members };
        let value = value.deserialize(&mut deserializer);
        match value.and_then(|value| deserializer.end().map(|()| value)) {
            Ok(value) => Ok(value),
            Err(_) if too_deep.get() => Err(Unreadable::TooDeep),
            Err(e) => Err(Unreadable::NotJson { line: e.line(), column: e.column() }),
        }
    }

    /// The same, on its own.
    fn into_owned(self) -> Json<'static> {
        match self {
            Self::Null => Json::Null,
            Self::Bool(truth) => Json::Bool(truth),
            Self::Number(number) => Json::Counted(number.into()),
            Self::Counted(number) => Json::Counted(number),
            Self::Text(text) => Json::Unescaped(text.into()),
            Self::Unescaped(text) => Json::Unescaped(text),
            Self::Array(items) => Json::Array(items.into_iter().map(Json::into_owned).collect()),
            Self::Object(members) => {
                let owned = members.into_iter().map(|(name, v)| (name.into_owned().into(), v.into_owned()));
                Json::Object(owned.collect())
            }
        }
    }

    /// The member of that name, or nothing at all (`Null`).
    pub(super) fn at(&self, name: &str) -> &Json<'a> {
        self.members().iter().find(|(n, _)| n == name).map_or(&NULL, |(_, value)| value)
    }

    /// Takes the value of the member of that name out; nothing is left of it.
    pub(super) fn take(&mut self, name: &str) -> Json<'a> {
        let members = match self {
            Self::Object(members) => members,
            Self::Array(items) if items.len() == 1 => return items[0].take(name),
            _ => return Json::Null,
        };
        members
            .iter_mut()
            .find(|(n, _)| n == name)
            .map(|(_, value)| std::mem::take(value))
            .unwrap_or_default()
    }

    /// The elements of an array; a lone value counts as an array of one.
    pub(super) fn into_items(self) -> Vec<Json<'a>> {
        match self {
            Self::Null => Vec::new(),
            Self::Array(items) => items.into_vec(),
            lone => vec![lone],
        }
    }

    /// The elements of the array of that name; a lone value counts as an array of one.
    pub(super) fn list(&self, name: &str) -> &[Json<'a>] {
        match self.at(name) {
            Self::Null => &[],
            Self::Array(items) => items,
            lone => std::slice::from_ref(lone),
        }
    }

    /// Words: a text that is not blank, trimmed; a number or a truth value as written.
    pub(super) fn text(&self) -> Option<&str> {
        let words: &str = match self {
            Self::Text(text) | Self::Number(text) => text,
            Self::Unescaped(text) | Self::Counted(text) => text,
            Self::Bool(true) => "true",
            Self::Bool(false) => "false",
            Self::Array(items) if items.len() == 1 => return items[0].text(),
            Self::Null | Self::Array(_) | Self::Object(_) => return None,
        };
        Some(words.trim()).filter(|words| !words.is_empty())
    }

    /// All words in the value, for what has not the shape that it should have.
    pub(super) fn all_words(&self) -> String {
        let words: Vec<String> = match self {
            Self::Array(items) => items.iter().map(Json::all_words).collect(),
            Self::Object(members) => members.iter().map(|(_, value)| value.all_words()).collect(),
            lone => lone.text().map(str::to_owned).into_iter().collect(),
        };
        words.into_iter().filter(|words| !words.is_empty()).collect::<Vec<_>>().join(" ")
    }

    /// Whether some text in the value is such.
    pub(super) fn any_text(&self, such: &dyn Fn(&str) -> bool) -> bool {
        match self {
            Self::Array(items) => items.iter().any(|item| item.any_text(such)),
            Self::Object(members) => members.iter().any(|(_, value)| value.any_text(such)),
            lone => lone.text().is_some_and(such),
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
    pub(super) fn members(&self) -> &[Member<'a>] {
        match self {
            Self::Object(members) => members,
            // One thing in a list stands for the thing.
            Self::Array(items) if items.len() == 1 => items[0].members(),
            _ => &[],
        }
    }

    /// The value of the member whose name begins so (`value[x]`), with the rest of the name.
    pub(super) fn choice(&self, prefix: &str) -> Option<(&str, &Json<'a>)> {
        self.members().iter().find_map(|(name, value)| {
            let rest = name.strip_prefix(prefix)?;
            rest.starts_with(|c: char| c.is_ascii_uppercase()).then_some((rest, value))
        })
    }

    /// The extensions whose address contains these words.
    pub(super) fn extensions<'s>(&'s self, words: &'s str) -> impl Iterator<Item = &'s Json<'a>> {
        self.list("extension").iter().filter(move |e| e.word("url").is_some_and(|url| url.contains(words)))
    }

    /// Cuts every text of more bytes than that, but for files and for what FHIR itself generates; gives them whole.
    pub(super) fn shorten(&mut self, most: usize, marker: &str, whole: &mut Vec<String>) {
        match self {
            Self::Text(text) if text.len() > most => {
                whole.push((*text).to_owned());
                *self = Self::Unescaped(cut(text, most, marker));
            }
            Self::Unescaped(text) if text.len() > most => {
                whole.push(text.to_string());
                *text = cut(text, most, marker);
            }
            Self::Array(items) => items.iter_mut().for_each(|item| item.shorten(most, marker, whole)),
            Self::Object(members) => {
                for (_, value) in members.iter_mut().filter(|(name, _)| !matches!(&**name, "data" | "div")) {
                    value.shorten(most, marker, whole);
                }
            }
            Self::Null
            | Self::Bool(_)
            | Self::Number(_)
            | Self::Counted(_)
            | Self::Text(_)
            | Self::Unescaped(_) => {}
        }
    }

    /// The first such extension, or nothing.
    pub(super) fn extension(&self, words: &str) -> &Json<'a> {
        self.list("extension")
            .iter()
            .find(|e| e.word("url").is_some_and(|url| url.contains(words)))
            .unwrap_or(&NULL)
    }
}

/// Where the first byte is that no UTF-8 text has.
fn not_utf8(bytes: &[u8], valid: usize) -> Unreadable {
    let line = 1 + bytes[..valid].iter().filter(|b| **b == b'\n').count();
    let column = 1 + bytes[..valid].iter().rev().take_while(|b| **b != b'\n').count();
    Unreadable::NotJson { line, column }
}

fn cut(text: &str, most: usize, marker: &str) -> Box<str> {
    (text[..text.floor_char_boundary(most)].to_owned() + marker).into()
}

/// Reads any value of at most so many levels.
#[derive(Clone, Copy)]
struct Value<'f, 'de> {
    depth: usize,
    too_deep: &'f Cell<bool>,
    suspect: &'f Cell<bool>,
    /// What is inside the arrays and objects that are open. Each takes its own from the end when it closes: so all are
    /// allocated once, and as large as they are.
    items: &'f RefCell<Vec<Json<'de>>>,
    members: &'f RefCell<Vec<Member<'de>>>,
}

/// Name and value.
type Member<'a> = (Cow<'a, str>, Json<'a>);

impl Value<'_, '_> {
    fn inner<E: Error>(self) -> Result<Self, E> {
        let Some(depth) = self.depth.checked_sub(1) else {
            self.too_deep.set(true);
            return Err(E::custom("too deep"));
        };
        Ok(Self { depth, ..self })
    }
}

impl<'de> DeserializeSeed<'de> for Value<'_, 'de> {
    type Value = Json<'de>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Json<'de>, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Value<'_, 'de> {
    type Value = Json<'de>;

    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("a JSON value")
    }

    fn visit_unit<E>(self) -> Result<Json<'de>, E> {
        Ok(Json::Null)
    }

    fn visit_bool<E>(self, truth: bool) -> Result<Json<'de>, E> {
        Ok(Json::Bool(truth))
    }

    fn visit_u64<E>(self, number: u64) -> Result<Json<'de>, E> {
        Ok(Json::Counted(number.to_string().into()))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Json<'de>, E> {
        Ok(Json::Counted(number.to_string().into()))
    }

    fn visit_f64<E>(self, number: f64) -> Result<Json<'de>, E> {
        Ok(Json::Counted(number.to_string().into()))
    }

    fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Json<'de>, E> {
        Ok(Json::Text(text))
    }

    fn visit_str<E>(self, text: &str) -> Result<Json<'de>, E> {
        if !xml::carries(text) {
            self.suspect.set(true);
        }
        Ok(Json::Unescaped(text.into()))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut array: A) -> Result<Json<'de>, A::Error> {
        let inner = self.inner()?;
        let from = self.items.borrow().len();
        while let Some(item) = array.next_element_seed(inner)? {
            self.items.borrow_mut().push(item);
        }
        Ok(Json::Array(self.items.borrow_mut().drain(from..).collect()))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Json<'de>, A::Error> {
        let inner = self.inner()?;
        let from = self.members.borrow().len();
        while let Some(Name(name)) = map.next_key()? {
            let value = if DECIMALS.contains(&&*name) {
                as_written(map.next_value()?, inner).map_err(A::Error::custom)?
            } else {
                map.next_value_seed(inner)?
            };
            self.members.borrow_mut().push((name, value));
        }
        Ok(Json::Object(self.members.borrow_mut().drain(from..).collect()))
    }
}

/// The members of FHIR that are decimals: their digits carry precision, which a float would not (extract §4).
const DECIMALS: [&str; 5] = ["value", "valueDecimal", "factor", "lowerLimit", "upperLimit"];

fn as_written<'a>(raw: &'a RawValue, value: Value<'_, 'a>) -> Result<Json<'a>, serde_json::Error> {
    let text = raw.get();
    if text.starts_with(|c: char| c == '-' || c.is_ascii_digit()) {
        return Ok(Json::Number(text));
    }
    value.deserialize(&mut serde_json::Deserializer::from_str(text))
}

/// The name of a member, borrowed where it has no escapes.
#[derive(serde::Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

/// The text with each half of a surrogate pair replaced; nothing when it has none.
fn mended(text: &str) -> Option<String> {
    let mut mended = String::with_capacity(text.len());
    let (mut rest, mut found) = (text, false);
    while let Some(at) = rest.find('\\') {
        let (before, escape) = rest.split_at(at);
        mended.push_str(before);
        let taken = match (surrogate(escape), escape.get(6..).and_then(surrogate)) {
            (Some(Half::High), Some(Half::Low)) => 12,
            (Some(_), _) => {
                found = true;
                mended.push_str("\\uFFFD");
                rest = &escape[6..];
                continue;
            }
            (None, _) => 1 + escape[1..].chars().next().map_or(0, char::len_utf8),
        };
        mended.push_str(&escape[..taken]);
        rest = &escape[taken..];
    }
    mended.push_str(rest);
    found.then_some(mended)
}

enum Half {
    High,
    Low,
}

/// Which half of a surrogate pair the escape at the start of the text stands for.
fn surrogate(escape: &str) -> Option<Half> {
    let digits = escape.strip_prefix("\\u")?.get(..4)?;
    match u16::from_str_radix(digits, 16).ok()? {
        0xD800..=0xDBFF => Some(Half::High),
        0xDC00..=0xDFFF => Some(Half::Low),
        _ => None,
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
        assert_eq!(Json::parse(b"{", 64), Err(Unreadable::NotJson { line: 1, column: 1 }));
        assert_eq!(Json::parse(br#"{"a": 1} x"#, 64), Err(Unreadable::NotJson { line: 1, column: 10 }));
        assert_eq!(Json::parse(b"{\n \xff", 64), Err(Unreadable::NotJson { line: 2, column: 2 }));
    }

    #[test]
    fn half_a_surrogate_pair_costs_one_character() {
        let json = Json::parse(br#"{"a": "x\ud83dy\\", "b": "\uD83D\uDE00", "c": "\udc00"}"#, 8).unwrap();
        assert_eq!(json.word("a"), Some("x\u{FFFD}y\\"), "the record is read all the same (extract §1.2)");
        assert_eq!(json.word("b"), Some("\u{1F600}"), "whole pairs stay");
        assert_eq!(json.word("c"), Some("\u{FFFD}"));
    }

    #[test]
    fn a_member_named_twice_is_kept_twice_and_the_first_counts() {
        let json = Json::parse(br#"{"a": "x", "a": "y"}"#, 8).unwrap();
        assert_eq!(json.word("a"), Some("x"));
        assert_eq!(json.members().len(), 2);
    }
}
