//! What the manifest of an extract or of an index lists after its HL7 part, ready to be matched: with the documents the
//! extract refers to, with the parts that came along, and with the messages that bring the others.
//!
//! Whether everything that is listed has come is not known here.

use std::fmt;
use std::hash::{Hash, Hasher};

use crate::model::MessageId;
use crate::packet::description::Description;
use crate::packet::envelope::{Href, Item};

/// The id of an item of the manifest, `eb:id`, which is that of the document the extract refers to (AR10).
///
/// Kept as it was written; two are equal without regard to case and to one leading `_`, which an XML id needs and HL7's
/// does not have (AR11; wire reference §3.4). One that never had it loses nothing.
#[derive(Clone)]
pub struct DocumentId(String);

impl DocumentId {
    /// An id as it stands in a manifest or in an extract.
    pub fn new(text: &str) -> Self {
        Self(text.to_owned())
    }

    /// As it was written.
    pub fn verbatim(&self) -> &str {
        &self.0
    }

    /// Without its one leading `_`: as HL7 has it.
    pub fn bare(&self) -> &str {
        self.0.strip_prefix('_').unwrap_or(&self.0)
    }
}

impl PartialEq for DocumentId {
    fn eq(&self, other: &Self) -> bool {
        self.bare().eq_ignore_ascii_case(other.bare())
    }
}

impl Eq for DocumentId {}

impl Hash for DocumentId {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bare().to_ascii_uppercase().hash(state);
    }
}

impl fmt::Debug for DocumentId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "DocumentId({})", self.0)
    }
}

/// One thing that is listed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listed {
    /// Its id, where it has one.
    pub id: Option<DocumentId>,
    /// Whether it is in this message or is another.
    pub href: Href,
    /// What is said of it.
    pub description: Description,
}

impl Listed {
    /// The message that brings it; none where it is in this one.
    pub fn message_id(&self) -> Option<MessageId> {
        self.href.message_id()
    }
}

impl Href {
    /// The message it names; none for a part of this message, or where what stands after `mid:` can be no MessageId.
    pub fn message_id(&self) -> Option<MessageId> {
        match self {
            Self::Part(_) => None,
            Self::Message(id) => MessageId::parse(id.trim()).ok(),
        }
    }
}

/// What is listed after the HL7 part, in its order: the order in which pieces are joined (wire reference §2.3).
pub fn listed(manifest: &[Item]) -> Vec<Listed> {
    let one = |item: &Item| Listed {
        id: item.id.as_deref().map(DocumentId::new),
        href: item.href.clone(),
        description: Description::parse(&item.description),
    };
    manifest.iter().skip(1).map(one).collect()
}

/// Whether anything listed comes by a message of its own: then an extract is answered with a Continue (LM32), and a COPC
/// that is none is an index.
pub fn has_messages(manifest: &[Item]) -> bool {
    manifest.iter().any(|item| matches!(item.href, Href::Message(_)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    fn item(id: Option<&str>, href: Href, description: &str) -> Item {
        Item { id: id.map(str::to_owned), href, description: description.to_owned() }
    }

    #[test]
    fn one_leading_underscore_and_case_do_not_tell_documents_apart() {
        let id = DocumentId::new;
        assert_eq!(id("_5A1B"), id("5a1b"), "AR11: bare in HL7, and in some manifests");
        assert_ne!(id("__5A1B"), id("5A1B"), "one, and no more");
        assert_ne!(id("_5A1B"), id("A1B"), "whoever cuts the first character always corrupts bare ones");
        assert_eq!((id("_5a1b").verbatim(), id("_5a1b").bare()), ("_5a1b", "5a1b"));
        assert_eq!(HashSet::from([id("_5A1B"), id("5a1b")]).len(), 1, "equal things hash alike");
    }

    #[test]
    fn everything_after_the_hl7_part_is_listed_in_order() {
        let manifest = [
            item(None, Href::Part("p1@x".to_owned()), "HL7 payload"),
            item(
                Some("_D2"),
                Href::Message("28B31-4245 ".to_owned()),
                "Filename=\"b.txt\" LargeAttachment=Yes",
            ),
            item(Some("D1"), Href::Part("a1@x".to_owned()), "a letter.pdf"),
            item(None, Href::Message("a b".to_owned()), ""),
        ];
        let listed = listed(&manifest);
        let names: Vec<&str> = listed.iter().map(|it| it.description.filename.as_str()).collect();
        assert_eq!(names, ["b.txt", "a letter.pdf", ""]);
        let messages: Vec<_> = listed.iter().map(Listed::message_id).collect();
        assert_eq!(
            messages,
            [MessageId::parse("28B31-4245").ok(), None, None],
            "an unusable mid names nothing"
        );
        assert_eq!(listed[0].id, Some(DocumentId::new("D2")));
        assert!(listed[0].description.large_attachment && has_messages(&manifest));
        assert!(!has_messages(&manifest[..1]));
    }

    #[test]
    fn what_is_listed_prints_no_file_name() {
        let manifest = [
            item(None, Href::Part("p1@x".to_owned()), "HL7 payload"),
            item(Some("_D2"), Href::Message("F0".to_owned()), "Filename=\"Quillfeather.pdf\" Compressed=No"),
            item(None, Href::Part("a1@x".to_owned()), "Quillfeather 9990000018.pdf"),
        ];
        let printed = format!("{:?} {manifest:?}", listed(&manifest));
        assert!(printed.contains("DocumentId(_D2)"), "{printed}");
        assert!(!printed.contains("Quillfeather") && !printed.contains("9990000018"), "{printed}");
    }
}
