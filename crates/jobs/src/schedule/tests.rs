//! The examples of the property texts, and the arithmetic against another library that knows the same calendar.

use super::*;
use chrono::{Datelike, Days, MappedLocalTime, NaiveDate, NaiveDateTime, Offset, TimeZone as _, Utc};
use proptest::prelude::*;
use std::time::UNIX_EPOCH;

fn at(text: &str) -> SystemTime {
    text.parse::<DateTime>().unwrap().to_system_time().unwrap()
}

fn shown(time: Option<SystemTime>) -> String {
    time.map_or_else(|| "never".to_owned(), |t| DateTime::from_system_time(t).to_string())
}

fn hours(hours: u8, minutes: u8) -> Option<DateTime> {
    Some(DateTime::from_duration(Duration::from_secs(u64::from(hours) * 3600 + u64::from(minutes) * 60)))
}

fn on(month: Option<u8>, day: Option<i8>, weekday: Option<i8>) -> Schedule {
    Schedule { run_month: month, run_day: day, run_day_of_week: weekday, ..Schedule::default() }
}

fn next_utc(schedule: &Schedule, from: &str) -> String {
    shown(schedule.next_run(at(from), &Zone::utc()))
}

const FROM: &str = "20260401120000.000000+000";

#[test]
fn the_examples_of_the_property_texts() {
    // April 2026: the 1st is a Wednesday.
    let cases = [
        (on(Some(3), Some(5), Some(0)), "20260405000000.000000+000"),
        (on(Some(3), Some(-1), None), "20260430000000.000000+000"),
        // The third Saturday.
        (on(Some(3), Some(15), Some(7)), "20260418000000.000000+000"),
        // The Saturday on or before the 20th.
        (on(Some(3), Some(20), Some(-7)), "20260418000000.000000+000"),
        // The last Sunday of the month.
        (on(Some(3), Some(-1), Some(-1)), "20260426000000.000000+000"),
        // Every month has a first; the one of April is over.
        (on(None, Some(1), None), "20260501000000.000000+000"),
        // Every Wednesday; the one of today is over.
        (on(None, None, Some(4)), "20260408000000.000000+000"),
        (on(None, None, Some(-4)), "20260408000000.000000+000"),
        // The day that is the right one already.
        (on(Some(3), Some(18), Some(7)), "20260418000000.000000+000"),
        (on(Some(3), Some(18), Some(-7)), "20260418000000.000000+000"),
        // Not in the month itself.
        (on(Some(3), Some(30), Some(7)), "20260502000000.000000+000"),
        (on(Some(4), Some(1), Some(-7)), "20260425000000.000000+000"),
        // April has no 31st, and no 31st from its end.
        (on(None, Some(31), None), "20260531000000.000000+000"),
        (on(None, Some(-31), None), "20260501000000.000000+000"),
        (on(Some(1), Some(29), None), "20280229000000.000000+000"),
        (on(Some(1), Some(30), None), "never"),
        // A month alone means each of its days.
        (on(Some(4), None, None), "20260501000000.000000+000"),
    ];
    for (schedule, wanted) in cases {
        assert_eq!(next_utc(&schedule, FROM), wanted, "{schedule:?}");
    }
}

#[test]
fn the_interval_is_the_time_of_day() {
    let daily = Schedule { run_start_interval: hours(2, 30), ..Schedule::default() };
    assert_eq!(next_utc(&daily, FROM), "20260402023000.000000+000");
    assert_eq!(next_utc(&daily, "20260402023000.000000+000"), "20260402023000.000000+000");
    assert_eq!(next_utc(&daily, "20260402023000.000001+000"), "20260403023000.000000+000");
}

#[test]
fn local_time_is_meant_unless_utc_is_said() {
    let berlin = Zone::named("Europe/Berlin").unwrap();
    let local = Schedule { run_start_interval: hours(2, 30), ..Schedule::default() };
    let utc = Schedule { local_or_utc_time: Some(2), ..local.clone() };
    assert_eq!(shown(local.next_run(at(FROM), &berlin)), "20260402003000.000000+000");
    assert_eq!(shown(utc.next_run(at(FROM), &berlin)), "20260402023000.000000+000");
    // On the 29th of March the clocks go from 2 to 3: half past two is half past three that day.
    assert_eq!(shown(local.next_run(at("20260328120000.000000+000"), &berlin)), "20260329013000.000000+000");
    // On the 25th of October half past two comes twice; the first time counts, and only once.
    let first = local.next_run(at("20261024120000.000000+000"), &berlin).unwrap();
    assert_eq!(shown(Some(first)), "20261025003000.000000+000");
    let next = local.next_run(first + Duration::from_micros(1), &berlin);
    assert_eq!(shown(next), "20261026013000.000000+000");
}

