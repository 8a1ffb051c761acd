//! The one doer: each effect the engine orders is carried out here, and brings back exactly one event.
//!
//! Bytes are on disk before the event that names them is submitted. Nothing here decides what follows.

mod compose;
mod file;
mod join;
mod pack;
mod prepare;
mod renew;
mod send;
mod signing;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::task::JoinSet;

use crate::clock;
use crate::directory::DirectoryHandle;
use crate::engine::{Handle, Input};
use crate::model::TransferId;
use crate::packet::{Packet, file_head};
use crate::records::{FilingFolder, RecordFolder};
use crate::store::{SealedRef, Store, Vault, VaultError};
use crate::telemetry::Metrics;
use crate::transfer::custody::Filing;
use crate::transfer::dispatch::PacketRef;
use crate::transfer::effect::{Effect, Order};
use crate::transfer::event::Event;
use crate::transport::Transport;

pub use prepare::{acknowledgement_header, look_at_documents};
pub use signing::{SignerHandle, SigningError, SigningFiles};

/// What carrying out takes.
#[derive(Clone)]
pub struct Tools {
    /// Who is who.
    pub directory: DirectoryHandle,
    /// The way to them.
    pub transport: Transport,
    /// Where packets lie.
    pub vault: Vault,
    /// What is known of parts; read only.
    pub store: Store,
    /// Where custody records come from.
    pub records: Arc<RecordFolder>,
    /// Where received records go.
    pub filing: FilingFolder,
    /// Our signature.
    pub signer: SignerHandle,
    /// Whether a filed record is acknowledged to its sender.
    pub acknowledge: Acknowledge,
    /// What is decided at once of a record that was asked for; none where the clinical system decides.
    pub decides: Option<Filing>,
    /// Figures.
    pub metrics: Arc<Metrics>,
    /// What may be in memory at once.
    pub room: Room,
}

/// Bounds what records and messages take in memory while they are worked on.
/// Preparing and filing are apart: a folder of records that hangs must not keep what arrives from being filed.
#[derive(Clone)]
pub struct Room {
    preparing: Arc<Semaphore>,
    filing: Arc<Semaphore>,
    parts: Arc<Semaphore>,
}

/// Bytes above which a packet is opened on a thread of its own: half a millisecond's work.
const LARGE: u64 = 256 << 10;

/// Mebibytes that work may take at once. A record and its attachments take some times what one message may hold, so
/// sixteen are mapped at once: more than there are cores, and enough to wait for disks.
const ROOM: u32 = 256;
const TO_PREPARE: u32 = ROOM / 16;
/// Mebibytes of parts that may be on their way at once.
const PARTS: u32 = 12;
/// A record in parts holds its text and one part at a time.
const TO_FILE_PARTS: u32 = ROOM / 4;

impl Default for Room {
    fn default() -> Self {
        let room = || Arc::new(Semaphore::new(ROOM as usize));
        Self { preparing: room(), filing: room(), parts: Arc::new(Semaphore::new(PARTS as usize)) }
    }
}

impl Room {
    /// Waits until what the effect will hold has room. What is small is never held up here: a party that hangs would
    /// hold up all others, and the engine bounds how many messages are on their way.
    async fn take(&self, effect: &Effect) -> Option<OwnedSemaphorePermit> {
        let (room, mebibytes) = match effect {
            Effect::Prepare { .. } => (&self.preparing, TO_PREPARE),
            // A sealed message and its opened parts.
            Effect::Restamp { .. } => (&self.filing, 10),
            // One message at a time, made and sealed.
            Effect::Renew { .. } => (&self.preparing, TO_PREPARE),
            // One piece at a time.
            Effect::Join { .. } => (&self.filing, 10),
            Effect::File { arrival, .. } if arrival.large.is_some() => (&self.filing, TO_FILE_PARTS),
            Effect::File { arrival, .. } => {
                (&self.filing, u32::try_from(arrival.bytes >> 19).unwrap_or(ROOM).clamp(1, ROOM))
            }
            // A part, and what is read of it to be judged by.
            Effect::Send { dispatch } if dispatch.part => {
                (&self.parts, u32::try_from(dispatch.bytes >> 20).unwrap_or(PARTS).clamp(0, PARTS - 1) + 1)
            }
            Effect::Send { .. } | Effect::Refuse { .. } | Effect::Compose { .. } => return None,
        };
        room.clone().acquire_many_owned(mebibytes).await.ok()
    }
}

/// Whether a filed record is acknowledged to its sender.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledge {
    /// Once it is filed.
    WhenFiled,
    /// Not by us: the clinical system does it by other means.
    Never,
}

