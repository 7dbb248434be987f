//! Writing values, paths and instances (DSP0201 5.2 to 5.4).

use super::text::{push_attribute, push_real32, push_real64, push_signed, push_text, push_unsigned};
use cimwright_cim::operation::ObjectShape;
use cimwright_cim::{
    CimType, Class, ClassName, ClassPath, Embedded, Instance, InstancePath, NamespaceName, ObjectPath, Param,
    Property, Value,
};
use std::fmt::Write;

/// The text of an instance in CIM-XML: what an embedded instance, or a string that documents itself as CIM-XML, holds.
pub fn instance_text(instance: &Instance) -> String {
    let mut writer = Writer::new(1024, None, None);
    writer.instance(instance);
    writer.out
}

/// An instance as a client shows it: VALUE.INSTANCEWITHPATH, or INSTANCE if its path is not known.
pub fn instance_with_path_text(instance: &Instance) -> String {
    let mut writer = Writer::new(1024, None, None);
    let shape = match instance.path {
        Some(_) => ObjectShape::InstanceWithPath,
        None => ObjectShape::Instance,
    };
    writer.object(shape, instance);
    writer.out
}

/// The text of a path in CIM-XML: INSTANCEPATH.
pub fn instance_path_text(path: &InstancePath) -> String {
    let mut writer = Writer::new(256, None, None);
    writer.instance_path(path);
    writer.out
}

/// The text of a class in CIM-XML.
pub fn class_text(class: &Class) -> String {
    let mut writer = Writer::new(4096, None, None);
    writer.class(class);
    writer.out
}

/// Appends the elements of DSP0201 to a string.
pub(super) struct Writer<'a> {
    /// What has been written.
    pub(super) out: String,
    /// The HOST of full paths that do not name one.
    host: Option<&'a str>,
    /// The namespace of paths that do not name one.
    namespace: Option<&'a NamespaceName>,
}

impl<'a> Writer<'a> {
    pub(super) fn new(capacity: usize, host: Option<&'a str>, namespace: Option<&'a NamespaceName>) -> Self {
        Self { out: String::with_capacity(capacity), host, namespace }
    }

    /// Appends markup as it is.
    pub(super) fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    /// Appends an attribute with a space before it.
    pub(super) fn attr(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        push_attribute(&mut self.out, value);
        self.out.push('"');
    }

