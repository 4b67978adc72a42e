//! The product's own words in every locale: the SMS, the call, and the ten digits.

use super::locale::Locale;
use super::secret_text::SecretText;
use super::template::{BRAND, RenderError, check_value};

/// Characters in a brand, as Textmagic limits them; every built-in text fits one segment with it.
pub const BRAND_CHARS_MAX: usize = 18;

/// Digits in the longest code any of the two vendors lets an account ask for.
pub const CODE_DIGITS_MAX: usize = 10;

/// What the product says in one language, in pieces that can be recorded or synthesised.
///
/// The call is: `intro`, the digits, `again`, the digits, `goodbye`.
/// It avoids "PIN" where a synthesiser is known to spell it out, and Japanese is in kana with
/// spaces because the default synthesiser reads no kanji.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phrases {
    /// The SMS: before the brand, between brand and code, after the code.
    pub sms: [&'static str; 3],
    /// The call's greeting and announcement: before and after the brand, spaces included.
    pub intro: [&'static str; 2],
    /// The digits 0 to 9, each as the word said when a number is read out digit by digit.
    pub digits: [&'static str; 10],
    /// What announces the second reading.
    pub again: &'static str,
    /// What ends the call.
    pub goodbye: &'static str,
    /// What a transcript writes between two digits.
    pub pause: &'static str,
    /// What a transcript writes after the last digit.
    pub stop: &'static str,
}

impl Phrases {
    /// Returns the words of a locale; the regions of one language share them unless they differ.
    pub const fn of(locale: Locale) -> &'static Self {
        match locale {
            Locale::DeDe => &GERMAN,
            Locale::EnAu | Locale::EnGb | Locale::EnUs | Locale::EnIn => &ENGLISH,
            Locale::EsEs | Locale::EsMx | Locale::EsUs => &SPANISH,
            Locale::FrCa | Locale::FrFr => &FRENCH,
            Locale::IsIs => &ICELANDIC,
            Locale::ItIt => &ITALIAN,
            Locale::JaJp => &JAPANESE,
            Locale::KoKr => &KOREAN,
            Locale::NlNl => &DUTCH,
            Locale::PlPl => &POLISH,
            Locale::PtPt => &PORTUGUESE,
            Locale::PtBr => &BRAZILIAN,
            Locale::RoRo => &ROMANIAN,
            Locale::RuRu => &RUSSIAN,
            Locale::SvSe => &SWEDISH,
            Locale::TrTr => &TURKISH,
            Locale::ZhCn => &CHINESE_SIMPLIFIED,
            Locale::ZhTw => &CHINESE_TRADITIONAL,
        }
    }

    /// Returns the word for a digit, 0 to 9, and `None` above.
    pub fn digit(&self, digit: u8) -> Option<&'static str> {
        self.digits.get(usize::from(digit)).copied()
    }
}

/// Composes the transcript of a call: greeting, brand, the digits as words, and the digits again.
///
/// `code` is 1 to [`CODE_DIGITS_MAX`] ASCII digits; `brand` obeys the limits of a template's value.
pub fn spoken(locale: Locale, brand: &str, code: &str) -> Result<SecretText, RenderError> {
    check_value(BRAND, brand)?;
    let phrases = Phrases::of(locale);
    let words = digit_words(phrases, code)?;
    let [before, after] = phrases.intro;
    let mut parts = vec![before, brand, after, " "];
    parts.extend(&words);
    parts.extend([phrases.stop, " ", phrases.again, " "]);
    parts.extend(&words);
    parts.extend([phrases.stop, " ", phrases.goodbye]);
    Ok(SecretText::concat(&parts))
}

