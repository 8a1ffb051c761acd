//! Files that came in messages of their own, put together from what is sealed: one piece is in memory at a time (gp2gp
//! reference §4.2(4), (7)).

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::rc::Rc;

use crate::engine::ledger;
use crate::model::{MessageId, OdsCode};
use crate::packet::envelope::Href;
use crate::packet::mime::{MimeLimits, Strictness};
use crate::packet::parts::inventory::{Arrival, Role};
use crate::packet::parts::join::{Carried, JoinFault, JoinLimits, Joiner, Unjoined, piece};
use crate::packet::{self, Packet, Received};
use crate::perform::Tools;
use crate::transfer::dispatch::PacketRef;
use crate::transfer::reason::FilingFault;
use crate::transfer::refusal::PartRefusal;

/// Octets of a piece fed at a time.
const CHUNK: usize = 64 << 10;

/// Why a file cannot be read out of its pieces: what came is wrong, and not our disk.
#[derive(Debug, thiserror::Error)]
#[error("the pieces of a file do not fit together")]
struct Misfit(#[source] JoinFault);

/// Whether an error says that of a file.
pub(super) fn is_of_pieces(error: &io::Error) -> bool {
    misfit(error).is_some()
}

fn misfit(error: &io::Error) -> Option<JoinFault> {
    error.get_ref()?.downcast_ref::<Misfit>().map(|misfit| misfit.0)
}

/// Whether the file that `item` brings can be put together; what its last piece is answered where it cannot (TD25.2).
pub(super) async fn look(
    tools: &Tools,
    from: &OdsCode,
    item: &MessageId,
) -> Result<Option<PartRefusal>, FilingFault> {
    let (tools, from, item) = (tools.clone(), from.clone(), item.clone());
    let look = move || match io::copy(&mut Joined::of(&tools, &from, item), &mut io::sink()) {
        Ok(_) => Ok(None),
        Err(error) => match misfit(&error) {
            Some(fault) if fault.response_code() == 29 => Ok(Some(PartRefusal::Unjoined)),
            Some(_) => Ok(Some(PartRefusal::Malformed)),
            None => Err(FilingFault::PacketUnreadable),
        },
    };
    tokio::task::spawn_blocking(look).await.unwrap_or(Err(FilingFault::PacketUnreadable))
}

/// A file, read as its pieces are.
pub(super) struct Joined<'t> {
    tools: &'t Tools,
    from: OdsCode,
    item: MessageId,
    /// Nothing before the first octet is asked for.
    at_work: Option<AtWork>,
}

struct AtWork {
    places: std::vec::IntoIter<Place>,
    /// None once the last piece is in.
    joiner: Option<Joiner<Shared>>,
    out: Shared,
    piece: Vec<u8>,
    fed: usize,
}

/// Where one piece lies: in a sealed message, the so-manieth of its files.
struct Place {
    packet: PacketRef,
    number: usize,
}

/// What has come out and was not read yet.
#[derive(Clone, Default)]
struct Shared(Rc<RefCell<Ready>>);

#[derive(Default)]
struct Ready {
    octets: Vec<u8>,
    read: usize,
}

impl Write for Shared {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.borrow_mut().octets.extend_from_slice(octets);
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Shared {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut ready = self.0.borrow_mut();
        let count = to.len().min(ready.octets.len() - ready.read);
        to[..count].copy_from_slice(&ready.octets[ready.read..ready.read + count]);
        ready.read += count;
        if ready.read == ready.octets.len() {
            (ready.read, _) = (0, ready.octets.clear());
        }
        Ok(count)
    }
}

impl<'t> Joined<'t> {
    /// The file that `item` of an extract from `from` brings.
    pub(super) fn of(tools: &'t Tools, from: &OdsCode, item: MessageId) -> Self {
        Self { tools, from: from.clone(), item, at_work: None }
    }

    fn begin(&self) -> io::Result<AtWork> {
        let (expected, places) = self.places().map_err(io::Error::other)?;
        let out = Shared::default();
        let joiner = Some(Joiner::new(out.clone(), expected, JoinLimits::default()));
        Ok(AtWork { places: places.into_iter(), joiner, out, piece: Vec::new(), fed: 0 })
    }

