//! What the user allows beyond the sandbox (`--allow`), and what of it a plan asks for.
//!
//! A plan is asked before anything of it runs: a step that will be refused must not cost the steps
//! before it.

use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};

use super::{Cause, Failure};
use crate::diag::nearest;
use crate::event::Events;
use crate::instruction::{Network, Security};
use crate::plan::{Op, Plan, Run};

/// The words of `--allow`, understood.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Grants {
    /// `network.host`: RUN --network=host.
    pub network_host: bool,
    /// `security.insecure`: RUN --security=insecure.
    pub insecure: bool,
    /// `local.delete`: an output may remove what it did not make.
    pub local_delete: bool,
    /// `device`: RUN --device, whichever.
    pub any_device: bool,
    /// `device=NAME`: these alone.
    pub devices: Vec<String>,
}

/// Why a word of `--allow` was not understood.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("unknown entitlement `{word}`; {hint}")]
pub struct GrantError {
    word: String,
    hint: String,
}

const WORDS: [&str; 4] = ["network.host", "security.insecure", "device", "local.delete"];

impl Grants {
    /// Reads the words.
    pub fn parse<'a>(words: impl IntoIterator<Item = &'a str>) -> Result<Self, GrantError> {
        let mut grants = Grants::default();
        for word in words {
            match (word, word.strip_prefix("device=")) {
                ("network.host", _) => grants.network_host = true,
                ("security.insecure", _) => grants.insecure = true,
                ("local.delete", _) => grants.local_delete = true,
                ("device", _) => grants.any_device = true,
                (_, Some(name)) if !name.is_empty() => grants.devices.push(name.to_owned()),
                _ => {
                    let hint = match nearest(word, WORDS) {
                        Some(near) => format!("did you mean `{near}`?"),
                        None => format!("there are {}, device=NAME", WORDS.join(", ")),
                    };
                    return Err(GrantError { word: word.to_owned(), hint });
                }
            }
        }
        Ok(grants)
    }

    /// Tells whether an entitlement is granted, by its word.
    pub fn has(&self, word: &str) -> bool {
        match word {
            "network.host" => self.network_host,
            "security.insecure" => self.insecure,
            "local.delete" => self.local_delete,
            _ => false,
        }
    }

    fn allows_device(&self, name: &str) -> bool {
        self.any_device || self.devices.iter().any(|one| one == name)
    }

    /// Checks that all that the steps of a plan ask for is granted.
    pub(super) fn check(&self, plan: &Plan) -> Result<(), Failure> {
        for (id, step) in plan.steps.iter() {
            if let Op::Run(run) = &step.op {
                self.check_step(run).map_err(|failure| failure.at(id, step.span))?;
            }
        }
        Ok(())
    }

    fn check_step(&self, run: &Run) -> Result<(), Failure> {
        let refused = |asked: &str, word: &str| {
            let text = format!("RUN {asked} needs the entitlement `{word}`, which is not allowed");
            Err(Failure::new(Cause::Usage, "entitlement", text)
                .help(format!("build with --allow {word}")))
        };
        if run.network == Network::Host && !self.network_host {
            return refused("--network=host", "network.host");
        }
        if run.security == Security::Insecure && !self.insecure {
            return refused("--security=insecure", "security.insecure");
        }
        for text in &run.devices {
            let device = Device::parse(text)?;
            if !self.allows_device(&device.name) {
                return refused(
                    &format!("--device={}", device.name),
                    &format!("device={}", device.name),
                );
            }
        }
        Ok(())
    }
}

/// The value of a `--device`: `NAME[,required]`, or `name=NAME,required=BOOL`.
#[derive(Debug, PartialEq, Eq)]
struct Device {
    name: String,
    required: bool,
}

impl Device {
    fn parse(text: &str) -> Result<Self, Failure> {
        let wrong = |why: String| {
            Failure::new(Cause::Input, "device", format!("RUN --device={text}: {why}"))
        };
        let mut device = Device { name: String::new(), required: false };
        for field in text.split(',') {
            match field.split_once('=') {
                None if field == "required" && text != field => device.required = true,
                Some(("required", value)) => {
                    device.required = match value {
                        "true" | "1" => true,
                        "false" | "0" => false,
                        _ => return Err(wrong(format!("`{value}` is neither true nor false"))),
                    };
                }
                Some(("name", name)) if device.name.is_empty() => device.name = name.to_owned(),
                // A qualified name has a `=` of its own: `vendor.com/class=name`.
                _ if device.name.is_empty() => device.name = field.to_owned(),
                _ => return Err(wrong(format!("unknown field `{field}`"))),
            }
        }
        if device.name.is_empty() {
            return Err(wrong("it names no device".to_owned()));
        }
        Ok(device)
    }

