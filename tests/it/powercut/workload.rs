//! The process the power is taken from: it commits and seals, and says on its standard output what is durable.
//!
//! It is this test program again, with one ignored test chosen; the product has no mode for it.

use std::io::{BufRead, BufReader, Read, Seek, Write};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::time::Duration;

use throughcare::store::{Changes, Keyring, Options, Store, Sync, Table, Vault};

/// The folder to work in; set for the child only.
const FOLDER: &str = "THROUGHCARE_POWERCUT_FOLDER";
/// Set where commits shall not be synced.
const UNSYNCED: &str = "THROUGHCARE_POWERCUT_UNSYNCED";
/// Set where the child shall stop by itself after so many commits.
const STOP_AFTER: &str = "THROUGHCARE_POWERCUT_STOP_AFTER";
/// Steps of the model in one commit.
const STEPS: u64 = 8;
/// Transfers that are overwritten in turn.
const TRANSFERS: u64 = 200;
/// Due rows that live at one time.
const DUE: u64 = 50;

/// The arguments that make this test program the child.
pub const CHOOSE: [&str; 4] =
    ["powercut::workload::commit_and_seal_until_the_power_goes", "--exact", "--ignored", "--nocapture"];

/// The child, as its parent sees it.
pub struct Child {
    process: std::process::Child,
    /// What it complains of, which after the cut it always does.
    complaints: std::fs::File,
    lines: Receiver<String>,
    seen: Vec<String>,
    sync: Sync,
}

/// A command that runs the child on `folder`, under a wrapping program if there is one.
pub fn command(wrapper: &[&str], folder: &Path, stop_after: Option<u64>) -> Command {
    let this = std::env::current_exe().unwrap();
    let mut command = match wrapper.split_first() {
        Some((program, arguments)) => {
            let mut command = Command::new(program);
            command.args(arguments).arg(this);
            command
        }
        None => Command::new(this),
    };
    command
        .args(CHOOSE)
        .env(FOLDER, folder)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::null());
    if let Some(commits) = stop_after {
        command.env(STOP_AFTER, commits.to_string());
    }
    command
}

