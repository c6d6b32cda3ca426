//! The target for captures as a whole: opened with right keys, with some of them, or with none.

use hallmark_core::{Datagram, UnixTime};
use hallmark_dissect::{Compat, Dissection, Options, Secrets, json, text};
use hallmark_wire::capture::{CapturedPacket, link_type, read};
use hallmark_wire::ip::udp_packet;

use crate::edit::edited;
use crate::input::Input;

macro_rules! fixture {
    ($name:literal) => {
        (
            include_bytes!(concat!("../../../fixtures/captures/", $name, "/capture.pcap")).as_slice(),
            include_str!(concat!("../../../fixtures/captures/", $name, "/secrets.json")),
        )
    };
}

/// Real captures with their keys.
pub(crate) const FIXTURES: [(&[u8], &str); 5] = [
    fixture!("pull-gcm-sids"),
    fixture!("pull-aggressive"),
    fixture!("fixed-subnet-tek"),
    fixture!("fixed-p1-3des-sha1-modp1536-kek3des"),
    fixture!("push-delete-on-shutdown"),
];

/// Dissects a changed capture, arbitrary frames, or a file of arbitrary octets.
pub fn fuzz_dissect(data: &[u8]) {
    let mut input = Input::new(data);
    let (file, secrets) = FIXTURES[usize::from(input.u8()) % FIXTURES.len()];
    let secrets = Secrets::parse(secrets).expect("the keys of a stored capture can be read");
    let choice = input.u8();
    let compat = if choice & 1 == 0 { Compat::default() } else { Compat::gdoid_2011() };
    let options = Options { compat, show_keys: choice & 2 != 0 };
    let dissection = match choice >> 2 & 3 {
        0 => Dissection::of_file(input.rest(), &secrets, &options),
        1 => Dissection::of_file(&edited(file, &mut input), &secrets, &options),
        2 => Ok(Dissection::of(&changed(file, &mut input), &secrets, &options)),
        _ => Ok(Dissection::of(&made(&mut input), &secrets, &options)),
    };
    let Ok(dissection) = dissection else { return };
    let totals = dissection.totals();
    assert_eq!(totals.frames, dissection.frames.len());
    for style in [text::Style::default(), text::Style { verbose: true, unicode: true }] {
        let _ = text::render("capture", &dissection, style);
    }
    let shown = json::render("capture", &dissection);
    serde_json::from_str::<serde_json::Value>(&shown).expect("the dissection is JSON");
}

/// Loses, repeats, swaps and changes frames of a real capture.
fn changed(file: &[u8], input: &mut Input<'_>) -> Vec<CapturedPacket> {
    let mut packets = read(file).expect("a stored capture can be read");
    for _ in 0..input.u8() % 8 {
        let (a, b) = (input.below(packets.len()), input.below(packets.len()));
        match input.u8() % 4 {
            0 if packets.len() > 1 => drop(packets.remove(a)),
            1 => packets.push(packets[a].clone()),
            2 => packets.swap(a, b),
            _ => packets[a].octets = edited(&packets[a].octets.clone(), input),
        }
    }
    packets
}

fn made(input: &mut Input<'_>) -> Vec<CapturedPacket> {
    let mut packets = Vec::new();
    while !input.is_empty() && packets.len() < 64 {
        let choice = input.u8();
        let port = [848, 500, 4500, 4501][usize::from(choice) % 4];
        let octets = input.counted();
        let (link_type, octets) = match choice >> 2 & 3 {
            0 => (link_type::ETHERNET, octets.to_vec()),
            1 => (link_type::RAW, octets.to_vec()),
            _ => {
                let (src, dst) = (([10, 0, 0, 2], port).into(), ([10, 0, 0, 1], port).into());
                (link_type::RAW, udp_packet(&Datagram::new(src, dst, octets.to_vec()), 1, false))
            }
        };
        let at = UnixTime::from_secs(packets.len() as i64);
        let original_len = octets.len() as u32;
        packets.push(CapturedPacket { at, interface: 0, link_type, octets, original_len, comment: None });
    }
    packets
}
