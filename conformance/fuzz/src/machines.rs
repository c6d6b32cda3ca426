//! Targets for the machines: a real prefix of a session, then whatever the input says.

use std::net::SocketAddr;
use std::time::Duration;

use hallmark_control::{GmCommand, GroupMember, KeyServer, KsCommand, Machine as _};
use hallmark_core::{Datagram, Instant};
use hallmark_wire::isakmp::{Flags, Fragment, Header, Identification, PayloadType, payload_octets};

use crate::edit::edited;
use crate::input::Input;
use crate::invariants::{Shown, Watched};
use crate::sealed::Sealer;
use crate::session::{GROUP, at, command_before, group_member, key_server, session, start};

/// Operations that one input may have.
const OPERATIONS: usize = 48;

/// Feeds a key server: a prefix of a real registration, then raw and changed datagrams, sealed messages, commands and
/// time.
pub fn fuzz_ks_responder(data: &[u8]) {
    let mut input = Input::new(data);
    let mut server = server_at(usize::from(input.u8()) % 8);
    for _ in 0..OPERATIONS {
        if input.is_empty() {
            break;
        }
        match input.u8() % 8 {
            0 | 1 => drop(changed(&mut server, &session().to_ks, &mut input)),
            2 => drop(raw(&mut server, session().to_ks[0].1.dst, &mut input)),
            3 => again_from_elsewhere(&mut server, &session().to_ks, &mut input),
            4 => seal(&mut server, &session().to_ks, Sealer::get().for_ks(&mut input)),
            5 => in_pieces(&mut server, &session().to_ks, &mut input),
            6 => pass(&mut server, &mut input),
            _ => ks_command(&mut server, &mut input),
        }
    }
    server.pass(Duration::from_secs(40));
}

/// Feeds a group member likewise; sealed messages include PUSH with a right signature under the known KEK.
pub fn fuzz_gm_member(data: &[u8]) {
    let mut input = Input::new(data);
    let mut member = member_at(usize::from(input.u8()) % 8);
    for _ in 0..OPERATIONS {
        if input.is_empty() {
            break;
        }
        match input.u8() % 8 {
            0 | 1 => drop(changed(&mut member, &session().to_gm, &mut input)),
            2 => drop(raw(&mut member, session().to_gm[0].1.dst, &mut input)),
            3 => again_from_elsewhere(&mut member, &session().to_gm, &mut input),
            4 => seal(&mut member, &session().to_gm, Sealer::get().for_gm(&mut input)),
            5 => in_pieces(&mut member, &session().to_gm, &mut input),
            6 => pass(&mut member, &mut input),
            _ => gm_command(&mut member, &mut input),
        }
    }
    member.pass(Duration::from_secs(40));
}

/// Feeds both machines with nothing but messages that verify: the whole input lands behind the cryptography.
pub fn fuzz_decrypt_then_parse(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.u8();
    if choice & 1 == 0 {
        let mut server = server_at(2 + usize::from(choice >> 1) % 6);
        for _ in 0..4 {
            if input.is_empty() {
                break;
            }
            seal(&mut server, &session().to_ks, Sealer::get().for_ks(&mut input));
        }
        server.pass(Duration::from_secs(5));
    } else {
        let mut member = member_at(2 + usize::from(choice >> 1) % 6);
        for _ in 0..4 {
            if input.is_empty() {
                break;
            }
            seal(&mut member, &session().to_gm, Sealer::get().for_gm(&mut input));
        }
        member.pass(Duration::from_secs(5));
    }
}

/// Gives the server after so many datagrams of the session, rekeys included.
fn server_at(steps: usize) -> Watched<KeyServer> {
    let mut server = Watched::new(key_server(), start());
    for (n, (when, datagram)) in session().to_ks.iter().take(steps).enumerate() {
        if let Some((when, command)) = command_before(n) {
            server.now = when;
            server.machine.handle_timeout(server.now);
            server.machine.handle_command(server.now, command).expect("there is a member");
        }
        server.now = at(*when);
        server.datagram(datagram);
    }
    server
}

fn member_at(steps: usize) -> Watched<GroupMember> {
    let mut member = Watched::new(group_member(), start());
    member.machine.handle_timeout(member.now);
    for (n, (when, datagram)) in session().to_gm.iter().take(steps).enumerate() {
        if let Some((when, _)) = command_before(n) {
            member.now = when;
            member.machine.handle_timeout(member.now);
        }
        member.now = at(*when);
        member.datagram(datagram);
    }
    member
}

/// A datagram of the session with changes.
fn changed<M: Shown>(watched: &mut Watched<M>, recorded: &[(Instant, Datagram)], input: &mut Input<'_>) -> usize {
    let mut datagram = recorded[input.below(recorded.len())].1.clone();
    datagram.payload = edited(&datagram.payload, input);
    if input.u8() & 1 != 0 {
        fix_length(&mut datagram.payload);
    }
    watched.datagram(&datagram)
}

