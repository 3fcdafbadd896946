//! What holds for every RUN step of a build, whatever it does.

use crate::sandbox::Emulators;

/// What steps are run with and watched for.
#[derive(Debug, Default)]
pub struct StepTerms {
    /// Where emulators of other architectures are looked for.
    pub emulators: Emulators,
}