    /// Appends an attribute if there is a value for it.
    pub(super) fn attr_if(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.attr(name, value);
        }
    }

    pub(super) fn embedded_attr(&mut self, embedded: Option<Embedded>) {
        match embedded {
            Some(Embedded::Instance) => self.raw(" EmbeddedObject=\"instance\""),
            Some(Embedded::Object) => self.raw(" EmbeddedObject=\"object\""),
            None => {}
        }
    }

    /// An object of an answer in the wrapper that its operation prescribes.
    pub(super) fn object(&mut self, shape: ObjectShape, instance: &Instance) {
        match shape {
            ObjectShape::NamedInstance => {
                self.raw("<VALUE.NAMEDINSTANCE>");
                self.instance_name_of(instance);
                self.instance(instance);
                self.raw("</VALUE.NAMEDINSTANCE>");
            }
            ObjectShape::InstanceName => self.instance_name_of(instance),
            ObjectShape::ObjectWithPath => {
                self.raw("<VALUE.OBJECTWITHPATH>");
                self.instance_path_of(instance);
                self.instance(instance);
                self.raw("</VALUE.OBJECTWITHPATH>");
            }
            ObjectShape::ObjectPath => {
                self.raw("<OBJECTPATH>");
                self.instance_path_of(instance);
                self.raw("</OBJECTPATH>");
            }
            ObjectShape::Object => {
                self.raw("<VALUE.OBJECT>");
                self.instance(instance);
                self.raw("</VALUE.OBJECT>");
            }
            ObjectShape::InstanceWithPath => {
                self.raw("<VALUE.INSTANCEWITHPATH>");
                self.instance_path_of(instance);
                self.instance(instance);
                self.raw("</VALUE.INSTANCEWITHPATH>");
            }
            ObjectShape::InstancePath => self.instance_path_of(instance),
            ObjectShape::Instance => self.instance(instance),
        }
    }

    fn instance_name_of(&mut self, instance: &Instance) {
        match &instance.path {
            Some(path) => self.instance_name(path),
            None => self.instance_name(&InstancePath::new(None, &instance.class)),
        }
    }

    fn instance_path_of(&mut self, instance: &Instance) {
        match &instance.path {
            Some(path) => self.instance_path(path),
            None => self.instance_path(&InstancePath::new(None, &instance.class)),
        }
    }

    pub(super) fn instance(&mut self, instance: &Instance) {
        self.raw("<INSTANCE");
        self.attr("CLASSNAME", instance.class.as_str());
        self.raw(">");
        for property in &instance.properties {
            self.property(property);
        }
        self.raw("</INSTANCE>");
    }

    /// A property in the element for its kind. Never self-closed: one client in use cannot read that.
    pub(super) fn property(&mut self, property: &Property) {
        let closing = if property.is_array {
            self.raw("<PROPERTY.ARRAY");
            "</PROPERTY.ARRAY>"
        } else if property.is_reference() {
            self.raw("<PROPERTY.REFERENCE");
            "</PROPERTY.REFERENCE>"
        } else {
            self.raw("<PROPERTY");
            "</PROPERTY>"
        };
        self.attr("NAME", property.name.as_str());
        if property.is_reference() && !property.is_array {
            self.attr_if("REFERENCECLASS", property.reference_class.as_ref().map(ClassName::as_str));
        } else {
            // DSP0201 has no property that is an array of references; their texts travel as strings.
            let cim_type = if property.is_reference() { CimType::String } else { property.cim_type };
            self.raw(" TYPE=\"");
            self.raw(cim_type.keyword());
            self.raw("\"");
        }
        self.array_size(property.array_size.filter(|_| property.is_array));
        self.attr_if("CLASSORIGIN", property.class_origin.as_ref().map(ClassName::as_str));
        if property.propagated {
            self.raw(" PROPAGATED=\"true\"");
        }
        if !property.is_reference() {
            self.embedded_attr(property.embedded.or_else(|| property.value.as_ref()?.embedded()));
        }
        self.raw(">");
        self.qualifiers(&property.qualifiers);
        if let Some(value) = &property.value {
            match value {
                Value::Array(items) if property.is_reference() => self.array(items, false),
                value => self.value(value, property.is_reference()),
            }
        }
        self.raw(closing);
    }

    /// A text in VALUE.
    pub(super) fn string_value(&mut self, text: &str) {
        self.raw("<VALUE>");
        push_text(&mut self.out, text);
        self.raw("</VALUE>");
    }

    /// A value in VALUE, VALUE.ARRAY, VALUE.REFERENCE or VALUE.REFARRAY; `references` tells what an empty array is of.
    pub(super) fn value(&mut self, value: &Value, references: bool) {
        match value {
            Value::Array(items) => {
                let references = references || value.cim_type() == Some(CimType::Reference);
                self.array(items, references);
            }
            Value::Reference(path) => {
                self.raw("<VALUE.REFERENCE>");
                self.reference(path);
                self.raw("</VALUE.REFERENCE>");
            }
            scalar => {
                self.raw("<VALUE>");
                self.scalar(scalar);
                self.raw("</VALUE>");
            }
        }
    }

    fn array(&mut self, items: &[Option<Value>], references: bool) {
        self.raw(if references { "<VALUE.REFARRAY>" } else { "<VALUE.ARRAY>" });
        for item in items {
            match item {
                None => self.raw("<VALUE.NULL/>"),
                Some(Value::Reference(path)) if references => {
                    self.raw("<VALUE.REFERENCE>");
                    self.reference(path);
                    self.raw("</VALUE.REFERENCE>");
                }
                Some(item) => {
                    self.raw("<VALUE>");
                    self.scalar(item);
                    self.raw("</VALUE>");
                }
            }
        }
        self.raw(if references { "</VALUE.REFARRAY>" } else { "</VALUE.ARRAY>" });
    }

    /// The text of a value that is no array.
    fn scalar(&mut self, value: &Value) {
        match value {
            Value::Boolean(true) => self.raw("TRUE"),
            Value::Boolean(false) => self.raw("FALSE"),
            Value::String(text) => push_text(&mut self.out, text),
            Value::Char16(unit) => {
                let c = char::from_u32(u32::from(*unit)).unwrap_or('\u{fffd}');
                push_text(&mut self.out, c.encode_utf8(&mut [0; 4]));
            }
            Value::Uint8(n) => push_unsigned(&mut self.out, (*n).into()),
            Value::Uint16(n) => push_unsigned(&mut self.out, (*n).into()),
            Value::Uint32(n) => push_unsigned(&mut self.out, (*n).into()),
            Value::Uint64(n) => push_unsigned(&mut self.out, *n),
            Value::Sint8(n) => push_signed(&mut self.out, (*n).into()),
            Value::Sint16(n) => push_signed(&mut self.out, (*n).into()),
            Value::Sint32(n) => push_signed(&mut self.out, (*n).into()),
            Value::Sint64(n) => push_signed(&mut self.out, *n),
            Value::Real32(x) => push_real32(&mut self.out, *x),
            Value::Real64(x) => push_real64(&mut self.out, *x),
            Value::DateTime(time) => {
                // Writing to a string cannot fail, and a datetime has nothing to escape.
                let _ = write!(self.out, "{time}");
            }
            Value::Reference(path) => push_text(&mut self.out, &crate::uri::to_text(path)),
            Value::Instance(instance) | Value::InstanceText(instance) => {
                self.nested(|inner| inner.instance(instance));
            }
            Value::Class(class) => self.nested(|inner| inner.class(class)),
            // Arrays do not nest in CIM.
            Value::Array(_) => {}
        }
    }

    /// Writes an object as the text of this element: once more escaped with each level.
    fn nested(&mut self, write: impl FnOnce(&mut Writer<'a>)) {
        let mut inner = Writer::new(1024, self.host, self.namespace);
        write(&mut inner);
        push_text(&mut self.out, &inner.out);
    }

    /// A reference in the fullest form that what is known allows.
    pub(super) fn reference(&mut self, path: &ObjectPath) {
        let namespace = path.namespace().or(self.namespace);
        match path {
            ObjectPath::Instance(path) => match (&path.host, namespace) {
                (Some(_), Some(_)) => self.instance_path(path),
                (None, Some(namespace)) => {
                    self.raw("<LOCALINSTANCEPATH>");
                    self.local_namespace_path(namespace);
                    self.instance_name(path);
                    self.raw("</LOCALINSTANCEPATH>");
                }
                (_, None) => self.instance_name(path),
            },
            ObjectPath::Class(path) => match (&path.host, namespace) {
                (Some(_), Some(_)) => self.class_path(path),
                (None, Some(namespace)) => {
                    self.raw("<LOCALCLASSPATH>");
                    self.local_namespace_path(namespace);
                    self.class_name(&path.class);
                    self.raw("</LOCALCLASSPATH>");
                }
                (_, None) => self.class_name(&path.class),
            },
        }
    }

    pub(super) fn instance_path(&mut self, path: &InstancePath) {
        self.raw("<INSTANCEPATH>");
        self.namespace_path(path.host.as_deref(), path.namespace.as_ref());
        self.instance_name(path);
        self.raw("</INSTANCEPATH>");
    }

    pub(super) fn class_path(&mut self, path: &ClassPath) {
        self.raw("<CLASSPATH>");
        self.namespace_path(path.host.as_deref(), path.namespace.as_ref());
        self.class_name(&path.class);
        self.raw("</CLASSPATH>");
    }

    fn namespace_path(&mut self, host: Option<&str>, namespace: Option<&NamespaceName>) {
        self.raw("<NAMESPACEPATH><HOST>");
        push_text(&mut self.out, host.or(self.host).unwrap_or("localhost"));
        self.raw("</HOST>");
        match namespace.or(self.namespace) {
            Some(namespace) => self.local_namespace_path(namespace),
            None => self.raw("<LOCALNAMESPACEPATH><NAMESPACE NAME=\"root\"/></LOCALNAMESPACEPATH>"),
        }
        self.raw("</NAMESPACEPATH>");
    }

    pub(super) fn local_namespace_path(&mut self, namespace: &NamespaceName) {
        self.raw("<LOCALNAMESPACEPATH>");
        for segment in namespace.segments() {
            self.raw("<NAMESPACE");
            self.attr("NAME", segment);
            self.raw("/>");
        }
        self.raw("</LOCALNAMESPACEPATH>");
    }

    pub(super) fn class_name(&mut self, class: &ClassName) {
        self.raw("<CLASSNAME");
        self.attr("NAME", class.as_str());
        self.raw("/>");
    }

    pub(super) fn instance_name(&mut self, path: &InstancePath) {
        self.raw("<INSTANCENAME");
        self.attr("CLASSNAME", path.class.as_str());
        self.raw(">");
        for key in &path.keys {
            // Without a name it is the one key of the class, which has a form without KEYBINDING.
            let named = !key.name.as_str().is_empty();
            if named {
                self.raw("<KEYBINDING");
                self.attr("NAME", key.name.as_str());
                self.raw(">");
            }
            self.key_value(&key.value);
            if named {
                self.raw("</KEYBINDING>");
            }
        }
        self.raw("</INSTANCENAME>");
    }

    fn key_value(&mut self, value: &Value) {
        if let Value::Reference(path) = value {
            self.raw("<VALUE.REFERENCE>");
            self.reference(path);
            self.raw("</VALUE.REFERENCE>");
            return;
        }
        let cim_type = value.cim_type().unwrap_or(CimType::String);
        self.raw(match cim_type {
            CimType::Boolean => "<KEYVALUE VALUETYPE=\"boolean\" TYPE=\"",
            t if t.is_numeric() => "<KEYVALUE VALUETYPE=\"numeric\" TYPE=\"",
            _ => "<KEYVALUE VALUETYPE=\"string\" TYPE=\"",
        });
        self.raw(cim_type.keyword());
        self.raw("\">");
        self.scalar(value);
        self.raw("</KEYVALUE>");
    }

    /// A parameter of an extrinsic method. On the way out (`always_typed`) it has a PARAMTYPE in any case, since clients
    /// convert by it; on the way in one that is not known is left to the server, which knows the declaration.
    pub(super) fn param_value(&mut self, param: &Param, always_typed: bool) {
        let cim_type = match param.cim_type {
            None if always_typed => {
                Some(param.value.as_ref().and_then(Value::cim_type).unwrap_or(CimType::String))
            }
            stated => stated,
        };
        self.raw("<PARAMVALUE");
        self.attr("NAME", param.name.as_str());
        self.attr_if("PARAMTYPE", cim_type.map(CimType::keyword));
        self.embedded_attr(param.embedded.or_else(|| param.value.as_ref()?.embedded()));
        self.raw(">");
        if let Some(value) = &param.value {
            self.value(value, cim_type == Some(CimType::Reference));
        }
        self.raw("</PARAMVALUE>");
    }
}

