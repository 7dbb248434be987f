//! The classes and qualifier declarations of one namespace, with inheritance resolved (DSP0004 5.1.2.8, 5.6.3).

use crate::class::{Class, Flavor, Method, Property, Qualifier, QualifierDeclaration};
use crate::name::{ClassName, Folded, Name, NameKey};
use crate::query::Hierarchy;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::{Arc, OnceLock};

/// The schema of a namespace. Classes are added superclass first. What is handed out is shared and stays
/// as it is; a change makes new classes.
///
/// What a class inherits is checked when it is added and copied into it when somebody first asks for it: most classes of a large
/// schema are never asked for.
#[derive(Clone, Debug, Default)]
pub struct Schema {
    qualifiers: BTreeMap<Name, QualifierDeclaration>,
    classes: HashMap<Name, Entry>,
    /// Names in the order they were added.
    order: Vec<Name>,
}

#[derive(Clone, Debug)]
struct Entry {
    declared: Arc<Class>,
    /// Made by the first one who asks.
    resolved: OnceLock<Arc<Class>>,
    children: Vec<Name>,
}

/// Why a class cannot be added.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SchemaError {
    /// A class of this name exists.
    ClassExists(ClassName),
    /// The superclass does not exist.
    NoSuperclass {
        /// The class to be added.
        class: ClassName,
        /// The superclass it names.
        superclass: ClassName,
    },
    /// A feature is declared twice in one class.
    Duplicate {
        /// The class.
        class: ClassName,
        /// The property or method.
        feature: Name,
    },
    /// An override changes the type of the overridden property.
    OverrideType {
        /// The class.
        class: ClassName,
        /// The property.
        feature: Name,
    },
}

impl fmt::Display for SchemaError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::ClassExists(class) => write!(f, "class {class} exists already"),
            Self::NoSuperclass { class, superclass } => {
                write!(f, "class {class} names the superclass {superclass}, which does not exist")
            }
            Self::Duplicate { class, feature } => write!(f, "{class} declares {feature} twice"),
            Self::OverrideType { class, feature } => {
                write!(f, "{class}.{feature} overrides a property of another type")
            }
        }
    }
}

impl std::error::Error for SchemaError {}

impl Schema {
    /// A schema with nothing in it.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds or replaces a qualifier declaration.
    pub fn set_qualifier(&mut self, declaration: QualifierDeclaration) {
        self.qualifiers.insert(declaration.name.clone(), declaration);
    }

    /// Removes a qualifier declaration; FALSE if there is none.
    pub fn remove_qualifier(&mut self, name: &str) -> bool {
        self.qualifiers.remove(&Folded(name) as &dyn NameKey).is_some()
    }

    /// The declaration of a qualifier.
    pub fn qualifier(&self, name: &str) -> Option<&QualifierDeclaration> {
        self.qualifiers.get(&Folded(name) as &dyn NameKey)
    }

    /// All qualifier declarations, by name.
    pub fn qualifiers(&self) -> impl Iterator<Item = &QualifierDeclaration> {
        self.qualifiers.values()
    }

    /// Adds a class.
    ///
    /// # Errors
    /// See [`SchemaError`].
    pub fn add_class(&mut self, class: Class) -> Result<(), SchemaError> {
        if self.contains(class.name.as_str()) {
            return Err(SchemaError::ClassExists(class.name));
        }
        if let Some(superclass) = class.superclass.as_ref().filter(|s| !self.contains(s.as_str())) {
            return Err(SchemaError::NoSuperclass { superclass: superclass.clone(), class: class.name });
        }
        check(&class, self.above(&class))?;
        if let Some(parent) = class.superclass.as_ref().and_then(|s| self.classes.get_mut(s)) {
            parent.children.push(class.name.clone());
        }
        self.order.push(class.name.clone());
        let name = class.name.clone();
        let entry = Entry { declared: Arc::new(class), resolved: OnceLock::new(), children: Vec::new() };
        self.classes.insert(name, entry);
        Ok(())
    }

    /// Replaces the declaration of a class, for itself and for everything below it. On an error nothing has changed.
    ///
    /// # Errors
    /// See [`SchemaError`]; [`SchemaError::NoSuperclass`] also when the class does not exist or would get another superclass.
    pub fn replace_class(&mut self, class: Class) -> Result<(), SchemaError> {
        let same_place =
            self.declared(class.name.as_str()).is_some_and(|old| old.superclass == class.superclass);
        if !same_place {
            return Err(SchemaError::NoSuperclass {
                superclass: class.superclass.clone().unwrap_or_else(|| class.name.clone()),
                class: class.name,
            });
        }
        let class = Arc::new(class);
        let name = class.name.clone();
        let below = self.with_descendants(name.as_str());
        check(&class, self.above(&class))?;
        for child in below.iter().skip(1) {
            let declared = &self.classes[child].declared;
            // The ancestors as they would be.
            check(declared, self.above(declared).map(|c| if c.name == name { &class } else { c }))?;
        }
        if let Some(entry) = self.classes.get_mut(&name) {
            entry.declared = class;
        }
        for name in &below {
            if let Some(entry) = self.classes.get_mut(name) {
                entry.resolved = OnceLock::new();
            }
        }
        Ok(())
    }

