//! How chains of bytes go back to where they came from.

use virtio_chain::{IncompleteError, ReadableChain, WritableChain, Writer};
use virtio_fake_driver::DriverChain;
use virtio_mem_traits::AreaError;
use virtio_queue_core::{Chain, FatalError, Refused, ReturnError};

use super::rig::{Message, Readable, Rig, Writable};

/// A request that is answered with its own bytes.
const ECHO: &[u8] = b"echo";

fn message() -> Message {
    Message::new(&[ECHO], &[2, 6])
}

/// Answers a request, and leaves the return to the drop.
fn echo(chain: impl Chain) {
    let mut chain = ReadableChain::new(chain);
    let request: [u8; 4] = chain.read_obj().unwrap();
    chain.into_writable().unwrap().write_obj(&request).unwrap();
}

/// SPLIT-USED-4, SPLIT-USED-5: the drop returns the chain, once, with what was written.
#[test]
fn dropped_chain_returned_with_its_prefix() {
    let mut rig = Rig::new();
    for round in 1..=10 {
        rig.serve(&message(), |chain| echo(chain)).check(4, &[(0, ECHO)]);
        assert_eq!(rig.notifications.count(), round);
    }
}

/// SPLIT-USED-11: chains of a burst go back at its end, each with its own length.
#[test]
fn chains_of_a_burst_returned_at_its_end() {
    let mut rig = Rig::new();
    let ids: Vec<u16> = (0..3).map(|_| rig.add(&message())).collect();
    let (queue, driver) = (&mut rig.queue, &mut rig.driver);
    let mut burst = queue.burst();
    echo(burst.next_chain().unwrap().unwrap());
    drop(ReadableChain::new(burst.next_chain().unwrap().unwrap()));
    let mut chain = WritableChain::new(burst.next_chain().unwrap().unwrap());
    chain.fill(8, 0).unwrap();
    chain.return_complete().unwrap();
    assert_eq!(driver.reap(), Ok(None));
    burst.finish().unwrap();
    assert_eq!(rig.notifications.count(), 1);
    for (id, len) in ids.into_iter().zip([4, 0, 8]) {
        let answer = rig.reap();
        assert_eq!((answer.id, answer.len), (id, len));
    }
}

/// The chain goes on where it was before it was taken for bytes, and can be kept as a token.
#[test]
fn into_chain_returns_the_chain_as_it_was() {
    let mut rig = Rig::new();
    let id = rig.add(&message());
    let mut bytes = ReadableChain::new(rig.fetch());
    assert_eq!(bytes.id(), id);
    assert_eq!(bytes.skip(9), Ok(4));
    let chain = bytes.into_chain().unwrap();
    assert_eq!(chain.walk().count(), 3);
    let token = chain.into_token();
    assert!(rig.try_reap().is_none());
    rig.queue.complete(token, 8).unwrap();
    assert_eq!(rig.reap().len, 8);
}

/// What was written is its own business again: it goes back as whoever has it says.
#[test]
fn into_chain_of_a_writable_forgets_what_was_written() {
    let mut rig = Rig::new();
    let id = rig.add(&message());
    let mut bytes = WritableChain::new(rig.fetch());
    bytes.write_all(b"abcde").unwrap();
    let chain = bytes.into_chain().unwrap();
    assert_eq!((chain.id(), chain.walk().count()), (id, 3));
    drop(chain);
    rig.reap().check(0, &[(0, b"abcde")]);
}

