//! Who asks.

use std::fmt;

/// What a user may do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// May look.
    Reader,
    /// May look, start operations, and control the jobs it started.
    Operator,
    /// May do everything, to all jobs.
    Administrator,
}

impl Role {
    /// The name used in the users file and on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Reader => "reader",
            Self::Operator => "operator",
            Self::Administrator => "administrator",
        }
    }

    /// The role with this name.
    pub fn from_name(name: &str) -> Option<Self> {
        [Self::Reader, Self::Operator, Self::Administrator].into_iter().find(|r| r.name() == name)
    }
}

impl fmt::Display for Role {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// An authenticated user. The broker takes no request without one, and only authentication has a reason to make one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Principal {
    name: String,
    role: Role,
}

impl Principal {
    /// A user whose identity has been proved.
    pub fn authenticated(name: impl Into<String>, role: Role) -> Self {
        Self { name: name.into(), role }
    }

    /// The user's name; the Owner of the jobs it starts.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What the user may do.
    pub fn role(&self) -> Role {
        self.role
    }

    /// Whether the user may control a job of this owner.
    pub fn may_control(&self, owner: &str) -> bool {
        match self.role {
            Role::Reader => false,
            Role::Operator => self.name == owner,
            Role::Administrator => true,
        }
    }
}
