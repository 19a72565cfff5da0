//! How numbers are written for people: the same in the progress bar, the report and the tables.

use std::time::Duration;

/// A fraction as a percentage with two decimals; `–` if it is not finite.
///
/// What is not quite 1 is never rounded up to `100.00 %`: one mistake in 60,000 stays visible.
///
/// ```
/// use ferrotape_train::format::percent;
///
/// assert_eq!(percent(0.9912), "99.12 %");
/// assert_eq!(percent(0.999_99), "99.99 %");
/// ```
pub fn percent(fraction: f64) -> String {
    if !fraction.is_finite() {
        return "–".into();
    }
    let mut hundredths = (fraction * 10_000.0).round();
    if fraction < 1.0 && hundredths >= 10_000.0 {
        hundredths = 9_999.0;
    }
    format!("{:.2} %", hundredths / 100.0)
}

/// A loss: four decimals, or three significant digits in exponent form when that would show none.
///
/// ```
/// use ferrotape_train::format::loss;
///
/// assert_eq!(loss(0.031_24), "0.0312");
/// assert_eq!(loss(0.000_012_3), "1.23e-5");
/// assert_eq!(loss(f64::NAN), "NaN");
/// ```
pub fn loss(value: f64) -> String {
    let size = value.abs();
    if !value.is_finite() {
        format!("{value}")
    } else if size == 0.0 || (1e-3..1e5).contains(&size) {
        format!("{value:.4}")
    } else {
        format!("{value:.2e}")
    }
}

/// A rate or another setting: up to four significant digits, no trailing zeros.
///
/// ```
/// use ferrotape_train::format::setting;
///
/// assert_eq!(setting(0.001), "0.001");
/// assert_eq!(setting(0.000_012_34), "1.234e-5");
/// assert_eq!(setting(0.1), "0.1");
/// ```
pub fn setting(value: f64) -> String {
    if value == 0.0 || !value.is_finite() {
        return format!("{value}");
    }
    // Rounding through the exponent form keeps the significant digits, whatever the size.
    let rounded: f64 = format!("{value:.3e}").parse().unwrap_or(value);
    if (1e-4..1e6).contains(&value.abs()) { format!("{rounded}") } else { format!("{rounded:e}") }
}

/// A count with its digits in groups of three.
///
/// ```
/// use ferrotape_train::format::count;
///
/// assert_eq!(count(61_706), "61,706");
/// assert_eq!(count(999), "999");
/// ```
pub fn count(value: u64) -> String {
    let digits = value.to_string();
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// A number of bytes in binary units.
///
/// ```
/// use ferrotape_train::format::bytes;
///
/// assert_eq!(bytes(512), "512 B");
/// assert_eq!(bytes(18_432), "18.0 KiB");
/// ```
pub fn bytes(value: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if value < 1024 {
        return format!("{value} B");
    }
    let mut size = value as f64 / 1024.0;
    let mut unit = 0;
    while size >= 1023.95 && unit + 1 < UNITS.len() {
        size /= 1024.0;
        unit += 1;
    }
    format!("{size:.1} {}", UNITS[unit])
}

/// A time span in the two units that matter.
///
/// ```
/// use ferrotape_train::format::duration;
/// use std::time::Duration;
///
/// assert_eq!(duration(Duration::from_millis(3_240)), "3.2 s");
/// assert_eq!(duration(Duration::from_secs(72)), "1 min 12 s");
/// assert_eq!(duration(Duration::from_secs(3_780)), "1 h 03 min");
/// ```
pub fn duration(span: Duration) -> String {
    if span < Duration::from_millis(9_950) {
        return format!("{:.1} s", span.as_secs_f64());
    }
    let seconds = span.as_secs_f64().round() as u64;
    match seconds {
        0..60 => format!("{seconds} s"),
        60..3600 => format!("{} min {:02} s", seconds / 60, seconds % 60),
        _ => format!("{} h {:02} min", seconds / 3600, seconds % 3600 / 60),
    }
}

/// [`duration`] of a number of seconds from a record; `–` if it is negative or not finite.
///
/// ```
/// use ferrotape_train::format::seconds;
///
/// assert_eq!(seconds(38.2), "38 s");
/// assert_eq!(seconds(f64::NAN), "–");
/// ```
pub fn seconds(value: f64) -> String {
    Duration::try_from_secs_f64(value).map_or_else(|_| "–".into(), duration)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_perfect_score_is_written_as_a_hundred() {
        assert_eq!(percent(1.0), "100.00 %");
        assert_eq!(percent(59_999.0 / 60_000.0), "99.99 %");
        assert_eq!(percent(0.0), "0.00 %");
        assert_eq!(percent(f64::NAN), "–");
    }

    #[test]
    fn settings_lose_rounding_noise_but_no_digit_that_was_typed() {
        assert_eq!(setting(0.1 + 0.2), "0.3");
        assert_eq!(setting(0.0625), "0.0625");
        assert_eq!(setting(0.0), "0");
        assert_eq!(setting(42.0), "42");
        assert_eq!(setting(1e-8), "1e-8");
    }

    #[test]
    fn digits_are_grouped_from_the_right() {
        assert_eq!(count(0), "0");
        assert_eq!(count(1_000), "1,000");
        assert_eq!(count(123_456_789), "123,456,789");
    }

    #[test]
    fn units_change_where_rounding_would_show_the_next_one() {
        assert_eq!(bytes(1023), "1023 B");
        assert_eq!(bytes(1024 * 1024 - 1), "1.0 MiB");
        assert_eq!(duration(Duration::from_millis(59_700)), "1 min 00 s");
        assert_eq!(duration(Duration::from_millis(9_960)), "10 s");
        assert_eq!(seconds(-1.0), "–");
    }
}
