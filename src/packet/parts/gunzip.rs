//! Octets on their way out, counted, digested and held to their limits, gunzipped first where they must be (F30).
//!
//! It does not know where the octets came from.

use std::io::{self, Write};

use flate2::write::GzDecoder;

use super::join::{JoinFault, JoinLimits, Unjoined};
use crate::packet::fingerprint::{Digesting, Fingerprint};

/// The end of the way: what passes is counted and digested, and nothing passes beyond the limits.
pub(super) struct Outlet<W> {
    out: W,
    digest: Digesting,
    bytes: u64,
    /// Octets of gzip that went in so far; none where nothing is unpacked.
    packed: Option<u64>,
    limits: JoinLimits,
    failed: Option<Unjoined>,
}

impl<W: Write> Outlet<W> {
    fn new(out: W, packed: Option<u64>, limits: JoinLimits) -> Self {
        Self { out, digest: Digesting::default(), bytes: 0, packed, limits, failed: None }
    }

    fn check(&self) -> Result<(), JoinFault> {
        if self.bytes > self.limits.bytes {
            return Err(JoinFault::TooLarge);
        }
        let most = |packed: u64| packed.saturating_mul(self.limits.ratio).max(self.limits.ratio_from);
        match self.packed {
            Some(packed) if self.bytes > most(packed) => Err(JoinFault::Ratio),
            Some(_) | None => Ok(()),
        }
    }

    fn push(&mut self, octets: &[u8]) -> Result<(), Unjoined> {
        self.bytes = self.bytes.saturating_add(octets.len() as u64);
        self.check()?;
        self.digest.update(octets);
        self.out.write_all(octets).map_err(Unjoined::Write)
    }
}

impl<W: Write> Write for Outlet<W> {
    /// Once something is wrong, nothing passes any more: the reason is kept.
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        if self.failed.is_none() {
            self.failed = self.push(octets).err();
        }
        match self.failed {
            None => Ok(octets.len()),
            Some(_) => Err(io::Error::other("no more is taken")),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What the octets go through.
pub(super) enum Passage<W: Write> {
    /// Nothing: they go out as they are.
    Plain(Outlet<W>),
    /// Gunzip, in the middle of a member.
    Packed(Box<GzDecoder<Outlet<W>>>),
    /// Gunzip, after a whole member: another may follow, or zeros that fill a block.
    Between(Outlet<W>),
    /// It has failed.
    Shut,
}

impl<W: Write> Passage<W> {
    pub(super) fn new(out: W, compressed: bool, limits: JoinLimits) -> Self {
        if compressed {
            Self::Packed(Box::new(GzDecoder::new(Outlet::new(out, Some(0), limits))))
        } else {
            Self::Plain(Outlet::new(out, None, limits))
        }
    }

    /// Takes the next octets.
    pub(super) fn push(&mut self, mut octets: &[u8]) -> Result<(), Unjoined> {
        while !octets.is_empty() {
            let taken = match self {
                Self::Plain(outlet) => {
                    outlet.push(octets)?;
                    octets.len()
                }
                Self::Packed(decoder) => unpack(decoder, octets)?,
                Self::Between(_) => self.next_member(octets)?,
                Self::Shut => return Err(JoinFault::Gzip.into()),
            };
            octets = &octets[taken..];
            if taken == 0 {
                self.end_member()?;
            }
        }
        Ok(())
    }

    /// All octets are in: what came out.
    pub(super) fn finish(mut self) -> Result<(W, u64, Fingerprint), Unjoined> {
        if matches!(self, Self::Packed(_)) {
            self.end_member()?;
        }
        match self {
            Self::Plain(outlet) | Self::Between(outlet) => {
                Ok((outlet.out, outlet.bytes, outlet.digest.finish()))
            }
            Self::Packed(_) | Self::Shut => Err(JoinFault::Gzip.into()),
        }
    }

    /// Checks sum and length of the member that has ended.
    fn end_member(&mut self) -> Result<(), Unjoined> {
        let Self::Packed(mut decoder) = std::mem::replace(self, Self::Shut) else {
            return Err(JoinFault::Gzip.into());
        };
        let ended = decoder.try_finish();
        if let Some(failed) = decoder.get_mut().failed.take() {
            return Err(failed);
        }
        ended.map_err(|_| JoinFault::Gzip)?;
        *self = Self::Between(decoder.finish().map_err(|_| JoinFault::Gzip)?);
        Ok(())
    }

    /// What follows a member: another (RFC 1952 §2.2), zeros, or garbage. Takes the zeros.
    fn next_member(&mut self, octets: &[u8]) -> Result<usize, Unjoined> {
        let zeros = octets.iter().take_while(|octet| **octet == 0).count();
        if octets.get(zeros) == Some(&GZIP) && zeros == 0 {
            if let Self::Between(outlet) = std::mem::replace(self, Self::Shut) {
                *self = Self::Packed(Box::new(GzDecoder::new(outlet)));
            }
            return self.first_of_member(octets);
        }
        if zeros < octets.len() { Err(JoinFault::Trailing.into()) } else { Ok(zeros) }
    }

    fn first_of_member(&mut self, octets: &[u8]) -> Result<usize, Unjoined> {
        match self {
            Self::Packed(decoder) => unpack(decoder, octets),
            Self::Plain(_) | Self::Between(_) | Self::Shut => Err(JoinFault::Gzip.into()),
        }
    }
}

/// The first octet of every gzip member.
const GZIP: u8 = 0x1f;

/// Gives octets to a member; how many it took, none when it is at its end.
fn unpack<W: Write>(decoder: &mut GzDecoder<Outlet<W>>, octets: &[u8]) -> Result<usize, Unjoined> {
    // A little at a time, so that the ratio is judged by what went in.
    let octets = &octets[..octets.len().min(4096)];
    let outlet = decoder.get_mut();
    outlet.packed = outlet.packed.map(|packed| packed.saturating_add(octets.len() as u64));
    let taken = decoder.write(octets);
    match decoder.get_mut().failed.take() {
        Some(failed) => {
            // Dropping the decoder writes once more: nothing may pass.
            decoder.get_mut().failed = Some(JoinFault::Gzip.into());
            Err(failed)
        }
        None => Ok(taken.map_err(|_| JoinFault::Gzip)?),
    }
}
