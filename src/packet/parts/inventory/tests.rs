//! Rows, counts and kinds, by the numbers of the specification.

use super::*;
use crate::transfer::gathering::Tally;

fn id(text: &str) -> MessageId {
    MessageId::parse(text).unwrap()
}

fn by_message(id: Option<&str>, mid: &str, description: &str) -> Item {
    Item {
        id: id.map(str::to_owned),
        href: Href::Message(mid.to_owned()),
        description: description.to_owned(),
    }
}

fn inside(cid: &str) -> Item {
    Item { id: None, href: Href::Part(cid.to_owned()), description: String::new() }
}

const LARGE: &str = "Filename=\"a.tif\" ContentType=image/tiff Compressed=Yes LargeAttachment=Yes Length=8";

fn index_row() -> Row {
    list_extract(&id("E"), &[by_message(Some("_D1"), "I", LARGE)]).unwrap().rows.remove(0)
}

#[test]
fn an_extract_gives_one_row_for_each_message() {
    // §4.2(1), AR10; F44: "Untitled" may repeat.
    let items = [
        inside("a@b"),
        by_message(Some("_D1"), "i1", LARGE),
        by_message(Some("D2"), "m2", "Untitled"),
        by_message(None, "m3", "Untitled"),
        by_message(Some("_D4"), "M2", "Untitled"),
    ];
    let listed = list_extract(&id("E"), &items).unwrap();
    let found: Vec<_> = listed.rows.iter().map(|row| (row.mid.as_str(), row.number)).collect();
    assert_eq!(found, [("I1", 1), ("M2", 2), ("M3", 3)]);
    assert_eq!(listed.doubled, [4], "one message brings one document");
    let documents: Vec<&str> = listed
        .rows
        .iter()
        .map(|row| match &row.role {
            Role::Item { document_id, .. } => document_id.as_str(),
            Role::Fragment { .. } => "",
        })
        .collect();
    assert_eq!(documents, ["D1", "D2", "M3"]);
    let Role::Item { said, .. } = &listed.rows[0].role else { panic!("an item") };
    assert_eq!(said.expected(), Expected { compressed: true, length: Some(8) });
    assert!(said.large_attachment && !said.skeleton);
}

#[test]
fn a_row_is_small_reads_back_and_does_not_name_its_file() {
    let long = format!("Filename=\"{}\" ContentType={} Compressed=No", "n".repeat(90_000), "t".repeat(9_000));
    let listed = list_extract(&id("E"), &[by_message(Some("_D"), "m", &long)]).unwrap();
    let text = serde_json::to_string(&listed.rows[0]).unwrap();
    assert!(text.len() < 2_000, "{} octets", text.len());
    assert_eq!(serde_json::from_str::<Row>(&text).unwrap(), listed.rows[0]);
    assert!(!format!("{:?}", listed.rows[0]).contains("nn"));
}

#[test]
fn n_counts_an_index_and_what_it_lists() {
    // §4.4: three items of which one index has four fragments: 7.
    let items = [
        by_message(Some("_D1"), "i", LARGE),
        by_message(Some("_D2"), "a", ""),
        by_message(Some("_D3"), "b", ""),
    ];
    let mut tally = Tally::default();
    let rows = list_extract(&id("E"), &items).unwrap().rows;
    rows.iter().for_each(|row| tally.add(row.settled()));
    let pieces: Vec<Item> = (0..4).map(|n| by_message(None, &format!("f{n}"), "")).collect();
    let index = list_index(&rows[0], &pieces, tally.rows, |_| Known::Nowhere).unwrap();
    tally.change(rows[0].settled(), index.row.settled());
    index.fragments.iter().for_each(|row| tally.add(row.settled()));
    assert_eq!(tally, Tally { rows: 7, arrived: 1, damaged: 0 });
}

#[test]
fn early_fragments_are_adopted_and_an_inline_piece_counts() {
    // §4.2(5), C16.
    let pieces = [inside("p@q"), by_message(None, "f1", ""), by_message(None, "f2", "")];
    let known = |mid: &MessageId| if mid.as_str() == "F2" { Known::Parked } else { Known::Nowhere };
    let mut index = list_index(&index_row(), &pieces, 1, known).unwrap();
    assert_eq!(index.row.arrival, Arrival::Index { pieces: 3, inline: vec![0] });
    assert_eq!(index.set, Set { pieces: 3, arrived: 2 });
    let numbers: Vec<_> = index.fragments.iter().map(|row| (row.number, row.arrival.clone())).collect();
    assert_eq!(numbers, [(1, Arrival::Awaited), (2, Arrival::Arrived)]);
    assert!(!index.set.is_whole());
    assert!(index.set.arrive(), "TD25.2: the one that completes the set, in whatever order");
    let single = list_index(&index_row(), &[by_message(None, "f", "")], 1, |_| Known::Parked).unwrap();
    assert!(single.set.is_whole(), "F24, the fragment first");
}

