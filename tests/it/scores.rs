//! How much of what other systems say of the same records our extracts say too: the scorers of `../shared`, in a table.
//!
//! `emis-join` compares with extracts that the source system wrote itself; `extract-inventory` with those of another
//! mapper of 2022. Where that one differs by a defect or an age of its own, a rule of `tests/deviations.tsv` sets the
//! entry aside: a rule says what exactly is different, and two entries count as the same only when nothing else is.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use serde_json::Value;
use throughcare::extract::Interaction;

use crate::extracts::{build, tool};
use crate::tools;

const DEVIATIONS: &str = include_str!("../deviations.tsv");

/// Scores below which no change may fall: (record, facts agreed with EMIS).
const EMIS: [(&str, f64); 5] =
    [("PWTP10", 1.0), ("PWTP2", 1.0), ("PWTP3", 1.0), ("PWTP5", 1.0), ("PWTP7", 1.0)];

/// The same for entries of the other mapper: (record, as compared, with its listed deviations set aside).
const INVENTORY: [(&str, f64, f64); 5] = [
    ("Birdi", 0.8610, 1.0),
    ("Gainsford", 0.5568, 1.0),
    ("Livermore", 0.8054, 1.0),
    ("Nel", 0.5360, 1.0),
    ("Yamura", 0.9510, 1.0),
];

#[test]
fn extracts_say_what_the_source_system_says_itself() {
    let (Some(shared), true) = (tools::shared(""), tool("python3")) else { return };
    let folder = shared.join("fixtures/emis-join");
    let scores = EMIS.map(|(name, floor)| {
        let bundle = folder.join(format!("{name}.json"));
        let said = scored(&shared.join("tools/emis-join"), &bundle, |command, ours| {
            command.arg(&bundle).arg(ours).arg(folder.join(format!("{name}-emis.xml")));
        });
        (name, score_of(&said), floor)
    });
    println!("\nemis-join           score   floor");
    scores.iter().for_each(|(name, score, floor)| println!("{name:18} {score:.4}  {floor:.4}"));
    for (name, score, floor) in scores {
        assert!(score >= floor, "{name} fell to {score} from {floor}");
    }
}

#[test]
fn extracts_hold_the_entries_that_another_mapper_found() {
    let (Some(shared), true) = (tools::shared(""), tool("python3")) else { return };
    let folder = shared.join("fixtures/inventory");
    let (mut used, mut table) = (BTreeSet::new(), Vec::new());
    for (name, floor, rest_floor) in INVENTORY {
        let bundle = folder.join(format!("{name}.json"));
        let said = scored(&shared.join("tools/extract-inventory"), &bundle, |command, ours| {
            command.arg(folder.join(format!("{name}-peer.xml"))).arg(ours).args(["--show", "100000"]);
        });
        let mut tally = Tally::of(&said);
        tally.set_aside(&Facts::of(&bundle), &mut used);
        table.push((name, score_of(&said), floor, tally.score(), rest_floor, tally));
    }
    println!("\nextract-inventory   score   floor   deviations aside   floor");
    for (name, score, floor, rest, rest_floor, tally) in &table {
        println!("{name:18} {score:.4}  {floor:.4}             {rest:.4}  {rest_floor:.4}");
        tally.rest.iter().filter(|_| std::env::var_os("THROUGHCARE_SHOW").is_some()).for_each(Entry::print);
    }
    for (name, score, floor, rest, rest_floor, _) in table {
        assert!(score >= floor, "{name} fell to {score} from {floor}");
        assert!(rest >= rest_floor, "{name}, deviations set aside, fell to {rest} from {rest_floor}");
    }
    let listed: BTreeSet<&str> = DEVIATIONS
        .lines()
        .filter(|l| l.starts_with("inventory/"))
        .map(|l| l.split('\t').next().unwrap())
        .collect();
    assert_eq!(used, listed, "every rule is listed in tests/deviations.tsv with its reason, and is needed");
}