    /// Removes a class that has no subclasses; FALSE if it has some or does not exist.
    pub fn remove_class(&mut self, name: &str) -> bool {
        let Some(entry) = self.classes.get(&Folded(name) as &dyn NameKey) else { return false };
        if !entry.children.is_empty() {
            return false;
        }
        let superclass = entry.declared.superclass.clone();
        if let Some(parent) = superclass.and_then(|s| self.classes.get_mut(&s)) {
            parent.children.retain(|c| !c.is(name));
        }
        self.classes.remove(&Folded(name) as &dyn NameKey);
        self.order.retain(|n| !n.is(name));
        true
    }

    /// Whether the class exists.
    pub fn contains(&self, name: &str) -> bool {
        self.classes.contains_key(&Folded(name) as &dyn NameKey)
    }

    /// The class with everything it inherits.
    pub fn class(&self, name: &str) -> Option<&Arc<Class>> {
        let entry = self.classes.get(&Folded(name) as &dyn NameKey)?;
        if let Some(resolved) = entry.resolved.get() {
            return Some(resolved);
        }
        // From the top down, so that every step finds its superclass ready, however long the line is.
        let line: Vec<&Entry> = self.line(name).collect();
        let mut parent: Option<&Arc<Class>> = None;
        for entry in line.into_iter().rev() {
            let above = parent;
            parent =
                Some(entry.resolved.get_or_init(|| Arc::new(resolve(&entry.declared, above.map(|p| &**p)))));
        }
        parent
    }

    /// The class as it was declared.
    pub fn declared(&self, name: &str) -> Option<&Arc<Class>> {
        self.classes.get(&Folded(name) as &dyn NameKey).map(|e| &e.declared)
    }

    /// The class as it was declared, then its superclass, and so on up to the root. Nothing if it does not exist.
    pub fn ancestry(&self, name: &str) -> impl Iterator<Item = &Arc<Class>> {
        self.line(name).map(|e| &e.declared)
    }

    /// All class names, in the order the classes were added.
    pub fn class_names(&self) -> &[ClassName] {
        &self.order
    }

    /// The direct subclasses of a class, or with `None` the classes without superclass.
    pub fn children(&self, of: Option<&str>) -> Vec<ClassName> {
        match of {
            Some(name) => self
                .classes
                .get(&Folded(name) as &dyn NameKey)
                .map(|e| e.children.clone())
                .unwrap_or_default(),
            None => self
                .order
                .iter()
                .filter(|n| self.classes[*n].declared.superclass.is_none())
                .cloned()
                .collect(),
        }
    }

    /// The class and all its subclasses, the class first.
    pub fn with_descendants(&self, name: &str) -> Vec<ClassName> {
        let Some(entry) = self.classes.get(&Folded(name) as &dyn NameKey) else { return Vec::new() };
        let mut found = vec![entry.declared.name.clone()];
        let mut at = 0;
        while at < found.len() {
            let children = self.classes[&found[at]].children.clone();
            found.extend(children);
            at += 1;
        }
        found
    }

    /// Whether `class` is `ancestor` or derived from it.
    pub fn is_a(&self, class: &str, ancestor: &str) -> bool {
        self.ancestry(class).any(|c| c.name.is(ancestor))
    }

    /// The entries of a class and of its ancestors, the class first.
    fn line(&self, name: &str) -> impl Iterator<Item = &Entry> {
        let superclass = |entry: &&Entry| self.classes.get(entry.declared.superclass.as_ref()?);
        std::iter::successors(self.classes.get(&Folded(name) as &dyn NameKey), superclass)
    }

    /// The ancestors of a class that need not be there itself, the superclass first.
    fn above(&self, class: &Class) -> impl Iterator<Item = &Arc<Class>> {
        class.superclass.iter().flat_map(|s| self.ancestry(s.as_str()))
    }
}

impl Hierarchy for Schema {
    fn is_a(&self, class: &ClassName, ancestor: &ClassName) -> bool {
        Schema::is_a(self, class.as_str(), ancestor.as_str())
    }
}

