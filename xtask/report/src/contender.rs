//! Who is measured: ours, what could be used instead, and what cannot be beaten.

use plotters::style::RGBColor;

/// How a contender is drawn, which is the same in every chart.
#[derive(Debug, Clone, Copy)]
pub struct Style {
    pub colour: RGBColor,
    pub marker: Marker,
    pub line: Line,
}

/// Circles are split virtqueues and squares packed ones, filled if they are ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Marker {
    Circle,
    Square,
    OpenCircle,
    OpenSquare,
    Triangle,
    Cross,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Line {
    Solid,
    Dashed,
}

/// What is published elsewhere for the same purpose.
pub const PEER: &str = "virtio-queue";

/// Whole devices of ours, and what else serves the same drivers.
const DEVICES: [(&str, &str); 7] = [
    ("vhost-user-net", "net_vhost"),
    ("vhost-user-net TAP", TAP_PEER),
    ("vhost-user-blk", "qemu-storage-daemon"),
    ("vhost-user-blk plain", IO_URING_PEER),
    ("vhost-user-blk plain, poll", IO_URING_PEER),
    ("vhost-user-blk uring", IO_URING_PEER),
    ("vhost-user-blk uring, poll", IO_URING_PEER),
];

/// The peer of network devices on a TAP device.
const TAP_PEER: &str = "QEMU's virtio-net";

/// The peer of disks on files.
const IO_URING_PEER: &str = "qemu-storage-daemon io_uring";

/// Reads of a file without virtio: by two loops, and by the faster one of them.
const LOOPS: [&str; 2] = ["pread", "io_uring"];
const BOUND: &str = "bound";

/// Colours that people who see fewer of them can tell apart too (Okabe and Ito), made readable on black and on white.
const BLUE: RGBColor = RGBColor(25, 125, 195);
const SKY: RGBColor = RGBColor(70, 165, 220);
const RED: RGBColor = RGBColor(213, 94, 0);
const ORANGE: RGBColor = RGBColor(222, 150, 10);
const GREEN: RGBColor = RGBColor(0, 158, 115);
const PURPLE: RGBColor = RGBColor(190, 105, 155);
const GREY: RGBColor = RGBColor(128, 128, 128);

/// All that are known, in the order in which they are shown.
const STYLES: &[(&str, Style)] = &[
    ("split", style(BLUE, Marker::Circle, Line::Solid)),
    ("packed", style(RED, Marker::Square, Line::Solid)),
    ("split-flat", style(SKY, Marker::Circle, Line::Solid)),
    ("packed-flat", style(ORANGE, Marker::Square, Line::Solid)),
    ("split-cache", style(SKY, Marker::OpenCircle, Line::Solid)),
    ("packed-cache", style(ORANGE, Marker::OpenSquare, Line::Solid)),
    ("any-split", style(SKY, Marker::Cross, Line::Solid)),
    ("any-packed", style(ORANGE, Marker::Cross, Line::Solid)),
    ("split-chains", style(PURPLE, Marker::Circle, Line::Solid)),
    ("packed-chains", style(GREY, Marker::Square, Line::Solid)),
    ("split-bulk", style(BLUE, Marker::Triangle, Line::Solid)),
    ("packed-bulk", style(RED, Marker::Triangle, Line::Solid)),
    ("split-in-order", style(SKY, Marker::Triangle, Line::Solid)),
    ("packed-in-order", style(ORANGE, Marker::Triangle, Line::Solid)),
    ("chain", style(BLUE, Marker::Circle, Line::Solid)),
    ("chain-packed", style(RED, Marker::Square, Line::Solid)),
    ("std-io", style(PURPLE, Marker::Triangle, Line::Solid)),
    ("owned", style(SKY, Marker::Circle, Line::Solid)),
    ("owned-packed", style(ORANGE, Marker::Square, Line::Solid)),
    ("transfer", style(ORANGE, Marker::Cross, Line::Solid)),
    ("raw-split", style(BLUE, Marker::OpenCircle, Line::Dashed)),
    ("raw-packed", style(RED, Marker::OpenSquare, Line::Dashed)),
    ("memcpy", style(GREY, Marker::OpenCircle, Line::Dashed)),
    (PEER, style(GREEN, Marker::Triangle, Line::Solid)),
    ("vhost-user-net", style(BLUE, Marker::Circle, Line::Solid)),
    ("net_vhost", style(GREEN, Marker::Triangle, Line::Solid)),
    ("vhost-user-net TAP", style(BLUE, Marker::Circle, Line::Solid)),
    (TAP_PEER, style(GREEN, Marker::Triangle, Line::Solid)),
    ("vhost-user-blk", style(BLUE, Marker::Circle, Line::Solid)),
    ("qemu-storage-daemon", style(GREEN, Marker::Triangle, Line::Solid)),
    ("vhost-user-blk plain", style(SKY, Marker::Circle, Line::Solid)),
    ("vhost-user-blk plain, poll", style(SKY, Marker::Cross, Line::Solid)),
    ("vhost-user-blk uring", style(BLUE, Marker::Circle, Line::Solid)),
    ("vhost-user-blk uring, poll", style(BLUE, Marker::Cross, Line::Solid)),
    ("qemu-storage-daemon threads", style(GREEN, Marker::Cross, Line::Solid)),
    (IO_URING_PEER, style(GREEN, Marker::Triangle, Line::Solid)),
    ("pread", style(GREY, Marker::Circle, Line::Dashed)),
    ("io_uring", style(GREY, Marker::Triangle, Line::Dashed)),
    (BOUND, style(GREY, Marker::OpenCircle, Line::Dashed)),
];

