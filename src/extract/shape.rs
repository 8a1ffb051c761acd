//! What an EHR extract is made of, element by element: which children in which order, how many, which attributes
//! (MIM RCMR_MT030101UK04/05). A table for `validate`: it has every element that we write.

/// What an element may hold.
pub(super) struct Shape {
    /// Its children, in order.
    pub(super) children: &'static [Child],
    /// Whether it takes one of its children, whichever, and no order among them.
    pub(super) choice: bool,
    /// Attributes that it must have, each with the values it may have; none named means any.
    pub(super) attributes: &'static [Attribute],
    /// What the element itself says.
    pub(super) content: Holds,
}

/// An attribute, and its values.
pub(super) type Attribute = (&'static str, &'static [&'static str]);

/// What an element says by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Holds {
    /// Its children.
    Children,
    /// An id: a UUID in capitals, or an OID with an extension.
    Id,
    /// A code with its system, or why there is none.
    Code,
    /// A time of 4 to 14 digits, or why there is none.
    Time,
    /// A decimal with a unit.
    Amount,
    /// Anything of a data type that we do not look into.
    Anything,
}

/// A child in its place.
pub(super) struct Child {
    pub(super) name: &'static str,
    pub(super) least: u8,
    /// [`MANY`] for any number.
    pub(super) most: u8,
    pub(super) shape: &'static Shape,
}

/// Any number.
pub(super) const MANY: u8 = u8::MAX;

const fn child(name: &'static str, least: u8, most: u8, shape: &'static Shape) -> Child {
    Child { name, least, most, shape }
}

const fn one(name: &'static str, shape: &'static Shape) -> Child {
    child(name, 1, 1, shape)
}

const fn maybe(name: &'static str, shape: &'static Shape) -> Child {
    child(name, 0, 1, shape)
}

const fn any(name: &'static str, shape: &'static Shape) -> Child {
    child(name, 0, MANY, shape)
}

const fn some(name: &'static str, shape: &'static Shape) -> Child {
    child(name, 1, MANY, shape)
}

const fn shape(attributes: &'static [Attribute], children: &'static [Child]) -> Shape {
    Shape { children, choice: false, attributes, content: Holds::Children }
}

const fn choice(children: &'static [Child]) -> Shape {
    Shape { children, choice: true, attributes: &[], content: Holds::Children }
}

const fn leaf(content: Holds) -> Shape {
    Shape { children: &[], choice: false, attributes: &[], content }
}

const EVENT: &[Attribute] = &[("classCode", &["OBS"]), ("moodCode", &["EVN"])];
const PERSON: &[Attribute] = &[("typeCode", &["AUT", "PRF"])];
const REFERENCE: &[Attribute] = &[("classCode", &[]), ("moodCode", &[])];

static ID: Shape = leaf(Holds::Id);
static CODE: Shape = leaf(Holds::Code);
static TIME: Shape = leaf(Holds::Time);
static AMOUNT: Shape = leaf(Holds::Amount);
static ANYTHING: Shape = leaf(Holds::Anything);

/// The message, of either interaction.
pub(super) static MESSAGE: Shape = shape(
    &[],
    &[
        one("id", &ID),
        one("creationTime", &TIME),
        one("versionCode", &ANYTHING),
        one("interactionId", &ID),
        one("processingCode", &ANYTHING),
        one("processingModeCode", &ANYTHING),
        one("acceptAckCode", &ANYTHING),
        some("communicationFunctionRcv", &ANYTHING),
        one("communicationFunctionSnd", &ANYTHING),
        one("ControlActEvent", &CONTROL_ACT),
    ],
);
static CONTROL_ACT: Shape = shape(
    &[],
    &[
        maybe("author", &ANYTHING),
        child("author1", 1, 2, &ANYTHING),
        any("reason", &ANYTHING),
        one("subject", &SUBJECT),
    ],
);
static SUBJECT: Shape = shape(&[], &[one("EhrExtract", &EXTRACT)]);
static EXTRACT: Shape = shape(
    &[],
    &[
        one("id", &ID),
        one("statusCode", &ANYTHING),
        one("availabilityTime", &TIME),
        one("recordTarget", &RECORD_TARGET),
        one("author", &ORGANISATION_AUTHOR),
        one("destination", &ANYTHING),
        some("component", &FOLDERS),
        one("inFulfillmentOf", &ANYTHING),
        one("limitation", &ANYTHING),
    ],
);
static RECORD_TARGET: Shape = shape(&[], &[one("patient", &PATIENT)]);
static PATIENT: Shape = shape(&[], &[one("id", &ID)]);
static ORGANISATION_AUTHOR: Shape = shape(
    &[],
    &[
        one("time", &TIME),
        maybe("signatureCode", &ANYTHING),
        maybe("signatureText", &ANYTHING),
        one("AgentOrgSDS", &ANYTHING),
    ],
);
static FOLDERS: Shape = shape(&[], &[one("ehrFolder", &FOLDER)]);
static FOLDER: Shape = shape(
    &[],
    &[
        one("id", &ID),
        one("statusCode", &ANYTHING),
        one("effectiveTime", &INTERVAL),
        one("availabilityTime", &TIME),
        one("author", &ORGANISATION_AUTHOR),
        one("responsibleParty", &RESPONSIBLE),
        some("component", &COMPOSITIONS),
    ],
);
static RESPONSIBLE: Shape = shape(&[], &[one("agentDirectory", &DIRECTORY)]);
static DIRECTORY: Shape = shape(&[], &[any("part", &PART)]);
static PART: Shape = shape(&[], &[one("Agent", &AGENT)]);
static AGENT: Shape = shape(
    &[],
    &[
        child("id", 1, 2, &ID),
        maybe("code", &CODE),
        any("addr", &ANYTHING),
        any("telecom", &ANYTHING),
        maybe("agentOrganization", &ORGANISATION),
        maybe("agentOrganizationSDS", &ANYTHING),
        maybe("agentPersonSDS", &ANYTHING),
        maybe("agentPerson", &ANYTHING),
        maybe("agentDeviceSDS", &ANYTHING),
        maybe("agentDevice", &ANYTHING),
        maybe("representedOrganization", &ORGANISATION),
        maybe("representedOrganizationSDS", &ANYTHING),
        maybe("representedPersonSDS", &ANYTHING),
        maybe("representedPerson", &ANYTHING),
    ],
);
static ORGANISATION: Shape = shape(
    &[],
    &[
        maybe("id", &ID),
        maybe("code", &CODE),
        maybe("name", &ANYTHING),
        maybe("desc", &ANYTHING),
        child("telecom", 0, 5, &ANYTHING),
        child("addr", 0, 2, &ANYTHING),
    ],
);
static COMPOSITIONS: Shape = shape(&[], &[one("ehrComposition", &COMPOSITION)]);
static COMPOSITION: Shape = shape(
    &[],
    &[
        one("id", &ID),
        one("code", &CODE),
        one("statusCode", &ANYTHING),
        one("effectiveTime", &INTERVAL),
        one("availabilityTime", &TIME),
        maybe("confidentialityCode", &CODE),
        one("author", &AUTHOR),
        maybe("location", &ANYTHING),
        any("Participant2", &PARTICIPANT),
        some("component", &STATEMENTS),
        maybe("replacementOf", &ANYTHING),
    ],
);
static AUTHOR: Shape = shape(
    &[],
    &[
        one("time", &TIME),
        maybe("signatureCode", &ANYTHING),
        maybe("signatureText", &ANYTHING),
        one("agentRef", &AGENT_REF),
    ],
);
static AGENT_REF: Shape = shape(&[], &[one("id", &ID)]);
static PARTICIPANT: Shape =
    shape(&[("typeCode", &[])], &[maybe("time", &INTERVAL), one("agentRef", &AGENT_REF)]);
static ACTOR: Shape = shape(PERSON, &[maybe("time", &INTERVAL), one("agentRef", &AGENT_REF)]);

/// What a composition or a compound holds, one in each component.
static STATEMENTS: Shape = choice(&[
    maybe("sequenceNumber", &ANYTHING),
    maybe("seperatableInd", &ANYTHING),
    maybe("CompoundStatement", &COMPOUND),
    maybe("EhrEmpty", &EMPTY),
    maybe("LinkSet", &LINK_SET),
    maybe("MedicationStatement", &MEDICATION),
    maybe("NarrativeStatement", &NARRATIVE),
    maybe("ObservationStatement", &OBSERVATION),
    maybe("PlanStatement", &PLAN),
    maybe("RegistrationStatement", &REGISTRATION),
    maybe("RequestStatement", &REQUEST),
]);

/// A statement: its own children, then those that every statement may have.
macro_rules! statement {
    ($attributes:expr, $($own:expr),* $(,)?) => {
        shape(
            $attributes,
            &[
                $($own,)*
                any("informant", &ANYTHING),
                any("Participant", &ACTOR),
                any("replacementOf", &ANYTHING),
                any("reason", &ANYTHING),
                any("reference", &EXTERNAL),
                any("sequelTo", &ANYTHING),
            ],
        )
    };
}

static EMPTY: Shape = statement!(&[("moodCode", &["EVN"])], one("id", &ID));
static COMPOUND: Shape = statement!(
    &[("classCode", &["TOPIC", "CATEGORY", "BATTERY", "CLUSTER"]), ("moodCode", &["EVN"])],
    child("id", 1, 2, &ID),
    one("code", &CODE),
    one("statusCode", &ANYTHING),
    one("effectiveTime", &INTERVAL),
    one("availabilityTime", &TIME),
    maybe("priorityCode", &CODE),
    maybe("confidentialityCode", &CODE),
    maybe("uncertaintyCode", &CODE),
    any("specimen", &SPECIMEN),
    some("component", &STATEMENTS),
);
static SPECIMEN: Shape = shape(&[], &[one("specimenRole", &SPECIMEN_ROLE)]);
static SPECIMEN_ROLE: Shape = shape(
    &[],
    &[
        child("id", 1, 2, &ID),
        maybe("effectiveTime", &INTERVAL),
        one("specimenSpecimenMaterial", &MATERIAL_WORDS),
    ],
);
static MATERIAL_WORDS: Shape = shape(&[], &[one("desc", &ANYTHING)]);
static OBSERVATION: Shape = statement!(
    EVENT,
    one("id", &ID),
    one("code", &CODE),
    one("statusCode", &ANYTHING),
    one("effectiveTime", &INTERVAL),
    one("availabilityTime", &TIME),
    maybe("priorityCode", &CODE),
    maybe("confidentialityCode", &CODE),
    maybe("uncertaintyCode", &CODE),
    maybe("value", &TYPED),
    maybe("interpretationCode", &CODE),
    maybe("subject", &ANYTHING),
    any("specimen", &SPECIMEN),
    child("pertinentInformation", 0, 3, &ANNOTATED),
    any("referenceRange", &RANGE),
);
static TYPED: Shape = Shape {
    children: &[],
    choice: false,
    attributes: &[("xsi:type", &["PQ", "IVL_PQ", "ST", "CD", "CE", "CV", "INT", "REAL", "TS", "BL", "ED"])],
    content: Holds::Amount,
};
static ANNOTATED: Shape = shape(&[], &[one("sequenceNumber", &ANYTHING), one("pertinentAnnotation", &NOTE)]);
static NOTE: Shape = shape(&[], &[one("text", &ANYTHING)]);
static RANGE: Shape = shape(&[], &[one("referenceInterpretationRange", &RANGE_VALUE)]);
static RANGE_VALUE: Shape = shape(&[], &[maybe("text", &ANYTHING), maybe("value", &BOUNDS)]);
static BOUNDS: Shape = shape(&[], &[maybe("low", &AMOUNT), maybe("high", &AMOUNT)]);
static NARRATIVE: Shape = statement!(
    EVENT,
    one("id", &ID),
    one("text", &ANYTHING),
    one("statusCode", &ANYTHING),
    one("availabilityTime", &TIME),
    maybe("confidentialityCode", &CODE),
);
static PLAN: Shape = statement!(
    &[("classCode", &["OBS"]), ("moodCode", &["INT"])],
    one("id", &ID),
    one("code", &CODE),
    maybe("text", &ANYTHING),
    one("statusCode", &ANYTHING),
    one("effectiveTime", &INTERVAL),
    one("availabilityTime", &TIME),
    maybe("priorityCode", &CODE),
    maybe("confidentialityCode", &CODE),
);
static REQUEST: Shape = statement!(
    &[("classCode", &["OBS"]), ("moodCode", &["RQO"])],
    child("id", 1, 2, &ID),
    one("code", &CODE),
    maybe("text", &ANYTHING),
    one("statusCode", &ANYTHING),
    one("effectiveTime", &INTERVAL),
    one("availabilityTime", &TIME),
    maybe("priorityCode", &CODE),
    maybe("confidentialityCode", &CODE),
    maybe("responsibleParty", &PARTY),
);
static PARTY: Shape = shape(&[], &[maybe("modeCode", &CODE), one("agentRef", &AGENT_REF)]);
static REGISTRATION: Shape = statement!(
    EVENT,
    one("id", &ID),
    one("code", &CODE),
    one("statusCode", &ANYTHING),
    one("effectiveTime", &INTERVAL),
    one("availabilityTime", &TIME),
    maybe("confidentialityCode", &CODE),
    maybe("responsibleParty", &PARTY),
);
static LINK_SET: Shape = statement!(
    EVENT,
    one("id", &ID),
    one("code", &CODE),
    one("statusCode", &ANYTHING),
    maybe("effectiveTime", &INTERVAL),
    one("availabilityTime", &TIME),
    maybe("confidentialityCode", &CODE),
    any("component", &LINKED),
    maybe("conditionNamed", &NAMED),
);
static LINKED: Shape = shape(&[], &[one("statementRef", &STATEMENT_REF)]);
static NAMED: Shape = shape(&[], &[one("namedStatementRef", &STATEMENT_REF)]);
static STATEMENT_REF: Shape = shape(REFERENCE, &[one("id", &ID)]);
static MEDICATION: Shape = statement!(
    &[("classCode", &["SBADM"]), ("moodCode", &["INT", "ORD"])],
    one("id", &ID),
    one("statusCode", &ANYTHING),
    maybe("effectiveTime", &INTERVAL),
    one("availabilityTime", &TIME),
    maybe("priorityCode", &CODE),
    maybe("confidentialityCode", &CODE),
    any("consumable", &CONSUMABLE),
    child("component", 0, 3, &SUPPLIES),
    any("pertinentInformation", &DOSAGES),
);
static CONSUMABLE: Shape = shape(&[], &[one("manufacturedProduct", &PRODUCT)]);
static PRODUCT: Shape = shape(&[], &[one("manufacturedMaterial", &MATERIAL)]);
static MATERIAL: Shape = shape(
    &[("determinerCode", &["KIND"])],
    &[one("code", &CODE), maybe("quantity", &AMOUNT), maybe("expirationTime", &TIME)],
);
static SUPPLIES: Shape = choice(&[
    maybe("ehrSupplyAuthorise", &AUTHORISE),
    maybe("ehrSupplyDiscontinue", &DISCONTINUE),
    maybe("ehrSupplyDispense", &PRESCRIBE),
    maybe("ehrSupplyPrescribe", &PRESCRIBE),
]);
static AUTHORISE: Shape = shape(
    &[("classCode", &["SPLY"]), ("moodCode", &["INT"])],
    &[
        one("id", &ID),
        one("code", &CODE),
        one("statusCode", &ANYTHING),
        maybe("effectiveTime", &INTERVAL),
        one("availabilityTime", &TIME),
        maybe("repeatNumber", &ANYTHING),
        one("quantity", &AMOUNT),
        any("predecessor", &PRIOR),
        maybe("performer", &ANYTHING),
        maybe("consumable", &ANYTHING),
        any("pertinentInformation", &SUPPLY_NOTE),
    ],
);
static PRESCRIBE: Shape = shape(
    &[("classCode", &["SPLY"]), ("moodCode", &["RQO", "EVN"])],
    &[
        one("id", &ID),
        one("code", &CODE),
        one("statusCode", &ANYTHING),
        one("availabilityTime", &TIME),
        one("quantity", &AMOUNT),
        maybe("inFulfillmentOf", &PRIOR),
        maybe("performer", &ANYTHING),
        maybe("consumable", &ANYTHING),
        any("pertinentInformation", &SUPPLY_NOTE),
    ],
);
static DISCONTINUE: Shape = shape(
    &[("classCode", &["SPLY"]), ("moodCode", &["RQO"])],
    &[
        one("id", &ID),
        one("code", &CODE),
        one("statusCode", &ANYTHING),
        one("availabilityTime", &TIME),
        any("reversalOf", &PRIOR),
        maybe("performer", &ANYTHING),
        maybe("consumable", &ANYTHING),
        any("pertinentInformation", &SUPPLY_NOTE),
    ],
);
static PRIOR: Shape = shape(&[], &[one("priorMedicationRef", &STATEMENT_REF)]);
static SUPPLY_NOTE: Shape = shape(&[], &[one("pertinentSupplyAnnotation", &NOTE)]);
static DOSAGES: Shape = shape(&[], &[one("pertinentMedicationDosage", &DOSAGE)]);
static DOSAGE: Shape = shape(&[("moodCode", &["RMD"])], &[one("text", &ANYTHING)]);
static EXTERNAL: Shape = shape(&[], &[one("referredToExternalDocument", &DOCUMENT)]);
static DOCUMENT: Shape = shape(
    &[],
    &[
        one("id", &ID),
        one("code", &CODE),
        one("text", &ANYTHING),
        maybe("effectiveTime", &INTERVAL),
        maybe("confidentialityCode", &CODE),
        maybe("setId", &ID),
        maybe("versionNumber", &ANYTHING),
        any("author", &ANYTHING),
    ],
);
static INTERVAL: Shape = shape(&[], &[maybe("low", &TIME), maybe("center", &TIME), maybe("high", &TIME)]);
