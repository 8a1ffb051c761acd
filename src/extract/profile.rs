//! What the schema demands of the elements that we write, as one table: which children in which order and how often,
//! which attributes of which form (extract §2, §2.1).
//!
//! It holds no procedure, and of the schema only what a message of ours, or the record half of another's, has use for.

use super::validate::is_upper_uuid;

/// What an element may hold.
#[derive(Debug)]
pub(super) struct Shape {
    pub(super) attributes: &'static [Attribute],
    pub(super) order: Order,
    pub(super) children: &'static [Child],
    /// Children of every statement, after its own.
    pub(super) tail: &'static [Child],
    pub(super) text: Text,
}

/// How children follow one another.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Order {
    /// As listed.
    Listed,
    /// One of those listed, once.
    OneOf,
    /// As listed, but a centre stands alone.
    Interval,
    /// Anyhow.
    Free,
    /// What `xsi:type` says: the children are the types.
    ByType,
}

/// Whether there may be text between the children.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Text {
    No,
    Yes,
}

/// One kind of child.
#[derive(Debug)]
pub(super) struct Child {
    pub(super) name: &'static str,
    pub(super) least: u32,
    pub(super) most: u32,
    pub(super) shape: &'static Shape,
    pub(super) travels: Travels,
}

/// In which messages a child may stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Travels {
    Both,
    /// UK07 alone: a confidentiality label.
    Labelled,
}

/// One attribute.
#[derive(Debug)]
pub(super) struct Attribute {
    pub(super) name: &'static str,
    pub(super) need: Need,
    pub(super) form: Form,
}

/// Whether an attribute must be there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    Must,
    May,
}

/// How an attribute is written.
#[derive(Debug, Clone, Copy)]
pub(super) enum Form {
    /// One of these words.
    Of(&'static [&'static str]),
    /// An OID or an upper-case UUID.
    Uid,
    /// A time of HL7: up to 14 digits, with an offset from the ninth on.
    Time,
    /// Without white space.
    Token,
    Whole,
    Real,
    /// At least one character.
    Words,
    /// A word of a vocabulary that we do not list.
    Term,
    Free,
}

impl Form {
    /// Whether the value is written so.
    pub(super) fn fits(self, value: &str) -> bool {
        match self {
            Self::Free => true,
            Self::Words => !value.is_empty(),
            Self::Term => !value.is_empty() && Self::Token.fits(value),
            Self::Of(words) => words.contains(&value),
            Self::Token => !value.bytes().any(|b| b.is_ascii_whitespace()),
            Self::Uid => is_upper_uuid(value) || is_oid(value),
            Self::Time => is_time(value),
            Self::Whole => {
                let digits = value.strip_prefix(['+', '-']).unwrap_or(value);
                !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
            }
            Self::Real => is_real(value),
        }
    }
}

fn is_oid(text: &str) -> bool {
    text.split('.').all(|arc| !arc.is_empty() && arc.bytes().all(|b| b.is_ascii_digit()))
}

fn is_time(text: &str) -> bool {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    // The schema takes the thirtieth of February; no calendar does.
    if !super::dates::is_day(&text[..digits.min(8)]) {
        return false;
    }
    match (digits, &text[digits..]) {
        (1..=14, "") => true,
        (9..=14, offset) => offset
            .strip_prefix(['+', '-'])
            .is_some_and(|rest| (1..=4).contains(&rest.len()) && rest.bytes().all(|b| b.is_ascii_digit())),
        _ => false,
    }
}

fn is_real(text: &str) -> bool {
    let number = text.strip_prefix(['+', '-']).unwrap_or(text);
    number.bytes().any(|b| b.is_ascii_digit())
        && number.bytes().all(|b| b.is_ascii_digit() || b == b'.')
        && number.bytes().filter(|b| *b == b'.').count() <= 1
}

const MANY: u32 = u32::MAX;

const fn child(name: &'static str, least: u32, most: u32, shape: &'static Shape) -> Child {
    Child { name, least, most, shape, travels: Travels::Both }
}

const fn one(name: &'static str, shape: &'static Shape) -> Child {
    child(name, 1, 1, shape)
}

const fn maybe(name: &'static str, shape: &'static Shape) -> Child {
    child(name, 0, 1, shape)
}

const fn many(name: &'static str, shape: &'static Shape) -> Child {
    child(name, 0, MANY, shape)
}

const fn must(name: &'static str, form: Form) -> Attribute {
    Attribute { name, need: Need::Must, form }
}

const fn may(name: &'static str, form: Form) -> Attribute {
    Attribute { name, need: Need::May, form }
}

const fn label() -> Child {
    Child { name: "confidentialityCode", least: 0, most: 1, shape: &value::CV, travels: Travels::Labelled }
}

const fn class(words: &'static [&'static str]) -> Attribute {
    must("classCode", Form::Of(words))
}
const fn mood(words: &'static [&'static str]) -> Attribute {
    must("moodCode", Form::Of(words))
}
const fn kind(words: &'static [&'static str]) -> Attribute {
    must("typeCode", Form::Of(words))
}
const INSTANCE: Attribute = must("determinerCode", Form::Of(&["INSTANCE"]));
const CONDUCTS: Attribute = may("contextConductionInd", TRUTH);
const CONTROLS: Attribute = may("contextControlCode", Form::Of(&["OP"]));
const TRUTH: Form = Form::Of(&["true", "false"]);

/// An element: its attributes, its children in order, and, for a statement, the tail.
macro_rules! shape {
    ($name:ident, $attributes:expr, [$($child:expr),* $(,)?]) => { shape!($name, Listed, No, $attributes, [$($child),*], &[]); };
    ($name:ident, $attributes:expr, [$($child:expr),* $(,)?], $tail:expr) => { shape!($name, Listed, No, $attributes, [$($child),*], $tail); };
    ($name:ident, $order:ident, $text:ident, $attributes:expr, [$($child:expr),* $(,)?]) => { shape!($name, $order, $text, $attributes, [$($child),*], &[]); };
    ($name:ident, $order:ident, $text:ident, $attributes:expr, [$($child:expr),* $(,)?], $tail:expr) => {
        pub(in crate::extract) static $name: Shape = Shape {
            attributes: &$attributes,
            order: Order::$order,
            children: &[$($child),*],
            tail: $tail,
            text: Text::$text,
        };
    };
}

mod medication;
mod statement;
mod value;
mod wrapping;

pub(super) use wrapping::MESSAGE;
