//! Carrying out the requests of a message and writing the response: small ones whole, long ones piece by piece.

use super::headers::Extension;
use crate::Principal;
use crate::body::{Aborted, ResponseBody};
use crate::connection::Connection;
use crate::execute::{Answer, Objects};
use crate::http;
use crate::metrics::OperationIndex;
use bytes::Bytes;
use cimwright_broker::Portion;
use cimwright_broker::statistics::{BATCHED, Meter, Sample};
use cimwright_cim::operation::ObjectShape;
use cimwright_cim::{CimError, CimStatus, Instance, NamespaceName, OperationResult};
use cimwright_codec::cimxml::{
    BatchItem, DecodeError, EncodeContext, Message, ResponseWriter, SequenceEnd, SimpleRequest,
    encode_batch_response, encode_response, named_instance_text,
};
use cimwright_codec::uri::percent_encode;
use hyper::body::Frame;
use hyper::header::{CACHE_CONTROL, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue, TRAILER};
use hyper::{Response, StatusCode, Version};
use std::sync::Arc;
use tokio::sync::{mpsc, oneshot};
use tokio::time::Instant;

/// Up to this size a response is sent whole, with its length; what is longer is sent as it comes.
const WHOLE: usize = 256 << 10;
/// The size from which a piece of a long response is worth sending.
const PIECE: usize = 64 << 10;
/// The length of the line that such a response begins with.
const STATUS_LINE: usize = "HTTP/1.1 200 OK".len();
/// The most characters of an explanation that go into a header.
const MAX_DETAIL_CHARS: usize = 512;

const CIM_OPERATION: HeaderName = HeaderName::from_static("cimoperation");
const CIM_ERROR: HeaderName = HeaderName::from_static("cimerror");
const CIM_STATUS_CODE: HeaderName = HeaderName::from_static("cimstatuscode");
const CIM_STATUS_CODE_DESCRIPTION: HeaderName = HeaderName::from_static("cimstatuscodedescription");
/// Not of DSP0200, but what the clients in use show to their users.
const ERROR_DETAIL: HeaderName = HeaderName::from_static("pgerrordetail");
const RESPONSE_TIME: HeaderName = HeaderName::from_static("wbemserverresponsetime");
const EXT: HeaderName = HeaderName::from_static("ext");
const MAN: HeaderName = HeaderName::from_static("man");

/// A request that has been read, on its way to the broker and back.
pub(super) struct Call {
    /// Where it came from.
    pub(super) connection: Arc<Connection>,
    /// Whose it is.
    pub(super) principal: Arc<Principal>,
    /// What renames the CIM headers.
    pub(super) extension: Option<Extension>,
    /// The version of HTTP the client speaks.
    pub(super) version: Version,
    /// Whether the client reads trailers.
    pub(super) wants_trailers: bool,
    /// When the request came.
    pub(super) started: Instant,
    /// How large the request was, with its headers.
    pub(super) request_bytes: u64,
    /// How long providers take for it.
    pub(super) meter: Meter,
    /// Where the response goes.
    pub(super) answer: oneshot::Sender<Response<ResponseBody>>,
}

impl Call {
    /// Carries out the requests and answers them.
    pub(super) async fn run(self, decoded: Result<Message, DecodeError>) {
        match decoded {
            Err(error) => self.refuse(&error),
            Ok(Message { id, mut requests, batch: false, .. }) => match requests.pop() {
                Some(request) => self.single(&id, request).await,
                // The codec has seen to it that there is one.
                None => drop(self),
            },
            Ok(Message { id, requests, batch: true, .. }) => self.batch(&id, requests).await,
        }
    }

    /// DSP0200 7.3: what is wrong with the message as a whole is told by HTTP.
    fn refuse(self, error: &DecodeError) {
        let status = StatusCode::from_u16(error.http_status).unwrap_or(StatusCode::BAD_REQUEST);
        let detail: String = error.detail.chars().take(MAX_DETAIL_CHARS).collect();
        let mut response = http::text(status, format!("{detail}\n"));
        self.insert_extension(response.headers_mut());
        if let Some(token) = error.cim_error {
            self.insert(response.headers_mut(), CIM_ERROR, HeaderValue::from_static(token));
            if let Ok(detail) = HeaderValue::try_from(percent_encode(&detail)) {
                response.headers_mut().insert(ERROR_DETAIL, detail);
            }
        }
        self.send(response);
    }

