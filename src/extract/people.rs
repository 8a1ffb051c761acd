//! Who the record is about and who acted, read: recordTarget and the agent directory become Patient, Practitioner,
//! PractitionerRole, Organization (extract §13.2). Writing the directory is in `agents`.

use std::collections::HashMap;

use super::codes;
use super::draft::Draft;
use super::fhir::{
    Address, ContactPoint, HumanName, Identifier, Meta, Organization, Patient, Practitioner,
    PractitionerRole, Reference, Text,
};
use super::ids::normalised;
use super::reading::Reading;
use super::tree::Element;
use super::{Expected, ReadRefusal};
use crate::model::NhsNumber;

const NHS_NUMBER: &str = "2.16.840.1.113883.2.1.4.1";
/// The number of a user in the spine's directory.
const SDS_USER: &str = "1.2.826.0.1285.0.2.0.65";

/// Whose record it is, compared with whose was asked for (D18). A message for nobody is refused.
pub(super) fn whose(extract: Element<'_>, expected: &Expected) -> Result<Option<NhsNumber>, ReadRefusal> {
    let patient = extract.down(&["recordTarget", "patient"]).ok_or(ReadRefusal::NoPatient)?;
    let mut found = None;
    for id in patient.all("id").filter(|id| id.attribute("root") == Some(NHS_NUMBER)) {
        let number = id.attribute("extension").and_then(|n| NhsNumber::parse(n).ok());
        let number = number.ok_or(ReadRefusal::NoPatient)?;
        if *found.get_or_insert(number) != number {
            return Err(ReadRefusal::AnotherPatient);
        }
    }
    match (expected.nhs_number, found) {
        (Some(wanted), Some(number)) if wanted != number => Err(ReadRefusal::AnotherPatient),
        (Some(_), None) => Err(ReadRefusal::NoPatient),
        (_, found) => Ok(found),
    }
}

/// The Patient: an extract has the NHS number and nothing else of a person.
pub(super) fn patient(reading: &mut Reading<'_>, number: Option<NhsNumber>) {
    let identifier = number.map(|number| Identifier {
        system: "https://fhir.nhs.uk/Id/nhs-number".into(),
        value: number.reveal().to_string().into(),
        ..Identifier::default()
    });
    let id = reading.patient().to_owned();
    let patient =
        Patient { meta: meta("Patient"), identifier: identifier.into_iter().collect(), ..Patient::default() };
    reading.add("Patient", &id, &patient);
}

fn meta(profile: &'static str) -> Option<Meta> {
    Some(Meta { profile, withheld: false })
}

/// Everybody in the directories of all folders.
pub(super) fn directory<'t>(reading: &mut Reading<'t>, extract: Element<'t>) {
    let mut organisations = HashMap::new();
    let folders = extract.all("component").flat_map(|c| c.all("ehrFolder"));
    let directories = folders.flat_map(|f| f.all("responsibleParty")).flat_map(|r| r.all("agentDirectory"));
    // `AgentPersonSDS` and its like say the same in parts named after them.
    let is_agent = |e: &Element<'_>| e.name().starts_with("Agent");
    let parts = directories.flat_map(|d| d.all("part")).flat_map(Element::children);
    for agent in parts.filter(is_agent) {
        let own = agent.all("id").filter_map(|id| id.attribute("root")).find_map(normalised);
        let Some(id) = own.filter(|id| !reading.people.contains_key(id)) else { continue };
        let person = part(agent, "agentPerson");
        let organisation = part(agent, "representedOrganization").or(part(agent, "agentOrganization"));
        let who = match person {
            Some(person) => practitioner(reading, agent, person, &id),
            None => match organisation {
                Some(alone) => organization(reading, alone, &id, &mut organisations),
                None => practitioner(reading, agent, part(agent, "agentDevice").unwrap_or(agent), &id),
            },
        };
        if person.is_some() {
            role(reading, agent, organisation, &id, &mut organisations);
        }
        let shown = [person, organisation].into_iter().flatten().chain([agent]).find_map(shown);
        reading.names.extend(shown.map(|name| (id.clone(), name)));
        reading.people.insert(id, who);
    }
}

/// The name of a person or an organisation, in words.
fn shown(named: Element<'_>) -> Option<String> {
    let parts = named.child("name")?.within().filter_map(Element::text);
    Some(parts.collect::<Vec<_>>().join(" ")).filter(|name| !name.is_empty())
}

