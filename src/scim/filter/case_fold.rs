//! Comparison of values without regard to case.

use unicode_normalization::UnicodeNormalization;
use unicode_normalization::char::decompose_compatible;

/// Maps a value of a `caseExact: false` attribute to the form in which it is
/// compared: the mappings of RFC 8265 s3.3 (`UsernameCaseMapped`: width, case, NFC)
/// without its prohibitions.
///
/// The filter evaluator and the index of unique and look-up values both compare this
/// form, so the index finds what a filter matches.
pub fn fold(text: &str) -> String {
    if text.is_ascii() {
        return text.to_ascii_lowercase();
    }
    // Lower case rather than case folding, as RFC 8265 s3.3.1 has it: folding would make
    // one user of `STRASSE` and `Straße`.
    text.chars().map(usual_width).collect::<String>().to_lowercase().nfc().collect()
}

/// The blocks of halfwidth Hangul: first, last, and the target of the first.
const HANGUL: [(char, char, char); 6] = [
    ('\u{FFA0}', '\u{FFA0}', '\u{3164}'),
    ('\u{FFA1}', '\u{FFBE}', '\u{3131}'),
    ('\u{FFC2}', '\u{FFC7}', '\u{314F}'),
    ('\u{FFCA}', '\u{FFCF}', '\u{3155}'),
    ('\u{FFD2}', '\u{FFD7}', '\u{315B}'),
    ('\u{FFDA}', '\u{FFDC}', '\u{3161}'),
];

/// Maps a fullwidth or halfwidth character to its decomposition mapping.
fn usual_width(c: char) -> char {
    // RFC 8265 wants one step of the mapping. The compatibility decomposition of the
    // crate goes further for Hangul (to conjoining jamo) and for the macron (to a space
    // and a combining mark), so those are mapped by hand.
    match c {
        '\u{3000}' => ' ',
        '\u{FFE3}' => '\u{AF}',
        '\u{FFA0}'..='\u{FFDC}' => HANGUL
            .into_iter()
            .find(|(first, last, _)| (first..=last).contains(&&c))
            .and_then(|(first, _, target)| {
                char::from_u32(u32::from(target) + u32::from(c) - u32::from(first))
            })
            .unwrap_or(c),
        '\u{FF01}'..='\u{FFEE}' => {
            let mut mapped = c;
            decompose_compatible(c, |one| mapped = one);
            mapped
        }
        _ => c,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use unicode_normalization::UnicodeNormalization;

    use super::{fold, usual_width};

    #[test]
    fn case_width_and_composition_do_not_count() {
        for (one, other) in [
            ("BJensen@Example.COM", "bjensen@example.com"),
            ("Ｂｊｅｎｓｅｎ", "bjensen"),
            ("ｶﾞ", "ガ"),
            ("ﾡ", "ㄱ"),
            ("a\u{3000}b", "a b"),
            ("Amelie\u{301}", "AMELIÉ"),
            ("\u{212A}elvin", "kelvin"),
            ("ΟΔΥΣΣΕΥΣ", "Οδυσσευς"),
            ("ǅ", "ǆ"),
        ] {
            assert_eq!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn what_only_case_folding_would_unite_stays_apart() {
        for (one, other) in [("STRASSE", "Straße"), ("ﬁ", "fi"), ("ⅳ", "iv"), ("İ", "I")] {
            assert_ne!(fold(one), fold(other), "{one} {other}");
        }
    }

    #[test]
    fn every_wide_and_narrow_character_maps_one_step() {
        let wide_and_narrow = ('\u{FF01}'..='\u{FFEE}').filter(|&c| usual_width(c) != c);
        let mapped: String = wide_and_narrow.map(usual_width).collect();
        // The fields <wide> and <narrow> of UnicodeData.txt, in the order of the block.
        assert_eq!(
            mapped,
            "!\"#$%&'()*+,-./0123456789:;<=>?@ABCDEFGHIJKLMNOPQRSTUVWXYZ[\\]^_`abcdefghijklmnopqrstuvwxyz{|}~⦅⦆\
             。「」、・ヲァィゥェォャュョッーアイウエオカキクケコサシスセソタチツテトナニヌネノハヒフヘホマミムメモヤユヨラリルレロワン\u{3099}\u{309A}\
             \u{3164}ㄱㄲㄳㄴㄵㄶㄷㄸㄹㄺㄻㄼㄽㄾㄿㅀㅁㅂㅃㅄㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎㅏㅐㅑㅒㅓㅔㅕㅖㅗㅘㅙㅚㅛㅜㅝㅞㅟㅠㅡㅢㅣ\
             ¢£¬¯¦¥₩│←↑→↓■○"
        );
    }

    #[test]
    fn every_character_is_folded_at_once() {
        for c in '\0'..=char::MAX {
            let once = fold(&c.to_string());
            assert_eq!(fold(&once), once, "{c:?}");
        }
    }

    proptest! {
        #[test]
        fn folding_twice_changes_nothing(text in ".*") {
            let once = fold(&text);
            prop_assert_eq!(fold(&once), once);
        }

        #[test]
        fn canonically_equal_texts_fold_to_one(text in "[A-Za-zÀ-ỹΑ-ώ\u{300}-\u{345}가-힣ｦ-ﾟ]*") {
            prop_assert_eq!(fold(&text.nfd().collect::<String>()), fold(&text));
        }
    }
}
