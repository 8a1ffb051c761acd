//! The order of the work: what goes where, then statement by statement, then what is left, and the gate.

use std::collections::{BTreeSet, HashMap};

use super::account::{Account, Fault, Unsent};
use super::dates::Span;
use super::placement::Placement;
use super::prepare::{identify, levels, prepare};
use super::record::Record;
use super::standing::{OF_ANOTHER, OF_NO_KIND, Part, part, stands_for};
use super::work::{Statement, Work};
use super::{
    Attachment, Documents, Extract, Finding, Parameters, Refusal, allergy, beside, composition, document,
    immunization, labels, list, medication, message, narrative, observation, problem, report, request,
    subject, validate,
};

/// So often the message is written again, without the form of what the gate found wrong in it.
const ROUNDS: usize = 8;

/// Builds the extract.
pub(super) fn build(
    record: &Record,
    parameters: &Parameters,
    documents: &Documents,
) -> Result<Extract, Refusal> {
    identify(record, parameters)?;
    let others = subject::of_others(record, parameters.nhs_number);
    if others.is_empty() {
        return build_through(validate::check, record, parameters, documents);
    }
    build_through(validate::check, &record.taken_for(OF_ANOTHER, &others), parameters, documents)
}

/// An entry whose statement does not pass the gate becomes a narrative, and the message is written again: one bad entry
/// refuses no record (extract §1.3). What is wrong with no entry in particular refuses it.
fn build_through(
    gate: impl Fn(&str) -> Vec<Finding>,
    record: &Record,
    parameters: &Parameters,
    documents: &Documents,
) -> Result<Extract, Refusal> {
    let mut attempt = write(record, parameters, documents)?;
    let mut narrated = BTreeSet::new();
    for _ in 0..ROUNDS {
        let findings = gate(&attempt.xml);
        let Some(first) = findings.first() else {
            return attempt.finish();
        };
        let before = narrated.len();
        narrated.extend(findings.iter().filter_map(|f| attempt.entry_with(f.id.as_deref()?)));
        if narrated.len() == before {
            return Err(first.flaw.clone().into());
        }
        attempt = write(&record.taken_for(OF_NO_KIND, &narrated), parameters, documents)?;
    }
    match gate(&attempt.xml).into_iter().next() {
        Some(finding) => Err(finding.flaw.into()),
        None => attempt.finish(),
    }
}

/// A message that has not passed the gate.
struct Attempt {
    xml: String,
    account: Account,
    attachments: Vec<Attachment>,
    /// Every id of a statement or a part of one, with its entry.
    ids: Vec<(String, usize)>,
}

impl Attempt {
    fn entry_with(&self, id: &str) -> Option<usize> {
        self.ids.iter().find(|(known, _)| known == id).map(|(_, at)| *at)
    }

    fn finish(self) -> Result<Extract, Refusal> {
        Ok(Extract { xml: self.xml.into_bytes(), account: self.account, attachments: self.attachments })
    }
}

fn write(record: &Record, parameters: &Parameters, documents: &Documents) -> Result<Attempt, Refusal> {
    let mut work = prepare(record, parameters, documents)?;
    let placement = Placement::of(record, &|at| {
        let at = stands_for(record, &work.members, at)?;
        Some(work.held.get(&at).copied().unwrap_or(at))
    });
    labels::spread(&mut work, &placement)?;
    let levels = levels(&mut work);
    let mut written = statements(&mut work);
    let (mut compositions, effective) = consultations(&mut work, &placement, &mut written);
    leftovers(&mut work, &placement, &levels.folder, &mut written);
    let whole = overlong(&mut work, &mut written);
    outside(&mut work, written, &mut compositions);
    if compositions.is_empty() {
        compositions = composition::registration(&mut work);
    }
    support(&mut work, &placement, &levels.folder);
    whole.into_iter().for_each(|at| work.degrade(at, Fault::TextTooLong));
    let xml = message::write(&work, &levels, &effective, compositions);
    let states = work.states.into_iter().enumerate().map(|(at, state)| (record.named(at), state)).collect();
    let account = Account::draw(states).map_err(|ids| Refusal::Unbalanced { ids })?;
    let mut ids = work.parts;
    ids.extend(work.own.into_iter().map(|(at, id)| (id, at)));
    Ok(Attempt { xml, account, attachments: work.attachments, ids })
}

