//! Configurations in TOML.

use ferrotape_train::RunConfig;

use crate::memory::bounded;
use crate::place::said;

/// What reading takes beyond the text: the recipe of the model, written out and read back several times.
const RECIPE: usize = 1 << 20;

/// The bytes are a file.
pub fn config(bytes: &[u8]) {
    let Ok(text) = std::str::from_utf8(bytes) else { return };
    match bounded(bytes, RECIPE, || RunConfig::from_toml(text)) {
        Ok(config) => holds(&config),
        Err(error) => said(&error),
    }
}

/// What was read is valid, and is the same once it was written and read again.
pub(crate) fn holds(config: &RunConfig) {
    config.validate().expect("what was read was checked");
    let text = config.to_toml();
    let again = RunConfig::from_toml(&text).expect("what was written can be read");
    assert_eq!(&again, config);
    assert_eq!(again.to_toml(), text);
    assert!(config.entries().len() <= text.lines().count());
}