    /// What is expected of the file, and where its pieces lie, in their order.
    fn places(&self) -> Result<(packet::parts::join::Expected, Vec<Place>), Absent> {
        let part = self.row(&self.item)?;
        let (row, packet) = (part.row.ok_or(Absent)?, part.packet.ok_or(Absent)?);
        let Role::Item { said, .. } = &row.role else { return Err(Absent) };
        let places = match &row.arrival {
            Arrival::Arrived => vec![Place { packet, number: 0 }],
            Arrival::Index { .. } => self.listed(&packet)?,
            Arrival::Awaited | Arrival::Damaged { .. } => return Err(Absent),
        };
        Ok((said.expected(), places))
    }

    /// The pieces that an index lists: in itself, or each in a message of its own.
    fn listed(&self, index: &PacketRef) -> Result<Vec<Place>, Absent> {
        let packet = self.tools.fetch_here(index).map_err(|_| Absent)?;
        let mut inline = 0;
        opened(&packet, |incoming| {
            let pieces = incoming.manifest.iter().skip(1).map(|item| match &item.href {
                Href::Part(_) => {
                    inline += 1;
                    Ok(Place { packet: index.clone(), number: inline - 1 })
                }
                Href::Message(_) => {
                    let fragment = item.href.message_id().ok_or(Absent)?;
                    Ok(Place { packet: self.row(&fragment)?.packet.ok_or(Absent)?, number: 0 })
                }
            });
            pieces.collect()
        })?
    }

    fn row(&self, message: &MessageId) -> Result<crate::engine::PartRow, Absent> {
        ledger::part(&self.tools.store, &self.from, message).ok().flatten().ok_or(Absent)
    }

    /// The next piece: how it travelled, and its text.
    fn fetch(&self, place: &Place) -> Result<(Carried, Vec<u8>), Absent> {
        let packet = self.tools.fetch_here(&place.packet).map_err(|_| Absent)?;
        opened(&packet, |incoming| {
            let mut files = incoming.attachments().into_iter().filter_map(|(_, part)| part);
            let (carried, octets) = piece(files.nth(place.number).ok_or(Absent)?);
            Ok((carried, octets.to_vec()))
        })?
    }
}

/// What should lie in the store does not, or cannot be read back.
#[derive(Debug, Clone, Copy, thiserror::Error)]
#[error("a part cannot be read back")]
struct Absent;

fn opened<T>(packet: &Packet, read: impl FnOnce(&packet::Incoming<'_>) -> T) -> Result<T, Absent> {
    let limits = MimeLimits::default();
    match packet::open(&packet.content_type, &packet.body, Strictness::Tolerant, &limits) {
        Ok(Received::Business(incoming)) => Ok(read(&incoming)),
        Ok(Received::Signal { .. }) | Err(_) => Err(Absent),
    }
}

impl Read for Joined<'_> {
    fn read(&mut self, to: &mut [u8]) -> io::Result<usize> {
        let mut work = match self.at_work.take() {
            Some(work) => work,
            None => self.begin()?,
        };
        let count = loop {
            let count = work.out.read(to)?;
            if count > 0 || to.is_empty() || !self.advance(&mut work)? {
                break count;
            }
        };
        self.at_work = Some(work);
        Ok(count)
    }
}

impl Joined<'_> {
    /// Feeds the next octets; false once there are none.
    fn advance(&self, work: &mut AtWork) -> io::Result<bool> {
        let Some(joiner) = &mut work.joiner else { return Ok(false) };
        if let Some(chunk) = work.piece.get(work.fed..).filter(|rest| !rest.is_empty()) {
            let chunk = &chunk[..chunk.len().min(CHUNK)];
            joiner.feed(chunk).map_err(unjoined)?;
            work.fed += chunk.len();
        } else if let Some(place) = work.places.next() {
            let (carried, octets) = self.fetch(&place).map_err(io::Error::other)?;
            joiner.begin(carried).map_err(unjoined)?;
            (work.piece, work.fed) = (octets, 0);
        } else if let Some(joiner) = work.joiner.take() {
            joiner.finish().map_err(unjoined)?;
        }
        Ok(true)
    }
}

fn unjoined(why: Unjoined) -> io::Error {
    match why {
        Unjoined::Fault(fault) => io::Error::other(Misfit(fault)),
        Unjoined::Write(error) => error,
    }
}
