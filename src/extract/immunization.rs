//! Immunization: an ObservationStatement whose code is the procedure (extract §8.7).

use super::account::{Fault, Unsent};
use super::codes::{self, Lead};
use super::dates::{self, Span};
use super::draft::Draft;
use super::json::Json;
use super::quantities;
use super::work::{Kind, OBSERVATION, Statement, Target, Work, annotation, complete, id, participant};
use super::xml::Xml;

/// Writes the statement of an immunisation, given or not.
pub(super) fn statement(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    if resource.word("status") == Some("entered-in-error") {
        work.leave(at, Unsent::EnteredInError);
        return None;
    }
    let own = work.own(at);
    let mut draft = Draft::default();
    let procedure = resource.extension("VaccinationProcedure").at("valueCodeableConcept");
    let concept = if procedure.is_nothing() { resource.at("vaccineCode") } else { procedure };
    given(resource, &mut draft);
    text(work, at, &mut draft);
    let date = draft.date("Date", resource.at("date"));
    let recorded = draft.date("Recorded", resource.extension("DateRecorded").at("valueDateTime"));
    let available = date.clone().or(recorded);
    let practitioner = practitioner(resource).cloned().unwrap_or_default();
    let performer = work.agent(at, &practitioner, &mut draft);
    let mut x = Xml::new();
    x.with("ObservationStatement", &OBSERVATION, |x| {
        id(x, &own);
        codes::write(x, "code", concept, Lead::Description, &mut draft);
        complete(x);
        Span::at(available.clone()).write(x, "UNK");
        dates::write(x, "availabilityTime", available.as_deref());
        work.label(x, at);
        annotation(x, &draft.text());
        participant(x, "PRF", performer.as_deref());
    });
    if x.replaced() {
        draft.fault(Fault::CharactersReplaced);
    }
    work.targets.insert(at, Target { id: own.clone(), class: "OBS", mood: "EVN" });
    work.settle(at, &own, &draft);
    Some(Statement {
        xml: x.into_text(),
        kind: Kind::Entry,
        effective: Span::at(available.clone()),
        time: available,
        author: performer.clone(),
        performer,
        labelled: work.labelled[at],
    })
}

/// A vaccination that was not given never looks like one that was: the first words say so.
fn given(resource: &Json, draft: &mut Draft) {
    if resource.word("notGiven") == Some("true") || resource.word("status") == Some("not-done") {
        draft.add(Some("NOT GIVEN"));
    }
    for reason in resource.at("explanation").list("reasonNotGiven") {
        draft.concept("Reason not given", reason);
    }
    for reason in resource.at("explanation").list("reason") {
        draft.concept("Reason", reason);
    }
}

/// Who administered it, else who entered it, else the first named.
fn practitioner<'a>(resource: &'a Json<'a>) -> Option<&'a Json<'a>> {
    let named = resource.list("practitioner");
    let of = |role: &'static str| named.iter().find(move |p| codes::has(p.at("role"), role));
    of("AP").or_else(|| of("EP")).or(named.first()).map(|p| p.at("actor"))
}

fn text(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    let present = resource.extension("ParentPresent").word("valueBoolean");
    draft.say("Parent Present", present);
    draft.say("Primary Source", resource.word("primarySource"));
    draft.concept("Report Origin", resource.at("reportOrigin"));
    if !resource.extension("VaccinationProcedure").is_nothing() {
        draft.concept("Vaccine Code", resource.at("vaccineCode"));
    }
    draft.say("Location", work.referred(at, resource.at("location")).as_deref());
    draft.say("Manufacturer", work.referred(at, resource.at("manufacturer")).as_deref());
    draft.say("Batch", resource.word("lotNumber"));
    draft.say("Expiration", resource.word("expirationDate"));
    draft.concept("Site", resource.at("site"));
    draft.concept("Route", resource.at("route"));
    draft.say("Quantity", quantities::words("Quantity", resource.at("doseQuantity")).as_deref());
    for reaction in resource.list("reaction") {
        draft.say("Reaction", reaction.word("date").or(Some("reported")));
        draft.say("Reaction", work.referred(at, reaction.at("detail")).as_deref());
    }
    draft.notes(resource);
    for protocol in resource.list("vaccinationProtocol") {
        draft.say("Dose", protocol.word("doseSequence"));
        draft.say("Series", protocol.word("series"));
        draft.say("Series Doses", protocol.word("seriesDoses"));
        draft.say("Protocol", protocol.word("description"));
        protocol.list("targetDisease").iter().for_each(|d| draft.concept("Target Disease", d));
        draft.concept("Dose Status", protocol.at("doseStatus"));
        draft.concept("Dose Status Reason", protocol.at("doseStatusReason"));
    }
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    #[test]
    fn what_was_not_given_says_so_first() {
        let (xml, account) = extract(
            r#"{"resourceType": "Immunization", "id": "i", "notGiven": true, "date": "2020-11-02", "lotNumber": "7",
            "vaccineCode": {"text": "MMR"}, "explanation": {"reasonNotGiven": [{"text": "declined"}]}}"#,
        );
        assert!(xml.contains("<text>NOT GIVEN Reason not given: declined Batch: 7</text>"), "{xml}");
        assert_eq!(state(&account, "Immunization"), "mapped");
    }
}
