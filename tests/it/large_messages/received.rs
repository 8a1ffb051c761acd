//! What others sent (F24, F25; gp2gp reference §4.2(7), §4.2(10)).

use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;
use throughcare::model::MessageId;
use throughcare::packet::envelope::Href;
use throughcare::packet::fingerprint::{Fingerprint, sha1_base64};
use throughcare::packet::parts::gzip::gzip;
use throughcare::packet::parts::join::{Carried, Expected, JoinFault, Unjoined};
use throughcare::transfer::gathering::Tally;

use super::desk::{
    Desk, Message, Piece, captured_envelope, captured_message, expected_inside, join, json_message,
};
use crate::dice::Dice;
use crate::tools::shared;

/// Every order of few, and some orders of many.
fn orders(count: usize) -> Vec<Vec<usize>> {
    if count > 5 {
        let mut dice = Dice(7);
        return (0..100)
            .map(|_| {
                let mut left: Vec<usize> = (0..count).collect();
                (0..count).map(|_| left.remove(dice.index(left.len()))).collect()
            })
            .collect();
    }
    let mut orders = vec![vec![]];
    for next in 0..count {
        orders = orders
            .into_iter()
            .flat_map(|order: Vec<usize>| {
                (0..=order.len()).map(move |at| {
                    let mut longer = order.clone();
                    longer.insert(at, next);
                    longer
                })
            })
            .collect();
    }
    orders
}

/// The scenarios, with what is expected of each.
fn scenarios() -> Vec<(Vec<Message>, Value, std::path::PathBuf)> {
    let Some(folder) = shared("fixtures/large-message") else { return Vec::new() };
    let found = (1..=6).map(|n| {
        let folder = folder.join(format!("Scenario_{n}"));
        let expected: Value =
            serde_json::from_slice(&std::fs::read(folder.join("expected.json")).unwrap()).unwrap();
        let names = expected["messages"].as_array().unwrap().clone();
        let messages = names.iter().map(|name| json_message(&folder.join(name.as_str().unwrap())));
        (messages.collect(), expected, folder)
    });
    found.collect()
}

fn assert_is(pieces: &[Piece], expected: Expected, wanted: &Value, folder: &Path, step: usize) {
    let (octets, joined) = join(pieces, expected, step).unwrap();
    assert_eq!(joined.bytes, wanted["bytes"].as_u64().unwrap());
    assert_eq!(joined.digest.to_string(), wanted["sha256"].as_str().unwrap());
    assert_eq!(Fingerprint::of(&octets), joined.digest, "the digest is that of what came out");
    assert_eq!(octets, std::fs::read(folder.join(wanted["file"].as_str().unwrap())).unwrap());
}

/// The first message of the extract that is outside it.
fn outside(extract: &Message) -> Option<MessageId> {
    extract.references.iter().find_map(|item| match &item.href {
        Href::Message(mid) => MessageId::parse(mid).ok(),
        Href::Part(_) => None,
    })
}

#[test]
fn six_scenarios_come_out_the_same_in_every_order_of_arrival() {
    // F25, F23: the extract itself may come last.
    for (messages, expected, folder) in scenarios() {
        let wanted = &expected["attachments"][0];
        let Some(mid) = outside(&messages[0]) else {
            let said = expected_inside(&messages[0].references[0]);
            [1, 57, 4096].iter().for_each(|step| assert_is(&messages[0].files, said, wanted, &folder, *step));
            continue;
        };
        for (n, order) in orders(messages.len()).into_iter().enumerate() {
            let mut desk = Desk::default();
            for at in order {
                match at {
                    0 => desk.extract(&messages[0]),
                    at => drop(desk.part(&messages[at])),
                }
            }
            assert!(desk.tally.is_complete());
            let parts = messages.len() as u64 - 1;
            assert_eq!(desk.tally, Tally { rows: parts, arrived: parts, damaged: 0 });
            let steps: &[usize] = if n == 0 { &[1, 57, 4096] } else { &[4096] };
            let (pieces, said) = (desk.pieces(&mid), desk.expected(&mid));
            steps.iter().for_each(|step| assert_is(&pieces, said, wanted, &folder, *step));
        }
    }
}

/// The captured example: the extract, and its five parts.
fn example() -> Option<(Message, Vec<Message>)> {
    let folder = shared("fixtures/conversations/large-message-example-2")?;
    let mut paths: Vec<_> = std::fs::read_dir(folder).unwrap().map(|e| e.unwrap().path()).collect();
    paths.sort();
    let (extracts, parts): (Vec<_>, Vec<_>) =
        paths.iter().partition(|path| path.to_string_lossy().contains("RCMR_IN"));
    Some((captured_envelope(extracts[0]), parts.into_iter().map(|path| captured_message(path)).collect()))
}

