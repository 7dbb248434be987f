//! Points in time and durations of XML Schema, and the CIM datetimes they stand for (DSP0230 9.3).

use cimwright_cim::DateTime;
use std::fmt::{self, Write};
use std::time::Duration;

/// How many digits of a CIM datetime are known when all are.
const ALL_DIGITS: u8 = 20;
/// The most minutes that an offset has in XML Schema.
const MAX_OFFSET: i16 = 14 * 60;
/// What a year and a month count as where a duration has them: CIM intervals have days only.
const DAYS_OF_YEAR: u64 = 365;
const DAYS_OF_MONTH: u64 = 30;

/// When something ends: after a time, or at one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expiry {
    /// After this long.
    After(Duration),
    /// At this point in time.
    At(DateTime),
}

impl From<Duration> for Expiry {
    fn from(duration: Duration) -> Self {
        Self::After(duration)
    }
}

impl Expiry {
    /// Reads an xs:duration or xs:dateTime.
    pub(super) fn parse(text: &str) -> Option<Self> {
        match parse_duration(text) {
            Some(duration) => Some(Self::After(duration)),
            None => parse_date_time(text).map(Self::At),
        }
    }
}

impl fmt::Display for Expiry {
    /// As it is written: an xs:duration or an xs:dateTime.
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            Self::After(duration) => duration_text(*duration),
            Self::At(time) => date_time_text(time).unwrap_or_else(|| time.to_string()),
        };
        formatter.write_str(&text)
    }
}

/// An xs:duration in its short form: `PT10M`, `P1DT2H`, `PT0S`.
pub fn duration_text(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (days, hours, minutes) = (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60);
    let rest = seconds % 60;
    let micros = duration.subsec_micros();
    let mut out = String::from("P");
    // Writing to a string cannot fail.
    if days > 0 {
        let _ = write!(out, "{days}D");
    }
    if hours > 0 || minutes > 0 || rest > 0 || micros > 0 || days == 0 {
        out.push('T');
    }
    if hours > 0 {
        let _ = write!(out, "{hours}H");
    }
    if minutes > 0 {
        let _ = write!(out, "{minutes}M");
    }
    if rest > 0 || micros > 0 || out == "PT" {
        let _ = write!(out, "{rest}");
        push_fraction(&mut out, micros);
        out.push('S');
    }
    out
}

/// Appends a CIM datetime as the child element that WS-CIM has for it.
pub(super) fn push_cim(out: &mut String, time: &DateTime) {
    match *time {
        DateTime::Interval { days, hours, minutes, seconds, micros, known: ALL_DIGITS } => {
            let _ = write!(out, "<cim:Interval>P{days}DT{hours}H{minutes}M{seconds}");
            push_fraction(out, micros);
            out.push_str("S</cim:Interval>");
        }
        _ => {
            let _ = match date_time_text(time) {
                Some(text) => write!(out, "<cim:Datetime>{text}</cim:Datetime>"),
                None => write!(out, "<cim:CIM_DateTime>{time}</cim:CIM_DateTime>"),
            };
        }
    }
}

/// An xs:dateTime, if it can say what a CIM datetime does: a point in time of which all digits are known.
fn date_time_text(time: &DateTime) -> Option<String> {
    let DateTime::Timestamp { year, month, day, hour, minute, second, micros, offset, known: ALL_DIGITS } =
        *time
    else {
        return None;
    };
    if year == 0 || month == 0 || day == 0 || offset.abs() > MAX_OFFSET {
        return None;
    }
    let mut out = format!("{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}");
    push_fraction(&mut out, micros);
    if offset == 0 {
        out.push('Z');
    } else {
        let (sign, offset) = (if offset < 0 { '-' } else { '+' }, offset.unsigned_abs());
        let _ = write!(out, "{sign}{:02}:{:02}", offset / 60, offset % 60);
    }
    Some(out)
}

fn push_fraction(out: &mut String, micros: u32) {
    if micros > 0 {
        let digits = format!("{micros:06}");
        let _ = write!(out, ".{}", digits.trim_end_matches('0'));
    }
}

/// Reads a CIM datetime in any spelling in use: xs:dateTime, xs:date, xs:duration or the form of CIM itself.
pub(super) fn parse_cim(text: &str) -> Option<DateTime> {
    let text = text.trim();
    if text.starts_with('P') {
        return parse_duration(text).map(DateTime::from_duration);
    }
    text.parse().ok().or_else(|| parse_date_time(text)).or_else(|| parse_date(text))
}

/// Reads an xs:duration; one below zero is none here.
pub(super) fn parse_duration(text: &str) -> Option<Duration> {
    let mut rest = text.trim().strip_prefix('P')?;
    let mut total = Duration::ZERO;
    let mut in_time = false;
    let mut parts = 0;
    while !rest.is_empty() {
        if !in_time && rest.starts_with('T') {
            in_time = true;
            rest = &rest[1..];
            continue;
        }
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.')?;
        let (number, unit) = (&rest[..end], rest[end..].chars().next()?);
        rest = rest.get(end + 1..)?;
        parts += 1;
        if in_time && unit == 'S' {
            let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
            let micros: u64 = format!("{fraction:0<6}").get(..6)?.parse().ok()?;
            let whole: u64 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
            total =
                total.checked_add(Duration::from_secs(whole))?.checked_add(Duration::from_micros(micros))?;
            continue;
        }
        let number: u64 = number.parse().ok()?;
        let seconds = match (in_time, unit) {
            (false, 'Y') => number.checked_mul(DAYS_OF_YEAR * 86_400)?,
            (false, 'M') => number.checked_mul(DAYS_OF_MONTH * 86_400)?,
            (false, 'D') => number.checked_mul(86_400)?,
            (true, 'H') => number.checked_mul(3600)?,
            (true, 'M') => number.checked_mul(60)?,
            _ => return None,
        };
        total = total.checked_add(Duration::from_secs(seconds))?;
    }
    (parts > 0).then_some(total)
}

