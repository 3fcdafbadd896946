//! Times as values: whole seconds since 1970 in UTC. No clock is read here.

use std::fmt;

/// Seconds since 1970-01-01T00:00:00Z. Made from `SOURCE_DATE_EPOCH` or a given value.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct Timestamp(i64);

/// Why a text is no timestamp.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a time: write seconds since 1970, or 2026-01-31T12:00:00Z")]
pub struct TimestampError(String);

// 9999-12-31T23:59:59Z: RFC 3339 has four digits for the year.
const LAST: i64 = 253_402_300_799;

impl Timestamp {
    /// 1980-01-01T00:00:01Z: the time of everything that a build makes when none is given. Not
    /// 1970, which some tools take for "no time"; a second after the first that zip can hold.
    pub const BUILD_DEFAULT: Timestamp = Timestamp(315_532_801);

    /// Returns the time `seconds` after 1970, clamped to the years 1970 to 9999.
    pub fn from_seconds(seconds: i64) -> Self {
        Timestamp(seconds.clamp(0, LAST))
    }

    /// Returns the seconds since 1970.
    pub fn seconds(self) -> i64 {
        self.0
    }

    /// Parses whole seconds since 1970, as `SOURCE_DATE_EPOCH` has them.
    pub fn parse_seconds(text: &str) -> Result<Self, TimestampError> {
        match text.trim().parse::<i64>() {
            Ok(seconds) if (0..=LAST).contains(&seconds) => Ok(Timestamp(seconds)),
            _ => Err(TimestampError(text.escape_default().to_string())),
        }
    }
}

impl fmt::Display for Timestamp {
    /// RFC 3339 in UTC.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (days, second) = (self.0.div_euclid(86_400), self.0.rem_euclid(86_400));
        // Days to civil date, with years that begin in March (H. Hinnant, "chrono-compatible
        // low-level date algorithms").
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let doe = z.rem_euclid(146_097);
        let yoe = (doe - doe / 1_460 + doe / 36_524 - doe / 146_096) / 365;
        let doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
        let mp = (5 * doy + 2) / 153;
        let day = doy - (153 * mp + 2) / 5 + 1;
        let month = if mp < 10 { mp + 3 } else { mp - 9 };
        let year = yoe + era * 400 + i64::from(month <= 2);
        write!(
            f,
            "{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z",
            second / 3600,
            second / 60 % 60,
            second % 60
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_dates() {
        for (seconds, want) in [
            (0, "1970-01-01T00:00:00Z"),
            (315_532_801, "1980-01-01T00:00:01Z"),
            (951_782_400, "2000-02-29T00:00:00Z"),
            (1_700_000_000, "2023-11-14T22:13:20Z"),
            (LAST, "9999-12-31T23:59:59Z"),
        ] {
            assert_eq!(Timestamp::from_seconds(seconds).to_string(), want);
        }
    }

    #[test]
    fn times_outside_the_calendar_are_clamped_or_refused() {
        assert_eq!(Timestamp::from_seconds(-5).seconds(), 0);
        assert!(Timestamp::parse_seconds("-1").is_err());
        assert!(Timestamp::parse_seconds("99999999999999").is_err());
        assert_eq!(Timestamp::parse_seconds("12\n").unwrap().seconds(), 12);
    }
}
