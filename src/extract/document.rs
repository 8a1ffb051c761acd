//! DocumentReference: a NarrativeStatement that points at a file beside the extract, or at a placeholder that says why
//! the file is not there (extract §8.8).
//!
//! It never reads a document: whether there is one is told by [`super::Documents`].

use base64::Engine as _;
use uuid::Uuid;

use super::account::{Fault, Unsent};
use super::codes;
use super::dates::{self, Span};
use super::draft::Draft;
use super::fhir::{self, Reference};
use super::file::{mime, percent, safe, sniffed, suffix};
use super::json::Json;
use super::reading::{Reading, comment_code};
use super::result;
use super::scene::Scene;
use super::tree::Element;
use super::unread;
use super::unslotted;
use super::work::{Kind, OBSERVATION, Statement, Target, Work, complete, fixed, id, label, participant};
use super::xml::Xml;
use super::{AbsentReason, Attachment, Content, Document, MissingDocument};

/// The code of every external document (extract §8.8).
const SIGNAL: (&str, &str) = ("37251000000104", "Other digital signal");

/// Writes the statement of a document.
pub(super) fn statement(work: &mut Work<'_>, at: usize) -> Option<Statement> {
    let resource = work.json(at);
    if resource.word("status") == Some("entered-in-error") {
        work.leave(at, Unsent::EnteredInError);
        return None;
    }
    let own = work.own(at);
    let mut draft = Draft::default();
    let created = draft.date("Created", resource.at("created"));
    let indexed = draft.date("Indexed", resource.at("indexed"));
    text(work, at, &mut draft);
    draft.another_day("Indexed", resource.at("indexed"), created.as_deref());
    let available = created.or(indexed);
    let author = resource.list("author").first().unwrap_or(&Json::Null);
    let agent = work.agent(at, author, &mut draft);
    let mut files = Vec::new();
    for (n, content) in contents(resource).iter().enumerate() {
        let id = if n == 0 { own.clone() } else { work.part(at, &format!("document/{n}")) };
        files.push(file(work, id, content.at("attachment"), &mut draft));
    }
    let labelled = work.labels(at);
    let mut x = Xml::new();
    x.with("NarrativeStatement", &OBSERVATION, |x| {
        id(x, &own);
        let text = draft.text();
        x.leaf("text", &[], if text.is_empty() { "Document" } else { &text });
        complete(x);
        dates::write(x, "availabilityTime", available.as_deref());
        label(x, labelled);
        participant(x, "PRF", agent.as_deref());
        for file in &files {
            file.write(x, resource.at("type"), labelled);
        }
    });
    if x.replaced() {
        draft.fault(Fault::CharactersReplaced);
    }
    work.attachments.extend(files.into_iter().map(|f| f.attachment));
    work.targets.insert(at, Target { id: own.clone(), class: "OBS", mood: "EVN" });
    work.settle(at, &own, &draft);
    Some(Statement {
        xml: x.into_text(),
        kind: Kind::Entry,
        effective: Span::at(available.clone()),
        time: available,
        author: agent.clone(),
        performer: agent,
        labelled: work.labelled[at],
    })
}

/// The contents of a document; one without any still has a placeholder.
fn contents<'a>(resource: &'a Json<'a>) -> &'a [Json<'a>] {
    match resource.list("content") {
        [] => &[Json::Null],
        contents => contents,
    }
}

/// What is read of a DocumentReference; the rest goes to text.
const TOLD: &[&str] = &[
    "status",
    "type",
    "author",
    "created",
    "indexed",
    "description",
    "custodian",
    "securityLabel",
    "content.attachment",
    "context.practiceSetting",
    "context.encounter",
];

fn text(work: &Work<'_>, at: usize, draft: &mut Draft) {
    let resource = work.json(at);
    draft.concept("Type", resource.at("type"));
    codes::unmappable(resource.at("type"), draft);
    let organisation = |reference: &Json| {
        let found = work.record.resolve(at, reference)?;
        work.entry(found)
            .json
            .word("name")
            .filter(|_| work.entry(found).kind == "Organization")
            .map(str::to_owned)
    };
    for (n, author) in resource.list("author").iter().enumerate() {
        let name = organisation(author);
        draft.say("Author Org", name.as_deref());
        // The first one is the performer.
        if name.is_none() && n > 0 {
            draft.say("Author", work.referred(at, author).as_deref());
        }
    }
    let custodian = resource.at("custodian");
    draft.say("Custodian Org", organisation(custodian).or_else(|| work.referred(at, custodian)).as_deref());
    draft.quote("Description", resource.word("description"));
    draft.concept("Setting", resource.at("context").at("practiceSetting"));
    match resource.word("status") {
        Some("current") | None => {}
        Some(status) => draft.say("Status", Some(status)),
    }
    for title in resource.list("content").iter().filter_map(|c| c.at("attachment").word("title")) {
        draft.say("Title", Some(title).filter(|title| !is_file_name(title)));
    }
    work.stray(at, "Context", resource.at("context").at("encounter"), draft);
    unslotted::say(work, at, TOLD, draft);
}

