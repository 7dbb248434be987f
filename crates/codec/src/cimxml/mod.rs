//! CIM-XML: the encoding of DSP0201 and the messages of DSP0200, for servers, clients and listeners.
//!
//! Nothing here does I/O. Reading goes `xml` (bytes to a checked tree) → `value`, `path`, `object`, `declaration` (tree to
//! model) → `request`, `intrinsic` or `client_response` (messages). Writing goes `response`, `client` or `export` (messages)
//! → `encode`, `encode_class` (model to elements) → `text` (escaping).
//!
//! Reading is as tolerant as the known peers need and no more; [`Limits`] bounds what a message can cost. Writing follows the
//! grammar of DSP0201 2.4 and the habits that clients depend on: properties are never self-closed, every returned value has
//! its type, a void operation has no return value element.

mod cim_error;
mod client;
mod client_response;
mod declaration;
mod encode;
mod encode_class;
mod error;
mod export;
mod intrinsic;
mod object;
mod path;
mod query_text;
mod request;
mod response;
mod text;
mod value;
mod vocabulary;
mod xml;

pub use client::{RequestHeaders, encode_query, encode_request, operation_name};
pub use client_response::{Response, decode_response};
pub use encode::{class_text, instance_path_text, instance_text, instance_with_path_text};
pub use error::{DecodeError, ResponseError};
pub use export::{
    EXPORT_INDICATION, decode_export_request, decode_export_response, encode_export_request,
    encode_export_response,
};
pub use object::parse_instance_text;
pub use request::{Headers, Message, SimpleRequest, decode_request};
pub use response::{
    BatchItem, EncodeContext, ResponseWriter, SequenceEnd, encode_batch_response, encode_response,
};
pub use xml::Limits;

pub(crate) use path::{MAX_KEYS, untyped_number};
pub(crate) use text::{push_real32, push_real64};