/// Every statement, by entry; problems last, since they refer to the others.
fn statements(work: &mut Work<'_>) -> HashMap<usize, Vec<Statement>> {
    let mut written = HashMap::new();
    let mut problems = Vec::new();
    let questionnaires = observation::questionnaires(work.record);
    for (at, entry) in work.record.entries().iter().enumerate() {
        if part(entry) != Part::Statement
            || work.members.contains_key(&at)
            || work.held.contains_key(&at)
            || work.plans.contains_key(&at)
        {
            continue;
        }
        if let Some(header) = questionnaires.get(&at).map(|h| work.own(*h)) {
            work.merge(at, &header);
            continue;
        }
        let statement = match entry.kind.as_str() {
            "Condition" => {
                problems.push(at);
                continue;
            }
            "Observation" => observation::statement(work, at),
            "AllergyIntolerance" => allergy::statement(work, at),
            "Immunization" => immunization::statement(work, at),
            "MedicationRequest" | "MedicationStatement" => medication::statement(work, at),
            "DocumentReference" => document::statement(work, at),
            "ProcedureRequest" => request::plan(work, at),
            "DiagnosticReport" => report::statement(work, at),
            "ReferralRequest" => request::referral(work, at),
            _ => narrative::statement(work, at),
        };
        let mut statements: Vec<Statement> = statement.into_iter().collect();
        if entry.kind == "DiagnosticReport" && !statements.is_empty() {
            statements.splice(0..0, beside::forms(work, at));
        }
        written.insert(at, statements);
    }
    problem::claim(work, &problems);
    for at in problems {
        let statements = problem::statements(work, at);
        written.insert(at, statements);
    }
    written
}

fn consultations(
    work: &mut Work<'_>,
    placement: &Placement,
    written: &mut HashMap<usize, Vec<Statement>>,
) -> (String, Span) {
    let mut compositions = String::new();
    let (mut low, mut high): (Option<String>, Option<String>) = (None, None);
    for consultation in &placement.consultations {
        let mut take = |at: usize| written.remove(&at).unwrap_or_default();
        let (xml, effective) = composition::consultation(work, consultation, &mut take);
        compositions.push_str(&xml);
        let (start, end) = effective.bounds();
        for time in start.into_iter().chain(end) {
            low = low.filter(|l| l.as_str() <= time).or_else(|| Some(time.to_owned()));
            high = high.filter(|h| h.as_str() >= time).or_else(|| Some(time.to_owned()));
        }
    }
    let high = high.filter(|h| low.as_ref() != Some(h));
    (compositions, Span::between(low, high))
}

/// Encounters that no consultation List refers to, and what Lists say beside their entries, become narratives.
fn leftovers(
    work: &mut Work<'_>,
    placement: &Placement,
    folder: &str,
    written: &mut HashMap<usize, Vec<Statement>>,
) {
    for (at, entry) in work.record.entries().iter().enumerate() {
        match part(entry) {
            Part::Consultation if work.states[at].is_none() => {
                let statement = narrative::statement(work, at);
                written.insert(at, statement.into_iter().collect());
            }
            Part::List => {
                let consultation =
                    placement.structural.get(&at).map(|c| placement.consultations[*c].encounter);
                let into = consultation.map_or_else(|| folder.to_owned(), |e| work.own(e));
                written.insert(at, list::statement(work, at, &into).into_iter().collect());
            }
            Part::Statement | Part::Consultation | Part::Support | Part::Foreign => {}
        }
    }
}

/// Texts too long for a statement, each in a file beside the message; gives the entries they are of.
fn overlong(work: &mut Work<'_>, written: &mut HashMap<usize, Vec<Statement>>) -> Vec<usize> {
    let record = work.record;
    let entries = record.entries().iter().enumerate().filter(|(_, e)| !e.overlong.is_empty());
    let entries: Vec<usize> = entries.map(|(at, _)| at).collect();
    for at in &entries {
        for (n, text) in record.entry(*at).overlong.iter().enumerate() {
            let statement = beside::overlong(work, *at, n, text);
            written.entry(*at).or_default().push(statement);
        }
    }
    entries
}

