//! Qualifiers: their declarations, and the values that stand on elements (DSP0004 5.6.3).

use super::ast::{Flavors, Literal, LiteralKind, QualifierItem, QualifierUse, Word};
use super::declare::{Declarer, Shape};
use super::diagnostic::{Diagnostic, did_you_mean, quote};
use super::instances::{At, convert};
use super::limits::Use;
use super::literal::scalar;
use cimwright_cim::class;
use cimwright_cim::{
    CimType, Flavor, Name, Qualifier, QualifierDeclaration, QualifierScope, Schema, Scopes, Value,
};

/// What a qualifier stands on.
#[derive(Clone, Copy)]
pub(super) enum Element {
    Class { association: bool, indication: bool },
    Property,
    Reference,
    Method,
    Parameter,
}

impl Declarer<'_, '_> {
    // ---- Qualifier declarations

    pub(super) fn qualifier_declaration(
        &mut self,
        schema: &Schema,
        item: QualifierItem<'_>,
    ) -> Option<QualifierDeclaration> {
        let known = schema.qualifier(item.name.text);
        let Some(type_name) = item.type_name else {
            // WMI's short form. Without a declaration to change it has no effect that could be kept.
            let known = known?;
            let flavor = overlay(known.flavor, item.flavors);
            return self.settled(
                Some(known),
                QualifierDeclaration { flavor, ..known.clone() },
                item.name,
                true,
            );
        };
        let cim_type = match CimType::from_keyword(type_name.text) {
            Some(cim_type) if cim_type != CimType::Reference => cim_type,
            _ => {
                let message = format!("{} is no type of a qualifier", quote(type_name.text));
                self.error(type_name.span, message);
                return None;
            }
        };
        let is_array = item.array.is_some();
        let value = match item.default {
            None => None,
            Some(literal) => self.qualifier_value(literal, Shape { cim_type, is_array })?,
        };
        let declaration = QualifierDeclaration {
            name: Name::new(item.name.text),
            cim_type,
            is_array,
            array_size: item.array.and_then(|a| a.size),
            value,
            scopes: item.scopes,
            flavor: overlay(Flavor::default(), item.flavors),
        };
        self.settled(known, declaration, item.name, false)
    }

    /// The declaration if it changes anything. What has been used before stays as it was then: the elements have been made by it, and
    /// a reader of the whole finds the declarations first. `short` is WMI's form, which is there to change.
    fn settled(
        &mut self,
        known: Option<&QualifierDeclaration>,
        declaration: QualifierDeclaration,
        name: Word<'_>,
        short: bool,
    ) -> Option<QualifierDeclaration> {
        // In whatever case: the first spelling stays.
        if known == Some(&declaration) {
            return None;
        }
        let problem = match (known, self.findings.ledger.qualifier_use(self.namespace, name.text)) {
            (None, None) => return Some(declaration),
            // What was made of the uses is what the declaration would have made of them.
            (None, Some(Use::Undeclared { spelling, shape }))
                if spelling.as_str() == name.text
                    && (shape.cim_type, shape.is_array) == (declaration.cim_type, declaration.is_array)
                    && declaration.flavor == Flavor::default() =>
            {
                return Some(declaration);
            }
            (Some(_), None) => {
                if !short {
                    let message = format!("qualifier {} is declared again, differently", name.text);
                    self.warning(name.span, message);
                }
                return Some(declaration);
            }
            (Some(_), Some(_)) => {
                "is declared again, differently, after it has been used; the first declaration holds"
            }
            (None, Some(_)) => "is declared after it has been used, and does not hold",
        };
        if self.findings.full(self.strict) {
            return None;
        }
        let message = format!("qualifier {} {problem}", name.text);
        let diagnostic = Diagnostic::new(self.source, name.span, message);
        let hint = "declare it once, before everything it stands on";
        self.findings.lenient(self.strict, diagnostic.hint(hint));
        None
    }

    // ---- Qualifiers

