//! Writing requests: what this project's own tools send to any WBEM server.

use super::encode::Writer;
use super::query_text::{language, query_text};
use super::response::{EPILOGUE, open_message};
use super::text::push_unsigned;
use crate::uri;
use cimwright_cim::operation::{
    AssociationFilter, ClassOptions, InstanceOptions, ObjectShape, OpenOptions, PullKind,
};
use cimwright_cim::query::Query;
use cimwright_cim::{ClassName, InstancePath, Name, NamespaceName, ObjectPath, Operation, Request};

/// The CIM headers that go with a request, ready to be sent. CIMOperation is `MethodCall` for all of them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RequestHeaders {
    /// CIMMethod.
    pub cim_method: String,
    /// CIMObject, percent-encoded.
    pub cim_object: String,
}

/// The name of an operation as it stands in a message.
pub fn operation_name(operation: &Operation) -> &str {
    match operation {
        Operation::GetClass { .. } => "GetClass",
        Operation::EnumerateClasses { .. } => "EnumerateClasses",
        Operation::EnumerateClassNames { .. } => "EnumerateClassNames",
        Operation::CreateClass { .. } => "CreateClass",
        Operation::ModifyClass { .. } => "ModifyClass",
        Operation::DeleteClass { .. } => "DeleteClass",
        Operation::GetQualifier { .. } => "GetQualifier",
        Operation::EnumerateQualifiers => "EnumerateQualifiers",
        Operation::SetQualifier { .. } => "SetQualifier",
        Operation::DeleteQualifier { .. } => "DeleteQualifier",
        Operation::GetInstance { .. } => "GetInstance",
        Operation::EnumerateInstances { .. } => "EnumerateInstances",
        Operation::EnumerateInstanceNames { .. } => "EnumerateInstanceNames",
        Operation::CreateInstance { .. } => "CreateInstance",
        Operation::ModifyInstance { .. } => "ModifyInstance",
        Operation::DeleteInstance { .. } => "DeleteInstance",
        Operation::GetProperty { .. } => "GetProperty",
        Operation::SetProperty { .. } => "SetProperty",
        Operation::Associators { .. } => "Associators",
        Operation::AssociatorNames { .. } => "AssociatorNames",
        Operation::References { .. } => "References",
        Operation::ReferenceNames { .. } => "ReferenceNames",
        Operation::ExecQuery { .. } => "ExecQuery",
        Operation::OpenEnumerateInstances { .. } => "OpenEnumerateInstances",
        Operation::OpenEnumerateInstancePaths { .. } => "OpenEnumerateInstancePaths",
        Operation::OpenAssociatorInstances { .. } => "OpenAssociatorInstances",
        Operation::OpenAssociatorInstancePaths { .. } => "OpenAssociatorInstancePaths",
        Operation::OpenReferenceInstances { .. } => "OpenReferenceInstances",
        Operation::OpenReferenceInstancePaths { .. } => "OpenReferenceInstancePaths",
        Operation::OpenQueryInstances { .. } => "OpenQueryInstances",
        Operation::Pull { kind: PullKind::InstancesWithPath, .. } => "PullInstancesWithPath",
        Operation::Pull { kind: PullKind::InstancePaths, .. } => "PullInstancePaths",
        Operation::Pull { kind: PullKind::Instances, .. } => "PullInstances",
        Operation::CloseEnumeration { .. } => "CloseEnumeration",
        Operation::EnumerationCount { .. } => "EnumerationCount",
        Operation::InvokeMethod { method, .. } => method.as_str(),
        Operation::Unsupported { name } => name,
    }
}

/// Writes a request message and its headers.
pub fn encode_request(message_id: &str, request: &Request) -> (Vec<u8>, RequestHeaders) {
    let mut writer = Writer::new(2048, None, None);
    let name = operation_name(&request.operation);
    open_message(&mut writer, message_id);
    writer.raw("<SIMPLEREQ>");
    let object = if let Operation::InvokeMethod { target, params, .. } = &request.operation {
        writer.raw("<METHODCALL");
        writer.attr("NAME", name);
        writer.raw(">");
        // The target has a namespace and no host, whatever the path says.
        let target = local(target, request);
        writer.reference(&target);
        for param in params {
            writer.param_value(param, false);
        }
        writer.raw("</METHODCALL>");
        uri::to_local_text(&target)
    } else {
        writer.raw("<IMETHODCALL");
        writer.attr("NAME", name);
        writer.raw(">");
        writer.local_namespace_path(&request.namespace);
        push_parameters(&mut writer, &request.operation);
        writer.raw("</IMETHODCALL>");
        request.namespace.as_str().to_owned()
    };
    writer.raw("</SIMPLEREQ>");
    writer.raw(EPILOGUE);
    let headers =
        RequestHeaders { cim_method: uri::percent_encode(name), cim_object: uri::percent_encode(&object) };
    (writer.out.into_bytes(), headers)
}

