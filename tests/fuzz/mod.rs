//! Damaged records and damaged messages: nothing panics, no account is unbalanced, no message is invalid.
//!
//! A minute each way as an ordinary test. Longer, and faster, by hand:
//! `THROUGHCARE_FUZZ_SECONDS=600 cargo test --release --test it -- fuzz:: --nocapture`. What fails prints its seed, and
//! `THROUGHCARE_SEED=N` repeats it.

mod mutate;

use std::time::Duration;

use throughcare::clock;
use throughcare::extract::{
    self, Expected, Extract, Interaction, Parameters, ReadRefusal, Reading, Record, RecordLimits, Refusal,
};

use crate::dice::Dice;
use crate::extracts::{assert_valid, bundles, documents, number_of, parameters, read, tool};
use crate::generated;
use crate::reading::balanced;
use crate::tools;

/// So many messages go to `xmllint` together, of every twentieth case: it takes longer than the mapping.
const BATCH: usize = 50;
const EVERY: u64 = 20;

/// Runs one case after another until the time is over, or the one whose seed is given.
fn run(what: &'static str, mut case: impl FnMut(u64)) {
    let number = |name: &str| std::env::var(name).ok().map(|n| n.parse::<u64>().expect("it is a number"));
    if let Some(seed) = number("THROUGHCARE_SEED") {
        return case(seed);
    }
    let most = Duration::from_secs(number("THROUGHCARE_FUZZ_SECONDS").unwrap_or(60));
    let (start, mut told) = (clock::instant(), Told { what, seed: 0 });
    while start.elapsed() < most {
        case(told.seed);
        told.seed += 1;
    }
    println!("{what}: {} cases", told.seed);
    assert!(told.seed > 100, "only {} cases in {most:?}", told.seed);
}

/// Says which case it was that panicked.
struct Told {
    what: &'static str,
    seed: u64,
}

impl Drop for Told {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("{}: THROUGHCARE_SEED={} repeats it", self.what, self.seed);
        }
    }
}

/// Keeps the input of a case that is repeated.
fn keep(bytes: &[u8], extension: &str) {
    if std::env::var_os("THROUGHCARE_SEED").is_some() {
        let file = std::env::temp_dir().join(format!("throughcare-fuzz.{extension}"));
        std::fs::write(&file, bytes).unwrap();
        println!("the input is {}", file.display());
    }
}

/// Messages on their way to `xmllint`.
#[derive(Default)]
struct Judged {
    waiting: Vec<Vec<u8>>,
    count: usize,
}

impl Judged {
    fn add(&mut self, seed: u64, xml: Vec<u8>) {
        if seed.is_multiple_of(EVERY) {
            self.waiting.push(xml);
        }
        if self.waiting.len() == BATCH {
            self.judge();
        }
    }

    fn judge(&mut self) {
        let Some(schema) = tools::shared("schema/hl7/schema/RCMR_IN030000UK07.xsd") else { return };
        let folder = tempfile::tempdir().unwrap();
        let files: Vec<_> = (0..self.waiting.len()).map(|n| folder.path().join(format!("{n}.xml"))).collect();
        files.iter().zip(&self.waiting).for_each(|(file, xml)| std::fs::write(file, xml).unwrap());
        if !files.is_empty() && tool("xmllint") {
            assert_valid(&schema, &files);
            self.count += files.len();
        }
        self.waiting.clear();
    }
}

fn account_balances(extract: &Extract) {
    let account = &extract.account;
    let total = account.mapped + account.merged + account.degraded + account.not_clinical;
    assert_eq!((total, account.entries.len()), (account.input, account.input), "extract §1.1");
}

#[test]
fn damaged_records_become_valid_messages_or_are_refused_for_their_patient() {
    let mut records = vec![serde_json::to_vec(&generated::record(0)).unwrap()];
    if let Some(shared) = tools::shared("") {
        records.extend(bundles(&shared).iter().map(|path| read(path)).filter(|bytes| bytes.len() < 200_000));
    }
    let (mut judged, mut built) = (Judged::default(), 0_u64);
    run("record to extract", |seed| {
        let mut dice = Dice(seed);
        records[0] = serde_json::to_vec(&generated::record(seed)).unwrap();
        let chosen = if dice.chance(500) { &records[0] } else { dice.one(&records) };
        let parameters = parameters(&number_of(chosen), Interaction::Uk07);
        let bytes = mutate::json(chosen, &mut dice);
        keep(&bytes, "json");
        let Ok(record) = Record::parse(&bytes, &RecordLimits::default()) else { return };
        match extract::build(&record, &parameters, &documents(&record)) {
            Ok(extract) => {
                built += 1;
                account_balances(&extract);
                judged.add(seed, extract.xml);
            }
            Err(Refusal::NoPatient | Refusal::NhsNumberMissing | Refusal::AnotherPatient) => {}
            Err(other) => panic!("one bad entry never refuses the record (extract §1.2): {other:?}"),
        }
    });
    judged.judge();
    println!("{built} of them became messages, of which {} are schema-valid", judged.count);
}

#[test]
fn damaged_messages_become_records_or_are_refused_for_their_patient() {
    let mut messages = vec![Vec::new()];
    if let Some(shared) = tools::shared("fixtures") {
        let folders = ["reading", "inventory"].map(|f| std::fs::read_dir(shared.join(f)).unwrap());
        let paths = folders.into_iter().flatten().map(|entry| entry.unwrap().path());
        let extracts = paths.filter(|path| path.extension().is_some_and(|e| e == "xml"));
        messages.extend(extracts.map(|path| std::fs::read(path).unwrap()).filter(|m| m.len() < 400_000));
    }
    let mut records = 0_u64;
    run("extract to record", |seed| {
        let mut dice = Dice(seed);
        messages[0] = generated::extract(seed);
        let chosen = if dice.chance(500) { &messages[0] } else { dice.one(&messages) };
        let bytes = mutate::xml(chosen, &mut dice);
        keep(&bytes, "xml");
        match extract::read(&bytes, &Expected::default()) {
            Ok(reading) => {
                records += 1;
                balanced(&reading, "a damaged message");
                again(&reading);
            }
            Err(ReadRefusal::Unbalanced { ids }) => panic!("without a state: {ids:?} (extract §1.1)"),
            Err(_) => {}
        }
    });
    println!("{records} of them became records");
}

/// What was read can be sent on.
fn again(reading: &Reading) {
    let record = Record::parse(&reading.json, &RecordLimits::default()).unwrap();
    let Ok(number) = extract::whose(&record) else { return };
    let parameters = Parameters { nhs_number: number, ..parameters("9990000018", Interaction::Uk07) };
    match extract::build(&record, &parameters, &documents(&record)) {
        Ok(extract) => account_balances(&extract),
        Err(other) => panic!("a record that was read can be sent on: {other:?}"),
    }
}
