//! What counts as a phone number, told by examples.

use proptest::prelude::*;

use super::*;

/// Reads a number and tells it as `digits region kind`, or the error.
fn read(text: &str, country: Option<&str>, numbering: Numbering) -> String {
    match PhoneNumber::parse(text, country, numbering) {
        Ok(number) => format!("{} {} {:?}", number.digits(), number.region(), number.kind()),
        Err(error) => format!("{error:?}"),
    }
}

fn check(numbering: Numbering, cases: &[(&str, &str, &str)]) {
    for (text, country, expected) in cases {
        let country = (!country.is_empty()).then_some(*country);
        assert_eq!(read(text, country, numbering), *expected, "{text:?} in {country:?}");
    }
}

#[test]
fn numbers_of_the_reference_implementation_read_the_same_here() {
    check(
        Numbering::Real,
        &[
            ("+447860021130", "", "447860021130 GB Mobile"),
            ("07860021130", "GB", "447860021130 GB Mobile"),
            ("14155552671", "US", "14155552671 US FixedOrMobile"),
            ("4155552671", "US", "14155552671 US FixedOrMobile"),
            ("+447624800500", "", "447624800500 IM Mobile"),
            ("+44 7911 123456", "", "447911123456 GG Mobile"),
            ("+7 701 123 4567", "", "77011234567 KZ Mobile"),
            ("+1 876 210 1234", "", "18762101234 JM Mobile"),
            ("+800 1234 5678", "", "80012345678 001 TollFree"),
            ("1-800-FLOWERS", "US", "18003569377 US TollFree"),
            ("+390612345678", "", "390612345678 IT FixedLine"),
        ],
    );
}

#[test]
fn mobiles_all_over_the_world_are_accepted() {
    check(
        Numbering::Real,
        &[
            ("+4915123456789", "", "4915123456789 DE Mobile"),
            ("+61412345678", "", "61412345678 AU Mobile"),
            ("+918123456789", "", "918123456789 IN Mobile"),
            ("+522221234567", "", "522221234567 MX FixedOrMobile"),
            ("+15062345678", "", "15062345678 CA FixedOrMobile"),
            ("+3546111234", "", "3546111234 IS Mobile"),
            ("+5511961234567", "", "5511961234567 BR Mobile"),
            ("+8613123456789", "", "8613123456789 CN Mobile"),
        ],
    );
}

#[test]
fn international_digits_need_no_plus_and_survive_the_wrong_country() {
    check(
        Numbering::Real,
        &[
            ("447860021130", "", "447860021130 GB Mobile"),
            ("447860021130", "US", "447860021130 GB Mobile"),
            ("00447860021130", "US", "447860021130 GB Mobile"),
            ("+447860021130", "XX", "447860021130 GB Mobile"),
            ("447860021130", "gb", "447860021130 GB Mobile"),
            ("447860021130", " ", "447860021130 GB Mobile"),
            ("011447860021130", "US", "447860021130 GB Mobile"),
        ],
    );
}

#[test]
fn a_national_number_is_not_mistaken_for_a_foreign_one() {
    check(
        Numbering::WithFiction,
        &[
            ("2015550123", "US", "12015550123 US FixedOrMobile"),
            ("2015550123", "", "2015550123 EG FixedLine"),
        ],
    );
    // Refusing the fictional reading must not fall through to the Egyptian one.
    check(Numbering::Real, &[("2015550123", "US", "Unallocated")]);
}

#[test]
fn numbers_are_read_however_they_are_written() {
    check(
        Numbering::Real,
        &[
            (" (415) 555-2671 ", "US", "14155552671 US FixedOrMobile"),
            ("+44 (0)7860.021.130", "", "447860021130 GB Mobile"),
            ("\u{202A}+44\u{A0}7860\u{2011}021130\u{202C}", "", "447860021130 GB Mobile"),
            ("\u{FF0B}\u{FF14}\u{FF14}7860021130", "", "447860021130 GB Mobile"),
            ("+٤٤٧٨٦٠٠٢١١٣٠", "", "447860021130 GB Mobile"),
            ("٠٠٤٤٧٨٦٠٠٢١١٣٠", "", "447860021130 GB Mobile"),
        ],
    );
}

#[test]
fn what_is_no_number_says_why() {
    check(
        Numbering::Real,
        &[
            ("", "", "Empty"),
            (" \t", "GB", "Empty"),
            ("+", "", "NotANumber"),
            ("hello", "GB", "NotANumber"),
            ("tel:+447860021130", "", "NotANumber"),
            ("+44786002113O", "", "NotANumber"),
            ("+1 415 555 2671 ext. 89", "", "NotANumber"),
            ("44+7860021130", "", "NotANumber"),
            ("+½44786002113", "", "NotANumber"),
            ("+447860021130\0", "", "NotANumber"),
            ("+44786002", "", "TooShort"),
            ("5552671", "US", "TooShort"),
            ("+4478600211301", "", "TooLong"),
            ("+9990001112", "", "UnknownCountry"),
            ("7860021130", "XX", "UnknownCountry"),
            ("7860021130", "001", "UnknownCountry"),
            ("+440000000000", "", "Unallocated"),
        ],
    );
    let endless = "4".repeat(NUMBER_BYTES_MAX + 1);
    assert_eq!(read(&endless, None, Numbering::Real), "TooLong");
}

