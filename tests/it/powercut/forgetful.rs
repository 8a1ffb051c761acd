//! A disk as forgetful as it may be, and what it holds after a power cut.
//!
//! Only `fsync` and `fdatasync` count; a file's name counts only once its folder was synced; of the rest anything may be
//! there, or be there in part.

use std::collections::{BTreeMap, HashMap};
use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use super::recording::Event;

/// What becomes of writes that were not synced.
#[derive(Debug, Clone, Copy)]
pub enum Loss {
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
    pub const ALL: [Self; 4] = [Self::All, Self::Later, Self::Some, Self::Torn];
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

pub struct World {
    files: Vec<FileState>,
    folders: Vec<FolderState>,
    /// What a path means now, relative to the root, whatever is durable of it.
    names: HashMap<PathBuf, Node>,
    open: HashMap<u64, Open>,
    syncing: HashMap<String, (Node, usize)>,
}

/// The files of a folder; a folder has no bytes.
pub type Contents = BTreeMap<PathBuf, Option<Vec<u8>>>;

pub fn read_folder(root: &Path) -> Contents {
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
    pub fn new(base: &Contents) -> Self {
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

    /// Takes in what happened next.
    pub fn happen(&mut self, root: &Path, event: &Event) {
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
    pub fn rebuild(&self, target: &Path, loss: Loss, chance: &mut Chance) {
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
                    // As closed as the key file that was recorded must be.
                    std::fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
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
pub struct Chance(pub u64);

impl Chance {
    fn below(&mut self, end: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        ((mixed ^ (mixed >> 31)) % end as u64) as usize
    }
}
