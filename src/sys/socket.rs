//! Messages with file descriptors between the builder, what is forked for steps, and a step's first process.

use std::io::{self, IoSlice, IoSliceMut, Read, Write};
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;

use rustix::net::{
    RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendAncillaryBuffer,
    SendAncillaryMessage, SendFlags, recvmsg, sendmsg,
};

/// The kernel sends at most 253 descriptors with one message (unix(7)).
pub(crate) const MOST_FDS: usize = 253;

/// Most bytes of one message: room for the largest secrets of a step.
const MOST_BYTES: u64 = 64 << 20;

/// Sends descriptors and parts of bytes as one message.
pub(crate) fn send(socket: &UnixStream, fds: &[BorrowedFd<'_>], parts: &[&[u8]]) -> io::Result<()> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = SendAncillaryBuffer::new(&mut space);
    if !fds.is_empty() && !control.push(SendAncillaryMessage::ScmRights(fds)) {
        return Err(io::Error::other("too many mounts for one step"));
    }
    let count = (parts.len() as u64).to_le_bytes();
    sendmsg(socket, &[IoSlice::new(&count)], &mut control, SendFlags::NOSIGNAL)?;
    let mut socket = socket;
    for part in parts {
        socket.write_all(&(part.len() as u64).to_le_bytes())?;
        socket.write_all(part)?;
    }
    Ok(())
}

/// Receives what [`send`] sent.
pub(crate) fn receive(socket: &UnixStream) -> io::Result<(Vec<OwnedFd>, Vec<Vec<u8>>)> {
    let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(MOST_FDS))];
    let mut control = RecvAncillaryBuffer::new(&mut space);
    let mut count = [0u8; 8];
    let got =
        recvmsg(socket, &mut [IoSliceMut::new(&mut count)], &mut control, RecvFlags::CMSG_CLOEXEC)?;
    if got.bytes == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let fds = control
        .drain()
        .filter_map(|message| match message {
            RecvAncillaryMessage::ScmRights(fds) => Some(fds),
            _ => None,
        })
        .flatten()
        .collect();
    let mut socket = socket;
    socket.read_exact(&mut count[got.bytes..])?;
    let mut parts = Vec::new();
    let mut left = MOST_BYTES;
    for _ in 0..u64::from_le_bytes(count) {
        let mut size = [0u8; 8];
        socket.read_exact(&mut size)?;
        let size = u64::from_le_bytes(size);
        left = left.checked_sub(size).ok_or(io::ErrorKind::FileTooLarge)?;
        let mut part = vec![0; usize::try_from(size).map_err(io::Error::other)?];
        socket.read_exact(&mut part)?;
        parts.push(part);
    }
    Ok((fds, parts))
}

/// Borrows descriptors for [`send`].
pub(crate) fn borrow(fds: &[OwnedFd]) -> Vec<BorrowedFd<'_>> {
    fds.iter().map(AsFd::as_fd).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn descriptors_and_bytes_arrive() {
        let (here, there) = UnixStream::pair().unwrap();
        let (mut reader, writer) = io::pipe().unwrap();
        let fds = [OwnedFd::from(writer)];
        send(&here, &borrow(&fds), &[b"one", b"", &[7; 70_000]]).unwrap();
        let (got, parts) = receive(&there).unwrap();
        assert_eq!(parts, [b"one".to_vec(), Vec::new(), vec![7; 70_000]]);
        let mut writer = std::fs::File::from(got.into_iter().next().unwrap());
        writer.write_all(b"x").unwrap();
        let mut byte = [0];
        reader.read_exact(&mut byte).unwrap();
        assert_eq!(byte, *b"x");
    }

    #[test]
    fn a_closed_socket_is_an_error() {
        let (here, there) = UnixStream::pair().unwrap();
        drop(here);
        assert!(receive(&there).is_err());
    }
}
