//! What a step may ask an ssh agent: to list its keys, and to sign.
//!
//! A message is a length of four bytes, big endian, and that many bytes, the first of which is its
//! type (draft-miller-ssh-agent, "Agent protocol"). Only messages that are understood to their last
//! byte are passed on; all others are answered here.

use std::io::{self, Read, Write};

/// The largest message, in bytes: OpenSSH's own limit (`AGENT_MAX_LEN`).
pub(super) const MESSAGE_LIMIT: usize = 256 * 1024;

// Numbers of messages: draft-miller-ssh-agent, "Protocol numbers".
const FAILURE: u8 = 5;
const SUCCESS: u8 = 6;
pub(super) const REQUEST_IDENTITIES: u8 = 11;
pub(super) const IDENTITIES_ANSWER: u8 = 12;
pub(super) const SIGN_REQUEST: u8 = 13;
pub(super) const SIGN_RESPONSE: u8 = 14;
const EXTENSION: u8 = 27;
const EXTENSION_FAILURE: u8 = 28;

/// Tells the agent which host a connection talks to, proven by the host's signature, so that keys
/// bound to hosts can be used (OpenSSH's PROTOCOL.agent). It takes powers away, and gives none.
const SESSION_BIND: &[u8] = b"session-bind@openssh.com";

/// The answer to all that is not passed on.
pub(super) const REFUSAL: &[u8] = &[FAILURE];

