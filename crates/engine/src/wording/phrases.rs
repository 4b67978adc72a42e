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
/// The call is: `intro`, the digits, `again`, the digits, `press_one` if asked for, `goodbye`;
/// `press_any` comes before all of it where an answering machine must not hear the code.
/// It avoids "PIN" where a synthesiser is known to spell it out, and Japanese is in kana with
/// spaces because the default synthesiser reads no kanji.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Phrases {
    /// The SMS: before the brand, between brand and code, after the code.
    pub sms: [&'static str; 3],
    /// The call's greeting and announcement: before and after the brand, spaces included.
    pub intro: [&'static str; 2],
    /// The same where no brand can be said, a sentence of its own.
    pub intro_without_brand: &'static str,
    /// The digits 0 to 9, each as the word said when a number is read out digit by digit.
    pub digits: [&'static str; 10],
    /// What announces the second reading.
    pub again: &'static str,
    /// What offers to read the code again to whoever presses 1.
    pub press_one: &'static str,
    /// What is said instead of the code until a key shows that a person listens.
    pub press_any: &'static str,
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
            Locale::EsEs => &SPANISH,
            Locale::EsMx | Locale::EsUs => &AMERICAN_SPANISH,
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
    intro_without_brand: "Guten Tag. Ihre PIN lautet:",
    digits: ["null", "eins", "zwei", "drei", "vier", "fünf", "sechs", "sieben", "acht", "neun"],
    again: "Noch einmal:",
    press_one: "Um sie noch einmal zu hören, drücken Sie die Eins.",
    press_any: "Um Ihre PIN zu hören, drücken Sie eine beliebige Taste.",
    goodbye: "Auf Wiederhören.",
    pause: ", ",
    stop: ".",
};

const ENGLISH: Phrases = Phrases {
    sms: ["Your ", " PIN is ", ""],
    intro: ["Hello. This is ", ". Here is your verification code."],
    intro_without_brand: "Hello. Here is your verification code.",
    digits: ["zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine"],
    again: "Once more:",
    press_one: "To hear it again, press one.",
    press_any: "To hear your PIN, press any key.",
    goodbye: "Goodbye.",
    pause: ", ",
    stop: ".",
};

const SPANISH: Phrases = Phrases {
    sms: ["Su PIN de ", " es ", ""],
    intro: ["Hola. Su PIN de ", " es:"],
    intro_without_brand: "Hola. Su PIN es:",
    digits: ["cero", "uno", "dos", "tres", "cuatro", "cinco", "seis", "siete", "ocho", "nueve"],
    again: "Una vez más:",
    press_one: "Para escucharlo de nuevo, pulse el uno.",
    press_any: "Para escuchar su PIN, pulse cualquier tecla.",
    goodbye: "Adiós.",
    pause: ", ",
    stop: ".",
};

// A key is "presionada" in America and "pulsada" in Spain.
const AMERICAN_SPANISH: Phrases = Phrases {
    press_one: "Para escucharlo de nuevo, presione el uno.",
    press_any: "Para escuchar su PIN, presione cualquier tecla.",
    ..SPANISH
};

const FRENCH: Phrases = Phrases {
    sms: ["Votre code PIN ", " est ", ""],
    intro: ["Bonjour. Votre code ", " est :"],
    intro_without_brand: "Bonjour. Votre code est :",
    digits: ["zéro", "un", "deux", "trois", "quatre", "cinq", "six", "sept", "huit", "neuf"],
    again: "Encore une fois :",
    press_one: "Pour le réécouter, appuyez sur le un.",
    press_any: "Pour entendre votre code, appuyez sur n'importe quelle touche.",
    goodbye: "Au revoir.",
    pause: ", ",
    stop: ".",
};

const ICELANDIC: Phrases = Phrases {
    sms: ["PIN-númerið þitt fyrir ", " er ", ""],
    intro: ["Góðan dag. Kóðinn þinn fyrir ", " er:"],
    intro_without_brand: "Góðan dag. Kóðinn þinn er:",
    digits: ["núll", "einn", "tveir", "þrír", "fjórir", "fimm", "sex", "sjö", "átta", "níu"],
    again: "Ég endurtek:",
    press_one: "Til að heyra hann aftur, ýttu á einn.",
    press_any: "Til að heyra kóðann þinn, ýttu á hvaða takka sem er.",
    goodbye: "Bless.",
    pause: ", ",
    stop: ".",
};

const ITALIAN: Phrases = Phrases {
    sms: ["Il tuo PIN ", " è ", ""],
    intro: ["Salve. Il tuo codice ", " è:"],
    intro_without_brand: "Salve. Il tuo codice è:",
    digits: ["zero", "uno", "due", "tre", "quattro", "cinque", "sei", "sette", "otto", "nove"],
    again: "Ancora una volta:",
    press_one: "Per riascoltarlo, premi uno.",
    press_any: "Per ascoltare il tuo codice, premi un tasto qualsiasi.",
    goodbye: "Arrivederci.",
    pause: ", ",
    stop: ".",
};

// No particle は: the synthesiser would read it as written, "ha" instead of "wa".
const JAPANESE: Phrases = Phrases {
    sms: ["", "のPINコードは", "です"],
    intro: ["おせわに なっております。 ", " の にんしょう コード を おつたえします。"],
    intro_without_brand: "おせわに なっております。 にんしょう コード を おつたえします。",
    digits: ["ゼロ", "いち", "に", "さん", "よん", "ご", "ろく", "なな", "はち", "きゅう"],
    again: "もういちど くりかえします。",
    press_one: "もういちど おききに なる ばあい、 いち を おして ください。",
    press_any: "にんしょう コード を おききに なる ばあい、 いずれか の ボタン を おして ください。",
    goodbye: "しつれい いたします。",
    pause: "、 ",
    stop: "。",
};

// Zero is 공, as Koreans read codes and telephone numbers, not the arithmetical 영.
const KOREAN: Phrases = Phrases {
    sms: ["", " 인증번호는 ", "입니다"],
    intro: ["안녕하세요. ", " 인증번호를 알려 드립니다."],
    intro_without_brand: "안녕하세요. 인증번호를 알려 드립니다.",
    digits: ["공", "일", "이", "삼", "사", "오", "육", "칠", "팔", "구"],
    again: "다시 한번 알려 드립니다.",
    press_one: "다시 들으시려면 일 번을 눌러 주십시오.",
    press_any: "인증번호를 들으시려면 아무 버튼이나 눌러 주십시오.",
    goodbye: "감사합니다.",
    pause: ", ",
    stop: ".",
};

// The accents of één keep it from being read as the article een.
const DUTCH: Phrases = Phrases {
    sms: ["Uw pincode voor ", " is ", ""],
    intro: ["Goedendag. Uw pincode voor ", " is:"],
    intro_without_brand: "Goedendag. Uw pincode is:",
    digits: ["nul", "één", "twee", "drie", "vier", "vijf", "zes", "zeven", "acht", "negen"],
    again: "Nog een keer:",
    press_one: "Toets één om hem nog eens te horen.",
    press_any: "Druk op een willekeurige toets om uw pincode te horen.",
    goodbye: "Tot ziens.",
    pause: ", ",
    stop: ".",
};

const POLISH: Phrases = Phrases {
    sms: ["Twój kod PIN ", " to ", ""],
    intro: ["Dzień dobry. Twój kod ", " to:"],
    intro_without_brand: "Dzień dobry. Twój kod to:",
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
    press_one: "Aby usłyszeć go ponownie, naciśnij jeden.",
    press_any: "Aby usłyszeć kod, naciśnij dowolny klawisz.",
    goodbye: "Do widzenia.",
    pause: ", ",
    stop: ".",
};

const PORTUGUESE: Phrases = Phrases {
    sms: ["O seu PIN ", " é ", ""],
    intro: ["Olá. O seu código ", " é:"],
    intro_without_brand: "Olá. O seu código é:",
    digits: ["zero", "um", "dois", "três", "quatro", "cinco", "seis", "sete", "oito", "nove"],
    again: "Mais uma vez:",
    press_one: "Para o ouvir de novo, prima um.",
    press_any: "Para ouvir o seu código, prima qualquer tecla.",
    goodbye: "Até logo.",
    pause: ", ",
    stop: ".",
};

// Six is "meia", half a dozen, as Brazilians dictate numbers: "seis" and "três" sound alike on a
// telephone. Portugal does not know the custom.
const BRAZILIAN: Phrases = Phrases {
    sms: ["Seu PIN ", " é ", ""],
    intro: ["Olá. Seu código ", " é:"],
    intro_without_brand: "Olá. Seu código é:",
    digits: ["zero", "um", "dois", "três", "quatro", "cinco", "meia", "sete", "oito", "nove"],
    again: "Mais uma vez:",
    press_one: "Para ouvir de novo, tecle um.",
    press_any: "Para ouvir seu código, pressione qualquer tecla.",
    goodbye: "Até logo.",
    pause: ", ",
    stop: ".",
};

const ROMANIAN: Phrases = Phrases {
    sms: ["Codul dvs. PIN ", " este ", ""],
    intro: ["Bună ziua. Codul dumneavoastră ", " este:"],
    intro_without_brand: "Bună ziua. Codul dumneavoastră este:",
    digits: ["zero", "unu", "doi", "trei", "patru", "cinci", "șase", "șapte", "opt", "nouă"],
    again: "Încă o dată:",
    press_one: "Pentru a-l asculta din nou, apăsați tasta unu.",
    press_any: "Pentru a asculta codul, apăsați orice tastă.",
    goodbye: "La revedere.",
    pause: ", ",
    stop: ".",
};

const RUSSIAN: Phrases = Phrases {
    sms: ["Ваш PIN-код ", ": ", ""],
    intro: ["Здравствуйте. Ваш код ", ":"],
    intro_without_brand: "Здравствуйте. Ваш код:",
    digits: ["ноль", "один", "два", "три", "четыре", "пять", "шесть", "семь", "восемь", "девять"],
    again: "Ещё раз:",
    press_one: "Чтобы прослушать его ещё раз, нажмите один.",
    press_any: "Чтобы прослушать код, нажмите любую клавишу.",
    goodbye: "До свидания.",
    pause: ", ",
    stop: ".",
};

const SWEDISH: Phrases = Phrases {
    sms: ["Din PIN-kod för ", " är ", ""],
    intro: ["Hej. Din PIN-kod för ", " är:"],
    intro_without_brand: "Hej. Din PIN-kod är:",
    digits: ["noll", "ett", "två", "tre", "fyra", "fem", "sex", "sju", "åtta", "nio"],
    again: "En gång till:",
    press_one: "Tryck ett för att höra den igen.",
    press_any: "Tryck på valfri knapp för att höra din PIN-kod.",
    goodbye: "Hej då.",
    pause: ", ",
    stop: ".",
};

const TURKISH: Phrases = Phrases {
    sms: ["", " PIN kodunuz: ", ""],
    intro: ["Merhaba. ", " PIN kodunuz:"],
    intro_without_brand: "Merhaba. PIN kodunuz:",
    digits: ["sıfır", "bir", "iki", "üç", "dört", "beş", "altı", "yedi", "sekiz", "dokuz"],
    again: "Bir kez daha:",
    press_one: "Tekrar dinlemek için bire basın.",
    press_any: "PIN kodunuzu dinlemek için herhangi bir tuşa basın.",
    goodbye: "Hoşça kalın.",
    pause: ", ",
    stop: ".",
};

// One is 一 and not the 幺 of telephone numbers, which Taiwan does not know.
const CHINESE_SIMPLIFIED: Phrases = Phrases {
    sms: ["您的", "验证码是", ""],
    intro: ["您好。您的 ", " 验证码是："],
    intro_without_brand: "您好。您的验证码是：",
    digits: ["零", "一", "二", "三", "四", "五", "六", "七", "八", "九"],
    again: "再说一遍：",
    press_one: "重听请按一。",
    press_any: "收听验证码，请按任意键。",
    goodbye: "再见。",
    pause: "，",
    stop: "。",
};

const CHINESE_TRADITIONAL: Phrases = Phrases {
    sms: ["您的", "驗證碼是", ""],
    intro: ["您好。您的 ", " 驗證碼是："],
    intro_without_brand: "您好。您的驗證碼是：",
    digits: CHINESE_SIMPLIFIED.digits,
    again: "再說一遍：",
    press_one: "重聽請按一。",
    press_any: "收聽驗證碼，請按任意鍵。",
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
            "Hello. This is Acme. Here is your verification code. zero, four, seven, nine. \
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
        let phrases = Phrases::of(Locale::JaJp);
        let mut said = calls_texts(phrases);
        said.push(spoken(Locale::JaJp, "Acme", "0123456789").unwrap().reveal().to_owned());
        let is_kanji = |c: char| ('\u{4E00}'..='\u{9FFF}').contains(&c);
        for text in said {
            assert!(!text.contains(is_kanji), "{text}");
            let has_ha = ["は ", "は、", "は。"].iter().any(|particle| text.contains(particle));
            assert!(!has_ha, "{text}");
        }
    }

    #[test]
    fn what_a_call_says_has_no_figures_and_ends_as_a_sentence() {
        for locale in Locale::ALL {
            for text in calls_texts(Phrases::of(locale)) {
                assert!(!text.contains(|c: char| c.is_ascii_digit()), "{locale}: {text}");
                assert!(text.ends_with(['.', ':', '。', '：']), "{locale}: {text}");
            }
        }
    }

    #[test]
    fn the_key_to_press_is_named_by_its_digit() {
        // Turkish puts the digit into the dative: "bire basın".
        for locale in Locale::ALL {
            let phrases = Phrases::of(locale);
            let said = phrases.press_one.to_lowercase();
            assert!(said.contains(phrases.digits[1]), "{locale}: {said}");
            assert!(
                !phrases.press_any.to_lowercase().contains(&format!(" {}.", phrases.digits[1]))
            );
        }
    }

    fn calls_texts(phrases: &Phrases) -> Vec<String> {
        let whole = [
            phrases.intro_without_brand,
            phrases.again,
            phrases.press_one,
            phrases.press_any,
            phrases.goodbye,
        ];
        let mut texts: Vec<_> = whole.iter().map(|text| (*text).to_owned()).collect();
        texts.push(phrases.intro.concat());
        texts
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
