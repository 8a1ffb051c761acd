//! Files that go beside the message and are no documents of the record: texts too long for a statement, and the forms in
//! which a report was given. Each has a NarrativeStatement that points at it.

use super::codes;
use super::dates::{self, Span};
use super::document::{self, File};
use super::draft::Draft;
use super::json::Json;
use super::work::{Kind, OBSERVATION, Statement, Work, complete, id};
use super::xml::Xml;
use super::{Attachment, Content};

/// A text that was too long for its statement.
pub(super) fn overlong(work: &mut Work<'_>, at: usize, n: usize, text: &str) -> Statement {
    let document_id = work.part(at, &format!("overlong/{n}"));
    let file = File {
        attachment: Attachment {
            file_name: format!("{document_id}.txt"),
            document_id,
            content_type: "text/plain".to_owned(),
            content: Content::Inline(text.as_bytes().to_vec()),
        },
    };
    statement(work, at, file, "A text that was too long for its entry", &Json::Null)
}

/// The forms of a report, its letter or its picture: no element of the report itself takes a file (extract §1.5).
pub(super) fn forms(work: &mut Work<'_>, at: usize) -> Vec<Statement> {
    let resource = work.json(at);
    let mut forms = Vec::new();
    for (n, form) in resource.list("presentedForm").iter().enumerate() {
        let mut draft = Draft::default();
        draft.say("Report", codes::words(resource.at("code")).as_deref());
        draft.say("Presented Form", form.word("title"));
        let document_id = work.part(at, &format!("form/{n}"));
        let file = document::file(work, document_id, form, &mut draft);
        let text = draft.text();
        let text = if text.is_empty() { "Presented Form" } else { &text };
        forms.push(statement(work, at, file, text, resource.at("code")));
        draft.faults().into_iter().for_each(|fault| work.degrade(at, fault));
    }
    forms
}

fn statement(work: &mut Work<'_>, at: usize, file: File, text: &str, about: &Json) -> Statement {
    let resource = work.json(at);
    let times = ["effectiveDateTime", "assertedDate", "authoredOn", "date", "issued", "created"];
    let available = times.iter().find_map(|name| dates::wire(resource.word(name)?));
    let mut x = Xml::new();
    x.with("NarrativeStatement", &OBSERVATION, |x| {
        id(x, &file.attachment.document_id);
        x.leaf("text", &[], text);
        complete(x);
        dates::write(x, "availabilityTime", available.as_deref());
        work.label(x, at);
        file.write(x, about, work.labels(at));
    });
    work.attachments.push(file.attachment);
    Statement {
        xml: x.into_text(),
        kind: Kind::Entry,
        effective: Span::at(available.clone()),
        time: available,
        author: None,
        performer: None,
        labelled: work.labelled[at],
    }
}

#[cfg(test)]
mod tests {
    use crate::extract::trial::{extract, state};

    #[test]
    fn the_letter_of_a_report_goes_beside_the_message() {
        let report = |form: &str| {
            format!(
                r#"{{"resourceType": "DiagnosticReport", "id": "d", "issued": "2021-02-03", "code": {{"text": "Chest X-ray"}},
                "conclusion": "clear", "presentedForm": [{form}]}}"#
            )
        };
        let (xml, account) =
            extract(&report(r#"{"contentType": "application/pdf", "title": "Letter", "data": "aGVsbG8="}"#));
        assert!(xml.contains("Report: Chest X-ray Presented Form: Letter"), "{xml}");
        assert!(
            xml.contains(r#"<text mediaType="application/pdf"><reference value="file://localhost/"#),
            "{xml}"
        );
        assert_eq!(state(&account, "DiagnosticReport"), "mapped");
        let (xml, account) = extract(&report(r#"{"contentType": "application/pdf", "title": "Letter"}"#));
        assert!(xml.contains("AbsentAttachment"), "extract §8.8: {xml}");
        assert_eq!(state(&account, "DiagnosticReport"), "degraded");
    }
}
