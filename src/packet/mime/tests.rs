//! What is read and refused, row by row of wire reference §2.2, and that what is written is read back.

use super::*;

const TYPE: &str = r#"multipart/related; boundary="b"; type="text/xml"; start="<root>""#;
const ROOT: &str = "--b\r\nContent-Id: <root>\r\nContent-Type: text/xml; charset=UTF-8\r\n\r\n<a/>\r\n";

fn tolerant(body: &str) -> Result<Vec<Part<'_>>, MimeFault> {
    read(TYPE, body.as_bytes(), Strictness::Tolerant, &MimeLimits::default())
}

fn strict(body: &str) -> Result<Vec<Part<'_>>, MimeFault> {
    read(TYPE, body.as_bytes(), Strictness::Strict, &MimeLimits::default())
}

fn second(headers: &str, body: &str) -> String {
    format!("{ROOT}--b\r\n{headers}\r\n{body}\r\n--b--\r\n")
}

#[test]
fn a_message_comes_apart_without_copying() {
    let message = second("Content-ID:<x>\r\ncontent-TYPE: Application/PDF\r\n", "octets\r\n\r\n--bc\r\n");
    let parts = tolerant(&message).unwrap();
    assert_eq!(parts.len(), 2);
    assert_eq!(parts[0].content_id.as_deref(), Some("root"));
    assert_eq!((parts[0].content_type.as_str(), parts[0].charset.as_deref()), ("text/xml", Some("UTF-8")));
    assert_eq!(parts[1].content_type, "application/pdf");
    assert!(matches!(parts[1].body, Cow::Borrowed(_)));
    assert_eq!(
        &*parts[1].body, b"octets\r\n\r\n--bc\r\n",
        "a longer text that begins like the boundary is content"
    );
}

#[test]
fn bare_line_feeds_are_read_and_refused_where_signed() {
    let message = second("Content-Id: <x>\r\n", "y");
    assert!(strict(&message).is_ok());
    let bare = message.replace("\r\n", "\n");
    assert_eq!(tolerant(&bare).unwrap()[1].body, tolerant(&message).unwrap()[1].body);
    assert_eq!(strict(&bare), Err(MimeFault::BareLineFeed { part: 1 }));
    let inside = second("Content-Id: <x>\r\n", "line\nline");
    assert!(strict(&inside).is_ok(), "content is not framing");
    let header = second("Content-Id: <x>\nContent-Type: a/b\r\n", "y");
    assert_eq!(strict(&header), Err(MimeFault::BareLineFeed { part: 2 }));
}

#[test]
fn xml_without_a_blank_line_before_it_is_read_and_refused_where_signed() {
    let message = "--b\r\nContent-Id: <root>\r\n\t <a/>\r\n--b--";
    assert_eq!(&*tolerant(message).unwrap()[0].body, b"\t <a/>");
    assert_eq!(strict(message), Err(MimeFault::MalformedHeader { part: 1 }));
    let folded = "--b\r\nContent-Id:\r\n <root>\r\n\r\n<a/>\r\n--b--";
    assert_eq!(tolerant(folded).unwrap()[0].content_id.as_deref(), Some("root"), "a header may be folded");
}

#[test]
fn transfer_encodings_are_undone() {
    let with = |encoding: &str, body: &str| {
        let message = second(&format!("Content-Transfer-Encoding: {encoding}\r\n"), body);
        tolerant(&message).map(|parts| parts[1].body.to_vec())
    };
    assert_eq!(with("BASE64", "aGVs\r\nbG8"), Ok(b"hello".to_vec()));
    assert_eq!(with("Quoted-Printable", "a=3Db"), Ok(b"a=b".to_vec()));
    assert_eq!(with("8BIT", "ab"), Ok(b"ab".to_vec()));
    assert_eq!(with("base64", "aGV*"), Err(MimeFault::BadBase64 { part: 2 }));
    assert_eq!(with("quoted-printable", "=zz"), Err(MimeFault::BadQuotedPrintable { part: 2 }));
    assert_eq!(with("x-uuencode", ""), Err(MimeFault::UnknownEncoding { part: 2 }));
    let partial = second("Content-Transfer-Encoding: base64\r\n", "aGVsbG8");
    assert_eq!(strict(&partial), Err(MimeFault::PartialBase64 { part: 2 }), "§6.2(13)");
    let cut = second("Content-Transfer-Encoding: base64\r\n", "aGVsb");
    assert!(tolerant(&cut).unwrap()[1].transfer == Transfer::CutBase64(b"aGVsb"));
}

