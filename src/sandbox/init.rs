//! The inside of `rbuild __sandbox`: makes the namespaces, becomes the first process in them,
//! performs the list of operations, starts the command, and reaps.
//!
//! Three processes: the one that the builder started makes namespaces and waits; its child is pid 1
//! of the step; the child of that becomes the command. Each is killed by the kernel when the one
//! before it ends, so nothing outlives the builder.

use std::io::{self, Read, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::Path;

use super::audit::{self, Act};
use super::isolation::Keeping;
use super::keep;
use super::owner;
use super::setup::{Orders, Raw, Setup};
use super::stubs::{Points, Stubs};
use crate::base::{ImagePath, Secret};
use crate::sys::child::{self, Child, End, Fork, Program};
use crate::sys::mount::{self, Limits};
use crate::sys::seccomp::Filter;
use crate::sys::trace::Tracer;
use crate::sys::{IdMode, socket};

/// Where a program is looked up when the environment has no `PATH` (as Docker sets it).
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// What the step tells the builder, one JSON document a line.
#[derive(Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Report {
    /// Everything is mounted, the command starts.
    Ready(Stubs),
    /// An operation failed.
    Failed { doing: String, cause: String },
    /// The program could not be started.
    NoExec { program: Raw, cause: String },
    /// The command ended.
    Ended(End),
    /// Something that it did, under an audit.
    Act(Act),
    /// It is not watched, though that was asked for; why.
    Unwatched(String),
}

/// What the builder asks for by one byte: SIGTERM for the command.
pub(super) const TERMINATE: u8 = b't';

// An operation and why it failed.
pub(super) struct Failure(String, io::Error);

pub(super) trait While<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure>;
}

impl<T> While<T> for io::Result<T> {
    fn doing(self, what: impl FnOnce() -> String) -> Result<T, Failure> {
        self.map_err(|error| Failure(what(), error))
    }
}

pub(super) fn say(control: &UnixStream, report: &Report) {
    let mut control = control;
    // When nobody listens any more, there is nobody to tell.
    if let Ok(mut text) = serde_json::to_vec(report) {
        text.push(b'\n');
        let _ = control.write_all(&text);
    }
}

fn fail(control: &UnixStream, Failure(doing, error): &Failure) -> ! {
    say(control, &Report::Failed { doing: doing.clone(), cause: in_words(error) });
    child::exit(1)
}

/// Returns the text of an error number without the number.
fn in_words(error: &io::Error) -> String {
    let text = error.to_string();
    let text = text.split(" (os error").next().unwrap_or(&text);
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_lowercase().chain(letters).collect())
}

/// The entry of `rbuild __sandbox`: becomes the step described on standard input.
pub fn sandbox_main() -> ! {
    let Ok(control) = child::take_stdin().map(UnixStream::from) else { child::exit(2) };
    match first(&control) {
        Ok(()) => child::exit(0),
        Err(failure) => fail(&control, &failure),
    }
}

fn first(control: &UnixStream) -> Result<(), Failure> {
    child::die_with_parent().doing(|| "bind the life to the builder's".into())?;
    // Mount points and devices are made with modes of our own, whatever the caller's umask.
    child::set_umask(0o022);
    child::hide_from_proc(true).doing(|| "hide from /proc".into())?;
    child::new_session().doing(|| "leave the terminal".into())?;
    // A builder that died before the first line above is seen here as the end of the stream.
    let (fds, mut parts) =
        socket::receive(control).doing(|| "receive the description of the step".into())?;
    if parts.is_empty() {
        return Err(io::Error::from(io::ErrorKind::InvalidData)).doing(|| "read the step".into());
    }
    let bytes: Vec<Secret> = parts.drain(1..).map(Secret::new).collect();
    let orders: Orders = serde_json::from_slice(&parts[0])
        .map_err(io::Error::other)
        .doing(|| "read the description of the step".into())?;
    let keeping = orders.keeping;
    if keeping != Keeping::Chroot {
        child::unshare_step(orders.own_network, keeping == Keeping::PidNamespace)
            .doing(|| "make the namespaces of the step".into())?;
    }
    let keeper = keep::outer(keeping)?;
    let (watch, alive) = io::pipe().doing(|| "make a pipe".into())?;
    let (ours, theirs) = if orders.id_mode == IdMode::Single {
        owner::pair().map(|(ours, theirs)| (Some(ours), Some(theirs)))
    } else {
        Ok((None, None))
    }
    .doing(|| "prepare the supervisor of owners".into())?;
    match child::fork().doing(|| "fork".into())? {
        Fork::Parent(init) => {
            drop((fds, bytes, watch, theirs));
            if let Some(ours) = ours {
                // When it fails this process ends, and the step with it.
                ours.attend(&init, &orders).doing(|| "record the owners of files".into())?;
            }
            let _ = init.wait();
            // Where the kernel does not, and the one inside could not.
            if let Some(keeper) = keeper {
                keeper.kill_all();
            }
            Ok(())
        }
        Fork::Child => {
            drop((alive, ours));
            let inside = Inside { control, fds, bytes, orders, supervisor: theirs };
            match inside.run(watch.as_fd()) {
                Ok(()) => child::exit(0),
                Err(failure) => fail(control, &failure),
            }
        }
    }
}

