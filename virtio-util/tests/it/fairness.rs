//! Many queues in one thread, of which one is always full.

use virtio_fake_driver::DriverChain;

use crate::rig::{FORMATS, Rig, Shared, echo};

const QUEUES: usize = 64;

/// The most chains of one queue in a turn.
const LIMIT: usize = 4;

/// Serves at most so many chains, and returns the number of chains that it served.
fn turn(queue: &Shared) -> usize {
    queue.burst(|mut burst| {
        let mut served = 0;
        while served < LIMIT {
            let Some(chain) = burst.next_chain().unwrap() else { break };
            let written = echo(&chain);
            chain.return_written(written).unwrap();
            served += 1;
        }
        served
    })
}

/// Takes everything back, and makes as many chains available as there is room for.
fn fill(rig: &mut Rig) {
    rig.used();
    while rig.driver.add(&DriverChain::new().readable([1]).writable(8)).is_ok() {}
}

/// INV-2: a queue that is always full has its turn as any other. So each chain of its neighbours is served after a
/// number of chains that no driver can raise.
#[test]
fn full_queue_does_not_starve_its_neighbours() {
    for format in FORMATS {
        let mut rigs: Vec<_> = (0..QUEUES).map(|_| Rig::new(format)).collect();
        let busy = 17;
        // Of each neighbour, the number of chains that were served anywhere since it made its own available.
        let mut waited = [0; QUEUES];
        let (mut total, mut answered) = (0, 0);
        for round in 0..8 {
            for (place, rig) in rigs.iter_mut().enumerate() {
                if place != busy && (place + round) % 3 == 0 {
                    rig.offer(1);
                    waited[place] = 0;
                }
            }
            for place in 0..QUEUES {
                if place == busy {
                    fill(&mut rigs[busy]);
                }
                let served = turn(&rigs[place].queue);
                total += served;
                waited.iter_mut().for_each(|chains| *chains += served);
                if place == busy {
                    assert_eq!(served, LIMIT, "there were more");
                } else if (place + round) % 3 == 0 {
                    // Its own, one for each neighbour before it, and the turn of the full queue.
                    assert!(served == 1 && waited[place] <= QUEUES - 1 + LIMIT, "queue {place} has waited too long");
                    assert_eq!(rigs[place].used(), [(1, 1)]);
                    answered += 1;
                }
            }
        }
        assert_eq!((answered, total - answered), (8 * (QUEUES - 1) / 3, 8 * LIMIT));
    }
}