/// Writes an ExecQuery whose text goes to the server as it is: in a language, or with parts of one, that only the server knows.
pub fn encode_query(
    message_id: &str,
    namespace: &NamespaceName,
    language: &str,
    query: &str,
) -> (Vec<u8>, RequestHeaders) {
    let mut writer = Writer::new(1024, None, None);
    open_message(&mut writer, message_id);
    writer.raw("<SIMPLEREQ><IMETHODCALL NAME=\"ExecQuery\">");
    writer.local_namespace_path(namespace);
    text(&mut writer, "QueryLanguage", Some(language));
    text(&mut writer, "Query", Some(query));
    writer.raw("</IMETHODCALL></SIMPLEREQ>");
    writer.raw(EPILOGUE);
    let headers = RequestHeaders {
        cim_method: "ExecQuery".to_owned(),
        cim_object: uri::percent_encode(namespace.as_str()),
    };
    (writer.out.into_bytes(), headers)
}

fn local(target: &ObjectPath, request: &Request) -> ObjectPath {
    let mut target = target.clone();
    let (host, namespace) = match &mut target {
        ObjectPath::Class(path) => (&mut path.host, &mut path.namespace),
        ObjectPath::Instance(path) => (&mut path.host, &mut path.namespace),
    };
    *host = None;
    *namespace = Some(request.namespace.clone());
    target
}

/// The parameters of an intrinsic operation. Those that have their default are left out, except where servers are known to
/// assume another one.
fn push_parameters(w: &mut Writer<'_>, operation: &Operation) {
    match operation {
        Operation::GetClass { class, options } => {
            class_parameter(w, "ClassName", Some(class));
            class_options(w, options);
        }
        Operation::EnumerateClasses { class, deep, options } => {
            class_parameter(w, "ClassName", class.as_ref());
            flag(w, "DeepInheritance", *deep);
            class_options(w, options);
        }
        Operation::EnumerateClassNames { class, deep } => {
            class_parameter(w, "ClassName", class.as_ref());
            flag(w, "DeepInheritance", *deep);
        }
        Operation::CreateClass { class } => parameter(w, "NewClass", |w| w.class(class)),
        Operation::ModifyClass { class } => parameter(w, "ModifiedClass", |w| w.class(class)),
        Operation::DeleteClass { class } => class_parameter(w, "ClassName", Some(class)),
        Operation::GetQualifier { name } | Operation::DeleteQualifier { name } => {
            text(w, "QualifierName", Some(name.as_str()));
        }
        Operation::SetQualifier { declaration } => {
            parameter(w, "QualifierDeclaration", |w| w.qualifier_declaration(declaration));
        }
        Operation::EnumerateQualifiers | Operation::InvokeMethod { .. } | Operation::Unsupported { .. } => {}
        Operation::GetInstance { path, options } => {
            instance_parameter(w, "InstanceName", path);
            // Old servers take a missing LocalOnly for TRUE and leave out what is inherited.
            flag(w, "LocalOnly", false);
            instance_options(w, options);
        }
        Operation::EnumerateInstances { class, deep, options } => {
            class_parameter(w, "ClassName", Some(class));
            flag(w, "LocalOnly", false);
            flag(w, "DeepInheritance", *deep);
            instance_options(w, options);
        }
        Operation::EnumerateInstanceNames { class } => class_parameter(w, "ClassName", Some(class)),
        Operation::CreateInstance { instance } => {
            parameter(w, "NewInstance", |w| w.instance(instance));
        }
        Operation::ModifyInstance { instance, property_list: list } => {
            parameter(w, "ModifiedInstance", |w| {
                w.object(ObjectShape::NamedInstance, instance);
            });
            property_list(w, list.as_deref());
        }
        Operation::DeleteInstance { path } => instance_parameter(w, "InstanceName", path),
        Operation::GetProperty { path, property } => {
            instance_parameter(w, "InstanceName", path);
            text(w, "PropertyName", Some(property.as_str()));
        }
        Operation::SetProperty { path, property, value } => {
            instance_parameter(w, "InstanceName", path);
            text(w, "PropertyName", Some(property.as_str()));
            if let Some(value) = value {
                parameter(w, "NewValue", |w| w.value(value, false));
            }
        }
        Operation::Associators { object, filter, options } => {
            object_parameter(w, object);
            association_filter(w, filter, true);
            instance_options(w, options);
        }
        Operation::AssociatorNames { object, filter } => {
            object_parameter(w, object);
            association_filter(w, filter, true);
        }
        Operation::References { object, filter, options } => {
            object_parameter(w, object);
            association_filter(w, filter, false);
            instance_options(w, options);
        }
        Operation::ReferenceNames { object, filter } => {
            object_parameter(w, object);
            association_filter(w, filter, false);
        }
        Operation::ExecQuery { query } => query_parameters(w, "QueryLanguage", "Query", query),
        Operation::OpenEnumerateInstances { class, deep, options, open } => {
            class_parameter(w, "ClassName", Some(class));
            flag(w, "DeepInheritance", *deep);
            instance_options(w, options);
            open_options(w, open);
        }
        Operation::OpenEnumerateInstancePaths { class, open } => {
            class_parameter(w, "ClassName", Some(class));
            open_options(w, open);
        }
        Operation::OpenAssociatorInstances { object, filter, options, open } => {
            instance_parameter(w, "InstanceName", object);
            association_filter(w, filter, true);
            instance_options(w, options);
            open_options(w, open);
        }
        Operation::OpenAssociatorInstancePaths { object, filter, open } => {
            instance_parameter(w, "InstanceName", object);
            association_filter(w, filter, true);
            open_options(w, open);
        }
        Operation::OpenReferenceInstances { object, filter, options, open } => {
            instance_parameter(w, "InstanceName", object);
            association_filter(w, filter, false);
            instance_options(w, options);
            open_options(w, open);
        }
        Operation::OpenReferenceInstancePaths { object, filter, open } => {
            instance_parameter(w, "InstanceName", object);
            association_filter(w, filter, false);
            open_options(w, open);
        }
        Operation::OpenQueryInstances { query, return_query_result_class, open } => {
            query_parameters(w, "FilterQueryLanguage", "FilterQuery", query);
            flag_if(w, "ReturnQueryResultClass", *return_query_result_class);
            open_options(w, &OpenOptions { filter: None, ..open.clone() });
        }
        Operation::Pull { context, max_object_count, .. } => {
            text(w, "EnumerationContext", Some(context));
            number(w, "MaxObjectCount", *max_object_count);
        }
        Operation::CloseEnumeration { context } | Operation::EnumerationCount { context } => {
            text(w, "EnumerationContext", Some(context));
        }
    }
}

