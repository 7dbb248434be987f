//! The CIM datetime type: timestamps and intervals in the 25-character form (DSP0004 5.2.4).

use std::fmt;
use std::str::FromStr;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Number of digits before the UTC offset: `yyyymmddhhmmss` or `ddddddddhhmmss`, and six of microseconds.
const DIGITS: u8 = 20;

/// A timestamp or an interval.
///
/// Digits that are unknown are asterisks in the text; they are contiguous and at the right end, so one count tells them all.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum DateTime {
    /// A point in time.
    Timestamp {
        /// Years 0 to 9999; 0 and 9999 stand for the infinite past and future.
        year: u16,
        /// 1 to 12.
        month: u8,
        /// 1 to 31.
        day: u8,
        /// 0 to 23.
        hour: u8,
        /// 0 to 59.
        minute: u8,
        /// 0 to 59.
        second: u8,
        /// 0 to 999,999.
        micros: u32,
        /// Minutes east of UTC, -999 to 999.
        offset: i16,
        /// How many of the 20 digits are known.
        known: u8,
    },
    /// A length of time.
    Interval {
        /// 0 to 99,999,999.
        days: u32,
        /// 0 to 23.
        hours: u8,
        /// 0 to 59.
        minutes: u8,
        /// 0 to 59.
        seconds: u8,
        /// 0 to 999,999.
        micros: u32,
        /// How many of the 20 digits are known.
        known: u8,
    },
}

/// Why a text is no CIM datetime.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DateTimeError {
    /// What is wrong, for a person.
    pub reason: &'static str,
}

impl fmt::Display for DateTimeError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "not a CIM datetime: {}", self.reason)
    }
}

impl std::error::Error for DateTimeError {}

impl DateTime {
    /// The interval of zero length, which several job properties use for "never" or "unknown".
    pub const ZERO_INTERVAL: Self =
        Self::Interval { days: 0, hours: 0, minutes: 0, seconds: 0, micros: 0, known: DIGITS };

    /// The timestamp of `time`, in UTC, with microseconds. Times before 1970 become 1970.
    pub fn from_system_time(time: SystemTime) -> Self {
        let since = time.duration_since(UNIX_EPOCH).unwrap_or_default();
        let days = since.as_secs() / 86_400;
        let rest = since.as_secs() % 86_400;
        let (year, month, day) = civil_from_days(days as i64);
        Self::Timestamp {
            year: u16::try_from(year).unwrap_or(9999).min(9999),
            month,
            day,
            hour: (rest / 3600) as u8,
            minute: (rest / 60 % 60) as u8,
            second: (rest % 60) as u8,
            micros: since.subsec_micros(),
            offset: 0,
            known: DIGITS,
        }
    }

    /// The interval as long as `duration`, cut off at 99,999,999 days.
    pub fn from_duration(duration: Duration) -> Self {
        let secs = duration.as_secs();
        let days = secs / 86_400;
        if days > 99_999_999 {
            return Self::Interval {
                days: 99_999_999,
                hours: 23,
                minutes: 59,
                seconds: 59,
                micros: 999_999,
                known: DIGITS,
            };
        }
        Self::Interval {
            days: days as u32,
            hours: (secs / 3600 % 24) as u8,
            minutes: (secs / 60 % 60) as u8,
            seconds: (secs % 60) as u8,
            micros: duration.subsec_micros(),
            known: DIGITS,
        }
    }

    /// Whether this is an interval.
    pub fn is_interval(&self) -> bool {
        matches!(self, Self::Interval { .. })
    }

    /// The length of an interval (unknown digits count as zero); `None` for a timestamp.
    pub fn to_duration(&self) -> Option<Duration> {
        match *self {
            Self::Interval { days, hours, minutes, seconds, micros, .. } => {
                let secs = u64::from(days) * 86_400
                    + u64::from(hours) * 3600
                    + u64::from(minutes) * 60
                    + u64::from(seconds);
                Some(Duration::new(secs, micros * 1000))
            }
            Self::Timestamp { .. } => None,
        }
    }