const fn style(colour: RGBColor, marker: Marker, line: Line) -> Style {
    Style { colour, marker, line }
}

/// Returns how `contender` is drawn.
pub fn style_of(contender: &str) -> Style {
    let known = STYLES.iter().find(|(name, _)| *name == contender);
    known.map_or(style(PURPLE, Marker::Cross, Line::Solid), |(_, style)| *style)
}

/// Returns what orders contenders as they are shown. Those that are not known come last.
pub fn rank(contender: &str) -> usize {
    STYLES.iter().position(|(name, _)| *name == contender).unwrap_or(STYLES.len())
}

/// Returns whether `contender` is there to compare with, and no work of ours.
pub fn is_yardstick(contender: &str) -> bool {
    is_limit(contender) || is_peer(contender)
}

fn is_peer(contender: &str) -> bool {
    [PEER, "net_vhost", TAP_PEER].contains(&contender) || contender.starts_with("qemu-storage-daemon")
}

/// Returns what else does the work of `contender`, unless that is what it is itself.
pub fn peer(contender: &str) -> &'static str {
    let device = DEVICES.iter().find(|(device, _)| *device == contender);
    device.map_or(if is_peer(contender) { "" } else { PEER }, |(_, peer)| peer)
}

fn is_limit(contender: &str) -> bool {
    contender.starts_with("raw-") || ["memcpy", BOUND].contains(&contender) || LOOPS.contains(&contender)
}

/// Returns what `contender` can at best be as fast as. Which of them a figure has depends on what it is about.
pub fn limits(contender: &str) -> [&'static str; 2] {
    match contender {
        limit if is_limit(limit) => ["", ""],
        device if device.starts_with("vhost-user-blk") => [BOUND, ""],
        packed if packed.contains("packed") => ["raw-packed", "memcpy"],
        _ => ["raw-split", "memcpy"],
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_of_the_same_format() {
        for contender in ["packed", "any-packed", "packed-in-order", "packed-flat"] {
            assert_eq!(limits(contender)[0], "raw-packed");
        }
        for contender in ["split", "split-flat", PEER] {
            assert_eq!(limits(contender)[0], "raw-split");
        }
        assert_eq!(limits("raw-split"), ["", ""]);
    }

    #[test]
    fn styles_all_differ() {
        // A figure has either chains or payloads.
        let payloads = ["chain", "chain-packed", "std-io", "owned", "owned-packed", "transfer", "memcpy"];
        for (one, style) in STYLES {
            for (other, other_style) in STYLES.iter().filter(|(other, _)| other != one) {
                let is_device = |name| DEVICES.iter().any(|(device, peer)| [device, peer].contains(&name));
                let same_figure = match (is_device(one), is_device(other)) {
                    (false, false) => *other == PEER || payloads.contains(one) == payloads.contains(other),
                    _ => peer(one) == *other,
                };
                let differ = style.colour != other_style.colour || style.marker != other_style.marker;
                assert!(differ || !same_figure, "{one} {other}");
            }
        }
    }
}
