//! FHIR dates on the wire: Europe/London wall clock without offset, precision kept (extract §5).

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::xml::Xml;
use crate::model::london;

/// When London took Greenwich time; tzdb's local mean time before that would move the day.
const GREENWICH: Date = Date::constant(1847, 12, 1);

/// What an `effectiveTime` says. Times are in wire form.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Span {
    #[default]
    Unknown,
    At(String),
    From(String),
    Until(String),
    Between(String, String),
}

impl Span {
    pub(super) fn at(time: Option<String>) -> Self {
        time.map_or(Self::Unknown, Self::At)
    }

    pub(super) fn between(start: Option<String>, end: Option<String>) -> Self {
        match (start, end) {
            (Some(low), Some(high)) => Self::Between(low, high),
            (Some(low), None) => Self::From(low),
            (None, Some(high)) => Self::Until(high),
            (None, None) => Self::Unknown,
        }
    }

    /// Start and end, as far as known.
    pub(super) fn bounds(&self) -> (Option<&str>, Option<&str>) {
        match self {
            Self::Unknown => (None, None),
            Self::At(time) => (Some(time), None),
            Self::From(low) => (Some(low), None),
            Self::Until(high) => (None, Some(high)),
            Self::Between(low, high) => (Some(low), Some(high)),
        }
    }

    /// Writes `effectiveTime`; `flavour` says why there is none.
    pub(super) fn write(&self, x: &mut Xml, flavour: &str) {
        x.with("effectiveTime", &[], |x| match self {
            Self::Unknown => x.empty("center", &[("nullFlavor", flavour)]),
            Self::At(time) => x.empty("center", &[("value", time)]),
            Self::From(low) => x.empty("low", &[("value", low)]),
            Self::Until(high) => x.empty("high", &[("value", high)]),
            Self::Between(low, high) => {
                x.empty("low", &[("value", low)]);
                x.empty("high", &[("value", high)]);
            }
        });
    }
}

/// Writes a time, or that it is unknown.
pub(super) fn write(x: &mut Xml, name: &str, time: Option<&str>) {
    match time {
        Some(time) => x.empty(name, &[("value", time)]),
        None => x.empty(name, &[("nullFlavor", "UNK")]),
    }
}

/// The wire form of a FHIR date, dateTime or instant: 4, 6, 8 or 14 digits. `None` when it is malformed.
pub(super) fn wire(text: &str) -> Option<String> {
    if text.contains('T') {
        return moment(text);
    }
    let (year, rest) = text.split_at_checked(4)?;
    let mut parts = rest.split('-').skip(1);
    let (month, day) = (parts.next(), parts.next());
    let well_formed = text.bytes().all(|b| b.is_ascii_digit() || b == b'-')
        && [4, 7, 10].contains(&text.len())
        && [month, day].into_iter().flatten().all(|p| p.len() == 2)
        && parts.next().is_none();
    let number = |part: &str| part.parse::<i8>().ok();
    let year_number = year.parse::<i16>().ok()?;
    Date::new(year_number, number(month.unwrap_or("01"))?, number(day.unwrap_or("01"))?).ok()?;
    (well_formed && year_number > 0)
        .then(|| format!("{year}{}{}", month.unwrap_or_default(), day.unwrap_or_default()))
}

fn moment(text: &str) -> Option<String> {
    let wall: DateTime = match text.parse::<jiff::Timestamp>() {
        Ok(instant) => {
            let zone =
                if TimeZone::UTC.to_datetime(instant).date() < GREENWICH { TimeZone::UTC } else { london() };
            zone.to_datetime(instant)
        }
        // Without an offset the time is what the clock on the wall said.
        Err(_) => text.parse().ok()?,
    };
    (wall.year() > 0).then(|| wall.strftime("%Y%m%d%H%M%S").to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn precision_is_kept_and_instants_become_london_time() {
        for (fhir, hl7) in [
            ("2010", "2010"),
            ("2010-01", "201001"),
            ("2010-01-13", "20100113"),
            ("2010-07-13T11:37:31.563+00:00", "20100713123731"),
            ("2010-01-13T11:37:31Z", "20100113113731"),
            ("1943-07-01T12:00:00Z", "19430701140000"),
            ("1970-01-01T12:00:00Z", "19700101130000"),
            ("1800-05-01T00:00:00Z", "18000501000000"),
        ] {
            assert_eq!(wire(fhir).as_deref(), Some(hl7), "{fhir}: extract §5");
        }
    }

    #[test]
    fn malformed_dates_are_no_dates() {
        for text in [
            "",
            "20",
            "2010-13",
            "2010-02-30",
            "13/01/2010",
            "2010-1-1",
            "2010-01-13T",
            "é010",
            "0000",
            "2010--1",
        ] {
            assert_eq!(wire(text), None, "{text}");
        }
    }
}
