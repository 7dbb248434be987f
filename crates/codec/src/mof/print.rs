//! The model as MOF. What is printed compiles to what it was printed from.

use super::declare::carried;
use crate::uri;
use cimwright_cim::{
    CimType, Class, Embedded, Flavor, Instance, Method, Name, Property, Qualifier, QualifierDeclaration,
    QualifierScope, Schema, Scopes, Value,
};
use std::fmt::Write;

/// Strings are split so that their lines do not get much longer, in characters.
const PIECE: usize = 76;

/// How far a line may get before the elements of an array go to the next, in bytes.
const LINE: usize = 100;

/// A class as MOF, with the features it holds: of a declared class its own, of a resolved one the inherited too.
///
/// With the schema at hand, qualifiers show only those flavors that differ from their declaration.
pub fn print_class(class: &Class, schema: Option<&Schema>) -> String {
    let mut printer = Printer::new(1024, schema);
    printer.class(class);
    printer.out
}

/// A qualifier declaration as MOF.
pub fn print_qualifier(declaration: &QualifierDeclaration) -> String {
    let mut printer = Printer::new(128, None);
    printer.qualifier_declaration(declaration);
    printer.out
}

/// An instance as MOF, without its path. Embedded objects become strings that hold their MOF.
pub fn print_instance(instance: &Instance) -> String {
    let mut printer = Printer::new(512, None);
    printer.instance(instance);
    printer.out
}

/// A whole schema as MOF: the qualifier declarations by name, then the classes in the order they were added.
pub fn print_schema(schema: &Schema) -> String {
    let mut printer = Printer::new(64 * 1024, Some(schema));
    for declaration in schema.qualifiers() {
        printer.qualifier_declaration(declaration);
    }
    for class in schema.class_names().iter().filter_map(|name| schema.declared(name.as_str())) {
        printer.out.push('\n');
        printer.class(class);
    }
    printer.out
}

struct Printer<'a> {
    out: String,
    schema: Option<&'a Schema>,
    /// Whether this becomes the text of a string. Its own strings are written so that what the quotes of the one around them do to
    /// them adds to their length and does not double it, and on one line.
    embedded: bool,
}

impl<'a> Printer<'a> {
    fn new(capacity: usize, schema: Option<&'a Schema>) -> Self {
        Self { out: String::with_capacity(capacity), schema, embedded: false }
    }

    fn class(&mut self, class: &Class) {
        self.qualifiers(&class.qualifiers, 0);
        self.words(&["class ", class.name.as_str()]);
        if let Some(superclass) = &class.superclass {
            self.words(&[" : ", superclass.as_str()]);
        }
        self.out.push_str(" {\n");
        for property in &class.properties {
            self.property(property);
        }
        for method in &class.methods {
            self.method(method);
        }
        self.out.push_str("};\n");
    }

    fn property(&mut self, property: &Property) {
        self.out.push('\n');
        self.qualifiers(&property.qualifiers, 4);
        self.indent(4);
        self.data_type(
            property.cim_type,
            property.embedded,
            property.reference_class.as_ref(),
            &property.qualifiers,
        );
        self.words(&[" ", property.name.as_str()]);
        self.brackets(property.is_array, property.array_size);
        if let Some(value) = &property.value {
            self.out.push_str(" = ");
            self.value(Some(value), 8);
        }
        self.out.push_str(";\n");
    }

    fn method(&mut self, method: &Method) {
        self.out.push('\n');
        self.qualifiers(&method.qualifiers, 4);
        self.indent(4);
        match method.return_type {
            None => self.out.push_str("void"),
            Some(CimType::Reference) => self.out.push_str("object REF"),
            Some(cim_type) => self.out.push_str(cim_type.keyword()),
        }
        self.words(&[" ", method.name.as_str(), "("]);
        for (at, parameter) in method.parameters.iter().enumerate() {
            self.out.push_str(if at == 0 { "\n" } else { ",\n" });
            self.qualifiers(&parameter.qualifiers, 8);
            self.indent(8);
            self.data_type(
                parameter.cim_type,
                parameter.embedded,
                parameter.reference_class.as_ref(),
                &parameter.qualifiers,
            );
            self.words(&[" ", parameter.name.as_str()]);
            self.brackets(parameter.is_array, parameter.array_size);
        }
        self.out.push_str(");\n");
    }

