//! What a file is, from its first octets.
//!
//! Only enough to catch an attachment that is not what its record says; it is no judge of what a file may do.

/// A kind of file that shows itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FileType {
    /// Portable Document Format.
    Pdf,
    /// PNG image.
    Png,
    /// GIF image.
    Gif,
    /// JPEG image.
    Jpeg,
    /// TIFF image.
    Tiff,
    /// Rich Text Format.
    Rtf,
    /// The container of Word documents before 2007.
    OleDocument,
    /// ZIP, and what is built on it: Word documents since 2007.
    Zip,
    /// gzip.
    Gzip,
    /// MP3 sound.
    Mp3,
    /// Sun sound.
    BasicAudio,
    /// WAV sound.
    Wave,
    /// MPEG video.
    MpegVideo,
    /// HTML.
    Html,
    /// XML.
    Xml,
    /// A program for Windows or Linux.
    Program,
    /// Text of some kind.
    Text,
    /// Nothing at all.
    Empty,
    /// None of these.
    Unknown,
}

/// First octets and what they show, the longest first where two begin alike.
const SIGNS: &[(&[u8], FileType)] = &[
    (b"%PDF-", FileType::Pdf),
    (b"\x89PNG\r\n\x1a\n", FileType::Png),
    (b"GIF87a", FileType::Gif),
    (b"GIF89a", FileType::Gif),
    (b"\xff\xd8\xff", FileType::Jpeg),
    (b"II*\0", FileType::Tiff),
    (b"MM\0*", FileType::Tiff),
    (b"{\\rtf", FileType::Rtf),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", FileType::OleDocument),
    (b"PK\x03\x04", FileType::Zip),
    (b"\x1f\x8b", FileType::Gzip),
    (b"ID3", FileType::Mp3),
    (b"\xff\xfb", FileType::Mp3),
    (b".snd", FileType::BasicAudio),
    (b"\0\0\x01\xba", FileType::MpegVideo),
    (b"\0\0\x01\xb3", FileType::MpegVideo),
    (b"MZ", FileType::Program),
    (b"\x7fELF", FileType::Program),
];

impl FileType {
    /// How many octets are looked at: markup may begin after a long comment, nothing else needs as many.
    pub const LOOKS_AT: usize = 1024;

    /// Looks at the first octets of a file.
    pub fn of(head: &[u8]) -> Self {
        let head = &head[..head.len().min(Self::LOOKS_AT)];
        if head.is_empty() {
            return Self::Empty;
        }
        let is_text = looks_like_text(head);
        for (sign, kind) in SIGNS {
            // A letter that begins with "MZ" or "ID3" is still a letter.
            let short = sign.len() <= 3 && sign.is_ascii() && is_text;
            if head.starts_with(sign) && !short {
                return *kind;
            }
        }
        if head.starts_with(b"RIFF") && head.get(8..12) == Some(b"WAVE") {
            return Self::Wave;
        }
        if is_text { markup(head) } else { Self::Unknown }
    }

