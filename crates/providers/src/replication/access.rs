//! Who may manage replication: administrators, and those whom an administrator has granted it.

use super::errors;
use super::model::{Model, same_name};
use cimwright_sdk::cim::ErrorDetail;
use cimwright_sdk::{Principal, Role};

/// Methods that decide who may do what.
const FOR_ADMINISTRATORS: [&str; 6] = [
    "GrantSrUserAccess",
    "RevokeSrUserAccess",
    "WvrGrantUserAccess",
    "WvrRevokeUserAccess",
    "GrantSrAccess",
    "RevokeSrAccess",
];

/// Lets a user call a method, or says why not.
///
/// # Errors
/// When the user may not.
pub fn check(model: &Model, who: &Principal, method: &str, computer: &str) -> Result<(), ErrorDetail> {
    match who.role() {
        Role::Administrator => Ok(()),
        Role::Operator | Role::Reader if FOR_ADMINISTRATORS.contains(&method) => {
            Err(errors::administrators(who.name(), method))
        }
        Role::Operator if model.users.iter().any(|u| same_name(u, who.name())) => Ok(()),
        Role::Operator | Role::Reader => Err(errors::not_granted(who.name(), computer)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table() {
        let model = Model { users: vec!["Ann".to_owned()], ..Model::default() };
        let ask = |name: &str, role, method: &str| {
            check(&model, &Principal::authenticated(name, role), method, "c").map_err(|e| e.message_id)
        };
        assert_eq!(ask("root", Role::Administrator, "GrantSrUserAccess"), Ok(()));
        assert_eq!(ask("ann", Role::Operator, "NewSrGroup"), Ok(()));
        assert_eq!(ask("bob", Role::Operator, "NewSrGroup"), Err("CWREPL1310".to_owned()));
        assert_eq!(ask("ann", Role::Reader, "GetGroup"), Err("CWREPL1310".to_owned()));
        assert_eq!(ask("ann", Role::Operator, "WvrGrantUserAccess"), Err("CWREPL1311".to_owned()));
    }
}