    fn data_type(
        &mut self,
        cim_type: CimType,
        embedded: Option<Embedded>,
        target: Option<&Name>,
        qualifiers: &[Qualifier],
    ) {
        if cim_type == CimType::Reference {
            self.words(&[target.map_or("object", Name::as_str), " REF"]);
            return;
        }
        let said = carried(qualifiers).is_some();
        match (embedded, target) {
            // An object that no qualifier speaks of was declared in WMI's way.
            (Some(Embedded::Instance), Some(target)) if !said => self.words(&["object:", target.as_str()]),
            (Some(_), _) if !said => self.out.push_str("object"),
            _ => self.out.push_str(cim_type.keyword()),
        }
    }

    fn brackets(&mut self, is_array: bool, size: Option<u32>) {
        match (is_array, size) {
            (false, _) => {}
            (true, None) => self.out.push_str("[]"),
            (true, Some(size)) => self.words(&["[", &size.to_string(), "]"]),
        }
    }

    // ---- Qualifiers

    fn qualifiers(&mut self, qualifiers: &[Qualifier], indent: usize) {
        // Qualifiers of a feature stand two further in than the feature, so that the names catch the eye.
        let indent = if indent == 0 { 0 } else { indent + 2 };
        for (at, qualifier) in qualifiers.iter().enumerate() {
            if at == 0 {
                self.indent(indent);
                self.out.push('[');
            } else {
                self.out.push_str(",\n");
                self.indent(indent + 1);
            }
            self.out.push_str(qualifier.name.as_str());
            match &qualifier.value {
                Some(Value::Boolean(true)) => {}
                Some(value @ Value::Array(_)) => {
                    self.out.push(' ');
                    self.value(Some(value), indent + 5);
                }
                value => {
                    self.out.push('(');
                    self.value(value.as_ref(), indent + 5);
                    self.out.push(')');
                }
            }
            let declared = self.schema.and_then(|s| s.qualifier(qualifier.name.as_str()));
            let words = flavor_words(qualifier.flavor, declared.map(|d| d.flavor).unwrap_or_default());
            if !words.is_empty() {
                self.words(&[" : ", &words.join(" ")]);
            }
        }
        if !qualifiers.is_empty() {
            self.out.push_str("]\n");
        }
    }

    fn qualifier_declaration(&mut self, declaration: &QualifierDeclaration) {
        let QualifierDeclaration { name, cim_type, is_array, array_size, value, scopes, flavor } =
            declaration;
        self.words(&["Qualifier ", name.as_str(), " : ", cim_type.keyword()]);
        self.brackets(*is_array, *array_size);
        if let Some(value) = value {
            self.out.push_str(" = ");
            self.value(Some(value), 4);
        }
        self.words(&[", Scope(", &scope_words(*scopes).join(", "), ")"]);
        let words = flavor_words(*flavor, Flavor::default());
        if !words.is_empty() {
            self.words(&[", Flavor(", &words.join(", "), ")"]);
        }
        self.out.push_str(";\n");
    }

    // ---- Instances and values

    fn instance(&mut self, instance: &Instance) {
        self.words(&["instance of ", instance.class.as_str(), " {\n"]);
        for property in &instance.properties {
            self.indent(4);
            self.words(&[property.name.as_str(), " = "]);
            self.value(property.value.as_ref(), 8);
            self.out.push_str(";\n");
        }
        self.out.push_str("};\n");
    }

    fn value(&mut self, value: Option<&Value>, indent: usize) {
        let Some(value) = value else {
            self.out.push_str("NULL");
            return;
        };
        // Writing to a string cannot fail.
        match value {
            Value::Boolean(b) => self.out.push_str(if *b { "TRUE" } else { "FALSE" }),
            Value::String(text) => self.string(text, indent),
            Value::Char16(unit) => {
                self.out.push('\'');
                match char::from_u32(u32::from(*unit)) {
                    Some(c) => self.character(c, '\''),
                    None => {
                        let _ = write!(self.out, "\\x{unit:04X}");
                    }
                }
                self.out.push('\'');
            }
            Value::Real32(x) => self.real(f64::from(*x), &format!("{x:?}")),
            Value::Real64(x) => self.real(*x, &format!("{x:?}")),
            Value::DateTime(time) => {
                let _ = write!(self.out, "\"{time}\"");
            }
            Value::Reference(path) => self.string(&uri::to_text(path), indent),
            Value::Instance(instance) | Value::InstanceText(instance) => {
                self.object(|inner| inner.instance(instance), indent);
            }
            Value::Class(class) => self.object(|inner| inner.class(class), indent),
            Value::Array(items) => self.array(items, indent),
            integer => {
                let _ = write!(self.out, "{}", integer.as_i128().unwrap_or_default());
            }
        }
    }

