//! Observations that SystmOne sends twice: cut short or empty, beside the one that says all (extract §13.5).
//!
//! A message does not say which system made it. One that has a cut twin is taken for SystmOne's; in any other, two equal
//! statements without a text are two.

use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};
use std::ops::Bound;

use super::result;
use super::tree::Element;

/// How a text ends that was cut, and how many letters it then has at least.
const CUT: &str = "...";
const SHORTEST: usize = 50;

/// One observation of those that may be twins.
struct Member<'t> {
    statement: Element<'t>,
    texts: Vec<&'t str>,
}

/// Where each statement is that says nothing of its own, and the one that says it. A labelled statement has no twin
/// without a label, nor the other way round.
pub(super) fn of<'t>(statements: &[Element<'t>], labels: &[bool]) -> HashMap<usize, Element<'t>> {
    let mut alike: HashMap<_, Vec<Member<'t>>> = HashMap::new();
    for statement in statements.iter().filter(|s| s.name() == "ObservationStatement") {
        if let Some(composition) = composition(*statement) {
            let code = statement.of("code", "code").or(statement.of("code", "displayName"));
            let time = statement.of("availabilityTime", "value");
            let labelled = labels.get(statement.place());
            let member = Member { statement: *statement, texts: result::annotations(*statement) };
            alike.entry((composition.place(), code, time, labelled)).or_default().push(member);
        }
    }
    alike.retain(|_, group| group.len() > 1);
    let cut = |group: &Vec<Member<'_>>| {
        let texts: BTreeSet<&str> = group.iter().flat_map(|member| member.texts.iter().copied()).collect();
        let goes_on = |text: &str| continued(&texts, text).next().is_some();
        group.iter().filter_map(Member::cut).any(goes_on)
    };
    if !alike.values().any(cut) {
        return HashMap::new();
    }
    let mut twins = HashMap::new();
    for group in alike.into_values() {
        let mut equal: HashMap<String, Vec<Member<'t>>> = HashMap::new();
        for member in group {
            equal.entry(besides(member.statement)).or_default().push(member);
        }
        equal.into_values().for_each(|group| of_equals(&group, &mut twins));
    }
    twins
}

/// The twins of statements that are the same but for their ids and texts: of each the first that says all it does. Its
/// text goes on where that of the twin was cut, or the twin has none; of two without any the earlier one is kept.
/// Nothing is looked at twice, because a message may have thousands of them.
fn of_equals<'t>(group: &[Member<'t>], twins: &mut HashMap<usize, Element<'t>>) {
    let all = |wanted: fn(&Member<'_>) -> bool| -> VecDeque<usize> {
        group.iter().enumerate().filter(|(_, member)| wanted(member)).map(|(at, _)| at).collect()
    };
    let (mut silent, mut telling) = (all(|m| m.texts.is_empty()), all(|m| !m.texts.is_empty()));
    let mut by_text: BTreeMap<&str, VecDeque<usize>> = BTreeMap::new();
    for (at, member) in group.iter().enumerate() {
        for text in &member.texts {
            by_text.entry(*text).or_default().push_back(at);
        }
    }
    let texts: BTreeSet<&str> = by_text.keys().copied().collect();
    let mut gone = vec![false; group.len()];
    for (at, twin) in group.iter().enumerate() {
        let kept = if twin.texts.is_empty() {
            let earlier = first(&mut silent, &gone).filter(|other| *other < at);
            earlier.into_iter().chain(first(&mut telling, &gone)).min()
        } else if let Some(text) = twin.cut() {
            continued(&texts, text).filter_map(|whole| first(by_text.get_mut(whole)?, &gone)).min()
        } else {
            None
        };
        if let Some(kept) = kept {
            gone[at] = true;
            twins.insert(twin.statement.place(), group[kept].statement);
        }
    }
}

/// The first that is still there.
fn first(these: &mut VecDeque<usize>, gone: &[bool]) -> Option<usize> {
    while these.front().is_some_and(|at| gone[*at]) {
        these.pop_front();
    }
    these.front().copied()
}

/// The texts that go on where this one was cut.
fn continued<'t>(texts: &BTreeSet<&'t str>, cut: &str) -> impl Iterator<Item = &'t str> {
    let begun = cut.trim_end_matches('.');
    let from = (Bound::Included(begun), Bound::Unbounded);
    let begin_so = texts.range::<str, _>(from).copied().take_while(move |text| text.starts_with(begun));
    begin_so.filter(|text| text.len() > cut.len())
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

impl<'t> Member<'t> {
    /// The only text, if it was cut.
    fn cut(&self) -> Option<&'t str> {
        match self.texts[..] {
            [text] if text.ends_with(CUT) && text.chars().count() >= SHORTEST => Some(text),
            _ => None,
        }
    }
}

/// All that a statement says but for its ids and texts.
fn besides(statement: Element<'_>) -> String {
    let mut said = String::new();
    for part in statement.children().filter(|c| !matches!(c.name(), "id" | "pertinentInformation")) {
        spell(part, &mut said);
    }
    said
}

/// An element as no other is spelt.
fn spell(element: Element<'_>, into: &mut String) {
    let texts = element.attributes().iter().flat_map(|(name, value)| [*name, &**value]);
    for text in std::iter::once(element.name()).chain(texts).chain(element.text()) {
        into.push_str(text);
        into.push('\u{0}');
    }
    into.push('\u{1}');
    element.children().for_each(|inner| spell(inner, into));
    into.push('\u{2}');
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
        let tree = Tree::parse(xml.as_bytes(), 10_000_000).unwrap();
        let all: Vec<_> = tree.elements().filter(|e| e.name() == "ObservationStatement").collect();
        let twins = of(&all, &vec![false; tree.elements().count()]);
        let numbers: HashMap<_, _> = all.iter().enumerate().map(|(n, e)| (e.place(), n)).collect();
        all.iter().map(|e| numbers.get(&twins.get(&e.place())?.place()).copied()).collect()
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

    #[test]
    fn thousands_of_twins_are_told_in_no_time() {
        let long = "Seen with her mother, who says that she sleeps badly since Easter";
        let cut = format!("{}...", &long[..52]);
        let mut all: Vec<_> = (0..5000).map(|n| observation(n, &cut, "")).collect();
        all.extend((5000..10_000).map(|n| observation(n, "", "")));
        all.push(observation(10_000, long, ""));
        let kept = kept(&all);
        assert!(
            kept[..10_000].iter().all(|kept| *kept == Some(10_000)),
            "comparing each with each takes minutes"
        );
    }
}
