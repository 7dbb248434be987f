//! Watches how far a connection is, so that a client that stops sending or receiving cannot hold it for ever.
//!
//! A timer for each request would cost more than a small request itself. Instead a connection notes what it waits for and since
//! when, and one timer for each connection looks at the notes now and then.

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::task::{Context, Poll};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::Instant;

/// How far a connection is.
#[derive(Debug)]
pub(crate) struct Progress {
    start: Instant,
    notes: Notes,
}

/// How long a connection may wait for what.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Patience {
    /// For the rest of a request's head, and for the first request.
    pub(crate) head: Duration,
    /// For the next request.
    pub(crate) idle: Duration,
    /// For the client to take more of an answer.
    pub(crate) stall: Duration,
}

impl Progress {
    /// A connection that was just accepted.
    pub(crate) fn new(patience: Patience) -> Self {
        Self { start: Instant::now(), notes: Notes::new(patience) }
    }

    /// The head of a request has come.
    pub(crate) fn busy(&self) {
        self.notes.busy();
    }

    /// The answer has been given.
    pub(crate) fn idle(&self) {
        self.notes.idle(self.elapsed());
    }

    /// When to look again, or `None` when patience is at its end.
    pub(crate) fn next_look(&self) -> Option<Instant> {
        let at = self.notes.next_look(self.elapsed())?;
        Some(self.start + Duration::from_millis(at))
    }

    fn received(&self) {
        self.notes.received(|| self.elapsed());
    }

    fn sent<T>(&self, poll: &Poll<T>) {
        self.notes.sent(poll.is_ready(), || self.elapsed());
    }

    fn elapsed(&self) -> u64 {
        millis(self.start.elapsed())
    }
}

/// What a connection waits for, and since when; times are milliseconds since its beginning. Written by the task of the
/// connection only; atomic because that task may move from thread to thread.
#[derive(Debug)]
struct Notes {
    patience: Patience,
    /// One of the phases below, with the time it began in the higher bits.
    phase: AtomicU64,
    /// When the client first refused to take more, plus one; 0 while it takes.
    stalled: AtomicU64,
}

const HEAD: u64 = 0;
const IDLE: u64 = 1;
/// The server works, or reads a body, which has its own limit.
const BUSY: u64 = 2;
const PHASE_BITS: u32 = 2;
const PHASE_MASK: u64 = (1 << PHASE_BITS) - 1;

impl Notes {
    fn new(patience: Patience) -> Self {
        Self { patience, phase: AtomicU64::new(HEAD), stalled: AtomicU64::new(0) }
    }

    fn busy(&self) {
        self.phase.store(BUSY, Relaxed);
    }

    fn idle(&self, now: u64) {
        self.phase.store((now << PHASE_BITS) | IDLE, Relaxed);
    }

    fn received(&self, now: impl FnOnce() -> u64) {
        if self.phase.load(Relaxed) & PHASE_MASK == IDLE {
            self.phase.store((now() << PHASE_BITS) | HEAD, Relaxed);
        }
    }

    fn sent(&self, ready: bool, now: impl FnOnce() -> u64) {
        match (ready, self.stalled.load(Relaxed)) {
            (true, 0) => {}
            (true, _) => self.stalled.store(0, Relaxed),
            (false, 0) => self.stalled.store(now() + 1, Relaxed),
            (false, _) => {}
        }
    }

    fn next_look(&self, now: u64) -> Option<u64> {
        let phase = self.phase.load(Relaxed);
        let since = phase >> PHASE_BITS;
        let by_phase = match phase & PHASE_MASK {
            HEAD => since + millis(self.patience.head),
            IDLE => since + millis(self.patience.idle),
            _ => u64::MAX,
        };
        let by_stall = match self.stalled.load(Relaxed) {
            0 => u64::MAX,
            since => since - 1 + millis(self.patience.stall),
        };
        let deadline = by_phase.min(by_stall);
        // The notes may change right after this look; what they can change to is due after the shortest patience at the soonest.
        let shortest = self.patience.head.min(self.patience.stall).min(self.patience.idle);
        (deadline > now).then(|| deadline.min(now + millis(shortest)))
    }
}

fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX >> PHASE_BITS).min(u64::MAX >> (PHASE_BITS + 1))
}

/// A stream that notes when it receives and when it cannot send.
pub(crate) struct Watched<S> {
    stream: S,
    progress: Arc<Progress>,
}

impl<S> Watched<S> {
    pub(crate) fn new(stream: S, progress: Arc<Progress>) -> Self {
        Self { stream, progress }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let poll = Pin::new(&mut self.stream).poll_read(cx, buf);
        if buf.filled().len() > before {
            self.progress.received();
        }
        poll
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write(cx, buf);
        self.progress.sent(&poll);
        poll
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let poll = Pin::new(&mut self.stream).poll_write_vectored(cx, bufs);
        self.progress.sent(&poll);
        poll
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_flush(cx);
        self.progress.sent(&poll);
        poll
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let poll = Pin::new(&mut self.stream).poll_shutdown(cx);
        self.progress.sent(&poll);
        poll
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn notes() -> Notes {
        let ms = Duration::from_millis;
        Notes::new(Patience { head: ms(100), idle: ms(1000), stall: ms(300) })
    }

    #[test]
    fn the_first_head_is_awaited_for_a_short_time() {
        let notes = notes();
        assert_eq!(notes.next_look(0), Some(100));
        notes.received(|| 99);
        assert_eq!(notes.next_look(99), Some(100), "a few bytes do not help");
        assert_eq!(notes.next_look(100), None);
    }

    #[test]
    fn work_is_not_limited_and_idleness_is() {
        let notes = notes();
        notes.busy();
        assert_eq!(notes.next_look(1_000_000), Some(1_000_100));
        notes.received(|| 1_000_000);
        notes.idle(2_000_000);
        assert_eq!(notes.next_look(2_000_950), Some(2_001_000));
        assert_eq!(notes.next_look(2_001_000), None);
        notes.received(|| 2_000_950);
        assert_eq!(notes.next_look(2_001_000), Some(2_001_050), "a new head has its own time");
        assert_eq!(notes.next_look(2_001_050), None);
    }

    #[test]
    fn a_client_has_to_take_its_answer() {
        let notes = notes();
        notes.busy();
        notes.sent(false, || 0);
        notes.sent(false, || 200);
        assert_eq!(notes.next_look(250), Some(300));
        assert_eq!(notes.next_look(300), None);
        notes.sent(true, || 300);
        assert_eq!(notes.next_look(300), Some(400));
        notes.sent(false, || 400);
        assert_eq!(notes.next_look(699), Some(700));
        assert_eq!(notes.next_look(700), None);
    }
}
