//! One connection: read a request, have it answered, write the answer, perhaps stay.

use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use nix::errno::Errno;
use nix::sys::epoll::EpollFlags;
use nix::sys::socket::{getsockopt, sockopt};
use nix::unistd::{getgid, getuid};
use rlxc_sys::socket::{receive, send};

use super::Answer;
use crate::State;
use crate::protocol::{Command, Event, HEADER, Message, Request, Response, StateWish, encode_text};

#[derive(Debug)]
pub(super) struct Connection {
    socket: OwnedFd,
    phase: Phase,
    /// Whether the client runs as the user that the monitor runs as
    own: bool,
}

#[derive(Debug)]
enum Phase {
    Header {
        bytes: [u8; HEADER],
        have: usize,
    },
    Payload {
        request: Request,
        bytes: Vec<u8>,
    },
    /// The second message of SECCOMP_NOTIFY_ADD_LISTENER
    ListenerFd,
    /// [`super::Server`] is having it answered, or the handler answers later
    Waiting,
    Writing {
        out: Vec<u8>,
        sent: usize,
        fds: Vec<OwnedFd>,
        then: After,
    },
    Staying(After),
}

/// What becomes of a connection after its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum After {
    Close,
    HoldTty(i32),
    HoldStop,
    /// As `HoldStop`; the client removes the monitor's cgroups
    HoldTidy,
    StateClient(StateWish),
}

/// A request that has come in whole.
#[derive(Debug)]
pub(super) struct Incoming {
    pub(super) request: Request,
    pub(super) payload: Vec<u8>,
    pub(super) listener: Option<OwnedFd>,
    /// Whether the client runs as the user that the monitor runs as
    pub(super) own: bool,
}

/// What to do with a connection after the handler was asked.
#[derive(Debug)]
pub(super) struct Served {
    reply: Reply,
    /// A state that the client says was reached
    pub(super) announce: Option<State>,
}

#[derive(Debug)]
pub(super) enum Reply {
    Send {
        response: Response,
        payload: Vec<u8>,
        fds: Vec<OwnedFd>,
        then: After,
    },
    /// No answer; the connection stays or goes
    Silent(After),
    /// The handler answers later
    Later,
}

pub(super) enum Step {
    /// Nothing to do until the socket is ready
    Wait,
    Close,
    Request(Incoming),
}

impl Connection {
    pub(super) fn new(socket: OwnedFd) -> Self {
        let phase = Phase::Header {
            bytes: [0; HEADER],
            have: 0,
        };
        Self {
            socket,
            phase,
            own: false,
        }
    }

    pub(super) fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether the client keeps us waiting.
    pub(super) fn pending(&self) -> bool {
        !matches!(self.phase, Phase::Staying(_) | Phase::Waiting)
    }

    pub(super) fn interest(&self) -> EpollFlags {
        match self.phase {
            Phase::Header { .. } | Phase::Payload { .. } | Phase::ListenerFd => EpollFlags::EPOLLIN,
            Phase::Writing { .. } => EpollFlags::EPOLLOUT,
            // What else the client sends is ignored; only its leaving counts.
            Phase::Waiting | Phase::Staying(_) => EpollFlags::EPOLLRDHUP,
        }
    }

    pub(super) fn tty(&self) -> Option<i32> {
        match self.phase {
            Phase::Staying(After::HoldTty(n))
            | Phase::Writing {
                then: After::HoldTty(n),
                ..
            } => Some(n),
            _ => None,
        }
    }

    /// Whether the client is there and removes the monitor's cgroups.
    pub(super) fn tidies(&self) -> bool {
        matches!(self.phase, Phase::Staying(After::HoldTidy)) && !self.peer_is_gone()
    }

    pub(super) fn wants(&self, state: State) -> bool {
        matches!(self.phase, Phase::Staying(After::StateClient(wish)) if wish.states.contains(state))
    }

    /// Whether it is kept over a reboot: a state client that asked for it, or a fresh request.
    pub(super) fn survives_reboot(&self) -> bool {
        match self.phase {
            Phase::Staying(After::StateClient(wish)) => wish.over_reboot,
            Phase::Staying(_) | Phase::Waiting => false,
            _ => true,
        }
    }

    /// Sends the one message of a state client; the socket's buffer is empty, so it fits.
    pub(super) fn tell(self, name: &str, state: State) {
        let message = Message {
            name: name.to_owned(),
            event: Event::State(state),
        };
        let _ = send(self.socket.as_fd(), &message.encode(), &[], false);
    }

    pub(super) fn complete(&mut self, answer: Answer<()>) {
        let response = match answer {
            Ok(()) => Response::number(0),
            Err(errno) => Response::error(errno),
        };
        self.reply(Served::send(response));
    }

    pub(super) fn reply(&mut self, served: Served) {
        self.phase = match served.reply {
            Reply::Later => Phase::Waiting,
            Reply::Silent(then) => Phase::Staying(then),
            Reply::Send {
                response,
                payload,
                fds,
                then,
            } => {
                let mut out = response.encode().to_vec();
                out.extend_from_slice(&payload);
                Phase::Writing {
                    out,
                    sent: 0,
                    fds,
                    then,
                }
            }
        };
    }

    pub(super) fn step(&mut self) -> Step {
        match &mut self.phase {
            Phase::Header { .. } => self.read_header(),
            Phase::Payload { .. } => self.read_payload(),
            Phase::ListenerFd => self.read_listener(),
            Phase::Writing { .. } => self.write(),
            Phase::Staying(After::Close) => Step::Close,
            Phase::Waiting | Phase::Staying(_) => match self.peer_is_gone() {
                true => Step::Close,
                false => Step::Wait,
            },
        }
    }

