//! A server for tests that misbehaves on purpose: what it answers is a function of the request.

use std::io::{BufRead, BufReader, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// What came in.
#[derive(Clone, Debug, Default)]
pub(super) struct Seen {
    pub(super) method: String,
    /// Path and query.
    pub(super) target: String,
    /// Names in lower case.
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: String,
}

impl Seen {
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(have, _)| have == name).map(|(_, value)| value.as_str())
    }
}

/// What goes out.
#[derive(Clone, Debug)]
pub(super) struct Reply {
    pub(super) status: u16,
    pub(super) headers: Vec<(String, String)>,
    pub(super) body: Vec<u8>,
    /// `Content-Length`, where it is a lie; `None`: the truth.
    pub(super) length: Option<u64>,
    pub(super) end: End,
}

/// How a reply ends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum End {
    /// As it should.
    Keep,
    /// The connection is cut after so many bytes of the body.
    Cut(usize),
    /// No `Content-Length`; the body is repeated until the client goes away.
    Endless,
    /// No `Content-Length`; the body ends with the connection.
    Close,
    /// One byte every 30 milliseconds.
    Drip,
}

impl Reply {
    pub(super) fn new(status: u16, body: impl Into<Vec<u8>>) -> Self {
        Reply { status, headers: Vec::new(), body: body.into(), length: None, end: End::Keep }
    }

    pub(super) fn header(mut self, name: &str, value: impl Into<String>) -> Self {
        self.headers.push((name.to_owned(), value.into()));
        self
    }

    pub(super) fn end(mut self, end: End) -> Self {
        self.end = end;
        self
    }
}

type Handler = dyn Fn(&Seen) -> Reply + Send + Sync;

/// A running server; stops when dropped.
pub(super) struct Server {
    address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    pub(super) fn start(handler: impl Fn(&Seen) -> Reply + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("the loopback is there");
        let server = Server {
            address: listener.local_addr().expect("it is bound"),
            seen: Arc::default(),
            stop: Arc::default(),
        };
        let (seen, stop) = (server.seen.clone(), server.stop.clone());
        let handler: Arc<Handler> = Arc::new(handler);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    return;
                }
                let (seen, handler) = (seen.clone(), handler.clone());
                if let Ok(stream) = stream {
                    std::thread::spawn(move || serve(stream, &seen, &*handler));
                }
            }
        });
        server
    }

    /// `127.0.0.1:PORT`.
    pub(super) fn host(&self) -> String {
        self.address.to_string()
    }

    /// All requests so far, without the first plain question for `/v2/`.
    pub(super) fn seen(&self) -> Vec<Seen> {
        let seen = self.seen.lock().unwrap();
        seen.iter().filter(|seen| seen.target != "/v2/").cloned().collect()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(stream: TcpStream, list: &Mutex<Vec<Seen>>, handler: &Handler) {
    let Ok(mut out) = stream.try_clone() else { return };
    let mut input = BufReader::new(stream);
    while let Some(seen) = receive(&mut input) {
        list.lock().unwrap().push(seen.clone());
        let reply = if seen.target == "/v2/" { Reply::new(200, "{}") } else { handler(&seen) };
        if send(&mut out, &reply).is_none() {
            let _ = out.shutdown(std::net::Shutdown::Both);
            return;
        }
    }
}

fn receive(input: &mut impl BufRead) -> Option<Seen> {
    let mut line = String::new();
    input.read_line(&mut line).ok().filter(|read| *read > 0)?;
    let mut words = line.split_whitespace();
    let mut seen = Seen {
        method: words.next()?.to_owned(),
        target: words.next()?.to_owned(),
        ..Seen::default()
    };
    loop {
        let mut line = String::new();
        input.read_line(&mut line).ok().filter(|read| *read > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        seen.headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let length = seen.header("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    input.read_exact(&mut body).ok()?;
    seen.body = String::from_utf8_lossy(&body).into_owned();
    Some(seen)
}

// `None` when the connection is to be closed.
fn send(out: &mut TcpStream, reply: &Reply) -> Option<()> {
    let mut head = format!("HTTP/1.1 {} X\r\n", reply.status);
    for (name, value) in &reply.headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    if matches!(reply.end, End::Keep | End::Cut(_) | End::Drip) {
        let length = reply.length.unwrap_or(reply.body.len() as u64);
        head.push_str(&format!("Content-Length: {length}\r\n"));
    } else {
        head.push_str("Connection: close\r\n");
    }
    head.push_str("\r\n");
    out.write_all(head.as_bytes()).ok()?;
    match reply.end {
        End::Keep => out.write_all(&reply.body).ok().filter(|()| reply.length.is_none()),
        End::Cut(at) => {
            out.write_all(&reply.body[..at]).ok()?;
            None
        }
        End::Endless => {
            while out.write_all(&reply.body).is_ok() {}
            None
        }
        End::Drip => {
            for byte in &reply.body {
                out.write_all(&[*byte]).ok()?;
                std::thread::sleep(std::time::Duration::from_millis(30));
            }
            None
        }
        End::Close => {
            out.write_all(&reply.body).ok()?;
            None
        }
    }
}
