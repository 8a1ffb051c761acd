//! What was acknowledged, and whether a folder still has it.

use std::path::Path;

use throughcare::store::{Keyring, Options, SealedRef, Store, Vault};

use super::workload;

/// What the child was told is durable.
#[derive(Default)]
pub struct Account {
    /// The last step committed.
    head: Option<u64>,
    /// Seed, length and reference of what was sealed.
    sealed: Vec<(u64, usize, SealedRef)>,
}

/// What became of it.
#[derive(Debug, PartialEq, Eq)]
pub enum Verdict {
    Intact,
    Lost(String),
}

impl Account {
    /// Takes in what a child said. A last line without its end was never said.
    pub fn add(&mut self, lines: impl IntoIterator<Item = String>) {
        for line in lines {
            let mut words = line.split(' ');
            match words.next() {
                Some("commit") => self.head = words.next().map(|n| n.parse().unwrap()),
                Some("seal") => {
                    let mut word = || words.next().expect("seed, length and reference");
                    let (seed, length) = (word().parse().unwrap(), word().parse().unwrap());
                    self.sealed.push((seed, length, word().parse().unwrap()));
                }
                // The test runner's own lines.
                Some(_) | None => {}
            }
        }
    }

    /// Steps acknowledged.
    pub fn commits(&self) -> u64 {
        self.head.map_or(0, |n| n + 1)
    }

    /// Records acknowledged as sealed.
    pub fn sealed(&self) -> u64 {
        self.sealed.len() as u64
    }

    /// Opens what is in `folder` and holds it against the account. What was never acknowledged may be there too, if it
    /// is there whole.
    pub fn check(&self, folder: &Path) -> Verdict {
        match self.compare(folder) {
            Ok(()) => Verdict::Intact,
            Err(what) => Verdict::Lost(what),
        }
    }

    /// The same where sled is expected to panic on what it finds.
    pub fn check_apart(&self, folder: &Path) -> Verdict {
        let checked = std::thread::scope(|s| s.spawn(|| self.check(folder)).join());
        checked.unwrap_or_else(|_| Verdict::Lost("it cannot even be opened".to_owned()))
    }

    fn compare(&self, folder: &Path) -> Result<(), String> {
        let store = Store::open(&folder.join("store"), &Options::default()).map_err(|e| format!("{e:?}"))?;
        let found = workload::head(&store);
        if found < self.head {
            return Err(format!("step {:?} was acknowledged, {found:?} is the last there", self.head));
        }
        if let Some(head) = found {
            workload::compare(&store, head)?;
        }
        let keys = Keyring::load_or_create(&folder.join("vault.key")).map_err(|e| format!("{e:?}"))?;
        let vault = Vault::open(&folder.join("vault"), keys).map_err(|e| format!("{e:?}"))?;
        for (seed, length, sealed) in &self.sealed {
            let plain = vault.get(sealed).map_err(|e| format!("sealed record {seed}: {e:?}"))?;
            if plain != workload::content(*seed, *length) {
                return Err(format!("sealed record {seed} holds other bytes"));
            }
        }
        Ok(())
    }
}
