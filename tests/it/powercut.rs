//! A power cut loses nothing that was acknowledged: not a commit, not a sealed record, in none of twenty rounds.
//!
//! A child process commits and seals as fast as it can and says what it was told is durable. Then the power goes: on a
//! real file system on a loop device, shut down without writing its journal out (`disk`), which needs root; and, where
//! only `strace` is there, on a recording of what the child wrote and synced (`recording`, `forgetful`). What then lies on
//! the disk is opened and held against what was acknowledged. Killing the process alone, which loses nothing that was written,
//! is not the subject here.

pub mod account;
pub mod disk;
mod forgetful;
mod recording;
pub mod workload;

use std::time::Duration;

use account::{Account, Verdict};
use disk::Disk;
use throughcare::store::Sync;
use workload::Child;

/// Rounds of a full test.
const ROUNDS: u64 = 20;
/// Rounds on the same disk before it is made anew: each opens what the one before left, cut as it was.
const IN_A_ROW: u64 = 5;

/// How long the child works before the cut, from the round's number: never the same moment of a commit.
fn moment(round: u64) -> Duration {
    Duration::from_millis(60 + (round * 37) % 200)
}

#[test]
fn a_power_cut_loses_nothing_acknowledged_in_twenty_of_twenty_rounds() {
    let Some(mut disk) = Disk::make() else {
        eprintln!("skipped: no loop device can be mounted here (needs root); the recording stands in for it");
        return;
    };
    let mut account = Account::default();
    let (mut commits, mut sealed) = (0, 0);
    for round in 0..ROUNDS {
        if round % IN_A_ROW == 0 {
            disk.format();
            account = Account::default();
        }
        let mut child = Child::start(disk.folder(), Sync::Durable);
        child.wait_for_work();
        std::thread::sleep(moment(round));
        account.add(child.said());
        disk.cut();
        child.kill();
        disk.mount_again();
        let verdict = account.check(disk.folder());
        assert_eq!(verdict, Verdict::Intact, "round {round}, after {} commits", account.commits());
        commits += account.commits();
        sealed += account.sealed();
    }
    eprintln!(
        "{ROUNDS} of {ROUNDS} rounds intact; held against {commits} commits and {sealed} sealed records"
    );
    assert!(commits > ROUNDS && sealed > ROUNDS, "or nothing was at stake");
}

#[test]
fn a_power_cut_while_the_store_is_being_made_leaves_one_that_opens() {
    let Some(mut disk) = Disk::make() else {
        eprintln!("skipped: no loop device can be mounted here (needs root)");
        return;
    };
    for round in 0..12 {
        disk.format();
        let mut child = Child::start(disk.folder(), Sync::Durable);
        child.wait_for_start();
        // Making one takes some ten milliseconds; the last rounds are past it.
        std::thread::sleep(Duration::from_millis(round * 2));
        let mut account = Account::default();
        account.add(child.said());
        disk.cut();
        child.kill();
        disk.mount_again();
        assert_eq!(
            account.check(disk.folder()),
            Verdict::Intact,
            "cut {} ms into the first start",
            round * 2
        );
    }
}

#[test]
fn the_cut_is_a_real_one_for_without_syncs_it_loses_commits() {
    let Some(mut disk) = Disk::make() else {
        eprintln!("skipped: no loop device can be mounted here (needs root)");
        return;
    };
    let lost = (0..10).any(|round| {
        disk.format();
        let mut child = Child::start(disk.folder(), Sync::ProcessOnly);
        child.wait_for_work();
        std::thread::sleep(moment(round));
        let mut account = Account::default();
        account.add(child.said());
        disk.cut();
        child.kill();
        disk.mount_again();
        account.check_apart(disk.folder()) != Verdict::Intact
    });
    assert!(lost, "a cut that never loses what was not synced would prove nothing of what was");
}
