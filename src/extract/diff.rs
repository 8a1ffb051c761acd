//! What one extract says that another does not, statement by statement, for a person to read.
//!
//! Ids, order and headings mean nothing here: two systems never agree on them. What counts is what a statement is, when
//! it was, and its words, numbers and text.

use std::collections::HashMap;

use serde::Serialize;

use super::tree::{Element, Tree};
use super::{Expected, ReadRefusal, codes, dates, encoding, problem, quantities, result};
use crate::model::NhsNumber;

/// One statement without its ids.
#[derive(Debug, Clone, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize)]
pub struct Said {
    /// When it became available, as precisely as it says; empty when it does not.
    pub date: String,
    /// What it is: `observation`, `issue`, `problem`.
    pub kind: &'static str,
    /// The words of its code.
    pub words: String,
    /// Its number or quantity, with the unit.
    pub value: String,
    /// Its text.
    pub text: String,
    /// Its codes, translations included, in order of the alphabet; codes that only say that one was missing are left out.
    pub codes: Vec<String>,
}

/// What two extracts say.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Difference {
    /// Whether they are of one patient, as far as both say.
    pub same_patient: bool,
    /// Statements that both have.
    pub both: usize,
    /// Statements that only the first has, in order of date.
    pub only_first: Vec<Said>,
    /// Statements that only the second has.
    pub only_second: Vec<Said>,
}

/// What one extract says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    patient: Option<NhsNumber>,
    statements: Vec<Said>,
}

/// What a person sees of a statement: two with other codes can look the same.
type Shown<'s> = (&'s str, &'s str, &'s str, &'s str, &'s str);

impl Said {
    fn shown(&self) -> Shown<'_> {
        (&self.date, self.kind, &self.words, &self.value, &self.text)
    }
}

/// Compares what two messages say.
pub(super) fn compare(first: &Told, second: &Told) -> Difference {
    let mut known: HashMap<Shown<'_>, Vec<&Said>> = HashMap::new();
    for said in &second.statements {
        known.entry(said.shown()).or_default().push(said);
    }
    let mut only_first = Vec::new();
    for said in &first.statements {
        let alike = known.get_mut(&said.shown());
        match alike.and_then(|alike| Some((alike.iter().rposition(|s| s.codes == said.codes)?, alike))) {
            Some((at, alike)) => drop(alike.swap_remove(at)),
            None => only_first.push(said.clone()),
        }
    }
    let mut only_second: Vec<Said> = known.into_values().flatten().cloned().collect();
    only_first.sort();
    only_second.sort();
    let same_patient = match (&first.patient, &second.patient) {
        (Some(first), Some(second)) => first == second,
        (_, _) => true,
    };
    Difference { same_patient, both: first.statements.len() - only_first.len(), only_first, only_second }
}

/// What a message says, and of whom.
pub(super) fn tell(message: &[u8]) -> Result<Told, ReadRefusal> {
    let limit = Expected::default().most_bytes;
    let message = encoding::decoded(message, limit)?;
    let tree = Tree::parse(&message, limit)?;
    if !tree.elements().any(|e| e.name() == "EhrExtract") {
        return Err(ReadRefusal::NoExtract);
    }
    // Statements that a LinkSet names, by id, so that a problem has words.
    let mut named = HashMap::new();
    for element in tree.elements().filter(|e| e.child("code").is_some()) {
        named.extend(element.of("id", "root").map(|id| (id, element)));
    }
    let patient = tree.elements().find(|e| e.name() == "recordTarget");
    let number = patient.and_then(|p| p.down(&["patient", "id"])?.attribute("extension"));
    let number = number.and_then(|number| NhsNumber::parse(number).ok());
    Ok(Told { patient: number, statements: tree.elements().filter_map(|e| said(e, &named)).collect() })
}

fn said(element: Element<'_>, named: &HashMap<&str, Element<'_>>) -> Option<Said> {
    let kind = kind(element)?;
    let mut said = Said {
        date: element.of("availabilityTime", "value").and_then(dates::fhir).unwrap_or_default(),
        kind,
        words: element.child("code").map(words).unwrap_or_default(),
        value: String::new(),
        text: plain(result::annotations(element).join(" ")),
        codes: element.child("code").map(codes_of).unwrap_or_default(),
    };
    match element.name() {
        "ObservationStatement" => said.value = value(element),
        "NarrativeStatement" | "PlanStatement" | "RequestStatement" => {
            let own = element.child("text").and_then(Element::text).unwrap_or_default();
            said.text = plain([own, &said.text].join(" "));
        }
        "LinkSet" => {
            let name =
                element.down(&["conditionNamed", "namedStatementRef"]).and_then(|n| n.of("id", "root"));
            said.value = problem::standing(element);
            let code = name.and_then(|id| named.get(id)?.child("code"));
            said.words = code.map(words).unwrap_or_default();
            said.codes = code.map(codes_of).unwrap_or_default();
        }
        name if name.starts_with("ehrSupply") => supply(element, &mut said),
        _ => {}
    }
    Some(said)
}

