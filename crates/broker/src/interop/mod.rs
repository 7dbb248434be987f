//! The namespace by which the server describes itself (DSP1033, DSP0200 5.3.2.2).

/// Its name. Clients that know nothing of a server look here first.
pub const INTEROP_NAMESPACE: &str = "root/interop";
