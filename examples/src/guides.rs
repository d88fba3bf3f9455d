//! The guides in `docs/guides` and the README of the workspace. Their code is compiled and run with the tests.

#[doc = include_str!("../../README.md")]
struct Readme;

#[doc = include_str!("../../docs/guides/which.md")]
struct Which;

#[doc = include_str!("../../docs/guides/from-virtio-device.md")]
struct FromVirtioDevice;

#[doc = include_str!("../../docs/guides/testing.md")]
struct Testing;