// Pid 1 of the step.
struct Inside<'a> {
    control: &'a UnixStream,
    fds: Vec<OwnedFd>,
    bytes: Vec<Secret>,
    orders: Orders,
    supervisor: Option<owner::Theirs>,
}

// The folder in memory out of which single files are mounted.
struct Stage {
    folder: OwnedFd,
    secrets: Option<OwnedFd>,
    files: usize,
}

impl Inside<'_> {
    fn run(mut self, parent: BorrowedFd<'_>) -> Result<(), Failure> {
        let mut keeper = keep::inner(self.orders.keeping)?;
        if child::is_hung_up(parent) {
            child::exit(1);
        }
        let mut cwd = self.set_up()?;
        // A step that may do all may mount, which a fence forbids.
        if let Some(keeper) = &mut keeper
            && self.orders.hardening != super::Hardening::Insecure
        {
            keeper.fence();
        }
        let user = &self.orders.user;
        if self.orders.id_mode.has_many() {
            child::give_output_to(user.uid, user.gid);
        }
        let signals = child::child_signals().doing(|| "watch for children".into())?;
        let (mut theirs, mut ours) = UnixStream::pair().doing(|| "make a socket".into())?;
        match child::fork().doing(|| "fork".into())? {
            Fork::Child => {
                drop(ours);
                if self.orders.audit {
                    // Nothing is done before somebody looks, or it is clear that nobody will.
                    let mut byte = [0];
                    self.orders.audit = theirs.read(&mut byte).is_ok_and(|_| byte == *b"y");
                }
                cwd.audit = self.orders.audit.then_some(theirs);
                let supervisor = self.supervisor.take();
                let failure = self.become_command(&cwd, supervisor);
                fail(self.control, &failure)
            }
            Fork::Parent(command) => {
                let control = self.control;
                let tracer = cwd.watch.take().map(|proc| Tracer::begin(&command, proc));
                // When it is gone, that is seen below.
                let _ = ours.write_all(if matches!(tracer, Some(Ok(_))) { b"y" } else { b"n" });
                // Secrets are overwritten, the host's mounts let go.
                self.bytes.clear();
                drop((self, cwd, theirs));
                match (keeper, tracer) {
                    // What has no pid namespace of its own is not audited: see `setup::orders`.
                    (Some(keeper), _) => {
                        keep::watch_over(&keeper, &command, control, &signals, parent);
                    }
                    (None, Some(Ok(tracer))) => {
                        if let Some(end) = audit::watch(&command, control, &signals, &tracer, ours)
                        {
                            say(control, &Report::Ended(end));
                        }
                    }
                    (None, Some(Err(error))) => {
                        say(control, &Report::Unwatched(format!("ptrace: {}", in_words(&error))));
                        watch_over(&command, control, &signals);
                    }
                    (None, None) => watch_over(&command, control, &signals),
                }
                Ok(())
            }
        }
    }

    fn set_up(&mut self) -> Result<Cwd, Failure> {
        let setup = std::mem::take(&mut self.orders.setup);
        let [root, upper, ..] = self.fds.as_slice() else {
            return Err(io::Error::from(io::ErrorKind::InvalidData))
                .doing(|| "find the tree of the step".into());
        };
        let mut stage = None;
        let mut points = None;
        for one in &setup {
            match one {
                Setup::Root => {
                    if self.orders.keeping != Keeping::Chroot {
                        stage = Some(attach_root(root).doing(|| "attach the tree".into())?);
                    }
                    points = Some(Points::new(root).doing(|| "look at the tree".into())?);
                    only_folders(root)?;
                }
                Setup::Hostname(name) => {
                    child::set_hostname(name).doing(|| "set the host name".into())?;
                }
                Setup::Loopback => {
                    child::loopback_up().doing(|| "bring the loopback device up".into())?;
                }
                Setup::Pivot => break,
                other => {
                    let (Some(stage), Some(points)) = (stage.as_mut(), points.as_mut()) else {
                        return Err(io::Error::from(io::ErrorKind::InvalidData))
                            .doing(|| "find the tree of the step".into());
                    };
                    self.perform(other, root, stage, points)?;
                }
            }
        }
        let Some(mut points) = points else {
            return Err(io::Error::from(io::ErrorKind::InvalidData))
                .doing(|| "find the tree of the step".into());
        };
        let path = self.orders.cwd.path();
        let named = || format!("go to the working directory `{path}`");
        let folder = points.open(&path, true, false).doing(named)?;
        if !mount::status(&folder).doing(named)?.is_dir() {
            return Err(io::Error::from(io::ErrorKind::NotADirectory)).doing(named);
        }
        if self.orders.keeping == Keeping::Chroot {
            let stubs = points.finish(upper).doing(|| "look at the mount points".into())?;
            say(self.control, &Report::Ready(stubs));
            return Ok(Cwd { folder, proc: None, watch: None, audit: None });
        }
        let proc = if self.orders.id_mode != IdMode::Single {
            None
        } else if self.orders.keeping == Keeping::Subreaper {
            // The step's own is read-only, and this one is for writing the maps of ids.
            let proc = mount::clone_path_recursive(Path::new("/proc"));
            Some(proc.doing(|| "open /proc".into())?)
        } else {
            let at = ImagePath::from_entry(b"proc").unwrap_or_else(|_| ImagePath::root());
            Some(mount::open_in_root(root, &at, true).doing(|| "open /proc".into())?)
        };
        let watch = match self.orders.audit {
            true => {
                let at = ImagePath::from_entry(b"proc").unwrap_or_else(|_| ImagePath::root());
                Some(mount::open_in_root(root, &at, true).doing(|| "open /proc".into())?)
            }
            false => None,
        };
        let stubs = points.finish(upper).doing(|| "look at the mount points".into())?;
        mount::pivot(root).doing(|| "change the root".into())?;
        say(self.control, &Report::Ready(stubs));
        Ok(Cwd { folder, proc, watch, audit: None })
    }

    fn perform(
        &self,
        one: &Setup,
        root: &OwnedFd,
        stage: &mut Stage,
        points: &mut Points<'_>,
    ) -> Result<(), Failure> {
        match one {
            // Met by the caller.
            Setup::Root | Setup::Hostname(_) | Setup::Loopback | Setup::Pivot => Ok(()),
            Setup::Proc => {
                let at = own_folder("/proc", root, points)?;
                let limits = Limits { nosuid: true, nodev: true, noexec: true, readonly: false };
                let proc = mount::new_mount("proc", &[], limits).map_err(masked_proc);
                proc.and_then(|proc| mount::attach(proc, at)).doing(|| "mount `/proc`".into())
            }
            Setup::HostProc => {
                let at = own_folder("/proc", root, points)?;
                // Other processes of the same user are in there, the builder's too: nothing of theirs
                // (`oom_score_adj`) may be written.
                mount::clone_path_recursive(Path::new("/proc"))
                    .and_then(|proc| mount::set_limits(&proc, Limits::READ, true).map(|()| proc))
                    .and_then(|proc| mount::attach(proc, at))
                    .doing(|| "show the `/proc` of outside".into())
            }
            Setup::Sysfs => {
                let at = own_folder("/sys", root, points)?;
                mount::new_mount("sysfs", &[], Limits::READ)
                    .or_else(|_| host_sys())
                    .and_then(|sys| mount::attach(sys, at))
                    .doing(|| "mount `/sys`".into())
            }
            Setup::HostSys => {
                let at = own_folder("/sys", root, points)?;
                host_sys().and_then(|sys| mount::attach(sys, at)).doing(|| "mount `/sys`".into())
            }
            Setup::Tmpfs { target, size, mode, of_builder } => {
                let path = target.path();
                let at = if *of_builder && path.parent().is_some_and(|parent| parent.is_root()) {
                    own_folder(&path.display(), root, points)?
                } else {
                    points.open(&path, true, true).doing(|| format!("make `{path}`"))?
                };
                tmpfs(*size, *mode)
                    .and_then(|tmpfs| mount::attach(tmpfs, at))
                    .doing(|| format!("mount a tmpfs on `{path}`"))
            }
            Setup::Node { target, major, minor } => node(&target.path(), *major, *minor, points)
                .doing(|| format!("make `{}`", target.path())),
            Setup::Pts { group } => {
                let group = group.map(|group| group.to_string());
                let mut options = vec![("ptmxmode", "0666"), ("mode", "0620")];
                options.extend(group.as_deref().map(|group| ("gid", group)));
                let limits = Limits { nosuid: true, noexec: true, ..Limits::default() };
                mount_new("devpts", &options, limits, "/dev/pts", points)
            }
            Setup::Mqueue => {
                // A kernel may lack them (CONFIG_POSIX_MQUEUE): then there are none.
                let _ = mount_new("mqueue", &[], Limits::DATA, "/dev/mqueue", points);
                Ok(())
            }
            Setup::Link { at, to } => {
                let path = at.path();
                let parent = path.parent().unwrap_or_else(ImagePath::root);
                mount::open_in_root(root, &parent, true)
                    .and_then(|folder| mount::make_link(folder, path.name(), &to.0))
                    .doing(|| format!("make `{path}`"))
            }
            Setup::Mask(target) => {
                mask(root, &target.path()).doing(|| format!("hide `{}`", target.path()))
            }
            Setup::ReadOnly(target) => {
                protect(root, &target.path()).doing(|| format!("protect `{}`", target.path()))
            }
            Setup::Note { target, bytes } => {
                let path = target.path();
                let content = self.bytes.get(*bytes).map_or(&b""[..], Secret::expose);
                stage
                    .file(content, 0o644, None, false)
                    .and_then(|file| mount::attach(file, points.open(&path, false, true)?))
                    .doing(|| format!("mount `{path}`"))
            }
            Setup::File { target, bytes, uid, gid, mode } => {
                let path = target.path();
                let content = self.bytes.get(*bytes).map_or(&b""[..], Secret::expose);
                // With one id there is no other owner; the command, whoever it is, is that one.
                let owner = self.orders.id_mode.has_many().then_some((*uid, *gid));
                stage
                    .file(content, *mode, owner, true)
                    .and_then(|file| mount::attach(file, points.open(&path, false, true)?))
                    .doing(|| format!("mount a file on `{path}`"))
            }
            Setup::Attach { target, fd } => {
                let path = target.path();
                let doing = || format!("mount `{path}`");
                if path.is_root() {
                    return Err(io::Error::new(
                        io::ErrorKind::InvalidInput,
                        "the target of a mount cannot be the root",
                    ))
                    .doing(doing);
                }
                let Some(source) = self.fds.get(*fd) else {
                    return Err(io::Error::from(io::ErrorKind::InvalidData)).doing(doing);
                };
                let dir = mount::status(source).doing(doing)?.is_dir();
                let at = points.open(&path, dir, true).doing(doing)?;
                mount::attach(source, at).doing(doing)
            }
        }
    }

    // Becomes the command; returns only when that failed.
    fn become_command(&self, cwd: &Cwd, supervisor: Option<owner::Theirs>) -> Failure {
        match self.try_become(cwd, supervisor) {
            Ok(never) => match never {},
            Err(failure) => failure,
        }
    }

    fn try_become(
        &self,
        cwd: &Cwd,
        supervisor: Option<owner::Theirs>,
    ) -> Result<std::convert::Infallible, Failure> {
        let orders = &self.orders;
        let User { uid, gid, groups } = Self::user(orders);
        let argv: Vec<Vec<u8>> = orders.argv.iter().map(|word| word.0.clone()).collect();
        let program = Program::new(&argv, &self.environment(), self.path())
            .doing(|| "prepare the command".into())?;
        // Without a network namespace, a step that shall have no network gets no such sockets.
        let chroot = orders.keeping == Keeping::Chroot;
        let filter = Filter::new(!(chroot && orders.own_network))
            .doing(|| "build the system call filter".into())?;

        child::reset_signals();
        child::new_session().doing(|| "make a session".into())?;
        let many = orders.id_mode.has_many();
        let supervised = match supervisor {
            Some(theirs) => theirs.submit_or_warn().doing(|| "hand over the listener".into())?,
            None => false,
        };
        if let Some(proc) = &cwd.proc
            && !supervised
            && (uid != 0 || gid != 0)
        {
            child::become_single(proc.as_fd(), uid, gid)
                .doing(|| format!("become user {uid}:{gid}"))?;
        }
        child::set_umask(0o022);
        for limit in &orders.ulimits {
            // It has had no meaning since Linux 2.4; the supervisor uses it.
            if supervised && limit.name == "locks" {
                continue;
            }
            child::set_limit(&limit.name, limit.soft, limit.hard)
                .unwrap_or_else(|| Err(io::Error::other("there is no such limit")))
                .doing(|| format!("set the limit `{}`", limit.name))?;
        }
        if chroot {
            child::change_root(&self.fds[0]).doing(|| "change the root".into())?;
        }
        mount::enter(&cwd.folder).doing(|| "go to the working directory".into())?;
        child::close_all_on_exec().doing(|| "close descriptors".into())?;
        let mut keep = match orders.hardening {
            super::Hardening::Docker => child::DOCKER_CAPABILITIES,
            super::Hardening::Hardened => child::HARDENED_CAPABILITIES,
            super::Hardening::Insecure => u64::MAX,
        };
        if chroot {
            keep = child::without_escapes(keep);
        }
        if orders.hardening != super::Hardening::Insecure {
            keep::fence_command();
        }
        child::bound_capabilities(keep).doing(|| "drop capabilities".into())?;
        let insecure = orders.hardening == super::Hardening::Insecure;
        let installed = match &cwd.audit {
            Some(watcher) => audit::submit(watcher, (!insecure).then_some(&filter), many),
            None if insecure => Ok(()),
            None => filter.install(),
        };
        installed.doing(|| "install the system call filter".into())?;
        if !supervised {
            child::become_user(uid, gid, many.then_some(groups))
                .doing(|| format!("become user {uid}:{gid}"))?;
        }
        child::set_capabilities(keep).doing(|| "drop capabilities".into())?;

        let (error, there) = program.exec();
        let name = orders.argv.first().cloned().unwrap_or_else(|| Raw(Vec::new()));
        let mut cause = in_words(&error);
        if error.kind() == io::ErrorKind::NotFound && there {
            cause.push_str(
                ": the file is there, but not its interpreter (the `#!` line, or the dynamic loader)",
            );
        } else if error.kind() == io::ErrorKind::NotFound && !name.0.contains(&b'/') {
            cause = "executable file not found in `$PATH`".into();
        } else if error.raw_os_error() == Some(child::NO_EXEC_FORMAT) {
            cause.push_str(": it has no `#!` line, or is built for another architecture");
        }
        say(self.control, &Report::NoExec { program: name, cause });
        child::exit(127)
    }

    fn user(orders: &Orders) -> User<'_> {
        let user = &orders.user;
        User { uid: user.uid, gid: user.gid, groups: &user.groups }
    }

    fn path(&self) -> &[u8] {
        let set = self.orders.env.iter().rev().find(|(name, _)| name == "PATH");
        set.map_or(PATH, |(_, value)| value).as_bytes()
    }

    fn environment(&self) -> Vec<Vec<u8>> {
        let pair = |name: &str, value: &[u8]| [name.as_bytes(), b"=", value].concat();
        let secrets = self.orders.secret_env.iter().map(|(name, number)| {
            pair(name, self.bytes.get(*number).map_or(&b""[..], Secret::expose))
        });
        let plain = self.orders.env.iter().map(|(name, value)| pair(name, value.as_bytes()));
        plain.chain(secrets).collect()
    }
}

