//! What is known of the tools that scripts call: which flags take a value in the next word, what
//! installs packages, what fetches, what runs a program from its input. One entry for tools that are
//! called alike; of two with the same name the later one counts.
//!
//! Data: it is there when the program starts, for reading it would take longer than most texts do.

use super::tools::{Fetcher, Interpreter, Tool, Wrapper};

/// Commands that run another command.
pub(super) static WRAPPERS: &[Wrapper] = &[
    Wrapper {
        names: &["sudo"],
        assigns: true,
        values: &[
            "-u", "-g", "-h", "-p", "-C", "-r", "-t", "-T", "-D", "-R", "-U", "--user", "--group",
            "--host", "--prompt", "--chdir", "--chroot",
        ],
        stop: &["-l", "--list", "-v", "-V"],
        ..Wrapper::NONE
    },
    Wrapper { names: &["doas"], values: &["-u", "-C"], ..Wrapper::NONE },
    Wrapper {
        names: &["env"],
        assigns: true,
        values: &["-u", "--unset", "-C", "--chdir"],
        ..Wrapper::NONE
    },
    Wrapper { names: &["nice"], values: &["-n", "--adjustment"], ..Wrapper::NONE },
    Wrapper {
        names: &["ionice"],
        values: &["-c", "-n", "--class", "--classdata"],
        ..Wrapper::NONE
    },
    Wrapper {
        names: &[
            "nohup",
            "setsid",
            "builtin",
            "catchsegv",
            "eatmydata",
            "busybox",
            "toybox",
            "fakeroot",
            "dumb-init",
            "tini",
        ],
        values: &["-p"],
        ..Wrapper::NONE
    },
    Wrapper { names: &["time"], values: &["-f", "-o"], ..Wrapper::NONE },
    Wrapper {
        names: &["timeout"],
        operands: 1,
        values: &["-k", "-s", "--kill-after", "--signal"],
        ..Wrapper::NONE
    },
    Wrapper { names: &["stdbuf"], values: &["-i", "-o", "-e"], ..Wrapper::NONE },
    Wrapper { names: &["chroot", "su-exec", "gosu"], operands: 1, ..Wrapper::NONE },
    Wrapper {
        names: &["unshare", "nsenter"],
        values: &["-S", "-G", "-t", "-R", "-w"],
        ..Wrapper::NONE
    },
    Wrapper {
        names: &["xargs"],
        values: &[
            "-I",
            "-n",
            "-P",
            "-L",
            "-d",
            "-a",
            "-E",
            "-s",
            "--max-args",
            "--max-procs",
            "--max-lines",
            "--delimiter",
            "--arg-file",
            "--replace",
        ],
        ..Wrapper::NONE
    },
    Wrapper { names: &["exec"], values: &["-a"], ..Wrapper::NONE },
    Wrapper { names: &["command"], stop: &["-v", "-V"], ..Wrapper::NONE },
    Wrapper {
        names: &["retry", "dbus-run-session", "xvfb-run", "cross-env", "proxychains", "torsocks"],
        ..Wrapper::NONE
    },
];

/// Interpreters.
pub(super) static INTERPRETERS: &[Interpreter] = &[
    Interpreter {
        names: &["sh", "bash", "dash", "ash", "zsh", "ksh", "mksh", "rbash"],
        shell: true,
        clusters: true,
        inline: &["-c"],
        values: &["--rcfile", "--init-file"],
    },
    Interpreter {
        names: &["python", "pypy"],
        clusters: true,
        inline: &["-c", "-m"],
        values: &["-W", "-X"],
        ..Interpreter::NONE
    },
    Interpreter {
        names: &["perl"],
        clusters: true,
        inline: &["-e", "-E"],
        values: &["-I", "-M"],
        ..Interpreter::NONE
    },
    Interpreter {
        names: &["ruby", "lua", "luajit"],
        clusters: true,
        inline: &["-e"],
        values: &["-I", "-r", "-l"],
        ..Interpreter::NONE
    },
    Interpreter {
        names: &["node", "nodejs", "deno", "bun"],
        inline: &["-e", "-p", "--eval", "--print", "-pe"],
        values: &["-r", "--require", "--import", "--loader"],
        ..Interpreter::NONE
    },
    Interpreter {
        names: &["php"],
        inline: &["-r", "-R", "-B", "-E"],
        values: &["-d", "-c"],
        ..Interpreter::NONE
    },
    Interpreter {
        names: &[
            "tclsh",
            "Rscript",
            "R",
            "pwsh",
            "fish",
            "csh",
            "tcsh",
            "guile",
            "escript",
            "groovy",
            "osascript",
        ],
        inline: &["-c", "-e", "-Command", "-command", "-File"],
        ..Interpreter::NONE
    },
];

