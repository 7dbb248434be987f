//! Object paths as text: the untyped WBEM URI of DSP0207, and the looser forms that clients write.
//!
//! Written: `root/virtualization/v2:Msvm_StorageJob.InstanceID="A"`, with `//host/` before it where the path names a host. Read
//! as well: a leading slash or scheme, backslashes as Windows writes them (`\\HOST\root\cimv2:X.K="v"`), a bare value for the only
//! key (`X="v"`), `X=@` for the one instance of a keyless class.

use crate::cimxml::{MAX_KEYS, push_real32, push_real64, untyped_number};
use cimwright_cim::path::key_values_equal;
use cimwright_cim::{ClassPath, InstancePath, KeyBinding, Name, NamespaceName, ObjectPath, Value};
use std::fmt::Write;

/// A text that is no object path.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("\"{text}\" is no object path: {reason}")]
pub struct PathError {
    /// The text.
    pub text: String,
    /// What is wrong with it.
    pub reason: &'static str,
}

/// The text of a path, with its host if it names one.
pub fn to_text(path: &ObjectPath) -> String {
    let mut out = String::with_capacity(96);
    let host = match path {
        ObjectPath::Class(path) => path.host.as_ref(),
        ObjectPath::Instance(path) => path.host.as_ref(),
    };
    if let (Some(host), Some(_)) = (host, path.namespace()) {
        out.push_str("//");
        out.push_str(host);
        out.push('/');
    }
    push_path(&mut out, path);
    out
}

/// The text of a path without its host, as the CIMObject header has it (DSP0200 6.3.7).
pub fn to_local_text(path: &ObjectPath) -> String {
    let mut out = String::with_capacity(96);
    push_path(&mut out, path);
    out
}

fn push_path(out: &mut String, path: &ObjectPath) {
    if let Some(namespace) = path.namespace() {
        out.push_str(namespace.as_str());
        out.push(':');
    }
    out.push_str(path.class().as_str());
    let ObjectPath::Instance(path) = path else { return };
    if path.keys.is_empty() {
        out.push_str("=@");
    }
    for (at, key) in path.keys.iter().enumerate() {
        match (at, key.name.as_str()) {
            (0, "") => {}
            (0, _) => out.push('.'),
            _ => out.push(','),
        }
        out.push_str(key.name.as_str());
        out.push('=');
        push_value(out, &key.value);
    }
}

fn push_value(out: &mut String, value: &Value) {
    // Writing to a string cannot fail.
    match value {
        Value::String(text) => push_quoted(out, text),
        Value::DateTime(time) => push_quoted(out, &time.to_string()),
        Value::Reference(path) => push_quoted(out, &to_text(path)),
        Value::Boolean(value) => out.push_str(if *value { "TRUE" } else { "FALSE" }),
        Value::Char16(unit) => {
            let c = char::from_u32(u32::from(*unit)).unwrap_or('\u{fffd}');
            out.push('\'');
            if matches!(c, '\'' | '\\') {
                out.push('\\');
            }
            out.push(c);
            out.push('\'');
        }
        Value::Real32(x) => push_real32(out, *x),
        Value::Real64(x) => push_real64(out, *x),
        other => match other.as_i128() {
            Some(n) => {
                let _ = write!(out, "{n}");
            }
            // Arrays and embedded objects are no keys.
            None => push_quoted(out, ""),
        },
    }
}

fn push_quoted(out: &mut String, text: &str) {
    out.push('"');
    for part in text.split_inclusive(['"', '\\']) {
        match part.chars().next_back() {
            Some(c @ ('"' | '\\')) => {
                out.push_str(&part[..part.len() - 1]);
                out.push('\\');
                out.push(c);
            }
            _ => out.push_str(part),
        }
    }
    out.push('"');
}

