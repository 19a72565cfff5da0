//! Rust source with its comments and literals blanked out, so that a rule about code sees code alone.

/// The source with every character of a comment, string or character literal replaced by a space.
///
/// Line breaks stay, so a line of the answer is a line of the source.
pub(super) fn code_only(source: &str) -> String {
    let mut lexer = Lexer { rest: source.chars().collect(), at: 0, code: String::new() };
    while let Some(c) = lexer.peek(0) {
        match (c, lexer.peek(1)) {
            ('/', Some('/')) => lexer.blank_while(|lexer| lexer.peek(0) != Some('\n')),
            ('/', Some('*')) => lexer.block_comment(),
            ('"', _) => lexer.quoted('"'),
            ('\'', Some('\\')) => lexer.quoted('\''),
            // Three characters with quotes around are a literal; anything else is a lifetime.
            ('\'', Some(_)) if lexer.peek(2) == Some('\'') => lexer.blank(3),
            _ if is_word(c) => lexer.word(),
            _ => lexer.keep(),
        }
    }
    lexer.code
}

/// Whether the character can be part of an identifier.
pub(super) fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The numbers, from 1, of the lines in which `word` stands with no letter on either side of it.
pub(super) fn lines_with(text: &str, word: &str) -> Vec<usize> {
    let stands_alone = |line: &str| {
        line.match_indices(word).any(|(start, _)| {
            let before = line[..start].chars().next_back();
            let after = line[start + word.len()..].chars().next();
            !before.is_some_and(is_word) && !after.is_some_and(is_word)
        })
    };
    let numbered = text.lines().enumerate();
    numbered.filter(|(_, line)| stands_alone(line)).map(|(number, _)| number + 1).collect()
}

struct Lexer {
    rest: Vec<char>,
    at: usize,
    code: String,
}

impl Lexer {
    fn peek(&self, ahead: usize) -> Option<char> {
        self.rest.get(self.at + ahead).copied()
    }

    fn keep(&mut self) {
        self.code.extend(self.peek(0));
        self.at += 1;
    }

    fn blank(&mut self, count: usize) {
        for _ in 0..count {
            let Some(c) = self.peek(0) else { return };
            self.code.push(if c == '\n' { '\n' } else { ' ' });
            self.at += 1;
        }
    }

    fn blank_while(&mut self, go_on: impl Fn(&Self) -> bool) {
        while self.at < self.rest.len() && go_on(self) {
            self.blank(1);
        }
    }

    fn block_comment(&mut self) {
        let mut depth = 0;
        while self.at < self.rest.len() {
            match (self.peek(0), self.peek(1)) {
                (Some('/'), Some('*')) => depth += 1,
                (Some('*'), Some('/')) => depth -= 1,
                _ => {
                    self.blank(1);
                    continue;
                }
            }
            self.blank(2);
            if depth == 0 {
                return;
            }
        }
    }

    /// A literal in which a backslash takes the meaning from the character after it.
    fn quoted(&mut self, quote: char) {
        self.blank(1);
        while let Some(c) = self.peek(0) {
            self.blank(if c == '\\' { 2 } else { 1 });
            if c == quote {
                return;
            }
        }
    }

    /// An identifier, a number, or the letters before a raw string, which take the string along.
    fn word(&mut self) {
        let start = self.at;
        while self.peek(0).is_some_and(is_word) {
            self.keep();
        }
        let word: String = self.rest[start..self.at].iter().collect();
        if !matches!(word.as_str(), "r" | "br" | "cr") {
            return;
        }
        let hashes = self.rest[self.at..].iter().take_while(|&&c| c == '#').count();
        // Without a quote after the hashes this is a raw identifier such as `r#type`.
        if self.peek(hashes) != Some('"') {
            return;
        }
        self.blank(hashes + 1);
        let ends = |lexer: &Self| {
            lexer.peek(0) == Some('"') && (1..=hashes).all(|i| lexer.peek(i) == Some('#'))
        };
        self.blank_while(|lexer| !ends(lexer));
        self.blank(hashes + 1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn comments_and_literals_are_blank_and_the_code_around_them_stays() {
        for (source, code) in [
            ("a // unsafe\nb", "a          \nb"),
            ("a /* x /* y */ z */ b", "a                   b"),
            (r#"f("un\"safe", g)"#, "f(          , g)"),
            (r##"f(r#"a"b"#, g)"##, "f(r       , g)"),
            (r"('\'', 'x', 'y)", "(    ,    , 'y)"),
            ("r#type + br", "r#type + br"),
            ("\"open", "     "),
        ] {
            assert_eq!(code_only(source), code, "{source}");
        }
    }

    #[test]
    fn lines_are_kept_inside_literals() {
        assert_eq!(code_only("\"a\nb\" c"), "  \n   c");
    }

    #[test]
    fn a_word_stands_alone() {
        assert_eq!(lines_with("unsafe_code\nan unsafe {\n(unsafe)", "unsafe"), [2, 3]);
    }
}