/// What fetches over the network.
pub(super) static FETCHERS: &[Fetcher] = &[
    Fetcher {
        names: &[
            "curl", "wget", "fetch", "aria2c", "http", "https", "xh", "curlie", "nc", "ncat",
            "netcat", "socat", "lynx", "axel", "ftp", "tftp", "wget2",
        ],
        ..Fetcher::NONE
    },
    Fetcher { names: &["git"], subcommands: &["archive"] },
];

/// Package managers.
pub(super) static MANAGERS: &[Tool] = &[
    Tool {
        names: &["apt-get", "apt", "aptitude"],
        manager: "apt",
        values: &[
            "-o",
            "-c",
            "-t",
            "-a",
            "-h",
            "--option",
            "--config-file",
            "--target-release",
            "--default-release",
            "--host-architecture",
        ],
        install: &[
            "install",
            "reinstall",
            "upgrade",
            "full-upgrade",
            "dist-upgrade",
            "safe-upgrade",
            "build-dep",
            "satisfy",
        ],
        dry: &[
            "-s",
            "--simulate",
            "--dry-run",
            "--just-print",
            "--recon",
            "--no-act",
            "--print-uris",
            "-d",
            "--download-only",
        ],
        ..Tool::NONE
    },
    Tool {
        names: &["apk"],
        manager: "apk",
        values: &[
            "-t",
            "--virtual",
            "-X",
            "--repository",
            "-p",
            "--root",
            "--arch",
            "--keys-dir",
            "--repositories-file",
            "--wait",
            "--cache-dir",
            "--cache-max-age",
        ],
        install: &["add", "upgrade"],
        root: &["-p", "--root"],
        dry: &["-s", "--simulate"],
        ..Tool::NONE
    },
    Tool {
        names: &["yum", "dnf", "dnf5", "microdnf", "tdnf"],
        manager: "dnf",
        values: &[
            "-c",
            "--config",
            "-x",
            "--exclude",
            "--repo",
            "--repoid",
            "--enablerepo",
            "--disablerepo",
            "--installroot",
            "--releasever",
            "--forcearch",
            "--setopt",
            "-d",
            "-e",
            "-R",
        ],
        install: &[
            "install",
            "reinstall",
            "localinstall",
            "groupinstall",
            "upgrade",
            "update",
            "upgrade-minimal",
            "update-minimal",
            "distro-sync",
            "swap",
            "builddep",
        ],
        groups: &[("group", "install"), ("module", "install"), ("group", "upgrade")],
        root: &["--installroot"],
        dry: &["--downloadonly", "--assumeno"],
        ..Tool::NONE
    },
    Tool {
        names: &["zypper"],
        manager: "zypper",
        values: &[
            "-R",
            "--root",
            "-c",
            "--config",
            "-r",
            "--repo",
            "-t",
            "--type",
            "--installroot",
            "--from",
            "-D",
            "--reposd-dir",
        ],
        install: &[
            "install",
            "in",
            "update",
            "up",
            "patch",
            "dist-upgrade",
            "dup",
            "source-install",
            "si",
            "install-new-recommends",
            "inr",
        ],
        root: &["-R", "--root", "--installroot"],
        dry: &["--dry-run", "--download-only", "-d"],
        ..Tool::NONE
    },
    Tool {
        names: &["dpkg"],
        manager: "dpkg",
        values: &["--root", "--admindir", "--instdir", "--log"],
        install_flags: &["-i", "--install", "--unpack"],
        root: &["--root", "--instdir"],
        ..Tool::NONE
    },
    Tool {
        names: &["rpm"],
        manager: "rpm",
        values: &["--root", "--dbpath", "-D", "--define", "--prefix", "--relocate", "-r"],
        install_flags: &["-i", "-U", "-F", "--install", "--upgrade", "--freshen", "--reinstall"],
        not_flags: &[
            "-q",
            "-V",
            "-e",
            "-K",
            "--query",
            "--verify",
            "--erase",
            "--import",
            "--checksig",
            "--eval",
            "--initdb",
            "--rebuilddb",
        ],
        root: &["--root", "-r"],
        ..Tool::NONE
    },
    Tool {
        names: &["pacman"],
        manager: "pacman",
        values: &["-r", "--root", "-b", "--dbpath", "--cachedir", "--config", "--arch"],
        install_flags: &["-S", "-U", "--sync", "--upgrade"],
        not_flags: &[
            "-s", "-i", "-c", "-l", "-g", "-p", "--search", "--info", "--clean", "--print", "-Q",
            "-R",
        ],
        root: &["-r", "--root"],
        ..Tool::NONE
    },
    Tool {
        names: &["opkg"],
        manager: "opkg",
        values: &["-f", "-o", "-d", "--conf", "--offline-root", "--dest"],
        install: &["install", "upgrade"],
        root: &["-o", "--offline-root"],
        ..Tool::NONE
    },
    Tool {
        names: &["pip"],
        manager: "pip",
        values: &[
            "-r",
            "--requirement",
            "-c",
            "--constraint",
            "-i",
            "--index-url",
            "--extra-index-url",
            "-f",
            "--find-links",
            "-t",
            "--target",
            "--prefix",
            "--root",
            "--cache-dir",
            "--platform",
            "--python-version",
            "--trusted-host",
            "--timeout",
            "--proxy",
            "--log",
            "--python",
            "-e",
            "--editable",
            "--no-binary",
            "--only-binary",
            "--root-user-action",
            "--progress-bar",
            "--upgrade-strategy",
        ],
        install: &["install"],
        root: &["-t", "--target", "--prefix", "--root"],
        dry: &["--dry-run"],
        ..Tool::NONE
    },
    Tool {
        names: &["pipx"],
        manager: "pipx",
        values: &["--index-url", "-i", "--python", "--pip-args", "--spec", "--suffix"],
        install: &["install", "inject", "upgrade", "upgrade-all", "run"],
        ..Tool::NONE
    },
    Tool {
        names: &["uv"],
        manager: "uv",
        values: &[
            "-r",
            "--requirement",
            "-p",
            "--python",
            "--index-url",
            "-i",
            "--target",
            "--prefix",
            "--cache-dir",
            "--directory",
            "--project",
            "--index",
            "--extra-index-url",
            "--link-mode",
            "--group",
            "--extra",
        ],
        install: &["sync", "add"],
        groups: &[("pip", "install"), ("pip", "sync"), ("tool", "install"), ("python", "install")],
        root: &["--target", "--prefix"],
        dry: &["--dry-run"],
        ..Tool::NONE
    },
    Tool {
        names: &["poetry", "pdm", "pipenv"],
        manager: "poetry",
        values: &[
            "-C",
            "--directory",
            "-P",
            "--project",
            "--only",
            "--with",
            "--without",
            "-E",
            "--extras",
            "-p",
            "-G",
        ],
        install: &["install", "add", "sync", "update"],
        dry: &["--dry-run"],
        ..Tool::NONE
    },
    Tool {
        names: &["conda", "mamba", "micromamba"],
        manager: "conda",
        values: &[
            "-n",
            "--name",
            "-p",
            "--prefix",
            "-c",
            "--channel",
            "-f",
            "--file",
            "-r",
            "--root-prefix",
        ],
        install: &["install", "create", "update", "upgrade"],
        groups: &[("env", "create"), ("env", "update")],
        root: &["-p", "--prefix"],
        dry: &["--dry-run", "-d"],
        ..Tool::NONE
    },
    Tool {
        names: &["npm"],
        manager: "npm",
        values: &[
            "--prefix",
            "-C",
            "--registry",
            "--cache",
            "--userconfig",
            "-w",
            "--workspace",
            "--loglevel",
            "--tag",
            "--omit",
            "--include",
        ],
        install: &[
            "install",
            "i",
            "in",
            "ci",
            "add",
            "install-clean",
            "clean-install",
            "update",
            "upgrade",
            "install-test",
            "it",
        ],
        root: &["--prefix"],
        dry: &["--dry-run"],
        ..Tool::NONE
    },
    Tool {
        names: &["pnpm"],
        manager: "pnpm",
        values: &["-C", "--dir", "--filter", "-F", "--store-dir", "--registry", "--prefix"],
        install: &["install", "i", "add", "ci", "update", "up", "fetch"],
        root: &["-C", "--dir", "--prefix"],
        ..Tool::NONE
    },
    Tool {
        names: &["yarn"],
        manager: "yarn",
        values: &[
            "--cwd",
            "--registry",
            "--modules-folder",
            "--cache-folder",
            "--network-timeout",
            "--network-concurrency",
        ],
        install: &["install", "add", "upgrade", "up"],
        groups: &[("global", "add"), ("workspaces", "focus")],
        bare: true,
        root: &["--modules-folder"],
        ..Tool::NONE
    },
    Tool {
        names: &["bun"],
        manager: "bun",
        install: &["install", "i", "add", "update"],
        ..Tool::NONE
    },
    Tool {
        names: &["gem"],
        manager: "gem",
        values: &[
            "-v",
            "--version",
            "-i",
            "--install-dir",
            "-n",
            "--bindir",
            "-s",
            "--source",
            "-P",
            "--trust-policy",
        ],
        install: &["install", "i", "update"],
        root: &["-i", "--install-dir"],
        ..Tool::NONE
    },
    Tool {
        names: &["bundle", "bundler"],
        manager: "bundle",
        values: &["--path", "--gemfile", "--jobs", "-j", "--retry", "--without", "--with"],
        install: &["install", "update", "add"],
        bare: true,
        ..Tool::NONE
    },
    Tool {
        names: &["cargo"],
        manager: "cargo",
        values: &[
            "--root",
            "--version",
            "--git",
            "--path",
            "--branch",
            "--tag",
            "--rev",
            "--features",
            "--target",
            "--profile",
            "-j",
            "--registry",
            "-F",
        ],
        install: &["install", "binstall"],
        root: &["--root"],
        ..Tool::NONE
    },
    Tool { names: &["go"], manager: "go", install: &["install", "get"], ..Tool::NONE },
    Tool {
        names: &["composer"],
        manager: "composer",
        values: &["-d", "--working-dir"],
        install: &["install", "require", "update", "create-project", "i", "u"],
        groups: &[("global", "require"), ("global", "install")],
        ..Tool::NONE
    },
    Tool {
        names: &["brew", "snap", "flatpak"],
        manager: "brew",
        install: &["install", "upgrade", "reinstall", "refresh"],
        ..Tool::NONE
    },
    Tool {
        names: &["nix-env"],
        manager: "nix",
        values: &["-p", "--profile", "-f", "--file"],
        install_flags: &["-i", "--install", "-u", "--upgrade"],
        ..Tool::NONE
    },
    Tool {
        names: &["easy_install"],
        manager: "easy_install",
        install: &[],
        bare: true,
        ..Tool::NONE
    },
];

/// Commands of which nothing else is known but that many scripts call them.
pub(super) static COMMON: &str = "\
     . : [ addgroup adduser autoreconf awk base64 basename cat cd chgrp chmod chown chpasswd \
     chsh cmake configure cp cut date dd deluser df diff dirname dotnet dpkg-reconfigure echo \
     egrep eval exit export expr false fgrep file find gcc getent gpg gradle grep groupadd \
     gunzip gzip head hostname id install java javac ldconfig ln locale-gen ls make md5sum \
     meson mkdir mkfifo mktemp mv mvn ninja nproc openssl passwd patch printf pwd read readlink \
     realpath return rm rmdir sed seq service set setcap sha1sum sha256sum sha512sum shopt \
     sleep sort source ssh strip su sync systemctl tail tar tee test touch tr trap true ulimit \
     umask uname uniq unset unzip update-alternatives update-ca-certificates useradd usermod wc \
     which xz zip";