#[cfg(test)]
mod tests {
    use super::super::object::parse_instance_text;
    use super::*;

    #[test]
    fn null_empty_and_text_differ() {
        let mut instance = Instance::new("X").with("a", "").with("b", Value::Array(Vec::new()));
        instance.set("n", None);
        let text = instance_text(&instance);
        assert_eq!(
            text,
            "<INSTANCE CLASSNAME=\"X\"><PROPERTY NAME=\"a\" TYPE=\"string\"><VALUE></VALUE></PROPERTY>\
             <PROPERTY.ARRAY NAME=\"b\" TYPE=\"string\"><VALUE.ARRAY></VALUE.ARRAY></PROPERTY.ARRAY>\
             <PROPERTY NAME=\"n\" TYPE=\"string\"></PROPERTY></INSTANCE>"
        );
        assert_eq!(parse_instance_text(&text), Ok(instance));
    }

    #[test]
    fn each_level_of_embedding_escapes_once_more() {
        let inner = Instance::new("In").with("t", "a & b");
        let outer = Instance::new("Out").with("i", Value::Instance(Box::new(inner)));
        let text = instance_text(&Instance::new("Top").with("o", Value::InstanceText(Box::new(outer))));
        assert!(text.contains("a &amp;amp;amp; b"), "{text}");
        assert!(
            text.contains("<PROPERTY NAME=\"o\" TYPE=\"string\"><VALUE>&lt;INSTANCE CLASSNAME=\"Out\"&gt;")
        );
        assert!(
            text.contains("TYPE=\"string\" EmbeddedObject=\"instance\"&gt;&lt;VALUE&gt;&amp;lt;INSTANCE")
        );
    }

    #[test]
    fn what_xml_cannot_hold_is_replaced() {
        let text = instance_text(&Instance::new("X").with("a", "b\u{0}c").with("d", Value::Char16(0xd800)));
        assert!(text.contains("b\u{fffd}c") && text.contains("<VALUE>\u{fffd}</VALUE>"), "{text}");
    }
}
