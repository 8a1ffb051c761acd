//! Blood pressure: a panel with one systolic and one diastolic component of the same row (extract §8.2).
//!
//! A triple that does not fit is left to `observation`, components in text: never lost.

use super::codes::{self, Lead};
use super::dates;
use super::draft::Draft;
use super::json::Json;
use super::observation;
use super::quantities;
use super::tree::Element;
use super::work::{
    COMPONENT, Kind, OBSERVATION, Statement, Target, Work, complete, id, narrative, participant,
};
use super::xml::Xml;

/// Concept and description ids of panel, systolic and diastolic pressure.
const ROWS: [[&[&str]; 3]; 4] = [
    [
        &[
            "163020007",
            "254063019",
            "254065014",
            "254064013",
            "2667419011",
            "386534000",
            "1480679010",
            "75367002",
            "125176019",
        ],
        &["72313002", "120159016", "271649006", "406507015"],
        &["1091811000000102", "2734671000000117", "271650006", "406508013"],
    ],
    [&["163034007", "254081016", "254080015"], &["400974009", "1780182014"], &["400975005", "1780183016"]],
    [&["163035008", "254082011", "254083018"], &["407554009", "2159155011"], &["407555005", "2159156012"]],
    [&["163033001", "254078014", "254079018"], &["407556006", "2159157015"], &["407557002", "2159158013"]],
];

/// The two components of a blood pressure.
pub(super) struct Triple<'a> {
    systolic: &'a Json<'a>,
    diastolic: &'a Json<'a>,
}

impl<'a> Triple<'a> {
    /// Recognises a panel with exactly one systolic and one diastolic component of its row.
    pub(super) fn of(resource: &'a Json) -> Option<Self> {
        let [first, second] = resource.list("component") else { return None };
        let is =
            |concept: &Json, row: &[&str]| codes::snomed_ids(concept.at("code")).any(|id| row.contains(&id));
        let [_, systolic, diastolic] = ROWS.iter().find(|[panel, _, _]| is(resource, panel))?;
        match (is(first, systolic), is(second, diastolic), is(second, systolic), is(first, diastolic)) {
            (true, true, _, _) => Some(Self { systolic: first, diastolic: second }),
            (_, _, true, true) => Some(Self { systolic: second, diastolic: first }),
            (_, _, _, _) => None,
        }
    }
}

/// Writes a BATTERY with the two results and one narrative for all text.
pub(super) fn statement(work: &mut Work<'_>, at: usize, triple: &Triple<'_>) -> Statement {
    let resource = work.json(at);
    let own = work.own(at);
    let mut draft = Draft::default();
    observation::header_text(work, at, &mut draft);
    for (name, part) in [("Systolic", triple.systolic), ("Diastolic", triple.diastolic)] {
        draft.concept(&format!("{name} Measurement Absent"), part.at("dataAbsentReason"));
        observation::part_rest(work, at, name, part, &mut draft);
    }
    let agent = observation::performer(work, at, &mut draft);
    let when = observation::when(resource, &mut draft);
    let ids = [work.part(at, "systolic"), work.part(at, "diastolic"), work.part(at, "narrative/0")];
    let labelled = work.labels(at);
    let mut x = Xml::new();
    x.with("CompoundStatement", &[("classCode", "BATTERY"), ("moodCode", "EVN")], |x| {
        id(x, &own);
        codes::write(x, "code", resource.at("code"), Lead::Concept, &mut draft);
        complete(x);
        when.effective.write(x, "UNK");
        dates::write(x, "availabilityTime", when.available.as_deref());
        work.label(x, at);
        for (own, name, part) in
            [(&ids[0], "Systolic", triple.systolic), (&ids[1], "Diastolic", triple.diastolic)]
        {
            x.with("component", &COMPONENT, |x| {
                x.with("ObservationStatement", &OBSERVATION, |x| {
                    id(x, own);
                    codes::write(x, "code", part.at("code"), Lead::Concept, &mut draft);
                    complete(x);
                    when.effective.write(x, "UNK");
                    dates::write(x, "availabilityTime", when.available.as_deref());
                    // Some receivers honour the label of one level only (extract §9).
                    super::work::label(x, labelled);
                    half(x, name, part, &mut draft);
                });
            });
        }
        if !draft.is_silent() {
            let text = draft.text();
            x.with("component", &COMPONENT, |x| {
                narrative(x, &ids[2], &text, when.available.as_deref(), labelled)
            });
        }
        participant(x, "PRF", agent.as_deref());
    });
    work.targets.insert(at, Target { id: own.clone(), class: "BATTERY", mood: "EVN" });
    let statement = observation::finish(work, at, &own, x, draft, when, agent);
    Statement { kind: Kind::Communication, ..statement }
}

