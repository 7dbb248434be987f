//! The only place that asks what time it is.

use std::sync::Mutex;
use std::time::{Duration, SystemTime};

/// A source of the time of day.
pub trait Clock: Send + Sync + 'static {
    /// The time now, never finer than microseconds, which is what a CIM datetime and the stores hold.
    fn now(&self) -> SystemTime;
}

/// The clock of the machine.
#[derive(Clone, Copy, Debug, Default)]
pub struct SystemClock;

impl Clock for SystemClock {
    #[allow(clippy::disallowed_methods, reason = "this is the Clock that everybody else must ask")]
    fn now(&self) -> SystemTime {
        truncate(SystemTime::now())
    }
}

/// A clock that stands still until it is moved; for tests.
#[derive(Debug)]
pub struct ManualClock(Mutex<SystemTime>);

impl ManualClock {
    /// A clock that shows `start`.
    pub fn new(start: SystemTime) -> Self {
        Self(Mutex::new(truncate(start)))
    }

    /// Moves the clock forward.
    pub fn advance(&self, by: Duration) {
        let mut now = self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner);
        *now += by;
    }
}

impl Clock for ManualClock {
    fn now(&self) -> SystemTime {
        *self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

fn truncate(time: SystemTime) -> SystemTime {
    match time.duration_since(SystemTime::UNIX_EPOCH) {
        Ok(since) => SystemTime::UNIX_EPOCH + Duration::from_micros(since.as_micros() as u64),
        Err(_) => SystemTime::UNIX_EPOCH,
    }
}