/// One composition per entry outside consultations, by time, type and id.
fn outside(work: &mut Work<'_>, written: HashMap<usize, Vec<Statement>>, compositions: &mut String) {
    let mut rest: Vec<(usize, Vec<Statement>)> = written.into_iter().filter(|(_, s)| !s.is_empty()).collect();
    rest.sort_by_cached_key(|(at, statements)| {
        let entry = work.entry(*at);
        // Of one day, a plan comes before its orders, whichever of them has a time: who reads on knows it then.
        let rank = medication::rank(work, *at);
        let time = statements.last().and_then(|s| s.time.clone());
        let day = time.as_ref().map(|t| t.get(..8).unwrap_or(t).to_owned());
        (day, rank, time, &entry.kind, &entry.id, *at)
    });
    for (at, statements) in rest {
        compositions.push_str(&composition::alone(work, at, &statements));
    }
}

/// The states of what is no statement itself.
fn support(work: &mut Work<'_>, placement: &Placement, folder: &str) {
    let agents: Vec<(usize, String)> =
        work.agents.sources().into_iter().map(|(at, id)| (at, id.to_owned())).collect();
    for (at, agent) in agents {
        work.merge(at, &agent);
    }
    for (at, entry) in work.record.entries().iter().enumerate() {
        if let Some(plan) = work.plans.get(&at) {
            let into = work.own(*plan);
            work.merge(at, &into);
        }
        if entry.kind == "Patient" {
            let into = work.parameters.extract_id.clone();
            work.merge(at, &into);
        }
    }
    for (at, entry) in work.record.entries().iter().enumerate() {
        match part(entry) {
            Part::Support if work.states[at].is_none() => match work.links.referred.get(&at).copied() {
                Some(by) => {
                    let into = holder(work, placement, by).unwrap_or_else(|| folder.to_owned());
                    work.merge(at, &into);
                }
                None => work.leave(at, Unsent::NotClinical),
            },
            Part::Foreign if entry.kind == OF_ANOTHER => work.leave(at, Unsent::AnotherPatient),
            Part::Foreign => work.leave(at, Unsent::NotClinical),
            Part::Statement | Part::Consultation | Part::List | Part::Support => {}
        }
    }
}

/// The element that says what the referring entry says.
fn holder(work: &Work<'_>, placement: &Placement, by: usize) -> Option<String> {
    if let Some(own) = work.own.get(&by) {
        return Some(own.clone());
    }
    if let Some(plan) = work.plans.get(&by) {
        return Some(work.own(*plan));
    }
    placement.structural.get(&by).map(|c| work.own(placement.consultations[*c].encounter))
}

#[cfg(test)]
mod tests {
    use super::super::trial;
    use super::*;
    use crate::extract::{Flaw, Interaction, RecordLimits};

