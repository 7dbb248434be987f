//! What the compiler says about a text, and where.

use super::ast::Span;
use super::source::Source;
use codespan_reporting::diagnostic::{Diagnostic as Report, Label, Severity};
use codespan_reporting::files::{Error as FilesError, Files};
use codespan_reporting::term;
use std::fmt;
use std::ops::Range;

/// How many mistakes are told before a text is given up. Each costs a look at the text before it.
pub(super) const MAX_ERRORS: usize = 100;

/// The longest offending text that is quoted, in characters.
const QUOTED: usize = 80;

/// How much is kept of the offending text, and of its line before and after it, in characters. A file may be one line of megabytes,
/// and have a thousand findings.
const SHOWN: usize = 400;

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Level {
    /// The item is not compiled.
    Error,
    /// The item is compiled, perhaps not as its author thinks.
    Warning,
}

/// One finding about a MOF text.
///
/// Displayed as `file:line:column: error: message`; [`Diagnostic::render`] shows the line too.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub level: Level,
    /// Name of the source.
    pub file: String,
    /// Line, from 1. Lines end in LF, CR LF or CR.
    pub line: usize,
    /// Column, from 1, in characters.
    pub column: usize,
    /// The offending text, up to the end of its line, of which 400 characters are kept; empty at the end of the file.
    pub text: String,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The line, or what is around the text if it is very long, for [`Diagnostic::render`].
    source_line: String,
    /// Where the text begins in it, in bytes.
    mark: usize,
}

impl Diagnostic {
    pub(super) fn new(source: &Source, span: Span, message: impl Into<String>) -> Self {
        let body = source.body();
        let start = (span.start as usize).min(body.len());
        let (line, line_start) = line_of(body, start);
        let rest = &body[line_start..];
        let rest = rest.split_once('\n').map_or(rest, |(line, _)| line);
        let line_end = line_start + rest.find('\r').unwrap_or(rest.len());
        let end = (span.end as usize).clamp(start, line_end.max(start));
        let end = after(body, start, end);
        let shown_from = body[line_start..start].char_indices().rev().nth(SHOWN - 1);
        let shown_from = line_start + shown_from.map_or(0, |(at, _)| at);
        let shown_to = after(body, end, line_end.max(end));
        let (before, behind) = (cut_mark(shown_from > line_start), cut_mark(shown_to < line_end));
        Self {
            level: Level::Error,
            file: source.name.clone(),
            line,
            column: body[line_start..start].chars().count() + 1,
            text: body[start..end].to_owned(),
            message: message.into(),
            hint: None,
            source_line: format!("{before}{}{behind}", &body[shown_from..shown_to]),
            mark: before.len() + start - shown_from,
        }
    }

    pub(super) fn warning(mut self) -> Self {
        self.level = Level::Warning;
        self
    }

    pub(super) fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// The finding with its line and a mark under the offending text, without colours, ending in a line feed.
    pub fn render(&self) -> String {
        let severity = match self.level {
            Level::Error => Severity::Error,
            Level::Warning => Severity::Warning,
        };
        let label = Label::primary((), self.mark..self.mark + self.text.len());
        let notes = self.hint.iter().map(|hint| format!("help: {hint}")).collect();
        let report =
            Report::new(severity).with_message(&self.message).with_labels(vec![label]).with_notes(notes);
        let file = OneLine(self);
        // The one failure codespan knows is an unknown file, and this one is known; the short form says it all the same.
        term::emit_into_string(&term::Config::default(), &file, &report)
            .unwrap_or_else(|_| format!("{self}\n"))
    }
}

impl fmt::Display for Diagnostic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let level = match self.level {
            Level::Error => "error",
            Level::Warning => "warning",
        };
        write!(f, "{}:{}:{}: {level}: {}", self.file, self.line, self.column, self.message)
    }
}

impl std::error::Error for Diagnostic {}

/// `text` in quotes, cut where it is long: for messages.
pub(super) fn quote(text: &str) -> String {
    match text.char_indices().nth(QUOTED) {
        None => format!("'{text}'"),
        Some((at, _)) => format!("'{}…'", &text[..at]),
    }
}

/// The hint that `word` was probably meant to be one of the candidates.
pub(super) fn did_you_mean<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<String> {
    nearest(word, candidates).map(|near| format!("did you mean {near}?"))
}

fn nearest<'a>(word: &str, candidates: impl Iterator<Item = &'a str>) -> Option<&'a str> {
    // A slip of a third of the letters is no slip any more; very long words are not worth the square of their length.
    let limit = word.len().min(60) / 3;
    candidates
        .filter(|c| c.len().abs_diff(word.len()) <= limit)
        .map(|c| (distance(word, c), c))
        .filter(|(d, _)| *d <= limit)
        .min_by_key(|(d, _)| *d)
        .map(|(_, c)| c)
}

