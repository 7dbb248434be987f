//! What GetError, GetErrorEx and GetErrors answer, whatever form it comes in.

use crate::wire;
use cimwright_cim::{CimStatus, Instance, NamespaceName, Value};

/// One CIM_Error (or Msvm_Error) as a server told it. Fields that are NULL or not there are `None` or empty.
#[derive(Clone, Debug, Default, PartialEq)]
#[allow(missing_docs, reason = "the fields are the properties of CIM_Error")]
pub struct ErrorView {
    /// The class of the instance; empty when the server's text was no instance.
    pub class: String,
    pub message_id: Option<String>,
    pub owning_entity: Option<String>,
    /// Message; or the whole text, when it was no instance.
    pub message: Option<String>,
    pub message_arguments: Vec<String>,
    pub error_type: Option<u64>,
    pub other_error_type: Option<String>,
    pub perceived_severity: Option<u64>,
    /// Whether the severity has Hyper-V's values (2 Low, 3 Medium, 4 High, 5 Fatal) rather than DMTF's.
    pub hyper_v_severity: bool,
    pub probable_cause: Option<u64>,
    pub probable_cause_description: Option<String>,
    pub recommended_actions: Vec<String>,
    pub error_source: Option<String>,
    pub error_source_format: Option<u64>,
    pub other_error_source_format: Option<String>,
    pub cim_status_code: Option<u64>,
    pub cim_status_code_description: Option<String>,
}

impl ErrorView {
    /// The errors in an output parameter: one or several, each as an embedded instance, as a string that holds one in CIM-XML,
    /// or, from servers that know no better, as plain text.
    pub fn all_of(value: Option<&Value>, namespace: &NamespaceName) -> Vec<Self> {
        match value {
            None => Vec::new(),
            Some(Value::Array(items)) => {
                items.iter().flatten().filter_map(|v| Self::of(v, namespace)).collect()
            }
            Some(value) => Self::of(value, namespace).into_iter().collect(),
        }
    }

    /// The fields of an instance.
    pub fn of_instance(instance: &Instance, namespace: &NamespaceName) -> Self {
        let text = |name: &str| instance.get_str(name).filter(|t| !t.is_empty()).map(str::to_owned);
        let number = |name: &str| instance.get_u64(name);
        let texts = |name: &str| -> Vec<String> {
            let items = instance.get(name).and_then(Value::as_array).unwrap_or_default();
            items.iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
        };
        // Hyper-V's first namespace changes the scale of CIM_Error itself, its second one only that of Msvm_Error.
        let hyper_v_severity =
            instance.class.is("Msvm_Error") || *namespace == NamespaceName::new("root/virtualization");
        Self {
            class: instance.class.to_string(),
            message_id: text("MessageID"),
            owning_entity: text("OwningEntity"),
            message: text("Message"),
            message_arguments: texts("MessageArguments"),
            error_type: number("ErrorType"),
            other_error_type: text("OtherErrorType"),
            perceived_severity: number("PerceivedSeverity"),
            hyper_v_severity,
            probable_cause: number("ProbableCause"),
            probable_cause_description: text("ProbableCauseDescription"),
            recommended_actions: texts("RecommendedActions"),
            error_source: text("ErrorSource"),
            error_source_format: number("ErrorSourceFormat"),
            other_error_source_format: text("OtherErrorSourceFormat"),
            cim_status_code: number("CIMStatusCode"),
            cim_status_code_description: text("CIMStatusCodeDescription"),
        }
    }

    /// The name of ErrorType, or its own text where it is 1 (Other).
    pub fn error_type_name(&self) -> Option<&str> {
        Some(match self.error_type? {
            0 => "Unknown",
            1 => return self.other_error_type.as_deref().or(Some("Other")),
            2 => "Communications Error",
            3 => "Quality of Service Error",
            4 => "Software Error",
            5 => "Hardware Error",
            6 => "Environmental Error",
            7 => "Security Error",
            8 => "Oversubscription Error",
            9 => "Unavailable Resource Error",
            10 => "Unsupported Operation Error",
            _ => return None,
        })
    }

