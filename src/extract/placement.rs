//! Which entry goes where: consultations with their topics and categories, in the order of their Lists (extract §7.1).
//!
//! A resource named in two places is placed once, at the first. What is not placed here is non-consultation data.

use std::collections::HashMap;

use super::codes;
use super::record::Record;

const CONSULTATIONS: &str = "1149501000000101";
const CONSULTATION: &str = "325851000000107";
const CATEGORY: &str = "24781000000107";

/// Nested Lists deeper than this are not followed: GP Connect has three levels.
const DEPTH: usize = 8;

/// An Encounter with its content. Numbers are indexes of the record's entries.
#[derive(Debug, Default)]
pub(super) struct Consultation {
    pub(super) encounter: usize,
    pub(super) list: Option<usize>,
    pub(super) topics: Vec<Topic>,
}

/// One topic; without a List it is synthetic.
#[derive(Debug, Default)]
pub(super) struct Topic {
    pub(super) list: Option<usize>,
    pub(super) categories: Vec<Category>,
}

/// One category; without a List it is synthetic.
#[derive(Debug, Default)]
pub(super) struct Category {
    pub(super) list: Option<usize>,
    pub(super) items: Vec<usize>,
}

/// Every consultation, and in which each entry is placed.
#[derive(Debug, Default)]
pub(super) struct Placement {
    pub(super) consultations: Vec<Consultation>,
    /// Entry → index in `consultations`.
    pub(super) of: HashMap<usize, usize>,
    /// The Lists that a consultation is made of.
    pub(super) structural: HashMap<usize, usize>,
}

impl Placement {
    /// Places what the Lists of the record name. `stands_for` gives the entry whose statement says what an item says.
    pub(super) fn of(record: &Record, stands_for: &dyn Fn(usize) -> Option<usize>) -> Self {
        let mut lists: HashMap<usize, Vec<usize>> = HashMap::new();
        for (at, entry) in record.entries().iter().enumerate() {
            if entry.kind == "List" && codes::has(entry.json.at("code"), CONSULTATION) {
                let encounter = record.resolve(at, entry.json.at("encounter"));
                if let Some(encounter) = encounter.filter(|e| record.entry(*e).kind == "Encounter") {
                    lists.entry(encounter).or_default().push(at);
                }
            }
        }
        let mut placement = Self::default();
        for encounter in in_order(record, &lists) {
            let index = placement.consultations.len();
            let mut walk = Walk { record, stands_for, placement: &mut placement, index };
            let mut consultation = Consultation { encounter, ..Consultation::default() };
            for list in lists.get(&encounter).into_iter().flatten() {
                consultation.list.get_or_insert(*list);
                walk.consultation(*list, &mut consultation);
            }
            placement.consultations.push(consultation);
        }
        placement
    }
}

/// The Encounters that have a consultation List: those of the list of consultations first, then by start and id.
fn in_order(record: &Record, lists: &HashMap<usize, Vec<usize>>) -> Vec<usize> {
    let mut order = Vec::new();
    let mut seen = std::collections::HashSet::new();
    for (at, entry) in record.entries().iter().enumerate() {
        if entry.kind == "List" && codes::has(entry.json.at("code"), CONSULTATIONS) {
            let named = entry.json.list("entry").iter().filter_map(|e| record.resolve(at, e.at("item")));
            order.extend(named.filter(|e| lists.contains_key(e) && seen.insert(*e)));
        }
    }
    let mut rest: Vec<usize> = lists.keys().copied().filter(|e| !seen.contains(e)).collect();
    rest.sort_by_key(|e| {
        let start = record.json(*e).at("period").word("start").unwrap_or_default();
        (start.to_owned(), record.entry(*e).id.clone(), *e)
    });
    order.extend(rest);
    order
}

struct Walk<'a> {
    record: &'a Record<'a>,
    stands_for: &'a dyn Fn(usize) -> Option<usize>,
    placement: &'a mut Placement,
    index: usize,
}

