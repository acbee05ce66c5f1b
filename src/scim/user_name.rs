//! The characters of a `userName`: those that RFC 8265 s3.3 forbids, and those that let
//! two names look like one.
//!
//! Symbols stay, although RFC 8265 forbids them, too: they are visible, and directories
//! have such names. Its rule of direction is not applied.

use serde_json::Value;
use unicode_normalization::char::canonical_combining_class;

use crate::scim::error::{ErrorKind, Result};
use crate::scim::policy::UserNameCharacters;
use crate::scim::resource::Attributes;

/// Refuses the `userName` of a user, unless the user has it already.
pub fn check(characters: UserNameCharacters, before: Option<&Attributes>, after: &Attributes) -> Result<()> {
    let name = after.get("userName").and_then(Value::as_str).unwrap_or_default();
    // A user with a name from before the rule can still be deactivated.
    let is_present = before.is_some_and(|before| before.get("userName") == after.get("userName"));
    if characters == UserNameCharacters::Any || is_present {
        return Ok(());
    }
    let edges = name.chars().next().into_iter().chain(name.chars().next_back());
    let (place, found) = match (edges.into_iter().find(|&c| is_blank(c)), unsafe_in(name)) {
        (Some(blank), _) => ("begin or end with the blank", blank),
        (None, Some(c)) => ("contain the character", c),
        (None, None) => return Ok(()),
    };
    Err(ErrorKind::InvalidValue.with(format!(
        "userName cannot {place} U+{:04X}: remove it, or ask the operator to set the policy userNameCharacters to any",
        u32::from(found)
    )))
}

fn is_blank(c: char) -> bool {
    // The braille pattern without dots is a symbol to Unicode, and a blank to the eye.
    c.is_whitespace() || c == '\u{2800}'
}

/// Returns the first character that a name cannot contain.
fn unsafe_in(name: &str) -> Option<char> {
    let is_joiner = |c| matches!(c, '\u{200C}' | '\u{200D}');
    let is_unsafe = |&(at, c): &(usize, char)| {
        if is_joiner(c) { !joins(name, at, c) } else { is_forbidden(c) }
    };
    name.char_indices().find(is_unsafe).map(|(_, c)| c)
}

/// Returns true for the controls, ignorable characters and noncharacters of RFC 8264 s9.12
/// and s9.13, and for blanks and format characters that are read as another or not at all.
fn is_forbidden(c: char) -> bool {
    let is_control = c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{FFF9}'..='\u{FFFB}');
    // RFC 8265 s3.1 knows one blank, and width mapping makes it of the ideographic one.
    let is_other_blank = is_blank(c) && !matches!(c, ' ' | '\u{3000}');
    // Default_Ignorable_Code_Point of Unicode.
    let is_ignorable = matches!(c,
        '\u{AD}' | '\u{34F}' | '\u{61C}' | '\u{115F}' | '\u{1160}' | '\u{17B4}' | '\u{17B5}'
        | '\u{180B}'..='\u{180F}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}'
        | '\u{2060}'..='\u{206F}' | '\u{3164}' | '\u{FE00}'..='\u{FE0F}' | '\u{FEFF}' | '\u{FFA0}'
        | '\u{FFF0}'..='\u{FFF8}' | '\u{1BCA0}'..='\u{1BCA3}' | '\u{1D173}'..='\u{1D17A}'
        | '\u{E0000}'..='\u{E0FFF}');
    let is_noncharacter = matches!(c, '\u{FDD0}'..='\u{FDEF}') || u32::from(c) & 0xFFFE == 0xFFFE;
    is_control || is_other_blank || is_ignorable || is_noncharacter
}

/// Returns true if the joiner at this byte is one that its script needs (RFC 5892 A.1, A.2).
fn joins(name: &str, at: usize, joiner: char) -> bool {
    let Some((before, after)) = name.split_at_checked(at) else { return false };
    // A virama has the combining class 9.
    if before.chars().next_back().is_some_and(|c| canonical_combining_class(c) == 9) {
        return true;
    }
    let letter = |c: &char| canonical_combining_class(*c) == 0;
    let left = before.chars().rev().find(letter);
    let right = after.chars().skip(1).find(letter);
    joiner == '\u{200C}'
        && left.is_some_and(is_dual_joining)
        && right.is_some_and(|c| is_dual_joining(c) || is_right_joining(c))
}

/// Returns true for the Arabic letters that join on both sides (ArabicShaping.txt). A
/// non-joiner elsewhere has no effect that can be seen.
fn is_dual_joining(c: char) -> bool {
    matches!(c,
        '\u{620}' | '\u{626}' | '\u{628}' | '\u{62A}'..='\u{62E}' | '\u{633}'..='\u{63F}'
        | '\u{641}'..='\u{647}' | '\u{649}' | '\u{64A}' | '\u{66E}' | '\u{66F}' | '\u{678}'..='\u{687}'
        | '\u{69A}'..='\u{6BF}' | '\u{6C1}' | '\u{6C2}' | '\u{6CC}' | '\u{6CE}' | '\u{6D0}' | '\u{6D1}'
        | '\u{6FA}'..='\u{6FC}' | '\u{6FF}')
}

