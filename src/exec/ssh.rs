//! `RUN --mount=type=ssh`: a socket that a step may list keys and sign at.
//!
//! The agent's own socket never enters a step: whoever reaches it can add, remove and lock keys. The
//! step gets a socket of the builder's, which ends with the step; its messages are read here, and
//! only those that [`protocol`] lets pass reach the agent.

mod keys;
mod protocol;

use std::collections::BTreeMap;
use std::fs::{self, File, Permissions};
use std::io;
use std::net::Shutdown;
use std::os::fd::{AsRawFd, OwnedFd};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt, chown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::sys::IdMode;
use crate::sys::own::{self, Own};

/// Most connections of a step to one agent at a time; more are closed at once.
const CONNECTION_LIMIT: usize = 16;

pub use keys::{KEY_LIMIT, KeyError, Keyring};

/// What stands behind an id of `--ssh`.
#[derive(Clone, Debug)]
pub enum Agent {
    /// An agent, by its socket.
    Socket(PathBuf),
    /// Keys of files.
    Keys(Arc<Keyring>),
}

/// A socket at which the keys of an [`Agent`] sign, for a program of the host. Dropped, it is gone.
pub struct AgentSocket(Proxy);

impl AgentSocket {
    /// Listens in `folder`, which is made.
    pub fn start(folder: PathBuf, agent: &Agent) -> io::Result<Self> {
        let access = Access { owner: (0, 0), ids: IdMode::Single, mode: 0o600 };
        Proxy::start(folder, agent, access).map(AgentSocket)
    }

    /// Where it is.
    pub fn path(&self) -> PathBuf {
        self.0.socket()
    }
}

/// Who may use the socket of a step.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Access {
    /// Owner and group.
    pub(super) owner: (u32, u32),
    /// Whether the kernel can have them.
    pub(super) ids: IdMode,
    /// Permission bits.
    pub(super) mode: u32,
}

/// A socket for one step. Dropped, it is gone, and every connection with it.
pub(super) struct Proxy {
    folder: PathBuf,
    listener: UnixStream,
    connections: Arc<Connections>,
}

impl Proxy {
    /// Listens in `folder`, which is made, for requests to `agent`.
    pub(super) fn start(folder: PathBuf, agent: &Agent, access: Access) -> io::Result<Self> {
        fs::DirBuilder::new().mode(0o700).create(&folder)?;
        let socket = folder.join(SOCKET);
        // The path of a socket has at most 107 bytes (unix(7)); that of a store may have more.
        let handle = File::open(&folder)?;
        let short = format!("/proc/self/fd/{}/{SOCKET}", handle.as_raw_fd());
        let listener = UnixListener::bind(short)?;
        let proxy = Proxy {
            folder,
            listener: UnixStream::from(OwnedFd::from(listener.try_clone()?)),
            connections: Arc::default(),
        };
        let (uid, gid) = access.owner;
        if access.ids.has_many() {
            chown(&socket, Some(uid), Some(gid))?;
        } else if (uid, gid) != (0, 0) {
            own::set_special(&handle, SOCKET.as_bytes(), Own::of(uid, gid))?;
        }
        fs::set_permissions(&socket, Permissions::from_mode(access.mode))?;
        let (connections, agent) = (Arc::clone(&proxy.connections), agent.clone());
        thread::Builder::new()
            .name("ssh-agent".to_owned())
            .spawn(move || accept(&listener, &connections, &agent))?;
        Ok(proxy)
    }

    /// Where the socket is, for mounting it.
    pub(super) fn socket(&self) -> PathBuf {
        self.folder.join(SOCKET)
    }
}

const SOCKET: &str = "agent";

impl Drop for Proxy {
    fn drop(&mut self) {
        self.connections.end();
        // Ends `accept` (shutdown(2) of a listening socket).
        let _ = self.listener.shutdown(Shutdown::Both);
        let _ = fs::remove_file(self.socket());
        let _ = fs::remove_dir(&self.folder);
    }
}

/// The open connections, by number, with both their ends.
#[derive(Default)]
struct Connections(Mutex<Open>);

#[derive(Default)]
struct Open {
    ended: bool,
    next: u64,
    streams: BTreeMap<u64, Vec<Arc<UnixStream>>>,
}

