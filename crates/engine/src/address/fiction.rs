//! The number ranges that regulators reserve for films, books and documentation.

use super::{NumberKind, Region};

/// The region and kind of a number nobody can ever hold, or `None` for any other number.
///
/// United Kingdom: Ofcom, "Telephone numbers for use in TV and radio drama programmes", the
/// no-area range 01632 960000 to 960999 and the mobile range 07700 900000 to 900999. North
/// America: NANPA, assignment of 555 numbers, lines 0100 to 0199 of central office 555 in every
/// geographic area code.
///
/// `allocated` is what the numbering metadata says: in toll-free and premium area codes those
/// lines are not reserved.
pub(super) fn fictional(
    digits: u64,
    allocated: Option<(Region, NumberKind)>,
) -> Option<(Region, NumberKind)> {
    match digits {
        441_632_960_000..=441_632_960_999 => Some((Region::GB, NumberKind::FixedOrMobile)),
        447_700_900_000..=447_700_900_999 => Some((Region::GB, NumberKind::Mobile)),
        12_000_000_000..=19_999_999_999
            if (RESERVED_LINE_FIRST..=RESERVED_LINE_LAST).contains(&(digits % AREA_CODE_UNIT)) =>
        {
            match allocated {
                None => Some((Region::US, NumberKind::FixedOrMobile)),
                Some((region, kind)) if is_geographic(kind) => {
                    Some((region, NumberKind::FixedOrMobile))
                }
                // Toll-free, premium and personal area codes sell these lines.
                Some(_) => None,
            }
        }
        _ => None,
    }
}

fn is_geographic(kind: NumberKind) -> bool {
    matches!(kind, NumberKind::FixedOrMobile | NumberKind::FixedLine | NumberKind::Mobile)
}

/// Central office 555, line 0100, of any North American area code.
const RESERVED_LINE_FIRST: u64 = 5_550_100;
/// Central office 555, line 0199, of any North American area code.
const RESERVED_LINE_LAST: u64 = 5_550_199;
/// The seven digits below a North American area code.
const AREA_CODE_UNIT: u64 = 10_000_000;
