//! Records fetched and filed: the good case, and every bad file there can be.

use super::*;
use std::fs;
use std::io::Read;
use std::os::unix::fs::symlink;

use throughcare::extract::MissingDocument;
use throughcare::model::{ConversationId, OdsCode, Timestamp, TransferId};
use throughcare::records::{
    Filed, FilingFault, FilingFolder, FolderLimits, ReadRecord, ReceivedAttachment, ReceivedRecord,
    RecordFault, RecordFolder, RecordRef, Text,
};

const BUNDLE: &str = r#"{"resourceType":"Bundle","type":"collection","entry":[]}"#;

fn folder() -> (TempDir, RecordFolder) {
    let folder = tempfile::tempdir().unwrap();
    let records = RecordFolder::open(folder.path(), FolderLimits::default()).unwrap();
    (folder, records)
}

fn named(name: &str) -> RecordRef {
    RecordRef::parse(name).unwrap()
}

#[test]
fn a_record_and_its_attachments_are_fetched_by_name() {
    let (folder, records) = folder();
    fs::write(folder.path().join("stay-1.json"), BUNDLE).unwrap();
    fs::create_dir(folder.path().join("stay-1")).unwrap();
    fs::write(folder.path().join("stay-1/07a6 letter.pdf"), b"%PDF-1.7 body").unwrap();
    assert_eq!(records.fetch(&named("stay-1")).unwrap(), BUNDLE.as_bytes());
    let address = "file://localhost/07a6%20letter.pdf";
    let attachment = records.attachment(&named("stay-1"), address, "application/pdf").unwrap();
    assert_eq!((attachment.bytes, attachment.claim.content_type()), (13, "application/pdf"));
    assert_eq!(attachment.claim.true_type(), None);
    assert_eq!(attachment.read().unwrap(), b"%PDF-1.7 body", "from its first octet, though it was looked at");
    let mut streamed = Vec::new();
    let again = records.attachment(&named("stay-1"), address, "application/pdf").unwrap();
    again.into_reader().read_to_end(&mut streamed).unwrap();
    assert_eq!(streamed, b"%PDF-1.7 body");
}

#[test]
fn every_bad_record_has_its_own_fault() {
    let (folder, records) = folder();
    let at = |name: &str| folder.path().join(name);
    fs::write(at("truncated.json"), &BUNDLE[..30]).unwrap();
    fs::write(at("text.json"), "Dear doctor").unwrap();
    fs::write(at("empty.json"), "").unwrap();
    fs::write(at("two.json"), format!("{BUNDLE}{BUNDLE}")).unwrap();
    fs::write(at("patient.json"), r#"{"resourceType":"Patient"}"#).unwrap();
    fs::write(at("list.json"), "[1,2]").unwrap();
    fs::write(at("deep.json"), "[".repeat(100_000)).unwrap();
    fs::create_dir(at("folder.json")).unwrap();
    let sparse = fs::File::create(at("sparse.json")).unwrap();
    sparse.set_len(200_000_000).unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x.json"), BUNDLE).unwrap();
    symlink(outside.path().join("x.json"), at("link.json")).unwrap();
    symlink("text.json", at("inner-link.json")).unwrap();
    rustix::fs::mknodat(
        rustix::fs::CWD,
        at("pipe.json"),
        rustix::fs::FileType::Fifo,
        rustix::fs::Mode::from_raw_mode(0o644),
        0,
    )
    .unwrap();

    let fault = |name: &str| records.fetch(&named(name)).expect_err(name);
    assert_eq!(fault("missing"), RecordFault::NotFound);
    assert!(fault("missing").is_retryable(), "it may come later");
    for name in ["truncated", "text", "empty", "two", "deep"] {
        assert!(matches!(fault(name), RecordFault::NotJson { .. }), "{name}: {:?}", fault(name));
    }
    assert_eq!(fault("patient"), RecordFault::NotABundle);
    assert_eq!(fault("list"), RecordFault::NotABundle);
    assert_eq!(fault("folder"), RecordFault::NotAFile);
    assert_eq!(fault("pipe"), RecordFault::NotAFile, "and it does not hold us up");
    assert_eq!(fault("sparse"), RecordFault::TooLarge { bytes: 200_000_000, limit: 100_000_000 });
    assert_eq!(fault("link"), RecordFault::Escapes);
    assert_eq!(fault("inner-link"), RecordFault::Escapes, "no link is followed, wherever it leads");
    assert!(!fault("link").is_retryable());
}

#[test]
fn an_attachment_cannot_lead_out_of_its_folder() {
    let (folder, records) = folder();
    let at = |name: &str| folder.path().join(name);
    fs::create_dir(at("stay-1")).unwrap();
    fs::write(at("secret.txt"), "another patient's").unwrap();
    symlink(at("secret.txt"), at("stay-1/link.txt")).unwrap();
    let outside = tempfile::tempdir().unwrap();
    fs::write(outside.path().join("x.txt"), "x").unwrap();
    symlink(outside.path(), at("linked")).unwrap();
    fs::File::create(at("stay-1/huge.pdf")).unwrap().set_len(2_000_000_000).unwrap();
    let fault = |record: &str, address: &str| {
        records.attachment(&named(record), address, "text/plain").expect_err("refused")
    };
    assert_eq!(fault("stay-1", "gone.txt"), RecordFault::NotFound);
    assert_eq!(fault("stay-1", "../secret.txt"), RecordFault::Escapes);
    assert_eq!(fault("stay-1", "%2e%2e%2fsecret.txt"), RecordFault::Escapes);
    assert_eq!(fault("stay-1", "link.txt"), RecordFault::Escapes);
    assert_eq!(fault("linked", "x.txt"), RecordFault::Escapes, "the folder itself may not be a link");
    assert_eq!(fault("stay-1", "/etc/hostname/"), RecordFault::BadName);
    assert!(matches!(fault("stay-1", "huge.pdf"), RecordFault::TooLarge { bytes: 2_000_000_000, .. }));
}

#[test]
fn an_attachment_that_lies_about_its_type_is_sent_as_what_it_is() {
    let (folder, records) = folder();
    fs::create_dir(folder.path().join("stay-1")).unwrap();
    fs::write(folder.path().join("stay-1/scan"), b"MZ\x90\0\x03\0\0\0").unwrap();
    fs::write(folder.path().join("stay-1/note"), b"plain words").unwrap();
    let claim =
        |name: &str, declared: &str| records.attachment(&named("stay-1"), name, declared).unwrap().claim;
    let lying = claim("scan", "application/pdf");
    assert_eq!(
        (lying.content_type(), lying.true_type()),
        ("application/octet-stream", Some("application/x-executable"))
    );
    let malformed = claim("note", "a letter");
    assert_eq!(
        (malformed.content_type(), malformed.true_type()),
        ("application/octet-stream", Some("text/plain"))
    );
    let honest = claim("note", "Text/Plain; charset=utf-8");
    assert_eq!((honest.content_type(), honest.true_type()), ("text/plain", None));
}

fn record<'a>(extract: &'a [u8], read: Option<ReadRecord>) -> ReceivedRecord<'a> {
    ReceivedRecord {
        transfer: TransferId::derived(&["filing"]),
        conversation: ConversationId::derived(&["filing"]),
        from: OdsCode::parse("B85002").unwrap(),
        to: OdsCode::parse("HMP01").unwrap(),
        received_at: Timestamp::parse("2026-03-02T09:00:00Z").unwrap(),
        text: Box::new(move |written| {
            assert_eq!((written[0].file.as_str(), written[0].bytes), ("001.pdf", 5));
            Text { extract: extract.into(), record: read }
        }),
        attachments: vec![ReceivedAttachment {
            id: "D1".to_owned(),
            filename: "Smith, John: ../../letter.exe".to_owned(),
            content_type: "application/pdf".to_owned(),
            content: Box::new(&b"%PDF-"[..]),
        }],
    }
}

