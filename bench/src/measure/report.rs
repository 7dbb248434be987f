//! The table, and the facts of the machine it was measured on.

use crate::failure::{Failure, Result};
use crate::qemu;
use cimwright_cim::DateTime;
use cimwright_jobs::{Clock as _, SystemClock};
use std::fmt::Write as _;
use std::path::Path;

const BEGIN: &str = "<!-- bench: begin -->";
const END: &str = "<!-- bench: end -->";

/// What a ratio should be.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Goal {
    /// It is only told.
    None,
    /// This or more.
    AtLeast(f64),
    /// This or less.
    AtMost(f64),
}

/// One line of the table.
#[derive(Clone, Debug)]
pub(crate) struct Row {
    /// What was measured.
    pub(crate) what: String,
    /// What the server took.
    pub(crate) ours: String,
    /// What it is compared with.
    pub(crate) floor: String,
    /// The one in terms of the other.
    pub(crate) ratio: Option<f64>,
    /// What that should be.
    pub(crate) goal: Goal,
}

/// The report of one run.
pub(crate) struct Report {
    facts: String,
    rows: Vec<Row>,
}

impl Goal {
    fn is_met(self, ratio: f64) -> Option<bool> {
        match self {
            Self::None => None,
            Self::AtLeast(least) => Some(ratio >= least),
            Self::AtMost(most) => Some(ratio <= most),
        }
    }

    /// The ratio with as many places as are needed to see why the goal is met or not.
    fn shown(self, ratio: f64) -> String {
        match self {
            Self::AtLeast(border) | Self::AtMost(border) if (ratio - border).abs() < 0.01 => {
                format!("{ratio:.4}")
            }
            Self::AtLeast(_) | Self::AtMost(_) | Self::None => format!("{ratio:.2}"),
        }
    }

    fn text(self, ratio: Option<f64>) -> String {
        let verdict = match ratio.and_then(|ratio| self.is_met(ratio)) {
            None => "",
            Some(true) => ", met",
            Some(false) => ", **not met**",
        };
        match self {
            Self::None => String::new(),
            Self::AtLeast(least) => format!("≥ {least}{verdict}"),
            Self::AtMost(most) => format!("≤ {most}{verdict}"),
        }
    }
}

impl Row {
    fn line(&self) -> String {
        let ratio = self.ratio.map_or_else(String::new, |ratio| self.goal.shown(ratio));
        format!(
            "| {} | {} | {} | {ratio} | {} |",
            self.what,
            self.ours,
            self.floor,
            self.goal.text(self.ratio)
        )
    }
}

impl Report {
    /// A report without rows; prints the facts of the machine.
    pub(crate) async fn new(quick: bool) -> Result<Self> {
        let facts = facts(quick, &qemu::version().await?);
        println!("{facts}");
        Ok(Self { facts, rows: Vec::new() })
    }

    /// Adds a row, and prints it at once: the whole takes minutes.
    pub(crate) fn add(&mut self, row: Row) {
        println!("{}", row.line());
        self.rows.push(row);
    }

    /// Writes the report to a file of its own.
    pub(crate) fn save(&self, path: &Path) -> Result<()> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory).map_err(Failure::io("create", directory))?;
        }
        std::fs::write(path, self.text()).map_err(Failure::io("write", path))?;
        println!("\nWritten to {}", path.display());
        Ok(())
    }

    /// Replaces the table in a page between its two marks.
    pub(crate) fn update(&self, page: &Path) -> Result<()> {
        let text = std::fs::read_to_string(page).map_err(Failure::io("read", page))?;
        let new = replaced(&text, &self.text()).ok_or_else(|| Failure::Answer {
            asked: "where the table goes in docs/performance.md",
            answered: format!("no {BEGIN} and {END}"),
        })?;
        std::fs::write(page, new).map_err(Failure::io("write", page))
    }

    fn text(&self) -> String {
        let mut text = format!(
            "{}\n\n| what | Cimwright | compared with | ratio | goal |\n|---|---|---|---|---|\n",
            self.facts
        );
        for row in &self.rows {
            let _ = writeln!(text, "{}", row.line());
        }
        text
    }
}

