//! `rbuild [build]`: a Dockerfile and a context in, an image out.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::shared::{KeyValue, PolicyArgs, StoreArgs};

/// Build an image from a Dockerfile.
///
/// Prints one line on stdout, the digest of the manifest; all talk goes to stderr.
#[derive(clap::Args, Debug)]
pub(crate) struct Args {
    /// The context: a folder, or `-` for a tar stream (or a Dockerfile) on standard input
    #[arg(value_name = "CONTEXT")]
    pub(crate) context: PathBuf,
    /// The Dockerfile, or `-` for standard input [default: CONTEXT/Dockerfile, CONTEXT/Containerfile]
    #[arg(short, long, value_name = "PATH", env = "RBUILD_FILE")]
    pub(crate) file: Option<PathBuf>,
    /// Build this stage, by name or number, instead of the last one
    #[arg(long, value_name = "STAGE", env = "RBUILD_TARGET")]
    pub(crate) target: Option<String>,
    /// Set a build argument; without `=VALUE`, take it from the environment
    #[arg(long, value_name = "NAME[=VALUE]")]
    pub(crate) build_arg: Vec<String>,
    /// Make NAME (a stage, an image, a `--from`) mean a folder, `oci-layout://DIR[:TAG|@DIGEST]`
    /// or `docker-image://REF`
    #[arg(long, value_name = "NAME=SOURCE")]
    pub(crate) build_context: Vec<KeyValue>,
    /// Offer a secret to `RUN --mount=type=secret`: `id=ID[,src=FILE|,env=VARIABLE]`
    #[arg(long, value_name = "SPEC")]
    pub(crate) secret: Vec<String>,
    /// The platform to build for
    #[arg(long, value_name = "OS/ARCH[/VARIANT]", env = "RBUILD_PLATFORM")]
    pub(crate) platform: Option<String>,
    /// Name the image (written into the layout's index)
    #[arg(short, long, value_name = "REF")]
    pub(crate) tag: Vec<String>,
    /// Where the image goes: `type=oci,dest=PATH[,tar=true|false]` [default: ./image.oci]
    #[arg(short, long, value_name = "SPEC")]
    pub(crate) output: Vec<String>,
    /// Set a label
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) label: Vec<KeyValue>,
    /// Set an annotation of the manifest
    #[arg(long, value_name = "KEY=VALUE")]
    pub(crate) annotation: Vec<KeyValue>,
    /// Do not read cache records (they are still written)
    #[arg(long)]
    pub(crate) no_cache: bool,
    /// Resolve bases again although their digest is known
    #[arg(long)]
    pub(crate) pull: bool,
    /// The network of RUN steps
    #[arg(long, value_name = "default|none|host", default_value = "default", env = "RBUILD_NETWORK")]
    pub(crate) network: String,
    /// Grant a step more: `network.host`
    #[arg(long, value_name = "ENTITLEMENT")]
    pub(crate) allow: Vec<String>,
    /// One layer above the base
    #[arg(long)]
    pub(crate) squash: bool,
    /// Times in the image: `auto` (SOURCE_DATE_EPOCH, else a constant), seconds, or `preserve`
    #[arg(long, value_name = "auto|SECONDS|preserve", default_value = "auto", env = "RBUILD_TIMESTAMP")]
    pub(crate) timestamp: String,
    /// How layers are packed
    #[arg(long, value_name = "gzip|zstd|uncompressed", default_value = "gzip", env = "RBUILD_COMPRESSION")]
    pub(crate) compression: String,
    /// The level of the compression [default: gzip 6, zstd 3]
    #[arg(long, value_name = "N", env = "RBUILD_COMPRESSION_LEVEL")]
    pub(crate) compression_level: Option<u32>,
    /// How many steps run at once [default: the CPUs this process may use]
    #[arg(long, value_name = "N", env = "RBUILD_JOBS")]
    pub(crate) jobs: Option<usize>,
    /// Memory of /dev/shm in steps
    #[arg(long, value_name = "BYTES", default_value = "64m")]
    pub(crate) shm_size: String,
    /// Add a line to /etc/hosts of steps
    #[arg(long, value_name = "NAME:ADDRESS")]
    pub(crate) add_host: Vec<String>,
    /// Set a resource limit of steps: `nofile=1024[:2048]`
    #[arg(long, value_name = "NAME=SOFT[:HARD]")]
    pub(crate) ulimit: Vec<String>,
    /// Write the image's config digest (the image id) into FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) iidfile: Option<PathBuf>,
    /// Write what was built, or why not, as JSON into FILE
    #[arg(long, value_name = "FILE")]
    pub(crate) metadata_file: Option<PathBuf>,
    /// How progress is shown
    #[arg(long, value_name = "auto|plain|json|quiet|none", default_value = "auto", env = "RBUILD_PROGRESS")]
    pub(crate) progress: String,
    /// Show nothing but the digest and errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
    #[command(flatten)]
    pub(crate) store: StoreArgs,
    #[command(flatten)]
    pub(crate) policy: PolicyArgs,
}
