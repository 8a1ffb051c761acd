//! The agent directory: one Agent for each practitioner and organisation that a statement refers to (extract §6).

use std::collections::{BTreeMap, HashMap};

use super::ids::Ids;
use super::json::Json;
use super::record::Record;
use super::xml::Xml;

/// Who acts: a person (of an organisation), or an organisation alone. Indexes of the record's entries.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
enum Actor {
    Person { practitioner: usize, role: Option<usize>, organisation: Option<usize> },
    Organisation(usize),
}

/// The directory as it fills.
#[derive(Debug)]
pub(super) struct Agents {
    known: BTreeMap<Actor, String>,
    /// Practitioner → the first role that names them.
    roles: HashMap<usize, usize>,
    /// Id of the part that stands for the patient's practice.
    first: String,
    managing: Option<usize>,
}

impl Agents {
    /// A directory that holds the patient's practice only.
    pub(super) fn new(record: &Record, ids: &mut Ids) -> Self {
        let mut roles = HashMap::new();
        for (at, entry) in record.entries().iter().enumerate().filter(|(_, e)| e.kind == "PractitionerRole") {
            if let Some(practitioner) = record.resolve(at, entry.json.at("practitioner")) {
                roles.entry(practitioner).or_insert(at);
            }
        }
        let managing =
            record.patient().and_then(|p| record.resolve(p, record.json(p).at("managingOrganization")));
        let first = match managing {
            Some(at) => ids.claim(&record.entry(at).key, &record.entry(at).id),
            None => ids.part("Patient", "practice"),
        };
        Self { known: BTreeMap::new(), roles, first, managing }
    }

    /// The id of the Agent that a Reference in entry `from` means; `None` when it is no practitioner or organisation.
    pub(super) fn refer(
        &mut self,
        record: &Record,
        ids: &mut Ids,
        from: usize,
        who: &Json,
    ) -> Option<String> {
        let at = record.resolve(from, who)?;
        self.agent(record, ids, self.actor(record, at)?)
    }

    /// The same for a person acting on behalf of an organisation.
    pub(super) fn refer_for(
        &mut self,
        record: &Record,
        ids: &mut Ids,
        from: usize,
        who: &Json,
        on_behalf_of: &Json,
    ) -> Option<String> {
        let at = record.resolve(from, who)?;
        let actor = match (self.actor(record, at)?, record.resolve(from, on_behalf_of)) {
            (Actor::Person { practitioner, role, .. }, Some(organisation))
                if record.entry(organisation).kind == "Organization" =>
            {
                Actor::Person { practitioner, role, organisation: Some(organisation) }
            }
            (actor, _) => actor,
        };
        self.agent(record, ids, actor)
    }

    fn actor(&self, record: &Record, at: usize) -> Option<Actor> {
        match record.entry(at).kind.as_str() {
            "Practitioner" => {
                let role = self.roles.get(&at).copied();
                let organisation = role.and_then(|r| record.resolve(r, record.json(r).at("organization")));
                Some(Actor::Person { practitioner: at, role, organisation })
            }
            "PractitionerRole" => {
                let role = record.json(at);
                let organisation = record.resolve(at, role.at("organization"));
                match record.resolve(at, role.at("practitioner")) {
                    Some(practitioner) => Some(Actor::Person { practitioner, role: Some(at), organisation }),
                    None => organisation.map(Actor::Organisation),
                }
            }
            "Organization" => Some(Actor::Organisation(at)),
            _ => None,
        }
    }

    fn agent(&mut self, record: &Record, ids: &mut Ids, actor: Actor) -> Option<String> {
        if let Some(id) = self.known.get(&actor) {
            return Some(id.clone());
        }
        let id = match actor {
            Actor::Person { practitioner, role, organisation } => {
                let person = record.entry(practitioner);
                // The first pair keeps the practitioner's own UUID, further pairs are derived.
                let least = Actor::Person { practitioner, role: None, organisation: None };
                let next = self.known.range(least..).next();
                let again = next.is_some_and(
                    |(a, _)| matches!(a, Actor::Person { practitioner: p, .. } if *p == practitioner),
                );
                let name = |at: Option<usize>| at.map_or("", |at| record.entry(at).key.as_str());
                let pair = format!("agent/{}/{}", name(role), name(organisation));
                if again { ids.part(&person.key, &pair) } else { ids.claim(&person.key, &person.id) }
            }
            Actor::Organisation(at) => ids.claim(&record.entry(at).key, &record.entry(at).id),
        };
        self.known.insert(actor, id.clone());
        Some(id)
    }

