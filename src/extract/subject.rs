//! Of whom an entry is. What is of another patient is not sent with this one's record, and a subject that cannot be found
//! is listed (hazard H1).

use std::collections::BTreeSet;

use super::prepare::numbers;
use super::record::Record;
use crate::model::NhsNumber;

/// Whose an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Subject {
    /// The patient's, or it does not say.
    Patient,
    /// Another patient's.
    Another,
    /// It says, and that patient is not in the record.
    Unknown,
}

/// The entries that are another patient's.
pub(super) fn of_others(record: &Record, patient: NhsNumber) -> BTreeSet<usize> {
    let all = 0..record.entries().len();
    all.filter(|at| of(record, *at, patient) == Subject::Another).collect()
}

/// Whose the entry is.
pub(super) fn of(record: &Record, at: usize, patient: NhsNumber) -> Subject {
    let resource = record.json(at);
    let said = ["subject", "patient"].into_iter().map(|name| resource.at(name)).find(|s| s.is_object());
    let Some(subject) = said else { return Subject::Patient };
    let number = subject.at("identifier").word("value").and_then(|number| NhsNumber::parse(number).ok());
    if let Some(number) = number {
        return if number == patient { Subject::Patient } else { Subject::Another };
    }
    match record.resolve(at, subject) {
        Some(found) if Some(found) == record.patient() => Subject::Patient,
        Some(found) if record.entry(found).kind == "Patient" => {
            // The same patient twice is one.
            let mut numbers = numbers(record.json(found)).filter_map(|n| NhsNumber::parse(n).ok()).peekable();
            match (numbers.peek().is_some(), numbers.any(|n| n == patient)) {
                (_, true) => Subject::Patient,
                // One that is inside the entry and has no number may be a short form of the patient.
                (false, _) if record.entry(found).container.is_some() => Subject::Unknown,
                (_, false) => Subject::Another,
            }
        }
        None if subject.word("reference").is_none() => Subject::Patient,
        Some(_) | None => Subject::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    #[test]
    fn what_is_another_patients_is_not_sent() {
        for subject in [
            r#"{"reference": "Patient/q"}"#,
            r#"{"identifier": {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000026"}}"#,
        ] {
            let (xml, account) = extract(&format!(
                r#"{{"resourceType": "Patient", "id": "q"}},
                {{"resourceType": "Observation", "id": "o", "code": {{"text": "QUOKKA"}}, "subject": {subject}}}"#
            ));
            assert!(!xml.contains("QUOKKA"), "hazard H1: {subject}");
            assert_eq!(state(&account, "Observation"), "not_clinical");
            assert_eq!(account["entries"][2]["reason"], "another-patient");
        }
    }

    #[test]
    fn a_subject_that_is_not_there_is_listed_and_the_entry_goes() {
        let entry = |kind: &str, subject: &str| {
            format!(r#"{{"resourceType": "{kind}", "id": "o", "code": {{"text": "QUOKKA"}}, {subject}}}"#)
        };
        for (kind, name) in [("Observation", "subject"), ("AllergyIntolerance", "patient")] {
            let (xml, account) =
                extract(&entry(kind, &format!(r#""{name}": {{"reference": "Patient/none"}}"#)));
            assert!(xml.contains("QUOKKA"), "extract §1.2");
            assert_eq!(state(&account, kind), "degraded");
            assert!(account["entries"][1]["reasons"].to_string().contains("unknown-subject"));
        }
        let short =
            r##""subject": {"reference": "#s"}, "contained": [{"resourceType": "Patient", "id": "s"}]"##;
        let (xml, account) = extract(&entry("Observation", short));
        assert!(xml.contains("QUOKKA") && state(&account, "Observation") == "degraded");
        let (_, account) = extract(&entry("Observation", r#""subject": {"reference": "Patient/p"}"#));
        assert_eq!(state(&account, "Observation"), "mapped");
    }
}
