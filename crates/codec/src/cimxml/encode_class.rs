//! Writing classes, qualifiers and qualifier declarations (DSP0201 5.4, 5.5).

use super::declaration::SCOPES;
use super::encode::Writer;
use super::text::push_unsigned;
use cimwright_cim::{CimType, Class, ClassName, Flavor, Method, Parameter, Qualifier, QualifierDeclaration};

impl Writer<'_> {
    pub(super) fn class(&mut self, class: &Class) {
        self.raw("<CLASS");
        self.attr("NAME", class.name.as_str());
        self.attr_if("SUPERCLASS", class.superclass.as_ref().map(ClassName::as_str));
        self.raw(">");
        self.qualifiers(&class.qualifiers);
        for property in &class.properties {
            self.property(property);
        }
        for method in &class.methods {
            self.method(method);
        }
        self.raw("</CLASS>");
    }

    fn method(&mut self, method: &Method) {
        self.raw("<METHOD");
        self.attr("NAME", method.name.as_str());
        self.attr_if("TYPE", method.return_type.map(CimType::keyword));
        self.attr_if("CLASSORIGIN", method.class_origin.as_ref().map(ClassName::as_str));
        if method.propagated {
            self.raw(" PROPAGATED=\"true\"");
        }
        self.raw(">");
        self.qualifiers(&method.qualifiers);
        for parameter in &method.parameters {
            self.parameter(parameter);
        }
        self.raw("</METHOD>");
    }

    fn parameter(&mut self, parameter: &Parameter) {
        let reference = parameter.cim_type == CimType::Reference;
        let (opening, closing) = match (reference, parameter.is_array) {
            (false, false) => ("<PARAMETER", "</PARAMETER>"),
            (false, true) => ("<PARAMETER.ARRAY", "</PARAMETER.ARRAY>"),
            (true, false) => ("<PARAMETER.REFERENCE", "</PARAMETER.REFERENCE>"),
            (true, true) => ("<PARAMETER.REFARRAY", "</PARAMETER.REFARRAY>"),
        };
        self.raw(opening);
        self.attr("NAME", parameter.name.as_str());
        if reference {
            self.attr_if("REFERENCECLASS", parameter.reference_class.as_ref().map(ClassName::as_str));
        } else {
            self.attr("TYPE", parameter.cim_type.keyword());
        }
        self.array_size(parameter.array_size.filter(|_| parameter.is_array));
        self.raw(">");
        self.qualifiers(&parameter.qualifiers);
        self.raw(closing);
    }

    /// The attribute ARRAYSIZE, if there is a size.
    pub(super) fn array_size(&mut self, size: Option<u32>) {
        if let Some(size) = size {
            self.raw(" ARRAYSIZE=\"");
            push_unsigned(&mut self.out, size.into());
            self.raw("\"");
        }
    }

    /// Qualifiers, with the attributes that differ from the defaults of DSP0201.
    pub(super) fn qualifiers(&mut self, qualifiers: &[Qualifier]) {
        let default = Flavor::default();
        for qualifier in qualifiers {
            self.raw("<QUALIFIER");
            self.attr("NAME", qualifier.name.as_str());
            self.attr("TYPE", qualifier.cim_type.keyword());
            if qualifier.propagated {
                self.raw(" PROPAGATED=\"true\"");
            }
            for (name, value, default) in flavors(&qualifier.flavor, &default) {
                if value != default {
                    self.attr(name, boolean(value));
                }
            }
            self.raw(">");
            if let Some(value) = &qualifier.value {
                self.value(value, false);
            }
            self.raw("</QUALIFIER>");
        }
    }

    /// A qualifier declaration, with every attribute written out.
    pub(super) fn qualifier_declaration(&mut self, declaration: &QualifierDeclaration) {
        self.raw("<QUALIFIER.DECLARATION");
        self.attr("NAME", declaration.name.as_str());
        self.attr("TYPE", declaration.cim_type.keyword());
        self.attr("ISARRAY", boolean(declaration.is_array));
        self.array_size(declaration.array_size);
        for (name, value, _) in flavors(&declaration.flavor, &Flavor::default()) {
            self.attr(name, boolean(value));
        }
        self.raw("><SCOPE");
        for (attr, scope) in SCOPES {
            if declaration.scopes.contains(scope) {
                self.attr(attr.name(), "true");
            }
        }
        self.raw("/>");
        if let Some(value) = &declaration.value {
            self.value(value, false);
        }
        self.raw("</QUALIFIER.DECLARATION>");
    }
}

/// The flavor attributes with their values, and with the values to compare them with.
fn flavors(of: &Flavor, other: &Flavor) -> [(&'static str, bool, bool); 4] {
    [
        ("OVERRIDABLE", of.overridable, other.overridable),
        ("TOSUBCLASS", of.to_subclass, other.to_subclass),
        ("TOINSTANCE", of.to_instance, other.to_instance),
        ("TRANSLATABLE", of.translatable, other.translatable),
    ]
}

fn boolean(value: bool) -> &'static str {
    if value { "true" } else { "false" }
}
