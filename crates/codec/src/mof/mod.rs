//! MOF: the compiler and the printer (DSP0004 2.7, clause 7 and annex A), with the extras that WMI files use.
//!
//! The way of a text: `lexer` cuts it into tokens, `parser` makes [`ast`] items whose text borrows from the source,
//! `compile` takes the items of all sources in order (following `#pragma include`; `ahead` reads what is included on all processors), `declare` and `qualify` turn class and
//! qualifier declarations into the model, `instances` does the same for instances once all classes are known; `limits` keeps small texts
//! from becoming large ones.
//! [`print_class`] and its siblings go the other way.
//!
//! Nothing here reads files: the caller hands over texts, and a [`Loader`] for what they include.

mod ahead;
pub mod ast;
mod compile;
mod cursor;
mod declare;
mod diagnostic;
mod instances;
mod lexer;
mod limits;
mod literal;
mod parser;
mod print;
mod qualify;
mod source;
#[cfg(test)]
mod tests;

pub use compile::{Compiled, Options, Schemas, compile, compile_for, compile_schema};
pub use diagnostic::{Diagnostic, Level};
pub use parser::parse;
pub use print::{print_class, print_instance, print_qualifier, print_schema};
pub use source::{EmbeddedFiles, LoadError, Loader, NoIncludes, Source, resolve_include};
