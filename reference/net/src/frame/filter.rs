//! Programs that run in the kernel: which frames a port takes, and which worker takes them.
//!
//! Classic BPF for packet sockets, extended BPF for AF_XDP and TUN. They are short enough to be written by hand.

use nix::libc::{self, sock_filter};

use super::bpf::Instruction;

/// What a packet socket takes.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Take {
    /// Nothing: the socket is not ready.
    Nothing,
    /// Every frame that came in.
    All,
    /// Frames that came in and are not addressed to the interface itself.
    NotOwn,
    /// Frames for everybody or for a group.
    Groups,
}

impl Take {
    /// Writes the filter.
    pub(crate) fn program(self) -> Vec<sock_filter> {
        let verdict = [ret(0), ret(u32::MAX)];
        let mut program = match self {
            Self::Nothing => return vec![ret(0)],
            Self::All => vec![load_kind(), equal(libc::PACKET_OUTGOING, 0, 1)],
            Self::NotOwn => {
                vec![load_kind(), equal(libc::PACKET_OUTGOING, 1, 0), equal(libc::PACKET_HOST, 0, 1)]
            }
            Self::Groups => {
                vec![load_kind(), equal(libc::PACKET_BROADCAST, 2, 0), equal(libc::PACKET_MULTICAST, 1, 0)]
            }
        };
        program.extend(verdict);
        program
    }
}

/// Writes the rule of a fan-out group: the frame goes to the worker number [`spread`] modulo the number of workers.
pub(crate) fn spread_program() -> Vec<sock_filter> {
    const IPV4: u32 = 0x0800;
    const IPV6: u32 = 0x86dd;
    let v4 = xor_words(12, 2);
    let v6 = xor_words(8, 8);
    let fold = [tax(), shift_right(16), xor_x(), tax(), shift_right(8), xor_x(), statement(RET_A, 0)];
    // The longest jump is over the 15 instructions of IPv6.
    let over = |program: &[sock_filter]| u8::try_from(program.len()).unwrap_or(u8::MAX);
    let mut program = vec![
        statement(LD_W, negative(libc::SKF_AD_OFF + libc::SKF_AD_PROTOCOL)),
        // Not IPv4: to the test for IPv6, which lies behind the words of IPv4 and the jump over those of IPv6.
        jump(JEQ, IPV4, 0, over(&v4) + 1),
    ];
    program.extend(&v4);
    program.push(statement(JA, u32::from(over(&v6)) + 2));
    program.push(jump(JEQ, IPV6, 1, 0));
    program.push(ret(0));
    program.extend(&v6);
    program.extend(fold);
    program
}

/// Tells the number whose remainder names the worker of an IP packet: the exclusive or of both addresses, folded.
///
/// The programs in the kernel count the same, so that ports of different kinds agree.
#[must_use]
pub fn spread(ip: &[u8]) -> u32 {
    let addresses = match ip.first().map(|octet| octet >> 4) {
        Some(4) => ip.get(12..20),
        Some(6) => ip.get(8..40),
        _ => None,
    };
    let sum = addresses
        .unwrap_or_default()
        .chunks_exact(4)
        .filter_map(|word| word.try_into().ok())
        .fold(0, |sum, word| sum ^ u32::from_be_bytes(word));
    let half = sum ^ (sum >> 16);
    half ^ (half >> 8)
}

const LD_W: u32 = libc::BPF_LD | libc::BPF_W | libc::BPF_ABS;
const JEQ: u32 = libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K;
const JA: u32 = libc::BPF_JMP | libc::BPF_JA;
const RET_K: u32 = libc::BPF_RET | libc::BPF_K;
const RET_A: u32 = libc::BPF_RET | libc::BPF_A;

/// Loads `count` words of the IP header from an offset on and leaves their exclusive or in the accumulator.
fn xor_words(from: i32, count: i32) -> Vec<sock_filter> {
    let word = |number: i32| statement(LD_W, negative(libc::SKF_NET_OFF + from + 4 * number));
    let mut program = vec![word(0)];
    for number in 1..count {
        program.extend([tax(), word(number), xor_x()]);
    }
    program
}

fn load_kind() -> sock_filter {
    statement(LD_W, negative(libc::SKF_AD_OFF + libc::SKF_AD_PKTTYPE))
}

fn equal(value: u8, then: u8, otherwise: u8) -> sock_filter {
    jump(JEQ, u32::from(value), then, otherwise)
}

fn ret(value: u32) -> sock_filter {
    statement(RET_K, value)
}

