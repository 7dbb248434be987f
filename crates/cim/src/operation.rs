//! The operations a client can ask for and what they answer (DSP0223; names as in DSP0200 5.3 and 5.4).
//!
//! Every protocol front end decodes into [`Request`] and encodes from [`OperationResult`]; nothing behind the front ends
//! knows which protocol a request came over.

use crate::class::{Class, QualifierDeclaration};
use crate::instance::Instance;
use crate::name::{ClassName, Name, NamespaceName};
use crate::path::{ClassPath, InstancePath, ObjectPath};
use crate::query::Query;
use crate::value::{CimType, Embedded, Value};

/// An operation and the namespace it is aimed at.
#[derive(Clone, Debug, PartialEq)]
pub struct Request {
    /// The target namespace.
    pub namespace: NamespaceName,
    /// What is asked.
    pub operation: Operation,
}

/// A closed list of what can be asked.
#[derive(Clone, Debug, PartialEq)]
#[allow(missing_docs, reason = "the variants and fields are the operations and parameters of DSP0200 5.3")]
pub enum Operation {
    GetClass {
        class: ClassName,
        options: ClassOptions,
    },
    EnumerateClasses {
        class: Option<ClassName>,
        deep: bool,
        options: ClassOptions,
    },
    EnumerateClassNames {
        class: Option<ClassName>,
        deep: bool,
    },
    CreateClass {
        class: Box<Class>,
    },
    ModifyClass {
        class: Box<Class>,
    },
    DeleteClass {
        class: ClassName,
    },
    GetQualifier {
        name: Name,
    },
    EnumerateQualifiers,
    SetQualifier {
        declaration: Box<QualifierDeclaration>,
    },
    DeleteQualifier {
        name: Name,
    },
    GetInstance {
        path: InstancePath,
        options: InstanceOptions,
    },
    EnumerateInstances {
        class: ClassName,
        deep: bool,
        options: InstanceOptions,
    },
    EnumerateInstanceNames {
        class: ClassName,
    },
    CreateInstance {
        instance: Instance,
    },
    ModifyInstance {
        instance: Instance,
        property_list: Option<Vec<Name>>,
    },
    DeleteInstance {
        path: InstancePath,
    },
    GetProperty {
        path: InstancePath,
        property: Name,
    },
    /// The value as it came: the message does not state its type, so that it may be text. `None` is NULL.
    SetProperty {
        path: InstancePath,
        property: Name,
        value: Option<Value>,
    },
    Associators {
        object: ObjectPath,
        filter: AssociationFilter,
        options: InstanceOptions,
    },
    AssociatorNames {
        object: ObjectPath,
        filter: AssociationFilter,
    },
    References {
        object: ObjectPath,
        filter: AssociationFilter,
        options: InstanceOptions,
    },
    ReferenceNames {
        object: ObjectPath,
        filter: AssociationFilter,
    },
    ExecQuery {
        query: Query,
    },
    OpenEnumerateInstances {
        class: ClassName,
        deep: bool,
        options: InstanceOptions,
        open: OpenOptions,
    },
    OpenEnumerateInstancePaths {
        class: ClassName,
        open: OpenOptions,
    },
    OpenAssociatorInstances {
        object: InstancePath,
        filter: AssociationFilter,
        options: InstanceOptions,
        open: OpenOptions,
    },
    OpenAssociatorInstancePaths {
        object: InstancePath,
        filter: AssociationFilter,
        open: OpenOptions,
    },
    OpenReferenceInstances {
        object: InstancePath,
        filter: AssociationFilter,
        options: InstanceOptions,
        open: OpenOptions,
    },
    OpenReferenceInstancePaths {
        object: InstancePath,
        filter: AssociationFilter,
        open: OpenOptions,
    },
    OpenQueryInstances {
        query: Query,
        return_query_result_class: bool,
        open: OpenOptions,
    },
    /// PullInstancesWithPath, PullInstancePaths and PullInstances.
    Pull {
        kind: PullKind,
        context: String,
        max_object_count: u32,
    },
    CloseEnumeration {
        context: String,
    },
    EnumerationCount {
        context: String,
    },
    InvokeMethod {
        target: ObjectPath,
        method: Name,
        params: Vec<Param>,
    },
    /// An intrinsic operation that exists in the standard or not at all; answered with CIM_ERR_NOT_SUPPORTED.
    Unsupported {
        name: String,
    },
}

/// Options of the class operations.
#[derive(Clone, Debug, PartialEq)]
pub struct ClassOptions {
    /// Only what the class itself declares or overrides.
    pub local_only: bool,
    /// Show qualifiers.
    pub include_qualifiers: bool,
    /// Show the declaring class of each element.
    pub include_class_origin: bool,
    /// Show only these properties; `None` shows all.
    pub property_list: Option<Vec<Name>>,
}

/// Options of the instance operations. The deprecated LocalOnly and IncludeQualifiers are read and have no effect, as
/// DSP0200 1.4 allows.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct InstanceOptions {
    /// Show the declaring class of each property.
    pub include_class_origin: bool,
    /// Show only these properties; `None` shows all.
    pub property_list: Option<Vec<Name>>,
}

