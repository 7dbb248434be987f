//! Whether a class or a qualifier declaration may be what a client wants it to be.

use cimwright_cim::{
    CimError, CimStatus, Class, ClassName, Method, Name, Property, Qualifier, QualifierDeclaration,
    QualifierScope, Schema, SchemaError,
};

/// Where qualifier declarations are looked for: in the namespace, then among those that every server knows.
#[derive(Clone, Copy)]
pub struct Declarations<'a> {
    /// The classes and qualifiers of the namespace.
    pub schema: &'a Schema,
    /// The qualifiers of DSP0004, for a namespace that declares none.
    pub common: &'a Schema,
}

impl<'a> Declarations<'a> {
    fn find(&self, name: &Name) -> Option<&'a QualifierDeclaration> {
        self.schema.qualifier(name.as_str()).or_else(|| self.common.qualifier(name.as_str()))
    }
}

/// The schema with a new class (DSP0200 5.3.2.6), and the class as it is declared.
///
/// # Errors
/// CIM_ERR_ALREADY_EXISTS, CIM_ERR_INVALID_SUPERCLASS, or CIM_ERR_INVALID_PARAMETER for a class that cannot be.
pub fn create_class(known: Declarations<'_>, class: Class) -> Result<(Schema, Class), CimError> {
    if known.schema.contains(class.name.as_str()) {
        return Err(CimError::already_exists(format!("the class {} exists already", class.name)));
    }
    let class = declared(known, class)?;
    let mut schema = known.schema.clone();
    schema.add_class(class.clone()).map_err(|error| refused(&error))?;
    Ok((schema, class))
}

/// The schema with another declaration of a class (DSP0200 5.3.2.8), and the class as it is declared. `instances` says whether a
/// class has instances of its own.
///
/// # Errors
/// CIM_ERR_NOT_FOUND; CIM_ERR_INVALID_SUPERCLASS for another superclass than it has; CIM_ERR_CLASS_HAS_CHILDREN when a subclass
/// could not be what it is any more; CIM_ERR_CLASS_HAS_INSTANCES when an instance could not; else CIM_ERR_INVALID_PARAMETER.
pub fn modify_class(
    known: Declarations<'_>,
    class: Class,
    instances: impl Fn(&ClassName) -> bool,
) -> Result<(Schema, Class), CimError> {
    let name = class.name.clone();
    let Some(old) = known.schema.declared(name.as_str()) else {
        return Err(CimError::not_found(format!("there is no class {name}")));
    };
    if old.superclass != class.superclass {
        let is = old.superclass.as_ref().map_or("none", Name::as_str);
        let text = format!("the superclass of {name} is {is} and cannot be changed");
        return Err(CimError::new(CimStatus::InvalidSuperclass, text));
    }
    let class = Class { name: old.name.clone(), ..declared(known, class)? };
    let mut schema = known.schema.clone();
    schema.replace_class(class.clone()).map_err(|error| match &error {
        SchemaError::OverrideType { class: of, .. } if *of != name => CimError::new(
            CimStatus::ClassHasChildren,
            format!("{name} cannot become so because of a subclass: {error}"),
        ),
        _ => refused(&error),
    })?;
    let below = schema.with_descendants(name.as_str());
    for below in below.iter().filter(|below| **below != name) {
        // A subclass that could not be declared before either is not the fault of this change.
        if let Some(error) = mistake_in(Declarations { schema: &schema, ..known }, below)
            && mistake_in(known, below).is_none()
        {
            let text = format!("{name} cannot become so because of a subclass: {}", error.description);
            return Err(CimError::new(CimStatus::ClassHasChildren, text));
        }
    }
    for below in below {
        if instances(&below) && !same_instances(known.schema, &schema, &below) {
            let text = format!(
                "{name} cannot get other properties, nor become another kind of class, while there are instances of {below}"
            );
            return Err(CimError::new(CimStatus::ClassHasInstances, text));
        }
    }
    Ok((schema, class))
}

/// The schema without a class (DSP0200 5.3.2.4).
///
/// # Errors
/// CIM_ERR_NOT_FOUND, CIM_ERR_CLASS_HAS_CHILDREN, CIM_ERR_CLASS_HAS_INSTANCES.
pub fn delete_class(schema: &Schema, name: &ClassName, has_instances: bool) -> Result<Schema, CimError> {
    if !schema.contains(name.as_str()) {
        return Err(CimError::not_found(format!("there is no class {name}")));
    }
    if let Some(child) = schema.children(Some(name.as_str())).first() {
        let text = format!("{name} has subclasses, such as {child}");
        return Err(CimError::new(CimStatus::ClassHasChildren, text));
    }
    if has_instances {
        return Err(CimError::new(CimStatus::ClassHasInstances, format!("there are instances of {name}")));
    }
    let mut schema = schema.clone();
    schema.remove_class(name.as_str());
    Ok(schema)
}

