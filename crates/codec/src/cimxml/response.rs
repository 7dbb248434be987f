//! Writing responses (DSP0200 5.3, 6.2; DSP0201 5.6).

use super::cim_error::push_error;
use super::encode::Writer;
use super::text::push_unsigned;
use cimwright_cim::operation::ObjectShape;
use cimwright_cim::{CimError, CimType, Class, Instance, NamespaceName, OperationResult, Param, Value};

/// What begins every message, up to the attributes of MESSAGE.
const PROLOGUE: &str = "<?xml version=\"1.0\" encoding=\"utf-8\"?>\n\
     <CIM CIMVERSION=\"2.0\" DTDVERSION=\"2.0\"><MESSAGE";

/// What ends every message.
pub(super) const EPILOGUE: &str = "</MESSAGE></CIM>\n";

/// What an answer needs beside the result: how the server calls itself and where the request was aimed.
#[derive(Clone, Copy, Debug)]
pub struct EncodeContext<'a> {
    /// HOST of full paths: host name, with the port if it is not the default one.
    pub host: &'a str,
    /// The namespace of the request, for paths that name none.
    pub namespace: Option<&'a NamespaceName>,
}

/// Writes the whole response to one request. `name` is that of the call as received.
pub fn encode_response(
    message_id: &str,
    name: &str,
    intrinsic: bool,
    result: &Result<OperationResult, CimError>,
    context: &EncodeContext<'_>,
) -> Vec<u8> {
    let mut writer = writer(context, guess(result));
    open_message(&mut writer, message_id);
    push_response(&mut writer, name, intrinsic, result);
    writer.raw(EPILOGUE);
    writer.out.into_bytes()
}

/// One answer of a batch.
#[derive(Clone, Copy, Debug)]
pub struct BatchItem<'a> {
    /// Name of the call as received.
    pub name: &'a str,
    /// Whether it was an IMETHODCALL.
    pub intrinsic: bool,
    /// What came of it.
    pub result: &'a Result<OperationResult, CimError>,
    /// Its namespace and the host.
    pub context: EncodeContext<'a>,
}

/// Writes the response to a batch; the items in the order of the requests.
pub fn encode_batch_response(message_id: &str, items: &[BatchItem<'_>]) -> Vec<u8> {
    let mut out = String::with_capacity(items.iter().map(|i| guess(i.result)).sum());
    for (at, item) in items.iter().enumerate() {
        // Each answer has its own namespace, and so its own writer around the same string.
        let mut writer = writer(&item.context, 0);
        writer.out = out;
        if at == 0 {
            open_message(&mut writer, message_id);
            writer.raw("<MULTIRSP>");
        }
        push_response(&mut writer, item.name, item.intrinsic, item.result);
        out = writer.out;
    }
    out.push_str("</MULTIRSP>");
    out.push_str(EPILOGUE);
    out.into_bytes()
}

/// How a sequence of objects ends.
#[derive(Clone, Copy, Debug)]
pub enum SequenceEnd<'a> {
    /// Nothing follows.
    Plain,
    /// EndOfSequence and EnumerationContext follow, as Open… and Pull… answer (DSP0200 5.3.2.24).
    Pulled {
        /// The context for the next Pull; `None` at the end of the sequence.
        context: Option<&'a str>,
        /// QueryResultClass, if it was asked for.
        query_result_class: Option<&'a Class>,
    },
}

/// Writes a successful response that is a set of objects piece by piece, so that it need not be in memory as a whole.
///
/// Bytes become available with [`take`](Self::take) at any time and, at the end, with [`finish`](Self::finish).
pub struct ResponseWriter<'a> {
    writer: Writer<'a>,
}

impl<'a> ResponseWriter<'a> {
    /// Begins the response to an intrinsic call that answers objects. `name` is that of the call as received.
    pub fn begin(message_id: &str, name: &str, context: &EncodeContext<'a>) -> Self {
        let mut writer = writer(context, 16 << 10);
        open_message(&mut writer, message_id);
        writer.raw("<SIMPLERSP><IMETHODRESPONSE");
        writer.attr("NAME", name);
        writer.raw("><IRETURNVALUE>");
        Self { writer }
    }