/// Lists the words of a code with a pause between each two.
fn digit_words(phrases: &Phrases, code: &str) -> Result<Vec<&'static str>, RenderError> {
    if !(1..=CODE_DIGITS_MAX).contains(&code.len()) {
        return Err(RenderError::UnspeakableCode);
    }
    let mut words = Vec::with_capacity(2 * CODE_DIGITS_MAX);
    for digit in code.bytes() {
        let digit = digit.checked_sub(b'0').and_then(|digit| phrases.digit(digit));
        if !words.is_empty() {
            words.push(phrases.pause);
        }
        words.push(digit.ok_or(RenderError::UnspeakableCode)?);
    }
    Ok(words)
}

const GERMAN: Phrases = Phrases {
    sms: ["Ihre ", " PIN lautet ", ""],
    intro: ["Guten Tag. Ihre PIN für ", " lautet:"],
    digits: ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
    again: "Noch einmal:",
    goodbye: "Auf Wiederhören.",
    pause: ", ",
    stop: ".",
};

const ENGLISH: Phrases = Phrases {
    sms: ["Your ", " PIN is ", ""],
    intro: ["Hello. Your ", " PIN is:"],
    digits: ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    again: "Once more:",
    goodbye: "Goodbye.",
    pause: ", ",
    stop: ".",
};

const SPANISH: Phrases = Phrases {
    sms: ["Su PIN de ", " es ", ""],
    intro: ["Hola. Su PIN de ", " es:"],
    digits: ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"],
    again: "Una vez más:",
    goodbye: "Adiós.",
    pause: ", ",
    stop: ".",
};

const FRENCH: Phrases = Phrases {
    sms: ["Votre code PIN ", " est ", ""],
    intro: ["Bonjour. Votre code ", " est :"],
    digits: ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"],
    again: "Encore une fois :",
    goodbye: "Au revoir.",
    pause: ", ",
    stop: ".",
};

const ICELANDIC: Phrases = Phrases {
    sms: ["PIN-númerið þitt fyrir ", " er ", ""],
    intro: ["Góðan dag. Kóðinn þinn fyrir ", " er:"],
    digits: ["núll", "einn", "tveir", "þrír", "fjórir", "fimm", "sex", "sjö", "átta", "níu"],
    again: "Ég endurtek:",
    goodbye: "Bless.",
    pause: ", ",
    stop: ".",
};

const ITALIAN: Phrases = Phrases {
    sms: ["Il tuo PIN ", " è ", ""],
    intro: ["Salve. Il tuo codice ", " è:"],
    digits: ["zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove"],
    again: "Ancora una volta:",
    goodbye: "Arrivederci.",
    pause: ", ",
    stop: ".",
};

// No particle は: the synthesiser would read it as written, "ha" instead of "wa".
const JAPANESE: Phrases = Phrases {
    sms: ["", "のPINコードは", "です"],
    intro: ["おせわに なっております。 ", " の にんしょう コード を おつたえします。"],
    digits: ["ゼロ", "いち", "に", "さん", "よん", "ご", "ろく", "なな", "はち", "きゅう"],
    again: "もういちど くりかえします。",
    goodbye: "しつれい いたします。",
    pause: "、 ",
    stop: "。",
};

// Zero is 공, as Koreans read codes and telephone numbers, not the arithmetical 영.
const KOREAN: Phrases = Phrases {
    sms: ["", " 인증번호는 ", "입니다"],
    intro: ["안녕하세요. ", " 인증번호를 알려 드립니다."],
    digits: ["공", "일", "이", "삼", "사", "오", "육", "칠", "팔", "구"],
    again: "다시 한번 알려 드립니다.",
    goodbye: "감사합니다.",
    pause: ", ",
    stop: ".",
};

// The accents of één keep it from being read as the article een.
const DUTCH: Phrases = Phrases {
    sms: ["Uw pincode voor ", " is ", ""],
    intro: ["Goedendag. Uw pincode voor ", " is:"],
    digits: ["nul", "één", "twee", "drie", "vier", "vijf", "zes", "zeven", "acht", "negen"],
    again: "Nog een keer:",
    goodbye: "Tot ziens.",
    pause: ", ",
    stop: ".",
};

