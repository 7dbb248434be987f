//! Reading values: typed text, arrays, references and embedded objects (DSP0201 5.2).

use super::declaration::class;
use super::error::Refusal;
use super::object::instance;
use super::path::object_path;
use super::xml::{Attr, Document, Element, Limits, Tag, shorten};
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::{CimError, CimStatus, CimType, Embedded, Value};

/// What reading a value needs to know about where it stands.
#[derive(Clone, Copy)]
pub(super) struct Scope<'l> {
    /// The limits of the whole message.
    pub(super) limits: &'l Limits,
    /// How many embedded objects are around this one.
    level: usize,
    /// How many references in the keys of references are around this one.
    references: usize,
}

/// How deep references may stand in the keys of references. Each takes several levels of elements, of which a message has a limit.
const MAX_REFERENCES: usize = 8;

impl<'l> Scope<'l> {
    /// The scope of a message.
    pub(super) fn new(limits: &'l Limits) -> Self {
        Self { limits, level: 0, references: 0 }
    }

    /// The scope of an embedded object.
    ///
    /// # Errors
    /// If there are as many around it as are allowed.
    pub(super) fn embedded(self) -> Result<Self, CimError> {
        let most = self.limits.embedded;
        if self.level >= most {
            return Err(CimError::invalid_parameter(format!("embedded objects nest more than {most} deep")));
        }
        // The text of an embedded object is a document of its own.
        Ok(Self { level: self.level + 1, references: 0, ..self })
    }

    /// Adds a feature to those of an object.
    ///
    /// # Errors
    /// CIM_ERR_SERVER_LIMITS_EXCEEDED if it has as many as are allowed.
    pub(super) fn add<T>(self, features: &mut Vec<T>, feature: T, what: &str) -> Result<(), CimError> {
        let most = self.limits.features;
        if features.len() >= most {
            let text = format!("more than {most} {what}; that is more than any object has");
            return Err(CimError::new(CimStatus::ServerLimitsExceeded, text));
        }
        features.push(feature);
        Ok(())
    }
}

/// The type and embedded mark that an element states.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Stated {
    /// `None` when the sender left the type out.
    pub(super) cim_type: Option<CimType>,
    pub(super) embedded: Option<Embedded>,
}

impl Stated {
    /// What PARAMVALUE or RETURNVALUE states. TYPE is read where PARAMTYPE is missing, as some peers write it.
    pub(super) fn of_parameter(element: Element<'_>) -> Result<Self, Refusal> {
        let Some(word) = element.attr(Attr::ParamType).or_else(|| element.attr(Attr::Type)) else {
            let embedded = embedded_mark(element)?;
            return Ok(Self { cim_type: embedded.map(|_| CimType::String), embedded });
        };
        // DSP0201 2.4 also lets PARAMTYPE itself say what is embedded.
        match word {
            "instance" => Ok(Self { cim_type: Some(CimType::String), embedded: Some(Embedded::Instance) }),
            "object" => Ok(Self { cim_type: Some(CimType::String), embedded: Some(Embedded::Object) }),
            _ => Self::of_type(type_of(word)?, element),
        }
    }

    /// What PROPERTY and PROPERTY.ARRAY state.
    pub(super) fn of_property(element: Element<'_>) -> Result<Self, Refusal> {
        Self::of_type(type_of(element.required(Attr::Type)?)?, element)
    }

    /// Only strings carry objects: the mark says nothing about other types.
    fn of_type(cim_type: CimType, element: Element<'_>) -> Result<Self, Refusal> {
        let embedded = if cim_type == CimType::String { embedded_mark(element)? } else { None };
        Ok(Self { cim_type: Some(cim_type), embedded })
    }
}

/// The type with this keyword.
pub(super) fn type_of(word: &str) -> Result<CimType, Refusal> {
    CimType::from_keyword(word.trim())
        .ok_or_else(|| Refusal::not_valid(format!("\"{}\" is no CIM type", shorten(word))))
}

