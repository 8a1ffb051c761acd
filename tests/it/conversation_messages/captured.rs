//! Every captured request, COPC and acknowledgement as we read it, and the ids that tie them together.

use std::path::Path;

use serde_json::Value;
use throughcare::model::MessageId;
use throughcare::packet::envelope::{Header, Item, read_header, read_manifest};
use throughcare::packet::hl7::{
    CopcKind, Hl7Fault, ReadAcknowledgement, ReadCopc, ReadEhrRequest, ReadWrapper,
};
use throughcare::packet::manifest::{DocumentId, Listed, has_messages, listed};
use throughcare::packet::xml::{Document, XmlLimits};

use crate::tools::shared;
use crate::wire;

/// A captured message: what its payload is, and its envelope where that was captured too.
struct Captured {
    /// Folder and file.
    name: String,
    interaction: String,
    envelope: Option<Document>,
    payload: Vec<u8>,
    /// The capture's own account of it (large messages).
    json: Value,
}

impl Captured {
    fn header(&self) -> Header {
        read_header(self.envelope.as_ref().unwrap()).unwrap_or_else(|fault| panic!("{}: {fault}", self.name))
    }

    fn manifest(&self) -> Vec<Item> {
        self.envelope.as_ref().map(|document| read_manifest(document).unwrap()).unwrap_or_default()
    }
}

fn tree(octets: &[u8]) -> Option<Document> {
    Document::parse(octets, &XmlLimits::payload()).ok()
}

/// What a file of the captures holds; none where it is no message, or one of PDS.
fn captured(path: &Path) -> Option<Captured> {
    let folder = path.parent().unwrap().file_name().unwrap().to_string_lossy();
    let name = format!("{folder}/{}", path.file_name().unwrap().to_string_lossy());
    let octets = std::fs::read(path).unwrap();
    let (envelope, payload, json) = if name.ends_with(".json") {
        let json: Value = serde_json::from_slice(&octets).unwrap();
        let text = |key: &str| json[key].as_str().map(|text| text.as_bytes().to_vec());
        let (envelope, payload) = (text("ebXML")?, text("payload")?);
        (Some(envelope), payload, json)
    } else if let Some(capture) = wire::capture(path) {
        let parts = wire::parts(&capture).ok()?;
        (Some(parts[0].body.to_vec()), parts[1].body.to_vec(), Value::Null)
    } else {
        let beside = path.with_file_name(name.rsplit('/').next()?.replace("_payload.xml", "_ebxml.xml"));
        let envelope = (beside != path).then(|| std::fs::read(beside).ok()).flatten();
        (envelope, octets, Value::Null)
    };
    let interaction = tree(&payload)?.root().name().to_owned();
    let envelope = envelope.map(|octets| tree(&octets).unwrap_or_else(|| panic!("the envelope of {name}")));
    Some(Captured { name, interaction, envelope, payload, json })
}

fn all(interaction: &str) -> Vec<Captured> {
    let folders = ["fixtures/conversations", "fixtures/large-message"];
    let files = folders.into_iter().filter_map(shared).flat_map(|folder| wire::files(&folder));
    files.filter_map(|path| captured(&path)).filter(|found| found.interaction == interaction).collect()
}

fn copcs() -> Vec<(Captured, ReadCopc)> {
    let read = |captured: Captured| {
        let read = ReadCopc::read_labelled(&captured.payload, None);
        let read = read.unwrap_or_else(|fault| panic!("{}: {fault}", captured.name));
        (captured, read)
    };
    all("COPC_IN000001UK01").into_iter().map(read).collect()
}