impl Walk<'_> {
    fn consultation(&mut self, list: usize, consultation: &mut Consultation) {
        self.placement.structural.insert(list, self.index);
        let mut loose = Category::default();
        for item in self.items(list) {
            if self.is_list(item) && !self.has(item, CATEGORY) {
                if let Some(topic) = self.topic(item) {
                    consultation.topics.push(topic);
                }
            } else if let Some(category) = self.category(item) {
                consultation.topics.push(Topic { list: None, categories: vec![category] });
            } else {
                self.item(item, &mut loose.items, 0);
            }
        }
        if !loose.items.is_empty() {
            consultation.topics.push(Topic { list: None, categories: vec![loose] });
        }
    }

    fn topic(&mut self, list: usize) -> Option<Topic> {
        if self.placement.structural.insert(list, self.index).is_some() {
            return None;
        }
        let mut topic = Topic { list: Some(list), categories: Vec::new() };
        for item in self.items(list) {
            if let Some(category) = self.category(item) {
                topic.categories.push(category);
                continue;
            }
            // Loose entries of one stretch share a synthetic category, so that the order of the List is kept.
            let mut items = Vec::new();
            self.item(item, &mut items, 0);
            match topic.categories.last_mut() {
                Some(last) if last.list.is_none() => last.items.append(&mut items),
                Some(_) | None if items.is_empty() => {}
                Some(_) | None => topic.categories.push(Category { list: None, items }),
            }
        }
        Some(topic)
    }

    fn category(&mut self, at: usize) -> Option<Category> {
        if !self.is_list(at) || !self.has(at, CATEGORY) || self.placement.structural.contains_key(&at) {
            return None;
        }
        self.placement.structural.insert(at, self.index);
        let mut category = Category { list: Some(at), items: Vec::new() };
        for item in self.items(at) {
            self.item(item, &mut category.items, 0);
        }
        Some(category)
    }

    fn item(&mut self, at: usize, into: &mut Vec<usize>, depth: usize) {
        if self.is_list(at) {
            if depth < DEPTH && self.placement.structural.insert(at, self.index).is_none() {
                for inner in self.items(at) {
                    self.item(inner, into, depth + 1);
                }
            }
            return;
        }
        if let Some(statement) = (self.stands_for)(at)
            && !self.placement.of.contains_key(&statement)
        {
            self.placement.of.insert(statement, self.index);
            into.push(statement);
        }
    }

    fn items(&self, list: usize) -> Vec<usize> {
        let entries = self.record.json(list).list("entry").iter();
        entries.filter_map(|e| self.record.resolve(list, e.at("item"))).collect()
    }

    fn is_list(&self, at: usize) -> bool {
        self.record.entry(at).kind == "List"
    }

    fn has(&self, at: usize, code: &str) -> bool {
        codes::has(self.record.json(at).at("code"), code)
    }
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::extract;

    #[test]
    fn a_flat_consultation_gets_one_topic_and_category_and_each_entry_is_placed_once() {
        let list = |id: &str, more: &str| {
            format!(
                r#"{{"resourceType": "List", "id": "{id}", "encounter": {{"reference": "Encounter/e"}}, {more}
                "code": {{"coding": [{{"code": "325851000000107"}}]}}}}"#
            )
        };
        let entries = r#""entry": [{"item": {"reference": "Observation/o"}}, {"item": {"reference": "Observation/o"}}],"#;
        let (xml, account) = extract(&format!(
            r#"{{"resourceType": "Encounter", "id": "e", "type": [{{"text": "Clinic"}}], "period": {{"start": "2011-02-03"}}}},
               {}, {{"resourceType": "Observation", "id": "o", "code": {{"text": "Cough"}}}}"#,
            list("l", entries)
        ));
        assert_eq!(xml.matches(r#"classCode="TOPIC""#).count(), 1, "{xml}");
        assert_eq!(
            xml.matches(r#"classCode="CATEGORY""#).count(),
            1,
            "one consumer rejects flat topics: {xml}"
        );
        assert_eq!(xml.matches("Cough").count(), 1, "{xml}");
        assert_eq!(account["input"], 4);
    }

    #[test]
    fn an_empty_consultation_says_so() {
        let (xml, _) = extract(
            r#"{"resourceType": "Encounter", "id": "e", "type": [{"text": "Clinic"}]},
               {"resourceType": "List", "id": "l", "encounter": {"reference": "Encounter/e"},
                "code": {"coding": [{"code": "325851000000107"}]}}"#,
        );
        assert!(xml.contains("EhrEmpty"), "S55: {xml}");
    }
}
