//! Errors of operations: the ERROR element and the CIM_Error instances in it (DSP0201 5.6.12, DSP0200 5.2.6).

use super::encode::Writer;
use super::error::Refusal;
use super::object::instance;
use super::text::push_unsigned;
use super::value::Scope;
use super::xml::{Attr, Element, Tag, shorten};
use cimwright_cim::coerce::{Declared, coerce};
use cimwright_cim::{
    CimError, CimStatus, CimType, ErrorDetail, ErrorType, Instance, Property, Severity, Value,
};

/// The properties of CIM_Error in the order of its declaration.
const PROPERTIES: [(&str, CimType, bool); 15] = [
    ("ErrorType", CimType::Uint16, false),
    ("OtherErrorType", CimType::String, false),
    ("OwningEntity", CimType::String, false),
    ("MessageID", CimType::String, false),
    ("Message", CimType::String, false),
    ("MessageArguments", CimType::String, true),
    ("PerceivedSeverity", CimType::Uint16, false),
    ("ProbableCause", CimType::Uint16, false),
    ("ProbableCauseDescription", CimType::String, false),
    ("RecommendedActions", CimType::String, true),
    ("ErrorSource", CimType::String, false),
    ("ErrorSourceFormat", CimType::Uint16, false),
    ("OtherErrorSourceFormat", CimType::String, false),
    ("CIMStatusCode", CimType::Uint32, false),
    ("CIMStatusCodeDescription", CimType::String, false),
];

/// What Hyper-V's code set has for a failure without a better code; what a CIM_Error from elsewhere gets, as it has none.
const CODE_FAILED: u16 = 32768;

/// Appends ERROR with one CIM_Error for each reason that is known, outermost first.
pub(super) fn push_error(writer: &mut Writer<'_>, error: &CimError) {
    writer.raw("<ERROR CODE=\"");
    push_unsigned(&mut writer.out, error.status.code().into());
    writer.raw("\"");
    if error.description.is_empty() {
        writer.attr("DESCRIPTION", error.status.name());
    } else {
        writer.attr("DESCRIPTION", &format!("{}: {}", error.status.name(), error.description));
    }
    writer.raw(">");
    for detail in error.details.iter().flat_map(ErrorDetail::chain) {
        writer.instance(&cim_error(detail));
    }
    writer.raw("</ERROR>");
}

/// An instance of CIM_Error with all its properties, its severity on the DMTF scale.
pub(crate) fn cim_error(detail: &ErrorDetail) -> Instance {
    let mut instance = Instance::new("CIM_Error");
    instance.properties = PROPERTIES
        .iter()
        .map(|(name, cim_type, is_array)| Property {
            is_array: *is_array,
            ..Property::new(*name, *cim_type, None)
        })
        .collect();
    detail.fill(&mut instance, false);
    instance
}

/// The error in ERROR. Codes that the standard does not have become CIM_ERR_FAILED and are named in the description.
pub(super) fn read_error(element: Element<'_>, scope: Scope<'_>) -> Result<CimError, Refusal> {
    let code = element.required(Attr::Code)?;
    let number: u32 = code
        .trim()
        .parse()
        .map_err(|_| Refusal::not_valid(format!("CODE=\"{}\" is no number", shorten(code))))?;
    let text = element.attr(Attr::Description).unwrap_or_default();
    let mut error = match CimStatus::from_code(number) {
        Some(status) => {
            // Servers write the name of the status before the text; the model keeps them apart.
            let text = match text.strip_prefix(status.name()) {
                Some("") => "",
                Some(rest) => rest.strip_prefix(": ").unwrap_or(text),
                None => text,
            };
            CimError::new(status, text)
        }
        None => CimError::failed(format!("status {number}: {text}")),
    };
    for child in element.children() {
        if child.tag() != Tag::Instance {
            return Err(element.misplaced(child));
        }
        error.details.push(detail(&instance(child, scope)?));
    }
    Ok(error)
}

/// What an instance of CIM_Error says whose values are texts, as other protocols have them.
pub(crate) fn detail_of(instance: &Instance) -> ErrorDetail {
    let mut typed = Instance::new("CIM_Error");
    for (name, cim_type, is_array) in PROPERTIES {
        let Some(value) = instance.get(name).cloned() else { continue };
        let declared = Declared { cim_type, is_array, embedded: None };
        if let Ok(value) = coerce(value, declared, &|_| Err("no object".to_owned())) {
            typed.set(name, Some(value));
        }
    }
    detail(&typed)
}

