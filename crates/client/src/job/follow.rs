//! Following a job to its end, through restarts of the server.

use super::{JobHandle, JobSnapshot};
use crate::error::ClientError;
use std::time::{Duration, Instant};

/// How often to look and how long to bear with a server that is away.
#[derive(Clone, Copy, Debug)]
pub struct Patience {
    /// The pause after the first look; it grows up to `slowest`.
    pub fastest: Duration,
    /// The longest pause between two looks.
    pub slowest: Duration,
    /// How long the server may be away: a job outlives a restart.
    pub away: Duration,
}

impl Default for Patience {
    fn default() -> Self {
        Self {
            fastest: Duration::from_millis(100),
            slowest: Duration::from_secs(1),
            away: Duration::from_secs(30),
        }
    }
}

/// What a look at the job saw.
#[derive(Debug)]
pub enum PollEvent<'a> {
    /// The job.
    Seen(&'a JobSnapshot),
    /// The server does not answer; it will be asked again.
    Away(&'a ClientError),
}

/// How following a job ended.
#[derive(Debug)]
pub enum Followed {
    /// The job ended: its last look. Boxed, as it is large.
    Ended(Box<JobSnapshot>),
    /// It left the namespace between two looks: what was seen last.
    Gone(Option<Box<JobSnapshot>>),
    /// The caller had seen enough.
    Left(Box<JobSnapshot>),
}

impl JobHandle<'_> {
    /// Looks at the job again and again until it has ended. `look` is told each time and ends it by returning false.
    ///
    /// # Errors
    /// See [`ClientError`]. A server that is away for no longer than `patience` says is none.
    pub async fn follow(
        &self,
        patience: Patience,
        mut look: impl FnMut(PollEvent<'_>) -> bool,
    ) -> Result<Followed, ClientError> {
        let mut last: Option<Box<JobSnapshot>> = None;
        let mut pause = patience.fastest;
        let mut away_since: Option<Instant> = None;
        loop {
            match self.snapshot().await {
                Ok(job) => {
                    away_since = None;
                    let go_on = look(PollEvent::Seen(&job));
                    let job = Box::new(job);
                    if job.state.is_ended() {
                        return Ok(Followed::Ended(job));
                    }
                    if !go_on {
                        return Ok(Followed::Left(job));
                    }
                    last = Some(job);
                }
                Err(e) if e.is_not_found() && last.is_some() => return Ok(Followed::Gone(last)),
                Err(e) if e.is_transient() && last.is_some() => {
                    let since = *away_since.get_or_insert_with(Instant::now);
                    if since.elapsed() >= patience.away || !look(PollEvent::Away(&e)) {
                        return Err(e);
                    }
                }
                Err(e) => return Err(e),
            }
            tokio::time::sleep(pause).await;
            pause = (pause * 5 / 4).min(patience.slowest);
        }
    }
}
