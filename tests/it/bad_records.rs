//! Records with something wrong in them: the record still goes, what is wrong is listed with its reason, and everything
//! beside it is unharmed. Only the wrong patient, no patient, or what is no record refuses it (extract §1.2).

use serde_json::{Value, json};
use throughcare::extract::{
    self, Content, Documents, Expected, Extract, Interaction, Record, RecordFault, RecordLimits, Refusal,
};

use crate::extracts::{assert_valid, build, bundles, parameters, tool};
use crate::tools;

const NUMBER: &str = "9990000018";
const GOOD: &str = "05E9B02E-2991-4AE1-BFCF-444095DFEBD8";
const BAD: &str = "15D6C748-100D-46E3-A8BC-DFEA5F2DB2BD";

fn patient() -> Value {
    json!({"resourceType": "Patient", "id": "p", "identifier": [
        {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": NUMBER}]})
}

/// A Bundle of the patient, a good entry, and what is given.
fn bundle(more: &[Value]) -> String {
    let good = json!({"resourceType": "Observation", "id": GOOD, "status": "final", "code": {"text": "Good entry"},
        "effectiveDateTime": "2020-01-02", "valueQuantity": {"value": 80.5, "unit": "kg"}});
    let resources = [patient(), good].into_iter().chain(more.iter().cloned());
    let entries: Vec<Value> = resources.map(|resource| json!({"resource": resource})).collect();
    json!({"resourceType": "Bundle", "type": "collection", "entry": entries}).to_string()
}

fn extract(text: &str) -> Result<Extract, Refusal> {
    let record = Record::parse(text.as_bytes(), &RecordLimits::default()).unwrap();
    extract::build(&record, &parameters(NUMBER, Interaction::Uk07), &Documents::new())
}

/// Messages on their way to `xmllint`, all at once.
#[derive(Default)]
struct Sent(Vec<(String, Vec<u8>)>);

impl Sent {
    /// Builds a record that must go; gives what its account says of the bad entries, and the text of the message.
    fn build(&mut self, what: &str, text: &str) -> (Vec<Value>, String) {
        let built = extract(text).unwrap_or_else(|why| panic!("{what}: {why}"));
        let account = serde_json::to_value(&built.account).unwrap();
        let total = |name: &str| account[name].as_u64().unwrap();
        let states = total("mapped") + total("merged") + total("degraded") + total("not_clinical");
        let entries = account["entries"].as_array().unwrap();
        assert_eq!((states, entries.len() as u64), (total("input"), total("input")), "{what}: extract §1.1");
        let xml = String::from_utf8(built.xml).unwrap();
        assert_eq!(extract::validate(xml.as_bytes()), [], "{what}: extract §1.3");
        let good = entries.iter().find(|e| e["resource"] == format!("Observation/{GOOD}")).unwrap();
        assert_eq!(good["state"], "mapped", "{what}: the good entry is unharmed");
        assert!(xml.contains("Good entry") && xml.contains("value=\"80.5\""), "{what}: {xml}");
        self.0.push((what.to_owned(), xml.clone().into_bytes()));
        let bad = entries.iter().filter(|e| {
            !["Patient/p", &format!("Observation/{GOOD}")].contains(&e["resource"].as_str().unwrap())
        });
        (bad.cloned().collect(), xml)
    }

    fn judge(self) {
        let Some(schema) = tools::shared("schema/hl7/schema/RCMR_IN030000UK07.xsd") else { return };
        let folder = tempfile::tempdir().unwrap();
        let file = |(n, (_, xml)): (usize, &(String, Vec<u8>))| {
            let file = folder.path().join(format!("{n}.xml"));
            std::fs::write(&file, xml).unwrap();
            file
        };
        let files: Vec<_> = self.0.iter().enumerate().map(file).collect();
        if tool("xmllint") {
            assert_valid(&schema, &files);
        }
    }
}

/// An entry of that type with these members, with the bad id.
fn entry(kind: &str, members: Value) -> Value {
    let mut resource = members;
    resource["resourceType"] = kind.into();
    resource["id"] = BAD.into();
    resource
}

/// Each entry alone in a record: what is listed of it, and words of it that are still there.
fn listed(cases: Vec<(&str, Vec<Value>, &str, &str)>) {
    let mut sent = Sent::default();
    for (what, resources, reason, words) in cases {
        let (bad, xml) = sent.build(what, &bundle(&resources));
        let said = serde_json::to_string(&bad).unwrap();
        assert!(said.contains(reason), "{what}: {said}");
        assert!(xml.contains(words), "{what}: no {words:?} in {xml}");
    }
    sent.judge();
}

#[test]
fn a_reference_that_leads_nowhere_is_listed_and_its_words_are_kept() {
    let nowhere = |display: &str| json!({"reference": "Practitioner/none", "display": display});
    let observed = |more: Value| {
        let mut resource = entry("Observation", json!({"code": {"text": "Cough"}, "status": "final"}));
        resource.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        vec![resource]
    };
    let reason = "dangling-reference";
    let extension = |name: &str| json!([{"url": format!("x/{name}-1"), "valueReference": {"reference": "Observation/none"}}]);
    let drug =
        json!({"intent": "order", "status": "completed", "medicationCodeableConcept": {"text": "Aspirin"}});
    let order = |more: Value| {
        let mut resource = entry("MedicationRequest", drug.clone());
        resource.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        vec![resource]
    };
    listed(vec![
        ("performer", observed(json!({"performer": [nowhere("Dr Moss")]})), "unknown-agent", "Dr Moss"),
        (
            "member",
            observed(
                json!({"related": [{"type": "has-member", "target": {"reference": "Observation/none", "display": "Sputum"}}]}),
            ),
            reason,
            "Sputum",
        ),
        ("consultation", observed(json!({"context": {"reference": "Encounter/none"}})), "mapped", "Cough"),
        (
            "plan",
            order(json!({"basedOn": [{"reference": "MedicationRequest/none"}]})),
            "order-without-plan",
            "Aspirin",
        ),
        (
            "drug",
            vec![entry(
                "MedicationRequest",
                json!({"intent": "plan", "medicationReference": {"reference": "Medication/none", "display": "Aspirin 75"}}),
            )],
            reason,
            "Aspirin 75",
        ),
        (
            "result",
            vec![entry(
                "DiagnosticReport",
                json!({"code": {"text": "Blood"}, "result": [{"reference": "Observation/none", "display": "Sodium"}]}),
            )],
            reason,
            "Sodium",
        ),
        (
            "specimen",
            vec![entry(
                "DiagnosticReport",
                json!({"code": {"text": "Blood"}, "specimen": [{"reference": "Specimen/none", "display": "Serum"}]}),
            )],
            reason,
            "Serum",
        ),
        (
            "problem",
            vec![entry(
                "Condition",
                json!({"code": {"text": "Asthma"}, "extension": extension("ActualProblem")}),
            )],
            reason,
            "Asthma",
        ),
        (
            "content",
            vec![entry(
                "Condition",
                json!({"code": {"text": "Asthma"}, "extension": extension("RelatedClinicalContent")}),
            )],
            reason,
            "Asthma",
        ),
        (
            "item",
            vec![entry(
                "List",
                json!({"code": {"text": "Odd"}, "entry": [{"item": {"reference": "Observation/none"}}]}),
            )],
            "merged",
            "",
        ),
    ]);
}

#[test]
fn circles_end() {
    let to = |kind: &str| json!({"reference": format!("{kind}/{BAD}")});
    let list = |code: &str| json!({"coding": [{"system": "http://snomed.info/sct", "code": code}]});
    let encounter = json!({"resourceType": "Encounter", "id": "e", "period": {"start": "2020-01-02"}, "partOf": {"reference": "Encounter/e"}});
    let other = |kind: &str, members: Value| {
        let mut resource = entry(kind, members);
        resource["id"] = "other".into();
        resource
    };
    let member = |of: Value| json!([{"type": "has-member", "target": of}]);
    let group = |of: Value| entry("Observation", json!({"code": {"text": "Round"}, "related": member(of)}));
    let plan = |kind: &str, of: Value| {
        entry(
            kind,
            json!({"intent": "plan", "medicationCodeableConcept": {"text": "Round"}, "basedOn": [of]}),
        )
    };
    listed(vec![
        (
            "a list in itself",
            vec![
                encounter.clone(),
                entry(
                    "List",
                    json!({"title": "Round", "code": list("25851000000105"), "encounter": {"reference": "Encounter/e"}, "entry": [{"item": to("List")}]}),
                ),
            ],
            "merged",
            "",
        ),
        (
            "consultation in itself",
            vec![
                encounter,
                entry(
                    "List",
                    json!({"title": "Round", "code": list("325851000000107"), "encounter": {"reference": "Encounter/e"}, "entry": [{"item": to("List")}]}),
                ),
            ],
            "no-code",
            "",
        ),
        ("member of itself", vec![group(to("Observation"))], BAD, "Round"),
        (
            "members of each other",
            vec![
                group(json!({"reference": "Observation/other"})),
                other(
                    "Observation",
                    json!({"code": {"text": "About"}, "related": member(to("Observation"))}),
                ),
            ],
            BAD,
            "About",
        ),
        ("plan of itself", vec![plan("MedicationRequest", to("MedicationRequest"))], BAD, "Round"),
        ("statement of itself", vec![plan("MedicationStatement", to("MedicationStatement"))], BAD, "Round"),
        (
            "problem of itself",
            vec![entry(
                "Condition",
                json!({"code": {"text": "Round"}, "extension": [
                {"url": "x/ActualProblem-1", "valueReference": to("Condition")},
                {"url": "x/RelatedProblemHeader-1", "extension": [{"url": "type", "valueCode": "child"}, {"url": "target", "valueReference": to("Condition")}]}]}),
            )],
            BAD,
            "Round",
        ),
        (
            "report of itself",
            vec![entry(
                "DiagnosticReport",
                json!({"code": {"text": "Round"}, "result": [to("DiagnosticReport")]}),
            )],
            BAD,
            "Round",
        ),
        (
            "specimen of itself",
            vec![entry("Specimen", json!({"type": {"text": "Round"}, "parent": [to("Specimen")]}))],
            BAD,
            "Round",
        ),
    ]);
}

#[test]
fn contained_foreign_and_repeated_resources_are_all_accounted_for() {
    let contained = json!([{"resourceType": "Medication", "id": "m", "code": {"text": "Contained aspirin"}},
        {"resourceType": "Observation", "id": "o", "code": {"text": "Contained cough"}},
        {"resourceType": "Practitioner", "id": "d", "name": [{"text": "Contained Moss"}]}]);
    let again = json!({"resourceType": "Observation", "id": GOOD.to_lowercase(), "code": {"text": "The same id again"}});
    listed(vec![
        (
            "contained",
            vec![entry(
                "MedicationRequest",
                json!({"intent": "plan", "medicationReference": {"reference": "#m"}, "recorder": {"reference": "#d"}, "contained": contained}),
            )],
            &format!("MedicationRequest/{BAD}#o"),
            "Contained aspirin",
        ),
        (
            "contained statement",
            vec![entry("Basic", json!({"contained": contained}))],
            "narrated",
            "Contained cough",
        ),
        (
            "family history",
            vec![entry("FamilyMemberHistory", json!({"note": [{"text": "Mother had asthma"}]}))],
            "narrated",
            "Mother had asthma",
        ),
        (
            "no type FHIR has",
            vec![entry("Novelty", json!({"anything": {"at": ["all", 7, true]}}))],
            "narrated",
            "all",
        ),
        ("no type", vec![json!({"id": BAD, "words": "Untyped words"})], "narrated", "Untyped words"),
        ("a number", vec![json!(7)], "not_clinical", ""),
        ("a text", vec![json!("words")], "Unknown/~2", ""),
        ("same id, other case", vec![again.clone()], "Observation/", "The same id again"),
        (
            "same id, other type",
            vec![json!({"resourceType": "Condition", "id": GOOD, "code": {"text": "Not an observation"}})],
            &format!("Condition/{GOOD}"),
            "Not an observation",
        ),
        (
            "no id",
            vec![json!({"resourceType": "Observation", "code": {"text": "Without an id"}})],
            "mapped",
            "Without an id",
        ),
    ]);
}

#[test]
fn dates_quantities_and_texts_that_are_none_are_quoted() {
    let dated = |date: Value| {
        vec![entry("Observation", json!({"code": {"text": "Cough"}, "effectiveDateTime": date}))]
    };
    let measured = |value: Value| {
        vec![entry("Observation", json!({"code": {"text": "Weight"}, "valueQuantity": value}))]
    };
    let long = "kg".repeat(2500);
    let supplied = |value: Value| {
        vec![entry(
            "MedicationRequest",
            json!({"intent": "plan", "medicationCodeableConcept": {"text": "Aspirin"}, "dispenseRequest": {"quantity": {"value": value, "unit": "tablet"}}}),
        )]
    };
    let sixty = "9".repeat(60);
    listed(vec![
        ("no such day", dated(json!("2019-02-30")), "malformed-date", "2019-02-30"),
        ("no date", dated(json!("yesterday")), "malformed-date", "yesterday"),
        ("no year", dated(json!("0000")), "malformed-date", "0000"),
        ("no hour", dated(json!("2019-12-31T25:00:00Z")), "malformed-date", "25:00:00"),
        ("empty", dated(json!("")), "mapped", "Cough"),
        ("a number for a date", dated(json!(2019)), BAD, "Cough"),
        ("a list for a date", dated(json!(["2019"])), BAD, "Cough"),
        ("negative", measured(json!({"value": -80, "unit": "kg"})), "mapped", "value=\"-80\""),
        ("word for a number", measured(json!({"value": "NaN", "unit": "kg"})), "unmappable-value", "NaN"),
        ("long unit", measured(json!({"value": 1, "unit": long})), BAD, "kgkgkg"),
        ("nothing of it", measured(json!({"value": null})), BAD, "Weight"),
        ("negative supply", supplied(json!(-28)), BAD, "-28"),
        ("absurd supply", supplied(serde_json::from_str(&sixty).unwrap()), BAD, "Aspirin"),
        ("code is a text", vec![entry("Observation", json!({"code": "Cough by itself"}))], "no-code", ""),
        (
            "everything is wrong",
            vec![entry(
                "Observation",
                json!({"code": null, "status": [], "performer": {}, "related": "x", "component": 7, "comment": {"a": "b"}, "effectivePeriod": "May"}),
            )],
            BAD,
            "",
        ),
    ]);
}

#[test]
fn numbers_that_no_machine_has_are_kept_as_they_were_written() {
    let mut sent = Sent::default();
    let observed = entry(
        "Observation",
        json!({"code": {"text": "Weight"}, "valueQuantity": {"value": 12345, "unit": "kg"}}),
    );
    for number in [
        "1e400",
        "0.000000000000000000000000000000000000000000000001",
        &"7".repeat(60),
        "-0",
        "1E-7",
        "80.50",
    ] {
        let (bad, xml) =
            sent.build(number, &bundle(std::slice::from_ref(&observed)).replace("12345", number));
        assert!(xml.contains(number) || bad[0]["state"] == "degraded", "{number}: {bad:?} {xml}");
    }
    sent.judge();
}

#[test]
fn what_xml_cannot_carry_is_replaced_and_listed() {
    let mut sent = Sent::default();
    let odd = r#"a\u0000b\u000bc\ufffed\ud800e"#;
    for (what, members) in [
        ("text", json!({"code": {"text": "Cough"}, "comment": "ODD"})),
        ("code", json!({"code": {"text": "ODD"}})),
        ("value", json!({"code": {"text": "Cough"}, "valueString": "ODD"})),
        ("unit", json!({"code": {"text": "Cough"}, "valueQuantity": {"value": 1, "unit": "ODD"}})),
        (
            "display",
            json!({"code": {"coding": [{"system": "http://snomed.info/sct", "code": "27113001", "display": "ODD"}]}}),
        ),
    ] {
        let text = bundle(&[entry("Observation", members)]).replace("ODD", odd);
        let (bad, xml) = sent.build(what, &text);
        assert_eq!(bad[0]["reasons"], json!(["characters-replaced"]), "{what}: {bad:?}");
        assert!(xml.contains("a\u{fffd}b"), "{what}: what is left can be read: {xml}");
    }
    let large = "Ten megabytes. ".repeat(700_000);
    let text = bundle(&[entry("Observation", json!({"code": {"text": "Cough"}, "comment": large}))]);
    let (bad, xml) = sent.build("ten megabytes of text", &text);
    assert_eq!(bad[0]["reasons"], json!(["text-too-long"]));
    assert!(
        xml.contains("attached file") && xml.contains(".txt"),
        "the text is cut, and says where it is whole"
    );
    let attached = extract(&text).unwrap().attachments;
    assert_eq!(attached[0].content, Content::Inline(large.into_bytes()), "not a byte of it is lost");
    sent.judge();
}

#[test]
fn a_record_without_entries_is_one_registration() {
    let only = json!({"resourceType": "Bundle", "entry": [{"resource": patient()}]}).to_string();
    let built = extract(&only).unwrap();
    let xml = String::from_utf8(built.xml).unwrap();
    assert_eq!(xml.matches("<RegistrationStatement").count(), 1, "extract §2.1: {xml}");
    assert_eq!(xml.matches("<ehrComposition").count(), 1);
    assert_eq!(extract::validate(xml.as_bytes()), []);
    assert_eq!((built.account.input, built.account.merged), (1, 1));
}

#[test]
fn only_the_patient_refuses_a_record() {
    let with = |number: &str| bundle(&[]).replace(NUMBER, number);
    assert_eq!(extract(&bundle(&[]).replace("\"Patient\"", "\"Person\"")), Err(Refusal::NoPatient));
    assert_eq!(extract(&with("9990000026")), Err(Refusal::AnotherPatient), "hazard H1");
    assert_eq!(extract(&with("9990000019")), Err(Refusal::NhsNumberMissing), "a wrong check digit");
    let identifier = |number: &str| json!({"system": "https://fhir.nhs.uk/Id/nhs-number", "value": number});
    let two = json!([identifier(NUMBER), identifier("9990000026")]).to_string();
    let one = json!([identifier(NUMBER)]).to_string();
    assert_eq!(extract(&bundle(&[]).replace(&one, &two)), Err(Refusal::NhsNumberMissing), "two are none");
    let parse = |text: &str| Record::parse(text.as_bytes(), &RecordLimits::default()).err();
    assert_eq!(parse("{\"resourceType\": \"Bundle\""), Some(RecordFault::NotJson));
    assert_eq!(parse("[]"), Some(RecordFault::NotBundle));
    let deep = format!("{}{}", "[".repeat(100_000), "]".repeat(100_000));
    assert_eq!(parse(&deep), Some(RecordFault::TooDeep { limit: 64 }));
}

#[test]
fn a_hundred_builds_and_readings_are_the_same_also_on_two_threads() {
    let Some(shared) = tools::shared("") else { return };
    let path = bundles(&shared).into_iter().find(|p| p.ends_with("emis-join/PWTP2.json")).unwrap();
    let first = build(&path, Interaction::Uk07).unwrap();
    let read = extract::read(&first.xml, &Expected::default()).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                for _ in 0..50 {
                    let again = build(&path, Interaction::Uk07).unwrap();
                    assert!(again == first, "extract §1.4: the same bytes");
                    assert!(extract::read(&again.xml, &Expected::default()).unwrap() == read, "extract §1.4");
                }
            });
        }
    });
}