/// Whether a title is the name that some system gave the file: an id comes first in it.
fn is_file_name(title: &str) -> bool {
    is_placeholder(title) || title.get(..36).is_some_and(|id| Uuid::try_parse(id).is_ok())
}

/// Whether a file's title says that it stands for one that could not be included.
fn is_placeholder(title: &str) -> bool {
    title.starts_with("AbsentAttachment")
}

/// One external document and the file it means.
pub(super) struct File {
    pub(super) attachment: Attachment,
}

impl File {
    /// Writes the reference to it, under the kind of document that the words say.
    pub(super) fn write(&self, x: &mut Xml, kind: &Json, labelled: bool) {
        let file = &self.attachment;
        x.with("reference", &[("typeCode", "REFR")], |x| {
            x.with("referredToExternalDocument", &[("classCode", "DOC"), ("moodCode", "EVN")], |x| {
                id(x, &file.document_id);
                match codes::words(kind) {
                    Some(words) => {
                        codes::under(x, SIGNAL, Some(&words), kind, &mut Draft::default());
                    }
                    None => fixed(x, SIGNAL.0, SIGNAL.1, None),
                }
                x.with("text", &[("mediaType", &file.content_type)], |x| {
                    let place = format!("file://localhost/{}", percent(&file.file_name));
                    x.empty("reference", &[("value", &place)]);
                });
                label(x, labelled);
            });
        });
    }
}

/// The file of an attachment: the source's, what is inline, or a placeholder.
pub(super) fn file(work: &Work<'_>, document_id: String, attachment: &Json, draft: &mut Draft) -> File {
    let stated = attachment.word("contentType").unwrap_or_default();
    let url = attachment.word("url");
    let inline = attachment.word("data").and_then(|data| {
        let packed: String = data.chars().filter(|c| !c.is_ascii_whitespace()).collect();
        base64::engine::general_purpose::STANDARD.decode(packed).ok()
    });
    let found = match (&inline, url) {
        (Some(bytes), _) => Document::Present {
            length: u64::try_from(bytes.len()).unwrap_or(u64::MAX),
            content_type: stated.to_owned(),
        },
        (None, Some(url)) => work.documents.find(url),
        (None, None) => Document::Absent(AbsentReason::NotFound),
    };
    let content_type = match found {
        Document::Present { content_type, .. } => content_type,
        Document::Absent(reason) => {
            draft.fault(Fault::AttachmentAbsent);
            draft.say("Absent Attachment", Some(reason.words()));
            return absent(work, document_id, attachment, reason);
        }
    };
    let content_type = mime(&content_type).or_else(|| mime(stated));
    if content_type.is_none() {
        draft.say("Content type", Some(stated).filter(|s| !s.is_empty()));
        draft.say("Looks like", inline.as_deref().and_then(sniffed));
    }
    let content_type = content_type.unwrap_or("application/octet-stream").to_owned();
    let suffix = suffix(attachment.word("title").or(url), &content_type);
    let content = match (inline, url) {
        (Some(bytes), _) => Content::Inline(bytes),
        (None, url) => Content::Source(url.unwrap_or_default().to_owned()),
    };
    // A placeholder received from another system is passed on as one: its text says who must chase it.
    let placeholder = attachment.word("title").is_some_and(is_placeholder);
    let file_name = if placeholder {
        format!("AbsentAttachment{document_id}.txt")
    } else {
        format!("{document_id}{suffix}")
    };
    File { attachment: Attachment { document_id, file_name, content_type, content } }
}

/// A placeholder for a file that cannot be included.
fn absent(work: &Work<'_>, document_id: String, attachment: &Json, reason: AbsentReason) -> File {
    let stated = attachment.word("contentType").unwrap_or_default();
    let suffix = suffix(attachment.word("title").or(attachment.word("url")), stated);
    let title = attachment.word("title").filter(|title| safe(title));
    let original = title.map_or_else(|| format!("{document_id}{suffix}"), str::to_owned);
    let content = Content::Placeholder(placeholder(work, &original, reason).into_bytes());
    let file_name = format!("AbsentAttachment{document_id}.txt");
    File { attachment: Attachment { document_id, file_name, content_type: "text/plain".to_owned(), content } }
}

