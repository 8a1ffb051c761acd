//! Records that nobody has: every kind of resource in every combination that a seed comes up with, all of them sound.

use serde_json::{Value, json};
use throughcare::extract::{self, Documents, Interaction, Record, RecordLimits};

use crate::dice::Dice;
use crate::extracts::parameters;

const NUMBER: &str = "9990000018";
const SNOMED: &str = "http://snomed.info/sct";
const CARE: &str = "https://fhir.hl7.org.uk/STU3/StructureDefinition/Extension-CareConnect-";
const GPC: &str = "https://fhir.nhs.uk/STU3/StructureDefinition/Extension-CareConnect-GPC-";

/// Concept id, description id, words.
const FINDINGS: [(&str, &str, &str); 8] = [
    ("27113001", "45314018", "Body weight"),
    ("73211009", "121589010", "Diabetes mellitus"),
    ("195967001", "301485011", "Asthma"),
    ("386661006", "1209886010", "Fever"),
    ("225444004", "336957014", "At risk for suicide"),
    ("1022431000000105", "2534321000000112", "Haemoglobin A1c level"),
    ("22298006", "37443015", "Myocardial infarction"),
    ("161891005", "251799013", "Backache"),
];
const DRUGS: [(&str, &str); 4] = [
    ("322236009", "Paracetamol 500mg tablets"),
    ("42109611000001109", "Methadone 1mg/ml oral solution"),
    ("319775004", "Aspirin 75mg dispersible tablets"),
    ("323509004", "Amoxicillin 250mg capsules"),
];
const UNITS: [(&str, &str); 5] =
    [("kg", "kg"), ("mmol/L", "mmol/L"), ("%", "%"), ("10*9/L", "10*9/L"), ("mm[Hg]", "mm[Hg]")];
const PROSE: [&str; 6] = [
    "Seen today, no change.",
    "Says \"better\" since Monday & sleeps <6 h",
    "Á á Æ é ß ° ² µ € — naïve",
    "Review in 2 weeks.\nBring the diary.",
    "See letter of 3rd May",
    "Dose 5mg; then 10mg",
];
const DATES: [&str; 6] = [
    "2019",
    "2021-03",
    "2021-03-28",
    "2020-12-24T10:15:00+00:00",
    "2022-07-01T23:30:00+01:00",
    "2018-06-05T09:00:00Z",
];

/// A record under way.
struct Maker {
    dice: Dice,
    entries: Vec<Value>,
    /// References to what has been made, by type.
    observations: Vec<String>,
    statements: Vec<String>,
    people: Vec<String>,
}

/// The record of that seed.
pub fn record(seed: u64) -> Value {
    let mut maker = Maker {
        dice: Dice(seed.wrapping_add(0x7e57)),
        entries: Vec::new(),
        observations: Vec::new(),
        statements: Vec::new(),
        people: Vec::new(),
    };
    maker.entries.push(json!({"resource": {"resourceType": "Patient", "id": "patient", "identifier": [
        {"system": "https://fhir.nhs.uk/Id/nhs-number", "value": NUMBER}]}}));
    for n in 0..=maker.dice.below(3) {
        maker.person(n);
    }
    for _ in 0..=maker.dice.below(12) {
        match maker.dice.below(11) {
            0..=2 => drop(maker.observation()),
            3 => maker.blood_pressure(),
            4 => maker.allergy(),
            5 => maker.immunization(),
            6 => maker.medication(),
            7 => maker.request(),
            8 => maker.document(),
            9 => maker.report(),
            _ => maker.problem(),
        }
    }
    for _ in 0..maker.dice.below(3) {
        maker.consultation();
    }
    json!({"resourceType": "Bundle", "type": "collection", "entry": maker.entries})
}

/// The message of that seed's record, as a system like ours would send it.
pub fn extract(seed: u64) -> Vec<u8> {
    let bytes = serde_json::to_vec(&record(seed)).unwrap();
    let record = Record::parse(&bytes, &RecordLimits::default()).unwrap();
    extract::build(&record, &parameters(NUMBER, Interaction::Uk07), &Documents::new()).unwrap().xml
}

impl Maker {
    fn id(&mut self) -> String {
        let (high, low) = (self.dice.next(), self.dice.next());
        let tail = low & 0xffff_ffff_ffff;
        let (a, b, c, d) = (high >> 32, (high >> 16) & 0xffff, high & 0xfff, (low >> 48) & 0xfff);
        format!("{a:08X}-{b:04X}-4{c:03X}-8{d:03X}-{tail:012X}")
    }

