//! Licence expressions, as crates state them: names joined by `AND`, `OR` and brackets. A slash is an old
//! way to write `OR`, and `WITH` adds an exception, which only allows more.

/// Whether the allowed licences are enough for an expression.
///
/// # Errors
/// A text that is no expression.
pub(super) fn allows(expression: &str, allowed: &[String]) -> Result<bool, String> {
    let spaced = expression.replace('(', " ( ").replace(')', " ) ").replace('/', " OR ");
    let words: Vec<&str> = spaced.split_whitespace().collect();
    let mut rest = words.as_slice();
    let enough = any(&mut rest, allowed);
    match (enough, rest) {
        (Some(enough), []) => Ok(enough),
        _ => Err(format!("the licence {expression:?} is not understood")),
    }
}

/// Terms joined by `OR`.
fn any(rest: &mut &[&str], allowed: &[String]) -> Option<bool> {
    let mut enough = all(rest, allowed)?;
    while take(rest, "OR") {
        // Both sides are read, whatever the first one says.
        enough |= all(rest, allowed)?;
    }
    Some(enough)
}

/// Terms joined by `AND`, which binds more tightly.
fn all(rest: &mut &[&str], allowed: &[String]) -> Option<bool> {
    let mut enough = one(rest, allowed)?;
    while take(rest, "AND") {
        enough &= one(rest, allowed)?;
    }
    Some(enough)
}

/// A licence, or an expression in brackets.
fn one(rest: &mut &[&str], allowed: &[String]) -> Option<bool> {
    if take(rest, "(") {
        let enough = any(rest, allowed)?;
        return take(rest, ")").then_some(enough);
    }
    let (name, after) = rest.split_first()?;
    *rest = after;
    if ["AND", "OR", "WITH", ")"].contains(name) {
        return None;
    }
    if take(rest, "WITH") {
        *rest = rest.split_first()?.1;
    }
    Some(allowed.iter().any(|licence| licence == name))
}

fn take(rest: &mut &[&str], word: &str) -> bool {
    match rest.split_first() {
        Some((first, after)) if *first == word => {
            *rest = after;
            true
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn one_side_of_or_is_enough_and_both_of_and_are_needed() {
        let allowed = ["MIT".to_owned(), "Zlib".to_owned()];
        for (expression, enough) in [
            ("MIT", true),
            ("GPL-3.0", false),
            ("MIT/GPL-3.0", true),
            ("GPL-3.0 OR MIT", true),
            ("MIT AND GPL-3.0", false),
            ("(MIT OR GPL-3.0) AND Zlib", true),
            ("GPL-3.0 OR MIT AND Zlib", true),
            ("MIT WITH LLVM-exception OR GPL-3.0", true),
        ] {
            assert_eq!(allows(expression, &allowed), Ok(enough), "{expression}");
        }
        for nonsense in ["", "MIT OR", "(MIT", "MIT)", "MIT MIT", "AND"] {
            assert!(allows(nonsense, &allowed).is_err(), "{nonsense}");
        }
    }
}