#[test]
fn an_index_names_neither_itself_nor_what_is_listed_elsewhere() {
    let fault = |pieces: &[Item], known: Known| list_index(&index_row(), pieces, 1, |_| known).unwrap_err();
    assert_eq!(fault(&[by_message(None, "i", "")], Known::Nowhere), ListFault::Itself(0));
    assert_eq!(fault(&[by_message(None, "f", "")], Known::Listed), ListFault::Elsewhere(0));
    let twice = [by_message(None, "f", ""), by_message(None, "F", "")];
    assert_eq!(fault(&twice, Known::Nowhere), ListFault::Elsewhere(1));
    assert_eq!(fault(&[by_message(None, "", "")], Known::Nowhere), ListFault::Malformed(0));
    let fragment =
        list_index(&index_row(), &[by_message(None, "f", "")], 1, |_| Known::Nowhere).unwrap().fragments;
    assert_eq!(list_index(&fragment[0], &twice, 1, |_| Known::Nowhere), Err(ListFault::Nested));
    assert_eq!(ListFault::Nested.response_code(), 30);
    assert_eq!(list_extract(&id("E"), &[by_message(None, "e", "")]), Err(ListFault::Itself(0)));
}

#[test]
fn there_is_an_end_to_rows() {
    let pieces = |n: u64| (0..n).map(|n| by_message(None, &format!("f{n}"), "")).collect::<Vec<_>>();
    assert_eq!(list_extract(&id("E"), &pieces(MOST_ROWS)).unwrap().rows.len() as u64, MOST_ROWS);
    assert_eq!(list_extract(&id("E"), &pieces(MOST_ROWS + 1)), Err(ListFault::TooMany));
    let list = |n| list_index(&index_row(), &pieces(n), 10, |_| Known::Nowhere);
    assert_eq!(list(MOST_ROWS - 10).unwrap().fragments.len() as u64, MOST_ROWS - 10);
    assert_eq!(list(MOST_ROWS - 9), Err(ListFault::TooMany));
}

#[test]
fn a_message_is_what_it_is_listed_as() {
    // §1.2, COPC kind.
    let row = index_row();
    let fragment =
        list_index(&row, &[by_message(None, "f", "")], 1, |_| Known::Nowhere).unwrap().fragments.remove(0);
    let (file, list) = ([inside("a@b")], [inside("a@b"), by_message(None, "f", "")]);
    assert_eq!(kind(true, &list, Some(&row)), PartKind::Continue);
    assert_eq!(kind(false, &list, Some(&row)), PartKind::Index);
    assert_eq!(kind(false, &list, None), PartKind::Index);
    assert_eq!(kind(false, &file, Some(&fragment)), PartKind::Fragment);
    assert_eq!(kind(false, &file, Some(&row)), PartKind::Attachment);
    assert_eq!(kind(false, &file, None), PartKind::Parked);
}

#[test]
fn a_damaged_part_is_counted_until_a_good_copy_comes() {
    // C2; F26: what is here is only acknowledged again.
    let row = index_row();
    let mut tally = Tally::default();
    tally.add(row.settled());
    assert!(!tally.is_accounted() && row.coming() == Coming::New);
    let bad = Row { arrival: Arrival::Damaged { code: 29 }, ..row.clone() };
    tally.change(row.settled(), bad.settled());
    assert!(tally.is_accounted() && !tally.is_complete() && bad.coming() == Coming::Again);
    let good = Row { arrival: Arrival::Arrived, ..row };
    tally.change(bad.settled(), good.settled());
    assert!(tally.is_complete() && good.coming() == Coming::Repeat);
    assert_eq!(tally, Tally { rows: 1, arrived: 1, damaged: 0 });
}

#[test]
fn a_document_that_no_manifest_lists_is_told() {
    // F29, AR10: `_` before the id on either side.
    let items = [by_message(Some("_d1"), "m", ""), by_message(Some("D2"), "n", "")];
    assert_eq!(unlisted(["D1", "_D2", "D3"], &items), ["D3"]);
}
