//! Text that goes into a page.

/// Text as it may stand between tags and in quoted attributes.
pub(super) fn escape(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            _ => safe.push(c),
        }
    }
    safe
}

/// A coordinate: two decimals are a hundredth of a pixel.
pub(super) fn at(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn coordinates_are_short_and_whole_numbers_keep_their_zeros() {
        assert_eq!(at(100.0), "100");
        assert_eq!(at(0.5), "0.5");
        assert_eq!(at(1.0 / 3.0), "0.33");
        assert_eq!(at(0.0), "0");
    }
}
