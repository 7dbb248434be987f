//! Instances, and the values that need more than a type: references, embedded objects and aliases.

use super::ast::{InstanceItem, Item, Literal, LiteralKind, Span, Word};
use super::compile::{Findings, Schemas};
use super::declare::{Declarer, Shape};
use super::diagnostic::{Diagnostic, did_you_mean, quote};
use super::limits::{Ledger, MAX_DEPTH, TOO_MUCH, instance_weight, levels, path_levels, path_weight, weight};
use super::literal::scalar;
use super::parser::parse_all;
use super::source::Source;
use cimwright_cim::{
    CimType, Class, Embedded, Instance, InstancePath, KeyBinding, Name, NamespaceName, ObjectPath, Property,
    Schema, Value,
};
use std::collections::HashMap;
use std::sync::Arc;

/// An instance declaration and where it belongs.
pub(super) struct Pending<'a> {
    pub(super) source: &'a Source,
    pub(super) namespace: NamespaceName,
    pub(super) item: InstanceItem<'a>,
}

/// A value, or what is wrong with it. Boxed, as the bad case is large and rare.
pub(super) type Found<T> = Result<T, Box<Diagnostic>>;

/// The instances of a compilation whose classes are all known.
pub(super) fn build(
    pending: Vec<Pending<'_>>,
    class_aliases: HashMap<Name, ObjectPath>,
    schemas: &Schemas,
    findings: &mut Findings<'_>,
) -> Vec<(NamespaceName, Instance)> {
    let mut aliases: HashMap<Name, Target> =
        class_aliases.into_iter().map(|(name, path)| (name, Target::Class(path))).collect();
    for (index, Pending { source, item, .. }) in pending.iter().enumerate() {
        if let Some(alias) = item.alias
            && aliases.insert(Name::new(alias.text), Target::Instance(index)).is_some()
        {
            let message = format!("the alias {} is given twice", quote(alias.text));
            findings.errors.push(Diagnostic::new(source, alias.span, message));
        }
    }
    let empty = Schema::new();
    let paths = vec![PathState::Unknown; pending.len()];
    let ledger = std::mem::take(&mut findings.ledger);
    let mut builder = Builder { pending: &pending, aliases, paths, schemas, empty: &empty, ledger };
    let mut built = Vec::with_capacity(pending.len());
    for (index, Pending { namespace, .. }) in pending.iter().enumerate() {
        if findings.full(true) {
            break;
        }
        match builder.pending_instance(index, 0) {
            Ok(instance) => built.push((namespace.clone(), instance)),
            // An instance that several others refer to is wrong only once.
            Err(diagnostic) if findings.errors.contains(&diagnostic) => {}
            Err(diagnostic) => findings.errors.push(*diagnostic),
        }
    }
    built
}

/// Where the default of a property stands, which cannot name an alias.
pub(super) struct DefaultPlace<'d> {
    pub(super) source: &'d Source,
    pub(super) namespace: &'d NamespaceName,
    pub(super) schema: &'d Schema,
    /// How many objects the source stands in.
    pub(super) depth: u32,
}

impl DefaultPlace<'_> {
    /// The value, and the ledger as it is then.
    pub(super) fn value(
        self,
        literal: Literal<'_>,
        shape: Shape,
        embedded: Option<Embedded>,
        ledger: Ledger,
    ) -> (Found<Option<Value>>, Ledger) {
        let Self { source, namespace, schema, depth } = self;
        let schemas = Schemas::new();
        let mut builder = Builder {
            pending: &[],
            aliases: HashMap::new(),
            paths: Vec::new(),
            schemas: &schemas,
            empty: schema,
            ledger,
        };
        let place = Place { at: At { source, outer: None }, namespace, schema };
        let found = builder.value(place, literal, shape, embedded, depth);
        (found, builder.ledger)
    }
}

/// Makes a value of a literal: `one` is asked for each element of an array, or for the literal itself.
pub(super) fn convert<'t>(
    source: At<'_>,
    literal: Literal<'t>,
    shape: Shape,
    one: &mut dyn FnMut(Literal<'t>) -> Found<Option<Value>>,
) -> Found<Option<Value>> {
    let Shape { cim_type, is_array } = shape;
    match (literal.kind, is_array) {
        (LiteralKind::Null, _) => Ok(None),
        (LiteralKind::Array(items), true) => {
            items.into_iter().map(one).collect::<Result<Vec<_>, _>>().map(|items| Some(Value::Array(items)))
        }
        (LiteralKind::Array(_), false) => {
            Err(source.wrong(literal.span, format!("an array stands where one {cim_type} is expected")))
        }
        (kind, true) => {
            let message = format!("{} stands where an array of {cim_type} is expected", kind.describe());
            let mut diagnostic = source.wrong(literal.span, message);
            diagnostic.hint = Some("arrays are written in braces: { 1, 2 }".to_owned());
            Err(diagnostic)
        }
        (kind, false) => one(Literal { span: literal.span, kind }),
    }
}

