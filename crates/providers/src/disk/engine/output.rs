//! Reading what an engine prints: progress lines apart, everything else kept up to a bound.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::sync::watch;

/// A progress line is `    (12.34/100%)` and a carriage return; anything longer is none.
const LONGEST_PROGRESS_LINE: usize = 40;

/// The start of what a stream carried.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Captured {
    pub(super) bytes: Vec<u8>,
    pub(super) truncated: bool,
}

/// A [`Captured`] that a task fills while others may look.
pub(super) type SharedCapture = Arc<Mutex<Captured>>;

/// Reads a stream to its end. Beyond `limit` bytes it goes on reading, so that the engine never blocks, but keeps nothing.
pub(super) async fn capture(
    mut stream: impl AsyncRead + Unpin,
    limit: usize,
    into: SharedCapture,
    progress: Option<watch::Sender<f64>>,
) {
    let mut splitter = progress.map(|sender| (ProgressSplitter::default(), sender));
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let count = match stream.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(count) => count,
        };
        match &mut splitter {
            None => keep(&into, limit, &buffer[..count]),
            Some((splitter, sender)) => {
                let mut text = Vec::new();
                if let Some(percent) = splitter.feed(&buffer[..count], &mut text) {
                    sender.send_if_modified(|shown| {
                        let grew = percent > *shown;
                        *shown = shown.max(percent);
                        grew
                    });
                }
                keep(&into, limit, &text);
            }
        }
    }
    if let Some((splitter, _)) = splitter {
        keep(&into, limit, &splitter.pending);
    }
}

fn keep(into: &SharedCapture, limit: usize, bytes: &[u8]) {
    let mut captured = into.lock().unwrap_or_else(PoisonError::into_inner);
    let room = limit - captured.bytes.len().min(limit);
    captured.bytes.extend_from_slice(&bytes[..bytes.len().min(room)]);
    captured.truncated |= bytes.len() > room;
}

/// Separates progress lines from other output.
#[derive(Debug, Default)]
struct ProgressSplitter {
    /// The start of a line that may still become a progress line.
    pending: Vec<u8>,
    /// The current line is known not to be one.
    plain: bool,
}

impl ProgressSplitter {
    /// Takes the next bytes; returns the last percentage among them and appends everything else to `text`.
    fn feed(&mut self, bytes: &[u8], text: &mut Vec<u8>) -> Option<f64> {
        let mut last = None;
        for &byte in bytes {
            if byte == b'\r'
                && let Some(percent) = parse_progress(&self.pending)
            {
                last = Some(percent);
                self.pending.clear();
                self.plain = false;
            } else if matches!(byte, b'\r' | b'\n') {
                text.append(&mut self.pending);
                text.push(byte);
                self.plain = false;
            } else if self.plain {
                text.push(byte);
            } else {
                self.pending.push(byte);
                if self.pending.len() > LONGEST_PROGRESS_LINE {
                    text.append(&mut self.pending);
                    self.plain = true;
                }
            }
        }
        last
    }
}

/// `    (12.34/100%)` → 12.34
fn parse_progress(line: &[u8]) -> Option<f64> {
    let text = std::str::from_utf8(line).ok()?.trim_start();
    let percent: f64 = text.strip_prefix('(')?.strip_suffix("/100%)")?.parse().ok()?;
    (0.0..=100.0).contains(&percent).then_some(percent)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn progress_lines_are_taken_out_however_they_are_cut() {
        let printed =
            b"hello\n    (0.00/100%)\r    (1.50/100%)\r    (100.00/100%)\r\nImages are identical.\n";
        for size in 1..printed.len() {
            let mut splitter = ProgressSplitter::default();
            let mut text = Vec::new();
            let mut seen = Vec::new();
            for piece in printed.chunks(size) {
                seen.extend(splitter.feed(piece, &mut text));
            }
            assert_eq!(text, b"hello\n\nImages are identical.\n", "pieces of {size}");
            assert_eq!(seen.last(), Some(&100.0));
        }
    }

    #[test]
    fn lines_that_only_look_like_progress_stay_text() {
        for line in ["(x/100%)", "    (101/100%)", "    (-1/100%)", "    (NaN/100%)", "(5/99%)", "12%"] {
            assert_eq!(parse_progress(line.as_bytes()), None, "{line}");
        }
        assert_eq!(parse_progress(b"    (12.34/100%)"), Some(12.34));
    }

    #[tokio::test]
    async fn only_the_start_of_a_long_stream_is_kept() {
        let captured = SharedCapture::default();
        capture(&b"0123456789"[..], 4, Arc::clone(&captured), None).await;
        let captured = captured.lock().expect("not poisoned").clone();
        assert_eq!(captured, Captured { bytes: b"0123".to_vec(), truncated: true });
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn text_without_progress_passes_unchanged(printed in "[a-z \r\n(/%)]{0,200}") {
            let mut splitter = ProgressSplitter::default();
            let mut text = Vec::new();
            prop_assert_eq!(splitter.feed(printed.as_bytes(), &mut text), None);
            text.append(&mut splitter.pending);
            prop_assert_eq!(text, printed.into_bytes());
        }
    }
}
