//! The verification engine.

pub mod address;

pub use address::{
    NumberError, NumberKind, Numbering, Originator, OriginatorError, OriginatorRule, PhoneNumber,
    Region, choose_originator,
};