const POLISH: Phrases = Phrases {
    sms: ["Twój kod PIN ", " to ", ""],
    intro: ["Dzień dobry. Twój kod ", " to:"],
    digits: [
        "zero",
        "jeden",
        "dwa",
        "trzy",
        "cztery",
        "pięć",
        "sześć",
        "siedem",
        "osiem",
        "dziewięć",
    ],
    again: "Powtarzam:",
    goodbye: "Do widzenia.",
    pause: ", ",
    stop: ".",
};

const PORTUGUESE: Phrases = Phrases {
    sms: ["O seu PIN ", " é ", ""],
    intro: ["Olá. O seu código ", " é:"],
    digits: ["zero", "um", "dois", "três", "quatro", "cinco", "seis", "sete", "oito", "nove"],
    again: "Mais uma vez:",
    goodbye: "Adeus.",
    pause: ", ",
    stop: ".",
};

const BRAZILIAN: Phrases = Phrases {
    sms: ["Seu PIN ", " é ", ""],
    intro: ["Olá. Seu código ", " é:"],
    digits: PORTUGUESE.digits,
    again: "Mais uma vez:",
    goodbye: "Até logo.",
    pause: ", ",
    stop: ".",
};

const ROMANIAN: Phrases = Phrases {
    sms: ["Codul dvs. PIN ", " este ", ""],
    intro: ["Bună ziua. Codul dumneavoastră ", " este:"],
    digits: ["zero", "unu", "doi", "trei", "patru", "cinci", "șase", "șapte", "opt", "nouă"],
    again: "Încă o dată:",
    goodbye: "La revedere.",
    pause: ", ",
    stop: ".",
};

