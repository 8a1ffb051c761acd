//! Whole records become extracts: schema-valid, balanced and the same every time. How complete they are is told by `scores`.
//!
//! The records and scorers are in `../shared`; where they are missing the test says that it skipped, as it does for a
//! tool unless the environment requires tools.

use std::path::{Path, PathBuf};
use std::process::Command;

use throughcare::extract::{
    self, AbsentReason, Content, Document, Documents, Extract, Interaction, Parameters, Record,
};
use throughcare::extract::{RecordLimits, Refusal};
use throughcare::model::{Asid, ConversationId, MessageId, NhsNumber, OdsCode, Timestamp};

use crate::tools;

const FOLDERS: [&str; 3] = ["emis-join", "inventory", "robustness"];

fn shared() -> Option<PathBuf> {
    tools::shared("")
}

/// Whether that program is there.
pub fn tool(name: &str) -> bool {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|p| p.join(name).is_file()));
    available(name, found)
}

/// Says that something is missing, or fails where it must not be.
fn available(what: &str, is_there: bool) -> bool {
    let required =
        std::env::var_os("CI").is_some() || std::env::var_os("THROUGHCARE_REQUIRE_TOOLS").is_some();
    assert!(is_there || !required, "{what} is required here and is missing");
    if !is_there {
        println!("skipped: {what} is missing");
    }
    is_there
}

pub fn bundles(shared: &Path) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = FOLDERS
        .iter()
        .flat_map(|folder| std::fs::read_dir(shared.join("fixtures").join(folder)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "json"))
        .collect();
    found.sort();
    assert!(found.len() > 20, "the fixtures hold more than twenty records");
    found
}

pub fn parameters(number: &str, interaction: Interaction) -> Parameters {
    Parameters {
        message_id: MessageId::parse("1B3B6F4E-54C9-4F21-9F5D-6B4E2C0C7A11").unwrap(),
        // The UK07 runs are pushes, which answer no request: they must be schema-valid too.
        request_id: (interaction == Interaction::Uk06)
            .then(|| "7D2F0A3C-5B1E-4C2A-9E4B-0123456789AB".to_owned()),
        nhs_number: NhsNumber::parse(number).unwrap(),
        from_ods: OdsCode::parse("HMP01").unwrap(),
        to_ods: OdsCode::parse("B86041").unwrap(),
        from_asid: Asid::parse("200000000001").unwrap(),
        to_asid: Asid::parse("200000000002").unwrap(),
        conversation: ConversationId::derived(&["extracts"]),
        now: Timestamp::parse("2026-07-01T09:00:00Z").unwrap(),
        interaction,
        extract_id: "7D2F0A3C-5B1E-4C2A-9E4B-0123456789AC".to_owned(),
    }
}

/// The bytes of a record. Some fixtures have numbers with a wrong check digit: those are made valid first.
pub fn read(path: &Path) -> Vec<u8> {
    let bytes = std::fs::read(path).unwrap();
    let number = number_of(&bytes);
    if NhsNumber::parse(&number).is_ok() {
        return bytes;
    }
    String::from_utf8(bytes).unwrap().replace(&number, "9991000011").into_bytes()
}

/// The number that the record says it is about; tests only.
pub fn number_of(bytes: &[u8]) -> String {
    let bundle: serde_json::Value = serde_json::from_slice(bytes).unwrap();
    let entries = bundle["entry"].as_array().unwrap().iter().map(|e| &e["resource"]);
    let mut patients = entries.filter(|r| r["resourceType"] == "Patient");
    let number = patients.next().and_then(|p| p["identifier"][0]["value"].as_str());
    number.unwrap_or("9991000011").to_owned()
}

/// Every document present, but for addresses that say they lead nowhere.
pub fn documents(record: &Record) -> Documents {
    let mut documents = Documents::new();
    for wanted in record.documents() {
        let document = if wanted.url.ends_with("non-existing-id") {
            Document::Absent(AbsentReason::NotFound)
        } else {
            Document::Present { length: 5, content_type: wanted.content_type.unwrap_or_default() }
        };
        documents.insert(wanted.url, document);
    }
    documents
}

