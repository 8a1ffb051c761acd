//! Received extracts become records: as many resources of each kind as the message says, facts as the source system has
//! them itself, and bad messages read as far as they can be.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use throughcare::extract::{self, Expected, ReadRefusal, Reading};

use crate::extracts::tool;
use crate::{json_schema, tools};

/// Scores below which no change may fall.
const READ: [(&str, f64); 5] =
    [("PWTP10", 1.0), ("PWTP2", 1.0), ("PWTP3", 1.0), ("PWTP5", 1.0), ("PWTP7", 1.0)];

fn read(path: &Path) -> Reading {
    let message = std::fs::read(path).unwrap();
    extract::read(&message, &Expected::default()).unwrap_or_else(|why| panic!("{}: {why}", path.display()))
}

/// Every statement has its state, every resource its id, and every reference leads to one.
pub fn balanced(reading: &Reading, what: &str) {
    let account = serde_json::to_value(&reading.account).unwrap();
    let faults = json_schema::faults(&json_schema::load("account.schema.json"), &account);
    assert!(faults.is_empty(), "{what}: {faults:?}");
    let total = |name: &str| account[name].as_u64().unwrap();
    let states = account["entries"].as_array().unwrap().len() as u64;
    assert_eq!(total("input"), states, "{what}: one state a statement (extract §1.1)");
    let bundle: Value = serde_json::from_slice(&reading.json).expect("the Bundle is JSON");
    assert_eq!(bundle["resourceType"], "Bundle");
    let mut ids = std::collections::HashSet::new();
    for entry in bundle["entry"].as_array().unwrap() {
        let resource = &entry["resource"];
        let id =
            format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap());
        assert!(ids.insert(id.clone()), "{what}: {id} is there twice");
    }
    dangling(&bundle, &ids, what);
}

/// Every reference in the Bundle leads to a resource in it.
fn dangling(value: &Value, ids: &std::collections::HashSet<String>, what: &str) {
    match value {
        Value::Object(members) => {
            if let Some(reference) = members.get("reference").and_then(Value::as_str) {
                assert!(ids.contains(reference), "{what}: {reference} leads nowhere (extract §1.6)");
            }
            members.values().for_each(|v| dangling(v, ids, what));
        }
        Value::Array(items) => items.iter().for_each(|v| dangling(v, ids, what)),
        _ => {}
    }
}

#[test]
fn every_count_and_fact_of_a_received_extract_is_right() {
    let (Some(shared), true) = (tools::shared("fixtures"), tool("python3")) else { return };
    let folder = tempfile::tempdir().unwrap();
    println!("\nread-oracle         score   floor");
    for (name, floor) in READ {
        let extract = shared.join(format!("reading/{name}.xml"));
        let ours = folder.path().join(format!("{name}.json"));
        let reading = read(&extract);
        balanced(&reading, name);
        std::fs::write(&ours, &reading.json).unwrap();
        let said = Command::new("python3")
            .arg(shared.join("../tools/read-oracle"))
            .args([&extract, &ours, &shared.join(format!("emis-join/{name}.json"))])
            .arg("--json")
            .output()
            .unwrap();
        let said: Value = serde_json::from_slice(&said.stdout).unwrap();
        let score = said["score"].as_f64().unwrap();
        println!("{name:18} {score:.4}  {floor:.4}");
        assert_eq!(said["right"], 14, "{name}: every count follows from the XML alone (extract §13.5)");
        assert!(score >= floor, "{name} fell to {score}: {said}");
    }
}

