//! One question to a registry, asked until there is an answer: endpoints, authorization, tries.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use serde::Deserialize;

use super::auth::{self, Access, Scope, Wallet};
use super::config::RegistryConfig;
use super::credentials::{Credentials, Login};
use super::error::{Error, Said, What};
use super::retry::retry_after;
use super::transport::{Failure, Request, Response, Transport, clean};
use super::url::{Origin, Scheme, Url, is_loopback};
use crate::base::ImageRef;
use crate::event::Events;

/// Whether the network may be used.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Network {
    /// It may.
    Online,
    /// Every attempt is an error that names the address (`--offline`).
    Offline,
}

/// All registries, as the configuration says to reach them.
pub struct Registry {
    pub(super) transport: Transport,
    wallet: Wallet,
    pub(super) events: Events,
    pub(super) network: Network,
    // Loopback hosts that were found to speak plain HTTP, or not to.
    schemes: Mutex<BTreeMap<String, Scheme>>,
}

/// A place that holds a repository: the registry itself or a mirror of it.
#[derive(Clone, Debug)]
pub(super) struct Endpoint {
    /// The name under which logins are filed.
    pub(super) registry: String,
    pub(super) origin: Origin,
    /// The repository's name there.
    pub(super) repository: String,
    /// Go on with the next place if this one fails.
    pub(super) fallback: bool,
}

impl Endpoint {
    pub(super) fn host(&self) -> &str {
        &self.registry
    }

    /// The address of what follows the repository in the path: `manifests/latest`.
    pub(super) fn url(&self, rest: &str) -> Url {
        self.origin.at(format!("/v2/{}/{rest}", self.repository))
    }
}

/// A question.
pub(super) struct Ask<'a> {
    /// What for, in messages.
    pub(super) what: &'a What,
    /// Without authorization, which is added for the endpoint's own origin.
    pub(super) request: Request<'a>,
    pub(super) access: Access,
    /// Asks again while trouble may pass; else the first answer counts.
    pub(super) patient: bool,
}

/// An answer, whatever it says, but that we are not let in for want of an authorization.
pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) tried: u32,
    pub(super) login: bool,
}

impl Registry {
    /// Prepares; nothing is asked yet. The error is about files of the configuration.
    pub fn new(
        config: RegistryConfig,
        credentials: Credentials,
        events: Events,
        network: Network,
    ) -> Result<Self, Error> {
        Ok(Registry {
            transport: Transport::new(config)?,
            wallet: Wallet::new(credentials),
            events,
            network,
            schemes: Mutex::default(),
        })
    }

    /// The places to ask for an image, in order.
    pub(super) fn endpoints(&self, image: &ImageRef, what: &What) -> Result<Vec<Endpoint>, Error> {
        self.permitted(image, what)?;
        let config = self.transport.config();
        let host = config.of(image.registry(), image.repository());
        let mut list = Vec::new();
        for mirror in host.iter().flat_map(|host| &host.mirrors).filter(|mirror| mirror.pull) {
            let prefix = mirror.url.target.trim_matches('/');
            list.push(Endpoint {
                registry: mirror.url.origin.authority.clone(),
                origin: mirror.url.origin.clone(),
                repository: if prefix.is_empty() {
                    image.repository().to_owned()
                } else {
                    format!("{prefix}/{}", image.repository())
                },
                fallback: mirror.fallback,
            });
            if !mirror.fallback {
                return Ok(list);
            }
        }
        list.push(self.own(image));
        Ok(list)
    }

    /// The registry itself, for a push: mirrors have no say in that.
    pub(super) fn home(&self, image: &ImageRef, what: &What) -> Result<Endpoint, Error> {
        self.permitted(image, what)?;
        Ok(self.own(image))
    }

    fn own(&self, image: &ImageRef) -> Endpoint {
        let authority = match image.registry() {
            "docker.io" => "registry-1.docker.io",
            other => other,
        };
        Endpoint {
            registry: image.registry().to_owned(),
            origin: Origin::new(self.scheme(authority, image.registry()), authority),
            repository: image.repository().to_owned(),
            fallback: false,
        }
    }

    fn permitted(&self, image: &ImageRef, what: &What) -> Result<(), Error> {
        let host = self.transport.config().of(image.registry(), image.repository());
        if host.is_some_and(|host| host.deny) {
            return Err(Error::Forbidden {
                what: what.clone(),
                why: format!("the registry configuration denies `{}`", image.name()),
                remedy: None,
            });
        }
        Ok(())
    }