/// The schema with a qualifier declaration, made or replaced (DSP0200 5.3.2.22).
///
/// # Errors
/// CIM_ERR_INVALID_PARAMETER for a default of another type, and for another type than the one that classes use it with, whether
/// the namespace declares it or has it from the common ones.
pub fn set_qualifier(
    known: Declarations<'_>,
    declaration: &QualifierDeclaration,
) -> Result<Schema, CimError> {
    let schema = known.schema;
    let name = &declaration.name;
    if let Some(value) = &declaration.value
        && value.cim_type().is_some_and(|t| t != declaration.cim_type)
    {
        let text = format!("the default of the qualifier {name} is of another type than the qualifier");
        return Err(CimError::invalid_parameter(text));
    }
    let other_shape = known
        .find(name)
        .is_some_and(|old| old.cim_type != declaration.cim_type || old.is_array != declaration.is_array);
    if other_shape && let Some(user) = user_of(schema, name) {
        let text = format!("the qualifier {name} cannot get another type while {user} uses it");
        return Err(CimError::invalid_parameter(text));
    }
    let mut schema = schema.clone();
    schema.set_qualifier(declaration.clone());
    Ok(schema)
}

/// The schema without a qualifier declaration (DSP0200 5.3.2.23).
///
/// # Errors
/// CIM_ERR_NOT_FOUND; CIM_ERR_FAILED while a class uses it.
pub fn delete_qualifier(schema: &Schema, name: &Name) -> Result<Schema, CimError> {
    if schema.qualifier(name.as_str()).is_none() {
        return Err(CimError::not_found(format!("there is no qualifier {name}")));
    }
    if let Some(user) = user_of(schema, name) {
        return Err(CimError::failed(format!("the qualifier {name} is used by the class {user}")));
    }
    let mut schema = schema.clone();
    schema.remove_qualifier(name.as_str());
    Ok(schema)
}

/// The class without what it only repeats of its superclass, and with the flavors that the declarations say.
fn declared(known: Declarations<'_>, mut class: Class) -> Result<Class, CimError> {
    let parent = match &class.superclass {
        None => None,
        Some(superclass) => Some(known.schema.class(superclass.as_str()).ok_or_else(|| {
            let text = format!("the superclass {superclass} of {} does not exist", class.name);
            CimError::new(CimStatus::InvalidSuperclass, text)
        })?),
    };
    if let Some(parent) = parent {
        class.superclass = Some(parent.name.clone());
        class.properties.retain(|p| !(p.propagated && parent.property(p.name.as_str()).is_some()));
        class.methods.retain(|m| !(m.propagated && parent.method(m.name.as_str()).is_some()));
    }
    let inherited = |name: &Name| parent.and_then(|p| p.property(name.as_str()));
    let kind = kind_of(&class, parent.map(|p| &**p));
    let above = parent.map_or(&[][..], |p| &p.qualifiers);
    let place = class.name.to_string();
    qualifiers(known, &mut class.qualifiers, above, &kind, &place)?;
    for property in &mut class.properties {
        let inherited = inherited(&property.name);
        let above = inherited.map_or(&[][..], |p| &p.qualifiers);
        let place = format!("{place}.{}", property.name);
        let scope = scope_of(property);
        qualifiers(known, &mut property.qualifiers, above, &[scope], &place)?;
        key_of_a_path(property, inherited, &place)?;
        plain_property(property);
    }
    for method in &mut class.methods {
        let above = parent.and_then(|p| p.method(method.name.as_str()));
        let place = format!("{place}.{}()", method.name);
        plain_method(known, method, above, &place)?;
    }
    Ok(class)
}

/// What is wrong with a class that is there, as it is declared.
fn mistake_in(known: Declarations<'_>, class: &ClassName) -> Option<CimError> {
    declared(known, Class::clone(known.schema.declared(class.as_str())?)).err()
}

/// A path holds one plain value for each key: neither an array nor an object has a text that would tell two instances apart
/// (DSP0004 8.2.5).
fn key_of_a_path(property: &Property, inherited: Option<&Property>, place: &str) -> Result<(), CimError> {
    let is_key = property.is_key() || inherited.is_some_and(Property::is_key);
    let what = if property.is_array {
        "an array"
    } else if property.embedded.or(inherited.and_then(|p| p.embedded)).is_some() {
        "an embedded object"
    } else {
        return Ok(());
    };
    if is_key {
        return Err(CimError::invalid_parameter(format!("{place} is {what} and cannot be a key")));
    }
    Ok(())
}

fn plain_property(property: &mut Property) {
    property.class_origin = None;
    property.propagated = false;
}

fn plain_method(
    known: Declarations<'_>,
    method: &mut Method,
    above: Option<&Method>,
    place: &str,
) -> Result<(), CimError> {
    method.class_origin = None;
    method.propagated = false;
    let inherited = above.map_or(&[][..], |m| &m.qualifiers);
    qualifiers(known, &mut method.qualifiers, inherited, &[QualifierScope::Method], place)?;
    for parameter in &mut method.parameters {
        let inherited =
            above.and_then(|m| m.parameter(parameter.name.as_str())).map_or(&[][..], |p| &p.qualifiers);
        let place = format!("{place}, parameter {}", parameter.name);
        qualifiers(known, &mut parameter.qualifiers, inherited, &[QualifierScope::Parameter], &place)?;
    }
    Ok(())
}

