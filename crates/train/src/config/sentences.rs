//! What is said of a configuration that cannot be read.

/// What people write for a key, and the key.
const SYNONYMS: [(&str, &str); 5] = [
    ("lr", "learning_rate"),
    ("rate", "learning_rate"),
    ("batch", "batch_size"),
    ("arch", "model"),
    ("wd", "weight_decay"),
];

/// How much of a line that cannot be read is shown, in characters.
const SHOWN: usize = 80;

/// The sentence about a key that is not one, with the known key that was probably meant.
pub(super) fn unknown_key(unknown: &str, known: &[String]) -> String {
    let typed = unknown.to_lowercase().replace('-', "_");
    let synonym = SYNONYMS.iter().find(|(said, _)| *said == typed).map(|(_, key)| *key);
    let nearest = || {
        known
            .iter()
            .map(|key| (strsim::normalized_damerau_levenshtein(&typed, key), key.as_str()))
            .filter(|(likeness, _)| *likeness >= 0.5)
            .max_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, key)| key)
    };
    match synonym.or_else(nearest) {
        Some(key) => {
            format!("unknown key `{unknown}` in the configuration; did you mean `{key}`?")
        }
        None => format!(
            "unknown key `{unknown}` in the configuration; the known ones are {}",
            known.join(", ")
        ),
    }
}

/// The parser's answer with the line that it is about.
pub(super) fn unreadable(text: &str, error: &toml::de::Error) -> String {
    // A message of several lines continues after a dash.
    let message = error.message().trim_end().replace('\n', " - ");
    let before = error.span().and_then(|span| text.get(..span.start));
    let Some(before) = before else {
        return format!("the configuration cannot be read: {message}");
    };
    let number = before.matches('\n').count();
    let line = text.lines().nth(number).unwrap_or_default().trim();
    let shown: String = line.chars().take(SHOWN).collect();
    let more = if shown.len() < line.len() { "..." } else { "" };
    let number = number + 1;
    format!("the configuration cannot be read; mend line {number}, `{shown}{more}`: {message}")
}
