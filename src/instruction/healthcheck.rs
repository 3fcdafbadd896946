//! `HEALTHCHECK`: how to see whether a container works.

use super::{Form, flags::Flags, missing};
use crate::base::Span;
use crate::diag::{Code, Diagnostic};
use crate::dockerfile::{Line, Word};

/// `HEALTHCHECK NONE` or `HEALTHCHECK [flags] CMD …`. Nothing in it is expanded.
#[derive(Clone, Debug)]
pub struct Healthcheck {
    /// The check; `None` turns the base's off.
    pub check: Option<Check>,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

/// A check with its times, all in nanoseconds; 0 means "not set".
#[derive(Clone, Debug)]
pub struct Check {
    /// The command.
    pub form: Form,
    /// `--interval`.
    pub interval: i64,
    /// `--timeout`.
    pub timeout: i64,
    /// `--start-period`.
    pub start_period: i64,
    /// `--start-interval`.
    pub start_interval: i64,
    /// `--retries`.
    pub retries: i64,
}

impl Healthcheck {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        let names = ["interval", "timeout", "start-period", "start-interval", "retries"];
        let mut flags = Flags::new(line, &names, &[]);
        let body = line.body.as_str();
        let end = body.find(char::is_whitespace).unwrap_or(body.len());
        let command = line.body.slice(end..body.len()).trim();
        let check = match body[..end].to_ascii_uppercase().as_str() {
            "NONE" => {
                if !command.is_empty() || !line.flags.is_empty() {
                    let message = "HEALTHCHECK NONE takes neither arguments nor flags";
                    flags.errors.push(
                        Diagnostic::error(Code("healthcheck"), message).at(line.body.whole()),
                    );
                }
                None
            }
            "CMD" => {
                let interval = duration(&mut flags, "interval");
                let timeout = duration(&mut flags, "timeout");
                let start_period = duration(&mut flags, "start-period");
                let start_interval = duration(&mut flags, "start-interval");
                let retries = retries(&mut flags);
                let form = match Form::parse(&command) {
                    Ok(form) => form,
                    Err(errors) => {
                        flags.errors.extend(errors);
                        Form::Exec(Vec::new())
                    }
                };
                if command.is_empty() || matches!(&form, Form::Exec(words) if words.is_empty()) {
                    let message = "missing command after HEALTHCHECK CMD";
                    let place = line.body.span(0..end);
                    flags.errors.push(Diagnostic::error(Code("healthcheck"), message).at(place));
                }
                Some(Check { form, interval, timeout, start_period, start_interval, retries })
            }
            "" => {
                flags.errors.push(missing(line, "requires at least one argument"));
                None
            }
            other => {
                let shown: String = other.chars().take(40).collect();
                let message = format!(
                    "unknown type `{shown}` of HEALTHCHECK: write `HEALTHCHECK CMD …` or `HEALTHCHECK NONE`"
                );
                let place = line.body.span(0..end);
                flags.errors.push(Diagnostic::error(Code("healthcheck"), message).at(place));
                None
            }
        };
        flags.finish()?;
        Ok(Healthcheck { check, span: line.span, keyword: line.keyword.span })
    }
}

fn bad(flags: &mut Flags<'_>, word: &Word, message: String) -> i64 {
    flags.errors.push(Diagnostic::error(Code("flag-value"), message).at(word.span));
    0
}

fn duration(flags: &mut Flags<'_>, name: &str) -> i64 {
    let Some(word) = flags.word(name).filter(|word| !word.raw.is_empty()) else { return 0 };
    let shown: String = word.raw.chars().take(40).collect();
    match parse_duration(&word.raw) {
        Some(0) => 0,
        // Docker's least duration of a health check.
        Some(time) if time < 1_000_000 => {
            bad(flags, &word, format!("--{name} `{shown}` cannot be less than 1ms"))
        }
        Some(time) => time,
        None => bad(flags, &word, format!("invalid duration `{shown}` of --{name}: write 30s, 5m")),
    }
}

fn retries(flags: &mut Flags<'_>) -> i64 {
    let Some(word) = flags.word("retries").filter(|word| !word.raw.is_empty()) else { return 0 };
    match word.raw.parse::<i32>() {
        Ok(number) if number >= 0 => number.into(),
        Ok(_) => bad(flags, &word, "--retries cannot be negative".to_owned()),
        Err(_) => {
            let shown: String = word.raw.chars().take(40).collect();
            bad(flags, &word, format!("invalid number `{shown}` of --retries"))
        }
    }
}

// The grammar of Go's time.ParseDuration: `1m30s`, `1.5h`, `0`. In nanoseconds.
fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    if rest.is_empty() || rest.len() > 64 {
        return None;
    }
    let mut total = 0f64;
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let number: f64 = rest[..end].parse().ok()?;
        rest = &rest[end..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        total += number
            * match &rest[..end] {
                "ns" => 1e0,
                "us" | "µs" | "μs" => 1e3,
                "ms" => 1e6,
                "s" => 1e9,
                "m" => 60e9,
                "h" => 3600e9,
                _ => return None,
            };
        rest = &rest[end..];
    }
    // 2^63 nanoseconds are 292 years.
    if total >= 9.2e18 {
        return None;
    }
    Some(if negative { -(total as i64) } else { total as i64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_those_of_go() {
        for (text, want) in [
            ("0", Some(0)),
            ("5m", Some(300_000_000_000)),
            ("1m30s", Some(90_000_000_000)),
            ("500ms", Some(500_000_000)),
            ("1.5s", Some(1_500_000_000)),
            ("-1s", Some(-1_000_000_000)),
            ("5", None),
            ("s", None),
            ("1x", None),
            ("999999999999h", None),
            ("1e5s", None),
        ] {
            assert_eq!(parse_duration(text), want, "{text}");
        }
    }
}