/// Checks the qualifiers of one element against their declarations and against what the element inherits (DSP0004 5.6.3).
fn qualifiers(
    known: Declarations<'_>,
    own: &mut Vec<Qualifier>,
    inherited: &[Qualifier],
    kinds: &[QualifierScope],
    place: &str,
) -> Result<(), CimError> {
    let wrong = |name: &Name, what: &str| {
        Err(CimError::invalid_parameter(format!("{place}: the qualifier {name} {what}")))
    };
    own.retain(|q| !(q.propagated && inherited.iter().any(|i| i.name == q.name)));
    for at in 0..own.len() {
        let (before, rest) = own.split_at_mut(at);
        let Some(qualifier) = rest.first_mut() else { break };
        let name = qualifier.name.clone();
        if before.iter().any(|q| q.name == name) {
            return wrong(&name, "stands there twice");
        }
        let Some(declaration) = known.find(&name) else {
            return wrong(&name, "is not declared in this namespace; SetQualifier declares it");
        };
        let null_or = |same: bool| qualifier.value.is_none() || same;
        if qualifier.cim_type != declaration.cim_type || !null_or(qualifier.is_array == declaration.is_array)
        {
            let array = if declaration.is_array { " array" } else { "" };
            return wrong(&name, &format!("is declared as a {}{array}", declaration.cim_type));
        }
        if !kinds.iter().any(|k| declaration.scopes.contains(*k)) {
            return wrong(&name, "may not stand there; its declaration has another scope");
        }
        let fixed =
            inherited.iter().find(|q| q.name == name && q.flavor.to_subclass && !q.flavor.overridable);
        if let Some(fixed) = fixed
            && fixed.value != qualifier.value
        {
            return wrong(&name, "has another value in the superclass and is declared with DisableOverride");
        }
        qualifier.is_array = declaration.is_array;
        qualifier.propagated = false;
        // A message that leaves a flavor out says the default, not that it is so: only what takes something away is a wish.
        qualifier.flavor.overridable &= declaration.flavor.overridable;
        qualifier.flavor.to_subclass &= declaration.flavor.to_subclass;
        qualifier.flavor.to_instance |= declaration.flavor.to_instance;
        qualifier.flavor.translatable |= declaration.flavor.translatable;
    }
    Ok(())
}

/// What a class is, as the scopes of its qualifiers count it.
fn kind_of(class: &Class, parent: Option<&Class>) -> Vec<QualifierScope> {
    let mut kinds = vec![QualifierScope::Class];
    if class.is_association() || parent.is_some_and(Class::is_association) {
        kinds.push(QualifierScope::Association);
    }
    if class.is_indication() || parent.is_some_and(Class::is_indication) {
        kinds.push(QualifierScope::Indication);
    }
    kinds
}

fn scope_of(property: &Property) -> QualifierScope {
    if property.is_reference() { QualifierScope::Reference } else { QualifierScope::Property }
}

/// A class that uses a qualifier.
fn user_of<'a>(schema: &'a Schema, name: &Name) -> Option<&'a ClassName> {
    let has = |list: &[Qualifier]| list.iter().any(|q| q.name == *name);
    schema.class_names().iter().find(|class| {
        schema.declared(class.as_str()).is_some_and(|class| {
            has(&class.qualifiers)
                || class.properties.iter().any(|p| has(&p.qualifiers))
                || class
                    .methods
                    .iter()
                    .any(|m| has(&m.qualifiers) || m.parameters.iter().any(|p| has(&p.qualifiers)))
        })
    })
}

/// Whether an instance of the class is one in both schemas.
fn same_instances(before: &Schema, after: &Schema, class: &ClassName) -> bool {
    let (Some(before), Some(after)) = (before.class(class.as_str()), after.class(class.as_str())) else {
        return false;
    };
    let kind = |class: &Class| (class.is_association(), class.is_abstract(), class.is_indication());
    kind(before) == kind(after)
        && before.properties.len() == after.properties.len()
        && before.properties.iter().all(|old| {
            after.property(old.name.as_str()).is_some_and(|new| {
                (new.cim_type, new.is_array, new.embedded, new.is_key())
                    == (old.cim_type, old.is_array, old.embedded, old.is_key())
            })
        })
}

fn refused(error: &SchemaError) -> CimError {
    let status = match error {
        SchemaError::ClassExists(_) => CimStatus::AlreadyExists,
        SchemaError::NoSuperclass { .. } => CimStatus::InvalidSuperclass,
        SchemaError::Duplicate { .. } | SchemaError::OverrideType { .. } => CimStatus::InvalidParameter,
    };
    CimError::new(status, error.to_string())
}

#[cfg(test)]
mod tests;
