//! The messages of a conversation beside extract and signals: ours against the published schemas and against what
//! practices are known to take; captured ones as we read them; whole packets, signed (wire reference §4; gp2gp §1).

mod captured;
mod packets;

use std::path::Path;

use throughcare::model::{Asid, MessageId, NhsNumber, OdsCode, Timestamp};
use throughcare::packet::hl7::{Copc, CopcContent, EhrRequest, fragment_name};
use throughcare::packet::xml::{Document, Element, XmlLimits};

use crate::tools::{self, shared};

/// Names of documents as people give them: what XML, URIs or descriptions might stumble over.
const NAMES: [&str; 9] = [
    "letter.pdf",
    "",
    "12:30 Dr O'Neill = \"100% sure\" [copy] #1 & <2>.pdf",
    ":// a?b#c#d%zz",
    "\u{e9}\u{1F600} \u{0}\r\n.tif",
    "//host:port/[x",
    "C:\\letters\\a.doc",
    "%",
    "a]]>b",
];

fn request(message_id: &str, request_id: &str, at: &str) -> EhrRequest {
    EhrRequest {
        message_id: MessageId::parse(message_id).unwrap(),
        creation: Timestamp::parse(at).unwrap(),
        to_asid: Asid::parse("200000000149").unwrap(),
        from_asid: Asid::parse("200000001161").unwrap(),
        request_id: MessageId::parse(request_id).unwrap(),
        nhs_number: NhsNumber::parse("9990000018").unwrap(),
        requester_ods: OdsCode::parse("B86041").unwrap(),
        sender_ods: OdsCode::parse("M85019").unwrap(),
    }
}

fn copc(content: CopcContent) -> Copc {
    Copc {
        message_id: MessageId::derived(&["copc"]),
        creation: Timestamp::parse("2026-03-02T09:00:00Z").unwrap(),
        to_asid: Asid::parse("200000000149").unwrap(),
        from_asid: Asid::parse("200000001161").unwrap(),
        to_ods: OdsCode::parse("GPX01").unwrap(),
        from_ods: OdsCode::parse("HMP01").unwrap(),
        content,
    }
}

fn leave() -> Copc {
    copc(CopcContent::Continue { refers_to: MessageId::derived(&["extract"]) })
}

fn part(name: &str) -> Copc {
    copc(CopcContent::Part { name: name.to_owned() })
}

/// What xmllint says of it: nothing when it is valid; none when there is no xmllint.
fn fault(schema: &Path, octets: &[u8]) -> Option<Option<String>> {
    let folder = tempfile::tempdir().unwrap();
    let document = folder.path().join("document.xml");
    std::fs::write(&document, octets).unwrap();
    let arguments = ["--nonet", "--noout", "--schema", schema.to_str().unwrap(), document.to_str().unwrap()];
    let output = tools::run("xmllint", arguments)?;
    let said = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(!said.contains("failed to compile"), "the schema itself is right: {said}");
    Some((!output.status.success()).then_some(said))
}

fn assert_valid(schema: &Path, octets: &[u8]) {
    if let Some(Some(said)) = fault(schema, octets) {
        panic!("{said}: {}", String::from_utf8_lossy(octets));
    }
}

fn tree(octets: &[u8]) -> Document {
    Document::parse(octets, &XmlLimits::envelope()).unwrap()
}

/// Every element in its order, named with its namespace.
fn elements(document: &Document) -> Vec<(String, String)> {
    let named = |element: Element<'_>| (element.namespace().to_owned(), element.name().to_owned());
    std::iter::once(document.root()).chain(document.root().descendants()).map(named).collect()
}

/// Every element in its order with its attributes, in no order.
fn statements(document: &Document) -> Vec<(String, Vec<(String, String)>)> {
    let one = |element: Element<'_>| {
        let attributes = element.attributes().filter(|it| it.local != "schemaLocation");
        let mut attributes: Vec<_> =
            attributes.map(|it| (it.local.to_owned(), it.value.to_owned())).collect();
        attributes.sort();
        (element.name().to_owned(), attributes)
    };
    std::iter::once(document.root()).chain(document.root().descendants()).map(one).collect()
}

#[test]
fn our_copc_satisfies_the_message_schema_whatever_a_document_is_called() {
    let Some(schema) = shared("schema/hl7/schema/COPC_IN000001UK01.xsd") else { return };
    assert_valid(&schema, &leave().write());
    for name in NAMES {
        assert_valid(&schema, &part(name).write());
    }
    assert_valid(&schema, &part(&fragment_name(&MessageId::derived(&["index"]), 12)).write());
    let wrong = String::from_utf8(leave().write()).unwrap().replace("GP2GP_PI\"", "GP2GP_PI\" nothing=\"\"");
    assert_ne!(fault(&schema, wrong.as_bytes()), Some(None), "because the schema can refuse");
}

