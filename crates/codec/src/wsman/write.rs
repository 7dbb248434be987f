//! Writing envelopes, instances, values and references.

use super::header::Forms;
use super::resource::ClassUris;
use super::time::push_cim;
use super::{epr, uris};
use crate::cimxml::{
    instance_text, push_attribute, push_real32, push_real64, push_signed, push_text, push_unsigned,
};
use cimwright_cim::{ClassName, Instance, Name, NamespaceName, ObjectPath, Property, Value};

/// The prefixes of classes by how deep they are embedded. Only neighbours have to differ, and the first has to be `p`.
const PREFIXES: [&str; 3] = ["p", "q", "r"];

/// Appends the elements of a message to a string.
pub(super) struct Writer<'a> {
    /// What has been written.
    pub(super) out: String,
    uris: &'a ClassUris,
    /// The namespace of references that do not name one.
    namespace: Option<&'a NamespaceName>,
    forms: Forms,
}

impl<'a> Writer<'a> {
    pub(super) fn new(capacity: usize, uris: &'a ClassUris, namespace: Option<&'a NamespaceName>) -> Self {
        Self { out: String::with_capacity(capacity), uris, namespace, forms: Forms::default() }
    }

    /// Writes instances in these forms.
    pub(super) fn with_forms(mut self, forms: Forms) -> Self {
        self.forms = forms;
        self
    }

    /// Appends markup as it is.
    pub(super) fn raw(&mut self, markup: &str) {
        self.out.push_str(markup);
    }

    /// Appends text.
    pub(super) fn text(&mut self, text: &str) {
        push_text(&mut self.out, text);
    }

    /// Appends an attribute with a space before it.
    pub(super) fn attr(&mut self, name: &str, value: &str) {
        self.out.push(' ');
        self.out.push_str(name);
        self.out.push_str("=\"");
        push_attribute(&mut self.out, value);
        self.out.push('"');
    }

    /// Appends an element that holds a text.
    pub(super) fn element(&mut self, name: &str, text: &str) {
        self.out.push('<');
        self.out.push_str(name);
        self.out.push('>');
        push_text(&mut self.out, text);
        self.out.push_str("</");
        self.out.push_str(name);
        self.out.push('>');
    }

    /// The beginning of every envelope. All prefixes are declared here, where one client in use looks for them.
    pub(super) fn envelope(&mut self) {
        self.raw(concat!(
            "<s:Envelope xmlns:s=\"http://www.w3.org/2003/05/soap-envelope\"",
            " xmlns:a=\"http://schemas.xmlsoap.org/ws/2004/08/addressing\"",
            " xmlns:w=\"http://schemas.dmtf.org/wbem/wsman/1/wsman.xsd\"",
            " xmlns:n=\"http://schemas.xmlsoap.org/ws/2004/09/enumeration\"",
            " xmlns:x=\"http://schemas.xmlsoap.org/ws/2004/09/transfer\"",
            " xmlns:e=\"http://schemas.xmlsoap.org/ws/2004/08/eventing\"",
            " xmlns:b=\"http://schemas.dmtf.org/wbem/wsman/1/cimbinding.xsd\"",
            " xmlns:cim=\"http://schemas.dmtf.org/wbem/wscim/1/common\"",
            " xmlns:xsi=\"http://www.w3.org/2001/XMLSchema-instance\">",
        ));
    }

    /// The headers of an answer.
    pub(super) fn addressing(&mut self, action: &str, suffix: &str, message_id: &str, relates_to: &str) {
        self.element("a:To", uris::ANONYMOUS);
        self.raw("<a:Action>");
        self.text(action);
        self.raw(suffix);
        self.raw("</a:Action>");
        self.element("a:MessageID", message_id);
        if !relates_to.is_empty() {
            self.element("a:RelatesTo", relates_to);
        }
    }

    /// An instance in the element of its class, or of `shown_as`.
    pub(super) fn class_element(
        &mut self,
        instance: &Instance,
        shown_as: Option<&ClassName>,
        attributes: &str,
    ) {
        let class = shown_as.unwrap_or(&instance.class);
        self.raw("<p:");
        self.raw(class.as_str());
        self.class_namespace("p", class, instance);
        if self.uris.is_wmi() {
            self.class_type("p", class);
        }
        self.raw(attributes);
        self.raw(">");
        self.properties(instance, 0);
        self.raw("</p:");
        self.raw(class.as_str());
        self.raw(">");
    }

    /// The properties of an instance in an element of another name, as answers to queries for some properties are.
    pub(super) fn fragment_item(&mut self, instance: &Instance) {
        self.raw("<w:XmlFragment");
        self.class_namespace("p", &instance.class, instance);
        self.class_type("p", &instance.class);
        self.raw(">");
        self.properties(instance, 0);
        self.raw("</w:XmlFragment>");
    }

    /// One property on its own, declaring its prefix.
    pub(super) fn lone_property(&mut self, within: &Instance, name: &Name, value: Option<&Value>) {
        let mut declaration = Writer::new(96, self.uris, self.namespace);
        declaration.class_namespace("p", &within.class, within);
        match value {
            Some(Value::Array(items)) if !items.is_empty() => {
                for item in items {
                    self.value("p", name, item.as_ref(), 0, &declaration.out);
                }
            }
            value => self.value("p", name, value, 0, &declaration.out),
        }
    }

