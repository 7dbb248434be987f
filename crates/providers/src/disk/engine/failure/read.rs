//! The readers of single messages, deepest cause first.

use super::{FailureCause, FailureContext, FileRole, GivenFile, NamedFile, UnsupportedFeature};
use crate::disk::engine::process::EngineStatus;
use crate::disk::image::ImageFormat;

const NO_SPACE: &str = "No space left on device";
const SIGTRAP: i32 = 5;
const SIGABRT: i32 = 6;
const SIGXCPU: i32 = 24;
const SIGXFSZ: i32 = 25;

type Reader = fn(&Message<'_>) -> Option<FailureCause>;

/// In this order: a reader further down must not see what one further up explains better.
const READERS: [Reader; 11] = [
    truncated_image,
    damaged_vhdx,
    damaged_vhd,
    damaged_qcow2,
    backing_file,
    lock,
    transfer,
    space,
    request,
    memory,
    system,
];

/// One line of the engine with everything needed to understand it.
struct Message<'text> {
    /// The paths that were given are replaced by marks: a client chose them, and a file may well be called
    /// "No valid VHDX header found".
    line: &'text str,
    /// The line after it: some messages have their second half there.
    next: &'text str,
    context: &'text FailureContext,
}

/// The reason, and which of the lines told it.
pub(super) fn cause(
    status: EngineStatus,
    lines: &[&str],
    stdout: &str,
    context: &FailureContext,
) -> Option<(FailureCause, usize)> {
    let masked: Vec<String> = lines.iter().map(|line| mask(line, context)).collect();
    let about_memory = masked.iter().position(|line| is_about_memory(line));
    match status {
        EngineStatus::Signaled(signal) => {
            return Some(match (signal, about_memory) {
                (SIGXFSZ, _) => (FailureCause::FileTooLarge { at_byte: None }, 0),
                (SIGXCPU, _) => (FailureCause::CpuTimeExceeded, 0),
                // An allocation that fails inside a library ends in one of these two.
                (SIGABRT | SIGTRAP, Some(index)) => (FailureCause::OutOfMemory, index),
                _ => (FailureCause::KilledBySignal { signal }, 0),
            });
        }
        EngineStatus::Exited(126 | 127) => {
            // The libraries of the program may be what did not fit.
            let cause = about_memory.map_or(FailureCause::NotExecutable, |_| FailureCause::OutOfMemory);
            return Some((cause, about_memory.unwrap_or(0)));
        }
        EngineStatus::Exited(63) => {
            return Some((FailureCause::NotSupportedByFormat { feature: UnsupportedFeature::Check }, 0));
        }
        EngineStatus::Exited(_) | EngineStatus::Unknown => {}
    }
    for reader in READERS {
        for (index, line) in masked.iter().enumerate() {
            let next = masked.get(index + 1).map_or("", String::as_str);
            if let Some(cause) = reader(&Message { line, next, context }) {
                return Some((cause, index));
            }
        }
    }
    check_report(stdout).map(|cause| (cause, 0))
}

/// `VHDX BAT entry N start offset A points after end of file (B). …` and the same of a dynamic VHD.
fn truncated_image(message: &Message<'_>) -> Option<FailureCause> {
    if let Some(rest) = message.after("VHDX BAT entry ") {
        let (entry, rest) = leading_number(rest)?;
        let (offset, rest) = leading_number(after(rest, "offset ")?)?;
        let (file_bytes, _) = leading_number(after(rest, "end of file (")?)?;
        return Some(FailureCause::VhdxTruncated { bat_entry: entry, offset, file_bytes });
    }
    message
        .says("free_data_block_offset points after the end of file")
        .then(|| FailureCause::VhdTruncated { file: message.file() })
}

fn damaged_vhdx(message: &Message<'_>) -> Option<FailureCause> {
    let file = || message.file();
    if message.says("No valid VHDX header found") {
        Some(FailureCause::VhdxNoValidHeader { file: file() })
    } else if message.says("contains a log that needs to be replayed") {
        Some(FailureCause::VhdxLogNotReplayed { file: file() })
    } else if !message.says("Could not open") || message.format_of_named() != Some(ImageFormat::Vhdx) {
        None
    } else if message.ends("Invalid argument") {
        Some(FailureCause::VhdxUnreadable { file: file() })
    } else if message.ends("Operation not supported") {
        Some(FailureCause::VhdxHasParent { file: file() })
    } else {
        None
    }
}

