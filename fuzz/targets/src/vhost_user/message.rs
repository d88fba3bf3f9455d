//! Messages with any numbers in them, most of which make sense.

use super::regions::{REGION_LEN, REGIONS, USER};
use crate::input::Input;

pub(crate) const SET_FEATURES: u32 = 2;
pub(crate) const SET_OWNER: u32 = 3;
pub(crate) const SET_LOG_BASE: u32 = 6;
pub(crate) const SET_LOG_FD: u32 = 7;
pub(crate) const SET_VRING_NUM: u32 = 8;
pub(crate) const SET_VRING_ADDR: u32 = 9;
pub(crate) const SET_VRING_BASE: u32 = 10;
pub(crate) const GET_VRING_BASE: u32 = 11;
pub(crate) const SET_VRING_KICK: u32 = 12;
pub(crate) const SET_VRING_CALL: u32 = 13;
pub(crate) const SET_VRING_ERR: u32 = 14;
pub(crate) const SET_PROTOCOL_FEATURES: u32 = 16;
pub(crate) const SET_VRING_ENABLE: u32 = 18;
pub(crate) const GET_INFLIGHT_FD: u32 = 31;
pub(crate) const SET_INFLIGHT_FD: u32 = 32;
pub(crate) const ADD_MEM_REG: u32 = 37;

const SET_MEM_TABLE: u32 = 5;
const SEND_RARP: u32 = 19;
const GET_CONFIG: u32 = 24;
const SET_CONFIG: u32 = 25;
const REM_MEM_REG: u32 = 38;

/// The kinds of messages, those that do most several times.
const KINDS: [u32; 40] = [
    SET_FEATURES,
    SET_FEATURES,
    SET_OWNER,
    4,
    SET_MEM_TABLE,
    SET_LOG_BASE,
    SET_LOG_BASE,
    SET_LOG_FD,
    SET_VRING_NUM,
    SET_VRING_ADDR,
    SET_VRING_ADDR,
    SET_VRING_BASE,
    GET_VRING_BASE,
    GET_VRING_BASE,
    SET_VRING_KICK,
    SET_VRING_KICK,
    SET_VRING_CALL,
    SET_VRING_ERR,
    15,
    SET_PROTOCOL_FEATURES,
    17,
    SET_VRING_ENABLE,
    SET_VRING_ENABLE,
    SET_VRING_ENABLE,
    SEND_RARP,
    21,
    22,
    GET_CONFIG,
    SET_CONFIG,
    GET_INFLIGHT_FD,
    SET_INFLIGHT_FD,
    SET_INFLIGHT_FD,
    33,
    34,
    36,
    ADD_MEM_REG,
    REM_MEM_REG,
    42,
    43,
    44,
];

/// A message without its files.
pub(crate) struct Message {
    pub(crate) request: u32,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn words(request: u32, words: &[u64]) -> Self {
        Self { request, body: words.iter().flat_map(|word| word.to_le_bytes()).collect() }
    }

    /// Returns a message of any kind.
    pub(crate) fn any(input: &mut Input<'_>) -> Self {
        let request = if input.u8() == 7 { input.u32() % 50 } else { input.one_of(&KINDS) };
        if input.u8() == 7 {
            let len = input.u8().into();
            return Self { request, body: input.bytes(len).to_vec() };
        }
        let words = match request {
            SET_FEATURES => vec![features(input)],
            SET_PROTOCOL_FEATURES => vec![if input.flag() { PROTOCOL } else { input.u64() }],
            SEND_RARP => vec![number(input, &[2])],
            SET_VRING_NUM => vec![state(input, &[8, 16, 4, 256, 0, 3])],
            SET_VRING_BASE => vec![state(input, &[0, 0x8000, 0x8000_8000, 1, 2])],
            SET_VRING_ENABLE => vec![state(input, &[1, 0])],
            GET_VRING_BASE => vec![state(input, &[0])],
            SET_VRING_KICK | SET_VRING_CALL | SET_VRING_ERR => vec![number(input, &[0, 1, 2, 0x100, 0x101])],
            SET_VRING_ADDR => vring_addr(input),
            SET_MEM_TABLE => mem_table(input),
            ADD_MEM_REG | REM_MEM_REG => [vec![0], region(input)].concat(),
            SET_LOG_BASE => vec![number(input, &[0x1000, 128, 16, 4]), number(input, &[0, 0x1000, 1])],
            GET_INFLIGHT_FD | SET_INFLIGHT_FD => inflight(input),
            GET_CONFIG | SET_CONFIG => return Self::config(request, input),
            _ => (0..input.below(3)).map(|_| number(input, &[0])).collect(),
        };
        Self::words(request, &words)
    }

