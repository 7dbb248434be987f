//! `Authorization: Negotiate` and `NTLM` (MS-WSMV 2.2.9.1, RFC 4559): a login of several messages that belongs to a connection, and the
//! sealing of bodies with the keys it leaves behind. What is offered to a client, and what of it is taken, is decided here; who the
//! user is comes out only as a [`Proven`], which nothing but a compared proof makes.

pub mod ntlm;
mod sealed;
mod spnego;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use ntlm::{Challenged, NtHash, Session};
use spnego::{Mechanism, Offer, Progress, Reply};

/// A body, sealed or not, after it was opened.
pub(crate) use sealed::protocol as sealed_protocol;

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
    Established(Box<Session>),
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
}

impl Proven {
    /// The name, as the users file has it.
    pub(crate) fn user(&self) -> &str {
        &self.user
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
    /// The hash of the TLS channel, if there is one (RFC 5929, `tls-server-end-point`, in the form of MS-NLMP 2.2.2.1).
    pub(crate) channel: Option<[u8; 16]>,
    /// The user of a name, as the users file has it, with the hash of the password. Nothing for users who may not log in this way.
    pub(crate) find: F,
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
        if token.len() > ntlm::message::MAX_TOKEN * 2 {
            self.state = State::Idle;
            return Err(Failed::Malformed);
        }
        let token = STANDARD.decode(token.trim()).map_err(|_| Failed::Malformed);
        let raw = token.as_ref().is_ok_and(|token| token.starts_with(ntlm::message::SIGNATURE));
        let state = std::mem::take(&mut self.state);
        let token = token?;
        if raw { self.raw(state, &token, side) } else { self.wrapped(state, &token, side) }
    }

    /// The keys, once both sides have them.
    pub(crate) fn session(&mut self) -> Option<&mut Session> {
        match &mut self.state {
            State::Established(session) => Some(session),
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
                self.state = State::Established(Box::new(session));
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
                let token = reply.token.ok_or(Failed::Malformed)?;
                let (proven, mut session) = prove(challenged, token, side)?;
                let code = match reply.list_code {
                    Some(code) => {
                        session
                            .verify_mechanisms(code, &wrapping.list)
                            .map_err(|_| Failed::Wrong(proven.user.clone()))?;
                        Some(session.sign_mechanisms(&wrapping.list))
                    }
                    None if wrapping.second_choice => return Err(Failed::Malformed),
                    None => None,
                };
                self.state = State::Established(Box::new(session));
                let last = spnego::response(Progress::Completed, None, None, code.as_ref().map(|c| &c[..]));
                Ok(Step::Done(proven, Some(last)))
            }
            State::Idle | State::Challenged(_, None) | State::Established(_) => Err(Failed::Malformed),
        }
    }

    fn begin<F>(&mut self, offer: &Offer<'_>, side: &Side<'_, F>) -> Result<Step, Failed> {
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
pub(crate) fn unseal(session: &mut Session, body: &[u8]) -> Result<Vec<u8>, Failed> {
    let mut clear = Vec::with_capacity(body.len());
    for part in sealed::parts(body).map_err(|_| Failed::Malformed)? {
        let begins = clear.len();
        clear.extend_from_slice(part.sealed);
        session.unseal(part.signature, &mut clear[begins..]).map_err(|_| Failed::Malformed)?;
        if part.sealed.len() != part.length {
            return Err(Failed::Malformed);
        }
    }
    Ok(clear)
}

/// Seals a body; returns its Content-Type and the sealed body.
pub(crate) fn seal(
    session: &mut Session,
    protocol: &str,
    original: &str,
    mut body: Vec<u8>,
) -> (String, Vec<u8>) {
    let length = body.len();
    let signature = session.seal(&mut body);
    (sealed::content_type(protocol), sealed::body(protocol, original, length, &signature, &body))
}

fn answer<F>(token: &[u8], side: &Side<'_, F>) -> Result<(Vec<u8>, Challenged), Failed> {
    ntlm::answer(token, side.random, side.computer, side.filetime).map_err(|_| Failed::Malformed)
}

fn prove<F>(challenged: Challenged, token: &[u8], side: &Side<'_, F>) -> Result<(Proven, Session), Failed>
where
    F: Fn(&str) -> Option<(String, NtHash)>,
{
    let claim = challenged.claim(token).map_err(|_| Failed::Malformed)?;
    let claimed = claim.user().to_owned();
    let found = (side.find)(&claimed);
    // An unknown user costs the same computation.
    let hash = found.as_ref().map_or_else(|| NtHash::of(""), |(_, hash)| *hash);
    match (claim.prove(&hash, side.channel), found) {
        (Ok(session), Some((user, _))) => Ok((Proven { user }, session)),
        _ => Err(Failed::Wrong(claimed)),
    }
}

#[cfg(test)]
mod tests;
