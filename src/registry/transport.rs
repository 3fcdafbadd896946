//! One HTTP exchange: connections, TLS, proxies, redirects by hand, causes of failure.
//!
//! Knows nothing of images. `ureq` lives here and nowhere else.

use std::collections::BTreeMap;
use std::io::{self, Read};
use std::sync::{Arc, Mutex, OnceLock, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use ureq::http;
use ureq::tls::{Certificate, ClientCert, PemItem, PrivateKey, RootCerts, TlsConfig};

use super::config::{HostConfig, RegistryConfig};
use super::error::{Cause, Error};
use super::url::{Origin, Scheme, Url, host_of, is_inward, is_loopback};

/// At most this many redirects in a row (ATTACK: loops).
const MAX_REDIRECTS: usize = 10;
/// No byte for this long, and the connection counts as dead.
const STALL: Duration = Duration::from_secs(60);
const CONNECT: Duration = Duration::from_secs(20);

// A registry may take its time to look through what it got before it answers.
const DIGEST: Duration = Duration::from_secs(300);

/// What to ask.
#[derive(Clone)]
pub(super) struct Request<'a> {
    pub(super) method: Method,
    pub(super) url: Url,
    /// The value of `Authorization`; sent to the url's own origin only.
    pub(super) authorization: Option<&'a str>,
    pub(super) accept: Option<&'a str>,
    /// First byte wanted, when a transfer goes on.
    pub(super) from: u64,
    /// Further headers; their values are visible ASCII.
    pub(super) headers: &'a [(&'static str, &'a str)],
    /// The `Content-Range` of an upload, first and last byte.
    pub(super) range: Option<(u64, u64)>,
    pub(super) body: Body<'a>,
}

/// What to do.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Method {
    Get,
    Head,
    Post,
    Patch,
    Put,
}

impl Method {
    fn name(self) -> &'static str {
        match self {
            Method::Get => "GET",
            Method::Head => "HEAD",
            Method::Post => "POST",
            Method::Patch => "PATCH",
            Method::Put => "PUT",
        }
    }
}

/// What is sent.
#[derive(Clone, Copy)]
pub(super) enum Body<'a> {
    None,
    /// A form.
    Form(&'a str),
    /// Bytes, and what they are.
    Bytes(&'a [u8], &'a str),
    /// So many bytes of a reader, which is opened for each try.
    Stream(u64, &'a dyn Fn() -> io::Result<Box<dyn Read>>),
}

impl Request<'_> {
    pub(super) fn get(url: Url) -> Self {
        Self::new(Method::Get, url)
    }

    pub(super) fn new(method: Method, url: Url) -> Self {
        Request {
            method,
            url,
            authorization: None,
            accept: None,
            from: 0,
            headers: &[],
            range: None,
            body: Body::None,
        }
    }
}

/// What came back.
pub(super) struct Response {
    pub(super) status: u16,
    pub(super) headers: http::HeaderMap,
    body: ureq::Body,
}

impl Response {
    /// A header's value, if it is text.
    pub(super) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The body, as it comes. Its errors are of the connection.
    pub(super) fn reader(&mut self) -> impl Read + '_ {
        self.body.as_reader()
    }

    /// At most `limit` bytes of the body, and whether there was more.
    pub(super) fn bytes(&mut self, limit: u64) -> io::Result<(Vec<u8>, bool)> {
        let mut bytes = Vec::new();
        self.body.as_reader().take(limit + 1).read_to_end(&mut bytes)?;
        let more = bytes.len() as u64 > limit;
        bytes.truncate(usize::try_from(limit).unwrap_or(usize::MAX));
        Ok((bytes, more))
    }
}

/// Why there is no response.
#[derive(Debug)]
pub(super) enum Failure {
    /// The network; `true` if another try may help at once.
    Cause(Cause, bool),
    /// A rule of ours about redirects.
    Redirect(String),
    /// A file of the configuration.
    Config(String),
}

pub(super) struct Transport {
    config: RegistryConfig,
    // One pool of connections per origin, since TLS settings belong to hosts.
    agents: Arc<Mutex<BTreeMap<Origin, ureq::Agent>>>,
    roots: OnceLock<Arc<Vec<Certificate<'static>>>>,
    extra: Vec<Certificate<'static>>,
}

