use super::*;
use crate::model::{Asid, MessageId, OdsCode, Timestamp};
use crate::packet::envelope::{Href, Item};
use crate::packet::hl7::Hl7Fault;

fn ours(content: CopcContent) -> Copc {
    Copc {
        message_id: MessageId::derived(&["copc"]),
        creation: Timestamp::parse("2026-07-01T09:00:00+01:00").unwrap(),
        to_asid: Asid::parse("200000000149").unwrap(),
        from_asid: Asid::parse("200000001161").unwrap(),
        to_ods: OdsCode::parse("GPX01").unwrap(),
        from_ods: OdsCode::parse("HMP01").unwrap(),
        content,
    }
}

fn extract() -> MessageId {
    MessageId::derived(&["extract"])
}

fn leave() -> String {
    String::from_utf8(ours(CopcContent::Continue { refers_to: extract() }).write()).unwrap()
}

fn part(name: &str) -> String {
    String::from_utf8(ours(CopcContent::Part { name: name.to_owned() }).write()).unwrap()
}

fn read(text: &str) -> Result<ReadCopc, Hl7Fault> {
    ReadCopc::read_labelled(text.as_bytes(), None)
}

/// A manifest of the HL7 part and these.
fn manifest(hrefs: &[Href]) -> Vec<Item> {
    let hl7 = Href::Part("p1@hmp01".to_owned());
    let item = |href: &Href| Item { id: None, href: href.clone(), description: String::new() };
    std::iter::once(&hl7).chain(hrefs).map(item).collect()
}

