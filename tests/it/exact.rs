//! One resource in, one fragment out, against the fragments of another mapper: equal once identifiers are set aside, or
//! listed in `tests/deviations.tsv` with the rule that ours follows instead.
//!
//! A deviation that occurs and is not listed fails, and so does one that is listed and no longer occurs. Set
//! `THROUGHCARE_SHOW` to a part of a file's name to see both fragments; `all` prints every line the list would need.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};
use throughcare::extract::{
    self, Document, Documents, Extract, Interaction, Parameters, Record, RecordLimits,
};
use throughcare::model::{Asid, ConversationId, MessageId, NhsNumber, OdsCode, Timestamp};

use crate::fragments::{Fragment, differences};
use crate::tools;

const DEVIATIONS: &str = include_str!("../deviations.tsv");

#[test]
fn each_resource_gives_the_fragment_that_another_mapper_gives_or_a_listed_one() {
    let Some(folder) = tools::shared("fixtures/exact") else { return };
    let pairs = rows(&folder.join("pairs.tsv"));
    assert_eq!(pairs.len(), 78, "the fixtures have 78 pairs");
    let mut found = BTreeSet::new();
    for pair in &pairs {
        let (case, expected) = (Case::of(&folder, &pair[0], &pair[1], &pair[2]), &pair[2]);
        let theirs = std::fs::read_to_string(folder.join(&pair[0]).join(expected)).unwrap();
        let theirs = case.theirs(&theirs);
        let ours = case.ours(&theirs);
        let place = format!("exact/{}/{}", pair[0], pair[1].replace(['"', '(', ')'], ""));
        show(&place, &theirs, &ours);
        let ours = ours.unwrap_or_default();
        found.extend(differences(&theirs, &ours).into_iter().map(|d| (format!("{place} {expected}"), d)));
    }
    hold(&found);
}

#[test]
fn what_the_peer_refuses_ours_degrades_and_the_record_goes() {
    let Some(folder) = tools::shared("fixtures/exact") else { return };
    for row in rows(&folder.join("peer-refuses.tsv")) {
        let case = Case::of(&folder, &row[0], &row[1], "");
        let extract = case.build();
        let account = serde_json::to_value(&extract.account).unwrap();
        let entry = entry(&account, &case.key);
        // An unknown word is kept as text, which loses nothing; everything else is degraded with its reason.
        let state = entry["state"].as_str().unwrap();
        assert!(["mapped", "degraded"].contains(&state), "D12: {} ended {entry}", row[1]);
        println!("{}: {entry}", row[1]);
    }
}

fn rows(path: &Path) -> Vec<Vec<String>> {
    let text = std::fs::read_to_string(path).unwrap();
    text.lines().skip(1).map(|line| line.split('\t').map(str::to_owned).collect()).collect()
}

fn listed() -> BTreeSet<(String, String)> {
    let lines = DEVIATIONS.lines().filter(|l| l.starts_with("exact/"));
    lines
        .map(|line| {
            let columns: Vec<&str> = line.split('\t').collect();
            assert!(columns.len() == 3 && !columns[2].is_empty(), "a deviation has a rule: {line}");
            (columns[0].to_owned(), columns[1].to_owned())
        })
        .collect()
}

fn hold(found: &BTreeSet<(String, String)>) {
    let listed = listed();
    let lines = |set: Vec<&(String, String)>| {
        set.iter().map(|(place, what)| format!("{place} | {what}")).collect::<Vec<_>>().join("\n")
    };
    let new: Vec<_> = found.difference(&listed).collect();
    let gone: Vec<_> = listed.difference(found).collect();
    assert!(new.is_empty(), "not in tests/deviations.tsv ({}):\n{}", new.len(), lines(new));
    assert!(gone.is_empty(), "in tests/deviations.tsv, but no longer so ({}):\n{}", gone.len(), lines(gone));
}

fn show(place: &str, theirs: &Fragment, ours: &Option<Fragment>) {
    if std::env::var("THROUGHCARE_SHOW").is_ok_and(|part| place.contains(&part)) {
        println!("== {place}\ntheirs {theirs:#?}\nours {ours:#?}");
    }
}