/// What an instance of CIM_Error says. What it does not say gets the value for "unknown".
fn detail(instance: &Instance) -> ErrorDetail {
    let text = |name: &str| instance.get_str(name).unwrap_or_default().to_owned();
    let number = |name: &str| instance.get_u64(name).and_then(|n| u16::try_from(n).ok());
    let texts = |name: &str| -> Vec<String> {
        let items = instance.get(name).and_then(Value::as_array).unwrap_or_default();
        items.iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let source = instance.get_str("ErrorSource").map(str::to_owned);
    ErrorDetail {
        message_id: text("MessageID"),
        message: text("Message"),
        arguments: texts("MessageArguments"),
        error_type: error_type(number("ErrorType")),
        severity: severity(number("PerceivedSeverity")),
        probable_cause: number("ProbableCause").unwrap_or(0),
        probable_cause_description: text("ProbableCauseDescription"),
        recommended_actions: texts("RecommendedActions"),
        source_is_path: source.is_some() && number("ErrorSourceFormat") == Some(2),
        source,
        status: instance
            .get_u64("CIMStatusCode")
            .and_then(|n| CimStatus::from_code(u32::try_from(n).ok()?))
            .unwrap_or(CimStatus::Failed),
        code: CODE_FAILED,
        cause: None,
    }
}

fn error_type(number: Option<u16>) -> ErrorType {
    use ErrorType as E;
    let known = [
        E::Other,
        E::Communications,
        E::QualityOfService,
        E::Software,
        E::Hardware,
        E::Environmental,
        E::Security,
        E::Oversubscription,
        E::UnavailableResource,
        E::UnsupportedOperation,
    ];
    known.into_iter().find(|e| Some(*e as u16) == number).unwrap_or(E::Unknown)
}

fn severity(number: Option<u16>) -> Severity {
    use Severity as S;
    let known = [S::Other, S::Information, S::Warning, S::Minor, S::Major, S::Critical, S::Fatal];
    known.into_iter().find(|s| Some(*s as u16) == number).unwrap_or(S::Unknown)
}

#[cfg(test)]
mod tests {
    use super::super::xml::{Document, Limits};
    use super::*;

    fn sample(id: &str) -> ErrorDetail {
        ErrorDetail {
            message_id: id.into(),
            message: "No space is left in \"/srv\"".into(),
            arguments: vec!["/srv".into()],
            error_type: ErrorType::Environmental,
            severity: Severity::Critical,
            probable_cause: 51,
            probable_cause_description: "storage capacity".into(),
            recommended_actions: vec!["Free space".into()],
            source: Some("root:X.K=\"v\"".into()),
            source_is_path: true,
            status: CimStatus::Failed,
            code: CODE_FAILED,
            cause: None,
        }
    }

    fn written(error: &CimError) -> String {
        let mut writer = Writer::new(256, None, None);
        push_error(&mut writer, error);
        writer.out
    }

    fn read(xml: &str) -> Result<CimError, Refusal> {
        let limits = Limits::default();
        let document = Document::from_text(xml, &limits)?;
        read_error(document.root(), Scope::new(&limits))
    }

    #[test]
    fn a_chain_of_reasons_becomes_a_list() {
        let error = CimError::not_found("no\n\"job\"")
            .with_detail(sample("A").because(sample("B")))
            .with_detail(sample("C"));
        let xml = written(&error);
        assert!(
            xml.starts_with("<ERROR CODE=\"6\" DESCRIPTION=\"CIM_ERR_NOT_FOUND: no&#10;&quot;job&quot;\">"),
            "{xml}"
        );
        assert!(xml.contains("<PROPERTY NAME=\"OtherErrorType\" TYPE=\"string\"></PROPERTY>"));
        assert!(
            xml.contains("<PROPERTY NAME=\"PerceivedSeverity\" TYPE=\"uint16\"><VALUE>6</VALUE></PROPERTY>")
        );
        let back = read(&xml).unwrap();
        assert_eq!((back.status, back.description.as_str()), (CimStatus::NotFound, "no\n\"job\""));
        assert_eq!(back.details, [sample("A"), sample("B"), sample("C")]);
    }

    #[test]
    fn errors_of_other_servers_are_understood() {
        assert_eq!(
            written(&CimError::failed("")),
            "<ERROR CODE=\"1\" DESCRIPTION=\"CIM_ERR_FAILED\"></ERROR>"
        );
        assert_eq!(read("<ERROR CODE='1' DESCRIPTION='CIM_ERR_FAILED'/>"), Ok(CimError::failed("")));
        assert_eq!(
            read("<ERROR CODE='4' DESCRIPTION='CIM_ERR_FAILED: x'/>"),
            Ok(CimError::invalid_parameter("CIM_ERR_FAILED: x"))
        );
        assert_eq!(read("<ERROR CODE='6'/>"), Ok(CimError::not_found("")));
        assert_eq!(read("<ERROR CODE='77' DESCRIPTION='x'/>"), Ok(CimError::failed("status 77: x")));
        assert!(read("<ERROR CODE='x'/>").is_err() && read("<ERROR/>").is_err());
        assert!(read("<ERROR CODE='1'><CLASS NAME='x'/></ERROR>").is_err());
        let sparse = read("<ERROR CODE='1'><INSTANCE CLASSNAME='CIM_Error'/></ERROR>").unwrap();
        assert_eq!(
            (sparse.details[0].severity, sparse.details[0].error_type),
            (Severity::Unknown, ErrorType::Unknown)
        );
    }
}
