//! Text from elsewhere, made fit to be printed on a person's terminal.

/// Writes control characters as `\u{1b}`, but for line feeds and tabs; so also
/// those that turn the direction of the text, and would show it in another order.
pub fn escaped(text: &str) -> String {
    let mut shown = String::with_capacity(text.len());
    for character in text.chars() {
        if acts(character) {
            shown.extend(character.escape_unicode());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// The same for JSON: what acts is within its strings, and gets JSON's own escape,
/// so that the value does not change.
pub fn escaped_json(json: &str) -> String {
    let mut shown = String::with_capacity(json.len());
    for character in json.chars() {
        if acts(character) {
            shown.extend(format!("\\u{:04x}", u32::from(character)).chars());
        } else {
            shown.push(character);
        }
    }
    shown
}

/// Whether a terminal does something else than draw it; all such characters have
/// at most 16 bits.
fn acts(character: char) -> bool {
    let turns = matches!(character, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    (character.is_control() && !"\n\t".contains(character)) || turns
}

#[cfg(test)]
mod tests {
    use super::{escaped, escaped_json};

    #[test]
    fn what_acts_is_shown() {
        let text = "a\x1b]52;c;eA==\x07\u{9b}6n\r\n\tü\u{202e}🦀";
        assert_eq!(
            escaped(text),
            "a\\u{1b}]52;c;eA==\\u{7}\\u{9b}6n\\u{d}\n\tü\\u{202e}🦀"
        );
    }

    #[test]
    fn a_value_does_not_change() {
        let value = serde_json::json!({ "a\u{7f}": "\u{9b}6n\u{202e}\x1b\n" });
        let text = escaped_json(&serde_json::to_string_pretty(&value).unwrap());
        assert!(
            !text.contains(|c: char| c != '\n' && super::acts(c)),
            "{text}"
        );
        assert_eq!(
            serde_json::from_str::<serde_json::Value>(&text).unwrap(),
            value
        );
    }
}