/// The middle one, or the mean of the two in the middle; 0 of none.
pub(crate) fn median(numbers: &[f64]) -> f64 {
    let mut sorted = numbers.to_vec();
    sorted.sort_by(f64::total_cmp);
    match (sorted.get(sorted.len().saturating_sub(1) / 2), sorted.get(sorted.len() / 2)) {
        (Some(low), Some(high)) => (low + high) / 2.0,
        _ => 0.0,
    }
}

/// A rate for the table.
pub(crate) fn rate(per_second: f64) -> String {
    format!("{per_second:.0}/s")
}

/// Seconds for the table.
pub(crate) fn seconds(seconds: f64) -> String {
    format!("{seconds:.3} s")
}

/// Seconds for the table, in thousandths.
pub(crate) fn millis(seconds: f64) -> String {
    format!("{:.1} ms", seconds * 1e3)
}

/// Seconds for the table, in millionths.
pub(crate) fn micros(seconds: f64) -> String {
    format!("{:.0} µs", seconds * 1e6)
}

/// Bytes for the table.
pub(crate) fn mebibytes(bytes: u64) -> String {
    format!("{:.1} MiB", bytes as f64 / f64::from(1 << 20))
}

fn replaced(page: &str, table: &str) -> Option<String> {
    let begin = page.find(BEGIN)? + BEGIN.len();
    let end = begin + page[begin..].find(END)?;
    Some(format!("{}\n{}\n{}", &page[..begin], table.trim(), &page[end..]))
}

fn facts(quick: bool, qemu: &str) -> String {
    let read = |path: &str| std::fs::read_to_string(path).unwrap_or_default();
    let value = |text: &str, key: &str| -> String {
        let line = text.lines().find_map(|line| line.strip_prefix(key)?.trim_start().strip_prefix(':'));
        line.map(|l| l.trim().to_owned()).unwrap_or_default()
    };
    let processor = value(&read("/proc/cpuinfo"), "model name");
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let memory: u64 = value(&read("/proc/meminfo"), "MemTotal")
        .strip_suffix(" kB")
        .and_then(|text| text.parse().ok())
        .unwrap_or_default();
    let date: String = DateTime::from_system_time(SystemClock.now()).to_string().chars().take(8).collect();
    let date = match (date.get(..4), date.get(4..6), date.get(6..)) {
        (Some(year), Some(month), Some(day)) => format!("{year}-{month}-{day}"),
        _ => date,
    };
    format!(
        "Measured on {date}{}: {} cores of {}, {:.0} GiB of memory, Linux {}, qemu-img {qemu}, release build.",
        if quick { " (quick run)" } else { "" },
        cores,
        if processor.is_empty() { "an unnamed processor" } else { &processor },
        memory as f64 / f64::from(1 << 20),
        read("/proc/sys/kernel/osrelease").trim(),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn goals_are_judged() {
        assert_eq!(Goal::AtLeast(0.5).text(Some(0.6)), "≥ 0.5, met");
        assert_eq!(Goal::AtMost(1.2).text(Some(1.3)), "≤ 1.2, **not met**");
        assert_eq!(Goal::None.text(Some(1.0)), "");
        assert_eq!(Goal::AtMost(1.03).shown(1.0339), "1.0339");
        assert_eq!(Goal::AtMost(1.03).shown(1.051), "1.05");
    }

    #[test]
    fn only_the_table_of_a_page_is_replaced() {
        let page = format!("before\n{BEGIN}\nold\n{END}\nafter\n");
        let new = replaced(&page, "new").expect("marks");
        assert_eq!(new, format!("before\n{BEGIN}\nnew\n{END}\nafter\n"));
        assert_eq!(replaced(&new, "new").as_ref(), Some(&new));
        assert_eq!(replaced("no marks", "x"), None);
    }

    #[test]
    fn the_median_is_in_the_middle() {
        assert_eq!(median(&[3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(&[4.0, 1.0, 2.0, 8.0]), 3.0);
        assert_eq!(median(&[]), 0.0);
    }
}
