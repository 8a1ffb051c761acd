//! What can be wrong with the form of a message, in words that name elements and ids and nobody.

/// What is wrong with a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Flaw {
    /// Not well-formed XML.
    #[error("the message is not well formed from line {line} on")]
    NotXml {
        /// The line, from 1, at which reading stopped.
        line: usize,
    },
    /// Another message, or none of HL7's.
    #[error("the message is no RCMR_IN030000UK06 or RCMR_IN030000UK07")]
    NoExtract,
    /// An id that is no upper-case UUID.
    #[error("the id of {element} is no upper-case UUID")]
    BadId {
        /// The element whose id it is.
        element: String,
    },
    /// Two elements with one id.
    #[error("the id {id} is on more than one element")]
    RepeatedId {
        /// The id.
        id: String,
    },
    /// A reference to an agent that is not in the directory.
    #[error("the agent {id} is not in the directory")]
    NoAgent {
        /// The id.
        id: String,
    },
    /// A link to a statement that is not in the message.
    #[error("the statement {id} is linked but not in the message")]
    NoStatement {
        /// The id.
        id: String,
    },
    /// An element that the schema has not here, or not at this place among its siblings.
    #[error("{element} does not belong there in {parent}")]
    Misplaced {
        /// The element.
        element: String,
        /// What it stands in.
        parent: String,
    },
    /// An element more often than it may be.
    #[error("there are too many of {element} in {parent}")]
    TooMany {
        /// The element.
        element: String,
        /// What it stands in.
        parent: String,
    },
    /// An element that must be there.
    #[error("{parent} has no {element}")]
    Missing {
        /// The element; where one of several must be there, all of them.
        element: String,
        /// What it should stand in.
        parent: String,
    },
    /// A label in a message that has none.
    #[error("{parent} has a confidentiality label, which RCMR_IN030000UK06 cannot carry")]
    Label {
        /// What is labelled.
        parent: String,
    },
    /// An attribute that is missing, unknown or not of its form.
    #[error("the attribute {attribute} of {element} is {wrong}")]
    Attribute {
        /// The attribute.
        attribute: String,
        /// Whose it is.
        element: String,
        /// What is wrong with it.
        wrong: Wrong,
    },
    /// Text between elements where none may be.
    #[error("{element} holds text, which it cannot")]
    Words {
        /// The element.
        element: String,
    },
}

/// What is wrong with an attribute.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Wrong {
    /// It must be there.
    #[error("missing")]
    Missing,
    /// It is none of the element's.
    #[error("unknown")]
    Unknown,
    /// Its value is not written as it must be.
    #[error("malformed")]
    Malformed,
}

/// A flaw and where it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// The elements from the outermost in, joined by slashes.
    pub path: String,
    /// Id of the innermost element around it that has one.
    pub id: Option<String>,
    /// What is wrong.
    pub flaw: Flaw,
}