impl Connections {
    fn lock(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    // A number for a new connection, unless there are too many, or it is too late.
    fn add(&self, stream: &Arc<UnixStream>) -> Option<u64> {
        let mut open = self.lock();
        if open.ended || open.streams.len() >= CONNECTION_LIMIT {
            return None;
        }
        let number = open.next;
        open.next += 1;
        open.streams.insert(number, vec![Arc::clone(stream)]);
        Some(number)
    }

    // Adds the connection's other end; an error when the step is over.
    fn join(&self, number: u64, stream: &Arc<UnixStream>) -> io::Result<()> {
        match self.lock().streams.get_mut(&number) {
            Some(streams) => streams.push(Arc::clone(stream)),
            None => return Err(io::ErrorKind::ConnectionAborted.into()),
        }
        Ok(())
    }

    fn remove(&self, number: u64) {
        self.lock().streams.remove(&number);
    }

    fn end(&self) {
        let mut open = self.lock();
        open.ended = true;
        for stream in std::mem::take(&mut open.streams).values().flatten() {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }
}

fn accept(listener: &UnixListener, connections: &Arc<Connections>, agent: &Agent) {
    loop {
        let stream = match listener.accept() {
            Ok((stream, _)) => Arc::new(stream),
            Err(_) if connections.lock().ended => return,
            Err(error) if error.kind() == io::ErrorKind::InvalidInput => return,
            Err(_) => {
                // Too many open files, most likely: they get fewer, or the step ends.
                thread::sleep(std::time::Duration::from_millis(20));
                continue;
            }
        };
        let Some(number) = connections.add(&stream) else { continue };
        let (mine, agent) = (Arc::clone(connections), agent.clone());
        // Nobody waits for this thread: an agent that hangs must not hold the build. It serves a
        // connection that ends with the step.
        let started = thread::Builder::new().name("ssh-agent".to_owned()).spawn(move || {
            // What goes wrong with a connection is told to its other side: it is closed.
            let _ = serve(&stream, &agent, &mine, number);
            mine.remove(number);
        });
        if started.is_err() {
            connections.remove(number);
        }
    }
}

// Answers one connection until it is closed.
fn serve(
    mut step: &UnixStream,
    agent: &Agent,
    connections: &Connections,
    number: u64,
) -> io::Result<()> {
    let mut open: Option<Arc<UnixStream>> = None;
    while let Some(request) = protocol::read(&mut step)? {
        if !protocol::may_pass(&request) {
            protocol::write(&mut step, protocol::REFUSAL)?;
            continue;
        }
        let path = match agent {
            Agent::Socket(path) => path,
            Agent::Keys(keys) => {
                protocol::write(&mut step, &keys.answer(&request))?;
                continue;
            }
        };
        let answer = (|| {
            let mut agent: &UnixStream = match &mut open {
                Some(agent) => agent,
                none => {
                    let stream = Arc::new(UnixStream::connect(path)?);
                    connections.join(number, &stream)?;
                    none.insert(stream)
                }
            };
            protocol::write(&mut agent, &request)?;
            protocol::read(&mut agent)?.ok_or_else(|| io::ErrorKind::UnexpectedEof.into())
        })();
        match answer {
            Ok(answer) if protocol::fits(&request, &answer) => {
                protocol::write(&mut step, &answer)?;
            }
            Ok(_) => protocol::write(&mut step, protocol::REFUSAL)?,
            Err(error) => {
                // What the agent knew of this connection is lost: it cannot go on with another.
                protocol::write(&mut step, protocol::REFUSAL)?;
                return Err(error);
            }
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::io::{Read, Write};
    use std::path::Path;
    use std::time::Duration;

    use super::*;

    const LIST: &[u8] = &[0, 0, 0, 1, 11];
    const REFUSED: &[u8] = &[0, 0, 0, 1, 5];

    /// An agent that says what it was asked, and answers every request with these bytes.
    fn agent(folder: &Path, answer: &'static [u8]) -> (PathBuf, Arc<Mutex<Vec<Vec<u8>>>>) {
        let path = folder.join("real");
        let listener = UnixListener::bind(&path).unwrap();
        let asked: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let told = Arc::clone(&asked);
        thread::spawn(move || {
            while let Ok((mut stream, _)) = listener.accept() {
                let told = Arc::clone(&told);
                thread::spawn(move || {
                    while let Ok(Some(request)) = protocol::read(&mut stream) {
                        told.lock().unwrap().push(request);
                        if stream.write_all(answer).is_err() || answer.is_empty() {
                            break;
                        }
                    }
                });
            }
        });
        (path, asked)
    }

    fn proxy(folder: &Path, agent: &Path) -> Proxy {
        let access = Access { owner: (0, 0), ids: IdMode::Single, mode: 0o600 };
        Proxy::start(folder.join("p"), &Agent::Socket(agent.to_owned()), access).unwrap()
    }

    fn connect(proxy: &Proxy) -> UnixStream {
        let stream = UnixStream::connect(proxy.socket()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        stream
    }

    /// Sends these bytes and gives as many of the answer's as are wanted; fewer at its end.
    fn ask(stream: &mut UnixStream, bytes: &[u8], want: usize) -> Vec<u8> {
        stream.write_all(bytes).unwrap();
        let mut answer = Vec::new();
        let _ = stream.take(want as u64).read_to_end(&mut answer);
        answer
    }

    #[test]
    fn only_lists_and_signatures_reach_the_agent() {
        let folder = tempfile::tempdir().unwrap();
        let (path, asked) = agent(folder.path(), &[0, 0, 0, 5, 12, 0, 0, 0, 0]);
        let proxy = proxy(folder.path(), &path);
        let mode = fs::metadata(proxy.socket()).unwrap().permissions().mode();
        assert_eq!(mode & 0o7777, 0o600);
        let mut stream = connect(&proxy);
        // ADD_IDENTITY, REMOVE_ALL, LOCK, ADD_SMARTCARD, an extension, an old protocol's list.
        for kind in [17, 18, 19, 20, 21, 22, 23, 25, 26, 27, 1, 9, 0, 255] {
            assert_eq!(ask(&mut stream, &[0, 0, 0, 2, kind, 0], 5), REFUSED, "{kind}");
        }
        assert!(asked.lock().unwrap().is_empty());
        assert_eq!(ask(&mut stream, LIST, 9), [0, 0, 0, 5, 12, 0, 0, 0, 0]);
        // An answer to another question is none.
        let sign = [0, 0, 0, 13, 13, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0];
        assert_eq!(ask(&mut stream, &sign, 5), REFUSED);
        assert_eq!(*asked.lock().unwrap(), [vec![11], sign[4..].to_vec()]);
    }

    #[test]
    fn nonsense_ends_the_connection_and_no_other() {
        let folder = tempfile::tempdir().unwrap();
        let (path, asked) = agent(folder.path(), &[0, 0, 0, 5, 12, 0, 0, 0, 0]);
        let proxy = proxy(folder.path(), &path);
        let mut good = connect(&proxy);
        for bytes in [&[0, 0, 0, 0][..], &[0xff; 4], &[0, 4, 0, 1]] {
            assert!(ask(&mut connect(&proxy), bytes, 1).is_empty(), "{bytes:?}");
        }
        // Announced, never sent: waits, and holds nobody up.
        let mut late = connect(&proxy);
        late.write_all(&[0, 0, 0, 9, 13]).unwrap();
        assert_eq!(ask(&mut good, LIST, 9).len(), 9);
        assert_eq!(asked.lock().unwrap().len(), 1);
    }

    #[test]
    fn an_agent_that_is_gone_or_talks_nonsense_is_a_refusal() {
        for answer in [&[][..], &[0, 0, 0, 0], &[0xff; 16]] {
            let folder = tempfile::tempdir().unwrap();
            let (path, _) = agent(folder.path(), answer);
            let proxy = proxy(folder.path(), &path);
            assert_eq!(ask(&mut connect(&proxy), LIST, 100), REFUSED, "{answer:?}");
        }
        let folder = tempfile::tempdir().unwrap();
        let proxy = proxy(folder.path(), &folder.path().join("nothing"));
        assert_eq!(ask(&mut connect(&proxy), LIST, 100), REFUSED);
    }

    #[test]
    fn connections_are_counted() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = agent(folder.path(), &[0, 0, 0, 5, 12, 0, 0, 0, 0]);
        let proxy = proxy(folder.path(), &path);
        let mut held: Vec<_> = (0..CONNECTION_LIMIT).map(|_| connect(&proxy)).collect();
        for stream in &mut held {
            assert_eq!(ask(stream, LIST, 9).len(), 9);
        }
        let mut one_more = connect(&proxy);
        let _ = one_more.write_all(LIST);
        assert_eq!(one_more.read(&mut [0]).unwrap_or(0), 0);
    }

    #[test]
    fn it_ends_with_the_step() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = agent(folder.path(), &[0, 0, 0, 5, 12, 0, 0, 0, 0]);
        let proxy = proxy(folder.path(), &path);
        let mut stream = connect(&proxy);
        assert_eq!(ask(&mut stream, LIST, 9).len(), 9);
        let (socket, connections) = (proxy.socket(), Arc::downgrade(&proxy.connections));
        drop(proxy);
        assert_eq!(stream.read(&mut [0]).unwrap_or(0), 0);
        assert!(UnixStream::connect(&socket).is_err());
        assert!(!folder.path().join("p").exists());
        // The threads let go of what they share.
        for _ in 0..1000 {
            if connections.strong_count() == 0 {
                return;
            }
            thread::sleep(Duration::from_millis(10));
        }
        panic!("a thread of the proxy is still there");
    }

    #[test]
    fn a_long_path_is_no_obstacle() {
        let folder = tempfile::tempdir().unwrap();
        let (path, _) = agent(folder.path(), &[0, 0, 0, 5, 12, 0, 0, 0, 0]);
        let deep = folder.path().join("d".repeat(200));
        fs::create_dir(&deep).unwrap();
        let proxy = proxy(&deep, &path);
        assert!(proxy.socket().exists());
    }
}