fn tax() -> sock_filter {
    statement(libc::BPF_MISC | libc::BPF_TAX, 0)
}

fn xor_x() -> sock_filter {
    statement(libc::BPF_ALU | libc::BPF_XOR | libc::BPF_X, 0)
}

fn shift_right(bits: u32) -> sock_filter {
    statement(libc::BPF_ALU | libc::BPF_RSH | libc::BPF_K, bits)
}

fn statement(code: u32, k: u32) -> sock_filter {
    jump(code, k, 0, 0)
}

fn jump(code: u32, k: u32, jt: u8, jf: u8) -> sock_filter {
    // Every opcode is below 0x100.
    sock_filter { code: u16::try_from(code).unwrap_or(0), jt, jf, k }
}

/// Offsets below zero are how a program names what the kernel knows of a frame.
const fn negative(offset: i32) -> u32 {
    offset.cast_unsigned()
}

/// The verdict of an XDP program that leaves a frame to the kernel.
const XDP_PASS: i32 = 2;

/// Writes the XDP program of a port: frames for one host that is not this one go to the socket of their receive queue,
/// everything else to the kernel. Frames for everybody are taken from there by a packet socket ([`Take::Groups`]).
///
/// `own` is the address whose frames are left to the kernel.
pub(crate) fn redirect_program(map: i32, own: Option<[u8; 6]>) -> Vec<Instruction> {
    // Registers: 1 context, 2 first octet, 3 end, 4 receive queue, 5 scratch.
    let mut program = vec![
        load(WORD, 2, 1, 0),
        load(WORD, 3, 1, 4),
        load(WORD, 4, 1, 16),
        op(ALU64 | MOV | REGISTER, 5, 2, 0, 0),
        op(ALU64 | ADD, 5, 0, 0, 14),
        // Too short for an Ethernet header.
        Jump::to_pass(JMP | GREATER | REGISTER, 5, 3, 0),
        load(OCTET, 5, 2, 0),
        // The group bit.
        Jump::to_pass(JMP | ANY_BIT, 5, 0, 1),
    ];
    if let Some([a, b, c, d, e, f]) = own {
        program.extend([
            load(WORD, 5, 2, 0),
            // The first four octets differ: over the test of the last two.
            op(JMP32 | DIFFERS, 5, 0, 2, i32::from_ne_bytes([a, b, c, d])),
            load(HALF, 5, 2, 4),
            Jump::to_pass(JMP32 | EQUALS, 5, 0, i32::from(u16::from_ne_bytes([e, f]))),
        ]);
    }
    program.extend([
        // The map, a constant of 64 bits in two instructions.
        op(LOAD_MAP, 1, 1, 0, map),
        op(0, 0, 0, 0, 0),
        op(ALU64 | MOV | REGISTER, 2, 4, 0, 0),
        op(ALU64 | MOV, 3, 0, 0, XDP_PASS),
        op(CALL, 0, 0, 0, REDIRECT_MAP),
        op(EXIT, 0, 0, 0, 0),
    ]);
    let pass = program.len();
    program.extend([op(ALU64 | MOV, 0, 0, 0, XDP_PASS), op(EXIT, 0, 0, 0, 0)]);
    Jump::resolve(&mut program, pass);
    program
}

/// Writes the program by which a TUN device chooses the queue of a packet: [`spread`] modulo the number of queues.
pub(crate) fn steer_program() -> Vec<Instruction> {
    // Registers: 6 context, 7 sum; a load of packet octets leaves its value in register 0.
    let words = |from: i32, count: i32| {
        (0..count).flat_map(move |number| {
            [op(PACKET | WORD, 0, 0, 0, from + 4 * number), op(ALU64 | XOR | REGISTER, 7, 0, 0, 0)]
        })
    };
    let v4: Vec<_> = words(12, 2).collect();
    let v6: Vec<_> = words(8, 8).collect();
    let over = |program: &[Instruction]| i16::try_from(program.len()).unwrap_or(i16::MAX);
    let mut program = vec![
        op(ALU64 | MOV | REGISTER, 6, 1, 0, 0),
        op(ALU64 | MOV, 7, 0, 0, 0),
        op(PACKET | OCTET, 0, 0, 0, 0),
        op(ALU64 | SHIFT_RIGHT, 0, 0, 0, 4),
        op(JMP | DIFFERS, 0, 0, over(&v4) + 1, 4),
    ];
    program.extend(&v4);
    program.push(op(JMP, 0, 0, over(&v6) + 1, 0));
    program.push(op(JMP | DIFFERS, 0, 0, over(&v6), 6));
    program.extend(&v6);
    program.extend([
        op(ALU32 | MOV | REGISTER, 0, 7, 0, 0),
        op(ALU32 | SHIFT_RIGHT, 0, 0, 0, 16),
        op(ALU32 | XOR | REGISTER, 7, 0, 0, 0),
        op(ALU32 | MOV | REGISTER, 0, 7, 0, 0),
        op(ALU32 | SHIFT_RIGHT, 0, 0, 0, 8),
        op(ALU32 | XOR | REGISTER, 0, 7, 0, 0),
        op(EXIT, 0, 0, 0, 0),
    ]);
    program
}