fn damaged_vhd(message: &Message<'_>) -> Option<FailureCause> {
    let file = || message.file();
    if message.says("invalid VPC image") {
        Some(FailureCause::VhdInvalid { file: file() })
    } else if message.says("Invalid header magic") {
        Some(FailureCause::VhdDynamicHeader { file: file() })
    } else if message.says("Incorrect header checksum") {
        Some(FailureCause::VhdChecksum { file: file() })
    } else if message.says("File too small for a VHD header") {
        Some(FailureCause::VhdTooSmall { file: file() })
    } else {
        None
    }
}

fn damaged_qcow2(message: &Message<'_>) -> Option<FailureCause> {
    if message.says("Image is not in qcow2 format") {
        return Some(FailureCause::Qcow2Signature { file: message.file() });
    }
    if message.says("Reference count table offset invalid") {
        return Some(FailureCause::Qcow2RefcountTable { file: message.file() });
    }
    if message.says("Image is corrupt") || message.says("Marking image as corrupt") {
        return Some(FailureCause::ImageCorrupt { corruptions: None });
    }
    // What else the reader of the format finds comes as the tail of "could not open", in words that no system call uses.
    if message.format_of_named() == Some(ImageFormat::Qcow2) {
        let detail = message.tail_of_open()?;
        let known =
            ["header", "table", "version", "cluster", "refcount", "L1", "feature", "Snapshot", "Invalid"];
        if known.iter().any(|word| detail.contains(word)) && !detail.contains("Could not open") {
            return Some(FailureCause::Qcow2Header { file: message.file(), detail: detail.to_owned() });
        }
    }
    None
}

/// `Could not open backing file: Could not open 'B': …`, or the reason first and "Could not open backing image." after it.
fn backing_file(message: &Message<'_>) -> Option<FailureCause> {
    let rest = match message.after("Could not open backing file: ") {
        Some(rest) => rest,
        None if message.next.starts_with("Could not open backing image") => message.line,
        None => return None,
    };
    let path = between_quotes(after(rest, "Could not open ")?)?;
    let path = message.marked(path).map_or(path, |given| given.file.path.as_str());
    let backing = NamedFile { path: path.to_owned(), role: FileRole::Backing };
    if message.ends("No such file or directory") {
        Some(FailureCause::BackingFileMissing { backing })
    } else if message.ends("Permission denied") {
        Some(FailureCause::PermissionDenied { file: backing })
    } else {
        None
    }
}

fn lock(message: &Message<'_>) -> Option<FailureCause> {
    if message.says("Failed to get shared \"") && message.says(" lock") {
        Some(FailureCause::SharedLockRefused { file: message.file() })
    } else if message.says("Failed to get \"") && message.says(" lock") {
        Some(FailureCause::WriteLockRefused { file: message.file() })
    } else {
        // A program other than QEMU holds a lock. Bytes from 100 stand for what one does, from 200 for what one forbids
        // others.
        let (byte, _) = leading_number(message.after("Failed to lock byte ")?)?;
        let file = message.file();
        Some(if byte < 200 {
            FailureCause::WriteLockRefused { file }
        } else {
            FailureCause::SharedLockRefused { file }
        })
    }
}

/// `error while writing at byte N: …`, and the words of compare: `Error while reading offset N of F: …`.
fn transfer(message: &Message<'_>) -> Option<FailureCause> {
    let lower = message.line.to_ascii_lowercase();
    let writing = lower.starts_with("error while writing");
    if !writing && !lower.starts_with("error while reading") {
        return None;
    }
    let at_byte = after(&lower, "at byte ")
        .or_else(|| after(&lower, " offset "))
        .and_then(leading_number)
        .map(|(number, _)| number);
    let reason = message.reason();
    Some(match (writing, reason) {
        (_, NO_SPACE) => FailureCause::DiskFull { at_byte },
        (_, "File too large") => FailureCause::FileTooLarge { at_byte },
        (_, "Disk quota exceeded") => FailureCause::QuotaExceeded { at_byte },
        (true, reason) => FailureCause::WriteError { at_byte, reason: reason.to_owned() },
        (false, reason) => FailureCause::ReadError { at_byte, reason: reason.to_owned() },
    })
}

