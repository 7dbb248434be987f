//! `Authorization: Negotiate` and `NTLM` (MS-WSMV 2.2.9.1, RFC 4559): a login of several messages that belongs to a connection, and the
//! sealing of bodies with the keys it leaves behind. What is offered to a client, and what of it is taken, is decided here; who the
//! user is comes out only as a [`Proven`], which nothing but a compared proof makes.

pub(crate) mod kerberos;
pub(super) mod ntlm;
mod sealed;
mod spnego;

use super::channel::Bound;
use crate::config::ChannelBinding;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use kerberos::{Keytab, Seen};
use ntlm::{Challenged, NtHash};
use spnego::{Mechanism, Offer, Progress, Reply};

/// A body, sealed or not, after it was opened.
pub(crate) use sealed::protocol as sealed_protocol;

/// A message that was changed on its way, came twice, or was not sealed by this client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotGenuine;

/// Seconds from the beginning of 1601 to that of 1970.
pub(crate) const TO_UNIX_EPOCH: u64 = 11_644_473_600;

/// A login that is under way on a connection, or that has come to its end.
#[derive(Debug, Default)]
pub(crate) struct Login {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    /// Nobody has begun, or the last attempt failed.
    #[default]
    Idle,
    /// The mechanism is agreed on, and nothing of it was said yet.
    Agreed(Wrapping),
    /// The server has asked for the proof.
    Challenged(Challenged, Option<Wrapping>),
    /// Both sides have the keys.
    Established(Keys),
}

/// The keys that a login leaves behind.
#[derive(Debug)]
pub(crate) enum Keys {
    /// Of NTLM.
    Ntlm(Box<ntlm::Session>),
    /// Of a ticket.
    Kerberos(kerberos::Session),
}

/// What has to be known of the wrapping until the end.
#[derive(Debug)]
struct Wrapping {
    /// The list of mechanisms as it was sent.
    list: Vec<u8>,
    /// Whether the client liked another one better: only a code over the list then shows that nobody else took it out.
    second_choice: bool,
}

/// What follows from a message of the client.
#[derive(Debug)]
pub(crate) enum Step {
    /// The server has something to say before it knows who this is.
    Continue(Vec<u8>),
    /// The client has proven who it is. The token is the last word of the server, if it has one.
    Done(Proven, Option<Vec<u8>>),
}

/// A user whose proof was right.
#[derive(Debug)]
pub(crate) struct Proven {
    user: String,
    by: Proof,
}

/// How a user has proven who it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// With the password, by NTLM.
    Password,
    /// With a ticket.
    Ticket,
}

impl Proven {
    /// The name, as the users file has it.
    pub(crate) fn user(&self) -> &str {
        &self.user
    }

    /// How it was proven.
    pub(crate) fn by(&self) -> Proof {
        self.by
    }
}

/// Why a login ends here.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Failed {
    /// The token is none, or none that fits here.
    Malformed,
    /// The proof is wrong, or there is no such user. The name is what the client claimed, for counting.
    Wrong(String),
}

/// What the server brings to a login.
pub(crate) struct Side<'a, F> {
    /// The name of this computer.
    pub(crate) computer: &'a str,
    /// A challenge that was never used before.
    pub(crate) random: [u8; 8],
    /// The time in units of 100 ns since 1601.
    pub(crate) filetime: u64,
    /// What tickets are opened with, and which were here before. Nothing where there is no Kerberos.
    pub(crate) kerberos: Option<(&'a Keytab, &'a Seen)>,
    /// What the login has to be bound to.
    pub(crate) bound: Bound,
    /// The user of a name, as the users file has it, with the hash of the password. Nothing for users who may not log in this way.
    pub(crate) find: F,
}

impl<F> Side<'_, F> {
    /// The time in seconds since 1970.
    fn seconds(&self) -> i64 {
        (self.filetime / 10_000_000) as i64 - TO_UNIX_EPOCH as i64
    }
}