struct User<'a> {
    uid: u32,
    gid: u32,
    groups: &'a [u32],
}

// Handles that outlast the change of the root.
struct Cwd {
    folder: OwnedFd,
    proc: Option<OwnedFd>,
    // The same, for an audit.
    watch: Option<OwnedFd>,
    // The way from the command to who watches it.
    audit: Option<UnixStream>,
}

// Reaps until the command has ended; then this process ends too, and with it the namespace.
fn watch_over(command: &Child, control: &UnixStream, signals: &OwnedFd) {
    let mut listening = true;
    loop {
        if let Some(end) = command.reap_all() {
            say(control, &Report::Ended(end));
            return;
        }
        let ask = listening.then(|| control.as_fd());
        let Ok([ended, asked]) = child::poll([Some(signals.as_fd()), ask], -1) else { return };
        if ended {
            child::drain(signals);
        }
        if asked {
            let mut byte = [0];
            match { control }.read(&mut byte) {
                Ok(1) if byte[0] == TERMINATE => command.terminate_group(),
                Ok(1) => {}
                // The builder is gone, and so are we in a moment.
                _ => listening = false,
            }
        }
    }
}

// A folder in memory of the step's own mount namespace, over a folder of the host that every system
// has; the tree is attached in it. All of it is let go with the host's root.
fn attach_root(root: &OwnedFd) -> io::Result<Stage> {
    let folder = mount::new_mount("tmpfs", &[("mode", "0700"), ("size", "8m")], Limits::DATA)?;
    let mut attached = Err(io::ErrorKind::NotFound.into());
    for place in ["/tmp", "/mnt", "/run", "/var", "/proc"] {
        attached = mount::attach_at(&folder, Path::new(place));
        if attached.is_ok() {
            break;
        }
    }
    attached?;
    mount::make_dir(&folder, b"root", 0o700)?;
    let at = ImagePath::from_entry(b"root").map_err(io::Error::other)?;
    mount::attach(root, mount::open_in_root(&folder, &at, true)?)?;
    Ok(Stage { folder, secrets: None, files: 0 })
}