#[test]
fn kinds_that_pay_their_holder_are_refused() {
    check(
        Numbering::WithFiction,
        &[
            ("+1 900 234 5678", "", "Premium"),
            ("9002345678", "US", "Premium"),
            ("+979 123 456 789", "", "Premium"),
            ("+44 9012 345678", "", "Premium"),
            ("+33 810 123 456", "", "Premium"),
            ("+44 55 1234 5678", "", "Premium"),
        ],
    );
}

#[test]
fn fiction_is_accepted_only_where_it_is_asked_for() {
    let cases = [
        ("441632960960", "", "441632960960 GB FixedOrMobile"),
        ("01632 960000", "GB", "441632960000 GB FixedOrMobile"),
        ("+44 7700 900123", "", "447700900123 GB Mobile"),
        ("+1 415 555 0100", "", "14155550100 US FixedOrMobile"),
        ("+1 416 555 0199", "", "14165550199 CA FixedOrMobile"),
        ("+1 202 555 0123", "", "12025550123 US FixedOrMobile"),
        ("+1 876 555 0123", "", "18765550123 JM FixedOrMobile"),
    ];
    check(Numbering::WithFiction, &cases);
    check(Numbering::Real, &cases.map(|(text, country, _)| (text, country, "Unallocated")));
}

#[test]
fn the_neighbours_of_fictional_ranges_are_ordinary_numbers() {
    for numbering in [Numbering::Real, Numbering::WithFiction] {
        check(
            numbering,
            &[
                ("+441632959999", "", "Unallocated"),
                ("+441632961000", "", "Unallocated"),
                ("+447700899999", "", "447700899999 JE Mobile"),
                ("+447700901000", "", "Unallocated"),
                ("+14155550200", "", "14155550200 US FixedOrMobile"),
                ("+18005550123", "", "18005550123 US TollFree"),
            ],
        );
    }
}

#[test]
fn a_number_shows_only_its_calling_code_and_two_digits() {
    let shown = |digits: u64| PhoneNumber::from_digits(digits).unwrap().to_string();
    assert_eq!(shown(441_632_960_960), "+44••••••••60");
    assert_eq!(shown(14_155_552_671), "+1••••••••71");
    assert_eq!(shown(3_546_111_234), "+354•••••34");
    assert_eq!(shown(2_904_512), "+290••••", "a short number hides all it has");
    let number = PhoneNumber::from_digits(447_860_021_130).unwrap();
    assert_eq!(format!("{number:?}"), "PhoneNumber(+44••••••••30)");
    assert_eq!(number.reveal(), "+447860021130");
}

#[test]
fn a_number_is_stored_as_digits_and_comes_back_whole() {
    for text in ["+447860021130", "+14165550199", "+390612345678", "+80012345678"] {
        let number = PhoneNumber::parse(text, None, Numbering::WithFiction).unwrap();
        let stored = serde_json::to_string(&number).unwrap();
        assert_eq!(stored, text.trim_start_matches('+'));
        assert_eq!(serde_json::from_str::<PhoneNumber>(&stored).unwrap(), number);
    }
    assert!(serde_json::from_str::<PhoneNumber>("0").is_err());
    assert!(serde_json::from_str::<PhoneNumber>("1000000000000000").is_err());
}

#[test]
fn a_stored_number_outlives_its_range() {
    let withdrawn = PhoneNumber::from_digits(440_000_000_000).unwrap();
    assert_eq!((withdrawn.region(), withdrawn.kind()), (Region::GB, NumberKind::Unknown));
    let nowhere = PhoneNumber::from_digits(9_990_001_112).unwrap();
    assert_eq!((nowhere.region(), nowhere.digits()), (Region::WORLD, 9_990_001_112));
}

#[test]
fn neighbours_share_a_prefix() {
    let number = PhoneNumber::from_digits(447_860_021_130).unwrap();
    assert_eq!(number.prefix(0), 447_860_021_130);
    assert_eq!(number.prefix(4), 44_786_002);
    assert_eq!(number.prefix(12), 0);
    assert_eq!(number.prefix(u32::MAX), 0);
}

proptest! {
    #[test]
    fn any_text_is_answered_and_never_shown(text in "\\PC{0,40}", country in "[A-Z]{0,3}") {
        if let Ok(number) = PhoneNumber::parse(&text, Some(&country), Numbering::WithFiction) {
            let shown = number.to_string();
            prop_assert!(shown.matches('•').count() >= 4 || number.digits() < 10_000_000, "{}", shown);
        }
    }

    #[test]
    fn an_accepted_number_reads_back_as_itself(digits in "[0-9]{6,15}", country in "GB|US|DE|IT|BR|AR|MX") {
        if let Ok(number) = PhoneNumber::parse(&digits, Some(&country), Numbering::WithFiction) {
            let again = PhoneNumber::parse(&number.reveal(), None, Numbering::WithFiction);
            prop_assert_eq!(again, Ok(number));
            prop_assert_eq!(PhoneNumber::from_digits(number.digits()), Ok(number));
        }
    }
}