const INDEX: &str = "CBBAE92D-C7E8-4A9C-8887-F5AEBA1F8CE1";

#[test]
fn the_captured_example_comes_out_the_same_in_every_order_of_arrival() {
    // §4.2(10): 1,215,082 octets of gzip, 3,291,641 unpacked; F44: the index has its own id as conversation.
    let Some((extract, parts)) = example() else { return };
    assert_eq!(parts.len(), 5);
    let index = MessageId::parse(INDEX).unwrap();
    let digest = "ee9fe1af40a27e58ca32dce32c891dce2885bbcb";
    let digest: Vec<u8> =
        (0..20).map(|n| u8::from_str_radix(&digest[2 * n..2 * n + 2], 16).unwrap()).collect();
    let mut pieces = None;
    for order in orders(parts.len()) {
        let mut desk = Desk::default();
        desk.extract(&extract);
        let whole: Vec<MessageId> = order.iter().filter_map(|at| desk.part(&parts[*at])).collect();
        assert!(desk.tally.is_complete());
        assert_eq!(desk.tally.rows, 5, "three items and two fragments");
        assert_eq!(whole.iter().filter(|mid| **mid == index).count(), 1, "F27: assembled once");
        let found = (desk.pieces(&index), desk.expected(&index));
        assert_eq!(*pieces.get_or_insert_with(|| found.clone()), found, "the same pieces in the same order");
    }
    let (pieces, said) = pieces.unwrap();
    let (packed, _) = join(&pieces, Expected { compressed: false, length: None }, 4096).unwrap();
    assert_eq!(packed.len(), 1_215_082);
    for step in [1, 57, 4096] {
        let (octets, joined) = join(&pieces, said, step).unwrap();
        assert_eq!((joined.bytes, joined.pieces), (3_291_641, 2));
        assert_eq!(sha1_base64(&octets), STANDARD.encode(&digest));
    }
}

fn fault(pieces: &[Piece], expected: Expected) -> Option<JoinFault> {
    match join(pieces, expected, 4096) {
        Ok(_) => None,
        Err(Unjoined::Fault(fault)) => {
            assert_eq!(fault.response_code(), 29, "TD25.2.1");
            Some(fault)
        }
        Err(Unjoined::Write(error)) => panic!("memory takes everything: {error}"),
    }
}

fn changed(pieces: &[Piece], piece: usize, at: usize, to: u8) -> Vec<Piece> {
    let mut changed = pieces.to_vec();
    changed[piece].1[at] = to;
    changed
}

#[test]
fn a_damaged_file_is_refused_with_its_reason() {
    let Some((extract, parts)) = example() else { return };
    let mut desk = Desk::default();
    desk.extract(&extract);
    parts.iter().for_each(|part| drop(desk.part(part)));
    let index = MessageId::parse(INDEX).unwrap();
    let (pieces, said) = (desk.pieces(&index), desk.expected(&index));
    let middle = pieces[0].1.len() / 2;
    assert_eq!(fault(&changed(&pieces, 0, middle, b'*'), said), Some(JoinFault::NotBase64));
    assert_eq!(fault(&changed(&pieces, 0, middle, b'='), said), Some(JoinFault::Padding));
    let other = if pieces[0].1[middle] == b'A' { b'B' } else { b'A' };
    assert_eq!(fault(&changed(&pieces, 0, middle, other), said), Some(JoinFault::Gzip));
    assert_eq!(fault(&pieces[..1], said), Some(JoinFault::Gzip), "the second fragment is missing");
    assert_eq!(fault(&pieces[1..], said), Some(JoinFault::Gzip), "the first fragment is missing");
    let twice = [&pieces[..], &pieces[1..]].concat();
    assert_eq!(fault(&twice, said), Some(JoinFault::Trailing));
    let swapped = [pieces[1].clone(), pieces[0].clone()];
    assert!(fault(&swapped, said).is_some());
    let mut cut = pieces.clone();
    let length = cut[1].1.len();
    cut[1].1.truncate(length / 2);
    assert!(matches!(fault(&cut, said), Some(JoinFault::Gzip | JoinFault::Cut)));
    for wrong in [0, 1_620_107, 1_620_109, u64::MAX] {
        let said = Expected { length: Some(wrong), ..said };
        assert_eq!(fault(&pieces, said), Some(JoinFault::Length), "{wrong}");
    }
    let true_length = Expected { length: Some(1_620_112), ..said };
    assert_eq!(fault(&pieces, true_length), None, "1,215,082 octets are that many characters");
}

