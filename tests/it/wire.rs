//! Messages as peers sent them, and ours as other people's programs see them (wire reference §2, §4.4).

use std::path::{Path, PathBuf};

use throughcare::model::{Asid, MessageId, NhsNumber, OdsCode, Timestamp};
use throughcare::packet::description::Description;
use throughcare::packet::hl7::{
    Answer, ApplicationAcknowledgement, Copc, CopcContent, EhrRequest, ExtractHead, ExtractInteraction,
    ReadAcknowledgement, ReadCopc, ReadEhrRequest,
};
use throughcare::packet::mime::{MimeFault, MimeLimits, Part, Strictness, Transfer, read};

use crate::tools::{self, shared};

/// The captures, or `None`, said plainly, where they are not.
pub fn captures() -> Option<PathBuf> {
    shared("fixtures/conversations")
}

/// Every file below.
pub fn files(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(files(&path));
        } else {
            found.push(path);
        }
    }
    found.sort();
    found
}

/// A capture that is a MIME message: its Content-Type and its body, some below an HTTP head or a broker's frame.
pub struct Capture {
    name: String,
    content_type: String,
    body: Vec<u8>,
}

/// Takes a file for a MIME message; none where it is none.
pub fn capture(path: &Path) -> Option<Capture> {
    let octets = std::fs::read(path).unwrap();
    let text = String::from_utf8_lossy(&octets);
    let name = path.file_name().unwrap().to_string_lossy().into_owned();
    let head = text.lines().take_while(|line| !line.trim().is_empty());
    let labelled =
        head.clone().find_map(|line| line.strip_prefix("Content-Type: multipart").map(str::to_owned));
    if let (true, Some(rest)) = (text.starts_with("POST "), labelled) {
        let after = text.find("\n\n").or_else(|| text.find("\r\n\r\n")).unwrap();
        let body = octets[after..].to_vec();
        return Some(Capture { name, content_type: format!("multipart{}", rest.trim()), body });
    }
    if let Some(at) = text.find("multipart/related;") {
        let quoted = &text[at..];
        let content_type =
            quoted.split("start=\"soappart\"").next().unwrap().to_owned() + "start=\"soappart\"";
        // What stands between the broker's frame and the first boundary has no line end.
        let first = quoted.find("----=_MIME-Boundary").unwrap();
        return Some(Capture { name, content_type, body: quoted.as_bytes()[first..].to_vec() });
    }
    let first = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    let boundary = first.strip_prefix("--").filter(|rest| !rest.starts_with('>'))?;
    let content_type = format!("multipart/related; boundary=\"{boundary}\"; type=\"text/xml\"");
    Some(Capture { name, content_type, body: octets })
}

/// Room for the pieces of a large message as well.
fn limits() -> MimeLimits {
    MimeLimits { message_bytes: 20_000_000, ..MimeLimits::default() }
}

/// The parts of a capture.
pub fn parts(capture: &Capture) -> Result<Vec<Part<'_>>, MimeFault> {
    read(&capture.content_type, &capture.body, Strictness::Tolerant, &limits())
}

#[test]
fn every_captured_message_comes_apart_or_is_refused_for_its_reason() {
    let Some(folder) = captures() else { return };
    let captures: Vec<Capture> = files(&folder).iter().filter_map(|path| capture(path)).collect();
    let mut seen = 0;
    for capture in &captures {
        seen += 1;
        let read = parts(capture);
        if capture.name.ends_with("skeleton.ebxml") {
            // As captured, its base64 follows the headers without a blank line.
            assert_eq!(read, Err(MimeFault::MalformedHeader { part: 3 }), "{}", capture.name);
            continue;
        }
        let parts = read.unwrap_or_else(|fault| panic!("{}: {fault}", capture.name));
        assert!(parts.len() >= 2, "{}: an envelope and a payload", capture.name);
        assert_eq!(parts[0].content_type, "text/xml", "{}: the envelope is the root", capture.name);
        let envelope = String::from_utf8_lossy(&parts[0].body);
        assert!(envelope.trim_end().ends_with(":Envelope>"), "{}: the whole envelope", capture.name);
        for part in &parts {
            let id = part.content_id.as_deref().expect("every captured part has a Content-ID");
            let named =
                id == parts[0].content_id.as_deref().unwrap() || envelope.contains(&format!("cid:{id}"));
            assert!(named, "{}: the Manifest names every part", capture.name);
        }
    }
    assert!(seen >= 9, "only {seen} captures are MIME messages");
}

