//! Values, reference ranges and supply quantities: decimals copied as written, never through a float (extract §4).

use serde_json::value::RawValue;

use super::account::Fault;
use super::codes;
use super::draft::Draft;
use super::fhir::{ApproximateQuantity, CodeableConcept, Extension, Quantity, ReferenceRange, Text, Value};
use super::json::Json;
use super::tree::Element;
use super::xml::Xml;

const UCUM: &str = "http://unitsofmeasure.org";

/// A number with its unit, checked for the wire.
struct Amount<'a> {
    number: &'a str,
    unit: Unit<'a>,
}

enum Unit<'a> {
    None,
    Ucum(&'a str),
    Coded { code: &'a str, system: &'a str, display: Option<&'a str> },
    Words(&'a str),
}

impl<'a> Amount<'a> {
    fn of(quantity: &'a Json) -> Option<Self> {
        let number = decimal(quantity.at("value"))?;
        let code = quantity.word("code").filter(|c| !c.contains(char::is_whitespace));
        let words = quantity.word("unit");
        let unit = match (quantity.word("system"), code) {
            (Some(UCUM), Some(code)) => Unit::Ucum(code),
            (Some(system), Some(code)) => match codes::oid(system) {
                Some(system) => Unit::Coded { code, system, display: words },
                None => words.map_or(Unit::None, Unit::Words),
            },
            (_, _) => words.or(quantity.word("code")).map_or(Unit::None, Unit::Words),
        };
        Some(Self { number, unit })
    }

    fn write(&self, x: &mut Xml, name: &str, more: &[(&str, &str)]) {
        let unit = match self.unit {
            Unit::Ucum(code) => code,
            Unit::None | Unit::Coded { .. } | Unit::Words(_) => "1",
        };
        let mut attributes = more.to_vec();
        attributes.extend([("value", self.number), ("unit", unit)]);
        match self.unit {
            Unit::None | Unit::Ucum(_) => x.empty(name, &attributes),
            Unit::Coded { code, system, display } => x.with(name, &attributes, |x| {
                let mut attributes = vec![("value", self.number), ("code", code), ("codeSystem", system)];
                attributes.extend(display.map(|d| ("displayName", d)));
                x.empty("translation", &attributes);
            }),
            Unit::Words(words) => x.with(name, &attributes, |x| {
                x.with("translation", &[("value", self.number)], |x| x.leaf("originalText", &[], words));
            }),
        }
    }
}

/// The characters of a decimal number, when it is one. The wire has no exponents.
fn decimal<'a>(json: &'a Json<'a>) -> Option<&'a str> {
    json.text().filter(|t| {
        t.bytes().all(|b| b.is_ascii_digit() || b"+-.".contains(&b))
            && t.parse::<f64>().is_ok_and(f64::is_finite)
    })
}

/// Writes `value` when a typed one can carry it; otherwise puts it in text. Returns whether a numeric one was written.
pub(super) fn value(x: &mut Xml, holder: &Json, draft: &mut Draft) -> bool {
    let Some((kind, value)) = holder.choice("value") else { return false };
    if kind == "String" {
        match value.text() {
            Some(text) => x.leaf("value", &[("xsi:type", "ST")], text),
            None if value.is_object() || !value.all_words().is_empty() => {
                draft.fault(Fault::UnmappableValue);
                draft.say("Value", Some(&value.all_words()));
            }
            None => {}
        }
        return false;
    }
    let amount = (kind == "Quantity").then(|| Amount::of(value)).flatten();
    let bound = match value.word("comparator") {
        None => None,
        Some("<") => Some(("high", "false")),
        Some("<=") => Some(("high", "true")),
        Some(">") => Some(("low", "false")),
        Some(">=") => Some(("low", "true")),
        Some(_) => Some(("", "")),
    };
    match (amount, bound) {
        (Some(amount), None) => amount.write(x, "value", &[("xsi:type", "PQ")]),
        (Some(amount), Some((bound, inclusive))) if !bound.is_empty() => {
            x.with("value", &[("xsi:type", "IVL_PQ")], |x| {
                amount.write(x, bound, &[("inclusive", inclusive)])
            });
        }
        (_, _) => {
            let said = words(kind, value);
            if matches!(kind, "SampledData" | "Attachment" | "Quantity") || said.is_none() {
                draft.fault(Fault::UnmappableValue);
            }
            draft.say("Value", said.or_else(|| Some(value.all_words())).as_deref());
            return false;
        }
    }
    true
}

/// Whether the result is approximate, as `uncertaintyCode`.
pub(super) fn uncertainty(x: &mut Xml, holder: &Json) {
    let approximate = |e: &Json| e.word("valueBoolean") == Some("true");
    let (inner, outer) =
        (holder.at("valueQuantity").extension("ValueApproximation"), holder.extension("ValueApproximation"));
    if approximate(inner) || approximate(outer) {
        let attributes = [
            ("code", "U"),
            ("codeSystem", "2.16.840.1.113883.5.1053"),
            ("displayName", "Recorded as uncertain"),
        ];
        x.empty("uncertaintyCode", &attributes);
    }
}

/// A value in words.
pub(super) fn words(kind: &str, value: &Json) -> Option<String> {
    let amount = |q: &Json| {
        let parts = [q.word("comparator"), q.word("value"), q.word("unit").or(q.word("code"))];
        let joined = parts.into_iter().flatten().collect::<Vec<_>>().join(" ");
        let joined = if joined.is_empty() && !q.is_object() { q.all_words() } else { joined };
        (!joined.is_empty()).then_some(joined)
    };
    let pair = |a: Option<String>, join: &str, b: Option<String>| match (a, b) {
        (Some(a), Some(b)) => Some(format!("{a} {join} {b}")),
        (one, other) => one.or(other),
    };
    let text = |name: &str| value.word(name).map(str::to_owned);
    match kind {
        "Quantity" | "Age" | "Duration" | "Count" | "Distance" | "Money" | "SimpleQuantity" => amount(value),
        "CodeableConcept" => codes::words(value),
        "Range" => pair(amount(value.at("low")), "to", amount(value.at("high"))),
        "Ratio" => pair(amount(value.at("numerator")), "/", amount(value.at("denominator"))),
        "Period" => pair(text("start"), "to", text("end")),
        "Attachment" => text("title").or_else(|| text("contentType")).or_else(|| text("url")),
        "SampledData" => Some("sampled data".to_owned()),
        _ => value.text().map(str::to_owned),
    }
}

/// Writes one `interpretationCode`; other codes go to text.
pub(super) fn interpretation(x: &mut Xml, holder: &Json, draft: &mut Draft) {
    let concept = holder.at("interpretation");
    let code = concept.list("coding").iter().find_map(|c| c.word("code"));
    let shown = codes::words(concept);
    let (code, display) = match code {
        Some("H" | "HH" | "HU") => ("HI", "Above high reference limit"),
        Some("L" | "LL" | "LU") => ("LO", "Below low reference limit"),
        Some("A" | "AA") => ("PA", "Potentially abnormal"),
        Some(_) | None => return draft.lead("Interpretation", shown.as_deref()),
    };
    let attributes = [("code", code), ("codeSystem", "2.16.840.1.113883.2.1.6.5"), ("displayName", display)];
    x.with("interpretationCode", &attributes, |x| {
        if let Some(shown) = &shown {
            x.leaf("originalText", &[], shown);
        }
    });
}

/// Puts the reference ranges in text, for a value that is not numeric.
pub(super) fn say_ranges(label: &str, holder: &Json, draft: &mut Draft) {
    for range in holder.list("referenceRange") {
        draft.say(label, range_text(range).as_deref());
    }
}

fn range_text(range: &Json) -> Option<String> {
    let mut parts = Vec::new();
    parts.extend(range.word("text").map(str::to_owned));
    for (label, side) in [("Low", "low"), ("High", "high")] {
        parts.extend(words("Quantity", range.at(side)).map(|w| format!("{label}: {w}")));
    }
    (!parts.is_empty()).then(|| parts.join(" "))
}

/// Writes `referenceRange` for each range of a numeric result.
pub(super) fn ranges(x: &mut Xml, holder: &Json) {
    for range in holder.list("referenceRange") {
        let (low, high) = (Amount::of(range.at("low")), Amount::of(range.at("high")));
        let lost = |side: &str, amount: &Option<Amount<'_>>| amount.is_none() && !range.at(side).is_nothing();
        let said = match lost("low", &low) || lost("high", &high) {
            true => range_text(range),
            false => range.word("text").map(str::to_owned),
        };
        if said.is_none() && low.is_none() && high.is_none() {
            continue;
        }
        x.with("referenceRange", &[("typeCode", "REFV")], |x| {
            let attributes = [("classCode", "OBS"), ("moodCode", "EVN.CRT")];
            x.with("referenceInterpretationRange", &attributes, |x| {
                if let Some(said) = &said {
                    x.leaf("text", &[], said);
                }
                if low.is_some() || high.is_some() {
                    x.with("value", &[], |x| {
                        low.iter().for_each(|a| a.write(x, "low", &[]));
                        high.iter().for_each(|a| a.write(x, "high", &[]));
                    });
                }
            });
        });
    }
}

/// Quotes the quantity of a supply that is no number: the element says 1 then.
pub(super) fn unsupplied(request: &Json, draft: &mut Draft) {
    let quantity = request.at("dispenseRequest").at("quantity");
    if decimal(quantity.at("value")).is_none()
        && (!quantity.at("value").is_nothing() || quantity.text().is_some())
    {
        draft.fault(Fault::UnmappableValue);
        draft.say("Quantity", words("Quantity", quantity).as_deref());
    }
}

/// Writes the `quantity` of a supply.
pub(super) fn supply(x: &mut Xml, request: &Json) {
    let dispense = request.at("dispenseRequest");
    let quantity = dispense.at("quantity");
    let number = decimal(quantity.at("value")).unwrap_or("1");
    let said = |holder: &'_ Json| {
        let extension = holder.extension("MedicationQuantityText");
        extension.choice("value").and_then(|(_, v)| v.text()).map(str::to_owned)
    };
    let unit = quantity.word("unit").map(str::to_owned).or_else(|| said(dispense)).or_else(|| said(quantity));
    x.with("quantity", &[("value", number), ("unit", "1")], |x| {
        x.with("translation", &[("value", number)], |x| {
            x.leaf("originalText", &[], unit.as_deref().unwrap_or("Unk UoM"));
        });
    });
}

/// What a received `value` says.
#[derive(Debug, Default)]
pub(super) struct Measured<'t> {
    pub(super) quantity: Option<ApproximateQuantity<'t>>,
    pub(super) words: Option<Text<'t>>,
}

