//! The message around the compositions: wrappers, EhrExtract, folder and agent directory (extract §2).

use super::Interaction;
use super::dates::{self, Span};
use super::work::{Work, complete, fixed, id};
use super::xml::Xml;

const EXTRACT: [(&str, &str); 2] = [("classCode", "EXTRACT"), ("moodCode", "EVN")];
const ASID: &str = "1.2.826.0.1285.0.2.0.107";
const ODS: &str = "1.2.826.0.1285.0.1.10";

/// Ids of the levels above the compositions.
pub(super) struct Levels {
    pub(super) message: String,
    pub(super) folder: String,
}

/// Writes the whole message around finished compositions.
pub(super) fn write(work: &Work<'_>, levels: &Levels, effective: &Span, compositions: String) -> String {
    let parameters = work.parameters;
    let name = match parameters.interaction {
        Interaction::Uk06 => "RCMR_IN030000UK06",
        Interaction::Uk07 => "RCMR_IN030000UK07",
    };
    let now = parameters.now.to_hl7_london();
    let mut x = Xml::new();
    let spaces = [("xmlns", "urn:hl7-org:v3"), ("xmlns:xsi", "http://www.w3.org/2001/XMLSchema-instance")];
    x.with(name, &spaces, |x| {
        id(x, &levels.message);
        x.empty("creationTime", &[("value", &now)]);
        x.empty("versionCode", &[("code", "V3NPfIT3.1.10")]);
        x.empty("interactionId", &[("root", "2.16.840.1.113883.2.1.3.2.4.12"), ("extension", name)]);
        x.empty("processingCode", &[("code", "P")]);
        x.empty("processingModeCode", &[("code", "T")]);
        x.empty("acceptAckCode", &[("code", "NE")]);
        device(x, "communicationFunctionRcv", "RCV", parameters.to_asid.as_str());
        device(x, "communicationFunctionSnd", "SND", parameters.from_asid.as_str());
        x.with("ControlActEvent", &[("classCode", "CACT"), ("moodCode", "EVN")], |x| {
            x.with("author1", &[("typeCode", "AUT")], |x| {
                x.with("AgentSystemSDS", &[("classCode", "AGNT")], |x| {
                    x.with("agentSystemSDS", &[("classCode", "DEV"), ("determinerCode", "INSTANCE")], |x| {
                        x.empty("id", &[("root", ASID), ("extension", parameters.from_asid.as_str())]);
                    });
                });
            });
            x.with("subject", &[("typeCode", "SUBJ"), ("contextConductionInd", "false")], |x| {
                extract(x, work, levels, effective, &now);
            });
        });
    });
    x.around(compositions)
}

fn device(x: &mut Xml, name: &str, type_code: &str, asid: &str) {
    x.with(name, &[("typeCode", type_code)], |x| {
        x.with("device", &[("classCode", "DEV"), ("determinerCode", "INSTANCE")], |x| {
            x.empty("id", &[("root", ASID), ("extension", asid)]);
        });
    });
}

fn organisation(x: &mut Xml, ods: &str) {
    x.with("AgentOrgSDS", &[("classCode", "AGNT")], |x| {
        x.with("agentOrganizationSDS", &[("classCode", "ORG"), ("determinerCode", "INSTANCE")], |x| {
            x.empty("id", &[("root", ODS), ("extension", ods)]);
        });
    });
}

fn author(x: &mut Xml, now: &str, ods: &str) {
    x.with("author", &[("typeCode", "AUT")], |x| {
        x.empty("time", &[("value", now)]);
        organisation(x, ods);
    });
}

fn extract(x: &mut Xml, work: &Work<'_>, levels: &Levels, effective: &Span, now: &str) {
    let parameters = work.parameters;
    x.with("EhrExtract", &EXTRACT, |x| {
        id(x, &parameters.extract_id);
        complete(x);
        x.empty("availabilityTime", &[("value", now)]);
        x.with("recordTarget", &[("typeCode", "RCT")], |x| {
            x.with("patient", &[("classCode", "PAT")], |x| {
                let number = parameters.nhs_number.reveal();
                x.empty("id", &[("root", "2.16.840.1.113883.2.1.4.1"), ("extension", &number)]);
            });
        });
        author(x, now, parameters.from_ods.as_str());
        x.with("destination", &[("typeCode", "DST")], |x| organisation(x, parameters.to_ods.as_str()));
        x.with("component", &[("typeCode", "COMP")], |x| folder(x, work, levels, effective, now));
        x.with("inFulfillmentOf", &[("typeCode", "FLFS")], |x| {
            x.with("priorEhrRequest", &[("classCode", "EXTRACT"), ("moodCode", "RQO")], |x| {
                match &parameters.request_id {
                    Some(request) => id(x, request),
                    // A push answers no request: the element is mandatory, its id is not.
                    None => x.empty("id", &[("nullFlavor", "NA")]),
                }
            });
        });
        x.with("limitation", &[("typeCode", "LIMIT"), ("inversionInd", "true")], |x| {
            x.with("limitingEhrExtractSpecification", &[("classCode", "OBS"), ("moodCode", "DEF")], |x| {
                id(x, "76C49C11-5271-11EA-9384-E83935108FD5");
                let display = "Entire record available to originator (administrative concept)";
                fixed(x, "37241000000102", display, None);
            });
        });
    });
}

fn folder(x: &mut Xml, work: &Work<'_>, levels: &Levels, effective: &Span, now: &str) {
    x.with("ehrFolder", &[("classCode", "FOLDER"), ("moodCode", "EVN")], |x| {
        id(x, &levels.folder);
        complete(x);
        effective.write(x, "UNK");
        dates::write(x, "availabilityTime", Some(now));
        author(x, now, work.parameters.from_ods.as_str());
        work.agents.write(x, work.record);
        x.leave_room();
    });
}
