//! Calls through the whole server: to a phone and trunks that others wrote, and to the sandbox's.
//!
//! They need the packages `baresip-core`, `sip-tester` and `espeak-ng`, which `interop/setup.sh`
//! installs. A test whose peer is missing fails.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "functions beside the tests fail as the tests do"
)]

mod support;

#[path = "calls/handset.rs"]
mod handset;
#[path = "calls/listener.rs"]
mod listener;
#[expect(dead_code, reason = "the tests of one crate use another part than those of the other")]
#[path = "../../voice/tests/peers/stage.rs"]
mod stage;
#[path = "calls/trunk.rs"]
mod trunk;
