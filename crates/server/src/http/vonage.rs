//! The Vonage door: 2FA by short code, delivery receipts and conversions in Vonage's own words.

pub mod envelope;
pub mod params;
pub mod receipt;
pub mod signature;
pub mod status;