impl Stage {
    // A file as a detached mount. The lasting kind is read-only and in memory that is never swapped.
    fn file(
        &mut self,
        content: &[u8],
        mode: u32,
        owner: Option<(u32, u32)>,
        unswapped: bool,
    ) -> io::Result<OwnedFd> {
        let name = format!("file{}", self.files);
        self.files += 1;
        let at = ImagePath::from_entry(name.as_bytes()).map_err(io::Error::other)?;
        let folder = if unswapped { self.secrets()? } else { &self.folder };
        mount::make_file(folder, name.as_bytes(), content, mode, owner)?;
        let file = mount::clone_handle(mount::open_in_root(folder, &at, true)?)?;
        if unswapped {
            // A script that was made up by the builder is run by its own path.
            let noexec = mode & 0o111 == 0;
            mount::set_limits(&file, Limits { noexec, ..Limits::READ }, false)?;
        }
        Ok(file)
    }

    fn secrets(&mut self) -> io::Result<&OwnedFd> {
        if self.secrets.is_none() {
            let limits = Limits { noexec: false, ..Limits::DATA };
            let memory = mount::new_mount("ramfs", &[("mode", "0700")], limits)?;
            mount::make_dir(&self.folder, b"secrets", 0o700)?;
            let at = ImagePath::from_entry(b"secrets").map_err(io::Error::other)?;
            mount::attach(&memory, mount::open_in_root(&self.folder, &at, true)?)?;
            self.secrets = Some(memory);
        }
        self.secrets.as_ref().ok_or_else(|| io::ErrorKind::NotFound.into())
    }
}