    async fn single(self, id: &str, simple: SimpleRequest) {
        let SimpleRequest { name, intrinsic, request } = simple;
        let namespace = request.as_ref().ok().map(|r| r.namespace.clone());
        let index =
            request.as_ref().map_or(OperationIndex::UNDECODABLE, |r| OperationIndex::of(&r.operation));
        let answer = match request {
            Ok(request) => self.connection.app.executor.execute(&self.principal, request).await,
            Err(error) => Err(error),
        };
        let connection = Arc::clone(&self.connection);
        let context = EncodeContext { host: &connection.host, namespace: namespace.as_ref() };
        let result = match answer {
            Ok(Answer::Objects(shape, objects)) => {
                return self
                    .stream(ResponseWriter::begin(id, &name, &context), shape, objects, index, |error| {
                        encode_response(id, &name, intrinsic, &Err(error), &context)
                    })
                    .await;
            }
            Ok(Answer::Whole(result)) => Ok(result),
            Err(error) => Err(error),
        };
        let bytes = encode_response(id, &name, intrinsic, &result, &context);
        self.count(index, result.as_ref().err());
        self.send_message(index.name(), bytes);
    }

    /// The requests of a batch one after the other, in their order (DSP0200, MULTIREQ).
    async fn batch(self, id: &str, requests: Vec<SimpleRequest>) {
        struct Done {
            name: String,
            intrinsic: bool,
            namespace: Option<NamespaceName>,
            result: Result<OperationResult, CimError>,
        }
        let app = &self.connection.app;
        let mut room = app.limits.max_batch_response_bytes;
        let mut done = Vec::with_capacity(requests.len());
        for SimpleRequest { name, intrinsic, request } in requests {
            let namespace = request.as_ref().ok().map(|r| r.namespace.clone());
            let index =
                request.as_ref().map_or(OperationIndex::UNDECODABLE, |r| OperationIndex::of(&r.operation));
            let began = Instant::now();
            let result = match request {
                Err(error) => Err(error),
                Ok(request) => match app.executor.execute(&self.principal, request).await {
                    Err(error) => Err(error),
                    Ok(Answer::Whole(result)) => Ok(result),
                    Ok(Answer::Objects(shape, objects)) => collect(shape, objects, &mut room).await,
                },
            };
            app.metrics.operation(index, result.as_ref().err().map(|e| e.status), began.elapsed());
            done.push(Done { name, intrinsic, namespace, result });
        }
        let items: Vec<_> = done
            .iter()
            .map(|d| BatchItem {
                name: &d.name,
                intrinsic: d.intrinsic,
                result: &d.result,
                context: EncodeContext { host: &self.connection.host, namespace: d.namespace.as_ref() },
            })
            .collect();
        let bytes = encode_batch_response(id, &items);
        self.send_message(BATCHED, bytes);
    }

    /// Sends objects as they come: whole if they end soon, else piece by piece.
    async fn stream(
        self,
        mut writer: ResponseWriter<'_>,
        shape: ObjectShape,
        mut objects: Box<dyn Objects>,
        index: OperationIndex,
        encode_error: impl Fn(CimError) -> Vec<u8>,
    ) {
        while writer.pending() < WHOLE {
            match objects.next_portion().await {
                Ok(Some(portion)) => write(&mut writer, shape, &portion),
                Ok(None) => {
                    self.count(index, None);
                    return self.send_message(index.name(), writer.finish(SequenceEnd::Plain));
                }
                Err(error) => {
                    // Nothing has been sent yet, so the client can be told properly.
                    self.count(index, Some(&error));
                    return self.send_message(index.name(), encode_error(error));
                }
            }
        }
        let (pieces, body) = mpsc::channel(2);
        let mut response = self.message(ResponseBody::Pieces(body));
        let trailers = (self.wants_trailers && self.version == Version::HTTP_11)
            .then(|| Trailers::announced_in(response.headers_mut(), self.extension));
        let app = Arc::clone(&self.connection.app);
        let mut measured = self.sample(http::head_bytes(STATUS_LINE, response.headers()));
        let (started, meter) = (self.started, self.meter.clone());
        self.send(response);
        let error = loop {
            if writer.pending() >= PIECE {
                let piece = writer.take();
                measured.response_bytes += piece.len() as u64;
                if pieces.send(Ok(data(piece))).await.is_err() {
                    // Nobody reads the rest, and reading on would change nothing.
                    break None;
                }
            }
            match objects.next_portion().await {
                Ok(Some(portion)) => write(&mut writer, shape, &portion),
                Ok(None) => {
                    let piece = writer.finish(SequenceEnd::Plain);
                    measured.response_bytes += piece.len() as u64;
                    let _ = pieces.send(Ok(data(piece))).await;
                    break None;
                }
                Err(error) => break Some(error),
            }
        };
        app.metrics.operation(index, error.as_ref().map(|e| e.status), started.elapsed());
        if let Some(statistics) = app.executor.statistics() {
            let (took, in_providers) = (started.elapsed(), meter.in_providers());
            statistics.record(index.name(), Sample { took, in_providers, ..measured });
        }
        if let Some(error) = error {
            tracing::warn!(%error, "an answer failed after its beginning had been sent");
            let last = trailers.map_or(Err(Aborted), |t| Ok(Frame::trailers(t.with(&error))));
            let _ = pieces.send(last).await;
        }
    }