/// The extract of a record of the fixtures.
pub fn build(path: &Path, interaction: Interaction) -> Result<Extract, Refusal> {
    let bytes = read(path);
    let record = Record::parse(&bytes, &RecordLimits::default()).unwrap();
    extract::build(&record, &parameters(&number_of(&bytes), interaction), &documents(&record))
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_string_lossy().into_owned()
}

#[test]
fn every_record_becomes_a_schema_valid_and_balanced_extract() {
    let Some(shared) = shared() else { return };
    let xmllint = tool("xmllint");
    let folder = tempfile::tempdir().unwrap();
    for (interaction, schema) in
        [(Interaction::Uk06, "RCMR_IN030000UK06"), (Interaction::Uk07, "RCMR_IN030000UK07")]
    {
        let mut files = Vec::new();
        for path in bundles(&shared) {
            let built = build(&path, interaction);
            match (name(&path).as_str(), interaction) {
                ("missing-patient.json", _) => {
                    assert_eq!(built, Err(Refusal::NoPatient), "a record of nobody is refused");
                    continue;
                }
                ("absent-attachments.json", Interaction::Uk06) => {
                    assert!(
                        matches!(built, Err(Refusal::LabelCannotTravel { .. })),
                        "D11: labels never go in clear"
                    );
                    continue;
                }
                _ => {}
            }
            let extract = built.unwrap_or_else(|refusal| panic!("{}: {refusal}", name(&path)));
            balanced(&path, &extract);
            let parent = path.parent().and_then(Path::file_name).unwrap().to_string_lossy().into_owned();
            let file = folder.path().join(format!("{schema}-{parent}-{}.xml", name(&path)));
            std::fs::write(&file, &extract.xml).unwrap();
            files.push(file);
        }
        if xmllint {
            assert_valid(&shared.join(format!("schema/hl7/schema/{schema}.xsd")), &files);
        }
    }
}

pub fn balanced(path: &Path, extract: &Extract) {
    let account = &extract.account;
    let total = account.mapped + account.merged + account.degraded + account.not_clinical;
    assert_eq!(total, account.input, "{}: extract §1.1", name(path));
    assert_eq!(account.entries.len(), account.input, "{}", name(path));
    let xml = String::from_utf8_lossy(&extract.xml);
    for attachment in &extract.attachments {
        let place = format!("file://localhost/{}\"", attachment.file_name);
        assert!(xml.contains(&place), "{}: the manifest and the extract name the same files", name(path));
        if let Content::Placeholder(text) = &attachment.content {
            assert_eq!(text.split(|b| *b == b'\n').count(), 5, "a placeholder has four lines");
        }
    }
}

/// What `xmllint` says against the messages fails the test.
pub fn assert_valid(schema: &Path, files: &[PathBuf]) {
    let run = Command::new("xmllint")
        .args(["--nonet", "--noout", "--schema"])
        .arg(schema)
        .args(files)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&run.stderr);
    let errors: Vec<&str> = said.lines().filter(|l| !l.ends_with(" validates")).take(20).collect();
    assert!(run.status.success(), "schema-invalid:\n{}", errors.join("\n"));
}

#[test]
fn the_same_input_gives_the_same_bytes() {
    let Some(shared) = shared() else { return };
    for path in ["emis-join/PWTP2.json", "inventory/Livermore.json", "robustness/malformed-date.json"] {
        let path = shared.join("fixtures").join(path);
        assert_eq!(
            build(&path, Interaction::Uk07),
            build(&path, Interaction::Uk07),
            "extract §1.4: {}",
            name(&path)
        );
    }
}

#[test]
fn labelled_entries_carry_their_label_in_uk07() {
    let Some(shared) = shared() else { return };
    let extract =
        build(&shared.join("fixtures/robustness/absent-attachments.json"), Interaction::Uk07).unwrap();
    let xml = String::from_utf8_lossy(&extract.xml);
    assert!(
        xml.matches("confidentialityCode").count() >= 4,
        "statement and document of both labelled entries"
    );
}