    /// The name of PerceivedSeverity on the scale of the class.
    pub fn severity_name(&self) -> Option<&'static str> {
        Some(match (self.perceived_severity?, self.hyper_v_severity) {
            (0, _) => "Unknown",
            (2, true) => "Low",
            (3, true) => "Medium",
            (4, true) => "High",
            (5, true) => "Fatal",
            (1, false) => "Other",
            (2, false) => "Information",
            (3, false) => "Degraded/Warning",
            (4, false) => "Minor",
            (5, false) => "Major",
            (6, false) => "Critical",
            (7, false) => "Fatal/NonRecoverable",
            _ => return None,
        })
    }

    /// The name of CIMStatusCode, or what the server says about it.
    pub fn status_name(&self) -> Option<&str> {
        let known = self.cim_status_code.and_then(|n| u32::try_from(n).ok()).and_then(CimStatus::from_code);
        self.cim_status_code_description.as_deref().or_else(|| known.map(CimStatus::name))
    }

    fn of(value: &Value, namespace: &NamespaceName) -> Option<Self> {
        if let Some(instance) = value.as_instance() {
            return Some(Self::of_instance(instance, namespace));
        }
        let text = value.as_str().map(str::trim).filter(|t| !t.is_empty())?;
        Some(match wire::parse_instance(text) {
            Ok(instance) => Self::of_instance(&instance, namespace),
            Err(_) => Self { message: Some(text.to_owned()), ..Self::default() },
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "<INSTANCE CLASSNAME=\"Msvm_Error\">\
        <PROPERTY NAME=\"MessageID\" TYPE=\"string\"><VALUE>CWDISK1004</VALUE></PROPERTY>\
        <PROPERTY NAME=\"Message\" TYPE=\"string\"><VALUE>a &lt; b</VALUE></PROPERTY>\
        <PROPERTY NAME=\"PerceivedSeverity\" TYPE=\"uint16\"><VALUE>4</VALUE></PROPERTY>\
        <PROPERTY NAME=\"CIMStatusCode\" TYPE=\"uint32\"><VALUE>6</VALUE></PROPERTY>\
        <PROPERTY.ARRAY NAME=\"RecommendedActions\" TYPE=\"string\"><VALUE.ARRAY><VALUE>do x</VALUE></VALUE.ARRAY></PROPERTY.ARRAY>\
        </INSTANCE>";

    fn v2() -> NamespaceName {
        NamespaceName::new("root/virtualization/v2")
    }

    #[test]
    fn a_string_of_cim_xml_and_an_embedded_instance_say_the_same() {
        let as_text = ErrorView::all_of(Some(&Value::from(TEXT)), &v2());
        let instance = wire::parse_instance(TEXT).unwrap();
        let embedded = ErrorView::all_of(Some(&Value::Instance(Box::new(instance))), &v2());
        assert_eq!(as_text, embedded);
        let [error] = as_text.as_slice() else { panic!("{as_text:?}") };
        assert_eq!(error.message_id.as_deref(), Some("CWDISK1004"));
        assert_eq!(error.message.as_deref(), Some("a < b"));
        assert_eq!(error.severity_name(), Some("High"));
        assert_eq!(error.status_name(), Some("CIM_ERR_NOT_FOUND"));
        assert_eq!(error.recommended_actions, ["do x"]);
    }

    #[test]
    fn arrays_keep_their_order_and_nulls_are_left_out() {
        let value = Value::Array(vec![Some(TEXT.into()), None, Some("disk on fire".into())]);
        let errors = ErrorView::all_of(Some(&value), &v2());
        assert_eq!(errors.len(), 2);
        assert_eq!(errors[1].message.as_deref(), Some("disk on fire"));
        assert_eq!(errors[1].class, "");
        assert!(ErrorView::all_of(None, &v2()).is_empty());
        assert!(ErrorView::all_of(Some(&Value::from(" ")), &v2()).is_empty());
    }

    #[test]
    fn the_scale_of_severity_follows_class_and_namespace() {
        let of = |class: &str, namespace: &str| {
            let instance = Instance::new(class).with("PerceivedSeverity", Value::Uint16(3));
            ErrorView::of_instance(&instance, &NamespaceName::new(namespace)).severity_name()
        };
        assert_eq!(of("CIM_Error", "root/virtualization"), Some("Medium"));
        assert_eq!(of("CIM_Error", "root/virtualization/v2"), Some("Degraded/Warning"));
        assert_eq!(of("Msvm_Error", "root/virtualization/v2"), Some("Medium"));
    }
}
