//! A connection that is laid again for ever, and what is wrong with it meanwhile.

use std::time::Duration;

use lapin::types::ShortString;
use lapin::{Channel, Connection, ConnectionProperties};
use tokio::sync::watch;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};

use super::Settings;
use crate::clock;
use crate::intake::{FrontClosed, Link, Stopping, stopped};

/// A broker that takes longer to answer is treated as not there.
const PATIENCE: Duration = Duration::from_secs(10);

/// The first pause, doubled up to the last: a broker restarts in 3 to 4 s (limits reference §1), so one that is back is
/// found within 5 s, and one that is gone is asked 720 times an hour.
const FIRST_PAUSE: Duration = Duration::from_millis(200);
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// How often a quiet channel is looked at: a closed one gives no further sign (limits reference, fact 6).
pub const LOOK_EVERY: Duration = Duration::from_secs(1);

/// What ended the use of a channel.
#[derive(Debug, thiserror::Error)]
pub enum Failure {
    /// The broker could not be reached, or let us not in.
    #[error("connecting to {broker}: {cause}")]
    Connect {
        /// Without credentials.
        broker: String,
        /// Why.
        cause: lapin::Error,
    },
    /// The broker did not answer in time.
    #[error("{doing}: no answer from the broker within 10 s")]
    Slow {
        /// What we were doing.
        doing: &'static str,
    },
    /// A queue or exchange is missing or is not as it must be.
    #[error("{what} \"{name}\": {cause}")]
    Topology {
        /// Queue or exchange, and what to do about it.
        what: &'static str,
        /// Its name.
        name: String,
        /// Why.
        cause: lapin::Error,
    },
    /// Anything else the broker or the network did.
    #[error("{doing}: {cause}")]
    Broken {
        /// What we were doing.
        doing: &'static str,
        /// Why.
        cause: lapin::Error,
    },
    /// The channel closed without a word.
    #[error("{doing}: the broker closed the channel")]
    Closed {
        /// What we were doing.
        doing: &'static str,
    },
    /// The broker said no to a message.
    #[error("publishing to \"{exchange}\": the broker refused the message")]
    Refused {
        /// Where to.
        exchange: String,
    },
    /// The engine stopped: no fault of the broker.
    #[error(transparent)]
    Front(#[from] FrontClosed),
}

impl Failure {
    /// For `map_err`.
    pub fn broken(doing: &'static str) -> impl FnOnce(lapin::Error) -> Self {
        move |cause| Self::Broken { doing, cause }
    }
}

/// Gives up on `act` after ten seconds.
pub async fn promptly<T>(
    doing: &'static str,
    act: impl Future<Output = lapin::Result<T>>,
) -> Result<T, Failure> {
    match timeout(PATIENCE, act).await {
        Ok(done) => done.map_err(Failure::broken(doing)),
        Err(_) => Err(Failure::Slow { doing }),
    }
}

/// The way to the broker for one purpose.
pub struct Line<'a> {
    purpose: &'static str,
    settings: &'a Settings,
    link: watch::Sender<Link>,
    connection: Option<Connection>,
    failures: u32,
}

impl<'a> Line<'a> {
    /// Not laid yet.
    pub fn new(purpose: &'static str, settings: &'a Settings, link: watch::Sender<Link>) -> Self {
        Self { purpose, settings, link, connection: None, failures: 0 }
    }

    /// An open channel, however long it takes; `None` when the daemon stops.
    pub async fn channel(&mut self, stopping: &mut Stopping) -> Option<Channel> {
        loop {
            if *stopping.borrow() {
                return None;
            }
            if self.failures > 0 {
                tokio::select! {
                    () = stopped(stopping) => return None,
                    () = sleep(pause(self.failures)) => {}
                }
            }
            let opened = tokio::select! {
                () = stopped(stopping) => return None,
                opened = self.open() => opened,
            };
            match opened {
                Ok(channel) => return Some(channel),
                Err(failure) => self.failed(&failure),
            }
        }
    }

    /// An open channel, at the first try or not at all.
    pub async fn open(&mut self) -> Result<Channel, Failure> {
        if let Some(connection) = self.connection.as_ref().filter(|c| c.status().connected()) {
            return promptly("opening a channel", connection.create_channel()).await;
        }
        let connection = self.connect().await?;
        let channel = promptly("opening a channel", connection.create_channel()).await;
        self.connection = Some(connection);
        channel
    }

    async fn connect(&self) -> Result<Connection, Failure> {
        let refused = |cause| Failure::Connect { broker: self.settings.url.to_string(), cause };
        let name = format!("throughcare {}", self.purpose);
        let properties = ConnectionProperties::default().with_connection_name(name.into());
        let runtime = lapin::runtime::default_runtime().map_err(refused)?;
        let (uri, tls) = (self.settings.url.0.clone(), self.settings.tls.config());
        match timeout(PATIENCE, Connection::connect_uri_with_config(uri, properties, tls, runtime)).await {
            Ok(connected) => connected.map_err(refused),
            Err(_) => Err(Failure::Slow { doing: "connecting" }),
        }
    }

    /// The channel is of use now.
    pub fn works(&mut self) {
        self.failures = 0;
        info!(purpose = self.purpose, broker = %self.settings.url, "broker connected");
        self.link.send_replace(Link::Up { since: clock::now() });
    }

    /// The channel is of no use any more.
    pub fn failed(&mut self, failure: &Failure) {
        self.failures = self.failures.saturating_add(1);
        warn!(purpose = self.purpose, attempt = self.failures, error = %failure, "broker not usable, trying again");
        let error = Some(failure.to_string());
        self.link.send_modify(|link| {
            let since = match link {
                Link::Down { since, .. } => *since,
                Link::Up { .. } => clock::now(),
            };
            *link = Link::Down { since, error };
        });
    }

    /// Says goodbye, so that the broker hands out at once what we did not acknowledge.
    pub async fn close(self) {
        if let Some(connection) = self.connection {
            let goodbye: ShortString = "stopping".into();
            // A broker that is gone already needs no goodbye.
            let _gone = promptly("closing", connection.close(200, goodbye)).await;
        }
    }
}

fn pause(failures: u32) -> Duration {
    FIRST_PAUSE.saturating_mul(1 << failures.saturating_sub(1).min(10)).min(LAST_PAUSE)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_five_seconds() {
        let ladder: Vec<u128> = (1..8).map(|n| pause(n).as_millis()).collect();
        assert_eq!(ladder, [200, 400, 800, 1600, 3200, 5000, 5000]);
        assert_eq!(pause(u32::MAX), LAST_PAUSE);
    }
}
