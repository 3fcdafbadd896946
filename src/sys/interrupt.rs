//! Ctrl-C and SIGTERM as a call.

use std::io;

/// The number of SIGTERM.
pub const TERMINATE: i32 = libc::SIGTERM;

/// From now on calls `act` with the number when SIGINT, SIGTERM or SIGHUP comes, instead of dying;
/// the second one ends the process at once, with the status that a shell gives it (128 and the
/// number).
///
/// Has to be called before other threads start: they inherit that the signals are blocked. Child
/// processes start with no signal blocked (the standard library sees to that).
pub fn on_interrupt(act: impl Fn(i32) + Send + 'static) -> io::Result<()> {
    let mut set = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
    // SAFETY: `sigemptyset` initialises the set that it is given; the others take it initialised.
    // All pointers are to locals that live through the calls.
    let set = unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        let mut set = set.assume_init();
        for signal in [libc::SIGINT, libc::SIGTERM, libc::SIGHUP] {
            libc::sigaddset(&raw mut set, signal);
        }
        match libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut()) {
            0 => set,
            error => return Err(io::Error::from_raw_os_error(error)),
        }
    };
    std::thread::Builder::new().name("signals".to_owned()).spawn(move || {
        let mut came = false;
        loop {
            let mut signal = 0;
            // SAFETY: `sigwait` reads the initialised set and writes one integer.
            if unsafe { libc::sigwait(&raw const set, &raw mut signal) } != 0 {
                return;
            }
            if came {
                // SAFETY: `_exit` ends the process; nothing in memory is needed any more, and the
                // kernel ends the steps with it.
                unsafe { libc::_exit(128 + signal) };
            }
            came = true;
            act(signal);
        }
    })?;
    Ok(())
}
