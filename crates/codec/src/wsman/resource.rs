//! Resource URIs: which class in which namespace (DSP0227 6, MS-WSMV), and how classes are named in an answer.

use super::uris;
use cimwright_cim::{ClassName, Name, NamespaceName};

/// The part of a class URI before the class.
const SCHEMA_PART: &str = "/wbem/wscim/1/cim-schema/2/";

/// What a resource URI names.
#[derive(Clone, Debug, PartialEq)]
pub enum Resource {
    /// A class.
    Class {
        /// The class.
        class: ClassName,
        /// The namespace, if the URI has it; else it is in the selector `__cimnamespace`.
        namespace: Option<NamespaceName>,
    },
    /// All classes: the body says more.
    All {
        /// The namespace, if the URI has it.
        namespace: Option<NamespaceName>,
    },
    /// The class repository in CIM-XML.
    ClassRepository,
    /// Nothing that this codec knows.
    Unknown,
}

/// How the URIs of classes are spelled, after the request's own.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ClassUris {
    /// Of Microsoft's form: what precedes the class, and the namespace in it.
    wmi: Option<(String, NamespaceName)>,
    /// The vendor's prefix for classes of its own schema: the part of the class name before `_`, and the prefix.
    vendor: Option<(String, String)>,
}

impl Resource {
    /// What a URI names, and how URIs of its kind are spelled. White space around it is ignored, and so is a query part, which is
    /// a notation of clients.
    pub fn parse(uri: &str) -> (Self, ClassUris) {
        let uri = uri.trim();
        let uri = uri.split_once('?').map_or(uri, |(before, _)| before);
        // What comes back in answers must not need to be escaped there.
        if uri.chars().any(|c| c.is_control() || c.is_whitespace() || matches!(c, '<' | '>' | '&' | '"')) {
            return (Self::Unknown, ClassUris::default());
        }
        if uri == uris::CIM_XML_CLASS {
            return (Self::ClassRepository, ClassUris::default());
        }
        if uri == uris::WS_CIM_CLASS {
            return (Self::Unknown, ClassUris::default());
        }
        let Some((before, last)) = uri.rsplit_once('/') else { return (Self::Unknown, ClassUris::default()) };
        if let Some(head) = uri.get(..uris::WMI.len())
            && head.eq_ignore_ascii_case(uris::WMI)
        {
            let namespace = before.get(uris::WMI.len()..).map(NamespaceName::new);
            let Some(namespace) = namespace.filter(|n| !n.as_str().is_empty()) else {
                return (Self::Unknown, ClassUris::default());
            };
            let style = ClassUris { wmi: Some((format!("{before}/"), namespace.clone())), vendor: None };
            return (Self::of(last, Some(namespace)), style);
        }
        if last == "*" && uri.contains("/wbem/wscim/1/") {
            return (Self::All { namespace: None }, ClassUris::default());
        }
        if !format!("{before}/").ends_with(SCHEMA_PART) {
            return (Self::Unknown, ClassUris::default());
        }
        (Self::of(last, None), ClassUris::of_vendor(&format!("{before}/"), last))
    }

    fn of(last: &str, namespace: Option<NamespaceName>) -> Self {
        let is_name = !last.is_empty()
            && last.chars().all(|c| c.is_alphanumeric() || c == '_')
            && !last.starts_with(|c: char| c.is_ascii_digit());
        match last {
            "*" => Self::All { namespace },
            _ if is_name => Self::Class { class: Name::new(last), namespace },
            _ => Self::Unknown,
        }
    }

    /// The class, if it is one.
    pub fn class(&self) -> Option<&ClassName> {
        match self {
            Self::Class { class, .. } => Some(class),
            _ => None,
        }
    }

    /// The namespace in the URI.
    pub fn namespace(&self) -> Option<&NamespaceName> {
        match self {
            Self::Class { namespace, .. } | Self::All { namespace } => namespace.as_ref(),
            _ => None,
        }
    }
}