    // HTTPS, unless the configuration says otherwise, or a loopback address or one that may be
    // insecure does not speak TLS.
    fn scheme(&self, authority: &str, registry: &str) -> Scheme {
        let host = self.transport.config().host(registry);
        let asks = match host {
            Some(host) if !host.plain_will_do => {
                return if host.http { Scheme::Http } else { Scheme::Https };
            }
            Some(_) => true,
            None => is_loopback(authority),
        };
        if !asks || self.network == Network::Offline {
            return Scheme::Https;
        }
        if let Some(known) = self.schemes().get(authority) {
            return *known;
        }
        // A server with TLS answers a plain request with 400 or hangs up; one without TLS may wait
        // for the rest of a handshake for ever. So the plain question is asked first; it carries
        // no login, and on the loopback nobody listens (or it was said that all may).
        let probe = Origin::new(Scheme::Http, authority).at("/v2/");
        let scheme = match self.transport.send(&Request::get(probe)) {
            Ok(response) if response.status != 400 => Scheme::Http,
            Err(Failure::Redirect(_)) => Scheme::Http,
            Ok(_) | Err(Failure::Config(_)) => Scheme::Https,
            Err(Failure::Cause(super::Cause::Refused(_), _)) => return Scheme::Http,
            Err(Failure::Cause(..)) => Scheme::Https,
        };
        self.schemes().insert(authority.to_owned(), scheme);
        scheme
    }

    fn schemes(&self) -> std::sync::MutexGuard<'_, BTreeMap<String, Scheme>> {
        self.schemes.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Reads: asks until there is a success (200, 206), an answer that will not change, or no more
    /// tries.
    pub(super) fn ask(
        &self,
        endpoint: &Endpoint,
        what: &What,
        request: Request<'_>,
    ) -> Result<Response, Error> {
        let ask = Ask { what, request, access: Access::Pull, patient: true };
        let answer = self.answer(endpoint, &ask)?;
        match answer.response.status {
            200 | 206 => Ok(answer.response),
            _ => Err(self.refusal(endpoint, what, answer)),
        }
    }

    /// Asks until there is an answer, finding an authorization if one is wanted.
    pub(super) fn answer(&self, endpoint: &Endpoint, ask: &Ask<'_>) -> Result<Answer, Error> {
        if self.network == Network::Offline {
            return Err(Error::Offline { url: ask.request.url.to_string() });
        }
        let scope = Scope {
            origin: endpoint.origin.clone(),
            repository: endpoint.repository.clone(),
            access: ask.access.clone(),
        };
        let at_home = ask.request.url.origin == endpoint.origin;
        // A token of the wallet may have expired: then a new one is fetched, once.
        let mut fresh = !at_home;
        let mut tried = 0;
        loop {
            let authorization = self.wallet.known(&scope).filter(|_| at_home);
            let login = authorization.as_ref().is_some_and(|authorization| authorization.login);
            let request = Request {
                authorization: authorization.as_ref().map(auth::Authorization::header),
                ..ask.request.clone()
            };
            let mut response =
                self.exchange(ask.what, endpoint.host(), &request, ask.patient, &mut tried)?;
            if response.status != 401 || fresh {
                return Ok(Answer { response, tried, login });
            }
            fresh = true;
            self.wallet.forget(&scope);
            let offered: Vec<auth::Challenge> = response
                .headers
                .get_all("www-authenticate")
                .iter()
                .take(8)
                .filter_map(|value| value.to_str().ok())
                .flat_map(auth::challenges)
                .collect();
            match self.authorize(endpoint, ask.what, &scope, &offered)? {
                Some(authorization) => self.wallet.keep(scope.clone(), authorization),
                None => {
                    return Err(Error::Denied {
                        what: ask.what.clone(),
                        host: endpoint.host().to_owned(),
                        status: 401,
                        login,
                        said: self.said(&mut response),
                    });
                }
            }
        }
    }

    /// Makes the error of an answer that is not the one hoped for.
    pub(super) fn refusal(&self, endpoint: &Endpoint, what: &What, answer: Answer) -> Error {
        let Answer { mut response, tried, login } = answer;
        let (what, host) = (what.clone(), endpoint.host().to_owned());
        let status = response.status;
        match status {
            429 => {
                let wait = response.header("retry-after").and_then(retry_after);
                Error::RateLimited { what, host, tries: tried, wait, login }
            }
            401 | 403 => {
                Error::Denied { what, host, status, login, said: self.said(&mut response) }
            }
            404 | 410 => Error::NotFound { what, host, status, said: self.said(&mut response) },
            _ => {
                let said = self.said(&mut response);
                Error::Server { what, host, status, tries: tried, said }
            }
        }
    }

