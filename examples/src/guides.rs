//! The guides in `docs/guides` and the README of the workspace. The tests compile and run their code.

#[doc = include_str!("../../README.md")]
struct Readme;

#[doc = include_str!("../../docs/guides/which.md")]
struct Which;

#[doc = include_str!("../../docs/guides/async-disk.md")]
struct AsyncDisk;

#[doc = include_str!("../../docs/guides/from-virtio-device.md")]
struct FromVirtioDevice;

#[doc = include_str!("../../docs/guides/testing.md")]
struct Testing;
