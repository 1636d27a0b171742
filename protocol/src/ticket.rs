//! Tickets: all that a worker needs to find and join a project, in one line of text.

use std::fmt;
use std::str::FromStr;

use data_encoding::BASE32_NOPAD;

use crate::limits::NAME_BYTES_MAX;
use crate::{InvitationSecret, ProjectId, wire};

const PREFIX: &str = "gleaner1";
const CHECKSUM_BYTES: usize = 4;
const TEXT_BYTES_MAX: usize = 4096;
const ADDRESSES_MAX: usize = 16;

/// The key of a project, hints where to find it, and for a lab project an invitation.
///
/// The key is the root of trust: addresses are hints, and whoever answers there must show a
/// project record signed by this key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// The project's key.
    pub project: ProjectId,
    /// The project's name, for people; the signed record's name counts.
    pub name: String,
    /// Multiaddresses of coordinators, each ending in `/p2p/…`.
    pub addresses: Vec<String>,
    /// The invitation, for projects that admit holders of tickets only.
    pub invitation: Option<InvitationSecret>,
}

/// Why a text is not a ticket.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum TicketError {
    /// It does not start like one.
    #[error("a ticket starts with `gleaner1`; copy the whole line that `invite` printed")]
    Prefix,
    /// It was cut short or mistyped.
    #[error("the ticket is incomplete or mistyped; copy the whole line that `invite` printed")]
    Damaged,
    /// It says something no ticket of this version says.
    #[error("the ticket was made by another version of Gleaner; update this one")]
    Unknown,
}

/// A ticket as it is written: in order and without names, as every byte is one that people paste.
type Body = (ProjectId, String, Vec<Group>, Option<InvitationSecret>);

/// Addresses that end alike: what they begin with, and how they all end. A coordinator's addresses
/// end in its key, which is longer than what comes before it.
type Group = (String, Vec<String>);

/// Addresses grouped by their peer, in their order.
fn group(addresses: &[String]) -> Vec<Group> {
    let mut groups: Vec<Group> = Vec::new();
    for address in addresses {
        let (start, end) = address.split_at(address.rfind("/p2p/").unwrap_or(address.len()));
        match groups.last_mut() {
            Some((common, starts)) if common == end => starts.push(start.to_owned()),
            _ => groups.push((end.to_owned(), vec![start.to_owned()])),
        }
    }
    groups
}

fn ungroup(groups: Vec<Group>) -> Vec<String> {
    let whole = |(end, starts): Group| starts.into_iter().map(move |start| start + &end);
    groups.into_iter().flat_map(whole).collect()
}

impl fmt::Display for Ticket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { project, name, addresses, invitation } = self;
        let mut bytes = wire::encode(&(project, name, group(addresses), invitation));
        let checksum = checksum(&bytes);
        bytes.extend(checksum);
        write!(f, "{PREFIX}{}", BASE32_NOPAD.encode(&bytes).to_ascii_lowercase())
    }
}

impl FromStr for Ticket {
    type Err = TicketError;

    fn from_str(text: &str) -> Result<Self, TicketError> {
        let text = text.trim();
        let body = text.strip_prefix(PREFIX).ok_or(TicketError::Prefix)?;
        if body.len() > TEXT_BYTES_MAX {
            return Err(TicketError::Damaged);
        }
        let bytes = BASE32_NOPAD
            .decode(body.to_ascii_uppercase().as_bytes())
            .map_err(|_| TicketError::Damaged)?;
        let (body, check) =
            bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(TicketError::Damaged)?;
        if checksum(body) != *check {
            return Err(TicketError::Damaged);
        }
        let body: Body = wire::decode(body).map_err(|_| TicketError::Unknown)?;
        let (project, name, groups, invitation) = body;
        let ticket = Self { project, name, addresses: ungroup(groups), invitation };
        if ticket.addresses.len() > ADDRESSES_MAX || ticket.name.len() > NAME_BYTES_MAX {
            return Err(TicketError::Unknown);
        }
        Ok(ticket)
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let mut hasher = blake3::Hasher::new_derive_key("gleaner 2026 ticket v1");
    hasher.update(bytes);
    let mut checksum = [0; CHECKSUM_BYTES];
    hasher.finalize_xof().fill(&mut checksum);
    checksum
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticket() -> Ticket {
        Ticket {
            project: ProjectId([7; 32]),
            name: "planets".into(),
            addresses: vec!["/ip4/192.0.2.1/udp/4747/quic-v1".into()],
            invitation: Some(InvitationSecret([9; 16])),
        }
    }

    #[test]
    fn a_ticket_prints_and_parses_back() {
        let text = ticket().to_string();
        assert!(text.starts_with("gleaner1"));
        assert_eq!(format!("  {text}\n").parse(), Ok(ticket()));
    }

    #[test]
    fn a_key_is_written_once_however_many_addresses_it_has() {
        let at = |start: &str, peer: char| format!("{start}/p2p/{}", peer.to_string().repeat(52));
        let (udp, tcp) = ("/ip4/192.0.2.1/udp/4747/quic-v1", "/ip4/192.0.2.1/tcp/4747");
        let addresses = vec![at(udp, 'a'), at(tcp, 'a'), at(udp, 'b'), "/ip4/192.0.2.7".into()];
        let many = Ticket { addresses, ..ticket() };
        assert_eq!(many.to_string().parse(), Ok(many));
        let one = Ticket { addresses: vec![at(udp, 'a')], ..ticket() };
        let two = Ticket { addresses: vec![at(udp, 'a'), at(tcp, 'a')], ..ticket() };
        let more = two.to_string().len() - one.to_string().len();
        assert!(more < 50, "{more} characters for one more address");
    }

    #[test]
    fn a_damaged_ticket_is_told_apart() {
        let text = ticket().to_string();
        assert_eq!("http://x".parse::<Ticket>(), Err(TicketError::Prefix));
        assert_eq!(text[..text.len() - 3].parse::<Ticket>(), Err(TicketError::Damaged));
        let (prefix, body) = text.split_at(PREFIX.len());
        let swapped = format!("{prefix}{}", body.replacen('a', "b", 1));
        assert_eq!(swapped.parse::<Ticket>(), Err(TicketError::Damaged));
    }
}
