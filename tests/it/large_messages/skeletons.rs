//! Skeletons of whole records, held against the published schema and made whole again (LM12, F33).

use std::path::PathBuf;

use throughcare::extract::{Interaction, validate};
use throughcare::model::MessageId;
use throughcare::packet::description::Description;
use throughcare::packet::parts::join::Expected;
use throughcare::packet::parts::skeleton::{SkeletonFault, restore, write};

use super::desk::{between, captured_message, join, json_message};
use crate::dice::Dice;
use crate::extracts::{assert_valid, build, bundles, tool};
use crate::tools::shared;

const ITEM: &str = "68E2A39F-7A24-449D-83CC-1B7CF1A9DAD7";

#[test]
fn every_skeleton_is_schema_valid_small_and_made_whole_again() {
    let Some(folder) = shared("") else { return };
    let made = tempfile::tempdir().unwrap();
    for (interaction, schema) in
        [(Interaction::Uk06, "RCMR_IN030000UK06"), (Interaction::Uk07, "RCMR_IN030000UK07")]
    {
        let mut files: Vec<PathBuf> = Vec::new();
        for (n, path) in bundles(&folder).iter().enumerate() {
            let Ok(extract) = build(path, interaction) else { continue };
            let skeleton = write(&extract.xml, ITEM).unwrap();
            assert!(skeleton.len() < 16_000, "{} octets", skeleton.len());
            assert_eq!(validate(&skeleton), [], "extract §1.3");
            let restored = restore(&skeleton, ITEM, &extract.xml).unwrap();
            assert!(restored == extract.xml, "the whole message takes its place");
            let file = made.path().join(format!("{schema}-{n}.xml"));
            std::fs::write(&file, &skeleton).unwrap();
            files.push(file);
        }
        assert!(files.len() > 15, "{} records", files.len());
        if tool("xmllint") {
            let schema = folder.join("schema/hl7/schema").join(format!("{schema}.xsd"));
            assert_valid(&schema, &files);
        }
    }
}

#[test]
fn the_hl7_of_one_patient_is_never_put_in_the_skeleton_of_another() {
    let Some(folder) = shared("fixtures") else { return };
    let whole = build(&folder.join("emis-join/PWTP2.json"), Interaction::Uk06).unwrap().xml;
    let skeleton = write(&whole, ITEM).unwrap();
    let text = String::from_utf8(whole.clone()).unwrap();
    let place = "root=\"2.16.840.1.113883.2.1.4.1\" extension=\"";
    let at = text.find(place).unwrap() + place.len();
    let stolen = format!("{}9990000018{}", &text[..at], &text[at + 10..]);
    assert_ne!(stolen, text);
    assert_eq!(restore(&skeleton, ITEM, stolen.as_bytes()), Err(SkeletonFault::AnotherPatient));
    let extract = "7D2F0A3C-5B1E-4C2A-9E4B-0123456789AC";
    let later = text.replacen(extract, "7D2F0A3C-5B1E-4C2A-9E4B-0123456789AD", 1);
    assert_ne!(later, text);
    assert_eq!(restore(&skeleton, ITEM, later.as_bytes()), Err(SkeletonFault::AnotherExtract));
    assert_eq!(restore(&skeleton, ITEM, &whole).unwrap(), whole);
}

#[test]
fn the_captured_skeleton_takes_its_content() {
    // The capture's own HL7, gzipped, in a part of its own.
    let Some(folder) = shared("fixtures/conversations/large-message-example-2") else { return };
    let paths = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    let paths: Vec<PathBuf> = paths.collect();
    let named = |part: &str| paths.iter().find(|path| path.to_string_lossy().contains(part)).unwrap();
    let content = captured_message(named("_hl7"));
    assert_eq!(content.id, MessageId::parse("66B41202-C358-4B4C-93C6-7A10803F9584").unwrap());
    let expected = Expected { compressed: true, length: None };
    let (content, _) = join(&content.files, expected, 4096).unwrap();
    let capture = std::fs::read(named("RCMR_IN")).unwrap();
    let text = String::from_utf8_lossy(&capture);
    let skeleton = between(&text, "<RCMR_IN030000UK06", "</RCMR_IN030000UK06>");
    let item = format!("{ITEM}spine.nhs.ukExample1");
    assert_eq!(content.len(), 1_377_660);
    let restored = restore(skeleton.as_bytes(), &item, &content).unwrap();
    assert!(restored == content, "same patient, same extract: it takes the skeleton's place");
    // Any other content takes the place of the statement.
    let restored = restore(skeleton.as_bytes(), &item, b"<NarrativeStatement/>").unwrap();
    let restored = String::from_utf8(restored).unwrap();
    assert!(restored.contains("<NarrativeStatement/>") && !restored.contains(&item));
}

#[test]
fn the_skeleton_of_the_fifth_scenario_takes_its_statement() {
    let Some(folder) = shared("fixtures/large-message/Scenario_5") else { return };
    let (extract, part) = (json_message(&folder.join("uk06.json")), json_message(&folder.join("copc.json")));
    let said = Description::parse(&extract.references[0].description);
    assert!(said.is_skeleton() || said.domain_data.is_some());
    let (content, _) = join(&part.files, Expected::of(&said), 57).unwrap();
    let value: serde_json::Value =
        serde_json::from_slice(&std::fs::read(folder.join("uk06.json")).unwrap()).unwrap();
    let skeleton = value["payload"].as_str().unwrap();
    let item = extract.references[0].id.as_deref().unwrap();
    let restored = restore(skeleton.as_bytes(), item, &content).unwrap();
    let restored = String::from_utf8(restored).unwrap();
    assert!(restored.contains("2531F667-AA89-4540-A50B-56298B13FC4C") && !restored.contains("68E2A39F"));
    assert_eq!(
        restored.matches("<NarrativeStatement").count(),
        skeleton.matches("<NarrativeStatement").count()
    );
}

#[test]
fn damaged_skeletons_and_contents_are_refused_and_never_a_panic() {
    let Some(folder) = shared("fixtures") else { return };
    let whole = build(&folder.join("robustness/no-clinical-content.json"), Interaction::Uk06).unwrap().xml;
    let skeleton = write(&whole, ITEM).unwrap();
    let mut dice = Dice(5);
    for _ in 0..2_000 {
        let (mut first, mut second) = (skeleton.clone(), whole.clone());
        for text in [&mut first, &mut second] {
            let at = dice.index(text.len());
            match dice.below(3) {
                0 => text.truncate(at),
                1 => text[at] = dice.next() as u8,
                _ => drop(text.drain(at..(at + dice.index(200)).min(text.len()))),
            }
        }
        let _ = write(&second, ITEM);
        let restored = restore(&skeleton, ITEM, &second);
        assert!(restored.is_err() || restored == Ok(second.clone()), "whole, or nothing");
        let _ = restore(&first, ITEM, b"<NarrativeStatement/>");
    }
}