    /// The node of the host, which this user may open.
    fn node(&self) -> Result<PathBuf, String> {
        let name = &self.name;
        let path = Path::new(name);
        let plain = path.components().skip(1).all(|part| {
            matches!(part, std::path::Component::Normal(_)) // no `..`: the name is the place, too
        });
        if !path.starts_with("/dev") || !plain {
            // No specification of devices is read: nothing has ever been registered.
            return Err(format!("required device {name:?} is not registered"));
        }
        let kind = std::fs::metadata(path)
            .map_err(|error| format!("cannot look at the device `{name}`: {error}"))?
            .file_type();
        if !kind.is_char_device() && !kind.is_block_device() {
            return Err(format!("`{name}` is no device"));
        }
        crate::sys::may_open(path)
            .map_err(|error| format!("the device `{name}` cannot be opened: {error}"))?;
        Ok(path.to_owned())
    }
}

/// The host's nodes that a step gets. What is not required and not there is told, and left out.
pub(super) fn nodes(run: &Run, events: &Events) -> Result<Vec<PathBuf>, Failure> {
    let mut nodes = Vec::new();
    for text in &run.devices {
        let device = Device::parse(text)?;
        match device.node() {
            Ok(path) => nodes.push(path),
            Err(why) if device.required => {
                let failure = Failure::new(Cause::Input, "device", why);
                return Err(match device.name.starts_with("/dev/") {
                    true => failure.help("ask who runs this host for access to the device"),
                    false => failure.help("name a node of this host, such as /dev/fuse"),
                });
            }
            Err(why) => {
                events.note(format!("--device={}: left out: {why}", device.name));
            }
        }
    }
    Ok(nodes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_known_or_told() {
        let grants = Grants::parse(["network.host", "device=/dev/fuse", "local.delete"]).unwrap();
        assert!(grants.network_host && grants.has("local.delete") && !grants.has("device"));
        assert!(grants.allows_device("/dev/fuse") && !grants.allows_device("/dev/kvm"));
        assert!(Grants::parse(["device"]).unwrap().allows_device("/dev/kvm"));
        let check = |word: &str, want: &str| {
            let error = Grants::parse([word]).unwrap_err().to_string();
            assert!(error.contains(want), "{error}");
        };
        check("network.hots", "did you mean `network.host`?");
        check("everything", "there are network.host, security.insecure, device, local.delete");
        check("device=", "unknown entitlement `device=`");
    }

    #[test]
    fn devices_have_a_name_and_may_be_required() {
        let check = |text: &str, want: Option<(&str, bool)>| match (Device::parse(text), want) {
            (Ok(device), Some((name, required))) => {
                assert_eq!((device.name.as_str(), device.required), (name, required), "{text}");
            }
            (Err(_), None) => {}
            (found, _) => panic!("{text}: {found:?}"),
        };
        check("/dev/fuse", Some(("/dev/fuse", false)));
        check("vendor.com/gpu=0,required", Some(("vendor.com/gpu=0", true)));
        check("name=/dev/kvm,required=true", Some(("/dev/kvm", true)));
        check("required=false,/dev/kvm", Some(("/dev/kvm", false)));
        check("required", Some(("required", false)));
        check("/dev/kvm,required=maybe", None);
        check("/dev/kvm,/dev/fuse", None);
        check("required=true", None);
    }

    #[test]
    fn only_nodes_below_dev_are_given() {
        let check = |name: &str, want: Result<(), &str>| {
            let device = Device { name: name.to_owned(), required: true };
            match (device.node(), want) {
                (Ok(_), Ok(())) => {}
                (Err(why), Err(want)) => assert!(why.contains(want), "{why}"),
                (found, _) => panic!("{name}: {found:?}"),
            }
        };
        check("/dev/null", Ok(()));
        check("/dev/../etc/passwd", Err("is not registered"));
        check("/etc/passwd", Err("is not registered"));
        check("vendor.com/gpu=0", Err("required device \"vendor.com/gpu=0\" is not registered"));
        check("/dev/there-is-no-such", Err("cannot look at"));
        check("/dev/fd", Err("is no device"));
    }
}
