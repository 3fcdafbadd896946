//! Files of the web: what ADD names by an address. Same connections, proxies and rules about
//! redirects as for registries; no logins, no mirrors.

use std::io::{Read, Write};
use std::time::Instant;

use super::client::{Network, Registry};
use super::error::{Error, Said};
use super::transport::{Failure, Request, io_failure};
use super::url::Url;
use crate::event::Event;

/// What came from an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Downloaded {
    /// Bytes that were written.
    pub size: u64,
    /// The header `Last-Modified`, as it came.
    pub last_modified: Option<String>,
}

impl Registry {
    /// Writes what is at `url` (`http` or `https`, no user in it) into `sink`, `limit` bytes at most.
    ///
    /// Redirects are followed, but not from `https` to `http`, nor from the world to this host or a
    /// private network. On an error the sink has received bytes that mean nothing.
    pub fn download(
        &self,
        url: &str,
        limit: u64,
        sink: &mut dyn Write,
    ) -> Result<Downloaded, Error> {
        let started = Instant::now();
        let forbidden =
            |what: String, why: &str| Error::Forbidden { what, why: why.to_owned(), remedy: None };
        let Some(url) = Url::parse(url) else {
            // The text may hold a password: it is not repeated.
            let why = "not an http or https address in plain ASCII without a user";
            return Err(forbidden("the address".to_owned(), why));
        };
        let (what, host) = (url.to_string(), url.origin.authority.clone());
        if self.network == Network::Offline {
            return Err(Error::Offline { url: what });
        }
        let mut tries = 0;
        let mut response = loop {
            tries += 1;
            match self.transport.send(&Request::get(url.clone())) {
                Ok(response) => break response,
                Err(failure) => {
                    let wait = match &failure {
                        Failure::Cause(_, true) => self.transport.config().retry.wait(tries, None),
                        _ => None,
                    };
                    match wait {
                        Some(wait) => std::thread::sleep(wait),
                        None => return Err(error_of(failure, what, host, tries)),
                    }
                }
            }
        };
        let status = response.status;
        if status == 404 {
            return Err(Error::NotFound { what, host, status, said: Said::default() });
        }
        if status != 200 {
            return Err(Error::Server { what, host, status, tries, said: Said::default() });
        }
        let last_modified = response.header("last-modified").map(str::to_owned);
        let mut buffer = vec![0; 128 * 1024];
        let mut size = 0;
        let mut reader = response.reader();
        loop {
            let got = match reader.read(&mut buffer) {
                Ok(0) => break,
                Ok(got) => got,
                Err(error) if error.kind() == std::io::ErrorKind::Interrupted => continue,
                Err(error) => {
                    let failure = io_failure(host.clone(), &error);
                    return Err(error_of(failure, what, host, tries));
                }
            };
            size += got as u64;
            if size > limit {
                return Err(forbidden(what, &format!("it is larger than {limit} bytes")));
            }
            sink.write_all(&buffer[..got])
                .map_err(|cause| Error::Sink { what: what.clone(), cause })?;
        }
        self.events.send(Event::Transfer { what, bytes: size, took: Some(started.elapsed()) });
        Ok(Downloaded { size, last_modified })
    }
}

fn error_of(failure: Failure, what: String, host: String, tries: u32) -> Error {
    match failure {
        Failure::Cause(cause, _) => Error::Unreachable { what, host, tries, cause },
        Failure::Redirect(why) => Error::Forbidden { what, why, remedy: None },
        Failure::Config(why) => Error::Config(why),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::event::Events;
    use crate::registry::testserver::{End, Reply, Seen, Server};
    use crate::registry::{Credentials, RegistryConfig, Retry};

    fn registry(network: Network) -> Registry {
        let retry = Retry { tries: 1, ..Retry::default() };
        let config = RegistryConfig { retry, ..RegistryConfig::default() };
        Registry::new(config, Credentials::none(), Events::silent(), network).unwrap()
    }

    fn check(path: &str) -> String {
        let server = Server::start(|seen: &Seen| match seen.target.as_str() {
            "/f?v=1" => Reply::new(200, "text").header("Last-Modified", "then"),
            "/to" => Reply::new(302, "").header("Location", "/f?v=1"),
            "/loop" => Reply::new(302, "").header("Location", "/loop"),
            "/file" => Reply::new(302, "").header("Location", "file:///etc/passwd"),
            "/endless" => Reply::new(200, "x".repeat(1000)).end(End::Endless),
            "/cut" => Reply::new(200, "x".repeat(1000)).end(End::Cut(10)),
            "/bad" => Reply::new(500, ""),
            _ => Reply::new(404, ""),
        });
        let mut sink = Vec::new();
        let url = format!("http://{}{path}", server.host());
        match registry(Network::Online).download(&url, 5000, &mut sink) {
            Ok(done) => format!("{} {:?}", String::from_utf8_lossy(&sink), done.last_modified),
            Err(error) => error.to_string().replace(&server.host(), "HOST"),
        }
    }

    #[test]
    fn answers_and_failures() {
        for (path, want) in [
            ("/f?v=1", "text Some(\"then\")"),
            ("/to", "text Some(\"then\")"),
            ("/loop", "more than 10 redirects"),
            ("/file", "no usable address"),
            ("/endless", "larger than 5000 bytes"),
            ("/cut", "the connection to HOST broke"),
            ("/bad", "HOST answered 500"),
            ("/nope", "not found on HOST (404)"),
        ] {
            let have = check(path);
            assert!(have.contains(want), "{path}: {have}");
        }
    }

    #[test]
    fn other_addresses_are_not_asked() {
        for url in ["file:///etc/passwd", "ftp://x/y", "http://me:pass@x/y", "x", "http:///y"] {
            let error = registry(Network::Online).download(url, 10, &mut Vec::new()).unwrap_err();
            assert!(!error.to_string().contains("pass"), "{error}");
        }
        let offline = registry(Network::Offline).download("http://x/y?z", 10, &mut Vec::new());
        assert!(matches!(offline, Err(Error::Offline { url }) if url == "http://x/y"));
    }
}
