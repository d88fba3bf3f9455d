//! Runs all attacks against a device.

use alloc::boxed::Box;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::cell::RefCell;

use super::attack::{Attack, Outcome, Reaction, Running, Scene, Start};
use super::case::{Case, Runs};
use super::cases::cases;
use super::report::{Report, RingFormat};
use super::setup::{DeviceResult, HostileQueue, Setup};
use crate::chain::DriverChain;
use crate::features::{EVENT_IDX, IN_ORDER, INDIRECT_DESC, RING_PACKED, VERSION_1};

/// Attacks on a device, with what must be known of the device.
///
/// The defaults suit a device on an [`AnyQueue`](virtio_queue_core::AnyQueue): the features INDIRECT_DESC, EVENT_IDX
/// and RING_PACKED, and a request of 32 readable and 64 writable bytes. A device with requests of its own does little
/// with such a request, so give it a good [`request`](Self::request).
///
/// ```
/// use virtio_fake_driver::DriverChain;
/// use virtio_fake_driver::hostile::{HostileQueue, Kit};
/// use virtio_queue_core::FatalError;
///
/// /// The device under test.
/// fn serve(queue: &mut HostileQueue) -> Result<(), FatalError> {
///     while let Some(chain) = queue.next_chain()? {
///         drop(chain); // A chain that is dropped is used.
///     }
///     Ok(())
/// }
///
/// let kit = Kit::new().request(DriverChain::new().readable(b"a header").writable(16)).only("HOST-3");
/// let report = kit.run(|queue| Ok(serve(queue)?));
/// assert!(report.passed(), "{report}");
/// ```
#[derive(Clone, Debug)]
pub struct Kit {
    requests: Vec<DriverChain>,
    offered: u64,
    size: u16,
    limit: Option<u64>,
    only: Vec<String>,
    only_variant: Option<usize>,
    formats: [bool; 2],
    keeps_chains: bool,
}

impl Default for Kit {
    fn default() -> Self {
        Self::new()
    }
}

/// The options.
impl Kit {
    /// Returns all attacks, with the defaults.
    #[must_use]
    pub const fn new() -> Self {
        Self {
            requests: Vec::new(),
            offered: VERSION_1 | INDIRECT_DESC | EVENT_IDX | RING_PACKED,
            size: 8,
            limit: None,
            only: Vec::new(),
            only_variant: None,
            formats: [true, true],
            keeps_chains: false,
        }
    }

    /// Adds a good request of the device type. The attacks are variations of each request.
    ///
    /// The request has at most four elements and 2048 bytes. The attacks cut it, and ignore places and tables.
    ///
    /// # Panics
    ///
    /// If the request is too large.
    #[must_use]
    pub fn request(mut self, request: DriverChain) -> Self {
        let bytes: u64 = request.parts().iter().map(|part| part.len()).sum();
        let elements = request.elements();
        assert!((1..=4).contains(&elements), "the request has {elements} elements: it must have 1 to 4");
        assert!(bytes <= 2048, "the request has {bytes} bytes: it must have at most 2048");
        self.requests.push(request);
        self
    }

    /// Sets the features that the device offers. VERSION_1 is always one of them.
    ///
    /// Without RING_PACKED there are only split rings.
    #[must_use]
    pub const fn offers(mut self, features: u64) -> Self {
        self.offered = features | VERSION_1;
        self
    }

    /// Sets the size of the split rings. Packed rings have one descriptor less, which is no power of two.
    ///
    /// # Panics
    ///
    /// If the size is not 8, 16, 32 or 64.
    #[must_use]
    pub fn size(mut self, size: u16) -> Self {
        assert!([8, 16, 32, 64].contains(&size), "the size is {size}: it must be 8, 16, 32 or 64");
        self.size = size;
        self
    }

    /// Leaves out packed rings.
    #[must_use]
    pub const fn only_split(mut self) -> Self {
        self.formats = [true, false];
        self
    }