/// What a person would call the statement; none for what only holds others.
fn kind(element: Element<'_>) -> Option<&'static str> {
    Some(match element.name() {
        "ehrComposition" => match element.of("code", "code") {
            Some("196401000000100" | "196391000000103" | "109341000000100") => return None,
            _ => "consultation",
        },
        "CompoundStatement" => match (element.attribute("classCode"), element.of("code", "code")) {
            (Some("BATTERY"), _) => "group",
            (Some("CLUSTER"), Some("16488004")) => "report",
            (Some("CLUSTER"), Some("123038009")) => "specimen",
            _ => return None,
        },
        "ObservationStatement" => "observation",
        "NarrativeStatement" if element.child("reference").is_some() => "document",
        "NarrativeStatement" => "comment",
        "ehrSupplyAuthorise" => "plan of medication",
        "ehrSupplyPrescribe" | "ehrSupplyDispense" => "issue of medication",
        "ehrSupplyDiscontinue" => "end of medication",
        "PlanStatement" => "plan",
        "RequestStatement" => "referral",
        "LinkSet" => "problem",
        "RegistrationStatement" => "registration",
        _ => return None,
    })
}

fn words(code: Element<'_>) -> String {
    plain(codes::said(code).or(code.attribute("code")).unwrap_or_default().to_owned())
}

fn codes_of(code: Element<'_>) -> Vec<String> {
    let all = std::iter::once(code).chain(code.all("translation")).filter_map(|c| c.attribute("code"));
    let mut codes: Vec<String> = all.filter(|c| !codes::is_degraded(c)).map(str::to_owned).collect();
    codes.sort_unstable();
    codes.dedup();
    codes
}

fn value(element: Element<'_>) -> String {
    let Some(value) = element.child("value") else { return String::new() };
    let measured = |e: Element<'_>| {
        let unit = e.attribute("unit").filter(|unit| *unit != "1");
        let unit = unit.or(e.down(&["translation", "originalText"]).and_then(Element::text));
        [e.attribute("value"), unit].into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    let bounds = [("low", ">"), ("high", "<")].into_iter().filter_map(|(bound, sign)| {
        let bound = value.child(bound)?;
        let equal = if quantities::inclusive(bound) { "=" } else { "" };
        Some(format!("{sign}{equal} {}", measured(bound)))
    });
    let parts: Vec<String> = std::iter::once(measured(value)).chain(bounds).collect();
    plain([parts.join(" ").as_str(), value.text().unwrap_or_default()].join(" "))
}

/// Drug, quantity and dosage of a supply are on the statement around it.
fn supply(element: Element<'_>, said: &mut Said) {
    let statement = element.parent().and_then(Element::parent);
    let drug = statement
        .and_then(|s| s.down(&["consumable", "manufacturedProduct", "manufacturedMaterial", "code"]));
    said.words = drug.map(words).unwrap_or_default();
    said.codes = drug.map(codes_of).unwrap_or_default();
    let quantity = element.child("quantity");
    let unit = quantity.and_then(|q| q.down(&["translation", "originalText"])).and_then(Element::text);
    let number = quantity.and_then(|q| q.attribute("value"));
    said.value = plain([number, unit].into_iter().flatten().collect::<Vec<_>>().join(" "));
    let dosage = statement.into_iter().flat_map(|s| s.all("pertinentInformation"));
    let dosage = dosage.filter_map(|p| p.down(&["pertinentMedicationDosage", "text"])?.text());
    let notes = element.all("pertinentInformation");
    let notes = notes.filter_map(|p| p.down(&["pertinentSupplyAnnotation", "text"])?.text());
    said.text = plain(dosage.chain(notes).collect::<Vec<_>>().join(" "));
}

/// White space means nothing between systems.
fn plain(text: String) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::trial::extract;

    fn told(message: &str) -> Told {
        tell(message.as_bytes()).unwrap()
    }

    #[test]
    fn another_code_or_another_patient_is_a_difference() {
        let (first, _) = extract(
            r#"{"resourceType": "Observation", "id": "o", "code": {"coding": [
            {"system": "http://snomed.info/sct", "code": "27113001", "display": "Weight"}]}}"#,
        );
        let found = compare(&told(&first), &told(&first.replace("27113001", "50373000")));
        assert_eq!(found.only_first[0].codes, ["27113001"], "though the words are the same");
        let other = compare(&told(&first), &told(&first.replace("9990000018", "9990000026")));
        assert!(other.only_first.is_empty() && !other.same_patient);
    }

    #[test]
    fn a_statement_more_and_one_changed_are_named_and_ids_are_not() {
        let one = r#"{"resourceType": "Observation", "id": "05E9B02E-2991-4AE1-BFCF-444095DFEBD8",
            "code": {"text": "Weight"}, "effectiveDateTime": "2019-04-03", "valueQuantity": {"value": 80.5, "unit": "kg"}}"#;
        let other = r#"{"resourceType": "ProcedureRequest", "id": "p", "intent": "plan", "code": {"text": "Review"}}"#;
        let (first, _) = extract(one);
        let (same, _) = extract(&one.replace("05E9B02E", "15E9B02E"));
        let equal = compare(&told(&first), &told(&same));
        assert_eq!(
            (equal.both, equal.only_first.len(), equal.only_second.len()),
            (1, 0, 0),
            "ids mean nothing"
        );
        let (second, _) = extract(&format!("{},{other}", one.replace("80.5", "85.0")));
        let found = compare(&told(&first), &told(&second));
        assert_eq!(found.only_first[0].value, "80.5 kg");
        let kinds: Vec<_> = found.only_second.iter().map(|s| (s.kind, s.words.as_str())).collect();
        assert_eq!(kinds, [("plan", "Review"), ("observation", "Weight")]);
        let (bound, _) = extract(&one.replace("80.5,", r#"80.5, "comparator": "<=","#));
        let silent = bound.replace(r#" inclusive="true""#, "");
        assert_ne!(bound, silent, "it is said that the bound is inclusive");
        let found = compare(&told(&bound), &told(&silent));
        assert!(found.only_first.is_empty(), "a bound is inclusive unless told otherwise: {found:?}");
        assert_eq!(tell(b"<a/>"), Err(ReadRefusal::NoExtract));
    }
}
