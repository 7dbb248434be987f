//! Values on the command line: how they are written, and how the class decides what they are.
//!
//! `key=text` gives a scalar, `key=[a, b]` an array (as does naming the key twice), `key={Class: Prop=value, …}` an embedded
//! instance, and JSON is read wherever brackets stand. `key=@FILE` takes the text from a file; `@@` begins a text with an at sign.

use crate::exit::{CliError, Exit};
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::{
    CimType, Class, ClassName, Embedded, Instance, Method, Name, NamespaceName, ObjectPath, Param, Property,
    Value,
};
use cimwright_codec::{cimxml, uri};
use std::collections::HashMap;

/// A value as it was written, before anybody knows its type.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Literal {
    /// `null` inside brackets.
    Null,
    /// A text or number.
    Text(String),
    /// `[…]`
    Array(Vec<Literal>),
    /// `{…}`, with the class if it was named.
    Object(Option<String>, Vec<(String, Literal)>),
}

/// Why a value has no type yet.
#[derive(Debug, PartialEq)]
pub(crate) enum Untyped {
    /// The class must be known first.
    Needs(ClassName),
    /// The value does not fit.
    Wrong(String),
}

/// Splits `key=value` and reads the value, from a file if it is `@FILE`.
pub(crate) fn assignment(text: &str) -> Result<(String, Literal), CliError> {
    let Some((key, value)) = text.split_once('=') else {
        return Err(CliError::usage(format!("\"{text}\" is no key=value"))
            .advise("write each parameter as Name=value; quote what holds spaces or braces for the shell"));
    };
    let key = key.trim();
    if key.is_empty() || !key.chars().all(|c| c.is_alphanumeric() || c == '_') {
        return Err(CliError::usage(format!("\"{key}\" is no parameter name")));
    }
    let value = if let Some(literal) = value.strip_prefix("@@") {
        Literal::Text(format!("@{literal}"))
    } else if let Some(file) = value.strip_prefix('@') {
        let text = std::fs::read_to_string(file)
            .map_err(|e| CliError::new(Exit::Trouble, format!("cannot read {file} for {key}: {e}")))?;
        let text = text.strip_suffix('\n').unwrap_or(&text).to_owned();
        parse(text.strip_suffix('\r').unwrap_or(&text))
            .map_err(|e| CliError::usage(format!("{file}: {e}")))?
    } else {
        parse(value).map_err(|e| CliError::usage(format!("{key}: {e}")))?
    };
    Ok((key.to_owned(), value))
}

/// Reads a value. Text that does not begin with a bracket is taken as it stands.
pub(crate) fn parse(text: &str) -> Result<Literal, String> {
    let trimmed = text.trim();
    if !trimmed.starts_with(['{', '[']) {
        return Ok(Literal::Text(text.to_owned()));
    }
    if let Ok(json) = serde_json::from_str::<serde_json::Value>(trimmed) {
        return Ok(from_json(json));
    }
    // Braces also stand in plain names, such as GUIDs: {6BE0…}. Those are text.
    let mut reader = Reader { rest: trimmed };
    match reader.value() {
        Ok(literal) if reader.rest.trim().is_empty() => Ok(literal),
        Ok(_) => Err(format!("something follows after the closing bracket: {}", reader.rest.trim())),
        Err(_) if trimmed.starts_with('{') && !trimmed.contains('=') => Ok(Literal::Text(text.to_owned())),
        Err(e) => Err(e),
    }
}

/// The parameters of a call, typed by the method's declaration. Names given twice make an array.
pub(crate) fn typed_params(
    given: &[(String, Literal)],
    method: &Method,
    namespace: &NamespaceName,
    classes: &HashMap<ClassName, Class>,
) -> Result<Vec<Param>, Untyped> {
    let mut params: Vec<Param> = Vec::new();
    for (key, literal) in merged(given) {
        let Some(declared) = method.parameter(&key).filter(|p| p.is_in() || !p.is_out()) else {
            let names: Vec<&str> =
                method.parameters.iter().filter(|p| p.is_in()).map(|p| p.name.as_str()).collect();
            return Err(Untyped::Wrong(format!(
                "{} has no input parameter {key}; it has {}",
                method.name,
                if names.is_empty() { "none".to_owned() } else { names.join(", ") }
            )));
        };
        let shape = Shape {
            name: key.clone(),
            declared: Declared {
                cim_type: declared.cim_type,
                is_array: declared.is_array,
                embedded: declared.embedded,
            },
            class: declared.reference_class.clone(),
        };
        let value = shape.typed(literal, namespace, classes)?;
        params.push(Param {
            name: declared.name.clone(),
            cim_type: Some(declared.cim_type),
            is_array: declared.is_array,
            embedded: value.as_ref().and_then(Value::embedded).or(declared.embedded),
            value,
        });
    }
    Ok(params)
}