/// One resource in the record it belongs to.
struct Case {
    group: String,
    bundle: Value,
    /// `Type/id` of the resource whose fragment is compared.
    key: String,
    /// The element in that resource's statement that is compared; the statement when there is none.
    part: Option<&'static str>,
}

impl Case {
    fn of(folder: &Path, group: &str, input: &str, expected: &str) -> Self {
        let folder = folder.join(group);
        let resource = std::fs::read_to_string(folder.join(input)).ok().map(|t| parse(&t));
        match group.split('/').next().unwrap() {
            "codeableconcept" => code_case(resource, input, expected),
            "medication_request" => {
                let resource = resource.unwrap();
                let stated = resource["id"].as_str().is_some_and(|id| id.starts_with("mr-"));
                let context =
                    if stated { "fhir-bundle-with-medication-statements.json" } else { "fhir-bundle.json" };
                Self::in_context(group, &folder.join(context), resource)
            }
            "documentreference" => {
                let mut resource = resource.unwrap();
                // Their template fills in later whether there is a file: here there is one.
                for content in resource["content"].as_array_mut().into_iter().flatten() {
                    if content["attachment"]["url"].is_null() {
                        content["attachment"]["url"] = json!("https://there.example/file");
                    }
                }
                Self::in_context(group, &folder.join("input-bundle.json"), resource)
            }
            "diagnosticreport" => laboratory_case(group, &folder, resource.unwrap()),
            _ => Self::in_context(group, &folder.join("fhir-bundle.json"), resource.unwrap()),
        }
    }

    /// The resource, and what the file beside it has around it.
    fn in_context(group: &str, context: &Path, resource: Value) -> Self {
        let bundle = parse(&std::fs::read_to_string(context).unwrap());
        let around = bundle["entry"].as_array().unwrap().iter().map(|e| e["resource"].clone());
        Self::new(group, resource, around.collect())
    }

    fn new(group: &str, mut resource: Value, mut around: Vec<Value>) -> Self {
        if resource["id"].is_null() {
            resource["id"] = json!("under-test");
        }
        // An input that refers to its namesake in the record is another resource.
        let text = resource.to_string();
        if text.contains(&format!("\"{}\"", name(&resource))) {
            resource["id"] = json!("under-test");
        }
        around.retain(|r| name(r) != name(&resource));
        let key = name(&resource);
        around.insert(0, resource);
        let number = json!([{"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018"}]);
        match around.iter_mut().find(|r| r["resourceType"] == "Patient") {
            Some(patient) => patient["identifier"] = number,
            None => {
                around.push(json!({"resourceType": "Patient", "id": "the-patient", "identifier": number}))
            }
        }
        let entries: Vec<Value> = around.into_iter().map(|r| json!({"resource": r})).collect();
        let bundle = json!({"resourceType": "Bundle", "entry": entries});
        Self { group: group.to_owned(), bundle, key, part: None }
    }

    fn build(&self) -> Extract {
        let text = unparse(&self.bundle);
        let record = Record::parse(text.as_bytes(), &RecordLimits::default()).unwrap();
        let mut documents = Documents::new();
        for wanted in record.documents() {
            let content_type = wanted.content_type.unwrap_or_default();
            documents.insert(wanted.url, Document::Present { length: 5, content_type });
        }
        extract::build(&record, &parameters(), &documents).unwrap()
    }

    /// Their fragment: the statement inside the component.
    fn theirs(&self, xml: &str) -> Fragment {
        let fragment = Fragment::parse(xml);
        match fragment.name.as_str() {
            "component" => fragment.children.into_iter().next().unwrap(),
            "" => together(fragment),
            _ => fragment,
        }
    }

