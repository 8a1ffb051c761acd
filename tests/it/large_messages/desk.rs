//! Messages of a large transfer, read from the fixtures, and a desk that takes them in any order as a receiver would:
//! rows by message, what came early put aside, files joined once their set is whole.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;
use throughcare::model::MessageId;
use throughcare::packet::description::Description;
use throughcare::packet::envelope::{Href, Item, read_header, read_manifest};
use throughcare::packet::mime::{MimeLimits, Strictness};
use throughcare::packet::parts::inventory::{
    Arrival, Coming, Known, PartKind, Role, Row, Set, kind, list_extract, list_index,
};
use throughcare::packet::parts::join::{Carried, Expected, JoinLimits, Joined, Joiner, Unjoined, piece};
use throughcare::packet::xml::{Document, XmlLimits};
use throughcare::packet::{Received, open};
use throughcare::transfer::gathering::Tally;

/// A file as it travelled.
pub type Piece = (Carried, Vec<u8>);

/// One message: an extract, an index or a part.
#[derive(Clone)]
pub struct Message {
    pub id: MessageId,
    /// After the HL7 reference.
    pub references: Vec<Item>,
    /// In the order of the references inside.
    pub files: Vec<Piece>,
}

/// A message of the JSON fixtures. Where its envelope and its list of attachments differ, the list is what the peer meant.
pub fn json_message(path: &Path) -> Message {
    let value: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let envelope = value["ebXML"].as_str().unwrap();
    let document = Document::parse(envelope.as_bytes(), &XmlLimits::envelope()).unwrap();
    let id = document.root().descendants().find(|e| e.name() == "MessageId").unwrap().text();
    let mut references = read_manifest(&document).unwrap().split_off(1);
    let list = |name: &str| value[name].as_array().cloned().unwrap_or_default();
    let attachments = list("attachments");
    let mut inside = attachments.iter();
    for item in &mut references {
        let listed = match &item.href {
            Href::Part(_) => inside.next().cloned(),
            Href::Message(mid) => {
                list("external_attachments").into_iter().find(|a| a["message_id"] == mid.as_str())
            }
        };
        if let Some(said) = listed.as_ref().and_then(|a| a["description"].as_str()) {
            said.clone_into(&mut item.description);
        }
    }
    let files = attachments.iter().map(|a| {
        let payload = a["payload"].as_str().unwrap();
        match a["is_base64"].as_str() {
            // In one fixture the ends of lines have become quotes.
            Some("true") => (Carried::Base64, payload.replace('"', "\n").into_bytes()),
            _ => (Carried::Octets, payload.as_bytes().to_vec()),
        }
    });
    Message { id: MessageId::parse(id.trim()).unwrap(), references, files: files.collect() }
}

/// A captured message, HTTP headers first.
pub fn captured_message(path: &Path) -> Message {
    let octets = std::fs::read(path).unwrap();
    let end = octets.windows(2).position(|w| w == b"\n\n").map(|at| at + 2);
    let end = end.or_else(|| octets.windows(4).position(|w| w == b"\r\n\r\n").map(|at| at + 4)).unwrap();
    let head = String::from_utf8_lossy(&octets[..end]).into_owned();
    let content_type = head.lines().find_map(|line| line.strip_prefix("Content-Type:")).unwrap();
    let read = open(content_type.trim(), &octets[end..], Strictness::Tolerant, &MimeLimits::default());
    let Received::Business(incoming) = read.unwrap() else { panic!("a business message") };
    let files = incoming.attachments().into_iter().filter_map(|(_, part)| part).map(|part| {
        let (carried, octets) = piece(part);
        (carried, octets.to_vec())
    });
    Message {
        id: incoming.header.message_id.clone(),
        files: files.collect(),
        references: incoming.manifest[1..].to_vec(),
    }
}

/// A captured extract of which only the envelope can be read: its MIME is damaged.
pub fn captured_envelope(path: &Path) -> Message {
    let octets = std::fs::read(path).unwrap();
    let text = String::from_utf8_lossy(&octets);
    let envelope = between(&text, "<SOAP:Envelope", "</SOAP:Envelope>");
    let document = Document::parse(envelope.as_bytes(), &XmlLimits::envelope()).unwrap();
    Message {
        id: read_header(&document).unwrap().message_id,
        references: read_manifest(&document).unwrap().split_off(1),
        files: Vec::new(),
    }
}

/// From where the one begins to where the other ends.
pub fn between<'t>(text: &'t str, from: &str, to: &str) -> &'t str {
    &text[text.find(from).unwrap()..text.find(to).unwrap() + to.len()]
}

