//! Where in a received extract a statement stands, and what counts as one.

use super::fhir::{Reference, Text};
use super::tree::Element;

/// What can stand in a composition, a compound or another statement, each accounted for.
pub(super) const STATEMENTS: [&str; 15] = [
    "ehrComposition",
    "CompoundStatement",
    "ObservationStatement",
    "NarrativeStatement",
    "MedicationStatement",
    "ehrSupplyAuthorise",
    "ehrSupplyPrescribe",
    "ehrSupplyDiscontinue",
    "ehrSupplyDispense",
    "PlanStatement",
    "RequestStatement",
    "LinkSet",
    "RegistrationStatement",
    "EhrEmpty",
    "referredToExternalDocument",
];

/// What a statement is made of (extract §2.1).
const PARTS: [&str; 38] = [
    "Participant",
    "Participant2",
    "author",
    "authorOrPerformer",
    "availabilityTime",
    "code",
    "component",
    "conditionNamed",
    "confidentialityCode",
    "consumable",
    "effectiveTime",
    "id",
    "inFulfillmentOf",
    "informant",
    "interpretationCode",
    "location",
    "participant",
    "performer",
    "pertinentInformation",
    "predecessor",
    "priorityCode",
    "quantity",
    "reason",
    "reference",
    "referenceRange",
    "repeatNumber",
    "replacementOf",
    "responsibleParty",
    "reversalOf",
    "sequelTo",
    "setId",
    "specimen",
    "statusCode",
    "subject",
    "text",
    "uncertaintyCode",
    "value",
    "versionNumber",
];

/// Where in the record a statement stands.
#[derive(Debug, Clone)]
pub(super) struct Scene<'t> {
    pub(super) composition: Element<'t>,
    /// The Encounter it belongs to, outside non-consultation data.
    pub(super) encounter: Option<Text<'t>>,
    /// Whether something around it is labelled NOPAT (extract §13.5).
    pub(super) withheld: bool,
    /// The Observation whose members these are.
    pub(super) group: Option<Text<'t>>,
    /// What the results were made from.
    pub(super) specimen: Option<Reference<'t>>,
    /// Whether it is part of a report, which says for all of them who wrote it down and where.
    pub(super) within_report: bool,
    /// When the results around it were issued, where that is said of all of them.
    pub(super) issued: Option<String>,
}

impl<'t> Scene<'t> {
    /// The scene in a composition.
    pub(super) fn of(composition: Element<'t>, encounter: Option<Text<'t>>) -> Self {
        let withheld = withheld(composition);
        Self {
            composition,
            encounter,
            withheld,
            group: None,
            specimen: None,
            within_report: false,
            issued: None,
        }
    }

    /// The Encounter, as a reference.
    pub(super) fn context(&self) -> Option<Reference<'t>> {
        self.encounter.as_ref().map(|id| Reference::to("Encounter", id))
    }

    /// The scene inside a statement, which may be labelled.
    pub(super) fn inside(&self, statement: Element<'_>) -> Self {
        Self { withheld: self.withheld || withheld(statement), ..self.clone() }
    }
}

/// Whether a statement is labelled NOPAT, whatever system the code is said to be of.
pub(super) fn withheld(statement: Element<'_>) -> bool {
    statement.of("confidentialityCode", "code") == Some("NOPAT")
}

/// Whether the element is accounted for: a known statement, something unknown where a statement should be, or words in
/// an unknown part of one.
pub(super) fn stands(element: Element<'_>) -> bool {
    if STATEMENTS.contains(&element.name()) {
        return true;
    }
    let is_part = element.parent().is_some_and(|p| STATEMENTS.contains(&p.name()));
    if is_part {
        return !PARTS.contains(&element.name()) && !element.words().is_empty();
    }
    let holder = element.parent().filter(|p| p.name() == "component").and_then(Element::parent);
    let known = ["statementRef", "ehrFolder"].contains(&element.name());
    !known && holder.is_some_and(|h| STATEMENTS.contains(&h.name()) || h.name() == "ehrFolder")
}

/// What an element is called in the account.
pub(super) fn shown(element: Element<'_>) -> &str {
    if element.name().is_empty() { "Foreign" } else { element.name() }
}
