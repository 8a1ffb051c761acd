//! Whose extract a message is, and which: what a skeleton and its content must agree on (gp2gp reference §4.2(8)).
//!
//! Less than `ExtractHead` asks for: a skeleton need not say for whom it is.

use super::skeleton::SkeletonFault;
use crate::model::{MessageId, NhsNumber};
use crate::packet::xml::{Seen, XmlLimits, walk};

/// Whose extract it is, and which.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Owner {
    pub(super) nhs_number: NhsNumber,
    pub(super) extract_id: MessageId,
}

/// Elements from the message down to the one that has the id.
const EXTRACT: [&str; 3] = ["ControlActEvent", "subject", "EhrExtract"];
const PATIENT: [&str; 2] = ["recordTarget", "patient"];
/// The longest way: the message, the extract and the patient.
const DEEPEST: usize = 1 + EXTRACT.len() + PATIENT.len();

/// Reads the whole message, which must be well-formed, and finds both; each must stand there, and not twice differently.
pub(super) fn whose(message: &[u8]) -> Result<Owner, SkeletonFault> {
    let mut way: Vec<String> = Vec::new();
    let mut below = 0usize;
    let (mut numbers, mut ids) = (Vec::new(), Vec::new());
    walk(message, None, &XmlLimits::payload(), |seen| match seen {
        Seen::Open(opened) => {
            if below == 0 && opened.name == "id" {
                let root = opened.attribute("root");
                if is_at(&way, &[]) {
                    collect(&mut ids, root);
                } else if is_at(&way, &PATIENT) && root == Some("2.16.840.1.113883.2.1.4.1") {
                    collect(&mut numbers, opened.attribute("extension"));
                }
            }
            if way.len() < DEEPEST && below == 0 {
                way.push(opened.name.to_owned());
            } else {
                below += 1;
            }
        }
        Seen::Close if below > 0 => below -= 1,
        Seen::Close => drop(way.pop()),
    })?;
    let (Some(number), Some(id)) = (only(&numbers), only(&ids)) else { return Err(SkeletonFault::NoOwner) };
    Ok(Owner {
        nhs_number: NhsNumber::parse(number).map_err(|_| SkeletonFault::NoOwner)?,
        extract_id: MessageId::parse(id).map_err(|_| SkeletonFault::NoOwner)?,
    })
}

fn is_at(way: &[String], names: &[&str]) -> bool {
    let wanted = EXTRACT.iter().chain(names);
    way.len() == 1 + EXTRACT.len() + names.len()
        && way[1..].iter().zip(wanted).all(|(name, wanted)| name == wanted)
}

/// Two are enough to know that it is not one.
fn collect(into: &mut Vec<String>, value: Option<&str>) {
    let value = value.map(|value| value.trim().to_ascii_uppercase()).filter(|value| !value.is_empty());
    if let Some(value) = value.filter(|value| into.len() < 2 && !into.contains(value)) {
        into.push(value);
    }
}

fn only(values: &[String]) -> Option<&str> {
    match values {
        [one] => Some(one),
        _ => None,
    }
}
