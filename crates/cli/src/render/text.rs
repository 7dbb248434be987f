//! Small pieces of text: durations, sizes, times, tables, and text from elsewhere made harmless.

use cimwright_cim::DateTime;
use std::fmt::Write;
use std::time::Duration;

/// Text from a server, safe to show: control characters, with which a file name could steer the terminal, become visible.
pub(crate) fn clean(text: &str) -> String {
    text.chars()
        .map(|c| match c {
            '\n' | '\t' => c,
            c if c.is_control() => '\u{fffd}',
            // Characters that turn the direction of text could make it read as something else.
            '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' => '\u{fffd}',
            c => c,
        })
        .collect()
}

/// The same on one line.
pub(crate) fn clean_line(text: &str) -> String {
    clean(text).replace(['\n', '\t'], " ")
}

/// A length of time in its largest sensible unit: `0.4 s`, `12 s`, `3 min 5 s`, `2 h 10 min`, `4 d 3 h`.
pub(crate) fn duration(length: Duration) -> String {
    let seconds = length.as_secs();
    let two = |big: u64, big_unit: &str, small: u64, small_unit: &str| match small {
        0 => format!("{big} {big_unit}"),
        _ => format!("{big} {big_unit} {small} {small_unit}"),
    };
    match seconds {
        0..10 => {
            let text = format!("{:.1}", length.as_secs_f64());
            format!("{} s", text.strip_suffix(".0").unwrap_or(&text))
        }
        10..60 => format!("{seconds} s"),
        60..3600 => two(seconds / 60, "min", seconds % 60, "s"),
        3600..86_400 => two(seconds / 3600, "h", seconds % 3600 / 60, "min"),
        _ => two(seconds / 86_400, "d", seconds % 86_400 / 3600, "h"),
    }
}

/// A length of time in one unit, for a narrow column.
pub(crate) fn short_duration(length: Duration) -> String {
    match length.as_secs() {
        s @ 0..60 => format!("{s} s"),
        s @ 60..3600 => format!("{} min", s / 60),
        s @ 3600..86_400 => format!("{} h", s / 3600),
        s => format!("{} d", s / 86_400),
    }
}

/// A point in time or a length of it, for a person; `None` for the special values that mean "none".
pub(crate) fn datetime(time: &DateTime) -> Option<String> {
    match *time {
        DateTime::Interval { .. } => time.to_duration().map(duration),
        DateTime::Timestamp { year: 0 | 9999, .. } => None,
        DateTime::Timestamp { year, month, day, hour, minute, second, offset, .. } => {
            let zone = match offset {
                0 => "UTC".to_owned(),
                _ => {
                    let (sign, away) = if offset < 0 { ('-', -offset) } else { ('+', offset) };
                    format!("{sign}{:02}:{:02}", away / 60, away % 60)
                }
            };
            Some(format!("{year:04}-{month:02}-{day:02} {hour:02}:{minute:02}:{second:02} {zone}"))
        }
    }
}

/// A text with the points in time in it written for a person; everything else stays as it is.
pub(crate) fn with_readable_times(text: &str) -> String {
    /// The length of a datetime (DSP0004 5.2.4), in bytes.
    const LENGTH: usize = 25;
    let readable = |word: &str| {
        let time = word.get(..LENGTH)?.parse().ok().filter(|t| matches!(t, DateTime::Timestamp { .. }))?;
        Some(datetime(&time)? + &word[LENGTH..])
    };
    let words: Vec<String> =
        text.split(' ').map(|word| readable(word).unwrap_or_else(|| word.to_owned())).collect();
    words.join(" ")
}