/// The part of an agent that is named so, or so with the name of its form behind.
fn part<'t>(agent: Element<'t>, name: &str) -> Option<Element<'t>> {
    agent.child(name).or_else(|| agent.children().find(|c| c.name().strip_prefix(name) == Some("SDS")))
}

fn practitioner<'t>(
    reading: &mut Reading<'t>,
    agent: Element<'t>,
    person: Element<'t>,
    id: &str,
) -> Reference<'t> {
    let number = agent.all("id").find(|id| id.attribute("root") == Some("2.16.840.1.113883.2.1.4.2"));
    let number = number.and_then(|id| id.attribute("extension")).map(|value| Identifier {
        system: "https://fhir.hl7.org.uk/Id/gmp-number".into(),
        value: value.into(),
        ..Identifier::default()
    });
    // A person of the spine's directory has nothing but a number there.
    let users = agent.all("id").chain(person.all("id")).filter(|id| id.attribute("root") == Some(SDS_USER));
    let user = users.filter_map(|id| id.attribute("extension")).next().map(|value| Identifier {
        system: "https://fhir.nhs.uk/Id/sds-user-id".into(),
        value: value.into(),
        ..Identifier::default()
    });
    let practitioner = Practitioner {
        meta: meta("Practitioner"),
        identifier: number.into_iter().chain(user).collect(),
        name: vec![name(person.child("name"))],
        ..Practitioner::default()
    };
    reading.add("Practitioner", id, &practitioner)
}

fn name(name: Option<Element<'_>>) -> HumanName<'_> {
    let parts = |part: &str| -> Vec<Text<'_>> {
        name.into_iter()
            .flat_map(|n| n.children())
            .filter(|c| c.name() == part)
            .filter_map(Element::text)
            .map(Into::into)
            .collect()
    };
    let family = parts("family").into_iter().next();
    let text = if family.is_some() { None } else { name.and_then(Element::text).or(Some("Unknown")) };
    HumanName {
        r#use: "official",
        text: text.map(Into::into),
        family,
        given: parts("given"),
        prefix: parts("prefix"),
        ..HumanName::default()
    }
}

/// What the person does and where, when the message says either.
fn role<'t>(
    reading: &mut Reading<'t>,
    agent: Element<'t>,
    organisation: Option<Element<'t>>,
    id: &str,
    organisations: &mut HashMap<String, Reference<'t>>,
) {
    let code = agent.child("code").map(|code| codes::plain(code, &mut Draft::default()));
    let code = code.filter(|c| !c.coding.is_empty() || c.text.as_deref().is_some_and(|t| t != "Unknown"));
    let organization =
        organisation.map(|o| self::organization(reading, o, &format!("{id}-ORG"), organisations));
    if code.is_none() && organization.is_none() {
        return;
    }
    let role = PractitionerRole {
        meta: meta("PractitionerRole"),
        practitioner: Some(Reference::to("Practitioner", id)),
        organization,
        code: code.into_iter().collect(),
        ..PractitionerRole::default()
    };
    reading.add("PractitionerRole", &format!("{id}-PR"), &role);
}

/// One Organization for all that say the same.
fn organization<'t>(
    reading: &mut Reading<'t>,
    element: Element<'t>,
    id: &str,
    known: &mut HashMap<String, Reference<'t>>,
) -> Reference<'t> {
    let ods = element.of("id", "extension");
    let key = format!("{}\u{0}{}", ods.unwrap_or_default(), element.words());
    if let Some(same) = known.get(&key) {
        return same.clone();
    }
    let identifier = ods.map(|value| Identifier {
        system: "https://fhir.nhs.uk/Id/ods-organization-code".into(),
        value: value.into(),
        ..Identifier::default()
    });
    let phones = element.all("telecom").filter_map(|t| t.attribute("value")).map(|value| ContactPoint {
        system: "phone",
        value: value.strip_prefix("tel:").unwrap_or(value).into(),
        r#use: "work",
        ..ContactPoint::default()
    });
    let address = element.child("addr").map(|address| Address {
        r#use: "work",
        line: address.all("streetAddressLine").filter_map(Element::text).map(Into::into).collect(),
        postal_code: address.child("postalCode").and_then(Element::text).map(Into::into),
        ..Address::default()
    });
    let organization = Organization {
        meta: meta("Organization"),
        identifier: identifier.into_iter().collect(),
        name: element.child("name").and_then(Element::text).map(Into::into),
        telecom: phones.collect(),
        address: address.into_iter().collect(),
        ..Organization::default()
    };
    let reference = reading.add("Organization", id, &organization);
    known.insert(key, reference.clone());
    reference
}
