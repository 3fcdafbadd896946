//! What the command line says of steps: network, entitlements, hosts, limits, memory. All of it is
//! understood before a base is looked up.

use rbuild::exec::Grants;
use rbuild::sandbox::Ulimit;
use rbuild::sys;

use super::super::environment;
use super::super::shared::{Stop, bytes};

/// What steps get, and what they may do.
#[derive(clap::Args, Debug)]
pub(crate) struct StepArgs {
    /// The network of RUN steps
    #[arg(
        long,
        value_name = "default|none|host",
        default_value = "default",
        env = "RBUILD_NETWORK"
    )]
    network: String,
    /// Grant more: `network.host`, `security.insecure`, `device[=NAME]` to steps, `local.delete` to
    /// an output
    #[arg(long, value_name = "ENTITLEMENT", value_delimiter = ',')]
    allow: Vec<String>,
    /// Memory of /dev/shm in steps
    #[arg(long, value_name = "BYTES", default_value = "64m")]
    shm_size: String,
    /// Add a line to /etc/hosts of steps
    #[arg(long, value_name = "NAME:ADDRESS")]
    add_host: Vec<String>,
    /// Set a resource limit of steps: `nofile=1024[:2048]`
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    ulimit: Vec<String>,
}

/// The same, understood.
#[derive(Clone, Debug)]
pub(super) struct Steps {
    pub(super) no_network: bool,
    pub(super) grants: Grants,
    pub(super) hosts: Vec<u8>,
    pub(super) shm_size: u64,
    pub(super) ulimits: Vec<Ulimit>,
}

impl StepArgs {
    pub(super) fn understood(&self) -> Result<Steps, Stop> {
        let grants = Grants::parse(self.allow.iter().map(String::as_str))
            .map_err(|error| Stop::usage(format!("--allow: {error}")))?;
        let no_network = match self.network.as_str() {
            "default" => false,
            "none" => true,
            "host" if grants.network_host => false,
            "host" => {
                return Err(Stop::usage("--network host needs --allow network.host")
                    .help("add --allow network.host"));
            }
            other => {
                return Err(Stop::usage(format!(
                    "unknown network `{other}`; there are default, none, host"
                )));
            }
        };
        let shm_size =
            bytes(&self.shm_size).map_err(|why| Stop::usage(format!("--shm-size: {why}")))?;
        Ok(Steps {
            no_network,
            grants,
            hosts: environment::hosts(&self.add_host)?,
            shm_size,
            ulimits: self.ulimit.iter().map(|text| ulimit(text)).collect::<Result<_, _>>()?,
        })
    }
}

fn ulimit(text: &str) -> Result<Ulimit, Stop> {
    let wrong = |why: &str| Stop::usage(format!("--ulimit `{text}`: {why}"));
    let form = "write NAME=SOFT[:HARD]";
    let (name, values) = text.split_once('=').ok_or_else(|| wrong(form))?;
    if !sys::is_limit(name) {
        return Err(wrong(&format!("there is no limit `{name}`")));
    }
    let number = |text: &str| match text {
        "-1" | "unlimited" => Ok(None),
        text => text.parse().map(Some).map_err(|_| wrong(form)),
    };
    let (soft, hard) = values.split_once(':').unwrap_or((values, values));
    let (soft, hard): (Option<u64>, Option<u64>) = (number(soft)?, number(hard)?);
    if hard.is_some_and(|hard| soft.is_none_or(|soft| soft > hard)) {
        return Err(wrong("the soft limit is above the hard one"));
    }
    Ok(Ulimit { name: name.to_owned(), soft, hard })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn args() -> StepArgs {
        StepArgs {
            network: "default".into(),
            allow: Vec::new(),
            shm_size: "64m".into(),
            add_host: Vec::new(),
            ulimit: Vec::new(),
        }
    }

    fn check(change: impl FnOnce(&mut StepArgs), want: Result<(), &str>) {
        let mut args = args();
        change(&mut args);
        match (args.understood(), want) {
            (Ok(_), Ok(())) => {}
            (Err(stop), Err(want)) => assert!(stop.text.contains(want), "{}", stop.text),
            (found, _) => panic!("{args:?}: {found:?}"),
        }
    }

    #[test]
    fn each_flag_is_understood_or_told() {
        check(|_| {}, Ok(()));
        check(|args| args.network = "hosts".into(), Err("unknown network `hosts`"));
        check(|args| args.network = "host".into(), Err("needs --allow network.host"));
        check(|args| args.allow = vec!["network.hots".into()], Err("did you mean"));
        check(|args| args.shm_size = "lots".into(), Err("--shm-size: `lots`"));
        check(|args| args.add_host = vec!["x".into()], Err("--add-host `x`"));
        check(|args| args.ulimit = vec!["nofile".into()], Err("write NAME=SOFT[:HARD]"));
        check(|args| args.ulimit = vec!["nofiles=1".into()], Err("no limit `nofiles`"));
        check(|args| args.ulimit = vec!["nofile=2:1".into()], Err("above the hard one"));
        check(|args| args.ulimit = vec!["nofile=-1:1".into()], Err("above the hard one"));
        check(|args| args.ulimit = vec!["nofile=1:2".into(), "core=0".into()], Ok(()));
        let mut granted = args();
        (granted.network, granted.allow) = ("host".into(), vec!["network.host".into()]);
        assert!(!granted.understood().unwrap().no_network);
    }
}
