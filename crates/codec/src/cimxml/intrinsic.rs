//! Reading intrinsic calls: names, parameters and defaults of DSP0200 5.3 and 5.4.

use super::declaration::{class, qualifier_declaration};
use super::error::Refusal;
use super::object::{instance, instance_with_path};
use super::path::{class_name, instance_name};
use super::value::{Scope, Stated, value};
use super::xml::{Attr, Element, Tag, shorten};
use cimwright_cim::coerce::parse_integer;
use cimwright_cim::operation::{AssociationFilter, ClassOptions, InstanceOptions, OpenOptions, PullKind};
use cimwright_cim::query::Query;
use cimwright_cim::{
    CimError, Class, ClassName, ClassPath, InstancePath, Name, NamespaceName, ObjectPath, Operation, Value,
};

/// The operation that an IMETHODCALL asks for.
pub(super) fn operation(
    name: &str,
    namespace: &NamespaceName,
    call: Element<'_>,
    scope: Scope<'_>,
) -> Result<Operation, Refusal> {
    let Some(canonical) = NAMES.iter().find(|n| n.eq_ignore_ascii_case(name)) else {
        return Ok(Operation::Unsupported { name: name.to_owned() });
    };
    let mut p = Parameters::of(call, namespace, scope)?;
    let operation = match *canonical {
        "GetClass" => Operation::GetClass {
            class: p.required("ClassName", Parameters::class)?,
            options: p.class_options(true)?,
        },
        "EnumerateClasses" => Operation::EnumerateClasses {
            class: p.class("ClassName")?,
            deep: p.flag("DeepInheritance", false)?,
            options: p.class_options(false)?,
        },
        "EnumerateClassNames" => Operation::EnumerateClassNames {
            class: p.class("ClassName")?,
            deep: p.flag("DeepInheritance", false)?,
        },
        "CreateClass" => Operation::CreateClass { class: Box::new(p.declared_class("NewClass")?) },
        "ModifyClass" => Operation::ModifyClass { class: Box::new(p.declared_class("ModifiedClass")?) },
        "DeleteClass" => Operation::DeleteClass { class: p.required("ClassName", Parameters::class)? },
        "GetQualifier" => {
            Operation::GetQualifier { name: p.required("QualifierName", Parameters::string)?.into() }
        }
        "EnumerateQualifiers" => Operation::EnumerateQualifiers,
        "SetQualifier" => {
            let declaration = match p.required("QualifierDeclaration", |p, name| Ok(p.take(name)))? {
                element if element.tag() == Tag::QualifierDeclaration => {
                    qualifier_declaration(element, scope)?
                }
                other => return Err(wrong_kind("QualifierDeclaration", other)),
            };
            Operation::SetQualifier { declaration: Box::new(declaration) }
        }
        "DeleteQualifier" => {
            Operation::DeleteQualifier { name: p.required("QualifierName", Parameters::string)?.into() }
        }
        "GetInstance" => {
            p.deprecated(&["LocalOnly", "IncludeQualifiers"])?;
            Operation::GetInstance {
                path: p.required("InstanceName", Parameters::instance_path)?,
                options: p.instance_options()?,
            }
        }
        "EnumerateInstances" => {
            p.deprecated(&["LocalOnly", "IncludeQualifiers"])?;
            Operation::EnumerateInstances {
                class: p.required("ClassName", Parameters::class)?,
                deep: p.flag("DeepInheritance", true)?,
                options: p.instance_options()?,
            }
        }
        "EnumerateInstanceNames" => {
            Operation::EnumerateInstanceNames { class: p.required("ClassName", Parameters::class)? }
        }
        "CreateInstance" => {
            let instance = match p.required("NewInstance", |p, name| Ok(p.take(name)))? {
                element if element.tag() == Tag::Instance => instance(element, scope)?,
                other => return Err(wrong_kind("NewInstance", other)),
            };
            Operation::CreateInstance { instance }
        }
        "ModifyInstance" => {
            p.deprecated(&["IncludeQualifiers"])?;
            let mut instance = match p.required("ModifiedInstance", |p, name| Ok(p.take(name)))? {
                element if element.tag() == Tag::ValueNamedInstance => instance_with_path(element, scope)?,
                other => return Err(wrong_kind("ModifiedInstance", other)),
            };
            if let Some(path) = &mut instance.path {
                path.namespace = Some(namespace.clone());
            }
            Operation::ModifyInstance { instance, property_list: p.property_list()? }
        }
        "DeleteInstance" => {
            Operation::DeleteInstance { path: p.required("InstanceName", Parameters::instance_path)? }
        }
        "GetProperty" => Operation::GetProperty {
            path: p.required("InstanceName", Parameters::instance_path)?,
            property: p.required("PropertyName", Parameters::string)?.into(),
        },
        "SetProperty" => Operation::SetProperty {
            path: p.required("InstanceName", Parameters::instance_path)?,
            property: p.required("PropertyName", Parameters::string)?.into(),
            value: p.untyped_value("NewValue")?,
        },
        "Associators" => {
            p.deprecated(&["IncludeQualifiers"])?;
            Operation::Associators {
                object: p.required("ObjectName", Parameters::object_path)?,
                filter: p.association_filter(true)?,
                options: p.instance_options()?,
            }
        }
        "AssociatorNames" => Operation::AssociatorNames {
            object: p.required("ObjectName", Parameters::object_path)?,
            filter: p.association_filter(true)?,
        },
        "References" => {
            p.deprecated(&["IncludeQualifiers"])?;
            Operation::References {
                object: p.required("ObjectName", Parameters::object_path)?,
                filter: p.association_filter(false)?,
                options: p.instance_options()?,
            }
        }
        "ReferenceNames" => Operation::ReferenceNames {
            object: p.required("ObjectName", Parameters::object_path)?,
            filter: p.association_filter(false)?,
        },
        "ExecQuery" => Operation::ExecQuery { query: p.query("QueryLanguage", "Query")? },
        "OpenEnumerateInstances" => Operation::OpenEnumerateInstances {
            class: p.required("ClassName", Parameters::class)?,
            deep: p.flag("DeepInheritance", true)?,
            options: p.instance_options()?,
            open: p.open_options()?,
        },
        "OpenEnumerateInstancePaths" => Operation::OpenEnumerateInstancePaths {
            class: p.required("ClassName", Parameters::class)?,
            open: p.open_options()?,
        },
        "OpenAssociatorInstances" => Operation::OpenAssociatorInstances {
            object: p.required("InstanceName", Parameters::instance_path)?,
            filter: p.association_filter(true)?,
            options: p.instance_options()?,
            open: p.open_options()?,
        },
        "OpenAssociatorInstancePaths" => Operation::OpenAssociatorInstancePaths {
            object: p.required("InstanceName", Parameters::instance_path)?,
            filter: p.association_filter(true)?,
            open: p.open_options()?,
        },
        "OpenReferenceInstances" => Operation::OpenReferenceInstances {
            object: p.required("InstanceName", Parameters::instance_path)?,
            filter: p.association_filter(false)?,
            options: p.instance_options()?,
            open: p.open_options()?,
        },
        "OpenReferenceInstancePaths" => Operation::OpenReferenceInstancePaths {
            object: p.required("InstanceName", Parameters::instance_path)?,
            filter: p.association_filter(false)?,
            open: p.open_options()?,
        },
        "OpenQueryInstances" => Operation::OpenQueryInstances {
            query: p.query("FilterQueryLanguage", "FilterQuery")?,
            return_query_result_class: p.flag("ReturnQueryResultClass", false)?,
            open: p.open_options()?,
        },
        "PullInstancesWithPath" => p.pull(PullKind::InstancesWithPath)?,
        "PullInstancePaths" => p.pull(PullKind::InstancePaths)?,
        "PullInstances" => p.pull(PullKind::Instances)?,
        "CloseEnumeration" => {
            Operation::CloseEnumeration { context: p.required("EnumerationContext", Parameters::string)? }
        }
        "EnumerationCount" => {
            Operation::EnumerationCount { context: p.required("EnumerationContext", Parameters::string)? }
        }
        _ => return Ok(Operation::Unsupported { name: name.to_owned() }),
    };
    p.all_used()?;
    Ok(operation)
}

