//! When a job is to run: the scheduling properties of CIM_Job as pure functions of a schedule and an instant.
//!
//! The rules, as far as the property texts of CIM_Job leave them open:
//! - Any of RunMonth, RunDay, RunDayOfWeek and RunStartInterval makes a *calendar*. What is NULL restricts nothing: without RunMonth
//!   every month counts, without RunDay every day (or, with RunDayOfWeek, every such day of the week). The time of day is
//!   RunStartInterval, midnight if that is NULL.
//! - A RunDay that a month does not have (the 31st of April, the 30th from the end of February) gives no run in that month. With
//!   RunDayOfWeek the run is on the first such day of the week on or after (before, if negative) that day, even where that is in
//!   the next (previous) month.
//! - The hours of RunStartInterval are those of the local time zone unless LocalOrUtcTime says UTC (2). A local time that a change of
//!   clocks leaves out moves by as much as the clocks do; one that comes twice is taken the first time.
//! - ScheduledStartTime is the earliest start. Without a calendar it is the start, and a job with JobRunTimes greater than 1 runs
//!   again as soon as it has ended.
//! - Runs do not pile up: the next run is looked for from the end of the one before, and a time that passed while the server was
//!   down, or had no room, is made up for by one run as soon as there is room, however many times passed.

use crate::record::Schedule;
use cimwright_cim::DateTime;
use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use std::fmt;
use std::time::{Duration, SystemTime};

/// LocalOrUtcTime: UTC.
const UTC_TIME: u16 = 2;

/// How many months are looked through for the next run: a 29th of February comes again within eight years.
const HORIZON: i32 = 12 * 9;

const DAY: Duration = Duration::from_secs(86_400);

/// The local time zone.
#[derive(Clone, Debug)]
pub struct Zone(TimeZone);

impl Zone {
    /// The time zone of this machine (`TZ`, else `/etc/localtime`), UTC if it has none.
    pub fn system() -> Self {
        Self(TimeZone::try_system().unwrap_or(TimeZone::UTC))
    }

    /// Coordinated Universal Time.
    pub fn utc() -> Self {
        Self(TimeZone::UTC)
    }

    /// The zone of this name in the IANA database, of the machine or else the one that comes with the program.
    pub fn named(name: &str) -> Option<Self> {
        TimeZone::get(name).ok().map(Self)
    }
}

/// Why a schedule cannot be followed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ScheduleMistake {
    /// No month has such a day.
    NoSuchDay,
    /// RunDay is 0.
    DayZero,
    /// RunStartInterval is a day or longer, so that no time of day is meant.
    IntervalTooLong,
    /// JobRunTimes is 0 and nothing says how long to wait between two runs.
    NoPause,
    /// UntilTime comes before the first run.
    OverBeforeItBegins,
    /// The job has run as often as JobRunTimes allows.
    RunOften,
}

impl fmt::Display for ScheduleMistake {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::NoSuchDay => "RunMonth, RunDay and RunDayOfWeek together name a day that no year has",
            Self::DayZero => "RunDay counts from 1, or backwards from -1; 0 is no day",
            Self::IntervalTooLong => "RunStartInterval is the time after midnight and must be shorter than a day",
            Self::NoPause => {
                "a job with JobRunTimes 0 runs again and again; one of RunMonth, RunDay, RunDayOfWeek and RunStartInterval must \
                 say when"
            }
            Self::RunOften => "the job has been run that often, or more often; JobRunTimes counts all its runs",
            Self::OverBeforeItBegins => "UntilTime passes before the job would run for the first time",
        })
    }
}

impl std::error::Error for ScheduleMistake {}

impl Schedule {
    /// The first moment not before `from` at which the job is to run; `None` if there is none.
    pub fn next_run(&self, from: SystemTime, local: &Zone) -> Option<SystemTime> {
        let from = self.starts().map_or(from, |start| start.max(from));
        if self.has_calendar() { self.on_calendar(from, local) } else { Some(from) }
    }

    /// When the job is no longer to run, nor to be running (UntilTime); `None` if that never comes.
    ///
    /// An interval never comes either: [`Schedule::settled`] has made those that mean something into points in time.
    pub fn until(&self) -> Option<SystemTime> {
        match self.until_time? {
            // DSP0004 5.2.4: the year 9999 is the infinite future.
            DateTime::Timestamp { year: 9999, .. } => None,
            time => time.to_system_time(),
        }
    }

    /// Whether the job may run again after `done` runs, as far as JobRunTimes goes.
    pub fn allows_another(&self, done: u32) -> bool {
        self.job_run_times == 0 || done < self.job_run_times
    }

    /// Whether a calendar says when to run.
    pub fn has_calendar(&self) -> bool {
        self.run_month.is_some()
            || self.day().is_some()
            || self.weekday().is_some()
            || self.run_start_interval.is_some()
    }

    /// Whether anything keeps the job from running at once and only once.
    pub fn is_plain(&self) -> bool {
        !self.has_calendar()
            && self.job_run_times == 1
            && self.scheduled_start_time.is_none()
            && self.until_time.is_none()
    }