/// How many letters must be added, removed or replaced to make one word of the other, case aside.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.bytes().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.bytes().enumerate() {
            let replaced = diagonal + usize::from(!x.eq_ignore_ascii_case(&y));
            diagonal = row[j + 1];
            row[j + 1] = replaced.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Where the text from `start` ends if no more than what is shown may be taken of it, and nothing after `end`.
fn after(body: &str, start: usize, end: usize) -> usize {
    body[start..end].char_indices().nth(SHOWN).map_or(end, |(at, _)| start + at)
}

/// What stands for the part of a line that is not shown.
fn cut_mark(cut: bool) -> &'static str {
    if cut { "…" } else { "" }
}

/// The number of the line that holds byte `at`, and where it starts.
fn line_of(text: &str, at: usize) -> (usize, usize) {
    let before = &text[..at];
    // Most texts have no CR, and there may be a thousand findings in megabytes.
    if !before.contains('\r') {
        return (before.matches('\n').count() + 1, before.rfind('\n').map_or(0, |end| end + 1));
    }
    let bytes = text.as_bytes();
    let (mut line, mut start) = (1, 0);
    for (i, byte) in bytes[..at].iter().enumerate() {
        let ends = match byte {
            b'\n' => true,
            b'\r' => bytes.get(i + 1) != Some(&b'\n'),
            _ => false,
        };
        if ends {
            line += 1;
            start = i + 1;
        }
    }
    (line, start)
}

/// The one line that a diagnostic keeps, shown under its real number.
struct OneLine<'d>(&'d Diagnostic);

impl<'a> Files<'a> for OneLine<'_> {
    type FileId = ();
    type Name = &'a str;
    type Source = &'a str;

    fn name(&'a self, (): ()) -> Result<&'a str, FilesError> {
        Ok(&self.0.file)
    }

    fn source(&'a self, (): ()) -> Result<&'a str, FilesError> {
        Ok(&self.0.source_line)
    }

    fn line_index(&'a self, (): (), _byte: usize) -> Result<usize, FilesError> {
        Ok(0)
    }

    fn line_number(&'a self, (): (), _line: usize) -> Result<usize, FilesError> {
        Ok(self.0.line)
    }

    fn column_number(&'a self, (): (), _line: usize, _byte: usize) -> Result<usize, FilesError> {
        Ok(self.0.column)
    }

    fn line_range(&'a self, (): (), _line: usize) -> Result<Range<usize>, FilesError> {
        Ok(0..self.0.source_line.len())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str, start: u32, end: u32) -> Diagnostic {
        Diagnostic::new(&Source::new("x.mof", text), Span { start, end }, "wrong")
    }

    #[test]
    fn positions_count_characters_and_every_kind_of_line_end() {
        let d = at("a\nb\r\nc\rdé =", 11, 12);
        assert_eq!((d.line, d.column, d.text.as_str()), (4, 4, "="));
        assert_eq!(d.to_string(), "x.mof:4:4: error: wrong");
        let d = at("\u{feff}ab", 0, 2);
        assert_eq!((d.line, d.column, d.text.as_str()), (1, 1, "ab"));
        let d = at("ab\ncd", 1, 5);
        assert_eq!(d.text, "b");
        let d = at("ab\n", 3, 3);
        assert_eq!((d.line, d.column, d.text.as_str()), (2, 1, ""));
    }

    #[test]
    fn rendering_shows_the_line_and_the_hint() {
        let text = at("class X {\n\tuint9 A;\n};\n", 11, 16).hint("use uint8").render();
        assert_eq!(
            text,
            "error: wrong\n  ┌─ x.mof:2:2\n  │\n2 │     uint9 A;\n  │     ^^^^^\n  │\n  = help: use uint8\n\n"
        );
    }

    #[test]
    fn of_a_very_long_line_only_what_is_around_is_shown() {
        let text = format!("{}WRONG{}\n", "é".repeat(100_000), " after".repeat(100_000));
        let d = at(&text, 200_000, 200_005);
        assert_eq!((d.line, d.column, d.text.as_str()), (1, 100_001, "WRONG"));
        let rendered = d.render();
        assert!(rendered.len() < 5_000, "{}", rendered.len());
        assert!(rendered.contains("x.mof:1:100001") && rendered.contains("éWRONG after"), "{rendered}");
        // The mark is under the word.
        let mut lines = rendered.lines().skip(3);
        let column = lines.next().and_then(|l| l.find("WRONG").map(|at| l[..at].chars().count()));
        let mark = lines.next().and_then(|l| l.find("^^^^^").map(|at| l[..at].chars().count()));
        assert_eq!(column, mark, "{rendered}");
        let d = at(&text, 200_000, 700_000);
        assert_eq!(d.text.chars().count(), SHOWN);
    }

    #[test]
    fn slips_are_recognised() {
        let known = ["Description", "DisplayName", "Key"];
        assert_eq!(nearest("Desciption", known.into_iter()), Some("Description"));
        assert_eq!(nearest("kEy", known.into_iter()), Some("Key"));
        assert_eq!(nearest("Other", known.into_iter()), None);
    }
}
