//! What the demonstration shows: transfers as they move, and the table at the end.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde::Serialize;

use super::patients::Patient;
use super::sites::{Site, Sites, xmlsec1_line};
use crate::cli::{Exit, Output};
use crate::clock;
use crate::control::layout::{heading, table};
use crate::control::protocol::{Reply, Request};
use crate::control::selector::Selector;
use crate::control::views::{List, Row, Show};
use crate::model::TransferId;

/// Tells what happens while it happens; keeps quiet when JSON is wanted.
pub struct Teller {
    json: bool,
    began: std::time::Instant,
    known: BTreeMap<TransferId, String>,
}

/// When to stop watching.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// When the time has passed.
    TimePassed,
    /// When every transfer has ended, or the time has passed.
    AllEnded,
}

/// The end of the demonstration.
#[derive(Debug, Serialize)]
pub struct Report {
    /// One line a patient who left.
    pub transfers: Vec<ReportLine>,
    /// One line a patient who arrived.
    pub receptions: Vec<ReportLine>,
    /// Whether every transfer was acknowledged.
    pub ok: bool,
    /// Where the packets lie.
    pub packets: Option<PathBuf>,
    /// The line that has xmlsec1 verify one.
    pub verify: Option<String>,
}

/// One patient's transfer.
#[derive(Debug, Serialize)]
pub struct ReportLine {
    /// The record's name.
    pub record: String,
    /// The transfer.
    pub transfer: TransferId,
    /// Size of the packet, with what came by itself.
    pub bytes: Option<u64>,
    /// How often it was sent.
    pub attempts: u32,
    /// Whether it is signed.
    pub signed: bool,
    /// Where it stands.
    pub state: String,
}

impl Teller {
    /// Begins.
    pub fn new(json: bool) -> Self {
        Self { json, began: clock::instant(), known: BTreeMap::new() }
    }

    /// Says a sentence.
    pub fn say(&self, words: &str) {
        if !self.json {
            println!("{:>5.1} s  {words}", self.began.elapsed().as_secs_f64());
        }
    }

    /// Shows each transfer as it moves.
    pub fn watch(
        &mut self,
        site: &Site,
        kind: &str,
        expected: usize,
        most: Duration,
        until: Until,
    ) -> anyhow::Result<()> {
        let deadline = clock::instant() + most;
        loop {
            let list = list(site, kind)?;
            for row in &list.transfers {
                self.show(row);
            }
            let ended = list.transfers.iter().filter(|row| has_ended(row)).count();
            let done = until == Until::AllEnded && ended >= expected;
            if done || clock::instant() > deadline {
                return Ok(());
            }
            std::thread::sleep(Duration::from_millis(100));
        }
    }

    fn show(&mut self, row: &Row) {
        let why = row.why.as_deref().map(|w| format!(": {w}")).unwrap_or_default();
        // A reception's messages are counted one by one.
        let attempts = if row.attempts > 0 { format!(" (attempt {})", row.attempts) } else { String::new() };
        let line = format!("{}{attempts}{why}", row.state);
        let short = row.id.to_string()[..8].to_owned();
        if self.known.get(&row.id) != Some(&line) {
            self.say(&format!("{short}  {line}"));
            self.known.insert(row.id, line);
        }
    }

    /// What became of everybody.
    pub fn report(&self, sites: &Sites, leavers: &[Patient], arrival: &Patient) -> anyhow::Result<Report> {
        let mut transfers = Vec::new();
        for patient in leavers {
            transfers.extend(line(sites, "release", patient)?);
        }
        let receptions: Vec<ReportLine> = line(sites, "reception", arrival)?.into_iter().collect();
        let left = transfers.len() == leavers.len() && transfers.iter().all(|t| t.state == "integrated");
        let ok = left && receptions.iter().map(|r| r.state.as_str()).eq(["filed"]);
        Ok(Report { transfers, receptions, ok, packets: None, verify: None })
    }

