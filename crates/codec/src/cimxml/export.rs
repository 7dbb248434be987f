//! Export messages: how a server delivers an indication to a listener (DSP0200 5.4, 6.2).

use super::cim_error::{push_error, read_error};
use super::encode::Writer;
use super::error::{DecodeError, Refusal, ResponseError};
use super::object::instance;
use super::response::{EPILOGUE, open_message};
use super::value::Scope;
use super::xml::{Attr, Document, Limits, Tag};
use cimwright_cim::{CimError, Instance};

/// The only export method there is; the value of the header CIMExportMethod.
pub const EXPORT_INDICATION: &str = "ExportIndication";

/// Writes the message that delivers an indication.
pub fn encode_export_request(message_id: &str, indication: &Instance) -> Vec<u8> {
    let mut writer = Writer::new(8192, None, None);
    open_message(&mut writer, message_id);
    writer
        .raw("<SIMPLEEXPREQ><EXPMETHODCALL NAME=\"ExportIndication\"><EXPPARAMVALUE NAME=\"NewIndication\">");
    writer.instance(indication);
    writer.raw("</EXPPARAMVALUE></EXPMETHODCALL></SIMPLEEXPREQ>");
    writer.raw(EPILOGUE);
    writer.out.into_bytes()
}

/// Reads the message of a server that delivers an indication: its MESSAGE ID and the indication.
///
/// # Errors
/// What a listener answers on the HTTP level.
pub fn decode_export_request(body: &[u8], limits: &Limits) -> Result<(String, Instance), DecodeError> {
    let document = Document::from_bytes(body, limits)?;
    let message = document.root().expect(Tag::Cim)?.exactly_one()?.expect(Tag::Message)?;
    let call = message.exactly_one()?.expect(Tag::SimpleExpReq)?.exactly_one()?.expect(Tag::ExpMethodCall)?;
    let name = call.required(Attr::Name)?;
    if !name.eq_ignore_ascii_case(EXPORT_INDICATION) {
        return Err(Refusal::not_valid(format!("there is no export method {name}")).into());
    }
    let param = call.exactly_one()?.expect(Tag::ExpParamValue)?;
    let indication = instance(param.exactly_one()?, Scope::new(limits))?;
    Ok((message.required(Attr::Id)?.to_owned(), indication))
}

/// Writes what a listener answers.
pub fn encode_export_response(message_id: &str, result: &Result<(), CimError>) -> Vec<u8> {
    let mut writer = Writer::new(512, None, None);
    open_message(&mut writer, message_id);
    writer.raw("<SIMPLEEXPRSP><EXPMETHODRESPONSE NAME=\"ExportIndication\">");
    if let Err(error) = result {
        push_error(&mut writer, error);
    }
    writer.raw("</EXPMETHODRESPONSE></SIMPLEEXPRSP>");
    writer.raw(EPILOGUE);
    writer.out.into_bytes()
}

/// Reads what a listener answered. The inner error is the listener's: the indication counts as not delivered.
///
/// # Errors
/// When the bytes are no such answer.
pub fn decode_export_response(body: &[u8], limits: &Limits) -> Result<Result<(), CimError>, ResponseError> {
    let document = Document::from_bytes(body, limits)?;
    let message = document.root().expect(Tag::Cim)?.exactly_one()?.expect(Tag::Message)?;
    let response =
        message.exactly_one()?.expect(Tag::SimpleExpRsp)?.exactly_one()?.expect(Tag::ExpMethodResponse)?;
    match response.at_most_one()? {
        None => Ok(Ok(())),
        Some(child) if child.tag() == Tag::Error => Ok(Err(read_error(child, Scope::new(limits))?)),
        Some(child) if child.tag() == Tag::IReturnValue => Ok(Ok(())),
        Some(child) => Err(response.misplaced(child).into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn indications_and_answers_arrive() {
        let indication =
            Instance::new("CIM_InstModification").with("SequenceNumber", cimwright_cim::Value::Sint64(0));
        let limits = Limits::default();
        let body = encode_export_request("5", &indication);
        assert_eq!(decode_export_request(&body, &limits), Ok(("5".to_owned(), indication)));
        for result in [Ok(()), Err(CimError::failed("queue full"))] {
            assert_eq!(decode_export_response(&encode_export_response("5", &result), &limits), Ok(result));
        }
        let wrong = String::from_utf8(body).unwrap().replace("\"ExportIndication\"", "\"Frob\"");
        assert_eq!(decode_export_request(wrong.as_bytes(), &limits).unwrap_err().http_status, 400);
    }
}
