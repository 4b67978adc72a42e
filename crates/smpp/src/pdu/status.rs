//! `command_status`: how a request ended (SMPP 3.4, section 5.1.3).

use core::fmt;

/// The status of a response; a number that the table lacks is kept as it is.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Status(pub u32);

impl Status {
    /// No error.
    pub const ROK: Self = Self(0x00);
    /// `command_length` is invalid.
    pub const RINVCMDLEN: Self = Self(0x02);
    /// `command_id` is invalid.
    pub const RINVCMDID: Self = Self(0x03);
    /// The command is not allowed in this state of the bind.
    pub const RINVBNDSTS: Self = Self(0x04);
    /// The ESME is bound already.
    pub const RALYBND: Self = Self(0x05);
    /// A system error.
    pub const RSYSERR: Self = Self(0x08);
    /// The source address is invalid.
    pub const RINVSRCADR: Self = Self(0x0A);
    /// The destination address is invalid.
    pub const RINVDSTADR: Self = Self(0x0B);
    /// The bind failed.
    pub const RBINDFAIL: Self = Self(0x0D);
    /// The password is invalid.
    pub const RINVPASWD: Self = Self(0x0E);
    /// The system id is invalid.
    pub const RINVSYSID: Self = Self(0x0F);
    /// The message queue is full.
    pub const RMSGQFUL: Self = Self(0x14);
    /// The submit failed.
    pub const RSUBMITFAIL: Self = Self(0x45);
    /// The system type is invalid.
    pub const RINVSYSTYP: Self = Self(0x53);
    /// The ESME sends more than it may.
    pub const RTHROTTLED: Self = Self(0x58);
    /// The receiving ESME cannot take it now.
    pub const RX_T_APPN: Self = Self(0x64);
    /// An error that has no number of its own.
    pub const RUNKNOWNERR: Self = Self(0xFF);

    /// Tells whether the request was carried out.
    pub const fn is_ok(self) -> bool {
        self.0 == Self::ROK.0
    }

    /// Tells whether the same request may well be taken a little later.
    pub fn is_temporary(self) -> bool {
        let temporary = [Self::RSYSERR, Self::RMSGQFUL, Self::RTHROTTLED, Self::RX_T_APPN];
        temporary.contains(&self)
    }

    /// Tells whether the peer asks to be sent less.
    pub fn is_throttle(self) -> bool {
        [Self::RMSGQFUL, Self::RTHROTTLED].contains(&self)
    }

    /// Tells whether a bind fails again until an operator has changed something.
    pub fn is_bind_refusal(self) -> bool {
        let refusals =
            [Self::RALYBND, Self::RBINDFAIL, Self::RINVPASWD, Self::RINVSYSID, Self::RINVSYSTYP];
        refusals.contains(&self)
    }

    /// Returns the name of the specification, or `None` for a number it reserves.
    pub fn name(self) -> Option<&'static str> {
        let found = NAMES.binary_search_by_key(&self.0, |(number, _)| *number).ok()?;
        NAMES.get(found).map(|(_, name)| *name)
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.name() {
            Some(name) => write!(f, "ESME_{name}"),
            None => write!(f, "status 0x{:08x}", self.0),
        }
    }
}

impl fmt::Debug for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Table 5-2 in its order, without the numbers it reserves.
const NAMES: [(u32, &str); 48] = [
    (0x00, "ROK"),
    (0x01, "RINVMSGLEN"),
    (0x02, "RINVCMDLEN"),
    (0x03, "RINVCMDID"),
    (0x04, "RINVBNDSTS"),
    (0x05, "RALYBND"),
    (0x06, "RINVPRTFLG"),
    (0x07, "RINVREGDLVFLG"),
    (0x08, "RSYSERR"),
    (0x0A, "RINVSRCADR"),
    (0x0B, "RINVDSTADR"),
    (0x0C, "RINVMSGID"),
    (0x0D, "RBINDFAIL"),
    (0x0E, "RINVPASWD"),
    (0x0F, "RINVSYSID"),
    (0x11, "RCANCELFAIL"),
    (0x13, "RREPLACEFAIL"),
    (0x14, "RMSGQFUL"),
    (0x15, "RINVSERTYP"),
    (0x33, "RINVNUMDESTS"),
    (0x34, "RINVDLNAME"),
    (0x40, "RINVDESTFLAG"),
    (0x42, "RINVSUBREP"),
    (0x43, "RINVESMCLASS"),
    (0x44, "RCNTSUBDL"),
    (0x45, "RSUBMITFAIL"),
    (0x48, "RINVSRCTON"),
    (0x49, "RINVSRCNPI"),
    (0x50, "RINVDSTTON"),
    (0x51, "RINVDSTNPI"),
    (0x53, "RINVSYSTYP"),
    (0x54, "RINVREPFLAG"),
    (0x55, "RINVNUMMSGS"),
    (0x58, "RTHROTTLED"),
    (0x61, "RINVSCHED"),
    (0x62, "RINVEXPIRY"),
    (0x63, "RINVDFTMSGID"),
    (0x64, "RX_T_APPN"),
    (0x65, "RX_P_APPN"),
    (0x66, "RX_R_APPN"),
    (0x67, "RQUERYFAIL"),
    (0xC0, "RINVOPTPARSTREAM"),
    (0xC1, "ROPTPARNOTALLWD"),
    (0xC2, "RINVPARLEN"),
    (0xC3, "RMISSINGOPTPARAM"),
    (0xC4, "RINVOPTPARAMVAL"),
    (0xFE, "RDELIVERYFAILURE"),
    (0xFF, "RUNKNOWNERR"),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_prints_its_name_and_one_of_a_vendor_its_number() {
        assert_eq!(Status::RTHROTTLED.to_string(), "ESME_RTHROTTLED");
        assert_eq!(Status(0x0400).to_string(), "status 0x00000400");
        assert!(NAMES.is_sorted_by_key(|(number, _)| *number));
    }

    #[test]
    fn every_throttle_is_temporary_and_no_refused_bind_is() {
        for (number, _) in NAMES {
            let status = Status(number);
            assert!(!status.is_throttle() || status.is_temporary(), "{status}");
            assert!(!(status.is_bind_refusal() && status.is_temporary()), "{status}");
        }
        assert!(!Status::ROK.is_temporary());
    }
}