/// Jumps whose target is not known yet.
struct Jump;

impl Jump {
    /// No real jump goes this far.
    const OPEN: i16 = i16::MAX;

    fn to_pass(code: u8, destination: u8, source: u8, immediate: i32) -> Instruction {
        op(code, destination, source, Self::OPEN, immediate)
    }

    fn resolve(program: &mut [Instruction], target: usize) {
        for (at, instruction) in program.iter_mut().enumerate() {
            if instruction.offset == Self::OPEN {
                instruction.offset = i16::try_from(target - at - 1).unwrap_or(0);
            }
        }
    }
}

// Opcodes of linux/bpf_common.h and linux/bpf.h.
const ALU32: u8 = 0x04;
const ALU64: u8 = 0x07;
const JMP: u8 = 0x05;
const JMP32: u8 = 0x06;
const PACKET: u8 = 0x20;
const REGISTER: u8 = 0x08;
const WORD: u8 = 0x00;
const HALF: u8 = 0x08;
const OCTET: u8 = 0x10;
const ADD: u8 = 0x00;
const SHIFT_RIGHT: u8 = 0x70;
const XOR: u8 = 0xa0;
const MOV: u8 = 0xb0;
const EQUALS: u8 = 0x10;
const GREATER: u8 = 0x20;
const ANY_BIT: u8 = 0x40;
const DIFFERS: u8 = 0x50;
const CALL: u8 = 0x85;
const EXIT: u8 = 0x95;
/// A 64-bit constant; source register 1 says that it is a map.
const LOAD_MAP: u8 = 0x18;
/// The helper `bpf_redirect_map`.
const REDIRECT_MAP: i32 = 51;

const fn load(size: u8, destination: u8, source: u8, offset: i16) -> Instruction {
    /// BPF_LDX | BPF_MEM.
    const FROM_MEMORY: u8 = 0x61;
    op(FROM_MEMORY | size, destination, source, offset, 0)
}

const fn op(code: u8, destination: u8, source: u8, offset: i16, immediate: i32) -> Instruction {
    let registers = if cfg!(target_endian = "little") { destination | source << 4 } else { destination << 4 | source };
    Instruction { code, registers, offset, immediate }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_directions_and_all_fragments_of_a_pair_count_the_same() {
        let mut there = vec![0; 28];
        there[0] = 0x45;
        there[12..16].copy_from_slice(&[10, 1, 2, 3]);
        there[16..20].copy_from_slice(&[192, 0, 2, 77]);
        let mut back = there.clone();
        back[12..16].copy_from_slice(&[192, 0, 2, 77]);
        back[16..20].copy_from_slice(&[10, 1, 2, 3]);
        // A later fragment: an offset, no ports.
        back[6] = 0x20;
        assert_eq!(spread(&there), spread(&back));
        there[19] ^= 1;
        assert_ne!(spread(&there), spread(&back));
    }

    #[test]
    fn what_is_no_ip_packet_counts_as_zero() {
        for octets in [&[][..], &[0x45; 19], &[0x60; 39], &[0x12; 60]] {
            assert_eq!(spread(octets), 0);
        }
    }

    #[test]
    fn every_jump_lands_inside_its_program() {
        for program in [redirect_program(3, Some([2, 0, 0, 0, 0, 1])), redirect_program(3, None), steer_program()] {
            for (at, instruction) in program.iter().enumerate() {
                let target = i64::try_from(at).unwrap() + 1 + i64::from(instruction.offset);
                if matches!(instruction.code & 7, 5 | 6) && !matches!(instruction.code, CALL | EXIT) {
                    assert!((0..i64::try_from(program.len()).unwrap()).contains(&target), "{at}: {instruction:?}");
                }
            }
        }
    }
}