/// Octets of the input from one of four addresses.
fn raw<M: Shown>(watched: &mut Watched<M>, to: SocketAddr, input: &mut Input<'_>) -> usize {
    let choice = input.u8();
    let port = if choice & 4 == 0 { 848 } else { 4500 };
    let mut payload = input.counted().to_vec();
    if choice & 8 != 0 {
        fix_length(&mut payload);
    }
    if port == 4500 && choice & 16 == 0 {
        payload.splice(0..0, [0; 4]);
    }
    let src = SocketAddr::from(([10, 0, 0, 1 + (choice & 3)], port));
    watched.datagram(&Datagram::new(src, SocketAddr::new(to.ip(), port), payload))
}

/// A datagram of the session with other cookies, many times over, from many ports.
fn again_from_elsewhere<M: Shown>(watched: &mut Watched<M>, recorded: &[(Instant, Datagram)], input: &mut Input<'_>) {
    let template = &recorded[input.below(recorded.len())].1;
    let (times, choice) = (input.u8() % 32, input.u8());
    for n in 0..times {
        let mut datagram = template.clone();
        if let Some(octet) = datagram.payload.get_mut(if choice & 1 == 0 { 0 } else { 20 }) {
            *octet = octet.wrapping_add(n);
        }
        if choice & 2 != 0 {
            datagram.src = SocketAddr::from(([10, 0, choice, n], 848));
        }
        let sent = watched.datagram(&datagram);
        assert!(sent <= 16, "one datagram is answered by {sent}");
    }
}

fn seal<M: Shown>(watched: &mut Watched<M>, recorded: &[(Instant, Datagram)], payload: Vec<u8>) {
    let mut datagram = recorded[0].1.clone();
    datagram.payload = payload;
    watched.datagram(&datagram);
}

/// A datagram of the session as IKE fragments, in the order and with the numbers that the input says.
fn in_pieces<M: Shown>(watched: &mut Watched<M>, recorded: &[(Instant, Datagram)], input: &mut Input<'_>) {
    let template = &recorded[input.below(recorded.len())].1;
    let Ok(mut header) = Header::decode(&template.payload) else { return };
    header.next = PayloadType::FRAGMENT;
    let (choice, size) = (input.u8(), 16 + usize::from(input.u8()));
    if choice & 1 == 0 {
        header.flags = Flags::NONE;
    }
    let mut pieces: Vec<&[u8]> = template.payload.chunks(size).collect();
    let last = pieces.len() as u8;
    if choice & 2 != 0 {
        pieces.reverse();
    }
    for (n, piece) in pieces.into_iter().enumerate() {
        let number = if choice & 2 == 0 { n as u8 + 1 } else { last - n as u8 };
        let mut fragment = Fragment { id: 1, number, flags: u8::from(number == last), data: piece.to_vec() };
        if choice & 4 != 0 {
            (fragment.id, fragment.number, fragment.flags) = (input.u16() % 4, input.u8(), input.u8() % 2);
        }
        let mut payload = header.encode().to_vec();
        payload.extend(payload_octets(PayloadType::NONE, &fragment.encode_body()));
        fix_length(&mut payload);
        watched.datagram(&Datagram { payload, ..template.clone() });
    }
}

fn pass<M: Shown>(watched: &mut Watched<M>, input: &mut Input<'_>) {
    let amount = u64::from(input.u8());
    watched.pass(match input.u8() % 4 {
        0 => Duration::from_millis(amount * 4),
        1 | 2 => Duration::from_secs(amount),
        _ => Duration::from_secs(amount * 16),
    });
}

fn ks_command(server: &mut Watched<KeyServer>, input: &mut Input<'_>) {
    let group = if input.u8() < 240 { GROUP } else { 1 };
    let identity = Identification::from_ip([10, 0, 0, 2].into());
    let command = match input.u8() % 9 {
        0 => KsCommand::Rekey { group },
        1 => KsCommand::RekeyReplaceNow { group },
        2 => KsCommand::RekeyKek { group },
        3 => KsCommand::ClearMembers { group, now: input.u8() & 1 == 0 },
        4 => KsCommand::DeleteGroupKeys { group },
        5 => KsCommand::RemoveMember { group, identity: "ipv4:10.0.0.2".to_owned() },
        6 => KsCommand::Authorize { group, identity },
        7 => KsCommand::Revoke { group, identity },
        _ => KsCommand::Shutdown,
    };
    if let Err(error) = server.machine.handle_command(server.now, command) {
        let _ = error.to_string();
    }
    server.drain();
}

fn gm_command(member: &mut Watched<GroupMember>, input: &mut Input<'_>) {
    match input.u8() % 4 {
        0 => member.machine.handle_command(member.now, GmCommand::Register),
        1 => member.machine.handle_command(member.now, GmCommand::ClearSa),
        2 => member.machine.sender_ids_exhausted(member.now),
        _ => member.machine.handle_command(member.now, GmCommand::Shutdown),
    }
    member.drain();
}

/// Writes the right length into the header, so that a changed message is not refused for that alone.
fn fix_length(payload: &mut [u8]) {
    let length = (payload.len() as u32).to_be_bytes();
    if let Some(place) = payload.get_mut(24..28) {
        place.copy_from_slice(&length);
    }
}
