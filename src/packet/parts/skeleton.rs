//! The skeleton: an extract message without its content, which travels as an item of its own (gp2gp reference §4.1(6),
//! §4.2(8)). Written from our own whole message; and a received one made whole again.
//!
//! Whole messages are in memory here, up to the limit of any payload; attachments are not.

use std::ops::Range;

use quick_xml::Reader;
use quick_xml::events::{BytesStart, Event};

use super::owner::{Owner, whose};
use crate::model::derived_uuid;
use crate::packet::envelope::escape;
use crate::packet::xml::XmlFault;

/// Why there is no skeleton, or no whole message. Names no content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SkeletonFault {
    /// Not XML we accept, or not UTF-8 where something is put in.
    #[error("the message or its content cannot be read")]
    Xml(#[from] XmlFault),
    /// It has no NHS number or no EhrExtract id to compare, or not one of each.
    #[error("the message does not say whose extract it is")]
    NoOwner,
    /// The content is another patient's.
    #[error("the content has another NHS number than the skeleton")]
    AnotherPatient,
    /// The content is of another extract.
    #[error("the content has another EhrExtract id than the skeleton")]
    AnotherExtract,
    /// No element has the id of the item.
    #[error("the skeleton has no place for its content")]
    NoPlace,
    /// Not a message as our mapping writes it.
    #[error("the message has no folder to leave out")]
    NoFolder,
}

impl SkeletonFault {
    /// What the part that brought the content is answered with: putting together has failed (§4.3).
    pub fn response_code(self) -> u16 {
        29
    }
}

/// The name of the item that is the real HL7 of an interaction.
pub fn file_name(item: &str, interaction: &str) -> String {
    format!("{item}_{interaction}.gzip")
}

/// From our whole message: the same wrapper, EhrExtract id and authorship, and one statement that points at the item whose
/// `eb:id` is `item`, a UUID.
pub fn write(message: &[u8], item: &str) -> Result<Vec<u8>, SkeletonFault> {
    let text = utf8(message)?;
    whose(message)?;
    let found = Content::find(text)?;
    let (Some(first), Some(last)) = (found.compositions.first(), found.compositions.last()) else {
        return Err(SkeletonFault::NoFolder);
    };
    let statement = composition(item, &found.interaction, &found.time);
    let mut out = String::with_capacity(statement.len() + 4096);
    let mut from = 0;
    for cut in &found.agents {
        out.push_str(&text[from..cut.start]);
        from = cut.end;
    }
    out.push_str(&text[from..first.start]);
    out.push_str(&statement);
    out.push_str(&text[last.end..]);
    Ok(out.into_bytes())
}

/// Makes a received message whole. `item` is the `eb:id` of the skeleton's item, `content` what it was joined to. A whole
/// message takes the place of the skeleton; anything else takes that of the element that owns the id.
///
/// NHS number and EhrExtract id must be the skeleton's, or nothing comes out.
pub fn restore(skeleton: &[u8], item: &str, content: &[u8]) -> Result<Vec<u8>, SkeletonFault> {
    let owner = whose(skeleton)?;
    if matches!(root_name(content)?.as_str(), "RCMR_IN030000UK06" | "RCMR_IN030000UK07") {
        same(&owner, &whose(content)?)?;
        return Ok(content.to_vec());
    }
    let text = utf8(skeleton)?;
    let place = place_of(text, item)?;
    let whole = [&text[..place.start], element(utf8(content)?), &text[place.end..]].concat().into_bytes();
    same(&owner, &whose(&whole)?)?;
    Ok(whole)
}

fn same(skeleton: &Owner, content: &Owner) -> Result<(), SkeletonFault> {
    if skeleton.nhs_number != content.nhs_number {
        return Err(SkeletonFault::AnotherPatient);
    }
    if skeleton.extract_id != content.extract_id {
        return Err(SkeletonFault::AnotherExtract);
    }
    Ok(())
}

fn utf8(octets: &[u8]) -> Result<&str, SkeletonFault> {
    let bare = octets.strip_prefix(b"\xef\xbb\xbf").unwrap_or(octets);
    std::str::from_utf8(bare).map_err(|_| XmlFault::Encoding.into())
}