/// Where spans point to. Those of MOF inside a string have no position of their own in the file.
#[derive(Clone, Copy)]
pub(super) struct At<'t> {
    pub(super) source: &'t Source,
    /// The string that the source is the text of.
    pub(super) outer: Option<(&'t Source, Span)>,
}

impl At<'_> {
    pub(super) fn wrong(self, span: Span, message: impl Into<String>) -> Box<Diagnostic> {
        let diagnostic = Diagnostic::new(self.source, span, message);
        Box::new(match self.outer {
            None => diagnostic,
            Some((source, outer)) => embedded_mistake(source, outer, &diagnostic),
        })
    }
}

fn embedded_mistake(source: &Source, span: Span, inner: &Diagnostic) -> Diagnostic {
    let message =
        format!("in the MOF of this string, line {} column {}: {}", inner.line, inner.column, inner.message);
    let mut diagnostic = Diagnostic::new(source, span, message);
    diagnostic.hint.clone_from(&inner.hint);
    diagnostic
}

/// What an alias stands for.
#[derive(Clone)]
enum Target {
    Class(ObjectPath),
    /// An index into the pending instances.
    Instance(usize),
}

#[derive(Clone)]
enum PathState {
    Unknown,
    /// Being worked out; asking for it now would go in a circle.
    Busy,
    Known(Arc<InstancePath>),
}

/// What an item is read against.
#[derive(Clone, Copy)]
struct Place<'t> {
    at: At<'t>,
    namespace: &'t NamespaceName,
    schema: &'t Schema,
}

struct Builder<'p, 'a> {
    pending: &'p [Pending<'a>],
    aliases: HashMap<Name, Target>,
    paths: Vec<PathState>,
    schemas: &'p Schemas,
    /// Stands in for namespaces that have no schema.
    empty: &'p Schema,
    ledger: Ledger,
}