impl Child {
    /// Starts it in `folder`.
    pub fn start(folder: &Path, sync: Sync) -> Self {
        let mut command = command(&[], folder, None);
        match sync {
            Sync::Durable => {}
            Sync::ProcessOnly => _ = command.env(UNSYNCED, "1"),
        }
        let complaints = tempfile::tempfile().unwrap();
        let mut process = command.stderr(complaints.try_clone().unwrap()).spawn().unwrap();
        let out = process.stdout.take().expect("it is piped");
        let (sender, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(out).lines().map_while(Result::ok) {
                if sender.send(line).is_err() {
                    return;
                }
            }
        });
        Self { process, complaints, lines, seen: Vec::new(), sync }
    }

    /// Waits until it is about to open the store.
    pub fn wait_for_start(&mut self) {
        while self.next_line() != "start" {}
    }

    /// Waits until it has acknowledged a commit and, if it seals, a sealed record.
    pub fn wait_for_work(&mut self) {
        let (mut committed, mut sealed) = (false, self.sync == Sync::ProcessOnly);
        while !(committed && sealed) {
            let line = self.next_line();
            committed |= line.starts_with("commit ");
            sealed |= line.starts_with("seal ");
            self.seen.push(line);
        }
    }

    fn next_line(&mut self) -> String {
        self.lines.recv_timeout(Duration::from_secs(30)).unwrap_or_else(|e| {
            let mut complaints = String::new();
            self.complaints.rewind().unwrap();
            self.complaints.read_to_string(&mut complaints).unwrap();
            panic!("the child does not work ({e}): {complaints}")
        })
    }

    /// What it has said so far: what counts, if asked for just before the cut. Of what it says while the power is
    /// going, a sync that was under way can report success though its transaction was thrown away: that is a flaw of
    /// the simulation (a machine without power reports nothing).
    pub fn said(&mut self) -> Vec<String> {
        self.seen.extend(self.lines.try_iter());
        std::mem::take(&mut self.seen)
    }

    /// Ends it.
    pub fn kill(mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

#[test]
#[ignore = "the child of the power-cut tests, which start it themselves"]
fn commit_and_seal_until_the_power_goes() {
    let folder = std::env::var_os(FOLDER).expect("only the power-cut tests start this");
    let folder = Path::new(&folder);
    let sync = if std::env::var_os(UNSYNCED).is_some() { Sync::ProcessOnly } else { Sync::Durable };
    let stop_after = std::env::var(STOP_AFTER).ok().map(|n| n.parse::<u64>().unwrap());
    say("start");
    let store = Store::open(&folder.join("store"), &Options { sync, ..Options::default() }).unwrap();
    let keys = Keyring::load_or_create(&folder.join("vault.key")).unwrap();
    let vault = Vault::open(&folder.join("vault"), keys).unwrap();
    let first = head(&store).map_or(0, |n| n + 1);
    let committer = std::thread::spawn(move || commit_from(&store, first, stop_after));
    let sealers = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    // A sync of any file writes the whole file system's journal: where commits shall not be synced, nothing is.
    let lanes = if sync == Sync::Durable { 6 } else { 0 };
    for lane in 0..lanes {
        sealers.spawn(seal_from(vault.clone(), first, lane, stop_after));
    }
    // Both go on until the disk refuses, unless told otherwise.
    committer.join().unwrap();
}

/// One write, so that a line is acknowledged whole or not at all.
fn say(line: &str) {
    // Nobody reads any more only after the kill.
    let _ = std::io::stdout().lock().write_all(format!("{line}\n").as_bytes());
}

fn commit_from(store: &Store, first: u64, stop_after: Option<u64>) {
    let mut next = first;
    for _ in 0..stop_after.unwrap_or(u64::MAX) {
        let mut changes = Changes::default();
        for step in next..next + STEPS {
            write_step(&mut changes, step);
        }
        if let Err(refusal) = store.commit(changes) {
            say(&format!("refused {refusal}"));
            return;
        }
        next += STEPS;
        say(&format!("commit {}", next - 1));
    }
}

async fn seal_from(vault: Vault, first: u64, lane: u64, stop_after: Option<u64>) {
    for n in 0..stop_after.unwrap_or(u64::MAX) {
        let seed = (first << 24) | (lane << 20) | (n & 0xf_ffff);
        let Ok(sealed) = vault.put(&content(seed, length_sealed(lane, n))).await else { return };
        say(&format!("seal {seed} {} {sealed}", length_sealed(lane, n)));
    }
}

/// Small ones share segments; every eighth of one lane has a file of its own.
fn length_sealed(lane: u64, n: u64) -> usize {
    if lane == 0 && n.is_multiple_of(8) { 300_000 } else { 500 + ((n * 977) % 20_000) as usize }
}

/// Bytes that tell their seed: no two alike, none repeating.
pub fn content(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_be_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// What step `n` writes: all of it, or nothing, is there afterwards.
fn write_step(changes: &mut Changes, n: u64) {
    changes.put(Table::Meta, b"head", n.to_be_bytes().to_vec());
    changes.put(Table::Journal, &n.to_be_bytes(), content(n, 200));
    // Mostly a record's usual two kilobytes, now and then ten times that.
    let length = if n.is_multiple_of(32) { 20_000 } else { 2_000 };
    changes.put(Table::Transfer, &(n % TRANSFERS).to_be_bytes(), content(n, length));
    changes.put(Table::Due, &n.to_be_bytes(), Vec::new());
    if let Some(past) = n.checked_sub(DUE) {
        changes.remove(Table::Due, &past.to_be_bytes());
    }
}

/// The last step the store knows of.
pub fn head(store: &Store) -> Option<u64> {
    let bytes = store.get(Table::Meta, b"head").unwrap()?;
    Some(u64::from_be_bytes(bytes.try_into().expect("a head has eight bytes")))
}

/// Whether the whole store is as it is after step `head`; what is wrong if not.
pub fn compare(store: &Store, head: u64) -> Result<(), String> {
    let rows = |table| -> Vec<(u64, Vec<u8>)> {
        let number = |key: Vec<u8>| u64::from_be_bytes(key.try_into().expect("a key has eight bytes"));
        store.scan(table, &[]).map(|row| row.unwrap()).map(|(key, value)| (number(key), value)).collect()
    };
    let same = |what: &str, table, expected: Vec<(u64, Vec<u8>)>| {
        let found = rows(table);
        match found == expected {
            true => Ok(()),
            false => {
                Err(format!("{what}: {} rows found, {} expected, or others", found.len(), expected.len()))
            }
        }
    };
    same("journal", Table::Journal, (0..=head).map(|n| (n, content(n, 200))).collect())?;
    let latest = |k: u64| head - (head + TRANSFERS - k) % TRANSFERS;
    let transfer = |k: u64| (k, content(latest(k), if latest(k) % 32 == 0 { 20_000 } else { 2_000 }));
    same("transfers", Table::Transfer, (0..TRANSFERS.min(head + 1)).map(transfer).collect())?;
    let oldest = (head + 1).saturating_sub(DUE);
    same("due", Table::Due, (oldest..=head).map(|n| (n, Vec::new())).collect())
}