    /// Its media type.
    pub fn media_type(self) -> &'static str {
        match self {
            Self::Pdf => "application/pdf",
            Self::Png => "image/png",
            Self::Gif => "image/gif",
            Self::Jpeg => "image/jpeg",
            Self::Tiff => "image/tiff",
            Self::Rtf => "text/rtf",
            Self::OleDocument => "application/msword",
            Self::Zip => "application/zip",
            Self::Gzip => "application/gzip",
            Self::Mp3 => "audio/mpeg",
            Self::BasicAudio => "audio/basic",
            Self::Wave => "audio/wav",
            Self::MpegVideo => "video/mpeg",
            Self::Html => "text/html",
            Self::Xml => "application/xml",
            Self::Program => "application/x-executable",
            Self::Text => "text/plain",
            Self::Empty | Self::Unknown => "application/octet-stream",
        }
    }

    /// Whether content that shows this may truthfully be declared as `media_type`. Types without a sign of their
    /// own make no claim that could be checked, except that a program is never one of them.
    pub fn agrees_with(self, media_type: &str) -> bool {
        let text = media_type.starts_with("text/");
        match media_type {
            "application/octet-stream" => true,
            "application/pdf" => self == Self::Pdf,
            "image/png" => self == Self::Png,
            "image/gif" => self == Self::Gif,
            "image/jpeg" | "image/jpg" | "image/pjpeg" => self == Self::Jpeg,
            "image/tiff" | "image/tif" => self == Self::Tiff,
            "text/rtf" | "application/rtf" => self == Self::Rtf,
            "application/msword" => matches!(self, Self::OleDocument | Self::Rtf),
            "application/gzip" | "application/x-gzip" => self == Self::Gzip,
            "application/zip" => self == Self::Zip,
            "audio/wav" | "audio/x-wav" => self == Self::Wave,
            "application/xml" | "text/xml" => matches!(self, Self::Xml | Self::Html | Self::Text),
            _ if text => matches!(self, Self::Text | Self::Html | Self::Xml | Self::Rtf | Self::Empty),
            _ if media_type.starts_with("application/vnd.openxmlformats-") => self == Self::Zip,
            _ => self != Self::Program,
        }
    }
}

/// Printable, in UTF-8 or an eight-bit alphabet, or UTF-16 with its mark.
fn looks_like_text(head: &[u8]) -> bool {
    let wide = head.starts_with(b"\xff\xfe") || head.starts_with(b"\xfe\xff");
    wide || !head.iter().any(|b| matches!(b, 0..=8 | 14..=26 | 28..=31))
}

fn markup(head: &[u8]) -> FileType {
    let head = head.strip_prefix(b"\xef\xbb\xbf").unwrap_or(head).trim_ascii_start();
    let begins = |sign: &[u8]| head.get(..sign.len()).is_some_and(|h| h.eq_ignore_ascii_case(sign));
    if begins(b"<!doctype html") || begins(b"<html") {
        FileType::Html
    } else if begins(b"<?xml") {
        FileType::Xml
    } else {
        FileType::Text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_show_what_they_are() {
        let rows: &[(&[u8], FileType)] = &[
            (b"%PDF-1.7 ...", FileType::Pdf),
            (b"\xff\xd8\xff\xe0\0\x10JFIF", FileType::Jpeg),
            (b"{\\rtf1 hello}", FileType::Rtf),
            (b"  <!DOCTYPE HTML><p>", FileType::Html),
            (b"\xef\xbb\xbf<?xml version='1.0'?>", FileType::Xml),
            (b"Dear doctor", FileType::Text),
            (b"MZ is how this letter begins", FileType::Text),
            (b"MZ\x90\0\x03\0\0\0", FileType::Program),
            (b"RIFF\x24\0\0\0WAVEfmt ", FileType::Wave),
            (b"\0\x01\x02", FileType::Unknown),
            (b"", FileType::Empty),
        ];
        for (head, kind) in rows {
            assert_eq!(FileType::of(head), *kind);
        }
    }

    #[test]
    fn a_declared_type_is_believed_unless_the_content_shows_otherwise() {
        assert!(FileType::Text.agrees_with("text/plain"));
        assert!(FileType::Rtf.agrees_with("application/msword"), "Word wrote RTF under that name for years");
        assert!(FileType::Unknown.agrees_with("audio/basic"), "headerless sound is legal");
        assert!(
            FileType::Zip
                .agrees_with("application/vnd.openxmlformats-officedocument.wordprocessingml.document")
        );
        assert!(!FileType::Program.agrees_with("application/pdf"));
        assert!(!FileType::Program.agrees_with("audio/basic"));
        assert!(!FileType::Html.agrees_with("image/png"));
        assert!(!FileType::Pdf.agrees_with("text/plain"));
        assert!(!FileType::Empty.agrees_with("application/pdf"));
    }
}
