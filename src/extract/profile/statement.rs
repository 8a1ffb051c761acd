//! Consultations and the statements in them (extract §2.1).

use super::medication::MEDICATION;
use super::value::*;
use super::*;

shape!(
    COMPOSITION,
    [class(&["COMPOSITION"]), mood(&["EVN"])],
    [
        one("id", &II),
        one("code", &CD),
        one("statusCode", &STATUS),
        one("effectiveTime", &IVL_TS),
        one("availabilityTime", &TS),
        label(),
        one("author", &AUTHOR),
        maybe("location", &LOCATION),
        many("Participant2", &WITNESS),
        child("component", 1, MANY, &STATEMENTS),
        maybe("replacementOf", &REPLACED_COMPOSITION),
    ]
);
shape!(AUTHOR, [kind(&["AUT"]), CONTROLS], [one("time", &TS), one("agentRef", &AGENT_REF)]);
shape!(AGENT_REF, [class(&["AGNT"])], [one("id", &II)]);
shape!(LOCATION, [kind(&["LOC"])], [one("locatedEntity", &LOCATED)]);
shape!(LOCATED, [class(&["LOCE"])], [maybe("code", &CV), maybe("locatedPlace", &PLACE)]);
shape!(
    PLACE,
    [class(&["PLC"]), INSTANCE],
    [maybe("name", &EN), child("telecom", 0, 5, &TEL), maybe("addr", &AD)]
);
shape!(WITNESS, [must("typeCode", Form::Term), CONTROLS], [one("agentRef", &AGENT_REF)]);
shape!(
    PARTICIPANT,
    [kind(&["AUT", "PRF", "PPRF", "SPRF", "RESP", "ENT"]), CONTROLS],
    [maybe("time", &IVL_TS), one("agentRef", &AGENT_REF)]
);
shape!(REPLACED_COMPOSITION, [kind(&["RPLC"])], [one("priorCompositionRef", &COMPOSITION_REF)]);
shape!(COMPOSITION_REF, [class(&["COMPOSITION"]), mood(&["EVN"])], [one("id", &II)]);
shape!(
    STATEMENTS,
    OneOf,
    No,
    [kind(&["COMP"]), CONDUCTS],
    [
        maybe("ObservationStatement", &OBSERVATION),
        maybe("NarrativeStatement", &NARRATIVE),
        maybe("MedicationStatement", &MEDICATION),
        maybe("CompoundStatement", &COMPOUND),
        maybe("LinkSet", &LINK_SET),
        maybe("RequestStatement", &REQUEST),
        maybe("PlanStatement", &PLAN),
        maybe("EhrEmpty", &EMPTY),
        maybe("RegistrationStatement", &REGISTRATION),
    ]
);

pub(super) const TAIL: &[Child] = &[
    many("informant", &INFORMANT),
    many("Participant", &PARTICIPANT),
    many("replacementOf", &PRIOR),
    many("reason", &REASON),
    many("reference", &REFERENCE),
    many("sequelTo", &PRIOR),
];
shape!(INFORMANT, [kind(&["INF"])], [one("informantRole", &INFORMANT_ROLE)]);
shape!(INFORMANT_ROLE, [may("classCode", Form::Term)], [maybe("code", &CE), maybe("playingPerson", &HOLDER)]);
shape!(HOLDER, [class(&["PSN"]), INSTANCE], [many("name", &EN), maybe("deceasedInd", &BL)]);
shape!(PRIOR, [must("typeCode", Form::Term)], [one("priorStatementRef", &STATEMENT_REF)]);
shape!(REASON, [kind(&["RSON"])], [one("justifyingStatementRef", &STATEMENT_REF)]);
shape!(STATEMENT_REF, [must("classCode", Form::Term), must("moodCode", Form::Term)], [one("id", &II)]);
shape!(REFERENCE, [kind(&["REFR"])], [one("referredToExternalDocument", &DOCUMENT)]);
shape!(
    DOCUMENT,
    [class(&["DOC"]), mood(&["EVN"])],
    [
        one("id", &II),
        one("code", &CD),
        one("text", &ED),
        maybe("effectiveTime", &IVL_TS),
        label(),
        maybe("setId", &II),
        maybe("versionNumber", &INT),
        many("author", &DOCUMENT_AUTHOR),
    ]
);
shape!(DOCUMENT_AUTHOR, [kind(&["AUT"]), CONTROLS], [one("agentRef", &AGENT_REF)]);