/// The intrinsic operations of DSP0200 1.4.
const NAMES: [&str; 35] = [
    "CreateClass",
    "ModifyClass",
    "DeleteClass",
    "SetQualifier",
    "DeleteQualifier",
    "GetProperty",
    "SetProperty",
    "GetInstance",
    "EnumerateInstances",
    "EnumerateInstanceNames",
    "GetClass",
    "EnumerateClasses",
    "EnumerateClassNames",
    "GetQualifier",
    "EnumerateQualifiers",
    "CreateInstance",
    "ModifyInstance",
    "DeleteInstance",
    "Associators",
    "AssociatorNames",
    "References",
    "ReferenceNames",
    "ExecQuery",
    "OpenEnumerateInstances",
    "OpenEnumerateInstancePaths",
    "OpenAssociatorInstances",
    "OpenAssociatorInstancePaths",
    "OpenReferenceInstances",
    "OpenReferenceInstancePaths",
    "OpenQueryInstances",
    "PullInstancesWithPath",
    "PullInstancePaths",
    "PullInstances",
    "CloseEnumeration",
    "EnumerationCount",
];

/// More parameters than any operation or method has. Bounds the search for parameters that are given twice.
pub(super) const MAX_PARAMETERS: usize = 256;

/// The parameters of a call, each to be asked for once.
struct Parameters<'d, 'c> {
    namespace: &'c NamespaceName,
    scope: Scope<'c>,
    /// Name and content; a name is taken out when it is asked for.
    given: Vec<(&'d str, Option<Element<'d>>)>,
}

