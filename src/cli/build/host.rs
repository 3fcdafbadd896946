//! What of this host stands around the steps of a build: found out by trying, while there is one
//! thread.

use rbuild::event::Events;
use rbuild::exec::Failure;
use rbuild::plan::{Op, Plan};
use rbuild::policy::Policy;
use rbuild::rootfs::Stacking;
use rbuild::sandbox::Isolation;
use rbuild::store::Store;
use rbuild::sys::{self, IdMode, NamespaceError, NoFence};

use crate::cli::exit::Exit;
use crate::cli::shared::Stop;

/// `--isolation`.
#[derive(Clone, Copy, PartialEq, Eq, Debug, clap::ValueEnum)]
pub(crate) enum Choice {
    /// User namespaces; without them everything but RUN
    Auto,
    /// User namespaces, or nothing
    Userns,
    /// A change of the root folder: for root in a container that has no user namespaces
    Chroot,
}

/// What was found.
pub(super) struct Host {
    pub(super) mode: IdMode,
    pub(super) isolation: Isolation,
    mounts: bool,
    why_single: Option<NamespaceError>,
    // Only looked at where a step runs.
    fence: Result<u32, NoFence>,
}

impl Host {
    /// Makes this process as powerful as it may be. To be called with one thread. Of what stands around
    /// a step nothing is tried where it is known that none will run.
    pub(super) fn enter(
        choice: Choice,
        policy: &Policy,
        plan: Option<&Plan>,
    ) -> Result<Host, Stop> {
        if choice == Choice::Chroot {
            return chroot(policy);
        }
        let may_run = plan.is_none_or(runs);
        let fence = || if may_run { sys::try_fence() } else { Ok(0) };
        match sys::enter_user_namespace(None) {
            Ok(entered) => Ok(Host {
                mode: entered.mode,
                mounts: entered.no_mounts.is_none(),
                isolation: match entered.no_mounts {
                    Some(why) => Isolation::Refused { cause: why.to_string(), cure: why.cure },
                    None if may_run => pids(),
                    None => Isolation::Namespaces,
                },
                why_single: entered.why_single,
                fence: fence(),
            }),
            // One that was begun and not finished cannot be left again.
            Err(error) if choice == Choice::Userns || sys::has_no_ids() => {
                Err(Stop { exit: Exit::Sandbox, text: error.to_string(), help: Some(error.cure) })
            }
            Err(error) => Ok(Host {
                mode: sys::ids_without_namespace(),
                mounts: false,
                isolation: Isolation::Refused { cause: error.to_string(), cure: cures(&error) },
                why_single: None,
                fence: fence(),
            }),
        }
    }

    /// How trees are seen in this store, told if it is not the usual way.
    pub(super) fn stacking(&self, store: &Store, plan: &Plan, events: &Events) -> Stacking {
        if !self.mounts {
            return Stacking::Plain;
        }
        let (stacking, why) = match Stacking::probe(store) {
            Ok(found) => found,
            // What is wrong with the store is told by what needs it.
            Err(_) => (Stacking::Plain, None),
        };
        if let Some(why) = why
            && runs(plan)
        {
            events.note(format!(
                "each RUN works on a copy of its tree, which is slower: {}; put the store on a volume \
                 or a local disk with --root",
                rbuild::diag::chain(&why)
            ));
        }
        stacking
    }

    /// Says what the steps of this plan do not have; refuses a plan that cannot be carried out.
    pub(super) fn judge(
        &self,
        plan: &Plan,
        policy: &Policy,
        events: &Events,
    ) -> Result<(), Failure> {
        rbuild::exec::check_host(plan, &self.isolation)?;
        if !runs(plan) {
            return Ok(());
        }
        let more = match policy.demands_hardened_steps() {
            true => "warning: ",
            false => "",
        };
        if let Err(why) = &self.fence {
            events.note(format!(
                "{more}steps run without the second fence around files, signals and sockets: {why} \
                 (`rbuild doctor` names a cure)"
            ));
        }
        match &self.isolation {
            Isolation::SharedPids => {
                events.note(format!(
                    "{more}parts of /proc are masked here, as in any container: steps see the \
                     processes outside (--security-opt systempaths=unconfined, or `procMount: \
                     Unmasked`, gives them a /proc of their own)"
                ));
            }
            Isolation::Chroot => events.note(
                "steps run without namespaces: they share network and process ids with this \
                 container, have no /proc/self, and secrets are files on disk while a step runs",
            ),
            Isolation::Namespaces | Isolation::Refused { .. } => {}
        }
        Ok(())
    }

    /// Why there is one id only, in words.
    pub(super) fn why_single(&self) -> Option<String> {
        self.why_single.as_ref().map(Host::single)
    }

    /// Says that there is one id only.
    pub(super) fn single(why: &NamespaceError) -> String {
        format!("one user id only: {}; {}", why.cause, why.cure)
    }

    /// Tells whether nothing would have to be said of the host before this plan is carried out, as far as
    /// that can be told without trying.
    pub(super) fn is_foreseen(plan: &Plan) -> bool {
        !runs(plan) || (sys::is_fence_known() && sys::is_proc_whole())
    }
}

fn runs(plan: &Plan) -> bool {
    plan.steps.iter().any(|(_, step)| matches!(step.op, Op::Run(_)))
}

fn pids() -> Isolation {
    match sys::fresh_proc() {
        Err(error) if error.kind() == std::io::ErrorKind::PermissionDenied => Isolation::SharedPids,
        // Anything else is told by the step, with what it was doing.
        _ => Isolation::Namespaces,
    }
}

fn chroot(policy: &Policy) -> Result<Host, Stop> {
    if !policy.chroot {
        return Err(Stop {
            exit: Exit::Refused,
            text: format!("the policy `{}` does not allow --isolation=chroot", policy.name),
            help: Some(
                "allow user namespaces instead; or build with a policy file that says \
                 `chroot = \"allow\"`, or with --set chroot=allow"
                    .into(),
            ),
        });
    }
    let isolation = match sys::can_change_root() {
        true => Isolation::Chroot,
        false => Isolation::Refused {
            cause: "--isolation=chroot needs root with CAP_SYS_CHROOT, CAP_MKNOD, CAP_SETUID, \
                    CAP_SETGID and CAP_SETPCAP, as a container has by default"
                .into(),
            cure: "run it as root of the container, or allow user namespaces \
                   (`--security-opt seccomp=unconfined`) and leave --isolation out"
                .into(),
        },
    };
    Ok(Host {
        mode: sys::ids_without_namespace(),
        mounts: false,
        isolation,
        why_single: None,
        fence: sys::try_fence(),
    })
}

fn cures(error: &NamespaceError) -> String {
    let chroot = match sys::can_change_root() {
        true => "build with --isolation=chroot",
        false => "build as root of the container with --isolation=chroot",
    };
    format!("{}; or {chroot}, which gives less", error.cure)
}
