//! Access rights, as values and as types.

use static_assertions::{assert_impl_all, assert_not_impl_any};
use virtio_mem_traits::{Access, ReadOnly, ReadWrite, Readable, Rights, Writable, WriteOnly};

assert_impl_all!(ReadOnly: Readable);
assert_not_impl_any!(ReadOnly: Writable);
assert_impl_all!(WriteOnly: Writable);
assert_not_impl_any!(WriteOnly: Readable);
assert_impl_all!(ReadWrite: Readable, Writable);

#[test]
fn rights_are_those_of_their_names() {
    assert_eq!(ReadOnly::ACCESS, Access::Read);
    assert_eq!(WriteOnly::ACCESS, Access::Write);
    assert_eq!(ReadWrite::ACCESS, Access::ReadWrite);
}

#[test]
fn allows_any_pair_answers_whether_one_includes_the_other() {
    use Access::{Read, ReadWrite, Write};
    for (allowed, wanted, expected) in [
        (Read, Read, true),
        (Read, Write, false),
        (Read, ReadWrite, false),
        (Write, Read, false),
        (Write, Write, true),
        (Write, ReadWrite, false),
        (ReadWrite, Read, true),
        (ReadWrite, Write, true),
        (ReadWrite, ReadWrite, true),
    ] {
        assert_eq!(allowed.allows(wanted), expected, "{allowed:?} allows {wanted:?}");
    }
}

#[test]
fn access_is_displayed_as_what_is_done() {
    assert_eq!(
        [Access::Read, Access::Write, Access::ReadWrite].map(|access| access.to_string()),
        ["read", "write", "read and write"]
    );
}