#[test]
fn pieces_of_a_large_message_keep_their_base64_text() {
    let Some(folder) = captures() else { return };
    let piece = |name: &str| capture(&folder.join("large-message-example-2").join(name)).unwrap();
    let first = piece("COPC_IN000001UK01_23E1320C-455E-11E3-9C76-31DEF0104CB3_CompressedFragment0.ebxml");
    let second = piece("COPC_IN000001UK01_23EB6B3F-455E-11E3-9C76-31DEF0104CB3_CompressedFragment1.ebxml");
    let mut joined = Vec::new();
    for capture in [&first, &second] {
        for part in parts(capture).unwrap().into_iter().skip(2) {
            match part.transfer {
                Transfer::Base64(text) | Transfer::CutBase64(text) => joined.extend_from_slice(text),
                Transfer::Octets => panic!("{}: the piece is base64", capture.name),
            }
        }
    }
    let joined = [&b"--x\r\nContent-Transfer-Encoding: base64\r\n\r\n"[..], &joined, b"\r\n--x--"].concat();
    let whole = read("multipart/related; boundary=x", &joined, Strictness::Tolerant, &limits()).unwrap();
    assert_eq!(whole[0].body.len(), 1_215_082, "wire §2.3: the oracle's gzip octets");
    assert_eq!(whole[0].body[..2], [0x1f, 0x8b], "gzip");
}

#[test]
fn descriptions_of_the_captures_are_read() {
    let Some(folder) = captures() else { return };
    let path = folder.join(
        "large-message-example-2/RCMR_IN030000UK06_74799658-43DF-11E3-805D-BBA66E7A9031_skeleton.ebxml",
    );
    let text = String::from_utf8_lossy(&std::fs::read(path).unwrap()).into_owned();
    let after = text.split("<eb:Description xml:lang=\"en\">").nth(2).unwrap();
    let description = Description::parse(after.split("</eb:Description>").next().unwrap());
    assert!(description.is_skeleton() && description.compressed && !description.large_attachment);
    assert_eq!(description.content_type.as_deref(), Some("text/xml"));
}

#[test]
fn captured_acknowledgements_are_read() {
    let Some(folder) = captures() else { return };
    let expected = [
        ("inbound-samples/acknowledgement/MCCI_IN010000UK13_body_AA.xml", true, None),
        ("inbound-samples/acknowledgement/MCCI_IN010000UK13_body_AE.xml", false, Some("99")),
        ("inbound-samples/acknowledgement/MCCI_IN010000UK13_body_AR.xml", false, Some("18")),
        ("inbound-samples/acknowledgement/nack-MCCI_IN010000UK13_nack_payload.xml", false, Some("11")),
        ("inbound-samples/final-ack/MCCI_IN010000UK1313_payload.xml", true, None),
        ("inbound-samples/illogical/MCCI_IN010000UK13_payload.xml", true, None),
        ("tpp-gp2gp_process/07-tpp-response-ack.xml", true, None),
        ("tpp-gp2gp_process/07-tpp-response-error.xml", false, Some("18")),
    ];
    for (name, positive, code) in expected {
        let read = ReadAcknowledgement::read(&std::fs::read(folder.join(name)).unwrap()).unwrap();
        assert_eq!((read.positive, read.code.as_deref()), (positive, code), "{name}");
        assert!(read.refers_to.is_some() && read.other_code.is_none(), "{name}");
        assert_eq!(read.text.is_some(), code.is_some(), "{name}");
    }
    for (name, positive, code) in [
        ("errors/gp2gp-error.xml", false, Some("19")),
        ("patient/9442964410/gp2gp-acknowledgement.xml", true, None),
    ] {
        let capture = capture(&folder.join(name)).unwrap();
        let read = ReadAcknowledgement::read(&parts(&capture).unwrap()[1].body).unwrap();
        assert_eq!((read.positive, read.code.as_deref()), (positive, code), "{name}");
    }
}

#[test]
fn heads_of_captured_extracts_are_read() {
    let Some(folder) = captures() else { return };
    let bare = std::fs::read(folder.join("tpp-gp2gp_process/07-tpp-response-ehr.xml")).unwrap();
    let wrapped = capture(&folder.join("patient/9442964410/gp2gp-response.xml")).unwrap();
    for octets in [bare, parts(&wrapped).unwrap()[1].body.to_vec()] {
        let head = ExtractHead::read(&octets).unwrap();
        assert_eq!(head.interaction, ExtractInteraction::Uk06);
        assert_eq!(head.destination_ods.as_str(), "B86041");
        assert_eq!(head.receiver_asid.as_str(), "200000001161");
        assert!(head.request_id.is_some());
    }
}

