//! A recording of what a process wrote and synced, made by `strace`; the power is then cut at many moments of it.
//!
//! Real file systems keep more than they promise, and so hide what this shows. `sync_file_range` promises nothing and
//! is ignored.

use std::collections::HashMap;
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::{Account, Verdict};
use super::forgetful::{Chance, Loss, World, read_folder};
use super::workload;

/// Every call that changes a file, and some that would need more than is modelled here: those are refused.
const CALLS: &str = "trace=openat,open,creat,close,write,pwrite64,writev,pwritev,pwritev2,fsync,fdatasync,syncfs,sync,\
    ftruncate,truncate,fallocate,rename,renameat,renameat2,link,linkat,unlink,unlinkat,mkdir,mkdirat,rmdir,\
    copy_file_range,sendfile";
/// Commits in a recording: enough that every kind of write occurs, few enough that the recording stays small.
const COMMITS: u64 = 16;
/// Cuts in each recording.
const CUTS: usize = 40;

#[test]
fn whatever_unsynced_writes_a_power_cut_loses_or_tears_nothing_acknowledged_is_lost() {
    if Command::new("strace").arg("-V").output().is_err() {
        eprintln!("skipped: strace is not installed");
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let root = folder.path().join("root");
    std::fs::create_dir(&root).unwrap();
    // The second session opens what the first left.
    for session in 0..2 {
        let base = read_folder(&root);
        let Some(events) = record(&root, &folder.path().join("log")) else {
            eprintln!("skipped: this machine does not let strace watch a process");
            return;
        };
        let said =
            events.iter().filter(|e| matches!(e, Event::Said(line) if line.starts_with("commit "))).count();
        assert_eq!(said as u64, COMMITS, "the whole of it was recorded");
        for cut in 1..=CUTS {
            let position = events.len() * cut / CUTS;
            let loss = Loss::ALL[cut % Loss::ALL.len()];
            let lost = tempfile::tempdir().unwrap();
            let mut world = World::new(&base);
            let mut account = Account::default();
            for event in &events[..position] {
                match event {
                    Event::Said(line) => account.add([line.clone()]),
                    other => world.happen(&root, other),
                }
            }
            world.rebuild(lost.path(), loss, &mut Chance((session * CUTS + cut) as u64 + 1));
            let verdict = account.check_apart(lost.path());
            let after = account.commits();
            assert_eq!(verdict, Verdict::Intact, "session {session}, cut {cut}, {loss:?}, {after} commits");
        }
    }
}

/// What a process did, in the order it took effect.
pub enum Event {
    Opened {
        fd: u64,
        path: PathBuf,
        flags: String,
    },
    Closed {
        fd: u64,
    },
    /// At an offset, or where the file stands.
    Wrote {
        fd: u64,
        at: Option<u64>,
        bytes: Vec<u8>,
    },
    Truncated {
        fd: u64,
        length: u64,
    },
    SyncBegan {
        thread: String,
        fd: u64,
    },
    SyncEnded {
        thread: String,
    },
    Renamed {
        from: PathBuf,
        to: PathBuf,
    },
    Removed(PathBuf),
    MadeFolder(PathBuf),
    Said(String),
}

fn record(root: &Path, log: &Path) -> Option<Vec<Event>> {
    let log_name = log.display().to_string();
    // No write of ours is larger; a longer one would be recorded in part, and noticed.
    let wrapper = ["strace", "-f", "-xx", "-s", "16777216", "-e", CALLS, "-o", &log_name];
    let output = workload::command(&wrapper, root, Some(COMMITS)).output().unwrap();
    output.status.success().then(|| parse(&std::fs::read_to_string(log).unwrap()))
}

fn parse(log: &str) -> Vec<Event> {
    let mut events = Vec::new();
    let mut unfinished: HashMap<&str, String> = HashMap::new();
    for line in log.lines() {
        let (thread, rest) = line.split_once(' ').expect("a line begins with the thread");
        let rest = rest.trim_start();
        if rest.starts_with("+++") || rest.starts_with("---") {
            continue;
        }
        if let Some(begun) = rest.strip_suffix(" <unfinished ...>") {
            enter(thread, begun, &mut events);
            unfinished.insert(thread, begun.to_owned());
        } else if let Some((_, ended)) = rest.strip_prefix("<... ").and_then(|r| r.split_once(" resumed>")) {
            let whole = unfinished.remove(thread).expect("what is resumed was begun") + ended;
            leave(thread, &whole, &mut events);
        } else {
            enter(thread, rest, &mut events);
            leave(thread, rest, &mut events);
        }
    }
    events
}

/// What counts from the moment a call begins: a sync covers what was there before it, and what is said is said.
fn enter(thread: &str, call: &str, events: &mut Vec<Event>) {
    let (name, arguments) = call.split_once('(').expect("a call has arguments");
    match name {
        "fsync" | "fdatasync" => {
            let fd = arguments.split([')', ' ']).next().and_then(|fd| fd.parse().ok()).expect("a descriptor");
            events.push(Event::SyncBegan { thread: thread.to_owned(), fd });
        }
        "write" if arguments.starts_with("1, ") => {
            let bytes = text(arguments.split(", ").nth(1).expect("the bytes"));
            events.push(Event::Said(String::from_utf8_lossy(&bytes).trim_end().to_owned()));
        }
        _ => {}
    }
}

/// What counts once a call has returned.
fn leave(thread: &str, call: &str, events: &mut Vec<Event>) {
    let (name, rest) = call.split_once('(').expect("a call has arguments");
    let (arguments, returned) = rest.rsplit_once(" = ").expect("a finished call has a result");
    let Some(result) = returned.split(' ').next().and_then(|r| r.parse::<u64>().ok()) else { return };
    let arguments: Vec<&str> = arguments.trim_end().trim_end_matches(')').split(", ").collect();
    let number = |n: usize| arguments[n].parse::<u64>().expect("a number");
    let path = |n: usize| PathBuf::from(String::from_utf8(text(arguments[n])).expect("our paths are UTF-8"));
    let event = match name {
        "openat" => Event::Opened { fd: result, path: path(1), flags: arguments[2].to_owned() },
        "close" => Event::Closed { fd: number(0) },
        "write" | "pwrite64" => {
            let bytes = text(arguments[1]);
            assert_eq!(bytes.len() as u64, result, "written and recorded whole");
            Event::Wrote { fd: number(0), at: (name == "pwrite64").then(|| number(3)), bytes }
        }
        "ftruncate" => Event::Truncated { fd: number(0), length: number(1) },
        "fsync" | "fdatasync" => Event::SyncEnded { thread: thread.to_owned() },
        "rename" => Event::Renamed { from: path(0), to: path(1) },
        "renameat2" | "renameat" => Event::Renamed { from: path(1), to: path(3) },
        "unlink" => Event::Removed(path(0)),
        "unlinkat" if arguments[0] == "AT_FDCWD" => Event::Removed(path(1)),
        "mkdir" => Event::MadeFolder(path(0)),
        other => panic!("the store now calls {other}, which this recording does not understand"),
    };
    events.push(event);
}

/// `"\x2f\x74"` as bytes.
fn text(quoted: &str) -> Vec<u8> {
    let digits = quoted.trim_matches('"');
    digits.split("\\x").skip(1).map(|byte| u8::from_str_radix(byte, 16).expect("two digits")).collect()
}
