//! Text for a terminal, which must not be steered by what stands in a file or is the name of one.

use std::borrow::Cow;
use std::io::{Result, StdoutLock, Write};

/// Whether a terminal would obey the character instead of showing it, or show what follows in another order. Lines
/// and tabs may end and begin.
fn steers(character: char) -> bool {
    let turns = matches!(character, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || character.is_control() && !matches!(character, '\n' | '\t')
}

/// The text with such characters written out, as in `\u{1b}`.
pub(crate) fn shown(text: &str) -> Cow<'_, str> {
    if !text.contains(steers) {
        return Cow::Borrowed(text);
    }
    let mut result = String::with_capacity(text.len() + 8);
    for character in text.chars() {
        match steers(character) {
            true => result.extend(character.escape_unicode()),
            false => result.push(character),
        }
    }
    Cow::Owned(result)
}

/// Writes what is [`shown`].
#[derive(Debug)]
pub(crate) struct Shown<W>(pub(crate) W);

impl<W: Write> Write for Shown<W> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        // Formatted text comes in whole strings.
        match std::str::from_utf8(bytes) {
            Ok(text) => self.0.write_all(shown(text).as_bytes())?,
            Err(_) => self.0.write_all(bytes)?,
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> Result<()> {
        self.0.flush()
    }
}

/// The standard output, for a command's text and lines of JSON, which have such characters written out already.
pub(crate) fn stdout() -> Shown<StdoutLock<'static>> {
    Shown(std::io::stdout().lock())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_terminal_is_not_steered() {
        assert!(matches!(shown("a line\n\tof text, übersetzt"), Cow::Borrowed(_)));
        assert_eq!(
            shown("\u{1b}[2Jred\r\u{9b}31m\u{202e}"),
            "\\u{1b}[2Jred\\u{d}\\u{9b}31m\\u{202e}"
        );
        let mut out = Shown(Vec::new());
        let name = "a\u{7}b";
        writeln!(out, "{name}: 1").unwrap();
        assert_eq!(out.0, b"a\\u{7}b: 1\n");
    }
}
