//! What an authorisation or a prescription says in words: its elements hold a drug, a quantity and links (extract §8.5).

use super::account::Fault;
use super::codes;
use super::draft::Draft;
use super::json::Json;
use super::medication::{dosage, prescription_type};
use super::quantities;
use super::supporting::drug;
use super::unslotted;
use super::work::Work;

/// What is read of a MedicationRequest, or of a MedicationStatement without one; the rest goes to text.
const TOLD: &[&str] = &[
    "status",
    "intent",
    "priority",
    "medication[x]",
    "authoredOn",
    "basedOn",
    "priorPrescription",
    "requester",
    "recorder",
    "informationSource",
    "effective[x]",
    "dateAsserted",
    "taken",
    "reasonCode",
    "reasonReference",
    "note.text",
    "dosageInstruction",
    "dosage",
    "dispenseRequest.validityPeriod",
    "dispenseRequest.quantity",
    "dispenseRequest.expectedSupplyDuration",
    "dispenseRequest.extension.MedicationQuantityText",
    "substitution.reason",
    "extension.MedicationRepeatInformation",
    "extension.StatusReason",
    "extension.PrescriptionType",
    "extension.PrescribingAgency",
    "extension.LastIssueDate",
];

/// What is read of a MedicationStatement beside its MedicationRequest; the rest goes to text.
const STATED: &[&str] = &[
    "status",
    "medication[x]",
    "basedOn",
    "effective[x]",
    "dateAsserted",
    "informationSource",
    "taken",
    "note.text",
    "dosage",
    "extension.PrescribingAgency",
    "extension.LastIssueDate",
];

/// How often a plan may be issued: 0 says acute.
pub(super) fn repeats(resource: &Json, draft: &mut Draft) -> String {
    let information = resource.extension("MedicationRepeatInformation");
    let part = |name: &str| information.list("extension").iter().find(|e| e.word("url") == Some(name));
    let allowed = part("numberOfRepeatPrescriptionsAllowed")
        .and_then(|e| e.choice("value"))
        .and_then(|(_, v)| v.text());
    let allowed = allowed.filter(|n| n.parse::<u32>().is_ok());
    let kind = prescription_type(resource);
    // Acute or repeat is told by the number.
    draft.say("Prescription Type", kind.filter(|kind| !["acute", "repeat"].contains(kind)));
    let number = match kind {
        Some("acute" | "acute-handwritten") => "0",
        Some("repeat" | "repeat-dispensing" | "delayed-prescribing" | "delayed") | None => {
            allowed.unwrap_or("1")
        }
        Some(_) => "1",
    };
    number.to_owned()
}

/// The text of an authorisation, with what only its MedicationStatement says.
pub(super) fn plan(work: &Work<'_>, at: usize, draft: &mut Draft) {
    said(work, at, "plan", draft);
}

/// The text of a prescription.
pub(super) fn order(work: &Work<'_>, at: usize, draft: &mut Draft) {
    said(work, at, "order", draft);
}

fn said(work: &Work<'_>, at: usize, intent: &str, draft: &mut Draft) {
    let resource = work.json(at);
    draft.say("Intent", resource.word("intent").filter(|stated| *stated != intent));
    // The supply's status says active or not; that it was stopped, its discontinuation.
    match resource.word("status") {
        Some("active" | "completed" | "stopped" | "unknown") | None => {}
        Some(other) => draft.say("Status", Some(other)),
    }
    instructions(work, at, draft);
    quantities::unsupplied(resource, draft);
    for reason in resource.list("reasonCode") {
        draft.concept("Reason", reason);
    }
    for reason in resource.list("reasonReference") {
        draft.say("Reason", work.referred(at, reason).as_deref());
    }
    duration(resource, draft);
    issues(resource, draft);
    draft.say("Priority", resource.word("priority").filter(|priority| *priority != "routine"));
    draft.concept("Substitution", resource.at("substitution").at("reason"));
    draft.say("Taken", resource.word("taken").filter(|taken| *taken != "unk"));
    let notes: Vec<&str> = resource.list("note").iter().filter_map(|n| n.word("text")).collect();
    draft.quote("Notes", Some(&notes.join(" ")));
    work.stray(at, "On behalf of", resource.at("requester").at("onBehalfOf"), draft);
    if !resource.at("requester").at("agent").is_nothing() {
        work.stray(at, "Recorded by", resource.at("recorder"), draft);
    }
    for agency in agencies(work, at).filter(|agency| !is_here(agency) && !is_elsewhere(agency)) {
        draft.concept("Prescribing Agency", agency);
    }
    let quantity = resource.at("dispenseRequest").at("quantity");
    let words = quantity.extension("MedicationQuantityText").choice("value").and_then(|(_, v)| v.text());
    draft.say("Quantity", words.filter(|words| quantity.word("unit").is_some_and(|unit| unit != *words)));
    unslotted::say(work, at, TOLD, draft);
    for stated in work.stated.get(&at).into_iter().flatten() {
        beside(work, at, *stated, draft);
    }
}

