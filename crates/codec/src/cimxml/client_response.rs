//! Reading responses: what any WBEM server answers to the requests of [`encode_request`](super::encode_request).

use super::cim_error::read_error;
use super::client::operation_name;
use super::declaration::{class, qualifier_declaration};
use super::error::{Refusal, ResponseError};
use super::object::{instance, instance_with_path};
use super::path::{class_name, instance_name, object_path};
use super::request::param_value;
use super::value::{Scope, Stated, value};
use super::xml::{Attr, Document, Element, Limits, Tag};
use cimwright_cim::coerce::parse_integer;
use cimwright_cim::operation::{ObjectShape, PullKind};
use cimwright_cim::{
    CimError, Class, ClassPath, Instance, ObjectPath, Operation, OperationResult, Param, Request, Value,
};

/// A response message.
#[derive(Clone, Debug, PartialEq)]
pub struct Response {
    /// MESSAGE ID; that of the request, if the server keeps to the rules.
    pub id: String,
    /// NAME of the response element.
    pub name: String,
    /// What came of the request.
    pub result: Result<OperationResult, CimError>,
}

/// Reads the response to `request`.
///
/// Paths get the namespace of the request where the message leaves it out. Sets may come in any of the wrappers that
/// servers are known to use; the result has the shape of the wrapper that came.
///
/// # Errors
/// When the bytes are no response to such a request; an error that the server answers is part of [`Response`].
pub fn decode_response(body: &[u8], request: &Request, limits: &Limits) -> Result<Response, ResponseError> {
    let document = Document::from_bytes(body, limits)?;
    let scope = Scope::new(limits);
    let message = document.root().expect(Tag::Cim)?.exactly_one()?.expect(Tag::Message)?;
    let response = message.exactly_one()?.expect(Tag::SimpleRsp)?.exactly_one()?;
    let extrinsic = matches!(request.operation, Operation::InvokeMethod { .. });
    response.expect(if extrinsic { Tag::MethodResponse } else { Tag::IMethodResponse })?;
    let name = response.required(Attr::Name)?;
    if !name.eq_ignore_ascii_case(operation_name(&request.operation)) {
        return Err(ResponseError::NotValid(format!("it answers {name}")));
    }
    let first = response.children().next();
    let result = match first {
        Some(error) if error.tag() == Tag::Error => Err(read_error(error, scope)?),
        _ if extrinsic => Ok(method_result(response, scope)?),
        _ => Ok(intrinsic_result(response, request, scope)?),
    };
    Ok(Response { id: message.required(Attr::Id)?.to_owned(), name: name.to_owned(), result })
}

fn method_result(response: Element<'_>, scope: Scope<'_>) -> Result<OperationResult, Refusal> {
    let mut return_value = None;
    let mut out: Vec<Param> = Vec::new();
    for child in response.children() {
        match child.tag() {
            Tag::ReturnValue if return_value.is_none() && out.is_empty() => {
                if let Some(held) = child.at_most_one()? {
                    let stated = Stated::of_parameter(child)?;
                    return_value = value(held, stated, scope)?.ok_or_else(|| child.misplaced(held))?;
                }
            }
            Tag::ParamValue => out.push(param_value(child, scope)?),
            _ => return Err(response.misplaced(child)),
        }
    }
    Ok(OperationResult::Method { return_value, out })
}

/// The parts of an IMETHODRESPONSE.
struct Answer<'d> {
    /// The children of IRETURNVALUE.
    returned: Vec<Element<'d>>,
    /// The PARAMVALUE elements.
    params: Vec<Element<'d>>,
}

impl<'d> Answer<'d> {
    fn of(response: Element<'d>) -> Result<Self, Refusal> {
        let mut answer = Self { returned: Vec::new(), params: Vec::new() };
        for (at, child) in response.children().enumerate() {
            match child.tag() {
                Tag::IReturnValue if at == 0 => answer.returned = child.children().collect(),
                Tag::ParamValue => answer.params.push(child),
                _ => return Err(response.misplaced(child)),
            }
        }
        Ok(answer)
    }

    fn single(&self, response: Element<'_>) -> Result<Element<'d>, Refusal> {
        match self.returned.as_slice() {
            [only] => Ok(*only),
            _ => Err(response.incomplete()),
        }
    }

    fn each<T>(&self, read: impl Fn(Element<'d>) -> Result<T, Refusal>) -> Result<Vec<T>, Refusal> {
        self.returned.iter().map(|e| read(*e)).collect()
    }

    /// The text of an output parameter, whatever type it states.
    fn param_text(&self, name: &str) -> Option<&'d str> {
        self.param(name)?.children().next().filter(|c| c.tag() == Tag::Value).map(Element::text)
    }

    fn param(&self, name: &str) -> Option<Element<'d>> {
        self.params.iter().copied().find(|p| p.attr(Attr::Name).is_some_and(|n| n.eq_ignore_ascii_case(name)))
    }
}

