//! Times and lengths of time as whole microseconds.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Microseconds since 1970, negative before it, cut off where 64 bits end (292,000 years from now).
pub(crate) fn micros(time: SystemTime) -> i64 {
    match time.duration_since(UNIX_EPOCH) {
        Ok(after) => i64::try_from(after.as_micros()).unwrap_or(i64::MAX),
        Err(before) => i64::try_from(before.duration().as_micros()).map_or(i64::MIN, |n| -n),
    }
}

/// The time that many microseconds after 1970.
pub(crate) fn moment(micros: i64) -> SystemTime {
    let distance = Duration::from_micros(micros.unsigned_abs());
    let time = if micros < 0 { UNIX_EPOCH.checked_sub(distance) } else { UNIX_EPOCH.checked_add(distance) };
    time.unwrap_or(UNIX_EPOCH)
}

/// A length of time in microseconds, cut off where 64 bits end.
pub(crate) fn length(duration: Duration) -> u64 {
    u64::try_from(duration.as_micros()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_before_and_after_1970_survive() {
        for n in [0, 1, -1, 1_706_698_800_000_001, -86_400_000_000, i64::MAX, i64::MIN + 1] {
            assert_eq!(micros(moment(n)), n);
        }
    }
}