impl Measured<'_> {
    /// The same in words, with the comparator and the unit.
    pub(super) fn shown(&self) -> Option<String> {
        let quantity = self.quantity.as_ref().and_then(|q| {
            let number = format!("{}{}", q.comparator, q.value.as_ref()?.get());
            Some([number.as_str(), &q.unit].join(" ").trim_end().to_owned())
        });
        self.words.as_deref().map(str::to_owned).or(quantity)
    }
}

/// Reads the `value` of an observation, whatever type it says it is of.
pub(super) fn read<'t>(statement: Element<'t>, draft: &mut Draft) -> Measured<'t> {
    let Some(value) = statement.child("value") else { return Measured::default() };
    let approximate = statement.of("uncertaintyCode", "code") == Some("U");
    let (low, high) = (value.child("low"), value.child("high"));
    let (number, comparator) = match (value.attribute("value"), low, high) {
        (Some(_), _, _) => (Some(value), ""),
        (None, Some(low), None) => (Some(low), if inclusive(low) { ">=" } else { ">" }),
        (None, None, Some(high)) => (Some(high), if inclusive(high) { "<=" } else { "<" }),
        (None, Some(low), Some(high)) => return Measured { words: Some(between(low, high)), quantity: None },
        (None, None, None) => (None, ""),
    };
    let Some(number) = number else {
        let words = value.text().or(value.child("originalText").and_then(Element::text));
        let words = words.or(value.attribute("displayName")).or(value.attribute("code"));
        return Measured { words: words.map(Into::into), quantity: None };
    };
    let read = amount(number);
    if read.value.is_none() {
        draft.fault(Fault::UnmappableValue);
        return Measured { words: number.attribute("value").map(Into::into), quantity: None };
    }
    let extension = approximate.then_some(Extension {
        url: "https://fhir.hl7.org.uk/STU3/StructureDefinition/Extension-CareConnect-ValueApproximation-1",
        value: Value::Truth(true),
    });
    let quantity = ApproximateQuantity {
        extension: extension.into_iter().collect(),
        value: read.value,
        comparator,
        unit: read.unit,
        system: read.system,
        code: read.code,
        ..ApproximateQuantity::default()
    };
    Measured { quantity: Some(quantity), words: None }
}

