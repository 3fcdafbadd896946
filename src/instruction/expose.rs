//! `EXPOSE`: ports that the image listens on.

use super::{flags, missing};
use crate::base::Span;
use crate::diag::Diagnostic;
use crate::dockerfile::{Line, Word, blank_words};

/// `EXPOSE 80 443/tcp 7000-7005/udp`.
#[derive(Clone, Debug)]
pub struct Expose {
    /// The ports; a variable may hold several.
    pub ports: Vec<Word>,
    /// The whole instruction.
    pub span: Span,
    /// The keyword.
    pub keyword: Span,
}

impl Expose {
    pub(super) fn parse(line: &Line) -> Result<Self, Vec<Diagnostic>> {
        flags::none(line)?;
        let ports = blank_words(&line.body);
        if ports.is_empty() {
            return Err(vec![missing(line, "requires at least one argument")]);
        }
        Ok(Expose { ports, span: line.span, keyword: line.keyword.span })
    }

    /// Returns what one expanded word stands for, as the config spells it: `80/tcp`, `53/udp`. A
    /// range gives each of its ports. An address or a host port in front is dropped, as Docker
    /// does.
    pub fn expand(word: &str) -> Result<Vec<String>, ExposeError> {
        let shown = || word.chars().take(60).collect::<String>();
        let (ports, protocol) = match word.split_once('/') {
            Some((ports, protocol)) => (ports, protocol.to_ascii_lowercase()),
            None => (word, "tcp".to_owned()),
        };
        if !["tcp", "udp", "sctp"].contains(&protocol.as_str()) {
            return Err(ExposeError::Protocol(shown()));
        }
        let ports = ports.rsplit(':').next().unwrap_or(ports);
        let (first, last) = ports.split_once('-').unwrap_or((ports, ports));
        let number = |text: &str| {
            if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
                return Err(ExposeError::Form(shown()));
            }
            text.parse::<u16>().map_err(|_| ExposeError::Range(shown()))
        };
        let (first, last) = (number(first)?, number(last)?);
        if first > last {
            return Err(ExposeError::Range(shown()));
        }
        Ok((first..=last).map(|port| format!("{port}/{protocol}")).collect())
    }
}

/// Why a word is no port.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ExposeError {
    /// No number where one must be.
    #[error("invalid port `{0}`: write a number or a range, as `80` or `7000-7005/udp`")]
    Form(String),
    /// Above 65535, or a range that runs backwards.
    #[error("invalid port `{0}`: out of the range 0 to 65535, or backwards")]
    Range(String),
    /// Neither tcp, udp nor sctp.
    #[error("invalid protocol in `{0}`: only tcp, udp and sctp are known")]
    Protocol(String),
}