    /// Leaves out split rings.
    #[must_use]
    pub const fn only_packed(mut self) -> Self {
        self.formats = [false, true];
        self
    }

    /// Leaves out all rules but this one. Further calls add further rules.
    ///
    /// # Panics
    ///
    /// If no violation of a rule has this id. [`ids`](super::ids) returns all ids.
    #[must_use]
    pub fn only(mut self, id: &str) -> Self {
        let is_known = cases().any(|case| [false, true].iter().any(|packed| case.id(*packed) == Some(id)));
        assert!(is_known, "there is no attack {id}: the id must be one of `hostile::ids`");
        self.only.push(id.to_string());
        self
    }

    /// Leaves out all variants of the attacks but this one, to run a device in a debugger.
    ///
    /// A [`Finding`](super::Finding) has the number of its variant.
    ///
    /// ```
    /// use virtio_fake_driver::hostile::Kit;
    ///
    /// let kit = Kit::new().only_split().only("HOST-20").only_variant(17);
    /// # assert!(kit.run(|queue| Ok(while queue.next_chain()?.is_some() {})).passed());
    /// ```
    #[must_use]
    pub const fn only_variant(mut self, variant: usize) -> Self {
        self.only_variant = Some(variant);
        self
    }

    /// Sets the largest number of accesses and translations of one call. The default grows with the queue size and the
    /// bytes of a request.
    #[must_use]
    pub const fn work_limit(mut self, limit: u64) -> Self {
        self.limit = Some(limit);
        self
    }

    /// Lets the device keep chains as long as it likes, as a network device does until a packet arrives.
    ///
    /// Then a chain that the device has lost is not noticed.
    #[must_use]
    pub const fn keeps_chains(mut self) -> Self {
        self.keeps_chains = true;
        self
    }
}

/// The attacks.
impl Kit {
    /// Runs the attacks against a device that serves an [`AnyQueue`](virtio_queue_core::AnyQueue).
    ///
    /// `serve` is called on each kick, with a new queue for each attack. It must return an error if the queue is
    /// broken, and only then. A malformed chain is no such error. It is called again after the error, and must not
    /// access the rings any more.
    #[must_use]
    pub fn run(&self, serve: impl FnMut(&mut HostileQueue) -> DeviceResult) -> Report {
        let serve = Rc::new(RefCell::new(serve));
        self.run_device(move |setup| {
            let (mut queue, serve) = (setup.queue()?, Rc::clone(&serve));
            Ok(move || (serve.borrow_mut())(&mut queue))
        })
    }