    /// Adds the resource with what is not null in it; gives its reference.
    fn add(&mut self, kind: &str, id: &str, mut resource: Value) -> String {
        let members = resource.as_object_mut().unwrap();
        members.retain(|_, value| !value.is_null());
        members.insert("resourceType".to_owned(), kind.into());
        members.insert("id".to_owned(), id.into());
        self.entries.push(json!({"resource": resource}));
        format!("{kind}/{id}")
    }

    /// The value, at times.
    fn maybe(&mut self, value: impl FnOnce(&mut Self) -> Value) -> Value {
        if self.dice.chance(500) { value(self) } else { Value::Null }
    }

    fn date(&mut self) -> Value {
        (*self.dice.one(&DATES)).into()
    }

    fn words(&mut self) -> Value {
        (*self.dice.one(&PROSE)).into()
    }

    fn notes(&mut self) -> Value {
        self.maybe(|maker| json!([{"text": maker.words()}]))
    }

    fn someone(&mut self) -> Value {
        let who = self.people.clone();
        json!({"reference": self.dice.one(&who)})
    }

    fn concept(&mut self) -> Value {
        let (code, description, words) = *self.dice.one(&FINDINGS);
        let plain = json!({"system": SNOMED, "code": code, "display": words});
        let described = json!({"system": SNOMED, "code": code, "display": words, "extension": [
            {"url": "https://fhir.nhs.uk/STU3/StructureDefinition/Extension-coding-sctdescid", "extension": [
                {"url": "descriptionId", "valueId": description},
                {"url": "descriptionDisplay", "valueString": words}]}]});
        let legacy =
            json!({"system": "http://read.info/readv2", "code": "22A..00", "display": "O/E - weight"});
        match self.dice.below(5) {
            0 => json!({"coding": [plain]}),
            1 => json!({"coding": [described], "text": words}),
            2 => json!({"coding": [described, legacy], "text": words}),
            3 => json!({"coding": [legacy], "text": "O/E - weight"}),
            _ => json!({"text": format!("{words} as told")}),
        }
    }

    fn person(&mut self, n: u64) {
        let (id, organisation) = (self.id(), self.id());
        let name = ["Moss", "Okafor", "Llewellyn", "d'Arcy"][self.dice.index(4)];
        let practice = self.add(
            "Organization",
            &organisation,
            json!({"name": format!("Practice {n}"), "identifier": [
                {"system": "https://fhir.nhs.uk/Id/ods-organization-code", "value": format!("B8600{n}")}]}),
        );
        let who = self.add(
            "Practitioner",
            &id,
            json!({"name": [{"family": name, "given": ["Jo"], "prefix": ["Dr"]}]}),
        );
        let role = self.id();
        self.add(
            "PractitionerRole",
            &role,
            json!({"practitioner": {"reference": who}, "organization": {"reference": practice}}),
        );
        self.people.push(who);
    }

    fn quantity(&mut self) -> Value {
        let (unit, code) = *self.dice.one(&UNITS);
        let value = self.dice.below(2000) as f64 / 4.0;
        let mut quantity = json!({"value": value, "unit": unit});
        if self.dice.chance(700) {
            quantity["system"] = "http://unitsofmeasure.org".into();
            quantity["code"] = code.into();
        }
        if self.dice.chance(200) {
            quantity["comparator"] = (*self.dice.one(&["<", "<=", ">", ">="])).into();
        }
        quantity
    }

    fn observation(&mut self) -> String {
        let id = self.id();
        let mut resource = json!({
            "status": "final", "code": self.concept(), "effectiveDateTime": self.date(), "issued": "2022-01-01T09:00:00Z",
            "performer": [self.someone()], "comment": self.maybe(Self::words)});
        match self.dice.below(4) {
            0 => {
                resource["valueQuantity"] = self.quantity();
                resource["referenceRange"] =
                    self.maybe(|_| json!([{"low": {"value": 3}, "high": {"value": 8.5}}]));
                resource["interpretation"] = self.maybe(|_| {
                    json!({"coding": [{"system": "http://hl7.org/fhir/v2/0078", "code": "H", "display": "High"}]})
                });
            }
            1 => resource["valueString"] = self.words(),
            _ => {}
        }
        let reference = self.add("Observation", &id, resource);
        self.observations.push(reference.clone());
        self.statements.push(reference.clone());
        reference
    }

