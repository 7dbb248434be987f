//! From class items to the model: features, their types and what they override (DSP0004 5.1).

use super::ast::{
    ArrayBounds, ClassItem, DataType, Feature, FeatureKind, Literal, ParameterItem, QualifierUse, Span, Word,
};
use super::compile::{Findings, Mention};
use super::diagnostic::{Diagnostic, quote};
use super::instances::DefaultPlace;
use super::qualify::{Element, inherited_qualifier};
use super::source::Source;
use cimwright_cim::class;
use cimwright_cim::{
    CimType, Class, Embedded, Method, Name, NamespaceName, Parameter, Property, Qualifier, Schema, Value,
};

/// Makes declarations of one source; what is wrong with them goes to `findings` and is left out.
pub(super) struct Declarer<'c, 'a> {
    pub(super) source: &'a Source,
    pub(super) namespace: &'c NamespaceName,
    pub(super) strict: bool,
    /// The qualifiers that hold where the namespace declares none of that name.
    pub(super) common: Option<&'c Schema>,
    /// How many objects the source stands in.
    pub(super) depth: u32,
    pub(super) findings: &'c mut Findings<'a>,
}

/// The type of a property or parameter.
#[derive(Clone, Copy)]
pub(super) struct Shape {
    pub(super) cim_type: CimType,
    pub(super) is_array: bool,
}

impl Declarer<'_, '_> {
    // ---- Classes

    /// The class as declared. Its superclass, if it has one, is in the schema.
    pub(super) fn class(&mut self, schema: &Schema, item: ClassItem<'_>) -> Class {
        let above: Vec<&Class> =
            item.superclass.iter().flat_map(|s| schema.ancestry(s.text)).map(|c| &**c).collect();
        let inherited: Vec<&[Qualifier]> = above.iter().map(|c| &*c.qualifiers).collect();
        let passed_on = |name| inherited_qualifier(&inherited, name).is_some_and(Qualifier::is_true);
        let stated = |name: &str| item.qualifiers.iter().any(|q| q.name.is(name));
        let element = Element::Class {
            association: stated("Association") || passed_on("Association"),
            indication: stated("Indication") || passed_on("Indication"),
        };
        let mut class = Class::new(item.name.text);
        class.superclass = above.first().map(|p| p.name.clone());
        class.qualifiers = self.qualifiers(schema, item.qualifiers, element, &inherited);
        class.properties.reserve(item.features.len());
        for feature in item.features {
            let name = feature.name;
            let taken = class.property(name.text).is_some() || class.method(name.text).is_some();
            if taken {
                self.error(name.span, format!("{} declares {} twice", class.name, quote(name.text)));
                continue;
            }
            self.feature(schema, &mut class, &above, feature);
        }
        class
    }

    fn feature(&mut self, schema: &Schema, class: &mut Class, above: &[&Class], feature: Feature<'_>) {
        let Feature { qualifiers, data_type, name, kind } = feature;
        match kind {
            FeatureKind::Property { array, default } => {
                let old: Vec<&Property> = above.iter().filter_map(|c| c.property(name.text)).collect();
                let place = override_span(&qualifiers);
                let property =
                    self.property(schema, class, &old, (qualifiers, data_type, name), array, default);
                let Some(property) = property else { return };
                let parent = above.first().copied();
                self.check_override(&property.qualifiers, place, !old.is_empty(), parent, name);
                class.properties.push(property);
            }
            FeatureKind::Method(parameters) => {
                let old: Vec<&Method> = above.iter().filter_map(|c| c.method(name.text)).collect();
                let place = override_span(&qualifiers);
                let return_type = match data_type {
                    DataType::Named(word) if word.is("void") => None,
                    DataType::Named(word) => CimType::from_keyword(word.text),
                    other => self.data_type(schema, class, other).map(|(cim_type, ..)| cim_type),
                };
                let inherited: Vec<&[Qualifier]> = old.iter().map(|m| &*m.qualifiers).collect();
                let mut method = Method {
                    name: Name::new(name.text),
                    return_type,
                    parameters: Vec::with_capacity(parameters.len()),
                    class_origin: None,
                    propagated: false,
                    qualifiers: self.qualifiers(schema, qualifiers, Element::Method, &inherited),
                };
                let parent = above.first().copied();
                self.check_override(&method.qualifiers, place, !old.is_empty(), parent, name);
                for parameter in parameters {
                    if method.parameter(parameter.name.text).is_some() {
                        let message =
                            format!("{} has two parameters {}", method.name, quote(parameter.name.text));
                        self.error(parameter.name.span, message);
                        continue;
                    }
                    let before: Vec<&[Qualifier]> = old
                        .iter()
                        .map_while(|m| m.parameter(parameter.name.text).map(|p| &*p.qualifiers))
                        .collect();
                    let parameter = self.parameter(schema, class, &before, parameter);
                    method.parameters.extend(parameter);
                }
                class.methods.push(method);
            }
        }
    }

