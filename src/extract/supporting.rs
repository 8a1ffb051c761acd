//! What a request rests on, in words: kind, day and name of each resource it refers to (extract §8.7).
//!
//! It makes no links: a request has no element for them.

use super::account::Fault;
use super::codes;
use super::draft::Draft;
use super::json::Json;
use super::work::Work;

/// What a request rests on: kind, day and words of each, one after another.
pub(super) fn supporting(work: &Work<'_>, at: usize, draft: &mut Draft) {
    for reference in work.json(at).list("supportingInfo") {
        let Some(found) = work.record.resolve(at, reference) else {
            draft.fault(Fault::DanglingReference);
            draft.say("Supporting Information", reference.word("display"));
            continue;
        };
        let described = described(work, found, reference.word("display"));
        draft.say("Supporting Information", Some(&format!("{{ {described} }}")));
    }
}

/// Kind, day and words of a resource; those that the reference to it has, where it has none itself.
pub(super) fn described(work: &Work<'_>, found: usize, display: Option<&str>) -> String {
    let entry = work.entry(found);
    let words = work.called(found).or_else(|| display.map(str::to_owned));
    let words = match entry.kind.as_str() {
        "MedicationRequest" | "MedicationStatement" => drug(work, found),
        "DocumentReference" => codes::words(entry.json.at("type")).or(words),
        "Encounter" => entry.json.list("type").iter().find_map(codes::words).or(words),
        "ReferralRequest" => entry.json.list("reasonCode").iter().find_map(codes::words).or(words),
        "DiagnosticReport" => report_number(&entry.json).map(str::to_owned).or(words),
        _ => words,
    };
    let said = [Some(format!("{}:", label_of(&entry.kind))), day(&entry.json).map(str::to_owned), words];
    said.into_iter().flatten().collect::<Vec<_>>().join(" ")
}

/// `RelatedPerson` as two words.
pub(super) fn apart(kind: &str) -> String {
    let mut words = String::new();
    for letter in kind.chars() {
        if letter.is_ascii_uppercase() && !words.is_empty() {
            words.push(' ');
        }
        words.push(letter);
    }
    words
}

/// What a resource is called in text.
fn label_of(kind: &str) -> String {
    match kind {
        "DocumentReference" => "Document".to_owned(),
        "DiagnosticReport" => "Pathology Report".to_owned(),
        "MedicationRequest" | "MedicationStatement" => "Medication".to_owned(),
        "ReferralRequest" => "Referral".to_owned(),
        "Encounter" => "Consultation".to_owned(),
        other => apart(other),
    }
}

/// The name of the drug that a prescription or statement is about.
pub(super) fn drug(work: &Work<'_>, at: usize) -> Option<String> {
    let resource = work.json(at);
    codes::words(resource.at("medicationCodeableConcept"))
        .or_else(|| work.referred(at, resource.at("medicationReference")))
}

/// The number under which the laboratory sent a report.
fn report_number<'a>(report: &'a Json<'a>) -> Option<&'a str> {
    let identifiers = report.list("identifier");
    let sent = |i: &&Json| i.word("system").is_some_and(|s| s.ends_with("2.16.840.1.113883.2.1.4.5.5"));
    identifiers.iter().find(sent).or(identifiers.first())?.word("value")
}

/// The day of a resource, as it states it.
fn day<'a>(resource: &'a Json<'a>) -> Option<&'a str> {
    let times = [
        resource.word("effectiveDateTime"),
        resource.at("effectivePeriod").word("start"),
        resource.at("period").word("start"),
        resource.at("dispenseRequest").at("validityPeriod").word("start"),
        resource.word("created"),
        resource.word("authoredOn"),
        resource.word("issued"),
        resource.word("indexed"),
        resource.word("assertedDate"),
        resource.word("date"),
    ];
    times.into_iter().flatten().next().map(|time| time.split('T').next().unwrap_or(time))
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    #[test]
    fn a_referral_names_what_it_rests_on_and_lists_what_is_not_there() {
        let (xml, account) = extract(
            r#"{"resourceType": "ReferralRequest", "id": "r", "supportingInfo": [
              {"reference": "MedicationRequest/m"}, {"reference": "Observation/none", "display": "Chest X-ray"}]},
            {"resourceType": "MedicationRequest", "id": "m", "intent": "plan", "status": "active", "authoredOn": "2021-02-03",
             "medicationReference": {"reference": "Medication/d"}},
            {"resourceType": "Medication", "id": "d", "code": {"text": "Aspirin"}}"#,
        );
        assert!(
            xml.contains("Supporting Information: { Medication: 2021-02-03 Aspirin } Supporting Information: Chest X-ray"),
            "{xml}"
        );
        assert_eq!(state(&account, "ReferralRequest"), "degraded", "one reference leads nowhere");
    }

    #[test]
    fn who_asks_and_has_no_agent_stands_first_in_the_text() {
        let (xml, _) = extract(
            r#"{"resourceType": "ReferralRequest", "id": "r", "description": "knee",
              "requester": {"agent": {"reference": "RelatedPerson/x"}}},
            {"resourceType": "RelatedPerson", "id": "x", "name": [{"family": "Test", "given": ["Ann"]}]}"#,
        );
        assert!(xml.contains("<text>Requester Related Person: Ann Test knee</text>"), "extract §6: {xml}");
    }
}
