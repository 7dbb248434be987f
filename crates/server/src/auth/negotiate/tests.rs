use super::ntlm::tests::Client;
use super::*;

const PROTOCOL: &str = "application/HTTP-SPNEGO-session-encrypted";

fn side(random: u8) -> Side<'static, impl Fn(&str) -> Option<(String, NtHash)>> {
    Side {
        computer: "box",
        random: [random; 8],
        filetime: 7,
        bound: Bound { rule: ChannelBinding::Relaxed, to: None },
        kerberos: None,
        find: |name: &str| name.eq_ignore_ascii_case("ann").then(|| ("ann".to_owned(), NtHash::of("secret"))),
    }
}

fn encode(token: &[u8]) -> String {
    STANDARD.encode(token)
}

fn challenge(step: Result<Step, Failed>) -> Vec<u8> {
    match step.unwrap() {
        Step::Continue(token) => token,
        done @ Step::Done(..) => panic!("too early: {done:?}"),
    }
}

fn raw_login(login: &mut Login, client: &mut Client) -> Result<Step, Failed> {
    let second = challenge(login.step(&encode(&client.negotiate()), &side(1)));
    login.step(&encode(&client.authenticate(&second)), &side(2))
}

#[test]
fn without_a_wrapping() {
    let mut login = Login::default();
    let step = raw_login(&mut login, &mut Client::new("ANN", "secret")).unwrap();
    assert!(matches!(step, Step::Done(proven, None) if proven.user() == "ann"));
    assert!(login.keys().is_some());
}

#[test]
fn wrapped_with_and_without_a_better_mechanism() {
    for better in [None, Some(Mechanism::KerberosOfWindows)] {
        let (mut login, mut client) = (Login::default(), Client::new("ann", "secret"));
        let offered: Vec<Mechanism> = better.into_iter().chain([Mechanism::Ntlm]).collect();
        let first = client.negotiate();
        let offer = spnego::tests::offer(&offered, Some(if better.is_some() { b"kerberos" } else { &first }));
        let mut said = challenge(login.step(&encode(&offer), &side(1)));
        if better.is_some() {
            assert_eq!(Reply::read(&said).unwrap().token, None);
            said =
                challenge(login.step(
                    &encode(&spnego::response(Progress::Incomplete, None, Some(&first), None)),
                    &side(1),
                ));
        }
        let second = Reply::read(&said).unwrap().token.unwrap().to_vec();
        let third = client.authenticate(&second);
        let reply = spnego::response(Progress::Incomplete, None, Some(&third), None);
        let step = login.step(&encode(&reply), &side(2));
        if better.is_some() {
            // Anybody could have taken the better one's place.
            assert_eq!(step.unwrap_err(), Failed::Malformed);
            assert!(login.keys().is_none());
        } else {
            assert!(matches!(step.unwrap(), Step::Done(proven, Some(_)) if proven.user() == "ann"));
        }
    }
}

#[test]
fn the_wrong_password_an_unknown_user_and_a_replay_end_the_login() {
    for (user, password) in [("ann", "Secret"), ("bob", "secret"), ("bob", ""), ("", ""), ("ann", "")] {
        let mut login = Login::default();
        let refused = raw_login(&mut login, &mut Client::new(user, password)).unwrap_err();
        assert_eq!(refused, Failed::Wrong(user.to_owned()));
        assert!(login.keys().is_none());
    }
    let (mut login, mut client) = (Login::default(), Client::new("ann", "secret"));
    let second = challenge(login.step(&encode(&client.negotiate()), &side(1)));
    let third = encode(&client.authenticate(&second));
    login.step(&third, &side(1)).unwrap();
    // The same on a connection of its own, after its own challenge, and without one.
    let mut other = Login::default();
    assert_eq!(other.step(&third, &side(3)).unwrap_err(), Failed::Malformed);
    challenge(other.step(&encode(&client.negotiate()), &side(4)));
    assert!(other.step(&third, &side(4)).is_err());
    assert!(other.keys().is_none());
}

#[test]
fn tokens_that_are_none_leave_nothing_behind() {
    let mut client = Client::new("ann", "secret");
    let first = client.negotiate();
    let offer = spnego::tests::offer(&[Mechanism::Ntlm], Some(&first));
    let long = "A".repeat(100_000);
    let mut tokens = vec![String::new(), "!".to_owned(), "TlRMTVNTUAA=".to_owned(), long];
    tokens.extend((0..first.len()).map(|length| encode(&first[..length.min(15)])));
    tokens.extend((0..offer.len()).map(|length| encode(&offer[..length])));
    for token in tokens {
        let mut login = Login::default();
        assert_eq!(login.step(&token, &side(1)).unwrap_err(), Failed::Malformed, "{token}");
        assert!(login.keys().is_none());
    }
}

