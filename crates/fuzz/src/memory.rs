//! How much memory a reader asks for.

/// What any reader may ask for, whatever its file is like.
const BASE: usize = 64 << 10;

/// What it may ask for besides for each byte of its file: a byte of JSON is at most an element of a list of
/// values.
const A_BYTE: usize = 256;

/// Reads, and fails where the memory that was held at once is more than the file is worth.
///
/// # Panics
/// It is.
pub(crate) fn bounded<T>(bytes: &[u8], besides: usize, read: impl FnOnce() -> T) -> T {
    let mut result = None;
    let taken = allocation_counter::measure(|| result = Some(read()));
    let most = BASE + A_BYTE * bytes.len() + besides;
    assert!(
        taken.bytes_max <= most as u64,
        "{} bytes were held for a file of {}; at most {most} are its worth",
        taken.bytes_max,
        bytes.len()
    );
    result.expect("what is measured is run")
}

/// Runs without counting: a size that no memory holds is more than the counter holds, too.
pub(crate) fn uncounted<T>(run: impl FnOnce() -> T) -> T {
    let mut result = None;
    allocation_counter::opt_out(|| result = Some(run()));
    result.expect("what is not counted is run")
}

#[cfg(test)]
mod tests {
    use std::hint::black_box;

    use super::*;

    #[test]
    fn what_a_file_is_worth_is_allowed_and_more_is_not() {
        assert_eq!(bounded(&[0; 1000], 0, || black_box(vec![1_u8; 100_000]).len()), 100_000);
        assert_eq!(bounded(&[], 1 << 20, || black_box(vec![1_u8; 1 << 20]).len()), 1 << 20);
        let greedy = || bounded(&[], 0, || black_box(vec![1_u8; 1 << 20]).len());
        assert!(std::panic::catch_unwind(greedy).is_err());
    }
}