#[test]
fn our_acknowledgements_satisfy_the_message_schema() {
    let Some(schema) = shared("schema/hl7/schema/MCCI_IN010000UK13.xsd") else { return };
    let folder = tempfile::tempdir().unwrap();
    let refusal =
        Answer::Refuse { code: "6".to_owned(), text: "Patient \"not\" registered <here> & now".to_owned() };
    for (name, verdict) in [("accept.xml", Answer::Accept), ("refuse.xml", refusal)] {
        let acknowledgement = ApplicationAcknowledgement {
            message_id: MessageId::derived(&["ack", name]),
            creation: Timestamp::parse("2026-03-02T09:00:00Z").unwrap(),
            to_asid: Asid::parse("200000000149").unwrap(),
            from_asid: Asid::parse("200000001161").unwrap(),
            refers_to: MessageId::derived(&["extract"]),
            verdict,
        };
        let path = folder.path().join(name);
        std::fs::write(&path, acknowledgement.write()).unwrap();
        let arguments = [
            "--noout".as_ref(),
            "--nonet".as_ref(),
            "--schema".as_ref(),
            schema.as_os_str(),
            path.as_os_str(),
        ];
        let Some(output) = tools::run("xmllint", arguments) else { return };
        assert!(output.status.success(), "{name}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

/// A small generator of our own, so that a failure is found again by its seed.
struct Dice(u64);

impl Dice {
    fn below(&mut self, limit: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 % limit.max(1) as u64) as usize
    }
}

fn ehr_request() -> EhrRequest {
    EhrRequest {
        message_id: MessageId::derived(&["request message"]),
        creation: Timestamp::from_millis(0),
        to_asid: Asid::parse("1").unwrap(),
        from_asid: Asid::parse("2").unwrap(),
        request_id: MessageId::derived(&["request"]),
        nhs_number: NhsNumber::parse("9990000018").unwrap(),
        requester_ods: OdsCode::parse("HMP01").unwrap(),
        sender_ods: OdsCode::parse("GPX01").unwrap(),
    }
}

fn leave_to_send() -> Copc {
    Copc {
        message_id: MessageId::derived(&["continue"]),
        creation: Timestamp::from_millis(0),
        to_asid: Asid::parse("1").unwrap(),
        from_asid: Asid::parse("2").unwrap(),
        to_ods: OdsCode::parse("GPX01").unwrap(),
        from_ods: OdsCode::parse("HMP01").unwrap(),
        content: CopcContent::Continue { refers_to: MessageId::derived(&["extract"]) },
    }
}

#[test]
fn nothing_that_arrives_damaged_makes_us_panic() {
    let message = "--b\r\nContent-Id: <root>\r\nContent-Type: text/xml; charset=\"UTF-8\"\r\n\r\n<a/>\r\n--b\r\n\
                   Content-ID:<x%41@y/z>\r\nContent-Transfer-Encoding: base64\r\n\r\naGVsbG8=\r\n--b\r\n\
                   Content-Transfer-Encoding: quoted-printable\r\n\r\na=3D=\r\nb\r\n--b--\r\n";
    let acknowledgement = ApplicationAcknowledgement {
        message_id: MessageId::derived(&["ack"]),
        creation: Timestamp::from_millis(0),
        to_asid: Asid::parse("1").unwrap(),
        from_asid: Asid::parse("2").unwrap(),
        refers_to: MessageId::derived(&["extract"]),
        verdict: Answer::Refuse { code: "11".to_owned(), text: "x".to_owned() },
    };
    let content_type = "multipart/related; boundary=\"b\"; type=text/xml; start=\"<root>\"";
    let description = "Filename=\"a = b\" ContentType=a/b Compressed=Yes Length=9 DomainData=\"x\"";
    let (request, leave) = (ehr_request().write(), leave_to_send().write());
    let seeds = [
        message.as_bytes(),
        &acknowledgement.write(),
        &request,
        &leave,
        content_type.as_bytes(),
        description.as_bytes(),
    ];
    let pool = b"\r\n \t-b=<>\"&;:%\\\0\xff\xc3A9/";
    for seed in 1..=4000u64 {
        let mut dice = Dice(seed.wrapping_mul(0x9E37_79B9_7F4A_7C15));
        let mut octets = seeds[dice.below(seeds.len())].to_vec();
        for _ in 0..=dice.below(4) {
            let at = dice.below(octets.len());
            match dice.below(4) {
                0 => octets.truncate(at),
                1 if !octets.is_empty() => octets[at] = pool[dice.below(pool.len())],
                2 => octets.insert(at, pool[dice.below(pool.len())]),
                _ if !octets.is_empty() => drop(octets.remove(at)),
                _ => {}
            }
        }
        let text = String::from_utf8_lossy(&octets);
        for strictness in [Strictness::Strict, Strictness::Tolerant] {
            let limits = MimeLimits { message_bytes: 4000, parts: 4, header_bytes: 200 };
            let as_body = read(content_type, &octets, strictness, &limits);
            let as_type = read(&text, message.as_bytes(), strictness, &limits);
            for parts in [as_body, as_type].into_iter().flatten() {
                assert!(!parts.is_empty() && parts.len() <= 4, "seed {seed}: within its limits");
            }
        }
        let _ = ReadAcknowledgement::read(&octets);
        let _ = ExtractHead::read(&octets);
        let _ = ReadEhrRequest::read_labelled(&octets, None);
        let _ = ReadCopc::read_labelled(&octets, None);
        let once = Description::parse(&text).to_string();
        assert_eq!(
            Description::parse(&once).to_string(),
            once,
            "seed {seed}: what we write is read as written"
        );
    }
}