/// What a scorer says of our extract of that record.
fn scored(scorer: &Path, bundle: &Path, arguments: impl Fn(&mut Command, &Path)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let ours = folder.path().join("ours.xml");
    std::fs::write(&ours, build(bundle, Interaction::Uk06).unwrap().xml).unwrap();
    let mut command = Command::new("python3");
    command.arg(scorer);
    arguments(&mut command, &ours);
    String::from_utf8(command.output().unwrap().stdout).unwrap()
}

fn score_of(said: &str) -> f64 {
    let score = said.split("score=").nth(1).and_then(|s| s.trim().parse().ok());
    score.unwrap_or_else(|| panic!("no score in {said}"))
}

/// What the record says where a rule needs to know it, in small letters with single blanks.
struct Facts {
    list_titles: Vec<String>,
    problem_notes: Vec<String>,
    author_organisations: Vec<String>,
    /// Problems that say which is their parent.
    children: usize,
    /// ` label: words` of what has no element there.
    fields: Vec<String>,
}

impl Facts {
    fn of(bundle: &Path) -> Self {
        let text = std::fs::read_to_string(bundle).unwrap();
        let bundle: Value = serde_json::from_str(text.trim_start_matches('\u{feff}')).unwrap();
        let resources: Vec<&Value> =
            bundle["entry"].as_array().unwrap().iter().map(|e| &e["resource"]).collect();
        let of = |kind: &'static str| resources.iter().filter(move |r| r["resourceType"] == kind);
        let each = |kind, list: &'static str, path: &'static str, label: &'static str| {
            let items = of(kind).flat_map(move |r| r[list].as_array().into_iter().flatten());
            let words = items.filter_map(move |item| item.pointer(path)?.as_str());
            words.map(move |words| format!(" {label}: {}", plain(words)))
        };
        let titles = each("DocumentReference", "content", "/attachment/title", "title");
        let ranges = each("Observation", "referenceRange", "/text", "range");
        let notes = of("Condition").flat_map(|c| c["note"].as_array().into_iter().flatten());
        Self {
            list_titles: of("List").filter_map(|l| l["title"].as_str()).map(plain).collect(),
            problem_notes: notes.filter_map(|n| n["text"].as_str()).map(plain).collect(),
            author_organisations: of("Organization").filter_map(|o| o["name"].as_str()).map(plain).collect(),
            children: text.matches(r#""valueCode": "parent""#).count(),
            fields: titles.chain(ranges).collect(),
        }
    }
}

fn plain(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    Theirs,
    Ours,
}

/// An entry that only one of the two extracts has.
#[derive(Debug, Clone)]
struct Entry {
    side: Side,
    kind: String,
    /// The scorer's words for it: code, name, and the rest, with one kind of quotes.
    words: String,
}

impl Entry {
    /// `- Kind ('code', 'name', (…))`
    fn read(line: &str) -> Option<Self> {
        let side = match line.get(..2)? {
            "- " => Side::Theirs,
            "+ " => Side::Ours,
            _ => return None,
        };
        let at = line.find(" (").filter(|at| *at > 2)?;
        let words = line[at + 1..].replace('"', "'");
        Some(Self { side, kind: line[2..at].to_owned(), words })
    }

    fn print(&self) {
        println!("   {} {} {}", if self.side == Side::Ours { "+" } else { "-" }, self.kind, self.words);
    }

    /// The words after code and name: a code has the same name in both, however it is shown.
    fn after_name(&self) -> String {
        let mut columns = self.words.splitn(3, "', ");
        let (code, _, rest) = (columns.next(), columns.next(), columns.next());
        format!("{} {}", code.unwrap_or_default(), rest.unwrap_or_default())
    }
}

/// How many entries each extract has, how many are the same, and those that are not.
struct Tally {
    expected: usize,
    ours: usize,
    same: usize,
    rest: Vec<Entry>,
}

impl Tally {
    fn of(said: &str) -> Self {
        let total = said.lines().find(|l| l.starts_with("total ")).expect("a line of totals");
        let numbers: Vec<usize> = total.split_whitespace().filter_map(|w| w.parse().ok()).collect();
        let rest = said.lines().filter_map(Entry::read).collect();
        Self { expected: numbers[0], ours: numbers[1], same: numbers[2], rest }
    }

