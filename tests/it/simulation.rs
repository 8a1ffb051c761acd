//! The real engine and store under virtual time, against a practice that drops, delays, duplicates, reorders, answers
//! 5xx, refuses, acknowledges early, late or never; with a crash at any commit. A seed that fails is printed and fails again.
//!
//! `THROUGHCARE_SEEDS=N` runs N seeds, `THROUGHCARE_SEED=S` runs that one.

mod world;

use std::time::Duration;

use world::{Faults, World};

/// Seeds in an ordinary run.
const SEEDS: u64 = 2_000;

fn seeds() -> Vec<u64> {
    let number = |name: &str| std::env::var(name).ok().and_then(|t| t.parse::<u64>().ok());
    match (number("THROUGHCARE_SEED"), number("THROUGHCARE_SEEDS")) {
        (Some(one), _) => vec![one],
        (None, Some(many)) => (0..many).collect(),
        (None, None) => (0..SEEDS).collect(),
    }
}

#[test]
fn whatever_a_practice_and_the_power_do_every_release_ends_filed_at_most_once() {
    let seeds = seeds();
    let (mut attempts, mut crashes, mut commits) = (0, 0, 0);
    for seed in &seeds {
        let run = std::panic::catch_unwind(|| {
            let mut world = World::new(*seed, Faults::of(*seed));
            world.live();
            world.settle();
            world.check();
            (world.attempts, world.crashes, world.commits)
        });
        match run {
            Ok((a, c, m)) => {
                attempts += a;
                crashes += c;
                commits += m;
            }
            Err(cause) => {
                eprintln!("seed {seed} failed; run it again with THROUGHCARE_SEED={seed}");
                std::panic::resume_unwind(cause);
            }
        }
    }
    println!("{} seeds: {commits} commits, {attempts} attempts, {crashes} crashes", seeds.len());
    assert!(seeds.len() == 1 || crashes > seeds.len() as u64 / 2, "the power fails often enough to matter");
}

#[test]
fn a_crash_before_and_after_every_single_commit_loses_nothing() {
    let mut quiet = World::new(7, Faults::none());
    quiet.live();
    quiet.settle();
    quiet.check();
    let commits = quiet.commits;
    assert!(commits > 10, "the run has commits to crash at");
    for at in 1..=commits {
        for after in [false, true] {
            let mut world = World::new(7, Faults::none());
            world.crash_at = Some((at, after));
            world.live();
            world.settle();
            world.check();
            assert_eq!(world.crashes, 1, "it crashed {} commit {at}", if after { "after" } else { "before" });
        }
    }
}

#[test]
fn eight_days_of_silence_are_reported_to_the_second_and_a_late_answer_still_counts() {
    let mut world = World::new(3, Faults { silent: true, ..Faults::none() });
    world.live();
    let sent = world.delivered_at();
    world.run_until(sent.plus(Duration::from_secs(691_199)));
    assert_eq!(world.outcomes("overdue"), 0, "F6: nothing at 691,199 s");
    world.run_until(sent.plus(Duration::from_secs(691_200)));
    assert!(world.outcomes("overdue") > 0, "S124: reported at 691,200 s");
    world.end_silence();
    world.settle();
    world.check();
    assert!(world.outcomes("integrated") > 0, "A16: a late acceptance repairs the failure");
}