#[test]
fn every_captured_request_is_read() {
    let rows = [
        ("RCMR_IN010000UK05.xml", "N82668", "B86041", "200000001161", "200000000205"),
        ("request/RCMR_IN010000UK05_payload.xml", "N82668", "B86041", "200000001161", "200000000205"),
        ("illogical/RCMR_IN010000UK05_payload.xml", "GPC001", "B86041", "918999198738", "200000000359"),
        ("06-tpp-req.xml", "B86041", "M85019", "200000000149", "200000001161"),
        ("06-tpp-req-pretty.xml", "B86041", "M85019", "200000000149", "200000001161"),
    ];
    let requests = all("RCMR_IN010000UK05");
    let (found, expected) = (requests.len(), if shared("fixtures").is_some() { rows.len() } else { 0 });
    assert_eq!(found, expected, "every one of them is in the table");
    for captured in requests {
        let row = rows.iter().find(|row| captured.name.ends_with(row.0)).unwrap();
        let read = ReadEhrRequest::read_labelled(&captured.payload, None).unwrap();
        assert_eq!(
            (read.requester_ods.as_str(), read.sender_ods.as_str()),
            (row.1, row.2),
            "{}",
            captured.name
        );
        assert_eq!(read.receiver_asid.unwrap().as_str(), row.3, "{}", captured.name);
        assert_eq!(read.sender_asid.unwrap().as_str(), row.4, "{}", captured.name);
        assert!(read.request_id.is_some(), "{}", captured.name);
        if captured.envelope.is_some() {
            assert_eq!(read.wrapper_id, captured.header().message_id, "gp2gp §1.2: in EMIS requests");
        }
        let dms_1 =
            String::from_utf8(captured.payload).unwrap().replace("RCMR_IN010000UK05", "RCMR_IN010000UK06");
        let refused = ReadEhrRequest::read_labelled(dms_1.as_bytes(), None);
        assert_eq!(refused, Err(Hl7Fault::NotSpoken("RCMR_IN010000UK06")), "S230");
    }
}

#[test]
fn every_captured_acknowledgement_is_read_with_its_envelope() {
    let found = all("MCCI_IN010000UK13");
    assert_eq!(found.len(), if shared("fixtures").is_some() { 11 } else { 0 });
    for captured in found {
        let read = ReadAcknowledgement::read(&captured.payload);
        let read = read.unwrap_or_else(|fault| panic!("{}: {fault}", captured.name));
        let wrapper = ReadWrapper::read_labelled(&captured.payload, None).unwrap();
        assert_eq!(wrapper.id, read.wrapper_id, "{}", captured.name);
        assert!(wrapper.sender_asid.is_some() && wrapper.receiver_asid.is_some(), "{}", captured.name);
        if captured.envelope.is_some() {
            assert_eq!(captured.header().action, "MCCI_IN010000UK13", "{}", captured.name);
        }
    }
}

#[test]
fn every_captured_copc_is_read_and_its_kind_is_told() {
    let leave = |id: &str| CopcKind::Continue { refers_to: MessageId::parse(id).ok() };
    let rows = [
        ("example-continue-request/COPC_IN000001UK01.xml", leave("75D9391B-8BD9-4959-838A-6D062E8C8565")),
        ("continue/COPC_IN000001UK01_payload.xml", leave("6E242658-3D8E-11E3-A7DC-172BDA00FA67")),
        ("illogical/COPC_IN000001UK01_payload.xml", leave("6E242658-3D8E-11E3-A7DC-172BDA00FA67")),
        ("_CompressedFragmentIndex.ebxml", CopcKind::Index),
        ("_CompressedFragment0.ebxml", CopcKind::Part),
        ("_CompressedFragment1.ebxml", CopcKind::Part),
        ("_mime.ebxml", CopcKind::Part),
        ("_hl7.ebxml", CopcKind::Part),
        ("Scenario_3/copc.json", CopcKind::Part),
        ("Scenario_4/copc_index.json", CopcKind::Index),
        ("Scenario_4/copc0.json", CopcKind::Part),
        ("Scenario_4/copc1.json", CopcKind::Part),
        ("Scenario_5/copc.json", CopcKind::Part),
        ("Scenario_6/copc_index.json", CopcKind::Index),
        ("Scenario_6/copc0.json", CopcKind::Part),
        ("Scenario_6/copc1.json", CopcKind::Part),
    ];
    let copcs = copcs();
    assert_eq!(copcs.len(), if shared("fixtures").is_some() { rows.len() } else { 0 });
    for (captured, read) in copcs {
        let (_, expected) = rows.iter().find(|row| captured.name.ends_with(row.0)).unwrap();
        assert_eq!(read.kind(&captured.manifest()), *expected, "{}", captured.name);
        let header = captured.header();
        assert_eq!(read.wrapper_id, header.message_id, "{}", captured.name);
        // As captured, the MessageId of this one lost its beginning; its payload did not (malformed, and still read).
        let own = match captured.name.as_str() {
            "Scenario_4/copc0.json" => MessageId::parse("77128B31-4245-4AFC-8DA2-8A40623A5101").unwrap(),
            _ => header.message_id,
        };
        assert_eq!(read.message_id.as_ref(), Some(&own), "{}: LM app. 4", captured.name);
        assert_eq!(read.payload_id, Some(own), "{}: LM app. 4", captured.name);
        // Left as a placeholder by who wrote that fragment, and empty by INPS.
        let nameless =
            captured.name.ends_with("_CompressedFragment0.ebxml") || captured.name.starts_with("Scenario_6");
        assert_eq!(read.from_ods.is_none(), nameless, "{}", captured.name);
        assert_eq!(read.recipients.len(), usize::from(!nameless), "{}", captured.name);
        let other = read.acknowledged.and_then(|acknowledged| acknowledged.other_id);
        assert_eq!(other, None, "{}: messageRef is the same", captured.name);
    }
}

