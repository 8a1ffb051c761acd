//! CodeableConcept to CD: which coding leads, which become translations, what goes in text (extract §3).

use super::account::Fault;
use super::draft::Draft;
use super::fhir::{self, CodeableConcept, Coding, Extension, Text, Value};
use super::json::Json;
use super::snomed::{self, Partition};
use super::tree::Element;
use super::xml::Xml;

/// SNOMED CT.
pub(super) const SNOMED: &str = "2.16.840.1.113883.2.1.3.2.4.15";
/// Read version 2.
pub(super) const READ: &str = "2.16.840.1.113883.2.1.6.2";

/// Egton, EMIS's own codes.
pub(super) const EGTON: &str = "2.16.840.1.113883.2.1.6.3";

const SYSTEMS: [(&str, &str); 6] = [
    ("http://snomed.info/sct", SNOMED),
    ("http://read.info/readv2", READ),
    ("http://read.info/ctv3", "2.16.840.1.113883.2.1.3.2.4.14"),
    ("https://fhir.hl7.org.uk/Id/egton-codes", EGTON),
    ("https://fhir.hl7.org.uk/Id/emis-drug-codes", "2.16.840.1.113883.2.1.6.9"),
    ("http://hl7.org/fhir/v2/0078", "2.16.840.1.113883.2.1.6.5"),
];

/// Systems that only say that nothing is known.
const NULLS: [&str; 2] =
    ["http://hl7.org/fhir/v3/NullFlavor", "http://terminology.hl7.org/CodeSystem/v3-NullFlavor"];

/// Which identifier of a SNOMED coding goes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lead {
    /// The description id where there is one.
    Description,
    /// Always the concept id: drugs and blood pressure.
    Concept,
}

/// The OID of a coding system.
pub(super) fn oid(system: &str) -> Option<&str> {
    if let Some((_, oid)) = SYSTEMS.iter().find(|(url, _)| *url == system) {
        return Some(oid);
    }
    system.strip_prefix("urn:oid:").filter(|oid| is_oid(oid))
}

/// Digits in groups parted by dots.
pub(super) fn is_oid(text: &str) -> bool {
    !text.is_empty()
        && text.split('.').all(|group| !group.is_empty() && group.bytes().all(|b| b.is_ascii_digit()))
}

/// The readable words of a concept: its text, else the words of its first coding that has some.
pub(super) fn words(concept: &Json) -> Option<String> {
    let shown = |coding: &Json| {
        let (_, description) = described(coding);
        let shown = description.or(coding.word("display")).or(coding.word("code"));
        shown.or(coding.text()).map(str::to_owned)
    };
    let known = |coding: &&Json| !coding.word("system").is_some_and(|s| NULLS.contains(&s));
    concept
        .word("text")
        .map(str::to_owned)
        .or_else(|| concept.list("coding").iter().filter(known).find_map(shown))
        .or_else(|| Some(concept.all_words()).filter(|words| !concept.is_object() && !words.is_empty()))
}

/// Whether one of the codings has that code.
pub(super) fn has(concept: &Json, code: &str) -> bool {
    concept.list("coding").iter().any(|c| c.word("code") == Some(code))
}

/// The SNOMED concept ids and description ids of a concept.
pub(super) fn snomed_ids<'a>(concept: &'a Json<'a>) -> impl Iterator<Item = &'a str> {
    let snomed = |c: &&Json| c.word("system").and_then(oid) == Some(SNOMED);
    concept
        .list("coding")
        .iter()
        .filter(snomed)
        .flat_map(|c| [c.word("code"), described(c).0].into_iter().flatten())
}

/// Description id and words of a SNOMED coding.
fn described<'a>(coding: &'a Json<'a>) -> (Option<&'a str>, Option<&'a str>) {
    let extension = coding.extension("coding-sctdescid");
    let part = |name| extension.list("extension").iter().find(|e| e.word("url") == Some(name));
    let words = |name| part(name).and_then(|e| e.choice("value")).and_then(|(_, v)| v.text());
    (words("descriptionId"), words("descriptionDisplay"))
}

/// One code as the wire has it.
struct Coded<'a> {
    code: &'a str,
    system: &'a str,
    display: Option<&'a str>,
}

impl Coded<'_> {
    fn attributes(&self) -> Vec<(&str, &str)> {
        let mut attributes = vec![("code", self.code), ("codeSystem", self.system)];
        attributes.extend(self.display.map(|d| ("displayName", d)));
        attributes
    }
}