/// Whether the class can stand below these ancestors, which come nearest first.
fn check<'s>(class: &Class, ancestors: impl Iterator<Item = &'s Arc<Class>>) -> Result<(), SchemaError> {
    let wrong = |feature: &Name, error: fn(ClassName, Name) -> SchemaError| {
        Err(error(class.name.clone(), feature.clone()))
    };
    let twice = |class, feature| SchemaError::Duplicate { class, feature };
    for (at, property) in class.properties.iter().enumerate() {
        if class.properties[..at].iter().any(|p| p.name == property.name) {
            return wrong(&property.name, twice);
        }
    }
    for (at, method) in class.methods.iter().enumerate() {
        if class.methods[..at].iter().any(|m| m.name == method.name) {
            return wrong(&method.name, twice);
        }
    }
    if class.properties.is_empty() {
        return Ok(());
    }
    for ancestor in ancestors {
        for property in &class.properties {
            if let Some(old) = ancestor.property(property.name.as_str())
                && (old.cim_type != property.cim_type || old.is_array != property.is_array)
            {
                return wrong(&property.name, |class, feature| SchemaError::OverrideType { class, feature });
            }
        }
    }
    Ok(())
}

/// The class with what it inherits. It has been checked.
fn resolve(class: &Class, parent: Option<&Class>) -> Class {
    let mut resolved = Class {
        name: class.name.clone(),
        superclass: parent.map(|p| p.name.clone()).or_else(|| class.superclass.clone()),
        qualifiers: merge_qualifiers(&class.qualifiers, parent.map_or(&[], |p| &p.qualifiers)),
        properties: parent.map(|p| p.properties.iter().map(inherited_property).collect()).unwrap_or_default(),
        methods: parent.map(|p| p.methods.iter().map(inherited_method).collect()).unwrap_or_default(),
    };
    for property in &class.properties {
        let mut property = property.clone();
        property.class_origin = Some(class.name.clone());
        match resolved.properties.iter_mut().find(|p| p.name == property.name) {
            Some(old) => {
                property.qualifiers = merge_qualifiers(&property.qualifiers, &old.qualifiers);
                property.embedded = property.embedded.or(old.embedded);
                property.reference_class = property.reference_class.or_else(|| old.reference_class.clone());
                property.value = property.value.or_else(|| old.value.clone());
                *old = property;
            }
            None => resolved.properties.push(property),
        }
    }
    for method in &class.methods {
        let mut method = method.clone();
        method.class_origin = Some(class.name.clone());
        match resolved.methods.iter_mut().find(|m| m.name == method.name) {
            Some(old) => {
                method.qualifiers = merge_qualifiers(&method.qualifiers, &old.qualifiers);
                for parameter in &mut method.parameters {
                    if let Some(before) = old.parameter(parameter.name.as_str()) {
                        parameter.qualifiers = merge_qualifiers(&parameter.qualifiers, &before.qualifiers);
                    }
                }
                *old = method;
            }
            None => resolved.methods.push(method),
        }
    }
    resolved
}

fn inherited_property(property: &Property) -> Property {
    Property { propagated: true, qualifiers: merge_qualifiers(&[], &property.qualifiers), ..property.clone() }
}

fn inherited_method(method: &Method) -> Method {
    Method { propagated: true, qualifiers: merge_qualifiers(&[], &method.qualifiers), ..method.clone() }
}