/// Returns true for the Arabic letters that join on the right alone.
fn is_right_joining(c: char) -> bool {
    matches!(c,
        '\u{622}'..='\u{625}' | '\u{627}' | '\u{629}' | '\u{62F}'..='\u{632}' | '\u{648}'
        | '\u{671}'..='\u{673}' | '\u{675}'..='\u{677}' | '\u{688}'..='\u{699}' | '\u{6C0}'
        | '\u{6C3}'..='\u{6CB}' | '\u{6CD}' | '\u{6CF}' | '\u{6D2}' | '\u{6D3}' | '\u{6D5}' | '\u{6EE}'
        | '\u{6EF}')
}

#[cfg(test)]
mod tests {
    use serde_json::{Map, json};

    use super::check;
    use crate::scim::policy::UserNameCharacters;

    fn refused(name: &str) -> Option<String> {
        let user = Map::from_iter([("userName".to_owned(), json!(name))]);
        let found = check(UserNameCharacters::Safe, None, &user).err().map(|error| error.detail);
        assert!(check(UserNameCharacters::Any, None, &user).is_ok());
        assert!(check(UserNameCharacters::Safe, Some(&user), &user).is_ok());
        found.map(|text| text.split(" U+").nth(1).unwrap().split(':').next().unwrap().to_owned())
    }

    #[test]
    fn a_character_that_deceives_is_named_by_its_code() {
        for (name, code) in [
            ("bo\0", "0000"),
            ("b\no", "000A"),
            ("b\u{7F}o", "007F"),
            ("b\u{85}o", "0085"),
            ("b\u{2028}o", "2028"),
            ("b\u{2029}o", "2029"),
            ("b\u{FFF9}o", "FFF9"),
            ("b\u{FFFF}o", "FFFF"),
            ("\u{202E}bo", "202E"),
            ("b\u{202A}o", "202A"),
            ("b\u{2066}o", "2066"),
            ("b\u{2069}o", "2069"),
            ("\u{200F}bo", "200F"),
            ("b\u{200E}o", "200E"),
            ("b\u{61C}o", "061C"),
            ("b\u{200B}o", "200B"),
            ("b\u{2060}o", "2060"),
            ("\u{FEFF}bo", "FEFF"),
            ("b\u{AD}o", "00AD"),
            ("b\u{34F}o", "034F"),
            ("b\u{180E}o", "180E"),
            ("b\u{3164}o", "3164"),
            ("b\u{FFA0}o", "FFA0"),
            ("b\u{FE0F}o", "FE0F"),
            ("b\u{E0062}o", "E0062"),
            ("b\u{1D173}o", "1D173"),
            ("b\u{FDD0}o", "FDD0"),
            ("b\u{A0}o", "00A0"),
            ("b\u{2003}o", "2003"),
            ("b\u{2800}o", "2800"),
            ("b\to", "0009"),
            (" bo", "0020"),
            ("bo ", "0020"),
            (" ", "0020"),
            ("\u{3000}bo", "3000"),
            ("bo\u{A0}", "00A0"),
            // Joiners outside their context: after a Latin letter, a letter that does not join
            // on its left, at an end, within an emoji.
            ("b\u{200C}o", "200C"),
            ("b\u{200D}o", "200D"),
            ("دا\u{200C}نا", "200C"),
            ("می\u{200C}", "200C"),
            ("\u{200C}می", "200C"),
            ("👩\u{200D}🚀", "200D"),
            ("می\u{200D}خ", "200D"),
        ] {
            assert_eq!(refused(name).as_deref(), Some(code), "{name:?}");
        }
    }

    #[test]
    fn letters_symbols_and_inner_blanks_are_kept() {
        for name in [
            "bo",
            "b o",
            "b  o",
            "b\u{3000}o",
            "sarah.jones+test@example.com",
            "DOMAIN\\bo",
            "!",
            "~",
            "#",
            "a\"b\\c",
            "José",
            "Jose\u{301}",
            "Straße",
            "Łukasz",
            "Ωμέγα",
            "Иван",
            "محمد",
            "משה",
            "गौरव",
            "สมชาย",
            "佐藤",
            "김철수",
            "ሰላም",
            "😀",
            "❤",
            "€",
            "Ｂｏ",
            "٣",
            "𝒷𝑜",
            // Persian needs the non-joiner, Sinhala and Hindi the joiner after a virama.
            "می\u{200C}خواهم",
            "ශ\u{0DCA}\u{200D}රී",
            "क\u{94D}\u{200D}ष",
            "क\u{94D}\u{200C}ष",
        ] {
            assert_eq!(refused(name), None, "{name:?}");
        }
    }
}