fn embedded_mark(element: Element<'_>) -> Result<Option<Embedded>, Refusal> {
    match element.attr(Attr::EmbeddedObject).map(str::trim) {
        None | Some("") => Ok(None),
        Some(word) if word.eq_ignore_ascii_case("instance") => Ok(Some(Embedded::Instance)),
        Some(word) if word.eq_ignore_ascii_case("object") => Ok(Some(Embedded::Object)),
        Some(word) => Err(Refusal::not_valid(format!("EmbeddedObject=\"{}\"", shorten(word)))),
    }
}

/// The value of a text with a stated type.
///
/// # Errors
/// CIM_ERR_INVALID_PARAMETER when the text has no value of that type.
pub(super) fn text_value(text: &str, cim_type: CimType) -> Result<Value, CimError> {
    if cim_type == CimType::Reference {
        // Not in the grammar, but what it means is clear.
        return crate::uri::parse(text)
            .map(|path| Value::Reference(Box::new(path)))
            .map_err(|e| CimError::invalid_parameter(e.to_string()));
    }
    let declared = Declared { cim_type, is_array: false, embedded: None };
    coerce(Value::String(text.to_owned()), declared, &|_| Err(String::new()))
        .map_err(|e| CimError::invalid_parameter(e.reason))
}

/// The value in VALUE, VALUE.ARRAY, VALUE.REFERENCE or VALUE.REFARRAY. The outer `None` says that the element is none of
/// these, the inner one is NULL.
pub(super) fn value(
    element: Element<'_>,
    stated: Stated,
    scope: Scope<'_>,
) -> Result<Option<Option<Value>>, Refusal> {
    Ok(Some(match element.tag() {
        Tag::Value => scalar(element.text(), stated, scope)?,
        Tag::ValueNull => None,
        Tag::ValueReference => Some(reference(element, scope)?),
        Tag::ValueArray | Tag::ValueRefArray => {
            let item_tag = if element.tag() == Tag::ValueArray { Tag::Value } else { Tag::ValueReference };
            let mut items = Vec::new();
            for item in element.children() {
                items.push(match item.tag() {
                    Tag::ValueNull => None,
                    tag if tag == item_tag && tag == Tag::Value => scalar(item.text(), stated, scope)?,
                    tag if tag == item_tag => Some(reference(item, scope)?),
                    _ => return Err(element.misplaced(item)),
                });
            }
            Some(Value::Array(items))
        }
        _ => return Ok(None),
    }))
}

fn scalar(text: &str, stated: Stated, scope: Scope<'_>) -> Result<Option<Value>, Refusal> {
    if stated.embedded.is_some() {
        // Some servers write an empty VALUE where there is no object.
        return if text.trim().is_empty() { Ok(None) } else { Ok(Some(embedded_object(text, scope)?)) };
    }
    match stated.cim_type {
        Some(CimType::String) | None => Ok(Some(Value::String(text.to_owned()))),
        Some(cim_type) => Ok(Some(text_value(text, cim_type)?)),
    }
}

/// The path in VALUE.REFERENCE.
pub(super) fn reference(element: Element<'_>, scope: Scope<'_>) -> Result<Value, Refusal> {
    if scope.references >= MAX_REFERENCES {
        let text = format!("references nest more than {MAX_REFERENCES} deep");
        return Err(CimError::invalid_parameter(text).into());
    }
    let scope = Scope { references: scope.references + 1, ..scope };
    Ok(Value::Reference(Box::new(object_path(element.exactly_one()?, scope)?)))
}