    fn blood_pressure(&mut self) {
        let id = self.id();
        let half = |code: &str, words: &str, value: u64| {
            json!({"code": {"coding": [{"system": SNOMED, "code": code, "display": words}]}, "valueQuantity":
                {"value": value, "unit": "mm[Hg]", "system": "http://unitsofmeasure.org", "code": "mm[Hg]"}})
        };
        let (high, low) = (100 + self.dice.below(80), 50 + self.dice.below(50));
        let mut halves = vec![
            half("271649006", "Systolic blood pressure", high),
            half("271650006", "Diastolic blood pressure", low),
        ];
        if self.dice.chance(300) {
            halves.reverse();
        }
        let resource = json!({
            "status": "final", "effectiveDateTime": self.date(), "performer": [self.someone()], "component": halves,
            "comment": self.maybe(Self::words),
            "code": {"coding": [{"system": SNOMED, "code": "75367002", "display": "Blood pressure"}]}});
        let reference = self.add("Observation", &id, resource);
        self.statements.push(reference);
    }

    fn allergy(&mut self) {
        let id = self.id();
        let category = *self.dice.one(&["medication", "environment"]);
        let resource = json!({
            "clinicalStatus": "active", "verificationStatus": "unconfirmed", "category": [category],
            "code": self.concept(), "assertedDate": self.date(), "onsetDateTime": self.maybe(Self::date),
            "recorder": self.someone(), "note": self.notes()});
        let reference = self.add("AllergyIntolerance", &id, resource);
        self.statements.push(reference);
    }

    fn immunization(&mut self) {
        let id = self.id();
        let resource = json!({
            "status": "completed", "notGiven": false, "date": self.date(), "lotNumber": self.maybe(|_| "AB12".into()),
            "extension": [{"url": format!("{CARE}VaccinationProcedure-1"), "valueCodeableConcept": {"coding": [
                {"system": SNOMED, "code": "170433008", "display": "Second MMR vaccination"}]}}],
            "note": self.notes()});
        let reference = self.add("Immunization", &id, resource);
        self.statements.push(reference);
    }

    /// A plan, its statement and up to three issues.
    fn medication(&mut self) {
        let (plan, drug, stated) = (self.id(), self.id(), self.id());
        let (code, words) = *self.dice.one(&DRUGS);
        let drug = self.add(
            "Medication",
            &drug,
            json!({"code": {"coding": [{"system": SNOMED, "code": code, "display": words}]}}),
        );
        let quantity = 1 + self.dice.below(100);
        let repeat = self.dice.chance(500);
        let request = |intent: &str, date: &Value| {
            json!({
                "intent": intent, "medicationReference": {"reference": drug}, "authoredOn": date,
                "dosageInstruction": [{"text": "One to be taken daily"}],
                "extension": [{"url": format!("{GPC}PrescriptionType-1"), "valueCodeableConcept": {"coding": [
                    {"system": "https://fhir.nhs.uk/STU3/CodeSystem/CareConnect-PrescriptionType-1",
                     "code": if repeat { "repeat" } else { "acute" }}]}}],
                "dispenseRequest": {"validityPeriod": {"start": date}, "quantity": {"value": quantity, "unit": "tablet"}}})
        };
        let day: Value = (*self.dice.one(&["2021-03-28", "2020-12-24"])).into();
        let mut resource = request("plan", &day);
        resource["status"] = (*self.dice.one(&["active", "completed"])).into();
        resource["note"] = self.notes();
        let reference = self.add("MedicationRequest", &plan, resource);
        for n in 0..self.dice.below(4) {
            let id = self.id();
            let mut issue = request("order", &format!("2021-04-{:02}", n + 1).into());
            issue["status"] = "completed".into();
            issue["basedOn"] = json!([{"reference": reference}]);
            self.add("MedicationRequest", &id, issue);
        }
        self.add(
            "MedicationStatement",
            &stated,
            json!({"status": "active", "taken": "unk", "medicationReference": {"reference": drug},
                "basedOn": [{"reference": reference}]}),
        );
        self.statements.push(reference);
    }

    /// A referral or a plan.
    fn request(&mut self) {
        let id = self.id();
        let reference = if self.dice.chance(500) {
            let priority = *self.dice.one(&["routine", "urgent"]);
            let resource = json!({
                "status": "active", "intent": "order", "priority": priority, "authoredOn": self.date(),
                "requester": {"agent": self.someone()}, "reasonCode": [self.concept()],
                "description": self.words(), "note": self.notes()});
            self.add("ReferralRequest", &id, resource)
        } else {
            let status = *self.dice.one(&["active", "completed", "cancelled"]);
            let resource = json!({
                "status": status, "intent": "plan", "authoredOn": self.date(), "code": self.concept(),
                "occurrenceDateTime": self.maybe(Self::date), "note": self.notes()});
            self.add("ProcedureRequest", &id, resource)
        };
        self.statements.push(reference);
    }