impl<'p> Builder<'p, '_> {
    fn pending_instance(&mut self, index: usize, depth: u32) -> Found<Instance> {
        let item = &self.pending[index].item;
        let mut instance = self.instance(self.place(index), item, depth)?;
        instance.path = Some((*self.path(index, depth)?).clone());
        Ok(instance)
    }

    fn place(&self, index: usize) -> Place<'p> {
        let Pending { source, namespace, .. } = &self.pending[index];
        let schema = self.schemas.get(namespace).unwrap_or(self.empty);
        Place { at: At { source, outer: None }, namespace, schema }
    }

    /// The path of a pending instance. Only its keys are looked at, so that instances may refer to each other in a circle as
    /// long as they do not identify each other.
    fn path(&mut self, index: usize, depth: u32) -> Found<Arc<InstancePath>> {
        let Pending { item, .. } = &self.pending[index];
        let place = self.place(index);
        match &self.paths[index] {
            PathState::Known(path) => return Ok(Arc::clone(path)),
            PathState::Busy => {
                let message =
                    "the keys of this instance name the instance itself, directly or by way of others";
                return Err(place.at.wrong(item.class.span, message));
            }
            PathState::Unknown => {}
        }
        self.paths[index] = PathState::Busy;
        let path = self.keys(place, item, depth);
        self.paths[index] =
            path.as_ref().map_or(PathState::Unknown, |path| PathState::Known(Arc::clone(path)));
        path
    }

    fn keys(&mut self, place: Place<'_>, item: &InstanceItem<'_>, depth: u32) -> Found<Arc<InstancePath>> {
        let class = class_of(place, item.class)?;
        let mut path = InstancePath::new(place.namespace.clone(), class.name.clone());
        for key in class.keys() {
            let value = match item.values.iter().find(|(name, _)| key.name.is(name.text)) {
                Some((_, literal)) => self.value(place, literal.clone(), shape(key), key.embedded, depth)?,
                None => key.value.clone(),
            };
            if let Some(value) = value {
                path.keys.push(KeyBinding { name: key.name.clone(), value });
            }
        }
        if path_levels(&path) > MAX_DEPTH {
            return Err(place.at.wrong(item.class.span, keys_too_deep()));
        }
        Ok(Arc::new(path))
    }

    /// The instance without its path: the values given, then the defaults of the others.
    fn instance(&mut self, place: Place<'_>, item: &InstanceItem<'_>, depth: u32) -> Found<Instance> {
        let class = class_of(place, item.class)?;
        if class.is_abstract() {
            let message = format!("class {} is abstract and has no instances of its own", class.name);
            return Err(place.at.wrong(item.class.span, message));
        }
        let mut instance = Instance::new(class.name.clone());
        for (name, literal) in &item.values {
            let Some(declared) = class.property(name.text) else {
                let message = format!("{} has no property {}", class.name, quote(name.text));
                let mut diagnostic = place.at.wrong(name.span, message);
                let known = class.properties.iter().map(|p| p.name.as_str());
                diagnostic.hint = did_you_mean(name.text, known);
                return Err(diagnostic);
            };
            if instance.property(name.text).is_some() {
                return Err(place.at.wrong(name.span, format!("{} is given twice", quote(name.text))));
            }
            let value = self.value(place, literal.clone(), shape(declared), declared.embedded, depth)?;
            instance.properties.push(with_value(declared, value));
        }
        for declared in &class.properties {
            if let Some(value) = &declared.value
                && instance.property(declared.name.as_str()).is_none()
            {
                if declared.embedded.is_some() && depth + levels(value) > MAX_DEPTH {
                    let message = format!("with the default of {}, {}", declared.name, embedded_too_deep());
                    return Err(place.at.wrong(item.class.span, message));
                }
                if depth > 0 && !self.ledger.copy(weight(value)) {
                    return Err(place.at.wrong(item.class.span, TOO_MUCH));
                }
                instance.properties.push(with_value(declared, declared.value.clone()));
            }
        }
        Ok(instance)
    }

    fn value(
        &mut self,
        place: Place<'_>,
        literal: Literal<'_>,
        shape: Shape,
        embedded: Option<Embedded>,
        depth: u32,
    ) -> Found<Option<Value>> {
        convert(place.at, literal, shape, &mut |literal| {
            self.single(place, literal, shape.cim_type, embedded, depth)
        })
    }

    fn single(
        &mut self,
        place: Place<'_>,
        literal: Literal<'_>,
        cim_type: CimType,
        embedded: Option<Embedded>,
        depth: u32,
    ) -> Found<Option<Value>> {
        let span = literal.span;
        let leads_on = embedded.is_some() || matches!(literal.kind, LiteralKind::Alias(_));
        if leads_on && depth == MAX_DEPTH {
            let message = if embedded.is_some() { embedded_too_deep() } else { keys_too_deep() };
            return Err(place.at.wrong(span, message));
        }
        match literal.kind {
            LiteralKind::Alias(alias) => {
                self.alias(place, Word { text: alias, span }, cim_type, embedded, depth)
            }
            LiteralKind::Instance(item) if embedded.is_some() => {
                let instance = self.instance(place, &item, depth + 1)?;
                Ok(Some(Value::Instance(Box::new(instance))))
            }
            LiteralKind::String(text) if embedded.is_some() => {
                self.embedded_text(place, &text, span, depth).map(Some)
            }
            LiteralKind::String(text) if cim_type == CimType::Reference => match object_path(&text) {
                Ok(path) => Ok(Some(Value::Reference(Box::new(path)))),
                Err(reason) => {
                    Err(place.at.wrong(span, format!("{} is no object path: {reason}", quote(&text))))
                }
            },
            kind => scalar(Literal { span, kind }, cim_type).map_err(|misfit| {
                let mut diagnostic = place.at.wrong(span, misfit.message);
                diagnostic.hint = misfit.hint;
                diagnostic
            }),
        }
    }

    fn alias(
        &mut self,
        place: Place<'_>,
        alias: Word<'_>,
        cim_type: CimType,
        embedded: Option<Embedded>,
        depth: u32,
    ) -> Found<Option<Value>> {
        if cim_type != CimType::Reference && embedded.is_none() {
            let message = format!("an alias stands for an object and does not fit the type {cim_type}");
            return Err(place.at.wrong(alias.span, message));
        }
        let Some(target) = self.aliases.get(&Name::new(alias.text)).cloned() else {
            return Err(place.at.wrong(alias.span, format!("nothing has the alias {}", quote(alias.text))));
        };
        let path = match target {
            Target::Instance(index) if embedded.is_some() => {
                let there = self.place(index);
                let instance = self.instance(there, &self.pending[index].item, depth + 1)?;
                if !self.ledger.copy(instance_weight(&instance)) {
                    return Err(place.at.wrong(alias.span, TOO_MUCH));
                }
                return Ok(Some(Value::Instance(Box::new(instance))));
            }
            Target::Instance(index) => {
                let path = self.path(index, depth + 1)?;
                // Most paths are short and lead nowhere else.
                if path_levels(&path) > 1 && !self.ledger.copy(path_weight(&path)) {
                    return Err(place.at.wrong(alias.span, TOO_MUCH));
                }
                ObjectPath::Instance((*path).clone())
            }
            Target::Class(path) => path,
        };
        if cim_type == CimType::Reference {
            Ok(Some(Value::Reference(Box::new(path))))
        } else {
            Err(place.at.wrong(alias.span, "the alias of a class stands for its path, which is not embedded"))
        }
    }

    /// The object whose MOF a string holds (DSP0004 annex on embedded objects).
    fn embedded_text(&mut self, place: Place<'_>, text: &str, span: Span, depth: u32) -> Found<Value> {
        // What stands in an alias or a default is read each time it is named.
        if depth > 0 && !self.ledger.copy(text.len()) {
            return Err(place.at.wrong(span, TOO_MUCH));
        }
        let inner = Source::new("", text);
        // Strings in strings in strings: what is told is where the outermost stands.
        let outer = place.at.outer.unwrap_or((place.at.source, span));
        let at = At { source: &inner, outer: Some(outer) };
        let (mut items, mistakes) = parse_all(&inner);
        if let Some(first) = mistakes.first() {
            return Err(Box::new(embedded_mistake(outer.0, outer.1, first)));
        }
        match (items.pop(), items.is_empty()) {
            (Some(Item::Instance(item)), true) => {
                let place = Place { at, ..place };
                Ok(Value::Instance(Box::new(self.instance(place, &item, depth + 1)?)))
            }
            (Some(Item::Class(item)), true) => {
                let ledger = std::mem::take(&mut self.ledger);
                let mut findings = Findings { ledger, ..Findings::default() };
                let Place { namespace, schema, .. } = place;
                let mut declarer = Declarer {
                    source: &inner,
                    namespace,
                    strict: false,
                    common: None,
                    depth: depth + 1,
                    findings: &mut findings,
                };
                let class = declarer.class(schema, item);
                self.ledger = findings.ledger;
                match findings.errors.first() {
                    Some(first) => Err(Box::new(embedded_mistake(outer.0, outer.1, first))),
                    None => Ok(Value::Class(Box::new(class))),
                }
            }
            _ => Err(at.wrong(Span::default(), "one instance or class is expected")),
        }
    }
}

