//! What stands around a step: found out once, when a build begins.

/// The fences that this host lets us put around a step.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Isolation {
    /// User, mount, pid, ipc, uts and cgroup namespaces, a `/proc` of its own.
    Namespaces,
    /// The same without a pid namespace, because parts of the `/proc` outside are masked: the step sees
    /// that one, and what it leaves running is found and killed.
    SharedPids,
    /// A change of the root folder and no namespace at all; on request only.
    Chroot,
    /// None that would do: no step can be run.
    Refused {
        /// Why.
        cause: String,
        /// What to do.
        cure: String,
    },
}

impl Isolation {
    /// How the command is kept, by name: part of the description of a step.
    pub(super) fn keeping(&self) -> Keeping {
        match self {
            Isolation::Namespaces => Keeping::PidNamespace,
            Isolation::SharedPids | Isolation::Refused { .. } => Keeping::Subreaper,
            Isolation::Chroot => Keeping::Chroot,
        }
    }
}

/// Who makes sure that nothing outlives the step.
#[derive(Clone, Copy, PartialEq, Eq, Debug, serde::Serialize, serde::Deserialize)]
pub(super) enum Keeping {
    /// The kernel: with process 1 of a pid namespace all go.
    PidNamespace,
    /// A subreaper, which hunts down what stems from it.
    Subreaper,
    /// A subreaper, and the root folder is changed without a mount namespace.
    Chroot,
}