    /// Appends objects. All objects of a response have the same shape.
    pub fn objects(&mut self, shape: ObjectShape, items: &[Instance]) {
        for item in items {
            self.writer.object(shape, item);
        }
    }

    /// How many bytes wait to be taken.
    pub fn pending(&self) -> usize {
        self.writer.out.len()
    }

    /// Takes what has been written so far.
    pub fn take(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.writer.out).into_bytes()
    }

    /// Ends the response and gives the rest of its bytes.
    pub fn finish(mut self, end: SequenceEnd<'_>) -> Vec<u8> {
        self.writer.raw("</IRETURNVALUE>");
        if let SequenceEnd::Pulled { context, query_result_class } = end {
            push_sequence_end(&mut self.writer, context, query_result_class);
        }
        self.writer.raw("</IMETHODRESPONSE></SIMPLERSP>");
        self.writer.raw(EPILOGUE);
        self.writer.out.into_bytes()
    }
}

fn writer<'a>(context: &EncodeContext<'a>, capacity: usize) -> Writer<'a> {
    Writer::new(capacity, Some(context.host), context.namespace)
}

/// Appends everything up to the content of MESSAGE.
pub(super) fn open_message(writer: &mut Writer<'_>, id: &str) {
    writer.raw(PROLOGUE);
    writer.attr("ID", id);
    writer.raw(" PROTOCOLVERSION=\"1.0\">");
}

/// About how many bytes a response will have, so that its string seldom grows.
fn guess(result: &Result<OperationResult, CimError>) -> usize {
    let properties = |instances: &[Instance]| -> usize {
        // All instances of an answer are of about the same size.
        let one = instances.first().map_or(0, |i| 600 + i.properties.len() * 110);
        one * instances.len()
    };
    512 + match result {
        Ok(OperationResult::Instances { items, .. } | OperationResult::Pulled { items, .. }) => {
            properties(items)
        }
        Ok(OperationResult::Classes(classes)) => classes.len() * 8192,
        Ok(OperationResult::Class(_) | OperationResult::ClassObjects(_)) => 16 << 10,
        Ok(OperationResult::Qualifiers(all)) => all.len() * 256,
        _ => 4096,
    }
}

fn push_response(
    writer: &mut Writer<'_>,
    name: &str,
    intrinsic: bool,
    result: &Result<OperationResult, CimError>,
) {
    let (opening, closing) = if intrinsic {
        ("<SIMPLERSP><IMETHODRESPONSE", "</IMETHODRESPONSE></SIMPLERSP>")
    } else {
        ("<SIMPLERSP><METHODRESPONSE", "</METHODRESPONSE></SIMPLERSP>")
    };
    writer.raw(opening);
    writer.attr("NAME", name);
    writer.raw(">");
    match result {
        Ok(result) => push_result(writer, result),
        Err(error) => push_error(writer, error),
    }
    writer.raw(closing);
}

fn push_result(writer: &mut Writer<'_>, result: &OperationResult) {
    match result {
        // A void operation has no IRETURNVALUE at all: clients take an empty one for a result.
        OperationResult::Void => return,
        OperationResult::Method { return_value, out } => {
            if let Some(value) = return_value {
                push_return_value(writer, value);
            }
            for param in out {
                writer.param_value(param, true);
            }
            return;
        }
        _ => writer.raw("<IRETURNVALUE>"),
    }
    match result {
        OperationResult::Void
        | OperationResult::Method { .. }
        | OperationResult::Count(None)
        | OperationResult::Property(None) => {}
        OperationResult::Property(Some(value)) => writer.value(value, false),
        OperationResult::Class(class) => writer.class(class),
        OperationResult::Classes(classes) => classes.iter().for_each(|c| writer.class(c)),
        OperationResult::ClassNames(names) => names.iter().for_each(|n| writer.class_name(n)),
        OperationResult::Qualifier(declaration) => writer.qualifier_declaration(declaration),
        OperationResult::Qualifiers(all) => all.iter().for_each(|d| writer.qualifier_declaration(d)),
        OperationResult::Instance(instance) => writer.instance(instance),
        OperationResult::Created(path) => writer.instance_name(path),
        OperationResult::Instances { shape, items } | OperationResult::Pulled { shape, items, .. } => {
            items.iter().for_each(|i| writer.object(*shape, i));
        }
        OperationResult::ClassObjects(all) => {
            for (path, class) in all {
                writer.raw("<VALUE.OBJECTWITHPATH>");
                writer.class_path(path);
                writer.class(class);
                writer.raw("</VALUE.OBJECTWITHPATH>");
            }
        }
        OperationResult::ClassPaths(paths) => {
            for path in paths {
                writer.raw("<OBJECTPATH>");
                writer.class_path(path);
                writer.raw("</OBJECTPATH>");
            }
        }
        OperationResult::Count(Some(count)) => {
            writer.raw("<VALUE>");
            push_unsigned(&mut writer.out, *count);
            writer.raw("</VALUE>");
        }
    }
    writer.raw("</IRETURNVALUE>");
    if let OperationResult::Pulled { context, query_result_class, .. } = result {
        push_sequence_end(writer, context.as_deref(), query_result_class.as_deref());
    }
}

