//! A listener of the drill, and what it was told.

use crate::failure::{Failure, Result};
use cimwright_cim::{Instance, Value};
use cimwright_client::{Listener, Taker};
use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// A listener. What it was told outlives its absences, as a file would.
pub(super) struct Ear {
    pub(super) number: u32,
    pub(super) address: SocketAddr,
    memory: Arc<Mutex<Memory>>,
    absences: AtomicU64,
}

#[derive(Default)]
struct Memory {
    told: Vec<Told>,
    /// By context and number: the identifier.
    seen: HashMap<(String, i128), String>,
    repeated: u64,
    broken: Vec<String>,
}

/// An indication as far as the proof needs it.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub(super) class: String,
    pub(super) number: i128,
    pub(super) identifier: String,
    pub(super) source: Instance,
    pub(super) previous: Option<Instance>,
}

impl Ear {
    /// A listener with a port of its own, which it keeps.
    pub(super) async fn new(number: u32) -> Result<Self> {
        let failed = || Failure::connection("taking a port");
        let listener = Listener::bind(SocketAddr::from(([127, 0, 0, 1], 0)), None).await.map_err(failed())?;
        let address = listener.address().map_err(failed())?;
        Ok(Self { number, address, memory: Arc::default(), absences: AtomicU64::new(0) })
    }

    /// Listens again.
    pub(super) async fn open(&self) -> std::io::Result<Listener> {
        Listener::bind(self.address, None).await
    }

    /// Counts an absence.
    pub(super) fn left(&self) {
        self.absences.fetch_add(1, Ordering::Relaxed);
    }

    /// What is done with an indication.
    pub(super) fn taker(&self) -> Taker {
        let memory = Arc::clone(&self.memory);
        Arc::new(move |indication, _| {
            memory.lock().unwrap_or_else(PoisonError::into_inner).take(&indication);
            Ok(())
        })
    }

    /// All that was told, each once, in the order of arrival.
    pub(super) fn told(&self) -> Vec<Told> {
        self.memory().told.clone()
    }

    /// How many there are.
    pub(super) fn count(&self) -> usize {
        self.memory().told.len()
    }

    /// How many came again.
    pub(super) fn repeated(&self) -> u64 {
        self.memory().repeated
    }

    /// How often it was away.
    pub(super) fn absences(&self) -> u64 {
        self.absences.load(Ordering::Relaxed)
    }

    /// What was wrong at the arrival already.
    pub(super) fn broken(&self) -> Vec<String> {
        self.memory().broken.clone()
    }

    fn memory(&self) -> MutexGuard<'_, Memory> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Memory {
    fn take(&mut self, indication: &Instance) {
        let text = |name: &str| indication.get_str(name).unwrap_or_default().to_owned();
        let object = |name: &str| indication.get(name).and_then(Value::as_instance).cloned();
        let number = indication.get("SequenceNumber").and_then(Value::as_i128);
        let (Some(number), Some(source)) = (number, object("SourceInstance")) else {
            self.broken.push(format!("an indication without number or source: {}", indication.class));
            return;
        };
        let (context, identifier) = (text("SequenceContext"), text("IndicationIdentifier"));
        if let Some(first) = self.seen.get(&(context.clone(), number)) {
            self.repeated += 1;
            if *first != identifier {
                self.broken.push(format!("two indications have the number {number} in {context}"));
            }
            return;
        }
        if self.seen.keys().next().is_some_and(|(known, _)| *known != context) {
            self.broken.push(format!("the sequence {context} began beside another one"));
        }
        self.seen.insert((context, number), identifier.clone());
        self.told.push(Told {
            class: indication.class.to_string(),
            number,
            identifier,
            source,
            previous: object("PreviousInstance"),
        });
    }
}