#[test]
fn every_broken_frame_has_its_reason() {
    let limits = MimeLimits { message_bytes: 1000, parts: 2, header_bytes: 100 };
    let fault = |content_type: &str, body: &str| {
        read(content_type, body.as_bytes(), Strictness::Tolerant, &limits).unwrap_err()
    };
    let whole = second("Content-Id: <x>\r\n", "y");
    assert_eq!(fault(TYPE, &"x".repeat(1001)), MimeFault::MessageTooLarge);
    assert_eq!(fault("text/xml", &whole), MimeFault::NotMultipart);
    assert_eq!(fault("multipart/related; type=text/xml", &whole), MimeFault::Boundary);
    assert_eq!(fault("multipart/related; boundary=\"\"", &whole), MimeFault::Boundary);
    let long = format!("multipart/related; boundary={}", "x".repeat(71));
    assert_eq!(fault(&long, &whole), MimeFault::Boundary);
    assert_eq!(fault(TYPE, "no boundary"), MimeFault::NoParts);
    assert_eq!(fault(TYPE, "--b--\r\n"), MimeFault::NoParts);
    assert_eq!(fault(TYPE, whole.trim_end().trim_end_matches("--")), MimeFault::Unclosed);
    assert_eq!(fault(TYPE, ROOT), MimeFault::Unclosed);
    assert_eq!(fault(TYPE, &format!("{ROOT}{whole}")), MimeFault::TooManyParts);
    let wide = format!("X-Long: {}\r\n", "x".repeat(100));
    assert_eq!(fault(TYPE, &second(&wide, "")), MimeFault::HeaderTooLarge { part: 2 });
    for bad in ["no colon\r\n", "Content-Id: <a b>\r\n", "A: \u{1}\r\n", " first: folded\r\n"] {
        assert_eq!(fault(TYPE, &second(bad, "")), MimeFault::MalformedHeader { part: 2 }, "{bad:?}");
    }
    assert_eq!(fault(TYPE, &format!("{ROOT}--b\r\n--b--")), MimeFault::MalformedHeader { part: 2 });
    let twice = second("Content-Id: <x>\r\nContent-ID: <y>\r\n", "");
    assert_eq!(fault(TYPE, &twice), MimeFault::RepeatedHeader { part: 2 });
    let same = second("Content-Id: root\r\n", "");
    assert_eq!(fault(TYPE, &same), MimeFault::DuplicateContentId { part: 2 });
    let later = TYPE.replace("root", "x");
    assert_eq!(fault(&later, &whole), MimeFault::StartNamesLaterPart { part: 2 });
}

#[test]
fn a_start_without_brackets_or_without_its_part_leaves_the_first_as_root() {
    for start in ["start=root", "start=\"<root>\"", "start=\"\"", "start=\"<elsewhere>\"", ""] {
        let content_type = format!("multipart/related; charset=UTF-8; {start}; type=text/xml; boundary=b");
        let message = format!("{ROOT}--b--");
        let parts =
            read(&content_type, message.as_bytes(), Strictness::Tolerant, &MimeLimits::default()).unwrap();
        assert_eq!(parts[0].content_id.as_deref(), Some("root"), "{start:?}");
    }
}

#[test]
fn a_reference_finds_its_part_exactly_or_once_decoded() {
    let both =
        format!("{ROOT}--b\r\nContent-Id: <a%40x>\r\n\r\n\r\n--b\r\nContent-Id: <a@x>\r\n\r\n\r\n--b--");
    let parts = tolerant(&both).unwrap();
    let id = |cid: &str| part_named(&parts, cid).map(|part| part.and_then(|p| p.content_id.clone()));
    assert_eq!(id("a@x"), Ok(Some("a@x".to_owned())));
    assert_eq!(id("a%40x"), Err(MimeFault::AmbiguousReference), "§2.2: two hits are refused");
    assert_eq!(id("r%6Fot"), Ok(Some("root".to_owned())));
    assert_eq!(id("none"), Ok(None));
    assert_eq!(id("%"), Ok(None));
}

#[test]
fn what_is_written_is_read_back_in_the_strict_way() {
    let letter: Vec<u8> = (0..=255).cycle().take(1000).collect();
    let root = content_id("7D2F0A3C-5B1E-4C2A-9E4B-0123456789AB", "hmp01.example");
    let out = [
        OutPart {
            content_id: &root,
            content_type: "text/xml; charset=UTF-8",
            encoding: Encoding::EightBit,
            octets: b"<a>\n</a>\r\n",
        },
        OutPart {
            content_id: "x@y",
            content_type: carried_type("Application/PDF; name=x"),
            encoding: Encoding::Base64,
            octets: &letter,
        },
        OutPart { content_id: "z@y", content_type: "a/b", encoding: Encoding::Base64, octets: b"" },
    ];
    let written = write(&out, "M1");
    assert!(written == write(&out, "M1"), "a retry sends the same octets (§5.2)");
    let parts =
        read(&written.content_type, &written.body, Strictness::Strict, &MimeLimits::default()).unwrap();
    for (part, out) in parts.iter().zip(&out) {
        assert_eq!(part.content_id.as_deref(), Some(out.content_id));
        assert_eq!(&*part.body, out.octets);
    }
    assert_eq!(parts.len(), 3);
    let text = String::from_utf8_lossy(&written.body);
    assert_eq!(text.lines().filter(|line| line.len() == 76).count(), 1000 / 57, "76 columns");
    assert!(written.content_type.ends_with(&format!(r#"; type="text/xml"; start="<{root}>""#)));
}

#[test]
fn a_boundary_that_occurs_is_not_taken() {
    let part = |octets| OutPart {
        content_id: "x@y",
        content_type: "text/xml",
        encoding: Encoding::EightBit,
        octets,
    };
    let first = write(&[part(b"")], "M1");
    let hostile = write(&[part(&first.body)], "M1");
    assert_ne!(first.content_type, hostile.content_type);
    let parts =
        read(&hostile.content_type, &hostile.body, Strictness::Strict, &MimeLimits::default()).unwrap();
    assert_eq!(&*parts[0].body, &first.body[..]);
}

#[test]
fn names_and_types_that_peers_stumble_over_are_not_written() {
    let id = content_id("letter 1/\u{e9}:\r\nX: y", "host_1");
    assert!(id.bytes().all(|b| b.is_ascii_alphanumeric() || b".-@".contains(&b)), "{id}");
    assert_ne!(content_id("a_b", "h"), content_id("a b", "h"));
    assert_eq!(content_id("A-1", "h.x"), "A-1@h.x");
    assert_eq!(carried_type("IMAGE/JPEG"), "image/jpeg");
    assert_eq!(carried_type("application/x-gzip"), "application/octet-stream");
}
