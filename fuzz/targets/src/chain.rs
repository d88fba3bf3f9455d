//! Chains as bytes, next to what the driver has put into them.

use virtio_chain::{Reader, Writer};
use virtio_queue_core::Chain;

use crate::honest::Honest;
use crate::input::Input;

/// Reads and writes chains. Where the driver does not interfere, every byte is compared.
pub(crate) fn run(input: &[u8]) {
    let mut input = Input::new(input);
    let Some(mut honest) = Honest::new(&mut input) else { return };
    if input.flag() {
        honest.become_hostile(&mut input);
    }
    for _ in 0..8 {
        let (asked, room) = (usize::from(input.u8()), u32::from(input.u8()));
        let asked = input.bytes(asked).to_vec();
        if input.is_empty() || honest.add(&mut input, &asked, room).is_none() {
            return;
        }
        let (before, hostile) = (honest.mem.work(), honest.is_hostile);
        let Ok(Some(chain)) = honest.queue.next_chain() else { return };
        let answered = serve(&mut input, chain, &asked, room, !hostile);
        let work = honest.mem.work() - before;
        assert!(work < 5000, "{work} accesses and translations for a chain of at most 32 elements");
        if let [used] = &honest.reap()[..] {
            assert_eq!(used.written(), answered, "what the driver finds is what was written");
        }
    }
    honest.mem.check();
}

/// Reads and writes as the input says, and returns what was written without a hole.
fn serve(input: &mut Input<'_>, chain: impl Chain, asked: &[u8], room: u32, exact: bool) -> Vec<u8> {
    let (mut reader, mut writer) = (Reader::new(&chain), Writer::new(&chain));
    let (mut read, mut written, mut hole) = (0, Vec::new(), false);
    for _ in 0..input.u8() % 12 {
        let len = usize::from(input.u8());
        let result = match input.u8() % 6 {
            0 | 1 => {
                let mut buf = vec![0; len];
                reader.read(&mut buf).map(|count| {
                    let rest = &asked[read.min(asked.len())..];
                    assert!(!exact || (count == len.min(rest.len()) && buf[..count] == rest[..count]));
                    read += count;
                })
            }
            2 => reader.skip(len as u64).map(|count| read += count as usize),
            3 | 4 => {
                let bytes = vec![input.u8() | 1; len];
                writer.write(&bytes).map(|count| {
                    assert!(!exact || count == len.min(room as usize - writer.position() as usize + count));
                    if !hole {
                        written.extend_from_slice(&bytes[..count]);
                    }
                })
            }
            _ => writer.skip(len as u64).map(|count| hole |= count != 0),
        };
        if let Err(error) = result {
            assert!(!exact, "{error}");
            break;
        }
        if exact {
            let (left, free) = (reader.remaining().unwrap().bytes, writer.remaining().unwrap().bytes);
            assert_eq!((left, free), ((asked.len() - read) as u64, u64::from(room) - writer.position()));
        }
    }
    let prefix = writer.prefix();
    assert!(!exact || prefix as usize == written.len(), "{prefix} and {}", written.len());
    let _ = chain.return_unchecked(prefix).map_err(drop);
    written
}