/// The return value of a method, always with its type: clients convert by it.
fn push_return_value(writer: &mut Writer<'_>, value: &Value) {
    writer.raw("<RETURNVALUE");
    let cim_type = value.cim_type().unwrap_or(CimType::String);
    writer.attr("PARAMTYPE", cim_type.keyword());
    writer.embedded_attr(value.embedded());
    writer.raw(">");
    writer.value(value, false);
    writer.raw("</RETURNVALUE>");
}

fn push_sequence_end(writer: &mut Writer<'_>, context: Option<&str>, query_result_class: Option<&Class>) {
    writer.param_value(&Param::new("EndOfSequence", context.is_none()), true);
    if let Some(context) = context {
        writer.param_value(&Param::new("EnumerationContext", context), true);
    }
    if let Some(class) = query_result_class {
        writer.raw("<PARAMVALUE NAME=\"QueryResultClass\">");
        writer.class(class);
        writer.raw("</PARAMVALUE>");
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cimwright_cim::InstancePath;

    fn jobs() -> Vec<Instance> {
        ["A", "B"]
            .map(|id| {
                let mut job = Instance::new("Msvm_StorageJob").with("InstanceID", id);
                job.path = Some(InstancePath::new(None, "Msvm_StorageJob").with_key("InstanceID", id));
                job
            })
            .to_vec()
    }

    #[test]
    fn pieces_make_the_same_response_as_the_whole() {
        let namespace = NamespaceName::new("root/virtualization/v2");
        let context = EncodeContext { host: "server:5989", namespace: Some(&namespace) };
        let shape = ObjectShape::InstanceWithPath;
        let whole = OperationResult::Pulled {
            shape,
            items: jobs(),
            context: Some("c<1>".into()),
            query_result_class: None,
        };
        let whole = encode_response("7\"", "OpenEnumerateInstances", true, &Ok(whole), &context);
        let mut writer = ResponseWriter::begin("7\"", "OpenEnumerateInstances", &context);
        let mut bytes = Vec::new();
        for job in jobs() {
            writer.objects(shape, &[job]);
            assert!(writer.pending() > 0);
            bytes.extend(writer.take());
        }
        bytes.extend(writer.finish(SequenceEnd::Pulled { context: Some("c<1>"), query_result_class: None }));
        assert_eq!(String::from_utf8(bytes).unwrap(), String::from_utf8(whole).unwrap());
    }

    #[test]
    fn void_answers_have_no_return_value_and_empty_sets_have_one() {
        let context = EncodeContext { host: "h", namespace: None };
        let text =
            |result| String::from_utf8(encode_response("1", "x", true, &Ok(result), &context)).unwrap();
        assert!(text(OperationResult::Void).contains("<IMETHODRESPONSE NAME=\"x\"></IMETHODRESPONSE>"));
        let empty = OperationResult::Instances { shape: ObjectShape::NamedInstance, items: Vec::new() };
        assert!(text(empty).contains("<IRETURNVALUE></IRETURNVALUE>"));
    }
}
