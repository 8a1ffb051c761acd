//! The input: a GP Connect structured record, taken apart into its resources, each reachable by its reference.
//!
//! A malformed resource is kept as it is: the mapping degrades it, the record is not refused (extract §1.2).

use std::cell::Cell;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::LazyLock;

use super::json::{Json, Unreadable};
use super::xml;
use crate::model::NhsNumber;

/// Bytes of one text that a statement holds at most: common XML parsers refuse texts of ten million. A longer one goes
/// whole into a file beside the message.
const LONGEST: usize = 4_000_000;

/// What stands where a text was cut.
const CUT: &str = "... (the whole text is in the attached file)";

/// How large and how deep a record may be.
#[derive(Debug, Clone, Copy)]
pub struct RecordLimits {
    /// Bytes of JSON. Default 100 MB: a lifetime record is under 10, and memory is several times the text.
    pub bytes: usize,
    /// Levels of nesting. Default 64: FHIR needs about twelve, and every level costs stack.
    pub depth: usize,
}

impl Default for RecordLimits {
    fn default() -> Self {
        Self { bytes: 100_000_000, depth: 64 }
    }
}

/// Why bytes are no record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum RecordFault {
    /// Not a JSON document.
    #[error("the record is not JSON at line {line}, column {column}; fetch it again from its source")]
    NotJson {
        /// The line, from 1.
        line: usize,
        /// The byte in the line, from 1.
        column: usize,
    },
    /// JSON, but no FHIR Bundle.
    #[error("the record is not a FHIR Bundle")]
    NotBundle,
    /// More bytes than the limit.
    #[error("the record is larger than the limit of {limit} bytes")]
    TooLarge {
        /// The limit, in bytes.
        limit: usize,
    },
    /// Nested deeper than the limit.
    #[error("the record is nested deeper than {limit} levels")]
    TooDeep {
        /// The limit, in levels.
        limit: usize,
    },
}

/// A patient's structured record as received; it borrows its words from the text it was read from.
#[derive(Debug, Clone)]
pub struct Record<'a> {
    entries: Vec<Entry<'a>>,
    index: HashMap<String, usize>,
    patient: Option<usize>,
    /// Whether some text may hold characters that XML does not have.
    suspect: bool,
}

/// The resource types of FHIR STU3. What is none of them is not named in an account: it could be anybody's words.
const TYPES: &str = "Account ActivityDefinition AdverseEvent AllergyIntolerance Appointment AppointmentResponse \
    AuditEvent Basic Binary BodySite Bundle CapabilityStatement CarePlan CareTeam ChargeItem Claim ClaimResponse \
    ClinicalImpression CodeSystem Communication CommunicationRequest CompartmentDefinition Composition ConceptMap \
    Condition Consent Contract Coverage DataElement DetectedIssue Device DeviceComponent DeviceMetric DeviceRequest \
    DeviceUseStatement DiagnosticReport DocumentManifest DocumentReference EligibilityRequest EligibilityResponse \
    Encounter Endpoint EnrollmentRequest EnrollmentResponse EpisodeOfCare ExpansionProfile ExplanationOfBenefit \
    FamilyMemberHistory Flag Goal GraphDefinition Group GuidanceResponse HealthcareService ImagingManifest \
    ImagingStudy Immunization ImmunizationRecommendation ImplementationGuide Library Linkage List Location Measure \
    MeasureReport Media Medication MedicationAdministration MedicationDispense MedicationRequest MedicationStatement \
    MessageDefinition MessageHeader NamingSystem NutritionOrder Observation OperationDefinition OperationOutcome \
    Organization Parameters Patient PaymentNotice PaymentReconciliation Person PlanDefinition Practitioner \
    PractitionerRole Procedure ProcedureRequest ProcessRequest ProcessResponse Provenance Questionnaire \
    QuestionnaireResponse ReferralRequest RelatedPerson RequestGroup ResearchStudy ResearchSubject RiskAssessment \
    Schedule SearchParameter Sequence ServiceDefinition Slot Specimen StructureDefinition StructureMap Subscription \
    Substance SupplyDelivery SupplyRequest Task TestReport TestScript ValueSet VisionPrescription";

static KNOWN: LazyLock<HashSet<&str>> = LazyLock::new(|| TYPES.split_whitespace().collect());

