//! The plan of a chain.

use virtio_fake_driver::DriverChain;

#[test]
fn cut_keeps_the_bytes() {
    for cut in [&[][..], &[3], &[0, 3, 0], &[1, 1, 1], &[6], &[6, 0], &[2, 0, 0, 4]] {
        let chain = DriverChain::new().readable_cut(b"abcdef", cut);
        assert_eq!(chain.readable_bytes(), b"abcdef", "{cut:?}");
        let rest = usize::from(cut.iter().sum::<usize>() != 6);
        assert_eq!(chain.elements(), cut.len() + rest, "{cut:?}");

        let cut: Vec<u32> = cut.iter().map(|len| u32::try_from(*len).unwrap()).collect();
        let chain = DriverChain::new().writable_cut(6, &cut);
        assert_eq!(chain.writable_len(), 6, "{cut:?}");
        assert_eq!(chain.elements(), cut.len() + rest, "{cut:?}");
    }
}

#[test]
fn cut_is_as_if_each_element_was_added_by_itself() {
    let cut = DriverChain::new().readable_cut(b"abc", &[1, 0]).writable_cut(7, &[3]);
    let single = DriverChain::new().readable(b"a").readable(b"").readable(b"bc").writable(3).writable(4);
    assert_eq!(cut, single);
}

#[test]
fn indirect_table_takes_one_descriptor_for_all_elements_in_it() {
    let chain = DriverChain::new().readable(b"a").writable(1).writable(1);
    assert_eq!(chain.descriptors(), 3);
    assert_eq!(chain.clone().indirect().descriptors(), 1);
    assert_eq!(chain.clone().indirect_after(1).descriptors(), 2);
    assert_eq!(chain.clone().indirect_after(2).descriptors(), 3);
    assert_eq!(chain.clone().indirect_after(3).descriptors(), 3);
    assert_eq!(chain.indirect_after(9).descriptors(), 3);
}