/// Reads a path. What is quoted becomes a string, whatever the key's type; the class knows better.
///
/// # Errors
/// When the text is no path of a class or instance; see [`PathError`].
pub fn parse(text: &str) -> Result<ObjectPath, PathError> {
    let fail = |reason| PathError { text: text.chars().take(200).collect(), reason };
    let (host, rest) = split_host(text.trim());
    let head_end = rest.find(['=', '"']).unwrap_or(rest.len());
    let (namespace, rest) = match rest[..head_end].find(':') {
        Some(colon) => (Some(&rest[..colon]), &rest[colon + 1..]),
        None => (None, rest.trim_start_matches('/')),
    };
    let namespace = namespace.map(NamespaceName::new).filter(|n| !n.as_str().is_empty());
    // There is no way to write a host without a namespace behind it.
    let host = host.filter(|_| namespace.is_some());
    let class_end = rest.find(['.', '=']).unwrap_or(rest.len());
    let (class, keys) = rest.split_at(class_end);
    if !is_identifier(class) {
        return Err(fail("it names no class"));
    }
    let class = Name::new(class);
    let host = host.map(str::to_owned);
    if keys.is_empty() {
        return Ok(ObjectPath::Class(ClassPath { host, namespace, class }));
    }
    let mut path = InstancePath { host, namespace, class, keys: Vec::new() };
    if keys == "=@" || keys == ".=@" {
        return Ok(ObjectPath::Instance(path));
    }
    if let Some(value) = keys.strip_prefix('=') {
        let (value, after) = parse_value(value).map_err(fail)?;
        if !after.is_empty() {
            return Err(fail("something follows after the value of its only key"));
        }
        path.keys.push(KeyBinding { name: Name::new(""), value });
        return Ok(ObjectPath::Instance(path));
    }
    let mut rest = &keys[1..];
    loop {
        let Some((name, value)) = rest.split_once('=') else {
            return Err(fail("a key has no value"));
        };
        let name = name.trim();
        if !is_identifier(name) {
            return Err(fail("a key has no name"));
        }
        if path.keys.len() >= MAX_KEYS {
            return Err(fail("it has too many keys"));
        }
        if path.keys.iter().any(|k| k.name.is(name)) {
            return Err(fail("a key is given twice"));
        }
        let (value, after) = parse_value(value).map_err(fail)?;
        path.keys.push(KeyBinding { name: Name::new(name), value });
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None if after.is_empty() => return Ok(ObjectPath::Instance(path)),
            None => return Err(fail("a key is not followed by a comma")),
        }
    }
}

/// The host of a path and the rest of it.
fn split_host(text: &str) -> (Option<&str>, &str) {
    let after_scheme = match text.split_once("://") {
        Some((scheme, _)) if !scheme.is_empty() && scheme.bytes().all(|b| b.is_ascii_alphabetic()) => {
            &text[scheme.len() + 1..]
        }
        _ => text,
    };
    let Some(rest) = after_scheme.strip_prefix("//").or_else(|| after_scheme.strip_prefix("\\\\")) else {
        return (None, after_scheme);
    };
    match rest.find(['/', '\\']) {
        Some(end) => (Some(rest[..end].trim()).filter(|h| !h.is_empty()), &rest[end + 1..]),
        // A host alone names nothing.
        None => (None, ""),
    }
}

/// Whether a text can be the name of a class or a key (DSP0004 annex A, IDENTIFIER; a digit may come first).
pub(crate) fn is_identifier(text: &str) -> bool {
    let plain = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    let belongs = |c: char| match u8::try_from(c) {
        Ok(byte) if byte.is_ascii() => plain(byte),
        _ => !c.is_control() && !c.is_whitespace(),
    };
    !text.is_empty() && (text.bytes().all(plain) || text.chars().all(belongs))
}

/// A value at the beginning of `text`, and what follows after it.
fn parse_value(text: &str) -> Result<(Value, &str), &'static str> {
    let text = text.trim_start();
    if let Some(rest) = text.strip_prefix('"') {
        let (value, after) = quoted(rest, '"').ok_or("a quotation mark is missing")?;
        return Ok((Value::String(value), after));
    }
    if let Some(rest) = text.strip_prefix('\'') {
        let (value, after) = quoted(rest, '\'').ok_or("a quotation mark is missing")?;
        let mut units = value.encode_utf16();
        return match (units.next(), units.next()) {
            (Some(unit), None) => Ok((Value::Char16(unit), after)),
            _ => Err("single quotation marks hold one character"),
        };
    }
    let (word, after) = text.split_at(text.find(',').unwrap_or(text.len()));
    let word = word.trim();
    let value = if word.eq_ignore_ascii_case("true") {
        Value::Boolean(true)
    } else if word.eq_ignore_ascii_case("false") {
        Value::Boolean(false)
    } else {
        untyped_number(word).ok_or("a value is neither quoted nor a number nor TRUE or FALSE")?
    };
    Ok((value, after))
}

