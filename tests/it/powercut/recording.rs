//! A recording of what a process wrote and synced, made by `strace`, and the disk as a power cut would have left it at
//! any moment.
//!
//! The disk is as forgetful as it may be: only `fsync` and `fdatasync` count, a file's name counts only once its folder
//! was synced, and of the rest anything may be there, or be there in part. Real file systems keep more, and so hide
//! what this shows. `sync_file_range` promises nothing and is ignored.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::process::Command;

use super::account::{Account, Verdict};
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

/// What becomes of writes that were not synced.
#[derive(Debug, Clone, Copy)]
enum Loss {
    /// None is there.
    All,
    /// Those after some moment are lost.
    Later,
    /// Any may be lost.
    Some,
    /// Any sector of any may be lost.
    Torn,
}

impl Loss {
    const ALL: [Self; 4] = [Self::All, Self::Later, Self::Some, Self::Torn];
}

/// What a process did, in the order it took effect.
enum Event {
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

/// A file or folder by number: names come and go, what was written stays with what it was written to.
#[derive(Clone, Copy)]
enum Node {
    File(usize),
    Folder(usize),
}

#[derive(Default)]
struct FileState {
    base: Vec<u8>,
    writes: Vec<Write>,
    /// So many of the writes are durable.
    durable: usize,
    length: u64,
}

enum Write {
    Bytes { at: u64, bytes: Vec<u8> },
    Length(u64),
}

/// Names that changed together: a rename is two.
type Renaming = Vec<(String, Option<Node>)>;

#[derive(Default)]
struct FolderState {
    base: BTreeMap<String, Node>,
    changes: Vec<Renaming>,
    durable: usize,
}

struct Open {
    node: Option<Node>,
    position: u64,
    append: bool,
}

struct World {
    files: Vec<FileState>,
    folders: Vec<FolderState>,
    /// What a path means now, relative to the root, whatever is durable of it.
    names: HashMap<PathBuf, Node>,
    open: HashMap<u64, Open>,
    syncing: HashMap<String, (Node, usize)>,
}

/// The files of a folder; a folder has no bytes.
type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

fn read_folder(root: &Path) -> Contents {
    let mut contents = Contents::new();
    let mut waiting = vec![root.to_owned()];
    while let Some(folder) = waiting.pop() {
        for entry in std::fs::read_dir(&folder).unwrap() {
            let path = entry.unwrap().path();
            let inside = path.strip_prefix(root).unwrap().to_owned();
            if path.is_dir() {
                contents.insert(inside, None);
                waiting.push(path);
            } else {
                contents.insert(inside, Some(std::fs::read(&path).unwrap()));
            }
        }
    }
    contents
}

impl World {
    /// All of `base` is durable.
    fn new(base: &Contents) -> Self {
        let names = HashMap::from([(PathBuf::new(), Node::Folder(0))]);
        let folders = vec![FolderState::default()];
        let mut world =
            Self { files: Vec::new(), folders, names, open: HashMap::new(), syncing: HashMap::new() };
        for (path, bytes) in base {
            let node = match bytes {
                Some(bytes) => world.new_file(bytes.clone()),
                None => world.new_folder(),
            };
            let (folder, name) = world.within(path);
            world.folders[folder].base.insert(name, node);
            world.names.insert(path.clone(), node);
        }
        world
    }

    fn new_file(&mut self, base: Vec<u8>) -> Node {
        self.files.push(FileState { length: base.len() as u64, base, ..FileState::default() });
        Node::File(self.files.len() - 1)
    }

    fn new_folder(&mut self) -> Node {
        self.folders.push(FolderState::default());
        Node::Folder(self.folders.len() - 1)
    }

    /// The folder a path is in, and its name there.
    fn within(&self, path: &Path) -> (usize, String) {
        let name = path.file_name().expect("not the root").to_string_lossy().into_owned();
        match self.names.get(path.parent().expect("not the root")) {
            Some(Node::Folder(folder)) => (*folder, name),
            Some(Node::File(_)) | None => panic!("{} is in no folder", path.display()),
        }
    }

    fn rename(&mut self, changes: &[(&Path, Option<Node>)]) {
        let (folder, _) = self.within(changes[0].0);
        let mut renaming = Renaming::new();
        for (path, node) in changes {
            let (same, name) = self.within(path);
            assert_eq!(folder, same, "nothing of ours is moved between folders");
            renaming.push((name, *node));
            match node {
                Some(node) => _ = self.names.insert(path.to_path_buf(), *node),
                None => _ = self.names.remove(*path),
            }
        }
        self.folders[folder].changes.push(renaming);
    }

    fn happen(&mut self, root: &Path, event: &Event) {
        let inside = |path: &Path| path.strip_prefix(root).ok().map(Path::to_owned);
        match event {
            Event::Opened { fd, path, flags } => {
                let node = inside(path).and_then(|path| self.opened(&path, flags));
                let append = flags.contains("O_APPEND");
                self.open.insert(*fd, Open { node, position: 0, append });
            }
            Event::Closed { fd } => _ = self.open.remove(fd),
            Event::Wrote { fd, at, bytes } => self.wrote(*fd, *at, bytes),
            Event::Truncated { fd, length } => {
                if let Some(Open { node: Some(Node::File(file)), .. }) = self.open.get(fd) {
                    self.files[*file].truncate(*length);
                }
            }
            Event::SyncBegan { thread, fd } => self.sync_began(thread, *fd),
            Event::SyncEnded { thread } => self.sync_ended(thread),
            Event::Renamed { from, to } => {
                if let (Some(from), Some(to)) = (inside(from), inside(to)) {
                    let node = self.names[&from];
                    self.rename(&[(&from, None), (&to, Some(node))]);
                }
            }
            Event::Removed(path) => _ = inside(path).map(|path| self.rename(&[(&path, None)])),
            Event::MadeFolder(path) => {
                if let Some(path) = inside(path) {
                    let node = self.new_folder();
                    self.rename(&[(&path, Some(node))]);
                }
            }
            Event::Said(_) => {}
        }
    }

