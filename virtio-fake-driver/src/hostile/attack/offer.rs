//! Buffers, tables and lists of an attack.

use alloc::vec;
use alloc::vec::Vec;

use virtio_mem_traits::DriverRange;

use super::Attack;
use crate::chain::Content;
use crate::hostile::descriptor::{Descriptor, INDIRECT, List, NEXT, WRITE};
use crate::used::poison;

/// The bytes behind each buffer that are never lent.
const GAP: u64 = 8;

/// Buffers.
impl Attack<'_, '_> {
    /// Returns a readable element of `len` bytes.
    pub(in crate::hostile) fn readable(&mut self, len: u32) -> Descriptor {
        let bytes: Vec<u8> = (0..len as usize).map(poison).collect();
        self.readable_bytes(&bytes)
    }

    fn readable_bytes(&mut self, bytes: &[u8]) -> Descriptor {
        let range = self.alloc(bytes.len() as u64, 1);
        self.mem.view().poke(range.start(), bytes);
        element(range, 0)
    }

    /// Returns a writable element of `len` bytes.
    pub(in crate::hostile) fn writable(&mut self, len: u32) -> Descriptor {
        Descriptor { flags: WRITE, ..self.readable(len) }
    }

    /// Returns the elements of a good request: at least three, if there are enough bytes.
    pub(in crate::hostile) fn request(&mut self) -> Vec<Descriptor> {
        let mut elements = Vec::new();
        for part in self.scene.request.parts() {
            elements.push(match &part.content {
                Content::Readable(bytes) => self.readable_bytes(bytes),
                Content::Writable(len) => self.writable(*len),
            });
        }
        while elements.len() < 3 && elements.iter().any(|element| element.len > 1) {
            cut_longest(&mut elements);
        }
        elements
    }

    fn alloc(&mut self, len: u64, align: u64) -> DriverRange {
        let range = self.pool.alloc(len + GAP, align).expect("the memory has room for the buffers of an attack");
        self.end = self.end.max(range.after(len).start().0);
        range.prefix(len)
    }
}

/// Tables and lists.
impl Attack<'_, '_> {
    /// Returns the descriptor of a table with these entries, linked one after the other.
    pub(in crate::hostile) fn table(&mut self, entries: &[Descriptor]) -> Descriptor {
        let mut entries = entries.to_vec();
        if let Some((_, others)) = entries.split_last_mut().filter(|_| !self.ring.is_packed()) {
            for (next, entry) in (1..).zip(others) {
                (entry.flags, entry.link) = (entry.flags | NEXT, next);
            }
        }
        self.raw_table(&entries)
    }

    /// Returns the descriptor of a table with these entries, exactly.
    pub(in crate::hostile) fn raw_table(&mut self, entries: &[Descriptor]) -> Descriptor {
        let bytes: Vec<u8> = entries.iter().flat_map(|entry| self.ring.to_bytes(*entry)).collect();
        let range = self.alloc(bytes.len() as u64, 16);
        self.mem.view().poke(range.start(), &bytes);
        element(range, INDIRECT)
    }

    /// Makes a list of these elements available.
    pub(in crate::hostile) fn offer(&mut self, elements: &[Descriptor]) -> List {
        let list = self.ring.link(elements);
        self.offer_list(&list);
        list
    }

    /// Makes a list available that can have been changed since it was linked.
    pub(in crate::hostile) fn offer_list(&mut self, list: &List) {
        self.ring.write(list);
        self.ring.publish(list);
    }

    /// Makes a good request available.
    pub(in crate::hostile) fn offer_request(&mut self) -> List {
        let request = self.request();
        self.offer(&request)
    }

    /// Returns a good request in a table if the driver can do that, and directly otherwise.
    pub(in crate::hostile) fn request_in_table(&mut self) -> Vec<Descriptor> {
        let request = self.request();
        if self.has(crate::features::INDIRECT_DESC) { vec![self.table(&request)] } else { request }
    }
}

fn element(range: DriverRange, flags: u16) -> Descriptor {
    let len = u32::try_from(range.len()).expect("the memory has less than 4 GiB");
    Descriptor { addr: range.start().0, len, flags, link: 0 }
}

/// Cuts the longest element in two.
fn cut_longest(elements: &mut Vec<Descriptor>) {
    let longest = elements.iter().enumerate().max_by_key(|(_, element)| element.len);
    let Some((index, element)) = longest.map(|(index, element)| (index, *element)) else { return };
    let (half, rest) = (element.len / 2, element.len - element.len / 2);
    let second = Descriptor { addr: element.addr + u64::from(half), len: rest, ..element };
    let first = Descriptor { len: half, ..element };
    elements.splice(index..=index, [first, second]);
}