    fn read_header(&mut self) -> Step {
        let Phase::Header { bytes, have } = &mut self.phase else {
            return Step::Wait;
        };
        let received = match receive(self.socket.as_fd(), &mut bytes[*have..]) {
            Ok(received) if received.len == 0 => return Step::Close,
            Ok(received) => received,
            Err(Errno::EAGAIN) => return Step::Wait,
            Err(_) => return Step::Close,
        };
        *have += received.len;
        if *have < HEADER {
            return Step::Wait;
        }
        let header = *bytes;
        let sender = received.credentials.map(|cred| (cred.uid, cred.gid));
        if !self.allowed(sender) {
            self.reply(Served::send(Response::error(Errno::EPERM)));
            return self.step();
        }
        let Ok(request) = Request::decode(&header) else {
            return Step::Close;
        };
        if Command::from_number(request.command).is_none() {
            self.reply(Served::send(Response::error(Errno::ENOSYS)));
            return self.step();
        }
        self.phase = match Command::from_number(request.command) {
            Some(Command::SeccompNotifyAddListener) if request.datalen == 0 => Phase::ListenerFd,
            _ => Phase::Payload {
                request,
                bytes: Vec::new(),
            },
        };
        self.step()
    }

    /// The caller may be root, or who we are. Without credentials in the message, those of the
    /// connection count.
    fn allowed(&mut self, sender: Option<(u32, u32)>) -> bool {
        let peer = || {
            let cred = getsockopt(&self.socket, sockopt::PeerCredentials).ok()?;
            Some((cred.uid(), cred.gid()))
        };
        let client = sender.or_else(peer);
        self.own = client.is_some_and(|(uid, _)| uid == getuid().as_raw());
        match client {
            Some((0, _)) => true,
            Some((uid, gid)) => uid == getuid().as_raw() && gid == getgid().as_raw(),
            None => false,
        }
    }

    fn read_payload(&mut self) -> Step {
        let Phase::Payload { request, bytes } = &mut self.phase else {
            return Step::Wait;
        };
        while bytes.len() < request.datalen {
            let mut chunk = [0; 1024];
            let room = (request.datalen - bytes.len()).min(chunk.len());
            match receive(self.socket.as_fd(), &mut chunk[..room]) {
                Ok(received) if received.len == 0 => return Step::Close,
                Ok(received) => bytes.extend_from_slice(&chunk[..received.len]),
                Err(Errno::EAGAIN) => return Step::Wait,
                Err(_) => return Step::Close,
            }
        }
        let incoming = Incoming {
            request: *request,
            payload: std::mem::take(bytes),
            listener: None,
            own: self.own,
        };
        self.phase = Phase::Waiting;
        Step::Request(incoming)
    }

    fn read_listener(&mut self) -> Step {
        match receive(self.socket.as_fd(), &mut [0]) {
            Ok(mut received) if received.len == 1 && received.fds.len() == 1 => {
                self.phase = Phase::Waiting;
                Step::Request(Incoming {
                    request: Request::number(Command::SeccompNotifyAddListener, 0),
                    payload: Vec::new(),
                    listener: received.fds.pop(),
                    own: self.own,
                })
            }
            Ok(received) if received.len == 1 => {
                self.reply(Served::send(Response::error(Errno::EINVAL)));
                self.step()
            }
            Err(Errno::EAGAIN) => Step::Wait,
            _ => Step::Close,
        }
    }

    fn write(&mut self) -> Step {
        let Phase::Writing {
            out,
            sent,
            fds,
            then,
        } = &mut self.phase
        else {
            return Step::Wait;
        };
        while *sent < out.len() {
            let borrowed: Vec<_> = fds.iter().map(AsFd::as_fd).collect();
            match send(self.socket.as_fd(), &out[*sent..], &borrowed, false) {
                Ok(count) => {
                    *sent += count;
                    fds.clear();
                }
                Err(Errno::EAGAIN) => return Step::Wait,
                Err(_) => return Step::Close,
            }
        }
        let then = *then;
        self.phase = Phase::Staying(then);
        self.step()
    }

    /// Whether the peer has hung up (what it may have sent before is of no interest).
    fn peer_is_gone(&self) -> bool {
        use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
        let wanted = PollFlags::from_bits_retain(nix::libc::POLLRDHUP);
        // Besides it only errors and a full hang-up can be reported.
        let mut polls = [PollFd::new(self.socket.as_fd(), wanted)];
        matches!(poll(&mut polls, PollTimeout::ZERO), Ok(1..))
    }
}

impl Served {
    pub(super) fn of(reply: Reply) -> Self {
        Self {
            reply,
            announce: None,
        }
    }

    pub(super) fn send(response: Response) -> Self {
        Self::with_fds(response, Vec::new(), Vec::new(), After::Close)
    }

    pub(super) fn with_fds(
        response: Response,
        payload: Vec<u8>,
        fds: Vec<OwnedFd>,
        then: After,
    ) -> Self {
        Self::of(Reply::Send {
            response,
            payload,
            fds,
            then,
        })
    }

    pub(super) fn payload(payload: Vec<u8>) -> Self {
        let response = Response::payload(payload.len());
        Self::with_fds(response, payload, Vec::new(), After::Close)
    }

    pub(super) fn silent() -> Self {
        Self::of(Reply::Silent(After::Close))
    }

    pub(super) fn text_or_hang_up(text: Option<String>) -> Self {
        text.map_or_else(Self::silent, |text| Self::payload(encode_text(&text)))
    }
}
