//! Takes away what was declared for a moment: the demonstration's own queues and exchanges. The daemon never does this.

use lapin::options::{ExchangeDeleteOptions, QueueDeleteOptions};
use tokio::sync::watch;

use super::Settings;
use super::line::{Failure, Line, promptly};
use crate::clock;
use crate::intake::Link;

/// Deletes the queues and exchanges of these settings, with whatever is in them. What is not there is no error.
pub async fn remove_topology(settings: &Settings) -> Result<(), Failure> {
    let link = watch::Sender::new(Link::Down { since: clock::now(), error: None });
    let mut line = Line::new("clearing away", settings, link);
    let channel = line.open().await?;
    for queue in [&settings.queue, &settings.dead_letters] {
        let deleted = channel.queue_delete(queue.as_str().into(), QueueDeleteOptions::default());
        promptly("deleting a queue", deleted).await?;
    }
    for exchange in [&settings.dead_letters, &settings.outcomes] {
        let deleted = channel.exchange_delete(exchange.as_str().into(), ExchangeDeleteOptions::default());
        promptly("deleting an exchange", deleted).await?;
    }
    line.close().await;
    Ok(())
}