    /// The qualifiers of an element. `inherited` are those of the elements it overrides, each as it was declared, the nearest first.
    pub(super) fn qualifiers(
        &mut self,
        schema: &Schema,
        uses: Vec<QualifierUse<'_>>,
        element: Element,
        inherited: &[&[Qualifier]],
    ) -> Vec<Qualifier> {
        let mut found: Vec<Qualifier> = Vec::with_capacity(uses.len());
        for one in uses {
            let QualifierUse { name, .. } = one;
            if found.iter().any(|q| q.name.is(name.text)) {
                self.error(name.span, format!("the qualifier {} stands here twice", quote(name.text)));
                continue;
            }
            let own = schema.qualifier(name.text);
            let qualifier = match own.or_else(|| self.common?.qualifier(name.text)) {
                Some(declaration) => self.declared_qualifier(declaration, one, element),
                None => self.undeclared_qualifier(schema, one),
            };
            let Some(qualifier) = qualifier else { continue };
            self.findings.ledger.note_use(self.namespace, &qualifier, own.is_some());
            let before = inherited_qualifier(inherited, qualifier.name.as_str());
            if let Some(before) = before
                && !before.flavor.overridable
                && before.value != qualifier.value
            {
                let message = format!("{} cannot change: its flavor is DisableOverride", qualifier.name);
                self.error(name.span, message);
                continue;
            }
            found.push(qualifier);
        }
        found
    }

    fn declared_qualifier(
        &mut self,
        declaration: &QualifierDeclaration,
        one: QualifierUse<'_>,
        element: Element,
    ) -> Option<Qualifier> {
        let name = one.name;
        if !allowed(declaration.scopes, element) {
            let message = format!("{} cannot stand on {}", declaration.name, element.describe());
            self.lenient(name.span, message);
        }
        if one.flavors.overridable == Some(true) && !declaration.flavor.overridable {
            let message = format!("{} is declared DisableOverride and stays so", declaration.name);
            self.error(name.span, message);
            return None;
        }
        let shape = Shape { cim_type: declaration.cim_type, is_array: declaration.is_array };
        let value = match one.value {
            Some(literal) => self.qualifier_value(literal, shape)?,
            None if declaration.cim_type == CimType::Boolean && !declaration.is_array => {
                Some(Value::Boolean(true))
            }
            None => declaration.value.clone(),
        };
        Some(Qualifier {
            name: declaration.name.clone(),
            cim_type: declaration.cim_type,
            is_array: declaration.is_array,
            value,
            flavor: overlay(declaration.flavor, one.flavors),
            propagated: false,
        })
    }

    /// A qualifier that nobody declared: a mistake by the strict rules, else its type is that of its value.
    fn undeclared_qualifier(&mut self, schema: &Schema, one: QualifierUse<'_>) -> Option<Qualifier> {
        let name = Name::new(one.name.text);
        if self.findings.unknown.insert(name.clone()) && !self.findings.full(self.strict) {
            let message = format!("the qualifier {} is not declared", quote(one.name.text));
            let mut diagnostic = Diagnostic::new(self.source, one.name.span, message);
            let known = schema.qualifiers().map(|q| q.name.as_str());
            diagnostic.hint = did_you_mean(one.name.text, known);
            if schema.qualifiers().next().is_none() {
                diagnostic = diagnostic.hint("no qualifier is: compile or include their declarations first");
            }
            self.findings.lenient(self.strict, diagnostic);
        }
        if self.strict {
            return None;
        }
        let shape = match &one.value {
            None => Shape { cim_type: CimType::Boolean, is_array: false },
            Some(Literal { kind: LiteralKind::Array(items), .. }) => {
                let cim_type = items.iter().map(|i| natural_type(&i.kind)).max().unwrap_or(CimType::String);
                Shape { cim_type, is_array: true }
            }
            Some(literal) => Shape { cim_type: natural_type(&literal.kind), is_array: false },
        };
        let value = match one.value {
            None => Some(Value::Boolean(true)),
            Some(literal) => self.qualifier_value(literal, shape)?,
        };
        Some(Qualifier {
            name,
            cim_type: shape.cim_type,
            is_array: shape.is_array,
            value,
            flavor: overlay(Flavor::default(), one.flavors),
            propagated: false,
        })
    }

