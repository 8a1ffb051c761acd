//! Medication statements and the supplies in them (extract §2.1).

use super::statement::{AGENT_REF, ANNOTATION, TAIL};
use super::value::*;
use super::*;

shape!(
    MEDICATION,
    [class(&["SBADM"]), mood(&["INT", "ORD"])],
    [
        one("id", &II),
        one("statusCode", &STATUS),
        maybe("effectiveTime", &IVL_TS),
        one("availabilityTime", &TS),
        maybe("priorityCode", &CV),
        label(),
        many("consumable", &CONSUMABLE),
        child("component", 0, 3, &SUPPLIES),
        many("pertinentInformation", &DOSED),
    ],
    TAIL
);
shape!(CONSUMABLE, [kind(&["CSM"])], [one("manufacturedProduct", &PRODUCT)]);
shape!(SUPPLIED, [must("typeCode", Form::Term)], [one("manufacturedProduct", &PRODUCT)]);
shape!(PRODUCT, [class(&["MANU"])], [one("manufacturedMaterial", &MATERIAL)]);
shape!(
    MATERIAL,
    [class(&["MMAT"]), must("determinerCode", Form::Of(&["KIND", "INSTANCE"]))],
    [one("code", &CE), maybe("quantity", &PQ), maybe("expirationTime", &TS),]
);
shape!(DOSED, [kind(&["PERT"])], [one("pertinentMedicationDosage", &DOSAGE)]);
shape!(DOSAGE, [class(&["SBADM"]), mood(&["RMD"])], [one("text", &ED)]);
shape!(
    SUPPLIES,
    OneOf,
    No,
    [kind(&["COMP"]), CONDUCTS],
    [
        maybe("ehrSupplyAuthorise", &AUTHORISE),
        maybe("ehrSupplyPrescribe", &PRESCRIBE),
        maybe("ehrSupplyDiscontinue", &DISCONTINUE),
        maybe("ehrSupplyDispense", &DISPENSE),
    ]
);
const SUPPLY_TAIL: &[Child] = &[
    maybe("performer", &PERFORMER),
    maybe("consumable", &SUPPLIED),
    many("pertinentInformation", &SUPPLY_NOTE),
];
shape!(PERFORMER, [kind(&["PRF"])], [maybe("time", &TS), one("agentRef", &AGENT_REF)]);
shape!(SUPPLY_NOTE, [kind(&["PERT"])], [one("pertinentSupplyAnnotation", &ANNOTATION)]);
shape!(
    AUTHORISE,
    [class(&["SPLY"]), mood(&["INT"])],
    [
        one("id", &II),
        one("code", &CV),
        one("statusCode", &STATUS),
        maybe("effectiveTime", &IVL_TS),
        one("availabilityTime", &TS),
        maybe("repeatNumber", &INT),
        one("quantity", &PQ),
        many("predecessor", &SUPPLY_LINK),
    ],
    SUPPLY_TAIL
);
shape!(
    PRESCRIBE,
    [class(&["SPLY"]), mood(&["RQO"])],
    [
        one("id", &II),
        one("code", &CV),
        one("statusCode", &STATUS),
        one("availabilityTime", &TS),
        one("quantity", &PQ),
        maybe("inFulfillmentOf", &SUPPLY_LINK),
    ],
    SUPPLY_TAIL
);
shape!(
    DISPENSE,
    [class(&["SPLY"]), mood(&["EVN"])],
    [
        one("id", &II),
        one("code", &CV),
        one("statusCode", &STATUS),
        one("availabilityTime", &TS),
        one("quantity", &PQ),
        maybe("inFulfillmentOf", &SUPPLY_LINK),
    ],
    SUPPLY_TAIL
);
shape!(
    DISCONTINUE,
    [class(&["SPLY"]), mood(&["RQO"])],
    [
        one("id", &II),
        one("code", &CD),
        one("statusCode", &STATUS),
        one("availabilityTime", &TS),
        many("reversalOf", &SUPPLY_LINK),
    ],
    SUPPLY_TAIL
);
shape!(SUPPLY_LINK, [kind(&["SUCC", "FLFS", "REV"])], [one("priorMedicationRef", &MEDICATION_REF)]);
shape!(MEDICATION_REF, [class(&["SBADM", "SPLY"]), must("moodCode", Form::Term)], [one("id", &II)]);