fn intrinsic_result(
    response: Element<'_>,
    request: &Request,
    scope: Scope<'_>,
) -> Result<OperationResult, Refusal> {
    let answer = Answer::of(response)?;
    let objects = |default| instances(&answer, request, default, scope);
    Ok(match &request.operation {
        Operation::CreateClass { .. }
        | Operation::ModifyClass { .. }
        | Operation::DeleteClass { .. }
        | Operation::SetQualifier { .. }
        | Operation::DeleteQualifier { .. }
        | Operation::SetProperty { .. }
        | Operation::ModifyInstance { .. }
        | Operation::DeleteInstance { .. }
        | Operation::CloseEnumeration { .. }
        | Operation::InvokeMethod { .. }
        | Operation::Unsupported { .. } => OperationResult::Void,
        Operation::GetClass { .. } => {
            OperationResult::Class(Box::new(class(answer.single(response)?, scope)?))
        }
        Operation::EnumerateClasses { .. } => OperationResult::Classes(answer.each(|e| class(e, scope))?),
        Operation::EnumerateClassNames { .. } => OperationResult::ClassNames(answer.each(class_name)?),
        Operation::GetQualifier { .. } => {
            let declaration = qualifier_declaration(answer.single(response)?, scope)?;
            OperationResult::Qualifier(Box::new(declaration))
        }
        Operation::EnumerateQualifiers => {
            OperationResult::Qualifiers(answer.each(|e| qualifier_declaration(e, scope))?)
        }
        Operation::GetInstance { .. } => {
            OperationResult::Instance(Box::new(instance(answer.single(response)?, scope)?))
        }
        Operation::CreateInstance { .. } => {
            let mut path = instance_name(answer.single(response)?, scope)?;
            path.namespace = Some(request.namespace.clone());
            OperationResult::Created(path)
        }
        // The message does not state a type: what comes is text, arrays of text or references.
        Operation::GetProperty { .. } => OperationResult::Property(match answer.returned.as_slice() {
            [] => None,
            [one] => value(*one, Stated::default(), scope)?.ok_or_else(|| response.misplaced(*one))?,
            _ => return Err(response.incomplete()),
        }),
        Operation::EnumerateInstances { .. } => objects(ObjectShape::NamedInstance)?,
        Operation::EnumerateInstanceNames { .. } => objects(ObjectShape::InstanceName)?,
        Operation::ExecQuery { .. } => objects(ObjectShape::Object)?,
        Operation::Associators { object, .. } | Operation::References { object, .. } => {
            if is_class_level(&answer, object) {
                OperationResult::ClassObjects(answer.each(|e| class_with_path(e, scope))?)
            } else {
                objects(ObjectShape::ObjectWithPath)?
            }
        }
        Operation::AssociatorNames { object, .. } | Operation::ReferenceNames { object, .. } => {
            if is_class_level(&answer, object) {
                OperationResult::ClassPaths(
                    answer.each(|e| class_path(e.expect(Tag::ObjectPath)?.exactly_one()?, scope))?,
                )
            } else {
                objects(ObjectShape::ObjectPath)?
            }
        }
        Operation::OpenEnumerateInstances { .. }
        | Operation::OpenAssociatorInstances { .. }
        | Operation::OpenReferenceInstances { .. }
        | Operation::Pull { kind: PullKind::InstancesWithPath, .. } => {
            pulled(&answer, objects(ObjectShape::InstanceWithPath)?, scope)?
        }
        Operation::OpenEnumerateInstancePaths { .. }
        | Operation::OpenAssociatorInstancePaths { .. }
        | Operation::OpenReferenceInstancePaths { .. }
        | Operation::Pull { kind: PullKind::InstancePaths, .. } => {
            pulled(&answer, objects(ObjectShape::InstancePath)?, scope)?
        }
        Operation::OpenQueryInstances { .. } | Operation::Pull { kind: PullKind::Instances, .. } => {
            pulled(&answer, objects(ObjectShape::Instance)?, scope)?
        }
        Operation::EnumerationCount { .. } => OperationResult::Count(match answer.returned.as_slice() {
            [] => None,
            [count] => {
                let text = count.expect(Tag::Value)?.text();
                let number = parse_integer(text).and_then(|n| u64::try_from(n).ok());
                Some(number.ok_or_else(|| Refusal::not_valid("the count is no number"))?)
            }
            _ => return Err(response.incomplete()),
        }),
    })
}