/// The qualifiers an element has: its own, and those of the overridden one that reach subclasses and are not restated.
fn merge_qualifiers(own: &[Qualifier], inherited: &[Qualifier]) -> Vec<Qualifier> {
    let mut merged = own.to_vec();
    for qualifier in inherited {
        let Flavor { to_subclass, .. } = qualifier.flavor;
        if to_subclass && !merged.iter().any(|q| q.name == qualifier.name) {
            merged.push(Qualifier { propagated: true, ..qualifier.clone() });
        }
    }
    merged
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::value::{CimType, Value};

    fn restricted(name: &str) -> Qualifier {
        Qualifier { flavor: Flavor { to_subclass: false, ..Flavor::default() }, ..Qualifier::flag(name) }
    }

    fn schema() -> Schema {
        let mut schema = Schema::new();
        let mut base = Class::new("CIM_Job");
        base.qualifiers.push(restricted("Abstract"));
        let mut id = Property::new("InstanceID", CimType::String, None);
        id.qualifiers.push(Qualifier::flag("Key"));
        base.properties.push(id);
        base.properties.push(Property::new("JobRunTimes", CimType::Uint32, Some(Value::Uint32(1))));
        schema.add_class(base).unwrap();
        let mut sub = Class::new("Msvm_Job");
        sub.superclass = Some("cim_JOB".into());
        sub.properties.push(Property::new("instanceid", CimType::String, None));
        sub.properties.push(Property::new("JobType", CimType::Uint16, None));
        schema.add_class(sub).unwrap();
        schema
    }

    #[test]
    fn inheritance_keeps_keys_and_drops_restricted_qualifiers() {
        let schema = schema();
        let sub = schema.class("MSVM_JOB").unwrap();
        assert!(!sub.is_abstract());
        assert_eq!(sub.superclass.as_ref().unwrap().as_str(), "CIM_Job");
        assert_eq!(sub.keys().count(), 1);
        let run = sub.property("JobRunTimes").unwrap();
        assert!(run.propagated);
        assert_eq!(run.value, Some(Value::Uint32(1)));
        assert_eq!(run.class_origin, Some("CIM_Job".into()));
        let id = sub.property("InstanceID").unwrap();
        assert!(!id.propagated);
        assert_eq!(id.class_origin, Some("Msvm_Job".into()));
        assert_eq!(sub.properties.len(), 3);
    }

    #[test]
    fn the_tree_can_be_walked() {
        let schema = schema();
        assert_eq!(schema.children(None), [Name::new("CIM_Job")]);
        assert_eq!(schema.children(Some("cim_job")), [Name::new("Msvm_Job")]);
        assert_eq!(schema.with_descendants("CIM_Job").len(), 2);
        assert!(schema.is_a("msvm_job", "CIM_Job"));
        assert!(!schema.is_a("CIM_Job", "Msvm_Job"));
    }

    #[test]
    fn a_replaced_class_reaches_those_below_it() {
        let mut schema = schema();
        let mut base = Class::clone(schema.declared("CIM_Job").unwrap());
        base.properties.push(Property::new("Notify", CimType::String, None));
        schema.replace_class(base.clone()).unwrap();
        assert!(schema.class("Msvm_Job").unwrap().property("Notify").unwrap().propagated);
        // What does not fit below leaves everything as it was.
        base.properties[0].cim_type = CimType::Uint8;
        assert!(matches!(schema.replace_class(base.clone()), Err(SchemaError::OverrideType { .. })));
        assert_eq!(
            schema.class("CIM_Job").unwrap().property("InstanceID").unwrap().cim_type,
            CimType::String
        );
        base.superclass = Some("Msvm_Job".into());
        assert!(matches!(schema.replace_class(base), Err(SchemaError::NoSuperclass { .. })));
    }

    #[test]
    fn a_line_of_any_length_can_be_asked_for() {
        let mut schema = schema();
        let mut last = Name::new("Msvm_Job");
        for n in 0..2_000 {
            let mut class = Class::new(format!("X{n}"));
            class.superclass = Some(last);
            last = class.name.clone();
            schema.add_class(class).unwrap();
        }
        let class = schema.class(last.as_str()).unwrap();
        assert!(class.property("InstanceID").unwrap().propagated);
        assert_eq!(class.property("JobRunTimes").unwrap().class_origin, Some("CIM_Job".into()));
        assert_eq!(schema.ancestry(last.as_str()).count(), 2_002);
        // What was handed out stays as it was; what is asked for later is the new one.
        let before = Arc::clone(class);
        let mut base = Class::clone(schema.declared("CIM_Job").unwrap());
        base.properties[1].value = Some(Value::Uint32(7));
        schema.replace_class(base).unwrap();
        let value = |class: &Class| class.property("JobRunTimes").unwrap().value.clone();
        assert_eq!(value(&before), Some(Value::Uint32(1)));
        assert_eq!(value(schema.class(last.as_str()).unwrap()), Some(Value::Uint32(7)));
    }

    #[test]
    fn only_a_class_without_subclasses_is_removed() {
        let mut schema = schema();
        assert!(!schema.remove_class("cim_job"));
        assert!(schema.remove_class("MSVM_Job"));
        assert!(!schema.remove_class("Msvm_Job"));
        assert!(schema.children(Some("CIM_Job")).is_empty());
        assert!(schema.remove_class("CIM_Job"));
        assert!(schema.class_names().is_empty());
    }

    #[test]
    fn wrong_classes_are_refused() {
        let mut schema = schema();
        assert!(matches!(schema.add_class(Class::new("cim_job")), Err(SchemaError::ClassExists(_))));
        let orphan = Class { superclass: Some("Nope".into()), ..Class::new("X") };
        assert!(matches!(schema.add_class(orphan), Err(SchemaError::NoSuperclass { .. })));
        let mut twice = Class::new("Y");
        twice.properties.push(Property::new("A", CimType::String, None));
        twice.properties.push(Property::new("a", CimType::String, None));
        assert!(matches!(schema.add_class(twice), Err(SchemaError::Duplicate { .. })));
        let mut other = Class { superclass: Some("CIM_Job".into()), ..Class::new("Z") };
        other.properties.push(Property::new("InstanceID", CimType::Uint8, None));
        assert!(matches!(schema.add_class(other), Err(SchemaError::OverrideType { .. })));
    }
}
