//! From sources to schemas: includes, namespaces, the order of classes.

use super::ahead::{Ahead, Parsed};
use super::ast::{ClassItem, InstanceItem, Item, Literal, LiteralKind, Pragma, Span, Word};
use super::declare::Declarer;
use super::diagnostic::{Diagnostic, MAX_ERRORS, did_you_mean, quote};
use super::instances::{self, Pending};
use super::limits::Ledger;
use super::source::{LoadError, Loader, NoIncludes, Shelf, ShelfEnd, Source};
use cimwright_cim::{ClassPath, Instance, Name, NamespaceName, ObjectPath, Schema, SchemaError};
use std::collections::{BTreeMap, HashMap, HashSet};
use std::thread::{self, Scope};

/// How many warnings are kept.
const MAX_WARNINGS: usize = 1000;

/// How deep files may include files.
const MAX_INCLUDE_DEPTH: u32 = 64;

/// The schemas of all namespaces.
pub type Schemas = BTreeMap<NamespaceName, Schema>;

/// How to compile.
#[derive(Clone, Debug)]
pub struct Options {
    /// The namespace each source starts in; `#pragma namespace` changes it until the end of the file.
    pub default_namespace: NamespaceName,
    /// Whether the rules of DSP0004 hold to the letter. Otherwise undeclared qualifiers are taken as they come, and qualifiers
    /// on elements outside their scope and references to unknown classes are warned of: what WMI files need.
    pub strict: bool,
}

/// What came of a compilation, beside the schemas.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Compiled {
    /// The instances, in the order of the text. Each has the values given, the defaults of its class where none is given, and a
    /// path made of its keys.
    pub instances: Vec<(NamespaceName, Instance)>,
    /// What is probably not meant as it is written.
    pub warnings: Vec<Diagnostic>,
}

/// Compiles sources in order and adds their classes and qualifier declarations to `schemas`.
///
/// A file that is included twice in the same namespace counts once. A class that comes before its superclass waits for it; one
/// that is declared again in the same words is accepted. Classes that are in `schemas` already are known.
///
/// # Errors
/// The mistakes found, at most a hundred. What was right has been added to `schemas` all the same: whoever needs all or nothing
/// compiles into a clone.
pub fn compile(
    sources: &[Source],
    loader: &dyn Loader,
    schemas: &mut Schemas,
    options: &Options,
) -> Result<Compiled, Vec<Diagnostic>> {
    compile_for(sources, loader, schemas, options, None)
}

/// As [`compile`], for a server that takes the qualifiers of `common` in every namespace: what stands on an element without being
/// declared in the namespace is what it is there. A declaration in the sources is one all the same, and not a second one.
///
/// # Errors
/// As [`compile`].
pub fn compile_for(
    sources: &[Source],
    loader: &dyn Loader,
    schemas: &mut Schemas,
    options: &Options,
    common: Option<&Schema>,
) -> Result<Compiled, Vec<Diagnostic>> {
    let shelf = Shelf::default();
    thread::scope(|threads| {
        let mut compiler = Compiler {
            threads,
            loader,
            shelf: shelf.end(),
            schemas,
            strict: options.strict,
            common,
            findings: Findings::default(),
            namespace: options.default_namespace.clone(),
            depth: 0,
            seen: HashSet::new(),
            waiting: HashMap::new(),
            instances: Vec::new(),
            class_aliases: HashMap::new(),
        };
        for source in sources {
            compiler.namespace = options.default_namespace.clone();
            compiler.file(source, Parsed::of);
        }
        compiler.finish()
    })
}

/// Compiles sources that include nothing into the schema of one namespace, by the strict rules.
///
/// # Errors
/// As [`compile`].
pub fn compile_schema(sources: &[Source], namespace: &NamespaceName) -> Result<Schema, Vec<Diagnostic>> {
    let mut schemas = Schemas::new();
    let options = Options { default_namespace: namespace.clone(), strict: true };
    compile(sources, &NoIncludes, &mut schemas, &options)?;
    Ok(schemas.remove(namespace).unwrap_or_default())
}

/// What has been found wrong or odd so far.
#[derive(Default)]
pub(super) struct Findings<'a> {
    pub(super) errors: Vec<Diagnostic>,
    pub(super) warnings: Vec<Diagnostic>,
    /// Qualifiers that were reported as unknown: one word about each will do.
    pub(super) unknown: HashSet<Name>,
    /// Classes that were mentioned before they were declared, if they are.
    pub(super) mentions: Vec<Mention<'a>>,
    /// What is counted.
    pub(super) ledger: Ledger,
}