// The places that the step is made of are folders in the image, or absent. A link there would steer
// mounts elsewhere in the tree: this is seen before the first.
fn only_folders(root: &OwnedFd) -> Result<(), Failure> {
    for path in ["/proc", "/sys", "/dev", "/etc", "/run"] {
        let doing = || format!("use `{path}`");
        let at = ImagePath::from_entry(path.as_bytes()).map_err(io::Error::other).doing(doing)?;
        let Some(found) = present(root, &at).doing(doing)? else { continue };
        let status = mount::status(&found).doing(doing)?;
        if !status.is_dir() {
            let what = if status.is_symlink() { "a symlink" } else { "no folder" };
            return Err(io::Error::other(format!("it is {what} in the image"))).doing(doing);
        }
    }
    Ok(())
}

// A folder of the image that is ours to mount on. A symlink there would steer the mount elsewhere
// in the tree.
fn own_folder(path: &str, root: &OwnedFd, points: &mut Points<'_>) -> Result<OwnedFd, Failure> {
    let doing = || format!("mount `{path}`");
    let at = ImagePath::from_entry(path.as_bytes()).map_err(io::Error::other).doing(doing)?;
    if let Ok(found) = mount::open_in_root(root, &at, true) {
        let status = mount::status(&found).doing(doing)?;
        if !status.is_dir() {
            let what = if status.is_symlink() { "a symlink" } else { "no folder" };
            return Err(io::Error::other(format!("it is {what} in the image"))).doing(doing);
        }
        return Ok(found);
    }
    points.open(&at, true, true).doing(doing)
}

