//! What to say when a request names something that is not there: also what is there, so that the next request can be right.

use cimwright_cim::{CimError, Class, ClassName, NamespaceName, Schema};
use cimwright_codec::wsman::{Fault, Subcode, fault_of, uris};

/// How many names a reason lists.
const LISTED: usize = 12;
/// How much of a URI a reason repeats, in characters.
const SHOWN: usize = 200;
/// Class names that are longer are not compared.
const MAX_NAME: usize = 100;
/// What precedes the resources that Windows has beside its classes.
const WINDOWS: &str = "http://schemas.microsoft.com/wbem/wsman/1/";
/// How many letters a misspelt name may be away from the right one.
const MAX_DISTANCE: usize = 2;

/// There is no such namespace. `named` is whether the request has it, rather than the configuration.
pub(super) fn no_namespace(namespace: &NamespaceName, named: bool, there: &[NamespaceName]) -> Fault {
    let mut text = if named {
        format!("there is no namespace {namespace}")
    } else {
        format!(
            "the message names no namespace, neither in the resource URI nor in the selector __cimnamespace, and there is no \
             namespace {namespace}, which is taken then (wsman.default_namespace)"
        )
    };
    if !there.is_empty() {
        let names: Vec<&str> = there.iter().take(LISTED).map(NamespaceName::as_str).collect();
        let more = if there.len() > LISTED { ", …" } else { "" };
        text.push_str(&format!("; known here: {}{more}", names.join(", ")));
    }
    fault_of(&CimError::invalid_namespace(text), false)
}

/// The resource URI names no class.
pub(super) fn no_resource(uri: Option<&str>) -> Fault {
    const FORMS: &str = "write http://schemas.microsoft.com/wbem/wsman/1/wmi/NAMESPACE/CLASS, or \
                         http://schemas.dmtf.org/wbem/wscim/1/cim-schema/2/CLASS with the selector __cimnamespace";
    let text = match uri {
        None => format!("The message has no ResourceURI; {FORMS}."),
        Some(uri) => {
            let shown: String = uri.chars().take(SHOWN).collect();
            if uri.starts_with(WINDOWS) && !uri.starts_with(uris::WMI) {
                format!(
                    "{shown} is a resource of Windows itself (shells, settings, event logs); only classes are served here"
                )
            } else if uri.ends_with("/*") {
                format!(
                    "{shown} stands for all classes: name one in its place, or say with a filter which instances"
                )
            } else {
                format!("{shown} is no class that is served here; {FORMS}")
            }
        }
    };
    Fault::new(Subcode::DestinationUnreachable, text).detail("InvalidResourceURI")
}

/// There is no such class.
pub(super) fn no_class(class: &ClassName, namespace: &NamespaceName, schema: &Schema) -> Fault {
    let mut text = format!("there is no class {class} in {namespace}");
    if let Some(meant) = nearest(class.as_str(), schema) {
        text.push_str(&format!("; did you mean {meant}?"));
    }
    fault_of(&CimError::invalid_class(text), false)
}

/// The same fault, with what selects an instance of the class, where it is about selectors.
pub(super) fn with_keys(mut fault: Fault, class: &Class) -> Fault {
    if fault.subcode == Some(Subcode::InvalidSelectors) {
        let keys: Vec<&str> = class.keys().map(|k| k.name.as_str()).collect();
        let keys = if keys.is_empty() { "none".to_owned() } else { keys.join(", ") };
        fault.reason.push_str(&format!("; an instance of {} is selected by {keys}", class.name));
    }
    fault
}

/// The class whose name is nearly this one.
fn nearest<'s>(name: &str, schema: &'s Schema) -> Option<&'s ClassName> {
    if name.len() > MAX_NAME {
        return None;
    }
    let near = schema.class_names().iter().filter(|n| n.as_str().len().abs_diff(name.len()) <= MAX_DISTANCE);
    near.map(|n| (distance(name, n.as_str()), n))
        .filter(|(distance, _)| *distance <= MAX_DISTANCE)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// How many letters have to be put in, left out or changed to come from one name to the other.
fn distance(from: &str, to: &str) -> usize {
    let (from, to) = (from.to_ascii_lowercase(), to.to_ascii_lowercase());
    let mut row: Vec<usize> = (0..=to.len()).collect();
    for (i, a) in from.bytes().enumerate() {
        let mut before = row[0];
        row[0] = i + 1;
        for (j, b) in to.bytes().enumerate() {
            let changed = before + usize::from(a != b);
            before = row[j + 1];
            row[j + 1] = changed.min(before + 1).min(row[j] + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_that_are_nearly_right_are_found() {
        assert_eq!(distance("kitten", "Sitting"), 3);
        assert_eq!(distance("", "ab"), 2);
        let mut schema = Schema::new();
        for name in ["Msvm_ConcreteJob", "Msvm_StorageJob"] {
            schema.add_class(Class::new(name)).unwrap();
        }
        let nearest = |name| nearest(name, &schema).map(|n| n.as_str());
        assert_eq!(nearest("Msvm_ConcretJob"), Some("Msvm_ConcreteJob"));
        assert_eq!(nearest("msvm_storagejobs"), Some("Msvm_StorageJob"));
        assert_eq!(nearest("Win32_Service"), None);
    }

    #[test]
    fn reasons_say_what_is_there() {
        let there: Vec<NamespaceName> = (0..20).map(|n| NamespaceName::new(format!("root/n{n}"))).collect();
        let asked = NamespaceName::new("root/none");
        let reason = no_namespace(&asked, true, &there).reason;
        assert!(
            reason.contains("root/n11") && reason.ends_with(", …") && !reason.contains("root/n12"),
            "{reason}"
        );
        assert!(no_namespace(&asked, false, &[]).reason.contains("__cimnamespace"));
        assert!(no_resource(None).reason.contains("ResourceURI"));
        assert!(no_resource(Some("http://x/*")).reason.contains("filter"));
        let shell = format!("{WINDOWS}windows/shell/cmd");
        assert!(no_resource(Some(&shell)).reason.contains("Windows itself"));
        assert!(no_resource(Some("urn:x")).reason.contains("/CLASS"));
    }
}
