//! Reading instances (DSP0201 5.4.2 to 5.4.5) and the wrappers that pair them with their paths.

use super::declaration::{embedded_by_qualifier, qualifiers};
use super::error::Refusal;
use super::path::{instance_name, instance_path};
use super::value::{Scope, Stated, embedded_object, value};
use super::xml::{Attr, Element, Limits, Tag, shorten};
use cimwright_cim::{CimError, CimType, Class, Instance, Name, Property, Value};

/// Reads the text of an INSTANCE element, as an embedded instance or a string property holds it.
///
/// # Errors
/// What is wrong with the text, for a person.
pub fn parse_instance_text(text: &str) -> Result<Instance, String> {
    match embedded_object(text, Scope::new(&Limits::default())) {
        Ok(Value::Instance(instance)) => Ok(*instance),
        Ok(_) => Err("the text is a class, not an instance".to_owned()),
        Err(error) => Err(error.description),
    }
}

/// Reads the text of a CLASS element, as other protocols carry it.
///
/// # Errors
/// What is wrong with the text, for a person.
pub fn parse_class_text(text: &str) -> Result<Class, String> {
    match embedded_object(text, Scope::new(&Limits::for_responses())) {
        Ok(Value::Class(class)) => Ok(*class),
        Ok(_) => Err("the text is an instance, not a class".to_owned()),
        Err(error) => Err(error.description),
    }
}

/// The instance in INSTANCE. Qualifiers are read over: instances carry none.
pub(super) fn instance(element: Element<'_>, scope: Scope<'_>) -> Result<Instance, Refusal> {
    let mut instance = Instance::new(element.expect(Tag::Instance)?.required(Attr::ClassName)?);
    for child in element.children() {
        if child.tag() == Tag::Qualifier {
            continue;
        }
        let mut property = property(child, false, scope)?.ok_or_else(|| element.misplaced(child))?;
        property.qualifiers.clear();
        scope.add(&mut instance.properties, property, "properties")?;
    }
    Ok(instance)
}

/// The property in one of the three elements for properties; `None` if the element is none of them. In the declaration of a class
/// qualifiers say too that it carries objects.
pub(super) fn property(
    element: Element<'_>,
    declared: bool,
    scope: Scope<'_>,
) -> Result<Option<Property>, Refusal> {
    let (mut stated, holder) = match element.tag() {
        Tag::Property => (Stated::of_property(element)?, Tag::Value),
        Tag::PropertyArray => {
            let stated = Stated::of_property(element)?;
            // No property is an array of references; their texts travel as strings.
            let texts = stated.cim_type == Some(CimType::Reference);
            let stated = if texts { Stated { cim_type: Some(CimType::String), ..stated } } else { stated };
            (stated, Tag::ValueArray)
        }
        Tag::PropertyReference => {
            (Stated { cim_type: Some(CimType::Reference), embedded: None }, Tag::ValueReference)
        }
        _ => return Ok(None),
    };
    let name = Name::new(element.required(Attr::Name)?);
    let mut property = Property::new(name, stated.cim_type.unwrap_or(CimType::String), None);
    property.is_array = element.tag() == Tag::PropertyArray;
    // Attributes that only other elements have say nothing.
    property.array_size = if property.is_array { array_size(element)? } else { None };
    let referred = element.attr(Attr::ReferenceClass).filter(|_| element.tag() == Tag::PropertyReference);
    property.reference_class = referred.map(Name::new);
    property.class_origin = element.attr(Attr::ClassOrigin).map(Name::new);
    property.propagated = element.flag(Attr::Propagated, false)?;
    property.qualifiers = qualifiers(element, scope)?;
    if declared {
        let (embedded, of_class) = embedded_by_qualifier(&property.qualifiers, property.cim_type);
        stated.embedded = stated.embedded.or(embedded);
        property.reference_class = property.reference_class.or(of_class);
    }
    property.embedded = stated.embedded;
    let mut rest = element.children().filter(|c| c.tag() != Tag::Qualifier);
    if let Some(child) = rest.next() {
        if child.tag() != holder {
            return Err(element.misplaced(child));
        }
        let name = &property.name;
        property.value = value(child, stated, scope)
            .map_err(|e| e.within(format!("property {name}")))?
            .ok_or_else(|| element.misplaced(child))?;
    }
    match rest.next() {
        None => Ok(Some(property)),
        Some(extra) => Err(element.misplaced(extra)),
    }
}

/// The attribute ARRAYSIZE.
pub(super) fn array_size(element: Element<'_>) -> Result<Option<u32>, Refusal> {
    element
        .attr(Attr::ArraySize)
        .map(|text| {
            text.trim()
                .parse()
                .map_err(|_| Refusal::not_valid(format!("ARRAYSIZE=\"{}\" is no number", shorten(text))))
        })
        .transpose()
}