    /// Runs the attacks against any device.
    ///
    /// `start` is called once for each attack. It must return an error if it refuses the configuration. Otherwise, it
    /// returns the running device as a closure, which is called on each kick. The closure must return an error if the
    /// queue is broken, and only then. It is called again after that, and must not access the rings any more. When it
    /// returns without an error, the device must have used the chains, unless the kit [knows](Self::keeps_chains) that
    /// it keeps them. The device is dropped at the end of the attack.
    ///
    /// [`Setup`] has an example.
    #[must_use]
    pub fn run_device<'d, D>(&self, mut start: impl FnMut(Setup) -> DeviceResult<D> + 'd) -> Report
    where
        D: FnMut() -> DeviceResult + 'd,
    {
        let mut start = move |setup| start(setup).map(|device| Box::new(device) as Running<'d>);
        let mut report = Report::default();
        let default = [DriverChain::new().readable([0x5a; 32]).writable(64)];
        let requests = if self.requests.is_empty() { &default[..] } else { &self.requests };
        for is_packed in [false, true] {
            for request in requests.iter().filter(|_| self.has_format(is_packed)) {
                self.run_format(is_packed, request, &mut start, &mut report);
            }
        }
        report
    }

    fn has_format(&self, is_packed: bool) -> bool {
        let [split, packed] = self.formats;
        if is_packed { packed && self.offered & RING_PACKED != 0 } else { split }
    }

    /// Returns the sets of features that drivers accept.
    fn features(&self, is_packed: bool) -> Vec<u64> {
        let format = VERSION_1 | if is_packed { RING_PACKED } else { 0 };
        let all = format | self.offered & (INDIRECT_DESC | EVENT_IDX);
        let mut sets = vec![format, all, all | self.offered & IN_ORDER];
        sets.dedup();
        sets
    }

    fn run_format(&self, is_packed: bool, request: &DriverChain, start: &mut Start<'_>, report: &mut Report) {
        let sets = self.features(is_packed);
        let all = sets.iter().rev().find(|features| **features & IN_ORDER == 0).copied();
        for features in sets {
            let scene = Scene {
                size: if is_packed { self.size - 1 } else { self.size },
                offered: self.offered,
                features,
                request,
                reports: true,
                limit: self.limit,
                keeps_chains: self.keeps_chains,
            };
            let counts = Counts::measure(scene, start);
            for case in cases().filter(|case| case.fits(features)) {
                let Some(id) = case.id(is_packed).filter(|id| self.has_id(id)) else { continue };
                let is_long = !matches!(case.runs, Runs::Times(_));
                if is_long && all != Some(features) {
                    continue;
                }
                self.run_case(id, case, scene, &counts, start, report);
            }
        }
    }

    fn has_id(&self, id: &str) -> bool {
        self.only.is_empty() || self.only.iter().any(|only| only == id)
    }

    fn has_variant(&self, variant: usize) -> bool {
        self.only_variant.is_none_or(|only| only == variant)
    }

    /// Runs all variants. A device that passes them must also pass without reports, where queues take other paths.
    fn run_case(
        &self,
        id: &'static str,
        case: &'static Case,
        scene: Scene<'_>,
        counts: &Counts,
        start: &mut Start<'_>,
        report: &mut Report,
    ) {
        let format = if scene.features & RING_PACKED == 0 { RingFormat::Split } else { RingFormat::Packed };
        let row = report.row_mut(id, format);
        for variant in (0..counts.of(case.runs)).filter(|variant| self.has_variant(*variant)) {
            let outcome = attack(case, variant, scene, start);
            let is_good = outcome.breaches.is_empty();
            row.add(case.name, variant, scene.features, outcome);
            if is_good && matches!(case.runs, Runs::Times(_)) {
                let outcome = attack(case, variant, Scene { reports: false, ..scene }, start);
                row.add(case.name, variant, scene.features, outcome);
            }
        }
    }
}

fn attack(case: &Case, variant: usize, scene: Scene<'_>, start: &mut Start<'_>) -> Outcome {
    let mut attack = Attack::new(scene, start);
    (case.run)(&mut attack, variant);
    attack.finish()
}

/// The work of a device for a good request.
struct Counts {
    accesses: usize,
    translations: usize,
    bytes: usize,
}

impl Counts {
    fn measure(scene: Scene<'_>, start: &mut Start<'_>) -> Self {
        let (work, used, outcome) = Attack::new(scene, start).measure();
        let count = |number: u64| usize::try_from(number).unwrap_or(0).min(200);
        if outcome.reaction != Reaction::Served || !outcome.breaches.is_empty() {
            // The row of good requests has the reason. Nothing depends on the number of accesses of such a device.
            return Self { accesses: 1, translations: 1, bytes: 1 };
        }
        let bytes = usize::try_from(used.len()).unwrap_or(0);
        Self { accesses: count(work.total()), translations: count(work.translations) + 1, bytes }
    }

    const fn of(&self, runs: Runs) -> usize {
        match runs {
            Runs::Times(times) => times,
            Runs::Accesses(ways) => ways * self.accesses,
            Runs::Translations(ways) => ways * self.translations,
            Runs::Bytes => self.bytes,
        }
    }
}