/// The parameters of a call to a server that does not tell its classes: everything is text.
pub(crate) fn untyped_params(given: &[(String, Literal)]) -> Result<Vec<Param>, String> {
    merged(given)
        .into_iter()
        .map(|(key, literal)| {
            let one = |literal: Literal| match literal {
                Literal::Text(text) => Ok(Some(Value::String(text))),
                Literal::Null => Ok(None),
                Literal::Array(_) | Literal::Object(..) => Err(format!(
                    "{key}: the server tells no classes, so an embedded instance must be given as CIM-XML"
                )),
            };
            let is_array = matches!(literal, Literal::Array(_));
            let value = match literal {
                Literal::Array(items) => {
                    Some(Value::Array(items.into_iter().map(one).collect::<Result<Vec<_>, _>>()?))
                }
                other => one(other)?,
            };
            Ok(Param { name: Name::new(&key), cim_type: None, is_array, embedded: None, value })
        })
        .collect()
}

/// The declared shape of a parameter or property.
struct Shape {
    name: String,
    declared: Declared,
    class: Option<ClassName>,
}

impl Shape {
    fn typed(
        &self,
        literal: Literal,
        namespace: &NamespaceName,
        classes: &HashMap<ClassName, Class>,
    ) -> Result<Option<Value>, Untyped> {
        let items = match (literal, self.declared.is_array) {
            (Literal::Null, _) => return Ok(None),
            (Literal::Array(items), true) => items,
            (one, true) => vec![one],
            (Literal::Array(_), false) => return Err(self.wrong("one value is expected, not an array")),
            (one, false) => return self.one(one, namespace, classes),
        };
        let items =
            items.into_iter().map(|i| self.one(i, namespace, classes)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(Value::Array(items)))
    }

    fn one(
        &self,
        literal: Literal,
        namespace: &NamespaceName,
        classes: &HashMap<ClassName, Class>,
    ) -> Result<Option<Value>, Untyped> {
        match literal {
            Literal::Null => Ok(None),
            Literal::Array(_) => Err(self.wrong("arrays do not nest")),
            Literal::Object(class, fields) => self.object(class, fields, namespace, classes).map(Some),
            Literal::Text(text) if self.declared.cim_type == CimType::Reference => {
                let mut path = uri::parse(&text).map_err(|e| self.wrong(&e.to_string()))?;
                if path.namespace().is_none() {
                    match &mut path {
                        ObjectPath::Class(path) => path.namespace = Some(namespace.clone()),
                        ObjectPath::Instance(path) => path.namespace = Some(namespace.clone()),
                    }
                }
                Ok(Some(Value::Reference(Box::new(path))))
            }
            Literal::Text(text) => {
                let declared = Declared { is_array: false, ..self.declared };
                coerce(Value::String(text), declared, &cimxml::parse_instance_text)
                    .map(Some)
                    .map_err(|e| self.wrong(&e.reason))
            }
        }
    }

    /// An embedded instance; or, where a plain string is declared, the text of one: Hyper-V's first namespace declares its
    /// embedded instances so.
    fn object(
        &self,
        class: Option<String>,
        fields: Vec<(String, Literal)>,
        namespace: &NamespaceName,
        classes: &HashMap<ClassName, Class>,
    ) -> Result<Value, Untyped> {
        if self.declared.cim_type != CimType::String {
            return Err(self.wrong(&format!("{} is expected, not an instance", self.declared.cim_type)));
        }
        let Some(name) = class.map(ClassName::from).or_else(|| self.class.clone()) else {
            return Err(self.wrong("name the class of the instance: {Class: Property=value, …}"));
        };
        let Some(class) = classes.get(&name) else { return Err(Untyped::Needs(name)) };
        let mut instance = Instance::new(class.name.clone());
        for (key, literal) in fields {
            let Some(property) = class.property(&key) else {
                return Err(self.wrong(&format!("{} has no property {key}", class.name)));
            };
            let shape = Shape {
                name: format!("{}.{key}", self.name),
                declared: Declared {
                    cim_type: property.cim_type,
                    is_array: property.is_array,
                    embedded: property.embedded,
                },
                class: property.reference_class.clone(),
            };
            let value = shape.typed(literal, namespace, classes)?;
            instance.properties.push(Property {
                value,
                qualifiers: Vec::new(),
                class_origin: None,
                propagated: false,
                ..property.clone()
            });
        }
        let instance = Box::new(instance);
        Ok(match self.declared.embedded {
            Some(Embedded::Instance | Embedded::Object) => Value::Instance(instance),
            None => Value::InstanceText(instance),
        })
    }

