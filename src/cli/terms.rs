//! Flags about how RUN steps are run.

use std::io::Read;
use std::path::{Path, PathBuf};
use std::time::Duration;

use rbuild::exec::StepTerms;
use rbuild::policy::Policy;
use rbuild::sandbox::{Emulators, Resources};

use super::environment;
use super::shared::{Stop, attributes, bytes};

/// The largest file of certificates, in bytes.
const BUNDLE_LIMIT: u64 = 4 << 20;

/// `--qemu`.
#[derive(clap::Args, Debug)]
pub(crate) struct EmulatorArgs {
    /// The emulator for steps of another architecture: a static `qemu-…`, or a folder of them
    /// [default: the folders of $PATH]
    #[arg(long, value_name = "PATH", env = "RBUILD_QEMU")]
    qemu: Option<PathBuf>,
}

/// How long steps may take, what they may use, who runs them.
#[derive(clap::Args, Debug)]
pub(crate) struct TermArgs {
    #[command(flatten)]
    emulator: EmulatorArgs,
    /// Stop a step that runs longer: `90s`, `10m`, `1h30m`
    #[arg(long, value_name = "DURATION", env = "RBUILD_STEP_TIMEOUT", value_parser = duration)]
    step_timeout: Option<Duration>,
    /// Stop a step that writes nothing for so long
    #[arg(long, value_name = "DURATION", env = "RBUILD_STALL_TIMEOUT", value_parser = duration)]
    stall_timeout: Option<Duration>,
    /// What a step may use, all its processes together: `memory=2g,pids=512,cpu-quota=1.5`
    #[arg(long, value_name = "NAME=VALUE,…", env = "RBUILD_RESOURCE", value_parser = resources)]
    resource: Option<Resources>,
    /// Certificates of authorities (PEM) that steps trust, too; nothing of it is in the image
    #[arg(long, value_name = "FILE", env = "RBUILD_CA_BUNDLE")]
    ca_bundle: Option<PathBuf>,
    /// Note which programs steps run and whom they connect to, for --metadata-file; no step can use
    /// ptrace then [default: exec where the policy has behaviour = "required",
    /// as paranoid does, or where --only names a rule of behaviour; else none]
    #[arg(long, value_name = "exec|none", env = "RBUILD_AUDIT", value_parser = ["exec", "none"])]
    audit: Option<String>,
    /// Run each step twice, with another host name and clock, and compare what it leaves: for the
    /// rule step-not-reproducible, and for --metadata-file
    #[arg(long)]
    verify: bool,
}

impl TermArgs {
    /// Understands the flags.
    pub(crate) fn terms(&self, policy: &Policy) -> Result<StepTerms, Stop> {
        let audit = match &self.audit {
            Some(word) => word == "exec",
            None => policy.watches(),
        };
        Ok(StepTerms {
            emulators: self.emulator.emulators()?,
            time: self.step_timeout,
            silence: self.stall_timeout,
            resources: self.resource.unwrap_or_default(),
            authorities: self.ca_bundle.as_deref().map(authorities).transpose()?,
            audit,
            verify: self.verify,
            audit_again: audit && policy.watches(),
            grace: Duration::from_millis(policy.grace()),
        })
    }
}

impl EmulatorArgs {
    /// Where emulators are looked for.
    pub(crate) fn emulators(&self) -> Result<Emulators, Stop> {
        let named = match &self.qemu {
            None => None,
            Some(path) => {
                let wrong = |error| Stop::usage(format!("--qemu `{}`: {error}", path.display()));
                Some(std::path::absolute(path).map_err(wrong)?)
            }
        };
        Ok(Emulators { named, ..emulators() })
    }
}

