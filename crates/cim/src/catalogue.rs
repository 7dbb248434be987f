//! Message catalogues: every reason the project can give, with a stable id.
//!
//! A catalogue is a static table beside the code that uses it. The documentation page and `cimwright explain` are made from
//! the same tables, so that they cannot differ from what a client is told.

use crate::detail::{ErrorDetail, ErrorType, Severity};
use crate::error::CimStatus;

/// One message of a catalogue.
#[derive(Clone, Copy, Debug)]
pub struct CatalogueEntry {
    /// Stable id, such as `CWDISK1004`. Never reused for another meaning.
    pub id: &'static str,
    /// The message, with `{0}`, `{1}`, … for the arguments.
    pub message: &'static str,
    /// What it means, for the documentation.
    pub meaning: &'static str,
    /// CIM_Error.ErrorType.
    pub error_type: ErrorType,
    /// CIM_Error.PerceivedSeverity.
    pub severity: Severity,
    /// CIM_Error.ProbableCause, 0 to 130.
    pub probable_cause: u16,
    /// The probable cause in words.
    pub probable_cause_description: &'static str,
    /// What a person can do, most promising first; the same placeholders as in the message.
    pub actions: &'static [&'static str],
    /// The CIM status that describes it best.
    pub status: CimStatus,
    /// Hyper-V's code for it: 32768 Failed, 32769 Access Denied, 32770 Not Supported, 32771 Status is unknown, 32772 Timeout,
    /// 32773 Invalid parameter, 32774 System is in use, 32775 Invalid state, 32776 Incorrect data type, 32777 System is not
    /// available, 32778 Out of memory, 32779 File not found.
    pub code: u16,
}

/// A table of messages, all with the same id prefix.
#[derive(Clone, Copy, Debug)]
pub struct Catalogue {
    /// What the messages are about, for the documentation.
    pub title: &'static str,
    /// The messages, by id ascending.
    pub entries: &'static [CatalogueEntry],
}

impl Catalogue {
    /// The entry with this id, in any case.
    pub fn find(&self, id: &str) -> Option<&'static CatalogueEntry> {
        self.entries.iter().find(|e| e.id.eq_ignore_ascii_case(id))
    }
}

impl CatalogueEntry {
    /// The error that this entry describes, with its message filled from `arguments`.
    pub fn detail<S: Into<String>>(&self, arguments: impl IntoIterator<Item = S>) -> ErrorDetail {
        let arguments: Vec<String> = arguments.into_iter().map(Into::into).collect();
        ErrorDetail {
            message_id: self.id.to_owned(),
            message: fill(self.message, &arguments),
            error_type: self.error_type,
            severity: self.severity,
            probable_cause: self.probable_cause,
            probable_cause_description: self.probable_cause_description.to_owned(),
            recommended_actions: self.actions.iter().map(|a| fill(a, &arguments)).collect(),
            source: None,
            source_is_path: false,
            status: self.status,
            code: self.code,
            cause: None,
            arguments,
        }
    }
}

/// Declares a catalogue: a constant for every entry, visible to the module above, and the table of them all.
///
/// An entry says, in this order: its id, Hyper-V's code (or that of the provider's own table), the CIM status, ErrorType,
/// PerceivedSeverity, ProbableCause with its words, the message, what it means, and what a person can do.
///
/// ```
/// mod catalogue {
///     cimwright_cim::catalogue! {
///         /// The messages of this provider.
///         pub static CATALOGUE = "Tapes";
///
///         TAPE_MISSING = "CWTAPE1001", 32779, NotFound, Environmental, Minor, 73 "Element Missing",
///             "The tape \"{0}\" is in no drive.",
///             "The robot looked into every drive and did not find it.",
///             &["Put the tape into a drive and call again."];
///     }
/// }
/// assert_eq!(catalogue::TAPE_MISSING.detail(["A1"]).message, "The tape \"A1\" is in no drive.");
/// assert!(catalogue::CATALOGUE.find("cwtape1001").is_some());
/// ```
#[macro_export]
macro_rules! catalogue {
    ($(#[$doc:meta])* $visibility:vis static $catalogue:ident = $title:literal;
        $($name:ident = $id:literal, $code:literal, $status:ident, $kind:ident, $severity:ident, $cause:literal $cause_text:literal,
        $message:literal, $meaning:literal, $actions:expr;)*) => {
        $(pub(super) const $name: $crate::CatalogueEntry = $crate::CatalogueEntry {
            id: $id,
            message: $message,
            meaning: $meaning,
            error_type: $crate::ErrorType::$kind,
            severity: $crate::Severity::$severity,
            probable_cause: $cause,
            probable_cause_description: $cause_text,
            actions: $actions,
            status: $crate::CimStatus::$status,
            code: $code,
        };)*
        $(#[$doc])* $visibility static $catalogue: $crate::Catalogue =
            $crate::Catalogue { title: $title, entries: &[$($name),*] };
    };
}

/// Declares functions that make errors of catalogue entries, one argument for each placeholder: for reasons that need no more
/// than words.
///
/// ```
/// # mod catalogue {
/// #     cimwright_cim::catalogue! {
/// #         pub static CATALOGUE = "Tapes";
/// #         TAPE_MISSING = "CWTAPE1001", 5, NotFound, Other, Minor, 73 "Element Missing", "No tape \"{0}\".", "", &[];
/// #     }
/// # }
/// cimwright_cim::reasons! {
///     /// The tape is in no drive.
///     tape_missing(name) = catalogue::TAPE_MISSING;
/// }
/// # fn main() {
/// assert_eq!(tape_missing("A1").arguments, ["A1"]);
/// # }
/// ```
#[macro_export]
macro_rules! reasons {
    ($($(#[$doc:meta])* $function:ident($($argument:ident),*) = $entry:path;)*) => {
        $($(#[$doc])* pub fn $function($($argument: &str),*) -> $crate::ErrorDetail {
            $entry.detail([$($argument),*])
        })*
    };
}

/// Replaces `{0}`, `{1}`, … by the arguments. A placeholder without argument stays, so that a slip is seen. Arguments are not
/// scanned again: braces in a file name mean nothing.
fn fill(template: &str, arguments: &[String]) -> String {
    let mut out = String::with_capacity(template.len() + 32);
    let mut rest = template;
    while let Some(open) = rest.find('{') {
        out.push_str(&rest[..open]);
        let tail = &rest[open..];
        let argument = tail.find('}').and_then(|close| {
            let index: usize = tail[1..close].parse().ok()?;
            Some((arguments.get(index)?, close))
        });
        match argument {
            Some((text, close)) => {
                out.push_str(text);
                rest = &tail[close + 1..];
            }
            None => {
                out.push('{');
                rest = &tail[1..];
            }
        }
    }
    out.push_str(rest);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn placeholders_are_filled_once() {
        let arguments = ["a{1}b".to_owned(), "c".to_owned()];
        assert_eq!(fill("x {0} y {1} z {2} {", &arguments), "x a{1}b y c z {2} {");
    }
}
