//! Reading object paths and keys (DSP0201 5.3).

use super::error::Refusal;
use super::value::{Scope, reference, text_value, type_of};
use super::xml::{Attr, Element, Tag, shorten};
use crate::uri;
use cimwright_cim::coerce::{parse_integer, parse_real};
use cimwright_cim::{
    CimError, CimStatus, CimType, ClassName, ClassPath, InstancePath, KeyBinding, Name, NamespaceName,
    ObjectPath, Value,
};

/// More keys than any class has. Bounds the search for keys that are given twice.
pub(crate) const MAX_KEYS: usize = 256;

/// Whether the element is one that [`object_path`] reads.
pub(super) fn is_path(tag: Tag) -> bool {
    matches!(
        tag,
        Tag::ClassPath
            | Tag::LocalClassPath
            | Tag::ClassName
            | Tag::InstancePath
            | Tag::LocalInstancePath
            | Tag::InstanceName
    )
}

/// The path in any of the six elements for paths.
pub(super) fn object_path(element: Element<'_>, scope: Scope<'_>) -> Result<ObjectPath, Refusal> {
    let (place, name) = match element.tag() {
        Tag::ClassName | Tag::InstanceName => (None, element),
        Tag::ClassPath | Tag::LocalClassPath | Tag::InstancePath | Tag::LocalInstancePath => {
            let (place, name) = element.exactly_two()?;
            (Some(place), name)
        }
        _ => return Err(Refusal::not_valid(format!("{} is no object path", element.tag().name()))),
    };
    let (host, namespace) = match place {
        None => (None, None),
        Some(place) if matches!(element.tag(), Tag::ClassPath | Tag::InstancePath) => {
            let (host, namespace) = namespace_path(place)?;
            (Some(host), Some(namespace))
        }
        Some(place) => (None, Some(local_namespace_path(place)?)),
    };
    if matches!(element.tag(), Tag::ClassPath | Tag::LocalClassPath | Tag::ClassName) {
        let class = class_name(name)?;
        return Ok(ObjectPath::Class(ClassPath { host, namespace, class }));
    }
    let path = instance_name(name, scope)?;
    Ok(ObjectPath::Instance(InstancePath { host, namespace, ..path }))
}

/// The path in one of the elements for instance paths.
pub(super) fn instance_path(element: Element<'_>, scope: Scope<'_>) -> Result<InstancePath, Refusal> {
    match object_path(element, scope)? {
        ObjectPath::Instance(path) => Ok(path),
        ObjectPath::Class(_) => {
            Err(Refusal::not_valid(format!("{} in the place of an instance path", element.tag().name())))
        }
    }
}

fn namespace_path(element: Element<'_>) -> Result<(String, NamespaceName), Refusal> {
    let (host, namespace) = element.expect(Tag::NamespacePath)?.exactly_two()?;
    let host = host.expect(Tag::Host)?.text().trim();
    // What ends the host where a path is written as text.
    if host.contains(['/', '\\']) {
        let text = format!("\"{}\" is no name of a host", shorten(host));
        return Err(CimError::invalid_parameter(text).into());
    }
    Ok((host.to_owned(), local_namespace_path(namespace)?))
}

/// The namespace in LOCALNAMESPACEPATH. One NAMESPACE with slashes in it is read as several.
pub(super) fn local_namespace_path(element: Element<'_>) -> Result<NamespaceName, Refusal> {
    let mut text = String::new();
    for part in element.expect(Tag::LocalNamespacePath)?.children() {
        if !text.is_empty() {
            text.push('/');
        }
        text.push_str(part.expect(Tag::Namespace)?.required(Attr::Name)?);
    }
    let namespace = NamespaceName::new(&text);
    if namespace.as_str().is_empty() {
        return Err(element.incomplete());
    }
    // What ends the namespace where a path is written as text.
    if text.bytes().any(|b| matches!(b, b':' | b'=' | b'"')) {
        let text = format!("\"{}\" is no name of a namespace", shorten(&text));
        return Err(CimError::new(CimStatus::InvalidNamespace, text).into());
    }
    Ok(namespace)
}

/// The name in CLASSNAME.
pub(super) fn class_name(element: Element<'_>) -> Result<ClassName, Refusal> {
    name(element.expect(Tag::ClassName)?, Attr::Name)
}

/// The name of a class or a key.
fn name(element: Element<'_>, attr: Attr) -> Result<Name, Refusal> {
    let text = element.required(attr)?;
    if !uri::is_identifier(text) {
        let text = format!("{}: \"{}\" is no name", element.tag().name(), shorten(text));
        return Err(CimError::invalid_parameter(text).into());
    }
    Ok(Name::new(text))
}