    /// Ours: the element of the same name and class that the account says the resource became.
    fn ours(&self, theirs: &Fragment) -> Option<Fragment> {
        let extract = self.build();
        let account = serde_json::to_value(&extract.account).unwrap();
        let entry = entry(&account, &self.key);
        let id = entry.get("to").or(entry.get("into")).and_then(Value::as_str)?;
        let whole = Fragment::parse(&String::from_utf8(extract.xml).unwrap());
        let path = whole.path_to(id)?;
        if let Some(part) = self.part {
            // A drug stands beside the supply that the account names.
            let drug = path.iter().find(|f| f.name == "MedicationStatement");
            let mut holder = *drug.or(path.last())?;
            let mut found = Vec::new();
            // What a problem is called stands in the statement that its LinkSet names.
            holder.all("namedStatementRef", &mut found);
            if let Some(named) = found.first().and_then(|n| n.child("id")) {
                holder = whole.path_to(&named.attributes["root"])?.pop()?;
            }
            found.clear();
            holder.all(part, &mut found);
            let holder = found.first()?;
            return if holder.name == "code" {
                Some((*holder).clone())
            } else {
                holder.child("code").cloned()
            };
        }
        if theirs.name.is_empty() {
            return path
                .iter()
                .rev()
                .find(|f| f.child("component").is_some())
                .map(|f| together((*f).clone()));
        }
        let alike = |f: &&&Fragment| {
            let class = |f: &Fragment| f.attributes.get("classCode").cloned();
            f.name == theirs.name && (class(f) == class(theirs))
        };
        let ours = path.iter().rev().find(alike).or(path.last()).copied().cloned()?;
        Some(if self.group == "diagnosticreport/specimen" { alone(ours) } else { ours })
    }
}

/// The statements that stand side by side in it.
fn together(level: Fragment) -> Fragment {
    let components = level.children.into_iter().filter(|c| c.name == "component");
    Fragment { children: components.flat_map(|c| c.children).collect(), ..Fragment::default() }
}

/// The specimen without its results, for which their fragments have a mark.
fn alone(specimen: Fragment) -> Fragment {
    specimen.without(&|f| f.name == "component" && f.children.iter().any(|c| c.name != "NarrativeStatement"))
}

/// Reads a document; decimals under `value` stay as they are written, which a number would not (extract §4).
fn parse(text: &str) -> Value {
    let mut pieces = text.trim_start_matches('\u{feff}').split("\"value\"");
    let mut marked = pieces.next().unwrap().to_owned();
    for piece in pieces {
        let after = piece.trim_start().trim_start_matches(':').trim_start();
        let digits =
            after.len() - after.trim_start_matches(|c: char| c.is_ascii_digit() || "+-.eE".contains(c)).len();
        if digits == 0 {
            marked.push_str(&format!("\"value\"{piece}"));
        } else {
            marked.push_str(&format!("\"value\": \"{MARK}{}\"{}", &after[..digits], &after[digits..]));
        }
    }
    serde_json::from_str(&marked).unwrap()
}

const MARK: &str = "as written ";

/// Writes it again, the decimals as they were.
fn unparse(value: &Value) -> String {
    let mut pieces = serde_json::to_string(value).unwrap();
    while let Some(start) = pieces.find(&format!("\"{MARK}")) {
        let digits = start + 1 + MARK.len();
        let end = digits + pieces[digits..].find('"').unwrap();
        let number = pieces[digits..end].to_owned();
        pieces.replace_range(start..=end, &number);
    }
    pieces
}

fn name(resource: &Value) -> String {
    format!("{}/{}", resource["resourceType"].as_str().unwrap(), resource["id"].as_str().unwrap_or_default())
}

fn entry<'a>(account: &'a Value, key: &str) -> &'a Value {
    let entries = account["entries"].as_array().unwrap();
    entries.iter().find(|e| e["resource"] == key).unwrap_or_else(|| panic!("the account has {key}"))
}