/// Rows as columns of equal width. The last column is not padded.
pub(crate) fn table(head: &[&str], rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = head.iter().map(|h| h.chars().count()).collect();
    for row in rows {
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = (*width).max(cell.chars().count());
        }
    }
    let mut out = String::new();
    let head: Vec<String> = head.iter().map(|h| (*h).to_owned()).collect();
    for row in std::iter::once(&head).chain(rows) {
        let mut line = String::new();
        for (at, (cell, width)) in row.iter().zip(&widths).enumerate() {
            if at + 1 == row.len() {
                line.push_str(cell);
            } else {
                // Writing to a string cannot fail.
                let _ = write!(line, "{cell:<width$}  ");
            }
        }
        out.push_str(line.trim_end());
        out.push('\n');
    }
    out.pop();
    out
}

/// At most `width` characters of a text, the last of them `…` if something was cut off.
pub(crate) fn cut(text: &str, width: usize) -> String {
    if text.chars().count() <= width {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(width.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// Text broken into lines of at most `width` characters, the first one after `first`, the others after `rest`.
pub(crate) fn wrap(text: &str, width: usize, first: &str, rest: &str) -> String {
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            let prefix = if lines.is_empty() { first } else { rest };
            let wide = prefix.chars().count() + line.chars().count() + 1 + word.chars().count();
            if !line.is_empty() && wide > width {
                lines.push(format!("{prefix}{line}"));
                line.clear();
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        if !line.is_empty() {
            lines.push(format!("{}{line}", if lines.is_empty() { first } else { rest }));
        }
    }
    if lines.is_empty() {
        return first.trim_end().to_owned();
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_of_time_are_short() {
        let of = |seconds: f64| duration(Duration::from_secs_f64(seconds));
        assert_eq!(of(0.42), "0.4 s");
        assert_eq!(of(3.0), "3 s");
        assert_eq!(of(59.9), "59 s");
        assert_eq!(of(185.0), "3 min 5 s");
        assert_eq!(of(7800.0), "2 h 10 min");
        assert_eq!(of(86_400.0), "1 d");
        assert_eq!(short_duration(Duration::from_secs(7800)), "2 h");
    }

    #[test]
    fn times_keep_their_zone() {
        let shown = |text: &str| datetime(&text.parse().unwrap());
        assert_eq!(shown("20240131235959.123456+060").as_deref(), Some("2024-01-31 23:59:59 +01:00"));
        assert_eq!(shown("20240131235959.000000+000").as_deref(), Some("2024-01-31 23:59:59 UTC"));
        assert_eq!(shown("20240131235959.000000-330").as_deref(), Some("2024-01-31 23:59:59 -05:30"));
        assert_eq!(shown("00000000000500.000000:000").as_deref(), Some("5 min"));
    }

    #[test]
    fn times_in_a_text_are_readable_and_nothing_else_changes() {
        let text =
            with_readable_times("Waiting until 20261122083252.712384+000, then 00000000000500.000000:000");
        assert_eq!(text, "Waiting until 2026-11-22 08:32:52 UTC, then 00000000000500.000000:000");
        for same in ["", "  Converting  ü", "Copying 20261122083252", "x20261122083252.712384+000"] {
            assert_eq!(with_readable_times(same), same);
        }
    }

    #[test]
    fn a_hostile_name_cannot_steer_the_terminal() {
        assert_eq!(clean("a\u{1b}[2Jb\r\u{9b}c\u{202e}d\ne"), "a\u{fffd}[2Jb\u{fffd}\u{fffd}c\u{fffd}d\ne");
        assert_eq!(clean_line("a\nb"), "a b");
    }

    #[test]
    fn columns_are_aligned_and_lines_wrapped() {
        let rows = [vec!["1".to_owned(), "é".to_owned(), "x".to_owned()]];
        assert_eq!(table(&["ID", "NAME", "O"], &rows), "ID  NAME  O\n1   é     x");
        assert_eq!(wrap("aa bb cc dd", 8, "1. ", "   "), "1. aa bb\n   cc dd");
        assert_eq!(wrap("", 8, "1. ", "   "), "1.");
        assert_eq!(wrap("abcdefghijkl", 5, "", ""), "abcdefghijkl");
        assert_eq!(cut("abcdef", 4), "abc…");
    }
}