/// One resource, contained ones included.
#[derive(Debug, Clone)]
pub(super) struct Entry<'a> {
    /// The resource type by which it is mapped.
    pub(super) kind: String,
    /// The resource id, empty when it has none.
    pub(super) id: String,
    /// `Type/id`, `Type/id#contained`; unique in the record.
    pub(super) key: String,
    pub(super) json: Json<'a>,
    /// Where a contained resource sits.
    pub(super) container: Option<usize>,
    /// Texts that were cut in it, whole.
    pub(super) overlong: Vec<String>,
}

/// A document that the record refers to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentWanted {
    /// Id of the DocumentReference.
    pub id: String,
    /// Where the document is; the key to [`super::Documents`].
    pub url: String,
    /// Content type as stated.
    pub content_type: Option<String>,
    /// Title as stated.
    pub title: Option<String>,
}

impl<'a> Record<'a> {
    /// Takes a Bundle apart. No resource in it is refused.
    pub fn parse(bytes: &'a [u8], limits: &RecordLimits) -> Result<Self, RecordFault> {
        if bytes.len() > limits.bytes {
            return Err(RecordFault::TooLarge { limit: limits.bytes });
        }
        let suspect = Cell::new(false);
        let mut bundle = Json::parse_and_look(bytes, limits.depth, &suspect).map_err(|why| match why {
            Unreadable::NotJson { line, column } => RecordFault::NotJson { line, column },
            Unreadable::TooDeep => RecordFault::TooDeep { limit: limits.depth },
        })?;
        if bundle.word("resourceType") != Some("Bundle") {
            return Err(RecordFault::NotBundle);
        }
        let entries = bundle.take("entry").into_items();
        let (all, index) = (Vec::with_capacity(entries.len()), HashMap::with_capacity(entries.len()));
        let mut record = Self { entries: all, index, patient: None, suspect: suspect.get() };
        for mut entry in entries {
            // An entry that is no object may still have words.
            let resource = if entry.is_object() { entry.take("resource") } else { entry.clone() };
            // One without a resource says nothing, and is counted all the same.
            let at = record.add(resource, None);
            if let Some(url) = entry.word("fullUrl") {
                record.index.entry(url.to_owned()).or_insert(at);
            }
        }
        record.patient = record.entries.iter().position(|e| e.kind == "Patient" && e.container.is_none());
        Ok(record)
    }

    /// The same record, with these entries mapped as if they were of that type.
    pub(super) fn taken_for(&self, kind: &str, which: &BTreeSet<usize>) -> Self {
        let mut record = self.clone();
        which.iter().for_each(|at| record.entries[*at].kind = kind.to_owned());
        record
    }

    /// Whether some text of the entry holds a character that XML does not have.
    pub(super) fn is_unwritable(&self, at: usize) -> bool {
        self.suspect && self.json(at).any_text(&|text| !xml::carries(text))
    }

    /// The documents to look for, in order; those with no address or with inline content are not among them.
    pub fn documents(&self) -> Vec<DocumentWanted> {
        let attachments = self.entries.iter().flat_map(|e| {
            let contents = e.json.list("content").iter().filter(|_| e.kind == "DocumentReference");
            let forms = e.json.list("presentedForm").iter().filter(|_| e.kind == "DiagnosticReport");
            contents.map(|c| c.at("attachment")).chain(forms).map(move |attachment| (e, attachment))
        });
        attachments
            .filter(|(_, a)| a.at("data").text().is_none())
            .filter_map(|(entry, a)| {
                Some(DocumentWanted {
                    id: entry.id.clone(),
                    url: a.word("url")?.to_owned(),
                    content_type: a.word("contentType").map(str::to_owned),
                    title: a.word("title").map(str::to_owned),
                })
            })
            .collect()
    }

    pub(super) fn entries(&self) -> &[Entry<'a>] {
        &self.entries
    }