    fn score(&self) -> f64 {
        let count = |n: usize| f64::from(u32::try_from(n).unwrap());
        2.0 * count(self.same) / count(self.expected + self.ours)
    }

    /// Links to problems that only name their parent: as many as there are.
    fn drop_children(&mut self, facts: &Facts, used: &mut BTreeSet<&'static str>) {
        for _ in 0..facts.children {
            let link = |e: &Entry| e.side == Side::Ours && e.kind == "edge: problem";
            if let Some(at) = self.rest.iter().position(link) {
                used.insert("inventory/children that only they name");
                self.rest.remove(at);
                self.ours -= 1;
            }
        }
    }

    fn set_aside(&mut self, facts: &Facts, used: &mut BTreeSet<&'static str>) {
        self.drop_children(facts, used);
        let dropped = |e: &Entry| dropped(e, facts);
        self.ours -= self.rest.iter().filter(|e| dropped(e).is_some()).count();
        used.extend(self.rest.iter().filter_map(dropped));
        self.rest.retain(|e| dropped(e).is_none());
        for alike in [Alike::Known, Alike::Lost] {
            let mut n = 0;
            while n < self.rest.len() {
                let found = (n + 1..self.rest.len()).chain(0..n).find_map(|m| {
                    let (theirs, ours) = (&self.rest[n], &self.rest[m]);
                    let pair =
                        theirs.side == Side::Theirs && ours.side == Side::Ours && theirs.kind == ours.kind;
                    pair.then(|| same(theirs, ours, facts, alike)).flatten().map(|rules| (m, rules))
                });
                let Some((m, rules)) = found else {
                    n += 1;
                    continue;
                };
                used.extend(rules);
                self.same += 1;
                self.rest.remove(n.max(m));
                self.rest.remove(n.min(m));
                n = 0;
            }
        }
    }
}

/// Whether a link of theirs that leads nowhere may stand for one of ours: those whose end is known are paired first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Alike {
    Known,
    Lost,
}

/// The rule by which an entry of ours has no counterpart there.
fn dropped(entry: &Entry, facts: &Facts) -> Option<&'static str> {
    let has = |words: &[String]| words.iter().any(|w| entry.words.contains(&format!("'{w}")));
    match (entry.side, entry.kind.as_str()) {
        (Side::Ours, "NarrativeStatement") if has(&titled(&facts.list_titles)) => {
            Some("inventory/notes of lists")
        }
        (Side::Ours, "NarrativeStatement") if entry.words.contains("'encounter status: ") => {
            Some("inventory/encounters outside consultations")
        }
        (Side::Ours, "Agent") if has(&facts.author_organisations) && entry.words.ends_with(", ''))") => {
            Some("inventory/organisations as authors")
        }
        (Side::Theirs | Side::Ours, _) => None,
    }
}

fn titled(titles: &[String]) -> Vec<String> {
    titles.iter().map(|t| format!("{t}: ")).collect()
}