    fn opened(&mut self, path: &Path, flags: &str) -> Option<Node> {
        match self.names.get(path).copied() {
            Some(Node::File(file)) if flags.contains("O_TRUNC") => {
                self.files[file].truncate(0);
                Some(Node::File(file))
            }
            Some(node) => Some(node),
            None if flags.contains("O_CREAT") => {
                let node = self.new_file(Vec::new());
                self.rename(&[(path, Some(node))]);
                Some(node)
            }
            None => None,
        }
    }

    fn wrote(&mut self, fd: u64, at: Option<u64>, bytes: &[u8]) {
        let Some(open) = self.open.get_mut(&fd) else { return };
        let Some(Node::File(file)) = open.node else { return };
        let file = &mut self.files[file];
        let at = at.unwrap_or(if open.append { file.length } else { open.position });
        open.position = at + bytes.len() as u64;
        file.length = file.length.max(open.position);
        file.writes.push(Write::Bytes { at, bytes: bytes.to_vec() });
    }

    fn sync_began(&mut self, thread: &str, fd: u64) {
        if let Some(node) = self.open.get(&fd).and_then(|open| open.node) {
            let covered = match node {
                Node::File(file) => self.files[file].writes.len(),
                Node::Folder(folder) => self.folders[folder].changes.len(),
            };
            self.syncing.insert(thread.to_owned(), (node, covered));
        }
    }

    fn sync_ended(&mut self, thread: &str) {
        match self.syncing.remove(thread) {
            Some((Node::File(file), covered)) => {
                self.files[file].durable = self.files[file].durable.max(covered);
            }
            Some((Node::Folder(folder), covered)) => {
                self.folders[folder].durable = self.folders[folder].durable.max(covered);
            }
            None => {}
        }
    }

    /// Writes what the disk has after the cut.
    fn rebuild(&self, target: &Path, loss: Loss, chance: &mut Chance) {
        self.rebuild_folder(0, target, loss, chance);
    }

    fn rebuild_folder(&self, folder: usize, target: &Path, loss: Loss, chance: &mut Chance) {
        let state = &self.folders[folder];
        // A journal keeps the order of names: some first of them are there.
        let further = match loss {
            Loss::All => 0,
            Loss::Later | Loss::Some | Loss::Torn => chance.below(state.changes.len() - state.durable + 1),
        };
        let mut names = state.base.clone();
        for (name, node) in state.changes[..state.durable + further].iter().flatten() {
            match node {
                Some(node) => _ = names.insert(name.clone(), *node),
                None => _ = names.remove(name),
            }
        }
        for (name, node) in names {
            let path = target.join(name);
            match node {
                Node::File(file) => {
                    std::fs::write(&path, self.files[file].after(loss, chance)).unwrap();
                    super::owner_only(&path);
                }
                Node::Folder(inner) => {
                    std::fs::create_dir(&path).unwrap();
                    self.rebuild_folder(inner, &path, loss, chance);
                }
            }
        }
    }
}

impl FileState {
    fn truncate(&mut self, length: u64) {
        self.length = length;
        self.writes.push(Write::Length(length));
    }

    fn after(&self, loss: Loss, chance: &mut Chance) -> Vec<u8> {
        let mut bytes = self.base.clone();
        let (durable, rest) = self.writes.split_at(self.durable);
        durable.iter().for_each(|write| write.apply(&mut bytes));
        match loss {
            Loss::All => {}
            Loss::Later => {
                rest[..chance.below(rest.len() + 1)].iter().for_each(|write| write.apply(&mut bytes))
            }
            Loss::Some => {
                rest.iter().filter(|_| chance.below(2) == 0).for_each(|write| write.apply(&mut bytes))
            }
            Loss::Torn => rest.iter().for_each(|write| write.apply_torn(&mut bytes, chance)),
        }
        bytes
    }
}

impl Write {
    fn apply(&self, file: &mut Vec<u8>) {
        match self {
            Self::Bytes { at, bytes } => put(file, *at as usize, bytes),
            Self::Length(length) => file.resize(*length as usize, 0),
        }
    }

    /// Sectors of 512 bytes reach the disk whole, each or not.
    fn apply_torn(&self, file: &mut Vec<u8>, chance: &mut Chance) {
        match self {
            Self::Bytes { at, bytes } => {
                let mut at = *at as usize;
                let mut rest = &bytes[..];
                while !rest.is_empty() {
                    let (sector, after) = rest.split_at(rest.len().min(512 - at % 512));
                    if chance.below(2) == 0 {
                        put(file, at, sector);
                    }
                    at += sector.len();
                    rest = after;
                }
            }
            Self::Length(_) => self.apply(file),
        }
    }
}

fn put(file: &mut Vec<u8>, at: usize, bytes: &[u8]) {
    if file.len() < at + bytes.len() {
        file.resize(at + bytes.len(), 0);
    }
    file[at..at + bytes.len()].copy_from_slice(bytes);
}

/// Chance that repeats itself: a failure can be had again by its numbers.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}