impl Transport {
    pub(super) fn new(config: RegistryConfig) -> Result<Self, Error> {
        let mut extra = Vec::new();
        for path in &config.ca_files {
            extra.extend(certificates(path).map_err(Error::Config)?);
        }
        let agents: Arc<Mutex<BTreeMap<Origin, ureq::Agent>>> = Arc::default();
        let open = Arc::downgrade(&agents);
        config.cancel.on_cancel(move || {
            let Some(agents) = open.upgrade() else { return };
            let agents = agents.lock().unwrap_or_else(PoisonError::into_inner);
            // Reads and writes of other threads end with an error.
            agents.values().cloned().for_each(ureq::Agent::shutdown);
        });
        Ok(Transport { config, agents, roots: OnceLock::new(), extra })
    }

    pub(super) fn config(&self) -> &RegistryConfig {
        &self.config
    }

    /// Sends and follows redirects. A status of 400 and more is a response, not a failure.
    pub(super) fn send(&self, request: &Request<'_>) -> Result<Response, Failure> {
        let mut url = request.url.clone();
        for _ in 0..=MAX_REDIRECTS {
            let response = self.once(&url, request)?;
            if !matches!(response.status, 301 | 302 | 303 | 307 | 308) {
                return Ok(response);
            }
            match (request.method, request.body) {
                (Method::Get | Method::Head, _) => {}
                (_, Body::Form(_)) => {
                    return Err(Failure::Redirect("a token service redirects a login".to_owned()));
                }
                (Method::Post | Method::Patch | Method::Put, _) => {
                    return Err(Failure::Redirect("an upload is redirected".to_owned()));
                }
            }
            let next =
                response.header("location").and_then(|location| url.join(location)).ok_or_else(
                    || Failure::Redirect("a redirect leads to no usable address".to_owned()),
                )?;
            if (url.origin.scheme, next.origin.scheme) == (Scheme::Https, Scheme::Http) {
                return Err(Failure::Redirect(format!("a redirect leads from https to {next}")));
            }
            if is_inward(&next.origin.authority) && !is_inward(&request.url.origin.authority) {
                return Err(Failure::Redirect(format!("a redirect leads inward, to {next}")));
            }
            url = next;
        }
        Err(Failure::Redirect(format!("more than {MAX_REDIRECTS} redirects")))
    }

    fn once(&self, url: &Url, request: &Request<'_>) -> Result<Response, Failure> {
        let agent = self.agent(&url.origin).map_err(Failure::Config)?;
        let cancel = &self.config.cancel;
        let interrupted =
            || Failure::Cause(Cause::Interrupted(url.origin.authority.clone()), false);
        // After the agent was noted: whoever cancels from now on finds it.
        if cancel.is_cancelled() {
            return Err(interrupted());
        }
        let mut builder = http::Request::builder().method(request.method.name()).uri(url.wire());
        if let Some(authorization) = request.authorization
            && url.origin == request.url.origin
        {
            builder = builder.header("authorization", authorization);
        }
        if let Some(accept) = request.accept {
            builder = builder.header("accept", accept);
        }
        if request.from > 0 {
            builder = builder.header("range", format!("bytes={}-", request.from));
        }
        for (name, value) in request.headers {
            builder = builder.header(*name, *value);
        }
        if let Some((first, last)) = request.range {
            builder = builder.header("content-range", format!("{first}-{last}"));
        }
        let host = &url.origin.authority;
        let sent = match request.body {
            Body::None if matches!(request.method, Method::Get | Method::Head) => {
                let request = builder.body(()).map_err(|error| failure(host, error.into()))?;
                // Names are looked up and connections made for as long as it takes; nobody waits for
                // that who has been interrupted.
                let (to, from) = mpsc::channel();
                let agent = agent.clone();
                let started = thread::Builder::new().name("request".to_owned()).spawn(move || {
                    // An error is that nobody waits any more.
                    let _ = to.send(agent.run(request));
                });
                started.map_err(|error| failure(host, error.into()))?;
                loop {
                    match from.recv_timeout(Duration::from_millis(50)) {
                        Ok(answer) => break answer,
                        Err(_) if cancel.is_cancelled() => return Err(interrupted()),
                        Err(mpsc::RecvTimeoutError::Timeout) => {}
                        Err(mpsc::RecvTimeoutError::Disconnected) => {
                            return Err(failure(host, ureq::Error::ConnectionFailed));
                        }
                    }
                }
            }
            Body::None => send(&agent, builder, &[][..], DIGEST),
            Body::Form(form) => {
                let kind = "application/x-www-form-urlencoded";
                send(&agent, builder.header("content-type", kind), form, STALL)
            }
            Body::Bytes(bytes, kind) => {
                send(&agent, builder.header("content-type", kind), bytes, DIGEST)
            }
            Body::Stream(length, open) => {
                let mut reader = open().map_err(|error| {
                    Failure::Cause(Cause::Broken(host.clone(), error.to_string()), false)
                })?;
                let builder = builder
                    .header("content-type", "application/octet-stream")
                    .header("content-length", length);
                send(&agent, builder, ureq::SendBody::from_reader(&mut reader), DIGEST)
            }
        };
        let response = sent.map_err(|error| match cancel.is_cancelled() {
            true => interrupted(),
            false => failure(host, error),
        })?;
        let (parts, body) = response.into_parts();
        Ok(Response { status: parts.status.as_u16(), headers: parts.headers, body })
    }

