//! Source texts and where included ones come from.

use std::fmt;
use std::sync::OnceLock;

/// A MOF text and the name that diagnostics give it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Source {
    /// The file name, or whatever tells a person where the text is.
    pub name: String,
    /// The text.
    pub text: String,
}

impl Source {
    /// A source.
    pub fn new(name: impl Into<String>, text: impl Into<String>) -> Self {
        Self { name: name.into(), text: text.into() }
    }

    /// The text without byte order mark; every position counts from here.
    pub(super) fn body(&self) -> &str {
        self.text.strip_prefix('\u{feff}').unwrap_or(&self.text)
    }
}

/// Why an included file cannot be had.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LoadError {
    /// There is no such file.
    NotFound,
    /// It exists and cannot be read; the reason is for a person.
    Unreadable(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFound => f.write_str("there is no such file"),
            Self::Unreadable(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for LoadError {}

/// Gives the text of a file named by `#pragma include`.
///
/// A closure is a loader too; [`resolve_include`] does the arithmetic of relative paths. Where a file includes many others, they are
/// asked for ahead of their turn and from several threads.
pub trait Loader: Sync {
    /// The source that the source named `from` includes as `file`. The name of the answer is what it in turn includes from.
    ///
    /// # Errors
    /// See [`LoadError`].
    fn load(&self, from: &str, file: &str) -> Result<Source, LoadError>;
}

impl<F: Fn(&str, &str) -> Result<Source, LoadError> + Sync> Loader for F {
    fn load(&self, from: &str, file: &str) -> Result<Source, LoadError> {
        self(from, file)
    }
}

/// The loader for texts that include nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoIncludes;

impl Loader for NoIncludes {
    fn load(&self, _from: &str, _file: &str) -> Result<Source, LoadError> {
        Err(LoadError::NotFound)
    }
}

/// A loader for texts that are part of the program: pairs of path and text.
///
/// A file is looked for beside the including one, then under the name as written, first exactly and then without regard to
/// case (the case of an include often differs from that of the file).
#[derive(Clone, Copy, Debug)]
pub struct EmbeddedFiles<'a>(pub &'a [(&'a str, &'a str)]);

impl Loader for EmbeddedFiles<'_> {
    fn load(&self, from: &str, file: &str) -> Result<Source, LoadError> {
        let candidates = [resolve_include(from, file), resolve_include("", file)];
        let exact = |path: &String| self.0.iter().find(|(name, _)| name == path);
        let folded = |path: &String| self.0.iter().find(|(name, _)| name.eq_ignore_ascii_case(path));
        let found = candidates.iter().find_map(exact).or_else(|| candidates.iter().find_map(folded));
        found.map(|(name, text)| Source::new(*name, *text)).ok_or(LoadError::NotFound)
    }
}

/// The path of an included file, relative to the directory of the including one: backslashes count as slashes, `.` and `..`
/// are worked out, and `..` never climbs above where the first path starts.
pub fn resolve_include(from: &str, file: &str) -> String {
    let file = file.replace('\\', "/");
    let rooted = file.starts_with('/');
    let from = from.replace('\\', "/");
    let directory = match from.rfind('/') {
        Some(at) if !rooted => &from[..at],
        _ => "",
    };
    let absolute = rooted || directory.starts_with('/');
    let mut parts: Vec<&str> = Vec::new();
    // The first path may start above the working directory.
    let above = directory.split('/').take_while(|part| *part == "..").count();
    parts.extend(directory.split('/').take(above));
    for part in directory.split('/').skip(above).chain(file.split('/')) {
        match part {
            "" | "." => {}
            ".." => parts.truncate((parts.len().max(1) - 1).max(above)),
            part => parts.push(part),
        }
    }
    let path = parts.join("/");
    if absolute { format!("/{path}") } else { path }
}

/// Keeps included sources alive while items borrow from them: a list of rows that grows at its end and never moves one.
#[derive(Default)]
pub(super) struct Shelf {
    first: OnceLock<Box<Row>>,
}

/// Places for the sources that one file includes; whoever has loaded one puts it there.
struct Row {
    places: Box<[OnceLock<Source>]>,
    next: OnceLock<Box<Row>>,
}

/// Where the next row goes on a [`Shelf`].
#[derive(Clone, Copy)]
pub(super) struct ShelfEnd<'a>(&'a OnceLock<Box<Row>>);

impl Shelf {
    pub(super) fn end(&self) -> ShelfEnd<'_> {
        ShelfEnd(&self.first)
    }
}

impl<'a> ShelfEnd<'a> {
    /// A source on the shelf.
    pub(super) fn put(&mut self, source: Source) -> &'a Source {
        self.row(1)[0].get_or_init(|| source)
    }

    /// Empty places.
    pub(super) fn row(&mut self, count: usize) -> &'a [OnceLock<Source>] {
        let places = (0..count).map(|_| OnceLock::new()).collect();
        let row = self.0.get_or_init(|| Box::new(Row { places, next: OnceLock::new() }));
        self.0 = &row.next;
        &row.places
    }
}

impl Drop for Shelf {
    /// Link by link: the list may be longer than the stack is deep.
    fn drop(&mut self) {
        let mut next = self.first.take();
        while let Some(mut row) = next {
            next = row.next.take();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn include_paths_are_relative_to_the_including_file() {
        assert_eq!(resolve_include("schema/all.mof", "Core/CIM_Job.mof"), "schema/Core/CIM_Job.mof");
        assert_eq!(resolve_include("schema/v2/a.mof", "..\\q.mof"), "schema/q.mof");
        assert_eq!(resolve_include("a.mof", "./b.mof"), "b.mof");
        assert_eq!(resolve_include("/x/a.mof", "b.mof"), "/x/b.mof");
        assert_eq!(resolve_include("x/a.mof", "/b.mof"), "/b.mof");
        assert_eq!(resolve_include("a.mof", "../../b.mof"), "b.mof");
        assert_eq!(resolve_include("../../x/a.mof", "sub/b.mof"), "../../x/sub/b.mof");
        assert_eq!(resolve_include("../x/a.mof", "../../b.mof"), "../b.mof");
    }

    #[test]
    fn embedded_files_are_found_beside_the_includer_and_in_any_case() {
        let files = EmbeddedFiles(&[("q.mof", "1"), ("v2/Q.mof", "2"), ("v2/x.mof", "3")]);
        assert_eq!(files.load("v2/x.mof", "Q.mof").unwrap().text, "2");
        assert_eq!(files.load("v2/x.mof", "q.mof").unwrap().text, "1");
        assert_eq!(files.load("v2/x.mof", "X.MOF").unwrap().name, "v2/x.mof");
        assert_eq!(files.load("v2/x.mof", "nope.mof"), Err(LoadError::NotFound));
    }

    #[test]
    fn a_shelf_keeps_what_is_put_on_it() {
        let shelf = Shelf::default();
        let mut end = shelf.end();
        let kept: Vec<&Source> = (0..50_000).map(|n| end.put(Source::new(n.to_string(), ""))).collect();
        assert!(kept.iter().enumerate().all(|(n, s)| s.name == n.to_string()));
    }
}