    /// Microseconds since 1970-01-01 UTC (unknown digits count as their lowest value); `None` for an interval.
    pub fn to_unix_micros(&self) -> Option<i64> {
        match *self {
            Self::Timestamp { year, month, day, hour, minute, second, micros, offset, .. } => {
                let days = days_from_civil(i64::from(year), month.max(1), day.max(1));
                let secs = days * 86_400
                    + i64::from(hour) * 3600
                    + (i64::from(minute) - i64::from(offset)) * 60
                    + i64::from(second);
                Some(secs * 1_000_000 + i64::from(micros))
            }
            Self::Interval { .. } => None,
        }
    }

    /// The point in time of a timestamp not before 1970; `None` for an interval.
    pub fn to_system_time(&self) -> Option<SystemTime> {
        let micros = u64::try_from(self.to_unix_micros()?).ok()?;
        Some(UNIX_EPOCH + Duration::from_micros(micros))
    }
}

impl fmt::Display for DateTime {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (digits, tail, known) = match *self {
            Self::Timestamp { year, month, day, hour, minute, second, micros, offset, known } => (
                format!("{year:04}{month:02}{day:02}{hour:02}{minute:02}{second:02}{micros:06}"),
                format!("{}{:03}", if offset < 0 { '-' } else { '+' }, offset.unsigned_abs()),
                known,
            ),
            Self::Interval { days, hours, minutes, seconds, micros, known } => {
                (format!("{days:08}{hours:02}{minutes:02}{seconds:02}{micros:06}"), ":000".to_owned(), known)
            }
        };
        let known = usize::from(known.min(DIGITS));
        for (at, digit) in digits.chars().enumerate() {
            if at == 14 {
                f.write_str(".")?;
            }
            write!(f, "{}", if at < known { digit } else { '*' })?;
        }
        f.write_str(&tail)
    }
}

impl FromStr for DateTime {
    type Err = DateTimeError;

    fn from_str(text: &str) -> Result<Self, DateTimeError> {
        let bytes = text.as_bytes();
        let fail = |reason| Err(DateTimeError { reason });
        if bytes.len() != 25 || !text.is_ascii() {
            return fail(
                "it must have 25 characters, as 20260131123000.000000+060 or 00000000000500.000000:000",
            );
        }
        if bytes[14] != b'.' {
            return fail("the 15th character must be a point");
        }
        let mut digits = [0u8; 20];
        digits[..14].copy_from_slice(&bytes[..14]);
        digits[14..].copy_from_slice(&bytes[15..21]);
        let known = digits.iter().position(|b| *b == b'*').unwrap_or(20);
        if digits[known..].iter().any(|b| *b != b'*') {
            return fail("asterisks must reach to the end of the digits");
        }
        if digits[..known].iter().any(|b| !b.is_ascii_digit()) {
            return fail("only digits and asterisks may stand before the offset");
        }
        let number = |from: usize, to: usize| -> u32 {
            digits[from..to].iter().fold(0, |n, b| n * 10 + if *b == b'*' { 0 } else { u32::from(b - b'0') })
        };
        let sign = bytes[21];
        let interval = sign == b':';
        let borders: &[usize] = if interval { &[0, 8, 10, 12, 14] } else { &[0, 4, 6, 8, 10, 12, 14] };
        // Whole fields are known or not; only within the microseconds may single digits be unknown.
        if known < 14 && !borders.contains(&known) {
            return fail("a field is known as a whole or not at all");
        }
        let (hour, minute, second, micros) = (number(8, 10), number(10, 12), number(12, 14), number(14, 20));
        if hour > 23 || minute > 59 || second > 59 {
            return fail("the time of day is out of range");
        }
        let known = known as u8;
        if interval {
            if &bytes[22..] != b"000" {
                return fail("an interval ends in :000");
            }
            return Ok(Self::Interval {
                days: number(0, 8),
                hours: hour as u8,
                minutes: minute as u8,
                seconds: second as u8,
                micros,
                known,
            });
        }
        if sign != b'+' && sign != b'-' {
            return fail("the 22nd character must be +, - or :");
        }
        if !bytes[22..].iter().all(u8::is_ascii_digit) {
            return fail("the offset must be three digits of minutes");
        }
        let offset = bytes[22..].iter().fold(0i16, |n, b| n * 10 + i16::from(b - b'0'));
        let (year, month, day) = (number(0, 4), number(4, 6), number(6, 8));
        // All zeros is what job properties use for "unknown" although no such day exists.
        let zero = year == 0 && month == 0 && day == 0;
        if !zero && ((known >= 6 && !(1..=12).contains(&month)) || (known >= 8 && !(1..=31).contains(&day))) {
            return fail("the date is out of range");
        }
        if known >= 8 && !zero && day > u32::from(days_in_month(year as i64, month as u8)) {
            return fail("the month has no such day");
        }
        Ok(Self::Timestamp {
            year: year as u16,
            month: month as u8,
            day: day as u8,
            hour: hour as u8,
            minute: minute as u8,
            second: second as u8,
            micros,
            offset: if sign == b'-' { -offset } else { offset },
            known,
        })
    }
}