    fn agent(&self, origin: &Origin) -> Result<ureq::Agent, String> {
        let mut agents = self.agents.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(agent) = agents.get(origin) {
            return Ok(agent.clone());
        }
        let nothing = HostConfig::default();
        let host = self.config.host(&origin.authority).or_else(|| {
            // Docker Hub's API has a host of its own.
            (origin.authority == "registry-1.docker.io").then(|| self.config.host("docker.io"))?
        });
        let mut builder = ureq::Agent::config_builder()
            .http_status_as_error(false)
            .max_redirects(0)
            .user_agent(concat!("rbuild/", env!("CARGO_PKG_VERSION")))
            .proxy(self.proxy(origin)?)
            .timeout_resolve(Some(CONNECT))
            .timeout_connect(Some(CONNECT))
            .timeout_recv_response(Some(STALL))
            .timeout_per_read(Some(STALL))
            .timeout_per_write(Some(STALL))
            .max_idle_connections_per_host(8);
        if origin.scheme == Scheme::Https {
            builder = builder.tls_config(self.tls(host.unwrap_or(&nothing))?);
        }
        let agent = builder.build().new_agent();
        agents.insert(origin.clone(), agent.clone());
        Ok(agent)
    }

    fn proxy(&self, origin: &Origin) -> Result<Option<ureq::Proxy>, String> {
        let proxies = &self.config.proxies;
        let host = host_of(&origin.authority);
        let direct = is_loopback(&origin.authority)
            || proxies.none_for.iter().any(|name| {
                let name = name.trim().to_ascii_lowercase();
                let name = name.strip_prefix('*').unwrap_or(&name);
                match name.strip_prefix('.') {
                    _ if name.is_empty() => true,
                    Some(suffix) => host == suffix || host.ends_with(name),
                    None => host == host_of(name) || host.ends_with(&format!(".{name}")),
                }
            });
        let proxy = match origin.scheme {
            Scheme::Http => &proxies.http,
            Scheme::Https => &proxies.https,
        };
        match proxy.as_ref().filter(|proxy| !direct && !proxy.is_empty()) {
            // The address may hold a password: it is not repeated.
            Some(proxy) => ureq::Proxy::new(proxy)
                .map(Some)
                .map_err(|_| format!("the {} proxy is no usable address", origin.scheme.name())),
            None => Ok(None),
        }
    }

    fn tls(&self, host: &HostConfig) -> Result<TlsConfig, String> {
        let mut roots = self
            .roots
            .get_or_init(|| {
                rustls_native_certs::load_native_certs()
                    .certs
                    .iter()
                    .map(|der| Certificate::from_der(der.as_ref()).to_owned())
                    .collect::<Vec<_>>()
                    .into()
            })
            .to_vec();
        roots.extend(self.extra.iter().cloned());
        if let Some(path) = &host.ca {
            roots.extend(certificates(path)?);
        }
        let mut builder = TlsConfig::builder()
            .disable_verification(host.insecure)
            // A system without certificates gets the built-in ones.
            .root_certs(if roots.is_empty() { RootCerts::WebPki } else { roots.into() });
        if let (Some(cert), Some(key)) = (&host.cert, &host.key) {
            let chain = certificates(cert)?;
            let key = PrivateKey::from_pem(&read(key)?)
                .map_err(|_| format!("`{}` holds no private key in PEM form", key.display()))?;
            builder = builder.client_cert(Some(ClientCert::new_with_certs(&chain, key)));
        }
        Ok(builder.build())
    }
}

fn send(
    agent: &ureq::Agent,
    builder: http::request::Builder,
    body: impl ureq::AsSendBody,
    patience: Duration,
) -> Result<http::Response<ureq::Body>, ureq::Error> {
    let request = builder.body(body).map_err(ureq::Error::Http)?;
    let request = agent
        .configure_request(request)
        .timeout_recv_response(Some(patience))
        .timeout_per_read(Some(patience))
        .build();
    agent.run(request)
}

fn read(path: &std::path::Path) -> Result<Vec<u8>, String> {
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(16 << 20).read_to_end(&mut bytes))
        .map_err(|error| format!("cannot read `{}`: {error}", path.display()))?;
    Ok(bytes)
}