/// There is no public schema of the request: that of the extract with the request's four elements in place of the
/// extract's, each of the type the extract has for it (wire reference §4.2).
fn request_schema(folder: &Path) -> Option<std::path::PathBuf> {
    let root = shared("schema/hl7")?.canonicalize().unwrap();
    let text = std::fs::read_to_string(root.join("schema/RCMR_IN030000UK06.xsd")).unwrap();
    let (near, far) =
        (format!("schemaLocation=\"{}/schema/", root.display()), format!("{}/", root.display()));
    let organisation = "<xs:complexType name=\"Organisation\"><xs:sequence><xs:group ref=\"UKCT_MT120501UK03\"/></xs:sequence>\
                        <xs:attribute name=\"type\" type=\"Classes\" fixed=\"Participation\"/>\
                        <xs:attribute name=\"typeCode\" type=\"ParticipationType\" use=\"required\"/></xs:complexType>";
    let request = "<xs:complexType name=\"Request\"><xs:sequence><xs:element name=\"id\" type=\"II\"/>\
                   <xs:element name=\"recordTarget\" type=\"RCMR_MT030101UK04.PatientSubject\"/>\
                   <xs:element name=\"author\" type=\"Organisation\"/><xs:element name=\"destination\" type=\"Organisation\"/>\
                   </xs:sequence><xs:attribute name=\"type\" type=\"Classes\" fixed=\"ActHeir\"/>\
                   <xs:attribute name=\"classCode\" type=\"cs\" use=\"required\" fixed=\"EXTRACT\"/>\
                   <xs:attribute name=\"moodCode\" type=\"cs\" use=\"required\" fixed=\"RQO\"/></xs:complexType>";
    let text = text
        .replace("schemaLocation=\"", &near)
        .replace(&format!("{far}schema/../"), &far)
        .replace("RCMR_IN030000UK06", "RCMR_IN010000UK05")
        .replace(
            "name=\"EhrExtract\" type=\"RCMR_MT030101UK04.EhrExtract\"",
            "name=\"EhrRequest\" type=\"Request\"",
        )
        .replace("</xs:schema>", &format!("{organisation}{request}</xs:schema>"));
    let schema = folder.join("request.xsd");
    std::fs::write(&schema, text).unwrap();
    Some(schema)
}

#[test]
fn our_request_satisfies_the_types_the_extract_has_for_the_same() {
    let folder = tempfile::tempdir().unwrap();
    let Some(schema) = request_schema(folder.path()) else { return };
    let (message, own) = (MessageId::derived(&["message"]), MessageId::derived(&["request"]));
    let ours = request(message.as_str(), own.as_str(), "2026-03-02T09:00:00Z").write();
    assert_valid(&schema, &ours);
    let wrong = String::from_utf8(ours)
        .unwrap()
        .replace("<destination", "<target")
        .replace("/destination", "/target");
    assert_ne!(fault(&schema, wrong.as_bytes()), Some(None), "because the schema can refuse");
    if let Some(captured) = shared("fixtures/conversations/tpp-gp2gp_process/06-tpp-req.xml") {
        assert_valid(&schema, &std::fs::read(captured).unwrap());
    }
}

#[test]
fn our_request_says_statement_for_statement_what_one_does_that_a_practice_took() {
    let Some(path) = shared("fixtures/conversations/tpp-gp2gp_process/06-tpp-req.xml") else { return };
    let ours = request(
        "DFE22ED3-946B-4A2D-A827-5397C7673599",
        "BBBBA01A-A9D1-A411-F824-9F7A00A33757",
        "2020-02-18T16:41:08Z",
    );
    let without_patient = |octets: &[u8]| {
        let mut said = statements(&tree(octets));
        let number = |(_, attributes): &mut (String, Vec<(String, String)>)| {
            if attributes.iter().any(|(_, value)| value == "2.16.840.1.113883.2.1.4.1") {
                attributes.retain(|(name, _)| name != "extension");
            }
        };
        said.iter_mut().for_each(number);
        said
    };
    let captured = std::fs::read(path).unwrap();
    assert_eq!(without_patient(&ours.write()), without_patient(&captured), "its patient excepted");
}

#[test]
fn our_copc_has_the_elements_of_captured_ones_in_their_order() {
    let Some(captures) = crate::wire::captures() else { return };
    let captured =
        std::fs::read(captures.join("inbound-samples/illogical/COPC_IN000001UK01_payload.xml")).unwrap();
    assert_eq!(elements(&tree(&leave().write())), elements(&tree(&captured)), "a Continue");
    let name = "large-message-example-2/COPC_IN000001UK01_E01171B1-43E8-11E3-945E-5710B5A38718_mime.ebxml";
    let captured = crate::wire::capture(&captures.join(name)).unwrap();
    let parts = crate::wire::parts(&captured).unwrap();
    assert_eq!(elements(&tree(&part("a.pdf").write())), elements(&tree(&parts[1].body)), "an attachment");
}