    const RECORD: &str = r#"{"resourceType": "Bundle", "entry": [
        {"resource": {"resourceType": "Patient", "id": "p", "identifier": [
            {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": "9990000018"}]}},
        {"resource": {"resourceType": "Encounter", "id": "e", "period": {"start": "2026-03-02"}}},
        {"resource": {"resourceType": "List", "id": "l", "encounter": {"reference": "Encounter/e"},
            "code": {"coding": [{"system": "http://snomed.info/sct", "code": "325851000000107"}]},
            "entry": [{"item": {"reference": "Observation/o"}}]}},
        {"resource": {"resourceType": "Observation", "id": "o", "code": {"text": "Weight"},
            "effectiveDateTime": "2026-03-02"}},
        {"resource": {"resourceType": "Condition", "id": "c", "code": {"text": "Asthma"}, "extension": [
            {"url": "https://fhir.hl7.org.uk/STU3/StructureDefinition/Extension-CareConnect-ActualProblem-1",
             "valueReference": {"reference": "Observation/o"}}]}},
        {"resource": {"resourceType": "AllergyIntolerance", "id": "a", "code": {"text": "Nuts"}}},
        {"resource": {"resourceType": "Immunization", "id": "i", "vaccineCode": {"text": "MMR"}}},
        {"resource": {"resourceType": "MedicationRequest", "id": "m1", "intent": "plan",
            "medicationCodeableConcept": {"text": "Paracetamol"}}},
        {"resource": {"resourceType": "MedicationRequest", "id": "m2", "intent": "order",
            "basedOn": [{"reference": "MedicationRequest/m1"}],
            "medicationCodeableConcept": {"text": "Paracetamol"}}},
        {"resource": {"resourceType": "MedicationStatement", "id": "m3",
            "basedOn": [{"reference": "MedicationRequest/m1"}]}},
        {"resource": {"resourceType": "DiagnosticReport", "id": "d", "code": {"text": "Blood"},
            "result": [{"reference": "Observation/r"}]}},
        {"resource": {"resourceType": "Observation", "id": "r", "code": {"text": "Sodium"}}},
        {"resource": {"resourceType": "Specimen", "id": "s", "type": {"text": "Serum"}}},
        {"resource": {"resourceType": "ReferralRequest", "id": "f", "description": "Please see"}},
        {"resource": {"resourceType": "ProcedureRequest", "id": "q", "code": {"text": "Review"}}},
        {"resource": {"resourceType": "DocumentReference", "id": "x", "type": {"text": "Letter"},
            "content": [{"attachment": {"url": "https://example.test/1"}}]}}]}"#;

    fn built(gate: impl Fn(&str) -> Vec<Finding>) -> Result<Extract, Refusal> {
        let record = Record::parse(RECORD.as_bytes(), &RecordLimits::default()).unwrap();
        build_through(gate, &record, &trial::parameters(Interaction::Uk06), &Documents::new())
    }

    /// A gate that lets no statement of that name through.
    fn against(name: &'static str) -> impl Fn(&str) -> Vec<Finding> {
        move |xml| {
            let opening = format!("<{name} ");
            let id_of = |rest: &str| rest.split_once("root=\"").map(|(_, id)| id[..36].to_owned());
            let flaw = Flaw::Words { element: name.to_owned() };
            let finding = |rest| Finding { path: String::new(), id: id_of(rest), flaw: flaw.clone() };
            xml.split(&opening).skip(1).map(finding).collect()
        }
    }

    #[test]
    fn a_statement_that_fails_the_gate_becomes_a_narrative() {
        let names = [
            "ObservationStatement",
            "CompoundStatement",
            "MedicationStatement",
            "LinkSet",
            "RequestStatement",
            "PlanStatement",
        ];
        let before = String::from_utf8(built(validate::check).unwrap().xml).unwrap();
        for name in names {
            assert!(before.contains(&format!("<{name} ")), "the record has one {name}");
            let extract = built(against(name)).unwrap();
            let xml = String::from_utf8(extract.xml).unwrap();
            assert!(!xml.contains(&format!("<{name} ")), "extract §1.3");
            assert_eq!(validate::check(&xml), [], "without every {name}");
            assert_ne!(extract.account.degraded, 0, "and it is said of each {name}");
        }
    }

    #[test]
    fn what_no_narrative_mends_refuses_the_record() {
        let refused = |outcome| matches!(outcome, Err(Refusal::Invalid { .. }));
        let flaw = || Finding { path: String::new(), id: None, flaw: Flaw::NotXml { line: 1 } };
        assert!(refused(built(|_| vec![flaw()])), "a flaw of no statement");
        assert!(refused(built(against("NarrativeStatement"))), "a narrative cannot become another");
    }

    #[test]
    fn every_entry_can_be_a_narrative() {
        let record = Record::parse(RECORD.as_bytes(), &RecordLimits::default()).unwrap();
        let parameters = trial::parameters(Interaction::Uk06);
        for at in (0..record.entries().len()).filter(|at| record.patient() != Some(*at)) {
            let narrated = record.taken_for(OF_NO_KIND, &BTreeSet::from([at]));
            let attempt = write(&narrated, &parameters, &Documents::new()).unwrap();
            assert_eq!(validate::check(&attempt.xml), [], "{}", record.entry(at).key);
            assert_eq!(attempt.account.entries.len(), record.entries().len(), "extract §1.1");
        }
    }
}
