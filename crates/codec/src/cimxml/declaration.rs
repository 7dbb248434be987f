//! Reading classes, methods, qualifiers and qualifier declarations (DSP0201 5.4, 5.5).

use super::error::Refusal;
use super::object::{array_size, property};
use super::value::{Scope, Stated, type_of, value};
use super::xml::{Attr, Element, Tag};
use cimwright_cim::class::{find, is_true};
use cimwright_cim::{
    CimType, Class, Embedded, Flavor, Method, Name, Parameter, Qualifier, QualifierDeclaration,
    QualifierScope, Scopes,
};

/// The class in CLASS.
pub(super) fn class(element: Element<'_>, scope: Scope<'_>) -> Result<Class, Refusal> {
    let mut class = Class::new(element.expect(Tag::Class)?.required(Attr::Name)?);
    class.superclass = element.attr(Attr::Superclass).filter(|s| !s.is_empty()).map(Name::new);
    class.qualifiers = qualifiers(element, scope)?;
    for child in element.children() {
        match child.tag() {
            Tag::Qualifier => {}
            Tag::Method => scope.add(&mut class.methods, method(child, scope)?, "methods")?,
            _ => {
                let property = property(child, true, scope)?.ok_or_else(|| element.misplaced(child))?;
                scope.add(&mut class.properties, property, "properties")?;
            }
        }
    }
    Ok(class)
}

fn method(element: Element<'_>, scope: Scope<'_>) -> Result<Method, Refusal> {
    let mut method = Method {
        name: Name::new(element.required(Attr::Name)?),
        return_type: element.attr(Attr::Type).map(type_of).transpose()?,
        parameters: Vec::new(),
        class_origin: element.attr(Attr::ClassOrigin).map(Name::new),
        propagated: element.flag(Attr::Propagated, false)?,
        qualifiers: qualifiers(element, scope)?,
    };
    for child in element.children() {
        let (cim_type, is_array) = match child.tag() {
            Tag::Qualifier => continue,
            Tag::Parameter => (type_of(child.required(Attr::Type)?)?, false),
            Tag::ParameterArray => (type_of(child.required(Attr::Type)?)?, true),
            Tag::ParameterReference => (CimType::Reference, false),
            Tag::ParameterRefArray => (CimType::Reference, true),
            _ => return Err(element.misplaced(child)),
        };
        if let Some(other) = child.children().find(|c| c.tag() != Tag::Qualifier) {
            return Err(child.misplaced(other));
        }
        let qualifiers = qualifiers(child, scope)?;
        let (embedded, of_class) = embedded_by_qualifier(&qualifiers, cim_type);
        let referred = child.attr(Attr::ReferenceClass).filter(|_| cim_type == CimType::Reference);
        let parameter = Parameter {
            name: Name::new(child.required(Attr::Name)?),
            cim_type,
            is_array,
            array_size: if is_array { array_size(child)? } else { None },
            embedded,
            reference_class: referred.map(Name::new).or(of_class),
            qualifiers,
        };
        scope.add(&mut method.parameters, parameter, "parameters")?;
    }
    Ok(method)
}

/// What the qualifiers EmbeddedInstance and EmbeddedObject say; parameters have no attribute for it. Only strings carry objects.
pub(super) fn embedded_by_qualifier(
    qualifiers: &[Qualifier],
    cim_type: CimType,
) -> (Option<Embedded>, Option<Name>) {
    if cim_type != CimType::String {
        return (None, None);
    }
    match find(qualifiers, "EmbeddedInstance").and_then(|q| q.value.as_ref()?.as_str()) {
        Some(class) => (Some(Embedded::Instance), Some(Name::new(class))),
        None => (is_true(qualifiers, "EmbeddedObject").then_some(Embedded::Object), None),
    }
}

/// The qualifiers among the children of an element.
pub(super) fn qualifiers(element: Element<'_>, scope: Scope<'_>) -> Result<Vec<Qualifier>, Refusal> {
    let mut qualifiers = Vec::new();
    for c in element.children().filter(|c| c.tag() == Tag::Qualifier) {
        let stated = Stated { cim_type: Some(type_of(c.required(Attr::Type)?)?), embedded: None };
        let held = c.at_most_one()?;
        let qualifier = Qualifier {
            name: Name::new(c.required(Attr::Name)?),
            cim_type: stated.cim_type.unwrap_or(CimType::String),
            is_array: held.is_some_and(is_list),
            value: match held {
                None => None,
                Some(h) => value(h, stated, scope)?.ok_or_else(|| c.misplaced(h))?,
            },
            flavor: flavor(c)?,
            propagated: c.flag(Attr::Propagated, false)?,
        };
        scope.add(&mut qualifiers, qualifier, "qualifiers")?;
    }
    Ok(qualifiers)
}

fn is_list(element: Element<'_>) -> bool {
    matches!(element.tag(), Tag::ValueArray | Tag::ValueRefArray)
}

fn flavor(element: Element<'_>) -> Result<Flavor, Refusal> {
    let default = Flavor::default();
    Ok(Flavor {
        overridable: element.flag(Attr::Overridable, default.overridable)?,
        to_subclass: element.flag(Attr::ToSubclass, default.to_subclass)?,
        to_instance: element.flag(Attr::ToInstance, default.to_instance)?,
        translatable: element.flag(Attr::Translatable, default.translatable)?,
    })
}

/// The attributes of SCOPE and what each stands for.
pub(super) const SCOPES: [(Attr, QualifierScope); 7] = [
    (Attr::ScopeClass, QualifierScope::Class),
    (Attr::ScopeAssociation, QualifierScope::Association),
    (Attr::ScopeReference, QualifierScope::Reference),
    (Attr::ScopeProperty, QualifierScope::Property),
    (Attr::ScopeMethod, QualifierScope::Method),
    (Attr::ScopeParameter, QualifierScope::Parameter),
    (Attr::ScopeIndication, QualifierScope::Indication),
];

/// The declaration in QUALIFIER.DECLARATION.
pub(super) fn qualifier_declaration(
    element: Element<'_>,
    scope: Scope<'_>,
) -> Result<QualifierDeclaration, Refusal> {
    let cim_type = type_of(element.expect(Tag::QualifierDeclaration)?.required(Attr::Type)?)?;
    let mut declaration = QualifierDeclaration {
        name: Name::new(element.required(Attr::Name)?),
        cim_type,
        is_array: element.flag(Attr::IsArray, false)?,
        array_size: array_size(element)?,
        value: None,
        scopes: Scopes::default(),
        flavor: flavor(element)?,
    };
    for child in element.children() {
        if child.tag() == Tag::Scope {
            for (attr, scope) in SCOPES {
                if child.flag(attr, false)? {
                    declaration.scopes = declaration.scopes.with(scope);
                }
            }
        } else {
            let stated = Stated { cim_type: Some(cim_type), embedded: None };
            declaration.value = value(child, stated, scope)?.ok_or_else(|| element.misplaced(child))?;
            declaration.is_array |= is_list(child);
        }
    }
    Ok(declaration)
}