    fn document(&mut self) {
        let id = self.id();
        let resource = json!({
            "status": "current", "created": self.date(), "type": self.concept(), "description": self.maybe(Self::words),
            "content": [{"attachment": {"contentType": "text/plain", "size": 5,
                "url": format!("https://example.test/Binary/{id}")}}]});
        let reference = self.add("DocumentReference", &id, resource);
        self.statements.push(reference);
    }

    /// A report on a specimen, with results of its own and a group of them.
    fn report(&mut self) {
        let (id, specimen, group) = (self.id(), self.id(), self.id());
        let (notes, conclusion) = (self.notes(), self.maybe(Self::words));
        let specimen = self.add(
            "Specimen",
            &specimen,
            json!({"type": {"text": "Serum"}, "collection": {"collectedDateTime": "2021-03-28"}, "note": notes}),
        );
        let mut results = Vec::new();
        for _ in 0..=self.dice.below(3) {
            let result = self.id();
            let resource = json!({
                "status": "final", "code": self.concept(), "issued": "2021-03-29T10:00:00+01:00",
                "valueQuantity": self.quantity(), "specimen": {"reference": specimen}, "comment": self.maybe(Self::words)});
            results.push(self.add("Observation", &result, resource));
        }
        if self.dice.chance(400) && results.len() > 1 {
            let related: Vec<Value> =
                results.iter().map(|r| json!({"type": "has-member", "target": {"reference": r}})).collect();
            let resource = json!({
                "status": "final", "code": {"text": "Full blood count"}, "issued": "2021-03-29T10:00:00+01:00",
                "specimen": {"reference": specimen}, "related": related});
            results = vec![self.add("Observation", &group, resource)];
        }
        let results: Vec<Value> = results.iter().map(|r| json!({"reference": r})).collect();
        self.add(
            "DiagnosticReport",
            &id,
            json!({"status": "unknown", "issued": "2021-03-29T10:00:00+01:00", "specimen": [{"reference": specimen}],
                "code": {"coding": [{"system": SNOMED, "code": "721981007"}]}, "result": results,
                "conclusion": conclusion}),
        );
    }

    /// A problem that is some Observation.
    fn problem(&mut self) {
        let id = self.id();
        let actual = self.observation();
        let related = self.statements.clone();
        let mut extension =
            vec![json!({"url": format!("{CARE}ActualProblem-1"), "valueReference": {"reference": actual}})];
        if self.dice.chance(500) {
            let content = self.dice.one(&related);
            extension.push(json!({"url": format!("{CARE}RelatedClinicalContent-1"), "valueReference": {"reference": content}}));
        }
        let weight = *self.dice.one(&["major", "minor"]);
        extension.push(json!({"url": format!("{CARE}ProblemSignificance-1"), "valueCode": weight}));
        let observed = self.entries.last().unwrap()["resource"].clone();
        let resource = json!({
            "clinicalStatus": *self.dice.one(&["active", "inactive"]), "code": observed["code"],
            "onsetDateTime": observed["effectiveDateTime"], "extension": extension, "note": self.notes()});
        self.add("Condition", &id, resource);
    }

    /// A consultation with some statements under topics and, at times, headings.
    fn consultation(&mut self) {
        let id = self.id();
        let start = *self.dice.one(&["2020-12-24T10:15:00+00:00", "2021-06-28T09:00:00+01:00"]);
        let recorder = json!([{"type": [{"coding": [{"code": "REC"}]}], "individual": self.someone()}]);
        let encounter = self.add(
            "Encounter",
            &id,
            json!({"status": "finished", "period": {"start": start}, "participant": recorder,
                "type": [{"text": "GP Surgery"}]}),
        );
        let mut topics = Vec::new();
        for _ in 0..=self.dice.below(2) {
            let items = self.some_statements();
            let heading = if self.dice.chance(500) {
                vec![self.list("24781000000107", "Examination", &encounter, items)]
            } else {
                items
            };
            topics.push(self.list("25851000000105", "Problem of the day", &encounter, heading));
        }
        self.list("325851000000107", "Consultation", &encounter, topics);
    }

    /// Statements that stand in no consultation yet.
    fn some_statements(&mut self) -> Vec<String> {
        let most = self.statements.len().min(1 + self.dice.index(3));
        self.statements.drain(..most).collect()
    }

    fn list(&mut self, code: &str, title: &str, encounter: &str, items: Vec<String>) -> String {
        let id = self.id();
        let items: Vec<Value> = items.iter().map(|item| json!({"item": {"reference": item}})).collect();
        self.add(
            "List",
            &id,
            json!({"status": "current", "mode": "snapshot", "title": title, "entry": items,
                "encounter": {"reference": encounter}, "code": {"coding": [{"system": SNOMED, "code": code}]}}),
        )
    }
}
