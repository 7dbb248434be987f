//! What one instance costs among a hundred and among a million.

use super::load::{check, contains};
use super::report::{Goal, Report, Row, mebibytes, median, micros};
use super::{Bench, fill, message, reads};
use crate::failure::{Failure, Result};
use crate::server::Server;
use bytes::Bytes;
use cimwright_cim::InstancePath;
use cimwright_jobs::JobId;
use http_body_util::{BodyExt as _, Full};
use hyper::Request;
use hyper_util::rt::TokioIo;
use std::time::Instant;
use tokio::net::TcpStream;

/// The class that the stored jobs are shown as.
const CLASS: &str = "Msvm_StorageJob";

/// How many different jobs are asked for in turn: many more than the server keeps in memory.
const ASKED: usize = 40_000;

/// How many instances one measurement of EnumerateInstances should at least give.
const AT_LEAST: usize = 5_000;

/// A server with so many stored jobs.
struct Store {
    count: usize,
    server: Server,
    paths: Vec<InstancePath>,
}

/// Times of one kind for one store, in seconds for each instance.
#[derive(Clone, Default)]
struct Times {
    one: Vec<f64>,
    each: Vec<f64>,
    listed: Vec<f64>,
}

/// Measures and reports.
pub(crate) async fn run(bench: &Bench, report: &mut Report) -> Result<()> {
    let mut stores = Vec::new();
    for &count in &bench.extent.stored {
        let name = format!("stored-{count}");
        let setup = bench.setup(&name, None).await?;
        let ids = fill::fill(&setup.state, count).await?;
        stores.push(Store { count, server: setup.start().await?, paths: paths(&ids) });
    }
    // In turn, so that whatever else the machine does meets all of them.
    let mut times = vec![Times::default(); stores.len()];
    for _ in 0..bench.extent.rounds {
        for (store, times) in stores.iter().zip(&mut times) {
            let middle = &store.paths[store.paths.len() / 2..][..1];
            let one = reads::get_instances(bench, &store.server, middle).run().await?;
            times.one.push(1.0 / one.per_second);
            let each = reads::get_instances(bench, &store.server, &store.paths).run().await?;
            times.each.push(1.0 / each.per_second);
        }
    }
    let mut peak = None;
    for round in 0..bench.extent.rounds {
        for (store, times) in stores.iter().zip(&mut times) {
            let before = store.server.memory();
            // The largest takes long enough to be exact the first time.
            if store.count > 100_000 && round > 0 {
                continue;
            }
            let repeat = AT_LEAST.div_ceil(store.count).max(1);
            times.listed.push(enumerate(store, repeat).await?);
            if store.count >= 50_000 && peak.is_none() {
                peak = Some((store.count, before, store.server.memory()));
            }
        }
    }
    add_rows(report, "GetInstance, always the same job", &stores, &times, |t| &t.one);
    add_rows(report, "GetInstance, each time another job", &stores, &times, |t| &t.each);
    // A hundred jobs are all in memory, ten thousand are not: from there on nothing may change any more.
    add_rows(report, "GetInstance, each time another job", &stores[1..], &times[1..], |t| &t.each);
    add_rows(report, "EnumerateInstances, for each instance", &stores, &times, |t| &t.listed);
    if let Some((count, before, after)) = peak {
        report.add(Row {
            what: format!(
                "largest resident memory while {count} jobs are enumerated (before: {})",
                mebibytes(before.resident)
            ),
            ours: mebibytes(after.peak),
            floor: String::new(),
            ratio: None,
            goal: Goal::None,
        });
    }
    for store in stores {
        store.server.stop().await?;
    }
    Ok(())
}

fn add_rows(report: &mut Report, what: &str, stores: &[Store], times: &[Times], of: fn(&Times) -> &Vec<f64>) {
    let Some((first, few)) = times.first().zip(stores.first()) else { return };
    let floor = median(of(first));
    for (store, times) in stores.iter().zip(times).skip(1) {
        let ours = median(of(times));
        report.add(Row {
            what: format!("{what}: {} stored jobs against {}", store.count, few.count),
            ours: micros(ours),
            floor: micros(floor),
            ratio: Some(ours / floor),
            goal: Goal::AtMost(1.2),
        });
    }
}