/// A concept is a part of some resource: each in the record that shows it.
fn code_case(resource: Option<Value>, input: &str, expected: &str) -> Case {
    let group = "codeableconcept";
    let consultation = |list: Value, problem: Option<Value>| {
        let mut around = vec![
            json!({"resourceType": "Encounter", "id": "e", "period": {"start": "2020-01-01"}}),
            json!({"resourceType": "List", "id": "l", "encounter": {"reference": "Encounter/e"},
                "code": {"coding": [{"code": "325851000000107"}]}, "entry": [{"item": {"reference": "List/t"}}]}),
            json!({"resourceType": "List", "id": "c", "title": list["title"].clone(),
                "code": {"coding": [{"code": "24781000000107"}]}, "entry": [{"item": {"reference": "Observation/o"}}]}),
            json!({"resourceType": "Observation", "id": "o", "code": {"text": "o"}}),
        ];
        around.extend(problem);
        Case::new(group, list, around)
    };
    let topic = |more: Value| {
        let mut list = json!({"resourceType": "List", "id": "t", "code": {"coding": [{"code": "25851000000105"}]},
            "entry": [{"item": {"reference": "List/c"}}]});
        list.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        list
    };
    let Some(resource) = resource else {
        let mut case = consultation(topic(json!({"title": "test title"})), None);
        case.key = if expected.starts_with("category") { "List/c" } else { "List/t" }.to_owned();
        case.part = Some("code");
        return case;
    };
    let mut case = match input.split('/').next().unwrap() {
        "topic" => {
            let header = json!({"extension": [{"url": "x/RelatedProblemHeader-1", "extension": [
                {"url": "target", "valueReference": {"reference": name(&resource)}}]}]});
            consultation(topic(header), Some(resource))
        }
        "actualProblem" => {
            let condition = json!({"resourceType": "Condition", "id": "p", "code": resource["code"].clone(),
                "extension": [{"url": "x/ActualProblem-1", "valueReference": {"reference": "Immunization/i"}}]});
            let immunization =
                json!({"resourceType": "Immunization", "id": "i", "vaccineCode": {"text": "x"}});
            Case::new(group, condition, vec![immunization])
        }
        "medication" => {
            let request = json!({"resourceType": "MedicationRequest", "id": "m", "intent": "plan", "status": "active",
                "medicationReference": {"reference": name(&resource)}});
            Case::new(group, request, vec![resource])
        }
        folder => {
            let mut resource = resource;
            if folder.starts_with("allergy") {
                let status = if folder == "allergyActive" { "active" } else { "resolved" };
                resource["clinicalStatus"] = json!(status);
            }
            Case::new(group, resource, Vec::new())
        }
    };
    case.part = Some(if input.starts_with("medication") { "manufacturedMaterial" } else { "code" });
    case
}

/// A specimen or a result is read in a report that refers to it.
fn laboratory_case(group: &str, folder: &Path, resource: Value) -> Case {
    let context = folder.parent().unwrap().join("fhir_bundle.json");
    let mut case = Case::in_context(group, &context, resource.clone());
    let (list, kind) =
        if group.ends_with("specimen") { ("specimen", "Specimen") } else { ("result", "Observation") };
    assert_eq!(resource["resourceType"], kind);
    let entries = case.bundle["entry"].as_array_mut().unwrap();
    let report =
        entries.iter_mut().map(|e| &mut e["resource"]).find(|r| r["resourceType"] == "DiagnosticReport");
    let report = report.unwrap();
    // The time of the report is an argument of theirs, not in the record.
    if list == "specimen" {
        report["issued"] = json!("2020-10-12T13:33:44Z");
    }
    let references = report[list].as_array_mut().unwrap();
    if references.iter().all(|r| r["reference"] != case.key) {
        references.push(json!({"reference": case.key}));
    }
    case
}

/// The parameters of every extract built of a few resources.
pub fn parameters() -> Parameters {
    Parameters {
        message_id: MessageId::derived(&["exact"]),
        request_id: Some("7D2F0A3C-5B1E-4C2A-9E4B-0123456789AB".to_owned()),
        nhs_number: NhsNumber::parse("9990000018").unwrap(),
        from_ods: OdsCode::parse("HMP01").unwrap(),
        to_ods: OdsCode::parse("B86041").unwrap(),
        from_asid: Asid::parse("200000000001").unwrap(),
        to_asid: Asid::parse("200000000002").unwrap(),
        conversation: ConversationId::derived(&["exact"]),
        now: Timestamp::parse("2026-07-01T09:00:00Z").unwrap(),
        interaction: Interaction::Uk06,
        extract_id: "7D2F0A3C-5B1E-4C2A-9E4B-0123456789AC".to_owned(),
    }
}