/// Errors of the usual calls are plain: they can be boxed, and outlive the queue.
#[test]
fn errors_of_the_usual_calls_are_static() {
    type Device = fn(Readable<'_>) -> Result<(), Box<dyn core::error::Error + Send + Sync>>;
    let devices: [(Device, u32); 6] = [
        (|chain| Ok(chain.return_complete()?), 0),
        (|chain| Ok(chain.into_writable()?.return_prefix()?), 0),
        (|chain| Ok(WritableChain::from_readable(chain)?.return_prefix()?), 0),
        (|chain| Ok(written(chain).return_complete()?), 1),
        (|chain| Ok(written(chain).return_written(2)?), 1),
        (
            |chain| {
                let chain = chain.into_chain().unwrap();
                let mut writer = Writer::new(&chain);
                let tail = writer.clone();
                Ok(writer.join(tail)?)
            },
            0,
        ),
    ];
    for (device, len) in devices {
        let mut error = None;
        let answer = Rig::new().serve(&message(), |chain| error = device(ReadableChain::new(chain)).err());
        assert_eq!(answer.len, len, "{}", error.unwrap());
    }
}

/// Writes one byte.
fn written(chain: Readable<'_>) -> Writable<'_> {
    let mut chain = WritableChain::from_incomplete_readable(chain);
    chain.write_all(b"1").unwrap();
    chain
}

/// HOST-13: a chain of a queue that broke meanwhile comes back in the error, and its drop does no harm.
#[test]
fn chain_of_a_broken_queue_refused() {
    type Device = fn(Writable<'_>) -> ReturnError;
    let devices: [Device; 3] = [
        |chain| again(chain.try_return_prefix().unwrap_err()),
        |chain| incomplete(chain.try_return_written(1).unwrap_err()),
        |chain| incomplete(chain.try_return_complete().unwrap_err()),
    ];
    for device in devices {
        // The used ring is in two pieces, of which the second goes away.
        let mut rig = Rig::with_used_ring_in_pieces();
        rig.add(&Message::new(&[], &[3]));
        let mem = rig.mem.clone();
        let lost = rig.driver.areas().used_element(0);
        let mut chain = WritableChain::new(rig.fetch());
        chain.write_all(b"far").unwrap();
        mem.unmap(lost);
        let error = device(chain);
        assert!(matches!(error, ReturnError::Broken(FatalError::Area(AreaError::Translate(_)))), "{error}");
        assert!(rig.try_reap().is_none() && rig.queue.is_broken());
    }
}

/// Returns the chain of `refused` once more.
fn again(refused: Refused<Writable<'_>, ReturnError>) -> ReturnError {
    let Refused { chain, error } = refused;
    assert_eq!((chain.prefix(), chain.written()), (3, 3));
    assert_eq!(chain.return_prefix(), Err(error));
    error
}

/// Returns the chain of `refused`, which is complete, once more.
fn incomplete(refused: Refused<Writable<'_>, IncompleteError>) -> ReturnError {
    match refused {
        Refused { error: IncompleteError::Return(error), chain } => again(Refused { chain, error }),
        Refused { error, .. } => panic!("the chain is complete: {error}"),
    }
}

/// HOST-13: the same, for a chain that is all readable.
#[test]
fn readable_chain_of_a_broken_queue_refused() {
    let mut rig = Rig::with_used_ring_in_pieces();
    rig.add(&Message::new(&[b"x"], &[]));
    let (mem, lost) = (rig.mem.clone(), rig.driver.areas().used_element(0));
    let mut chain = ReadableChain::new(rig.fetch());
    chain.skip(1).unwrap();
    mem.unmap(lost);
    let Refused { chain, error } = chain.try_return_complete().unwrap_err();
    assert!(matches!(error, IncompleteError::Return(ReturnError::Broken(_))), "{error}");
    // It is still the same chain, which was read to its end.
    assert_eq!(chain.remaining().unwrap().bytes, 0);
    assert_eq!(
        chain.into_writable().unwrap().return_prefix(),
        match error {
            IncompleteError::Return(error) => Err(error),
            _ => Ok(()),
        }
    );
}

/// SPLIT-USED-5: chains are returned in the order in which they are finished, by what they are known by.
#[test]
fn chains_finished_in_any_order_keep_their_ids() {
    let mut rig = Rig::new();
    let first = rig.driver.add(&DriverChain::new().readable(b"1").writable(1)).unwrap();
    let second = rig.driver.add(&DriverChain::new().readable(b"2").writable(1)).unwrap();
    let token = rig.fetch().into_token();
    let chain = ReadableChain::new(rig.fetch());
    assert_eq!(chain.id(), second);
    drop(chain);
    rig.queue.complete(token, 0).unwrap();
    let ids: Vec<u16> = rig.driver.reap_all().unwrap().iter().map(|used| used.id).collect();
    assert_eq!(ids, [second, first]);
}