    fn wrong(&self, reason: &str) -> Untyped {
        Untyped::Wrong(format!("{}: {reason}", self.name))
    }
}

/// The assignments with names given twice put together.
fn merged(given: &[(String, Literal)]) -> Vec<(String, Literal)> {
    let mut merged: Vec<(String, Literal)> = Vec::new();
    for (key, literal) in given {
        match merged.iter_mut().find(|(k, _)| k.eq_ignore_ascii_case(key)) {
            Some((_, Literal::Array(items))) => items.push(literal.clone()),
            Some((_, before)) => {
                let first = std::mem::replace(before, Literal::Null);
                *before = Literal::Array(vec![first, literal.clone()]);
            }
            None => merged.push((key.clone(), literal.clone())),
        }
    }
    merged
}

fn from_json(json: serde_json::Value) -> Literal {
    use serde_json::Value as Json;
    match json {
        Json::Null => Literal::Null,
        Json::Bool(b) => Literal::Text(b.to_string()),
        Json::Number(n) => Literal::Text(n.to_string()),
        Json::String(text) => Literal::Text(text),
        Json::Array(items) => Literal::Array(items.into_iter().map(from_json).collect()),
        Json::Object(mut fields) => {
            let class = match fields.remove("$class") {
                Some(Json::String(class)) => Some(class),
                _ => None,
            };
            fields.remove("$path");
            Literal::Object(class, fields.into_iter().map(|(k, v)| (k, from_json(v))).collect())
        }
    }
}

/// Reads the bracket notation.
struct Reader<'t> {
    rest: &'t str,
}

impl Reader<'_> {
    fn value(&mut self) -> Result<Literal, String> {
        self.rest = self.rest.trim_start();
        if self.take('{') {
            return self.object();
        }
        if self.take('[') {
            let mut items = Vec::new();
            while !self.take(']') {
                items.push(self.value()?);
                self.separator(']')?;
            }
            return Ok(Literal::Array(items));
        }
        if self.take('"') {
            return self.quoted();
        }
        let end = self.rest.find([',', '}', ']']).unwrap_or(self.rest.len());
        let (bare, rest) = self.rest.split_at(end);
        self.rest = rest;
        let bare = bare.trim_end();
        Ok(if bare.eq_ignore_ascii_case("null") { Literal::Null } else { Literal::Text(bare.to_owned()) })
    }

    fn object(&mut self) -> Result<Literal, String> {
        let name_end = self.rest.find([':', '=', '}', '{', '[', ',']).unwrap_or(self.rest.len());
        let mut class = None;
        if self.rest[name_end..].starts_with(':') {
            class = Some(self.rest[..name_end].trim().to_owned());
            self.rest = &self.rest[name_end + 1..];
        }
        let mut fields = Vec::new();
        while !self.take('}') {
            let Some((key, rest)) = self.rest.split_once('=') else {
                return Err("inside braces, Property=value is expected".to_owned());
            };
            let key = key.trim().to_owned();
            if key.is_empty() || !key.chars().all(|c| c.is_alphanumeric() || c == '_') {
                return Err(format!("\"{key}\" is no property name"));
            }
            self.rest = rest;
            fields.push((key, self.value()?));
            self.separator('}')?;
        }
        Ok(Literal::Object(class, fields))
    }

    fn quoted(&mut self) -> Result<Literal, String> {
        let mut text = String::new();
        let mut chars = self.rest.char_indices();
        while let Some((at, c)) = chars.next() {
            match c {
                '"' => {
                    self.rest = &self.rest[at + 1..];
                    return Ok(Literal::Text(text));
                }
                // A backslash escapes a quotation mark or itself; Windows paths keep theirs.
                '\\' if self.rest[at + 1..].starts_with(['"', '\\']) => {
                    text.extend(chars.next().map(|(_, c)| c))
                }
                c => text.push(c),
            }
        }
        Err("a quotation mark is missing".to_owned())
    }

    /// A comma, or the closing bracket that the caller will take.
    fn separator(&mut self, close: char) -> Result<(), String> {
        self.rest = self.rest.trim_start();
        if self.take(',') || self.rest.starts_with(close) {
            return Ok(());
        }
        Err(format!("a comma or {close} is missing before \"{}\"", self.rest))
    }

    fn take(&mut self, c: char) -> bool {
        let trimmed = self.rest.trim_start();
        match trimmed.strip_prefix(c) {
            Some(rest) => {
                self.rest = rest;
                true
            }
            None => false,
        }
    }
}

#[cfg(test)]
mod tests;