/// Writes a concept as the element of that name. What it cannot carry goes to the draft.
pub(super) fn write(x: &mut Xml, name: &str, concept: &Json, lead: Lead, draft: &mut Draft) {
    let sorted = Sorted::of(concept, lead, draft);
    if sorted.main.is_none() && !concept.is_nothing() && !concept.is_object() {
        draft.fault(Fault::UnmappableCode);
    }
    let main = sorted.main.as_ref().map_or_else(|| vec![("nullFlavor", "UNK")], Coded::attributes);
    let original = match &sorted.main {
        Some(main) => original_of(concept, main.display),
        None => words(concept).or_else(|| {
            draft.fault(Fault::NoCode);
            Some("Unknown".to_owned())
        }),
    };
    if original.is_none() && sorted.translations.is_empty() {
        return x.empty(name, &main);
    }
    x.with(name, &main, |x| {
        if let Some(original) = &original {
            x.leaf("originalText", &[], original);
        }
        for translation in &sorted.translations {
            x.empty("translation", &translation.attributes());
        }
    });
}

/// Puts in text what of a concept no code element can carry.
pub(super) fn unmappable(concept: &Json, draft: &mut Draft) {
    drop(Sorted::of(concept, Lead::Description, draft));
}

/// Writes a code of ours that a vocabulary demands, with the concept's own words and codings beside it.
pub(super) fn under(
    x: &mut Xml,
    (code, display): (&str, &str),
    words: Option<&str>,
    concept: &Json,
    draft: &mut Draft,
) {
    let sorted = Sorted::of(concept, Lead::Description, draft);
    let others: Vec<_> =
        sorted.main.iter().chain(&sorted.translations).filter(|own| own.code != code).collect();
    let attributes = [("code", code), ("codeSystem", SNOMED), ("displayName", display)];
    if words.is_none() && others.is_empty() {
        return x.empty("code", &attributes);
    }
    x.with("code", &attributes, |x| {
        words.iter().for_each(|words| x.leaf("originalText", &[], words));
        for own in others {
            x.empty("translation", &own.attributes());
        }
    });
}

/// Words beside a code: the text, else what the user picked when it reads differently.
fn original_of(concept: &Json, shown: Option<&str>) -> Option<String> {
    let picked = |c: &&Json| c.word("userSelected") == Some("true");
    let chosen =
        || concept.list("coding").iter().find(picked).and_then(|c| described(c).1.or(c.word("display")));
    concept.word("text").or_else(|| chosen().filter(|words| shown != Some(*words))).map(str::to_owned)
}

/// The codings of a concept in their places.
struct Sorted<'a> {
    main: Option<Coded<'a>>,
    translations: Vec<Coded<'a>>,
}

impl<'a> Sorted<'a> {
    fn of(concept: &'a Json, lead: Lead, draft: &mut Draft) -> Self {
        let mut sorted = Self { main: None, translations: Vec::new() };
        for coding in concept.list("coding") {
            let system = coding.word("system");
            // Of a description that was received only the terminology knows the concept.
            let code = coding.word("code").or(described(coding).0);
            if system.is_some_and(|s| NULLS.contains(&s)) {
                continue;
            }
            match (system.and_then(oid), code.filter(|c| !c.contains(char::is_whitespace))) {
                (Some(SNOMED), Some(code)) => sorted.snomed(coding, code, lead, draft),
                (Some(system), Some(code)) => {
                    sorted.translations.push(Coded { code, system, display: coding.word("display") });
                }
                (_, None) if code.is_none() => {
                    let shown = words(concept);
                    let more = coding.word("display").filter(|display| shown.as_deref() != Some(*display));
                    draft.say("Code", more);
                }
                (_, _) => {
                    draft.fault(Fault::UnmappableCode);
                    let quoted =
                        [coding.word("display"), code].into_iter().flatten().collect::<Vec<_>>().join(" ");
                    draft.say("Code", Some(&quoted));
                }
            }
        }
        sorted
    }

    fn snomed(&mut self, coding: &'a Json, concept: &'a str, lead: Lead, draft: &mut Draft) {
        let (description, words) = described(coding);
        // The string stays: a receiver may know it (extract §3).
        if ![Some(concept), description].into_iter().flatten().all(snomed::is_sound) {
            draft.fault(Fault::UnsoundCode);
        }
        let code = match lead {
            Lead::Description => description.filter(|d| !d.contains(char::is_whitespace)).unwrap_or(concept),
            Lead::Concept => concept,
        };
        let coded = Coded { code, system: SNOMED, display: words.or(coding.word("display")) };
        if self.main.is_none() {
            self.main = Some(coded);
        } else {
            self.translations.push(coded);
        }
    }
}

/// The entry whose code it is: without a SNOMED code it gets the degrade code of its kind (NPFIT-PC-BLD-0132).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Degrade {
    Entry,
    Medication,
    Referral,
    Plan,
    DrugAllergy,
    OtherAllergy,
}

impl Degrade {
    fn coding<'t>(self) -> Coding<'t> {
        let (code, display) = DEGRADED[self as usize];
        snomed_coding(code.into(), display.into())
    }
}

