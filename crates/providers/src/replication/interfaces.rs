//! The addresses of this computer's network interfaces, as the kernel tells them over rtnetlink (RFC 3549).

use rustix::net::netlink::SocketAddrNetlink;
use rustix::net::{AddressFamily, RecvFlags, SendFlags, SocketFlags, SocketType};
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

const GET_ADDRESSES: u16 = 22;
const NEW_ADDRESS: u16 = 20;
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// NLM_F_REQUEST and NLM_F_DUMP.
const ALL_OF_THEM: u16 = 0x301;
const HEADER: usize = 16;
/// The fixed part of a message about an address.
const ABOUT: usize = 8;
const IPV4: u8 = 2;
const IPV6: u8 = 10;
/// The address of the other end where there is one, else the own; the own address.
const ADDRESS: u16 = 1;
const LOCAL: u16 = 2;
/// An address that means something on its link only.
const SCOPE_LINK: u8 = 253;

/// Every address with the index of its interface. Addresses that are valid on a link only are left out.
///
/// # Errors
/// What the system says.
pub(super) fn addresses() -> io::Result<Vec<(u32, IpAddr)>> {
    // The first of the kernel's protocols is the one about routes.
    let socket =
        rustix::net::socket_with(AddressFamily::NETLINK, SocketType::RAW, SocketFlags::CLOEXEC, None)?;
    let mut question = Vec::new();
    question.extend(u32::try_from(HEADER + 4).unwrap_or(20).to_ne_bytes());
    question.extend(GET_ADDRESSES.to_ne_bytes());
    question.extend(ALL_OF_THEM.to_ne_bytes());
    // The number of the question, the kernel as its receiver, and any family.
    question.extend([1_u32.to_ne_bytes(), [0; 4], [0; 4]].concat());
    rustix::net::sendto(&socket, &question, SendFlags::empty(), &SocketAddrNetlink::new(0, 0))?;
    let mut found = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let (read, _) = rustix::net::recv(&socket, &mut buffer[..], RecvFlags::empty())?;
        if read == 0 || collect(&buffer[..read], &mut found)? {
            return Ok(found);
        }
    }
}

/// Reads a portion of the answer; says whether it was the last.
fn collect(mut rest: &[u8], found: &mut Vec<(u32, IpAddr)>) -> io::Result<bool> {
    while let (Some(length), Some(kind)) = (u32_at(rest, 0), u16_at(rest, 4)) {
        let length = length as usize;
        let Some(body) = rest.get(HEADER..length) else { return Err(cut_off()) };
        match kind {
            DONE => return Ok(true),
            ERROR => {
                let errno = u32_at(body, 0).map_or(0, |n| i32::from_ne_bytes(n.to_ne_bytes()));
                return Err(io::Error::from_raw_os_error(errno.saturating_neg()));
            }
            NEW_ADDRESS => found.extend(address(body)),
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Ok(false)
}

fn address(body: &[u8]) -> Option<(u32, IpAddr)> {
    let (&family, &scope, index) = (body.first()?, body.get(3)?, u32_at(body, 4)?);
    if scope == SCOPE_LINK {
        return None;
    }
    let mut rest = body.get(ABOUT..)?;
    let (mut any, mut local) = (None, None);
    while let (Some(length), Some(kind)) = (u16_at(rest, 0), u16_at(rest, 2)) {
        let length = usize::from(length);
        let value = rest.get(4..length)?;
        let parsed = match family {
            IPV4 => <[u8; 4]>::try_from(value).ok().map(|a| IpAddr::from(Ipv4Addr::from(a))),
            IPV6 => <[u8; 16]>::try_from(value).ok().map(|a| IpAddr::from(Ipv6Addr::from(a))),
            _ => None,
        };
        match kind {
            ADDRESS => any = parsed,
            LOCAL => local = parsed,
            _ => {}
        }
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
    }
    Some((index, local.or(any)?))
}

fn u16_at(bytes: &[u8], at: usize) -> Option<u16> {
    Some(u16::from_ne_bytes(bytes.get(at..at + 2)?.try_into().ok()?))
}

fn u32_at(bytes: &[u8], at: usize) -> Option<u32> {
    Some(u32::from_ne_bytes(bytes.get(at..at + 4)?.try_into().ok()?))
}

fn cut_off() -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, "the kernel's answer is cut off")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_loopback_interface_has_its_address() {
        let found = addresses().expect("the kernel answers");
        assert!(found.contains(&(1, IpAddr::from(Ipv4Addr::LOCALHOST))), "{found:?}");
    }

    #[test]
    fn an_answer_that_is_cut_off_is_no_answer() {
        let mut found = Vec::new();
        assert!(collect(&[40, 0, 0, 0, 20, 0, 0, 0], &mut found).is_err());
        assert!(!collect(&[], &mut found).expect("nothing yet"));
        assert!(found.is_empty());
        assert_eq!(address(&[IPV4, 8, 0, 0, 1, 0, 0, 0, 9, 0, 1, 0, 1, 2]), None);
    }
}