/// The path in INSTANCENAME, which has neither host nor namespace.
pub(super) fn instance_name(element: Element<'_>, scope: Scope<'_>) -> Result<InstancePath, Refusal> {
    let mut path = InstancePath::new(None, name(element.expect(Tag::InstanceName)?, Attr::ClassName)?);
    for child in element.children() {
        if path.keys.len() >= MAX_KEYS {
            return Err(CimError::invalid_parameter("a path has too many keys").into());
        }
        let key = match child.tag() {
            Tag::KeyBinding => {
                let name = name(child, Attr::Name)?;
                let value =
                    key_value(child.exactly_one()?, scope).map_err(|e| e.within(format!("key {name}")))?;
                if path.keys.iter().any(|k| k.name == name) {
                    return Err(CimError::invalid_parameter(format!("the key {name} is given twice")).into());
                }
                KeyBinding { name, value }
            }
            // One bare value: the only key of the class.
            Tag::KeyValue | Tag::ValueReference => {
                KeyBinding { name: Name::new(""), value: key_value(child, scope)? }
            }
            _ => return Err(element.misplaced(child)),
        };
        if path.keys.first().is_some_and(|k| k.name.as_str().is_empty() || key.name.as_str().is_empty()) {
            return Err(element.misplaced(child));
        }
        path.keys.push(key);
    }
    Ok(path)
}

fn key_value(element: Element<'_>, scope: Scope<'_>) -> Result<Value, Refusal> {
    if element.tag() == Tag::ValueReference {
        return reference(element, scope);
    }
    let text = element.expect(Tag::KeyValue)?.text();
    if let Some(word) = element.attr(Attr::Type) {
        return Ok(match type_of(word)? {
            CimType::String => Value::String(text.to_owned()),
            cim_type => text_value(text, cim_type)?,
        });
    }
    // TYPE is required only since DSP0201 2.4; before that VALUETYPE is all there is.
    let wrong = |what: &str| CimError::invalid_parameter(format!("\"{}\" is no {what}", shorten(text)));
    match element.attr(Attr::ValueType).unwrap_or("string") {
        "string" => Ok(Value::String(text.to_owned())),
        "boolean" => Ok(text_value(text, CimType::Boolean)?),
        "numeric" => Ok(untyped_number(text).ok_or_else(|| wrong("number"))?),
        other => Err(Refusal::not_valid(format!("VALUETYPE=\"{}\"", shorten(other)))),
    }
}

/// The value of a number whose type nobody states: the widest integer type, or a real.
pub(crate) fn untyped_number(text: &str) -> Option<Value> {
    match parse_integer(text) {
        Some(n) => match u64::try_from(n) {
            Ok(n) => Some(Value::Uint64(n)),
            Err(_) => i64::try_from(n).ok().map(Value::Sint64),
        },
        None => parse_real(text).map(Value::Real64),
    }
}

#[cfg(test)]
mod tests {
    use super::super::xml::{Document, Limits};
    use super::*;

    fn read(xml: &str) -> Result<ObjectPath, Refusal> {
        let limits = Limits::default();
        let document = Document::from_text(xml, &limits)?;
        object_path(document.root(), Scope::new(&limits))
    }

    fn keys(xml: &str) -> Result<Vec<KeyBinding>, Refusal> {
        let path = read(&format!("<INSTANCENAME CLASSNAME='X'>{xml}</INSTANCENAME>"))?;
        Ok(path.as_instance().expect("an instance path").keys.clone())
    }

    #[test]
    fn all_forms_of_paths() {
        let full = read(
            "<INSTANCEPATH><NAMESPACEPATH><HOST> h:5989 </HOST><LOCALNAMESPACEPATH><NAMESPACE NAME='root'/>\
             <NAMESPACE NAME='a/b'/></LOCALNAMESPACEPATH></NAMESPACEPATH><INSTANCENAME CLASSNAME='X'/></INSTANCEPATH>",
        )
        .unwrap();
        let path = full.as_instance().unwrap();
        assert_eq!(path.host.as_deref(), Some("h:5989"));
        assert_eq!(path.namespace, Some(NamespaceName::new("root/a/b")));
        assert_eq!(read("<CLASSNAME NAME='X'/>"), Ok(ObjectPath::Class(ClassPath::new(None, "X"))));
        let local = read(
            "<LOCALCLASSPATH><LOCALNAMESPACEPATH><NAMESPACE NAME='root'/></LOCALNAMESPACEPATH><CLASSNAME NAME='X'/>\
             </LOCALCLASSPATH>",
        );
        assert_eq!(local, Ok(ObjectPath::Class(ClassPath::new(NamespaceName::new("root"), "X"))));
        for bad in [
            "<INSTANCEPATH><INSTANCENAME CLASSNAME='X'/></INSTANCEPATH>",
            "<LOCALCLASSPATH><LOCALNAMESPACEPATH/><CLASSNAME NAME='X'/></LOCALCLASSPATH>",
            "<CLASSNAME/>",
            "<INSTANCENAME CLASSNAME='X'><CLASSNAME NAME='X'/></INSTANCENAME>",
        ] {
            assert!(matches!(read(bad), Err(Refusal::NotValid(_))), "{bad}");
        }
    }