/// The instance with its path in VALUE.NAMEDINSTANCE, VALUE.INSTANCEWITHPATH, VALUE.OBJECTWITHPATH or
/// VALUE.OBJECTWITHLOCALPATH.
pub(super) fn instance_with_path(element: Element<'_>, scope: Scope<'_>) -> Result<Instance, Refusal> {
    let (path, object) = element.exactly_two()?;
    let path = match element.tag() {
        Tag::ValueNamedInstance => instance_name(path, scope)?,
        _ => instance_path(path, scope)?,
    };
    let mut instance = instance(object, scope)?;
    if instance.class != path.class {
        return Err(CimError::invalid_parameter(format!(
            "the path names class {}, the instance is one of {}",
            path.class, instance.class
        ))
        .into());
    }
    instance.path = Some(path);
    Ok(instance)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::Embedded;

    #[test]
    fn properties_of_all_three_kinds() {
        let instance = parse_instance_text(
            "<INSTANCE CLASSNAME='Msvm_AffectedJobElement' xml:lang='en'>\
             <QUALIFIER NAME='q' TYPE='boolean'/>\
             <PROPERTY NAME='State' TYPE='uint16' CLASSORIGIN='CIM_X' PROPAGATED='true'><VALUE>3</VALUE></PROPERTY>\
             <PROPERTY NAME='Nothing' TYPE='datetime'></PROPERTY>\
             <PROPERTY.ARRAY NAME='ElementEffects' TYPE='uint16' ARRAYSIZE='2'><VALUE.ARRAY><VALUE>5</VALUE>\
             </VALUE.ARRAY></PROPERTY.ARRAY>\
             <PROPERTY.REFERENCE NAME='AffectingElement' REFERENCECLASS='CIM_Job'><VALUE.REFERENCE>\
             <INSTANCENAME CLASSNAME='Msvm_StorageJob'/></VALUE.REFERENCE></PROPERTY.REFERENCE>\
             <PROPERTY NAME='Error' TYPE='string' EmbeddedObject='instance'/></INSTANCE>",
        )
        .unwrap();
        assert_eq!(instance.properties.len(), 5);
        let state = instance.property("state").unwrap();
        assert_eq!((&state.value, state.propagated), (&Some(Value::Uint16(3)), true));
        assert!(state.class_origin.as_ref().unwrap().is("CIM_X"));
        assert_eq!(instance.property("Nothing").unwrap().value, None);
        let effects = instance.property("ElementEffects").unwrap();
        assert_eq!((effects.is_array, effects.array_size), (true, Some(2)));
        assert_eq!(effects.value, Some(Value::uint16s([5])));
        let end = instance.property("AffectingElement").unwrap();
        assert!(end.is_reference() && end.reference_class.as_ref().unwrap().is("CIM_Job"));
        assert_eq!(instance.property("Error").unwrap().embedded, Some(Embedded::Instance));
    }

    #[test]
    fn features_are_bounded() {
        let most = Limits::default().features;
        let object = |n: usize, kind: &str, child: &str, end: &str| {
            let children: String = (0..n).map(|n| child.replace('#', &n.to_string())).collect();
            format!("{kind}{children}{end}")
        };
        let property = "<PROPERTY NAME='p#' TYPE='string'/>";
        let instance = |n| object(n, "<INSTANCE CLASSNAME='X'>", property, "</INSTANCE>");
        assert!(parse_instance_text(&instance(most)).is_ok());
        assert!(parse_instance_text(&instance(most + 1)).unwrap_err().contains("properties"));
        let qualifier = "<QUALIFIER NAME='q#' TYPE='boolean'/>";
        for (kind, child, end, what) in [
            ("<CLASS NAME='X'>", property, "</CLASS>", "properties"),
            ("<CLASS NAME='X'>", "<METHOD NAME='m#'/>", "</CLASS>", "methods"),
            ("<CLASS NAME='X'>", qualifier, "</CLASS>", "qualifiers"),
            (
                "<CLASS NAME='X'><METHOD NAME='m'>",
                "<PARAMETER NAME='p#' TYPE='string'/>",
                "</METHOD></CLASS>",
                "parameters",
            ),
            (
                "<CLASS NAME='X'><PROPERTY NAME='p' TYPE='string'>",
                qualifier,
                "</PROPERTY></CLASS>",
                "qualifiers",
            ),
        ] {
            assert!(parse_class_text(&object(most, kind, child, end)).is_ok(), "{what}");
            let error = parse_class_text(&object(most + 1, kind, child, end)).unwrap_err();
            assert!(error.contains(what), "{error}");
        }
    }

    #[test]
    fn wrong_texts_say_what_is_wrong() {
        for (text, part) in [
            ("<CLASS NAME='x'/>", "a class"),
            ("<VALUE/>", "VALUE in the place of INSTANCE"),
            ("<INSTANCE/>", "without attribute CLASSNAME"),
            ("<INSTANCE CLASSNAME='x'><PROPERTY NAME='a'/></INSTANCE>", "without attribute TYPE"),
            ("<INSTANCE CLASSNAME='x'><PROPERTY NAME='a' TYPE='int'/></INSTANCE>", "no CIM type"),
            (
                "<INSTANCE CLASSNAME='x'><PROPERTY NAME='a' TYPE='uint8'><VALUE>x</VALUE></PROPERTY></INSTANCE>",
                "property a",
            ),
            (
                "<INSTANCE CLASSNAME='x'><PROPERTY NAME='a' TYPE='uint8'><VALUE.ARRAY/></PROPERTY></INSTANCE>",
                "no place",
            ),
            (
                "<INSTANCE CLASSNAME='x'><PROPERTY NAME='a' TYPE='uint8'><VALUE/><VALUE/></PROPERTY></INSTANCE>",
                "\"\" is no",
            ),
        ] {
            let error = parse_instance_text(text).unwrap_err();
            assert!(error.contains(part), "{text}: {error}");
        }
    }
}
