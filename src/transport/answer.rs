//! What was observed when a message was posted: the input of `classify`, which says what it means.

/// One attempt's observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Answer {
    /// Name, connection or handshake failed, or timed out: no octet of the message left (wire §1.5 row 1).
    Unreachable {
        /// In an operator's words.
        why: String,
    },
    /// The certificate at the other end was not acceptable, or ours was refused: nothing was taken (row 2).
    TlsIdentity {
        /// In an operator's words.
        why: String,
    },
    /// The connection broke, or time ran out, after the message had begun to leave: its fate is unknown (row 3).
    Broken {
        /// In an operator's words.
        why: String,
    },
    /// An HTTP answer arrived whole (rows 4 to 28).
    Reply(Reply),
}

/// An HTTP answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// The Content-Type, if there was a readable one.
    pub content_type: Option<String>,
    /// Retry-After, as written.
    pub retry_after: Option<String>,
    /// The body, within the limit.
    pub body: Vec<u8>,
}
