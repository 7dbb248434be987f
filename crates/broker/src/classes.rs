//! GetClass, EnumerateClasses, EnumerateClassNames, GetQualifier and EnumerateQualifiers.

use cimwright_cim::operation::{ClassOptions, OperationResult};
use cimwright_cim::{CimError, Class, ClassName, Name, Qualifier, Schema};

/// GetClass.
pub(crate) fn get(
    schema: &Schema,
    name: &ClassName,
    options: &ClassOptions,
) -> Result<OperationResult, CimError> {
    let class = schema
        .class(name.as_str())
        // Unlike all other operations: here the class itself is what is asked for.
        .ok_or_else(|| CimError::not_found(format!("there is no class {name}")))?;
    Ok(OperationResult::Class(Box::new(shown(class, options))))
}

/// EnumerateClasses.
pub(crate) fn enumerate(
    schema: &Schema,
    of: Option<&ClassName>,
    deep: bool,
    options: &ClassOptions,
) -> Result<OperationResult, CimError> {
    let names = below(schema, of, deep)?;
    let classes = names.iter().filter_map(|n| schema.class(n.as_str())).map(|c| shown(c, options)).collect();
    Ok(OperationResult::Classes(classes))
}

/// EnumerateClassNames.
pub(crate) fn enumerate_names(
    schema: &Schema,
    of: Option<&ClassName>,
    deep: bool,
) -> Result<OperationResult, CimError> {
    below(schema, of, deep).map(OperationResult::ClassNames)
}

/// GetQualifier.
pub(crate) fn qualifier(schema: &Schema, name: &Name) -> Result<OperationResult, CimError> {
    schema
        .qualifier(name.as_str())
        .map(|q| OperationResult::Qualifier(Box::new(q.clone())))
        .ok_or_else(|| CimError::not_found(format!("there is no qualifier {name}")))
}

/// A resolved class as the options want it shown.
pub(crate) fn shown(class: &Class, options: &ClassOptions) -> Class {
    let mut class = class.clone();
    if options.local_only {
        class.properties.retain(|p| !p.propagated);
        class.methods.retain(|m| !m.propagated);
        each_qualifier_list(&mut class, |list| list.retain(|q| !q.propagated));
    }
    if !options.include_qualifiers {
        each_qualifier_list(&mut class, Vec::clear);
    }
    if !options.include_class_origin {
        class.properties.iter_mut().for_each(|p| p.class_origin = None);
        class.methods.iter_mut().for_each(|m| m.class_origin = None);
    }
    if let Some(list) = &options.property_list {
        class.properties.retain(|p| list.contains(&p.name));
    }
    class
}

/// The subclasses of a class, or with `None` the classes of the namespace; direct ones or all.
fn below(schema: &Schema, of: Option<&ClassName>, deep: bool) -> Result<Vec<ClassName>, CimError> {
    if let Some(name) = of
        && !schema.contains(name.as_str())
    {
        return Err(CimError::invalid_class(format!("there is no class {name}")));
    }
    let children = schema.children(of.map(Name::as_str));
    if !deep {
        return Ok(children);
    }
    Ok(children.iter().flat_map(|c| schema.with_descendants(c.as_str())).collect())
}

fn each_qualifier_list(class: &mut Class, change: impl Fn(&mut Vec<Qualifier>)) {
    change(&mut class.qualifiers);
    class.properties.iter_mut().for_each(|p| change(&mut p.qualifiers));
    for method in &mut class.methods {
        change(&mut method.qualifiers);
        method.parameters.iter_mut().for_each(|p| change(&mut p.qualifiers));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{CimStatus, CimType, Method, Property};

    fn schema() -> Schema {
        let mut schema = Schema::new();
        let mut base = Class::new("Base");
        let mut key = Property::new("Id", CimType::String, None);
        key.qualifiers.push(Qualifier::flag("Key"));
        base.properties.push(key);
        base.methods.push(Method {
            name: "Stop".into(),
            return_type: Some(CimType::Uint32),
            parameters: Vec::new(),
            class_origin: None,
            propagated: false,
            qualifiers: vec![Qualifier::flag("Static")],
        });
        schema.add_class(base).unwrap();
        let mut sub = Class { superclass: Some("Base".into()), ..Class::new("Sub") };
        sub.properties.push(Property::new("Extra", CimType::Uint8, None));
        schema.add_class(sub).unwrap();
        schema.add_class(Class { superclass: Some("Sub".into()), ..Class::new("SubSub") }).unwrap();
        schema
    }

    fn options(local_only: bool, include_qualifiers: bool, include_class_origin: bool) -> ClassOptions {
        ClassOptions { local_only, include_qualifiers, include_class_origin, property_list: None }
    }

    #[test]
    fn local_only_shows_what_the_class_itself_says() {
        let schema = schema();
        let sub = shown(schema.class("sub").unwrap(), &options(true, true, true));
        assert_eq!(sub.properties.len(), 1);
        assert!(sub.properties[0].name.is("Extra"));
        assert!(sub.methods.is_empty());
        let whole = shown(schema.class("sub").unwrap(), &options(false, true, true));
        assert_eq!(whole.properties.len(), 2);
        assert!(whole.properties[0].propagated);
        assert!(whole.properties[0].is_key());
        assert_eq!(whole.properties[0].class_origin, Some("Base".into()));
        assert!(whole.methods[0].is_static());
    }

    #[test]
    fn qualifiers_and_origins_can_be_left_out() {
        let schema = schema();
        let plain = shown(schema.class("Sub").unwrap(), &options(false, false, false));
        assert!(plain.properties.iter().all(|p| p.qualifiers.is_empty() && p.class_origin.is_none()));
        assert!(plain.methods.iter().all(|m| m.qualifiers.is_empty() && m.class_origin.is_none()));
        let list = ClassOptions { property_list: Some(vec!["EXTRA".into()]), ..options(false, true, true) };
        assert_eq!(shown(schema.class("Sub").unwrap(), &list).properties.len(), 1);
    }

    #[test]
    fn an_unknown_class_is_not_found_or_invalid() {
        let schema = schema();
        let error = get(&schema, &"Nope".into(), &options(true, true, false)).unwrap_err();
        assert_eq!(error.status, CimStatus::NotFound);
        let error = enumerate_names(&schema, Some(&"Nope".into()), true).unwrap_err();
        assert_eq!(error.status, CimStatus::InvalidClass);
        let error = qualifier(&schema, &"Nope".into()).unwrap_err();
        assert_eq!(error.status, CimStatus::NotFound);
    }

    #[test]
    fn deep_goes_all_the_way_down() {
        let schema = schema();
        let names = |of: Option<&str>, deep| below(&schema, of.map(Name::new).as_ref(), deep).unwrap();
        assert_eq!(names(None, false), [Name::new("Base")]);
        assert_eq!(names(None, true).len(), 3);
        assert_eq!(names(Some("Base"), false), [Name::new("Sub")]);
        assert_eq!(names(Some("Base"), true), [Name::new("Sub"), Name::new("SubSub")]);
        assert!(names(Some("SubSub"), true).is_empty());
    }
}