/// Lack of space outside the transfer of content.
fn space(message: &Message<'_>) -> Option<FailureCause> {
    if message.ends("Unable to create or write VHD header") {
        // The reason that the system gave is lost here.
        let reason = "its header was not taken".to_owned();
        return Some(FailureCause::WriteError { at_byte: None, reason });
    }
    if message.ends(NO_SPACE) {
        let reserving = message.line.to_ascii_lowercase().contains("preallocat");
        return Some(if reserving {
            FailureCause::PreallocationDiskFull { file: message.file() }
        } else {
            FailureCause::DiskFull { at_byte: None }
        });
    }
    if message.ends("File too large") {
        return Some(FailureCause::FileTooLarge { at_byte: None });
    }
    message.ends("Disk quota exceeded").then_some(FailureCause::QuotaExceeded { at_byte: None })
}

/// What was asked for makes no sense to the engine.
fn request(message: &Message<'_>) -> Option<FailureCause> {
    let quoted = |start| message.after(start).and_then(between_quotes).map(str::to_owned);
    if let Some(name) = quoted("Invalid parameter ") {
        return Some(FailureCause::UnknownOption { name });
    }
    if let (Some(name), Some(value)) = (quoted("Parameter "), quoted("does not accept value ")) {
        return Some(FailureCause::OptionValueRefused { name, value });
    }
    if let Some(name) = quoted("Unknown file format ").or_else(|| quoted("Unknown driver ")) {
        return Some(FailureCause::UnknownFormat { name });
    }
    if let Some(at) = message.line.find("Block size must be") {
        return Some(FailureCause::BadBlockSize { rule: message.line[at..].to_owned() });
    }
    if let Some(limit) = message.after("Image size too large; max of ") {
        return Some(FailureCause::ImageTooLarge { format: None, limit: Some(limit.to_owned()) });
    }
    // In these words only the VHD format speaks of its limit.
    if let Some(limit) = message.after("Disk size is too large, max size is ") {
        let format = Some(ImageFormat::Vhd.engine_name().to_owned());
        return Some(FailureCause::ImageTooLarge { format, limit: Some(limit.to_owned()) });
    }
    if let Some(format) = quoted("The image size is too large for file format ") {
        return Some(FailureCause::ImageTooLarge { format: Some(format), limit: None });
    }
    if message.says("Invalid image size specified") {
        return Some(FailureCause::BadSize { size: quoted("Invalid image size specified: ") });
    }
    if message.says("New image size must be positive") {
        return Some(FailureCause::SizeNotPositive);
    }
    if message.says("Use the --shrink option") {
        return Some(FailureCause::ShrinkNotAllowed);
    }
    let feature = if message.says("does not support checks") {
        UnsupportedFeature::Check
    } else if message.says("does not support resize") {
        UnsupportedFeature::Resize
    } else if message.says("does not support size measurement") {
        UnsupportedFeature::Measure
    } else if message.says("Backing file not supported") {
        UnsupportedFeature::BackingFile
    } else {
        return None;
    };
    Some(FailureCause::NotSupportedByFormat { feature })
}

fn memory(message: &Message<'_>) -> Option<FailureCause> {
    is_about_memory(message.line).then_some(FailureCause::OutOfMemory)
}

/// What is left are the words of the C library for a file that could not be opened or created.
fn system(message: &Message<'_>) -> Option<FailureCause> {
    let file = || message.file();
    if message.says("to be a regular file") || message.ends("Is a directory") {
        return Some(FailureCause::NotARegularFile { file: file() });
    }
    Some(match message.reason() {
        "Permission denied" => FailureCause::PermissionDenied { file: file() },
        "Operation not permitted" => FailureCause::OperationNotPermitted { file: file() },
        "Read-only file system" => FailureCause::ReadOnlyFileSystem { file: file() },
        // A directory on the way that is a file is as missing as one that is not there.
        "No such file or directory" | "Not a directory" if message.says("Could not create") => {
            FailureCause::TargetDirectoryMissing { file: file() }
        }
        "No such file or directory" | "Not a directory" => FailureCause::SourceMissing { file: file() },
        reason @ "Input/output error" if message.says("Could not create") || message.says("write") => {
            FailureCause::WriteError { at_byte: None, reason: reason.to_owned() }
        }
        reason @ "Input/output error" => FailureCause::ReadError { at_byte: None, reason: reason.to_owned() },
        _ => return None,
    })
}

