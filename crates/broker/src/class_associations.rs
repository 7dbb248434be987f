//! The association operations on a class: which associations the schema allows, and what they could lead to.

use crate::associations::Wanted;
use crate::classes;
use crate::registry::Namespace;
use cimwright_cim::operation::{AssociationFilter, ClassOptions, InstanceOptions};
use cimwright_cim::{CimError, Class, ClassName, ClassPath, Property};

/// The association classes that have an end for instances of `source`, or the classes at their other ends.
pub(crate) fn find(
    namespace: &Namespace,
    source: &ClassName,
    filter: &AssociationFilter,
    wanted: Wanted,
    options: &InstanceOptions,
) -> Result<Vec<(ClassPath, Class)>, CimError> {
    namespace.class(source)?;
    let schema = &namespace.schema;
    let is_a = |class: &ClassName, wanted: Option<&ClassName>| {
        wanted.is_none_or(|w| schema.is_a(class.as_str(), w.as_str()))
    };
    let admits = |end: &Property, class: &ClassName| {
        end.reference_class.as_ref().is_some_and(|e| schema.is_a(class.as_str(), e.as_str()))
    };
    let mut found: Vec<ClassName> = Vec::new();
    let mut add = |class: &ClassName| {
        if !found.contains(class) {
            found.push(class.clone());
        }
    };
    let associations = schema.class_names().iter().filter_map(|n| schema.class(n.as_str()));
    for association in associations.filter(|c| c.is_association()) {
        let of_class = match wanted {
            Wanted::References => filter.result_class.as_ref(),
            Wanted::Associators => filter.assoc_class.as_ref(),
        };
        if !is_a(&association.name, of_class) {
            continue;
        }
        let ends = || association.properties.iter().filter(|p| p.is_reference());
        let near = ends().filter(|p| admits(p, source) && filter.role.as_ref().is_none_or(|r| p.name == *r));
        for near in near {
            if wanted == Wanted::References {
                add(&association.name);
                continue;
            }
            let far = ends()
                .filter(|p| p.name != near.name && filter.result_role.as_ref().is_none_or(|r| p.name == *r));
            for class in far.filter_map(|p| p.reference_class.as_ref()) {
                if schema.contains(class.as_str()) && is_a(class, filter.result_class.as_ref()) {
                    add(class);
                }
            }
        }
    }
    let options = ClassOptions {
        local_only: false,
        include_qualifiers: false,
        include_class_origin: options.include_class_origin,
        property_list: options.property_list.clone(),
    };
    let shown = found.iter().filter_map(|name| {
        let class = schema.class(name.as_str())?;
        let path = ClassPath::new(namespace.name.clone(), class.name.clone());
        Some((path, classes::shown(class, &options)))
    });
    Ok(shown.collect())
}