/// Reads one message; `None` at the end of the stream. One that is empty or too large is an error,
/// after which nothing sensible can follow.
pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Vec<u8>>> {
    let mut length = [0u8; 4];
    if from.read(&mut length[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut length[1..])?;
    let length = u32::from_be_bytes(length) as usize;
    if length == 0 || length > MESSAGE_LIMIT {
        return Err(io::ErrorKind::InvalidData.into());
    }
    // Memory follows what has come, not what was announced.
    let mut message = Vec::new();
    from.take(length as u64).read_to_end(&mut message)?;
    if message.len() < length {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(Some(message))
}

/// Writes one message.
pub(super) fn write(to: &mut impl Write, message: &[u8]) -> io::Result<()> {
    let length = u32::try_from(message.len()).map_err(io::Error::other)?;
    let mut framed = length.to_be_bytes().to_vec();
    framed.extend_from_slice(message);
    to.write_all(&framed)
}

/// Tells whether a message may reach the agent.
pub(super) fn may_pass(request: &[u8]) -> bool {
    let Some((kind, mut rest)) = request.split_first() else { return false };
    let rest = &mut rest;
    match *kind {
        REQUEST_IDENTITIES => rest.is_empty(),
        // Key, data, flags.
        SIGN_REQUEST => string(rest).is_some() && string(rest).is_some() && rest.len() == 4,
        // Host key, session, signature, whether the connection is forwarded.
        EXTENSION => {
            string(rest) == Some(SESSION_BIND)
                && (0..3).all(|_| string(rest).is_some())
                && matches!(rest, [0 | 1])
        }
        _ => false,
    }
}

/// Tells whether an agent's answer is one to this request.
pub(super) fn fits(request: &[u8], answer: &[u8]) -> bool {
    let (Some(request), Some(answer)) = (request.first(), answer.first()) else { return false };
    matches!(
        (*request, *answer),
        (_, FAILURE)
            | (REQUEST_IDENTITIES, IDENTITIES_ANSWER)
            | (SIGN_REQUEST, SIGN_RESPONSE)
            | (EXTENSION, SUCCESS | EXTENSION_FAILURE)
    )
}

// Takes a length of four bytes and that many bytes off the front.
pub(super) fn string<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    let (length, after) = rest.split_first_chunk::<4>()?;
    let (text, after) = after.split_at_checked(u32::from_be_bytes(*length) as usize)?;
    *rest = after;
    Some(text)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn message(kind: u8, strings: &[&[u8]], tail: &[u8]) -> Vec<u8> {
        let mut out = vec![kind];
        for text in strings {
            write(&mut out, text).unwrap();
        }
        out.extend_from_slice(tail);
        out
    }

    #[test]
    fn listing_signing_and_binding_pass() {
        let good = [
            message(REQUEST_IDENTITIES, &[], &[]),
            message(SIGN_REQUEST, &[b"key", b"data"], &[0, 0, 0, 4]),
            message(SIGN_REQUEST, &[b"", b""], &[0; 4]),
            message(EXTENSION, &[SESSION_BIND, b"key", b"id", b"signature"], &[1]),
        ];
        for request in good {
            assert!(may_pass(&request), "{request:?}");
        }
    }

    #[test]
    fn all_else_stays_here() {
        for kind in 0..=255 {
            let known = [REQUEST_IDENTITIES, SIGN_REQUEST, EXTENSION].contains(&kind);
            assert!(known || !may_pass(&message(kind, &[], &[])), "{kind}");
            assert!(known || !may_pass(&message(kind, &[b"key", b"data"], &[0; 4])), "{kind}");
        }
        let bad = [
            Vec::new(),
            message(REQUEST_IDENTITIES, &[], b"x"),
            message(SIGN_REQUEST, &[], &[]),
            message(SIGN_REQUEST, &[b"key"], &[0; 4]),
            message(SIGN_REQUEST, &[b"key", b"data"], &[0; 3]),
            message(SIGN_REQUEST, &[b"key", b"data"], &[0; 5]),
            message(SIGN_REQUEST, &[b"key"], &[0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
            message(EXTENSION, &[], &[]),
            message(EXTENSION, &[b"query"], &[]),
            message(EXTENSION, &[SESSION_BIND], &[]),
            message(EXTENSION, &[SESSION_BIND, b"key", b"id", b"signature"], &[2]),
            message(EXTENSION, &[SESSION_BIND, b"key", b"id", b"signature"], &[1, 1]),
            message(EXTENSION, &[b"session-bind@openssh.co", b"key", b"id", b"sig"], &[1]),
        ];
        for request in bad {
            assert!(!may_pass(&request), "{request:?}");
        }
    }

    #[test]
    fn an_answer_is_of_the_kind_that_was_asked_for() {
        assert!(fits(&[REQUEST_IDENTITIES], &[IDENTITIES_ANSWER, 0, 0, 0, 0]));
        assert!(fits(&[SIGN_REQUEST], &[SIGN_RESPONSE]));
        assert!(fits(&[SIGN_REQUEST], REFUSAL));
        assert!(!fits(&[SIGN_REQUEST], &[IDENTITIES_ANSWER]));
        assert!(!fits(&[REQUEST_IDENTITIES], &[SUCCESS]));
        assert!(!fits(&[REQUEST_IDENTITIES], &[]));
    }

    #[test]
    fn frames_are_bounded() {
        let check = |bytes: &[u8]| read(&mut &*bytes).map_err(|error| error.kind());
        assert_eq!(check(&[]), Ok(None));
        assert_eq!(check(&[0, 0, 0, 1, 11]), Ok(Some(vec![11])));
        assert_eq!(check(&[0, 0, 0, 0]), Err(io::ErrorKind::InvalidData));
        assert_eq!(check(&[0xff; 8]), Err(io::ErrorKind::InvalidData));
        assert_eq!(check(&[0, 4, 0, 1, 11]), Err(io::ErrorKind::InvalidData));
        assert_eq!(check(&[0, 4, 0, 0, 11]), Err(io::ErrorKind::UnexpectedEof));
        assert_eq!(check(&[0, 0]), Err(io::ErrorKind::UnexpectedEof));
    }

    proptest! {
        #[test]
        fn any_bytes_are_read(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
            let _ = read(&mut bytes.as_slice());
            let _ = may_pass(&bytes);
        }

        #[test]
        fn what_is_written_is_read(bytes in prop::collection::vec(any::<u8>(), 1..2000)) {
            let mut framed = Vec::new();
            write(&mut framed, &bytes).unwrap();
            prop_assert_eq!(read(&mut framed.as_slice()).unwrap(), Some(bytes));
        }
    }
}
