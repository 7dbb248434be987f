//! Text on one side, the model of `cimwright-cim` on the other: MOF, CIM-XML, WS-Management, query
//! languages and object paths.
//!
//! Everything here is sans-IO: bytes or text in, values out, and back. No other crate knows XML or MOF.
#![forbid(unsafe_code)]

pub mod cimxml;
pub mod mof;
pub mod query;
pub mod uri;
pub mod wsman;
mod xml;
