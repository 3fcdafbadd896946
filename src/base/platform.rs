//! Platforms: operating system, architecture, variant.

use std::fmt;

/// A platform in its normal form: `linux/amd64`, `linux/arm64`, `linux/arm/v7`.
///
/// Normalised as containerd does: `x86_64` is `amd64`, `aarch64` is `arm64`, `arm64/v8` is
/// `arm64`, `arm` without a variant is `arm/v7`.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Platform {
    /// The operating system, as Go spells it.
    pub os: String,
    /// The architecture, as Go spells it.
    pub architecture: String,
    /// The variant, if the architecture has several.
    pub variant: Option<String>,
}

/// Why a text is no platform.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is not a platform; write OS/ARCH[/VARIANT], for example linux/arm64")]
pub struct PlatformError(String);

const ARCHITECTURES: &[&str] = &[
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x", "wasm",
];
const SYSTEMS: &[&str] = &[
    "aix",
    "android",
    "darwin",
    "dragonfly",
    "freebsd",
    "illumos",
    "ios",
    "js",
    "linux",
    "netbsd",
    "openbsd",
    "plan9",
    "solaris",
    "wasip1",
    "windows",
];

impl Platform {
    /// Returns the platform with these parts, normalised.
    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        let architecture = architecture.to_ascii_lowercase();
        let variant = variant.map(str::to_ascii_lowercase).filter(|variant| !variant.is_empty());
        let (architecture, variant) = match (architecture.as_str(), variant.as_deref()) {
            ("x86_64" | "x86-64" | "amd64", Some("v1")) => ("amd64", None),
            ("x86_64" | "x86-64", variant) => ("amd64", variant),
            ("i386" | "i486" | "i586" | "i686", _) => ("386", None),
            ("aarch64" | "arm64", Some("8" | "v8") | None) => ("arm64", None),
            ("aarch64", variant) => ("arm64", variant),
            ("armhf", _) => ("arm", Some("v7")),
            ("armel", _) => ("arm", Some("v6")),
            ("arm", None | Some("7")) => ("arm", Some("v7")),
            ("arm", Some("5")) => ("arm", Some("v5")),
            ("arm", Some("6")) => ("arm", Some("v6")),
            ("arm", Some("8")) => ("arm", Some("v8")),
            (other, variant) => (other, variant),
        };
        Platform {
            os: system(os),
            architecture: architecture.to_owned(),
            variant: variant.map(str::to_owned),
        }
    }

    /// Parses `OS/ARCH`, `OS/ARCH/VARIANT`, or one of the two words alone (the other one is then
    /// the host's).
    pub fn parse(text: &str) -> Result<Self, PlatformError> {
        let error = || PlatformError(text.escape_default().to_string());
        let parts: Vec<&str> = text.split('/').collect();
        if parts.iter().any(|part| {
            part.is_empty()
                || !part.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"_-.".contains(&byte))
        }) {
            return Err(error());
        }
        let host = Self::host();
        match parts.as_slice() {
            [one] => {
                if SYSTEMS.contains(&system(one).as_str()) {
                    return Ok(Self::new(one, &host.architecture, host.variant.as_deref()));
                }
                let platform = Self::new("linux", one, None);
                if ARCHITECTURES.contains(&platform.architecture.as_str()) {
                    Ok(platform)
                } else {
                    Err(error())
                }
            }
            [os, architecture] => Ok(Self::new(os, architecture, None)),
            [os, architecture, variant] => Ok(Self::new(os, architecture, Some(variant))),
            _ => Err(error()),
        }
    }

    /// The platform that this program was compiled for.
    pub fn host() -> Self {
        Self::new("linux", std::env::consts::ARCH, None)
    }
}

/// An operating system, as Go spells it.
fn system(os: &str) -> String {
    match os.to_ascii_lowercase().as_str() {
        "macos" => "darwin".to_owned(),
        other => other.to_owned(),
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        match &self.variant {
            Some(variant) => write!(f, "/{variant}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn spellings_are_normalised() {
        for (text, want) in [
            ("linux/amd64", "linux/amd64"),
            ("linux/x86_64", "linux/amd64"),
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm", "linux/arm/v7"),
            ("arm64", "linux/arm64"),
            ("Linux/AArch64", "linux/arm64"),
            ("linux/x86_64/v1", "linux/amd64"),
            ("linux/X86-64/V3", "linux/amd64/v3"),
            // Found by fuzzing: printed as a name that is read as another platform.
            ("macOs/v", "darwin/v"),
        ] {
            let platform = Platform::parse(text).unwrap();
            assert_eq!(platform.to_string(), want);
            assert_eq!(Platform::parse(want), Ok(platform), "{text}");
        }
        assert_eq!(Platform::parse("macOS").unwrap().os, "darwin");
        for bad in ["", "linux/", "a/b/c/d", "linux/am d64", "nonsense", "linux/..%2f"] {
            assert!(Platform::parse(bad).is_err(), "{bad:?}");
        }
    }
}