impl<'d, 'c> Parameters<'d, 'c> {
    fn of(call: Element<'d>, namespace: &'c NamespaceName, scope: Scope<'c>) -> Result<Self, Refusal> {
        let mut given: Vec<(&str, Option<Element<'_>>)> = Vec::new();
        // The first child is the namespace.
        for child in call.children().skip(1) {
            if child.tag() != Tag::IParamValue {
                return Err(call.misplaced(child));
            }
            let name = child.required(Attr::Name)?;
            if given.len() >= MAX_PARAMETERS {
                return Err(invalid("there are too many parameters".to_owned()));
            }
            if given.iter().any(|(n, _)| n.eq_ignore_ascii_case(name)) {
                return Err(invalid(format!("the parameter {} is given twice", shorten(name))));
            }
            given.push((name, child.at_most_one()?));
        }
        Ok(Self { namespace, scope, given })
    }

    /// The content of a parameter; `None` if it is not given or NULL.
    fn take(&mut self, name: &str) -> Option<Element<'d>> {
        let at = self.given.iter().position(|(n, _)| n.eq_ignore_ascii_case(name))?;
        self.given.swap_remove(at).1
    }

    /// Refuses what nobody asked for.
    fn all_used(&self) -> Result<(), Refusal> {
        match self.given.first() {
            None => Ok(()),
            Some((name, _)) => Err(invalid(format!("{} is no parameter of this operation", shorten(name)))),
        }
    }

    fn required<T>(
        &mut self,
        name: &str,
        get: impl FnOnce(&mut Self, &str) -> Result<Option<T>, Refusal>,
    ) -> Result<T, Refusal> {
        get(self, name)?.ok_or_else(|| invalid(format!("the parameter {name} is required")))
    }

    /// Reads over parameters that DSP0200 1.4 lets a server ignore. Their type is still checked.
    fn deprecated(&mut self, names: &[&str]) -> Result<(), Refusal> {
        names.iter().try_for_each(|name| self.flag(name, false).map(|_| ()))
    }