/// The instance or class whose XML is `text` (DSP0201 5.2.4.1, attribute EmbeddedObject). What is wrong in there is wrong
/// with a value, not with the message around it.
pub(super) fn embedded_object(text: &str, scope: Scope<'_>) -> Result<Value, CimError> {
    let refuse = |r: Refusal| {
        CimError::invalid_parameter(format!("the embedded object cannot be read: {}", r.into_detail()))
    };
    let scope = scope.embedded()?;
    let document = Document::from_text(text, scope.limits).map_err(refuse)?;
    let root = document.root();
    match root.tag() {
        Tag::Class => class(root, scope).map(|c| Value::Class(Box::new(c))),
        _ => instance(root, scope).map(|i| Value::Instance(Box::new(i))),
    }
    .map_err(refuse)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(
        xml: &str,
        cim_type: Option<CimType>,
        embedded: Option<Embedded>,
    ) -> Result<Option<Value>, Refusal> {
        let limits = Limits::default();
        let document = Document::from_text(xml, &limits)?;
        let stated = Stated { cim_type, embedded };
        value(document.root(), stated, Scope::new(&limits)).map(|v| v.expect("an element that holds a value"))
    }

    fn typed(xml: &str, cim_type: CimType) -> Result<Option<Value>, Refusal> {
        read(xml, Some(cim_type), None)
    }

    #[test]
    fn text_without_type_stays_text() {
        assert_eq!(read("<VALUE> 1 </VALUE>", None, None), Ok(Some(Value::from(" 1 "))));
        let items = Value::Array(vec![Some("a".into()), None, Some("".into())]);
        assert_eq!(
            read("<VALUE.ARRAY><VALUE>a</VALUE><VALUE.NULL/><VALUE/></VALUE.ARRAY>", None, None),
            Ok(Some(items))
        );
    }

    #[test]
    fn typed_text_is_converted_and_checked() {
        assert_eq!(typed("<VALUE> 0x10 </VALUE>", CimType::Uint8), Ok(Some(Value::Uint8(16))));
        assert_eq!(typed("<VALUE>true</VALUE>", CimType::Boolean), Ok(Some(Value::Boolean(true))));
        assert_eq!(typed("<VALUE> </VALUE>", CimType::Char16), Ok(Some(Value::Char16(32))));
        assert_eq!(
            typed("<VALUE>18446744073709551615</VALUE>", CimType::Uint64),
            Ok(Some(Value::Uint64(u64::MAX)))
        );
        for (text, cim_type) in [
            ("256", CimType::Uint8),
            ("", CimType::Boolean),
            ("ab", CimType::Char16),
            ("202401**00****.******+000", CimType::DateTime),
        ] {
            let error = typed(&format!("<VALUE>{text}</VALUE>"), cim_type);
            assert!(matches!(error, Err(Refusal::Cim(_))), "{text}: {error:?}");
        }
    }

    #[test]
    fn embedded_objects_are_read_only_where_they_are_marked() {
        let xml = "<VALUE>&lt;INSTANCE CLASSNAME=\"X\"/&gt;</VALUE>";
        assert_eq!(read(xml, Some(CimType::String), None), Ok(Some("<INSTANCE CLASSNAME=\"X\"/>".into())));
        let Ok(Some(Value::Instance(found))) = read(xml, Some(CimType::String), Some(Embedded::Object))
        else {
            panic!("no instance");
        };
        assert!(found.class.is("X"));
        let class = "<VALUE><![CDATA[ <CLASS NAME=\"X\"/>]]></VALUE>";
        assert!(matches!(read(class, None, Some(Embedded::Object)), Ok(Some(Value::Class(_)))));
        assert_eq!(read("<VALUE/>", None, Some(Embedded::Instance)), Ok(None));
        assert!(matches!(read("<VALUE>x</VALUE>", None, Some(Embedded::Instance)), Err(Refusal::Cim(_))));
    }

    #[test]
    fn embedded_objects_nest_only_so_deep() {
        let mut text = "<INSTANCE CLASSNAME=\"X\"/>".to_owned();
        for _ in 0..Limits::default().embedded + 1 {
            let escaped = text.replace('&', "&amp;").replace('<', "&lt;");
            text = format!(
                "<INSTANCE CLASSNAME=\"X\"><PROPERTY NAME=\"a\" TYPE=\"string\" EmbeddedObject=\"instance\">\
                 <VALUE>{escaped}</VALUE></PROPERTY></INSTANCE>"
            );
        }
        let error = embedded_object(&text, Scope::new(&Limits::default())).unwrap_err();
        assert!(error.description.contains("nest more than"), "{error}");
    }
}
