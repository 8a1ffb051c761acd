//! Observations that SystmOne sends twice: cut short or empty, beside the one that says all (extract §13.5).
//!
//! A message does not say which system made it. One that has a cut twin is taken for SystmOne's; in any other, two equal
//! statements without a text are two.

use std::collections::HashMap;

use super::result;
use super::tree::Element;

/// How a text ends that was cut, and how many letters it then has at least.
const CUT: &str = "...";
const SHORTEST: usize = 50;

/// Where each statement is that says nothing of its own, and the one that says it.
pub(super) fn of<'t>(statements: &[Element<'t>]) -> HashMap<usize, Element<'t>> {
    let mut alike: HashMap<_, Vec<Element<'t>>> = HashMap::new();
    for statement in statements.iter().filter(|s| s.name() == "ObservationStatement") {
        if let Some(composition) = composition(*statement) {
            let code = statement.of("code", "code").or(statement.of("code", "displayName"));
            let time = statement.of("availabilityTime", "value");
            alike.entry((composition.place(), code, time)).or_default().push(*statement);
        }
    }
    alike.retain(|_, group| group.len() > 1);
    let cut = |group: &Vec<Element<'_>>| {
        group.iter().any(|twin| is_cut(*twin) && group.iter().any(|kept| says(*kept, *twin, false)))
    };
    if !alike.values().any(cut) {
        return HashMap::new();
    }
    let mut twins = HashMap::new();
    for group in alike.into_values() {
        for (at, twin) in group.iter().enumerate() {
            let rest = group.iter().enumerate().filter(|(other, _)| *other != at);
            let mut rest = rest.filter(|(_, other)| !twins.contains_key(&other.place()));
            let kept = rest.find(|(other, kept)| says(**kept, *twin, *other < at) && same(**kept, *twin));
            if let Some((_, kept)) = kept {
                twins.insert(twin.place(), *kept);
            }
        }
    }
    twins
}

/// The composition around a statement that stands in no group, report or list.
fn composition(statement: Element<'_>) -> Option<Element<'_>> {
    let mut holder = statement.parent()?.parent()?;
    while holder.name() == "CompoundStatement"
        && matches!(holder.attribute("classCode"), Some("TOPIC" | "CATEGORY"))
    {
        holder = holder.parent()?.parent()?;
    }
    (holder.name() == "ehrComposition").then_some(holder)
}

/// Whether the only text of a statement was cut.
fn is_cut(statement: Element<'_>) -> bool {
    matches!(result::annotations(statement)[..], [text] if text.ends_with(CUT) && text.chars().count() >= SHORTEST)
}

/// Whether one says all that its twin does: its text goes on where that of the twin was cut, or the twin has none. Of
/// two without any the earlier one is kept.
fn says(kept: Element<'_>, twin: Element<'_>, earlier: bool) -> bool {
    let (whole, own) = (result::annotations(kept), result::annotations(twin));
    match (&whole[..], &own[..]) {
        ([], []) => earlier,
        (_, []) => true,
        (_, [text]) if is_cut(twin) => {
            let begun = text.trim_end_matches('.');
            whole.iter().any(|whole| whole.len() > text.len() && whole.starts_with(begun))
        }
        (_, _) => false,
    }
}

/// Whether two statements are the same but for their ids and texts.
fn same(one: Element<'_>, other: Element<'_>) -> bool {
    let [one, other] = [one, other].map(|statement| {
        let counts = |c: &Element<'_>| !matches!(c.name(), "id" | "pertinentInformation");
        statement.children().filter(counts).collect::<Vec<_>>()
    });
    one.len() == other.len() && one.into_iter().zip(other).all(|(one, other)| equal(one, other))
}

fn equal(one: Element<'_>, other: Element<'_>) -> bool {
    let (mut inner, mut others) = (one.children(), other.children());
    one.name() == other.name()
        && one.attributes() == other.attributes()
        && one.text() == other.text()
        && inner.by_ref().zip(others.by_ref()).all(|(one, other)| equal(one, other))
        && one.children().count() == other.children().count()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::tree::Tree;

    fn observation(id: u32, text: &str, more: &str) -> String {
        let text = match text {
            "" => String::new(),
            text => format!(
                "<pertinentInformation><pertinentAnnotation><text>{text}</text></pertinentAnnotation></pertinentInformation>"
            ),
        };
        format!(
            "<component><ObservationStatement><id root=\"{id}\"/><code code=\"1\"/>{more}{text}</ObservationStatement></component>"
        )
    }

    /// Of each observation, which other one is read in its place.
    fn kept(observations: &[String]) -> Vec<Option<usize>> {
        let xml =
            format!("<ehrComposition xmlns=\"urn:hl7-org:v3\">{}</ehrComposition>", observations.concat());
        let tree = Tree::parse(xml.as_bytes(), 100_000).unwrap();
        let all: Vec<_> = tree.elements().filter(|e| e.name() == "ObservationStatement").collect();
        let twins = of(&all);
        let nth = |e: &Element<'_>| all.iter().position(|a| a.place() == e.place());
        all.iter().map(|e| nth(twins.get(&e.place())?)).collect()
    }

    #[test]
    fn only_what_another_says_wholly_is_a_twin() {
        let long = "Seen with her mother, who says that she sleeps badly since Easter";
        let cut = format!("{}...", &long[..52]);
        let all = [observation(1, &cut, ""), observation(2, long, ""), observation(3, "", "")];
        assert_eq!(kept(&all), [Some(1), None, Some(1)], "cut, whole, and empty");
        let short = [observation(1, "Seen with...", ""), observation(2, "Seen with her mother", "")];
        assert_eq!(kept(&short), [None, None], "a short text may end so by itself");
        let value = "<value value=\"5\"/>";
        assert_eq!(kept(&[observation(1, "", value), observation(2, long, "")]), [None, None]);
        let twice = [observation(1, "", value), observation(2, "", value)];
        assert_eq!(kept(&twice), [None, None], "no other sign of SystmOne");
        assert_eq!(kept(&[&twice[..], &all[..2]].concat()), [None, Some(0), Some(3), None]);
    }
}
