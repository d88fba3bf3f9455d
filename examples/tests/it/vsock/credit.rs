//! Counts of bytes.

use virtio_examples::vsock::{BUF_ALLOC, Backlog, BeyondCredit, Credit, ReceiveCredit, SendCredit};

/// What the guest has said: `buf_alloc`, `fwd_cnt`.
type Said = &'static [(u32, u32)];

/// What the guest says, after so many bytes were sent to it, and how many bytes it can take then.
#[test]
fn guest_can_say_anything() {
    let table: &[(u32, Said, u32)] = &[
        (0, &[(0, 0)], 0),
        (0, &[(100, 0)], 100),
        (60, &[(100, 0)], 40),
        (60, &[(100, 0), (100, 50)], 90),
        // It has passed on more than it got.
        (60, &[(100, 61)], 40),
        (60, &[(100, u32::MAX)], 40),
        (0, &[(100, 1)], 100),
        // Its count goes back.
        (60, &[(100, 50), (100, 49)], 90),
        (60, &[(100, 60), (100, 0)], 100),
        // Its buffer becomes smaller than what is on the way, and larger again.
        (60, &[(59, 0)], 0),
        (60, &[(0, 0)], 0),
        (60, &[(0, 60)], 0),
        (60, &[(0, 0), (61, 0)], 1),
        (60, &[(u32::MAX, 60)], u32::MAX),
    ];
    for (sent, said, available) in table {
        let mut credit = SendCredit::default();
        credit.sent(*sent);
        for (buf_alloc, fwd_cnt) in *said {
            credit.update(Credit { buf_alloc: *buf_alloc, fwd_cnt: *fwd_cnt });
        }
        assert_eq!(credit.available(), *available, "{sent} {said:?}");
    }
}

#[test]
fn counts_begin_again_after_the_last_one() {
    let (mut send, mut receive) = (SendCredit::default(), ReceiveCredit::default());
    let step = BUF_ALLOC - 1;
    for round in 1..=u32::MAX / step + 2 {
        let count = step.wrapping_mul(round);
        send.sent(step);
        send.update(Credit { buf_alloc: BUF_ALLOC, fwd_cnt: count });
        assert_eq!(send.available(), BUF_ALLOC);
        receive.receive(step).unwrap();
        assert_eq!(receive.receive(2), Err(BeyondCredit { len: 2, room: 1 }));
        receive.forward(step);
        assert_eq!((receive.kept(), receive.untold(), receive.credit().fwd_cnt), (0, step, count));
        receive.told();
    }
}

#[test]
fn no_more_is_passed_on_than_was_kept() {
    let mut credit = ReceiveCredit::default();
    credit.receive(10).unwrap();
    credit.forward(11);
    assert_eq!((credit.kept(), credit.credit().fwd_cnt), (0, 10));
}

#[test]
fn backlog_keeps_bytes_in_their_order_around_its_end() {
    let (mut backlog, mut next, mut expected) = (Backlog::default(), 0_u8, 0_u8);
    let size = BUF_ALLOC as usize;
    for (put, take) in [(size, 1000), (600, size / 2), (size / 2 + 400, size), (7, 3), (9, 13)] {
        let mut left = put;
        while left > 0 {
            let room = backlog.room();
            let len = room.len().min(left);
            assert!(len > 0);
            room[..len].iter_mut().for_each(|byte| {
                *byte = next;
                next = next.wrapping_mul(5).wrapping_add(1);
            });
            backlog.put(len);
            left -= len;
        }
        let mut left = take;
        while left > 0 {
            let front = backlog.front();
            let len = front.len().min(left);
            assert!(len > 0);
            for byte in &front[..len] {
                assert_eq!(*byte, expected);
                expected = expected.wrapping_mul(5).wrapping_add(1);
            }
            backlog.take(len);
            left -= len;
        }
    }
    assert!(backlog.is_empty() && backlog.front().is_empty());
}

#[test]
fn backlog_that_is_full_has_no_room() {
    let mut backlog = Backlog::default();
    backlog.put(BUF_ALLOC as usize);
    assert!(backlog.room().is_empty());
    backlog.take(1);
    assert_eq!(backlog.room().len(), 1);
    backlog.put(5);
    assert_eq!(backlog.len(), BUF_ALLOC as usize);
}
