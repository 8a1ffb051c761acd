//! One event onto the queue, confirmed: what a custody clinical system does, for the demonstration and for trying things
//! by hand.

use lapin::options::{BasicPublishOptions, ConfirmSelectOptions};
use lapin::{BasicProperties, Confirmation};
use tokio::sync::watch;

use super::Settings;
use super::line::{Failure, Line, promptly};
use crate::clock;
use crate::intake::Link;

/// The delivery mode of a message that survives the broker.
const PERSISTENT: u8 = 2;

/// Publishes one event and waits for the broker's confirm.
pub async fn publish_event(settings: &Settings, content_type: &str, body: &[u8]) -> Result<(), Failure> {
    let link = watch::Sender::new(Link::Down { since: clock::now(), error: None });
    let mut line = Line::new("one event", settings, link);
    let channel = line.open().await?;
    promptly("asking for confirms", channel.confirm_select(ConfirmSelectOptions::default())).await?;
    let properties =
        BasicProperties::default().with_content_type(content_type.into()).with_delivery_mode(PERSISTENT);
    let options = BasicPublishOptions { mandatory: true, ..BasicPublishOptions::default() };
    let sending = channel.basic_publish("".into(), settings.queue.as_str().into(), options, body, properties);
    let confirm = promptly("publishing an event", sending).await?;
    match promptly("waiting for the confirm", confirm).await? {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) | Confirmation::Nack(_) | Confirmation::NotRequested => {
            Err(Failure::Refused { exchange: settings.queue.clone() })
        }
    }
}