#[test]
fn no_part_of_the_proof_is_enough() {
    let third_of = |client: &mut Client, login: &mut Login, wrap: bool| {
        let first = client.negotiate();
        let said = if wrap {
            let offer = spnego::tests::offer(&[Mechanism::Ntlm], Some(&first));
            let said = challenge(login.step(&encode(&offer), &side(1)));
            Reply::read(&said).unwrap().token.unwrap().to_vec()
        } else {
            challenge(login.step(&encode(&first), &side(1)))
        };
        let third = client.authenticate(&said);
        if wrap { spnego::response(Progress::Incomplete, None, Some(&third), None) } else { third }
    };
    for wrap in [false, true] {
        let mut client = Client::new("ann", "secret");
        let length = third_of(&mut client, &mut Login::default(), wrap).len();
        for cut in 0..length {
            let mut login = Login::default();
            let third = third_of(&mut client, &mut login, wrap);
            assert!(login.step(&encode(&third[..cut]), &side(2)).is_err(), "{cut} of {length}");
            assert!(login.keys().is_none());
            // Nor is it enough to send the rest, or the whole, once the login has failed.
            assert!(login.step(&encode(&third), &side(3)).is_err());
        }
    }
}

#[test]
fn a_login_that_failed_takes_the_old_one_with_it() {
    let mut login = Login::default();
    raw_login(&mut login, &mut Client::new("ann", "secret")).unwrap();
    assert!(raw_login(&mut login, &mut Client::new("ann", "wrong")).is_err());
    assert!(login.keys().is_none());
}

#[test]
fn a_body_opens_for_its_own_session_only() {
    let mut login = Login::default();
    raw_login(&mut login, &mut Client::new("ann", "secret")).unwrap();
    let keys = login.keys().unwrap();
    let mut client = Login::default();
    raw_login(&mut client, &mut Client::new("ann", "secret")).unwrap();
    let State::Established(of_client) = client.state else { panic!("established") };
    let Keys::Ntlm(of_client) = of_client else { panic!("NTLM") };
    let mut of_client = Keys::Ntlm(Box::new(of_client.of_the_client()));
    let (content_type, body) =
        seal(&mut of_client, PROTOCOL, "application/soap+xml", b"<a/>".to_vec()).unwrap();
    assert_eq!(sealed_protocol(&content_type), Some(PROTOCOL));
    assert_eq!(unseal(keys, &body).unwrap(), b"<a/>");
    // The same body again, and one of somebody else's session.
    assert_eq!(unseal(keys, &body), Err(NotGenuine));
    let mut other = Login::default();
    let mut stranger = Client::new("ann", "secret");
    stranger.session_key = [0x66; 16];
    raw_login(&mut other, &mut stranger).unwrap();
    assert_eq!(unseal(other.keys().unwrap(), &body), Err(NotGenuine));
}

#[test]
fn a_ticket_is_taken_wrapped_and_bare_where_there_is_a_keytab() {
    let (keytab, seen) = (kerberos::tests::keytab(), Seen::default());
    let with_keytab = || Side {
        kerberos: Some((&keytab, &seen)),
        filetime: (kerberos::tests::NOW as u64 + TO_UNIX_EPOCH) * 10_000_000,
        ..side(1)
    };
    for mechanism in [None, Some(Mechanism::Kerberos), Some(Mechanism::KerberosOfWindows)] {
        let ticket = kerberos::tests::Client::new().token();
        let token = match mechanism {
            Some(mechanism) => spnego::tests::offer(&[mechanism, Mechanism::Ntlm], Some(&ticket)),
            None => ticket,
        };
        let mut login = Login::default();
        let step = login.step(&encode(&token), &with_keytab()).unwrap();
        assert!(
            matches!(&step, Step::Done(proven, Some(_)) if proven.user() == "ann" && proven.by() == Proof::Ticket),
            "{mechanism:?}: {step:?}"
        );
        assert!(matches!(login.keys(), Some(Keys::Kerberos(_))));
        // The same on another connection.
        let mut other = Login::default();
        assert_eq!(other.step(&encode(&token), &with_keytab()).unwrap_err(), Failed::Wrong(String::new()));
        assert!(other.keys().is_none());
    }
}

/// Else the reading of tickets would never be fuzzed.
#[test]
fn the_fuzzer_has_the_key_of_its_tickets() {
    let ticket = kerberos::tests::Client::new().token();
    // Taken once, and no second time.
    assert!(read_untrusted(&ticket).ends_with(" done wrong"));
    assert!(read_untrusted(&ticket[..ticket.len() - 1]).ends_with(" malformed malformed"));
    let stored = include_bytes!("../../../../../fuzz/seeds/token/ticket");
    assert!(read_untrusted(stored).ends_with(" done wrong"));
}