/// Who prescribes, as the entry or what is stated of it says.
pub(super) fn agencies<'a>(work: &Work<'a>, at: usize) -> impl Iterator<Item = &'a Json<'a>> {
    let stated = work.stated.get(&at).into_iter().flatten().map(|stated| work.json(*stated));
    let told: Vec<_> = std::iter::once(work.json(at)).chain(stated).collect();
    told.into_iter().map(|r| r.extension("PrescribingAgency").at("valueCodeableConcept"))
}

/// Whether another organisation prescribes.
pub(super) fn is_elsewhere(agency: &Json) -> bool {
    agency.list("coding").iter().filter_map(|c| c.word("code")).any(|c| c.contains("another"))
}

fn is_here(agency: &Json) -> bool {
    agency.is_nothing() || codes::has(agency, "prescribed-at-gp-practice")
}

/// What the MedicationStatement says and its MedicationRequest does not.
fn beside(work: &Work<'_>, plan: usize, at: usize, draft: &mut Draft) {
    let (resource, stated) = (work.json(plan), work.json(at));
    let repeated = |note: &Json| resource.list("note").iter().any(|n| n.word("text") == note.word("text"));
    for note in stated.list("note").iter().filter(|n| !repeated(n)) {
        draft.add(note.word("text"));
    }
    if stated.at("effectivePeriod") != resource.at("dispenseRequest").at("validityPeriod") {
        let period = quantities::words("Period", stated.at("effectivePeriod"));
        draft.say("Effective Period", period.as_deref());
    }
    draft.say("Taken", stated.word("taken").filter(|taken| *taken != "unk"));
    let status = stated.word("status").filter(|status| resource.word("status") != Some(*status));
    draft.say("Status stated", status.filter(|status| !["completed", "unknown"].contains(status)));
    draft.say("Information source", work.referred(at, stated.at("informationSource")).as_deref());
    if drug(work, at) != drug(work, plan) {
        draft.fault(Fault::UnmappableValue);
        draft.say("Medication stated", drug(work, at).as_deref());
    }
    let given = dosage(work, at);
    if given != dosage(work, plan) {
        draft.say("Dosage stated", given.as_deref());
    }
    if stated.at("dosage") != resource.at("dosageInstruction") {
        instructions(work, at, draft);
    }
    let last = stated.extension("LastIssueDate").choice("value").map_or(&Json::Null, |(_, v)| v);
    let last = draft.date("Last Issued", last);
    draft.say("Last Issued", last.as_deref());
    unslotted::say(work, at, STATED, draft);
}

/// How far a repeat has come; that nothing was issued yet goes without saying.
fn issues(resource: &Json, draft: &mut Draft) {
    let information = resource.extension("MedicationRepeatInformation");
    for (name, label) in [
        ("numberOfRepeatPrescriptionsIssued", "Repeats Issued"),
        ("authorisationExpiryDate", "Expiry Date"),
        ("reviewDate", "Review Date"),
    ] {
        let part = information.list("extension").iter().find(|e| e.word("url") == Some(name));
        let value = part.and_then(|e| e.choice("value")).and_then(|(_, v)| v.text());
        draft.say(label, value.filter(|v| *v != "0"));
    }
}

/// What an instruction says beside the text that the dosage has; one without text is the dosage.
fn instructions(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    for instruction in resource.list("dosageInstruction").iter().chain(resource.list("dosage")) {
        draft.say("Patient Instruction", instruction.word("patientInstruction"));
        if instruction.word("text").is_some() {
            let told = ["text", "sequence", "patientInstruction"];
            unslotted::say_of(work, at, "Dosage", instruction, &told, draft);
        }
    }
}

/// How long a supply lasts, in words: a code of UCUM alone says it too.
fn duration(resource: &Json, draft: &mut Draft) {
    let duration = resource.at("dispenseRequest").at("expectedSupplyDuration");
    let unit = match duration.word("code") {
        Some("h") => Some("hour"),
        Some("d") => Some("day"),
        Some("wk") => Some("week"),
        Some("mo") => Some("month"),
        Some("a") => Some("year"),
        Some(_) | None => None,
    };
    let words = match (duration.word("value"), unit) {
        (Some("1"), Some(unit)) => Some(format!("1 {unit}")),
        (Some(value), Some(unit)) => Some(format!("{value} {unit}s")),
        (_, _) => quantities::words("Duration", duration),
    };
    draft.say("Expected Supply Duration", words.as_deref());
}