/// Carries out orders until the engine gives no more, then finishes what is under way.
pub async fn run(tools: Tools, engine: Handle, mut orders: mpsc::UnboundedReceiver<Order>) {
    let tools = Arc::new(tools);
    let mut under_way = JoinSet::new();
    let alive = Arc::new(Mutex::new(HashSet::new()));
    while let Some(order) = orders.recv().await {
        // Work that hangs is ordered again when the engine holds it for lost; doing it twice would not help.
        if !lock(&alive).insert(order.transfer) {
            tracing::warn!(transfer = %order.transfer, "work on this transfer does not end");
            continue;
        }
        // The engine bounds how many are under way; here they only have to be collected.
        while under_way.try_join_next().is_some() {}
        let (tools, engine, alive) = (tools.clone(), engine.clone(), alive.clone());
        under_way.spawn(async move {
            let transfer = order.transfer;
            let event = Box::new(carry_out(&tools, order).await);
            lock(&alive).remove(&transfer);
            if engine.submit(Input::Result { transfer, event }).await.is_err() {
                tracing::info!(%transfer, "the engine stopped first; the deadline brings this work back");
            }
        });
    }
    while under_way.join_next().await.is_some() {}
}

fn lock(alive: &Mutex<HashSet<TransferId>>) -> MutexGuard<'_, HashSet<TransferId>> {
    alive.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn carry_out(tools: &Tools, order: Order) -> Event {
    let transfer = order.transfer;
    let _room = tools.room.take(&order.effect).await;
    match order.effect {
        Effect::Prepare { order, asked, to, conversation, message_id } => {
            let what = prepare::Wanted { order, asked, to, conversation, message_id, now: clock::now() };
            let basis = what.basis();
            match prepare::prepare(tools, what).await {
                Ok(prepared) => Event::Prepared(Box::new(prepared)),
                Err(fault) => Event::Unprepared { basis, fault },
            }
        }
        Effect::Send { dispatch } => Event::Answered(Box::new(send::send(tools, transfer, &dispatch).await)),
        Effect::Restamp { packet, to, message_id, persist_duration_ms } => {
            match prepare::restamp(tools, &packet, &to, message_id, persist_duration_ms).await {
                Ok(transmission) => Event::Restamped(transmission),
                Err(fault) => Event::NotRestamped(fault),
            }
        }
        Effect::File { arrival, message_id } => match file::file(tools, transfer, &arrival, message_id).await
        {
            Ok(filed) => Event::Filed(Box::new(filed)),
            Err(fault) => Event::NotFiled(fault),
        },
        Effect::Renew { packet, to, message_id, persist_duration_ms } => {
            let life = std::time::Duration::from_millis(persist_duration_ms);
            match renew::renew(tools, transfer, &packet, &to, message_id, life).await {
                Ok(renewed) => Event::Renewed(Box::new(renewed)),
                Err(fault) => Event::NotRestamped(fault),
            }
        }
        Effect::Join { item, from } => match join::look(tools, &from, &item).await {
            Ok(wrong) => Event::Joined { item, wrong },
            Err(fault) => Event::NotJoined(fault),
        },
        Effect::Compose { outbound, conversation } => {
            match compose::compose(tools, &outbound, conversation).await {
                Ok(made) => Event::Composed(Box::new(made)),
                Err(fault) => Event::NotComposed(fault),
            }
        }
        Effect::Refuse { arrival, refusal, message_id } => {
            match file::refuse(tools, &arrival, refusal, message_id).await {
                Ok(made) => Event::Refused(Box::new(made)),
                Err(fault) => Event::NotFiled(fault),
            }
        }
    }
}

impl Tools {
    /// Seals a packet; durable when it returns.
    pub async fn keep(&self, packet: Packet) -> Result<PacketRef, VaultError> {
        let head = file_head(&packet.content_type, &packet.soap_action);
        Ok(PacketRef(self.vault.put_both(head, packet.body).await?.to_string()))
    }

    /// Seals what belongs to a packet; on disk when it returns.
    pub async fn seal(&self, octets: &[u8]) -> Result<PacketRef, VaultError> {
        Ok(PacketRef(self.vault.put(octets).await?.to_string()))
    }

    /// Reads a sealed packet back, on a thread that may wait.
    pub fn fetch_here(&self, packet: &PacketRef) -> Result<Packet, VaultError> {
        Packet::from_owned_file(self.vault.get(&packet.0.parse()?)?).map_err(|_| VaultError::Reference)
    }

    /// Reads a sealed packet back; a large one beside the threads that wait on sockets.
    pub async fn fetch(&self, packet: &PacketRef) -> Result<Packet, VaultError> {
        let sealed: SealedRef = packet.0.parse()?;
        let vault = self.vault.clone();
        let large = sealed.length() > LARGE;
        let read = move || Packet::from_owned_file(vault.get(&sealed)?).map_err(|_| VaultError::Reference);
        if !large {
            return read();
        }
        tokio::task::spawn_blocking(read).await.unwrap_or(Err(VaultError::Reference))
    }
}