    fn properties(&mut self, instance: &Instance, depth: usize) {
        for property in &instance.properties {
            self.property(property, depth);
        }
    }

    fn property(&mut self, property: &Property, depth: usize) {
        let empty = matches!(&property.value, Some(Value::Array(items)) if items.is_empty());
        if self.forms.omit_nil && (empty || property.value.is_none()) {
            return;
        }
        if self.forms.precise_arrays && property.is_array && (empty || property.value.is_none()) {
            // An element that is nil is one element of the array, so an empty one has no element at all.
            if !empty {
                let mark = format!(" xmlns:m=\"{}\" m:IsNullArray=\"true\"", uris::MICROSOFT);
                self.value(PREFIXES[depth % PREFIXES.len()], &property.name, None, depth, &mark);
            }
            return;
        }
        self.named_value(&property.name, property.value.as_ref(), depth);
    }

    /// A property, a parameter or a return value: one element, or one for each element of an array.
    pub(super) fn named_value(&mut self, name: &Name, value: Option<&Value>, depth: usize) {
        let prefix = PREFIXES[depth % PREFIXES.len()];
        match value {
            // There is no other way to write an array without elements.
            Some(Value::Array(items)) if items.is_empty() => self.value(prefix, name, None, depth, ""),
            Some(Value::Array(items)) => {
                for item in items {
                    self.value(prefix, name, item.as_ref(), depth, "");
                }
            }
            value => self.value(prefix, name, value, depth, ""),
        }
    }

    fn value(&mut self, prefix: &str, name: &Name, value: Option<&Value>, depth: usize, attributes: &str) {
        self.raw("<");
        self.raw(prefix);
        self.raw(":");
        self.raw(name.as_str());
        self.raw(attributes);
        let Some(value) = value else {
            self.raw(" xsi:nil=\"true\"/>");
            return;
        };
        match value {
            Value::Instance(instance) => {
                let inner = PREFIXES[(depth + 1) % PREFIXES.len()];
                self.class_namespace(inner, &instance.class, instance);
                self.class_type(inner, &instance.class);
                self.raw(">");
                self.properties(instance, depth + 1);
            }
            Value::Reference(path) => {
                self.raw(">");
                self.epr(path, uris::ANONYMOUS);
            }
            scalar => {
                self.raw(">");
                self.scalar(scalar);
            }
        }
        self.raw("</");
        self.raw(prefix);
        self.raw(":");
        self.raw(name.as_str());
        self.raw(">");
    }

    fn class_namespace(&mut self, prefix: &str, class: &ClassName, instance: &Instance) {
        self.raw(" xmlns:");
        self.raw(prefix);
        self.raw("=\"");
        let namespace = instance.path.as_ref().and_then(|p| p.namespace.as_ref()).or(self.namespace);
        self.uris.push(&mut self.out, class.as_str(), namespace);
        self.raw("\"");
    }

    fn class_type(&mut self, prefix: &str, class: &ClassName) {
        self.raw(" xsi:type=\"");
        self.raw(prefix);
        self.raw(":");
        self.raw(class.as_str());
        self.raw("_Type\"");
    }

    /// The text of a value, as a key or in an element.
    pub(super) fn scalar(&mut self, value: &Value) {
        match value {
            Value::Boolean(b) => self.raw(if *b { "true" } else { "false" }),
            Value::String(text) => self.text(text),
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
            Value::DateTime(time) => push_cim(&mut self.out, time),
            Value::InstanceText(instance) | Value::Instance(instance) => {
                let text = instance_text(instance);
                self.text(&text);
            }
            Value::Reference(path) => self.text(&crate::uri::to_text(path)),
            // WS-CIM has no form for a class, and arrays do not nest in CIM.
            Value::Class(_) | Value::Array(_) => {}
        }
    }

    /// What an element that is an endpoint reference holds.
    pub(super) fn epr(&mut self, path: &ObjectPath, address: &str) {
        self.element("a:Address", address);
        self.raw("<a:ReferenceParameters><w:ResourceURI>");
        let namespace = path.namespace().or(self.namespace);
        self.uris.push(&mut self.out, path.class().as_str(), namespace);
        self.raw("</w:ResourceURI><w:SelectorSet>");
        if let Some(namespace) = namespace.filter(|_| !self.uris.is_wmi()) {
            self.selector(epr::NAMESPACE_SELECTOR, &Value::from(namespace.as_str()));
        }
        if let ObjectPath::Instance(path) = path {
            for key in &path.keys {
                self.selector(key.name.as_str(), &key.value);
            }
        }
        self.raw("</w:SelectorSet></a:ReferenceParameters>");
    }

    /// A selector.
    pub(super) fn selector(&mut self, name: &str, value: &Value) {
        self.raw("<w:Selector");
        self.attr("Name", name);
        self.raw(">");
        match value {
            Value::Reference(path) => {
                self.raw("<a:EndpointReference>");
                self.epr(path, uris::ANONYMOUS);
                self.raw("</a:EndpointReference>");
            }
            // A selector holds text only, and the form of CIM is the one that every server reads.
            Value::DateTime(time) => self.text(&time.to_string()),
            value => self.scalar(value),
        }
        self.raw("</w:Selector>");
    }
}
