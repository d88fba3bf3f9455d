//! Devices with a mistake that the kit must name.

use virtio_fake_driver::hostile::{self, Breach, DeviceResult, HostileQueue, Report, RingFormat};
use virtio_queue_core::{Access, Chain, DriverMem, DriverRange};

use super::devices::answer;

/// Checks that a breach is found in both formats, and that no other kind is.
#[track_caller]
fn check(report: &Report, is_it: impl Fn(&Breach) -> bool) {
    for format in [RingFormat::Split, RingFormat::Packed] {
        assert!(report.findings().any(|finding| finding.format == format && is_it(&finding.breach)), "{report}");
    }
    let others: Vec<_> = report.findings().filter(|finding| !is_it(&finding.breach)).map(ToString::to_string).collect();
    assert_eq!(others, [] as [String; 0]);
}

fn run(serve: impl Fn(&mut HostileQueue) -> DeviceResult) -> Report {
    hostile::run(serve)
}

fn bytes_of(mem: &impl DriverMem, range: DriverRange) -> Option<Vec<u8>> {
    let piece = mem.translate_all(range, Access::Read).ok()?;
    let mut bytes = vec![0; piece.len()];
    mem.before_read(range);
    piece.read_bytes(0, &mut bytes).ok()?;
    Some(bytes)
}

/// It tries a malformed chain again, until it is good.
#[test]
fn unbounded_loop_is_found() {
    let report = run(|queue| {
        while let Some(chain) = queue.next_chain()? {
            while chain.walk().any(|element| element.is_err()) {
                // Perhaps the memory is there by now.
                let _ = chain.mem().translate(DriverRange::EMPTY, Access::Read);
            }
            answer(chain);
        }
        Ok(())
    });
    check(&report, |breach| matches!(breach, Breach::Unbounded { .. }));
}

/// It reads as many bytes as the first byte of the request says.
#[test]
fn trusted_length_is_found() {
    let report = run(|queue| {
        while let Some(chain) = queue.next_chain()? {
            let first = chain.walk().next().and_then(Result::ok);
            if let Some(element) = first.filter(|element| element.access.reads()) {
                let len = bytes_of(chain.mem(), element.range).and_then(|bytes| bytes.first().copied());
                let range = DriverRange::new(element.range.start(), len.unwrap_or(0).into());
                let _ = range.and_then(|range| bytes_of(chain.mem(), range));
            }
        }
        Ok(())
    });
    check(&report, |breach| matches!(breach, Breach::NotLent { access: Access::Read, .. }));
}

/// It trusts the length in its own answer instead of what it wrote.
#[test]
fn trusted_used_length_is_found() {
    let report = run(|queue| {
        while let Some(chain) = queue.next_chain()? {
            let writable = chain.walk().map_while(Result::ok).filter(|element| element.access.writes());
            let len: u64 = writable.map(|element| element.range.len()).sum();
            let _ = chain.return_unchecked(len.try_into().unwrap_or(u32::MAX));
        }
        Ok(())
    });
    check(&report, |breach| matches!(breach, Breach::TooLong { .. }));
}

#[test]
fn missing_header_check_is_found() {
    let report = run(|queue| {
        while let Some(chain) = queue.next_chain()? {
            let header = chain.walk().next().and_then(Result::ok).filter(|element| element.access.reads());
            let bytes = header.and_then(|element| bytes_of(chain.mem(), element.range)).unwrap_or_default();
            let _ = u64::from_le_bytes(bytes[..8].try_into().unwrap());
        }
        Ok(())
    });
    let is_it = |message: &str| message.contains("planted.rs:") && message.contains(": range end index 8");
    check(&report, |breach| matches!(breach, Breach::Panicked { message } if is_it(message)));
}

/// It writes a status byte behind the last writable byte.
#[test]
fn write_beyond_the_writable_part_is_found() {
    let report = run(|queue| {
        while let Some(chain) = queue.next_chain()? {
            let element = chain.walk().map_while(Result::ok).filter(|element| element.access.writes()).last();
            if let Some(element) = element {
                let status = element.range.after(element.range.len()).start();
                let status = DriverRange::new(status, 1).unwrap();
                if let Ok(piece) = chain.mem().translate_all(status, Access::Write) {
                    piece.write_bytes(0, &[7]).unwrap();
                    chain.mem().written(status);
                }
            }
        }
        Ok(())
    });
    check(&report, |breach| matches!(breach, Breach::NotLent { access: Access::Write, .. }));
}

#[test]
fn unreported_write_is_found() {
    let report = run(|queue| {
        while let Some(chain) = queue.next_chain()? {
            let element = chain.walk().map_while(Result::ok).find(|element| element.access.writes());
            let piece = element.and_then(|element| chain.mem().translate(element.range, Access::Write).ok());
            piece.map(|piece| piece.fill(0, piece.len(), 0));
        }
        Ok(())
    });
    check(&report, |breach| matches!(breach, Breach::Unreported { .. }));
}

/// It keeps the chains that are malformed, and forgets them.
#[test]
fn leaked_chain_is_found() {
    let report = run(|queue| {
        while let Some(chain) = queue.next_chain()? {
            if chain.walk().any(|element| element.is_err()) {
                let _ = chain.into_token();
            } else {
                answer(chain);
            }
        }
        Ok(())
    });
    check(&report, |breach| matches!(breach, Breach::Forgotten { .. }));
}

#[test]
fn device_that_stops_after_an_error_is_found() {
    let report = hostile::Kit::new().run_device(|setup| {
        let (mut queue, mut is_stopped) = (setup.queue()?, false);
        Ok(move || {
            while !is_stopped {
                let Some(chain) = queue.next_chain()? else { break };
                is_stopped = chain.walk().any(|element| element.is_err());
            }
            Ok(())
        })
    });
    check(&report, |breach| matches!(breach, Breach::Forgotten { .. } | Breach::Stuck));
}

#[test]
fn device_that_refuses_everything_is_found() {
    let report = run(|_| Err("not today".into()));
    assert!(!report.passed());
    let honest = report.rows().iter().find(|row| row.id == "honest").unwrap();
    assert!(matches!(&honest.findings[0].breach, Breach::Failed { error } if error == "not today"), "{report}");
}

/// A kick after a fatal error reads the ring again.
#[test]
fn access_after_a_fatal_error_is_found() {
    let report = hostile::Kit::new().run_device(|setup| {
        let (mut queue, mut is_broken) = (setup.queue()?, false);
        Ok(move || {
            if is_broken {
                let index = DriverRange::new(setup.driver_area, 4).ok_or("too long")?;
                let _ = bytes_of(&setup.mem, index);
            }
            let served = super::devices::serve(&mut queue);
            is_broken |= served.is_err();
            if is_broken { Err("the queue is broken".into()) } else { Ok(()) }
        })
    });
    check(&report, |breach| matches!(breach, Breach::AfterFatal { .. }));
}