#[test]
fn what_is_written_is_read_back() {
    for text in [leave(), part("a.pdf")] {
        let copc = read(&text).unwrap();
        let own = MessageId::derived(&["copc"]);
        assert_eq!(copc.wrapper_id, own);
        assert_eq!((copc.payload_id, copc.message_id), (Some(own.clone()), Some(own)), "LM app. 4: both");
        assert_eq!(copc.from_ods, OdsCode::parse("HMP01").ok());
        assert_eq!(copc.recipients, [OdsCode::parse("GPX01").unwrap()]);
        assert_eq!(copc.receiver_asid, Asid::parse("200000000149").ok());
        assert_eq!(copc.sender_asid, Asid::parse("200000001161").ok());
        assert!(text.contains(r#"<creationTime value="20260701080000"/>"#), "UTC");
        assert!(!text.contains("> <") && !text.contains(">\n<"), "TPP fails on white space between elements");
    }
    let acknowledged = read(&leave()).unwrap().acknowledged;
    assert_eq!(
        acknowledged,
        Some(Acknowledged { id: Some(extract()), other_id: None }),
        "LM32: the extract, twice"
    );
    assert_eq!(read(&part("a.pdf")).unwrap().acknowledged, None);
}

#[test]
fn a_continue_is_as_both_captures_have_it() {
    let text = leave();
    for said in [
        r#"<versionCode code="V3NPfIT3.0"/>"#,
        r#"extension="RCMR_MT000002GB01""#,
        r#"<acknowledgementDetail typeCode="IF"><code code="0""#,
        "<subject>Continue Acknowledgement</subject>",
    ] {
        assert!(text.contains(said), "C17: {said} is in {text}");
    }
    assert_eq!(
        text.matches(&format!("<id root=\"{}\"/>", extract())).count(),
        2,
        "messageRef and acknowledgedMessage"
    );
}

#[test]
fn the_kind_is_told_by_the_answer_then_by_the_manifest() {
    let (cid, mid) = (Href::Part("a1@hmp01".to_owned()), Href::Message("F1".to_owned()));
    let kind = |text: &str, hrefs: &[Href]| read(text).unwrap().kind(&manifest(hrefs));
    let leave = leave();
    let continues = CopcKind::Continue { refers_to: Some(extract()) };
    assert_eq!(kind(&leave, &[]), continues);
    assert_eq!(kind(&leave, std::slice::from_ref(&mid)), continues, "§1.2: the first that holds");
    let named_otherwise = part("x").replace("Attachment: x", "Continue Acknowledgement");
    assert_eq!(kind(&named_otherwise, std::slice::from_ref(&cid)), CopcKind::Part, "never by the subject");
    assert_eq!(kind(&part("x"), &[]), CopcKind::Part, "never by counting attachments");
    assert_eq!(kind(&part("x"), std::slice::from_ref(&mid)), CopcKind::Index);
    assert_eq!(kind(&part("x"), &[cid, mid]), CopcKind::Index, "C16: its first chunk inside");
}

#[test]
fn both_forms_of_the_continue_are_read() {
    let specified = leave().replace("RCMR_MT000002GB01", "COPC_MT000001UK01");
    assert_eq!(read(&specified), read(&leave()), "C17: the message type of the LM schema");
    let prefixed = leave()
        .replace("<Gp2gpfragment xmlns=", "<gp:Gp2gpfragment xmlns:gp=")
        .replace("</Gp2gpfragment>", "</gp:Gp2gpfragment>")
        .replace("<acknowledgedMessage><id", "\n<gp:acknowledgedMessage>\n<gp:id")
        .replace("</acknowledgedMessage>", "</gp:acknowledgedMessage>");
    assert_eq!(read(&prefixed), read(&leave()), "fragments in HL7's namespace mean the same");
    let by_extract = leave().replacen(&extract().to_string(), "7DFAECD9", 1);
    let acknowledged = read(&by_extract).unwrap().acknowledged.unwrap();
    assert_eq!(acknowledged.id, Some(extract()));
    assert_eq!(acknowledged.other_id, MessageId::parse("7DFAECD9").ok(), "kept, since either may match");
    let only_reference = leave().replace("<acknowledgedMessage><id", "<acknowledgedMessage><x");
    let acknowledged = read(&only_reference).unwrap().acknowledged.unwrap();
    assert_eq!(acknowledged, Acknowledged { id: Some(extract()), other_id: None }, "messageRef says it too");
}

#[test]
fn what_peers_leave_empty_is_none() {
    let empty = part("x")
        .replace("<Recipient>GPX01</Recipient>", "<Recipient/><Recipient>__TO_NACS__</Recipient>")
        .replace("<From>HMP01</From>", "<From/>")
        .replace("<message-id>", "<message-id>a b ")
        .replacen("PayloadInformation xmlns", "PayloadInformation xmlns:v='urn:v' v:a='b' xmlns", 1);
    let copc = read(&empty).unwrap();
    assert_eq!(
        (copc.from_ods, copc.recipients, copc.message_id),
        (None, Vec::new(), None),
        "as INPS and GPM write"
    );
    assert_eq!(copc.payload_id, Some(MessageId::derived(&["copc"])));
    let wide = part("x").replace("<Recipient>GPX01", "<Recipient>\n hmp02 </Recipient><Recipient>\tGPX01");
    let found: Vec<String> = read(&wide).unwrap().recipients.iter().map(ToString::to_string).collect();
    assert_eq!(found, ["HMP02", "GPX01"]);
}

#[test]
fn what_is_no_copc_is_refused_by_name() {
    let whole = part("x");
    let (from, to) = (whole.find("<PayloadInformation").unwrap(), whole.find("</subject></Control").unwrap());
    let twice = whole.replace("</subject></Control", &format!("{}</subject></Control", &whole[from..to]));
    let rows = [
        (whole.replace("COPC_IN000001UK01", "COPC_IN000002UK01"), Hl7Fault::Other("COPC_IN000001UK01")),
        ("<COPC_IN000001UK01/>".to_owned(), Hl7Fault::Other("COPC_IN000001UK01")),
        (whole.replace("PayloadInformation", "Payload"), Hl7Fault::Missing("PayloadInformation")),
        (twice, Hl7Fault::Contradiction("PayloadInformation")),
        (whole.replacen("<id root=\"", "<id root=\"a ", 1), Hl7Fault::Unusable("id/@root")),
        (whole.replacen("<id root=", "<id other=", 1), Hl7Fault::Missing("id/@root")),
    ];
    for (text, expected) in rows {
        assert_eq!(read(&text), Err(expected), "{text}");
    }
    assert!(matches!(read("<a>"), Err(Hl7Fault::Xml(_))));
    for negative in ["AE", "AR"] {
        let refused = read(&leave().replace("typeCode=\"AA\"", &format!("typeCode=\"{negative}\"")));
        let expected = Hl7Fault::Unusable("Gp2gpfragment/Message/acknowledgement/@typeCode");
        assert_eq!(refused, Err(expected), "{negative} gives no leave");
    }
}

#[test]
fn a_name_is_written_as_it_is_and_as_a_uri_and_never_printed() {
    let text = part("Quillfeather: 100% [a] #1 & <b>.pdf");
    assert!(
        text.contains("<subject>Attachment: Quillfeather: 100% [a] #1 &amp; &lt;b&gt;.pdf</subject>"),
        "{text}"
    );
    assert!(
        text.contains(r#"<reference value="Quillfeather%3A 100%25 %5Ba%5D %231 &amp; &lt;b&gt;.pdf"/>"#),
        "{text}"
    );
    let long = part(&"é".repeat(10_000));
    assert!(long.len() < 5_000, "a name has a limit");
    let name = "Quillfeather.pdf".to_owned();
    let printed = format!("{:?} {:?}", ours(CopcContent::Part { name }), read(&text).unwrap());
    assert!(!printed.contains("Quillfeather"), "{printed}");
    let index = MessageId::parse("F0").unwrap();
    assert_eq!(fragment_name(&index, 1), "F0_1.messageattachment", "as captured");
}