impl Findings<'_> {
    pub(super) fn warn(&mut self, diagnostic: Diagnostic) {
        if self.warnings.len() < MAX_WARNINGS {
            self.warnings.push(diagnostic.warning());
        }
    }

    /// Whether an error, or else a warning, would only be thrown away. To make one costs a look at the text before it.
    pub(super) fn full(&self, error: bool) -> bool {
        if error { self.errors.len() >= MAX_ERRORS } else { self.warnings.len() >= MAX_WARNINGS }
    }

    /// An error by the strict rules, else a warning.
    pub(super) fn lenient(&mut self, strict: bool, diagnostic: Diagnostic) {
        if strict { self.errors.push(diagnostic) } else { self.warn(diagnostic) }
    }
}

/// A class that must be declared by the end.
pub(super) struct Mention<'a> {
    pub(super) namespace: NamespaceName,
    pub(super) class: Name,
    pub(super) source: &'a Source,
    pub(super) span: Span,
}

struct Compiler<'a, 'c, 'scope, 'env> {
    threads: &'scope Scope<'scope, 'env>,
    loader: &'c dyn Loader,
    shelf: ShelfEnd<'a>,
    schemas: &'c mut Schemas,
    strict: bool,
    common: Option<&'c Schema>,
    findings: Findings<'a>,
    namespace: NamespaceName,
    depth: u32,
    seen: HashSet<(NamespaceName, &'a str)>,
    /// Classes by the superclass they wait for.
    waiting: HashMap<(NamespaceName, Name), Vec<Unit<'a>>>,
    instances: Vec<Pending<'a>>,
    class_aliases: HashMap<Name, ObjectPath>,
}

/// A class declaration and where it belongs.
struct Unit<'a> {
    source: &'a Source,
    namespace: NamespaceName,
    item: ClassItem<'a>,
}