/// The filters of the association operations; for References `result_class` and `role` apply.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct AssociationFilter {
    /// Only over this association class or its subclasses.
    pub assoc_class: Option<ClassName>,
    /// Only far ends (References: associations) of this class or its subclasses.
    pub result_class: Option<ClassName>,
    /// The property of the association that names the source.
    pub role: Option<Name>,
    /// The property of the association that names the far end.
    pub result_role: Option<Name>,
}

/// Options that all Open… operations share (DSP0200 5.3.2.24).
#[derive(Clone, Debug, Default, PartialEq)]
pub struct OpenOptions {
    /// FilterQueryLanguage and FilterQuery as given.
    pub filter: Option<(String, String)>,
    /// Seconds the server keeps an idle session; `None` leaves it to the server, 0 asks for ever.
    pub operation_timeout: Option<u32>,
    /// Go on after an error.
    pub continue_on_error: bool,
    /// At most this many objects in the answer; 0 opens only.
    pub max_object_count: u32,
}

/// Which of the three Pull operations.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs, reason = "the variants are the Pull operations of DSP0200")]
pub enum PullKind {
    InstancesWithPath,
    InstancePaths,
    Instances,
}

/// A parameter of an extrinsic method, on the way in or out.
#[derive(Clone, Debug, PartialEq)]
pub struct Param {
    /// Its name.
    pub name: Name,
    /// The type the sender stated or the class declares; `None` when a sender left it out.
    pub cim_type: Option<CimType>,
    /// Whether it is an array.
    pub is_array: bool,
    /// The embedded mark.
    pub embedded: Option<Embedded>,
    /// The value; `None` is NULL.
    pub value: Option<Value>,
}

impl Param {
    /// A parameter whose type is that of its value.
    pub fn new(name: impl Into<Name>, value: impl Into<Value>) -> Self {
        let value = value.into();
        Self {
            name: name.into(),
            cim_type: value.cim_type(),
            is_array: matches!(value, Value::Array(_)),
            embedded: value.embedded(),
            value: Some(value),
        }
    }

    /// A parameter that is NULL.
    pub fn null(name: impl Into<Name>, cim_type: CimType) -> Self {
        Self { name: name.into(), cim_type: Some(cim_type), is_array: false, embedded: None, value: None }
    }
}

/// The element that each object of an answer is wrapped in (the names are DSP0201's).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ObjectShape {
    /// VALUE.NAMEDINSTANCE: EnumerateInstances.
    NamedInstance,
    /// INSTANCENAME: EnumerateInstanceNames.
    InstanceName,
    /// VALUE.OBJECTWITHPATH: Associators, References.
    ObjectWithPath,
    /// OBJECTPATH: AssociatorNames, ReferenceNames.
    ObjectPath,
    /// VALUE.OBJECT: ExecQuery.
    Object,
    /// VALUE.INSTANCEWITHPATH: Open…Instances, PullInstancesWithPath.
    InstanceWithPath,
    /// INSTANCEPATH: Open…Paths, PullInstancePaths.
    InstancePath,
    /// INSTANCE: OpenQueryInstances, PullInstances.
    Instance,
}

/// What an operation answers.
#[derive(Clone, Debug, PartialEq)]
pub enum OperationResult {
    /// Nothing: whatever changes or ends something.
    Void,
    /// GetClass.
    Class(Box<Class>),
    /// EnumerateClasses.
    Classes(Vec<Class>),
    /// EnumerateClassNames.
    ClassNames(Vec<ClassName>),
    /// GetQualifier.
    Qualifier(Box<QualifierDeclaration>),
    /// EnumerateQualifiers.
    Qualifiers(Vec<QualifierDeclaration>),
    /// GetInstance.
    Instance(Box<Instance>),
    /// CreateInstance: the path of the new instance.
    Created(InstancePath),
    /// GetProperty; `None` is NULL.
    Property(Option<Value>),
    /// A set of instances; where the shape is one of paths, each has a path and no properties.
    Instances {
        /// How each is wrapped.
        shape: ObjectShape,
        /// The instances, each with its path where the shape shows one.
        items: Vec<Instance>,
    },
    /// Class-level Associators and References.
    ClassObjects(Vec<(ClassPath, Class)>),
    /// Class-level AssociatorNames and ReferenceNames.
    ClassPaths(Vec<ClassPath>),
    /// Open… and Pull…
    Pulled {
        /// How each is wrapped.
        shape: ObjectShape,
        /// The instances of this portion.
        items: Vec<Instance>,
        /// The context for the next Pull; `None` at the end.
        context: Option<String>,
        /// OpenQueryInstances: the class of the results, if it was asked for.
        query_result_class: Option<Box<Class>>,
    },
    /// EnumerationCount; `None` is NULL, for unknown.
    Count(Option<u64>),
    /// InvokeMethod.
    Method {
        /// The return value.
        return_value: Option<Value>,
        /// Output parameters in declared order.
        out: Vec<Param>,
    },
}
