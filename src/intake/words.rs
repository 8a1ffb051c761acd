//! Enums between the wire and our words: in JSON the lower-case rest of the name, in protobuf a number.
//!
//! An enum value nobody knows is not an error here: it is kept as a number of its own, and checking says what follows.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde::ser::{SerializeSeq, Serializer};

use super::wire;
use crate::transfer::custody as words;

/// Stands for a word in JSON that is none of the enum's. No enum has a negative number.
const UNKNOWN: i32 = -1;

/// A generated enum, readable as a word.
pub trait Spoken: TryFrom<i32> + Into<i32> + Copy {
    /// What every name of the enum begins with.
    const PREFIX: &'static str;
    /// The name in the contract.
    fn name(self) -> &'static str;
    /// By its name in the contract.
    fn by_name(name: &str) -> Option<Self>;

    /// The word in JSON.
    fn word(self) -> String {
        self.name()[Self::PREFIX.len()..].to_ascii_lowercase()
    }

    /// The number of a word; one of its own for a word nobody knows.
    fn number(word: &str) -> i32 {
        let lower = !word.bytes().any(|b| b.is_ascii_uppercase());
        let known = Self::by_name(&format!("{}{}", Self::PREFIX, word.to_ascii_uppercase()));
        known.filter(|_| lower).map_or(UNKNOWN, Into::into)
    }
}

/// A generated enum with our own word for each value; unspecified has none.
pub trait Meant: Spoken {
    /// Our word.
    type Word: Copy;
    /// Our word for it.
    fn meaning(self) -> Option<Self::Word>;
}

macro_rules! spoken {
    ($($name:ident = $prefix:literal),+ $(,)?) => {$(
        impl Spoken for wire::$name {
            const PREFIX: &'static str = $prefix;

            fn name(self) -> &'static str {
                self.as_str_name()
            }

            fn by_name(name: &str) -> Option<Self> {
                Self::from_str_name(name)
            }
        }
    )+};
}

/// Both directions, each match complete, so that neither side can gain a value alone.
macro_rules! meant {
    ($($name:ident : $ours:path { $($variant:ident),+ })+) => {$(
        impl Meant for wire::$name {
            type Word = $ours;

            fn meaning(self) -> Option<$ours> {
                match self {
                    Self::Unspecified => None,
                    $(Self::$variant => Some(<$ours>::$variant),)+
                }
            }
        }

        impl From<$ours> for wire::$name {
            fn from(word: $ours) -> Self {
                match word {
                    $(<$ours>::$variant => Self::$variant,)+
                }
            }
        }
    )+};
}

spoken! {
    Answer = "ANSWER_", NoNumberReason = "NO_NUMBER_REASON_", NumberStatus = "NUMBER_STATUS_",
    ReceptionKind = "RECEPTION_KIND_", Registration = "REGISTRATION_", Returning = "RETURNING_",
    CriticalMedicine = "CRITICAL_MEDICINE_", Medicines = "MEDICINES_", ReleaseCertainty = "RELEASE_CERTAINTY_",
    ReleaseKind = "RELEASE_KIND_", DestinationBasis = "DESTINATION_BASIS_", Database = "DATABASE_",
    Decision = "DECISION_", DecidedBy = "DECIDED_BY_", PdsUpdate = "PDS_UPDATE_",
    CorrectionAction = "CORRECTION_ACTION_", CorrectionReason = "CORRECTION_REASON_",
    DeathCertainty = "DEATH_CERTAINTY_", Filing = "FILING_", OutcomeKind = "OUTCOME_KIND_",
}

