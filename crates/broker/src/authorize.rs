//! Who may what: a table of operation and role, and nothing else.

use cimwright_cim::operation::Operation;
use cimwright_sdk::Role;

/// What a role may do with an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Permission {
    /// It may.
    Granted,
    /// It may as far as the job, or whatever else has owners, is its own.
    OwnJobs,
    /// It may not. For methods of jobs the answer is a return code where the class has one for it.
    Denied,
}

/// What an operation does, as far as permission goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Need {
    /// Looks, and changes nothing.
    Look,
    /// Changes or ends one job.
    ControlJob,
    /// Starts something new.
    Operate,
    /// Changes what the server serves to all.
    Administer,
}

/// Methods that only look, whatever class has them.
const LOOKING_METHODS: [&str; 5] =
    ["GetError", "GetErrorEx", "GetErrors", "FormatError", "GetCentralInstances"];

/// Methods that control a job.
const CONTROL_METHODS: [&str; 2] = ["RequestStateChange", "KillJob"];

/// The table.
pub(crate) fn permission(role: Role, operation: &Operation) -> Permission {
    match (need(operation), role) {
        (Need::Look, Role::Reader | Role::Operator | Role::Administrator) => Permission::Granted,
        (Need::ControlJob, Role::Reader) => Permission::Denied,
        (Need::ControlJob, Role::Operator) => Permission::OwnJobs,
        (Need::ControlJob, Role::Administrator) => Permission::Granted,
        (Need::Operate, Role::Reader) => Permission::Denied,
        (Need::Operate, Role::Operator | Role::Administrator) => Permission::Granted,
        (Need::Administer, Role::Reader | Role::Operator) => Permission::Denied,
        (Need::Administer, Role::Administrator) => Permission::Granted,
    }
}

fn need(operation: &Operation) -> Need {
    match operation {
        Operation::GetClass { .. }
        | Operation::EnumerateClasses { .. }
        | Operation::EnumerateClassNames { .. }
        | Operation::GetQualifier { .. }
        | Operation::EnumerateQualifiers
        | Operation::GetInstance { .. }
        | Operation::GetProperty { .. }
        | Operation::EnumerateInstances { .. }
        | Operation::EnumerateInstanceNames { .. }
        | Operation::Associators { .. }
        | Operation::AssociatorNames { .. }
        | Operation::References { .. }
        | Operation::ReferenceNames { .. }
        | Operation::ExecQuery { .. }
        | Operation::OpenEnumerateInstances { .. }
        | Operation::OpenEnumerateInstancePaths { .. }
        | Operation::OpenAssociatorInstances { .. }
        | Operation::OpenAssociatorInstancePaths { .. }
        | Operation::OpenReferenceInstances { .. }
        | Operation::OpenReferenceInstancePaths { .. }
        | Operation::OpenQueryInstances { .. }
        | Operation::Pull { .. }
        | Operation::CloseEnumeration { .. }
        | Operation::EnumerationCount { .. } => Need::Look,
        Operation::ModifyInstance { .. }
        | Operation::SetProperty { .. }
        | Operation::DeleteInstance { .. }
        // Where instances have owners, as subscriptions do; elsewhere only administrators make them.
        | Operation::CreateInstance { .. } => Need::ControlJob,
        Operation::InvokeMethod { method, .. } if LOOKING_METHODS.iter().any(|m| method.is(m)) => Need::Look,
        Operation::InvokeMethod { method, .. } if CONTROL_METHODS.iter().any(|m| method.is(m)) => {
            Need::ControlJob
        }
        Operation::InvokeMethod { .. } => Need::Operate,
        Operation::CreateClass { .. }
        | Operation::ModifyClass { .. }
        | Operation::DeleteClass { .. }
        | Operation::SetQualifier { .. }
        | Operation::DeleteQualifier { .. } => Need::Administer,
        // There is nothing to be denied: whoever asks learns that the operation is not supported.
        Operation::Unsupported { .. } => Need::Look,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::{ClassPath, Instance, InstancePath};

    fn call(method: &str) -> Operation {
        let target = ClassPath::new(None, "X").into();
        Operation::InvokeMethod { target, method: method.into(), params: Vec::new() }
    }

    #[test]
    fn the_table() {
        use Permission::{Denied, Granted, OwnJobs};
        let modify = Operation::ModifyInstance { instance: Instance::new("X"), property_list: None };
        let delete = Operation::DeleteInstance { path: InstancePath::new(None, "X") };
        let create = Operation::CreateInstance { instance: Instance::new("X") };
        let rows = [
            (Operation::EnumerateQualifiers, [Granted, Granted, Granted]),
            (Operation::Unsupported { name: "DeleteClass".into() }, [Granted, Granted, Granted]),
            (modify, [Denied, OwnJobs, Granted]),
            (delete, [Denied, OwnJobs, Granted]),
            (create, [Denied, OwnJobs, Granted]),
            (call("geterror"), [Granted, Granted, Granted]),
            (call("GetErrorEx"), [Granted, Granted, Granted]),
            (call("GetErrors"), [Granted, Granted, Granted]),
            (call("FormatError"), [Granted, Granted, Granted]),
            (call("GetCentralInstances"), [Granted, Granted, Granted]),
            (call("REQUESTSTATECHANGE"), [Denied, OwnJobs, Granted]),
            (call("KillJob"), [Denied, OwnJobs, Granted]),
            (call("CreateVirtualHardDisk"), [Denied, Granted, Granted]),
        ];
        for (operation, wanted) in rows {
            let roles = [Role::Reader, Role::Operator, Role::Administrator];
            assert_eq!(roles.map(|r| permission(r, &operation)), wanted, "{operation:?}");
        }
    }
}
