//! What is fuzzed.

mod cimxml;
mod http;
mod mof;
mod provider;
mod query;
mod token;
mod uri;
mod wsman;

use std::hash::{DefaultHasher, Hash, Hasher};

/// What came of an input, told shortly: inputs with an outcome of their own are worth being changed further.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Outcome(u64);

impl Outcome {
    /// The outcome that a text describes, numbers and quoted parts of the input left out.
    pub(crate) fn of(text: &str) -> Self {
        let mut hasher = DefaultHasher::new();
        for (at, part) in text.split(['\'', '"']).enumerate() {
            if at % 2 == 0 {
                part.chars().filter(|c| !c.is_ascii_digit()).take(400).for_each(|c| c.hash(&mut hasher));
            }
        }
        Self(hasher.finish())
    }
}

/// Something that reads what others send.
#[derive(Clone, Copy)]
pub struct Target {
    /// Its name on the command line.
    pub name: &'static str,
    /// What it is.
    pub about: &'static str,
    /// Words of the language.
    pub words: &'static [&'static str],
    /// Reads an input. Panics when something is wrong.
    pub run: fn(&[u8]) -> Outcome,
}

/// All targets.
pub const TARGETS: &[Target] = &[
    Target { name: "mof", about: "MOF, compiled and printed again", words: mof::WORDS, run: mof::run },
    Target {
        name: "request",
        about: "requests in CIM-XML, as the server reads them",
        words: cimxml::WORDS,
        run: cimxml::request,
    },
    Target {
        name: "response",
        about: "responses in CIM-XML and exported indications, as clients read them",
        words: cimxml::WORDS,
        run: cimxml::response,
    },
    Target { name: "query", about: "WQL and DMTF:CQL", words: query::WORDS, run: query::run },
    Target {
        name: "wsman",
        about: "messages of WS-Management, as server and client read them",
        words: wsman::WORDS,
        run: wsman::run,
    },
    Target {
        name: "token",
        about: "tokens of NTLM, SPNEGO and Kerberos, and sealed bodies",
        words: token::WORDS,
        run: token::run,
    },
    Target {
        name: "uri",
        about: "object paths, addresses, percent-encoding",
        words: uri::WORDS,
        run: uri::run,
    },
    Target {
        name: "provider",
        about: "messages of providers in processes of their own",
        words: provider::WORDS,
        run: provider::run,
    },
    Target {
        name: "http",
        about: "requests of HTTP, to a running server",
        words: http::WORDS,
        run: http::run,
    },
];

/// The target with this name.
pub fn find(name: &str) -> Option<&'static Target> {
    TARGETS.iter().find(|target| target.name == name)
}