/// The four lines of a placeholder (NPFIT-PC-BLD-0099).
fn placeholder(work: &Work<'_>, original: &str, reason: AbsentReason) -> String {
    let sender = &work.parameters.from_ods;
    let conversation = &work.parameters.conversation;
    format!(
        "The following file could not be included with the Electronic Record:\r\n{original}\r\n{sender}:{conversation}\r\nReason:{}:{}\r\n",
        reason.code(),
        reason.words()
    )
}

/// Reads a NarrativeStatement: a document, or a comment (extract §13.2).
pub(super) fn read<'t>(
    reading: &mut Reading<'t>,
    statement: Element<'t>,
    scene: &Scene<'t>,
) -> Vec<Reference<'t>> {
    let files: Vec<_> =
        statement.all("reference").filter_map(|r| r.child("referredToExternalDocument")).collect();
    if files.is_empty() {
        return vec![comment(reading, statement, scene)];
    }
    let mut draft = Draft::default();
    let id = reading.id(statement);
    let available = statement.of("availabilityTime", "value");
    let created = draft.moment("Available", available);
    let author = reading.actor(statement, &["PRF", "PPRF", "AUT"], scene, &mut draft);
    let content = files.iter().map(|file| received(reading, *file, &mut draft)).collect();
    let named = files.first().and_then(|f| f.child("code"));
    let description = described(reading, statement, &files, scene, author.as_ref(), &mut draft);
    let document = fhir::DocumentReference {
        meta: reading.meta("DocumentReference", statement, &reading.merging(scene, files)),
        identifier: reading.identifier(&id),
        status: "current",
        r#type: named.map(|code| codes::plain(code, &mut draft)),
        subject: reading.subject(),
        created,
        indexed: available.and_then(dates::instant).or_else(|| reading.written(scene)),
        author: author.into_iter().collect(),
        description,
        content,
        context: scene.context().map(|encounter| fhir::DocumentContext {
            encounter: Some(encounter),
            ..fhir::DocumentContext::default()
        }),
        ..fhir::DocumentReference::default()
    };
    let reference = reading.add("DocumentReference", &id, &document);
    reading.settle(statement, &reference, &draft);
    reading.merge_inner(statement, &reference);
    vec![reference]
}

/// The words of a document, and what is said of it and of its files that FHIR has no place for.
fn described<'t>(
    reading: &Reading<'t>,
    statement: Element<'t>,
    files: &[Element<'t>],
    scene: &Scene<'t>,
    author: Option<&fhir::Reference<'t>>,
    draft: &mut Draft,
) -> Option<fhir::Text<'t>> {
    unread::say(reading, statement, &["text", "availabilityTime", "reference"], draft);
    unread::others(reading, statement, scene, &[author], draft);
    for (n, file) in files.iter().enumerate() {
        // The kind of the first is that of the document.
        let told: &[&str] = if n == 0 { &["code", "text"] } else { &["text"] };
        unread::say(reading, *file, told, draft);
    }
    unread::below(statement.child("text").and_then(Element::text).unwrap_or_default(), draft)
}

/// One file: what came with the message, a placeholder of the sender's, or something that was never sent.
fn received<'t>(reading: &mut Reading<'t>, file: Element<'t>, draft: &mut Draft) -> fhir::Content<'t> {
    let address = file.down(&["text", "reference"]).and_then(|r| r.attribute("value")).unwrap_or_default();
    let name = plain_name(address);
    let id = reading.id(file);
    let stated = file.of("text", "mediaType").unwrap_or("application/octet-stream");
    let found = reading.expected.find(&id, &name).cloned();
    if found.is_none() {
        draft.fault(Fault::DocumentNotReceived);
        reading.missing.push(MissingDocument { id: id.clone().into_owned(), file_name: name.clone() });
    }
    // What came is only the reason why the document did not.
    if name.starts_with("AbsentAttachment") {
        draft.fault(Fault::AttachmentAbsent);
    }
    let attachment = match found {
        Some(found) => fhir::Attachment {
            content_type: found.content_type.unwrap_or_else(|| stated.to_owned()).into(),
            url: found.url.into(),
            size: Some(found.length),
            hash: found.sha1.into(),
            title: name.into(),
            ..fhir::Attachment::default()
        },
        None => fhir::Attachment {
            content_type: stated.into(),
            title: name.into(),
            ..fhir::Attachment::default()
        },
    };
    fhir::Content { attachment: Some(attachment), ..fhir::Content::default() }
}