    // Sends; waits and sends again while the trouble may pass. `tried` counts over all calls.
    pub(super) fn exchange(
        &self,
        what: &What,
        host: &str,
        request: &Request<'_>,
        patient: bool,
        tried: &mut u32,
    ) -> Result<Response, Error> {
        let retry = self.transport.config().retry;
        let mut here = 0;
        loop {
            *tried += 1;
            here += 1;
            let outcome = self.transport.send(request);
            let (trouble, asked) = match &outcome {
                Ok(response) => match response.status {
                    429 | 408 | 500 | 502 | 503 | 504 => (
                        format!("answered {}", response.status),
                        response.header("retry-after").and_then(retry_after),
                    ),
                    _ => return outcome.map_err(|_| unreachable!("it is a response")),
                },
                Err(Failure::Cause(cause, true)) => (cause.to_string(), None),
                Err(Failure::Cause(cause, false)) => {
                    return Err(Error::Unreachable {
                        what: what.clone(),
                        host: host.to_owned(),
                        tries: *tried,
                        cause: cause.clone(),
                    });
                }
                Err(Failure::Redirect(why)) => {
                    return Err(Error::Malformed {
                        what: what.clone(),
                        host: host.to_owned(),
                        why: why.clone(),
                    });
                }
                Err(Failure::Config(why)) => return Err(Error::Config(why.clone())),
            };
            let Some(wait) = retry.wait(here, asked).filter(|_| patient) else {
                return match outcome {
                    Ok(response) => Ok(response),
                    Err(Failure::Cause(cause, _)) => Err(Error::Unreachable {
                        what: what.clone(),
                        host: host.to_owned(),
                        tries: *tried,
                        cause,
                    }),
                    Err(_) => unreachable!("other failures returned above"),
                };
            };
            self.events.note(format!(
                "{}: {host} {trouble}, try {} of {} in {:.1} s",
                what.name,
                here + 1,
                retry.tries,
                wait.as_secs_f32()
            ));
            drop(outcome);
            self.transport.config().cancel.pause(wait);
        }
    }

    // Finds an authorization for what a registry offers; `None` if there is none to be had.
    fn authorize(
        &self,
        endpoint: &Endpoint,
        what: &What,
        scope: &Scope,
        offered: &[auth::Challenge],
    ) -> Result<Option<auth::Authorization>, Error> {
        let forbidden = |(why, remedy): (String, Option<String>)| Error::Forbidden {
            what: what.clone(),
            why,
            remedy,
        };
        let login = self
            .wallet
            .login(&endpoint.registry, &endpoint.repository)
            .map_err(|why| forbidden((why, None)))?;
        if let Some(Login::Bearer(token)) = &login {
            return Ok(auth::bearer(token.expose(), true));
        }
        if let Some(challenge) = offered.iter().find(|challenge| challenge.scheme == "bearer") {
            let token = auth::token_request(
                challenge,
                scope,
                &endpoint.registry,
                login.as_ref(),
                self.transport.config(),
            )
            .map_err(forbidden)?;
            let service = token.url.origin.authority.clone();
            let mut tried = 0;
            let mut response = self.exchange(what, &service, &token.request(), true, &mut tried)?;
            return match response.status {
                200 => auth::token(&mut response, token.login)
                    .map(Some)
                    .map_err(|why| Error::Malformed { what: what.clone(), host: service, why }),
                429 => Err(Error::RateLimited {
                    what: what.clone(),
                    host: service,
                    tries: tried,
                    wait: response.header("retry-after").and_then(retry_after),
                    login: token.login,
                }),
                status @ (400 | 401 | 403 | 404) => Err(Error::Denied {
                    what: what.clone(),
                    host: service,
                    status,
                    login: token.login,
                    said: self.said(&mut response),
                }),
                status => Err(Error::Server {
                    what: what.clone(),
                    host: service,
                    status,
                    tries: tried,
                    said: self.said(&mut response),
                }),
            };
        }
        Ok(match &login {
            Some(Login::Basic { user, password })
                if offered.iter().any(|challenge| challenge.scheme == "basic") =>
            {
                Some(auth::basic(user, password.expose()))
            }
            _ => None,
        })
    }

    // What a registry says about an error (distribution specification, "Error Codes").
    fn said(&self, response: &mut Response) -> Said {
        #[derive(Deserialize)]
        struct Errors {
            errors: Vec<One>,
        }
        #[derive(Deserialize, Default)]
        #[serde(default)]
        struct One {
            code: String,
            message: String,
        }
        let Ok((bytes, _)) = response.bytes(8 << 10) else { return Said::default() };
        let first = serde_json::from_slice::<Errors>(&bytes)
            .ok()
            .and_then(|errors| errors.errors.into_iter().next())
            .unwrap_or_default();
        let text = match (first.code.is_empty(), first.message.is_empty()) {
            (true, true) => return Said::default(),
            (false, true) => first.code,
            (true, false) => first.message,
            (false, false) => format!("{}: {}", first.code, first.message),
        };
        // Some servers echo the request, with its login.
        let lower = text.to_ascii_lowercase();
        if lower.contains("bearer ") || lower.contains("basic ") || lower.contains("authorization")
        {
            return Said::default();
        }
        Said(clean(&self.wallet.masker().mask_text(&text)))
    }
}