/// The jobs that are asked for: spread over all of them, each once.
fn paths(ids: &[JobId]) -> Vec<InstancePath> {
    // A stride that shares no factor with a power of ten visits all of them in a scattered order.
    const STRIDE: usize = 7919;
    (0..ids.len().min(ASKED)).map(|n| message::job(CLASS, &ids[n * STRIDE % ids.len()].to_string())).collect()
}

/// Seconds for each instance, when all are listed so many times.
async fn enumerate(store: &Store, repeat: usize) -> Result<f64> {
    let broken = |e: hyper::Error| Failure::connection("enumerating")(std::io::Error::other(e));
    let stream =
        TcpStream::connect(store.server.addresses().http).await.map_err(Failure::connection("connecting"))?;
    stream.set_nodelay(true).map_err(Failure::connection("connecting"))?;
    let (mut sender, connection) =
        hyper::client::conn::http1::handshake(TokioIo::new(stream)).await.map_err(broken)?;
    let driver = tokio::spawn(connection);
    let mut seen = 0;
    let began = Instant::now();
    for _ in 0..repeat {
        let (headers, body) = message::parts(message::enumerate_instances(CLASS));
        let mut request = Request::post("/cimom");
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let request = request.body(Full::new(Bytes::from(body)));
        let request = request.map_err(|e| Failure::connection("enumerating")(std::io::Error::other(e)))?;
        sender.ready().await.map_err(broken)?;
        let mut body = sender.send_request(request).await.map_err(broken)?.into_body();
        let mut counter = Counter::default();
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame.map_err(broken)?.into_data() {
                counter.feed(&data);
            }
        }
        check(&counter.tail, "</CIM>")?;
        seen += counter.found;
    }
    let passed = began.elapsed();
    drop(sender);
    driver.abort();
    if seen != store.count * repeat {
        return Err(Failure::Answer {
            asked: "EnumerateInstances",
            answered: format!("{seen} instances instead of {}", store.count * repeat),
        });
    }
    Ok(passed.as_secs_f64() / seen as f64)
}

/// Counts instances in a body that comes in pieces.
#[derive(Default)]
struct Counter {
    tail: Vec<u8>,
    found: usize,
}

impl Counter {
    const MARK: &'static [u8] = b"</VALUE.NAMEDINSTANCE>";
    const KEPT: usize = 64;

    fn feed(&mut self, piece: &[u8]) {
        // A mark that lies across the border is found in the end of the one and the beginning of the other.
        let overlap = Self::MARK.len() - 1;
        let from = self.tail.len().saturating_sub(overlap);
        let mut border = self.tail[from..].to_vec();
        border.extend_from_slice(&piece[..piece.len().min(overlap)]);
        self.found += usize::from(border.len() >= Self::MARK.len() && contains(&border, Self::MARK));
        let mut rest = piece;
        while let Some(at) = rest.iter().position(|byte| *byte == b'V') {
            let begin = at.saturating_sub(2);
            if rest[begin..].starts_with(Self::MARK) && at >= 2 {
                self.found += 1;
                rest = &rest[begin + Self::MARK.len()..];
            } else {
                rest = &rest[at + 1..];
            }
        }
        if piece.len() >= Self::KEPT {
            self.tail = piece[piece.len() - Self::KEPT..].to_vec();
        } else {
            self.tail.extend_from_slice(piece);
            let surplus = self.tail.len().saturating_sub(Self::KEPT);
            self.tail.drain(..surplus);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn instances_are_counted_wherever_the_pieces_end() {
        let one = "<VALUE.NAMEDINSTANCE><INSTANCE CLASSNAME=\"V\"/></VALUE.NAMEDINSTANCE>";
        let text = format!("<CIM>{}</CIM>", one.repeat(5));
        for size in 1..text.len() {
            let mut counter = Counter::default();
            for piece in text.as_bytes().chunks(size) {
                counter.feed(piece);
            }
            assert_eq!(counter.found, 5, "pieces of {size}");
            assert!(contains(&counter.tail, b"</CIM>"));
        }
    }
}