fn parameter(w: &mut Writer<'_>, name: &str, content: impl FnOnce(&mut Writer<'_>)) {
    w.raw("<IPARAMVALUE");
    w.attr("NAME", name);
    w.raw(">");
    content(w);
    w.raw("</IPARAMVALUE>");
}

fn text(w: &mut Writer<'_>, name: &str, value: Option<&str>) {
    if let Some(value) = value {
        parameter(w, name, |w| w.string_value(value));
    }
}

fn number(w: &mut Writer<'_>, name: &str, value: u32) {
    parameter(w, name, |w| {
        w.raw("<VALUE>");
        push_unsigned(&mut w.out, value.into());
        w.raw("</VALUE>");
    });
}

fn flag(w: &mut Writer<'_>, name: &str, value: bool) {
    parameter(w, name, |w| w.raw(if value { "<VALUE>TRUE</VALUE>" } else { "<VALUE>FALSE</VALUE>" }));
}

fn flag_if(w: &mut Writer<'_>, name: &str, value: bool) {
    if value {
        flag(w, name, true);
    }
}

fn class_parameter(w: &mut Writer<'_>, name: &str, class: Option<&ClassName>) {
    if let Some(class) = class {
        parameter(w, name, |w| w.class_name(class));
    }
}

fn instance_parameter(w: &mut Writer<'_>, name: &str, path: &InstancePath) {
    parameter(w, name, |w| w.instance_name(path));
}

fn object_parameter(w: &mut Writer<'_>, object: &ObjectPath) {
    match object {
        ObjectPath::Class(path) => class_parameter(w, "ObjectName", Some(&path.class)),
        ObjectPath::Instance(path) => instance_parameter(w, "ObjectName", path),
    }
}

fn class_options(w: &mut Writer<'_>, options: &ClassOptions) {
    flag(w, "LocalOnly", options.local_only);
    flag(w, "IncludeQualifiers", options.include_qualifiers);
    flag_if(w, "IncludeClassOrigin", options.include_class_origin);
    property_list(w, options.property_list.as_deref());
}

fn instance_options(w: &mut Writer<'_>, options: &InstanceOptions) {
    flag_if(w, "IncludeClassOrigin", options.include_class_origin);
    property_list(w, options.property_list.as_deref());
}

fn property_list(w: &mut Writer<'_>, list: Option<&[Name]>) {
    if let Some(list) = list {
        parameter(w, "PropertyList", |w| {
            w.raw("<VALUE.ARRAY>");
            for name in list {
                w.string_value(name.as_str());
            }
            w.raw("</VALUE.ARRAY>");
        });
    }
}

fn association_filter(w: &mut Writer<'_>, filter: &AssociationFilter, of_associators: bool) {
    if of_associators {
        class_parameter(w, "AssocClass", filter.assoc_class.as_ref());
    }
    class_parameter(w, "ResultClass", filter.result_class.as_ref());
    text(w, "Role", filter.role.as_ref().map(Name::as_str));
    if of_associators {
        text(w, "ResultRole", filter.result_role.as_ref().map(Name::as_str));
    }
}

fn open_options(w: &mut Writer<'_>, open: &OpenOptions) {
    if let Some((language, query)) = &open.filter {
        text(w, "FilterQueryLanguage", Some(language));
        text(w, "FilterQuery", Some(query));
    }
    if let Some(seconds) = open.operation_timeout {
        number(w, "OperationTimeout", seconds);
    }
    flag_if(w, "ContinueOnError", open.continue_on_error);
    if open.max_object_count > 0 {
        number(w, "MaxObjectCount", open.max_object_count);
    }
}

fn query_parameters(w: &mut Writer<'_>, language_name: &str, text_name: &str, query: &Query) {
    text(w, language_name, Some(language(query)));
    text(w, text_name, Some(&query_text(query)));
}