/// The counts of `check --output=json`, when no line said more.
fn check_report(stdout: &str) -> Option<FailureCause> {
    let report: serde_json::Value = serde_json::from_str(stdout).ok()?;
    let count = |name: &str| report.get(name).and_then(serde_json::Value::as_u64).filter(|count| *count > 0);
    if let Some(corruptions) = count("corruptions") {
        return Some(FailureCause::ImageCorrupt { corruptions: Some(corruptions) });
    }
    count("check-errors").map(|check_errors| FailureCause::CheckIncomplete { check_errors })
}

fn is_about_memory(line: &str) -> bool {
    let words = [
        "Cannot allocate memory",
        "failed to allocate",
        "Failed to allocate memory",
        "failed to map segment",
        "qemu_thread_create: Resource temporarily unavailable",
    ];
    words.iter().any(|words| line.contains(words))
}

impl<'text> Message<'text> {
    fn says(&self, words: &str) -> bool {
        self.line.contains(words)
    }

    fn ends(&self, words: &str) -> bool {
        self.line.ends_with(words)
    }

    fn after(&self, words: &str) -> Option<&'text str> {
        after(self.line, words)
    }

    /// What follows the last colon: the words of the system.
    fn reason(&self) -> &'text str {
        self.line.rsplit_once(": ").map_or(self.line, |(_, reason)| reason)
    }

    /// The part of `Could not open 'F': …` after the last name.
    fn tail_of_open(&self) -> Option<&'text str> {
        self.after("Could not open ")?.rsplit_once("': ").map(|(_, tail)| tail)
    }

    /// The file the line is about: one of the given files, else what stands in quotes, else the only one it can be.
    fn file(&self) -> NamedFile {
        if let Some(given) = self.marked(self.line) {
            return given.file.clone();
        }
        if let Some(path) = between_quotes(self.line).filter(|path| path.contains('/')) {
            return NamedFile { path: path.to_owned(), role: FileRole::Other };
        }
        let role = if self.says("Could not create") { FileRole::Target } else { FileRole::Source };
        let only = self.context.files.iter().find(|given| given.file.role == role);
        only.map_or(NamedFile { path: String::new(), role }, |given| given.file.clone())
    }

    /// The format that the file of this line was taken for.
    fn format_of_named(&self) -> Option<ImageFormat> {
        self.marked(self.line)?.format
    }

    /// The last given file whose mark stands in a text: messages go from the outer cause to the inner.
    fn marked(&self, text: &str) -> Option<&'text GivenFile> {
        let files = self.context.files.iter().enumerate();
        let places = files.filter_map(|(index, given)| Some((text.rfind(&mark(index))?, given)));
        places.max_by_key(|(place, _)| *place).map(|(_, given)| given)
    }
}

/// A control character cannot be part of a path here.
fn mark(index: usize) -> String {
    format!("\u{1}{index}\u{1}")
}

/// Replaces the given paths, longer ones first because one may begin like another.
fn mask(line: &str, context: &FailureContext) -> String {
    let mut files: Vec<_> = context.files.iter().enumerate().collect();
    files.sort_by_key(|(_, given)| std::cmp::Reverse(given.file.path.len()));
    files
        .into_iter()
        .filter(|(_, given)| !given.file.path.is_empty())
        .fold(line.to_owned(), |line, (index, given)| line.replace(&given.file.path, &mark(index)))
}

fn after<'text>(text: &'text str, words: &str) -> Option<&'text str> {
    text.split_once(words).map(|(_, rest)| rest)
}

fn between_quotes(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once('\'')?;
    rest.split_once('\'').map(|(inside, _)| inside)
}

fn leading_number(text: &str) -> Option<(u64, &str)> {
    let end = text.find(|character: char| !character.is_ascii_digit()).unwrap_or(text.len());
    Some((text[..end].parse().ok()?, &text[end..]))
}