    fn array(&mut self, items: &[Option<Value>], indent: usize) {
        self.out.push('{');
        for (at, item) in items.iter().enumerate() {
            self.out.push_str(if at == 0 { " " } else { ", " });
            let (element, line) = (self.out.len(), self.line_start());
            self.value(item.as_ref(), indent + 2);
            if self.out.len() - line > LINE && element - line > indent {
                // Instead of the space before it.
                self.out.replace_range(element - 1..element, &format!("\n{:indent$}", ""));
            }
        }
        self.out.push_str(" }");
    }

    /// An object as a string that holds its MOF.
    fn object(&mut self, write: impl FnOnce(&mut Self), indent: usize) {
        let mut inner = Self { embedded: true, ..Self::new(512, self.schema) };
        write(&mut inner);
        self.string(&inner.out, indent);
    }

    /// A string, split after spaces where it is long.
    fn string(&mut self, text: &str, indent: usize) {
        let mut rest = text;
        loop {
            let piece = if self.embedded { rest } else { first_piece(rest) };
            self.out.push('"');
            for c in piece.chars() {
                self.character(c, '"');
            }
            self.out.push('"');
            rest = &rest[piece.len()..];
            if rest.is_empty() {
                return;
            }
            self.out.push('\n');
            self.indent(indent);
        }
    }

    fn character(&mut self, c: char, quote: char) {
        match c {
            '\u{8}' => self.out.push_str("\\b"),
            '\t' => self.out.push_str("\\t"),
            '\n' => self.out.push_str("\\n"),
            '\u{c}' => self.out.push_str("\\f"),
            '\r' => self.out.push_str("\\r"),
            '\\' if !self.embedded => self.out.push_str("\\\\"),
            c if c == quote && !self.embedded => {
                self.out.push('\\');
                self.out.push(c);
            }
            // Four digits, so that what follows cannot be taken for more of them.
            c if c < ' ' || c == '\u{7f}' || c == '\\' || c == quote => {
                let _ = write!(self.out, "\\x{:04X}", u32::from(c));
            }
            c => self.out.push(c),
        }
    }

    /// A real in the shortest form that reads back the same. MOF has no spelling for infinities and NaN.
    fn real(&mut self, value: f64, shortest: &str) {
        match shortest.split_once('e') {
            _ if !value.is_finite() => self.out.push_str("NULL"),
            Some((mantissa, exponent)) if !mantissa.contains('.') => {
                self.words(&[mantissa, ".0e", exponent]);
            }
            _ => self.out.push_str(shortest),
        }
    }

    // ---- Text

    fn words(&mut self, words: &[&str]) {
        for word in words {
            self.out.push_str(word);
        }
    }

    fn indent(&mut self, by: usize) {
        for _ in 0..by {
            self.out.push(' ');
        }
    }

    fn line_start(&self) -> usize {
        self.out.rfind('\n').map_or(0, |at| at + 1)
    }
}

/// As much of the text as goes on one line: up to the last space before the limit, or the first one after it.
fn first_piece(text: &str) -> &str {
    let Some((limit, _)) = text.char_indices().nth(PIECE) else { return text };
    let end = match text[..limit].rfind(' ').or_else(|| text[limit..].find(' ').map(|at| limit + at)) {
        Some(space) => space + 1,
        None => text.len(),
    };
    &text[..end]
}

/// The flavor keywords that make `flavor` of `base`.
fn flavor_words(flavor: Flavor, base: Flavor) -> Vec<&'static str> {
    let mut words = Vec::new();
    if flavor.overridable != base.overridable {
        words.push(if flavor.overridable { "EnableOverride" } else { "DisableOverride" });
    }
    if flavor.to_subclass != base.to_subclass {
        words.push(if flavor.to_subclass { "ToSubclass" } else { "Restricted" });
    }
    if flavor.to_instance != base.to_instance {
        words.push(if flavor.to_instance { "ToInstance" } else { "NotToInstance" });
    }
    // There is no keyword for what may not be translated.
    if flavor.translatable && !base.translatable {
        words.push("Translatable");
    }
    words
}

fn scope_words(scopes: Scopes) -> Vec<&'static str> {
    if scopes == Scopes::ANY {
        return vec!["any"];
    }
    [
        (QualifierScope::Class, "class"),
        (QualifierScope::Association, "association"),
        (QualifierScope::Indication, "indication"),
        (QualifierScope::Property, "property"),
        (QualifierScope::Reference, "reference"),
        (QualifierScope::Method, "method"),
        (QualifierScope::Parameter, "parameter"),
    ]
    .into_iter()
    .filter(|(scope, _)| scopes.contains(*scope))
    .map(|(_, word)| word)
    .collect()
}
