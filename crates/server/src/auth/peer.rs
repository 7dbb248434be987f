//! Who is at the other end of the unix socket, as the kernel tells it.

use crate::config::UnixPeer;
use crate::{Principal, Role};

/// The user with this uid, if the server knows it: root and the user the server runs as are administrators, others are who the
/// configuration says they are.
///
/// A uid without a name in the configuration becomes `uid:N`, which no user of the users file can be called.
pub(super) fn principal(uid: u32, own_uid: u32, peers: &[UnixPeer]) -> Option<Principal> {
    if let Some(peer) = peers.iter().find(|p| p.uid == uid) {
        return Some(Principal::authenticated(peer.name.clone(), peer.role));
    }
    (uid == 0 || uid == own_uid).then(|| Principal::authenticated(format!("uid:{uid}"), Role::Administrator))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn root_and_the_own_user_are_administrators_and_others_are_mapped() {
        let peers = [UnixPeer { uid: 1000, name: "ann".into(), role: Role::Operator }];
        assert_eq!(principal(0, 7, &peers), Some(Principal::authenticated("uid:0", Role::Administrator)));
        assert_eq!(principal(7, 7, &peers), Some(Principal::authenticated("uid:7", Role::Administrator)));
        assert_eq!(principal(1000, 7, &peers), Some(Principal::authenticated("ann", Role::Operator)));
        assert_eq!(principal(8, 7, &peers), None);
        let weak_root = [UnixPeer { uid: 0, name: "root".into(), role: Role::Reader }];
        assert_eq!(principal(0, 7, &weak_root), Some(Principal::authenticated("root", Role::Reader)));
        assert!(crate::auth::users::check_name("uid:0").is_err());
    }
}