    #[test]
    fn the_type_of_a_key_decides_and_valuetype_helps_out() {
        let key =
            |xml: &str| keys(&format!("<KEYBINDING NAME='k'>{xml}</KEYBINDING>")).map(|k| k[0].value.clone());
        assert_eq!(key("<KEYVALUE VALUETYPE='numeric' TYPE='uint8'>255</KEYVALUE>"), Ok(Value::Uint8(255)));
        assert_eq!(key("<KEYVALUE VALUETYPE='numeric'>-5</KEYVALUE>"), Ok(Value::Sint64(-5)));
        assert_eq!(key("<KEYVALUE VALUETYPE='numeric'>1.5</KEYVALUE>"), Ok(Value::Real64(1.5)));
        assert_eq!(key("<KEYVALUE VALUETYPE='boolean'>true</KEYVALUE>"), Ok(Value::Boolean(true)));
        assert_eq!(key("<KEYVALUE> a </KEYVALUE>"), Ok(Value::from(" a ")));
        let date = key("<KEYVALUE VALUETYPE='string' TYPE='datetime'>20240131235959.123456+060</KEYVALUE>");
        assert!(matches!(date, Ok(Value::DateTime(_))));
        assert!(matches!(key("<KEYVALUE VALUETYPE='numeric'>x</KEYVALUE>"), Err(Refusal::Cim(_))));
        assert!(matches!(key("<KEYVALUE TYPE='uint8'>256</KEYVALUE>"), Err(Refusal::Cim(_))));
    }

    /// They could not be written as the text of a path, where a header or a log needs it.
    #[test]
    fn names_are_names() {
        assert!(keys("<KEYBINDING NAME='Größe_1'><KEYVALUE>v</KEYVALUE></KEYBINDING>").is_ok());
        for bad in ["k;", "a b", "a.b", "a=b", "&#xA0;"] {
            let key = format!("<KEYBINDING NAME='{bad}'><KEYVALUE>v</KEYVALUE></KEYBINDING>");
            assert!(matches!(keys(&key), Err(Refusal::Cim(_))), "{bad}");
            let class = format!("<CLASSNAME NAME='{bad}'/>");
            assert!(matches!(read(&class), Err(Refusal::Cim(_))), "{bad}");
        }
        let within = "<LOCALCLASSPATH><LOCALNAMESPACEPATH><NAMESPACE NAME='ro:ot'/></LOCALNAMESPACEPATH>\
                      <CLASSNAME NAME='X'/></LOCALCLASSPATH>";
        assert!(matches!(read(within), Err(Refusal::Cim(e)) if e.status == CimStatus::InvalidNamespace));
    }

    #[test]
    fn one_bare_key_is_the_only_key() {
        let only = keys("<KEYVALUE VALUETYPE='string'>v</KEYVALUE>").unwrap();
        assert_eq!((only.len(), only[0].name.as_str()), (1, ""));
        assert!(keys("<KEYVALUE>v</KEYVALUE><KEYVALUE>w</KEYVALUE>").is_err());
        assert!(
            keys("<KEYVALUE>v</KEYVALUE><KEYBINDING NAME='k'><KEYVALUE>w</KEYVALUE></KEYBINDING>").is_err()
        );
        assert!(
            keys("<KEYBINDING NAME='k'><KEYVALUE>w</KEYVALUE></KEYBINDING><KEYVALUE>v</KEYVALUE>").is_err()
        );
        let twice = "<KEYBINDING NAME='k'><KEYVALUE>w</KEYVALUE></KEYBINDING>".repeat(2);
        assert!(matches!(keys(&twice), Err(Refusal::Cim(_))));
    }
}
