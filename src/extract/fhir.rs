//! The FHIR STU3 resources that we write, with the fields that an extract has words for and no others.
//!
//! Types of our own, because a crate of the whole model would be a hundred times these fields, and none that is well
//! kept has STU3 with the GP Connect extensions. They are written and never read: what comes in is [`super::json`],
//! which takes every shape. Fields are in the order in which FHIR defines them; empty ones are not written.

use std::borrow::Cow;

use serde::ser::SerializeMap;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

/// FHIR's name of SNOMED CT.
pub(super) const SNOMED: &str = "http://snomed.info/sct";

/// Words, borrowed from the message where they can be.
pub(super) type Text<'t> = Cow<'t, str>;

/// What is not worth writing.
trait Blank {
    fn is_blank(&self) -> bool;
}

impl<T> Blank for Option<T> {
    fn is_blank(&self) -> bool {
        self.is_none()
    }
}

impl<T> Blank for Vec<T> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl Blank for &str {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

impl Blank for Cow<'_, str> {
    fn is_blank(&self) -> bool {
        self.is_empty()
    }
}

macro_rules! fhir {
    ($($name:ident { $($field:ident: $type:ty,)* })*) => { $(
        #[derive(Debug, Clone, Default, Serialize)]
        #[serde(rename_all = "camelCase")]
        pub(super) struct $name<'t> {
            $(
                #[serde(skip_serializing_if = "Blank::is_blank")]
                pub(super) $field: $type,
            )*
            #[serde(skip)]
            pub(super) lifetime: std::marker::PhantomData<&'t ()>,
        }
    )* };
}

/// A URL of GP Connect's and CareConnect's profiles, extensions and code systems.
const PROFILES: &str = "https://fhir.nhs.uk/STU3/StructureDefinition/CareConnect-GPC-";

/// One value with a name of its own, inside a resource.
#[derive(Debug, Clone)]
pub(super) struct Extension<'t> {
    pub(super) url: &'static str,
    pub(super) value: Value<'t>,
}

