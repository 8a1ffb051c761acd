//! Names, characters and attributes as XML 1.0 (fifth edition) and its namespaces allow them.
//!
//! Knows nothing of elements or documents. The attribute scanner is our own because a verifier must not be more
//! lenient than the party that signed: `quick-xml` accepts what XML does not.

use super::limits::XmlFault;

/// Splits a qualified name; `None` when it is none. The prefix is empty when there is none.
pub(super) fn split_qualified(name: &str) -> Option<(&str, &str)> {
    match name.split_once(':') {
        Some((prefix, local)) => (is_ncname(prefix) && is_ncname(local)).then_some((prefix, local)),
        None => is_ncname(name).then_some(("", name)),
    }
}

/// Whether this is a name without a colon.
pub(super) fn is_ncname(name: &str) -> bool {
    let mut chars = name.chars();
    chars.next().is_some_and(begins_name) && chars.all(continues_name)
}

fn begins_name(c: char) -> bool {
    matches!(c, 'A'..='Z' | '_' | 'a'..='z' | '\u{C0}'..='\u{D6}' | '\u{D8}'..='\u{F6}' | '\u{F8}'..='\u{2FF}'
        | '\u{370}'..='\u{37D}' | '\u{37F}'..='\u{1FFF}' | '\u{200C}'..='\u{200D}' | '\u{2070}'..='\u{218F}'
        | '\u{2C00}'..='\u{2FEF}' | '\u{3001}'..='\u{D7FF}' | '\u{F900}'..='\u{FDCF}' | '\u{FDF0}'..='\u{FFFD}'
        | '\u{10000}'..='\u{EFFFF}')
}

fn continues_name(c: char) -> bool {
    begins_name(c)
        || matches!(c, '-' | '.' | '0'..='9' | '\u{B7}' | '\u{300}'..='\u{36F}' | '\u{203F}'..='\u{2040}')
}

/// Whether XML 1.0 allows this character at all.
pub(super) fn is_char(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{D7FF}' | '\u{E000}'..='\u{FFFD}' | '\u{10000}'..)
}

/// What `&name;` stands for: the five predefined entities and character references, nothing else.
pub(super) fn referenced_char(name: &str) -> Option<char> {
    let code = match name {
        "lt" => return Some('<'),
        "gt" => return Some('>'),
        "amp" => return Some('&'),
        "quot" => return Some('"'),
        "apos" => return Some('\''),
        _ => name.strip_prefix('#')?,
    };
    let (digits, radix) = code.strip_prefix('x').map_or((code, 10), |hex| (hex, 16));
    // `from_str_radix` would take a sign.
    if digits.is_empty() || !digits.chars().all(|c| c.is_digit(radix)) {
        return None;
    }
    u32::from_str_radix(digits, radix).ok().and_then(char::from_u32).filter(|c| is_char(*c))
}

/// Takes the next `name="value"` off the rest of a start tag: the name, and the value still as written.
///
/// `Ok(None)` at the end of the tag.
pub(super) fn next_attribute<'a>(
    rest: &mut &'a str,
    at: u64,
) -> Result<Option<(&'a str, &'a str)>, XmlFault> {
    let malformed = XmlFault::Malformed(at);
    let trimmed = rest.trim_start_matches(is_space);
    if trimmed.is_empty() {
        return Ok(None);
    }
    if trimmed.len() == rest.len() {
        return Err(malformed);
    }
    let (name, after) = trimmed.split_once('=').ok_or(malformed)?;
    let after = after.trim_start_matches(is_space);
    let quote = after.chars().next().filter(|mark| matches!(mark, '"' | '\'')).ok_or(malformed)?;
    let (value, after) = after[1..].split_once(quote).ok_or(malformed)?;
    if value.contains('<') {
        return Err(malformed);
    }
    *rest = after;
    Ok(Some((name.trim_end_matches(is_space), value)))
}

/// What follows `<?xml`: `version` 1.x, then `encoding`, then `standalone`.
pub(super) fn check_declaration(mut rest: &str, at: u64) -> Result<(), XmlFault> {
    let mut known = ["version", "encoding", "standalone"].into_iter();
    let mut first = true;
    while let Some((name, value)) = next_attribute(&mut rest, at)? {
        let in_order = known.any(|next| next == name);
        if !in_order || (first && (name != "version" || !value.starts_with("1."))) {
            return Err(XmlFault::Malformed(at));
        }
        first = false;
    }
    if first { Err(XmlFault::Malformed(at)) } else { Ok(()) }
}

/// Appends an attribute value as XML 1.0 §3.3.3 normalises it: literal white space becomes spaces, references become
/// their characters.
pub(super) fn push_normalised(value: &str, at: u64, onto: &mut String) -> Result<(), XmlFault> {
    let mut rest = value;
    while let Some(mark) = rest.find(['&', '\t', '\n']) {
        onto.push_str(&rest[..mark]);
        rest = &rest[mark..];
        if let Some(reference) = rest.strip_prefix('&') {
            let (name, after) = reference.split_once(';').ok_or(XmlFault::Malformed(at))?;
            onto.push(referenced_char(name).ok_or(XmlFault::Entity(at))?);
            rest = after;
        } else {
            onto.push(' ');
            rest = &rest[1..];
        }
    }
    onto.push_str(rest);
    Ok(())
}

fn is_space(c: char) -> bool {
    matches!(c, ' ' | '\t' | '\n' | '\r')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_xml_names_are_names() {
        assert_eq!(split_qualified("eb:Manifest"), Some(("eb", "Manifest")));
        assert_eq!(split_qualified("Manifest"), Some(("", "Manifest")));
        for wrong in ["", ":a", "a:", "a:b:c", "1a", "a b", "a=b", "-a", "a\u{A0}b"] {
            assert_eq!(split_qualified(wrong), None, "{wrong:?} is no name");
        }
    }

    #[test]
    fn references_are_the_five_and_characters() {
        assert_eq!(referenced_char("amp"), Some('&'));
        assert_eq!(referenced_char("#xD"), Some('\r'));
        assert_eq!(referenced_char("#169"), Some('\u{A9}'));
        for wrong in [
            "nbsp",
            "#",
            "#x",
            "#+5",
            "#x+5",
            "#0",
            "#xD800",
            "#xFFFE",
            "#x110000",
            "#99999999999",
            "#X41",
            "",
        ] {
            assert_eq!(referenced_char(wrong), None, "{wrong:?} stands for nothing");
        }
    }

    #[test]
    fn attributes_are_scanned_strictly() {
        let mut rest = " a = '1' b=\"x > 'y'\"\n";
        assert_eq!(next_attribute(&mut rest, 0), Ok(Some(("a", "1"))));
        assert_eq!(next_attribute(&mut rest, 0), Ok(Some(("b", "x > 'y'"))));
        assert_eq!(next_attribute(&mut rest, 0), Ok(None));
        for wrong in [" a", " a=", " a=1", " a='1", "a='1'", " a='<'", " 'x'"] {
            assert!(next_attribute(&mut { wrong }, 0).is_err(), "{wrong:?} is no attribute");
        }
    }

    #[test]
    fn attribute_values_are_normalised() {
        let mut value = String::new();
        push_normalised("a\tb\nc&#9;d&#xA;e&amp;&lt;", 0, &mut value).unwrap();
        assert_eq!(
            value, "a b c\td\ne&<",
            "literal white space becomes spaces, referenced white space stays"
        );
        assert_eq!(push_normalised("&x;", 7, &mut value), Err(XmlFault::Entity(7)));
        assert_eq!(push_normalised("& x", 7, &mut value), Err(XmlFault::Malformed(7)));
    }
}