shape!(
    COMPOUND,
    [class(&["TOPIC", "CATEGORY", "BATTERY", "CLUSTER"]), mood(&["EVN"])],
    [
        child("id", 1, 2, &II),
        one("code", &CD),
        one("statusCode", &STATUS),
        one("effectiveTime", &IVL_TS),
        one("availabilityTime", &TS),
        maybe("priorityCode", &CV),
        label(),
        maybe("uncertaintyCode", &CV),
        many("specimen", &SPECIMEN),
        child("component", 1, MANY, &STATEMENTS),
    ],
    TAIL
);
shape!(SPECIMEN, [kind(&["SPC"])], [one("specimenRole", &SPECIMEN_ROLE)]);
shape!(
    SPECIMEN_ROLE,
    [class(&["SPEC"])],
    [
        child("id", 1, 2, &II),
        maybe("effectiveTime", &IVL_TS),
        one("specimenSpecimenMaterial", &SPECIMEN_MATERIAL)
    ]
);
shape!(SPECIMEN_MATERIAL, [class(&["MAT"]), INSTANCE], [one("desc", &ED)]);
shape!(
    OBSERVATION,
    [class(&["OBS"]), mood(&["EVN"])],
    [
        one("id", &II),
        one("code", &CD),
        one("statusCode", &STATUS),
        one("effectiveTime", &IVL_TS),
        one("availabilityTime", &TS),
        maybe("priorityCode", &CV),
        label(),
        maybe("uncertaintyCode", &CV),
        maybe("value", &VALUE),
        maybe("interpretationCode", &CV),
        maybe("subject", &RELATIVE),
        many("specimen", &SPECIMEN),
        child("pertinentInformation", 0, 3, &ANNOTATED),
        many("referenceRange", &RANGE),
    ],
    TAIL
);
shape!(RELATIVE, [kind(&["SBJ"])], [one("personalRelationship", &RELATIONSHIP)]);
shape!(RELATIONSHIP, [class(&["PRS"])], [maybe("code", &CE), maybe("relationshipHolder", &HOLDER)]);
shape!(ANNOTATED, [kind(&["PERT"])], [one("sequenceNumber", &INT), one("pertinentAnnotation", &ANNOTATION)]);
shape!(ANNOTATION, [class(&["OBS"]), mood(&["EVN"])], [one("text", &ED)]);
shape!(RANGE, [kind(&["REFV"])], [one("referenceInterpretationRange", &INTERPRETATION)]);
shape!(INTERPRETATION, [class(&["OBS"]), mood(&["EVN.CRT"])], [maybe("text", &ED), maybe("value", &IVL_PQ)]);
shape!(
    NARRATIVE,
    [class(&["OBS"]), mood(&["EVN"])],
    [one("id", &II), one("text", &ED), one("statusCode", &STATUS), one("availabilityTime", &TS), label(),],
    TAIL
);
shape!(
    PLAN,
    [class(&["OBS"]), mood(&["INT"])],
    [
        one("id", &II),
        one("code", &CD),
        maybe("text", &ED),
        one("statusCode", &STATUS),
        one("effectiveTime", &IVL_TS),
        one("availabilityTime", &TS),
        maybe("priorityCode", &CV),
        label(),
    ],
    TAIL
);
shape!(
    REQUEST,
    [class(&["OBS"]), mood(&["RQO"])],
    [
        child("id", 1, 2, &II),
        one("code", &CD),
        maybe("text", &ED),
        one("statusCode", &STATUS),
        one("effectiveTime", &IVL_TS),
        one("availabilityTime", &TS),
        maybe("priorityCode", &CV),
        label(),
        maybe("responsibleParty", &RESPONSIBLE),
    ],
    TAIL
);
shape!(RESPONSIBLE, [kind(&["RESP"]), CONTROLS], [maybe("modeCode", &CV), one("agentRef", &AGENT_REF)]);
shape!(
    LINK_SET,
    [class(&["OBS"]), mood(&["EVN"])],
    [
        one("id", &II),
        one("code", &CD),
        one("statusCode", &STATUS),
        maybe("effectiveTime", &IVL_TS),
        one("availabilityTime", &TS),
        label(),
        many("component", &LINKED),
        maybe("conditionNamed", &NAMED),
    ],
    TAIL
);
shape!(LINKED, [kind(&["COMP"]), CONDUCTS], [one("statementRef", &STATEMENT_REF)]);
shape!(NAMED, [kind(&["NAME"]), may("inversionInd", TRUTH)], [one("namedStatementRef", &STATEMENT_REF)]);
shape!(
    REGISTRATION,
    [class(&["OBS"]), mood(&["EVN"])],
    [
        one("id", &II),
        one("code", &CE),
        one("statusCode", &STATUS),
        one("effectiveTime", &IVL_TS),
        one("availabilityTime", &TS),
        label(),
        maybe("responsibleParty", &RESPONSIBLE),
    ],
    TAIL
);
shape!(EMPTY, [class(&["OBS"]), mood(&["EVN"])], [one("id", &II)], TAIL);