#[test]
fn a_captured_continue_names_the_message_id_of_its_extract() {
    let copcs = copcs();
    let Some((_, leave)) = copcs.iter().find(|(captured, _)| captured.name.starts_with("continue/")) else {
        return;
    };
    let refers_to = leave.acknowledged.as_ref().unwrap().id.clone().unwrap();
    let extracts = all("RCMR_IN030000UK06");
    let extract = extracts.iter().find(|it| it.name == "Scenario_4/uk06.json").unwrap();
    assert_eq!(extract.header().message_id, refers_to, "C17: in the one that can tell");
    assert!(has_messages(&extract.manifest()), "LM32: which is why there is a Continue");
    let document = tree(&extract.payload).unwrap();
    let own = document.root().descendants().find(|element| element.name() == "EhrExtract").unwrap();
    let own = own.child(own.namespace(), "id").and_then(|id| id.attribute("", "root")).unwrap();
    assert_ne!(own, refers_to.as_str(), "not the EhrExtract id of the LM schema");
    let wrapper = ReadWrapper::read_labelled(&extract.payload, None).unwrap();
    assert_ne!(wrapper.id, refers_to, "nor the wrapper's");
}

/// What a capture lists as a document in a message of its own.
fn elsewhere(captured: &Captured) -> Vec<Listed> {
    listed(&captured.manifest()).into_iter().filter(|it| it.message_id().is_some()).collect()
}

#[test]
fn what_is_listed_agrees_with_the_captures_own_account_in_order() {
    let captures = all("RCMR_IN030000UK06").into_iter().chain(all("COPC_IN000001UK01"));
    let mut told = 0;
    for captured in captures {
        let Some(account) = captured.json["external_attachments"].as_array() else { continue };
        let expected: Vec<&str> = account.iter().filter_map(|it| it["message_id"].as_str()).collect();
        let found = elsewhere(&captured);
        let ids: Vec<String> = found.iter().filter_map(Listed::message_id).map(|id| id.to_string()).collect();
        assert_eq!(ids, expected, "{}", captured.name);
        for (found, account) in found.iter().zip(account) {
            let id = account["document_id"].as_str().or(account["documentId"].as_str()).map(DocumentId::new);
            assert!(found.id.is_none() || found.id == id, "{}: {found:?}", captured.name);
            assert!(!found.description.filename.is_empty(), "{}", captured.name);
            told += 1;
        }
    }
    assert_eq!(
        told,
        if shared("fixtures").is_some() { 8 } else { 0 },
        "four extracts of one, two indexes of two"
    );
}

#[test]
fn documents_of_an_extract_and_of_its_manifest_meet_with_and_without_the_underscore() {
    for captured in all("RCMR_IN030000UK06").iter().filter(|it| it.name.starts_with("Scenario_")) {
        let document = tree(&captured.payload).unwrap();
        let documents = document.root().descendants().filter(|it| it.name() == "referredToExternalDocument");
        let id = |document: throughcare::packet::xml::Element<'_>| {
            document.child(document.namespace(), "id")?.attribute("", "root").map(DocumentId::new)
        };
        let documents: Vec<DocumentId> = documents.filter_map(id).collect();
        let listed = listed(&captured.manifest());
        let met = listed.iter().all(|it| it.id.as_ref().is_some_and(|id| documents.contains(id)));
        // INPS names the document of an index after the piece it begins with.
        assert_eq!(met, captured.name != "Scenario_6/uk06.json", "{}: AR10", captured.name);
    }
}