#[test]
fn the_scheduled_start_is_the_earliest_one() {
    let start = |schedule| Schedule {
        scheduled_start_time: Some("20260601100000.000000+120".parse().unwrap()),
        ..schedule
    };
    assert_eq!(next_utc(&start(Schedule::default()), FROM), "20260601080000.000000+000");
    assert_eq!(next_utc(&start(on(None, Some(1), None)), FROM), "20260701000000.000000+000");
    // Passed: at once.
    assert_eq!(
        next_utc(&start(Schedule::default()), "20270101000000.000000+000"),
        "20270101000000.000000+000"
    );
}

#[test]
fn intervals_are_relative_to_when_they_are_given() {
    let given = Schedule {
        scheduled_start_time: hours(1, 0),
        until_time: hours(3, 0),
        run_start_interval: hours(5, 0),
        ..Schedule::default()
    };
    let settled = given.settled(at(FROM));
    assert_eq!(settled.scheduled_start_time.unwrap().to_string(), "20260401130000.000000+000");
    assert_eq!(shown(settled.until()), "20260401150000.000000+000");
    assert_eq!(settled.run_start_interval, hours(5, 0));
    let now = Schedule { scheduled_start_time: Some(DateTime::ZERO_INTERVAL), ..Schedule::default() };
    assert!(now.settled(at(FROM)).is_plain());
}

#[test]
fn for_ever_is_for_ever() {
    for text in ["99999999235959.000000:000", "99991231115959.999999-720"] {
        let schedule = Schedule { until_time: Some(text.parse().unwrap()), ..Schedule::default() };
        let settled = schedule.clone().settled(at(FROM));
        assert_eq!(settled, schedule);
        assert_eq!(settled.until(), None, "{text}");
    }
}

#[test]
fn what_cannot_be_followed_is_told() {
    let check = |schedule: Schedule| schedule.check(at(FROM), &Zone::utc());
    assert_eq!(check(Schedule::default()), Ok(()));
    assert_eq!(check(on(Some(1), Some(30), None)), Err(ScheduleMistake::NoSuchDay));
    assert_eq!(check(on(None, Some(0), None)), Err(ScheduleMistake::DayZero));
    let long = Schedule { run_start_interval: hours(24, 0), ..Schedule::default() };
    assert_eq!(check(long), Err(ScheduleMistake::IntervalTooLong));
    let spinning = Schedule { job_run_times: 0, ..Schedule::default() };
    assert_eq!(check(spinning), Err(ScheduleMistake::NoPause));
    let until = |text: &str| Schedule { until_time: Some(text.parse().unwrap()), ..on(None, Some(5), None) };
    assert_eq!(check(until("20260405000000.000000+000")), Err(ScheduleMistake::OverBeforeItBegins));
    assert_eq!(check(until("20260405000000.000001+000")), Ok(()));
}

// ---- the same question, answered in another way: look at every day in turn, with chrono and chrono-tz

const ZONES: [&str; 6] = [
    "UTC",
    "Europe/Berlin",
    "America/New_York",
    "Asia/Kolkata",
    // Half an hour of summer time.
    "Australia/Lord_Howe",
    // Skipped the 30th of December 2011.
    "Pacific/Apia",
];