/// Joins pieces, fed in chunks of `step` octets.
pub fn join(pieces: &[Piece], expected: Expected, step: usize) -> Result<(Vec<u8>, Joined), Unjoined> {
    let mut joiner = Joiner::new(Vec::new(), expected, JoinLimits::default());
    for (carried, octets) in pieces {
        joiner.begin(*carried)?;
        octets.chunks(step).try_for_each(|chunk| joiner.feed(chunk))?;
    }
    joiner.finish()
}

/// What a receiver has of one transfer.
#[derive(Default)]
pub struct Desk {
    pub tally: Tally,
    pub rows: HashMap<MessageId, Row>,
    /// How often a message was acknowledged again without being looked at.
    pub repeated: usize,
    aside: HashMap<MessageId, Message>,
    files: HashMap<MessageId, Vec<Piece>>,
    sets: HashMap<MessageId, Set>,
}

impl Desk {
    pub fn extract(&mut self, message: &Message) {
        let listed = list_extract(&message.id, &message.references).unwrap();
        assert_eq!(listed.doubled, [0u32; 0]);
        self.add(listed.rows);
    }

    fn add(&mut self, rows: Vec<Row>) {
        let mids: Vec<MessageId> = rows.iter().map(|row| row.mid.clone()).collect();
        for row in rows {
            self.tally.add(row.settled());
            self.rows.insert(row.mid.clone(), row);
        }
        for early in mids.iter().filter_map(|mid| self.aside.remove(mid)).collect::<Vec<_>>() {
            self.part(&early);
        }
    }

    /// Takes a part, and gives the message whose file is whole with it.
    pub fn part(&mut self, message: &Message) -> Option<MessageId> {
        let row = self.rows.get(&message.id).cloned();
        let Some(before) = row else {
            assert!(matches!(kind(false, &message.references, None), PartKind::Parked | PartKind::Index));
            self.aside.insert(message.id.clone(), message.clone());
            return None;
        };
        match before.coming() {
            Coming::Repeat => {
                self.repeated += 1;
                return None;
            }
            Coming::New | Coming::Again => {}
        }
        self.files.insert(message.id.clone(), message.files.clone());
        match kind(false, &message.references, Some(&before)) {
            PartKind::Index => self.index(&before, message),
            PartKind::Fragment => {
                self.change(&before, Row { arrival: Arrival::Arrived, ..before.clone() });
                let index = before.index().unwrap().clone();
                self.sets.get_mut(&index).unwrap().arrive().then_some(index)
            }
            PartKind::Attachment => {
                self.change(&before, Row { arrival: Arrival::Arrived, ..before.clone() });
                Some(message.id.clone())
            }
            PartKind::Continue | PartKind::Parked => panic!("it is listed and acknowledges nothing"),
        }
    }

    fn index(&mut self, before: &Row, message: &Message) -> Option<MessageId> {
        let known = |mid: &MessageId| match (self.rows.contains_key(mid), self.aside.contains_key(mid)) {
            (true, _) => Known::Listed,
            (false, true) => Known::Parked,
            (false, false) => Known::Nowhere,
        };
        let index = list_index(before, &message.references, self.tally.rows, known).unwrap();
        self.change(before, index.row);
        for row in index.fragments {
            if let Some(early) = self.aside.remove(&row.mid) {
                self.files.insert(row.mid.clone(), early.files);
            }
            self.tally.add(row.settled());
            self.rows.insert(row.mid.clone(), row);
        }
        let whole = index.set.is_whole();
        self.sets.insert(before.mid.clone(), index.set);
        whole.then(|| before.mid.clone())
    }

    fn change(&mut self, before: &Row, after: Row) {
        self.tally.change(before.settled(), after.settled());
        self.rows.insert(after.mid.clone(), after);
    }

    /// The pieces of the file that a message of the extract brings, in the order of the index.
    pub fn pieces(&self, mid: &MessageId) -> Vec<Piece> {
        let own = &self.files[mid];
        let Arrival::Index { pieces, inline } = &self.rows[mid].arrival else { return own.clone() };
        let mut placed: Vec<(u32, Piece)> = inline.iter().copied().zip(own.iter().cloned()).collect();
        let fragments = self.rows.values().filter(|row| row.index() == Some(mid));
        placed.extend(fragments.map(|row| (row.number, self.files[&row.mid][0].clone())));
        placed.sort_by_key(|(number, _)| *number);
        assert_eq!(placed.len(), *pieces as usize, "every piece is here");
        placed.into_iter().map(|(_, piece)| piece).collect()
    }

    /// What the extract says of the file.
    pub fn expected(&self, mid: &MessageId) -> Expected {
        let Role::Item { said, .. } = &self.rows[mid].role else { panic!("an item of the extract") };
        said.expected()
    }
}

/// What an extract says of a file inside it.
pub fn expected_inside(item: &Item) -> Expected {
    Expected::of(&Description::parse(&item.description))
}
