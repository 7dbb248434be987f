//! Work on virtual disk images: Msvm_ImageManagementService, in both of Hyper-V's namespaces.
//!
//! [`service`] takes the calls, [`request`] makes sense of their parameters, [`answers`] describes images, [`jobs`] does the work
//! through [`engine`] on files that [`roots`] has let through, and [`errors`] says why when it fails.

pub mod answers;
pub mod engine;
pub mod errors;
pub mod image;
pub mod jobs;
pub mod layout;
pub mod request;
pub mod roots;
pub mod service;

pub use jobs::Toolbox;
pub use service::ImageManagement;