#[test]
fn a_received_record_is_filed_once_under_neutral_names() {
    let folder = tempfile::tempdir().unwrap();
    let filing = FilingFolder::open(folder.path()).unwrap();
    let now = Timestamp::parse("2026-03-02T09:00:01Z").unwrap();
    // Left over from a crash in the middle of an earlier filing.
    let transfer = TransferId::derived(&["filing"]);
    fs::create_dir(folder.path().join(format!(".filing-{transfer}"))).unwrap();
    fs::write(folder.path().join(format!(".filing-{transfer}/extract.xml")), "half").unwrap();

    let filed = filing.file(record(b"<x/>", None), now).unwrap();
    let Filed::New(place) = filed else { panic!("it is new") };
    let mut names: Vec<_> =
        fs::read_dir(&place).unwrap().map(|e| e.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, ["001.pdf", "extract.xml", "filed.json"], "no name a sender chose");
    assert_eq!(fs::read(place.join("001.pdf")).unwrap(), b"%PDF-");
    let account: serde_json::Value =
        serde_json::from_slice(&fs::read(place.join("filed.json")).unwrap()).unwrap();
    assert_eq!(account["attachments"][0]["filename"], "Smith, John: ../../letter.exe");
    assert_eq!(account["attachments"][0]["sha256"], Fingerprint::of(b"%PDF-").to_string());
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1, "nothing is left beside it");

    let later = Timestamp::parse("2026-03-02T10:00:00Z").unwrap();
    let again = filing.file(record(b"<x/>", None), later).unwrap();
    assert_eq!(again, Filed::Already(place.clone()), "filing again changes nothing (H6)");
    let other = filing.file(record(b"<y/>", None), later).unwrap_err();
    assert!(matches!(other, FilingFault::Conflict { .. }), "and never overwrites: {other}");
    assert!(!other.is_retryable());
    assert_eq!(fs::read(place.join("extract.xml")).unwrap(), b"<x/>");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn a_document_that_was_not_sent_is_listed_as_missing() {
    let folder = tempfile::tempdir().unwrap();
    let filing = FilingFolder::open(folder.path()).unwrap();
    let missing = vec![MissingDocument { id: "D2".to_owned(), file_name: "scan.tif".to_owned() }];
    let read = ReadRecord { bundle: b"{}".to_vec(), account: b"{}".to_vec(), missing };
    let Filed::New(place) = filing.file(record(b"<x/>", Some(read)), Timestamp::from_millis(0)).unwrap()
    else {
        panic!("it is new")
    };
    let listed: serde_json::Value =
        serde_json::from_slice(&fs::read(place.join("filed.json")).unwrap()).unwrap();
    assert_eq!(listed["missing"], serde_json::json!([{"id": "D2", "filename": "scan.tif"}]));
    assert_eq!(fs::read(place.join("record.json")).unwrap(), b"{}");
}