/// Whether the answer of an association operation is about classes; an empty one is what was asked for.
fn is_class_level(answer: &Answer<'_>, object: &ObjectPath) -> bool {
    match answer.returned.first().and_then(|e| e.children().next()) {
        Some(path) => path.tag() == Tag::ClassPath,
        None => matches!(object, ObjectPath::Class(_)),
    }
}

fn class_with_path(element: Element<'_>, scope: Scope<'_>) -> Result<(ClassPath, Class), Refusal> {
    let (path, object) = element.expect(Tag::ValueObjectWithPath)?.exactly_two()?;
    Ok((class_path(path, scope)?, class(object, scope)?))
}

fn class_path(element: Element<'_>, scope: Scope<'_>) -> Result<ClassPath, Refusal> {
    match object_path(element, scope)? {
        ObjectPath::Class(path) => Ok(path),
        ObjectPath::Instance(_) => Err(Refusal::not_valid("instances among classes")),
    }
}

fn instances(
    answer: &Answer<'_>,
    request: &Request,
    default: ObjectShape,
    scope: Scope<'_>,
) -> Result<OperationResult, Refusal> {
    let shape = match answer.returned.first() {
        None => default,
        Some(first) => shape_of(*first)?,
    };
    let items = answer.each(|e| {
        if shape_of(e)? != shape {
            return Err(Refusal::not_valid("objects of different kinds in one answer"));
        }
        let mut item = object(e, scope)?;
        if let Some(path) = &mut item.path
            && path.namespace.is_none()
        {
            path.namespace = Some(request.namespace.clone());
        }
        Ok(item)
    })?;
    Ok(OperationResult::Instances { shape, items })
}

fn shape_of(element: Element<'_>) -> Result<ObjectShape, Refusal> {
    Ok(match element.tag() {
        Tag::ValueNamedInstance => ObjectShape::NamedInstance,
        Tag::InstanceName => ObjectShape::InstanceName,
        // Two spellings of the same thing; the model has one.
        Tag::ValueObjectWithPath | Tag::ValueObjectWithLocalPath => ObjectShape::ObjectWithPath,
        Tag::ObjectPath => ObjectShape::ObjectPath,
        Tag::ValueObject => ObjectShape::Object,
        Tag::ValueInstanceWithPath => ObjectShape::InstanceWithPath,
        Tag::InstancePath => ObjectShape::InstancePath,
        Tag::Instance => ObjectShape::Instance,
        other => return Err(Refusal::not_valid(format!("{} in an answer of objects", other.name()))),
    })
}

fn object(element: Element<'_>, scope: Scope<'_>) -> Result<Instance, Refusal> {
    let path_only = |element| -> Result<Instance, Refusal> {
        match object_path(element, scope)? {
            ObjectPath::Instance(path) => {
                Ok(Instance { class: path.class.clone(), path: Some(path), properties: Vec::new() })
            }
            ObjectPath::Class(_) => Err(Refusal::not_valid("classes among instances")),
        }
    };
    match element.tag() {
        Tag::InstanceName | Tag::InstancePath => path_only(element),
        Tag::ObjectPath => path_only(element.exactly_one()?),
        Tag::ValueObject => instance(element.exactly_one()?, scope),
        Tag::Instance => instance(element, scope),
        _ => instance_with_path(element, scope),
    }
}

/// Adds what Open… and Pull… answer beside the objects.
fn pulled(
    answer: &Answer<'_>,
    objects: OperationResult,
    scope: Scope<'_>,
) -> Result<OperationResult, Refusal> {
    let OperationResult::Instances { shape, items } = objects else {
        return Err(Refusal::not_valid("no objects"));
    };
    let end = answer
        .param_text("EndOfSequence")
        .ok_or_else(|| Refusal::not_valid("EndOfSequence is missing"))?
        .trim()
        .eq_ignore_ascii_case("true");
    let context = match answer.param_text("EnumerationContext") {
        _ if end => None,
        Some(context) => Some(context.to_owned()),
        None => return Err(Refusal::not_valid("EnumerationContext is missing")),
    };
    let query_result_class = match answer.param("QueryResultClass") {
        None => None,
        Some(param) => match param_value(param, scope)?.value {
            Some(Value::Class(class)) => Some(class),
            _ => None,
        },
    };
    Ok(OperationResult::Pulled { shape, items, context, query_result_class })
}
