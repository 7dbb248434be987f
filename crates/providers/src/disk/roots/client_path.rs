//! The text of a client, split into names. Nothing here asks the file system.

use super::{PathError, TEMPORARY_SUFFIX};

const MAX_PATH_BYTES: usize = 4096;
const MAX_NAME_BYTES: usize = 255;

/// Which system's rules a path follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Style {
    /// `/vms/a.vhdx`
    Linux,
    /// `C:\VMs\a.vhdx` or `C:/VMs/a.vhdx`
    Windows,
}

/// A well-formed absolute path. Empty components and `.` are gone; none is `..`, reserved, or too long.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ClientPath {
    pub(super) style: Style,
    /// For [`Style::Windows`] the first one is the drive, in lower case (`c:`).
    pub(super) components: Vec<String>,
    pub(super) trailing_separator: bool,
}

impl ClientPath {
    pub(super) fn parse(text: &str) -> Result<Self, PathError> {
        if text.is_empty() {
            return Err(PathError::Empty);
        }
        if text.len() > MAX_PATH_BYTES {
            return Err(PathError::TooLong { bytes: text.len(), limit: MAX_PATH_BYTES });
        }
        if let Some((at, _)) = text.char_indices().find(|(_, character)| character.is_control()) {
            return Err(PathError::ControlCharacter { at });
        }
        let path = || text.to_owned();
        // `//server/share` is a network path for every Windows client, and no Linux client needs the double slash.
        if text.starts_with('\\') || text.starts_with("//") || text.starts_with("/\\") {
            return Err(PathError::DeviceOrNetwork { path: path() });
        }
        let (style, drive, rest) = if let Some(rest) = text.strip_prefix('/') {
            (Style::Linux, None, rest)
        } else if let Some((drive, rest)) = split_drive(text) {
            let Some(rest) = rest.strip_prefix(['\\', '/']) else {
                return Err(PathError::Relative { path: path() });
            };
            (Style::Windows, Some(drive), rest)
        } else {
            return Err(PathError::Relative { path: path() });
        };
        let separators: &[char] = match style {
            Style::Linux => &['/'],
            Style::Windows => &['\\', '/'],
        };
        let mut components: Vec<String> = drive.into_iter().collect();
        let mut last = "";
        for name in rest.split(separators) {
            last = name;
            match name {
                "" | "." => {}
                ".." => return Err(PathError::ParentReference { path: path() }),
                name => {
                    check_name(style, name, text)?;
                    components.push(name.to_owned());
                }
            }
        }
        Ok(Self { style, components, trailing_separator: matches!(last, "" | ".") })
    }
}

/// The components of a configured Windows prefix in lower case, or nothing when it is not one.
pub(super) fn windows_prefix(prefix: &str) -> Option<Vec<String>> {
    // A bare drive (`C:`) is accepted here, though not from clients, because it can mean only one thing.
    let with_root = if prefix.len() == 2 { format!("{prefix}\\") } else { prefix.to_owned() };
    let parsed = ClientPath::parse(&with_root).ok()?;
    (parsed.style == Style::Windows)
        .then(|| parsed.components.iter().map(|component| component.to_lowercase()).collect())
}

fn split_drive(text: &str) -> Option<(String, &str)> {
    let letter = text.chars().next().filter(char::is_ascii_alphabetic)?;
    let rest = text[1..].strip_prefix(':')?;
    Some((format!("{}:", letter.to_ascii_lowercase()), rest))
}

fn check_name(style: Style, name: &str, text: &str) -> Result<(), PathError> {
    if name.len() > MAX_NAME_BYTES {
        return Err(PathError::ComponentTooLong { bytes: name.len(), limit: MAX_NAME_BYTES });
    }
    let forbidden: &[char] = match style {
        Style::Linux => &['\\'],
        Style::Windows => &[':', '<', '>', '"', '|', '?', '*'],
    };
    if let Some(character) = name.chars().find(|character| forbidden.contains(character)) {
        return Err(PathError::ForbiddenCharacter { path: text.to_owned(), character });
    }
    if name.to_ascii_lowercase().ends_with(TEMPORARY_SUFFIX) {
        return Err(PathError::Reserved { path: text.to_owned() });
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn components(text: &str) -> Vec<String> {
        ClientPath::parse(text).expect("well-formed").components
    }

    #[test]
    fn both_styles_are_split_into_names() {
        assert_eq!(components("/vms//a/./b.vhdx"), ["vms", "a", "b.vhdx"]);
        assert_eq!(components("C:\\VMs\\a.vhdx"), ["c:", "VMs", "a.vhdx"]);
        assert_eq!(components("c:/VMs\\x/a.vhdx"), ["c:", "VMs", "x", "a.vhdx"]);
        assert!(ClientPath::parse("/vms/").expect("well-formed").trailing_separator);
        assert!(ClientPath::parse("/vms/a/.").expect("well-formed").trailing_separator);
    }

    #[test]
    fn malformed_text_is_refused_with_its_reason() {
        let path = |text: &str| text.to_owned();
        let cases = [
            ("", PathError::Empty),
            ("/a\0b", PathError::ControlCharacter { at: 2 }),
            ("/a\nb", PathError::ControlCharacter { at: 2 }),
            ("a/b", PathError::Relative { path: path("a/b") }),
            ("C:a.vhd", PathError::Relative { path: path("C:a.vhd") }),
            ("C:", PathError::Relative { path: path("C:") }),
            ("\\a", PathError::DeviceOrNetwork { path: path("\\a") }),
            ("\\\\?\\C:\\a", PathError::DeviceOrNetwork { path: path("\\\\?\\C:\\a") }),
            ("\\\\server\\x", PathError::DeviceOrNetwork { path: path("\\\\server\\x") }),
            ("//server/x", PathError::DeviceOrNetwork { path: path("//server/x") }),
            ("/a/../b", PathError::ParentReference { path: path("/a/../b") }),
            ("C:\\a\\..", PathError::ParentReference { path: path("C:\\a\\..") }),
            ("/a\\..\\b", PathError::ForbiddenCharacter { path: path("/a\\..\\b"), character: '\\' }),
            ("C:\\a:b", PathError::ForbiddenCharacter { path: path("C:\\a:b"), character: ':' }),
            ("/a/.x.1.cwpart", PathError::Reserved { path: path("/a/.x.1.cwpart") }),
            ("/a.CwPart/x", PathError::Reserved { path: path("/a.CwPart/x") }),
        ];
        for (text, expected) in cases {
            assert_eq!(ClientPath::parse(text), Err(expected), "{text:?}");
        }
        assert_eq!(
            ClientPath::parse(&format!("/{}", "a".repeat(4096))),
            Err(PathError::TooLong { bytes: 4097, limit: 4096 })
        );
        assert_eq!(
            ClientPath::parse(&format!("/{}", "a".repeat(256))),
            Err(PathError::ComponentTooLong { bytes: 256, limit: 255 })
        );
    }

    #[test]
    fn prefixes_are_recognised_or_refused() {
        assert_eq!(windows_prefix("C:\\VMs"), Some(vec!["c:".to_owned(), "vms".to_owned()]));
        assert_eq!(windows_prefix("d:\\"), Some(vec!["d:".to_owned()]));
        assert_eq!(windows_prefix("D:"), Some(vec!["d:".to_owned()]));
        for bad in ["", "VMs", "/srv", "\\\\server\\share", "C:\\..\\x", "CC:\\"] {
            assert_eq!(windows_prefix(bad), None, "{bad:?}");
        }
    }
}