impl ClassUris {
    /// The DMTF's prefix for every class but those of one vendor: `class` is one of the vendor's classes.
    pub fn of_vendor(prefix: &str, class: &str) -> Self {
        if prefix == uris::CIM_SCHEMA {
            return Self::default();
        }
        let schema = class.split_once('_').map_or(class, |(schema, _)| schema);
        Self { wmi: None, vendor: Some((schema.to_owned(), prefix.to_owned())) }
    }

    /// Whether URIs have Microsoft's form, in which the namespace is part of the URI.
    pub fn is_wmi(&self) -> bool {
        self.wmi.is_some()
    }

    /// Appends the URI of a class.
    pub(super) fn push(&self, out: &mut String, class: &str, namespace: Option<&NamespaceName>) {
        match (&self.wmi, &self.vendor) {
            (Some((base, own)), _) => match namespace.filter(|n| *n != own) {
                None => out.push_str(base),
                Some(other) => {
                    out.push_str(uris::WMI);
                    out.push_str(other.as_str());
                    out.push('/');
                }
            },
            (None, Some((schema, prefix))) if class.split_once('_').is_some_and(|(s, _)| s == schema) => {
                out.push_str(prefix);
            }
            _ => out.push_str(uris::CIM_SCHEMA),
        }
        out.push_str(class);
    }

    /// The URI of a class.
    pub fn uri(&self, class: &str, namespace: Option<&NamespaceName>) -> String {
        let mut out = String::new();
        self.push(&mut out, class, namespace);
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_families_are_read() {
        let (resource, uris) = Resource::parse(" http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/Msvm_X ");
        assert_eq!(resource, Resource::Class { class: "Msvm_X".into(), namespace: None });
        assert_eq!(uris.uri("Msvm_Y", None), "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/Msvm_Y");
        let text = "http://schemas.microsoft.com/wbem/wsman/1/WMI/root/virtualization/v2/Msvm_X";
        let (resource, uris) = Resource::parse(text);
        assert_eq!(resource.class(), Some(&"Msvm_X".into()));
        assert_eq!(resource.namespace(), Some(&NamespaceName::new("root/virtualization/v2")));
        assert!(uris.is_wmi());
        assert_eq!(uris.uri("Msvm_X", Some(&NamespaceName::new("ROOT/virtualization/V2"))), text);
        assert_eq!(
            uris.uri("X", Some(&NamespaceName::new("root/a"))),
            "http://schemas.microsoft.com/wbem/wsman/1/wmi/root/a/X"
        );
        let (all, _) =
            Resource::parse("http://schemas.microsoft.com/wbem/wsman/1/wmi/root/virtualization/v2/*");
        assert_eq!(all, Resource::All { namespace: Some(NamespaceName::new("root/virtualization/v2")) });
        assert_eq!(Resource::parse(uris::ALL_CLASSES).0, Resource::All { namespace: None });
        assert_eq!(Resource::parse(uris::CIM_XML_CLASS).0, Resource::ClassRepository);
    }

    #[test]
    fn a_vendor_prefix_is_for_its_own_schema() {
        let (_, uris) = Resource::parse("http://acme.example/wbem/wscim/1/cim-schema/2/ACME_Job?x=1");
        assert_eq!(uris.uri("ACME_Disk", None), "http://acme.example/wbem/wscim/1/cim-schema/2/ACME_Disk");
        assert_eq!(
            uris.uri("CIM_Error", None),
            "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CIM_Error"
        );
    }

    #[test]
    fn others_are_unknown() {
        for uri in [
            "",
            "x",
            "http://schemas.microsoft.com/wbem/wsman/1/wmi/*",
            "http://schemas.microsoft.com/wbem/wsman/1/wmi/Class",
            "http://schemas.microsoft.com/wbem/wsman/1/config",
            "http://schemas.microsoft.com/wbem/wsman/1/windows/shell/cmd",
            "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/",
            "http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/a b",
            "http://x\"><y>/wbem/wscim/1/cim-schema/2/X_Y",
            uris::WS_CIM_CLASS,
        ] {
            assert_eq!(Resource::parse(uri).0, Resource::Unknown, "{uri}");
        }
    }
}