/// The degrade codes of SNOMED CT that we give, and their words, in the order of [`Degrade`].
const DEGRADED: [(&str, &str); 6] = [
    ("196411000000103", "Transfer-degraded record entry"),
    ("196421000000109", "Transfer-degraded medication entry"),
    ("196431000000106", "Transfer-degraded referral"),
    ("196451000000104", "Transfer-degraded plan"),
    ("196461000000101", "Transfer-degraded drug allergy"),
    ("196471000000108", "Transfer-degraded non-drug allergy"),
];

/// The one that others give, and we do not.
const OTHER_REQUEST: &str = "196441000000102";

fn snomed_coding<'t>(code: Text<'t>, display: Text<'t>) -> Coding<'t> {
    Coding { system: fhir::SNOMED.into(), code, display, ..Coding::default() }
}

/// Whether a code only says that its entry was degraded on the way.
pub(super) fn is_degraded(code: &str) -> bool {
    let read = code.len() == 5 && code.starts_with("9bJ");
    let ours = || DEGRADED.iter().any(|(known, _)| *known == code);
    read || (code.len() == 15 && code.starts_with("1964") && (code == OTHER_REQUEST || ours()))
}

/// Reads a CD as it is.
pub(super) fn plain<'t>(code: Element<'t>, draft: &mut Draft) -> CodeableConcept<'t> {
    let own = std::iter::once(code).chain(code.all("translation"));
    let coding: Vec<_> = own.filter_map(|c| coding(c, draft)).collect();
    CodeableConcept { coding, text: said(code).map(Into::into), ..CodeableConcept::default() }
}

/// What a person would read of a received CD.
pub(super) fn said(code: Element<'_>) -> Option<&str> {
    let own = code.child("originalText").and_then(Element::text).or(code.attribute("displayName"));
    own.or_else(|| code.all("translation").find_map(|t| t.attribute("displayName")))
}

/// Reads the code of an entry; one without a SNOMED code gets the degrade code of its kind, its own stay.
pub(super) fn read<'t>(
    code: Option<Element<'t>>,
    degrade: Degrade,
    draft: &mut Draft,
) -> CodeableConcept<'t> {
    let mut concept = code.map(|c| plain(c, draft)).unwrap_or_default();
    if !concept.coding.iter().any(|c| c.system == fhir::SNOMED) {
        concept.coding.insert(0, degrade.coding());
    }
    if concept.text.is_none() && concept.coding.len() == 1 {
        draft.fault(Fault::NoCode);
    }
    concept
}

/// One code. A description id goes in the extension, where FHIR has it; only the terminology knows its concept.
fn coding<'t>(element: Element<'t>, draft: &mut Draft) -> Option<Coding<'t>> {
    let code = element.attribute("code")?;
    let display = element.attribute("displayName").unwrap_or_default();
    let system = match element.attribute("codeSystem") {
        Some(SNOMED) => fhir::SNOMED.into(),
        Some(oid) => url(oid),
        None if snomed::partition(code).is_some() => {
            draft.fault(Fault::InferredCodeSystem);
            fhir::SNOMED.into()
        }
        None => {
            draft.fault(Fault::UnmappableCode);
            Text::Borrowed("")
        }
    };
    if system != fhir::SNOMED || snomed::partition(code) != Some(Partition::Description) {
        return Some(Coding { system, code: code.into(), display: display.into(), ..Coding::default() });
    }
    let part = |url, value| Extension { url, value };
    let mut parts = vec![part("descriptionId", Value::Id(code.into()))];
    if !display.is_empty() {
        parts.push(part("descriptionDisplay", Value::String(display.into())));
    }
    let extension = part(DESCRIPTION, Value::Parts(parts));
    Some(Coding { extension: vec![extension], system, display: display.into(), ..Coding::default() })
}

const DESCRIPTION: &str = "https://fhir.nhs.uk/STU3/StructureDefinition/Extension-coding-sctdescid";

/// The FHIR name of a code system.
fn url(oid: &str) -> Text<'_> {
    // A truncated arc seen in the wild (extract §13.1).
    let typed = oid
        .strip_prefix("2.16.840.1.113883.3.2.4.")
        .map(|rest| format!("2.16.840.1.113883.2.1.3.2.4.{rest}"));
    let known = SYSTEMS.iter().find(|(_, known)| *known == typed.as_deref().unwrap_or(oid));
    known.map_or_else(|| format!("urn:oid:{oid}").into(), |(url, _)| (*url).into())
}

