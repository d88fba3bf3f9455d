//! What devices do with what they find.

use loom_models::{Device, answer, request};
use virtio_chain::ReadableChain;
use virtio_queue_core::{Chain, ChainError, Piece};

/// Serves a chain: the request is there as soon as the chain is, and the answer before the driver is told.
pub(crate) fn serve(chain: impl Chain) {
    let mut asked = [0; 4];
    let mut readable = ReadableChain::new(chain);
    assert_eq!(readable.read(&mut asked).unwrap(), 4);
    check_request(asked);
    let mut writable = readable.into_writable().unwrap();
    writable.write_all(&answer(asked)).unwrap();
    writable.return_prefix().unwrap();
}

/// Serves all chains in one run, and returns how many there were.
pub(crate) fn serve_all(queue: &mut Device) -> usize {
    let mem = queue.mem().clone();
    let work = |asked: Option<[u8; 4]>, piece: Piece<'_>| match asked {
        None => Ok::<_, ChainError>(Some(piece.memory.read(0).unwrap())),
        Some(asked) => {
            piece.memory.write(0, &answer(asked)).unwrap();
            Ok(Some(asked))
        }
    };
    let serve = |asked: Result<Option<_>, _>| {
        check_request(asked.unwrap().unwrap());
        4
    };
    queue.serve(8, &mem, None, work, serve).unwrap()
}

fn check_request(asked: [u8; 4]) {
    assert!([0, 1].map(request).contains(&asked), "what the driver wrote is there before the chain: {asked:?}");
}
