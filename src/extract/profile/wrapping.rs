//! The message down to its folder, and the directory of agents in it (extract §2, §6).

use super::statement::COMPOSITION;
use super::value::*;
use super::*;

shape!(
    MESSAGE,
    [],
    [
        one("id", &II),
        one("creationTime", &TS),
        one("versionCode", &CS),
        one("interactionId", &II),
        one("processingCode", &CS),
        one("processingModeCode", &CS),
        one("acceptAckCode", &CS),
        child("communicationFunctionRcv", 1, MANY, &RECEIVER),
        one("communicationFunctionSnd", &SENDER),
        one("ControlActEvent", &CONTROL),
    ]
);
shape!(RECEIVER, [kind(&["RCV"])], [one("device", &STATION)]);
shape!(SENDER, [kind(&["SND"])], [one("device", &STATION)]);
// The wrapper allows a station several ids; an author has one.
shape!(STATION, [class(&["DEV"]), INSTANCE], [child("id", 1, MANY, &II)]);
shape!(DEVICE, [class(&["DEV"]), INSTANCE], [one("id", &II)]);
shape!(
    CONTROL,
    [class(&["CACT"]), mood(&["EVN"])],
    [child("author1", 1, 2, &SYSTEM_AUTHOR), one("subject", &SUBJECT_EXTRACT)]
);
shape!(SYSTEM_AUTHOR, [kind(&["AUT"])], [one("AgentSystemSDS", &SYSTEM)]);
shape!(SYSTEM, [class(&["AGNT"])], [one("agentSystemSDS", &DEVICE)]);
shape!(SUBJECT_EXTRACT, [kind(&["SUBJ"]), CONDUCTS], [one("EhrExtract", &EXTRACT)]);
shape!(
    EXTRACT,
    [class(&["EXTRACT"]), mood(&["EVN"])],
    [
        one("id", &II),
        one("statusCode", &STATUS),
        one("availabilityTime", &TS),
        one("recordTarget", &TARGET),
        one("author", &ORGANISATION_AUTHOR),
        one("destination", &DESTINATION),
        child("component", 1, MANY, &FOLDERS),
        one("inFulfillmentOf", &ANSWERS),
        one("limitation", &LIMITATION),
    ]
);
shape!(TARGET, [kind(&["RCT"])], [one("patient", &PATIENT)]);
shape!(PATIENT, [class(&["PAT"])], [one("id", &II)]);
shape!(ORGANISATION_AUTHOR, [kind(&["AUT"])], [one("time", &TS), one("AgentOrgSDS", &ORGANISATION_AGENT)]);
shape!(DESTINATION, [kind(&["DST"])], [one("AgentOrgSDS", &ORGANISATION_AGENT)]);
shape!(ORGANISATION_AGENT, [class(&["AGNT"])], [one("agentOrganizationSDS", &SDS)]);
shape!(SDS, [class(&["ORG"]), INSTANCE], [one("id", &II)]);
shape!(FOLDERS, [kind(&["COMP"]), CONDUCTS], [one("ehrFolder", &FOLDER)]);
shape!(ANSWERS, [kind(&["FLFS"])], [one("priorEhrRequest", &REQUESTED)]);
shape!(REQUESTED, [class(&["EXTRACT"]), mood(&["RQO"])], [one("id", &II)]);
shape!(
    LIMITATION,
    [kind(&["LIMIT"]), may("inversionInd", TRUTH)],
    [one("limitingEhrExtractSpecification", &SPECIFICATION)]
);
shape!(
    SPECIFICATION,
    [class(&["OBS"]), mood(&["DEF"])],
    [one("id", &II), one("code", &CV), maybe("effectiveTime", &IVL_TS)]
);
shape!(
    FOLDER,
    [class(&["FOLDER"]), mood(&["EVN"])],
    [
        one("id", &II),
        one("statusCode", &STATUS),
        one("effectiveTime", &IVL_TS),
        one("availabilityTime", &TS),
        one("author", &ORGANISATION_AUTHOR),
        one("responsibleParty", &KEEPER),
        child("component", 1, MANY, &COMPOSITIONS),
    ]
);
shape!(KEEPER, [kind(&["RESP"])], [one("agentDirectory", &DIRECTORY)]);
shape!(DIRECTORY, [class(&["AGNT"])], [many("part", &LISTED)]);
shape!(LISTED, OneOf, No, [kind(&["PART"])], [maybe("Agent", &AGENT), maybe("AgentSDS", &NATIONAL)]);
shape!(
    AGENT,
    [class(&["AGNT"])],
    [
        child("id", 1, 2, &II),
        maybe("code", &CV),
        many("addr", &AD),
        many("telecom", &TEL),
        maybe("agentOrganization", &ORGANISATION),
        maybe("agentPerson", &PERSON),
        maybe("representedOrganization", &ORGANISATION),
    ]
);
shape!(NATIONAL, [class(&["AGNT"])], [child("id", 2, 2, &II), one("agentPersonSDS", &NATIONAL_PERSON)]);
shape!(NATIONAL_PERSON, [class(&["PSN"]), INSTANCE], [one("id", &II)]);
shape!(PERSON, [class(&["PSN"]), INSTANCE], [maybe("name", &EN), maybe("administrativeGenderCode", &CS)]);
shape!(
    ORGANISATION,
    [class(&["ORG"]), INSTANCE],
    [
        maybe("id", &II),
        maybe("code", &CV),
        maybe("name", &EN),
        maybe("desc", &ED),
        child("telecom", 0, 5, &TEL),
        child("addr", 0, 2, &AD),
    ]
);
shape!(COMPOSITIONS, [kind(&["COMP"]), CONDUCTS], [one("ehrComposition", &COMPOSITION)]);