/// The text up to the closing mark, and what follows. A backslash before something other than a mark or a backslash stands for
/// itself: people paste Windows paths.
fn quoted(text: &str, mark: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => match chars.clone().next() {
                Some((_, next @ ('\\' | '"' | '\''))) => {
                    value.push(next);
                    chars.next();
                }
                _ => value.push('\\'),
            },
            c if c == mark => return Some((value, text[at + c.len_utf8()..].trim_start())),
            c => value.push(c),
        }
    }
    None
}

/// Escapes a path for the CIMObject header: everything but letters, digits and the marks that are safe in a header and common
/// in paths becomes `%HH` of its UTF-8 bytes (DSP0200 6.3.7).
pub fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 16);
    for byte in text.bytes() {
        match byte {
            b'A'..=b'Z'
            | b'a'..=b'z'
            | b'0'..=b'9'
            | b'-'
            | b'_'
            | b'.'
            | b'~'
            | b'/'
            | b':'
            | b'='
            | b',' => {
                out.push(byte as char);
            }
            _ => {
                // Writing to a string cannot fail.
                let _ = write!(out, "%{byte:02X}");
            }
        }
    }
    out
}

/// Undoes [`percent_encode`]. A `%` that no two hexadecimal digits follow stands for itself.
pub fn percent_decode(bytes: &[u8]) -> Vec<u8> {
    let digit = |b: Option<&u8>| b.and_then(|b| (*b as char).to_digit(16));
    let mut out = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while at < bytes.len() {
        match (bytes[at], digit(bytes.get(at + 1)), digit(bytes.get(at + 2))) {
            (b'%', Some(high), Some(low)) => {
                out.push((high * 16 + low) as u8);
                at += 3;
            }
            (byte, ..) => {
                out.push(byte);
                at += 1;
            }
        }
    }
    out
}

/// Whether a CIMObject header names this namespace.
pub fn header_names_namespace(header: &[u8], namespace: &NamespaceName) -> bool {
    readings(header).any(|reading| match reading {
        Reading::Text(text) => {
            let text = text.trim();
            NamespaceName::new(text) == *namespace
                || (text.starts_with("//") && NamespaceName::new(split_host(text).1) == *namespace)
        }
        Reading::Undecidable => true,
    })
}

/// Whether a CIMObject header names this class or instance.
///
/// Compared as paths: keys as a set, class and key names without case, values by what they mean, a missing namespace as any.
/// Clients disagree about how characters outside ASCII get into a header, so a header with such characters is never the
/// reason for a refusal.
pub fn header_names_object(header: &[u8], target: &ObjectPath) -> bool {
    readings(header).any(|reading| match reading {
        Reading::Text(text) => parse(&text).is_ok_and(|path| same_object(&path, target)),
        Reading::Undecidable => true,
    })
}

enum Reading {
    Text(String),
    /// It has characters whose encoding nobody can know.
    Undecidable,
}

/// The ways to read a header: percent-encoded, as the standard says, and bare, as some clients send it.
fn readings(header: &[u8]) -> impl Iterator<Item = Reading> {
    let read = |bytes: Vec<u8>| match String::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => Reading::Text(text),
        _ => Reading::Undecidable,
    };
    [percent_decode(header), header.to_vec()].into_iter().map(read)
}

fn same_object(header: &ObjectPath, target: &ObjectPath) -> bool {
    let same_place = header.class() == target.class()
        && match (header.namespace(), target.namespace()) {
            (Some(a), Some(b)) => a == b,
            _ => true,
        };
    let no_keys: &[KeyBinding] = &[];
    let keys = |path: &ObjectPath| path.as_instance().map(|p| p.keys.len());
    // The instance of a keyless class may be named as the class is.
    if !same_place || keys(header).unwrap_or(0) != keys(target).unwrap_or(0) {
        return false;
    }
    let (ours, theirs) = (
        target.as_instance().map_or(no_keys, |p| &p.keys),
        header.as_instance().map_or(no_keys, |p| &p.keys),
    );
    if let ([a], [b]) = (ours, theirs)
        && (a.name.as_str().is_empty() || b.name.as_str().is_empty())
    {
        return same_value(&b.value, &a.value);
    }
    ours.iter().all(|k| theirs.iter().any(|o| o.name == k.name && same_value(&o.value, &k.value)))
}

