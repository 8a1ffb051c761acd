//! An attachment is never whole in memory: two hundred megabytes pass through the joiner.

use std::io::{self, Write};
use std::process::{Command, Stdio};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use flate2::Compression;
use flate2::write::GzEncoder;
use throughcare::packet::parts::join::{Carried, Expected, JoinLimits, Joiner};

/// Set for the child that joins.
const CHILD: &str = "THROUGHCARE_JOIN_CHILD";
/// Octets of the attachment: several times what the whole process may take.
const PLAIN: u64 = 200 << 20;
/// Octets of the gzipped one.
const GZIPPED: u64 = 96 << 20;

/// Counts, and keeps nothing.
struct Count(u64);

impl Write for Count {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0 += octets.len() as u64;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Hands gzip on to a joiner as it is made.
struct Feed(Joiner<Count>);

impl Write for Feed {
    fn write(&mut self, octets: &[u8]) -> io::Result<usize> {
        self.0.feed(octets).map_err(io::Error::other)?;
        Ok(octets.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[test]
fn two_hundred_megabytes_are_joined_in_constant_memory() {
    let child = Command::new(std::env::current_exe().unwrap())
        .args(["large_messages::memory::join_two_hundred_megabytes", "--exact", "--ignored", "--nocapture"])
        .env(CHILD, "1")
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout);
    let grown = said.lines().find_map(|l| l.strip_prefix("grown ")).expect("the child tells what it took");
    let grown: u64 = grown.parse().unwrap();
    // The program's own pages count, as they are touched for the first time.
    assert!(grown < 16 << 10, "{grown} KiB more were in memory at some time");
}

#[test]
#[ignore = "the child of the memory test, which starts it itself"]
fn join_two_hundred_megabytes() {
    std::env::var_os(CHILD).expect("only the memory test starts this");
    let block: Vec<u8> = (0..57 * 1024u32).map(|n| (n % 253) as u8).collect();
    let text = STANDARD.encode(&block);
    let before = peak();
    let rounds = PLAIN / block.len() as u64;
    let length = rounds * text.len() as u64;
    let expected = Expected { compressed: false, length: Some(length) };
    let mut joiner = Joiner::new(Count(0), expected, JoinLimits::default());
    for round in 0..rounds {
        if round % 60 == 0 {
            joiner.begin(Carried::Base64).unwrap();
        }
        joiner.feed(text.as_bytes()).unwrap();
    }
    let (count, joined) = joiner.finish().unwrap();
    assert_eq!((count.0, joined.bytes), (rounds * block.len() as u64, count.0));

    let expected = Expected { compressed: true, length: None };
    let limits = JoinLimits { ratio: 2000, ..JoinLimits::default() };
    let mut joiner = Joiner::new(Count(0), expected, limits);
    joiner.begin(Carried::Octets).unwrap();
    let mut encoder = GzEncoder::new(Feed(joiner), Compression::fast());
    let rounds = GZIPPED / block.len() as u64;
    (0..rounds).for_each(|_| encoder.write_all(&block).unwrap());
    let (count, _) = encoder.finish().unwrap().0.finish().unwrap();
    assert_eq!(count.0, rounds * block.len() as u64);
    println!("\ngrown {}", peak() - before);
}

/// The most that was in memory at one time, in KiB.
fn peak() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let peak = status.lines().find_map(|l| l.strip_prefix("VmHWM:")).unwrap();
    peak.trim().trim_end_matches(" kB").parse().unwrap()
}