/// Whether one of the codes of a received CD is that code of that system.
pub(super) fn is_one(code: Option<Element<'_>>, is: impl Fn(&str, &str) -> bool) -> bool {
    let Some(code) = code else { return false };
    std::iter::once(code).chain(code.all("translation")).any(|c| {
        let (system, code) = (c.attribute("codeSystem"), c.attribute("code"));
        code.is_some_and(|code| is(system.unwrap_or_default(), code))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(concept: &str, lead: Lead) -> (String, Draft) {
        let concept = Json::parse(concept.as_bytes(), 16).unwrap();
        let (mut x, mut draft) = (Xml::new(), Draft::default());
        write(&mut x, "code", &concept, lead, &mut draft);
        (x.into_text(), draft)
    }

    const BOTH: &str = r#"{"coding": [
      {"system": "http://read.info/readv2", "code": "G30..14", "display": "Heart attack", "userSelected": true},
      {"system": "http://snomed.info/sct", "code": "22298006", "display": "Myocardial infarction",
       "extension": [{"url": "x/Extension-coding-sctdescid", "extension": [
         {"url": "descriptionId", "valueId": "37443015"}, {"url": "descriptionDisplay", "valueString": "Heart attack"}]}]}]}"#;

    #[test]
    fn the_description_leads_and_legacy_codes_stay() {
        let (xml, _) = written(BOTH, Lead::Description);
        assert!(xml.contains(
            r#"code="37443015" codeSystem="2.16.840.1.113883.2.1.3.2.4.15" displayName="Heart attack""#
        ));
        assert!(
            xml.contains(r#"<translation code="G30..14" codeSystem="2.16.840.1.113883.2.1.6.2""#),
            "D5: {xml}"
        );
        let (xml, _) = written(BOTH, Lead::Concept);
        assert!(xml.contains(r#"code="22298006""#), "drugs and blood pressure take the concept id");
    }

    #[test]
    fn a_description_without_its_concept_is_sent_as_it_came() {
        let (xml, draft) = written(
            r#"{"coding": [{"system": "http://snomed.info/sct", "display": "Heart attack",
              "extension": [{"url": "x/Extension-coding-sctdescid", "extension": [
                {"url": "descriptionId", "valueId": "37443015"}]}]}]}"#,
            Lead::Description,
        );
        assert!(xml.contains(r#"code="37443015""#), "extract §13.3: {xml}");
        assert_eq!(draft.faults(), []);
    }

    #[test]
    fn a_wrong_check_digit_is_listed_and_the_code_stays() {
        let (xml, draft) = written(
            r#"{"coding": [{"system": "http://snomed.info/sct", "code": "22298007"}]}"#,
            Lead::Description,
        );
        assert!(xml.contains(r#"code="22298007""#), "extract §3: {xml}");
        assert_eq!(draft.faults(), [Fault::UnsoundCode]);
    }

    #[test]
    fn without_snomed_the_legacy_codes_are_translations_of_an_unknown_code() {
        let (xml, _) = written(
            r#"{"coding": [{"system": "http://read.info/ctv3", "code": "XE0", "display": "A"}]}"#,
            Lead::Description,
        );
        assert!(
            xml.starts_with(
                r#"<code nullFlavor="UNK"><originalText>A</originalText><translation code="XE0""#
            )
        );
    }

    #[test]
    fn a_concept_that_came_degraded_keeps_its_pair_and_its_words() {
        let (xml, draft) = written(
            r#"{"text": "Old term", "coding": [
              {"system": "http://snomed.info/sct", "code": "196411000000103", "display": "Transfer-degraded record entry"},
              {"system": "http://read.info/readv2", "code": "9bJ..", "display": "Transfer-degraded record entry"},
              {"system": "http://snomed.info/sct", "code": "22298006", "display": "Myocardial infarction"}]}"#,
            Lead::Description,
        );
        assert!(
            xml.starts_with(r#"<code code="196411000000103""#)
                && xml.contains(r#"<translation code="9bJ..""#)
                && xml.contains(r#"<translation code="22298006""#),
            "extract §3: pair and further SNOMED codings stay: {xml}"
        );
        assert!(xml.contains("<originalText>Old term</originalText>"), "{xml}");
        assert!(
            draft.faults().is_empty() && draft.is_silent(),
            "0132 r4: nothing is degraded again, no word added"
        );
    }

    #[test]
    fn what_has_no_oid_goes_to_text_and_is_listed() {
        let (xml, draft) = written(
            r#"{"coding": [{"system": "urn:other", "code": "1 2", "display": "Odd"}]}"#,
            Lead::Description,
        );
        assert_eq!(xml, r#"<code nullFlavor="UNK"><originalText>Odd</originalText></code>"#);
        assert_eq!(draft.text(), "Code: Odd 1 2");
        assert_eq!(draft.faults(), [Fault::UnmappableCode]);
        assert_eq!(written("{}", Lead::Description).1.faults(), [Fault::NoCode]);
    }
}