/// The last part of a file's address, with its `%xx` resolved.
fn plain_name(address: &str) -> String {
    let name = address.rsplit('/').next().unwrap_or(address);
    let mut bytes = Vec::with_capacity(name.len());
    let mut rest = name.as_bytes();
    while let [first, tail @ ..] = rest {
        let escaped =
            tail.get(..2).and_then(|hex| u8::from_str_radix(std::str::from_utf8(hex).ok()?, 16).ok());
        match escaped.filter(|_| *first == b'%') {
            Some(byte) => {
                bytes.push(byte);
                rest = &tail[2..];
            }
            None => {
                bytes.push(*first);
                rest = tail;
            }
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

/// Reads a comment.
fn comment<'t>(reading: &mut Reading<'t>, statement: Element<'t>, scene: &Scene<'t>) -> Reference<'t> {
    let mut draft = Draft::default();
    let id = reading.id(statement);
    let mut observation = result::start(reading, statement, scene, &mut Draft::default());
    observation.code = Some(comment_code());
    observation.effective_date_time = draft.moment("Available", statement.of("availabilityTime", "value"));
    let words = statement.child("text").and_then(Element::text).unwrap_or_default();
    if words.is_empty() {
        draft.fault(Fault::NoCode);
    }
    unread::say(reading, statement, &["text", "availabilityTime"], &mut draft);
    unread::others(reading, statement, scene, &[observation.performer.first()], &mut draft);
    observation.comment = unread::below(words, &draft);
    let reference = reading.add("Observation", &id, &observation);
    reading.settle(statement, &reference, &draft);
    reference
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    #[test]
    fn an_absent_document_is_replaced_and_says_why() {
        let (xml, account) = extract(
            r#"{"resourceType": "DocumentReference", "id": "8747DFC5-11B7-4A77-B2F3-7720CC58C2FC", "created": "2020-12-16",
            "type": {"text": "Letter"}, "content": [{"attachment": {"contentType": "application/pdf", "url": "u"}}]}"#,
        );
        assert!(
            xml.contains("file://localhost/AbsentAttachment8747DFC5-11B7-4A77-B2F3-7720CC58C2FC.txt"),
            "{xml}"
        );
        assert!(xml.contains("File not found"), "the true reason, not 06 (D10): {xml}");
        assert_eq!(state(&account, "DocumentReference"), "degraded");
    }

    #[test]
    fn inline_content_is_present() {
        let (xml, account) = extract(
            r#"{"resourceType": "DocumentReference", "id": "8747DFC5-11B7-4A77-B2F3-7720CC58C2FC", "created": "2020-12-16",
            "type": {"text": "Letter"}, "content": [{"attachment": {"contentType": "text/plain", "data": "aGVsbG8="}}]}"#,
        );
        assert!(xml.contains("file://localhost/8747DFC5-11B7-4A77-B2F3-7720CC58C2FC.txt"), "{xml}");
        assert_eq!(state(&account, "DocumentReference"), "mapped");
    }

    #[test]
    fn each_content_is_a_file_and_a_received_placeholder_stays_one() {
        let (xml, _) = extract(
            r#"{"resourceType": "DocumentReference", "id": "8747DFC5-11B7-4A77-B2F3-7720CC58C2FC", "created": "2020-12-16",
            "type": {"coding": [{"system": "http://snomed.info/sct", "code": "823681000000100", "display": "Outpatient letter"}]},
            "content": [{"attachment": {"contentType": "odd", "data": "JVBERi0xLjQ="}},
              {"attachment": {"contentType": "text/plain", "title": "AbsentAttachmentX.txt", "data": "aGVsbG8="}}]}"#,
        );
        assert_eq!(xml.matches("<referredToExternalDocument").count(), 2, "extract §8.8: {xml}");
        assert!(xml.contains("Content type: odd Looks like: application/pdf"), "{xml}");
        assert!(xml.contains(r#"mediaType="application/octet-stream""#), "{xml}");
        assert_eq!(
            xml.matches("file://localhost/AbsentAttachment").count(),
            1,
            "its text says who must chase it"
        );
        assert!(xml.contains(r#"<translation code="823681000000100""#), "the type keeps its code: {xml}");
    }
}