/// Value, interpretation and range of one component; what is not typed goes to the common narrative.
fn half(x: &mut Xml, name: &str, part: &Json, draft: &mut Draft) {
    let mut own = Draft::default();
    quantities::uncertainty(x, part);
    let numeric = quantities::value(x, part, &mut own);
    quantities::interpretation(x, part, &mut own);
    if numeric {
        quantities::ranges(x, part);
    } else {
        quantities::say_ranges("Range", part, &mut own);
    }
    draft.say(name, Some(&own.text()));
    own.faults().into_iter().for_each(|fault| draft.fault(fault));
}

/// Systolic and diastolic result, when the compound is a blood pressure (extract §13.2).
pub(super) fn within(compound: Element<'_>) -> Option<(Element<'_>, Element<'_>)> {
    if compound.attribute("classCode") != Some("BATTERY") {
        return None;
    }
    let members = compound.all("component").flat_map(|c| c.all("ObservationStatement"));
    let [first, second] = members.collect::<Vec<_>>()[..] else { return None };
    let is = |e: Element<'_>, row: &[&str]| {
        codes::is_one(e.child("code"), |system, code| system == codes::SNOMED && row.contains(&code))
    };
    let [_, systolic, diastolic] = ROWS
        .iter()
        .find(|[panel, systolic, _]| is(compound, panel) && (is(first, systolic) || is(second, systolic)))?;
    if is(first, systolic) && is(second, diastolic) {
        Some((first, second))
    } else {
        (is(second, systolic) && is(first, diastolic)).then_some((second, first))
    }
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    const PANEL: &str = r#"{"resourceType": "Observation", "id": "p", "effectiveDateTime": "2010-01-13",
      "code": {"coding": [{"system": "http://snomed.info/sct", "code": "75367002"}]},
      "component": [
        {"code": {"coding": [{"system": "http://snomed.info/sct", "code": "271650006"}]}, "valueQuantity": {"value": 80}},
        {"code": {"coding": [{"system": "http://snomed.info/sct", "code": "271649006"}]}, "valueQuantity": {"value": 120}}]}"#;

    #[test]
    fn systolic_comes_first_whatever_the_order() {
        let (xml, account) = extract(PANEL);
        assert!(xml.contains(r#"classCode="BATTERY""#), "D13: panel 75367002 is known by its concept id");
        assert!(xml.find("271649006") < xml.find("271650006"), "systolic, then diastolic");
        assert_eq!(state(&account, "Observation"), "mapped");
    }

    #[test]
    fn a_triple_that_does_not_fit_keeps_its_components_in_text() {
        let (xml, _) = extract(&PANEL.replace("271649006", "999"));
        assert!(!xml.contains("BATTERY") && xml.contains(": 120"), "{xml}");
    }

    #[test]
    fn the_interpretation_of_the_panel_is_in_its_narrative() {
        let judged = PANEL.replacen('{', r#"{"interpretation": {"text": "Abnormal"}, "#, 1);
        let (xml, _) = extract(&judged);
        assert!(xml.contains("BATTERY") && xml.contains("Interpretation: Abnormal"), "extract §8.2: {xml}");
    }
}
