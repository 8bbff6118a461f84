//! Signals that whoever started this process wants ignored, as `nohup` does.

/// Whether `signal` (a number as `libc::SIGHUP`) is ignored. To be asked before a handler is installed: who set it so before this program
/// began (`nohup`, a shell's background jobs) means it, and a handler would take it back.
pub fn ignored(signal: i32) -> bool {
    // SAFETY: all zeroes are a valid `sigaction`.
    let mut action: libc::sigaction = unsafe { std::mem::zeroed() };
    // SAFETY: nothing is changed as the new action is null, and `action` has room for the old one.
    let asked = unsafe { libc::sigaction(signal, std::ptr::null(), &mut action) };
    asked == 0 && action.sa_sigaction == libc::SIG_IGN
}

#[cfg(test)]
mod tests {
    use super::ignored;

    #[test]
    fn ignored_signals_are_known() {
        // One that nothing else here uses: it is the whole process's.
        assert!(!ignored(libc::SIGUSR2));
        // SAFETY: only the disposition of a signal changes that nobody sends.
        unsafe { libc::signal(libc::SIGUSR2, libc::SIG_IGN) };
        assert!(ignored(libc::SIGUSR2));
        assert!(!ignored(12345), "what is no signal is not ignored");
    }
}
