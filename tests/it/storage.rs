//! The store and the vault where the disk gives out, memory is short, or keys change.

use std::io::{Read, copy, repeat, sink};
use std::path::Path;
use std::process::{Command, Stdio};

use throughcare::store::{Keyring, Options, Store, StoreError, Vault, VaultError};

use crate::powercut::account::{Account, Verdict};
use crate::powercut::disk::Disk;
use crate::powercut::workload;

/// Set for the child that streams.
const STREAM_FOLDER: &str = "THROUGHCARE_STREAM_FOLDER";
/// What it streams: four times the memory it may take.
const STREAMED: u64 = 256 << 20;

#[test]
fn a_full_disk_is_an_error_in_words_and_once_there_is_room_nothing_is_lost() {
    let Some(disk) = Disk::sized("64M") else {
        eprintln!(
            "skipped: no loop device can be mounted here (needs root); the limit on file size stands in for it"
        );
        return;
    };
    let ballast = disk.folder().join("ballast");
    std::fs::write(&ballast, vec![1; 24 << 20]).unwrap();
    let account = work_until_refused(&[], disk.folder());
    // What little is left, so that not even opening has room.
    let rest = disk.folder().join("rest");
    let _ = std::fs::File::create(&rest).and_then(|mut file| copy(&mut repeat(1), &mut file));
    let shut = Store::open(&disk.folder().join("store"), &Options::default());
    assert!(matches!(shut, Err(StoreError::Full(_))), "it says what is the matter: {shut:?}");
    std::fs::remove_file(ballast).unwrap();
    std::fs::remove_file(rest).unwrap();
    assert_eq!(account.check(disk.folder()), Verdict::Intact, "once there is room it opens again");
}

#[test]
fn a_limit_on_file_size_is_an_error_in_words_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    // In blocks of 512 bytes; without the trap the limit kills.
    let limited = ["sh", "-c", "trap '' XFSZ; ulimit -f 16384; exec \"$@\"", "sh"];
    let account = work_until_refused(&limited, folder.path());
    assert_eq!(account.check(folder.path()), Verdict::Intact, "what was acknowledged before is all there");
}

/// Runs the power-cut tests' child until the disk refuses a commit.
fn work_until_refused(wrapper: &[&str], folder: &Path) -> Account {
    let output = workload::command(wrapper, folder, None).output().unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let mut account = Account::default();
    account.add(said.lines().map(str::to_owned));
    assert!(account.commits() > 0, "at first there was room");
    let refusal =
        said.lines().find_map(|l| l.strip_prefix("refused ")).expect("the child says why it stopped");
    assert!(refusal.contains("no space left for the store"), "{refusal}");
    account
}

#[test]
fn a_quarter_gigabyte_is_sealed_and_opened_in_constant_memory() {
    let folder = tempfile::tempdir().unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["storage::stream_a_quarter_gigabyte", "--exact", "--ignored", "--nocapture"])
        .env(STREAM_FOLDER, folder.path())
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let peak = said.lines().find_map(|l| l.strip_prefix("peak ")).expect("the child tells its peak");
    let peak: u64 = peak.parse().unwrap();
    assert!(peak < 64 << 10, "{peak} KiB were in memory at some time");
}

#[test]
#[ignore = "the child of the streaming test, which starts it itself"]
fn stream_a_quarter_gigabyte() {
    let folder = std::env::var_os(STREAM_FOLDER).expect("only the streaming test starts this");
    let folder = Path::new(&folder);
    let vault =
        Vault::open(&folder.join("vault"), Keyring::load_or_create(&folder.join("key")).unwrap()).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let sealed = runtime.block_on(vault.put_stream(repeat(7).take(STREAMED))).unwrap();
    assert_eq!(sealed.length(), STREAMED);
    let mut reader = vault.reader(&sealed).unwrap();
    let mut first = [0; 3];
    reader.read_exact(&mut first).unwrap();
    assert_eq!(first, [7; 3]);
    assert_eq!(copy(&mut reader, &mut sink()).unwrap(), STREAMED - 3, "to its end");
    assert!(matches!(vault.get(&sealed), Err(VaultError::TooLarge(_))), "not all at once");
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    println!("\npeak {}", peak.trim().trim_end_matches(" kB"));
}

#[tokio::test]
async fn after_a_rotation_records_are_rewrapped_and_the_old_key_can_go() {
    let folder = tempfile::tempdir().unwrap();
    let (path, key) = (folder.path().join("vault"), folder.path().join("key"));
    let vault_under = |keys: &[&str]| {
        let _ = std::fs::remove_file(&key);
        std::fs::write(&key, keys.iter().map(|k| k.repeat(64) + "\n").collect::<String>()).unwrap();
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(&key, std::fs::Permissions::from_mode(0o400)).unwrap();
        Vault::open(&path, Keyring::load(&key).unwrap()).unwrap()
    };
    let first = vault_under(&["1"]);
    let small = first.put(b"a receipt").await.unwrap();
    let large = first.put(&vec![5; 1 << 20]).await.unwrap();
    assert_eq!(first.rewrap(&small).unwrap(), None, "it is under the present key already");
    drop(first);

    let rotated = vault_under(&["2", "1"]);
    assert_eq!(rotated.get(&small).unwrap(), b"a receipt", "the old key still opens");
    let small_again = rotated.rewrap(&small).unwrap().expect("it was under the old key");
    let large_again = rotated.rewrap(&large).unwrap().expect("it was under the old key");
    drop(rotated);

    let after = vault_under(&["2"]);
    assert_eq!(after.get(&small_again).unwrap(), b"a receipt");
    assert_eq!(after.get(&large_again).unwrap(), vec![5; 1 << 20]);
    let gone = after.get(&small);
    assert!(
        matches!(gone, Err(VaultError::OtherKey(_))),
        "what was not rewrapped says which remedy: {gone:?}"
    );
}
