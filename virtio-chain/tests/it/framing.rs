//! However the driver has cut a message, the device sees the same (VIRTIO 1.4 §2.7.4.1 "Device Requirements: Message
//! Framing").

use rand::rngs::Xoshiro256PlusPlus;
use rand::{Rng, RngExt, SeedableRng};
use virtio_chain::{ReadableChain, Reader, Writer};

use super::model::{ModelReader, ModelWriter};
use super::rig::{Message, Rig};
use super::script::{ReadOp, Real, Script, WriteOp};

/// Something that a device does with a message: once as a model, once with each of many cuts.
struct Case {
    input: Vec<u8>,
    room: usize,
    reading: Script<ReadOp>,
    writing: Script<WriteOp>,
}

impl Case {
    fn random(rng: &mut Xoshiro256PlusPlus) -> Self {
        let mut input = vec![0; rng.random_range(0..=60)];
        rng.fill_bytes(&mut input);
        let room = rng.random_range(0..=60);
        let reading = Script::random(rng, input.len(), 3, ReadOp::random);
        let writing = Script::random(rng, room, 3, WriteOp::random);
        Self { input, room, reading, writing }
    }

    /// Runs the case on `message`, and compares all that the device and the driver see with the model.
    #[track_caller]
    fn check(&self, message: &Message, pieces: Option<u64>, context: &str) {
        let mut rig = Rig::new();
        rig.add(message);
        if let Some(seed) = pieces {
            rig.shatter(seed, 4);
        }
        let (mut seen, mem) = (Vec::new(), rig.mem.clone());
        mem.start_log();
        let chain = rig.fetch();
        self.reading.run(&mut Real::reader(&chain), &mut seen);
        let mut output = Real::writer(&chain);
        self.writing.run(&mut output, &mut seen);
        let written = output.prefix();
        chain.return_written(written).unwrap();
        let log = mem.take_log();

        let mut expected = Vec::new();
        let (mut reader, mut writer) = (ModelReader::new(&self.input), ModelWriter::new(self.room));
        self.reading.run(&mut reader, &mut expected);
        self.writing.run(&mut writer, &mut expected);
        assert_eq!(seen, expected, "{context}: {message:?}\n{:?}\n{:?}", self.reading, self.writing);

        let bytes = writer.bytes.borrow();
        assert_eq!(rig.last_placed().reads(&log), *reader.reads.borrow(), "{context}");
        assert!(rig.last_placed().writes(&log).iter().eq(bytes.iter().map(|(_, count)| count)), "{context}");
        let answer = rig.reap();
        assert_eq!(answer.len, writer.prefix(), "{context}");
        let after = answer.before.iter().zip(&*bytes).map(|(before, (byte, _))| byte.unwrap_or(*before));
        assert!(answer.bytes.iter().copied().eq(after), "{context}");
    }
}

/// Cuts `len` into the lengths of elements: `shape` is one of four kinds of cuts.
fn cut(rng: &mut Xoshiro256PlusPlus, len: usize, shape: usize) -> Vec<usize> {
    let mut rest = len;
    let mut cut = Vec::new();
    while rest > 0 {
        let part = match shape {
            0 => rest,
            1 => 1,
            2 => rng.random_range(1..=rest),
            _ => rng.random_range(0..=rest.min(5)),
        };
        cut.push(part);
        rest -= part;
    }
    // At the end too there may be an element without bytes, or nothing but that.
    if shape == 3 {
        cut.push(0);
    }
    cut
}

/// Returns `input` and room for `room` bytes, cut in one of four ways, with descriptors in one of three places.
fn message(rng: &mut Xoshiro256PlusPlus, input: &[u8], room: usize, shape: usize, place: usize) -> Message {
    let mut rest = input;
    let mut readable = Vec::new();
    for len in cut(rng, input.len(), shape) {
        let (part, after) = rest.split_at(len);
        readable.push(part.to_vec());
        rest = after;
    }
    let mut writable = cut(rng, room, shape);
    if readable.is_empty() && writable.is_empty() {
        writable.push(0);
    }
    let elements = readable.len() + writable.len();
    let direct = [None, Some(0), Some(rng.random_range(0..=elements))][place];
    Message { readable, writable, direct }
}

/// FRAME-1, FRAME-4, HOST-14, HOST-32, SPLIT-USED-4, SPLIT-DESC-1, SPLIT-DESC-2: any script of a device on any cut, in
/// memory in one piece or in many, sees and does the same as on an array.
#[test]
fn message_in_any_cut_and_any_pieces_is_the_same() {
    for seed in 0..150 {
        let mut rng = Xoshiro256PlusPlus::seed_from_u64(seed);
        let case = Case::random(&mut rng);
        for (shape, place) in (0..4).flat_map(|shape| (0..3).map(move |place| (shape, place))) {
            let message = message(&mut rng, &case.input, case.room, shape, place);
            let pieces = rng.random::<bool>().then_some(seed);
            case.check(&message, pieces, &format!("seed {seed}, shape {shape}, place {place}, pieces {pieces:?}"));
        }
    }
}

/// FRAME-5: a number in eight elements of one byte each is read and written whole.
#[test]
fn scalar_across_one_byte_elements_is_whole() {
    let number = 0x0123_4567_89ab_cdef_u64;
    let bytes = number.to_le_bytes();
    let parts: Vec<&[u8]> = bytes.chunks(1).collect();
    for direct in [None, Some(0), Some(5)] {
        let message = Message { direct, ..Message::new(&parts, &[1; 8]) };
        let answer = Rig::new().serve(&message, |chain| {
            let mut chain = ReadableChain::new(chain);
            assert_eq!(chain.read_obj(), Ok(bytes));
            let mut chain = chain.into_writable().unwrap();
            chain.write_obj(&number.to_be_bytes()).unwrap();
            chain.return_complete().unwrap();
        });
        answer.check(8, &[(0, &number.to_be_bytes())]);
    }
}

/// FRAME-1: a request of header and payload, an answer of payload and status, each cut in every two places.
#[test]
fn request_in_every_cut_is_served_the_same() {
    const HEADER: usize = 4;
    let input = *b"headpayload";
    for (first, second) in (0..=11).flat_map(|first| (first..=11).map(move |second| (first, second))) {
        let (a, b, c) = (&input[..first], &input[first..second], &input[second..]);
        for (from, to) in (0..=8).flat_map(|from| (from..=8).map(move |to| (from, to))) {
            let message = Message::new(&[a, b, c], &[from, to - from, 8 - to]);
            let answer = Rig::new().serve(&message, |chain| {
                let mut header = Reader::new(&chain);
                let mut payload = header.split_at(HEADER as u64).unwrap();
                let mut buf = [0; 64];
                assert_eq!(header.read(&mut buf), Ok(4));
                assert_eq!(buf[..4], *b"head");
                assert_eq!(payload.remaining().unwrap().bytes, 7);
                assert_eq!(payload.read(&mut buf), Ok(7));
                assert_eq!(buf[..7], *b"payload");

                let mut data = Writer::new(&chain);
                let len = data.remaining().unwrap().bytes;
                let mut status = data.split_at(len - 1).unwrap();
                assert_eq!(data.write(b"0123456789"), Ok(7));
                status.write_obj(&0xff_u8).unwrap();
                data.join(status).unwrap();
                let written = data.prefix();
                chain.return_written(written).unwrap();
            });
            answer.check(8, &[(0, b"0123456\xff")]);
        }
    }
}