fn mount_new(
    kind: &str,
    options: &[(&str, &str)],
    limits: Limits,
    path: &str,
    points: &mut Points<'_>,
) -> Result<(), Failure> {
    let doing = || format!("mount `{path}`");
    let at = ImagePath::from_entry(path.as_bytes()).map_err(io::Error::other).doing(doing)?;
    let new = mount::new_mount(kind, options, limits).doing(doing)?;
    let at = points.open(&at, true, true).doing(doing)?;
    mount::attach(new, at).doing(doing)
}

fn tmpfs(size: Option<u64>, mode: u32) -> io::Result<OwnedFd> {
    let mode = format!("{mode:o}");
    let size = size.map(|size| size.to_string());
    let mut options = vec![("mode", mode.as_str())];
    options.extend(size.as_deref().map(|size| ("size", size)));
    mount::new_mount("tmpfs", &options, Limits { nosuid: true, ..Limits::default() })
}

fn node(path: &ImagePath, major: u32, minor: u32, points: &mut Points<'_>) -> io::Result<()> {
    let text = path.display();
    let of_host = match mount::clone_path(Path::new(&*text)) {
        Ok(node) => node,
        // The host has none (often no /dev/tty): neither has the step.
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
        Err(error) => return Err(error),
    };
    if !mount::status(&of_host)?.is_char(major, minor) {
        return Err(io::Error::other("on this host it is not the device of that name"));
    }
    mount::attach(of_host, points.open(path, false, true)?)
}