#[test]
fn extracts_of_other_systems_and_our_own_are_read_whole() {
    let (Some(shared), true) = (tools::shared("fixtures"), tool("python3")) else { return };
    let folder = tempfile::tempdir().unwrap();
    let mut extracts: Vec<PathBuf> = ["emis-join", "inventory"]
        .into_iter()
        .flat_map(|f| std::fs::read_dir(shared.join(f)).unwrap())
        .map(|entry| entry.unwrap().path())
        .filter(|path| path.extension().is_some_and(|e| e == "xml"))
        .collect();
    for bundle in crate::extracts::bundles(&tools::shared("").unwrap()) {
        let Ok(built) = crate::extracts::build(&bundle, extract::Interaction::Uk07) else { continue };
        let file = folder.path().join(format!("{}.xml", bundle.file_stem().unwrap().to_string_lossy()));
        std::fs::write(&file, built.xml).unwrap();
        extracts.push(file);
    }
    assert!(extracts.len() > 30, "messages of other systems and our own");
    for extract in extracts {
        let name = extract.file_name().unwrap().to_string_lossy().into_owned();
        let reading = read(&extract);
        balanced(&reading, &name);
        assert_eq!(reading, read(&extract), "{name}: the same message gives the same record");
        let ours = folder.path().join("ours.json");
        std::fs::write(&ours, &reading.json).unwrap();
        let oracle = shared.join("../tools/read-oracle");
        let said = Command::new("python3").arg(oracle).args([&extract, &ours]).output().unwrap();
        let said = String::from_utf8_lossy(&said.stdout);
        assert!(said.contains("counts=14/14"), "{name}: {said}");
    }
}

/// A message with the statements in one composition.
fn message(statements: &str) -> String {
    format!(
        r#"<RCMR_IN030000UK06 xmlns="urn:hl7-org:v3"><ControlActEvent><subject><EhrExtract>
        <id root="7C081A67-6F2A-464C-B3FD-C10C65FBEA30"/><recordTarget><patient>
        <id root="2.16.840.1.113883.2.1.4.1" extension="9990000018"/></patient></recordTarget>
        <component><ehrFolder><component><ehrComposition>
        <id root="9B69EBA5-F541-4119-9142-0AA0F87E3758"/><code code="25671000000102"/>
        <availabilityTime value="20100113"/>{statements}</ehrComposition></component></ehrFolder></component>
        </EhrExtract></subject></ControlActEvent></RCMR_IN030000UK06>"#
    )
}

const GOOD: &str = r#"<component><ObservationStatement><id root="05E9B02E-2991-4AE1-BFCF-444095DFEBD8"/>
    <code code="27113001" codeSystem="2.16.840.1.113883.2.1.3.2.4.15" displayName="Body weight"/>
    <value value="80.50" unit="kg"/></ObservationStatement></component>"#;