/// Reads certificates.
fn authorities(path: &Path) -> Result<Vec<u8>, Stop> {
    let wrong = |why: String| Stop::usage(format!("--ca-bundle `{}`: {why}", path.display()));
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(BUNDLE_LIMIT + 1).read_to_end(&mut bytes))
        .map_err(|error| wrong(error.to_string()))?;
    if bytes.len() as u64 > BUNDLE_LIMIT {
        return Err(wrong(format!("it is larger than {BUNDLE_LIMIT} bytes")));
    }
    let text = String::from_utf8_lossy(&bytes);
    if text.contains("PRIVATE KEY-----") {
        return Err(wrong("it holds a private key, which no step shall see".to_owned()));
    }
    if !text.contains("-----BEGIN CERTIFICATE-----") {
        return Err(wrong("it holds no certificate in PEM form".to_owned())
            .help("openssl x509 -inform der -in FILE -out FILE.pem makes one of a DER file"));
    }
    Ok(bytes)
}

/// Parses `1h30m`, `90s`, `500ms`; a number alone is seconds.
fn duration(text: &str) -> Result<Duration, String> {
    let wrong = || format!("`{text}` is not a duration; write for example 90s, 10m or 1h30m");
    let mut millis = 0u64;
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(wrong());
    }
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len());
        let number: u64 = rest[..digits].parse().map_err(|_| wrong())?;
        rest = &rest[digits..];
        let unit = &rest[..rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len())];
        rest = &rest[unit.len()..];
        let factor = match unit {
            "ms" => 1,
            "s" => 1000,
            "" if digits == text.trim().len() => 1000,
            "m" => 60_000,
            "h" => 3_600_000,
            _ => return Err(wrong()),
        };
        millis = number
            .checked_mul(factor)
            .and_then(|more| millis.checked_add(more))
            .ok_or_else(wrong)?;
    }
    match millis {
        0 => Err("a step needs more time than none".to_owned()),
        millis => Ok(Duration::from_millis(millis)),
    }
}

/// Parses `memory=2g,pids=512,cpu-quota=1.5`.
fn resources(text: &str) -> Result<Resources, String> {
    let mut resources = Resources::default();
    for (name, value) in attributes(text)? {
        let number = || format!("`{name}={value}` is not understood");
        match name.as_str() {
            "memory" => resources.memory = Some(bytes(&value)?),
            "pids" => resources.pids = Some(value.parse().map_err(|_| number())?),
            "cpu-quota" => {
                let cpus: f64 = value.parse().map_err(|_| number())?;
                if !(0.01..=100_000.0).contains(&cpus) {
                    return Err(format!("`{name}={value}`: write a number of CPUs, such as 1.5"));
                }
                resources.cpus = Some((cpus * 1000.0).round() as u64);
            }
            other => {
                return Err(format!(
                    "unknown resource `{other}`; there are memory, pids, cpu-quota"
                ));
            }
        }
    }
    if [resources.memory, resources.pids].contains(&Some(0)) {
        return Err("a step needs more than nothing".to_owned());
    }
    Ok(resources)
}

/// Where emulators lie on this machine.
fn emulators() -> Emulators {
    let path = environment::variable("PATH").unwrap_or_default();
    let mut folders: Vec<PathBuf> = std::env::split_paths(&path).collect();
    // A cron job or a service has a short PATH.
    for folder in ["/usr/bin", "/usr/local/bin", "/usr/libexec/qemu-binfmt"] {
        if !folders.iter().any(|other| other == std::path::Path::new(folder)) {
            folders.push(folder.into());
        }
    }
    Emulators { named: None, folders }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        for (text, want) in
            [("90", 90_000), ("90s", 90_000), ("1h30m", 5_400_000), ("500ms", 500), ("2m", 120_000)]
        {
            assert_eq!(duration(text), Ok(Duration::from_millis(want)), "{text}");
        }
        for bad in ["", "0", "s", "1x", "1h30", "-1s", "1.5s", "99999999999999999999s"] {
            assert!(duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn resources_are_named() {
        let want = Resources { memory: Some(2 << 30), pids: Some(512), cpus: Some(1500) };
        assert_eq!(resources("memory=2g,pids=512,cpu-quota=1.5"), Ok(want));
        for bad in ["memory", "memory=0", "pids=-1", "cpu-quota=0", "cpu-quota=inf", "disk=1g"] {
            assert!(resources(bad).is_err(), "{bad}");
        }
    }
}
