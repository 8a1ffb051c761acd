//! `throughcare demo`: a prison and a practice, two ordinary daemons on loopback with certificates made on the spot,
//! patients who leave on a Friday, and one who arrives. The practice is away for a moment, so that a retry is seen.

mod patients;
mod sites;
mod story;

use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;

use super::{Common, Exit};
use crate::clock;
use crate::model::Timestamp;

/// How long the demonstration may take: a minute at most.
const PATIENCE: Duration = Duration::from_secs(55);
/// How long the practice is away.
const ABSENCE: Duration = Duration::from_secs(3);

/// Arguments of `demo`.
#[derive(Debug, Args)]
#[command(
    after_help = "Examples:\n  throughcare demo\n  throughcare demo --amqp amqp://guest:guest@127.0.0.1:5672"
)]
pub struct Arguments {
    /// Send the events through this RabbitMQ instead of a spool folder; queues of their own are declared
    #[arg(long, value_name = "URL")]
    amqp: Option<String>,
    /// Where to work; a new folder in the temporary folder when not given
    #[arg(long, value_name = "FOLDER")]
    folder: Option<PathBuf>,
}

pub(super) fn run(arguments: &Arguments, common: &Common) -> anyhow::Result<Exit> {
    let now = clock::now();
    let folder = match &arguments.folder {
        // The settings of the sites are read from elsewhere, so their paths must not depend on where we stand.
        Some(folder) => std::path::absolute(folder)?,
        None => std::env::temp_dir().join(format!("throughcare-demo-{}", std::process::id())),
    };
    if folder.exists() {
        bail!(
            "{} exists already and is not overwritten: choose another name with --folder",
            folder.display()
        );
    }
    let story = story::Teller::new(common.json);
    story.say(&format!("Working in {}", folder.display()));
    let sites =
        sites::lay(&folder, arguments.amqp.as_deref(), now).context("the two sites could not be laid out")?;
    story.say("Certificates made: one authority, a TLS and a signing certificate for each side.");
    let told = tell(story, &sites, &folder, now);
    // However it ended: a broker that is shared keeps nothing of a demonstration.
    let cleared = sites.clear_broker().context("the demonstration's queues are still on the broker");
    let exit = told?;
    cleared?;
    Ok(exit)
}

/// The whole story. The daemons end with it, whether it goes well or not.
fn tell(
    mut story: story::Teller,
    sites: &sites::Sites,
    folder: &std::path::Path,
    now: Timestamp,
) -> anyhow::Result<Exit> {
    let prison = sites.prison.start()?;
    let practice = sites.practice.start()?;
    story.say("A prison (HMP01) and a practice (B85002) are running, each its own daemon.");
    practice.stop()?;
    story.say("The practice's line goes down for a moment.");
    let leavers = patients::leavers(now);
    for patient in &leavers {
        sites.prison.write_record(patient)?;
    }
    for patient in &leavers {
        sites.send_release(patient, now)?;
    }
    story.say(&format!(
        "{} patients leave custody; their events are on the {}.",
        leavers.len(),
        sites.queue_name()
    ));
    story.watch(&sites.prison, "release", leavers.len(), ABSENCE, story::Until::TimePassed)?;
    let practice = sites.practice.start()?;
    story.say("The practice is back.");
    story.watch(&sites.prison, "release", leavers.len(), PATIENCE, story::Until::AllEnded)?;
    let arrival = patients::arrival(now);
    sites.practice.write_record(&arrival)?;
    sites.send_registration(&arrival, now)?;
    story.say(
        "A person is received into custody and registered; the prison asks the practice for the record: 60 MB, in parts.",
    );
    story.watch(&sites.prison, "reception", 1, PATIENCE, story::Until::AllEnded)?;
    let report = story.report(sites, &leavers, &arrival)?;
    practice.stop()?;
    prison.stop()?;
    let packets = sites.prison.unseal_packets(&folder.join("packets"))?;
    story.finish(&report, &packets, sites)
}