    /// Prints the table and says where everything is.
    pub fn finish(self, report: &Report, packets: &[PathBuf], sites: &Sites) -> anyhow::Result<Exit> {
        let certificate = sites.prison.folder.join("signing.pem");
        let verify = packets.first().map(|p| xmlsec1_line(p, &certificate)).transpose()?;
        let report = Report {
            transfers: report.transfers.iter().map(ReportLine::again).collect(),
            receptions: report.receptions.iter().map(ReportLine::again).collect(),
            ok: report.ok,
            packets: packets.first().and_then(|p| p.parent()).map(Path::to_owned),
            verify,
        };
        Output::to_stdout(self.json).print(&report)?;
        Ok(if report.ok { Exit::Done } else { Exit::Negative })
    }
}

impl ReportLine {
    fn again(&self) -> Self {
        Self {
            record: self.record.clone(),
            transfer: self.transfer,
            bytes: self.bytes,
            attempts: self.attempts,
            signed: self.signed,
            state: self.state.clone(),
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f)?;
        let rows: Vec<Vec<String>> = self
            .transfers
            .iter()
            .map(|t| {
                vec![
                    t.record.clone(),
                    t.bytes.map(|b| b.to_string()).unwrap_or_default(),
                    t.attempts.to_string(),
                    if t.signed { "P-256" } else { "none" }.to_owned(),
                    if t.state == "integrated" { "yes".to_owned() } else { format!("no: {}", t.state) },
                ]
            })
            .collect();
        table(f, &["who", "bytes", "attempts", "signature", "acknowledged"], &rows)?;
        writeln!(f)?;
        for reception in &self.receptions {
            let state = &reception.state;
            let bytes = reception.bytes.unwrap_or_default();
            writeln!(f, "{}: asked for, {bytes} bytes received, now {state}.", reception.record)?;
        }
        let verdict = if self.ok {
            "Every transfer was acknowledged, and the record that was asked for is filed."
        } else {
            "Not every transfer ended well."
        };
        heading(f, verdict)?;
        if let (Some(packets), Some(verify)) = (&self.packets, &self.verify) {
            writeln!(f, "The packets are in {}", packets.display())?;
            writeln!(f, "To verify one without us:\n\n{verify}")?;
        }
        Ok(())
    }
}

fn has_ended(row: &Row) -> bool {
    matches!(
        row.state.as_str(),
        "integrated"
            | "suppressed"
            | "not-integrated"
            | "unanswered"
            | "cancelled"
            | "held"
            | "filed"
            | "refused"
            | "no-transfer"
            | "request-refused"
    )
}

/// What became of one patient, if anything did.
fn line(sites: &Sites, kind: &str, patient: &Patient) -> anyhow::Result<Option<ReportLine>> {
    let transfer = TransferId::derived(&[kind, "demo-prison", &format!("stay-{}", patient.record)]);
    let show = show(&sites.prison, transfer)?;
    Ok(show.map(|show| ReportLine {
        record: patient.record.clone(),
        transfer,
        bytes: show.bytes.map(|bytes| bytes + show.parts.as_ref().map_or(0, |parts| parts.bytes)),
        attempts: show.transfer.attempts,
        signed: show.signed,
        state: show.transfer.state,
    }))
}

fn list(site: &Site, kind: &str) -> anyhow::Result<List> {
    let selector = Selector::parse(&["state=any", &format!("kind={kind}")])?;
    match site.ask(Request::List { selector, limit: 1000 })? {
        Reply::List(list) => Ok(list),
        other => anyhow::bail!("the daemon gave another answer than a list: {other:?}"),
    }
}

fn show(site: &Site, id: TransferId) -> anyhow::Result<Option<Show>> {
    match site.ask(Request::Show { id: id.to_string() })? {
        Reply::Show(show) => Ok(Some(*show)),
        Reply::Refused(_) => Ok(None),
        other => anyhow::bail!("the daemon gave another answer than a transfer: {other:?}"),
    }
}