    pub(super) fn entry(&self, at: usize) -> &Entry<'a> {
        &self.entries[at]
    }

    pub(super) fn json(&self, at: usize) -> &Json<'a> {
        &self.entries[at].json
    }

    pub(super) fn patient(&self) -> Option<usize> {
        self.patient
    }

    /// The entry as an account names it: type and id, where they are FHIR's and nobody's words.
    pub(super) fn named(&self, at: usize) -> String {
        let key = &self.entries[at].key;
        let plain = |b: u8| b.is_ascii_alphanumeric() || b"-._#~/:".contains(&b);
        let (kind, id) = key.split_once('/').unwrap_or((key, ""));
        let kind = if KNOWN.contains(kind) { kind } else { "Unknown" };
        let number = NhsNumber::parse(id).is_ok();
        if id.bytes().all(plain) && !number { [kind, "/", id].concat() } else { format!("{kind}/~{at}") }
    }

    /// The resource that a Reference in entry `from` means.
    pub(super) fn resolve(&self, from: usize, reference: &Json) -> Option<usize> {
        let text = reference.word("reference").or(reference.text())?;
        let from = &self.entries[from];
        if let Some(inner) = text.strip_prefix('#') {
            let owner = from.container.map_or(from, |c| &self.entries[c]);
            if inner.is_empty() {
                return self.index.get(&owner.key).copied();
            }
            return self.index.get(&format!("{}#{inner}", owner.key)).copied();
        }
        if let Some(at) = self.index.get(text) {
            return Some(*at);
        }
        let path = text.split_once("/_history/").map_or(text, |(path, _)| path);
        let mut parts = path.rsplitn(3, '/');
        let (id, kind) = (parts.next()?, parts.next()?);
        self.index.get(&[kind, "/", id].concat()).copied()
    }

    /// The References in an entry that lead nowhere, or back to it. Whose entry it is does not count.
    pub(super) fn strays(&self, at: usize) -> Vec<&Json<'a>> {
        let mut strays = Vec::new();
        self.gather_strays(at, self.json(at), &mut strays);
        strays
    }

    fn gather_strays<'s>(&'s self, at: usize, json: &'s Json<'a>, strays: &mut Vec<&'s Json<'a>>) {
        if let Json::Array(items) = json {
            return items.iter().for_each(|item| self.gather_strays(at, item, strays));
        }
        if json.word("reference").is_some() && self.resolve(at, json).is_none_or(|found| found == at) {
            strays.push(json);
        }
        let others = json.members().iter().filter(|(name, _)| name != "subject" && name != "patient");
        others.for_each(|(_, value)| self.gather_strays(at, value, strays));
    }

    fn add(&mut self, mut resource: Json<'a>, container: Option<usize>) -> usize {
        let kind = resource.word("resourceType").unwrap_or("Unknown").to_owned();
        let id = resource.word("id").unwrap_or_default().to_owned();
        let mut key = match container {
            Some(at) => format!("{}#{}", self.entries[at].key, id.trim_start_matches('#')),
            None => [&kind, "/", &*id].concat(),
        };
        let at = self.entries.len();
        // The second of two equal ids cannot be referred to, but it is mapped and counted like any other.
        if id.is_empty() || self.index.contains_key(&key) {
            key = format!("{key}~{at}");
        }
        self.index.insert(key.clone(), at);
        let contained = resource.take("contained").into_items();
        let mut overlong = Vec::new();
        resource.shorten(LONGEST, CUT, &mut overlong);
        self.entries.push(Entry { kind, id, key, json: resource, container, overlong });
        for inner in contained.into_iter().filter(|inner| !inner.is_nothing()) {
            self.add(inner, Some(container.unwrap_or(at)));
        }
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record(text: &str) -> Record<'_> {
        Record::parse(text.as_bytes(), &RecordLimits::default()).unwrap()
    }

    #[test]
    fn contained_and_repeated_resources_are_all_counted() {
        let record = record(
            r##"{"resourceType": "Bundle", "entry": [
              {"resource": {"resourceType": "List", "id": "a", "contained": [{"resourceType": "Flag", "id": "x"}]}},
              {"resource": {"resourceType": "List", "id": "a"}},
              {"resource": 7},
              {"fullUrl": "urn:uuid:1", "resource": {"resourceType": "Patient"}}]}"##,
        );
        assert_eq!(
            record.entries().len(),
            5,
            "nothing of the input is left out of the account (extract §1.1)"
        );
        let at = |text: &str| record.resolve(0, &Json::Text(text));
        assert_eq!(at("#x"), Some(1));
        assert_eq!(at("List/a#x"), Some(1));
        assert_eq!(at("https://example.test/fhir/List/a/_history/3"), Some(0));
        assert_eq!(at("urn:uuid:1"), record.patient());
        assert_eq!(at("List/none"), None);
    }

    #[test]
    fn what_is_no_record_is_told_apart() {
        let parse =
            |text: &str, bytes| Record::parse(text.as_bytes(), &RecordLimits { bytes, depth: 8 }).err();
        assert_eq!(parse("{}", 10), Some(RecordFault::NotBundle));
        assert_eq!(parse("[", 10), Some(RecordFault::NotJson { line: 1, column: 1 }));
        assert_eq!(parse("[[[[[[[[[]]]]]]]]]", 100), Some(RecordFault::TooDeep { limit: 8 }));
        assert_eq!(parse("{}", 1), Some(RecordFault::TooLarge { limit: 1 }));
    }
}
