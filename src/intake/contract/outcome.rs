//! An outcome as bytes for the queue or the spool folder.

use prost::Message;
use serde_json::Value;

use super::Encoding;
use crate::intake::wire;
use crate::model::OdsCode;
use crate::transfer::outcome::{Completeness, Outcome};

/// The outcome, written as `encoding` wants it.
pub fn encode_outcome(outcome: &Outcome, encoding: Encoding) -> Vec<u8> {
    let message = message(outcome);
    match encoding {
        Encoding::Protobuf => message.encode_to_vec(),
        Encoding::Json => {
            let value =
                serde_json::to_value(message).expect("a message has text keys and no number that JSON lacks");
            let mut bytes = sparse(value).to_string().into_bytes();
            bytes.push(b'\n');
            bytes
        }
    }
}

fn message(o: &Outcome) -> wire::Outcome {
    let code = |code: &Option<OdsCode>| code.as_ref().map(|c| c.as_str().to_owned());
    wire::Outcome {
        outcome_id: o.outcome_id.as_str().to_owned(),
        kind: wire::OutcomeKind::from(o.kind) as i32,
        transfer: o.transfer.map(|id| id.to_string()),
        event_id: o.event_id.map(|id| id.to_string()),
        source: o.source.as_ref().map(|s| s.as_str().to_owned()),
        stay: o.stay.as_ref().map(|s| s.reveal().to_owned()),
        patient_ref: o.patient_ref.as_ref().map(|p| p.reveal().to_owned()),
        establishment: code(&o.establishment),
        practice: code(&o.practice),
        at: o.at.to_string(),
        reason: o.reason.clone(),
        detail: o.detail.clone(),
        response_code: o.response_code.clone(),
        completeness: o.completeness.map(completeness),
        attempts: o.attempts,
    }
}

fn completeness(c: Completeness) -> wire::Completeness {
    wire::Completeness {
        mapped: c.mapped,
        merged: c.merged,
        degraded: c.degraded,
        not_clinical: c.not_clinical,
    }
}

/// Without the fields that say nothing.
fn sparse(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept = fields.into_iter().filter(|(_, v)| !v.is_null() && v.as_str() != Some(""));
            Value::Object(kept.collect())
        }
        other => other,
    }
}