fn host_sys() -> io::Result<OwnedFd> {
    let sys = mount::clone_path_recursive(Path::new("/sys"))?;
    mount::set_limits(&sys, Limits::READ, true)?;
    Ok(sys)
}

fn masked_proc(error: io::Error) -> io::Error {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error;
    }
    io::Error::new(
        error.kind(),
        format!(
            "{}: parts of the host's own `/proc` are masked, as in a container; run the container \
             with an unmasked `/proc` (`--security-opt systempaths=unconfined`, or \
             `procMount: Unmasked`)",
            in_words(&error)
        ),
    )
}

fn mask(root: &OwnedFd, path: &ImagePath) -> io::Result<()> {
    let Some(at) = present(root, path)? else { return Ok(()) };
    if mount::status(&at)?.is_dir() {
        let empty = mount::new_mount("tmpfs", &[("mode", "0555"), ("size", "0")], Limits::READ)?;
        return mount::attach(empty, at);
    }
    let null = mount::clone_path(Path::new("/dev/null"))?;
    if !mount::status(&null)?.is_char(1, 3) {
        return Err(io::Error::other("`/dev/null` of this host is not the null device"));
    }
    mount::attach(null, at)
}

fn protect(root: &OwnedFd, path: &ImagePath) -> io::Result<()> {
    let Some(at) = present(root, path)? else { return Ok(()) };
    let same = mount::clone_handle_recursive(&at)?;
    mount::set_limits(&same, Limits::READ, true)?;
    mount::attach(same, at)
}

fn present(root: &OwnedFd, path: &ImagePath) -> io::Result<Option<OwnedFd>> {
    match mount::open_in_root(root, path, true) {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}