const RUSSIAN: Phrases = Phrases {
    sms: ["Ваш PIN-код ", ": ", ""],
    intro: ["Здравствуйте. Ваш код ", ":"],
    digits: ["ноль", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять"],
    again: "Ещё раз:",
    goodbye: "До свидания.",
    pause: ", ",
    stop: ".",
};

const SWEDISH: Phrases = Phrases {
    sms: ["Din PIN-kod för ", " är ", ""],
    intro: ["Hej. Din PIN-kod för ", " är:"],
    digits: ["noll", "ett", "två", "tre", "fyra", "fem", "sex", "sju", "åtta", "nio"],
    again: "En gång till:",
    goodbye: "Hej då.",
    pause: ", ",
    stop: ".",
};

const TURKISH: Phrases = Phrases {
    sms: ["", " PIN kodunuz: ", ""],
    intro: ["Merhaba. ", " PIN kodunuz:"],
    digits: ["sıfır", "bir", "iki", "üç", "dört", "beş", "altı", "yedi", "sekiz", "dokuz"],
    again: "Bir kez daha:",
    goodbye: "Hoşça kalın.",
    pause: ", ",
    stop: ".",
};

const CHINESE_SIMPLIFIED: Phrases = Phrases {
    sms: ["您的", "验证码是", ""],
    intro: ["您好。您的 ", " 验证码是："],
    digits: ["零", "一", "二", "三", "四", "五", "六", "七", "八", "九"],
    again: "再说一遍：",
    goodbye: "再见。",
    pause: "，",
    stop: "。",
};

const CHINESE_TRADITIONAL: Phrases = Phrases {
    sms: ["您的", "驗證碼是", ""],
    intro: ["您好。您的 ", " 驗證碼是："],
    digits: CHINESE_SIMPLIFIED.digits,
    again: "再說一遍：",
    goodbye: "再見。",
    pause: "，",
    stop: "。",
};

#[cfg(test)]
mod tests {
    use super::super::segments::{Encoding, Segments};
    use super::super::template::{PIN, Template};
    use super::*;

    fn sms(locale: Locale, brand: &str, code: &str) -> String {
        let value = |name: &str| match name {
            BRAND => Some(brand),
            PIN => Some(code),
            _ => None,
        };
        Template::built_in(locale).render(value).unwrap().reveal().to_owned()
    }

    #[test]
    fn the_longest_brand_and_code_fit_one_segment_in_every_language() {
        // The brace is the costliest GSM character: two septets.
        for brand in ["A".repeat(BRAND_CHARS_MAX), "{".repeat(BRAND_CHARS_MAX)] {
            for locale in Locale::ALL {
                let text = sms(locale, &brand, &"8".repeat(CODE_DIGITS_MAX));
                assert_eq!(Segments::of(&text).count, 1, "{locale}: {text}");
            }
        }
    }

    #[test]
    fn only_the_languages_that_need_it_are_sent_as_ucs2() {
        let ucs2 = |locale: &Locale| {
            Segments::of(&sms(*locale, "Acme", "4815")).encoding == Encoding::Ucs2
        };
        let wide: Vec<_> = Locale::ALL.into_iter().filter(ucs2).map(Locale::as_str).collect();
        assert_eq!(wide, ["is-is", "ja-jp", "ko-kr", "pl-pl", "ru-ru", "zh-cn", "zh-tw"]);
    }

    #[test]
    fn a_message_reads_as_a_sentence() {
        assert_eq!(sms(Locale::EnGb, "Acme", "4815"), "Your Acme PIN is 4815");
        assert_eq!(sms(Locale::ItIt, "Acme", "4815"), "Il tuo PIN Acme è 4815");
        assert_eq!(sms(Locale::KoKr, "Acme", "4815"), "Acme 인증번호는 4815입니다");
    }

    #[test]
    fn a_call_greets_and_says_every_digit_twice() {
        let said = |locale| spoken(locale, "Acme", "0479").unwrap().reveal().to_owned();
        assert_eq!(
            said(Locale::EnUs),
            "Hello. Your Acme PIN is: zero, four, seven, nine. \
             Once more: zero, four, seven, nine. Goodbye."
        );
        assert_eq!(
            said(Locale::JaJp),
            "おせわに なっております。 Acme の にんしょう コード を おつたえします。 \
             ゼロ、 よん、 なな、 きゅう。 もういちど くりかえします。 \
             ゼロ、 よん、 なな、 きゅう。 しつれい いたします。"
        );
        assert_eq!(
            said(Locale::ZhTw),
            "您好。您的 Acme 驗證碼是： 零，四，七，九。 再說一遍： 零，四，七，九。 再見。"
        );
    }

    #[test]
    fn a_spoken_code_can_be_told_from_every_other() {
        for locale in Locale::ALL {
            let mut words = Phrases::of(locale).digits.to_vec();
            words.sort_unstable();
            words.dedup();
            assert_eq!(words.len(), 10, "{locale} says two digits alike");
        }
    }

    #[test]
    fn japanese_is_spoken_without_kanji_or_the_particle_ha() {
        let said = spoken(Locale::JaJp, "Acme", "0123456789").unwrap();
        let is_kanji = |c: char| ('\u{4E00}'..='\u{9FFF}').contains(&c);
        assert!(!said.reveal().contains(is_kanji));
        assert!(!said.reveal().contains("は ") && !said.reveal().contains("は。"));
    }

    #[test]
    fn a_code_that_is_not_digits_is_not_spoken() {
        for code in ["", "12a4", "1 2", "/123", "१२३", "12345678901"] {
            let refused = spoken(Locale::EnUs, "Acme", code);
            assert_eq!(refused.err(), Some(RenderError::UnspeakableCode), "{code:?}");
        }
    }

    #[test]
    fn a_brand_with_a_control_character_is_not_spoken() {
        let refused = spoken(Locale::EnUs, "Ac\u{1B}me", "4815");
        assert_eq!(refused.err(), Some(RenderError::ControlCharacter(BRAND.to_owned())));
    }
}