/// What an extension says.
#[derive(Debug, Clone)]
pub(super) enum Value<'t> {
    Parts(Vec<Extension<'t>>),
    Code(&'static str),
    Id(Text<'t>),
    String(Text<'t>),
    DateTime(String),
    Truth(bool),
    Count(u32),
    Concept(CodeableConcept<'t>),
    Reference(Reference<'t>),
}

impl Serialize for Extension<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(2))?;
        map.serialize_entry("url", self.url)?;
        match &self.value {
            Value::Parts(parts) => map.serialize_entry("extension", parts)?,
            Value::Code(code) => map.serialize_entry("valueCode", code)?,
            Value::Id(id) => map.serialize_entry("valueId", id)?,
            Value::String(text) => map.serialize_entry("valueString", text)?,
            Value::DateTime(time) => map.serialize_entry("valueDateTime", time)?,
            Value::Truth(truth) => map.serialize_entry("valueBoolean", truth)?,
            Value::Count(count) => map.serialize_entry("valueUnsignedInt", count)?,
            Value::Concept(concept) => map.serialize_entry("valueCodeableConcept", concept)?,
            Value::Reference(reference) => map.serialize_entry("valueReference", reference)?,
        }
        map.end()
    }
}

/// What says of a resource which profile it follows and who may not see it.
#[derive(Debug, Clone)]
pub(super) struct Meta {
    /// The middle of the profile's name: `Observation`, `ProblemHeader-Condition`.
    pub(super) profile: &'static str,
    /// Not to be shown to the patient.
    pub(super) withheld: bool,
}

impl Serialize for Meta {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("profile", &[format_args!("{PROFILES}{}-1", self.profile)])?;
        if self.withheld {
            let label = Coding {
                system: "http://hl7.org/fhir/v3/ActCode".into(),
                code: "NOPAT".into(),
                display: "no disclosure to patient, family or caregivers without attending provider's authorization"
                    .into(),
                ..Coding::default()
            };
            map.serialize_entry("security", &[label])?;
        }
        map.end()
    }
}

fhir! {
    Coding {
        extension: Vec<Extension<'t>>,
        system: Text<'t>,
        code: Text<'t>,
        display: Text<'t>,
    }
    CodeableConcept {
        coding: Vec<Coding<'t>>,
        text: Option<Text<'t>>,
    }
    Identifier {
        r#use: &'static str,
        system: Text<'t>,
        value: Text<'t>,
    }
    Reference {
        reference: Text<'t>,
        display: Option<Text<'t>>,
    }
    Period {
        start: Option<String>,
        end: Option<String>,
    }
    Quantity {
        value: Option<Box<RawValue>>,
        comparator: &'static str,
        unit: Text<'t>,
        system: Text<'t>,
        code: Text<'t>,
    }
    Annotation {
        text: Text<'t>,
    }
    HumanName {
        r#use: &'static str,
        text: Option<Text<'t>>,
        family: Option<Text<'t>>,
        given: Vec<Text<'t>>,
        prefix: Vec<Text<'t>>,
    }
    ContactPoint {
        system: &'static str,
        value: Text<'t>,
        r#use: &'static str,
    }
    Address {
        r#use: &'static str,
        line: Vec<Text<'t>>,
        postal_code: Option<Text<'t>>,
    }
    Patient {
        meta: Option<Meta>,
        identifier: Vec<Identifier<'t>>,
    }
    Practitioner {
        meta: Option<Meta>,
        identifier: Vec<Identifier<'t>>,
        name: Vec<HumanName<'t>>,
    }
    PractitionerRole {
        meta: Option<Meta>,
        practitioner: Option<Reference<'t>>,
        organization: Option<Reference<'t>>,
        code: Vec<CodeableConcept<'t>>,
    }
    Organization {
        meta: Option<Meta>,
        identifier: Vec<Identifier<'t>>,
        name: Option<Text<'t>>,
        telecom: Vec<ContactPoint<'t>>,
        address: Vec<Address<'t>>,
    }
    Location {
        meta: Option<Meta>,
        identifier: Vec<Identifier<'t>>,
        status: &'static str,
        name: Text<'t>,
    }
    Encounter {
        meta: Option<Meta>,
        identifier: Vec<Identifier<'t>>,
        status: &'static str,
        r#type: Vec<CodeableConcept<'t>>,
        subject: Option<Reference<'t>>,
        participant: Vec<Participant<'t>>,
        period: Option<Period<'t>>,
        location: Vec<EncounterLocation<'t>>,
    }
    Participant {
        r#type: Vec<CodeableConcept<'t>>,
        individual: Option<Reference<'t>>,
    }
    EncounterLocation {
        location: Option<Reference<'t>>,
    }
    List {
        meta: Option<Meta>,
        extension: Vec<Extension<'t>>,
        identifier: Vec<Identifier<'t>>,
        status: &'static str,
        mode: &'static str,
        title: Option<Text<'t>>,
        code: Option<CodeableConcept<'t>>,
        subject: Option<Reference<'t>>,
        encounter: Option<Reference<'t>>,
        date: Option<String>,
        ordered_by: Option<CodeableConcept<'t>>,
        note: Vec<Annotation<'t>>,
        entry: Vec<ListEntry<'t>>,
    }
    ListEntry {
        item: Option<Reference<'t>>,
    }
    Observation {
        meta: Option<Meta>,
        identifier: Vec<Identifier<'t>>,
        status: &'static str,
        code: Option<CodeableConcept<'t>>,
        subject: Option<Reference<'t>>,
        context: Option<Reference<'t>>,
        effective_date_time: Option<String>,
        effective_period: Option<Period<'t>>,
        issued: Option<String>,
        performer: Vec<Reference<'t>>,
        value_quantity: Option<ApproximateQuantity<'t>>,
        value_string: Option<Text<'t>>,
        interpretation: Option<CodeableConcept<'t>>,
        comment: Option<Text<'t>>,
        specimen: Option<Reference<'t>>,
        reference_range: Vec<ReferenceRange<'t>>,
        related: Vec<Related<'t>>,
        component: Vec<Component<'t>>,
    }
    ApproximateQuantity {
        extension: Vec<Extension<'t>>,
        value: Option<Box<RawValue>>,
        comparator: &'static str,
        unit: Text<'t>,
        system: Text<'t>,
        code: Text<'t>,
    }
    ReferenceRange {
        low: Option<Quantity<'t>>,
        high: Option<Quantity<'t>>,
        text: Option<Text<'t>>,
    }
    Related {
        r#type: &'static str,
        target: Option<Reference<'t>>,
    }
    Component {
        code: Option<CodeableConcept<'t>>,
        value_quantity: Option<ApproximateQuantity<'t>>,
        value_string: Option<Text<'t>>,
        interpretation: Option<CodeableConcept<'t>>,
        reference_range: Vec<ReferenceRange<'t>>,
    }
    AllergyIntolerance {
        meta: Option<Meta>,
        extension: Vec<Extension<'t>>,
        identifier: Vec<Identifier<'t>>,
        clinical_status: &'static str,
        verification_status: &'static str,
        category: Vec<&'static str>,
        code: Option<CodeableConcept<'t>>,
        patient: Option<Reference<'t>>,
        onset_date_time: Option<String>,
        asserted_date: Option<String>,
        recorder: Option<Reference<'t>>,
        asserter: Option<Reference<'t>>,
        note: Vec<Annotation<'t>>,
    }
    Immunization {
        meta: Option<Meta>,
        extension: Vec<Extension<'t>>,
        identifier: Vec<Identifier<'t>>,
        status: &'static str,
        not_given: Option<bool>,
        vaccine_code: Option<CodeableConcept<'t>>,
        patient: Option<Reference<'t>>,
        encounter: Option<Reference<'t>>,
        date: Option<String>,
        primary_source: Option<bool>,
        practitioner: Vec<ImmunizationPractitioner<'t>>,
        note: Vec<Annotation<'t>>,
    }
    ImmunizationPractitioner {
        role: Option<CodeableConcept<'t>>,
        actor: Option<Reference<'t>>,
    }
    Condition {
        meta: Option<Meta>,
        extension: Vec<Extension<'t>>,
        identifier: Vec<Identifier<'t>>,
        clinical_status: &'static str,
        category: Vec<CodeableConcept<'t>>,
        code: Option<CodeableConcept<'t>>,
        subject: Option<Reference<'t>>,
        context: Option<Reference<'t>>,
        onset_date_time: Option<String>,
        abatement_date_time: Option<String>,
        asserted_date: Option<String>,
        asserter: Option<Reference<'t>>,
        note: Vec<Annotation<'t>>,
    }
    Medication {
        meta: Option<Meta>,
        code: Option<CodeableConcept<'t>>,
    }
    MedicationRequest {
        meta: Option<Meta>,
        extension: Vec<Extension<'t>>,
        identifier: Vec<Identifier<'t>>,
        based_on: Vec<Reference<'t>>,
        status: &'static str,
        intent: &'static str,
        medication_reference: Option<Reference<'t>>,
        subject: Option<Reference<'t>>,
        context: Option<Reference<'t>>,
        authored_on: Option<String>,
        requester: Option<Requester<'t>>,
        recorder: Option<Reference<'t>>,
        note: Vec<Annotation<'t>>,
        dosage_instruction: Vec<Dosage<'t>>,
        dispense_request: Option<DispenseRequest<'t>>,
        prior_prescription: Option<Reference<'t>>,
    }
    Requester {
        agent: Option<Reference<'t>>,
    }
    Dosage {
        text: Text<'t>,
        patient_instruction: Option<Text<'t>>,
    }
    DispenseRequest {
        validity_period: Option<Period<'t>>,
        quantity: Option<Quantity<'t>>,
    }
    MedicationStatement {
        meta: Option<Meta>,
        extension: Vec<Extension<'t>>,
        identifier: Vec<Identifier<'t>>,
        based_on: Vec<Reference<'t>>,
        context: Option<Reference<'t>>,
        status: &'static str,
        medication_reference: Option<Reference<'t>>,
        effective_period: Option<Period<'t>>,
        date_asserted: Option<String>,
        subject: Option<Reference<'t>>,
        taken: &'static str,
        dosage: Vec<Dosage<'t>>,
    }
    ProcedureRequest {
        meta: Option<Meta>,
        identifier: Vec<Identifier<'t>>,
        status: &'static str,
        intent: &'static str,
        code: Option<CodeableConcept<'t>>,
        subject: Option<Reference<'t>>,
        context: Option<Reference<'t>>,
        occurrence_date_time: Option<String>,
        occurrence_period: Option<Period<'t>>,
        authored_on: Option<String>,
        requester: Option<Requester<'t>>,
        note: Vec<Annotation<'t>>,
    }
    ReferralRequest {
        meta: Option<Meta>,
        identifier: Vec<Identifier<'t>>,
        status: &'static str,
        intent: &'static str,
        priority: Option<&'static str>,
        subject: Option<Reference<'t>>,
        context: Option<Reference<'t>>,
        authored_on: Option<String>,
        requester: Option<Requester<'t>>,
        recipient: Vec<Reference<'t>>,
        reason_code: Vec<CodeableConcept<'t>>,
        supporting_info: Vec<Reference<'t>>,
        note: Vec<Annotation<'t>>,
    }
    DocumentReference {
        meta: Option<Meta>,
        identifier: Vec<Identifier<'t>>,
        status: &'static str,
        r#type: Option<CodeableConcept<'t>>,
        subject: Option<Reference<'t>>,
        created: Option<String>,
        indexed: Option<String>,
        author: Vec<Reference<'t>>,
        description: Option<Text<'t>>,
        content: Vec<Content<'t>>,
        context: Option<DocumentContext<'t>>,
    }
    Content {
        attachment: Option<Attachment<'t>>,
    }
    Attachment {
        content_type: Text<'t>,
        url: Text<'t>,
        size: Option<u64>,
        hash: Text<'t>,
        title: Text<'t>,
    }
    DocumentContext {
        encounter: Option<Reference<'t>>,
    }
    DiagnosticReport {
        meta: Option<Meta>,
        identifier: Vec<Identifier<'t>>,
        status: &'static str,
        category: Option<CodeableConcept<'t>>,
        code: Option<CodeableConcept<'t>>,
        subject: Option<Reference<'t>>,
        context: Option<Reference<'t>>,
        issued: Option<String>,
        performer: Vec<ReportPerformer<'t>>,
        specimen: Vec<Reference<'t>>,
        result: Vec<Reference<'t>>,
        conclusion: Option<Text<'t>>,
    }
    ReportPerformer {
        actor: Option<Reference<'t>>,
    }
    Specimen {
        meta: Option<Meta>,
        identifier: Vec<Identifier<'t>>,
        accession_identifier: Option<Identifier<'t>>,
        status: &'static str,
        r#type: Option<CodeableConcept<'t>>,
        subject: Option<Reference<'t>>,
        received_time: Option<String>,
        collection: Option<Collection<'t>>,
        note: Vec<Annotation<'t>>,
    }
    Collection {
        collected_date_time: Option<String>,
        collected_period: Option<Period<'t>>,
    }
}

impl<'t> Reference<'t> {
    /// `kind/id`
    pub(super) fn to(kind: &str, id: &str) -> Self {
        Self { reference: format!("{kind}/{id}").into(), ..Self::default() }
    }
}

impl<'t> CodeableConcept<'t> {
    /// One coding of a code system.
    pub(super) fn of(system: &'static str, code: &'static str, display: &'static str) -> Self {
        let coding =
            Coding { system: system.into(), code: code.into(), display: display.into(), ..Coding::default() };
        Self { coding: vec![coding], ..Self::default() }
    }

    /// Words alone.
    pub(super) fn words(text: impl Into<Text<'t>>) -> Self {
        Self { text: Some(text.into()), ..Self::default() }
    }
}

/// Notes of the words that are there.
pub(super) fn notes<'t>(words: impl IntoIterator<Item = Text<'t>>) -> Vec<Annotation<'t>> {
    let some = words.into_iter().filter(|w| !w.trim().is_empty());
    some.map(|text| Annotation { text, ..Annotation::default() }).collect()
}