/// Whether a bound belongs to what it bounds: HL7 takes it so unless told otherwise.
pub(super) fn inclusive(bound: Element<'_>) -> bool {
    bound.attribute("inclusive").is_none_or(|inclusive| inclusive == "true")
}

fn between<'t>(low: Element<'t>, high: Element<'t>) -> Text<'t> {
    let said = |bound: Element<'t>| {
        let unit = bound.attribute("unit").filter(|unit| *unit != "1");
        [bound.attribute("value"), unit].into_iter().flatten().collect::<Vec<_>>().join(" ")
    };
    format!("{} to {}", said(low), said(high)).into()
}

/// Number and unit of an element that has both. A unit of `1` stands for none, or for one in the translation.
pub(super) fn amount(element: Element<'_>) -> Quantity<'_> {
    let value = element.attribute("value").and_then(number);
    let translation = element.child("translation");
    let unit = element.attribute("unit").filter(|unit| *unit != "1");
    let words = translation.and_then(|t| t.child("originalText")).and_then(Element::text);
    let shown = words.or(translation.and_then(|t| t.attribute("displayName")));
    let empty = Text::Borrowed("");
    let (unit, system, code): (Text<'_>, Text<'_>, Text<'_>) = match (unit, translation) {
        // UCUM has no blanks: what has is words (extract §13.1).
        (Some(unit), _) if unit.contains(' ') => (unit.into(), empty.clone(), empty),
        (Some(unit), _) => (shown.unwrap_or(unit).into(), UCUM.into(), unit.into()),
        (None, Some(translation)) => {
            let code = translation.attribute("code").unwrap_or_default();
            let system = translation.attribute("codeSystem").map(|oid| format!("urn:oid:{oid}"));
            (shown.unwrap_or(code).into(), system.unwrap_or_default().into(), code.into())
        }
        (None, None) => (empty.clone(), empty.clone(), empty),
    };
    Quantity { value, unit, system, code, ..Quantity::default() }
}

/// A decimal as JSON writes it, digits kept.
fn number(text: &str) -> Option<Box<RawValue>> {
    let (sign, digits) = match text.strip_prefix('-') {
        Some(digits) => ("-", digits),
        None => ("", text.strip_prefix('+').unwrap_or(text)),
    };
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let whole = whole.trim_start_matches('0');
    let whole =
        if whole.starts_with(|c: char| c.is_ascii_digit()) { whole.to_owned() } else { format!("0{whole}") };
    let point = if fraction.is_empty() { "" } else { "." };
    let plain = digits.starts_with(|c: char| c.is_ascii_digit() || c == '.')
        && digits.len() > usize::from(digits.starts_with('.'));
    // What no reader of JSON can hold is no number to it.
    let finite = text.parse::<f64>().is_ok_and(f64::is_finite);
    RawValue::from_string(format!("{sign}{whole}{point}{fraction}")).ok().filter(|_| plain && finite)
}

/// Reads an `interpretationCode`.
pub(super) fn read_interpretation(statement: Element<'_>) -> Option<CodeableConcept<'_>> {
    let code = statement.child("interpretationCode")?;
    let said = code.child("originalText").and_then(Element::text).or(code.attribute("displayName"));
    let known = match code.attribute("code") {
        Some("HI") => Some(("H", "High")),
        Some("LO") => Some(("L", "Low")),
        Some("PA") => Some(("A", "Abnormal")),
        _ => None,
    };
    let mut concept = match known {
        Some((code, display)) => CodeableConcept::of("http://hl7.org/fhir/v2/0078", code, display),
        None => CodeableConcept::words(said.or(code.attribute("code"))?),
    };
    concept.text = said.map(Into::into).or(concept.text);
    Some(concept)
}

/// Reads the reference ranges.
pub(super) fn read_ranges(statement: Element<'_>) -> Vec<ReferenceRange<'_>> {
    let ranges = statement.all("referenceRange").filter_map(|r| r.child("referenceInterpretationRange"));
    let read = ranges.map(|range| {
        let value = range.child("value");
        let bound = |name| value.and_then(|v| v.child(name)).map(amount).filter(|q| q.value.is_some());
        let text = range.child("text").and_then(Element::text).map(Text::from);
        ReferenceRange { low: bound("low"), high: bound("high"), text, ..ReferenceRange::default() }
    });
    read.filter(|r| r.low.is_some() || r.high.is_some() || r.text.is_some()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(holder: &str) -> (String, Draft) {
        let holder = Json::parse(holder.as_bytes(), 16).unwrap();
        let (mut x, mut draft) = (Xml::new(), Draft::default());
        value(&mut x, &holder, &mut draft);
        (x.into_text(), draft)
    }

    #[test]
    fn units_take_the_form_their_system_allows() {
        for (holder, xml) in [
            (
                r#"{"valueQuantity": {"value": 5.10, "system": "http://unitsofmeasure.org", "code": "mg/L"}}"#,
                r#"<value xsi:type="PQ" value="5.10" unit="mg/L"/>"#,
            ),
            (
                r#"{"valueQuantity": {"value": 1, "unit": "a b"}}"#,
                r#"<value xsi:type="PQ" value="1" unit="1"><translation value="1"><originalText>a b</originalText></translation></value>"#,
            ),
            (
                r#"{"valueQuantity": {"value": 3, "comparator": "<="}}"#,
                r#"<value xsi:type="IVL_PQ"><high inclusive="true" value="3" unit="1"/></value>"#,
            ),
            (r#"{"valueString": "<5"}"#, r#"<value xsi:type="ST">&lt;5</value>"#),
        ] {
            assert_eq!(written(holder).0, xml, "extract §4");
        }
    }

    #[test]
    fn what_no_element_can_carry_goes_to_text() {
        let (xml, draft) =
            written(r#"{"valueRatio": {"numerator": {"value": 1}, "denominator": {"value": 128}}}"#);
        assert_eq!((xml.as_str(), draft.text().as_str()), ("", "Value: 1 / 128"));
        let (xml, draft) = written(r#"{"valueQuantity": {"unit": "mg"}}"#);
        assert_eq!((xml.as_str(), draft.text().as_str()), ("", "Value: mg"), "a quantity without a value");
    }
}
