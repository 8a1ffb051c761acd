//! Fragments of an extract as trees, for comparing ours with another mapper's where identifiers are stand-ins.
//!
//! It says where two fragments differ, never what they hold: the words belong to somebody's record.

use std::collections::BTreeMap;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

/// Structural attributes for which the message schema has a default: they may be written or left out.
const DEFAULTED: [&str; 7] = [
    "classCode",
    "moodCode",
    "typeCode",
    "determinerCode",
    "contextConductionInd",
    "contextControlCode",
    "inversionInd",
];

/// One element with what is in it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Fragment {
    pub name: String,
    pub attributes: BTreeMap<String, String>,
    pub text: String,
    pub children: Vec<Fragment>,
}

impl Fragment {
    /// Reads a document, or a piece of one; the outermost element, or several as the children of one without a name.
    ///
    /// # Panics
    /// When it is not well-formed.
    pub fn parse(xml: &str) -> Self {
        let mut reader = Reader::from_str(xml);
        let mut open = vec![Self::default()];
        loop {
            match reader.read_event().expect("well-formed") {
                Event::Start(start) => open.push(Self::of(&start)),
                Event::Empty(start) => open.last_mut().unwrap().children.push(Self::of(&start)),
                Event::End(_) => {
                    let closed = open.pop().unwrap();
                    open.last_mut().unwrap().children.push(closed);
                }
                Event::Text(text) => open.last_mut().unwrap().text.push_str(&text),
                Event::GeneralRef(reference) => {
                    let name: &str = &reference;
                    let character = quick_xml::escape::unescape(&format!("&{name};")).unwrap().into_owned();
                    open.last_mut().unwrap().text.push_str(&character);
                }
                Event::Eof => break,
                _ => {}
            }
        }
        let mut outermost = open.pop().unwrap();
        match outermost.children.len() {
            1 => outermost.children.remove(0),
            _ => outermost,
        }
    }

    fn of(start: &BytesStart<'_>) -> Self {
        let name = start.local_name().as_ref().to_owned();
        let attributes = start.attributes().map(|a| a.unwrap()).map(|a| {
            let value = quick_xml::escape::unescape(&a.value).unwrap().into_owned();
            (a.key.as_ref().to_owned(), value)
        });
        let attributes = attributes.filter(|(key, _)| !key.starts_with("xmlns")).collect();
        Self { name, attributes, ..Self::default() }
    }

    /// The first child of that name.
    pub fn child(&self, name: &str) -> Option<&Self> {
        self.children.iter().find(|c| c.name == name)
    }

    /// The elements from the outermost to the one that has that id.
    pub fn path_to(&self, id: &str) -> Option<Vec<&Self>> {
        if self.children.iter().any(|c| c.name == "id" && c.attributes.get("root").is_some_and(|r| r == id)) {
            return Some(vec![self]);
        }
        let mut path = self.children.iter().find_map(|c| c.path_to(id))?;
        path.insert(0, self);
        Some(path)
    }

    /// Every element of that name, itself included.
    pub fn all<'a>(&'a self, name: &str, into: &mut Vec<&'a Self>) {
        if self.name == name {
            into.push(self);
        }
        self.children.iter().for_each(|c| c.all(name, into));
    }

    /// Takes out the elements that the test says are not there.
    pub fn without(mut self, unwanted: &dyn Fn(&Self) -> bool) -> Self {
        self.children.retain(|c| !unwanted(c));
        self.children = self.children.into_iter().map(|c| c.without(unwanted)).collect();
        self
    }
}

/// Where ours differs from theirs, place by place, without saying what either holds.
pub fn differences(theirs: &Fragment, ours: &Fragment) -> Vec<String> {
    let mut found = Vec::new();
    compare(&theirs.name, theirs, ours, &mut found);
    found.dedup();
    found
}

fn compare(place: &str, theirs: &Fragment, ours: &Fragment, found: &mut Vec<String>) {
    if theirs.name != ours.name {
        return found.push(format!("{place} is {} in ours", ours.name));
    }
    attributes(place, theirs, ours, found);
    if plain(&theirs.text) != plain(&ours.text) {
        found.push(format!("{place} text differs"));
    }
    let mut names: Vec<&str> =
        theirs.children.iter().chain(&ours.children).map(|c| c.name.as_str()).collect();
    names.sort_unstable();
    names.dedup();
    for name in names {
        let of = |f: &'_ Fragment| f.children.iter().filter(|c| c.name == name).cloned().collect::<Vec<_>>();
        let (left, right) = (of(theirs), of(ours));
        for n in 0..left.len().max(right.len()) {
            let place = if n == 0 { format!("{place}/{name}") } else { format!("{place}/{name}[{}]", n + 1) };
            match (left.get(n), right.get(n)) {
                (Some(theirs), Some(ours)) => compare(&place, theirs, ours, found),
                (Some(_), None) => found.push(format!("{place} only theirs")),
                (None, Some(_)) => found.push(format!("{place} only ours")),
                (None, None) => {}
            }
        }
    }
}

fn attributes(place: &str, theirs: &Fragment, ours: &Fragment, found: &mut Vec<String>) {
    let keys: std::collections::BTreeSet<&String> =
        theirs.attributes.keys().chain(ours.attributes.keys()).collect();
    for key in keys {
        // Ids of statements are stand-ins; those of a table of ids (with an extension) are facts.
        if key == "root" && theirs.name == "id" && !theirs.attributes.contains_key("extension") {
            continue;
        }
        match (theirs.attributes.get(key), ours.attributes.get(key)) {
            (Some(left), Some(right)) if plain(left) != plain(right) && !fills(left, right) => {
                found.push(format!("{place}@{key} differs"));
            }
            (Some(_), None) if !DEFAULTED.contains(&key.as_str()) => {
                found.push(format!("{place}@{key} only theirs"));
            }
            (None, Some(_)) if !DEFAULTED.contains(&key.as_str()) => {
                found.push(format!("{place}@{key} only ours"));
            }
            (Some(_) | None, Some(_) | None) => {}
        }
    }
}

/// Whether ours is what their template will be once it is filled in.
fn fills(template: &str, ours: &str) -> bool {
    match (template.find("${"), template.rfind('}')) {
        (Some(start), Some(end)) if template.matches("${").count() == 1 && end > start => {
            let (before, after) = (template[..start].trim(), template[end + 1..].trim());
            ours.starts_with(before) && ours.ends_with(after)
        }
        (_, _) => false,
    }
}

/// Words with single blanks, without the marks that a template leaves.
fn plain(text: &str) -> String {
    let mut text = text.to_owned();
    while let Some((start, end)) = text.find("${").and_then(|s| Some((s, s + text[s..].find('}')?))) {
        text.replace_range(start..=end, "");
    }
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[test]
fn differences_are_places_and_ids_are_none() {
    let left = Fragment::parse(r#"<a><id root="X"/><b c="1">one &amp; two</b><d/></a>"#);
    let right = Fragment::parse(r#"<a classCode="OBS"><id root="Y"/><b c="2">one  &amp; two</b><e/></a>"#);
    assert_eq!(differences(&left, &right), ["a/b@c differs", "a/d only theirs", "a/e only ours"]);
    assert_eq!(right.path_to("Y").unwrap().len(), 1, "an element is found by its id");
}
