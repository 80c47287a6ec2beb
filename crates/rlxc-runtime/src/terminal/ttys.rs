use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use rlxc_monitor::protocol::ConsoleLogRequest;
use rlxc_monitor::server::{Answer, TtyGrant};
use rlxc_sys::tty;

use super::ConsolePump;

/// The console and the ttys of a running container, as the monitor hands them out.
///
/// The methods are those that [`rlxc_monitor::Handler`] wants.
#[derive(Debug, Default)]
pub struct Terminals {
    console: Option<ConsolePump>,
    ttys: Vec<Tty>,
    devpts: Option<OwnedFd>,
}

#[derive(Debug)]
struct Tty {
    ptx: OwnedFd,
    /// Kept open, so that a client of a tty without a getty is not hung up on
    _pts: Option<OwnedFd>,
    taken: bool,
}

impl Terminals {
    /// The container's console, the ptx ends of tty 1 to N, and its devpts, as far as it has them.
    pub fn new(console: Option<ConsolePump>, ttys: Vec<OwnedFd>, devpts: Option<OwnedFd>) -> Self {
        let tty = |ptx: OwnedFd| Tty {
            _pts: tty::peer(ptx.as_fd()).ok(),
            ptx,
            taken: false,
        };
        Self {
            console,
            ttys: ttys.into_iter().map(tty).collect(),
            devpts,
        }
    }

    /// Gives away the console (0), the next free tty (−1) or tty `wanted`.
    ///
    /// # Errors
    /// EBUSY when it is taken, ENOENT when there is none.
    pub fn tty(&mut self, wanted: i32) -> Answer<TtyGrant> {
        if wanted == 0 {
            let console = self.console.as_mut().ok_or(Errno::ENOENT)?;
            let ptx = console.attach_proxy(self.devpts.as_ref().map(AsFd::as_fd))?;
            return Ok(TtyGrant { number: 0, ptx });
        }
        let (number, tty) = match wanted {
            -1 => (1..)
                .zip(&mut self.ttys)
                .find(|(_, tty)| !tty.taken)
                .ok_or(Errno::EBUSY)?,
            _ => {
                let index = usize::try_from(wanted).map_err(|_| Errno::ENOENT)? - 1;
                (wanted, self.ttys.get_mut(index).ok_or(Errno::ENOENT)?)
            }
        };
        if tty.taken {
            return Err(Errno::EBUSY);
        }
        let ptx = tty.ptx.try_clone().map_err(|_| Errno::EMFILE)?;
        tty.taken = true;
        Ok(TtyGrant { number, ptx })
    }

    /// The client that held it is gone.
    pub fn tty_returned(&mut self, number: i32) {
        if number == 0 {
            if let Some(console) = &mut self.console {
                console.detach_proxy();
            }
        } else if let Ok(number) = usize::try_from(number)
            && let Some(tty) = self.ttys.get_mut(number.wrapping_sub(1))
        {
            tty.taken = false;
        }
    }

    /// Brings the window size of the console's client to the console.
    pub fn window_changed(&mut self) {
        if let Some(console) = &mut self.console {
            console.propagate_window_size();
        }
    }

    /// Reads or clears the console's ring buffer.
    ///
    /// # Errors
    /// EFAULT without a ring buffer, ENODATA when a read finds it empty.
    pub fn console_log(&mut self, request: ConsoleLogRequest) -> Answer<Vec<u8>> {
        let console = self.console.as_mut().ok_or(Errno::EFAULT)?;
        console.console_log(request)
    }

    /// The container's devpts, for GET_DEVPTS_FD.
    ///
    /// # Errors
    /// EBADF when it has none.
    pub fn devpts(&self) -> Answer<OwnedFd> {
        let devpts = self.devpts.as_ref().ok_or(Errno::EBADF)?;
        devpts.try_clone().map_err(|_| Errno::EMFILE)
    }

    /// What to poll: readable when [`Terminals::dispatch`] has something to do.
    pub fn poll_fd(&self) -> Option<BorrowedFd<'_>> {
        self.console.as_ref().map(AsFd::as_fd)
    }

    /// Moves the console's data, as far as possible without waiting.
    pub fn dispatch(&mut self) {
        if let Some(console) = &mut self.console {
            console.dispatch();
        }
    }

    /// For the container's end: reads what is left of the console and completes its log.
    pub fn finish(&mut self) {
        if let Some(console) = &mut self.console {
            console.finish();
        }
    }
}