fn class_of<'t>(place: Place<'t>, word: Word<'_>) -> Found<&'t Arc<Class>> {
    place.schema.class(word.text).ok_or_else(|| {
        let message = format!("class {} is not declared in {}", quote(word.text), place.namespace);
        let mut diagnostic = place.at.wrong(word.span, message);
        let known = place.schema.class_names().iter().map(Name::as_str);
        diagnostic.hint = did_you_mean(word.text, known);
        diagnostic
    })
}

fn embedded_too_deep() -> String {
    format!("objects are embedded too deep: at most {MAX_DEPTH} may stand one in the other")
}

fn keys_too_deep() -> String {
    format!("the keys lead too deep: at most {MAX_DEPTH} instances may be identified one by the other")
}

fn shape(property: &Property) -> Shape {
    Shape { cim_type: property.cim_type, is_array: property.is_array }
}

/// The property of an instance: that of the class without its qualifiers, which may be long.
fn with_value(declared: &Property, value: Option<Value>) -> Property {
    Property {
        name: declared.name.clone(),
        cim_type: declared.cim_type,
        is_array: declared.is_array,
        array_size: declared.array_size,
        value,
        embedded: declared.embedded,
        reference_class: declared.reference_class.clone(),
        class_origin: declared.class_origin.clone(),
        propagated: declared.propagated,
        qualifiers: Vec::new(),
    }
}

/// The path that a quoted reference names (DSP0207).
fn object_path(text: &str) -> Result<ObjectPath, &'static str> {
    crate::uri::parse(text).map_err(|e| e.reason)
}