/// Whether a value that was read without its type can be the typed one.
fn same_value(header: &Value, target: &Value) -> bool {
    if let (Value::String(text), Value::Reference(path)) = (header, target) {
        return parse(text).is_ok_and(|p| same_object(&p, path));
    }
    key_values_equal(header, target) || scalar_text(header).eq_ignore_ascii_case(&scalar_text(target))
}

fn scalar_text(value: &Value) -> String {
    let mut out = String::new();
    match value {
        Value::String(text) => return text.clone(),
        // So that 0.1 of a real32 is the same as 0.1 of a text.
        Value::Real64(x) => push_real32(&mut out, *x as f32),
        Value::Char16(unit) => out.extend(char::from_u32(u32::from(*unit))),
        other => push_value(&mut out, other),
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn job(id: &str) -> ObjectPath {
        InstancePath::new(NamespaceName::new("root/virtualization/v2"), "Msvm_StorageJob")
            .with_key("InstanceID", id)
            .into()
    }

    #[test]
    fn paths_as_dsp0207_writes_them() {
        assert_eq!(
            to_text(&job("a\"b\\c")),
            r#"root/virtualization/v2:Msvm_StorageJob.InstanceID="a\"b\\c""#
        );
        let path = InstancePath::new(None, "X")
            .with_key("B", true)
            .with_key("N", Value::Sint8(-5))
            .with_key("C", Value::Char16(39))
            .with_key("R", job("1").as_instance().unwrap().clone());
        assert_eq!(
            to_text(&path.into()),
            r#"X.B=TRUE,N=-5,C='\'',R="root/virtualization/v2:Msvm_StorageJob.InstanceID=\"1\"""#
        );
        let mut class = ClassPath::new(NamespaceName::new("root/interop"), "CIM_Namespace");
        assert_eq!(to_text(&class.clone().into()), "root/interop:CIM_Namespace");
        class.host = Some("h:5989".into());
        assert_eq!(to_text(&class.clone().into()), "//h:5989/root/interop:CIM_Namespace");
        assert_eq!(to_local_text(&class.into()), "root/interop:CIM_Namespace");
        assert_eq!(to_text(&InstancePath::new(None, "X").into()), "X=@");
    }

    #[test]
    fn looser_forms_are_read() {
        let expected = job("A:1,b=\"c\"");
        for text in [
            r#"root/virtualization/v2:Msvm_StorageJob.InstanceID="A:1,b=\"c\"""#,
            r#" /root/virtualization/v2:msvm_storagejob.instanceid = "A:1,b=\"c\"" "#,
            r#"//host:5989/root/virtualization/v2:Msvm_StorageJob.InstanceID="A:1,b=\"c\"""#,
            r#"https://host/root/virtualization/v2:Msvm_StorageJob.InstanceID="A:1,b=\"c\"""#,
            r#"\\HOST\root\virtualization\v2:Msvm_StorageJob.InstanceID="A:1,b=\"c\"""#,
            r#"Msvm_StorageJob.InstanceID="A:1,b=\"c\"""#,
        ] {
            assert_eq!(parse(text).as_ref(), Ok(&expected), "{text}");
        }
        let host = parse("//h/root:X").unwrap();
        assert_eq!(
            host,
            ObjectPath::Class(ClassPath {
                host: Some("h".into()),
                ..ClassPath::new(NamespaceName::new("root"), "X")
            })
        );
        assert_eq!(parse("X=@").unwrap(), InstancePath::new(None, "X").into());
        assert_eq!(parse("X=\"v\"").unwrap(), InstancePath::new(None, "X").with_key("", "v").into());
        let file = parse(r#"CIM_LogicalFile.Name="C:\temp\\x.vhdx""#).unwrap();
        assert_eq!(file.as_instance().unwrap().key_str("Name"), Some(r"C:\temp\x.vhdx"));
    }

    #[test]
    fn what_is_no_path_is_refused() {
        for text in [
            "",
            ":",
            "root/cimv2:",
            "X.",
            "X.a",
            "X.=1",
            "X.a=",
            "X.a=b",
            "X.a=\"b",
            "X.a=1,",
            "X.a=1,a=2",
            "X.a='bc'",
            "X.a=\"b\"c",
            "X=\"v\",b=1",
            "a b",
            "//host",
            "X.a=\"b\" c=2",
        ] {
            assert!(parse(text).is_err(), "{text}: {:?}", parse(text));
        }
    }

    #[test]
    fn headers_are_compared_by_meaning() {
        let target: ObjectPath = InstancePath::new(NamespaceName::new("root/cimv2"), "X")
            .with_key("U", Value::Uint8(255))
            .with_key("S", "a \"b\" 50%")
            .with_key("R", job("1").as_instance().unwrap().clone())
            .with_key("F", Value::Real32(0.1))
            .into();
        let plain = r#"root/cimv2:x.f=0.1,r="root/virtualization/v2:Msvm_StorageJob.InstanceID=\"1\"",s="a \"b\" 50%",u=0xff"#;
        assert!(header_names_object(plain.as_bytes(), &target));
        assert!(header_names_object(percent_encode(plain).as_bytes(), &target));
        assert!(header_names_object(plain.replace("0xff", "\"255\"").as_bytes(), &target));
        assert!(!header_names_object(plain.replace("50%", "51%").as_bytes(), &target));
        assert!(!header_names_object(plain.replace("0xff", "1").as_bytes(), &target));
        assert!(!header_names_object(plain.replace("\\\"1\\\"", "\\\"2\\\"").as_bytes(), &target));
        assert!(!header_names_object(plain.replace("cimv2", "other").as_bytes(), &target));
        assert!(!header_names_object(b"root/cimv2:X", &target));
        let latin = InstancePath::new(NamespaceName::new("root/cimv2"), "X").with_key("S", "é").into();
        assert!(header_names_object(b"root/cimv2:X.S=\"\xe9\"", &latin));
        assert!(header_names_object("root/cimv2:X.S=\"é\"".as_bytes(), &latin));
        assert!(header_names_object(b"root%2Fcimv2%3AX.S%3D%22%C3%A9%22", &latin));
        let keyless = InstancePath::new(NamespaceName::new("root/cimv2"), "X").into();
        assert!(
            header_names_object(b"root/cimv2:X", &keyless)
                && header_names_object(b"root/cimv2:X=@", &keyless)
        );
        let raw_percent =
            InstancePath::new(NamespaceName::new("root/cimv2"), "X").with_key("S", "%41").into();
        assert!(header_names_object(b"root/cimv2:X.S=\"%41\"", &raw_percent));
    }

    #[test]
    fn headers_name_namespaces() {
        let namespace = NamespaceName::new("root/virtualization/v2");
        for header in [
            "root/virtualization/v2",
            "/ROOT/Virtualization/V2",
            "root%2Fvirtualization%2Fv2",
            "//h/root/virtualization/v2",
        ] {
            assert!(header_names_namespace(header.as_bytes(), &namespace), "{header}");
        }
        assert!(!header_names_namespace(b"root/virtualization", &namespace));
        assert!(!header_names_namespace(b"", &namespace));
    }

    proptest! {
        #[test]
        fn texts_read_back(a in "\\PC{0,12}", n in any::<u64>(), m in i64::MIN..0, b in any::<bool>(), x in -1e9f64..1e9) {
            let path: ObjectPath = InstancePath::new(NamespaceName::new("root/a"), "X")
                .with_key("A", a.as_str())
                .with_key("N", Value::Uint64(n))
                .with_key("M", Value::Sint64(m))
                .with_key("B", b)
                .with_key("X", Value::Real64(x))
                .into();
            let text = to_text(&path);
            prop_assert_eq!(parse(&text), Ok(path.clone()));
            prop_assert!(header_names_object(percent_encode(&text).as_bytes(), &path));
            prop_assert_eq!(percent_decode(percent_encode(&a).as_bytes()), a.into_bytes());
        }

        #[test]
        fn reading_never_panics(text in "[X.=\"'\\\\,:/ 0-9é]{0,24}", bytes in proptest::collection::vec(any::<u8>(), 0..24)) {
            let _ = parse(&text);
            let _ = header_names_object(&bytes, &job("1"));
        }
    }
}