impl Login {
    /// Takes the value of Authorization behind `Negotiate` or `NTLM`. Whatever goes wrong, the login begins anew after it.
    ///
    /// # Errors
    /// [`Failed`].
    pub(crate) fn step<F>(&mut self, token: &str, side: &Side<'_, F>) -> Result<Step, Failed>
    where
        F: Fn(&str) -> Option<(String, NtHash)>,
    {
        if token.len() > kerberos::MAX_TOKEN / 3 * 4 + 4 {
            self.state = State::Idle;
            return Err(Failed::Malformed);
        }
        let token = STANDARD.decode(token.trim()).map_err(|_| Failed::Malformed);
        let raw = token.as_ref().is_ok_and(|token| token.starts_with(ntlm::message::SIGNATURE));
        let state = std::mem::take(&mut self.state);
        let token = token?;
        if raw {
            self.raw(state, &token, side)
        } else if kerberos::is_token(&token) {
            let (proven, session, reply) = ticket(&token, side)?;
            self.state = State::Established(Keys::Kerberos(session));
            Ok(Step::Done(proven, reply))
        } else {
            self.wrapped(state, &token, side)
        }
    }

    /// The keys, once both sides have them.
    pub(crate) fn keys(&mut self) -> Option<&mut Keys> {
        match &mut self.state {
            State::Established(keys) => Some(keys),
            State::Idle | State::Agreed(_) | State::Challenged(..) => None,
        }
    }

    /// NTLM without a wrapping.
    fn raw<F>(&mut self, state: State, token: &[u8], side: &Side<'_, F>) -> Result<Step, Failed>
    where
        F: Fn(&str) -> Option<(String, NtHash)>,
    {
        match (state, ntlm::message::kind(token)) {
            // A client may begin anew at any time.
            (_, Some(1)) => {
                let (challenge, challenged) = answer(token, side)?;
                self.state = State::Challenged(challenged, None);
                Ok(Step::Continue(challenge))
            }
            (State::Challenged(challenged, None), Some(3)) => {
                let (proven, session) = prove(challenged, token, side)?;
                self.state = State::Established(Keys::Ntlm(Box::new(session)));
                Ok(Step::Done(proven, None))
            }
            _ => Err(Failed::Malformed),
        }
    }

    fn wrapped<F>(&mut self, state: State, token: &[u8], side: &Side<'_, F>) -> Result<Step, Failed>
    where
        F: Fn(&str) -> Option<(String, NtHash)>,
    {
        if let Ok(offer) = Offer::read(token) {
            return self.begin(&offer, side);
        }
        let reply = Reply::read(token).map_err(|_| Failed::Malformed)?;
        match state {
            State::Agreed(wrapping) => {
                let (challenge, challenged) = answer(reply.token.ok_or(Failed::Malformed)?, side)?;
                self.state = State::Challenged(challenged, Some(wrapping));
                Ok(Step::Continue(spnego::response(Progress::Incomplete, None, Some(&challenge), None)))
            }
            State::Challenged(challenged, Some(wrapping)) => {
                // Before the proof: the answer must not tell whether the password was right.
                if reply.list_code.is_none() && wrapping.second_choice {
                    return Err(Failed::Malformed);
                }
                let token = reply.token.ok_or(Failed::Malformed)?;
                let (proven, mut session) = prove(challenged, token, side)?;
                let code = match reply.list_code {
                    Some(code) => {
                        session
                            .verify_mechanisms(code, &wrapping.list)
                            .map_err(|_| Failed::Wrong(proven.user.clone()))?;
                        Some(session.sign_mechanisms(&wrapping.list))
                    }
                    None => None,
                };
                self.state = State::Established(Keys::Ntlm(Box::new(session)));
                let last = spnego::response(Progress::Completed, None, None, code.as_ref().map(|c| &c[..]));
                Ok(Step::Done(proven, Some(last)))
            }
            State::Idle | State::Challenged(_, None) | State::Established(_) => Err(Failed::Malformed),
        }
    }

    fn begin<F>(&mut self, offer: &Offer<'_>, side: &Side<'_, F>) -> Result<Step, Failed> {
        // A ticket comes with the first token or not at all: a client that likes something else better would have to show that nobody
        // changed its list, and none that has tickets does.
        if let (Some(best @ (Mechanism::Kerberos | Mechanism::KerberosOfWindows)), Some(token), Some(_)) =
            (offer.mechanisms.first(), offer.token, side.kerberos)
        {
            let (proven, session, reply) = ticket(token, side)?;
            self.state = State::Established(Keys::Kerberos(session));
            let last = spnego::response(Progress::Completed, Some(*best), reply.as_deref(), None);
            return Ok(Step::Done(proven, Some(last)));
        }
        let choice = offer.mechanisms.iter().position(|m| *m == Mechanism::Ntlm).ok_or(Failed::Malformed)?;
        let wrapping = Wrapping { list: offer.list.to_vec(), second_choice: choice > 0 };
        let mechanism = Some(Mechanism::Ntlm);
        match offer.token {
            // A token is of the mechanism that the client likes best.
            Some(token) if choice == 0 => {
                let (challenge, challenged) = answer(token, side)?;
                self.state = State::Challenged(challenged, Some(wrapping));
                Ok(Step::Continue(spnego::response(Progress::Incomplete, mechanism, Some(&challenge), None)))
            }
            _ => {
                self.state = State::Agreed(wrapping);
                Ok(Step::Continue(spnego::response(Progress::Incomplete, mechanism, None, None)))
            }
        }
    }
}

/// Opens a sealed body with the keys of a login.
///
/// # Errors
/// When it is malformed, or was not sealed by this client, in this order. The keys are of no use then any more.
pub(crate) fn unseal(keys: &mut Keys, body: &[u8]) -> Result<Vec<u8>, NotGenuine> {
    let mut clear = Vec::with_capacity(body.len());
    for part in sealed::parts(body).map_err(|_| NotGenuine)? {
        let begins = clear.len();
        match keys {
            // Without the agreement to seal, the keys are as weak as whoever stood between could make them.
            Keys::Ntlm(session) if !session.seals() => return Err(NotGenuine),
            Keys::Ntlm(session) => {
                clear.extend_from_slice(part.sealed);
                session.unseal(part.signature, &mut clear[begins..])?;
            }
            Keys::Kerberos(session) => clear.extend(session.unseal(part.signature, part.sealed)?),
        }
        // The length that is told may count what was filled up.
        if clear.len() - begins > part.length {
            return Err(NotGenuine);
        }
    }
    Ok(clear)
}

/// Seals a body; returns its Content-Type and the sealed body.
///
/// # Errors
/// When the keys are none that a body can be sealed with.
pub(crate) fn seal(
    keys: &mut Keys,
    protocol: &str,
    original: &str,
    mut body: Vec<u8>,
) -> Result<(String, Vec<u8>), NotGenuine> {
    let length = body.len();
    let (signature, sealed) = match keys {
        Keys::Ntlm(session) => {
            let signature = session.seal(&mut body);
            (signature.to_vec(), body)
        }
        Keys::Kerberos(session) => session.seal(&body)?,
    };
    let body = sealed::body(protocol, original, length, &signature, &sealed);
    Ok((sealed::content_type(protocol), body))
}

/// Reads bytes as everything that a stranger may send in a login, and tells what came of it. For fuzzing; lets nobody in.
#[doc(hidden)]
pub fn read_untrusted(data: &[u8]) -> String {
    /// The key of `HTTP/box@TEST` that the tickets among the seeds are for, and the time that they were made at.
    const KEYTAB: &[u8] = b"\x05\x02\0\0\0\x44\0\x02\0\x04TEST\0\x04HTTP\0\x03box\0\0\0\x01\0\0\0\0\x01\0\x12\0\x20\
        \x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\0\0\0\x01";
    const NOW: u64 = (TO_UNIX_EPOCH + 1_800_000_000) * 10_000_000;
    let (keytab, own) = (Keytab::read(data), Keytab::read(KEYTAB));
    let (seen, find) = (Seen::default(), |_: &str| Some((String::new(), NtHash::of(""))));
    let kerberos = keytab.as_ref().or(own.as_ref()).ok().map(|keytab| (keytab, &seen));
    let bound = Bound { rule: ChannelBinding::Relaxed, to: None };
    let side = Side { computer: "fuzz", random: [7; 8], filetime: NOW, kerberos, bound, find };
    let token = STANDARD.encode(data);
    let mut told = format!("{keytab:?} {:?}", sealed::parts(data).map(|parts| parts.len()));
    // As the first token, and as the one after the server's challenge.
    let first = b"NTLMSSP\0\x01\0\0\0\x31\x02\x08\x62";
    for before in [None, Some(STANDARD.encode(first))] {
        let mut login = Login::default();
        if let Some(before) = before {
            let _ = login.step(&before, &side);
        }
        match login.step(&token, &side) {
            Ok(Step::Continue(_)) => told.push_str(" continue"),
            Ok(Step::Done(..)) => told.push_str(" done"),
            Err(Failed::Malformed) => told.push_str(" malformed"),
            Err(Failed::Wrong(_)) => told.push_str(" wrong"),
        }
    }
    told
}

fn ticket<F>(
    token: &[u8],
    side: &Side<'_, F>,
) -> Result<(Proven, kerberos::Session, Option<Vec<u8>>), Failed> {
    let (keytab, seen) = side.kerberos.ok_or(Failed::Malformed)?;
    match kerberos::accept(token, keytab, side.seconds(), seen, side.bound) {
        Ok(accepted) => {
            let proven = Proven { user: accepted.client, by: Proof::Ticket };
            Ok((proven, accepted.session, accepted.reply))
        }
        Err(kerberos::Refused::Malformed) => Err(Failed::Malformed),
        Err(refused) => {
            if refused == kerberos::Refused::Channel {
                in_between();
            }
            tracing::debug!(reason = ?refused, "a ticket was refused");
            Err(Failed::Wrong(String::new()))
        }
    }
}

fn answer<F>(token: &[u8], side: &Side<'_, F>) -> Result<(Vec<u8>, Challenged), Failed> {
    ntlm::answer(token, side.random, side.computer, side.filetime).map_err(|_| Failed::Malformed)
}

fn prove<F>(
    challenged: Challenged,
    token: &[u8],
    side: &Side<'_, F>,
) -> Result<(Proven, ntlm::Session), Failed>
where
    F: Fn(&str) -> Option<(String, NtHash)>,
{
    let claim = challenged.claim(token).map_err(|_| Failed::Malformed)?;
    let claimed = claim.user().to_owned();
    let found = (side.find)(&claimed);
    // An unknown user costs the same computation.
    let hash = found.as_ref().map_or_else(|| NtHash::of(""), |(_, hash)| *hash);
    match (claim.prove(&hash, side.bound), found) {
        (Ok(session), Some((user, _))) => Ok((Proven { user, by: Proof::Password }, session)),
        (Err(ntlm::Untrue::Channel), Some(_)) => {
            in_between();
            Err(Failed::Wrong(claimed))
        }
        _ => Err(Failed::Wrong(claimed)),
    }
}

/// Tells whoever reads the log of a proof that was right and came the wrong way.
fn in_between() {
    tracing::warn!(
        "a login was right but not bound to this TLS connection: somebody is between client and server, or the client tells no \
         binding although auth.channel_binding requires one"
    );
}

#[cfg(test)]
mod tests;
