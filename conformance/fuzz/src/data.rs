//! Targets for the data plane: policy, sizes and reassembly, each against a plain model, and the whole pipeline.

mod pipeline;
mod reassemble;
mod size;

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use hallmark_datapath::classifier::matches;
use hallmark_datapath::{AddressRange, Classifier, FlowKey, PortRange, Rule, Selector};

use crate::input::Input;

pub use pipeline::fuzz_data_decapsulate;
pub use reassemble::fuzz_data_reassemble;
pub use size::fuzz_data_size;

/// Rules of one input at most.
const RULES: usize = 200;

/// Compiles rules and looks packets up: the compiled list and a walk through the rules agree.
pub fn fuzz_data_policy(data: &[u8]) {
    let mut input = Input::new(data);
    let rules: Vec<Rule> = (0..usize::from(input.u8()) % RULES).map(|_| Rule::deny(selector(&mut input))).collect();
    let list = Classifier::compile(&rules);
    let mut last = None;
    while !input.is_empty() {
        let key = if input.u8().is_multiple_of(4) {
            let packet = input.counted();
            let Ok(key) = FlowKey::parse(packet) else { continue };
            assert!(key.version4 || packet[0] >> 4 == 6);
            assert!(!key.fragment || !key.has_ports);
            key
        } else {
            flow(&mut input, last)
        };
        let walked = rules.iter().position(|rule| matches(&rule.selector, &key)).map(|index| index as u32);
        assert_eq!(list.lookup(&key), walked, "{key:?}");
        assert_eq!(key.mirrored().mirrored(), key);
        last = Some(key);
    }
}

fn selector(input: &mut Input<'_>) -> Selector {
    let form = input.u8();
    let version4 = form & 1 == 0;
    let mut range = || match form >> 1 & 3 {
        0 => AddressRange { first: address(input, version4), last: address(input, version4) },
        1 if version4 => AddressRange::ANY_V4,
        1 => AddressRange::ANY_V6,
        2 => AddressRange::host(address(input, version4)),
        _ => AddressRange::prefix(address(input, version4), input.u8() % 129),
    };
    let (src, dst) = (range(), range());
    let mut selector = Selector::between(src, dst);
    if form & 8 != 0 {
        selector = selector.protocol(input.u8());
    }
    if form & 16 != 0 {
        selector.src_ports = PortRange { first: port(input), last: port(input) };
    }
    if form & 32 != 0 {
        selector.dst_ports = PortRange { first: port(input), last: port(input) };
    }
    if form & 0xc0 == 0xc0 {
        // The two ends of different versions: such a rule matches nothing.
        selector.dst.last = address(input, !version4);
    }
    selector
}

fn flow(input: &mut Input<'_>, last: Option<FlowKey>) -> FlowKey {
    let form = input.u8();
    let version4 = form & 1 == 0;
    let number = |address| match address {
        IpAddr::V4(address) => u128::from(u32::from(address)),
        IpAddr::V6(address) => u128::from(address),
    };
    let has_ports = form & 2 == 0;
    let ports = if has_ports { (port(input), port(input)) } else { (0, 0) };
    let key = FlowKey {
        src: number(address(input, version4)),
        dst: number(address(input, version4)),
        src_port: ports.0,
        dst_port: ports.1,
        protocol: [6, 17, 1, 50, input.u8()][usize::from(form >> 2) % 5],
        version4,
        has_ports,
        fragment: !has_ports && form & 0x80 != 0,
    };
    // Now and then the neighbour of the last one.
    match last {
        Some(last) if form & 0x40 != 0 => {
            FlowKey { dst_port: last.dst_port.wrapping_add(u16::from(last.has_ports)), ..last }
        }
        _ => key,
    }
}

/// Addresses of few bits, so that ranges meet, at both ends of the space.
fn address(input: &mut Input<'_>, version4: bool) -> IpAddr {
    let octet = input.u8();
    let (high, low) = (octet >> 4, octet & 0x0f);
    let spread = |octet: u8| if octet & 8 == 0 { octet } else { 0xf0 | octet };
    if version4 {
        Ipv4Addr::new(
            spread(high),
            if low & 8 == 0 { 0 } else { 0xff },
            if low & 8 == 0 { 0 } else { 0xff },
            spread(low),
        )
        .into()
    } else {
        let fill = if low & 8 == 0 { 0 } else { u128::MAX >> 16 << 8 };
        Ipv6Addr::from(u128::from(spread(high)) << 120 | fill | u128::from(spread(low))).into()
    }
}

fn port(input: &mut Input<'_>) -> u16 {
    let octet = input.u8();
    if octet & 0x80 == 0 { u16::from(octet) } else { 0xff00 | u16::from(octet) }
}
