//! Values, reference ranges and supply quantities: decimals copied as written, never through a float (extract §4).

use super::account::Fault;
use super::codes;
use super::draft::Draft;
use super::json::Json;
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

/// The characters of a decimal number, when it is one.
fn decimal<'a>(json: &'a Json<'a>) -> Option<&'a str> {
    json.text().filter(|t| {
        t.bytes().all(|b| b.is_ascii_digit() || b"+-.eE".contains(&b))
            && t.parse::<f64>().is_ok_and(f64::is_finite)
    })
}

/// Writes `value` when a typed one can carry it; otherwise puts it in text. Returns whether a numeric one was written.
pub(super) fn value(x: &mut Xml, holder: &Json, draft: &mut Draft) -> bool {
    let Some((kind, value)) = holder.choice("value") else { return false };
    if kind == "String" {
        if let Some(text) = value.text() {
            x.leaf("value", &[("xsi:type", "ST")], text);
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
            draft.say("Value", words(kind, value).as_deref());
            if matches!(kind, "SampledData" | "Attachment" | "Quantity") {
                draft.fault(Fault::UnmappableValue);
            }
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
pub(super) fn range_words(holder: &Json, draft: &mut Draft) {
    for range in holder.list("referenceRange") {
        draft.say("Range", range_text(range).as_deref());
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
        let said = range.word("text").map(str::to_owned).or_else(|| {
            let untyped = low.is_none() && high.is_none();
            untyped.then(|| range_text(range)).flatten()
        });
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
