//! Calls to phones, proxies and trunks that others wrote.
//!
//! They need the packages `baresip-core`, `sip-tester`, `kamailio`, `kamailio-tls-modules` and
//! `openssl`, which `interop/setup.sh` installs. A test whose peer is missing fails.
#![expect(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "functions beside the tests fail as the tests do"
)]

#[path = "peers/phone.rs"]
mod phone;
#[path = "peers/proxy.rs"]
mod proxy;
#[path = "peers/stage.rs"]
mod stage;
#[path = "peers/trunk.rs"]
mod trunk;