    fn text(&mut self, name: &str) -> Result<Option<&'d str>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(element) if element.tag() == Tag::Value => Ok(Some(element.text())),
            Some(other) => Err(wrong_kind(name, other)),
        }
    }

    fn string(&mut self, name: &str) -> Result<Option<String>, Refusal> {
        Ok(self.text(name)?.map(str::to_owned))
    }

    fn flag(&mut self, name: &str, default: bool) -> Result<bool, Refusal> {
        match self.text(name)?.map(str::trim) {
            None => Ok(default),
            Some(text) if text.eq_ignore_ascii_case("true") => Ok(true),
            Some(text) if text.eq_ignore_ascii_case("false") => Ok(false),
            Some(text) => Err(invalid(format!("{name}: \"{}\" is neither TRUE nor FALSE", shorten(text)))),
        }
    }

    fn number(&mut self, name: &str) -> Result<Option<u32>, Refusal> {
        let Some(text) = self.text(name)? else { return Ok(None) };
        match parse_integer(text).and_then(|n| u32::try_from(n).ok()) {
            Some(n) => Ok(Some(n)),
            None => Err(invalid(format!("{name}: \"{}\" is no uint32", shorten(text)))),
        }
    }

    fn class(&mut self, name: &str) -> Result<Option<ClassName>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(element) if element.tag() == Tag::ClassName => class_name(element).map(Some),
            Some(other) => Err(wrong_kind(name, other)),
        }
    }

    /// The class that CreateClass and ModifyClass are given.
    fn declared_class(&mut self, name: &str) -> Result<Class, Refusal> {
        match self.required(name, |p, name| Ok(p.take(name)))? {
            element if element.tag() == Tag::Class => class(element, self.scope),
            other => Err(wrong_kind(name, other)),
        }
    }

    /// A value whose type only the class knows.
    fn untyped_value(&mut self, name: &str) -> Result<Option<Value>, Refusal> {
        let Some(element) = self.take(name) else { return Ok(None) };
        value(element, Stated::default(), self.scope)?.ok_or_else(|| wrong_kind(name, element))
    }

    fn instance_path(&mut self, name: &str) -> Result<Option<InstancePath>, Refusal> {
        match self.take(name) {
            None => Ok(None),
            Some(element) if element.tag() == Tag::InstanceName => {
                let path = instance_name(element, self.scope)?;
                Ok(Some(InstancePath { namespace: Some(self.namespace.clone()), ..path }))
            }
            Some(other) => Err(wrong_kind(name, other)),
        }
    }

    fn object_path(&mut self, name: &str) -> Result<Option<ObjectPath>, Refusal> {
        let is_class = self
            .given
            .iter()
            .any(|(n, e)| n.eq_ignore_ascii_case(name) && e.is_some_and(|e| e.tag() == Tag::ClassName));
        if is_class {
            let class = self.class(name)?;
            return Ok(class.map(|c| ClassPath::new(self.namespace.clone(), c).into()));
        }
        Ok(self.instance_path(name)?.map(ObjectPath::Instance))
    }

    fn property_list(&mut self) -> Result<Option<Vec<Name>>, Refusal> {
        match self.take("PropertyList") {
            None => Ok(None),
            Some(list) if list.tag() == Tag::ValueArray => {
                let mut names = Vec::new();
                for item in list.children() {
                    match item.tag() {
                        Tag::Value => {
                            self.scope.add(&mut names, Name::new(item.text()), "names in a list")?
                        }
                        Tag::ValueNull => {}
                        _ => return Err(list.misplaced(item)),
                    }
                }
                Ok(Some(names))
            }
            Some(other) => Err(wrong_kind("PropertyList", other)),
        }
    }

    fn class_options(&mut self, with_list: bool) -> Result<ClassOptions, Refusal> {
        Ok(ClassOptions {
            local_only: self.flag("LocalOnly", true)?,
            include_qualifiers: self.flag("IncludeQualifiers", true)?,
            include_class_origin: self.flag("IncludeClassOrigin", false)?,
            property_list: if with_list { self.property_list()? } else { None },
        })
    }

    fn instance_options(&mut self) -> Result<InstanceOptions, Refusal> {
        Ok(InstanceOptions {
            include_class_origin: self.flag("IncludeClassOrigin", false)?,
            property_list: self.property_list()?,
        })
    }

    fn association_filter(&mut self, of_associators: bool) -> Result<AssociationFilter, Refusal> {
        let mut filter = AssociationFilter {
            result_class: self.class("ResultClass")?,
            role: self.string("Role")?.map(Name::from),
            ..AssociationFilter::default()
        };
        if of_associators {
            filter.assoc_class = self.class("AssocClass")?;
            filter.result_role = self.string("ResultRole")?.map(Name::from);
        }
        Ok(filter)
    }

    fn open_options(&mut self) -> Result<OpenOptions, Refusal> {
        let filter = match (self.string("FilterQueryLanguage")?, self.string("FilterQuery")?) {
            (None, None) => None,
            (Some(language), Some(query)) => Some((language, query)),
            _ => return Err(invalid("FilterQueryLanguage and FilterQuery belong together".to_owned())),
        };
        Ok(OpenOptions {
            filter,
            operation_timeout: self.number("OperationTimeout")?,
            continue_on_error: self.flag("ContinueOnError", false)?,
            max_object_count: self.number("MaxObjectCount")?.unwrap_or(0),
        })
    }

    fn query(&mut self, language: &str, text: &str) -> Result<Query, Refusal> {
        let language = self.required(language, Self::text)?;
        let text = self.required(text, Self::text)?;
        Ok(crate::query::parse(language, text)?)
    }

    fn pull(&mut self, kind: PullKind) -> Result<Operation, Refusal> {
        Ok(Operation::Pull {
            kind,
            context: self.required("EnumerationContext", Self::string)?,
            max_object_count: self.required("MaxObjectCount", Self::number)?,
        })
    }
}

fn invalid(description: String) -> Refusal {
    CimError::invalid_parameter(description).into()
}

fn wrong_kind(name: &str, found: Element<'_>) -> Refusal {
    invalid(format!("{name} cannot be {}", found.tag().name()))
}
