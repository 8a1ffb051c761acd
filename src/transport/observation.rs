//! What was observed when a message was posted. What it means is `classify`'s to say, once the body has been read.

use std::time::Duration;

use crate::model::Timestamp;

/// One attempt's observation.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observation {
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

impl Reply {
    /// How long the server asked us to wait: Retry-After as a number of seconds or as a date. Nothing when it is
    /// neither; at most a day, since no contract's window lies beyond what a busy server should ask for.
    pub fn wait(&self, now: Timestamp) -> Option<Duration> {
        let text = self.retry_after.as_deref()?.trim();
        let asked = match text.parse::<u64>() {
            Ok(seconds) => Duration::from_secs(seconds),
            Err(_) => {
                let date = jiff::fmt::rfc2822::parse(text).ok()?;
                Timestamp::from_millis(date.timestamp().as_millisecond()).since(now)
            }
        };
        Some(asked.min(Duration::from_secs(86_400)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = Timestamp::parse("2026-03-02T09:00:00Z").unwrap();
        let wait = |text: &str| {
            let retry_after = Some(text.to_owned());
            Reply { status: 503, content_type: None, retry_after, body: vec![] }.wait(now)
        };
        assert_eq!(wait(" 120 "), Some(Duration::from_secs(120)));
        assert_eq!(wait("Mon, 02 Mar 2026 09:01:30 GMT"), Some(Duration::from_secs(90)));
        assert_eq!(wait("Sun, 01 Mar 2026 09:00:00 GMT"), Some(Duration::ZERO), "a moment that has passed");
        assert_eq!(wait("999999999"), Some(Duration::from_secs(86_400)));
        assert_eq!(wait("soon"), None);
        assert_eq!(wait("-5"), None);
    }
}
