//! What the machine and the user's settings say: the store's place, logins, proxies, the files that
//! steps see as their own.

use std::path::{Path, PathBuf};

use rbuild::event::{Cancel, Events};
use rbuild::input::git::Tools;
use rbuild::registry::{Credentials, Network, Proxies, Registry, RegistryConfig};

use super::exit::Exit;
use super::shared::{Stop, StoreArgs};

/// The version of this program.
pub(crate) const VERSION: &str = env!("CARGO_PKG_VERSION");

/// A variable of the environment that is set and not empty.
pub(crate) fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok().filter(|value| !value.is_empty())
}

/// Has this program do what it would do on other kernels; for its own tests, and in no help text.
pub(crate) fn test_hooks() {
    if variable("RBUILD_TEST_MOUNT").is_some_and(|value| value == "options") {
        rbuild::sys::mount_by_options();
    }
}

/// How much is done at once: `--jobs`, else the CPUs that this process may use.
pub(crate) fn jobs(given: Option<usize>) -> usize {
    let usual = || std::thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
    given.unwrap_or_else(usual).max(1)
}

/// The folder of the store: `--root`, `$XDG_CACHE_HOME/rbuild`, `~/.cache/rbuild`; without a home
/// that can be written to, a folder of this user's own below the temporary one.
pub(crate) fn store_root(args: &StoreArgs) -> PathBuf {
    if let Some(root) = &args.root {
        return root.clone();
    }
    if let Some(cache) = variable("XDG_CACHE_HOME").map(PathBuf::from).filter(|p| p.is_absolute()) {
        return cache.join("rbuild");
    }
    match variable("HOME").map(PathBuf::from) {
        Some(home) if home.is_absolute() && home != Path::new("/") && writable(&home) => {
            home.join(".cache/rbuild")
        }
        _ => {
            let temporary = variable("TMPDIR").unwrap_or_else(|| "/tmp".to_owned());
            PathBuf::from(temporary).join(format!("rbuild-{}", rbuild::sys::user_id()))
        }
    }
}

fn writable(folder: &Path) -> bool {
    tempfile::Builder::new().prefix(".rbuild-").tempfile_in(folder).is_ok()
        || folder.join(".cache/rbuild").is_dir()
}

/// The client for registries, with the user's settings; `cancel` breaks its connections off. Those of
/// `insecure` need not prove who they are.
pub(crate) fn registry(
    args: &StoreArgs,
    insecure: &[String],
    events: &Events,
    cancel: &Cancel,
) -> Result<Registry, Stop> {
    let mut config = match &args.registry_config {
        None => RegistryConfig::default(),
        Some(path) => {
            let text = std::fs::read_to_string(path).map_err(|error| {
                Stop::usage(format!("cannot read `{}`: {error}", path.display()))
            })?;
            let folder = path.parent().unwrap_or(Path::new("."));
            RegistryConfig::parse(&text, folder)
                .map_err(|error| Stop::usage(format!("`{}`: {error}", path.display())))?
        }
    };
    insecure.iter().for_each(|host| config.allow_insecure(host));
    config.proxies = proxies();
    config.ca_files.clone_from(&args.ca_file);
    config.cancel = cancel.clone();
    let mut credentials = Credentials::none();
    let all =
        || std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    credentials
        .add_variables(all().filter_map(|(name, value)| Some((name, value.into_string().ok()?))));
    credentials.helpers.path = std::env::var_os("PATH");
    // What helpers of desktops and clouds go by.
    let wanted =
        ["HOME", "USER", "DBUS_SESSION_BUS_ADDRESS", "DISPLAY", "GNUPGHOME", "PASSWORD_STORE_DIR"];
    let prefixes = ["XDG_", "AWS_", "GOOGLE_", "CLOUDSDK_", "AZURE_", "DOCKER_"];
    credentials.helpers.variables = all()
        .filter(|(name, _)| {
            wanted.contains(&name.as_str()) || prefixes.iter().any(|start| name.starts_with(start))
        })
        .map(|(name, value)| (name.into(), value))
        .collect();
    if let Some(path) = &args.authfile {
        if !path.exists() {
            return Err(Stop::usage(format!("cannot read `{}`: no such file", path.display())));
        }
        credentials.add_files([path.clone()]);
    }
    let home = variable("HOME").map(PathBuf::from);
    let paths = [
        variable("REGISTRY_AUTH_FILE").map(PathBuf::from),
        variable("XDG_RUNTIME_DIR").map(|dir| Path::new(&dir).join("containers/auth.json")),
        home.as_ref().map(|home| home.join(".config/containers/auth.json")),
    ];
    credentials.add_files(paths.into_iter().flatten());
    if let Some(text) = variable("DOCKER_AUTH_CONFIG") {
        credentials.add_bytes(text.as_bytes(), "DOCKER_AUTH_CONFIG");
    }
    let docker = match variable("DOCKER_CONFIG") {
        Some(folder) => Some(PathBuf::from(folder)),
        None => home.map(|home| home.join(".docker")),
    };
    credentials.add_files(docker.map(|folder| folder.join("config.json")));
    for warning in credentials.take_warnings() {
        events.note(warning);
    }
    Registry::new(config, credentials, events.clone(), network(args)).map_err(|error| Stop {
        exit: Exit::Usage,
        text: rbuild::diag::chain(&error),
        help: None,
    })
}