/// Reads an xs:dateTime; without an offset it is UTC.
fn parse_date_time(text: &str) -> Option<DateTime> {
    let (date, time) = text.trim().split_once('T')?;
    let digits = date_digits(date)?;
    let (time, offset) = match time.find(['Z', '+', '-']) {
        None => (time, "+000".to_owned()),
        Some(at) if &time[at..] == "Z" => (&time[..at], "+000".to_owned()),
        Some(at) => {
            let (hours, minutes) = time.get(at + 1..)?.split_once(':')?;
            let minutes = number(hours, 2)? * 60 + number(minutes, 2)?;
            (&time[..at], format!("{}{minutes:03}", &time[at..=at]))
        }
    };
    let (clock, fraction) = time.split_once('.').unwrap_or((time, "0"));
    if fraction.is_empty() || !fraction.bytes().all(|b| b.is_ascii_digit()) {
        return None;
    }
    let fraction = format!("{fraction:0<6}");
    let mut parts = clock.split(':');
    let (hour, minute, second) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    let (hour, minute, second) = (number(hour, 2)?, number(minute, 2)?, number(second, 2)?);
    format!("{digits}{hour:02}{minute:02}{second:02}.{}{offset}", fraction.get(..6)?).parse().ok()
}

/// Reads an xs:date: a day of which the time is not known.
fn parse_date(text: &str) -> Option<DateTime> {
    format!("{}******.******+000", date_digits(text)?).parse().ok()
}

fn date_digits(date: &str) -> Option<String> {
    let mut parts = date.split('-');
    let (year, month, day) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    Some(format!("{:04}{:02}{:02}", number(year, 4)?, number(month, 2)?, number(day, 2)?))
}

fn number(text: &str, digits: usize) -> Option<u32> {
    if text.len() == digits && text.bytes().all(|b| b.is_ascii_digit()) { text.parse().ok() } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(time: &str) -> String {
        let mut out = String::new();
        push_cim(&mut out, &time.parse().unwrap());
        out
    }

    #[test]
    fn durations_are_written_and_read() {
        for (seconds, text) in
            [(600, "PT10M"), (3600, "PT1H"), (0, "PT0S"), (93_784, "P1DT2H3M4S"), (86_400, "P1D")]
        {
            assert_eq!(duration_text(Duration::from_secs(seconds)), text);
            assert_eq!(parse_duration(text), Some(Duration::from_secs(seconds)));
        }
        assert_eq!(parse_duration("PT60.000S"), Some(Duration::from_secs(60)));
        assert_eq!(parse_duration("PT1.50S"), Some(Duration::from_millis(1500)));
        assert_eq!(parse_duration("P1Y"), Some(Duration::from_secs(365 * 86_400)));
        for bad in ["", "P", "PT", "-PT1S", "PT1", "P1H", "PTS1", "10", "P99999999999999999999D"] {
            assert_eq!(parse_duration(bad), None, "{bad}");
        }
    }

    #[test]
    fn an_end_is_written_as_it_is_read() {
        for text in ["PT10M", "2024-01-31T23:59:59Z", "2024-01-31T23:59:59.5+01:00"] {
            assert_eq!(Expiry::parse(text).unwrap().to_string(), text);
        }
    }

    #[test]
    fn datetimes_choose_their_element() {
        assert_eq!(
            written("20240131235959.123456+060"),
            "<cim:Datetime>2024-01-31T23:59:59.123456+01:00</cim:Datetime>"
        );
        assert_eq!(written("20240131235959.000000+000"), "<cim:Datetime>2024-01-31T23:59:59Z</cim:Datetime>");
        assert_eq!(written("00000000000107.000000:000"), "<cim:Interval>P0DT0H1M7S</cim:Interval>");
        assert_eq!(
            written("2024013123****.******+060"),
            "<cim:CIM_DateTime>2024013123****.******+060</cim:CIM_DateTime>"
        );
    }

    #[test]
    fn every_spelling_is_read() {
        let time: DateTime = "20101231123003.123456+360".parse().unwrap();
        assert_eq!(parse_cim("2010-12-31T12:30:03.123456+06:00"), Some(time));
        assert_eq!(parse_cim("20101231123003.123456+360"), Some(time));
        assert_eq!(parse_cim("2010-12-31"), "20101231******.******+000".parse().ok());
        assert_eq!(parse_cim("P1DT2H"), "00000001020000.000000:000".parse().ok());
        assert_eq!(parse_cim("2010-12-31T12:30:03"), "20101231123003.000000+000".parse().ok());
        for bad in ["", "now", "2010-13-31T12:30:03Z", "2010-12-31T12:30", "2010-12-31T12:30:03é"] {
            assert_eq!(parse_cim(bad), None, "{bad}");
        }
    }

    proptest! {
        #[test]
        fn no_text_panics(text in "[P0-9TYMDHSZ.:é+-]{0,24}") {
            let _ = (parse_cim(&text), parse_duration(&text), Expiry::parse(&text));
        }

        #[test]
        fn durations_read_back(micros in 0u64..1 << 50) {
            let duration = Duration::from_micros(micros);
            prop_assert_eq!(parse_duration(&duration_text(duration)), Some(duration));
        }
    }
}