/// The rules by which the two are the same, when they are.
fn same(theirs: &Entry, ours: &Entry, facts: &Facts, alike: Alike) -> Option<Vec<&'static str>> {
    let (mut left, mut right, mut rules) = (theirs.after_name(), ours.after_name(), Vec::new());
    let mut apply = |rule: &'static str, text: &mut String, changed: String| {
        if *text != changed {
            *text = changed;
            rules.push(rule);
        }
    };
    match theirs.kind.split(' ').next().unwrap_or_default() {
        "MedicationStatement" => {
            let mut bare = right.clone();
            for label in ["repeats issued", "last issued", "expiry date", "review date"] {
                bare = without(&bare, label);
            }
            apply("inventory/what only the medication statement says", &mut right, bare);
            let bare = without(&without(&right, "authored"), "prescription type");
            apply("inventory/fields without an element", &mut right, bare.replace("' expected", "'expected"));
            if left != right {
                let plural =
                    left.strip_suffix(" day'))").map_or(left.clone(), |rest| format!("{rest} days'))"));
                apply("inventory/days in the plural", &mut left, plural);
            }
        }
        "Attachment" if left.contains("'text/plain', 'absent'") => {
            let untold = ["application/octet-stream", "audio/x-au"];
            if untold.iter().any(|kind| right.contains(&format!("('{kind}', '')"))) {
                apply("inventory/files of types not carried there", &mut left, right.clone());
            }
        }
        "NarrativeStatement" | "Document" => {
            let plural = right.replace(" interpretation: ", " interpretation(s): ");
            apply("inventory/label of an interpretation", &mut right, plural);
            let told = facts.fields.iter().find(|field| right.contains(*field) && !left.contains(*field));
            if let Some(field) = told {
                let bare = right.replacen(field, "", 1);
                apply("inventory/fields without an element", &mut right, bare);
            }
            let bare = without(&right, "indexed");
            apply("inventory/fields without an element", &mut right, bare);
        }
        "PlanStatement" => {
            let bare = right.replace("'status: active ", "'").replace("'status: active'", "''");
            apply("inventory/status of plans", &mut right, bare);
        }
        "LinkSet" if left.contains("'namedStatementRef  '") => {
            apply(
                "inventory/names of problems that lead nowhere",
                &mut left,
                before_last(&theirs.after_name()),
            );
            right = before_last(&right);
        }
        "edge:" if left.contains("'namedStatementRef  '") => {
            apply("inventory/names of problems that lead nowhere", &mut left, target(&theirs.after_name()));
            right = target(&right);
            if alike == Alike::Lost && left.starts_with("statementRef  '") {
                apply("inventory/links of problems that lead nowhere", &mut left, right.clone());
            }
        }
        "Allergy" | "ObservationStatement" => {
            let noted = facts.problem_notes.iter().map(|note| left.replacen(&format!("{note} "), "", 1));
            if let Some(once) = noted.into_iter().find(|once| *once == right) {
                apply("inventory/notes of the problem on what it is about", &mut left, once);
            }
            if left.contains("related problem: ") && left != right {
                apply(
                    "inventory/related problems by another of their names",
                    &mut left,
                    unnamed(&theirs.after_name()),
                );
                right = unnamed(&right);
            }
            if left.contains(" ('', ") {
                let undated = undated(&right);
                apply("inventory/time of what has only a time of issue", &mut right, undated);
            }
        }
        _ => {}
    }
    (left == right).then_some(rules)
}

/// The text without `label: word`.
fn without(text: &str, label: &str) -> String {
    let Some(start) = text.find(&format!("{label}: ")) else { return text.to_owned() };
    let value = start + label.len() + 2;
    let end = text[value..].find([' ', '\'']).map_or(text.len(), |end| value + end);
    format!("{}{}", text[..start].trim_end(), &text[end..])
}

/// A row without its last column.
fn before_last(row: &str) -> String {
    row.rfind("', '").map_or(row, |end| &row[..end]).to_owned()
}

/// The end of an edge.
fn target(row: &str) -> String {
    row.split_once("', '").map_or(row, |(_, target)| target).to_owned()
}

/// A row whose day is not compared.
fn undated(row: &str) -> String {
    match row.split_once(" ('") {
        Some((code, rest)) if rest.len() > 8 && rest.as_bytes()[..8].iter().all(u8::is_ascii_digit) => {
            format!("{code} ('{}", &rest[8..])
        }
        Some(_) | None => row.to_owned(),
    }
}

/// A text in which related problems have no names.
fn unnamed(text: &str) -> String {
    let mut parts = text.split("related problem: ");
    let mut plain = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let role = part.split(" of ").next().unwrap_or_default();
        let end = [" problem notes:", " transformed "].iter().filter_map(|mark| part.find(mark)).min();
        plain.push_str(role);
        plain.push_str(&part[end.unwrap_or(part.len())..]);
    }
    plain
}
