//! Which network interfaces the copy of a group may use: what SetNetworkConstraint decided.
//!
//! A destination listens at an address of such an interface. The engine of a source lets the system choose the way, so the source
//! looks which way that would be, and connects only when it is one of those allowed.

use super::EngineSettings;
use crate::replication::engine::Partner;
use crate::replication::model::{Model, Partition, Partnership};
use crate::replication::service::Shared;
use crate::replication::{errors, interfaces};
use cimwright_sdk::cim::ErrorDetail;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, UdpSocket};

/// The address at which a destination listens.
///
/// # Errors
/// When none of the interfaces has an address.
pub(super) fn listen_at(
    shared: &Shared,
    settings: &EngineSettings,
    partition: &Partition,
) -> Result<IpAddr, ErrorDetail> {
    let model = shared.model();
    let partnership = partition.group.and_then(|group| model.partnership_of(group));
    let allowed = partnership.map_or(&[][..], |p| own(&model, p));
    if allowed.is_empty() {
        return Ok(settings.listen);
    }
    let refused = |why: &str| errors::interface_away(&partition.path, &allowed.join(", "), why);
    let known = interfaces::addresses().map_err(|e| refused(&e.to_string()))?;
    let mut usable =
        known.into_iter().filter(|(index, _)| names(allowed, *index)).map(|(_, address)| address);
    let usable: Vec<IpAddr> = usable.by_ref().collect();
    let same_family = |a: &&IpAddr| a.is_ipv4() == settings.listen.is_ipv4();
    let chosen = usable.iter().find(|a| **a == settings.listen);
    let chosen = chosen.or_else(|| usable.iter().find(same_family)).or_else(|| usable.first());
    chosen.copied().ok_or_else(|| refused("they have no address"))
}

/// Makes sure that a source reaches its partner by an interface that it may use.
///
/// # Errors
/// When the system would take another way.
pub(super) fn allow(
    shared: &Shared,
    partition: &Partition,
    partnership: &Partnership,
    partner: &Partner,
) -> Result<(), ErrorDetail> {
    let model = shared.model();
    let allowed = own(&model, partnership);
    if allowed.is_empty() {
        return Ok(());
    }
    let refused = |why: &str| errors::interface_away(&partition.path, &allowed.join(", "), why);
    let way = way_to(partner).map_err(|e| refused(&format!("there is no way to {}: {e}", partner.host)))?;
    if way.iter().any(|index| names(allowed, *index)) {
        return Ok(());
    }
    let way: Vec<String> = way.iter().map(u32::to_string).collect();
    Err(refused(&format!("the way to {} leaves by the interface {}", partner.host, way.join(", "))))
}

/// The interfaces that have the address from which the system would reach a partner.
fn way_to(partner: &Partner) -> io::Result<Vec<u32>> {
    let to: IpAddr = partner.host.parse().map_err(io::Error::other)?;
    let any: IpAddr = if to.is_ipv4() { Ipv4Addr::UNSPECIFIED.into() } else { Ipv6Addr::UNSPECIFIED.into() };
    // Nothing is sent: to connect such a socket only chooses the way.
    let socket = UdpSocket::bind((any, 0))?;
    socket.connect((to, partner.port))?;
    let from = socket.local_addr()?.ip();
    let known = interfaces::addresses()?;
    Ok(known.into_iter().filter(|(_, address)| *address == from).map(|(index, _)| index).collect())
}

/// The interfaces of this computer that a partnership is bound to; none means any.
fn own<'m>(model: &'m Model, partnership: &Partnership) -> &'m [String] {
    let constraint = model.constraints.iter().find(|c| c.partnership == partnership.id);
    constraint.map_or(&[], |c| match partnership.is_source {
        true => &c.source_interfaces,
        false => &c.destination_interfaces,
    })
}

fn names(allowed: &[String], index: u32) -> bool {
    allowed.iter().any(|text| text.parse() == Ok(index))
}