    /// The same schedule with intervals, which are relative to the moment they are given, made into points in time.
    ///
    /// A ScheduledStartTime of zero length says "now" and is dropped.
    #[must_use]
    pub fn settled(mut self, now: SystemTime) -> Self {
        let at = |length: Duration| now.checked_add(length).map(DateTime::from_system_time);
        if let Some(length) = self.scheduled_start_time.and_then(|t| t.to_duration()) {
            self.scheduled_start_time = if length.is_zero() { None } else { at(length) };
        }
        if let Some(interval) = self.until_time
            && !is_infinite(&interval)
            && let Some(length) = interval.to_duration()
        {
            self.until_time = at(length);
        }
        self
    }

    /// Whether the schedule can be followed, seen from `now`.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn check(&self, now: SystemTime, local: &Zone) -> Result<(), ScheduleMistake> {
        if self.run_day == Some(0) {
            return Err(ScheduleMistake::DayZero);
        }
        if self.run_start_interval.and_then(|t| t.to_duration()).is_some_and(|length| length >= DAY) {
            return Err(ScheduleMistake::IntervalTooLong);
        }
        if self.job_run_times == 0 && !self.has_calendar() {
            return Err(ScheduleMistake::NoPause);
        }
        let first = self.next_run(now, local).ok_or(ScheduleMistake::NoSuchDay)?;
        match self.until() {
            Some(until) if until <= first => Err(ScheduleMistake::OverBeforeItBegins),
            _ => Ok(()),
        }
    }

    fn starts(&self) -> Option<SystemTime> {
        self.scheduled_start_time?.to_system_time()
    }

    fn day(&self) -> Option<i8> {
        self.run_day.filter(|d| *d != 0)
    }

    /// The day of the week, and whether it is looked for backwards.
    fn weekday(&self) -> Option<(Weekday, bool)> {
        let number = self.run_day_of_week.filter(|d| *d != 0)?;
        let day = Weekday::from_sunday_one_offset(number.unsigned_abs() as i8).ok()?;
        Some((day, number < 0))
    }

    fn on_calendar(&self, from: SystemTime, local: &Zone) -> Option<SystemTime> {
        let zone = if self.local_or_utc_time == Some(UTC_TIME) { &TimeZone::UTC } else { &local.0 };
        let time = self.time_of_day();
        let from = Timestamp::try_from(from).ok()?;
        let today = from.to_zoned(zone.clone()).date();
        // A run that belongs to the month before may be in this one.
        let first = today.first_of_month().checked_sub(Span::new().months(1)).ok()?;
        for ahead in 0..=HORIZON {
            let month = first.checked_add(Span::new().months(ahead)).ok()?;
            let runs = self.days_of(month).into_iter().filter(|date| *date >= today);
            for date in runs {
                let at = date.to_datetime(time).to_zoned(zone.clone()).ok()?.timestamp();
                if at >= from {
                    return Some(at.into());
                }
            }
        }
        None
    }

    /// The days that the month with this first day gives, in order.
    fn days_of(&self, month: Date) -> Vec<Date> {
        if self.run_month.is_some_and(|m| i32::from(m) + 1 != i32::from(month.month())) {
            return Vec::new();
        }
        let last = month.days_in_month();
        let date = |day: i8| month.with().day(day).build().ok();
        match (self.day(), self.weekday()) {
            (None, wanted) => (1..=last)
                .filter_map(date)
                .filter(|d| wanted.is_none_or(|(weekday, _)| d.weekday() == weekday))
                .collect(),
            (Some(day), wanted) => {
                let counted = if day > 0 { i16::from(day) } else { i16::from(last) + 1 + i16::from(day) };
                let base = i8::try_from(counted).ok().filter(|d| (1..=last).contains(d)).and_then(date);
                let found = base.and_then(|base| match wanted {
                    None => Some(base),
                    Some((weekday, _)) if base.weekday() == weekday => Some(base),
                    Some((weekday, backwards)) => {
                        base.nth_weekday(if backwards { -1 } else { 1 }, weekday).ok()
                    }
                });
                found.into_iter().collect()
            }
        }
    }

    fn time_of_day(&self) -> Time {
        let length = self.run_start_interval.and_then(|t| t.to_duration()).unwrap_or_default();
        // Longer ones are refused where they come in; the last moment of the day is next to what was meant.
        let seconds = length.as_secs().min(86_399) as i32;
        let (hour, minute, second) = (seconds / 3600, seconds / 60 % 60, seconds % 60);
        let nanos = length.subsec_nanos() as i32;
        Time::new(hour as i8, minute as i8, second as i8, nanos).unwrap_or(Time::midnight())
    }
}

/// The interval that stands for ever: all nines in the days (CIM_Job.UntilTime).
fn is_infinite(time: &DateTime) -> bool {
    matches!(time, DateTime::Interval { days: 99_999_999, .. })
}

#[cfg(test)]
mod tests;