/// The content without an XML declaration, which may stand only where a document begins.
fn element(content: &str) -> &str {
    match content.trim_start().strip_prefix("<?xml") {
        Some(rest) => rest.find("?>").map_or(rest, |end| &rest[end + 2..]),
        None => content,
    }
}

fn root_name(content: &[u8]) -> Result<String, SkeletonFault> {
    use crate::packet::xml::{Seen, XmlLimits, walk};
    let mut name = None;
    walk(content, None, &XmlLimits::payload(), |seen| {
        if let (Seen::Open(opened), None) = (seen, &name) {
            name = Some(opened.name.to_owned());
        }
    })?;
    Ok(name.unwrap_or_default())
}

/// What the scanner shows: an element that opens or closes, and where in the text.
enum Mark<'t> {
    Open { at: usize, name: &'t str, tag: &'t BytesStart<'t> },
    Close { end: usize },
}

/// Goes through a text that was found well-formed.
fn scan(text: &str, mut show: impl FnMut(Mark<'_>)) -> Result<(), SkeletonFault> {
    let mut reader = Reader::from_str(text);
    reader.config_mut().expand_empty_elements = true;
    let place = |position: u64| usize::try_from(position).unwrap_or(usize::MAX).min(text.len());
    loop {
        let at = place(reader.buffer_position());
        match reader.read_event().map_err(|_| XmlFault::Malformed(at as u64))? {
            Event::Start(tag) => show(Mark::Open { at, name: tag.local_name().as_ref(), tag: &tag }),
            Event::End(_) => show(Mark::Close { end: place(reader.buffer_position()) }),
            Event::Eof => return Ok(()),
            _ => {}
        }
    }
}

fn attribute(tag: &BytesStart<'_>, name: &str) -> Option<String> {
    let mut attributes = tag.attributes().flatten();
    attributes.find(|attribute| attribute.key.as_ref() == name).map(|attribute| attribute.value.into_owned())
}

/// What is left out of a whole message, and what is said instead of it.
#[derive(Default)]
struct Content {
    interaction: String,
    /// When the extract was made, as the message writes it.
    time: String,
    /// Components of the folder.
    compositions: Vec<Range<usize>>,
    /// Agents but the first: nothing refers to them any more.
    agents: Vec<Range<usize>>,
}

const EXTRACT: [&str; 3] = ["ControlActEvent", "subject", "EhrExtract"];
const FOLDER: [&str; 2] = ["component", "ehrFolder"];
const AGENTS: [&str; 2] = ["responsibleParty", "agentDirectory"];

impl Content {
    fn find(text: &str) -> Result<Self, SkeletonFault> {
        let mut found = Self::default();
        let mut way: Vec<(String, usize)> = Vec::new();
        let mut first_agent = true;
        scan(text, |mark| match mark {
            Mark::Open { at, name, tag } => {
                if way.is_empty() {
                    found.interaction = name.to_owned();
                } else if name == "availabilityTime" && below_root(&way, &[]) {
                    found.time = attribute(tag, "value").unwrap_or_default();
                }
                way.push((name.to_owned(), at));
            }
            Mark::Close { end } => {
                let Some((name, at)) = way.pop() else { return };
                if name == "component" && below_root(&way, &FOLDER) {
                    found.compositions.push(at..end);
                } else if name == "part"
                    && below_root(&way, &[FOLDER, AGENTS].concat())
                    && !std::mem::take(&mut first_agent)
                {
                    found.agents.push(at..end);
                }
            }
        })?;
        Ok(found)
    }
}

/// Whether the open elements are the root, the extract and then `names`.
fn below_root(way: &[(String, usize)], names: &[&str]) -> bool {
    let wanted = EXTRACT.iter().chain(names);
    way.len() == 1 + EXTRACT.len() + names.len()
        && way[1..].iter().zip(wanted).all(|((name, _), wanted)| name == wanted)
}

const SNOMED: &str = "2.16.840.1.113883.2.1.3.2.4.15";

/// The one composition of a skeleton, its one statement and the document that is the message.
fn composition(item: &str, interaction: &str, time: &str) -> String {
    let own = derived_uuid(&["skeleton", item]).hyphenated().to_string().to_ascii_uppercase();
    let reference = escape(&file_name(item, interaction));
    let (item, time) = (escape(item), escape(time));
    let complete = "<statusCode code=\"COMPLETE\"/>";
    let available = format!("<availabilityTime value=\"{time}\"/>");
    let document = format!(
        "<reference typeCode=\"REFR\"><referredToExternalDocument classCode=\"DOC\" moodCode=\"EVN\"><id root=\"{item}\"/>\
         <code code=\"24891000000101\" codeSystem=\"{SNOMED}\" displayName=\"EDI messages\">\
         <originalText>The whole message</originalText></code>\
         <text mediaType=\"text/xml\"><reference value=\"file://localhost/{reference}\"/></text>\
         </referredToExternalDocument></reference>"
    );
    format!(
        "<component typeCode=\"COMP\"><ehrComposition classCode=\"COMPOSITION\" moodCode=\"EVN\"><id root=\"{own}\"/>\
         <code code=\"109341000000100\" codeSystem=\"{SNOMED}\" displayName=\"GP to GP communication transaction\"/>\
         {complete}<effectiveTime><center value=\"{time}\"/></effectiveTime>{available}\
         <author typeCode=\"AUT\" contextControlCode=\"OP\"><time value=\"{time}\"/><agentRef classCode=\"AGNT\">\
         <id nullFlavor=\"UNK\"/></agentRef></author>\
         <component typeCode=\"COMP\"><NarrativeStatement classCode=\"OBS\" moodCode=\"EVN\"><id root=\"{item}\"/>\
         <text>The record travels in a message of its own</text>{complete}{available}{document}\
         </NarrativeStatement></component></ehrComposition></component>"
    )
}

/// Where the element stands that owns the id: the statement, where only its external document has the id.
fn place_of(text: &str, item: &str) -> Result<Range<usize>, SkeletonFault> {
    let bare = |id: &str| id.trim().trim_start_matches('_').to_ascii_uppercase();
    let wanted = bare(item);
    let mut way: Vec<(String, usize)> = Vec::new();
    // How many elements are open around the place and with it, once it is known.
    let mut depth = None;
    let mut place = None;
    scan(text, |mark| match mark {
        Mark::Open { at, name, tag } => {
            let owned = name == "id" && attribute(tag, "root").is_some_and(|root| bare(&root) == wanted);
            if owned && depth.is_none() && place.is_none() {
                depth = owner_depth(&way);
            }
            way.push((name.to_owned(), at));
        }
        Mark::Close { end } => {
            if depth == Some(way.len()) {
                place = way.last().map(|(_, at)| *at..end);
                depth = None;
            }
            way.pop();
        }
    })?;
    place.ok_or(SkeletonFault::NoPlace)
}

fn owner_depth(way: &[(String, usize)]) -> Option<usize> {
    match way.last() {
        Some((name, _)) if name == "referredToExternalDocument" => {
            way.iter().rposition(|(name, _)| name.ends_with("Statement")).map(|at| at + 1)
        }
        Some(_) => Some(way.len()),
        None => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(interaction: &str, number: &str, extract: &str, folder: &str) -> String {
        format!(
            "<{interaction} xmlns=\"urn:hl7-org:v3\"><id root=\"W\"/><ControlActEvent><subject><EhrExtract>\
             <id root=\"{extract}\"/><availabilityTime value=\"20260302090000\"/><recordTarget><patient>\
             <id root=\"2.16.840.1.113883.2.1.4.1\" extension=\"{number}\"/></patient></recordTarget>\
             <component><ehrFolder><id root=\"F\"/><responsibleParty><agentDirectory><part>one</part><part>two</part>\
             </agentDirectory></responsibleParty>{folder}</ehrFolder></component></EhrExtract></subject>\
             </ControlActEvent></{interaction}>"
        )
    }

    const OURS: &str = "9990000018";
    const UK06: &str = "RCMR_IN030000UK06";
    const UK07: &str = "RCMR_IN030000UK07";
    const ITEM: &str = "68E2A39F-7A24-449D-83CC-1B7CF1A9DAD7";

    fn whole(interaction: &str) -> String {
        message(interaction, OURS, "E", "<component>a &amp; b</component>\n<component>c</component>")
    }

    #[test]
    fn a_skeleton_keeps_the_wrapper_and_leaves_out_the_content() {
        // §4.1(6).
        let whole = whole(UK07);
        let skeleton = String::from_utf8(write(whole.as_bytes(), ITEM).unwrap()).unwrap();
        assert!(skeleton.starts_with(&whole[..whole.find("<part>two").unwrap()]));
        assert!(skeleton.ends_with("</component></ehrFolder></component></EhrExtract></subject></ControlActEvent></RCMR_IN030000UK07>"));
        assert!(!skeleton.contains("a &amp; b") && !skeleton.contains("two"));
        assert_eq!(skeleton.matches("<NarrativeStatement").count(), 1);
        assert!(skeleton.contains(&format!("file://localhost/{ITEM}_RCMR_IN030000UK07.gzip")));
        assert_eq!(
            restore(skeleton.as_bytes(), &format!("_{ITEM}"), whole.as_bytes()).unwrap(),
            whole.as_bytes()
        );
        assert_eq!(write(b"<a/>", ITEM), Err(SkeletonFault::NoOwner));
        let bare = message(UK06, OURS, "E", "");
        assert_eq!(write(bare.as_bytes(), ITEM), Err(SkeletonFault::NoFolder));
    }

    #[test]
    fn a_whole_message_takes_the_place_of_the_skeleton() {
        // §4.2(8), F33: UK07 for a skeleton of UK06.
        let skeleton = write(whole(UK06).as_bytes(), ITEM).unwrap();
        for name in [UK06, UK07] {
            assert_eq!(restore(&skeleton, ITEM, whole(name).as_bytes()).unwrap(), whole(name).as_bytes());
        }
        let other = message(UK06, "9990000026", "E", "");
        assert_eq!(restore(&skeleton, ITEM, other.as_bytes()), Err(SkeletonFault::AnotherPatient));
        let other = message(UK06, OURS, "E2", "");
        assert_eq!(restore(&skeleton, ITEM, other.as_bytes()), Err(SkeletonFault::AnotherExtract));
        assert_eq!(restore(&skeleton, ITEM, message(UK06, OURS, "e", "").as_bytes()).map(|_| ()), Ok(()));
    }

    #[test]
    fn a_piece_takes_the_place_of_the_element_that_owns_the_id() {
        // §4.2(8), F33: content of less than a hundred characters.
        let skeleton = |statement: &str| {
            message(UK06, OURS, "E", &format!("<component><c><id root=\"X\"/>{statement}</c></component>"))
        };
        let owned = format!(
            "<NarrativeStatement><id root=\"_{}\"/><reference><referredToExternalDocument><id root=\"{ITEM}\"/>\
             </referredToExternalDocument></reference></NarrativeStatement>",
            ITEM.to_ascii_lowercase()
        );
        let below = format!(
            "<NarrativeStatement><id root=\"other\"/><reference><referredToExternalDocument><id root=\"{ITEM}\"/>\
             </referredToExternalDocument></reference></NarrativeStatement>"
        );
        for statement in [owned, below] {
            for content in ["<N>é</N>", "\u{feff}<?xml version='1.0' encoding='UTF-8'?><N>é</N>"] {
                let restored = restore(skeleton(&statement).as_bytes(), ITEM, content.as_bytes()).unwrap();
                assert_eq!(String::from_utf8(restored).unwrap(), skeleton("<N>é</N>"));
            }
        }
        let nowhere = restore(skeleton("").as_bytes(), ITEM, b"<N/>");
        assert_eq!(nowhere, Err(SkeletonFault::NoPlace));
    }

    #[test]
    fn content_cannot_make_the_extract_somebody_elses() {
        // The id of the item is the extract's own: the whole extract would be replaced.
        let skeleton = message(UK06, OURS, ITEM, "");
        let thief = message(UK06, "9990000026", ITEM, "");
        let inner = &thief[thief.find("<EhrExtract>").unwrap()..thief.find("</subject>").unwrap()];
        assert_eq!(restore(skeleton.as_bytes(), ITEM, inner.as_bytes()), Err(SkeletonFault::AnotherPatient));
        for damaged in ["", "<N>", "no xml", "<!DOCTYPE N><N/>", "<N/><N/>"] {
            let restored = restore(skeleton.as_bytes(), "W", damaged.as_bytes());
            assert!(matches!(restored, Err(SkeletonFault::Xml(_))), "{damaged}");
        }
        assert_eq!(SkeletonFault::NoPlace.response_code(), 29);
    }
}
