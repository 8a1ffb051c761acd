//! How large a document may be before we refuse to look at it, and every reason for which we refuse one.
//!
//! Nothing here reads XML: see `parse`.

/// The budgets of one document. Every one is checked while reading, before memory or time is spent beyond it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct XmlLimits {
    /// Octets of the document, as received and as decoded.
    pub octets: usize,
    /// Elements inside one another.
    pub depth: usize,
    /// Elements, comments and processing instructions together.
    pub nodes: usize,
    /// Namespace declarations in the whole document.
    pub declarations: usize,
    /// Namespace declarations in scope at one place; each name is looked up among these.
    pub bindings: usize,
    /// Attributes, declarations included, of one element.
    pub attributes: usize,
    /// Octets of one attribute value.
    pub attribute_octets: usize,
}

impl XmlLimits {
    /// For ebXML envelopes: wire reference §6.2(15). An envelope with a hundred attachments is about 60 KB, so
    /// these leave room for peers and none for attacks on canonicalisation.
    pub const fn envelope() -> Self {
        Self {
            octets: 4 << 20,
            depth: 64,
            nodes: 10_000,
            declarations: 256,
            bindings: 64,
            attributes: 64,
            attribute_octets: 64 << 10,
        }
    }

    /// For HL7 payloads: a large record is some tens of megabytes and may declare its namespace on every element.
    pub const fn payload() -> Self {
        Self {
            octets: 64 << 20,
            depth: 256,
            nodes: 2_000_000,
            declarations: 2_000_000,
            bindings: 64,
            attributes: 128,
            attribute_octets: 8 << 20,
        }
    }
}

/// Why a document is refused. Carries positions and never content.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum XmlFault {
    /// Longer than the limit.
    #[error("the XML document is larger than the limit")]
    Octets,
    /// Elements nested deeper than the limit.
    #[error("the XML document is nested deeper than the limit")]
    Depth,
    /// More elements, comments and instructions than the limit.
    #[error("the XML document has more elements than the limit")]
    Nodes,
    /// More namespace declarations than the limit.
    #[error("the XML document declares more namespaces than the limit")]
    Declarations,
    /// More attributes on one element than the limit.
    #[error("an XML element has more attributes than the limit")]
    Attributes,
    /// An attribute value longer than the limit.
    #[error("an XML attribute is longer than the limit")]
    AttributeOctets,
    /// Character data between two tags longer than the limit (only where no tree is built).
    #[error("the XML document has a longer text than the limit")]
    TextOctets,
    /// A document type declaration: refused always (wire reference §3.1, §6.2(9)).
    #[error("the XML document has a document type declaration")]
    Dtd,
    /// A reference to an entity other than the five predefined, or to a character XML does not allow.
    #[error("the XML document refers to an entity that is not defined, at octet {0}")]
    Entity(u64),
    /// The octets are not text in the encoding they claim, or the encoding is none we read.
    #[error("the XML document is not in a character encoding that can be read")]
    Encoding,
    /// A prefix that no declaration binds, or a declaration the namespaces recommendation forbids.
    #[error("the XML document breaks the rules of namespaces at octet {0}")]
    Namespace(u64),
    /// Two attributes of one element with the same name.
    #[error("an XML element repeats an attribute, at octet {0}")]
    DuplicateAttribute(u64),
    /// Not well-formed in any other way.
    #[error("the XML document is not well-formed at octet {0}")]
    Malformed(u64),
}
