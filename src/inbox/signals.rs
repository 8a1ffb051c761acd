//! Posts the signals that go their own way (wire reference §1.3): queued in memory, never acknowledged, three
//! attempts.
//!
//! Losing one, by a full queue or a restart, costs nothing: the message it answers comes again and draws another.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{Semaphore, mpsc};

use super::OwnSignal;
use crate::directory::DirectoryHandle;
use crate::transport::{Letter, Observation, Route, Transport};

/// Attempts for one signal.
const ATTEMPTS: u32 = 3;

/// Signals being posted at once: they share the parties' connections with messages, and must not crowd them out.
const AT_ONCE: usize = 64;

/// One attempt: a signal is small, and whoever waits for it has asked for it a moment ago.
const PATIENCE: Duration = Duration::from_secs(30);

/// Posts what comes out of the queue until its other end is dropped.
pub async fn post_signals(
    mut queue: mpsc::Receiver<OwnSignal>,
    transport: Transport,
    directory: DirectoryHandle,
) {
    let places = Arc::new(Semaphore::new(AT_ONCE));
    while let Some(signal) = queue.recv().await {
        // A closed semaphore cannot be: nobody closes it.
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (transport, directory) = (transport.clone(), directory.clone());
        tokio::spawn(async move {
            post(&signal, &transport, &directory).await;
            drop(place);
        });
    }
}

async fn post(signal: &OwnSignal, transport: &Transport, directory: &DirectoryHandle) {
    let current = directory.current();
    let party = current.by_party_key(&signal.to);
    let Some((route, peer)) = party.and_then(|p| Route::to(p, signal.action).zip(p.peer())) else { return };
    let letter = Letter {
        content_type: "text/xml".to_owned(),
        soap_action: format!("urn:oasis:names:tc:ebxml-msg:service/{}", signal.action),
        body: signal.body.clone(),
    };
    for attempt in 1..=ATTEMPTS {
        match transport.post(&route, &letter, PATIENCE).await {
            Observation::Reply(reply) if (200..300).contains(&reply.status) => return,
            Observation::Reply(_)
            | Observation::Unreachable { .. }
            | Observation::TlsIdentity { .. }
            | Observation::Broken { .. } => {}
        }
        if attempt < ATTEMPTS {
            tokio::time::sleep(peer.contract.retry_interval).await;
        }
    }
    tracing::warn!(party = %signal.to, action = signal.action, "a signal could not be delivered; its message will come again");
}
