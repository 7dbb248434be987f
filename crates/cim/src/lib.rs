//! The vocabulary of Cimwright: CIM names, types, values, paths, classes, instances, errors and operations.
//!
//! No I/O, no XML, no SQL, no async and no serde here: every other crate speaks in these types, and each encoding
//! (CIM-XML, MOF, WS-Management, the stored forms) lives behind the crate that owns it.
#![forbid(unsafe_code)]

pub mod catalogue;
pub mod class;
pub mod coerce;
pub mod datetime;
pub mod detail;
pub mod error;
pub mod instance;
pub mod name;
pub mod operation;
pub mod path;
pub mod query;
pub mod schema;
pub mod value;

pub use catalogue::{Catalogue, CatalogueEntry};
pub use class::{
    Class, Flavor, Method, Parameter, Property, Qualifier, QualifierDeclaration, QualifierScope, Scopes,
};
pub use datetime::DateTime;
pub use detail::{ErrorDetail, ErrorType, Severity};
pub use error::{CimError, CimStatus};
pub use instance::Instance;
pub use name::{ClassName, Name, NamespaceName};
pub use operation::{Operation, OperationResult, Param, Request};
pub use path::{ClassPath, InstancePath, KeyBinding, ObjectPath};
pub use schema::{Schema, SchemaError};
pub use value::{CimType, Embedded, Value};
