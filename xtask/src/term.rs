//! What a person sees: headings, notes and marks; in colour on a terminal only.

use std::fmt::Display;
use std::io::{IsTerminal as _, Write as _};
use std::time::Duration;

/// Whether to use colours: standard output is a terminal and nobody objects (the NO_COLOR convention).
fn coloured() -> bool {
    std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none()
}

fn paint(codes: &str, text: impl Display) -> String {
    if coloured() { format!("\x1b[{codes}m{text}\x1b[0m") } else { text.to_string() }
}

/// Prints `text` and makes sure it is seen before anything a child prints.
fn line(text: impl Display) {
    println!("{text}");
    // A closed pipe at the reader's end is its own choice.
    let _ = std::io::stdout().flush();
}

/// The heading of a chapter.
pub(crate) fn heading(text: impl Display) {
    line(format_args!("\n{}", paint("1;36", format_args!("== {text}"))));
}

/// A remark under a heading.
pub(crate) fn note(text: impl Display) {
    line(format_args!("   {text}"));
}

/// Something that was done or holds, with how long it took.
pub(crate) fn done(text: impl Display, took: Option<Duration>) {
    let time = took.map(|t| paint("2", format_args!("  {}", seconds(t)))).unwrap_or_default();
    line(format_args!(" {} {text}{time}", paint("32", "✓")));
}

/// Something that failed.
pub(crate) fn bad(text: impl Display) {
    line(format_args!(" {} {text}", paint("1;31", "✗")));
}

/// A command as a person would type it.
pub(crate) fn command(text: impl Display) {
    line(format_args!(" {} {}", paint("2", "$"), paint("1", text)));
}

/// Text that is quoted as it is, indented.
pub(crate) fn quote(text: &str) {
    for part in text.trim_end().lines() {
        line(format_args!("   {} {part}", paint("2", "│")));
    }
}

/// The failure of the whole chore, on standard error.
pub(crate) fn error(text: impl Display) {
    eprintln!("\n{} {text}", paint("1;31", "error:"));
}

/// A duration for people.
pub(crate) fn seconds(time: Duration) -> String {
    format!("{:.1} s", time.as_secs_f64())
}

/// A number of bytes for people.
pub(crate) fn size(bytes: u64) -> String {
    let mib = bytes as f64 / (1 << 20) as f64;
    if mib >= 1024.0 { format!("{:.2} GiB", mib / 1024.0) } else { format!("{mib:.1} MiB") }
}