    fn property(
        &mut self,
        schema: &Schema,
        class: &Class,
        old: &[&Property],
        (qualifiers, data_type, name): (Vec<QualifierUse<'_>>, DataType<'_>, Word<'_>),
        array: Option<ArrayBounds>,
        default: Option<Literal<'_>>,
    ) -> Option<Property> {
        let (cim_type, mut embedded, mut reference_class) = self.data_type(schema, class, data_type)?;
        let is_array = array.is_some();
        let element = if cim_type == CimType::Reference { Element::Reference } else { Element::Property };
        if let Some(old) = old.first()
            && (old.cim_type != cim_type || old.is_array != is_array)
        {
            let message = format!(
                "{}.{} overrides a property of type {}",
                class.name,
                name.text,
                type_text(old.cim_type, old.is_array)
            );
            self.error(name.span, message);
            return None;
        }
        if cim_type == CimType::Reference && is_array {
            self.error(name.span, "a reference of a class cannot be an array; only a parameter can");
            return None;
        }
        let inherited: Vec<&[Qualifier]> = old.iter().map(|p| &*p.qualifiers).collect();
        let qualifiers = self.qualifiers(schema, qualifiers, element, &inherited);
        self.embedding(schema, class, cim_type, name, &qualifiers, &mut embedded, &mut reference_class);
        let value = match default {
            None => None,
            Some(literal) => {
                let shape = Shape { cim_type, is_array };
                // An overriding property is embedded like the one it overrides.
                let embedded = embedded.or_else(|| old.iter().find_map(|p| p.embedded));
                self.default_value(schema, literal, shape, embedded)
            }
        };
        Some(Property {
            name: Name::new(name.text),
            cim_type,
            is_array,
            array_size: array.and_then(|a| a.size),
            value,
            embedded,
            reference_class,
            class_origin: None,
            propagated: false,
            qualifiers,
        })
    }

    fn parameter(
        &mut self,
        schema: &Schema,
        class: &Class,
        inherited: &[&[Qualifier]],
        item: ParameterItem<'_>,
    ) -> Option<Parameter> {
        let (cim_type, mut embedded, mut reference_class) = self.data_type(schema, class, item.data_type)?;
        let qualifiers = self.qualifiers(schema, item.qualifiers, Element::Parameter, inherited);
        self.embedding(schema, class, cim_type, item.name, &qualifiers, &mut embedded, &mut reference_class);
        Some(Parameter {
            name: Name::new(item.name.text),
            cim_type,
            is_array: item.array.is_some(),
            array_size: item.array.and_then(|a| a.size),
            embedded,
            reference_class,
            qualifiers,
        })
    }

    fn data_type(
        &mut self,
        schema: &Schema,
        class: &Class,
        data_type: DataType<'_>,
    ) -> Option<(CimType, Option<Embedded>, Option<Name>)> {
        match data_type {
            DataType::Named(word) => match CimType::from_keyword(word.text) {
                Some(cim_type) => Some((cim_type, None, None)),
                None => {
                    self.error(word.span, "only a method can be void");
                    None
                }
            },
            // WMI: a reference to anything.
            DataType::Reference(word) if word.is("object") => Some((CimType::Reference, None, None)),
            DataType::Reference(word) => {
                Some((CimType::Reference, None, Some(self.mention(schema, class, word))))
            }
            DataType::Object(None) => Some((CimType::String, Some(Embedded::Object), None)),
            DataType::Object(Some(word)) => {
                Some((CimType::String, Some(Embedded::Instance), Some(self.mention(schema, class, word))))
            }
        }
    }

    /// What the qualifiers EmbeddedInstance and EmbeddedObject say (DSP0004 5.6.3.14, 5.6.3.15).
    #[allow(clippy::too_many_arguments, reason = "properties and parameters share the rule and no type")]
    fn embedding(
        &mut self,
        schema: &Schema,
        class: &Class,
        cim_type: CimType,
        name: Word<'_>,
        qualifiers: &[Qualifier],
        embedded: &mut Option<Embedded>,
        reference_class: &mut Option<Name>,
    ) {
        let Some((carried, target)) = carried(qualifiers) else { return };
        // The type `object:CLASS` is WMI's, the qualifiers are DSP0004's: they hold.
        if embedded.is_some()
            && let Some(typed) = reference_class
            && !target.is_some_and(|target| typed.is(target))
        {
            let said = target.map_or("any object".to_owned(), |target| format!("objects of {target}"));
            let message = format!(
                "{} carries objects of {typed} by its type and {said} by its qualifier: leave one of them out",
                quote(name.text)
            );
            self.lenient(name.span, message);
        }
        *embedded = Some(carried);
        *reference_class =
            target.map(|target| self.mention(schema, class, Word { text: target, span: name.span }));
        if cim_type != CimType::String {
            let message =
                format!("{} carries an object and must be a string, not {cim_type}", quote(name.text));
            self.error(name.span, message);
        }
    }

    /// The name of a class that must exist by the end of the compilation.
    fn mention(&mut self, schema: &Schema, class: &Class, word: Word<'_>) -> Name {
        if let Some(known) = schema.declared(word.text) {
            return known.name.clone();
        }
        if class.name.is(word.text) {
            return class.name.clone();
        }
        let name = Name::new(word.text);
        self.findings.mentions.push(Mention {
            namespace: self.namespace.clone(),
            class: name.clone(),
            source: self.source,
            span: word.span,
        });
        name
    }

    /// Whether the qualifier Override, whose value may be the one of its declaration, says what is done. `place` is where it stands.
    fn check_override(
        &mut self,
        qualifiers: &[Qualifier],
        place: Option<Span>,
        overrides: bool,
        parent: Option<&Class>,
        name: Word<'_>,
    ) {
        let (Some(found), Some(span)) = (class::find(qualifiers, "Override"), place) else { return };
        match &found.value {
            Some(Value::String(target)) => {
                // WMI writes the class in front; DSP0004 does not. The last part is the name either way.
                let target = target.rsplit('.').next().unwrap_or_default();
                if !name.is(target) {
                    let message = format!("{} can only override {0}, not {}", name.text, quote(target));
                    self.error(span, message);
                    return;
                }
            }
            None => return,
            // Undeclared or declared of another type: it says only that something is overridden.
            Some(_) => {}
        }
        if !overrides {
            let message = match parent {
                Some(parent) => format!("{} has no {} to override", parent.name, quote(name.text)),
                None => format!("there is no superclass whose {} could be overridden", quote(name.text)),
            };
            self.lenient(span, message);
        }
    }

    // ---- Values

    /// The default of a property; what is wrong with it is reported, and then it has none.
    fn default_value(
        &mut self,
        schema: &Schema,
        literal: Literal<'_>,
        shape: Shape,
        embedded: Option<Embedded>,
    ) -> Option<Value> {
        let ledger = std::mem::take(&mut self.findings.ledger);
        let place =
            DefaultPlace { source: self.source, namespace: self.namespace, schema, depth: self.depth };
        let (found, ledger) = place.value(literal, shape, embedded, ledger);
        self.findings.ledger = ledger;
        match found {
            Ok(value) => value,
            Err(diagnostic) => {
                self.findings.errors.push(*diagnostic);
                None
            }
        }
    }

    // ---- Findings

    pub(super) fn error(&mut self, span: Span, message: impl Into<String>) {
        if !self.findings.full(true) {
            self.findings.errors.push(Diagnostic::new(self.source, span, message));
        }
    }

    pub(super) fn warning(&mut self, span: Span, message: impl Into<String>) {
        if !self.findings.full(false) {
            self.findings.warn(Diagnostic::new(self.source, span, message));
        }
    }

    /// An error by the strict rules, else a warning.
    pub(super) fn lenient(&mut self, span: Span, message: impl Into<String>) {
        if self.strict { self.error(span, message) } else { self.warning(span, message) }
    }
}

/// What a string carries by its qualifiers: objects, and of which class if they are instances. A qualifier that is there and says
/// nothing (FALSE, NULL, a value of another type) counts for nothing.
pub(super) fn carried(qualifiers: &[Qualifier]) -> Option<(Embedded, Option<&str>)> {
    let class = class::find(qualifiers, "EmbeddedInstance").and_then(|q| q.value.as_ref()?.as_str());
    match class {
        Some(class) => Some((Embedded::Instance, Some(class))),
        None => class::is_true(qualifiers, "EmbeddedObject").then_some((Embedded::Object, None)),
    }
}

/// Where the qualifier Override says what it says.
fn override_span(qualifiers: &[QualifierUse<'_>]) -> Option<Span> {
    let found = qualifiers.iter().find(|q| q.name.is("Override"))?;
    Some(found.value.as_ref().map_or(found.name.span, |value| value.span))
}

fn type_text(cim_type: CimType, is_array: bool) -> String {
    format!("{cim_type}{}", if is_array { "[]" } else { "" })
}
