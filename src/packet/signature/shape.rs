//! The form a signed envelope must have before any arithmetic is worth doing (wire reference §6.2, rules 2, 6, 8, 9).
//!
//! The same check guards our own signing, so that we never sign what a strict peer would refuse.

use std::collections::HashSet;

use super::{DS, EB, NEXT_MSH, SOAP, SOAP_NEXT, SignatureFault, XLINK};
use crate::packet::xml::{Document, Element, Node, XML_NAMESPACE};

/// Whether elements for the next hop may stand in the envelope.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum HopBlocks {
    /// None at all.
    #[default]
    Refused,
    /// An empty SyncReply, direct child of the header, as some older peers send (directory: `legacy_hop_headers`).
    EmptySyncReply,
}

/// An envelope found well formed in the sense of the profile.
pub(super) struct Shape<'d> {
    pub header: Element<'d>,
    pub body: Element<'d>,
    pub signature: Option<Element<'d>>,
}

/// Holds an envelope to the rules of form.
pub(super) fn check(document: &Document, hops: HopBlocks) -> Result<Shape<'_>, SignatureFault> {
    if document.has_comments() {
        return Err(SignatureFault::Comment);
    }
    if document.has_instructions() {
        return Err(SignatureFault::Instruction);
    }
    let root = document.root();
    let signature = the_signature(root)?;
    let elements = || std::iter::once(root).chain(root.descendants());
    if elements()
        .any(|it| is_hop_block(it) && !(hops == HopBlocks::EmptySyncReply && is_empty_sync_reply(it)))
    {
        return Err(SignatureFault::HopBlock);
    }
    let header = in_place(root, Some(root), SOAP, "Header")?.ok_or(SignatureFault::NotOne("Header"))?;
    let body = in_place(root, Some(root), SOAP, "Body")?.ok_or(SignatureFault::NotOne("Body"))?;
    in_place(root, None, SOAP, "Envelope")?.ok_or(SignatureFault::NotOne("Envelope"))?;
    in_place(root, Some(header), EB, "MessageHeader")?.ok_or(SignatureFault::NotOne("MessageHeader"))?;
    // A signal has none.
    in_place(root, Some(body), EB, "Manifest")?;
    if signature.is_some_and(|it| it.parent() != Some(header)) {
        return Err(SignatureFault::SignaturePlace);
    }
    let mut ids = HashSet::new();
    for element in elements() {
        for attribute in element.attributes() {
            if attribute.local.eq_ignore_ascii_case("id") && !ids.insert(attribute.value) {
                return Err(SignatureFault::RepeatedId);
            }
            if attribute.namespace == XML_NAMESPACE && !within_description(element) {
                return Err(SignatureFault::XmlAttribute);
            }
        }
    }
    Ok(Shape { header, body, signature })
}

impl Shape<'_> {
    /// The Content-IDs the manifest names by `cid:`; one named twice is a fault (rule 5).
    pub fn manifest_cids(&self) -> Result<HashSet<&str>, SignatureFault> {
        let mut cids = HashSet::new();
        let Some(manifest) = self.body.child(EB, "Manifest") else { return Ok(cids) };
        let hrefs = manifest
            .children()
            .filter(|it| it.is(EB, "Reference"))
            .filter_map(|it| it.attribute(XLINK, "href"));
        for cid in hrefs.filter_map(|href| href.strip_prefix("cid:")) {
            if !cids.insert(cid) {
                return Err(SignatureFault::RepeatedPart);
            }
        }
        Ok(cids)
    }
}

/// Whether the profile's XPath would leave this element out.
pub(super) fn is_hop_block(element: Element<'_>) -> bool {
    matches!(element.attribute(SOAP, "actor"), Some(NEXT_MSH | SOAP_NEXT))
}

fn is_empty_sync_reply(element: Element<'_>) -> bool {
    let empty = element.nodes().all(|node| matches!(node, Node::Text(text) if text.trim().is_empty()));
    empty && element.is(EB, "SyncReply") && element.parent().is_some_and(|it| it.is(SOAP, "Header"))
}

fn the_signature(root: Element<'_>) -> Result<Option<Element<'_>>, SignatureFault> {
    let mut found = None;
    for element in root.descendants().filter(|it| it.namespace() == DS) {
        match element.name() {
            "Signature" if found.is_some() => return Err(SignatureFault::SecondSignature),
            "Signature" => found = Some(element),
            "Object" | "Manifest" | "RetrievalMethod" => return Err(SignatureFault::ForbiddenElement),
            _ => {}
        }
    }
    Ok(found)
}

/// The only element of this name anywhere, if there is one; a second, or one that is not a child of `parent`, is a fault.
fn in_place<'d>(
    root: Element<'d>,
    parent: Option<Element<'d>>,
    namespace: &str,
    local: &'static str,
) -> Result<Option<Element<'d>>, SignatureFault> {
    let mut found = std::iter::once(root).chain(root.descendants()).filter(|it| it.is(namespace, local));
    let first = found.next();
    if found.next().is_some() || first.is_some_and(|it| it.parent() != parent) {
        return Err(SignatureFault::NotOne(local));
    }
    Ok(first)
}

fn within_description(element: Element<'_>) -> bool {
    std::iter::successors(Some(element), |it| it.parent()).any(|it| it.is(EB, "Description"))
}
