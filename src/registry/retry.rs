//! How often, and how long to wait in between.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

/// Tries of one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Retry {
    /// Tries in all, at least one.
    pub tries: u32,
    /// Wait before the second try; doubled before each further one.
    pub first_wait: Duration,
    /// Longest wait, also when the registry asks for more: then it is given up.
    pub max_wait: Duration,
}

impl Default for Retry {
    fn default() -> Self {
        Retry {
            tries: 5,
            first_wait: Duration::from_millis(500),
            max_wait: Duration::from_secs(60),
        }
    }
}

impl Retry {
    /// Returns how long to wait after try number `tried` (from 1) failed; `None` to give up.
    /// Between half and all of the doubled wait, by chance, so that many builders do not come back
    /// in step.
    pub(super) fn wait(&self, tried: u32, asked: Option<Duration>) -> Option<Duration> {
        if tried >= self.tries {
            return None;
        }
        if let Some(asked) = asked {
            return (asked <= self.max_wait).then_some(asked);
        }
        let full = self.first_wait.saturating_mul(1 << (tried - 1).min(16)).min(self.max_wait);
        let half = full / 2;
        let spread = u64::try_from(half.as_micros()).unwrap_or(u64::MAX).saturating_add(1);
        Some(half + Duration::from_micros(RandomState::new().hash_one(tried) % spread))
    }
}

/// Reads `Retry-After` (RFC 9110, section 10.2.3). The form with a date is passed over: it would
/// need a clock that agrees with the server's.
pub(super) fn retry_after(value: &str) -> Option<Duration> {
    value.trim().parse::<u32>().ok().map(|seconds| Duration::from_secs(seconds.into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_within_bounds() {
        let retry = Retry::default();
        for (tried, low, high) in [(1, 250, 500), (2, 500, 1000), (3, 1000, 2000), (4, 2000, 4000)]
        {
            let wait = retry.wait(tried, None).unwrap().as_millis();
            assert!((low..=high).contains(&wait), "{tried}: {wait}");
        }
        assert_eq!(retry.wait(5, None), None);
        assert_eq!(retry.wait(1, Some(Duration::from_secs(7))), Some(Duration::from_secs(7)));
        assert_eq!(retry.wait(1, Some(Duration::from_secs(61))), None);
    }

    #[test]
    fn retry_after_in_seconds() {
        assert_eq!(retry_after(" 3 "), Some(Duration::from_secs(3)));
        for bad in ["", "-1", "Wed, 21 Oct 2015 07:28:00 GMT", "99999999999"] {
            assert_eq!(retry_after(bad), None);
        }
    }
}
