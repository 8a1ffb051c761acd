//! The value of a Content-Type: a type and its parameters, quoted or not, in any order (wire reference §2.2).
//!
//! Comments and continued parameters (RFC 2231) are not read: no peer writes them.

/// A Content-Type taken apart.
pub(super) struct ContentType {
    /// `type/subtype`, lower case.
    pub(super) media: String,
    parameters: Vec<(String, String)>,
}

/// A parameter may be absent, given, or given twice.
pub(super) enum Parameter<'t> {
    Absent,
    Once(&'t str),
    Repeated,
}

impl ContentType {
    /// `None` when a quote is never closed.
    pub(super) fn parse(value: &str) -> Option<Self> {
        let mut pieces = pieces(value)?.into_iter();
        let media = pieces.next().unwrap_or_default().trim().to_ascii_lowercase();
        let parameters = pieces
            .filter_map(|piece| {
                let (name, value) = piece.split_once('=')?;
                Some((name.trim().to_ascii_lowercase(), unquoted(value.trim())))
            })
            .collect();
        Some(Self { media, parameters })
    }

    pub(super) fn parameter(&self, name: &str) -> Parameter<'_> {
        let mut found = self.parameters.iter().filter(|(given, _)| given == name);
        match (found.next(), found.next()) {
            (None, _) => Parameter::Absent,
            (Some((_, value)), None) => Parameter::Once(value),
            (Some(_), Some(_)) => Parameter::Repeated,
        }
    }

    /// The first value of a parameter, where nothing depends on there being one only.
    pub(super) fn first(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(given, _)| given == name).map(|(_, value)| value.as_str())
    }
}

/// What stands between semicolons that are not inside quotes.
fn pieces(value: &str) -> Option<Vec<&str>> {
    let (mut pieces, mut begin) = (Vec::new(), 0);
    let (mut quoted, mut escaped) = (false, false);
    for (at, octet) in value.bytes().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b';' if !quoted => {
                pieces.push(&value[begin..at]);
                begin = at + 1;
            }
            _ => {}
        }
    }
    pieces.push(&value[begin..]);
    (!quoted).then_some(pieces)
}

fn unquoted(value: &str) -> String {
    let Some(inner) = value.strip_prefix('"').and_then(|v| v.strip_suffix('"')) else {
        return value.to_owned();
    };
    let mut out = String::with_capacity(inner.len());
    let mut chars = inner.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.extend(chars.next()),
            c => out.push(c),
        }
    }
    out
}

/// A Content-ID, or a `start` that names one, without its angle brackets; `None` when it is not one.
pub(super) fn content_id(value: &str) -> Option<&str> {
    let value = value.trim();
    let inner = match value.strip_prefix('<') {
        Some(rest) => rest.strip_suffix('>')?.trim(),
        None => value,
    };
    let good = !inner.is_empty() && inner.bytes().all(|b| b.is_ascii_graphic() && !matches!(b, b'<' | b'>'));
    good.then_some(inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boundary(value: &str) -> Option<String> {
        match ContentType::parse(value)?.parameter("boundary") {
            Parameter::Once(boundary) => Some(boundary.to_owned()),
            Parameter::Absent | Parameter::Repeated => None,
        }
    }

    #[test]
    fn parameters_are_read_in_any_order_quoted_or_not() {
        // Wire §2.2: TPP, MHS.
        let tpp = r#"multipart/related;boundary="--=_MIME-Boundary";type="text/xml";charset="UTF-8";start="soappart""#;
        let read = ContentType::parse(tpp).unwrap();
        assert_eq!((read.media.as_str(), read.first("start")), ("multipart/related", Some("soappart")));
        assert_eq!(boundary(tpp).as_deref(), Some("--=_MIME-Boundary"));
        assert_eq!(
            boundary("Multipart/Related; TYPE=text/xml; Boundary=a;b=\"x;boundary=y\"").as_deref(),
            Some("a")
        );
        assert_eq!(boundary(r#"x/y; boundary="a\"b;c""#).as_deref(), Some("a\"b;c"));
        assert_eq!(boundary("x/y; boundary=a; boundary=b"), None, "which of two is meant is anyone's guess");
        assert!(ContentType::parse(r#"x/y; boundary="a"#).is_none());
    }

    #[test]
    fn content_ids_come_with_and_without_brackets() {
        assert_eq!(content_id("<ContentRoot>"), Some("ContentRoot"));
        assert_eq!(
            content_id(" Attachment1@e-mis.com/EMISWeb/GP2GP2.2A "),
            Some("Attachment1@e-mis.com/EMISWeb/GP2GP2.2A")
        );
        for bad in ["", "<>", "<a", "a>", "a b", "<a><b>"] {
            assert_eq!(content_id(bad), None, "{bad:?} names nothing");
        }
    }
}