meant! {
    Answer: words::Answer { Yes, No, Unknown }
    NoNumberReason: words::NoNumberReason { NotTraced, SeveralMatches, NotEligible, Pending }
    NumberStatus: words::NumberStatus { Verified, Unverified, Temporary }
    ReceptionKind: words::ReceptionKind { First, Recall, TransferIn, Immigration, Youth, Other }
    Registration: words::Registration { Permanent, Temporary, Undecided, Declined }
    Returning: words::Returning { KnownHere, NewHere, Unsure }
    CriticalMedicine: words::CriticalMedicine {
        OpioidSubstitution, Insulin, Anticonvulsant, Anticoagulant, Antiretroviral, AntipsychoticDepot,
        Immunosuppressant, Other
    }
    Medicines: words::Medicines { Full, Part, None, Unknown }
    ReleaseCertainty: words::ReleaseCertainty { Planned, Confirmed, Happened }
    ReleaseKind: words::ReleaseKind { EndOfCustody, BailOrCourt, RemovalAbroad, Hospital, Other }
    DestinationBasis: words::DestinationBasis { Pds, PreRegistered, PatientSaid }
    Database: words::Database { Shared, Separate, Unknown }
    Decision: words::Decision { Permanent, Temporary, Declined, Deferred, NotPossible }
    DecidedBy: words::DecidedBy { Person, ParentalResponsibility, BestInterests }
    CorrectionReason: words::CorrectionReason {
        EnteredInError, WrongPerson, DateChanged, PlanChanged, NumberMistyped, NumberMerged, Duplicate
    }
    DeathCertainty: words::DeathCertainty { Reported, Verified }
    Filing: words::Filing { Integrated, FiledAsAttachment, Suppressed, Rejected, Failed, Deferred }
    OutcomeKind: crate::transfer::outcome::OutcomeKind {
        Accepted, Noted, Rejected, Refused, Held, Resumed, Prepared, Sent, Integrated, Suppressed, NotIntegrated,
        Overdue, Undelivered, Cancelled, Requested, Filed, NotFiled, Internal, NoTransfer, RecheckWanted,
        SummaryWanted, Warning
    }
}

/// Reads one word of JSON into the number of the enum.
pub fn read_one<'de, E: Spoken, D: Deserializer<'de>>(deserializer: D) -> Result<i32, D::Error> {
    let word = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    Ok(if word.is_empty() { 0 } else { E::number(&word) })
}

/// Reads a list of words.
pub fn read_many<'de, E: Spoken, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<i32>, D::Error> {
    let words = Vec::<String>::deserialize(deserializer)?;
    Ok(words.iter().map(|word| E::number(word)).collect())
}

/// Reads an object, or null as nothing. A list is refused, though serde would take one as fields without names.
pub fn read_object<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    deserializer.deserialize_option(ObjectOrNull(PhantomData))
}

struct ObjectOrNull<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectOrNull<T> {
    type Value = Option<T>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_none<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_unit<E: serde::de::Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_map(self)
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<Self::Value, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map)).map(Some)
    }
}

fn word_of<E: Spoken>(number: i32) -> String {
    E::try_from(number).map(E::word).unwrap_or_default()
}

/// Writes one word; nothing for unspecified.
pub fn write_one<E: Spoken, S: Serializer>(number: &i32, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(if *number == 0 { String::new() } else { word_of::<E>(*number) }.as_str())
}

/// Writes a list of words.
pub fn write_many<E: Spoken, S: Serializer>(numbers: &[i32], serializer: S) -> Result<S::Ok, S::Error> {
    let mut list = serializer.serialize_seq(Some(numbers.len()))?;
    for number in numbers {
        list.serialize_element(&word_of::<E>(*number))?;
    }
    list.end()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::transfer::outcome::OutcomeKind;

    #[test]
    fn words_are_the_same_in_json_and_in_stored_records() {
        for kind in OutcomeKind::ALL {
            assert_eq!(wire::OutcomeKind::from(*kind).word(), kind.as_str());
        }
        for medicine in words::CriticalMedicine::ALL {
            assert_eq!(wire::CriticalMedicine::from(*medicine).word(), medicine.as_str());
        }
        for filing in words::Filing::ALL {
            assert_eq!(wire::Filing::from(*filing).word(), filing.as_str());
        }
        for kind in words::ReleaseKind::ALL {
            assert_eq!(wire::ReleaseKind::number(kind.as_str()), wire::ReleaseKind::from(*kind) as i32);
        }
    }

    #[test]
    fn a_word_nobody_knows_is_kept_as_unknown() {
        assert_eq!(wire::ReleaseKind::number("escape"), UNKNOWN);
        assert_eq!(wire::ReleaseKind::number("HOSPITAL"), UNKNOWN, "words are lower case");
    }
}