    /// For the account: each entry of the record that an Agent was made from, with the Agent's id.
    pub(super) fn sources(&self) -> Vec<(usize, &str)> {
        let mut sources: Vec<(usize, &str)> =
            self.managing.iter().map(|m| (*m, self.first.as_str())).collect();
        for (actor, id) in &self.known {
            match *actor {
                Actor::Person { practitioner, role, organisation } => {
                    sources.extend(
                        [Some(practitioner), role, organisation]
                            .into_iter()
                            .flatten()
                            .map(|at| (at, id.as_str())),
                    );
                }
                Actor::Organisation(at) => sources.push((at, id)),
            }
        }
        sources
    }

    /// Writes `responsibleParty` with the whole directory.
    pub(super) fn write(&self, x: &mut Xml, record: &Record) {
        let mut parts: Vec<((String, String), &str, Actor)> =
            self.known.iter().map(|(actor, id)| (order(record, *actor), id.as_str(), *actor)).collect();
        parts.sort_unstable();
        x.with("responsibleParty", &[("typeCode", "RESP")], |x| {
            x.with("agentDirectory", &[("classCode", "AGNT")], |x| {
                part(x, &self.first, |x| {
                    practice(x, self.managing.and_then(|m| record.json(m).word("name")))
                });
                for (_, id, actor) in &parts {
                    part(x, id, |x| agent(x, record, *actor));
                }
            });
        });
    }
}

fn order(record: &Record, actor: Actor) -> (String, String) {
    match actor {
        Actor::Person { practitioner, .. } => {
            let name = name_of(record.json(practitioner));
            (name.word("family").unwrap_or_default().to_owned(), joined(name, "given"))
        }
        Actor::Organisation(at) => {
            (record.json(at).word("name").unwrap_or_default().to_owned(), String::new())
        }
    }
}

fn joined(name: &Json, list: &str) -> String {
    name.list(list).iter().filter_map(Json::text).collect::<Vec<_>>().join(" ")
}

/// The official name, else the first.
fn name_of<'a>(person: &'a Json<'a>) -> &'a Json<'a> {
    let names = person.list("name");
    names.iter().find(|n| n.word("use") == Some("official")).or(names.first()).unwrap_or(person.at("name"))
}

fn part(x: &mut Xml, id: &str, inner: impl FnOnce(&mut Xml)) {
    x.with("part", &[("typeCode", "PART")], |x| {
        x.with("Agent", &[("classCode", "AGNT")], |x| {
            x.empty("id", &[("root", id)]);
            inner(x);
        });
    });
}

fn unknown_code(x: &mut Xml, words: &str) {
    x.with("code", &[("nullFlavor", "UNK")], |x| x.leaf("originalText", &[], words));
}

const PERSON: [(&str, &str); 2] = [("classCode", "PSN"), ("determinerCode", "INSTANCE")];
const ORGANISATION: [(&str, &str); 2] = [("classCode", "ORG"), ("determinerCode", "INSTANCE")];

/// SystmOne needs a person: the practice's name stands as a family name.
fn practice(x: &mut Xml, name: Option<&str>) {
    unknown_code(x, "Unknown");
    x.with("agentPerson", &PERSON, |x| {
        x.with("name", &[], |x| x.leaf("family", &[], name.unwrap_or("Unknown")));
    });
}

fn agent(x: &mut Xml, record: &Record, actor: Actor) {
    match actor {
        Actor::Person { practitioner, role, organisation } => {
            let person = record.json(practitioner);
            if let Some(gmp) = identifier(person, "gmp-number") {
                x.empty("id", &[("root", "2.16.840.1.113883.2.1.4.2"), ("extension", gmp)]);
            }
            let said = role.and_then(|r| record.json(r).list("code").iter().find_map(super::codes::words));
            unknown_code(x, said.as_deref().unwrap_or("Unknown"));
            x.with("agentPerson", &PERSON, |x| person_name(x, person));
            if let Some(at) = organisation.filter(|at| record.entry(*at).kind == "Organization") {
                organisation_content(x, "representedOrganization", record.json(at));
            }
        }
        Actor::Organisation(at) => {
            unknown_code(
                x,
                record
                    .json(at)
                    .list("type")
                    .iter()
                    .find_map(super::codes::words)
                    .as_deref()
                    .unwrap_or("Unknown"),
            );
            organisation_content(x, "agentOrganization", record.json(at));
        }
    }
}

fn identifier<'a>(holder: &'a Json, system: &str) -> Option<&'a str> {
    let found =
        holder.list("identifier").iter().find(|i| i.word("system").is_some_and(|s| s.ends_with(system)));
    found.and_then(|i| i.word("value"))
}

fn person_name(x: &mut Xml, person: &Json) {
    let name = name_of(person);
    let (family, text) = (name.word("family"), name.word("text"));
    match (family, text) {
        (None, Some(text)) if name.list("given").is_empty() => x.leaf("name", &[], text),
        (_, _) => x.with("name", &[], |x| {
            for (list, element) in [("prefix", "prefix"), ("given", "given")] {
                name.list(list).iter().filter_map(Json::text).for_each(|t| x.leaf(element, &[], t));
            }
            x.leaf("family", &[], family.or(text).unwrap_or("Unknown"));
        }),
    }
}