fn days_in_month(year: i64, month: u8) -> u8 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days from 1970-01-01 to a day of the proleptic Gregorian calendar, counting years from March so that the leap day
/// comes last.
fn days_from_civil(year: i64, month: u8, day: u8) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_from_march = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_from_march + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn civil_from_days(days: i64) -> (i64, u8, u8) {
    let days = days + 719_468;
    let era = days.div_euclid(146_097);
    let day_of_era = days.rem_euclid(146_097);
    let year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_from_march = (5 * day_of_year + 2) / 153;
    let day = (day_of_year - (153 * month_from_march + 2) / 5 + 1) as u8;
    let month = if month_from_march < 10 { month_from_march + 3 } else { month_from_march - 9 } as u8;
    let year = year_of_era + era * 400 + i64::from(month <= 2);
    (year, month, day)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_default_retention_is_five_minutes() {
        let five: DateTime = "00000000000500.000000:000".parse().unwrap();
        assert_eq!(five.to_duration(), Some(Duration::from_secs(300)));
        assert_eq!(five, DateTime::from_duration(Duration::from_secs(300)));
    }

    #[test]
    fn timestamps_with_offset_and_unknown_digits() {
        let t: DateTime = "20240131120000.000000+060".parse().unwrap();
        assert_eq!(t.to_unix_micros(), Some(1_706_698_800_000_000));
        let text = "20240131******.******+000";
        assert_eq!(text.parse::<DateTime>().unwrap().to_string(), text);
        assert!("202401**00****.******+000".parse::<DateTime>().is_err());
        assert!("2024013*******.******+000".parse::<DateTime>().is_err());
        assert_eq!(
            "20240131120000.123***+000".parse::<DateTime>().unwrap().to_string(),
            "20240131120000.123***+000"
        );
    }

    #[test]
    fn wrong_texts_are_refused() {
        for text in [
            "",
            "20240131120000.000000+06",
            "20241331120000.000000+060",
            "20240230120000.000000+000",
            "20240131250000.000000+000",
            "20240131120000,000000+000",
            "00000000000500.000000:001",
            "20240131120000.000000/000",
            "2024013112000\u{e9}.00000+000",
        ] {
            assert!(text.parse::<DateTime>().is_err(), "{text}");
        }
        assert!("00000000000000.000000+000".parse::<DateTime>().is_ok());
    }

    proptest! {
        #[test]
        fn system_times_survive_the_text(secs in 0u64..250_000_000_000, micros in 0u32..1_000_000) {
            let time = UNIX_EPOCH + Duration::new(secs, micros * 1000);
            let text = DateTime::from_system_time(time).to_string();
            prop_assert_eq!(text.parse::<DateTime>().unwrap().to_system_time(), Some(time));
        }

        #[test]
        fn durations_survive_the_text(secs in 0u64..8_000_000_000_000, micros in 0u32..1_000_000) {
            let duration = Duration::new(secs, micros * 1000);
            let text = DateTime::from_duration(duration).to_string();
            prop_assert_eq!(text.parse::<DateTime>().unwrap().to_duration(), Some(duration));
        }

        #[test]
        fn no_text_panics(text in "\\PC{0,30}") {
            let _ = text.parse::<DateTime>();
        }
    }
}