impl<'a: 'scope, 'c: 'scope, 'scope> Compiler<'a, 'c, 'scope, '_> {
    /// Takes all that a source says, unless it has been taken in this namespace before.
    fn file(&mut self, source: &'a Source, parse: impl FnOnce(&'a Source) -> Parsed<'a>) {
        if !self.seen.insert((self.namespace.clone(), &source.name)) {
            return;
        }
        let Parsed { items, mistakes, .. } = parse(source);
        self.findings.errors.extend(mistakes);
        let outer = self.namespace.clone();
        let mut ahead = self.ahead(source, &items);
        for item in items {
            if self.findings.errors.len() >= MAX_ERRORS {
                break;
            }
            match item {
                Item::Pragma(pragma) => self.pragma(source, &pragma, &mut ahead),
                Item::Qualifier(item) => {
                    let namespace = self.namespace.clone();
                    self.declarer(source, &namespace, |declarer, schema| {
                        if let Some(declaration) = declarer.qualifier_declaration(schema, item) {
                            schema.set_qualifier(declaration);
                        }
                    });
                }
                Item::Class(item) => self.class(Unit { source, namespace: self.namespace.clone(), item }),
                Item::Instance(item) => self.instance(source, item),
            }
        }
        self.namespace = outer;
    }

    fn declarer<R>(
        &mut self,
        source: &'a Source,
        namespace: &NamespaceName,
        work: impl FnOnce(&mut Declarer<'_, 'a>, &mut Schema) -> R,
    ) -> R {
        let schema = match self.schemas.get_mut(namespace) {
            Some(schema) => schema,
            None => self.schemas.entry(namespace.clone()).or_default(),
        };
        let mut declarer = Declarer {
            source,
            namespace,
            strict: self.strict,
            common: self.common,
            depth: 0,
            findings: &mut self.findings,
        };
        work(&mut declarer, schema)
    }

    // ---- Pragmas

    fn pragma(&mut self, source: &'a Source, pragma: &Pragma<'a>, ahead: &mut Option<Ahead<'a, 'c>>) {
        const IGNORED: [&str; 13] = [
            "locale",
            "instancelocale",
            "nonlocal",
            "nonlocaltype",
            "source",
            "sourcetype",
            "autorecover",
            "amendment",
            "classflags",
            "instanceflags",
            "deleteclass",
            "deleteinstance",
            "pack",
        ];
        let name = pragma.name;
        if name.is("include") {
            self.include(source, pragma, ahead);
        } else if name.is("namespace") {
            if let Some((text, _)) = self.text_argument(source, pragma) {
                self.namespace = pragma_namespace(text);
            }
        } else if !IGNORED.iter().any(|known| name.is(known)) {
            let message = format!("the pragma {} is not known and is ignored", quote(name.text));
            self.findings.warn(Diagnostic::new(source, name.span, message));
        }
    }

    fn include(&mut self, source: &'a Source, pragma: &Pragma<'a>, ahead: &mut Option<Ahead<'a, 'c>>) {
        let Some((file, span)) = self.text_argument(source, pragma) else { return };
        if self.depth == MAX_INCLUDE_DEPTH {
            self.error(Diagnostic::new(source, span, "files include each other too deep"));
            return;
        }
        self.depth += 1;
        let included = match ahead.as_mut().and_then(|ahead| ahead.take(file)) {
            Some(read) => read.map(|parsed| self.file(parsed.source, |_| parsed)),
            None => self.loader.load(&source.name, file).map(|included| {
                let included = self.shelf.put(included);
                self.file(included, Parsed::of);
            }),
        };
        self.depth -= 1;
        if let Err(error) = included {
            let message = format!("cannot include {}: {error}", quote(file));
            let mut diagnostic = Diagnostic::new(source, span, message);
            if error == LoadError::NotFound {
                diagnostic = diagnostic.hint("the path is relative to the directory of this file");
            }
            self.error(diagnostic);
        }
    }

    /// Begins to read what a source includes.
    fn ahead(&mut self, source: &'a Source, items: &[Item<'a>]) -> Option<Ahead<'a, 'c>> {
        if self.depth == MAX_INCLUDE_DEPTH {
            return None;
        }
        let mut files = Vec::new();
        let mut named = HashSet::new();
        for item in items {
            if let Item::Pragma(pragma) = item
                && pragma.name.is("include")
                && let Some(Literal { kind: LiteralKind::String(file), .. }) = pragma.arguments.first()
                // What is included again has been seen when its turn comes.
                && named.insert(file.as_ref())
            {
                files.push(file.to_string());
            }
        }
        Ahead::begin(self.threads, self.loader, source, files, |count| self.shelf.row(count))
    }

    fn text_argument<'p>(&mut self, source: &Source, pragma: &'p Pragma<'a>) -> Option<(&'p str, Span)> {
        match pragma.arguments.first() {
            Some(Literal { kind: LiteralKind::String(text), span }) => Some((text, *span)),
            other => {
                let span = other.map_or(pragma.name.span, |literal| literal.span);
                let message =
                    format!("the pragma {} takes a string: (\"…\")", pragma.name.text.to_ascii_lowercase());
                self.error(Diagnostic::new(source, span, message));
                None
            }
        }
    }

    // ---- Classes and instances

    /// Adds a class, and then those that waited for it.
    fn class(&mut self, unit: Unit<'a>) {
        let mut ready = vec![unit];
        while let Some(unit) = ready.pop() {
            if let Some(superclass) = unit.item.superclass
                && !self.schemas.get(&unit.namespace).is_some_and(|s| s.contains(superclass.text))
            {
                let key = (unit.namespace.clone(), Name::new(superclass.text));
                self.waiting.entry(key).or_default().push(unit);
                continue;
            }
            let Unit { source, namespace, item } = unit;
            let name = item.name;
            if let Some(alias) = item.alias {
                let path = ClassPath::new(namespace.clone(), name.text);
                self.alias(source, alias, path.into());
            }
            let added = self.declarer(source, &namespace, |declarer, schema| {
                let class = declarer.class(schema, item);
                match schema.declared(class.name.as_str()) {
                    Some(known) if **known == class => Ok(()),
                    _ => schema.add_class(class),
                }
            });
            match added {
                Ok(()) => {}
                Err(error @ SchemaError::ClassExists(_)) => {
                    let diagnostic =
                        Diagnostic::new(source, name.span, format!("{error}, declared differently"));
                    self.error(diagnostic.hint("only a declaration in the same words may be repeated"));
                }
                Err(error) => self.error(Diagnostic::new(source, name.span, error.to_string())),
            }
            if !self.waiting.is_empty()
                && let Some(next) = self.waiting.remove(&(namespace, Name::new(name.text)))
            {
                // Popped from the end: keep the order of the text.
                ready.extend(next.into_iter().rev());
            }
        }
    }

    fn instance(&mut self, source: &'a Source, item: InstanceItem<'a>) {
        // WMI makes a namespace by an instance of this class.
        if item.class.is("__Namespace") {
            let name = item.values.iter().find(|(name, _)| name.is("Name"));
            match name.map(|(_, literal)| &literal.kind) {
                Some(LiteralKind::String(text)) => {
                    let child = NamespaceName::new(format!("{}/{text}", self.namespace));
                    self.schemas.entry(child).or_default();
                }
                _ => {
                    let message = "an instance of __Namespace needs a Name";
                    self.error(Diagnostic::new(source, item.class.span, message));
                }
            }
            return;
        }
        self.instances.push(Pending { source, namespace: self.namespace.clone(), item });
    }

    fn alias(&mut self, source: &Source, alias: Word<'a>, path: ObjectPath) {
        if self.class_aliases.insert(Name::new(alias.text), path).is_some() {
            let message = format!("the alias {} is given twice", quote(alias.text));
            self.error(Diagnostic::new(source, alias.span, message));
        }
    }

    // ---- The end

    fn finish(mut self) -> Result<Compiled, Vec<Diagnostic>> {
        self.report_orphans();
        let mut compiled = Compiled::default();
        // After a missing class or a wrong one, what is said of its instances would only be noise.
        if self.findings.errors.is_empty() {
            compiled.instances = instances::build(
                std::mem::take(&mut self.instances),
                std::mem::take(&mut self.class_aliases),
                self.schemas,
                &mut self.findings,
            );
        }
        self.report_missing();
        if self.findings.errors.is_empty() {
            compiled.warnings = self.findings.warnings;
            Ok(compiled)
        } else {
            self.findings.errors.truncate(MAX_ERRORS);
            Err(self.findings.errors)
        }
    }

    /// Reports classes that are referred to and were never declared: each once.
    fn report_missing(&mut self) {
        let mut told = HashSet::new();
        for Mention { namespace, class, source, span } in std::mem::take(&mut self.findings.mentions) {
            let schema = self.schemas.get(&namespace);
            if schema.is_some_and(|s| s.contains(class.as_str())) {
                continue;
            }
            if !told.insert((namespace.clone(), class.clone())) {
                continue;
            }
            if self.findings.full(self.strict) {
                break;
            }
            let mut diagnostic = Diagnostic::new(source, span, format!("class {class} is not declared"));
            let known = schema.map(Schema::class_names).unwrap_or_default();
            diagnostic.hint = did_you_mean(class.as_str(), known.iter().map(Name::as_str));
            self.findings.lenient(self.strict, diagnostic);
        }
    }

    /// Reports classes whose superclass never came; not those whose superclass is itself reported, unless they all wait for each
    /// other.
    fn report_orphans(&mut self) {
        let waiting = std::mem::take(&mut self.waiting);
        let declared: HashSet<(NamespaceName, Name)> =
            waiting.values().flatten().map(|u| (u.namespace.clone(), Name::new(u.item.name.text))).collect();
        let circular = waiting.keys().all(|key| declared.contains(key));
        let mut found = Vec::new();
        for (key, units) in &waiting {
            if declared.contains(key) && !circular {
                continue;
            }
            let schema = self.schemas.get(&key.0);
            let known = schema.map(Schema::class_names).unwrap_or_default();
            for Unit { source, item, .. } in units {
                let Some(superclass) = item.superclass else { continue };
                let message = if circular {
                    format!("class {} is its own ancestor", item.name.text)
                } else {
                    format!("the superclass {} of {} is not declared", superclass.text, item.name.text)
                };
                let mut diagnostic = Diagnostic::new(source, superclass.span, message);
                diagnostic.hint = did_you_mean(superclass.text, known.iter().map(Name::as_str));
                found.push(diagnostic);
            }
        }
        // The map has no order; the reader wants one.
        found.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        self.findings.errors.extend(found);
    }

    fn error(&mut self, diagnostic: Diagnostic) {
        self.findings.errors.push(diagnostic);
    }
}

/// The namespace of `#pragma namespace`: `root/x`, or WMI's `\\host\Root\x`, whose host is this one.
fn pragma_namespace(text: &str) -> NamespaceName {
    let local = match text.strip_prefix("\\\\").or_else(|| text.strip_prefix("//")) {
        Some(rest) => rest.find(['\\', '/']).map_or("", |at| &rest[at..]),
        None => text,
    };
    NamespaceName::new(local)
}