#[test]
fn length_tells_of_fragments_that_gzip_would_not() {
    // Scenario 6: Length, and a first piece inside the index.
    let Some((messages, ..)) = scenarios().pop() else { return };
    let mut desk = Desk::default();
    desk.extract(&messages[0]);
    messages[1..].iter().for_each(|part| drop(desk.part(part)));
    let mid = outside(&messages[0]).unwrap();
    let (pieces, said) = (desk.pieces(&mid), desk.expected(&mid));
    assert_eq!((pieces.len(), said.length), (3, Some(36_504)));
    assert_eq!(fault(&pieces, said), None);
    for at in 0..3 {
        let missing: Vec<Piece> =
            pieces.iter().enumerate().filter(|(n, _)| *n != at).map(|(_, p)| p.clone()).collect();
        assert!(matches!(
            fault(&missing, said),
            Some(JoinFault::Length | JoinFault::Cut | JoinFault::Padding)
        ));
        let twice = [&pieces[..=at], &pieces[at..]].concat();
        assert!(matches!(fault(&twice, said), Some(JoinFault::Length | JoinFault::Cut | JoinFault::Padding)));
    }
}

#[test]
fn what_comes_twice_changes_nothing_and_what_is_missing_is_missed() {
    // F26, C2.
    let Some((extract, parts)) = example() else { return };
    let mut desk = Desk::default();
    desk.extract(&extract);
    for part in &parts[..4] {
        desk.part(part);
    }
    assert!(!desk.tally.is_complete() && !desk.tally.is_accounted());
    desk.part(&parts[4]);
    let (rows, tally) = (desk.rows.clone(), desk.tally);
    for part in parts.iter().chain(&parts) {
        assert_eq!(desk.part(part), None);
    }
    assert_eq!(desk.repeated, 10);
    assert!(desk.rows == rows && desk.tally == tally, "replayed twice, unchanged");
}

#[test]
fn random_damage_gives_a_fault_or_a_file_and_never_a_panic() {
    // Small, so that many can be tried: a gzip in three fragments cut inside groups.
    let file: Vec<u8> = (0..2_000u32).map(|n| (n % 97) as u8).collect();
    let mut packed = Vec::new();
    gzip(&file[..], &mut packed).unwrap();
    let text = STANDARD.encode(&packed).into_bytes();
    let length = Some(text.len() as u64);
    let cut = (text.len() / 3, text.len() / 3 * 2 + 1);
    let whole: Vec<Piece> = [&text[..cut.0], &text[cut.0..cut.1], &text[cut.1..]]
        .into_iter()
        .map(|piece| (Carried::Base64, piece.to_vec()))
        .collect();
    assert_eq!(join(&whole, Expected { compressed: true, length }, 7).unwrap().0, file);
    let (mut dice, mut refused) = (Dice(11), 0);
    for _ in 0..5_000 {
        let mut pieces = whole.clone();
        for _ in 0..=dice.below(3) {
            damage(&mut dice, &mut pieces);
        }
        let expected = Expected { compressed: dice.chance(800), length: length.filter(|_| dice.chance(500)) };
        match join(&pieces, expected, 1 + dice.index(100)) {
            Ok((octets, joined)) => assert_eq!(joined.bytes, octets.len() as u64),
            Err(Unjoined::Fault(fault)) => {
                refused += 1;
                assert!(matches!(fault.response_code(), 29 | 30));
            }
            Err(Unjoined::Write(error)) => panic!("memory takes everything: {error}"),
        }
    }
    assert!(refused > 2_000, "{refused} were refused");
}

fn damage(dice: &mut Dice, pieces: &mut Vec<Piece>) {
    if pieces.is_empty() {
        return;
    }
    let at = dice.index(pieces.len());
    let place = dice.index(pieces[at].1.len());
    match dice.below(6) {
        0 => drop(pieces.remove(at)),
        1 => pieces.push(pieces[at].clone()),
        2 => pieces[at].1.truncate(place),
        3 => pieces[at].0 = Carried::Octets,
        4 => pieces[at].1.insert(place, *dice.one(b"=\n *A\0")),
        _ => {
            if let Some(octet) = pieces[at].1.get_mut(place) {
                *octet = dice.next() as u8;
            }
        }
    }
}