    /// The value of a qualifier: a list of one serves for a single value, and a single one for a list. The outer `None` means
    /// that it is wrong, the inner one NULL.
    fn qualifier_value(&mut self, literal: Literal<'_>, shape: Shape) -> Option<Option<Value>> {
        let literal = match (literal.kind, shape.is_array) {
            (LiteralKind::Array(mut items), false) if items.len() == 1 => items.pop()?,
            (kind, true) if !matches!(kind, LiteralKind::Array(_) | LiteralKind::Null) => {
                let span = literal.span;
                Literal { span, kind: LiteralKind::Array(vec![Literal { span, kind }]) }
            }
            (kind, _) => Literal { span: literal.span, kind },
        };
        let at = At { source: self.source, outer: None };
        let found = convert(at, literal, shape, &mut |literal| {
            let span = literal.span;
            scalar(literal, shape.cim_type).map_err(|misfit| {
                let mut diagnostic = at.wrong(span, misfit.message);
                diagnostic.hint = misfit.hint;
                diagnostic
            })
        });
        found.map_err(|diagnostic| self.findings.errors.push(*diagnostic)).ok()
    }
}

impl Element {
    fn describe(self) -> &'static str {
        match self {
            Self::Class { association: true, .. } => "an association",
            Self::Class { indication: true, .. } => "an indication",
            Self::Class { .. } => "a class",
            Self::Property => "a property",
            Self::Reference => "a reference",
            Self::Method => "a method",
            Self::Parameter => "a parameter",
        }
    }
}

/// The qualifier that reaches an element from those it overrides, the nearest first: the first one stated, unless its flavor keeps
/// it from going further (DSP0004 5.6.3).
pub(super) fn inherited_qualifier<'q>(above: &[&'q [Qualifier]], name: &str) -> Option<&'q Qualifier> {
    let nearest = above.iter().find_map(|qualifiers| class::find(qualifiers, name));
    nearest.filter(|q| q.flavor.to_subclass)
}

/// Whether a qualifier with these scopes may stand on the element. Associations and indications are classes too.
fn allowed(scopes: Scopes, element: Element) -> bool {
    let has = |scope| scopes.contains(scope);
    match element {
        Element::Class { association, indication } => {
            has(QualifierScope::Class)
                || (association && has(QualifierScope::Association))
                || (indication && has(QualifierScope::Indication))
        }
        Element::Property => has(QualifierScope::Property),
        Element::Reference => has(QualifierScope::Reference),
        Element::Method => has(QualifierScope::Method),
        Element::Parameter => has(QualifierScope::Parameter),
    }
}

fn overlay(flavor: Flavor, stated: Flavors) -> Flavor {
    Flavor {
        overridable: stated.overridable.unwrap_or(flavor.overridable),
        to_subclass: stated.to_subclass.unwrap_or(flavor.to_subclass),
        to_instance: stated.to_instance.unwrap_or(flavor.to_instance),
        translatable: stated.translatable.unwrap_or(flavor.translatable),
    }
}

fn natural_type(kind: &LiteralKind<'_>) -> CimType {
    match kind {
        LiteralKind::Boolean(_) => CimType::Boolean,
        LiteralKind::Integer(n) if i32::try_from(*n).is_ok() => CimType::Sint32,
        LiteralKind::Integer(n) if *n < 0 => CimType::Sint64,
        LiteralKind::Integer(_) => CimType::Uint64,
        LiteralKind::Real(_) => CimType::Real64,
        LiteralKind::Char(_) => CimType::Char16,
        _ => CimType::String,
    }
}