fn organisation_content(x: &mut Xml, element: &str, organisation: &Json) {
    x.with(element, &ORGANISATION, |x| {
        if let Some(ods) = identifier(organisation, "ods-organization-code") {
            x.empty("id", &[("root", "2.16.840.1.113883.2.1.4.3"), ("extension", ods)]);
        }
        x.leaf("name", &[], organisation.word("name").unwrap_or("Unknown"));
        let work = |t: &&Json| t.word("system") == Some("phone") && t.word("use").is_none_or(|u| u == "work");
        if let Some(phone) = organisation.list("telecom").iter().find(work).and_then(|t| t.word("value")) {
            let dialled: String =
                phone.chars().filter(|c| c.is_ascii_digit() || "+()-".contains(*c)).collect();
            x.empty("telecom", &[("value", &format!("tel:{dialled}")), ("use", "WP")]);
        }
        if let Some(address) = organisation.list("address").first() {
            x.with("addr", &[("use", "WP")], |x| {
                for line in address.list("line").iter().filter_map(Json::text).chain(address.word("city")) {
                    x.leaf("streetAddressLine", &[], line);
                }
                if let Some(code) = address.word("postalCode") {
                    x.leaf("postalCode", &[], code);
                }
            });
        }
    });
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::extract;

    #[test]
    fn a_performer_is_in_the_directory_with_the_organisation_of_the_role() {
        let (xml, _) = extract(
            r#"{"resourceType": "Observation", "id": "o", "code": {"text": "x"}, "performer": [{"reference": "Practitioner/d"}]},
               {"resourceType": "Practitioner", "id": "6D340A1B-BC15-4D4E-93CF-BBCB5B74DF73", "name": [{"family": "Unused"}]},
               {"resourceType": "Practitioner", "id": "d", "name": [{"family": "Test", "given": ["Ann"], "prefix": ["Dr"]}]},
               {"resourceType": "PractitionerRole", "id": "r", "practitioner": {"reference": "Practitioner/d"},
                "organization": {"reference": "Organization/g"}, "code": [{"text": "Nurse"}]},
               {"resourceType": "Organization", "id": "g", "name": "Surgery", "telecom": [
                 {"system": "phone", "use": "work", "value": "0113 380 0000"}]}"#,
        );
        assert!(xml.contains("<prefix>Dr</prefix><given>Ann</given><family>Test</family>"), "{xml}");
        assert!(
            xml.contains("<originalText>Nurse</originalText>") && xml.contains("<name>Surgery</name>"),
            "{xml}"
        );
        assert!(xml.contains(r#"value="tel:01133800000" use="WP""#), "{xml}");
        assert!(!xml.contains("Unused"), "only who is referred to has an Agent (extract §6)");
    }

    #[test]
    fn an_unknown_performer_is_quoted() {
        let (xml, _) = extract(
            r#"{"resourceType": "Observation", "id": "o", "code": {"text": "x"},
                "performer": [{"reference": "Practitioner/none", "display": "Night nurse"}]}"#,
        );
        assert!(xml.contains("Recorded by: Night nurse"), "{xml}");
    }

    #[test]
    fn a_practitioner_of_two_organisations_is_two_agents_in_the_order_of_names() {
        let order = |id: &str, of: &str| {
            format!(
                r#"{{"resourceType": "ProcedureRequest", "id": "{id}", "intent": "plan", "code": {{"text": "x"}},
                "requester": {{"agent": {{"reference": "Practitioner/d"}}, "onBehalfOf": {{"reference": "Organization/{of}"}}}}}}"#
            )
        };
        let (xml, _) = extract(&format!(
            r#"{}, {}, {{"resourceType": "Practitioner", "id": "d", "name": [{{"family": "Test"}}], "identifier": [
                {{"system": "https://fhir.hl7.org.uk/Id/gmp-number", "value": "G1234567"}}]}},
               {{"resourceType": "Organization", "id": "g", "name": "Surgery"}},
               {{"resourceType": "Organization", "id": "h", "name": "Clinic"}}"#,
            order("1", "g"),
            order("2", "h")
        ));
        assert_eq!(xml.matches("<family>Test</family>").count(), 2, "extract §6: {xml}");
        assert_eq!(
            xml.matches(r#"root="2.16.840.1.113883.2.1.4.2" extension="G1234567""#).count(),
            2,
            "{xml}"
        );
        assert!(xml.contains("<name>Surgery</name>") && xml.contains("<name>Clinic</name>"), "{xml}");
    }
}
