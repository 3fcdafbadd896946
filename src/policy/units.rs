//! Sizes, times and shares as policies write them.

use toml::Value;

/// Reads `200B`, `64KiB`, `20MB`, or a number of bytes.
pub(super) fn size(value: &Value) -> Option<u64> {
    let Some(text) = value.as_str() else {
        return value.as_integer().and_then(|bytes| u64::try_from(bytes).ok());
    };
    let text = text.trim();
    let at = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (number, unit) = text.split_at(at);
    let factor = match unit.trim().to_ascii_lowercase().as_str() {
        "" | "b" => 1,
        "k" | "kb" => 1_000,
        "m" | "mb" => 1_000_000,
        "g" | "gb" => 1_000_000_000,
        "kib" => 1 << 10,
        "mib" => 1 << 20,
        "gib" => 1 << 30,
        _ => return None,
    };
    match number.parse::<u64>() {
        Ok(whole) => whole.checked_mul(factor),
        Err(_) => {
            let bytes = number.parse::<f64>().ok()? * factor as f64;
            (bytes >= 0.0 && bytes < u64::MAX as f64).then_some(bytes as u64)
        }
    }
}

/// Reads `90d`, `12h`, `30m`, `45s` as seconds; less than one is none.
pub(super) fn seconds(text: &str) -> Option<u64> {
    millis(text).map(|millis| millis / 1000)
}

/// Reads `90d`, `12h`, `30m` (or `30min`), `45s`, `200ms` as milliseconds.
pub(super) fn millis(text: &str) -> Option<u64> {
    let at = text.find(|c: char| !c.is_ascii_digit())?;
    let factor = match &text[at..] {
        "ms" => 1,
        "s" => 1_000,
        "m" | "min" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return None,
    };
    text[..at].parse::<u64>().ok()?.checked_mul(factor)
}

/// Reads `0.1` or `10%` as a fraction from 0 to 1.
pub(super) fn share(value: &Value) -> Option<f64> {
    let share = match value {
        Value::Float(share) => *share,
        Value::Integer(share) => *share as f64,
        Value::String(text) => text.strip_suffix('%')?.trim().parse::<f64>().ok()? / 100.0,
        _ => return None,
    };
    (0.0..=1.0).contains(&share).then_some(share)
}

/// Returns the days since 1970-01-01 of a text that begins `YYYY-MM-DD`.
pub(super) fn days(text: &str) -> Option<i64> {
    let date = text.get(..10)?;
    let mut parts = date.split('-').map(|part| part.parse::<i64>().ok());
    let (year, month, day) = (parts.next()??, parts.next()??, parts.next()??);
    if !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March (H. Hinnant, "chrono-compatible low-level date algorithms").
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let yoe = year.rem_euclid(400);
    let doy = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    Some(era * 146_097 + doe - 719_468)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn units_are_read() {
        let size_of = |text: &str| size(&Value::String(text.into()));
        assert_eq!(size_of("200B"), Some(200));
        assert_eq!(size_of("1.5 KiB"), Some(1536));
        assert_eq!(size_of("20MB"), Some(20_000_000));
        assert_eq!(size_of("20 apples"), None);
        assert_eq!(size(&Value::Integer(-1)), None);
        assert_eq!(seconds("90d"), Some(7_776_000));
        assert_eq!(seconds("d"), None);
        assert_eq!(millis("200ms"), Some(200));
        assert_eq!(millis("30min"), Some(1_800_000));
        assert_eq!(share(&Value::String("10%".into())), Some(0.1));
        assert_eq!(share(&Value::Float(1.5)), None);
        assert_eq!(days("1970-01-02T00:00:00Z"), Some(1));
        assert_eq!(days("2000-03-01"), Some(11_017));
        assert_eq!(days("2000-13-01"), None);
    }
}
