//! One question and its answer: the connection, whom it is to, what its failure means.

use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::time::Instant;

use nix::errno::Errno;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::geteuid;

use super::Client;
use crate::name::socket_name;
use crate::protocol::{Command, HEADER, MAX_PAYLOAD, Malformed, Request, Response};
use crate::{Error, Result, wire};

pub(super) struct Answer {
    pub(super) response: Response,
    pub(super) payload: Vec<u8>,
    pub(super) fds: Vec<OwnedFd>,
    pub(super) socket: OwnedFd,
}

impl Client {
    pub(super) fn one_fd(&self, command: Command, mut fds: Vec<OwnedFd>) -> Result<OwnedFd> {
        let got = fds.len();
        match fds.pop() {
            Some(fd) if got == 1 => Ok(fd),
            None => Err(self.refused(command, Errno::EBADF)),
            Some(_) => Err(self.malformed(command, Malformed::Descriptors { got, wanted: 1 })),
        }
    }

    pub(super) fn exchange(&self, request: Request, payload: &[u8]) -> Result<Answer> {
        let until = Instant::now() + self.deadline;
        // Only numbers of `Command` are ever put in a request here.
        let command = Command::from_number(request.command).unwrap_or(Command::GetState);
        let socket = self.send(request, payload, until)?;
        self.receive(command, socket, until)
    }

    pub(super) fn send(&self, request: Request, payload: &[u8], until: Instant) -> Result<OwnedFd> {
        let command = Command::from_number(request.command).unwrap_or(Command::GetState);
        if payload.len() > MAX_PAYLOAD {
            return Err(self.refused(command, Errno::E2BIG));
        }
        let address = match &self.socket {
            Some(socket) => socket.clone(),
            None => socket_name(&self.lxcpath, &self.name),
        };
        let socket = wire::connect(&address, until)
            .map_err(|errno| self.failed("connect", command, errno))?;
        self.check_peer(&socket)?;
        let sent = wire::send_all(socket.as_fd(), &request.encode(), &[], true, until)
            .and_then(|()| wire::send_all(socket.as_fd(), payload, &[], false, until));
        match sent {
            // A monitor that refuses us answers the header and hangs up: its answer counts.
            Ok(()) | Err(Errno::EPIPE) => Ok(socket),
            Err(errno) => Err(self.failed("sendmsg", command, errno)),
        }
    }

    /// Anybody may bind an abstract name that is free. What a stranger answers (an init to attach to!)
    /// must not be believed: the monitor is root, ourselves, or the owner of the container's files.
    fn check_peer(&self, socket: &OwnedFd) -> Result<()> {
        let peer = getsockopt(socket, sockopt::PeerCredentials);
        let uid = peer.map_or(u32::MAX, |peer| peer.uid());
        let owns = |path: &Path| std::fs::metadata(path).is_ok_and(|meta| meta.uid() == uid);
        let own = uid == 0 || uid == geteuid().as_raw();
        if own || owns(&self.lxcpath) || owns(&self.lxcpath.join(&self.name)) {
            return Ok(());
        }
        Err(Error::Impostor {
            name: self.name.clone(),
            lxcpath: self.lxcpath.clone(),
            uid,
        })
    }

    pub(super) fn receive(
        &self,
        command: Command,
        socket: OwnedFd,
        until: Instant,
    ) -> Result<Answer> {
        let failed = |errno| self.failed("recvmsg", command, errno);
        let mut header = [0; HEADER];
        let fds = wire::receive_all(socket.as_fd(), &mut header, until).map_err(failed)?;
        let response =
            Response::decode(command, &header).map_err(|e| self.malformed(command, e))?;
        let mut payload = Vec::new();
        while payload.len() < response.datalen {
            // Grown as it comes, so that a lying length costs nothing.
            let chunk = (response.datalen - payload.len()).min(1 << 16);
            let start = payload.len();
            payload.resize(start + chunk, 0);
            wire::receive_all(socket.as_fd(), &mut payload[start..], until).map_err(failed)?;
        }
        Ok(Answer {
            response,
            payload,
            fds,
            socket,
        })
    }

    pub(super) fn check(&self, command: Command, response: &Response) -> Result<()> {
        match response.ret {
            ret if ret < 0 => Err(self.refused(command, errno_of(response))),
            _ => Ok(()),
        }
    }

    pub(super) fn refused(&self, command: Command, errno: Errno) -> Error {
        Error::Refused {
            name: self.name.clone(),
            command,
            errno,
        }
    }

    pub(super) fn malformed(&self, command: Command, source: Malformed) -> Error {
        Error::Malformed {
            name: self.name.clone(),
            command,
            source,
        }
    }

    pub(super) fn failed(&self, operation: &'static str, command: Command, errno: Errno) -> Error {
        let name = self.name.clone();
        match errno {
            Errno::ECONNREFUSED | Errno::EPIPE | Errno::ECONNRESET | Errno::ENOENT => {
                Error::NotRunning {
                    name,
                    lxcpath: self.lxcpath.clone(),
                }
            }
            Errno::ETIMEDOUT => Error::Unresponsive {
                name,
                command,
                millis: self.deadline.as_millis(),
            },
            errno => Error::Socket {
                operation,
                name,
                errno,
            },
        }
    }
}

pub(super) fn errno_of(response: &Response) -> Errno {
    Errno::from_raw(response.ret.saturating_neg())
}
