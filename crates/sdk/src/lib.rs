//! All that the author of a provider sees.
//!
//! A provider says which classes it serves ([`Plugin`]), gives their instances ([`InstanceProvider`]), answers their methods
//! ([`MethodProvider`]) and, for work that takes long, returns [`MethodOutcome::Job`] and describes the steps as a
//! [`JobKind`](cimwright_jobs::JobKind). It never sees a protocol, a store or a socket.
#![forbid(unsafe_code)]

pub mod alerts;
pub mod call;
pub mod dialect;
pub mod order;
pub mod outcome;
pub mod plugin;
pub mod principal;
pub mod process;
pub mod remote;

pub use alerts::{AlertSink, Alerts};
pub use call::MethodCall;
pub use cimwright_cim as cim;
pub use cimwright_cim::{catalogue, reasons};
pub use cimwright_jobs as jobs;
pub use dialect::{ChangeCodes, ErrorForm, JobDialect};
pub use order::{Order, OrderKind};
pub use outcome::{MethodOutcome, NewJob};
pub use plugin::{
    Background, Context, Declaration, InstancePortions, InstanceProvider, MethodProvider, Plugin, ServedClass,
};
pub use principal::{Principal, Role};
pub use remote::{Computers, RemoteAnswer, RemoteError};