/// Whether the calendar has a run on this day, by looking at all days it could have been counted from.
fn runs_on(schedule: &Schedule, day: NaiveDate) -> bool {
    let weekday = schedule.run_day_of_week.filter(|d| *d != 0);
    let right_month = |d: NaiveDate| schedule.run_month.is_none_or(|m| d.month0() == u32::from(m));
    let right_weekday =
        |d: NaiveDate, n: i8| d.weekday().num_days_from_sunday() + 1 == u32::from(n.unsigned_abs());
    let right_day = |d: NaiveDate, wanted: i8| {
        let length = u32::from(d.num_days_in_month());
        if wanted > 0 {
            d.day() == wanted.unsigned_abs().into()
        } else {
            d.day() + u32::from(wanted.unsigned_abs()) == length + 1
        }
    };
    match (schedule.run_day, weekday) {
        (None, weekday) => right_month(day) && weekday.is_none_or(|w| right_weekday(day, w)),
        (Some(wanted), None) => right_month(day) && right_day(day, wanted),
        // From a base at most six days away the search ends here.
        (Some(wanted), Some(w)) => {
            right_weekday(day, w)
                && (0..7).any(|n| {
                    let base = if w > 0 { day - Days::new(n) } else { day + Days::new(n) };
                    right_month(base) && right_day(base, wanted)
                })
        }
    }
}

fn instant(zone: chrono_tz::Tz, local: NaiveDateTime) -> chrono::DateTime<Utc> {
    match zone.from_local_datetime(&local) {
        MappedLocalTime::Single(one) | MappedLocalTime::Ambiguous(one, _) => one.to_utc(),
        // Left out: with the clock as it was before.
        MappedLocalTime::None => {
            let before =
                zone.from_local_datetime(&(local - Duration::from_secs(25 * 3600))).latest().unwrap();
            (local - before.offset().fix()).and_utc()
        }
    }
}

fn day_by_day(
    schedule: &Schedule,
    zone: chrono_tz::Tz,
    from: chrono::DateTime<Utc>,
) -> Option<chrono::DateTime<Utc>> {
    let length = schedule.run_start_interval.and_then(|t| t.to_duration()).unwrap_or_default();
    let first = from.with_timezone(&zone).date_naive();
    (0..3000).map(|n| first + Days::new(n)).filter(|d| runs_on(schedule, *d)).find_map(|d| {
        let at = instant(zone, d.and_hms_opt(0, 0, 0).unwrap() + length);
        (at >= from).then_some(at)
    })
}

fn calendar() -> impl Strategy<Value = Schedule> {
    let day = prop_oneof![(-31i8..=-1).prop_map(Some), (1i8..=31).prop_map(Some), Just(None)];
    let length = proptest::option::of((0u64..86_400_000_000).prop_map(Duration::from_micros));
    (proptest::option::of(0u8..12), day, proptest::option::of(-7i8..=7), length)
        .prop_map(|(run_month, run_day, run_day_of_week, length)| Schedule {
            run_month,
            run_day,
            run_day_of_week,
            run_start_interval: length.map(DateTime::from_duration),
            ..Schedule::default()
        })
        .prop_filter("a calendar", Schedule::has_calendar)
}

proptest! {
    #[test]
    fn two_libraries_agree(
        schedule in calendar(),
        zone in proptest::sample::select(&ZONES[..]),
        // 2005 to 2025: what both know as history.
        seconds in 1_104_537_600u64..1_735_689_600,
    ) {
        let from = UNIX_EPOCH + Duration::from_secs(seconds);
        let ours = schedule.next_run(from, &Zone::named(zone).unwrap());
        let theirs = day_by_day(&schedule, zone.parse().unwrap(), from.into());
        prop_assert_eq!(shown(ours), shown(theirs.map(SystemTime::from)), "{:?} in {}", schedule, zone);
    }

    #[test]
    fn the_next_run_is_not_before_and_stays_the_next(
        schedule in calendar(),
        seconds in 1_104_537_600u64..1_735_689_600,
        share in 0.0f64..1.0,
    ) {
        let from = UNIX_EPOCH + Duration::from_secs(seconds);
        let zone = Zone::named("Europe/Berlin").unwrap();
        if let Some(next) = schedule.next_run(from, &zone) {
            prop_assert!(next >= from);
            let between = from + next.duration_since(from).unwrap().mul_f64(share);
            prop_assert_eq!(schedule.next_run(between, &zone), Some(next));
        }
    }

    #[test]
    fn a_settled_schedule_stays_as_it_is(seconds in 0u64..4_000_000_000, later in 0u64..4_000_000) {
        let now = UNIX_EPOCH + Duration::from_secs(seconds);
        let schedule = Schedule { until_time: hours(1, 0), scheduled_start_time: hours(0, 5), ..Schedule::default() };
        let settled = schedule.settled(now);
        prop_assert_eq!(settled.clone().settled(now + Duration::from_secs(later)), settled);
    }
}
