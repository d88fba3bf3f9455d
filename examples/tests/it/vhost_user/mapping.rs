//! How memory is mapped.

use super::back_end::BackEnd;
use super::front_end::{Answer, FEATURES, FrontEnd, Region, memory_file};

const PAGE: u64 = 0x1000;

/// Shares a region, and returns how it is mapped: its bytes, and the flags as the system names them.
#[track_caller]
fn mapped(region: Region) -> (u64, String) {
    let back_end = BackEnd::start(&["--null", "4096"]);
    let mut front_end = FrontEnd::agreed(back_end.socket(), FEATURES);
    let file = memory_file(region.offset + region.size);
    assert_eq!(front_end.add_memory(region, &file), Answer::Yes);
    let mut mapped = back_end.mapped();
    assert_eq!(mapped.len(), 1);
    drop(front_end);
    back_end.end();
    mapped.remove(0)
}

#[test]
fn no_more_is_mapped_than_the_pages_of_a_region() {
    let table = [
        (0, PAGE, PAGE),
        (7 * PAGE, 2 * PAGE, 2 * PAGE),
        (1 << 40, PAGE, PAGE),
        (PAGE + 8, PAGE, 2 * PAGE),
        (PAGE - 8, 16, 2 * PAGE),
        (0x10, 0x20, PAGE),
    ];
    for (offset, size, expected) in table {
        let (bytes, _) = mapped(Region { guest: 0x1_0000, size, user: 0x10_0000, offset });
        assert_eq!(bytes, expected, "{size:#x} at {offset:#x}");
    }
}

#[test]
fn memory_is_in_no_core_dump_and_nothing_is_reserved_for_it() {
    let (_, flags) = mapped(Region { guest: 0, size: PAGE, user: 0, offset: 0 });
    for (flag, meaning) in [("dd", "not dumped"), ("nr", "nothing reserved"), ("sh", "shared"), ("wr", "writable")] {
        assert!(flags.contains(&format!(" {flag} ")), "{meaning}: {flags}");
    }
}