/// Reads the statements and gives the state and reasons of each; the good one beside them must be unharmed.
fn states(statements: &str) -> Vec<(String, String)> {
    let text = message(&format!("{GOOD}{statements}"));
    let reading = extract::read(text.as_bytes(), &Expected::default()).expect("the record is read");
    balanced(&reading, statements);
    let json = String::from_utf8(reading.json.clone()).unwrap();
    assert!(json.contains(r#""value":80.50"#), "the other entries are unharmed: {json}");
    let account = serde_json::to_value(&reading.account).unwrap();
    let entries = account["entries"].as_array().unwrap();
    let state = |e: &Value| format!("{} {}", e["state"].as_str().unwrap(), e["reasons"]);
    entries.iter().skip(2).map(|e| (e["resource"].as_str().unwrap().to_owned(), state(e))).collect()
}

#[test]
fn a_bad_statement_is_degraded_with_its_reason_and_nothing_else_is() {
    let id = r#"<id root="15D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/>"#;
    for (what, statements, reason) in [
        (
            "unknown class code",
            format!(
                r#"<component><CompoundStatement classCode="WHATEVER">{id}<code displayName="Odd" nullFlavor="UNK"/></CompoundStatement></component>"#
            ),
            "mapped",
        ),
        (
            "missing id",
            "<component><ObservationStatement><code displayName=\"x\"/></ObservationStatement></component>"
                .to_owned(),
            "no-id",
        ),
        ("same id again", GOOD.replace("80.50", "81"), "repeated-id"),
        (
            "unknown statement",
            format!("<component><NovelStatement>{id}<text>words of it</text></NovelStatement></component>"),
            "unknown-statement",
        ),
        (
            "unknown part of a statement",
            format!(
                "<component><PlanStatement>{id}<code displayName=\"x\"/><novelty><text>words of it</text></novelty></PlanStatement></component>"
            ),
            "unknown-statement",
        ),
        (
            "foreign namespace",
            "<component><x xmlns=\"urn:other\">words</x></component>".to_owned(),
            "unknown-statement",
        ),
        (
            "bad date",
            format!(
                r#"<component><ObservationStatement>{id}<code displayName="x"/><effectiveTime><center value="20190230"/></effectiveTime></ObservationStatement></component>"#
            ),
            "malformed-date",
        ),
        (
            "bad number",
            format!(
                r#"<component><ObservationStatement>{id}<code displayName="x"/><value value="eighty"/></ObservationStatement></component>"#
            ),
            "unmappable-value",
        ),
        (
            "document that was not sent",
            format!(
                r#"<component><NarrativeStatement>{id}<text>Letter</text><reference><referredToExternalDocument>{id}<text mediaType="image/tiff"><reference value="file://localhost/nowhere%20at%20all.tif"/></text></referredToExternalDocument></reference></NarrativeStatement></component>"#
            ),
            "document-not-received",
        ),
        (
            "order without plan",
            format!(
                r#"<component><MedicationStatement moodCode="ORD">{id}<component><ehrSupplyPrescribe><id root="25D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/><inFulfillmentOf><priorMedicationRef><id root="35D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/></priorMedicationRef></inFulfillmentOf></ehrSupplyPrescribe></component></MedicationStatement></component>"#
            ),
            "order-without-plan",
        ),
        (
            "problem of nothing",
            format!(
                r#"<component><LinkSet>{id}<code code="394774009"/><component><statementRef><id root="35D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/></statementRef></component></LinkSet></component>"#
            ),
            "dangling-reference",
        ),
        (
            "laboratory comment of no shape",
            format!(
                r#"<component><CompoundStatement classCode="CLUSTER">{id}<code code="16488004"/><component><NarrativeStatement><id root="25D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/><text>see CommentType:??</text></NarrativeStatement></component></CompoundStatement></component>"#
            ),
            "malformed-comment",
        ),
    ] {
        let states = states(&statements);
        assert!(states.iter().any(|(_, state)| state.contains(reason)), "{what}: {states:?}");
    }
}

#[test]
fn two_folders_prefixes_and_marks_before_the_text_are_read() {
    let text = message(GOOD);
    let folder = &text[text.find("<component><ehrFolder>").unwrap()..text.find("</EhrExtract>").unwrap()];
    let second = folder.replace("05E9B02E", "45E9B02E").replace("9B69EBA5", "AB69EBA5");
    let twice = text.replacen("</EhrExtract>", &format!("{second}</EhrExtract>"), 1);
    let reading = extract::read(twice.as_bytes(), &Expected::default()).unwrap();
    balanced(&reading, "two folders");
    let json = String::from_utf8(reading.json).unwrap();
    assert_eq!(json.matches(r#""resourceType":"Observation""#).count(), 2, "D18: both folders are read");
    let prefixed = text
        .replace("</", "</h:")
        .replace('<', "<h:")
        .replace("<h:/h:", "</h:")
        .replace("xmlns=", "xmlns:h=");
    let marked = format!("\u{FEFF}<?xml version=\"1.0\"?>{prefixed}");
    let read = extract::read(marked.as_bytes(), &Expected::default()).unwrap();
    assert_eq!(read, extract::read(text.as_bytes(), &Expected::default()).unwrap(), "prefixes mean nothing");
}

#[test]
fn only_what_is_no_record_of_this_patient_is_refused() {
    let text = message(GOOD);
    let read = |text: &str, number: Option<&str>| {
        let nhs_number = number.map(|n| throughcare::model::NhsNumber::parse(n).unwrap());
        extract::read(text.as_bytes(), &Expected { nhs_number, ..Expected::default() }).err()
    };
    assert_eq!(read(&text, Some("9990000018")), None);
    assert_eq!(read(&text, Some("9990000026")), Some(ReadRefusal::AnotherPatient), "D18, hazard H1");
    assert_eq!(read(&text.replace("recordTarget", "recordAim"), None), Some(ReadRefusal::NoPatient));
    assert_eq!(read(&text.replace("EhrExtract", "Other"), None), Some(ReadRefusal::NoExtract));
    assert_eq!(read("<a>", None), Some(ReadRefusal::NotXml { line: 1 }));
    assert_eq!(read(&format!("<!DOCTYPE a>{text}"), None), Some(ReadRefusal::NotXml { line: 1 }));
    assert_eq!(read(&"<a>".repeat(500), None), Some(ReadRefusal::TooDeep));
    for end in (0..text.len()).step_by(97) {
        assert!(read(text.get(..end).unwrap_or_default(), None).is_some(), "a cut message is no message");
    }
}

/// The resources of that kind that the message gives.
fn resources(text: &str, kind: &str) -> Vec<Value> {
    let reading = extract::read(text.as_bytes(), &Expected::default()).expect("the record is read");
    balanced(&reading, text);
    let bundle: Value = serde_json::from_slice(&reading.json).unwrap();
    let all = bundle["entry"].as_array().unwrap().iter().map(|e| e["resource"].clone());
    all.filter(|r| r["resourceType"] == kind).collect()
}

/// A MedicationStatement that authorises the drug.
fn authorised(id: &str, drug: &str, more: &str) -> String {
    format!(
        r#"<component><MedicationStatement moodCode="INT"><id root="A{id}D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/>
        <consumable><manufacturedProduct><manufacturedMaterial>{drug}</manufacturedMaterial></manufacturedProduct></consumable>
        <component><ehrSupplyAuthorise><id root="B{id}D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/><statusCode code="ACTIVE"/>
        <availabilityTime value="20100113"/></ehrSupplyAuthorise></component>{more}</MedicationStatement></component>"#
    )
}

#[test]
fn drugs_named_in_translations_alone_are_two() {
    let drug = |name: &str| format!(r#"<code nullFlavor="UNK"><translation displayName="{name}"/></code>"#);
    let plans = [("1", "Warfarin 5mg"), ("2", "Aspirin 75mg"), ("3", "Warfarin 5mg")];
    let plans: String = plans.iter().map(|(id, name)| authorised(id, &drug(name), "")).collect();
    let text = message(&plans);
    let drugs = resources(&text, "Medication");
    let given: Vec<String> = resources(&text, "MedicationRequest")
        .iter()
        .map(|plan| {
            let drug = plan["medicationReference"]["reference"].as_str().unwrap();
            let found = drugs.iter().find(|d| drug.ends_with(d["id"].as_str().unwrap())).unwrap();
            found["code"]["text"].as_str().unwrap().to_owned()
        })
        .collect();
    assert_eq!(given, ["Warfarin 5mg", "Aspirin 75mg", "Warfarin 5mg"], "a wrong drug (extract §13.4)");
    assert_eq!(drugs.len(), 2, "one for both plans that name it so");
}

#[test]
fn what_ends_no_plan_by_name_ends_the_one_beside_it() {
    let ends = |link: &str| {
        format!(
            r#"<component><ehrSupplyDiscontinue><id root="C1D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/>
            <availabilityTime value="20110203"/>{link}</ehrSupplyDiscontinue></component>"#
        )
    };
    let nowhere = r#"<reversalOf><priorMedicationRef><id root="35D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/></priorMedicationRef></reversalOf>"#;
    for link in ["", nowhere] {
        let statement = authorised("1", r#"<code displayName="Warfarin"/>"#, &ends(link));
        let plans = resources(&message(&statement), "MedicationRequest");
        assert_eq!(plans[0]["status"], "stopped", "a stopped drug must not look active (extract §13.4)");
        let states = states(&statement);
        assert!(states.iter().any(|(_, state)| state.contains("dangling-reference")), "{states:?}");
    }
    let another = r#"<component><ehrSupplyAuthorise><id root="D1D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/><statusCode code="ACTIVE"/></ehrSupplyAuthorise></component>"#;
    let two = authorised("1", r#"<code displayName="Warfarin"/>"#, &(ends("") + another));
    let plans = resources(&message(&two), "MedicationRequest");
    assert!(plans.iter().all(|p| p["status"] == "active"), "which of two is ended, nobody says");
}

const LABEL: &str = r#"<confidentialityCode code="NOPAT"/>"#;

/// Which resources of that kind have words in them, and whether each is labelled.
fn labelled(text: &str, kind: &str, words: &str) -> Vec<bool> {
    let all = resources(text, kind);
    let all = all.iter().filter(|r| r.to_string().contains(words));
    all.map(|r| r["meta"]["security"][0]["code"] == "NOPAT").collect()
}

#[test]
fn a_label_covers_every_resource_that_says_what_was_labelled() {
    let id = |n: u32| format!(r#"<id root="{n}5D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/>"#);
    let snomed = |code: &str| format!(r#"<code code="{code}" codeSystem="2.16.840.1.113883.2.1.3.2.4.15"/>"#);
    let half = |n: u32, code: &str| {
        let (id, code) = (id(n), snomed(code));
        format!(
            "<component><ObservationStatement>{id}{code}{LABEL}<value value=\"7\"/></ObservationStatement></component>"
        )
    };
    let pressure = format!(
        r#"<component><CompoundStatement classCode="BATTERY">{}{}{}{}</CompoundStatement></component>"#,
        id(1),
        snomed("75367002"),
        half(2, "271649006"),
        half(3, "271650006")
    );
    assert_eq!(labelled(&message(&pressure), "Observation", "75367002"), [true], "both halves");
    let comment = |n: u32, kind: &str| {
        let id = id(n);
        format!(
            "<component><NarrativeStatement>{id}<text>CommentType:{kind}\nCommentDate:1\n\nquokka</text>{LABEL}</NarrativeStatement></component>"
        )
    };
    let report = |inner: &str| {
        let (report, specimen, code) = (id(1), id(2), snomed("123038009"));
        format!(
            r#"<component><CompoundStatement classCode="CLUSTER">{report}{}<component><CompoundStatement classCode="CLUSTER">{specimen}{code}{inner}</CompoundStatement></component></CompoundStatement></component>"#,
            snomed("16488004")
        )
    };
    let result = format!(
        r#"<component><ObservationStatement>{}<code displayName="Hb"/></ObservationStatement></component>"#,
        id(4)
    );
    let aggregate = comment(5, "AGGREGATE COMMENT SET");
    for class in ["CLUSTER", "BATTERY"] {
        let group = report(&format!(
            r#"<component><CompoundStatement classCode="{class}">{}<code displayName="FBC"/>{result}{aggregate}</CompoundStatement></component>"#,
            id(3)
        ));
        assert_eq!(
            labelled(&message(&group), "Observation", "quokka"),
            [true],
            "a comment folded in a {class}"
        );
    }
    let specimen = report(&comment(5, "LAB SPECIMEN COMMENT(E271)"));
    assert_eq!(labelled(&message(&specimen), "Specimen", "quokka"), [true]);
    let conclusion = format!(
        r#"<component><CompoundStatement classCode="CLUSTER">{}{}{}</CompoundStatement></component>"#,
        id(1),
        snomed("16488004"),
        comment(5, "LABORATORY RESULT COMMENT(E141)")
    );
    assert_eq!(labelled(&message(&conclusion), "DiagnosticReport", "quokka"), [true]);
    let inner = format!(
        "<component><FooStatement>{}<component><PlanStatement>{}<text>quokka</text>{LABEL}</PlanStatement></component></FooStatement></component>",
        id(1),
        id(2)
    );
    assert_eq!(labelled(&message(&inner), "Observation", "quokka"), [true], "in a statement nobody knows");
    let part = format!(
        "{LABEL}<component><PlanStatement>{}<novelty><text>quokka</text></novelty></PlanStatement></component>",
        id(1)
    );
    assert_eq!(
        labelled(&message(&part), "Observation", "quokka"),
        [true],
        "left over in a labelled composition"
    );
    let stopped = format!(
        r#"<component><ehrSupplyDiscontinue>{}<availabilityTime value="20110203"/>{LABEL}<pertinentInformation><pertinentSupplyAnnotation><text>quokka</text></pertinentSupplyAnnotation></pertinentInformation></ehrSupplyDiscontinue></component>"#,
        id(1)
    );
    let plan = authorised("1", r#"<code displayName="Warfarin"/>"#, &stopped);
    assert_eq!(labelled(&message(&plan), "MedicationRequest", "quokka"), [true], "extract §13.5");
}

/// The message with these parts in its agent directory, and an agent whom its composition names.
fn with_agents(text: &str, parts: &str) -> String {
    let agent = |root: &str, name: &str| {
        format!(
            "<part><Agent><id root=\"{root}\"/><agentPerson><name><family>{name}</family></name></agentPerson></Agent></part>"
        )
    };
    let parts = agent("A0D6C748-100D-46E3-A8BC-DFEA5F2DB2BD", "Moss") + parts;
    let directory = format!("<responsibleParty><agentDirectory>{parts}</agentDirectory></responsibleParty>");
    let participant = r#"<Participant2 typeCode="PPRF"><agentRef><id root="A0D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/></agentRef></Participant2>"#;
    text.replacen("<ehrFolder>", &format!("<ehrFolder>{directory}"), 1)
        .replace("</ehrComposition>", &format!("{participant}</ehrComposition>"))
}

#[test]
fn an_entry_is_never_attributed_to_another_than_it_names() {
    let performer = |statement: &str, parts: &str| {
        let text = with_agents(&message(statement), parts);
        resources(&text, "Observation")[0]["performer"][0]["reference"].clone()
    };
    let by = |agent: &str| {
        format!(
            r#"<component><ObservationStatement><id root="15D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/><code displayName="x"/>
            <Participant typeCode="PRF"><agentRef>{agent}</agentRef></Participant></ObservationStatement></component>"#
        )
    };
    let moss = Value::from("Practitioner/A0D6C748-100D-46E3-A8BC-DFEA5F2DB2BD");
    let other = r#"<id root="B0D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/>"#;
    assert_eq!(performer(GOOD, ""), moss, "who names nobody was with the consultation's performer");
    assert_eq!(performer(&by("<id nullFlavor=\"UNK\"/>"), ""), moss);
    assert_eq!(performer(&by(other), ""), Value::Null, "an unknown agent is not Dr Moss");
    let states = states(&by(other));
    assert!(states.iter().any(|(_, state)| state.contains("unknown-agent")), "{states:?}");
    let spine = format!(
        r#"<part><AgentPersonSDS>{other}<agentPersonSDS><id root="1.2.826.0.1285.0.2.0.65" extension="555"/></agentPersonSDS></AgentPersonSDS></part>"#
    );
    assert_eq!(performer(&by(other), &spine), "Practitioner/B0D6C748-100D-46E3-A8BC-DFEA5F2DB2BD");
}

/// An allergy to a drug, with more in its observation and its compound.
fn allergy(inner: &str, outer: &str) -> String {
    format!(
        r#"<component><CompoundStatement classCode="CATEGORY"><id root="C1D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/>
        <code code="14L..00" codeSystem="2.16.840.1.113883.2.1.6.2"/><component><ObservationStatement>
        <id root="D1D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/>{inner}</ObservationStatement></component>{outer}</CompoundStatement></component>"#
    )
}

#[test]
fn an_allergy_keeps_all_that_it_says() {
    let note = "<pertinentInformation><pertinentAnnotation><text>quokka</text></pertinentAnnotation></pertinentInformation>";
    for (inner, outer, words) in [
        (
            r#"<code displayName="Adverse reaction"/><value>penicillin rash</value>"#,
            "",
            "Value: penicillin rash",
        ),
        (r#"<code displayName="x"/><value value="3" unit="mg"/>"#, "", "Value: 3 mg"),
        (
            r#"<code displayName="Adverse reaction"/><value code="1" displayName="Penicillin"/>"#,
            "",
            "Code: Adverse reaction",
        ),
        (
            r#"<code displayName="x"/><effectiveTime><low value="2010"/><high value="2011"/></effectiveTime>"#,
            "",
            "End Date: 2011",
        ),
        (r#"<code displayName="x"/>"#, note, "quokka"),
    ] {
        let allergies = resources(&message(&allergy(inner, outer)), "AllergyIntolerance");
        let notes = allergies[0]["note"].to_string();
        assert!(notes.contains(words), "{words} in {notes} (extract §1.5)");
    }
}

#[test]
fn a_heading_where_none_belongs_keeps_its_words() {
    let heading = |code: &str| {
        format!(
            r#"<component><CompoundStatement classCode="CATEGORY"><id root="15D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/>{code}{GOOD}</CompoundStatement></component>"#
        )
    };
    let named = message(&heading(r#"<code displayName="Quokka clinic"/>"#));
    let titles =
        |text: &str| -> Vec<Value> { resources(text, "List").iter().map(|l| l["title"].clone()).collect() };
    assert!(titles(&named).contains(&"Quokka clinic".into()), "extract §13.2: {:?}", titles(&named));
    let outside = named.replace("25671000000102", "196401000000100");
    let said = resources(&outside, "Observation");
    assert_eq!(said[1]["comment"], "Heading: Quokka clinic", "{said:?}");
    let made = message(&heading(r#"<code code="394841004" displayName="Other category"/>"#));
    assert_eq!(titles(&made).len(), 2, "a heading that stands for none is no List");
    let made = made.replace("25671000000102", "196401000000100");
    assert_eq!(resources(&made, "Observation").len(), 1, "and no comment");
}

#[test]
fn what_no_kind_reads_is_in_the_text_of_the_entry() {
    let id = r#"<id root="15D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/>"#;
    let file = |more: &str| {
        format!(
            r#"<component><NarrativeStatement>{id}<text>Letter</text><reference><referredToExternalDocument>{id}
            <text mediaType="image/tiff"><reference value="file://localhost/a.tif"/></text>{more}</referredToExternalDocument></reference></NarrativeStatement></component>"#
        )
    };
    let supply = |more: &str| authorised("1", r#"<code displayName="Warfarin"/>"#, more);
    let moss = r#"<agentRef><id root="A0D6C748-100D-46E3-A8BC-DFEA5F2DB2BD"/></agentRef>"#;
    for (kind, statement, words) in [
        (
            "Observation",
            format!(
                r#"<component><ObservationStatement>{id}<code displayName="x"/><priorityCode displayName="Urgent"/></ObservationStatement></component>"#
            ),
            "Priority code: Urgent",
        ),
        (
            "Observation",
            format!(
                "<component><ObservationStatement>{id}<code displayName=\"x\"/><informant>{moss}</informant></ObservationStatement></component>"
            ),
            "Informant: Moss",
        ),
        (
            "ProcedureRequest",
            format!(
                r#"<component><PlanStatement>{id}<code displayName="x"/><sequelTo><priorStatementRef><id root="05E9B02E-2991-4AE1-BFCF-444095DFEBD8"/></priorStatementRef></sequelTo></PlanStatement></component>"#
            ),
            "Sequel to: Body weight",
        ),
        ("DocumentReference", file(r#"<effectiveTime value="20110203"/>"#), "Effective time: 2011-02-03"),
        (
            "DocumentReference",
            file(r#"<setId extension="S7"/><versionNumber value="3"/>"#),
            "Version number: 3",
        ),
        ("DocumentReference", file(&format!("<author>{moss}</author>")), "Author: Moss"),
        ("MedicationRequest", supply(r#"<priorityCode displayName="Urgent"/>"#), "Priority code: Urgent"),
        (
            "MedicationRequest",
            supply(
                "<consumable><manufacturedProduct><manufacturedMaterial><code displayName=\"Aspirin\"/></manufacturedMaterial></manufacturedProduct></consumable>",
            ),
            "Consumable: Aspirin",
        ),
        (
            "MedicationRequest",
            supply(
                "<pertinentInformation><pertinentMedicationDosage><text>daily</text></pertinentMedicationDosage></pertinentInformation><pertinentInformation><pertinentMedicationDosage><text>at night</text></pertinentMedicationDosage></pertinentInformation>",
            ),
            "Dosage: at night",
        ),
    ] {
        let text = with_agents(&message(&format!("{GOOD}{statement}")), "");
        let all = resources(&text, kind);
        assert!(all.iter().any(|r| r.to_string().contains(words)), "{words} in {all:?} (extract §1.5)");
    }
}

#[test]
fn who_wrote_it_and_where_is_said_outside_consultations() {
    let author = |id: &str| format!("<author><agentRef><id root=\"{id}\"/></agentRef></author>");
    let place = "<location><locatedEntity><locatedPlace><name>Branch</name></locatedPlace></locatedEntity></location>";
    let clerk = "<part><Agent><id root=\"B0D6C748-100D-46E3-A8BC-DFEA5F2DB2BD\"/><agentPerson><name><family>Tern</family></name></agentPerson></Agent></part>";
    let comment = |code: &str, who: &str| {
        let text = message(&format!("{}{place}{GOOD}", author(who))).replace("25671000000102", code);
        resources(&with_agents(&text, clerk), "Observation")[0]["comment"].clone()
    };
    let (moss, tern) = ("A0D6C748-100D-46E3-A8BC-DFEA5F2DB2BD", "B0D6C748-100D-46E3-A8BC-DFEA5F2DB2BD");
    assert_eq!(comment("196401000000100", tern), "Author: Tern\nLocation: Branch", "extract §1.5");
    assert_eq!(comment("196401000000100", moss), "Location: Branch", "the performer is there already");
    assert_eq!(comment("25671000000102", tern), Value::Null, "a consultation has an Encounter for it");
}

#[test]
fn a_message_in_latin_1_is_read() {
    let text = message(GOOD).replace("Body weight", "Température");
    let latin: Vec<u8> =
        text.chars().map(|c| u8::try_from(u32::from(c)).expect("all of it is Latin 1")).collect();
    let declared = [&b"<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>"[..], &latin].concat();
    let read = extract::read(&declared, &Expected::default()).expect("the record is read");
    assert_eq!(read, extract::read(text.as_bytes(), &Expected::default()).unwrap());
    let other = [&b"<?xml version=\"1.0\" encoding=\"KOI8-R\"?>"[..], &latin].concat();
    let refused = extract::read(&other, &Expected::default()).unwrap_err();
    assert!(refused.to_string().contains("KOI8-R"), "{refused}");
}
