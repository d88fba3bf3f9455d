//! Devices of all kinds that keep all promises.

use virtio_fake_driver::hostile::{self, DeviceResult, HostileQueue, Kit, Report, Setup};
use virtio_queue_core::{Access, AnyQueue, Chain, DriverMem, DriverNotify, FatalError, StableMem};
use virtio_util::SharedQueue;

/// Reads all readable bytes, and writes to all writable ones, as far as the chain is well formed.
pub(super) fn answer(chain: impl Chain) {
    let (mut place, mut written, mut sum) = (chain.start(), 0_u64, 0_u64);
    while let Some(Ok(element)) = chain.next_element(&mut place) {
        let mut rest = element.range;
        while !rest.is_empty() {
            let Ok(piece) = chain.mem().translate(rest, element.access) else { break };
            let part = rest.prefix(piece.len() as u64);
            if element.access == Access::Read {
                let mut bytes = vec![0; piece.len()];
                chain.mem().before_read(part);
                piece.read_bytes(0, &mut bytes).unwrap();
                sum += bytes.len() as u64;
            } else {
                // It is no zero, which unused memory has.
                piece.fill(0, piece.len(), 0x33).unwrap();
                // A report that nobody wants would hide whether the kit needs it.
                if chain.mem().reports(Access::Write) {
                    chain.mem().written(part);
                }
                written += piece.len() as u64;
            }
            rest = rest.after(piece.len() as u64);
        }
        if !rest.is_empty() {
            break;
        }
    }
    assert!(sum <= 1 << 32);
    let _ = chain.return_unchecked(written.try_into().unwrap());
}

pub(super) fn serve<M: StableMem>(queue: &mut AnyQueue<M, impl DriverNotify>) -> Result<(), FatalError> {
    while let Some(chain) = queue.next_chain()? {
        answer(chain);
    }
    Ok(())
}

#[track_caller]
pub(super) fn check(report: &Report) {
    assert!(report.passed(), "{report}");
}

/// FD-13, FD-15
#[test]
fn device_at_once_passes() {
    let report = hostile::run(|queue| Ok(serve(queue)?));
    println!("{report}");
    check(&report);
}

#[test]
fn device_with_a_burst_passes() {
    let report = Kit::new().run(|queue| {
        let mut burst = queue.burst();
        while let Some(chain) = burst.next_chain()? {
            answer(chain);
        }
        Ok(burst.finish()?)
    });
    check(&report);
}

/// Tokens that are completed at the end, the last one first.
#[test]
fn device_with_tokens_passes() {
    let report = Kit::new().size(16).run(|queue| {
        let mut tokens = Vec::new();
        while let Some(chain) = queue.next_chain()? {
            tokens.push(chain.into_token());
        }
        for token in tokens.into_iter().rev() {
            let _ = queue.complete(token, 0);
        }
        Ok(())
    });
    check(&report);
}

#[test]
fn device_on_a_fold_passes() {
    let report = Kit::new().run(|queue: &mut HostileQueue| {
        let mem = std::sync::Arc::clone(queue.mem());
        let zero = |written: u32, piece: virtio_queue_core::Piece<'_>| {
            if piece.memory.access().writes() {
                let len = piece.memory.len();
                let _ = piece.memory.fill(0, len, 0);
                mem.written(piece.range);
                return Ok::<_, virtio_queue_core::ChainError>(written + u32::try_from(len).unwrap());
            }
            Ok(written)
        };
        queue.serve(64, &*mem, 0, zero, |written| written.unwrap_or(0))?;
        Ok(())
    });
    check(&report);
}

/// Owned chains, which other threads return.
#[test]
fn device_with_owned_chains_passes() {
    let report = Kit::new().run_device(|setup: Setup| {
        let queue = SharedQueue::new(setup.queue()?);
        Ok(move || -> DeviceResult {
            let mut chains = Vec::new();
            while let Some(chain) = queue.next_chain()? {
                chains.push(chain);
            }
            std::thread::scope(|scope| {
                for chain in chains {
                    scope.spawn(|| answer(chain));
                }
            });
            Ok(())
        })
    });
    check(&report);
}

#[test]
fn unused_walk_of_a_chain_is_bounded() {
    let report = hostile::run(|queue| {
        while let Some(chain) = queue.next_chain()? {
            let _ = chain.walk().count();
        }
        Ok(())
    });
    check(&report);
}
