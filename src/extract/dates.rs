//! FHIR dates on the wire: Europe/London wall clock without offset, precision kept (extract §5).

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;

use super::draft::Draft;
use super::tree::Element;
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
        .then(|| [year, month.unwrap_or_default(), day.unwrap_or_default()].concat())
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

/// When something received took place, in FHIR's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum When {
    Unknown,
    At(String),
    Between(Option<String>, Option<String>),
}

impl When {
    /// The moment, or where the period begins or else ends.
    pub(super) fn moment(&self) -> Option<&str> {
        match self {
            Self::Unknown => None,
            Self::At(moment) => Some(moment),
            Self::Between(start, end) => start.as_deref().or(end.as_deref()),
        }
    }
}

/// Reads an `effectiveTime`.
pub(super) fn when(element: Option<Element<'_>>, draft: &mut Draft) -> When {
    let Some(element) = element else { return When::Unknown };
    let own = |name: &str| element.of(name, "value");
    if let Some(center) = draft.moment("Date", own("center").or(element.attribute("value"))) {
        return When::At(center);
    }
    let (low, high) = (draft.moment("Start", own("low")), draft.moment("End", own("high")));
    if low.is_none() && high.is_none() { When::Unknown } else { When::Between(low, high) }
}

/// The FHIR form of a received time: its precision kept, London time with its true offset (extract §5). `None` when it
/// is malformed.
pub(super) fn fhir(text: &str) -> Option<String> {
    let (digits, offset) = parts(text)?;
    let number = |range: std::ops::Range<usize>| digits.get(range)?.parse::<i8>().ok();
    let year = digits.get(..4)?.parse::<i16>().ok().filter(|year| *year > 0)?;
    let (month, day) = (number(4..6).unwrap_or(1), number(6..8).unwrap_or(1));
    let date = Date::new(year, month, day).ok()?;
    match digits.len() {
        4 => Some(digits.to_owned()),
        6 => Some(format!("{}-{}", &digits[..4], &digits[4..])),
        8 => Some(format!("{}-{}-{}", &digits[..4], &digits[4..6], &digits[6..])),
        10 | 12 | 14 => {
            let (minute, second) = (number(10..12).unwrap_or(0), number(12..14).unwrap_or(0));
            let time = jiff::civil::Time::new(number(8..10)?, minute, second, 0).ok()?;
            let wall = date.to_datetime(time);
            Some(moment_of(wall, offset)?.strftime("%Y-%m-%dT%H:%M:%S%:z").to_string())
        }
        _ => None,
    }
}

/// The same as an instant; a date alone is its midnight in London.
pub(super) fn instant(text: &str) -> Option<String> {
    let digits = parts(text)?.0;
    if digits.len() > 8 {
        fhir(text)
    } else {
        fhir(&format!("{:0<4}{}000000", digits, &"0101"[(digits.len() - 4)..]))
    }
}

/// The digits of a received time and its offset in minutes, when it has one; fractions of a second are cut.
fn parts(text: &str) -> Option<(&str, Option<i16>)> {
    let text = text.trim();
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (digits, rest) = text.split_at(end);
    let rest = rest.strip_prefix('.').map_or(rest, |r| r.trim_start_matches(|c: char| c.is_ascii_digit()));
    if !matches!(digits.len(), 4 | 6 | 8 | 10 | 12 | 14) {
        return None;
    }
    let offset = match rest.as_bytes() {
        [] => None,
        [b'Z'] => Some(0),
        [sign @ (b'+' | b'-'), ..] => {
            let hours_minutes: String = rest[1..].chars().filter(|c| *c != ':').collect();
            if hours_minutes.len() != 4 || !hours_minutes.bytes().all(|b| b.is_ascii_digit()) {
                return None;
            }
            let (hours, minutes) = hours_minutes.split_at(2);
            let minutes = hours.parse::<i16>().ok()? * 60 + minutes.parse::<i16>().ok()?;
            Some(if *sign == b'-' { -minutes } else { minutes })
        }
        _ => return None,
    };
    Some((digits, offset))
}

/// A wall clock reading as a moment. Of an hour that London has twice the earlier is meant, and an hour that it skips
/// lies after the jump.
fn moment_of(wall: DateTime, offset: Option<i16>) -> Option<jiff::Zoned> {
    let zone = if wall.date() < GREENWICH { TimeZone::UTC } else { london() };
    match offset {
        None => wall.to_zoned(zone).ok(),
        Some(minutes) => {
            let stated = jiff::tz::Offset::from_seconds(i32::from(minutes) * 60).ok()?;
            Some(stated.to_timestamp(wall).ok()?.to_zoned(zone))
        }
    }
}

/// Whether the calendar has the day, month or year of these digits; other lengths say neither.
pub(super) fn is_day(digits: &str) -> bool {
    let part = |range: std::ops::Range<usize>| digits.get(range).and_then(|p| p.parse::<i8>().ok());
    let year = digits.get(..4).and_then(|year| year.parse::<i16>().ok());
    match digits.len() {
        6 | 8 => {
            let day = if digits.len() == 8 { part(6..8) } else { Some(1) };
            year.zip(part(4..6)).zip(day).is_some_and(|((y, m), d)| Date::new(y, m, d).is_ok())
        }
        _ => true,
    }
}

/// Whether two times in wire form are of one day, as far as both say.
pub(super) fn same_day(one: &str, other: &str) -> bool {
    let known = one.len().min(other.len()).min(8);
    one.get(..known) == other.get(..known)
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
    fn received_times_are_london_time_unless_they_say_otherwise() {
        for (hl7, expected) in [
            ("2010", "2010"),
            ("201001", "2010-01"),
            ("20100113", "2010-01-13"),
            ("2010071312", "2010-07-13T12:00:00+01:00"),
            ("201001131137", "2010-01-13T11:37:00+00:00"),
            ("20100713123731.5", "2010-07-13T12:37:31+01:00"),
            ("20100713113731+0000", "2010-07-13T12:37:31+01:00"),
            ("20231029013000", "2023-10-29T01:30:00+01:00"),
            ("20230326013000", "2023-03-26T02:30:00+01:00"),
            ("18000501000000", "1800-05-01T00:00:00+00:00"),
        ] {
            assert_eq!(fhir(hl7).as_deref(), Some(expected), "{hl7}: extract §5");
        }
        for wrong in
            ["", "2010011", "20100230", "UNK", "20101301", "2010-01-13", "20100113256000", "２０１０"]
        {
            assert_eq!(fhir(wrong), None, "{wrong}");
        }
        assert_eq!(instant("2010").as_deref(), Some("2010-01-01T00:00:00+00:00"));
        assert_eq!(instant("20100713").as_deref(), Some("2010-07-13T00:00:00+01:00"));
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