    /// Sends a whole response message.
    fn send_message(self, operation: &'static str, bytes: Vec<u8>) {
        let length = bytes.len() as u64;
        let mut response = self.message(ResponseBody::Whole(bytes.into()));
        let micros = u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX);
        response.headers_mut().insert(RESPONSE_TIME, micros.into());
        if let Some(statistics) = self.connection.app.executor.statistics() {
            let head = http::head_bytes(STATUS_LINE, response.headers());
            statistics.record(operation, self.sample(head + length));
        }
        self.send(response);
    }

    /// What it took so far.
    fn sample(&self, response_bytes: u64) -> Sample {
        Sample {
            took: self.started.elapsed(),
            in_providers: self.meter.in_providers(),
            request_bytes: self.request_bytes,
            response_bytes,
        }
    }

    /// A response that is a CIM message: HTTP status 200, whatever the message says.
    fn message(&self, body: ResponseBody) -> Response<ResponseBody> {
        let mut response = Response::new(body);
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/xml; charset=\"utf-8\""));
        self.insert_extension(headers);
        self.insert(headers, CIM_OPERATION, HeaderValue::from_static("MethodResponse"));
        response
    }

    fn send(self, response: Response<ResponseBody>) {
        // A client that went away misses the answer; what it asked for has been done all the same.
        let _ = self.answer.send(response);
    }

    fn count(&self, index: OperationIndex, error: Option<&CimError>) {
        self.connection.app.metrics.operation(index, error.map(|e| e.status), self.started.elapsed());
    }

    /// Declares the extension in the answer to an M-POST request (DSP0200 6.2, RFC 2774).
    fn insert_extension(&self, headers: &mut HeaderMap) {
        if let Some(extension) = self.extension {
            headers.insert(EXT, HeaderValue::from_static(""));
            headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
            headers.insert(MAN, extension.declaration());
        }
    }

    fn insert(&self, headers: &mut HeaderMap, name: HeaderName, value: HeaderValue) {
        headers.insert(self.extension.map_or(name.clone(), |e| e.name(&name)), value);
    }
}

/// The headers behind a body that had to end early.
struct Trailers {
    code: HeaderName,
    description: HeaderName,
}

impl Trailers {
    fn announced_in(headers: &mut HeaderMap, extension: Option<Extension>) -> Self {
        let name = |name: HeaderName| extension.map_or(name.clone(), |e| e.name(&name));
        let trailers = Self { code: name(CIM_STATUS_CODE), description: name(CIM_STATUS_CODE_DESCRIPTION) };
        if let Ok(names) = HeaderValue::try_from(format!("{}, {}", trailers.code, trailers.description)) {
            headers.insert(TRAILER, names);
        }
        trailers
    }

    fn with(self, error: &CimError) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(self.code, error.status.code().into());
        let description: String = error.description.chars().take(MAX_DETAIL_CHARS).collect();
        if let Ok(description) = HeaderValue::try_from(percent_encode(&description)) {
            headers.insert(self.description, description);
        }
        headers
    }
}

/// Appends a portion of objects. Of static instances the text is made once and used again, in the shape that is asked for most.
fn write(writer: &mut ResponseWriter<'_>, shape: ObjectShape, portion: &Portion) {
    match portion {
        Portion::Instances(items) => writer.objects(shape, items),
        Portion::Kept(kept) if shape == ObjectShape::NamedInstance => {
            kept.iter().for_each(|k| writer.written(k.face(named_instance_text)));
        }
        Portion::Kept(kept) => {
            kept.iter().for_each(|k| writer.objects(shape, std::slice::from_ref(&k.instance)));
        }
    }
}

fn data(bytes: Vec<u8>) -> Frame<Bytes> {
    Frame::data(bytes.into())
}

/// All objects of a set, for an answer in the midst of others. `room` is about how many bytes they may still take.
async fn collect(
    shape: ObjectShape,
    mut objects: Box<dyn Objects>,
    room: &mut usize,
) -> Result<OperationResult, CimError> {
    let mut items: Vec<Instance> = Vec::new();
    while let Some(portion) = objects.next().await? {
        // About what an instance with its path and one of its properties have in CIM-XML.
        let size: usize = portion.iter().map(|i| 600 + 110 * i.properties.len()).sum();
        let Some(left) = room.checked_sub(size) else {
            return Err(CimError::new(
                CimStatus::ServerLimitsExceeded,
                "the answer is too large for a batch; ask for it alone or with the Open and Pull operations",
            ));
        };
        *room = left;
        items.extend(portion);
    }
    Ok(OperationResult::Instances { shape, items })
}