fn certificates(path: &std::path::Path) -> Result<Vec<Certificate<'static>>, String> {
    let list: Vec<_> = ureq::tls::parse_pem(&read(path)?)
        .filter_map(|item| match item {
            Ok(PemItem::Certificate(certificate)) => Some(certificate),
            _ => None,
        })
        .collect();
    if list.is_empty() {
        return Err(format!("`{}` holds no certificate in PEM form", path.display()));
    }
    Ok(list)
}

fn failure(host: &str, error: ureq::Error) -> Failure {
    let host = host.to_owned();
    match error {
        ureq::Error::HostNotFound => Failure::Cause(Cause::Dns(host), false),
        ureq::Error::ConnectionFailed => Failure::Cause(Cause::Refused(host), false),
        ureq::Error::Timeout(timeout) => {
            let phase = match timeout {
                ureq::Timeout::Resolve => return Failure::Cause(Cause::Dns(host), false),
                ureq::Timeout::Connect => "connecting",
                ureq::Timeout::RecvResponse => "waiting for the answer",
                _ => "no data",
            };
            Failure::Cause(Cause::Timeout(host, phase), true)
        }
        ureq::Error::Tls(why) => Failure::Cause(Cause::Tls(host, why.to_owned()), false),
        ureq::Error::Rustls(why) => Failure::Cause(Cause::Tls(host, why.to_string()), false),
        ureq::Error::Io(error) => io_failure(host, &error),
        other => Failure::Cause(Cause::Broken(host, clean(&other.to_string())), true),
    }
}

/// Sorts an error of a connection, also one that came while the body was read.
pub(super) fn io_failure(host: String, error: &io::Error) -> Failure {
    // A failed handshake and a stalled read come wrapped.
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<ureq::Error>());
    if let Some(ureq::Error::Timeout(_)) = inner {
        return Failure::Cause(Cause::Timeout(host, "no data"), true);
    }
    let text = clean(&error.to_string());
    match error.kind() {
        io::ErrorKind::ConnectionRefused => Failure::Cause(Cause::Refused(host), false),
        io::ErrorKind::TimedOut | io::ErrorKind::WouldBlock => {
            Failure::Cause(Cause::Timeout(host, "no data"), true)
        }
        io::ErrorKind::InvalidData => Failure::Cause(Cause::Tls(host, text), false),
        // What the resolver of the C library says: `failed to lookup address information: …`.
        _ if text.contains("lookup address") => Failure::Cause(Cause::Dns(host), false),
        _ => Failure::Cause(Cause::Broken(host, text), true),
    }
}

/// Cuts a stranger's text to a line's length and shows its control characters as escapes.
pub(super) fn clean(text: &str) -> String {
    let mut out: String = text
        .trim()
        .chars()
        .take(200)
        .flat_map(|char| {
            let keep = !char.is_control()
                && !('\u{2028}'..='\u{202e}').contains(&char)
                && !('\u{2066}'..='\u{2069}').contains(&char);
            let escaped = (!keep).then(|| char.escape_unicode()).into_iter().flatten();
            keep.then_some(char).into_iter().chain(escaped)
        })
        .collect();
    if text.trim().chars().nth(200).is_some() {
        out.push('…');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::config::Proxies;

    #[test]
    fn proxies_are_chosen_by_scheme_and_name() {
        let mut config = RegistryConfig::default();
        config.proxies = Proxies {
            http: None,
            https: Some("http://proxy.example.com:3128".into()),
            none_for: vec![".corp.example.com".into(), "direct.example.com".into()],
        };
        let transport = Transport::new(config).unwrap();
        for (scheme, authority, want) in [
            (Scheme::Https, "r.example.com", true),
            (Scheme::Http, "r.example.com", false),
            (Scheme::Https, "a.corp.example.com:5000", false),
            (Scheme::Https, "direct.example.com", false),
            (Scheme::Https, "notdirect.example.com", true),
            (Scheme::Https, "127.0.0.1:5000", false),
        ] {
            let proxy = transport.proxy(&Origin::new(scheme, authority)).unwrap();
            assert_eq!(proxy.is_some(), want, "{authority}");
        }
    }

    #[test]
    fn a_strangers_text_is_cleaned() {
        assert_eq!(clean("a\x1b]0;x\u{7}\r\nb"), "a\\u{1b}]0;x\\u{7}\\u{d}\\u{a}b");
        assert_eq!(clean(&"x".repeat(10 << 20)).chars().count(), 201);
    }
}