/// What `git` may use, for sources that are repositories.
pub(crate) fn git(args: &StoreArgs) -> Tools {
    let path = variable("PATH").map(Into::into);
    let home = variable("HOME").map(PathBuf::from);
    let ca_files = args.ca_file.clone();
    Tools { home, proxies: proxies(), ca_files, ..Tools::new(path, network(args)) }
}

fn network(args: &StoreArgs) -> Network {
    if args.offline { Network::Offline } else { Network::Online }
}

fn proxies() -> Proxies {
    let either = |lower: &str, upper: &str| variable(lower).or_else(|| variable(upper));
    Proxies {
        http: either("http_proxy", "HTTP_PROXY"),
        https: either("https_proxy", "HTTPS_PROXY"),
        none_for: either("no_proxy", "NO_PROXY")
            .map(|list| list.split(',').map(|host| host.trim().to_owned()).collect())
            .unwrap_or_default(),
    }
}

/// `/etc/resolv.conf` for steps: the host's, but for a stub resolver's the real servers, which a
/// step can reach from wherever its network is.
pub(crate) fn resolv_conf() -> Vec<u8> {
    let read = |path: &str| std::fs::read(path).unwrap_or_default();
    let own = read("/etc/resolv.conf");
    let real = read("/run/systemd/resolve/resolv.conf");
    let is_stub =
        String::from_utf8_lossy(&own).lines().any(|line| line.trim() == "nameserver 127.0.0.53");
    if is_stub && !real.is_empty() { real } else { own }
}

/// `/etc/hosts` for steps: loopback, and what `--add-host NAME:ADDRESS` adds.
pub(crate) fn hosts(added: &[String]) -> Result<Vec<u8>, Stop> {
    let mut text = String::from(
        "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n127.0.0.1\tbuildkitsandbox\n",
    );
    for entry in added {
        let wrong = || Stop::usage(format!("--add-host `{entry}`: write NAME:ADDRESS"));
        let (name, address) = entry.split_once([':', '=']).ok_or_else(wrong)?;
        let address = address.trim_start_matches('[').trim_end_matches(']');
        let parsed: std::net::IpAddr = address.parse().map_err(|_| wrong())?;
        if name.is_empty() || name.contains(char::is_whitespace) {
            return Err(wrong());
        }
        text.push_str(&format!("{parsed}\t{name}\n"));
    }
    Ok(text.into_bytes())
}

/// Today in UTC, `YYYY-MM-DD`: for waivers that end.
#[expect(
    clippy::disallowed_methods,
    reason = "waivers end on a day; no byte of an image depends on it"
)]
pub(crate) fn today() -> String {
    let since = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH);
    let seconds = since.map_or(0, |since| since.as_secs() as i64);
    rbuild::base::Timestamp::from_seconds(seconds).to_string()[..10].to_owned()
}

/// Where this program lies, for starting it again.
pub(crate) fn program() -> PathBuf {
    // Not `current_exe`, which names a file that may have been replaced since.
    PathBuf::from("/proc/self/exe")
}