    fn config(request: u32, input: &mut Input<'_>) -> Self {
        let len = input.below(300);
        let mut body: Vec<_> =
            [input.u32() % 5000, len as u32, u32::from(input.u8() % 3)].map(u32::to_le_bytes).concat();
        body.resize(12 + len, 1);
        Self { request, body }
    }
}

/// All protocol features that the back end offers.
pub(crate) const PROTOCOL: u64 = 1 << 0 | 1 << 1 | 1 << 2 | 1 << 3 | 1 << 9 | 1 << 12 | 1 << 13 | 1 << 15;

/// Returns one of some numbers, or any.
fn number(input: &mut Input<'_>, likely: &[u64]) -> u64 {
    match input.u8() {
        7 => input.u64(),
        8 => input.u16().into(),
        _ => input.one_of(likely),
    }
}

fn features(input: &mut Input<'_>) -> u64 {
    let bit = |set: bool, bit: u32| u64::from(set) << bit;
    let chosen = input.u8();
    let set = |at: u8| chosen >> at & 1 != 0;
    let features = bit(!set(0), 32) | bit(set(1), 34) | bit(set(2), 28) | bit(set(3), 29) | bit(set(4), 35);
    let features = features | bit(set(5), 26) | bit(!set(6), 30) | bit(set(7), 33);
    if input.u8() == 7 { features ^ input.u64() } else { features }
}

fn state(input: &mut Input<'_>, likely: &[u64]) -> u64 {
    let index = number(input, &[0, 1, 2, 3]) & 0xffff_ffff;
    index | number(input, likely) << 32
}

fn vring_addr(input: &mut Input<'_>) -> Vec<u64> {
    let index = number(input, &[0, 1, 2]) & 0xffff_ffff | u64::from(input.u8() % 3) << 32;
    let mut addr = || {
        let region = USER + input.one_of(&REGIONS);
        region.wrapping_add(number(input, &[0, 0x100, 0x400, 0x800, 0x1000, REGION_LEN - 4]))
    };
    vec![index, addr(), addr(), addr(), number(input, &[0x1_0000, 0x10_0000, 0])]
}

fn mem_table(input: &mut Input<'_>) -> Vec<u64> {
    let count = number(input, &[1, 2, 3, 0, 33]);
    let regions: Vec<_> = (0..count.min(40)).flat_map(|_| region(input)).collect();
    [vec![count], regions].concat()
}

/// Returns the numbers of a region.
fn region(input: &mut Input<'_>) -> Vec<u64> {
    let place = input.below(REGIONS.len());
    let guest = number(input, &[REGIONS[place]]);
    let (size, offset) = (number(input, &[REGION_LEN, 0x1000]), number(input, &[place as u64 * REGION_LEN, 0, 8, 1]));
    vec![guest, size, number(input, &[USER.wrapping_add(guest)]), offset]
}

fn inflight(input: &mut Input<'_>) -> Vec<u64> {
    let (queues, size) = (number(input, &[3, 1, 2, 0]) & 0xffff, number(input, &[16, 8, 256, 0]) & 0xffff);
    vec![number(input, &[0x1_0000, 0x1000, 832]), number(input, &[0, 64, 8, 1]), queues | size << 16]
}
