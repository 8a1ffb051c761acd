//! What the statements of a received extract are to each other: plans and their issues, what ends a plan, problems and
//! their content. Gathered before anything is read, because a link may lead forwards.

use std::collections::HashMap;

use super::codes;
use super::draft::Draft;
use super::fhir::{Reference, Text};
use super::problem;
use super::reading::Reading;
use super::supply;
use super::tree::Element;

/// The links of an extract, by the place of the statement that they lead to or from.
#[derive(Default)]
pub(super) struct Ties<'t> {
    /// Plan → its issues, in order of time.
    issues: HashMap<usize, Vec<Element<'t>>>,
    /// Plan → what ends it.
    ends: HashMap<usize, Element<'t>>,
    /// Problem → the problems that comprise it.
    parents: HashMap<usize, Vec<Element<'t>>>,
    /// Referral → the documents tied to it.
    documents: HashMap<usize, Vec<Element<'t>>>,
    /// LinkSet → the referral that it ties documents to.
    referrals: HashMap<usize, Element<'t>>,
}

impl<'t> Ties<'t> {
    /// Looks at all statements once.
    pub(super) fn of(reading: &Reading<'t>) -> Self {
        let mut ties = Self::default();
        for statement in reading.statements() {
            match statement.name() {
                "ehrSupplyPrescribe" | "ehrSupplyDispense" => {
                    let plan = supply::prior(*statement, "inFulfillmentOf").and_then(|id| reading.plan(id));
                    if let Some(plan) = plan {
                        ties.issues.entry(plan.place()).or_default().push(*statement);
                    }
                }
                "ehrSupplyDiscontinue" => {
                    if let Some((plan, _)) = reading.ended_by(*statement) {
                        ties.ends.entry(plan.place()).or_insert(*statement);
                    }
                }
                "LinkSet" => ties.link(reading, *statement),
                _ => {}
            }
        }
        for issues in ties.issues.values_mut() {
            issues.sort_by_key(|i| (i.of("availabilityTime", "value").unwrap_or_default(), i.place()));
        }
        ties
    }

    fn link(&mut self, reading: &Reading<'t>, link: Element<'t>) {
        let linked = problem::linked(reading, link);
        for other in linked.iter().flatten().filter(|o| o.name() == "LinkSet" && **o != link) {
            self.parents.entry(other.place()).or_default().push(link);
        }
        let bare = link.child("code").is_some_and(|code| {
            code.attribute("code") == Some("394776006")
                && code.child("qualifier").is_none()
                && code.child("originalText").is_none()
        });
        let request = problem::named_by(reading, link).filter(|n| bare && n.name() == "RequestStatement");
        let documents: Option<Vec<_>> = linked.into_iter().map(|d| d.filter(|d| is_document(*d))).collect();
        // A label of the tie alone needs a resource of its own.
        let request = request.filter(|r| reading.labelled(*r) || !reading.labelled(link));
        if let (Some(request), Some(documents)) = (request, documents.filter(|d| !d.is_empty())) {
            self.documents.entry(request.place()).or_default().extend(documents);
            self.referrals.insert(link.place(), request);
        }
    }

    /// SNOMED code of a problem → the id of its Condition; of two with one code the first.
    pub(super) fn problems(&self, reading: &Reading<'t>) -> HashMap<&'t str, Text<'t>> {
        let mut problems = HashMap::new();
        let links = reading.statements().iter().filter(|s| s.name() == "LinkSet");
        for link in links.filter(|l| !self.referrals.contains_key(&l.place())) {
            let code = problem::named_by(reading, *link).and_then(|n| n.child("code"));
            for code in code.into_iter().flat_map(|c| std::iter::once(c).chain(c.all("translation"))) {
                if let (Some(codes::SNOMED), Some(code)) =
                    (code.attribute("codeSystem"), code.attribute("code"))
                {
                    problems.entry(code).or_insert_with(|| reading.id(*link));
                }
            }
        }
        problems
    }
}

/// Whether a statement refers to a file.
fn is_document(statement: Element<'_>) -> bool {
    statement.all("reference").any(|r| r.child("referredToExternalDocument").is_some())
}

impl<'t> Reading<'t> {
    /// The authorisation that an id means: its own, or that of the statement around it (extract §8.5).
    pub(super) fn plan(&self, id: &str) -> Option<Element<'t>> {
        let found = self.named(id)?;
        match found.name() {
            "ehrSupplyAuthorise" => Some(found),
            "MedicationStatement" => found.all("component").find_map(|c| c.child("ehrSupplyAuthorise")),
            _ => None,
        }
    }

    /// The plan that a discontinuation ends, and whether it says so. One that names none ends the plan beside it, if
    /// there is one alone: a drug that was stopped must not look active.
    pub(super) fn ended_by(&self, end: Element<'t>) -> Option<(Element<'t>, bool)> {
        if let Some(plan) = supply::prior(end, "reversalOf").and_then(|id| self.plan(id)) {
            return Some((plan, true));
        }
        let statement = end.parent()?.parent().filter(|s| s.name() == "MedicationStatement")?;
        let mut beside = statement.all("component").flat_map(|c| c.all("ehrSupplyAuthorise"));
        let only = beside.next().filter(|_| beside.next().is_none())?;
        Some((only, false))
    }

    /// The issues of a plan, in order of time.
    pub(super) fn issues(&self, plan: Element<'t>) -> Vec<Element<'t>> {
        self.ties.issues.get(&plan.place()).cloned().unwrap_or_default()
    }

    /// What ends a plan.
    pub(super) fn discontinued(&self, plan: Element<'t>) -> Option<Element<'t>> {
        self.ties.ends.get(&plan.place()).copied()
    }

    /// The id of the plan that an issue fulfils, and whether it is acute. Each further issue of an acute plan has a plan
    /// of its own.
    pub(super) fn plan_of(&self, issue: Element<'t>) -> Option<(Text<'t>, bool)> {
        let plan = self.plan(supply::prior(issue, "inFulfillmentOf")?)?;
        let acute = plan.of("repeatNumber", "value") == Some("0");
        let first = self.ties.issues.get(&plan.place()).and_then(|issues| issues.first());
        if acute && first != Some(&issue) {
            return Some((self.derived(issue, "plan").into(), true));
        }
        Some((self.id(plan), acute))
    }

    /// The problems that comprise a problem.
    pub(super) fn parents(&self, link: Element<'t>) -> &[Element<'t>] {
        self.ties.parents.get(&link.place()).map_or(&[], Vec::as_slice)
    }

    /// The referral that a LinkSet ties documents to, when it does nothing else.
    pub(super) fn tied(&self, link: Element<'t>) -> Option<Element<'t>> {
        self.ties.referrals.get(&link.place()).copied()
    }

    /// The documents tied to a referral.
    pub(super) fn supporting(&mut self, request: Element<'t>, draft: &mut Draft) -> Vec<Reference<'t>> {
        let documents = self.ties.documents.get(&request.place()).into_iter().flatten();
        let ids: Vec<_> = documents.map(|d| self.id(*d)).collect();
        ids.iter().filter_map(|id| self.forward("DocumentReference", id, draft)).collect()
    }
}
